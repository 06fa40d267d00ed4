r"""Log-likelihood along the probability flow, by the instantaneous change of variables.

Along a solution of dx/dt = b(x, t) the density of what is carried changes by its divergence (Chen et al. 2018, theorem 1),
d/dt log p_t(x_t) = -div b(x_t, t), so that from t_min (0, or an early stop) to T [b, sec. 1; Song et al. 2021, eq. 39]

    log p_{t_min}(x) = log p_T(x_T) + int_{t_min}^T div b(x_t, t) dt,     div b = -r d - 1/2 g^2 div s,     b = -r x - 1/2 g^2 s.

The state (x, int div b) is integrated as one. Where terms can be wrong, they stand apart:

    prior        log p_T(x_T) of the given law; N(0, sigma_T^2 I) in place of p_T is right only up to what x_T still knows of x_0
    divergence   the integral, of the exact trace, or of v'(Ds)v with E vv' = I and v kept along the curve (Hutchinson; Grathwohl
                 et al. 2019)
    truncation   log p_0(x) - log p_{t_min}(x) to first order: t_min (div b + b.s) at (x, t_min), for by the continuity equation
                 that bracket is -(d/dt) log p_t(x). It is no part of the total, and means something where it is small.

With a score that is no gradient, or not of these marginals, the result is still the exact log-density of the law that the flow
makes of the prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refscore.networks import hutchinson
from refscore.samplers import runge_kutta

if TYPE_CHECKING:
    from refscore.samplers.probability_flow import ProbabilityFlow


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """log p_{t_min}(x) of n rows and the terms that it is the sum of, each (n,); ``end`` (n, d) is x_T.

    ``truncation`` is an estimate of log p_0(x) - log p_{t_min}(x), 0 for t_min = 0, and not part of ``total``.
    """

    prior: np.ndarray
    divergence: np.ndarray
    truncation: np.ndarray
    end: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """prior + divergence, (n,): natural units; in bits per dimension it is -total/(d log 2)."""
        return self.prior + self.divergence


def along(flow: ProbabilityFlow, solve: Callable, x: np.ndarray, t0: float, t1: float, prior, probes) -> LogLikelihood:
    """The likelihood of x at time t0 with the prior at t1; ``solve(slope, y)`` gives the state at t1 from that at t0."""
    d = x.shape[1]
    pushed = _Pushed(flow, solve, t0)
    if prior is not None and not callable(getattr(prior, "logpdf", None)):
        raise TypeError(f"prior is {prior!r}, without logpdf: pass a density of x_T, or None for N(0, sigma_T^2 I)")
    needed, signature = ("divergence", "divergence(x, t)") if probes is None else ("jvp", "jvp(x, v, t)")
    if not callable(getattr(flow.score, needed, None)):
        raise TypeError(f"score is {flow.score!r}, without {needed}: give it a method {signature}, as MarginalScore and MLP have it"
                        + (", or pass probes for an estimate by its jvp" if probes is None else ""))
    arrays = (x,) if probes is None else (x, _rows_first(probes, x))
    label = f"log-likelihood of {len(x)} rows from t = {t0:g} to {t1:g}"
    end, divergence, truncation = runge_kutta.map_rows(pushed, *arrays, columns=d + 1, label=label)
    if prior is None:
        scaled = end / float(flow.process.sigma(t1))
        log_prior = -0.5 * (scaled * scaled).sum(axis=1) - d * np.log(np.sqrt(2 * np.pi) * float(flow.process.sigma(t1)))
    else:
        log_prior = prior.logpdf(end)
    return LogLikelihood(log_prior, divergence, truncation, end)


def _rows_first(probes, x: np.ndarray) -> np.ndarray:
    """(k, n, d) as (n, k, d), so that blocks of rows are cut alike."""
    probes = np.asarray(probes, dtype=np.float64)
    if probes.ndim not in (2, 3) or probes.shape[-2:] != x.shape:
        n, d = x.shape
        raise ValueError(f"probes has shape {probes.shape}: pass ({n}, {d}) or (k, {n}, {d}), one probe a row, such as "
                         f"refscore.networks.probes('rademacher', {n}, {d}, rng)")
    return np.ascontiguousarray(np.moveaxis(probes.reshape(-1, *x.shape), 0, 1))


@dataclass(frozen=True)
class _Pushed:
    """A block of rows -> (x_T, the integral of div b, the truncation's estimate)."""

    flow: ProbabilityFlow
    solve: Callable
    start: float

    def __call__(self, x: np.ndarray, probes: np.ndarray | None = None):
        slope = _Slope(self.flow, None if probes is None else probes.swapaxes(0, 1))
        begin = np.concatenate([x, np.zeros((len(x), 1))], axis=1)
        end = self.solve(slope, begin)
        truncation = np.zeros(len(x))
        if self.start > 0:
            rate = slope(begin, self.start)
            truncation = self.start * (rate[:, -1] + (rate[:, :-1] * self.flow.scored(x, self.start)).sum(axis=1))
        return np.ascontiguousarray(end[:, :-1]), end[:, -1], truncation


@dataclass(frozen=True)
class _Slope:
    """(b, div b) of a state (x, anything), (n, d + 1)."""

    flow: ProbabilityFlow
    probes: np.ndarray | None

    def __call__(self, y: np.ndarray, t: float) -> np.ndarray:
        x = np.ascontiguousarray(y[:, :-1])
        n, d = x.shape
        score, trace = self._score_and_trace(x, t)
        slope = np.empty_like(y)
        slope[:, :-1] = self.flow.with_score(x, score, t)
        slope[:, -1] = self.flow.with_score(d, of_shape(trace, (n,), f"score.divergence(x, {t})"), t)
        return slope

    def _score_and_trace(self, x: np.ndarray, t: float):
        score: Any = self.flow.score
        if self.probes is not None:
            return self.flow.scored(x, t), np.mean([hutchinson(score, x, v, t) for v in self.probes], axis=0)
        if hasattr(score, "value_and_divergence"):  # in one pass
            return score.value_and_divergence(x, t)
        return self.flow.scored(x, t), score.divergence(x, t)


def of_shape(value, shape: tuple[int, ...], name: str) -> np.ndarray:
    """``value`` as an array, when it has this shape."""
    value = np.asarray(value)
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}: return one row for each row of x, shape {shape}")
    return value
