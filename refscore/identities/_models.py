"""Score models of a given density, on which identities are tried: exact, linear, random, trained.

An identity that holds for every s says little when it is tried at s = grad log p alone: there ESM vanishes, the Jacobian
is symmetric, and the mistakes that only touch what is left over go unseen. Hence four models, none of which depends on the
operations under test (a mistake put in place of an operation does not change what it is tried on):

    exact      grad log p itself, without parameters
    linear     the score of the Gaussian with p's mean and covariance, plus a random affine map: its Jacobian is not symmetric
    random     two hidden layers, SiLU, random weights and biases
    trained    two hidden layers, softplus, Adam steps on explicit score matching at samples of p with the norms of hidden
               units' weights bounded: close to grad log p, yet no gradient of anything, as trained networks are

The hidden layers are narrow and their weights moderate, so that the poles of both networks stay away from the real axis and
expectations under p converge fast on a lattice (`refscore._quadrature`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from refscore.networks import MLP, AnalyticScore, EnergyMLP
from refscore.objectives import esm
from refscore.training import Adam, DenoisingProcess, train

WIDTH = 10
STEPS, POINTS, RATE = 100, 128, 0.03
STEEPEST = 1.0
"""Longest weight vector of a hidden unit of a trained network: what keeps its poles away from the real axis, whatever the seed."""


def score_models(density, seed: int) -> dict[str, Any]:
    """The four models of ``density`` (a `GaussianMixture`) by name: 'exact', 'linear', 'random', 'trained'.

    Deterministic given the density's parameters and ``seed``; the trained network is kept, so that asking again is free.
    """
    return {
        "exact": AnalyticScore(density),
        "linear": linear_score(density, seed),
        "random": random_network(density.dim, seed),
        "trained": trained_network(density, seed),
    }


def linear_score(density, seed: int) -> MLP:
    """s(x) = C^{-1}(m - x) + A'x + b with random A (not symmetric) and b of a third of the size of C^{-1}."""
    rng = np.random.default_rng((seed, density.dim, 1))
    precision = np.linalg.inv(density.cov)
    size = np.linalg.norm(precision, 2) / 3
    A = size * rng.standard_normal((density.dim, density.dim))
    b = size * rng.standard_normal(density.dim)
    return MLP.from_arrays([A - precision], [precision @ density.mean + b], "tanh")


def random_network(dim: int, seed: int, activation: str = "silu", hidden: int = 2, takes_time: bool = False) -> MLP:
    """A score network with random weights and biases; with ``takes_time`` t is its last input."""
    rng = np.random.default_rng((seed, dim, hidden, takes_time))
    return MLP((dim + takes_time, *[WIDTH] * hidden, dim), activation, rng)


def random_energy(dim: int, seed: int, activation: str = "silu", hidden: int = 2, takes_time: bool = False) -> EnergyMLP:
    """An energy network with random weights and biases."""
    rng = np.random.default_rng((seed, dim, hidden, takes_time, 1))
    return EnergyMLP((dim + takes_time, *[WIDTH] * hidden, 1), activation, rng, takes_time=takes_time)


def trained_energy(density, seed: int, activation: str = "tanh", hidden: int = 2) -> EnergyMLP:
    """A random energy network, trained as `trained_network` is: its score is the gradient of something."""
    return _trained(_by_parameters(density), seed, activation, hidden, True)


def trained_network(density, seed: int, activation: str = "softplus", hidden: int = 2) -> MLP:
    """A random network after `STEPS` Adam steps on explicit score matching at `POINTS` samples of ``density``."""
    return _trained(_by_parameters(density), seed, activation, hidden, False)


def trained_along(density, process, t_max: float, seed: int, t_min: float = 0.02) -> MLP:
    """A network of (x, t) after 300 Adam steps on minibatch denoising score matching along ``process``; kept, like the others."""
    return _trained_along(_by_parameters(density), process, t_max, t_min, seed)


@lru_cache(maxsize=16)
def _trained_along(key: _ByParameters, process, t_max: float, t_min: float, seed: int) -> MLP:
    density, objective = key.density, DenoisingProcess(process, t_max, t_min)
    start = MLP((density.dim + 1, WIDTH, WIDTH, density.dim), "softplus", np.random.default_rng((seed, density.dim, 3)))
    return train(start, density, objective, Adam(0.02), steps=300, batch=128, seed=seed).model


class _ByParameters:
    """A density, equal to another when all parameters are: the key under which a trained network is kept."""

    def __init__(self, density, parameters):
        self.density, self.parameters = density, parameters

    def __hash__(self) -> int:
        return hash(self.parameters)

    def __eq__(self, other) -> bool:
        return self.parameters == other.parameters


def _by_parameters(density) -> _ByParameters:
    return _ByParameters(density, tuple((a.shape, a.tobytes()) for a in (density.weights, density.means, density.covs)))


@lru_cache(maxsize=64)
def _trained(key: _ByParameters, seed: int, activation: str, hidden: int, energy: bool) -> Any:
    density = key.density
    x = density.sample(POINTS, np.random.default_rng((seed, density.dim, 2)))
    target = density.score(x)
    model = (random_energy if energy else random_network)(density.dim, seed + 1, activation, hidden)
    first = [np.zeros_like(a) for a in model.parameters]
    second = [np.zeros_like(a) for a in model.parameters]
    for step in range(1, STEPS + 1):
        _, gradient = esm(model, x, target, grad=True)
        moved = []
        for parameter, g, m, v in zip(model.parameters, gradient, first, second, strict=True):
            m += 0.1 * (g - m)  # Kingma & Ba 2015, algorithm 1, decay rates 0.9 and 0.999
            v += 0.001 * (g * g - v)
            size = np.sqrt(v / (1 - 0.999**step)) + 1e-8
            moved.append(parameter - RATE * m / (1 - 0.9**step) / size)
        for W in moved[:-2:2]:  # max-norm constraint (Srebro & Shraibman 2005)
            W *= np.minimum(1, STEEPEST / np.linalg.norm(W, axis=0))
        model = model.with_parameters(moved)
    return model
