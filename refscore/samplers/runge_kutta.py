r"""Runge-Kutta methods for y' = slope(y, t), from t to s, forwards or backwards in time.

On a given grid, explicit methods with Butcher's (c, A, b) [Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I,
1993, sec. II.1]:  k_i = slope(y + h sum_j A_ij k_j, t + c_i h),  y <- y + h sum_i b_i k_i,  h = s - t:

    euler   order 1, one slope a step
    heun    order 2, two: the mean of the slopes at both ends, the second at Euler's point (Karras et al. 2022, Algorithm 1)
    rk4     order 4, four: the classical one (Kutta 1901)

Or, to a tolerance, DOP853 (order 8, sec. II.5 and II.10 there) as SciPy has it, which chooses its own times.

Slopes that are not finite are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _blocks
from refscore._progress import progress

METHODS: dict[str, tuple[list, list, list]] = {
    "euler": ([0.0], [[]], [1.0]),
    "heun": ([0.0, 1.0], [[], [1.0]], [0.5, 0.5]),
    "rk4": ([0.0, 0.5, 0.5, 1.0], [[], [0.5], [0.0, 0.5], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}
"""(c, A, b) by name."""


def map_rows(function: Callable, *arrays: np.ndarray, columns: int, label: str) -> Any:
    """`_blocks.map_rows` for states of so many columns; a row needs the state, the stages of a step, and what a slope needs.

    No block has more than 512 rows: a slope costs much more than the calls around it, and several threads want their share.
    A single block shows its own progress.
    """
    row_bytes = max(10 * columns * 8, _blocks.BLOCK_BYTES // 512)
    several = len(arrays[0]) * row_bytes > _blocks.BLOCK_BYTES
    return _blocks.map_rows(function, *arrays, row_bytes=row_bytes, label=label if several else None)


def on_grid(slope: Callable, y: np.ndarray, times: np.ndarray, method: str) -> np.ndarray:
    """y at the last of ``times`` from y at the first, a step of ``method`` from each to the next."""
    with progress(len(times) - 1, _label(times[0], times[-1])) as shown:
        for k, (t, s) in enumerate(zip(times[:-1].tolist(), times[1:].tolist())):
            shown(k)
            y = step(slope, y, t, s, method)
    return y


def step(slope: Callable, y: np.ndarray, t: float, s: float, method: str) -> np.ndarray:
    """y at s from y at t by one step of ``method``; a new array of y's dtype."""
    nodes, inner, outer = METHODS[method]
    h, stages = s - t, list[np.ndarray]()
    for c, row in zip(nodes, inner):
        time = (1 - c) * t + c * s  # s itself at c = 1, which t + h need not be
        stages.append(_finite(slope(_moved(y, h, row, stages), time), time))
    return _moved(y, h, outer, stages)


def _moved(y: np.ndarray, h: float, weights, stages) -> np.ndarray:
    for weight, stage in zip(weights, stages):
        if weight:
            y = y + h * weight * stage
    return y


def adaptive(slope: Callable, y: np.ndarray, t: float, s: float, rtol: float, atol: float, eps: float) -> np.ndarray:
    """y (float64) at s from y at t by DOP853; each local error, of each entry of y, stays below atol + rtol |entry|.

    SciPy holds the root mean square of errors over tolerances to 1; with tolerances smaller by sqrt(size) that holds for each.
    ``eps``: relative rounding of the slopes. No method sees through it, so the tolerances end at 100 eps.
    """
    from scipy.integrate import solve_ivp

    low, high = min(t, s), max(t, s)

    def flat(time: float, values: np.ndarray) -> np.ndarray:  # SciPy's last stage may lie an ulp beyond s
        time = min(max(time, low), high)
        shown(round(100 * (time - t) / (s - t)))
        return _finite(slope(values.reshape(y.shape), time), time).ravel()

    size = max(y.size, 1)
    rtol = max(rtol / np.sqrt(size), 100 * eps)
    atol = max(atol / np.sqrt(size), 100 * eps * float(np.abs(y).sum()) / size)
    with progress(100, _label(t, s)) as shown:
        found = solve_ivp(flat, (t, s), y.ravel(), "DOP853", t_eval=[s], rtol=rtol, atol=atol)
    if not found.success:
        raise ValueError(
            f"the flow cannot be integrated from t = {t} to {s}: its steps become shorter than float64 resolves; where the score "
            "has no limit at t = 0 (points, edges) stop at t > 0, and where the curves leave for infinity the score is wrong"
        )
    return found.y[:, -1].reshape(y.shape)


def _label(t: float, s: float) -> str:
    """Of the bar of a single block: among several, their number is what is shown."""
    return f"probability flow from t = {t:g} to {s:g}"


def _finite(slope: np.ndarray, t: float) -> np.ndarray:
    if not np.isfinite(slope).all():
        raise ValueError(
            f"the slope of the flow at t = {t} is {slope[~np.isfinite(slope)][0]}: the score is not finite there, or the curve has "
            "left the range of float64; take shorter steps, or stop at a larger t"
        )
    return slope
