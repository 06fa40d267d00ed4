r"""Every Gaussian process is a time-changed, rescaled other one.

x_t = alpha_t x_0 + sigma_t z is, but for a factor, decided by the noise-to-signal ratio sigma/alpha alone: with time u of process B
such that sigma^B_u/alpha^B_u = sigma^A_t/alpha^A_t and c = alpha^A_t/alpha^B_u

    x^A_t = c x^B_u  in law, whatever the data;      p^A_t(x) = c^{-d} p^B_u(x/c),      s^A(x, t) = s^B(x/c, u)/c.

As t runs, u(t) is the clock and c(t) the scale that turn B's SDE into A's, path by path; a score learnt with B serves samplers
along A (Song et al. 2021, app. C; Karras et al. 2022, sec. 2 and app. B). The marginals are all the same, the chains are not:
a sampler's steps and errors depend on the process it runs along.

u is found by bisection, of its logarithm first, so that it is good to a few units in the last place of what the ratio can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore.processes._noising import Noising

_TINY = 1e-300
_DOUBLINGS = 1100
_HALVINGS = 80


def time_change(source: Noising, target: Noising, t) -> tuple[np.ndarray, np.ndarray]:
    """(u, c): x_t of ``source`` has the law of c x_u of ``target``, for the same data.

    Parameters
    ----------
    source, target : processes such as OU, VP, VE or Path; not DDPM, whose indices lie on no continuous clock, as target.
    t : scalar or (n,)
        Times of the source.

    Returns
    -------
    u, c : arrays of the shape of t
        Times of the target and scales. u = 0 where the ratio of the source is 0.

    Raises
    ------
    ValueError
        Where the target never has that ratio (below its first, as before a VE that starts from sigma_min, or beyond its last), or
        where alpha of the source has underflowed to 0.

    Source: [e, "VP, VE, sub-VP"]; systems E6.
    """
    t = source._time(t)
    wanted = _ratio(source, t.reshape(-1), "source")
    low, high = np.full(wanted.shape, _TINY), np.full(wanted.shape, target.t_max if np.isfinite(target.t_max) else 1.0)
    if not np.isfinite(target.t_max):
        for _ in range(_DOUBLINGS):
            short = _ratio(target, high, "target") < wanted
            if not short.any() or not np.isfinite(2 * high[short]).all():
                break
            high[short] *= 2
    first, last = _ratio(target, np.zeros_like(high), "target"), _ratio(target, high, "target")
    for bad, where, mend in (
        (wanted < first, "starts above it", "with a target that starts from the data"),
        (wanted > last, "ends below it", "with a target that goes further, or an earlier t"),
    ):
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(f"at t = {t.reshape(-1)[at]} sigma/alpha is {wanted[at]}: {target} {where}; try {mend}")
    for _ in range(_HALVINGS):
        far = high > 2 * low  # by logarithms first
        middle = np.where(far, np.sqrt(low) * np.sqrt(high), low + (high - low) / 2)
        below = _ratio(target, middle, "target") < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    u = np.where(wanted <= first, 0.0, high)
    scale = source.alpha(t.reshape(-1)) / target.alpha(u)
    return u.reshape(t.shape)[()], scale.reshape(t.shape)[()]


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
    target: Noising

    def __call__(self, x, t) -> np.ndarray:
        """The score of the source's law at time t, (n, d)."""
        x = _validate.batch(x, dtype=None)
        u, scale = time_change(self.source, self.target, t)
        scale = scale[:, None] if np.ndim(scale) else scale
        return np.asarray(self.score(x / scale, u)) / scale


def _ratio(process: Noising, t: np.ndarray, name: str) -> np.ndarray:
    alpha, sigma = process.alpha(t), process.sigma(t)
    if name == "source" and not alpha.all():
        raise ValueError(f"alpha of the source is 0 at t = {t[np.argmin(alpha)]}: nothing is left of the data there; "
                         "pass a smaller t")
    with np.errstate(divide="ignore"):
        return sigma / alpha
