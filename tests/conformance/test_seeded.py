"""Operations that draw their own noise: right ones pass, and what is wrong is found and named."""

import numpy as np
import pytest

from refscore.conformance import Reference, check, seeded
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.seeded import STATE
from refscore.processes import DDPM, VE, VP, linear_betas


@pytest.fixture(autouse=True)
def fewer_rows(request, monkeypatch):
    """A tenth of the rows where nothing finer than 7 % is looked for, nor in the tails."""
    if "slow" not in request.keywords and not any(fine in request.node.name for fine in ("3 %", "at 4", "twelve")):
        monkeypatch.setattr(seeded, "ROWS", 40_000)


def sown(reference, draw=None, names=tuple(STATE)):
    """``reference`` with a seed in place of noise: ``draw(rng, shape)`` draws, normal values by default."""
    draw = draw or (lambda rng, shape: rng.standard_normal(shape))

    def of(name, function):
        def noisy(arguments, seed):
            x = arguments[0 if name == "corrupt" else 1]
            shape = (len(arguments[2]), arguments[4], *x.shape) if name == "annealed_langevin" else x.shape
            return function(*arguments, draw(np.random.default_rng(seed), shape))

        takes = {
            "corrupt": lambda x0, t, seed: noisy((x0, t), seed),
            "langevin_step": lambda model, x, step, seed: noisy((model, x, step), seed),
            "annealed_langevin": lambda model, x, sigmas, eps, n_steps, seed: noisy((model, x, sigmas, eps, n_steps), seed),
            "reverse_step": lambda model, x, t, s, seed: noisy((model, x, t, s), seed),
            "ddpm_step": lambda model, x, index, seed: noisy((model, x, index), seed),
            "ddim_step": lambda model, x, index, prev_index, eta, seed: noisy((model, x, index, prev_index, eta), seed),
        }
        return takes[name]

    class Seeded:
        process = reference.process
        model = staticmethod(reference.model)

    for name in names:
        setattr(Seeded, name, staticmethod(of(name, getattr(reference, name))))
    return Seeded


def the(adapter, operation, seed=0):
    """The verdict on one operation."""
    return check(adapter, seed=seed, only=(operation,)).checks[0]


UNUSUAL = {"predicts": "eps", "langevin": "half_eta", "scheme": "exponential", "variance": "beta_tilde"}


@pytest.mark.parametrize("operation, conventions", [
    *[(name, {}) for name in STATE],
    *[pytest.param(name, UNUSUAL, marks=pytest.mark.slow if k % 2 else ()) for k, name in enumerate(STATE)]])
def test_right_steps_pass(operation, conventions):
    process = DDPM(linear_betas(50)) if operation in ("ddpm_step", "ddim_step") else VP()
    found = the(sown(Reference(process, conventions)), operation)
    assert found.outcome == "pass", found.message
    assert all(found.conventions[k] == v for k, v in conventions.items() if k in found.conventions)
    assert "is found with probability 99 %" in found.message


def test_single_precision_passes():
    single = sown(Reference(VP()), lambda rng, shape: rng.standard_normal(shape, dtype=np.float32))
    right = single.reverse_step
    single.reverse_step = staticmethod(lambda model, x, t, s, seed: right(model, x, t, s, seed).astype(np.float32))
    found = the(single, "reverse_step")
    assert (found.outcome, found.precision) == ("pass", "float32")


WRONG_LAWS = {
    "uniform": lambda rng, shape: rng.uniform(-np.sqrt(3), np.sqrt(3), shape),
    "signs": lambda rng, shape: rng.choice([-1.0, 1.0], shape),
    "from 0 to 1": lambda rng, shape: rng.uniform(0, 1, shape),
    "one for all rows": lambda rng, shape: np.broadcast_to(rng.standard_normal(shape[-1]), shape),
    "one for all columns": lambda rng, shape: np.broadcast_to(rng.standard_normal((*shape[:-1], 1)), shape),
    "antithetic halves": lambda rng, shape: np.resize([z := rng.standard_normal((-(-shape[0] // 2), shape[1])), -z], shape),
    "twice as wide": lambda rng, shape: 2 * rng.standard_normal(shape),
    "3 % too wide": lambda rng, shape: 1.03 * rng.standard_normal(shape),
    "not centred": lambda rng, shape: rng.standard_normal(shape) + 0.05,
    "heavy tails": lambda rng, shape: rng.standard_t(5, shape) * np.sqrt(3 / 5),
    "rows in pairs": lambda rng, shape: np.repeat(rng.standard_normal((shape[0] // 2 + 1, shape[1])), 2, axis=0)[:shape[0]],
    "clipped at 3": lambda rng, shape: np.clip(rng.standard_normal(shape), -3, 3),
    "clipped at 4": lambda rng, shape: np.clip(rng.standard_normal(shape), -4, 4),
    "rows that come again": lambda rng, shape: np.resize(rng.standard_normal((shape[0] // 3 + 1, shape[1])), shape),
    "twelve uniform numbers": lambda rng, shape: rng.uniform(size=(12, *shape)).sum(axis=0) - 6,
    "from a table": lambda rng, shape: rng.choice(rng.standard_normal(5000), shape),
    "two columns alone": lambda rng, shape: rng.standard_normal(shape) * (np.arange(shape[-1]) < 2),
    "none of a single row": lambda rng, shape: rng.standard_normal(shape) * (shape[-2] > 1),
    "centred in a batch": lambda rng, shape: (z := rng.standard_normal(shape)) - z.mean(axis=-2, keepdims=True) * (shape[-2] > 1),
    "of one length in a batch": lambda rng, shape: (z := rng.standard_normal(shape)) / (z.std() if shape[-2] > 1 else 1),
    "no noise": lambda rng, shape: np.zeros(shape),
}


PLAIN = ("uniform", "from 0 to 1", "one for all columns", "twice as wide", "heavy tails", "rows in pairs", "clipped at 3")


@pytest.mark.parametrize("law", [pytest.param(law, marks=pytest.mark.slow if law in PLAIN else ()) for law in WRONG_LAWS])
def test_wrong_noise_fails(law):
    found = the(sown(Reference(VP()), WRONG_LAWS[law]), "reverse_step")
    assert found.outcome == "fail"
    if law != "no noise":
        assert found.first_failing_rung.startswith("noise")


def test_few_seeds_fail():
    few = sown(Reference(VP()))
    right = few.reverse_step
    few.reverse_step = staticmethod(lambda model, x, t, s, seed: right(model, x, t, s, seed % 50))
    found = the(few, "reverse_step")
    assert found.outcome == "fail" and "only its last digits" in found.message
    few.reverse_step = staticmethod(lambda model, x, t, s, seed: right(model, x, t, s, seed * 2654435761 % 2**32 % 47))
    found = the(few, "reverse_step")
    assert found.outcome == "fail" and "repeats, |z| seen before, in batches of 1" in found.message


def test_the_same_noise_at_every_step_fails():
    def again(rng, shape):
        return np.broadcast_to(rng.standard_normal(shape[2:]), shape)

    assert the(sown(Reference(None), again), "annealed_langevin").outcome == "fail"


def test_a_seed_that_is_ignored_is_said_and_statistics_decide():
    rng = np.random.default_rng(0)
    adapter = sown(Reference(VP()), lambda _, shape: rng.standard_normal(shape))
    found = the(adapter, "reverse_step")
    assert found.outcome == "pass" and found.message.startswith("the seed is ignored")

    wrong = sown(Reference(VP()), lambda _, shape: 1.1 * rng.standard_normal(shape))
    assert the(wrong, "reverse_step").outcome == "fail"
    score = CATALOGUE["langevin_score_sign"].adapter()
    drift = the(sown(score, lambda _, shape: rng.standard_normal(shape)), "langevin_step")
    assert drift.outcome == "fail" and drift.diagnosis[0].mistake == "langevin_score_sign"


def test_a_seed_without_effect_fails():
    adapter = sown(Reference(VP()), lambda _, shape: np.random.default_rng(5).standard_normal(shape))
    found = the(adapter, "reverse_step")
    assert found.outcome == "fail" and "two seeds give the same" in found.message


def test_a_declared_variance_is_held_to():
    adapter = sown(Reference(DDPM(linear_betas(50)), {"variance": "beta_tilde"}))
    adapter.conventions = {"variance": "beta"}
    found = the(adapter, "ddpm_step")
    assert found.outcome == "fail" and "follows variance='beta_tilde'" in found.message


EQUAL_IN_LAW = ("langevin_noise_subtracted", "corrupt_noise_subtracted",  # -z is as normal as z
                "corrupt_variance_preserving")  # and so VP is
STEPS = [m for m in CATALOGUE.values() if m.operation in STATE]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", [m.name for m in STEPS if not m.legitimate])
def test_every_mistake_of_a_step_is_caught_with_a_seed(mistake):
    m = CATALOGUE[mistake]
    process = DDPM(linear_betas(50)) if m.operation in ("ddpm_step", "ddim_step") else VP()
    found = the(sown(m.adapter(process)), m.operation)
    if "Undefined" in found.message:
        pytest.skip(f"it does not exist here: {found.message}")
    assert found.outcome == ("pass" if mistake in EQUAL_IN_LAW else "fail"), found.message


@pytest.mark.parametrize("mistake", ["annealed_score_sign", "annealed_told_variance", "langevin_score_sign"])
def test_energies_that_are_walked_along_with_a_seed(mistake):
    found = [the(type("Energies", (sown(r),), {"conventions": {"predicts": "energy"}}), CATALOGUE[mistake].operation)
             for r in (Reference(None, {"predicts": "energy"}), CATALOGUE[mistake].adapter())]
    assert [f.outcome for f in found] == ["pass", "fail"], found[1].message


@pytest.mark.parametrize("mistake", ["langevin_noise_not_rooted", "langevin_noise_is_the_step", "langevin_noise_without_2",
                                     "langevin_noise_2_outside", "langevin_score_sign", "langevin_drift_doubled"])
def test_wrong_noise_is_named_by_its_size(mistake):
    found = the(sown(CATALOGUE[mistake].adapter()), "langevin_step")
    assert found.outcome == "fail" and found.diagnosis[0].mistake == mistake, found.message


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("operation", STATE)
def test_right_steps_pass_whatever_the_seed(operation, seed):
    process = DDPM(linear_betas(30)) if operation in ("ddpm_step", "ddim_step") else VE(0.01, 20.0)
    assert the(sown(Reference(process)), operation, seed).outcome == "pass"


NULL = {
    "zeros": lambda x: np.zeros_like(x),
    "NaN": lambda x: np.full_like(x, np.nan),
    "echo": lambda x: x,
    "constant": lambda x: np.full_like(x, 1.5),
    "wrong shape": lambda x: x[:, :1].repeat(7, axis=1),
    "noise alone": lambda x: np.random.default_rng(0).standard_normal(x.shape),
}


@pytest.mark.parametrize("operation", STATE)
@pytest.mark.parametrize("null", NULL)
def test_null_steps_pass_nothing(operation, null):
    class Null:
        process = DDPM(linear_betas(20)) if operation in ("ddpm_step", "ddim_step") else VP()

    def step(*arguments, seed=None):
        return NULL[null](arguments[0 if operation == "corrupt" else 1])

    setattr(Null, operation, staticmethod(step))
    assert the(Null, operation).outcome in ("fail", "error")
