"""Boltzmann machines and Markov fields: the reference beside refscore.energy, false alarms of CD, the mistakes in it."""

import inspect

import numpy as np
import pytest

from refscore.conformance import Reference, check, contrastive
from refscore.conformance.ladders.undirected import bits, image, machine, slow_machine
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.undirected import states
from refscore.energy import RBM, DenoisingMRF, expected_cd_gradient

OPERATIONS = ("rbm_free_energy", "rbm_hidden_mean", "rbm_visible_mean", "rbm_log_partition", "rbm_cd_gradient", "mrf_conditional",
              "mrf_map")
REFERENCE = Reference()


@pytest.mark.parametrize("v, m", [(1, 1), (4, 3), (3, 6)])
def test_machines_are_those_of_the_energy_room(v, m):
    a, x, z = machine(v, m), bits(5, v), bits(5, m)
    rbm = RBM(a["W"], a["b"], a["c"])
    np.testing.assert_allclose(REFERENCE.rbm_free_energy(x, **a), rbm.free_energy(x), rtol=1e-13)
    np.testing.assert_allclose(REFERENCE.rbm_hidden_mean(x, **a), rbm.hidden_mean(x), rtol=1e-13)
    np.testing.assert_allclose(REFERENCE.rbm_visible_mean(z, **a), rbm.visible_mean(z), rtol=1e-13)
    np.testing.assert_allclose(REFERENCE.rbm_log_partition(**a), rbm.log_partition()[0], rtol=1e-13)


@pytest.mark.parametrize("height, width", [(1, 1), (3, 4), (4, 3)])
def test_conditionals_are_ratios_of_joint_probabilities(height, width):
    x, y = image(height, width), image(height, width, 1)
    found = REFERENCE.mrf_conditional(y, x, 0.8, 0.6)
    mrf = DenoisingMRF(x, 0.8, 0.6)
    for at in np.ndindex(height, width):
        zero, one = y.copy(), y.copy()
        zero[at], one[at] = 0, 1
        low, high = mrf.log_weight(np.stack([zero, one]))
        np.testing.assert_allclose(found[at], 1 / (1 + np.exp(low - high)), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_sweep_more_or_less_shows(k):
    a = slow_machine()
    x, rbm = np.ones((1, len(a["b"]))), RBM(a["W"], a["b"], a["c"])
    here, there = (np.concatenate([np.ravel(g) for g in expected_cd_gradient(rbm, x, steps)]) for steps in (k, k + 1))
    assert np.abs(here - there).max() > 0.1


@pytest.mark.parametrize("seed", [pytest.param(k, marks=() if k < 4 else pytest.mark.slow) for k in range(20)])
def test_the_reference_passes_with_any_seed(seed):
    assert check(REFERENCE, seed=seed, only=("rbm_cd_gradient",)).counts["pass"] == 1


MISTAKES = [m for m in CATALOGUE.values() if m.operation in OPERATIONS]


def decayed(right, x, W, b, c, k, seed):
    dW, db, dc = right(x, W, b, c, k, seed)
    return dW - 1e-3 * W, db, dc


def of_five_chains(right, x, W, b, c, k, seed):
    return [np.mean(parts, axis=0) for parts in zip(*(right(x, W, b, c, k, 5 * seed + j) for j in range(5)))]


@pytest.mark.parametrize("wrong", [decayed, of_five_chains])
def test_what_is_no_sample_is_not_called_one(wrong):
    class Off(Reference):
        def rbm_cd_gradient(self, *arguments):
            return wrong(super().rbm_cd_gradient, *arguments)

    Off.rbm_cd_gradient.__signature__ = inspect.signature(Reference.rbm_cd_gradient)
    found = check(Off(), only=("rbm_cd_gradient",)).checks[0]
    assert found.outcome == "fail" and "cd_positive_sample" not in [e.mistake for e in found.diagnosis], found.message


@pytest.mark.parametrize("more, outcome", [(0, "pass"), pytest.param(1, "fail", marks=pytest.mark.slow)])
def test_code_that_goes_row_by_row_gets_fewer_copies(more, outcome, monkeypatch):
    """As plain as it can be, and a hundred times slower than by batches."""
    monkeypatch.setattr(contrastive, "SECONDS", 2.0)
    asked = []

    def draw(rng, p):
        return (rng.random(len(p)) < p).astype(float)

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    class Loop:
        def rbm_cd_gradient(self, x, W, b, c, k, seed):
            rng, parts = np.random.default_rng(seed), []
            asked.append(len(x))
            for start in x:
                end = start
                for _ in range(k + more):
                    end = draw(rng, sigmoid(b + W @ draw(rng, sigmoid(c + end @ W))))
                first, last = sigmoid(c + start @ W), sigmoid(c + end @ W)
                parts.append(np.concatenate([(np.outer(start, first) - np.outer(end, last)).ravel(), start - end, first - last]))
            mean = np.mean(parts, axis=0)
            return mean[: W.size].reshape(W.shape), mean[W.size : W.size + len(b)], mean[W.size + len(b) :]

    found = check(Loop(), only=("rbm_cd_gradient",)).checks[0]
    assert found.outcome == outcome, found.message
    assert outcome == "pass" or "cd_one_sweep_more" in [e.mistake for e in found.diagnosis]
    assert contrastive.FEWEST <= max(asked) < contrastive.MOST / 2
    assert f"means over {max(asked)} copies: " in found.message



@pytest.mark.parametrize("name, seed", [
    pytest.param(m.name, seed, marks=() if not seed and (m.operation != "rbm_cd_gradient" or k % 5 == 0) else pytest.mark.slow)
    for k, m in enumerate(MISTAKES) for seed in (0, 1)])
def test_every_mistake_is_caught_and_named(name, seed):
    m = CATALOGUE[name]
    (verdict,) = check(m.adapter(), seed=seed, only=(m.operation,)).checks
    assert verdict.outcome == ("convention" if m.legitimate else "fail"), verdict.message
    assert name in [e.mistake for e in verdict.diagnosis], verdict.message


def test_a_softplus_that_is_linear_beyond_20_passes():
    """As PyTorch's is."""
    def softplus(a):
        return np.where(a > 20, a, np.log1p(np.exp(np.minimum(a, 20))))

    class Linear(Reference):
        def rbm_free_energy(self, x, W, b, c):
            return -x @ b - softplus(x @ W + c).sum(axis=1)

        def rbm_log_partition(self, W, b, c):
            x = states(len(b))
            return np.logaddexp.reduce(-self.rbm_free_energy(x, W, b, c))

    assert check(Linear(), only=("rbm_free_energy", "rbm_log_partition")).counts["pass"] == 2


def test_float32_passes():
    class Single:
        def rbm_hidden_mean(self, x, W, b, c):
            x, W, c = (np.asarray(a, np.float32) for a in (x, W, c))
            with np.errstate(over="ignore"):
                return 1 / (1 + np.exp(-(x @ W + c)))

        def rbm_free_energy(self, x, W, b, c):
            x, W, b, c = (np.asarray(a, np.float32) for a in (x, W, b, c))
            return -x @ b - np.logaddexp(np.float32(0), x @ W + c).sum(axis=1)

        def rbm_cd_gradient(self, x, W, b, c, k, seed):
            return [np.asarray(g, np.float32) for g in REFERENCE.rbm_cd_gradient(x, W, b, c, k, seed)]

    result = check(Single)
    assert [c.outcome for c in result.checks if c.outcome != "unsupported"] == ["pass"] * 3


def test_a_factor_that_is_nearly_1_is_no_single_precision():
    class Off(Reference):
        def rbm_cd_gradient(self, x, W, b, c, k, seed):
            dW, db, dc = super().rbm_cd_gradient(x, W, b, c, k, seed)
            return dW, db, dc * (1 + 3e-5)

    assert check(Off(), only=("rbm_cd_gradient",)).checks[0].outcome == "fail"
