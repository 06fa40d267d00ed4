r"""Every Gaussian process is a time-changed, rescaled other one.

x_t = alpha_t x_0 + sigma_t z is, but for a factor, decided by the noise-to-signal ratio sigma/alpha alone: with time u of process B
such that sigma^B_u/alpha^B_u = sigma^A_t/alpha^A_t and c = alpha^A_t/alpha^B_u = sigma^A_t/sigma^B_u

    x^A_t = c x^B_u  in law, whatever the data;      p^A_t(x) = c^{-d} p^B_u(x/c),      s^A(x, t) = s^B(x/c, u)/c.

As t runs, u(t) is the clock and c(t) the scale that turn B's SDE into A's, path by path: alpha_{t|s} and V(s, t) of A are c_t/c_s
and c_t^2 times those of B. A score learnt with B serves samplers along A (Song et al. 2021, app. C; Kingma et al. 2021, sec. 5.1;
Karras et al. 2022, sec. 2 and app. B). What is not carried over is a step with a frozen score, as which score is frozen depends on
the units: of `exponential_step` a and v agree but for those, b does not. A sampler's steps and errors depend on its process.

u is found by bisection between neighbouring floats: to the last one, at every size, without an inverse of any process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore import _validate
from refscore.processes._gaussian_path import GaussianPath
from refscore.processes._noising import Noising

_LAST = np.finfo(np.float64).max


def time_change(source: Noising, target: GaussianPath, t) -> tuple[Any, Any]:
    """(u, c): x_t of ``source`` has the law of c x_u of ``target``, for the same data.

    Parameters
    ----------
    source : process, or the chain DDPM, whose times are indices.
    target : process in continuous time, such as OU, VP, VE or Path.
    t : scalar or (n,)
        Times of the source.

    Returns
    -------
    u, c : of the shape of t
        Times of the target and scales. Where its ratio stands still (no noise for a while, or alpha underflowed to 0), the first.

    Raises
    ------
    ValueError
        Where the target never has that ratio: below its first, as of a VE that starts from sigma_min, or beyond its last.

    Source: [e, "VP, VE, sub-VP"]; systems E6.
    """
    if not isinstance(target, GaussianPath):
        raise TypeError(f"target is {target!r}: pass a process in continuous time, such as VP(); a chain has too few times")
    wanted = _ratio(source, t)
    first, last = _ratio(target, 0.0), _ratio(target, min(target.t_max, _LAST))
    for bad, where, mend in (
        (wanted < first, "starts above it", "with a target that starts from the data"),
        (wanted > last, "ends below it", "with a target that goes further, or an earlier t"),
    ):
        if np.any(bad):
            at = int(np.argmax(np.ravel(bad)))
            raise ValueError(f"at t = {np.ravel(t)[at]} sigma/alpha is {np.ravel(wanted)[at]}: {target} {where}; try {mend}")
    u = _first_time(target, wanted)
    # lengths keep their digits where alpha or sigma is about to vanish
    return u, np.hypot(source.alpha(t), source.sigma(t)) / np.hypot(target.alpha(u), target.sigma(u))


@dataclass(frozen=True)
class ConvertedScore:
    """The score along ``source`` from a score that was learnt along ``target``: s(x, t) = score(x/c, u)/c.

    Parameters
    ----------
    score : callable
        ``score(x, u)``, (n, d) -> (n, d), with times of the target, scalar or (n,) as they are given here.
    source, target : processes
        See `time_change`.
    """

    score: Callable
    source: Noising
    target: GaussianPath

    def __post_init__(self):
        if not callable(self.score):
            raise TypeError(f"score is {self.score!r}: pass a callable score(x, u), such as MarginalScore(target, density)")
        for name, kind in (("source", Noising), ("target", GaussianPath)):
            if not isinstance(value := getattr(self, name), kind):
                raise TypeError(f"{name} is {value!r}: pass a process, such as VP()")

    def __call__(self, x, t) -> np.ndarray:
        """The score of the source's law at time t, (n, d)."""
        x = _validate.batch(x, dtype=None)
        _validate.times(t, len(x))
        u, scale = time_change(self.source, self.target, t)
        scale = scale[:, None] if np.ndim(scale) else scale
        return np.asarray(self.score(x / scale, u)) / scale


def _ratio(process: Noising, t) -> np.ndarray:
    """sigma/alpha; inf where alpha is 0."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(process.sigma(t)) / np.asarray(process.alpha(t))


def _first_time(process: GaussianPath, ratio: np.ndarray):
    """The first u with _ratio(u) >= ratio: floats from 0 on are ordered as their bits are, which are halved as integers."""
    low = np.full(np.shape(ratio), -1, dtype=np.int64)  # before time 0
    high = np.full_like(low, np.float64(min(process.t_max, _LAST)).view(np.int64))
    while (high - low > 1).any():
        middle = low + np.maximum(high - low, 2) // 2  # where low and high meet, middle is high: nothing moves
        reached = _ratio(process, middle.view(np.float64)) >= ratio
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high.view(np.float64)[()]
