"""Rows: points where things are evaluated, and noise that is chosen and not drawn from a law.

An identity that holds for every x and every noise is tested with any of them; what holds on average over the noise is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

ROWS = st.integers(1, 7)
DIMENSIONS = st.integers(1, 5)


def points(n: Any = None, d: Any = None) -> st.SearchStrategy[np.ndarray]:
    """(n, d) points, every coordinate in [-5, 5].

    Parameters
    ----------
    n, d : int, a strategy of ints, or None
        None stands for 1 to 7 rows, and 1 to 5 dimensions.
    """
    return _rows(n, d, 5.0)


def noise(n: Any = None, d: Any = None) -> st.SearchStrategy[np.ndarray]:
    """(n, d) values of a standard normal, as an argument: every entry in [-4, 4], 0 included.

    ``n`` and ``d`` as for `points`.
    """
    return _rows(n, d, 4.0)


def _rows(n: Any, d: Any, size: float) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(integer(n, ROWS), integer(d, DIMENSIONS))
    return shapes.flatmap(lambda shape: array(shape, st.floats(-size, size)))


def array(shape: tuple[int, ...], entries: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    """An array with every entry drawn by itself, so that no two of them agree by construction."""
    return hnp.arrays(np.float64, shape, elements=entries, fill=st.nothing())


def integer(value: Any, otherwise: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    """``value`` as a strategy of ints: itself, a number, or what stands for None."""
    if value is None:
        return otherwise
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def chosen(kinds: Any, known: tuple[str, ...], name: str = "kinds") -> tuple[str, ...]:
    """``kinds`` as a tuple of known names; ValueError for another one, or for none."""
    names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in names:
        if kind not in known:
            raise ValueError(f"{name} contains {kind!r}: choose from {', '.join(map(repr, known))}")
    if not names:
        raise ValueError(f"{name} is empty: choose from {', '.join(map(repr, known))}")
    return names
