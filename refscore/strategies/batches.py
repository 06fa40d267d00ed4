"""Rows: points where things are evaluated, and noise that is chosen and not drawn from a law.

An identity that holds for every x and every noise is tested with any of them; what holds on average over the noise is not.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refscore import _validate

ROWS = st.integers(1, 7)
DIMENSIONS = st.integers(1, 5)


def points(n: Any = None, d: Any = None) -> st.SearchStrategy[np.ndarray]:
    """(n, d) points, every coordinate in [-5, 5].

    Parameters
    ----------
    n, d : int, a strategy of ints, or None
        None stands for 1 to 7 rows, and 1 to 5 dimensions.

    Raises TypeError or ValueError, at once, for what is none of them, n < 0 and d < 1.
    """
    return _rows(n, d, 5.0)


def noise(n: Any = None, d: Any = None) -> st.SearchStrategy[np.ndarray]:
    """(n, d) values of a standard normal, as an argument: every entry in [-4, 4], 0 included.

    ``n`` and ``d`` as for `points`.
    """
    return _rows(n, d, 4.0)


def _rows(n: Any, d: Any, size: float) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(integer(n, "n", ROWS, least=0), integer(d, "d", DIMENSIONS))
    return shapes.flatmap(lambda shape: array(shape, st.floats(-size, size)))


def array(shape: tuple[int, ...], entries: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    """An array with every entry drawn by itself, so that no two of them agree by construction."""
    return hnp.arrays(np.float64, shape, elements=entries, fill=st.nothing())


def integer(value: Any, name: str, otherwise: st.SearchStrategy[int], *, least: int = 1) -> st.SearchStrategy[int]:
    """``value`` as a strategy of ints of at least ``least``: itself, a number, or ``otherwise`` for None. Else it is refused."""
    if value is None:
        return otherwise
    if isinstance(value, st.SearchStrategy):
        return value.map(lambda number: _validate.count(number, name, least=least))
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}: pass an integer of at least {least}, a strategy of them such as "
                        f"st.integers({least}, 3), or None")
    return st.just(_validate.count(value, name, least=least))


def chosen(kinds: Any, known: tuple[str, ...], name: str = "kinds") -> tuple[str, ...]:
    """``kinds`` as a tuple of known names; ValueError for another one, or for none."""
    choices = f"choose from {', '.join(map(repr, known))}"
    try:
        names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    except TypeError:
        raise TypeError(f"{name} is {kinds!r}, neither a name nor several: {choices}") from None
    for kind in names:
        if kind not in known:
            raise ValueError(f"{name} contains {kind!r}: {choices}")
    if not names:
        raise ValueError(f"{name} is empty: {choices}")
    return names


def made(draw: st.DrawFn, target: Any, *args: Any, **kwargs: Any) -> Any:
    """``target(*args, **kwargs)``, which Hypothesis prints as this call, arrays as lists: NumPy leaves digits out."""
    given = [st.just(arg.tolist() if hasattr(arg, "tolist") else arg) for arg in args]
    return draw(st.builds(target, *given, **{name: st.just(arg) for name, arg in kwargs.items()}))


def plainly(draw: st.DrawFn) -> bool:
    """True once in eight: draw the plainest of its kind. That needs no further choice, so everything shrinks to it."""
    return draw(st.integers(0, 7)) == 0
