"""Errors of the bounds' ingredients, part by part: a known number put into one part comes back in the error."""

import importlib
import math

import numpy as np
import pytest

from refscore import bounds
from refscore.bounds import lemmas
from refscore.densities import GaussianMixture
from refscore.processes import OU

SKEWED = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
STANDARD = OU(1.0, math.sqrt(2))


@pytest.mark.parametrize("r", [0.2, 0.9, 3.0])
def test_informations_enter_the_motion_with_their_factors(monkeypatch, r):
    """I_s + (1 - 2 A) I_t: an error of I_t counts |1 - 2 A| times, whatever the sign."""
    found = iter([(2.0, 1e-3), (1.5, 1e-2)])
    monkeypatch.setattr(lemmas, "fisher_information", lambda law: next(found))
    value, error = bounds.score_motion(STANDARD, SKEWED, 0.1, 0.1 + r)
    factor = 1 - 2 * math.exp(-r)
    assert (value, error) == pytest.approx((2.0 + 1.5 * factor, 1e-3 + 1e-2 * abs(factor)), rel=1e-12)


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_every_moment_of_a_path_counts_with_its_weight(monkeypatch, moment):
    """E|s|^2, E s.S and I count G/2, c and |G/2 - c| times, in steps so long that these differ."""
    times, expectation = np.array([2.0, 0.7, 0.2]), GaussianMixture.expectation

    def known(law, f, **options):
        value, error = expectation(law, f, **options)
        return (value, error + 1e-3 * np.eye(3)[moment]) if np.shape(value) == (3,) else (value, error)

    plain = bounds.path_kl(STANDARD, SKEWED, lambda x, t: -x, times).error
    monkeypatch.setattr(GaussianMixture, "expectation", known)
    h = -np.diff(times)
    weight = (h, 2 * -np.expm1(-h), np.abs(h - 2 * -np.expm1(-h)))[moment]  # G = 2 h, c = 2 (1 - e^{-h})
    assert bounds.path_kl(STANDARD, SKEWED, lambda x, t: -x, times).error - plain == pytest.approx(1e-3 * weight.sum(), rel=1e-6)


def test_entropies_of_both_ends_count(monkeypatch):
    """KL(p || Gaussian of its moments) at both ends, each off by 1e-3."""
    module = importlib.import_module("refscore.bounds.path_kl")
    divergence = module.kl
    monkeypatch.setattr(module, "kl", lambda p, q, **options: (divergence(p, q, **options)[0], 1e-3))
    assert bounds.path_kl(STANDARD, SKEWED, lambda x, t: -x, [1.0, 0.5]).error == pytest.approx(2e-3, abs=1e-9)
