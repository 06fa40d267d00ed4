"""Energies on which section G is checked: quadratic ones, and networks held by them, with a plain forward pass beside each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refscore.densities import Gaussian
from refscore.energy import EnergyModel, QuadraticEnergy, SumEnergy
from refscore.identities import _models, _plain, _targets
from refscore.networks import EnergyMLP

MEAN = np.array([0.4, -0.7, 0.3])
PRECISION = np.array([[1.3, 0.5, -0.2], [0.5, 0.9, 0.3], [-0.2, 0.3, 1.6]])


def quadratic(d: int) -> QuadraticEnergy:
    """1/2 (x - m)'P(x - m), correlated and off centre, d <= 3."""
    return QuadraticEnergy(MEAN[:d], PRECISION[:d, :d])


def proposal(d: int) -> Gaussian:
    """N(m, P^{-1}), where the mass of ``quadratic(d)`` lies."""
    return Gaussian(MEAN[:d], np.linalg.inv(PRECISION[:d, :d]))


def gaussian_log_z(precision: np.ndarray) -> float:
    """d/2 log 2 pi - 1/2 log det P."""
    return len(precision) / 2 * math.log(2 * math.pi) - math.log(np.linalg.det(precision)) / 2


def states(v: int) -> np.ndarray:
    """All binary vectors, (2^v, v)."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=v)))


def log_sum(exponents: np.ndarray) -> Any:
    """log sum e^l over the last axis, l real or complex."""
    top = exponents.real.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(exponents - top).sum(axis=-1, keepdims=True)))[..., 0]


class Confined(NamedTuple):
    """A network and a quadratic energy, with a plain forward pass beside it and lattices of two spacings."""

    name: str
    model: EnergyModel
    network: EnergyMLP
    quadratic: QuadraticEnergy

    def plain(self, parameters, x) -> np.ndarray:
        """E at x, (..., n), from the arrays of all parameters, real or complex."""
        *arrays, mean, precision = parameters
        away = x - np.asarray(mean)[..., None, :]
        network = _plain.forward(arrays, x, _plain.VALUE[self.network.activation.name])[..., 0]
        return network + 0.5 * np.einsum("...ni,...ij,...nj->...n", away, np.asarray(precision), away)

    def lattice(self, spacing: float) -> tuple[np.ndarray, float]:
        """Points of a lattice in the axes of the quadratic energy, and the volume of a cell."""
        axes = np.linalg.cholesky(np.linalg.inv(self.quadratic.precision))
        line = (np.arange(-math.ceil(11 / spacing), math.ceil(11 / spacing)) + 1 / 3) * spacing
        u = np.stack([g.ravel() for g in np.meshgrid(*[line] * len(axes), indexing="ij")], axis=1)
        u = u[(u * u).sum(axis=1) < 121]
        return self.quadratic.mean + u @ axes.T, spacing ** len(axes) * float(np.prod(np.diag(axes)))


def confined(seed: int) -> Iterator[Confined]:
    """Networks in one and two dimensions, random and trained, each held by a quadratic energy."""
    for d in (1, 2):
        small = EnergyMLP((d, 5, 1), "silu", np.random.default_rng((seed, d, 90)))
        for name, network in (("random network", small), ("trained network", _models.trained_energy(_targets.mixture(d), seed))):
            model = EnergyModel(SumEnergy([network.energy, quadratic(d)]), d, proposal=proposal(d))
            yield Confined(f"{name} + quadratic, d = {d}", model, network, quadratic(d))
