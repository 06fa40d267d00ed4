"""The second road for densities on the line against 30 digits: what the identities compare with must itself be right."""

import math

import mpmath as mp
import numpy as np
import pytest

from refscore.identities import _lines


@pytest.mark.parametrize("name", _lines.laws())
def test_laws(name):
    """Mass one, and the two derivatives, of e^shape/Z."""
    law = _lines.laws()[name]
    assert law.mean_of(np.ones_like) == pytest.approx(1, abs=1e-13)
    x, h = law.points(np.random.default_rng(0), 5), 1e-5
    np.testing.assert_allclose((law.shape(x + h) - law.shape(x - h)) / (2 * h), law.score(x), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose((law.score(x + h) - law.score(x - h)) / (2 * h), law.curvature(x), rtol=1e-8, atol=1e-8)


LONG = "truncated Gaussian on a half-line"


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n == LONG else ()) for n in _lines.QUADRATIC])
def test_corruption_of_quadratics(name):
    law, alpha, sigma = _lines.QUADRATIC[name], 0.6, 0.8
    with mp.workdps(30):
        def p(x):
            return mp.exp(law.c1 * x - law.c2 * x**2 / 2)

        edges = sorted({law.low, min(law.high, law.middle + 3), max(law.low, law.middle - 3), law.high})
        mass = mp.quad(p, edges)
        for y in (-0.4, 0.5, 1.6):
            def q(t):
                return mp.quad(lambda x: p(x) * mp.npdf(t, alpha * x, sigma), edges)

            point = np.array([y])
            got = float(law.corrupted_log_density(point, alpha, sigma)[0])
            assert got == pytest.approx(float(mp.log(q(mp.mpf(y)) / mass)), abs=1e-12)
            got = float(law.corrupted_score(point, alpha, sigma)[0])
            assert got == pytest.approx(float(mp.diff(lambda t: mp.log(q(t)), mp.mpf(y))), rel=1e-10)


@pytest.mark.parametrize("pair", [_lines.gap_between, _lines.zero_between])
def test_pairs_have_the_mass_that_they_say(pair):
    density = pair(0.3)
    value, error = density.expectation(lambda x: (x[:, 0] < 0) * 1.0)
    assert abs(value - 0.3) <= error + 1e-14
    x = np.array([[-1.5], [0.7]])
    other = pair(0.8)
    np.testing.assert_array_equal(density.score(x), other.score(x))
    ratio = np.exp(density.logpdf(x) - other.logpdf(x))
    np.testing.assert_allclose(ratio, [0.3 / 0.8, 0.7 / 0.2], rtol=1e-13)


def test_sign_changes():
    assert _lines.sign_changes(np.sin, np.linspace(1, 8, 50)) == pytest.approx([math.pi, 2 * math.pi], abs=1e-15)
