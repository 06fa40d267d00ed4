"""Conventions that are followed elsewhere and are not the contract's: right, when the whole adapter follows them.

    indices count from 0              index i is the contract's i + 1; at N there is nothing: an error, or N again
    time runs backwards               t is T - t: noise at 0, data at T, as in flow matching
    scales are squares                alpha is alpha-bar, sigma the variance, diffusion g^2
    models of energy are log p        the opposite sign
    eps has the opposite sign         x_t = alpha x_0 - sigma eps
    v has the opposite sign           v = sigma x_0 - alpha eps
    v is the path's velocity          v = alpha' x_0 + sigma' eps, as in flow matching
    the model hears i/N               and not the index
    the model hears the level's index and not sigma
    the posterior's log-variance      clipped at index 1
    densities are energies            -log p and its gradient

Each is the reference with another process or another reading of the model, and is entered for every operation that could follow
it. A single operation that does is wrong; `refscore.conformance.run` says when it is called a convention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.conformance.mistakes._registry import Undefined, elsewhere
from refscore.conformance.reference import Reference
from refscore.conformance.spec import ENERGIES, column, converted


class _Clock:
    """A process asked at other times."""

    def __init__(self, process: Any, time):
        self._process, self._time, self.t_max = process, time, process.t_max

    def alpha(self, t):
        return self._process.alpha(self._time(t))

    def sigma(self, t):
        return self._process.sigma(self._time(t))

    def diffusion(self, t):
        return self._process.diffusion(self._time(t))

    def drift(self, x, t):
        return self._process.drift(x, self._time(t))

    def beta(self, t):
        return self._process.beta(self._time(t))


class FromZero(Reference):
    """Index i is the contract's i + 1; the model hears the index that was given."""

    def __init__(self, process, conventions):
        if not hasattr(process, "betas"):
            raise Undefined("there are no indices")
        super().__init__(_Clock(process, lambda i: np.minimum(np.asarray(i) + 1, len(process))), conventions)

    def ddpm_step(self, model, x, index, noise):
        p, beta = self.process, self.process.beta(index)
        variance = beta if self.conventions["variance"] == "beta" else beta * (p.sigma(index - 1) / p.sigma(index)) ** 2
        return (x + beta * self.score_now(model, x, index)) / np.sqrt(1 - beta) + np.sqrt(variance) * noise


class Backwards(Reference):
    """Time t is the contract's T - t; velocities have the opposite sign."""

    def __init__(self, process, conventions):
        if process is None or not np.isfinite(process.t_max):
            raise Undefined("there is no last time")
        super().__init__(_Clock(process, lambda t: process.t_max - np.asarray(t)), conventions)

    def drift(self, x, t):
        return -self.process.drift(x, t)

    def ode_drift(self, model, x, t):
        return -super().ode_drift(model, x, t)


class Squares(Reference):
    """alpha-bar, variances and g^2."""

    def alpha(self, t):
        return self.process.alpha(t) ** 2

    def sigma(self, t):
        return self.process.sigma(t) ** 2

    def diffusion(self, t):
        return self.process.diffusion(t) ** 2


class LogDensities(Reference):
    """A model of an energy is log p."""

    def score_at(self, model, x, t=(), alpha=1.0, sigma=None):
        self._of_energies(model)
        return -super().score_at(model, x, t, alpha, sigma)

    def jacobian_at(self, model, x):
        self._of_energies(model)
        return -super().jacobian_at(model, x)

    def _of_energies(self, model):
        if model.spec.kind not in ENERGIES and self.conventions["predicts"] != "energy":
            raise Undefined("the model is no energy")


class OppositeNoise(Reference):
    """A model predicts -eps."""

    def score_at(self, model, x, t=(), alpha=1.0, sigma=None):
        if sigma is None or self.conventions["predicts"] != "eps":
            raise Undefined("the model does not predict eps")
        return -super().score_at(model, x, t, alpha, sigma)

    def convert(self, value, xt, t, source, target):
        result = super().convert(-value if source == "eps" else value, xt, t, source, target)
        return -result if target == "eps" else result


class OppositeVelocity(Reference):
    """v = sigma x0 - alpha eps."""

    def score_at(self, model, x, t=(), alpha=1.0, sigma=None):
        if sigma is None or self.conventions["predicts"] != "v":
            raise Undefined("the model does not predict v")
        return converted(-model(x, *t), x, alpha, sigma, "v", "score")

    def convert(self, value, xt, t, source, target):
        result = super().convert(-value if source == "v" else value, xt, t, source, target)
        return -result if target == "v" else result


class PathVelocity(Reference):
    """v = alpha' x0 + sigma' eps."""

    def score_at(self, model, x, t=(), alpha=1.0, sigma=None):
        if sigma is None or self.conventions["predicts"] != "v" or not t:
            raise Undefined("the model does not predict a velocity along a process")
        return self.convert(model(x, *t), x, np.broadcast_to(t[0], len(x)), "v", "score")

    def convert(self, value, xt, t, source, target):
        if source == target or "v" not in (source, target):
            return super().convert(value, xt, t, source, target)
        sigma = column(self.process.sigma(t))
        rate = self.process.drift(np.ones((np.size(t), 1)), np.atleast_1d(t))
        slope = rate * sigma + column(np.atleast_1d(self.process.diffusion(t))) ** 2 / (2 * sigma)  # alpha' is rate alpha
        if target == "v":
            eps = converted(value, xt, self.process.alpha(t), self.process.sigma(t), source, "eps")
            return rate * (xt - sigma * eps) + slope * eps
        eps = (value - rate * xt) / (slope - rate * sigma)
        return converted(eps, xt, self.process.alpha(t), self.process.sigma(t), "eps", target)


class FractionOfChain(Reference):
    """The model hears i/N."""

    def score_at(self, model, x, t=(), alpha=1.0, sigma=None):
        if not t or not hasattr(self.process, "betas"):
            raise Undefined("there are no indices")
        if model.spec.kind == "mixture":  # which means the same law, whatever the clock
            return super().score_at(model, x, t, alpha, sigma)
        return super().score_at(model, x, (np.asarray(t[0]) / len(self.process),), alpha, sigma)


class IndexOfLevel(Reference):
    """The model hears which level it is, counted from 0, and not sigma."""

    sigmas: np.ndarray

    def ncsn_loss(self, model, x0, sigmas, index, noise):
        self.sigmas = sigmas
        return super().ncsn_loss(model, x0, sigmas, index, noise)

    def annealed_langevin(self, model, x, sigmas, eps, n_steps, noise):
        self.sigmas = sigmas
        return super().annealed_langevin(model, x, sigmas, eps, n_steps, noise)

    def score_at(self, model, x, t=(), alpha=1.0, sigma=None):
        where = np.argmin(np.abs(np.asarray(self.sigmas)[:, None] - np.asarray(t[0])), axis=0)
        return super().score_at(model, x, (where.astype(float),), alpha, sigma)


class DensitiesAsEnergies(Reference):
    """-log p, and its gradient."""

    def logpdf(self, spec, x):
        return -super().logpdf(spec, x)

    def score(self, spec, x):
        return -super().score(spec, x)


class LogVariance(Reference):
    """The posterior's log-variance; at index 1, where it would be -inf, that of index 2."""

    def posterior(self, x0, xt, index):
        mean, variance = super().posterior(x0, xt, index)
        return mean, np.log(variance if index > 1 else super().posterior(x0, xt, 2)[1])


_PREDICTED = ("denoise", "dsm_loss", "dsm_process_loss", "ncsn_loss", "ddpm_loss", "annealed_langevin", "reverse_step", "ode_drift",
              "ddpm_step", "ddim_step")
_SCALES = ("alpha", "sigma", "corrupt", "conditional_score", "convert", "denoise", "dsm_process_loss")
_ALONG = ("denoise", "dsm_process_loss", "reverse_step", "ode_drift", "ddpm_step", "ddim_step", "ddpm_loss")

@dataclass(frozen=True)
class _Convention:
    """The name of a convention, what it means beside the contract, and the suffix of its entries."""

    variant: type[Reference]
    suffix: str
    shared: str
    means: str
    here: str
    seen: str
    operations: tuple[str, ...]


_CONVENTIONS = (
    _Convention(FromZero, "from_0", "indices count from 0", "index i means the contract's i + 1",
                "indices 1, ..., N, 0 being data", "arrays of betas",
                (*_SCALES, "ddpm_loss", "ddpm_step", "ddim_step", "posterior")),
    _Convention(Backwards, "backwards_in_time", "time runs backwards", "T - t for t", "data at time 0", "flow matching",
                (*_SCALES, "ddpm_loss", "drift", "diffusion", "ode_drift")),
    _Convention(Squares, "is_square", "scales are squares", "alpha-bar, the variance, g^2", "alpha, the standard deviation, g",
                "tables of alpha-bar", ("alpha", "sigma", "diffusion")),
    _Convention(LogDensities, "of_log_density", "models of energy are log p", "a model of log p", "E = -log p up to a constant",
                "energy-based models trained by ascent",
                ("esm_loss", "ism_loss", "ssm_loss", "ssm_vr_loss", "langevin_step", *_PREDICTED)),
    _Convention(OppositeNoise, "opposite_eps", "eps has the opposite sign", "-eps", "x_t = alpha x_0 + sigma eps",
                "sign of the noise", ("convert", *_PREDICTED)),
    _Convention(OppositeVelocity, "opposite_v", "v has the opposite sign", "v = sigma x0 - alpha eps",
                "v = alpha eps - sigma x0", "v towards the data", ("convert", *_PREDICTED)),
    _Convention(PathVelocity, "path_velocity", "v is the path's velocity", "v = alpha' x0 + sigma' eps",
                "v = alpha eps - sigma x0", "flow matching", ("convert", *_ALONG[:4])),
    _Convention(FractionOfChain, "hears_fraction", "the model hears i/N", "time i/N for the model", "the index",
                "VP's time for a chain", ("denoise", "dsm_process_loss", "ddpm_step", "ddim_step", "ddpm_loss")),
    _Convention(IndexOfLevel, "hears_index", "the model hears the level's index", "the number of the level for the model",
                "sigma", "NCSN conditions on the index", ("ncsn_loss", "annealed_langevin")),
    _Convention(LogVariance, "log_variance", "the posterior's spread is a log-variance",
                "log of the variance, clipped at index 1", "the variance", "posterior_log_variance_clipped, common",
                ("posterior",)),
    _Convention(DensitiesAsEnergies, "as_energy", "densities are energies", "-log p", "log p", "energies", ("logpdf", "score")),
)


def _enter(c: _Convention, operation: str) -> None:
    def function(self, *arguments):
        return getattr(c.variant(self.process, self.conventions), operation)(*arguments)

    elsewhere(operation, c.shared, means=c.means, here=c.here, seen=c.seen, name=f"{operation}_{c.suffix}")(function)


for _convention in _CONVENTIONS:
    for _operation in _convention.operations:
        _enter(_convention, _operation)
