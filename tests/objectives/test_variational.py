"""The variational bound in 50 digits from the formulas of the paper, by simulation against the likelihood, and its refusals."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian
from refscore.distances import kl
from refscore.laws import law
from refscore.networks import MLP
from refscore.objectives import ddpm_simple, prior_loss, variational_bound, variational_loss
from refscore.processes import DDPM, VP, MarginalScore, linear_betas
from refscore.samplers import Chain, ddpm

EPS = np.finfo(float).eps
RNG = np.random.default_rng(3)
X0, Z = RNG.normal(size=(2, 5, 2)) + 0.3


def wavy(x, i):
    return np.sin(x[:, ::-1] + 0.1 * np.reshape(i, (-1, 1))) + 0.3 * x


def in_digits(betas, i, x0, z, eps, variance):
    """L_{i-1} of one row: KL of two Gaussians, or the decoder's log-density; everything from products of 1 - beta."""
    bars = [mp.mpf(1)]
    for beta in betas:
        bars.append(bars[-1] * (1 - mp.mpf(float(beta))))
    beta, bar, before = mp.mpf(float(betas[i - 1])), bars[i], bars[i - 1]
    v = beta if variance == "beta" or i == 1 else (1 - before) / (1 - bar) * beta
    total = mp.mpf(0)
    for a, n, e in zip(x0, z, eps, strict=True):
        x = mp.sqrt(bar) * mp.mpf(float(a)) + mp.sqrt(1 - bar) * mp.mpf(float(n))
        mean = mp.sqrt(before) * beta / (1 - bar) * mp.mpf(float(a)) + mp.sqrt(1 - beta) * (1 - before) / (1 - bar) * x
        guess = (x - beta / mp.sqrt(1 - bar) * mp.mpf(float(e))) / mp.sqrt(1 - beta)
        known = (1 - before) / (1 - bar) * beta
        total += (mean - guess) ** 2 / (2 * v)
        total += mp.log(2 * mp.pi * v) / 2 if i == 1 else (known / v - 1 - mp.log(known / v)) / 2
    return total


@given(st.lists(st.floats(1e-15, 0.999), min_size=2, max_size=5), st.sampled_from(["beta", "beta_tilde"]), st.data())
@settings(max_examples=60, deadline=None)
def test_terms_in_digits(betas, variance, data):
    """Relative to the squared error and the constant apart: a few roundings each, and C = -log alpha-bar of 1 - r."""
    process, i = DDPM(betas), data.draw(st.integers(1, len(betas)))
    eps = wavy(process.corrupt(X0, i, Z), i)
    found = variational_loss(wavy, process, X0, i, Z, variance, over_batch="none")
    with mp.workdps(120):
        exact = [in_digits(betas, i, *row, variance) for row in zip(X0, Z, eps, strict=True)]
    condition = 1 - 2 * np.log(process.alpha(i))
    size = np.abs(np.array([float(y) for y in exact])) + (abs(np.log(betas[0])) + 4) * 2 * (i == 1)
    assert (np.abs(found - np.array([float(y) for y in exact])) <= 64 * condition * EPS * size).all()


@pytest.mark.parametrize("beta", [1e-3, 1e-6, 1e-9])
def test_short_steps_keep_the_digits_of_the_constant(beta):
    """The exact prediction leaves d/2 (r - 1 - log r), about d/4 (1 - r)^2: nothing of it may be a difference of parts near one."""
    betas = [0.5, beta, beta]
    process = DDPM(betas)
    for i in (2, 3):
        found = variational_loss(lambda x, j: Z, process, X0, i, Z, "beta", over_batch="none")
        with mp.workdps(60):
            exact = float(in_digits(betas, i, X0[0], Z[0], Z[0], "beta"))
        assert found == pytest.approx(np.full(5, exact), rel=64 * EPS, abs=0)


@pytest.mark.parametrize("betas", [linear_betas(), [0.3, 0.9, 0.999], [1e-9, 1e-12], linear_betas(300, 1e-3, 0.1)])
def test_prior_in_digits(betas):
    process, weight = DDPM(betas), np.array([0.1, 0.4, 0.2, 0.0, 0.5])
    with mp.workdps(60):
        bar = mp.fprod(1 - mp.mpf(float(b)) for b in betas)
        each = [(bar * mp.fsum(mp.mpf(float(a)) ** 2 for a in row) + 2 * (-bar - mp.log(1 - bar))) / 2 for row in X0]
        exact = float(mp.fsum(w * y for w, y in zip(weight, each, strict=True)))
        mean = float(mp.fsum(each) / 5)
        condition = 1 + float(-mp.log(bar) + bar / (1 - bar) / -mp.log(1 - bar) * -mp.log(bar))
    assert prior_loss(process, X0, sample_weight=weight) == pytest.approx(exact, rel=16 * condition * EPS)
    assert prior_loss(process, X0) == pytest.approx(mean, rel=16 * condition * EPS)


@pytest.mark.parametrize("variance", ["beta", pytest.param("beta_tilde", marks=pytest.mark.slow)])
def test_bound_is_above_the_likelihood_and_tight_in_the_limit(variance):
    """Gaussian data, exact prediction, E over nodes; -E log p_theta(x_0) by the law of the chain with its decoder's noise."""
    data, gaps = Gaussian([0.4], 0.5), []
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    grid = np.array(np.meshgrid(nodes, nodes)).reshape(2, -1)
    w = np.outer(weights, weights).ravel() / (2 * np.pi)
    x0, z = 0.4 + np.sqrt(0.5) * grid[0][:, None], grid[1][:, None]
    for n in (7, 50, 400):
        process = DDPM.from_vp(VP(), np.linspace(0, 1, n + 1))
        score = MarginalScore(process, data)
        chain = ddpm(process, score, variance, predicts="score")
        noisy = Chain(chain.score, chain.times, chain.a, chain.b, np.append(chain.v[:-1], process.beta(1)))
        p = law(noisy, Gaussian([0.0], 1.0))
        likelihood = w @ p.logpdf(x0)
        bound = variational_bound(score, process, x0, z, variance, predicts="score", sample_weight=w)
        assert bound.total == pytest.approx(bound.decoder + bound.steps.sum() + bound.prior, rel=1e-14)
        gaps.append(bound.total + likelihood)
    assert min(gaps) > 0
    if variance == "beta":  # the reversed kernels become N(., beta I): KL of order beta a step, beta^2 with the right variance
        assert gaps[1] < gaps[0] and gaps[2] < gaps[1] / 4
    else:  # beta~_2 is half of the right variance whatever N: the first steps never become right
        assert gaps[2] > 0.1


@pytest.mark.slow
def test_gap_of_the_posterior_variance_is_half_of_eulers_constant():
    """Gaussian data, constant beta(t): what the reversed kernels cost, in N steps, is gamma/2 + (a + b log N)/N + O(log N/N^2).

    The cost is the bound less the data's entropy and less KL(q(x_N) || N(0, I)), what the start costs.
    """
    data, gaps, steps = Gaussian([0.4], 0.5), [], np.array([100, 200, 400, 800])
    signs = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # exact for polynomials of degree 2 in (x_0, noise)
    x0, z = 0.4 + np.sqrt(0.5) * signs[:, :1], signs[:, 1:]
    for n in steps:
        process = DDPM.from_vp(VP(3.0, 3.0), np.linspace(0, 1, n + 1))
        bound = variational_bound(MarginalScore(process, data), process, x0, z, "beta_tilde", predicts="score")
        start = kl(process.marginal(data, n), Gaussian([0.0], 1.0))[0]
        gaps.append(bound.total - start - (1 + np.log(2 * np.pi * 0.5)) / 2)
    basis = np.stack([np.ones(4), 1 / steps, np.log(steps) / steps, 1 / steps**2], axis=1)
    assert np.linalg.solve(basis, gaps)[0] == pytest.approx(np.euler_gamma / 2, abs=1e-4)


def test_batches_weights_and_gradients_agree_with_rows():
    process, model = DDPM([0.1, 0.3, 0.05]), MLP((3, 6, 2), "tanh", 4)
    index = np.array([1, 3, 2, 1, 2])
    for variance in ("beta", "beta_tilde"):
        rows = variational_loss(model, process, X0, index, Z, variance, over_batch="none")
        w = np.array([0.3, 0.0, 0.2, 0.9, 0.1])
        assert variational_loss(model, process, X0, index, Z, variance) == pytest.approx(rows.mean(), rel=1e-13)
        assert variational_loss(model, process, X0, index, Z, variance, over_batch="sum") == pytest.approx(rows.sum(), rel=1e-13)
        for over in ("mean", "sum"):
            found = variational_loss(model, process, X0, index, Z, variance, sample_weight=w, over_batch=over)
            assert found == pytest.approx(w @ rows, rel=1e-13)
        value, gradient = variational_loss(model, process, X0, index, Z, variance, grad=True)
        assert value == pytest.approx(rows.mean(), rel=1e-13)
        for k, array in enumerate(model.parameters):
            at = tuple(s // 2 for s in array.shape)
            moved = []
            for h in (1e-6, -1e-6):
                parameters = [a.copy() for a in model.parameters]
                parameters[k][at] += h
                moved.append(variational_loss(model.with_parameters(parameters), process, X0, index, Z, variance))
            assert gradient[k][at] == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-6, abs=1e-7)


def test_one_noise_an_index_and_what_the_model_predicts():
    process = DDPM([0.1, 0.3, 0.05])
    noise = RNG.normal(size=(3, 5, 2))
    bound = variational_bound(wavy, process, X0, noise)
    for i in (1, 2, 3):
        term = variational_loss(wavy, process, X0, i, noise[i - 1])
        assert (bound.decoder if i == 1 else bound.steps[i - 2]) == term

    def clean(x, i):
        return process.convert(wavy(x, i), x, i, "eps", "x0")

    assert variational_bound(clean, process, X0, Z, predicts="x0").total == pytest.approx(
        variational_bound(wavy, process, X0, Z).total, rel=1e-12)


def test_weight_of_l_simple():
    """With v = beta and one index, the loss is w ||.||^2 plus constants: differences of models agree with L_simple's."""
    process, i = DDPM([0.1, 0.3, 0.05]), 2
    w = 0.3 / (2 * 0.7 * float(process.variance(i)))
    models = (wavy, lambda x, i: 0.2 * x)
    full = [variational_loss(m, process, X0, i, Z, "beta") for m in models]
    simple = [ddpm_simple(m, process, X0, i, Z) for m in models]
    assert full[0] - full[1] == pytest.approx(w * (simple[0] - simple[1]), rel=1e-12)


def test_single_precision_models_stay_close():
    process = DDPM([0.1, 0.3, 0.05])
    model = MLP((3, 6, 2), "tanh", 4)
    small = model.with_parameters([p.astype(np.float32) for p in model.parameters])
    found = variational_loss(small, process, X0.astype(np.float32), 2, Z.astype(np.float32))
    assert found == pytest.approx(variational_loss(model, process, X0, 2, Z), rel=1e-5)


CHAIN = DDPM([0.1, 0.3])
REFUSED = [
    (lambda: variational_loss(wavy, VP(), X0, 1, Z), TypeError, "process is VP.*indices of a DDPM"),
    (lambda: variational_loss(wavy, CHAIN, X0, 0, Z), ValueError, "index is 0"),
    (lambda: variational_loss(wavy, CHAIN, X0, 3, Z), ValueError, "runs from time 0 to 2"),
    (lambda: variational_loss(wavy, CHAIN, X0, 1.5, Z), ValueError, "is 1.5: a chain has indices"),
    (lambda: variational_loss(wavy, CHAIN, X0, [1, 2], Z), ValueError, r"index has shape \(2,\)"),
    (lambda: variational_loss(wavy, CHAIN, X0, 1, Z, "gamma"), ValueError, "variance is 'gamma'"),
    (lambda: variational_loss(wavy, CHAIN, X0, 1, Z[:2]), ValueError, "noise has shape"),
    (lambda: variational_bound(wavy, CHAIN, X0, Z[:2]), ValueError, r"noise has shape \(2, 2\): pass \(5, 2\), like x0"),
    (lambda: variational_bound(wavy, VP(), X0, Z), TypeError, "process is VP"),
    (lambda: prior_loss(OU_LIKE, X0), TypeError, "process is 3"),
    (lambda: prior_loss(CHAIN, [[1e200]]), ValueError, "x0 reaches 1e\\+200"),
]
OU_LIKE = 3


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals_name_the_argument_and_the_way_out(call, error, message):
    with pytest.raises(error, match=message):
        call()
