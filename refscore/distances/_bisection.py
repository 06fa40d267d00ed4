"""Roots in given intervals, all at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

HALVINGS = 28
"""Of an eighth of a standard deviation: what depends on the square of an error e has e^2 below 2^-62 of it."""


def bisect(function: Callable, low: np.ndarray, high: np.ndarray, halvings: int = HALVINGS) -> np.ndarray:
    """One root of ``function`` in each interval whose ends have opposite signs."""
    if not len(low):
        return low
    sign = np.sign(function(low))
    for _ in range(halvings):
        middle = low + (high - low) / 2
        same = np.sign(function(middle)) == sign
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return low + (high - low) / 2


def roots(function: Callable, x: np.ndarray) -> np.ndarray:
    """Where ``function`` changes its sign between neighbours of x; points at which it is exactly 0 are no neighbours."""
    sign = np.sign(function(x))
    x, sign = x[sign != 0], sign[sign != 0]
    at = np.flatnonzero(sign[:-1] * sign[1:] < 0)
    return bisect(function, x[at], x[at + 1])
