"""Hutchinson's estimate with directions of its own: laws are recognised, wrong ones and wrong estimates fail."""

import numpy as np
import pytest

from refscore.conformance import Reference, check, directions
from refscore.networks import probes


def estimating(draw, estimate=None, dtype=np.float64):
    """An adapter with ``hutchinson(model, x, seed)``; ``draw(rng, n, d)`` draws the directions."""
    reference = Reference()
    estimate = estimate or (lambda model, x, v: reference.hutchinson(model, x, v))

    def hutchinson(model, x, seed):
        return estimate(model, x, draw(np.random.default_rng(seed), *x.shape)).astype(dtype)

    return type("Estimating", (), {"hutchinson": staticmethod(hutchinson)})


def the(adapter, seed=0):
    return check(adapter, seed=seed, only=("hutchinson",)).checks[0]


@pytest.mark.parametrize("law", ["rademacher", "gaussian", "sphere"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_laws_are_recognised(law, seed):
    found = the(estimating(lambda rng, n, d: probes(law, n, d, rng)), seed)
    assert found.outcome == "pass" and f"law {law}" in found.message, found.message


def test_single_precision_passes():
    assert the(estimating(lambda rng, n, d: probes("gaussian", n, d, rng), dtype=np.float32)).outcome == "pass"


LAWS = {
    "as of U(0, 1)": lambda rng, n, d: rng.uniform(0, 1, (n, d)),
    "as of U(-1, 1)": lambda rng, n, d: rng.uniform(-1, 1, (n, d)),
    "0.333": lambda rng, n, d: probes("sphere", n, d, rng) / np.sqrt(d),
    "v_0 v_1 > 0": lambda rng, n, d: probes("rademacher", n, d, rng)[:, [0, 0, 1, 2, 3][:d]],
    "E vv' = I": lambda rng, n, d: 1.03 * rng.standard_normal((n, d)),
    "v_0 v_1 > 0: got ": lambda rng, n, d: np.broadcast_to(probes("rademacher", 1, d, rng), (n, d)),
    "v_j^2 is 4.00": lambda rng, n, d: 2 * probes("rademacher", n, d, rng) * (1 + 1e-5 * rng.random((n, 1))),
}


@pytest.mark.parametrize("text", LAWS)
def test_wrong_laws_fail(text):
    found = the(estimating(LAWS[text]))
    assert found.outcome == "fail" and text in found.message, found.message


def test_wrong_estimates_fail():
    def draw(rng, n, d):
        return rng.standard_normal((n, d))

    twice = estimating(draw, lambda model, x, v: 2 * (v * model.jvp(x, v)).sum(axis=1))
    assert the(twice).outcome == "fail"
    squared = estimating(draw, lambda model, x, v: (model.jvp(x, v) ** 2).sum(axis=1))
    assert the(squared).first_failing_rung
    fixed = estimating(lambda rng, n, d: np.random.default_rng(0).standard_normal((n, d)))
    assert the(fixed).outcome == "fail"
    rng = np.random.default_rng(0)
    assert the(estimating(lambda _, n, d: rng.standard_normal((n, d)))).outcome == "inconclusive"


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_null_estimates_pass_nothing(value):
    assert the(estimating(lambda rng, n, d: None, lambda model, x, v: np.full(len(x), value))).outcome in ("fail", "error")


def test_every_law_has_tests_enough():
    """The share of the operation is never exceeded, whichever law is recognised."""
    for law in ("rademacher", "gaussian", "sphere"):
        v = probes(law, 1000, 3, 0)
        M = np.einsum("nj,nk->njk", v, v)
        assert directions.law_of(M, 1e-6) == law
        assert sum(t.level for t in directions.tests_of(law, M.sum(axis=0), 1000)) <= directions.share() * (1 + 1e-12)
