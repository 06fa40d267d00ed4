"""A restricted Boltzmann machine as the table of all its pairs of states, from the exponent alone."""

import itertools

import numpy as np

from refscore.energy import RBM

SIZES = [(5, 3), (3, 6), (4, 4), (6, 1), (1, 5)]


def machine(v, m, scale=1.0, seed=0):
    """Random, with biases of non-zero mean."""
    rng = np.random.default_rng((seed, v, m))
    return RBM(scale * rng.standard_normal((v, m)), rng.standard_normal(v) - 0.3, rng.standard_normal(m) + 0.2)


def binary_rows(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


class Table:
    """p (2^v, 2^m) and what follows from it: px, pz, forth p(z|x), back p(x|z) with a row for every z, g(x) by name."""

    def __init__(self, rbm):
        self.x, self.z = x, z = binary_rows(len(rbm.b)), binary_rows(len(rbm.c))
        exponent = x @ rbm.W @ z.T + (x @ rbm.b)[:, None] + z @ rbm.c
        self.p = np.exp(exponent - exponent.max())
        self.p /= self.p.sum()
        self.px, self.pz = self.p.sum(axis=1), self.p.sum(axis=0)
        self.forth, self.back = self.p / self.px[:, None], (self.p / self.pz).T
        mean = self.forth @ z
        self.g = [x[:, :, None] * mean[:, None, :], x, mean]

    def number(self, rows):
        return [int("".join(str(int(unit)) for unit in row), 2) for row in rows]

    def law(self, rows):
        return np.bincount(self.number(rows), minlength=len(self.x)) / len(rows)

    def mean(self, law):
        """sum_x law(x) g(x), in the order of the parameters."""
        return [np.tensordot(law, g, axes=1) for g in self.g]
