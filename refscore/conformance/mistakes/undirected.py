"""Boltzmann machines and Markov random fields."""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import elsewhere, mistake
from refscore.conformance.undirected import agreement, sigmoid, softplus, states
from refscore.energy import DenoisingMRF


@elsewhere("rbm_free_energy", "the free energy is log p + log Z, its negative", means="p(x) = exp(F(x))/Z",
           here="p(x) = exp(-F(x))/Z",
           seen="code that keeps log-probabilities")
def free_energy_negative(self, x, W, b, c):
    return -self.rbm_free_energy(x, W, b, c)


@mistake("rbm_free_energy", wrong="without b'x", right="-b'x - sum log(1 + e^a)", seen="neighbour of the next")
def free_energy_without_visible_bias(self, x, W, b, c):
    return -softplus(x @ W + c).sum(axis=1)


@mistake("rbm_free_energy", wrong="+b'x", right="-b'x", seen="sign of the bias")
def free_energy_bias_sign(self, x, W, b, c):
    return x @ b - softplus(x @ W + c).sum(axis=1)


@mistake("rbm_free_energy", wrong="a without c", right="a = c + x'W", seen="hidden bias forgotten")
def free_energy_without_hidden_bias(self, x, W, b, c):
    return -x @ b - softplus(x @ W).sum(axis=1)


@mistake("rbm_free_energy", wrong="sum log a of sigmoids", right="sum log(1 + e^a)", seen="log sigmoid for softplus")
def free_energy_log_sigmoid(self, x, W, b, c):
    return -x @ b + softplus(-(x @ W + c)).sum(axis=1)


@mistake("rbm_free_energy", wrong="mean over hidden units", right="sum", seen="mean for sum")
def free_energy_mean(self, x, W, b, c):
    return -x @ b - softplus(x @ W + c).mean(axis=1)


@mistake("rbm_free_energy", wrong="log(1 + exp(a)) overflows", right="logaddexp(0, a)", seen="common")
def free_energy_overflows(self, x, W, b, c):
    with np.errstate(over="ignore"):
        return -x @ b - np.log(1 + np.exp(x @ W + c)).sum(axis=1)


@mistake("rbm_hidden_mean", wrong="without c", right="sigmoid(c + x'W)", seen="hidden bias forgotten")
def hidden_mean_without_bias(self, x, W, b, c):
    return sigmoid(x @ W)


@mistake("rbm_hidden_mean", wrong="-c", right="+c", seen="sign of the bias")
def hidden_mean_bias_sign(self, x, W, b, c):
    return sigmoid(x @ W - c)


@mistake("rbm_hidden_mean", wrong="sigmoid(-a)", right="sigmoid(a)", seen="p(z = 0 | x)")
def hidden_mean_of_zero(self, x, W, b, c):
    return sigmoid(-(x @ W + c))


@mistake("rbm_hidden_mean", wrong="tanh", right="sigmoid", seen="means on {-1, 1}")
def hidden_mean_tanh(self, x, W, b, c):
    return np.tanh(x @ W + c)


@mistake("rbm_hidden_mean", wrong="sigmoid(2a)", right="sigmoid(a)", seen="units on {-1, 1}")
def hidden_mean_spins(self, x, W, b, c):
    return sigmoid(2 * (x @ W + c))


@mistake("rbm_hidden_mean", wrong="rounded to 0 or 1", right="the mean", seen="rbms#31: sample for mean")
def hidden_mean_rounded(self, x, W, b, c):
    return (x @ W + c > 0).astype(float)


@mistake("rbm_visible_mean", wrong="without b", right="sigmoid(b + Wz)", seen="visible bias forgotten")
def visible_mean_without_bias(self, z, W, b, c):
    return sigmoid(z @ W.T)


@mistake("rbm_visible_mean", wrong="-b", right="+b", seen="sign of the bias")
def visible_mean_bias_sign(self, z, W, b, c):
    return sigmoid(z @ W.T - b)


@mistake("rbm_visible_mean", wrong="sigmoid(-a)", right="sigmoid(a)", seen="p(x = 0 | z)")
def visible_mean_of_zero(self, z, W, b, c):
    return sigmoid(-(z @ W.T + b))


@mistake("rbm_visible_mean", wrong="sigmoid(2a)", right="sigmoid(a)", seen="units on {-1, 1}")
def visible_mean_spins(self, z, W, b, c):
    return sigmoid(2 * (z @ W.T + b))


@mistake("rbm_visible_mean", wrong="rounded to 0 or 1", right="the mean", seen="sample for mean")
def visible_mean_rounded(self, z, W, b, c):
    return (z @ W.T + b > 0).astype(float)


@mistake("rbm_log_partition", wrong="Z", right="log Z", seen="logarithm forgotten")
def partition_without_log(self, W, b, c):
    with np.errstate(over="ignore"):
        return np.exp(self.rbm_log_partition(W, b, c))


@mistake("rbm_log_partition", wrong="mean over states", right="sum", seen="log mean exp for log sum exp")
def partition_mean(self, W, b, c):
    return self.rbm_log_partition(W, b, c) - len(c) * np.log(2)


@mistake("rbm_log_partition", wrong="hidden units summed, visible ones at 0", right="both summed", seen="one layer left out")
def partition_of_hidden_alone(self, W, b, c):
    return softplus(c).sum()


@mistake("rbm_log_partition", wrong="without c", right="with c'z", seen="bias of the enumerated layer forgotten")
def partition_without_hidden_bias(self, W, b, c):
    return self.rbm_log_partition(W, b, 0 * c)


@mistake("rbm_log_partition", wrong="without b", right="with b'x", seen="bias of the summed layer forgotten")
def partition_without_visible_bias(self, W, b, c):
    return self.rbm_log_partition(W, 0 * b, c)


@mistake("rbm_log_partition", wrong="without the state of all zeros", right="all states", seen="range(1, 2**m)")
def partition_without_first_state(self, W, b, c):
    z = states(len(c))[1:]
    a = z @ c + softplus(z @ W.T + b).sum(axis=1)
    return a.max() + np.log(np.exp(a - a.max()).sum())


@mistake("rbm_log_partition", wrong="the largest term", right="log sum exp", seen="maximum for sum")
def partition_largest_term(self, W, b, c):
    z = states(len(c))
    return (z @ c + softplus(z @ W.T + b).sum(axis=1)).max()


@mistake("rbm_log_partition", wrong="exp overflows", right="log-sum-exp with the maximum taken out", seen="common")
def partition_overflows(self, W, b, c):
    z = states(len(c))
    with np.errstate(over="ignore"):
        return np.log(np.exp(z @ c + softplus(z @ W.T + b).sum(axis=1)).sum())


@mistake("mrf_conditional", wrong="the neighbour on the right left out", right="four neighbours", seen="pyprobml#1106")
def conditional_without_a_neighbour(self, y, x, unary, pairwise):
    padded = np.pad(2.0 * y - 1, 1)
    right = padded[1:-1, 2:]
    return sigmoid(unary * (2.0 * x - 1) + pairwise * (agreement(y) - right))


@mistake("mrf_conditional", wrong="each bond counted twice", right="each bond once", seen="2D-Ising-Matlab#1")
def conditional_bonds_twice(self, y, x, unary, pairwise):
    return sigmoid(unary * (2.0 * x - 1) + 2 * pairwise * agreement(y))


@mistake("mrf_conditional", wrong="edges wrap around", right="a pixel at the border has fewer neighbours", seen="np.roll, common")
def conditional_wraps(self, y, x, unary, pairwise):
    spins = 2.0 * y - 1
    around = sum(np.roll(spins, shift, axis) for shift in (1, -1) for axis in (0, 1))
    return sigmoid(unary * (2.0 * x - 1) + pairwise * around)


@mistake("mrf_conditional", wrong="eight neighbours", right="four", seen="neighbour of the grid")
def conditional_eight_neighbours(self, y, x, unary, pairwise):
    p = np.pad(2.0 * y - 1, 1)
    corners = p[:-2, :-2] + p[2:, 2:] + p[2:, :-2] + p[:-2, 2:]
    return sigmoid(unary * (2.0 * x - 1) + pairwise * (agreement(y) + corners))


@mistake("mrf_conditional", wrong="zeros outside of the image count as neighbours", right="fewer neighbours",
         seen="padding with the label 0")
def conditional_padded_with_zeros(self, y, x, unary, pairwise):
    p = 2.0 * np.pad(y, 1) - 1
    around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    return sigmoid(unary * (2.0 * x - 1) + pairwise * around)


@mistake("mrf_conditional", wrong="2 x_i - 1 and 2 y_j - 1 in psi", right="[x_i = y_i], [y_i = y_j]",
         seen="labels on {-1, 1}: twice the log-odds")
def conditional_spins(self, y, x, unary, pairwise):
    return sigmoid(2 * (unary * (2.0 * x - 1) + pairwise * agreement(y)))


@mistake("mrf_conditional", wrong="sum of y_j", right="sum of 2 y_j - 1", seen="only the neighbours at 1 counted")
def conditional_counts_ones(self, y, x, unary, pairwise):
    p = np.pad(np.asarray(y, dtype=float), 1)
    ones = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    return sigmoid(unary * (2.0 * x - 1) + pairwise * ones)


@mistake("mrf_conditional", wrong="unary and pairwise exchanged", right="unary with the data", seen="arguments in another order")
def conditional_weights_exchanged(self, y, x, unary, pairwise):
    return self.mrf_conditional(y, x, pairwise, unary)


@mistake("mrf_conditional", wrong="p(y_i = 0)", right="p(y_i = 1)", seen="sign of the log-odds")
def conditional_of_zero(self, y, x, unary, pairwise):
    return 1 - self.mrf_conditional(y, x, unary, pairwise)


@mistake("mrf_conditional", wrong="without the data", right="unary (2 x_i - 1)", seen="the prior's conditional")
def conditional_without_data(self, y, x, unary, pairwise):
    return sigmoid(pairwise * agreement(y))


@mistake("mrf_conditional", wrong="neighbours that always attract", right="repel where pairwise < 0", seen="|pairwise|, common")
def mrf_always_attracts(self, y, x, unary, pairwise):
    return self.mrf_conditional(y, x, unary, abs(pairwise))


@mistake("rbm_log_partition", wrong="states counted in 8 bits", right="all 2^m", seen="np.unpackbits, common")
def rbm_partition_of_bytes(self, W, b, c):
    z = states(min(len(c), 8))
    z = np.concatenate([z, np.zeros((len(z), len(c) - z.shape[1]))], axis=1)
    a = np.tile(z @ c + softplus(z @ W.T + b).sum(axis=1), 2 ** max(0, len(c) - 8))
    return a.max() + np.log(np.exp(a - a.max()).sum())


@mistake("mrf_map", wrong="iterated conditional modes", right="the largest probability", seen="a local maximum, common")
def map_by_icm(self, x, unary, pairwise):
    y = np.array(x)
    for _ in range(50):
        before = y.copy()
        for i, j in np.ndindex(*y.shape):
            y[i, j] = unary * (2.0 * x - 1)[i, j] + pairwise * agreement(y)[i, j] > 0
        if (y == before).all():
            break
    return y


@mistake("mrf_map", wrong="most probable value of each pixel", right="most probable image", seen="marginals for the joint")
def map_by_marginals(self, x, unary, pairwise):
    return (DenoisingMRF(x, unary, pairwise).marginals() > 0.5).astype(int)


@mistake("mrf_map", wrong="the image as seen", right="the most probable image", seen="bonds ignored")
def map_as_seen(self, x, unary, pairwise):
    return np.array(x)


@mistake("mrf_map", wrong="each bond counted twice", right="each bond once", seen="2D-Ising-Matlab#1")
def map_bonds_twice(self, x, unary, pairwise):
    return self.mrf_map(x, unary, 2 * pairwise)


@mistake("mrf_map", wrong="unary and pairwise exchanged", right="unary with the data", seen="arguments in another order")
def map_weights_exchanged(self, x, unary, pairwise):
    return self.mrf_map(x, pairwise, unary)


@mistake("mrf_map", wrong="majority of the pixel and its neighbours", right="the most probable image", seen="a median filter")
def map_by_majority(self, x, unary, pairwise):
    return (unary * (2.0 * x - 1) + pairwise * agreement(x) > 0).astype(int)
