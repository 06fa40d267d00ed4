"""Times of a process: for the rows of a batch, and for the steps of a sampler.

Real times are multiples of a thousandth of the whole, which is ``t_max``, or `HORIZON` where the process never ends: distinct
ones are well apart, and near either end they are as near as a sampler's last step. Of a chain they are indices.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refscore.processes import DDPM
from refscore.strategies.batches import array, integer

HORIZON = 2.0
PARTS = 1000


def end(process: Any) -> float:
    """The last time that is drawn."""
    return float(process.t_max) if np.isfinite(process.t_max) else HORIZON


def times(process: Any, n: Any = None, *, ends: bool = True) -> st.SearchStrategy[np.ndarray]:
    """(n,) times in no order, float64, or int64 where the process is a chain.

    Parameters
    ----------
    process : a refscore process
    n : int, a strategy of ints, or None for 2 to 7
    ends : bool
        True: from two on, 0 and the last time are among them. There alpha, sigma, corrupt and marginal exist; a score divides by
        sigma = 0, and a drift may by alpha = 0. False: neither is, and everything exists.

    All are distinct, as far as a chain has so many indices. Raises TypeError or ValueError, at once, for other arguments.
    """
    if not isinstance(ends, bool):
        raise TypeError(f"ends is {ends!r}: pass True or False")
    return _times(_process(process), integer(n, "n", st.integers(2, 7), least=0), ends)


@st.composite
def _times(draw, process: Any, counts: st.SearchStrategy[int], ends: bool):
    n = draw(counts)
    chain = isinstance(process, DDPM)
    whole = int(process.t_max) if chain else PARTS
    both = [0, whole] if ends else []
    inside = sorted(range(1, whole + (chain and not ends)), key=lambda k: abs(2 * k - whole))  # the last index has a score
    if n < 2:
        inside, both = inside + both, []
    count = n - len(both)
    more = st.lists(st.sampled_from(inside or both), min_size=count, max_size=count, unique=count <= len(inside))
    parts = draw(st.permutations(both + draw(more)))
    return np.array(parts, dtype=np.int64) if chain else end(process) * np.array(parts, dtype=np.float64) / PARTS


def grids(process: Any, steps: Any = None) -> st.SearchStrategy[np.ndarray]:
    """(steps + 1,) strictly decreasing times, the last one 0, no two steps alike by construction.

    Parameters
    ----------
    process : a refscore process
    steps : int, a strategy of ints, or None for 1 to 12
        Of a chain, whose grids are indices, there are at most N.

    The first is where a sampler may start: the last index of a chain, else anything up to 0.999 ``t_max``, for at ``t_max`` itself
    alpha may be 0. Raises TypeError or ValueError, at once, for other arguments.
    """
    return _grids(_process(process), integer(steps, "steps", st.integers(1, 12)))


@st.composite
def _grids(draw, process: Any, counts: st.SearchStrategy[int]):
    steps = draw(counts)
    if isinstance(process, DDPM):
        n = int(process.t_max)
        between = draw(st.sets(st.integers(1, n - 1), max_size=min(steps, n) - 1)) if n > 1 else set()
        return np.array([n, *sorted(between, reverse=True), 0])
    gaps = draw(array((steps,), st.floats(0.1, 1.0)))
    top = end(process) * draw(st.sampled_from([0.999, 0.5, 0.9]))
    return np.append(top * (np.cumsum(gaps) / gaps.sum())[::-1], 0.0)


def _process(process: Any) -> Any:
    if isinstance(process, type) or not isinstance(getattr(process, "t_max", None), numbers.Real):
        drawn = isinstance(process, st.SearchStrategy)
        mend = "a process that was drawn, data.draw(rs.processes())" if drawn else "one, such as VP()"
        raise TypeError(f"process is {process!r}, not a process of refscore: pass {mend}")
    return process
