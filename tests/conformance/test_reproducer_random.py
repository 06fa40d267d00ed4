"""Scripts of statistical failures: every one runs with NumPy alone, and wants by its own formulas what the verdict wanted."""

import contextlib
import io
import re

import numpy as np
import pytest

from refscore.conformance import Reference, check, sampled, seeded
from refscore.conformance.candidate import Candidate
from refscore.conformance.generating import span
from refscore.conformance.judge import rungs_of
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.sampled import laws
from refscore.processes import DDPM, OU, VE, VP, Path, SubVP, linear_betas

PROCESSES = {"VP": VP(), "VE": VE(0.01, 10.0), "OU": OU(1.0, 1.3), "sub-VP": SubVP(), "DDPM": DDPM(linear_betas(30)),
             "long DDPM": DDPM(linear_betas(300)),
             "straight lines": Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -np.ones_like(t), sigma_slope=np.ones_like)}


@pytest.fixture(autouse=True)
def fewer_rows(monkeypatch):
    monkeypatch.setattr(seeded, "ROWS", 4_000)


def the(operation, function, process=None, conventions=None, model=None):
    """The verdict on one operation of an adapter that has no other."""
    names = {"process": process, "conventions": conventions or {}, operation: staticmethod(function)}
    if model is not None:
        names["model"] = staticmethod(model)
    return check(type("Adapter", (), names), only=(operation,)).checks[0]


def run(found):
    """(wanted, what is said of the candidate) as the script of a failure prints them."""
    assert found.outcome in ("fail", "error"), found.message
    script = found.reproducer
    assert 0 < script.count("\n") <= 20 and max(map(len, script.splitlines())) <= 600 and "refscore" not in script, script
    assert set(re.findall(r"^import (\w+)", script, re.M)) <= {"numpy", "math"}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "script", "exec"), {})
    wanted, said = out.getvalue().split("; ", 1)
    return float(wanted.removeprefix("wanted ")), said.strip()


def number(said, word):
    """The number after a word of what is said."""
    return float(re.search(rf"{word} ([-+.0-9e]+)", said)[1].rstrip("."))


def is_off(found):
    """Run, and make sure that what is said differs by more than what is said to be allowed; what is wanted."""
    wanted, said = run(found)
    assert abs(number(said, "returned") - wanted) > number(said, "is"), said
    return wanted


def sown(reference, operation, draw):
    """A step of ``reference`` with noise of ``draw(rng, shape)``."""
    function = getattr(reference, operation)
    noisy = {
        "corrupt": lambda x0, t, seed: function(x0, t, draw(np.random.default_rng(seed), x0.shape)),
        "annealed_langevin": lambda model, x, sigmas, eps, n, seed: function(
            model, x, sigmas, eps, n, draw(np.random.default_rng(seed), (len(sigmas), n, *x.shape))),
        "reverse_step": lambda model, x, t, s, seed: function(model, x, t, s, draw(np.random.default_rng(seed), x.shape)),
        "ddim_step": lambda model, x, i, j, eta, seed: function(model, x, i, j, eta, draw(np.random.default_rng(seed), x.shape)),
    }
    return noisy.get(operation, lambda model, x, step, seed: function(model, x, step, draw(np.random.default_rng(seed), x.shape)))


WIDE = {
    "wider": lambda rng, shape: 1.3 * rng.standard_normal(shape),
    "off centre": lambda rng, shape: rng.standard_normal(shape) + 0.3,
    "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1,
}
UNUSUAL = {"predicts": "eps", "langevin": "half_eta", "scheme": "exponential", "variance": "beta_tilde"}


@pytest.mark.parametrize("operation, conventions, draw", [
    pytest.param(o, c, draw, marks=() if (k + i + j) % 6 == 0 else pytest.mark.slow)
    for k, o in enumerate(seeded.STATE) for i, c in enumerate([{}, UNUSUAL]) for j, draw in enumerate(WIDE)])
def test_noise(operation, conventions, draw):
    process = PROCESSES["DDPM"] if operation in ("ddpm_step", "ddim_step") else VP()
    reference = Reference(process, conventions)
    found = the(operation, sown(reference, operation, WIDE[draw]), process, conventions, reference.model)
    is_off(found)
    _, said = run(found)
    spread = re.search(rf"wanted ([-+.0-9e]+) \({re.escape(found.first_failing_rung.removeprefix('noise, '))}\)", found.message)
    assert number(said, "c =") == pytest.approx(float(spread[1]), rel=1e-3)  # the scale of the noise, by the script's own formula


@pytest.mark.parametrize("bad, words", [
    (lambda rng, shape: np.full(shape, np.nan), "it returns NaN"),
    (lambda rng, shape: np.random.default_rng(1).standard_normal(shape), "two seeds give the same"),
])
def test_noise_that_is_none(bad, words):
    found = the("langevin_step", sown(Reference(), "langevin_step", bad))
    assert run(found)[1].startswith(words)


def estimating(draw, estimate):
    return lambda model, x, seed: estimate(model, x, draw(np.random.default_rng(seed), x.shape))


RIGHT = Reference().hutchinson


@pytest.mark.parametrize("draw, estimate", [
    (lambda rng, shape: rng.standard_normal(shape), lambda model, x, v: RIGHT(model, x, v) + 0.1 * x[:, 0] ** 2),
    (lambda rng, shape: rng.uniform(-1, 1, shape), RIGHT),
    (lambda rng, shape: np.sign(rng.random(shape) - 0.4), RIGHT),
    (lambda rng, shape: 1.1 * rng.standard_normal(shape), RIGHT),
])
def test_directions(draw, estimate):
    is_off(the("hutchinson", estimating(draw, estimate)))


@pytest.mark.parametrize("value, words", [(np.nan, "it returns NaN"), (1.0, "two seeds")])
def test_directions_that_are_none(value, words):
    found = the("hutchinson", lambda model, x, seed: np.full(len(x), value))
    wanted, said = run(found)
    assert said.startswith(words) and np.isfinite(wanted)


LAWS = {"moved": lambda x, rng: x + 0.15, "wider": lambda x, rng: 1.2 * x, "narrower": lambda x, rng: 0.7 * x,
        "mixed up": lambda x, rng: np.where(np.arange(len(x))[:, None] % 2, x, -x)}


@pytest.mark.parametrize("process, wrong", [
    pytest.param(p, w, marks=() if (p, w) in (("VP", "moved"), ("DDPM", "wider")) else pytest.mark.slow)
    for p in PROCESSES for w in LAWS])
def test_draws(process, wrong):
    p = PROCESSES[process]
    candidate = Candidate(Reference(p))
    rungs = rungs_of(OPERATIONS["sample"], candidate)

    def draw(model, n, seed):
        rng = np.random.default_rng(seed)
        return LAWS[wrong](model.spec.density.sample(n, rng), rng)

    found = the("sample", draw, p)
    wanted = is_off(found)
    rung = next(r for r in rungs if r.name == found.first_failing_rung)
    at = float(re.search(r"u.x <= ([-+.0-9e]+),", found.reproducer)[1])
    u = np.array(eval(re.search(r"u = (\[.*\])", found.reproducer)[1]))
    law = next(laws(candidate, rung))
    k = int(np.argmin(((law.directions.T - u) ** 2).sum(axis=1)))
    assert wanted == pytest.approx(law.cdf(k, np.array([at]))[0], abs=2e-4 if isinstance(p, DDPM) else 1e-5)  # at has 6 digits


def test_draws_that_depend_on_each_other():
    found = the("sample", lambda model, n, seed: np.repeat(model.spec.density.sample(n, np.random.default_rng(seed))[:, :1],
                                                           model.spec.dim, axis=1), VP())
    is_off(found)
    found = the("sample", lambda model, n, seed: np.full((n, model.spec.dim), np.inf), PROCESSES["DDPM"])
    wanted, said = run(found)
    assert said.startswith("it returns an infinite number") and 0.2 < wanted < 0.8


@pytest.mark.parametrize("process", ["VP", *[pytest.param(p, marks=pytest.mark.slow) for p in PROCESSES
                                                          if p != "VP" and "DDPM" not in p]])
def test_likelihoods(process):
    p = PROCESSES[process]
    candidate = Candidate(Reference(p))
    start, _ = span(p, {})
    found = the("log_likelihood", lambda model, x: p.marginal(model.spec.density, start).logpdf(x) + 3.0 * (len(x) > 1), p)
    wanted = is_off(found)
    rung = next(r for r in rungs_of(OPERATIONS["log_likelihood"], candidate) if r.name == found.first_failing_rung)
    exact = p.marginal(rung.arguments["model"].density, start).logpdf(rung.arguments["x"])
    assert np.abs(exact - wanted).min() < 1e-6
    wanted, said = run(the("log_likelihood", lambda model, x: x, p))
    assert said.startswith("it returns shape") and np.isfinite(wanted)


OF_MACHINES = [m.name for m in CATALOGUE.values() if m.operation == "rbm_cd_gradient"]


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if k % 7 else ()) for k, name in enumerate(OF_MACHINES)])
def test_contrastive_divergence(name):
    found = check(CATALOGUE[name].adapter(), only=("rbm_cd_gradient",)).checks[0]
    if "two seeds" in found.message:  # nothing is drawn: no number is wrong
        run(found)
    else:
        is_off(found)


@pytest.mark.parametrize("function, words", [
    (lambda x, W, b, c, k, seed: None, "it returns None"),
    (lambda x, W, b, c, k, seed: Reference().rbm_cd_gradient(x, W, b, c, k, 0), "two seeds"),
])
def test_contrastive_divergence_that_is_none(function, words):
    wanted, said = run(the("rbm_cd_gradient", function))
    assert said.startswith(words) and np.isfinite(wanted)


@pytest.mark.slow
def test_mistakes_of_samplers_have_scripts():
    for name in ("sample_half_the_score", "sample_chain_score_sign"):
        process = PROCESSES["DDPM"] if "chain" in name else VP()
        is_off(check(CATALOGUE[name].adapter(process), only=("sample",)).checks[0])
    assert sampled.SHORT < len(PROCESSES["long DDPM"])
