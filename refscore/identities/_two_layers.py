"""Machines on which Gibbs chains are tried, and the table of all pairs of their states, which is the other road.

Random ones of several shapes, with biases that are not 0 on average, and one after exact gradient steps, whose law has modes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refscore.energy import RBM
from refscore.identities._enumeration import EPS, size, states, two_layers

SIZES = ((5, 3, 0.9), (3, 5, 0.7), (4, 4, 0.8), (1, 2, 1.0))  # v, m, size of the couplings


def machines(seed: int) -> Iterator[tuple[str, RBM]]:
    """By name."""
    for v, m, strength in SIZES:
        rng = np.random.default_rng((seed, v, m, 1))
        machine = RBM(strength * rng.standard_normal((v, m)), rng.standard_normal(v) - 0.3, rng.standard_normal(m) + 0.2)
        yield f"{v} visible, {m} hidden", machine
    yield "trained", trained(seed)


def trained(seed: int, v: int = 5, m: int = 2, steps: int = 120) -> RBM:
    """After steps of plain gradient ascent of the likelihood of seven rows, by means over the table."""
    rng, x = np.random.default_rng((seed, 2)), data(v)
    parameters = [0.3 * rng.standard_normal((v, m)), np.zeros(v), np.zeros(m)]
    for _ in range(steps):
        table = TwoLayers(RBM(*parameters))
        slopes = zip(table.mean(table.law(x)), table.mean(table.px), strict=True)
        parameters = [p + 0.3 * (a - b) for p, (a, b) in zip(parameters, slopes, strict=True)]
    return RBM(*parameters)


def data(v: int) -> np.ndarray:
    """Seven rows, some of them alike; every unit is 1 in some and 0 in others."""
    numbers = np.array([5, 5, 7, 24, 25, 18, 5]) % 2**v if v > 1 else np.array([0, 1, 1, 1, 0, 1, 1])
    return states(v)[numbers]


class TwoLayers:
    """p(x, z) as a table (2^v, 2^m), px and pz, the conditionals forth p(z|x) and back p(x|z), both with rows that sum to 1."""

    def __init__(self, rbm: RBM):
        self.x, self.z = states(len(rbm.b)), states(len(rbm.c))
        exponent = two_layers(self.x, self.z, *rbm.parameters)
        p = np.exp(exponent - exponent.max())
        self.p = p / p.sum()
        self.px, self.pz = self.p.sum(axis=1), self.p.sum(axis=0)
        self.forth, self.back = self.p / self.px[:, None], (self.p / self.pz).T
        self.T = self.forth @ self.back
        hidden = self.forth @ self.z
        self.g = self.x[:, :, None] * hidden[:, None, :], self.x, hidden
        self.rounding = 4 * EPS * (20 + sum(map(len, rbm.parameters)) + len(self.x) + len(self.z)) * size(rbm.parameters)
        """Relative, of products of a few probabilities, whichever road they come by."""
        self.slack = self.rounding + 32 * EPS * len(self.x)
        """Of functions of D^1/2 T D^-1/2 with slope 1, by its eigenvectors: the matrix has norm 1 and entries of one sign."""

    def law(self, x: np.ndarray) -> np.ndarray:
        """Each row of x with the same probability."""
        return (x[:, None, :] == self.x).all(axis=2).mean(axis=0)

    def mean(self, law: np.ndarray) -> list[np.ndarray]:
        """sum_x law(x) E[(x z', x, z) | x]."""
        return [np.tensordot(law, g, axes=1) for g in self.g]

    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of T, 1 first, and orthonormal eigenvectors of D^1/2 T D^-1/2, D = diag p(x), as columns."""
        root = np.sqrt(self.px)
        similar = root[:, None] * self.T / root
        values, vectors = np.linalg.eigh((similar + similar.T) / 2)
        return values[::-1], vectors[:, ::-1]
