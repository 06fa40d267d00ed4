"""Mistakes in Boltzmann machines (systems G4).

A version that exchanges what belongs to two layers exists only where these are equally wide; elsewhere it does what is right.
"""

from __future__ import annotations

import numpy as np

from refscore.densities import GaussianMixture
from refscore.energy import RBM, GaussianRBM
from refscore.energy._states import rows
from refscore.mistakes._registry import mistake

_SWAPPED = "biases of the two layers exchanged, which no shape betrays when they are equally wide"


def _all(units):
    return rows(np.arange(2**units), units)


def _exchanged(rbm):
    """The machine with b in the place of c and c in the place of b, where that is possible."""
    return RBM(rbm.W, rbm.c, rbm.b) if len(rbm.b) == len(rbm.c) else rbm


def _transposed(rbm):
    return RBM(rbm.W.T, rbm.b, rbm.c) if len(rbm.b) == len(rbm.c) else rbm


def _logistic(a):
    return 1 / (1 + np.exp(-a))


def _log_sum(a):
    return float(np.logaddexp.reduce(a))


@mistake("log_partition", wrong="sum_z e^{c'z}", right="sum_z e^{c'z} prod_i (1 + e^{b_i + (Wz)_i})",
         seen="normalised over the hidden layer, the visible one left out")
def log_partition_one_layer(rbm):
    return float(np.logaddexp(0, rbm.c).sum()), 0.0


@mistake("log_partition", wrong="prod_i (1 + e^{b_i}) prod_j (1 + e^{c_j})", right="sum over pairs of states",
         seen="the start of annealed importance sampling (couplings 0) taken for its end")
def log_partition_layers_independent(rbm):
    return float(np.logaddexp(0, rbm.b).sum() + np.logaddexp(0, rbm.c).sum()), 0.0


@mistake("log_partition", wrong="states 1, ..., 2^m - 1", right="states 0, ..., 2^m - 1", seen="enumeration that starts from one")
def log_partition_without_zero_state(rbm):
    return _log_sum(-rbm.swapped.free_energy(_all(len(rbm.c))[1:])), 0.0


@mistake("log_partition", wrong="mean over states", right="sum over states",
         seen="Z estimated as a mean, the number of states forgotten")
def log_partition_mean_over_states(rbm):
    return rbm.log_partition()[0] - min(len(rbm.b), len(rbm.c)) * np.log(2), 0.0


@mistake("log_partition", wrong="units -1 and 1", right="units 0 and 1", seen="formulas of the Ising model used for {0, 1}")
def log_partition_spins(rbm):
    z = 2 * _all(len(rbm.c)) - 1
    a = rbm.b + z @ rbm.W.T
    return _log_sum(z @ rbm.c + np.logaddexp(a, -a).sum(axis=1)), 0.0


@mistake("log_partition", wrong="b for the hidden, c for the visible layer", right="b for the visible, c for the hidden layer",
         seen=_SWAPPED)
def log_partition_biases_swapped(rbm):
    return _exchanged(rbm).log_partition()


@mistake("logpdf", wrong="F - log Z", right="-F - log Z", seen="free energy taken for the log of a probability")
def logpdf_free_energy_sign(rbm, x):
    return rbm.free_energy(x) - rbm.log_partition()[0]


@mistake("logpdf", wrong="-F + log Z", right="-F - log Z", seen="common")
def logpdf_log_partition_sign(rbm, x):
    return -rbm.free_energy(x) + rbm.log_partition()[0]


@mistake("hidden_logpdf", wrong="log p(x = 0, z)", right="log sum_x p(x, z)", seen="marginal without the layer summed out")
def hidden_logpdf_of_joint_at_zero(rbm, z):
    return z @ rbm.c - rbm.log_partition()[0]


@mistake("free_energy", wrong="b'x + sum_j log(1 + e^{a_j})", right="-b'x - sum_j log(1 + e^{a_j})",
         seen="sign: p ~ e^F instead of p ~ e^{-F}")
def free_energy_sign(rbm, x):
    return -rbm.free_energy(x)


@mistake("free_energy", wrong="-sum_j log(1 + e^{a_j})", right="-b'x - sum_j log(1 + e^{a_j})", seen="common")
def free_energy_visible_bias_missing(rbm, x):
    return rbm.free_energy(x) + x @ rbm.b


@mistake("free_energy", wrong="-b'x - sum_j a_j", right="-b'x - sum_j log(1 + e^{a_j})",
         seen="log e^a for log(1 + e^a): the state z_j = 0 left out")
def free_energy_one_missing_in_softplus(rbm, x):
    return -x @ rbm.b - (rbm.c + x @ rbm.W).sum(axis=1)


@mistake("free_energy", wrong="-c'x - sum_j log(1 + e^{b_j + (W'x)_j})", right="-b'x - sum_j log(1 + e^{c_j + (W'x)_j})",
         seen=_SWAPPED)
def free_energy_biases_swapped(rbm, x):
    return _exchanged(rbm).free_energy(x)


@mistake("free_energy", wrong="Wx", right="W'x", seen="W (m, v) of one text with formulas of another; square W hides it")
def free_energy_transposed(rbm, x):
    return _transposed(rbm).free_energy(x)


@mistake("free_energy", wrong="mean over hidden units", right="sum over hidden units", seen="torch.mean for torch.sum")
def free_energy_mean_over_hidden(rbm, x):
    return -x @ rbm.b - np.logaddexp(0, rbm.c + x @ rbm.W).mean(axis=1)


@mistake("hidden_mean", wrong="sigma(W'x)", right="sigma(c + W'x)", seen="common")
def hidden_mean_bias_missing(rbm, x):
    return RBM(rbm.W, rbm.b, 0 * rbm.c).hidden_mean(x)


@mistake("hidden_mean", wrong="a draw of z given x", right="its mean", seen="rbms#31: hidden samples in the place of means")
def hidden_mean_sampled(rbm, x):
    mean = rbm.hidden_mean(x)
    return (np.random.default_rng(0).random(mean.shape) < mean).astype(np.float64)


@mistake("hidden_mean", wrong="sigma(b + Wx)", right="sigma(c + W'x)", seen="sigmoid of the wrong layer")
def hidden_mean_of_visible_layer(rbm, x):
    return rbm.visible_mean(x) if len(rbm.b) == len(rbm.c) else rbm.hidden_mean(x)


@mistake("hidden_mean", wrong="sigma(2(c + W'x))", right="sigma(c + W'x)", seen="formula for units -1 and 1")
def hidden_mean_spins(rbm, x):
    return _logistic(2 * (rbm.c + x @ rbm.W))


@mistake("visible_mean", wrong="sigma(b + W'z)", right="sigma(b + Wz)", seen="the same W for both directions; square W hides it")
def visible_mean_transposed(rbm, z):
    return _transposed(rbm).visible_mean(z)


@mistake("visible_mean", wrong="sigma(c + Wz)", right="sigma(b + Wz)", seen=_SWAPPED)
def visible_mean_hidden_bias(rbm, z):
    return _exchanged(rbm).visible_mean(z)


@mistake("visible_mean", wrong="sigma(-b - Wz)", right="sigma(b + Wz)", seen="sign of the energy's gradient")
def visible_mean_sign(rbm, z):
    return 1 - rbm.visible_mean(z)


@mistake("log_likelihood", wrong="gradient of -log p", right="gradient of log p", seen="descent direction of the loss, added")
def log_likelihood_descent(rbm, x, grad=False):
    result = rbm.log_likelihood(x, grad)
    return (result[0], [-g for g in result[1]]) if grad else result


@mistake("log_likelihood", wrong="sum over the batch", right="mean over the batch", seen="1/n missing in front of x'h")
def log_likelihood_sum_over_batch(rbm, x, grad=False):
    value, slopes = rbm.log_likelihood(x, True)
    return (len(x) * value, [len(x) * g for g in slopes]) if grad else len(x) * value


@mistake("log_likelihood", wrong="mean under the data alone", right="mean under the data minus mean under the model",
         seen="Z taken for a constant in the parameters")
def log_likelihood_negative_phase_missing(rbm, x, grad=False):
    value, slopes = rbm.log_likelihood(x, True)
    return (value, [g + m for g, m in zip(slopes, rbm.moments(), strict=True)]) if grad else value


@mistake("log_likelihood", wrong="[dW, dc, db]", right="[dW, db, dc]", seen=_SWAPPED)
def log_likelihood_gradient_biases_swapped(rbm, x, grad=False):
    value, (dW, db, dc) = rbm.log_likelihood(x, True)
    swapped = [dW, dc, db] if len(db) == len(dc) else [dW, db, dc]
    return (value, swapped) if grad else value


@mistake("log_likelihood", wrong="x z' with a draw of z", right="x E[z|x]'", seen="rbms#31: hidden samples in the place of means")
def log_likelihood_hidden_sampled(rbm, x, grad=False):
    value, (dW, db, dc) = rbm.log_likelihood(x, True)
    excess = hidden_mean_sampled(rbm, x) - rbm.hidden_mean(x)
    return (value, [dW + x.T @ excess / len(x), db, dc + excess.mean(axis=0)]) if grad else value


@mistake("log_likelihood", wrong="z x'", right="x z'", seen="outer product the wrong way round; square W hides it")
def log_likelihood_gradient_transposed(rbm, x, grad=False):
    value, (dW, db, dc) = rbm.log_likelihood(x, True)
    return (value, [dW.T if len(db) == len(dc) else dW, db, dc]) if grad else value


@mistake("log_likelihood", wrong="mean of -F", right="mean of -F - log Z",
         seen="free energies compared between models as if they were likelihoods")
def log_likelihood_without_log_partition(rbm, x, grad=False):
    value, slopes = rbm.log_likelihood(x, True)
    value += rbm.log_partition()[0]
    return (value, slopes) if grad else value


@mistake("moments", wrong="E x E z'", right="E[x z']", seen="product of means: layers taken for independent under the model")
def moments_independent(rbm):
    _, visible, hidden = rbm.moments()
    return np.outer(visible, hidden), visible, hidden


@mistake("moments", wrong="E z = sigma(c + W'E x)", right="E z", seen="mean of a nonlinear function at the mean")
def moments_one_layer(rbm):
    pairs, visible, _ = rbm.moments()
    return pairs, visible, _logistic(rbm.c + visible @ rbm.W)


@mistake("moments", wrong="E[z x']", right="E[x z']", seen="outer product the wrong way round; square W hides it")
def moments_transposed(rbm):
    pairs, visible, hidden = rbm.moments()
    return pairs.T if len(visible) == len(hidden) else pairs, visible, hidden


def _gaussian(machine, **changed):
    parts = {"W": machine.W, "b": machine.b, "c": machine.c, "sigma": machine.sigma}
    return GaussianRBM(**{**parts, **changed})


def _of_gaussian_rbm(function):
    """``function`` for the machine, the density's own score for what else the identity asks the score of."""

    def score(density, x):
        return function(density, x) if isinstance(density, GaussianRBM) else density.score(x)

    return score


@mistake("score", name="gaussian_rbm_score_sign", wrong="grad F", right="-grad F", seen="score and energy gradient exchanged")
@_of_gaussian_rbm
def _score_sign(machine, x):
    return -machine.score(x)


@mistake("score", name="gaussian_rbm_score_over_sigma", wrong="(b - x + W h)/sigma", right="(b - x + W h)/sigma^2",
         seen="two conventions of W mixed")
@_of_gaussian_rbm
def _score_over_sigma(machine, x):
    return machine.sigma * machine.score(x)


@mistake("score", name="gaussian_rbm_score_hidden_sampled", wrong="W z with a draw of z", right="W E[z|x]",
         seen="rbms#31: hidden samples for means")
@_of_gaussian_rbm
def _score_sampled(machine, x):
    return (machine.b - x + hidden_mean_sampled(machine, x) @ machine.W.T) / machine.sigma**2


@mistake("score", name="gaussian_rbm_score_input_not_scaled", wrong="h = sigma(c + W'x)", right="h = sigma(c + W'x/sigma^2)",
         seen="sigma = 1 assumed")
@_of_gaussian_rbm
def _score_unscaled(machine, x):
    return (machine.b - x + _logistic(machine.c + x @ machine.W) @ machine.W.T) / machine.sigma**2


@mistake("score", name="gaussian_rbm_score_centre_missing", wrong="(-x + W h)/sigma^2", right="(b - x + W h)/sigma^2",
         seen="data not centred")
@_of_gaussian_rbm
def _score_uncentred(machine, x):
    return machine.score(x) - machine.b / machine.sigma**2


@mistake("score_jacobian", wrong="W diag(h(1 - h)) W'/sigma^2", right="W diag(h(1 - h)) W'/sigma^4",
         seen="chain rule without the sigma^2 inside h")
def gaussian_rbm_jacobian_sigma_squared(density, x):
    if not isinstance(density, GaussianRBM):
        return density.score_jacobian(x)
    flat = np.eye(density.dim) / density.sigma**2
    return density.sigma**2 * (density.score_jacobian(x) + flat) - flat


@mistake("log_partition", wrong="log sum_z e^{g(z)}", right="v/2 log(2 pi sigma^2) + log sum_z e^{g(z)}",
         seen="volume of the Gaussians left out")
def gaussian_rbm_log_partition_volume_missing(machine):
    value, error = machine.log_partition()
    return value - machine.dim / 2 * np.log(2 * np.pi * machine.sigma**2), error


@mistake("free_energy", wrong="|x - b|^2/sigma^2", right="|x - b|^2/(2 sigma^2)", seen="the half of the Gaussian forgotten")
def gaussian_rbm_free_energy_without_half(machine, x):
    return machine.free_energy(x) + ((x - machine.b) ** 2).sum(axis=1) / (2 * machine.sigma**2)


@mistake("mixture", wrong="equal weights", right="weights e^{g(z)}",
         seen="a mixture with a corner of a cube for every z, weighted alike")
def mixture_equal_weights(machine):
    mixture = machine.mixture()
    return GaussianMixture(np.full(len(mixture.weights), 1 / len(mixture.weights)), mixture.means, mixture.covs)


@mistake("mixture", wrong="weights e^{c'z}", right="weights e^{c'z + (Wz)'(2b + Wz)/(2 sigma^2)}",
         seen="hidden biases taken for log-odds of the prior of z")
def mixture_weights_without_square(machine):
    mixture, z = machine.mixture(), _all(len(machine.c))
    weights = np.exp(z @ machine.c)
    return GaussianMixture(weights / weights.sum(), mixture.means, mixture.covs)


@mistake("mixture", wrong="means Wz", right="means b + Wz", seen="data not centred")
def mixture_centre_missing(machine):
    mixture = machine.mixture()
    return GaussianMixture(mixture.weights, mixture.means - machine.b, mixture.covs)


@mistake("mixture", wrong="variance sigma", right="variance sigma^2", seen="standard deviation for variance")
def mixture_sigma_for_variance(machine):
    mixture = machine.mixture()
    return GaussianMixture(mixture.weights, mixture.means, np.sqrt(mixture.covs))


@mistake("log_partition", wrong="log Z(W1) + log Z(W2)", right="log of the sum over z1 of both factors",
         seen="a stack taken for a product: z1 summed twice, its bias used twice")
def deep_log_partition_of_two_machines(machine):
    if isinstance(machine, RBM):
        return machine.log_partition()
    first, second = RBM(machine.W1, machine.b, machine.c1), RBM(machine.W2, machine.c1, machine.c2)
    return first.log_partition()[0] + second.log_partition()[0], 0.0


@mistake("posterior", wrong="z1 and z2 independent given x", right="an RBM of couplings W2",
         seen="recognition pass of a deep belief net used for a Boltzmann machine")
def deep_posterior_bottom_up(machine, x):
    return RBM(0 * machine.W2, machine.c1 + x @ machine.W1, machine.c2)


@mistake("posterior", wrong="biases c1, c2", right="biases c1 + W1'x, c2",
         seen="prior of the upper layers in the place of the posterior")
def deep_posterior_ignores_data(machine, x):
    return RBM(machine.W2, machine.c1, machine.c2)


@mistake("posterior", wrong="W2'", right="W2", seen="second couplings stored as (m2, m1); square W2 hides it")
def deep_posterior_transposed(machine, x):
    return _transposed(machine.posterior(x))


@mistake("logpdf", wrong="log p of the first machine alone", right="log p of both layers",
         seen="layers trained one by one, evaluated at the first")
def deep_logpdf_of_first_machine(machine, x):
    return RBM(machine.W1, machine.b, machine.c1).logpdf(x)


@mistake("log_likelihood", wrong="gradient of -log p", right="gradient of log p", seen="descent direction of the loss, added")
def deep_log_likelihood_descent(machine, x, grad=False):
    return log_likelihood_descent(machine, x, grad)


@mistake("log_likelihood", wrong="mean field in the positive phase", right="exact means given the data",
         seen="variational learning (Salakhutdinov & Hinton 2009) taken for the likelihood's gradient")
def deep_log_likelihood_mean_field(machine, x, grad=False):
    value, slopes = machine.log_likelihood(x, True)
    z1, z2 = np.full((len(x), len(machine.c1)), 0.5), np.full((len(x), len(machine.c2)), 0.5)
    for _ in range(50):
        z1 = _logistic(machine.c1 + x @ machine.W1 + z2 @ machine.W2.T)
        z2 = _logistic(machine.c2 + z1 @ machine.W2)
    positive = [x.T @ z1 / len(x), z1.T @ z2 / len(x), x.mean(axis=0), z1.mean(axis=0), z2.mean(axis=0)]
    slopes = [p - m for p, m in zip(positive, machine.moments(), strict=True)]
    return (value, slopes) if grad else value


@mistake("moments", wrong="E[z1 z2'] = E z1 E z2'", right="E[z1 z2']", seen="hidden layers taken for independent under the model")
def deep_moments_independent(machine):
    lower, _, *means = machine.moments()
    return [lower, np.outer(means[1], means[2]), *means]
