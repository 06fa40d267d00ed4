r"""Derivatives of functions of one variable that are known by their values only, with an error estimate.

Central differences have errors in even powers of the step h; Neville's scheme removes them one by one from a ladder of steps
h, h/r, h/r^2, ... Where the ladder is too coarse the truncation shows, where it is too fine the rounding does; the entry
of the table on which two neighbours agree best is taken (Ridders, Advances in Engineering Software 4, 1982). The error is
twice that disagreement, and what rounding of the values does to the chosen entry.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_RATIO = 1.6
_STEPS = 12
EPS = float(np.finfo(np.float64).eps)


def derivative(f: Callable, x: np.ndarray, reach: np.ndarray, order: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """First or second derivative (``order``) of f at x (n,), and its error estimate (n,).

    f maps (k,) to (k,), and is evaluated at |y - x| <= reach (n,) only. Its values are taken to be good to 4 eps of the largest
    of them.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # steps below the rounding of x fall out: NaN is never the best
        return _ridders(f, x, reach, order)


def _ridders(f, x, reach, order):
    h = reach / _RATIO ** np.arange(_STEPS)[:, None]
    h = (x + h) - x  # the step that is taken
    up, down = f((x + h).ravel()).reshape(h.shape), f((x - h).ravel()).reshape(h.shape)
    middle = f(x) if order == 2 else np.zeros(())
    table = (up - down) / (2 * h) if order == 1 else (up - 2 * middle + down) / h**2
    size = np.maximum(np.abs(up), np.abs(down)).max(axis=0)
    rounding = 4 * EPS * size / h if order == 1 else 16 * EPS * size / h**2
    value, error = table[0], np.full(x.shape, np.inf)
    for k in range(1, _STEPS):
        factor = _RATIO ** (2 * k)
        finer = (factor * table[1:] - table[:-1]) / (factor - 1)
        rounding = (factor * rounding[1:] + rounding[:-1]) / (factor - 1)
        seen = 2 * np.maximum(np.abs(finer - table[1:]), np.abs(finer - table[:-1])) + rounding
        for i in range(len(finer)):
            better = seen[i] < error
            value, error = np.where(better, finer[i], value), np.where(better, seen[i], error)
        table = finer
    return value, error
