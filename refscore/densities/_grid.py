"""Points on the line that resolve a mixture: equally spaced around every component, components of like width together."""

from __future__ import annotations

import numpy as np

_REACH = 9.5  # standard deviations; outside lies 2e-21 of a component
NEGLIGIBLE = 1e-20
_MAX_POINTS = 1 << 22


def around(weights: np.ndarray, means: np.ndarray, variances: np.ndarray, per_std: float) -> np.ndarray:
    """Sorted points, ``per_std`` to twice as many in a standard deviation of every component of weight above 1e-20, all (K,)."""
    present = weights > NEGLIGIBLE
    means, stds = means[present], np.sqrt(variances[present])
    octave = np.floor(np.log2(stds)).astype(int)
    points, total = [], 0
    for level in np.unique(octave):
        step = 2.0 ** int(level) / per_std
        rows = octave == level
        low, high = means[rows] - _REACH * stds[rows], means[rows] + _REACH * stds[rows]
        order = np.argsort(low)
        low, high = low[order], np.maximum.accumulate(high[order])
        new = np.concatenate([[True], low[1:] > high[:-1]])
        for start, stop in zip(low[new], high[np.append(new[1:], True)], strict=True):
            total += (count := int((stop - start) / step) + 2)
            if total > _MAX_POINTS:
                raise ValueError(f"the law needs more than {_MAX_POINTS} grid points: components too narrow")
            points.append(start + step * np.arange(count))
    return np.unique(np.concatenate(points))
