"""Identities of section G: Boltzmann machines of two and three layers, and the one that is a Gaussian mixture."""

from __future__ import annotations

import numpy as np

from refscore.energy import RBM, DeepBoltzmannMachine, GaussianRBM, binary_digits
from refscore.identities import _textbook
from refscore.identities._enumeration import EPS, gradient, log_sum, size, states, three_layers, two_layers
from refscore.identities._registry import Comparison, Table, identity

_SIZES = ((4, 4, 1.0), (5, 3, 1.5), (3, 6, 0.7), (4, 4, 8.0), (1, 2, 1.0))  # v, m, and how strong the couplings are


def _machines(seed):
    """(name, machine), with biases that are nowhere near zero on average, so that the layers differ."""
    for v, m, strength in _SIZES:
        rng = np.random.default_rng((seed, v, m))
        machine = RBM(strength * rng.standard_normal((v, m)), rng.standard_normal(v) - 0.6, rng.standard_normal(m) + 0.5)
        yield f"{v} visible, {m} hidden, couplings of {strength:g}", machine


def _rounding(parameters) -> float:
    """Rounding of log Z by either road: a few additions for each term of the exponents, in units of the largest of these."""
    return 2 * EPS * (20 + sum(map(len, parameters))) * size(parameters)


@identity(
    id="G4.partition",
    systems=("G4",),
    title="An RBM's partition function and both marginals, from the sum over one layer alone",
    statement=r"Z = \sum_{x,z} e^{x'Wz + b'x + c'z} = \sum_z e^{c'z}\prod_i (1 + e^{b_i + (Wz)_i}) = \sum_x e^{-F(x)}",
    source="[e, RBM]; Smolensky 1986",
    method="sums over the smaller layer, the other in closed form vs all pairs of states one by one",
    catches=("log_partition_one_layer", "log_partition_layers_independent", "log_partition_without_zero_state",
             "log_partition_mean_over_states", "log_partition_spins", "log_partition_biases_swapped",
             "logpdf_free_energy_sign", "logpdf_log_partition_sign", "hidden_logpdf_of_joint_at_zero"),
)
def partition_function(ops, seed):
    """v larger than, equal to and smaller than m; with the layers exchanged; strong and weak couplings."""
    rows = []
    for name, rbm in _machines(seed):
        x, z = states(len(rbm.b)), states(len(rbm.c))
        exponent = two_layers(x, z, *rbm.parameters)
        log_z, slack = float(log_sum(exponent)), _rounding(rbm.parameters)
        value, error = ops.log_partition(rbm)
        scale = 1 + abs(log_z)
        yield Comparison(f"log Z, {name}", value, log_z, error + slack, scale)
        yield Comparison(f"log Z with the layers exchanged, {name}", ops.log_partition(rbm.swapped)[0], log_z, error + slack, scale)
        visible, hidden = log_sum(exponent, axis=1) - log_z, log_sum(exponent, axis=0) - log_z
        yield Comparison(f"log p(x), {name}", ops.logpdf(rbm, x), visible, 4 * slack, scale + size(rbm.parameters))
        yield Comparison(f"log p(z), {name}", ops.hidden_logpdf(rbm, z), hidden, 4 * slack, scale + size(rbm.parameters))
        rows.append((name, 2 ** min(len(rbm.b), len(rbm.c)), exponent.size, value, error, abs(value - log_z)))
    columns = ("machine", "states", "pairs", "log Z", "its bound", "difference")
    yield Table("log Z: how many states either road adds up", columns, rows)


@identity(
    id="G4.conditionals",
    systems=("G4",),
    title="An RBM's free energy and conditional means in closed form",
    statement=r"F(x) = -b'x - \sum_j \log(1 + e^{c_j + (W'x)_j}) = -\log\sum_z e^{x'Wz + b'x + c'z},\quad "
    r"E[z|x] = \varsigma(c + W'x),\quad E[x|z] = \varsigma(b + Wz)",
    source="[e, RBM]; Hinton 2002",
    method="products over units vs sums over all states of the other layer",
    catches=("free_energy_sign", "free_energy_visible_bias_missing", "free_energy_one_missing_in_softplus",
             "free_energy_biases_swapped", "free_energy_transposed", "free_energy_mean_over_hidden",
             "hidden_mean_bias_missing", "hidden_mean_sampled", "hidden_mean_of_visible_layer", "hidden_mean_spins",
             "visible_mean_transposed", "visible_mean_hidden_bias", "visible_mean_sign"),
)
def closed_form_conditionals(ops, seed):
    """At all states of the given layer."""
    for name, rbm in _machines(seed):
        x, z = states(len(rbm.b)), states(len(rbm.c))
        exponent, slack, scale = two_layers(x, z, *rbm.parameters), _rounding(rbm.parameters), 1 + size(rbm.parameters)
        yield Comparison(f"F, {name}", ops.free_energy(rbm, x), -log_sum(exponent, axis=1), slack, scale)
        given_x = np.exp(exponent - log_sum(exponent, axis=1)[:, None]) @ z
        given_z = np.exp(exponent - log_sum(exponent, axis=0)).T @ x
        yield Comparison(f"E[z|x], {name}", ops.hidden_mean(rbm, x), given_x, 2 * slack)
        yield Comparison(f"E[x|z], {name}", ops.visible_mean(rbm, z), given_z, 2 * slack)


@identity(
    id="G4.gradient",
    systems=("G4", "G2"),
    title="Gradient of an RBM's log-likelihood: mean under the data minus mean under the model",
    statement=r"\nabla\tfrac1n\sum_i\log p(x_i) = \tfrac1n\sum_i E[(xz', x, z)|x_i] - E(xz', x, z),\quad "
    r"\nabla\log Z = E(xz', x, z)",
    source="[e, 'Gradient of log-likelihood']",
    method="means in closed form vs complex steps of the log-likelihood over all pairs of states",
    catches=("log_likelihood_descent", "log_likelihood_sum_over_batch", "log_likelihood_negative_phase_missing",
             "log_likelihood_gradient_biases_swapped", "log_likelihood_hidden_sampled", "log_likelihood_gradient_transposed",
             "log_likelihood_without_log_partition", "moments_independent", "moments_one_layer", "moments_transposed"),
)
def likelihood_gradient(ops, seed):
    """Small machines, every parameter; and images of digits on six hidden units, along random directions."""
    for name, rbm in _machines(seed):
        x, z = states(len(rbm.b)), states(len(rbm.c))
        data = x[np.random.default_rng((seed, 3)).integers(0, len(x), 7)]

        def log_z(*parameters, x=x, z=z):
            return log_sum(two_layers(x, z, *parameters))

        def likelihood(*parameters, data=data, z=z, log_z=log_z):
            return log_sum(two_layers(data, z, *parameters), axis=1).mean() - log_z(*parameters)

        slack = 4 * _rounding(rbm.parameters)
        for what, got, want in zip("Wbc", ops.moments(rbm), gradient(log_z, rbm.parameters), strict=True):
            yield Comparison(f"d log Z/d{what}, {name}", got, want, slack)
        value, slopes = ops.log_likelihood(rbm, data, grad=True)
        yield Comparison(f"log-likelihood, {name}", value, likelihood(*rbm.parameters), slack, 1 + size(rbm.parameters))
        for what, got, want in zip("Wbc", slopes, gradient(likelihood, rbm.parameters), strict=True):
            yield Comparison(f"d log-likelihood/d{what}, {name}", got, want, slack)
    yield from _on_digits(ops, seed)


def _on_digits(ops, seed):
    """2^64 images cannot be added up: the second road sums over hidden states, image by image and for Z, as products of 1 + e^a."""
    rng = np.random.default_rng((seed, 8))
    images, z = binary_digits()[0][:150], states(6)
    rbm = RBM(0.4 * rng.standard_normal((64, 6)), np.log(0.1 + images.mean(axis=0)), rng.standard_normal(6) - 0.5)

    def likelihood(W, b, c):
        log_z = log_sum(z @ c + np.log(1 + np.exp(z @ W.T + b)).sum(axis=1))
        return log_sum(two_layers(images, z, W, b, c), axis=1).mean() - log_z

    value, slopes = ops.log_likelihood(rbm, images, grad=True)
    slack, scale = 4 * _rounding(rbm.parameters), 1 + size(rbm.parameters)
    yield Comparison("log-likelihood, digits", value, likelihood(*rbm.parameters), slack, scale)
    for k in range(4):
        way = [rng.standard_normal(a.shape) for a in rbm.parameters]
        want = likelihood(*(a + 1e-30j * w for a, w in zip(rbm.parameters, way, strict=True))).imag / 1e-30
        got = sum((s * w).sum() for s, w in zip(slopes, way, strict=True))
        reach = sum(np.abs(w).sum() for w in way)
        yield Comparison(f"gradient along direction {k}, digits", got, want, slack * reach, reach)


@identity(
    id="G4.gaussian",
    systems=("G4", "A2"),
    title="The RBM with Gaussian visible units is a mixture of 2^m Gaussians, and its score needs no Z",
    statement=r"\nabla\log p(x) = \tfrac{1}{\sigma^2}(b - x + W\varsigma(c + W'x/\sigma^2)) "
    r"= \nabla\log\sum_z w_z N(x; b + Wz, \sigma^2 I),\quad w_z \propto e^{c'z + (Wz)'(2b + Wz)/(2\sigma^2)}",
    source="Cho, Ilin & Raiko 2011; Melchior, Wang & Wiskott 2017; [e, 'The score function does not depend on Z']",
    method="free energy and logistic means vs the mixture's density and score; both vs sums over z and complex steps",
    catches=("gaussian_rbm_score_sign", "gaussian_rbm_score_over_sigma", "gaussian_rbm_score_hidden_sampled",
             "gaussian_rbm_score_input_not_scaled", "gaussian_rbm_score_centre_missing", "gaussian_rbm_jacobian_sigma_squared",
             "gaussian_rbm_log_partition_volume_missing", "gaussian_rbm_free_energy_without_half", "mixture_equal_weights",
             "mixture_weights_without_square", "mixture_centre_missing", "mixture_sigma_for_variance"),
)
def gaussian_visible(ops, seed):
    """v = 1, 2, 3; sigma on both sides of one; a centre away from zero; log Z on the line by a sum over a grid too."""
    for v, m, sigma in ((1, 3, 0.8), (2, 2, 1.7), (3, 4, 0.6)):
        rng = np.random.default_rng((seed, v, m, 1))
        machine = GaussianRBM(rng.standard_normal((v, m)), rng.standard_normal(v) + 0.7, rng.standard_normal(m) - 0.4, sigma)
        x, z = machine.b + 2 * rng.standard_normal((6, v)), states(m)

        def log_joint(x, machine=machine, z=z, sigma=sigma):
            """-|x - b|^2/(2 sigma^2) + x'Wz/sigma^2 + c'z of all pairs, (n, 2^m)."""
            return -((x - machine.b) ** 2).sum(axis=1)[:, None] / (2 * sigma**2) + x @ machine.W @ z.T / sigma**2 + z @ machine.c

        def log_p(x, log_joint=log_joint):
            return log_sum(log_joint(x), axis=1)

        mixture = ops.mixture(machine)
        case = f"v = {v}, m = {m}, sigma {sigma}"
        reach = (np.abs(x).max() + size(machine.parameters)) / sigma
        scale, steep = 1 + reach**2, (1 + reach) / sigma
        slack = 4 * EPS * (20 + v + m) * scale
        yield Comparison(f"F, {case}", ops.free_energy(machine, x), -log_p(x), slack, scale)
        yield Comparison(f"log p against the mixture's, {case}", ops.logpdf(machine, x), ops.logpdf(mixture, x), slack, scale)
        yield Comparison(f"log p against the sum over Gaussians, {case}", ops.logpdf(machine, x),
                         _textbook.log_density(mixture, x), slack, scale)
        log_z, error = ops.log_partition(machine)
        yield Comparison(f"F + log p = -log Z, {case}", ops.free_energy(machine, x) + ops.logpdf(mixture, x),
                         np.full(6, -log_z), slack + error, scale)
        want = _textbook.gradient(log_p, x)
        yield Comparison(f"score against complex step, {case}", ops.score(machine, x), want, slack * steep, scale * steep)
        yield Comparison(f"score against the mixture's, {case}", ops.score(machine, x), ops.score(mixture, x), slack * steep,
                         scale * steep)
        jacobian = ops.score_jacobian(machine, x)
        yield Comparison(f"Ds against the mixture's, {case}", jacobian, ops.score_jacobian(mixture, x), slack * steep**2,
                         scale * steep**2)
        yield Comparison(f"div s, {case}", ops.score_divergence(machine, x), np.trace(jacobian, axis1=1, axis2=2),
                         slack * steep**2, scale * steep**2)
        given_x = np.exp(log_joint(x) - log_p(x)[:, None]) @ z
        yield Comparison(f"E[z|x], {case}", ops.hidden_mean(machine, x), given_x, slack, scale)
        if v == 1:  # 1/4 sigma apart the trapezoidal rule is exact to e^{-2 (4 pi)^2}, and beyond 12 sigma there is nothing
            far = np.abs(machine.W).sum() + 12 * sigma
            grid = machine.b + np.arange(-far, far, sigma / 4)[:, None]
            yield Comparison("log Z on the line", log_z, log_sum(log_joint(grid)) + np.log(sigma / 4), slack + error, scale)


@identity(
    id="G4.deep",
    systems=("G4",),
    title="A deep Boltzmann machine with two hidden layers is an RBM given its first hidden layer, and another one given the data",
    statement=r"Z = \sum_{z_1} e^{c_1'z_1}\prod_i(1 + e^{b_i + (W_1z_1)_i})\prod_k(1 + e^{c_{2,k} + (W_2'z_1)_k}),\quad "
    r"\log p(x) = b'x + \log Z_{RBM}(W_2, c_1 + W_1'x, c_2) - \log Z",
    source="[e, RBM: stacked]; Salakhutdinov & Hinton 2009, sec. 3",
    method="two restricted machines vs all triples of states one by one, and complex steps",
    catches=("deep_log_partition_of_two_machines", "deep_posterior_bottom_up", "deep_posterior_ignores_data",
             "deep_posterior_transposed", "deep_logpdf_of_first_machine", "deep_log_likelihood_descent",
             "deep_log_likelihood_mean_field", "deep_moments_independent"),
)
def two_hidden_layers(ops, seed):
    """Three widths; W2 = 0, where the second layer is independent of all."""
    for v, m, n, upper in ((3, 3, 3, 1.0), (4, 3, 2, 1.5), (2, 3, 4, 1.0), (3, 2, 3, 0.0)):
        rng = np.random.default_rng((seed, v, m, n))
        W1, W2 = rng.standard_normal((v, m)), upper * rng.standard_normal((m, n))
        b, c1, c2 = (rng.standard_normal(k) + shift for k, shift in ((v, -0.5), (m, 0.4), (n, 0.8)))
        machine = DeepBoltzmannMachine(W1, W2, b, c1, c2)
        layers = states(v), states(m), states(n)
        exponent = three_layers(*layers, *machine.parameters)
        log_z, slack = float(log_sum(exponent)), 4 * _rounding(machine.parameters)
        scale = 1 + size(machine.parameters)
        case = f"layers of {v}, {m}, {n}" + ("" if upper else ", W2 = 0")
        yield Comparison(f"log Z, {case}", ops.log_partition(machine)[0], log_z, slack, scale)
        if not upper:
            alone = ops.log_partition(RBM(W1, b, c1))[0] + np.log(1 + np.exp(c2)).sum()
            yield Comparison("log Z = log Z of the first two layers + sum log(1 + e^c2)", log_z, alone, slack, scale)
        yield Comparison(f"log p(x), {case}", ops.logpdf(machine, layers[0]), log_sum(exponent, axis=(1, 2)) - log_z, slack, scale)
        given = ops.posterior(machine, layers[0][-2])
        joint = two_layers(*layers[1:], *given.parameters)
        want = exponent[-2] - log_sum(exponent[-2])
        yield Comparison(f"log p(z1, z2|x), {case}", joint - log_sum(joint), want, slack, scale)
        yield from _deep_gradient(ops, seed, machine, layers, slack, case)


def _deep_gradient(ops, seed, machine, layers, slack, case):
    x, z1, z2 = layers
    data = x[np.random.default_rng((seed, 4)).integers(0, len(x), 5)]

    def log_z(*parameters):
        return log_sum(three_layers(x, z1, z2, *parameters))

    def likelihood(*parameters):
        return log_sum(three_layers(data, z1, z2, *parameters), axis=(1, 2)).mean() - log_z(*parameters)

    names = ("W1", "W2", "b", "c1", "c2")
    for name, got, want in zip(names, ops.moments(machine), gradient(log_z, machine.parameters), strict=True):
        yield Comparison(f"d log Z/d{name}, {case}", got, want, slack)
    value, slopes = ops.log_likelihood(machine, data, grad=True)
    yield Comparison(f"log-likelihood, {case}", value, likelihood(*machine.parameters), slack, 1 + size(machine.parameters))
    for name, got, want in zip(names, slopes, gradient(likelihood, machine.parameters), strict=True):
        yield Comparison(f"d log-likelihood/d{name}, {case}", got, want, slack)
