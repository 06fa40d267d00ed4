"""The operations of restricted Boltzmann machines and of binary images under a Markov random field, as their formulas read.

    p(x, z) = exp(x'Wz + b'x + c'z)/Z  on {0, 1},      W (v, m), b (v,), c (m,)
    p(y | x) ~ exp(unary sum_i [x_i = y_i] + pairwise sum_{i~j} [y_i = y_j]),      4 neighbours, each bond once
"""

from __future__ import annotations

import numpy as np

from refscore.energy import DenoisingMRF


def softplus(a):
    """log(1 + e^a), wherever a is."""
    return np.logaddexp(0, a)


def sigmoid(a):
    """1/(1 + e^-a), wherever a is."""
    return np.exp(-np.logaddexp(0, -a))


def states(units: int) -> np.ndarray:
    """All of {0, 1}^units, (2^units, units)."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(np.float64)


def agreement(y):
    """sum over the neighbours of each pixel of 2 y_j - 1: how many are 1 less how many are 0, (H, W)."""
    padded = np.pad(2.0 * y - 1, 1)
    return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]


class Undirected:
    """rbm_* and mrf_*; a mixin of `refscore.conformance.reference.Reference`."""

    def rbm_free_energy(self, x, W, b, c):
        """F(x) = -b'x - sum_j log(1 + e^{c_j + (x'W)_j}), p(x) = exp(-F(x))/Z."""
        return -x @ b - softplus(x @ W + c).sum(axis=1)

    def rbm_hidden_mean(self, x, W, b, c):
        """E[z | x]."""
        return sigmoid(x @ W + c)

    def rbm_visible_mean(self, z, W, b, c):
        """E[x | z]."""
        return sigmoid(z @ W.T + b)

    def rbm_log_partition(self, W, b, c):
        """log Z, over all states of the hidden units."""
        z = states(len(c))
        a = z @ c + softplus(z @ W.T + b).sum(axis=1)
        return a.max() + np.log(np.exp(a - a.max()).sum())

    def rbm_cd_gradient(self, x, W, b, c, k, seed):
        """dW, db, dc of CD-k: E[z | x_0] beside the data, E[z | x_k] beside what k sweeps of block Gibbs make of them."""
        rng = np.random.default_rng(seed)
        y = x
        for _ in range(k):
            z = (rng.random((len(x), len(c))) < self.rbm_hidden_mean(y, W, b, c)).astype(np.float64)
            y = (rng.random(x.shape) < self.rbm_visible_mean(z, W, b, c)).astype(np.float64)
        return self.cd_statistics(x, y, W, b, c)

    def cd_statistics(self, x, y, W, b, c):
        """The CD gradient when the sweeps end in y."""
        h, g = self.rbm_hidden_mean(x, W, b, c), self.rbm_hidden_mean(y, W, b, c)
        return [(x.T @ h - y.T @ g) / len(x), (x - y).mean(axis=0), (h - g).mean(axis=0)]

    def mrf_conditional(self, y, x, unary, pairwise):
        """p(y_i = 1 | rest, x) = 1/(1 + exp(-unary (2 x_i - 1) - pairwise sum_j (2 y_j - 1)))."""
        return sigmoid(unary * (2.0 * x - 1) + pairwise * agreement(y))

    def mrf_map(self, x, unary, pairwise):
        """The image of largest probability given x."""
        return DenoisingMRF(x, unary, pairwise).map()
