r"""Increments of a Wiener process on a grid of times, as pure functions of standard normal numbers (systems E1).

    w(t_{k+1}) - w(t_k) = sqrt(t_{k+1} - t_k) z_k,     z_k ~ N(0, I) independent,     Cov[w(s), w(t)] = min(s, t) I.

Two grids share a path when the increments of the finer one add up to those of the coarser one. Downwards that is a sum. Upwards
the fine increments of a step (a, b) are independent normals under the condition that their sum is dw: with xi_j = sqrt(h_j) z_j

    dw_j = xi_j + h_j/(b - a) (dw - sum_i xi_i),

for xi_j - h_j/(b - a) sum_i xi_i is independent of the sum. At the times of the fine grid this is the Brownian bridge,
Var[w(t) | w(a), w(b)] = (t - a)(b - t)/(b - a), for all of them at once.
"""

from __future__ import annotations

import numpy as np

from refscore import _validate


def wiener_increments(times, noise) -> np.ndarray:
    """sqrt(t_{k+1} - t_k) z_k, shape (N, n, d), for ``times`` (N + 1,) strictly increasing and ``noise`` (N, n, d) standard normal.

    Units: the square root of time. Raises ValueError for times that do not increase, and for noise of another length.
    Source: [c]. systems E1.
    """
    h = np.diff(increasing(times))
    noise = _per_step(noise, "noise", len(h))
    return np.sqrt(h).astype(noise.dtype)[:, None, None] * noise


def refined_increments(times, increments, fine, noise) -> np.ndarray:
    """Increments on the grid ``fine`` of a path whose increments on ``times`` are given: Brownian bridges, (M, n, d).

    Parameters
    ----------
    times : (N + 1,)
        Strictly increasing.
    increments : (N, n, d)
        w(times[k+1]) - w(times[k]).
    fine : (M + 1,)
        Strictly increasing, with all of ``times`` among them and the same ends.
    noise : (M, n, d)
        Standard normal, independent of ``increments``.

    Returns
    -------
    (M, n, d)
        They add up to ``increments``, to rounding (`summed_increments`), and are those of a Wiener process if these are.

    Raises
    ------
    ValueError
        For grids of which one does not contain the other, and for arrays of other lengths.

    Source: Glasserman, Monte Carlo Methods in Financial Engineering (2003), sec. 3.1. systems E1.
    """
    first, fine = _positions(times, fine)
    free = wiener_increments(fine, noise)
    increments = _per_step(increments, "increments", len(first))
    if increments.shape[1:] != free.shape[1:]:
        raise ValueError(f"noise has shape {free.shape}, but increments have shape {increments.shape}: pass noise of shape "
                         f"{(len(free), *increments.shape[1:])}, one number for every fine increment")
    h, counts = np.diff(fine), np.diff([*first, len(free)])
    share = h / np.repeat(np.add.reduceat(h, first), counts)
    missing = increments - np.add.reduceat(free, first)
    return free + share.astype(missing.dtype)[:, None, None] * np.repeat(missing, counts, axis=0)


def summed_increments(fine, increments, times) -> np.ndarray:
    """The same path on the coarser grid ``times``: sums of the ``increments`` on ``fine``, (N, n, d).

    Grids as in `refined_increments`; raises ValueError as it does.
    """
    first, fine = _positions(times, fine)
    return np.add.reduceat(_per_step(increments, "increments", len(fine) - 1), first)


def increasing(times, name: str = "times") -> np.ndarray:
    """``times`` as an (N + 1,) array, when they increase strictly."""
    times = _validate.finite(np.atleast_1d(_validate.reals(times, name)), name)
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError(f"{name} = {_validate.shown(times)}: pass at least two strictly increasing times, "
                         "such as np.linspace(0, 1, 51)")
    return times


def _positions(times, fine) -> tuple[np.ndarray, np.ndarray]:
    """(index in ``fine`` of the start of every step of ``times``, the checked ``fine``)."""
    times, fine = increasing(times), increasing(fine, "fine")
    at = np.searchsorted(fine, times)
    lost = times[fine[np.minimum(at, len(fine) - 1)] != times]
    if len(lost):
        raise ValueError(f"times[{int(np.argmax(times == lost[0]))}] = {lost[0]} is not among the fine times, to the "
                         "bit: pass grids one of which is part of the other, such as times = fine[::2]")
    if at[0] or at[-1] != len(fine) - 1:
        raise ValueError(f"fine runs from {fine[0]} to {fine[-1]}, times from {times[0]} to {times[-1]}: pass grids with the same "
                         "ends")
    return at[:-1], fine


def _per_step(array, name: str, steps: int) -> np.ndarray:
    """An array (steps, n, d) of finite numbers; float32 stays."""
    array = np.asarray(array)
    if array.ndim != 3 or len(array) != steps:
        raise ValueError(f"{name} has shape {array.shape}: pass shape ({steps}, n, d), one entry for each of the {steps} steps")
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    return _validate.finite(array, name)
