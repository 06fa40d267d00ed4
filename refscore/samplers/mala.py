r"""Metropolis-adjusted Langevin: a Langevin step that is taken or refused, so that p is left alone exactly.

The kernel of a Langevin step, q(x, y) = N(y; x + eta s(x), 2 eta I), serves as a proposal; it is accepted with probability

    a(x, y) = min(1, r),      log r = log p(y) + log q(y, x) - log p(x) - log q(x, y),

and otherwise the chain stays at x [Metropolis et al. 1953; Hastings 1970; Roberts & Tweedie 1996]. The kernel is

    K(x, dy) = q(x, y) a(x, y) dy + (1 - int q(x, z) a(x, z) dz) delta_x(dy),

and p(x) q(x, y) a(x, y) = min(p(x) q(x, y), p(y) q(y, x)) is symmetric: detailed balance, so int p(x) K(x, dy) = p(dy) at any
step size, whatever the proposal. p is needed up to a constant only, and s need not be its score: a wrong score costs acceptance,
not exactness. For N(m, c I) log r = eta (|x - m|^2 - |y - m|^2)/4c^2: steps inwards are always taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from refscore import _validate
from refscore.samplers.chain import Chain
from refscore.samplers.langevin import langevin
from refscore.samplers.markov import MarkovChain, noise_like, only_slices


@dataclass(frozen=True, eq=False)
class MetropolisChain(MarkovChain):
    """A chain that takes or refuses what another proposes, and leaves a density alone.

    Parameters
    ----------
    proposal : Chain
        Gaussian kernels with noise in every step.
    logpdf : callable
        ``logpdf(x)``, (n, d) -> (n,): log p up to a constant; -inf where p vanishes.
    """

    proposal: Chain
    logpdf: Callable

    def __post_init__(self):
        if not isinstance(self.proposal, Chain) or not (self.proposal.v > 0).all():
            raise ValueError("proposal must be a chain with noise in every step: what has no density cannot be reversed; "
                             "mala(...) makes one")
        if not callable(self.logpdf):
            raise TypeError(f"logpdf is {self.logpdf!r}: pass a callable logpdf(x), such as density.logpdf")

    def __len__(self) -> int:
        return len(self.proposal)

    def __getitem__(self, steps: slice) -> MetropolisChain:
        """The chain of some of the steps: ``chain[:k]`` leads to the state before step k."""
        return replace(self, proposal=self.proposal[only_slices(steps)])

    def log_ratio(self, k: int, x, y) -> np.ndarray:
        """log r(x, y) of step k, (n,): how much more likely y -> x is than x -> y; negative where y may be refused."""
        x, y = _validate.batch(x, dtype=None), _validate.batch(y, name="y", dtype=None)
        return self._log_ratio(k, x, y, self.proposal._mean(k, x))

    def step(self, k: int, x, noise, uniform) -> np.ndarray:
        """Step k with chosen noise (n, d) for the proposal, and uniform (n,) in [0, 1): taken where log uniform < log r."""
        x = _validate.batch(x, dtype=None)
        mean, noise = self.proposal._mean(k, x), noise_like(x, noise)
        uniform = _validate.reals(uniform, "uniform")
        if uniform.shape != (len(x),) or not ((uniform >= 0) & (uniform < 1)).all():
            raise ValueError(f"uniform has shape {uniform.shape}: pass one number in [0, 1) a row, shape ({len(x)},)")
        y = mean + float(np.sqrt(self.proposal.v[k])) * noise
        return self._chosen(k, x, y, mean, uniform)

    def _advance(self, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mean = self.proposal._mean(k, x)
        y = self.proposal._noisy(k, mean.copy(), rng)
        return self._chosen(k, x, y, mean, rng.random(len(x)))

    def _chosen(self, k: int, x: np.ndarray, y: np.ndarray, mean: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):  # log 0: taken wherever p(y) > 0
            taken = np.log(uniform) < self._log_ratio(k, x, y, mean)
        return np.where(taken[:, None], y, x)

    def _log_ratio(self, k: int, x: np.ndarray, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """log p(y) - log p(x) - (|x - m(y)|^2 - |y - m(x)|^2)/2v, for mean = m(x)."""
        before, after = self._log_p(x), self._log_p(y)
        if np.isneginf(before).any():
            raise ValueError("logpdf is -inf where the chain is: start where p > 0")
        back = x - self.proposal._mean(k, np.where(np.isneginf(after)[:, None], x, y))  # where p = 0 there may be no score
        there = y - mean
        difference = (back * back).sum(axis=1) - (there * there).sum(axis=1)
        return after - before - difference / (2 * float(self.proposal.v[k]))

    def _log_p(self, x: np.ndarray) -> np.ndarray:
        value = np.asarray(self.logpdf(x))
        if value.shape != (len(x),) or np.isnan(value).any() or np.isposinf(value).any():
            raise ValueError(f"logpdf(x) has shape {value.shape}, or is NaN or +inf: return log p, shape ({len(x)},), -inf where "
                             "p = 0")
        return value


def mala(score: Callable, logpdf: Callable, step: float, n_steps: int, convention: str = "eta") -> MetropolisChain:
    """n_steps of the Metropolis-adjusted Langevin algorithm.

    Parameters
    ----------
    score, step, n_steps, convention
        The proposal, as in `refscore.samplers.langevin`.
    logpdf : callable
        ``logpdf(x)``, (n, d) -> (n,), up to a constant, such as ``density.logpdf``. It decides what is sampled.

    Returns
    -------
    MetropolisChain
        With `log_ratio`, and `step` for chosen noise.

    Raises
    ------
    ValueError, TypeError
        As `langevin`; while it runs, for a logpdf that is NaN or +inf, or -inf at the state itself.

    Source: Roberts & Tweedie 1996; systems F2.
    """
    return MetropolisChain(langevin(score, step, n_steps, convention), logpdf)
