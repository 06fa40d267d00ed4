"""Samplers and likelihoods as black boxes: right ones pass, a discretisation's bias is told from mistakes, mistakes are caught."""

import numpy as np
import pytest

from refscore.conformance import Reference, check, generating
from refscore.conformance.ladders.generating import gaussian, likelihood
from refscore.conformance.likelihood import wanted
from refscore.conformance.mistakes import CATALOGUE
from refscore.densities import Gaussian
from refscore.processes import DDPM, OU, VE, VP, Path, cosine_betas, linear_betas
from refscore.samplers import ddim, ddpm, probability_flow, reverse_sde

CHAIN = DDPM(linear_betas(30))
PROCESSES = {"VP": VP(), "VE": VE(0.01, 10.0), "OU": OU(1.0, 1.3), "DDPM": CHAIN,
             "straight lines": Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -np.ones_like(t), sigma_slope=np.ones_like)}


def the(adapter, operation, seed=0):
    """The verdict on one operation."""
    return check(adapter, seed=seed, only=(operation,)).checks[0]


def drawing(process, draw, **conventions):
    """An adapter with a sampler alone: ``draw(model, n, seed)``, the model being refscore's own."""
    return type("Sampler", (), {"process": process, "conventions": conventions, "sample": staticmethod(draw)})


@pytest.mark.parametrize("process", ["VP", "DDPM", *[pytest.param(p, marks=pytest.mark.slow)
                                                     for p in ("VE", "OU", "straight lines")]])
def test_the_reference_samples_the_right_law(process):
    found = the(Reference(PROCESSES[process]), "sample")
    assert found.outcome == "pass" and "is found with probability 99 %" in found.message


def euler(process, count, model, n, seed):
    start, end = generating.span(process, {})
    chain = reverse_sde(process, lambda x, t: model(x, np.full(len(x), t)), np.linspace(end, start, count + 1))
    rng = np.random.default_rng(seed)
    return chain.simulate(float(process.sigma(end)) * rng.standard_normal((n, model.spec.dim)), rng)


@pytest.mark.parametrize("count, outcomes", [(400, {"pass"}), (100, {"pass", "inconclusive"}), (40, {"pass", "inconclusive"})])
def test_biases_of_few_steps_are_no_mistakes(count, outcomes):
    found = the(drawing(VP(), lambda model, n, seed: euler(VP(), count, model, n, seed)), "sample")
    assert found.outcome in outcomes, found.message


@pytest.mark.parametrize("start, outcome", [(1.0, "fail"), pytest.param(8.0, "pass", marks=pytest.mark.slow)])
def test_where_noise_is_all_that_is_added_the_start_shows(start, outcome):
    """Of data much narrower than the last noise it is forgotten."""
    process = VE(0.05, 8.0)

    def draw(model, n, seed):
        rng = np.random.default_rng(seed)
        chain = reverse_sde(process, lambda x, t: model(x, np.full(len(x), t)), np.linspace(1, 1e-5, 301), "exponential")
        return chain.simulate(start * rng.standard_normal((n, model.spec.dim)), rng)

    found = the(drawing(process, draw), "sample")
    assert found.outcome == outcome, found.message
    if outcome == "fail":
        assert found.failing == ("d = 1, N(4.62, 21.33)",) and "that of the reverse SDE" in found.message


CHAINS = {
    "ddpm with variance beta ": lambda p, m: ddpm(p, m, "beta", predicts="score"),
    "ddim with eta = 0": lambda p, m: ddim(p, m, None, 0.0, predicts="score"),
    "ddpm with variance beta_tilde": lambda p, m: ddpm(p, m, "beta_tilde", predicts="score"),
    "ddim with eta = 1": lambda p, m: ddim(p, m, None, 1.0, predicts="score"),
}


@pytest.mark.parametrize("name, run", [
    pytest.param(*case, marks=pytest.mark.slow if k > 1 else ()) for k, case in enumerate(CHAINS.items())])
def test_chains_are_named(name, run):
    process = DDPM(linear_betas(30, 1e-3, 0.3))

    def draw(model, n, seed):
        rng = np.random.default_rng(seed)
        chain = run(process, lambda x, t: model(x, np.full(len(x), t)))
        return chain.simulate(rng.standard_normal((n, model.spec.dim)), rng)

    found = the(drawing(process, draw), "sample")
    assert found.outcome == "pass" and name in found.message + " "


@pytest.mark.parametrize("first, stride, eta", [
    (0, 20, 1.0), *[pytest.param(*case, marks=pytest.mark.slow) for case in ((0, 2, 0.0), (1, 10, 0.0), (1, 5, 1.0))]])
def test_ddim_on_some_indices_of_a_chain_is_not_called_wrong(first, stride, eta):
    process = DDPM(linear_betas(100))

    def draw(model, n, seed):
        indices = [*range(100 + first * (1 - stride), 0, -stride), 0]
        chain = ddim(process, lambda x, t: model(x, np.full(len(x), t)), indices, eta, predicts="score")
        rng = np.random.default_rng(seed)
        return chain.simulate(rng.standard_normal((n, model.spec.dim)), rng)

    found = the(drawing(process, draw), "sample")
    assert found.outcome == "inconclusive" and f"eta = {eta:g} on the {100 // stride} indices" in found.message, found.message


@pytest.mark.slow
def test_laws_that_are_products_are_compared_along_their_axes():
    """Long jumps to the end of a cosine schedule, where alpha is all rounding and no law is seen to be Gaussian."""
    process = DDPM(cosine_betas(1000))

    def draw(model, n, seed):
        return 3 + np.random.default_rng(seed).standard_normal((n, model.spec.dim))

    assert the(drawing(process, draw), "sample").outcome == "fail"


WRONG = {
    "mean": lambda p, rng, n: p.sample(n, rng) + 0.15,
    "spread": lambda p, rng, n: p.mean + 1.2 * (p.sample(n, rng) - p.mean),
    "one for two rows": lambda p, rng, n: np.repeat(p.sample(n // 2 + 1, rng), 2, axis=0)[:n],
    "one column for both": lambda p, rng, n: np.repeat(p.sample(n, rng)[:, :1], p.dim, axis=1),
    "few values": lambda p, rng, n: np.round(p.sample(n, rng), 1),
}


@pytest.mark.parametrize("wrong", [pytest.param(w, marks=pytest.mark.slow if k % 2 else ()) for k, w in enumerate(WRONG)])
def test_wrong_laws_fail(wrong):
    def draw(model, n, seed):
        return WRONG[wrong](model.spec.density, np.random.default_rng(seed), n)

    found = the(drawing(VP(), draw), "sample")
    assert found.outcome == "fail", found.message


def test_the_wrong_weights_of_modes_fail():
    def draw(model, n, seed):
        a = dict(model.spec.arrays)
        a["weights"] = a["weights"][::-1] if len(a["weights"]) > 1 else a["weights"]
        return type(model.spec)("mixture", a).density.sample(n, np.random.default_rng(seed))

    found = the(drawing(VP(), draw), "sample")
    assert found.outcome == "fail" and found.failing == ("d = 1, mixture",)


def test_seeds_of_samplers():
    rng = np.random.default_rng(0)
    ignored = the(drawing(VP(), lambda model, n, seed: model.spec.density.sample(n, rng)), "sample")
    assert ignored.outcome == "pass" and ignored.message.startswith("the seed is ignored")
    fixed = the(drawing(VP(), lambda model, n, seed: model.spec.density.sample(n, 3)), "sample")
    assert fixed.outcome == "fail" and "two seeds" in fixed.message


@pytest.mark.parametrize("first, scale, outcome", [
    (10, 1.0, "pass"), (9, 1.0, "fail"), pytest.param(30, 1.0, "pass", marks=pytest.mark.slow),
    pytest.param(30, 0.95, "fail", marks=pytest.mark.slow)])
def test_of_a_short_chain_more_is_seen(first, scale, outcome):
    """Noise that is 5 % too narrow, and a chain of ten steps without the first."""
    process = DDPM(linear_betas(max(first, 10)))
    reference = Reference(process)

    def draw(model, n, seed):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((n, model.spec.dim))
        for index in range(first, 0, -1):
            x = reference.ddpm_step(model, x, index, scale * rng.standard_normal(x.shape))
        return x

    assert the(drawing(process, draw), "sample").outcome == outcome



@pytest.mark.parametrize("seed", range(3))
def test_right_draws_pass_whatever_the_seed(seed):
    adapter = drawing(VP(), lambda model, n, s: model.spec.density.sample(n, np.random.default_rng(s)))
    assert the(adapter, "sample", seed).outcome == "pass"


SAMPLERS = [m.name for m in CATALOGUE.values() if m.operation == "sample"]


@pytest.mark.parametrize("mistake", [name if name in ("sample_half_the_score", "sample_chain_score_sign") else
                                     pytest.param(name, marks=pytest.mark.slow) for name in SAMPLERS])
def test_every_mistake_of_a_sampler_is_caught(mistake):
    process = CHAIN if "chain" in mistake else VE(0.01, 10.0) if "start" in mistake else VP()
    found = the(CATALOGUE[mistake].adapter(process), "sample")
    assert found.outcome == "fail", found.message
    assert mistake in [e.mistake for e in found.diagnosis], found.message


NULL = {
    "zeros": lambda n, d: np.zeros((n, d)), "NaN": lambda n, d: np.full((n, d), np.nan), "shape": lambda n, d: np.ones((n, d + 1)),
    "noise": lambda n, d: np.random.default_rng(0).standard_normal((n, d)), "None": lambda n, d: None,
}


@pytest.mark.parametrize("null", NULL)
def test_null_samplers_pass_nothing(null):
    found = the(drawing(VP(), lambda model, n, seed: NULL[null](n, model.spec.dim)), "sample")
    assert found.outcome in ("fail", "error")


# --- likelihoods ---


@pytest.mark.parametrize("predicts", ["score", "eps", "x0", "v", "energy"])
@pytest.mark.parametrize("process", ["VP", *[pytest.param(p, marks=pytest.mark.slow) for p in ("VE", "OU", "straight lines")]])
def test_the_reference_knows_its_likelihood(process, predicts):
    assert the(Reference(PROCESSES[process], {"predicts": predicts}), "log_likelihood").outcome == "pass"


def test_likelihoods_by_two_roads():
    """The flow against the density itself: what is left is the law of the end, taken for N(0, sigma_T^2 I)."""
    for process in (VP(), OU(1.0, 1.3)):
        reference = Reference(process)
        for rung in likelihood(None)[:3]:
            exact, along = wanted(reference, rung)
            flow = probability_flow(process, generating.ScoreOf(reference, reference.model(rung.arguments["model"])))
            start, end = generating.span(process, {})
            law = process.marginal(rung.arguments["model"].density, end)
            np.testing.assert_allclose(flow.log_likelihood(rung.arguments["x"], start, end, law).total, exact, atol=1e-7)
            assert np.abs(along - exact).max() < 5e-3


def test_the_published_numbers():
    """x = 0.3, data N(0, 1/4), VP: right, without divergence, and with its sign turned."""
    reference = Reference(VP())
    model, x = reference.model(gaussian(1)), np.array([[0.3]])
    assert reference.log_likelihood(model, x)[0] == pytest.approx(-0.4058, abs=1e-4)
    assert CATALOGUE["likelihood_without_divergence"].function(reference, model, x)[0] == pytest.approx(-1.099, abs=1e-3)
    assert CATALOGUE["likelihood_divergence_sign"].function(reference, model, x)[0] == pytest.approx(-1.792, abs=1e-3)


LIKELIHOODS = [m.name for m in CATALOGUE.values() if m.operation == "log_likelihood"]


@pytest.mark.parametrize("mistake", [pytest.param(name, marks=pytest.mark.slow) if k % 9 else name
                                     for k, name in enumerate(LIKELIHOODS)])
def test_every_mistake_of_a_likelihood_is_caught_and_named(mistake):
    found = the(CATALOGUE[mistake].adapter(OU(1.0, 1.3)), "log_likelihood")
    assert found.outcome == "fail" and [e.mistake for e in found.diagnosis] == [mistake], found.message


def test_a_coarse_solver_passes_and_its_error_is_said():
    def coarse(model, x):
        reference = Reference(VP())
        return reference.log_likelihood(model, x) + 2e-3 * np.sin(x[:, 0])

    adapter = type("Coarse", (), {"process": VP(), "log_likelihood": staticmethod(coarse)})
    found = the(adapter, "log_likelihood")
    assert found.outcome == "pass" and "more than rounding" in found.message and found.error > 1e-3


@pytest.mark.parametrize("steps, outcome", [
    (20, "fail"), (60, "inconclusive"), pytest.param(500, "pass", marks=pytest.mark.slow)])
def test_eulers_method_is_not_called_wrong(steps, outcome):
    def likelihood(model, x):
        flow = probability_flow(VP(), generating.ScoreOf(Reference(VP()), model))
        chain = flow.steps(np.linspace(1e-5, 1, steps + 1), "euler")
        return chain.log_likelihood(x, Gaussian(np.zeros(x.shape[1]), np.eye(x.shape[1]))).total

    found = the(type("Euler", (), {"process": VP(), "log_likelihood": staticmethod(likelihood)}), "log_likelihood")
    assert found.outcome == outcome, found.message


@pytest.mark.parametrize("null", [lambda x: np.zeros(len(x)), lambda x: np.full(len(x), np.nan), lambda x: x, lambda x: x[:, 0]])
def test_null_likelihoods_pass_nothing(null):
    adapter = type("Null", (), {"process": VP(), "log_likelihood": staticmethod(lambda model, x: null(x))})
    assert the(adapter, "log_likelihood").outcome in ("fail", "error")
