r"""Derivatives of functions of one variable that are known by their values only, with an error estimate.

Central differences have errors in even powers of the step h; Neville's scheme removes them one by one from a ladder of steps
h, h/r, h/r^2, ... Where the ladder is too coarse the truncation shows, where it is too fine the noise of the values does; the
entry of the table on which two neighbours agree best is taken (Ridders, Advances in Engineering Software 4, 1982). The error
is twice that disagreement, plus what the noise makes of the entry: two neighbours may agree by accident. The noise is
4 eps of the values, or what the entries of the smallest steps show, whose truncation is long gone. When those agree among
themselves and not with the value, it is no noise: long steps have crossed a kink nearby, and the short ones are right. A kink
among the shortest steps shows in the slopes on either side: they differ much, and not in proportion to h; their difference is
the error then. Where every step drowns in the rounding of x the value is NaN and the error inf.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_RATIO = 1.6
_STEPS = 16
EPS = float(np.finfo(np.float64).eps)


def derivative(f: Callable, x: np.ndarray, reach: np.ndarray, order: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """First or second derivative (``order``) of f at x (n,), and its error estimate (n,).

    f maps (k,) to (k,), and is evaluated at |y - x| <= reach (n,) only.
    """
    with np.errstate(all="ignore"):  # steps below the rounding of x fall out: NaN is never the best
        h = (x + reach / _RATIO ** np.arange(_STEPS)[:, None]) - x  # the step that is taken
        up, down = f((x + h).ravel()).reshape(h.shape), f((x - h).ravel()).reshape(h.shape)
        columns = [(up - down) / (2 * h) if order == 1 else (up - 2 * f(x) + down) / h**2]
        gains = [1 / h if order == 1 else 4 / h**2]  # of an error in the values
        for k in range(1, _STEPS):
            factor = _RATIO ** (2 * k)
            columns.append((factor * columns[-1][1:] - columns[-1][:-1]) / (factor - 1))
            gains.append((factor * gains[-1][1:] + gains[-1][:-1]) / (factor - 1))
        size = np.abs(np.concatenate([up, down]))
        noise = 4 * EPS * np.where(np.isfinite(size), size, 0.0).max(axis=0)
        value, _ = _best(columns, gains, noise)
        short = columns[3][-4:]
        shown = 2 * np.abs(short - value) / gains[3][-4:]
        value, error = _best(columns, gains, np.fmax(noise, np.fmax.reduce(shown)))
        spread = np.ptp(short, axis=0)
        crossed = np.abs(short[0] - value) > np.maximum(error, 4 * spread)
        value, error = np.where(crossed, short[0], value), np.where(crossed, 2 * spread + noise * gains[3][-4], error)
        if order == 1:
            ahead, behind, step = (up - f(x))[-7:] / h[-7:], (f(x) - down)[-7:] / h[-7:], h[-7:]
            bend = np.abs(ahead - behind)  # h |f''| for smooth f
            odd = np.max((bend - 8 * noise / step) / step, axis=0) > 4 * np.min(bend / step, axis=0)
            large = bend.max(axis=0) > 0.1 * np.maximum(np.abs(ahead), np.abs(behind)).max(axis=0)
            error = np.where(odd & large, np.maximum(error, bend.max(axis=0)), error)
        return value, error


def _best(columns, gains, noise) -> tuple[np.ndarray, np.ndarray]:
    """The entry with the least error, and that error."""
    value, error = columns[0][0], np.full(noise.shape, np.inf)
    for before, column, gain in zip(columns, columns[1:], gains[1:], strict=False):
        seen = 2 * np.maximum(np.abs(column - before[1:]), np.abs(column - before[:-1])) + noise * gain
        for entry, its_error in zip(column, seen, strict=True):
            better = its_error < error
            value, error = np.where(better, entry, value), np.where(better, its_error, error)
    return value, error
