"""What a step of each source's algorithm draws, and the loss that it makes of it.

Every algorithm starts from a minibatch x_1, ..., x_n of the data and ends with the parameter gradient of a mean over it.
In between it draws:

    Implicit                nothing                     1/n sum 1/2 ||s(x_i)||^2 + tr Ds(x_i)                          [e]
    Sliced                  v_i, E v_i v_i' = I         1/n sum 1/2 (v_i's(x_i))^2 + v_i'Ds(x_i) v_i                   [e]
    Denoising               z_i ~ N(0, I)               1/n sum lambda 1/2 ||s(x_i + sigma z_i) + z_i/sigma||^2        [e]
    NoiseConditional        z_i; k_i ~ U{1, ..., L}     1/n sum 1/2 ||sigma_k s(x_i + sigma_k z_i, sigma_k) + z_i||^2  [e]
    DenoisingProcess        z_i; t_i ~ U(t_min, T)      1/n sum lambda(t_i) 1/2 ||s(x_t, t_i) + z_i/sigma_t||^2        [a]
    NoisePrediction         z_i; k_i ~ U{1, ..., N}     1/n sum 1/2 ||eps(x_k, k_i) - z_i||^2                          [b]

The 1/2 is the package's; [a], [b] and, for NCSN, [e] leave it out: twice the loss, so for SGD half the rate, and for Adam nothing
but half the eps. Each is a class with two methods, and any object with the same two will do for `train`:

    draw(n, d, rng)              a tuple of arrays: what the algorithm draws for n rows besides the data
    loss(model, x0, *drawn)      (value, [dW1, db1, ...])

Boltzmann machines have theirs in `refscore.energy.learning`, one of them with a memory (`refscore.training.start`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore import _validate
from refscore.networks.hutchinson import LAWS, probes
from refscore.objectives import ddpm_simple, dsm, dsm_process, ism, ncsn, ssm, ssm_vr
from refscore.objectives.denoising import WEIGHTS


@dataclass(frozen=True)
class Implicit:
    """Implicit score matching with the exact trace: nothing is drawn.

    Source: [e, "Estimate the score matching loss with the empirical mean"]; Hyvarinen 2005.
    """

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """Nothing."""
        return ()

    def loss(self, model, x0) -> tuple[float, list[np.ndarray]]:
        """1/n sum 1/2 ||s(x_i)||^2 + tr Ds(x_i), and its gradient."""
        return ism(model, x0, grad=True)


@dataclass(frozen=True)
class Sliced:
    """Sliced score matching: directions in place of the trace.

    Parameters
    ----------
    law : 'rademacher', 'gaussian' or 'sphere', the law of the directions.
    variance_reduced : with True the square is taken exactly, 1/2 ||s||^2 in place of 1/2 (v's)^2.
    directions : m, directions drawn for every row.

    Source: [e, "Sample a minibatch of projection directions"]; Song et al. 2019, Algorithm 1.
    """

    law: str = "rademacher"
    variance_reduced: bool = False
    directions: int = 1

    def __post_init__(self):
        _validate.choice(self.law, "law", LAWS)
        _validate.count(self.directions, "directions")

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """v, (m, n, d)."""
        return (probes(self.law, self.directions * n, d, rng).reshape(-1, n, d),)

    def loss(self, model, x0, v) -> tuple[float, list[np.ndarray]]:
        """1/n sum 1/2 (v_i's(x_i))^2 + v_i'Ds(x_i) v_i, averaged over the directions, and its gradient."""
        return (ssm_vr if self.variance_reduced else ssm)(model, x0, v, grad=True)


@dataclass(frozen=True)
class Denoising:
    """Denoising score matching at one noise level.

    Parameters
    ----------
    sigma : standard deviation of the noise, positive.
    weight : 'one', or 'sigma2' for the noise error 1/2 ||sigma s + z||^2, which does not grow as sigma shrinks.

    Source: [e, "Sample a minibatch of perturbed datapoints"]; Vincent 2011.
    """

    sigma: float
    weight: str = "one"

    def __post_init__(self):
        _validate.positive(self.sigma, "sigma")
        _validate.choice(self.weight, "weight", WEIGHTS)

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """z, (n, d)."""
        return (rng.standard_normal((n, d)),)

    def loss(self, model, x0, noise) -> tuple[float, list[np.ndarray]]:
        """1/n sum lambda 1/2 ||s(x_i + sigma z_i) + z_i/sigma||^2, and its gradient."""
        return dsm(model, x0, self.sigma, noise, weight=self.weight, grad=True)


@dataclass(frozen=True, eq=False)
class NoiseConditional:
    """Denoising score matching on a ladder of noise levels, a level of its own for every row; the model is s(x, sigma).

    Parameters
    ----------
    sigmas : (L,) standard deviations, positive, in any order.
    weight : 'sigma2', 'one', or a callable lambda(sigma).

    Source: [e, "Sample a mini-batch of noise scale indices"]; Song & Ermon 2019, eq. 5 and 6.
    """

    sigmas: Sequence[float] | np.ndarray
    weight: str | Callable = "sigma2"

    def __post_init__(self):
        if np.ndim(self.sigmas) != 1 or not np.size(self.sigmas):
            raise ValueError(f"sigmas has shape {np.shape(self.sigmas)}: pass the ladder of noise levels, shape (L,)")
        for i, sigma in enumerate(self.sigmas):
            _validate.positive(sigma, f"sigmas[{i}]")
        _named(self.weight)

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """k, (n,), counted from 0, and z, (n, d)."""
        return rng.integers(len(self.sigmas), size=n), rng.standard_normal((n, d))

    def loss(self, model, x0, index, noise) -> tuple[float, list[np.ndarray]]:
        """1/n sum lambda(sigma_k) 1/2 ||s(x_i + sigma_k z_i, sigma_k) + z_i/sigma_k||^2, and its gradient."""
        return ncsn(model, x0, np.asarray(self.sigmas), index, noise, weight=self.weight, grad=True)


@dataclass(frozen=True)
class DenoisingProcess:
    """Denoising score matching along a process, a time of its own for every row.

    Parameters
    ----------
    process : with ``alpha(t)`` and ``sigma(t)``, such as ``OU(beta, sigma)`` or ``VP()``.
    t_max : T, the end of time.
    t_min : start of time, where sigma(t) > 0; the draws are from (t_min, t_max], so that 0 is never met.
    weight : 'one', 'sigma2' (the noise-prediction error of [a]), or a callable lambda(t).

    Source: [a, sec. 4, "Training Algorithm"]; Song et al. 2021, eq. 7.
    """

    process: Any
    t_max: float
    t_min: float = 0.0
    weight: str | Callable = "sigma2"

    def __post_init__(self):
        if hasattr(self.process, "__len__"):
            raise TypeError(f"process is {self.process!r}, which has indices and no times: pass NoisePrediction(process), or a "
                            "process in continuous time, such as VP()")
        if _validate.positive(self.t_max, "t_max") <= _validate.positive(self.t_min, "t_min", zero=True):
            raise ValueError(f"t_max is {self.t_max}, t_min {self.t_min}: time runs from t_min up to t_max")
        _named(self.weight)

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """t, (n,), and z, (n, d)."""
        return self.t_max - (self.t_max - self.t_min) * rng.random(n), rng.standard_normal((n, d))

    def loss(self, model, x0, t, noise) -> tuple[float, list[np.ndarray]]:
        """1/n sum lambda(t_i) 1/2 ||s(x_t, t_i) + z_i/sigma_t||^2, and its gradient."""
        return dsm_process(model, self.process, x0, t, noise, self.weight, grad=True)


@dataclass(frozen=True, eq=False)
class NoisePrediction:
    """DDPM's training: the noise is predicted at an index of its own for every row; the model is eps(x, i), i = 1, ..., N.

    Parameters
    ----------
    process : DDPM, or any process of indices with ``alpha(i)``, ``sigma(i)`` and a length N.

    Source: [b, sec. 2, "DDPM-equivalent training objective"]; Ho et al. 2020, algorithm 1.
    """

    process: Any

    def __post_init__(self):
        if not hasattr(self.process, "__len__"):
            raise TypeError(f"process is {self.process!r}, without indices: pass DDPM(betas), or use DenoisingProcess for times")

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """k, (n,), from 1 to N, and z, (n, d)."""
        return rng.integers(1, len(self.process) + 1, size=n), rng.standard_normal((n, d))

    def loss(self, model, x0, index, noise) -> tuple[float, list[np.ndarray]]:
        """1/n sum 1/2 ||eps(x_k, k_i) - z_i||^2, and its gradient."""
        return ddpm_simple(model, self.process, x0, index, noise, half=True, grad=True)


def _named(weight) -> None:
    if not callable(weight):
        _validate.choice(weight, "weight", (*WEIGHTS, "a callable"))
