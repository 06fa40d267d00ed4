"""Losses that draw their own noise or directions: right ones pass in every convention, and what is wrong is found and named."""

import inspect

import numpy as np
import pytest

from refscore.conformance import Reference, check, drawn
from refscore.conformance.mistakes import CATALOGUE
from refscore.networks import probes
from refscore.processes import DDPM, VE, VP, linear_betas

DIRECTIONS = {law: lambda rng, n, d, law=law: probes(law, n, d, rng) for law in ("rademacher", "gaussian", "sphere")}


def normal(rng, n, d):
    return rng.standard_normal((n, d))


def sown(operation, process=None, conventions=None, draw=normal, function=None, dtype=np.float64):
    """An adapter whose ``operation`` has a seed in place of noise or directions, drawn by ``draw(rng, n, d)``."""
    reference = Reference(process, conventions)
    function = function or (lambda r, *arguments: getattr(r, operation)(*arguments))

    def seeded(*arguments):
        *given, seed = arguments
        result = function(reference, *given, draw(np.random.default_rng(seed), *given[1].shape))
        return [a.astype(dtype) for a in result] if isinstance(result, list) else np.asarray(result, dtype)

    names = [name for name in inspect.signature(getattr(Reference, operation)).parameters if name not in ("self", "noise", "v")]
    seeded.__signature__ = inspect.Signature([inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in [*names, "seed"]])
    return type("Sown", (), {"process": process, "model": staticmethod(reference.model), operation: staticmethod(seeded)})


def the(adapter, operation, seed=0):
    return check(adapter, seed=seed, only=(operation,)).checks[0]


def process_of(operation):
    return DDPM(linear_betas(50)) if operation.startswith("ddpm") else VP()


CONVENTIONS = {
    "usual": {},
    "summed, eps": {"half": False, "over_dims": "mean", "over_batch": "sum", "predicts": "eps", "weight": "sigma2"},
    "rows, x0": {"over_batch": "none", "predicts": "x0"},
    "v": {"predicts": "v", "weight": "sigma2"},
}


CASES = [pytest.param(operation, name, marks=() if name == "usual" and k % 3 == 0 or operation == "dsm_loss" else pytest.mark.slow)
         for k, operation in enumerate(drawn.LOSSES) for name in CONVENTIONS]


@pytest.mark.parametrize(("operation", "name"), CASES)
def test_right_losses_pass_and_their_conventions_are_found(operation, name):
    wanted = CONVENTIONS[name]
    found = the(sown(operation, process_of(operation), wanted), operation)
    assert found.outcome == "pass", found.message
    for key in found.conventions.keys() & wanted.keys():
        if not (operation.endswith("_grad") and wanted[key] == "none"):
            assert found.conventions[key] == wanted[key]
    assert "is found with probability 99 %" in found.message


@pytest.mark.parametrize("law", DIRECTIONS)
@pytest.mark.parametrize("operation", ["ssm_loss", pytest.param("ssm_vr_loss_grad", marks=pytest.mark.slow)])
def test_directions_of_every_usual_law_pass(operation, law):
    assert the(sown(operation, draw=DIRECTIONS[law]), operation).outcome == "pass"


def several(reference, model, x, v):
    """The mean over two directions a row."""
    return np.mean([reference.ssm_loss(model, x, part) for part in v], axis=0)


def test_several_directions_a_row_are_one_estimate():
    right = sown("ssm_loss", draw=lambda rng, n, d: rng.standard_normal((2, n, d)), function=several)
    assert the(right, "ssm_loss").outcome == "pass"
    wrong = sown("ssm_loss", draw=lambda rng, n, d: rng.standard_normal((2, n, d)), function=lambda *a: 3 * several(*a))
    assert the(wrong, "ssm_loss").outcome == "fail"


@pytest.mark.parametrize("operation", ["ssm_loss", "dsm_loss", "dsm_process_loss_grad"])
def test_single_precision_passes(operation):
    adapter = sown(operation, process_of(operation), dtype=np.float32)
    adapter.conventions = {"dtype": "float32"}
    found = the(adapter, operation)
    assert (found.outcome, found.precision) == ("pass", "float32"), found.message


WRONG_LAWS = {
    "uniform": lambda rng, n, d: rng.uniform(-np.sqrt(3), np.sqrt(3), (n, d)),
    "from 0 to 1": lambda rng, n, d: rng.uniform(0, 1, (n, d)),
    "signs": lambda rng, n, d: rng.choice([-1.0, 1.0], (n, d)),
    "all rows have the same": lambda rng, n, d: np.tile(rng.standard_normal((1, d)), (n, 1)),
    "all columns have the same": lambda rng, n, d: np.tile(rng.standard_normal((n, 1)), (1, d)),
    "clipped": lambda rng, n, d: np.clip(rng.standard_normal((n, d)), -2.9, 2.9),
    "1.06 too wide": lambda rng, n, d: 1.06 * rng.standard_normal((n, d)),
    "shifted": lambda rng, n, d: 0.05 + rng.standard_normal((n, d)),
    "clipped at 4": lambda rng, n, d: np.clip(rng.standard_normal((n, d)), -4, 4),
    "twelve uniform numbers": lambda rng, n, d: rng.uniform(size=(12, n, d)).sum(axis=0) - 6,
    "1.01 too wide": lambda rng, n, d: 1.01 * rng.standard_normal((n, d)),
    "centred in a batch": lambda rng, n, d: _of_batch(rng.standard_normal((n, d)), lambda z: z - z.mean(axis=0)),
    "of one length in a batch": lambda rng, n, d: _of_batch(rng.standard_normal((n, d)), lambda z: z / z.std()),
    "half of the rows twice": lambda rng, n, d: np.tile(rng.standard_normal(((n + 1) // 2, d)), (2, 1))[:n],
    "opposite pairs": lambda rng, n, d: np.outer([1, -1], rng.standard_normal(((n + 1) // 2, d))).reshape(-1, d)[:n],
}


def _of_batch(z, change):
    return change(z) if len(z) > 1 else z


PLAIN = ("uniform", "from 0 to 1", "signs", "clipped", "shifted", "all columns have the same")


@pytest.mark.parametrize("law", [pytest.param(law, marks=pytest.mark.slow if law in PLAIN else ()) for law in WRONG_LAWS])
@pytest.mark.parametrize("operation", ["dsm_loss", pytest.param("ddpm_loss_grad", marks=pytest.mark.slow)])
def test_noise_of_a_wrong_law_fails(operation, law):
    found = the(sown(operation, process_of(operation), draw=WRONG_LAWS[law]), operation)
    assert found.outcome == "fail" and found.first_failing_rung == "the law of its noise", found.message
    exec(found.reproducer, {})
    assert law in found.message or not law.startswith("all"), found.message


@pytest.mark.parametrize("law", ["from 0 to 1", "all rows have the same", "all columns have the same", "1.06 too wide"])
def test_directions_of_a_wrong_law_fail(law):
    found = the(sown("ssm_loss", draw=WRONG_LAWS[law]), "ssm_loss")
    assert found.outcome == "fail" and "directions" in found.message, found.message
    assert law in found.message or not law.startswith("all rows")
    exec(found.reproducer, {})


@pytest.mark.parametrize("operation", ["ssm_loss", "ssm_vr_loss", pytest.param("ssm_vr_loss_grad", marks=pytest.mark.slow)])
def test_uniform_directions_are_told_whatever_the_scale_seems_to_be(operation):
    """1/3 for 1 looks like a mean over dimensions that is a little off."""
    found = the(sown(operation, draw=lambda rng, n, d: rng.uniform(-1, 1, (n, d))), operation)
    assert found.outcome == "fail" and "v_j^2 is 0.33" in found.message and "as of U(-1, 1)" in found.message, found.message


def test_the_seed_must_be_the_only_chance():
    rng = np.random.default_rng(0)
    found = the(sown("dsm_loss", draw=lambda _, n, d: rng.standard_normal((n, d))), "dsm_loss")
    assert found.outcome == "inconclusive" and "seed is ignored" in found.message
    found = the(sown("dsm_loss", draw=lambda _, n, d: np.ones((n, d))), "dsm_loss")
    assert found.outcome == "fail" and "two seeds give the same" in found.message


@pytest.mark.parametrize("operation", ["dsm_loss", "ssm_loss"])
@pytest.mark.parametrize("most", [50, 100, 256, 65536])
def test_all_of_the_seed_counts(most, operation):
    adapter = sown(operation)
    own = getattr(adapter, operation)

    def short(*arguments):
        *given, seed = arguments
        return own(*given, seed % most)

    short.__signature__ = inspect.signature(own)
    setattr(adapter, operation, staticmethod(short))
    found = the(adapter, operation)
    assert found.outcome == "fail" and "only its last digits" in found.message


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("operation", ["dsm_loss", "ssm_loss", "ncsn_loss_grad"])
def test_null_losses_pass_nothing(operation, value):
    def constant(reference, model, x, *_):
        return [np.full_like(a, value) for a in model.spec.arrays.values()] if operation.endswith("_grad") else value

    assert the(sown(operation, function=constant), operation).outcome == "fail"


def test_energies_are_left_open():
    adapter = sown("dsm_loss")
    adapter.conventions = {"predicts": "energy"}
    assert the(adapter, "dsm_loss").outcome == "inconclusive"


EQUAL_IN_LAW = {
    "process_weights_broadcast", "ncsn_weights_broadcast",  # weights are 1 in the reference's convention
    "process_variance_preserving", "ddpm_loss_variance_preserving",  # and so is VP
    "ssm_normalised",  # directions of length 1: 1/d times the loss, as the mean over dimensions
}
MISTAKES = [m for m in CATALOGUE.values() if m.operation in drawn.LOSSES and not m.legitimate]
NAMED = ("dsm_target_sign", "process_signal_kept", "ncsn_target_not_scaled", "ssm_curvature_sign")


SOME = [m for k, m in enumerate(MISTAKES) if k % 5 == 0 or m.name in EQUAL_IN_LAW or m.name in NAMED]


@pytest.mark.parametrize("m", [pytest.param(m, marks=() if m.name in NAMED else pytest.mark.slow, id=m.name) for m in SOME])
def test_every_mistake_of_a_loss_is_caught_with_a_seed(m):
    found = the(sown(m.operation, process_of(m.operation), function=m.function), m.operation)
    if m.name in EQUAL_IN_LAW:
        assert found.outcome == "pass"
    elif "Undefined" in found.message:
        pytest.skip(found.message)
    else:
        assert found.outcome == "fail", found.message
    if m.name in NAMED:
        assert m.name in [e.mistake for e in found.diagnosis], found


def test_without_drift_or_noise_nothing_is_read_off():
    """A process that explodes, asked at its levels: the noise is that of x~, whatever alpha is."""
    assert the(sown("dsm_process_loss", VE(0.01, 50.0)), "dsm_process_loss").outcome == "pass"


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["dsm_loss", "ssm_vr_loss"])
def test_right_losses_pass_whatever_the_seed(operation):
    adapter = sown(operation)
    assert all(the(adapter, operation, seed).outcome == "pass" for seed in range(8))
