"""Roots in given intervals, all at once, to the last bit.

Floats are ordered as their bits are, which are halved as integers: 64 halvings at most, of an interval of any length, such as that
between the last grid point of a narrow law and the next of one that is 1e100 times as wide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def bisect(function: Callable, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """One root of ``function`` in each interval whose ends have opposite signs."""
    if not len(low):
        return low
    sign = np.sign(function(low))
    first, last = _position(low), _position(high)
    while True:
        middle = (first >> 1) + (last >> 1) + (first & last & 1)
        if (middle == first).all():
            return _float(middle)
        same = np.sign(function(_float(middle))) == sign
        first, last = np.where(same, middle, first), np.where(same, last, middle)


def roots(function: Callable, x: np.ndarray) -> np.ndarray:
    """Where ``function`` changes its sign between neighbours of x; points at which it is exactly 0 are no neighbours."""
    sign = np.sign(function(x))
    x, sign = x[sign != 0], sign[sign != 0]
    at = np.flatnonzero(sign[:-1] * sign[1:] < 0)
    return bisect(function, x[at], x[at + 1])


def _position(x: np.ndarray) -> np.ndarray:
    """Floats as integers in the same order, 0 at 0."""
    size = np.abs(x).view(np.int64)
    return np.where(x < 0, -size, size)


def _float(position: np.ndarray) -> np.ndarray:
    return np.copysign(np.abs(position).view(np.float64), position)
