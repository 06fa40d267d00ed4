"""Adapters that declare nothing about their models: what these stand for is found out, energies and mixtures included."""

import numpy as np
import pytest

from refscore.conformance import Reference, bridges, check
from refscore.conformance.mistakes import CATALOGUE
from refscore.processes import DDPM, OU, VP, linear_betas

PROCESS = OU(0.8, 1.3)
OPERATIONS = ("alpha", "denoise", "esm_loss", "ism_loss", "dsm_loss", "dsm_loss_grad", "langevin_step", "reverse_step")
RIGHT = Reference(PROCESS, {"predicts": "energy"})


def adapter(own=True, **changed):
    """The reference of energies alone: vector fields raise; ``changed`` operations are these."""
    def of_energies(operation):
        def call(model, *rest):
            if model.spec.kind in ("linear", "mlp"):
                raise TypeError("an energy is wanted, (n,)")
            return operation(model, *rest)

        return call

    operations = {name: getattr(RIGHT, name) for name in OPERATIONS} | changed
    names = {name: staticmethod(f if name == "alpha" else of_energies(f)) for name, f in operations.items()}
    return type("Energies", (), {"process": PROCESS, **names, **({"model": staticmethod(RIGHT.model)} if own else {})})


@pytest.mark.parametrize("own", [True, False])
def test_energies_are_inferred(own):
    result = check(adapter(own))
    assert {c.operation: c.outcome for c in result.checks if c.outcome != "unsupported"} == dict.fromkeys(OPERATIONS, "pass")
    assert result.conventions["predicts"] == "energy"


@pytest.mark.parametrize("operations", [("langevin_step",), ("esm_loss", "sample"), ("reverse_step", "log_likelihood")])
def test_energies_are_inferred_from_little(operations):
    """Whose zero gives a step without drift, as a vector field of zeros does, and whose mixtures are theirs anyway."""
    mixtures = {name: getattr(RIGHT, name) for name in ("sample", "log_likelihood")}
    result = check(adapter(**mixtures), only=operations)
    assert [c.outcome for c in result.checks] == ["pass"] * len(operations)
    assert result.conventions["predicts"] == "energy"


@pytest.mark.parametrize("mistake", ["langevin_noise_without_2", "langevin_score_sign"])
def test_what_is_wrong_beside_them_is_named(mistake):
    wrong = CATALOGUE[mistake].function
    result = check(adapter(langevin_step=lambda *a: wrong(RIGHT, *a)))
    verdicts = {c.operation: c for c in result.checks if c.outcome not in ("unsupported", "pass")}
    assert list(verdicts) == ["langevin_step"] and mistake in [e.mistake for e in verdicts["langevin_step"].diagnosis]


def test_nothing_is_inferred_from_what_is_wrong_of_energies_too():
    result = check(adapter(**{name: lambda model, *a: 1.0 for name in OPERATIONS if name != "alpha"}))
    assert {c.outcome for c in result.checks if c.operation not in ("alpha",)} == {"error", "unsupported"}
    assert "predicts" not in result.conventions


def test_scores_are_not_taken_for_energies():
    result = check(type("Scores", (), {"process": PROCESS, "denoise": RIGHT.denoise, "esm_loss": lambda *a: 0.0,
                                       "model": staticmethod(Reference(PROCESS).model)}), only=("denoise", "esm_loss"))
    assert [c.outcome for c in result.checks] == ["pass", "fail"]


@pytest.mark.parametrize("mistake", ["esm_sign", "reverse_step_score_clipped", "dsm_target_sign"])
def test_mistakes_of_vector_fields_are_not_excused_as_energies(mistake):
    """The reference's models may be either, and what is clipped shows in large numbers alone."""
    m = CATALOGUE[mistake]
    found = check(m.adapter(PROCESS), only=(m.operation,)).checks[0]
    assert found.outcome == "fail" and mistake in [e.mistake for e in found.diagnosis]


@pytest.mark.parametrize("predicts", ["eps", "x0", "v"])
def test_own_mixtures_that_are_scores_where_nothing_is_declared(predicts):
    """Networks tell that the candidate takes eps; nobody told its mixtures to be eps."""
    right = Reference(PROCESS, {"predicts": predicts})
    names = ("denoise", "ode_drift", "reverse_step")
    operations = {name: staticmethod(getattr(right, name)) for name in names}
    own = {"process": PROCESS, "model": staticmethod(Reference(PROCESS).model), **operations}
    result = check(type("Own", (), own), only=names)
    assert [c.outcome for c in result.checks] == ["pass"] * 3 and result.conventions["predicts"] == predicts
    wrong = CATALOGUE["flow_not_halved"].function
    result = check(type("Own", (), own | {"ode_drift": lambda self, *a: wrong(right, *a)}), only=("denoise", "ode_drift"))
    assert [c.outcome for c in result.checks] == ["pass", "fail"]


def test_own_mixtures_that_are_scores_still_tell_what_is_wrong():
    """The step from index 2 has a mixture for a model alone."""
    right = Reference(DDPM(linear_betas(50)), {"predicts": "eps"})
    score = {"process": right.process, "model": staticmethod(Reference(right.process).model)}
    silent = lambda self, model, x, index, noise: right.ddpm_step(model, x, index, noise * (index > 2))  # noqa: E731
    for step, outcome in ((staticmethod(right.ddpm_step), "pass"), (silent, "fail")):
        assert check(type("Own", (), score | {"ddpm_step": step}), only=("ddpm_step",)).checks[0].outcome == outcome


@pytest.mark.parametrize("predicts", ["score", "eps", "v"])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_mixtures_of_a_bridge_follow_what_is_inferred(framework, predicts):
    pytest.importorskip(framework)
    bridge = getattr(bridges, framework)
    out, into = (bridge.array, bridge.tensor) if framework == "torch" else (bridge.numpy, bridge.array)
    right = Reference(PROCESS, {"predicts": predicts})

    class Drift:
        process = PROCESS

        def ode_drift(self, model, x, t):
            def own(x, t):
                return out(model(into(x), into(t)))

            own.spec = model.spec
            return into(right.ode_drift(own, out(x), out(t)))

    result = check(bridge.adapter(Drift), only=("ode_drift",))
    assert result.checks[0].outcome == "pass" and result.conventions["predicts"] == predicts


@pytest.mark.parametrize("operation, predicts", [
    ("sample", "eps"), ("log_likelihood", "eps"), pytest.param("sample", "x0", marks=pytest.mark.slow),
    pytest.param("log_likelihood", "x0", marks=pytest.mark.slow)])
def test_what_mixtures_return_is_found_out_by_what_is_made_of_them(operation, predicts):
    """Of a sampler or a likelihood alone, where nothing else tells."""
    right = Reference(PROCESS, {"predicts": predicts})
    alone = type("Alone", (), {"process": PROCESS, operation: staticmethod(getattr(right, operation))})
    assert check(alone, only=(operation,)).checks[0].outcome == "pass"
    if (operation, predicts) == ("log_likelihood", "x0"):
        wrong = CATALOGUE["likelihood_without_divergence"].function
        alone = type("Alone", (), {"process": PROCESS, operation: lambda self, *a: wrong(right, *a)})
        assert check(alone, only=(operation,)).checks[0].outcome == "fail"


@pytest.mark.parametrize("predicts", ["eps", "x0"])
def test_steps_with_a_seed_infer_what_mixtures_return(predicts):
    right = Reference(PROCESS, {"predicts": predicts})

    def reverse_step(model, x, t, s, seed):
        return right.reverse_step(model, x, t, s, np.random.default_rng(seed).standard_normal(x.shape))

    result = check(type("Seeded", (), {"process": PROCESS, "reverse_step": staticmethod(reverse_step)}))
    assert result.conventions["predicts"] == predicts and result.counts["pass"] == 1


@pytest.mark.parametrize("process", [OU(10.0, 0.1), VP(beta_max=60.0), DDPM(linear_betas(4000))], ids=["OU", "VP", "DDPM"])
@pytest.mark.parametrize("predicts", ["x0", "v"])
@pytest.mark.parametrize("by_the_score", [False, True])
def test_clean_points_of_small_signals(process, predicts, by_the_score):
    """Both the output itself, which has all its digits, and Tweedie's formula, which loses some as alpha goes to 0."""
    def denoise(model, xt, t):
        value, alpha, sigma = model(xt, t), process.alpha(t)[:, None], process.sigma(t)[:, None]
        x0 = value if predicts == "x0" else (alpha * xt - sigma * value) / (alpha**2 + sigma**2)
        return (xt + sigma**2 * ((alpha * x0 - xt) / sigma**2)) / alpha if by_the_score else x0

    adapter = type("Denoiser", (), {"process": process, "conventions": {"predicts": predicts}, "denoise": staticmethod(denoise)})
    found = check(adapter, only=("denoise",)).checks[0]
    assert found.outcome == "pass", found.message


@pytest.mark.parametrize("declared", [{}, {"predicts": "energy"}])
def test_derivatives_of_the_scores_of_energies_are_right_too(declared):
    """The contract's are those of a vector field; who has energies alone means their score."""
    operations = {name: getattr(RIGHT, name) for name in ("jvp", "divergence", "hutchinson")}
    energies = adapter(**operations)
    energies.conventions = declared
    result = check(energies, only=(*operations, "esm_loss"))
    assert {c.operation: c.outcome for c in result.checks} == dict.fromkeys([*operations, "esm_loss"], "pass")
    wrong = adapter(**operations | {"divergence": lambda model, x: -RIGHT.divergence(model, x)})
    assert check(wrong, only=("divergence", "esm_loss")).checks[0].outcome in ("fail", "error")
