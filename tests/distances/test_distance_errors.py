"""Errors of distances, part by part: a case in which nothing else would cover what the value is off by."""

import importlib
import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from refscore.densities import Gaussian, GaussianMixture, PointSet, Product, PushForward
from refscore.distances import kl, total_variation, wasserstein2

EPS = float(np.finfo(float).eps)
MIX = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])


def test_errors_of_equal_factors_add_up_like_their_values():
    """Seven times the same divergence is seven times as far off, and alike every time."""
    unit = Gaussian([0.0], 1.0)
    assert kl(Product([MIX] * 7), Product([unit] * 7)) == pytest.approx(7 * np.array(kl(MIX, unit)), rel=1e-12)


def test_rounded_cumulative_weights_cost_their_root():
    """k points of n against weights k/n and 1 - k/n: nothing moves, but 1e-16 of the mass seems to, and costs 2e-8."""
    largest = 0.0
    for n in range(2, 40):
        for k in range(1, n, 3):
            points = PointSet(np.repeat([[-1.0], [1.0]], [k, n - k], axis=0), np.full(n, 1 / n))
            value, error = wasserstein2(points, PointSet([[-1.0], [1.0]], [k / n, 1 - k / n]))
            assert value <= error < 1e-6
            largest = max(largest, value)
    assert largest > 1e-8


def test_where_both_laws_have_no_mass_nothing_is_lost():
    """Half of each law on either side of a gap, in which both densities are 0: what F is off by there concerns no mass."""
    p = GaussianMixture([0.5, 0.5], [[-9.0], [9.0]], [1e-6, 1e-6])
    q = GaussianMixture([0.5, 0.5], [[-8.0], [9.5]], [1e-6, 4e-6])
    value, error = wasserstein2(p, q)  # halves move by 1 and 1/2, the second doubles its width
    assert abs(value - math.sqrt(0.5 * (1 + 0.25 + 1e-6))) <= error < 1e-9


def test_covariances_whose_smallest_eigenvalue_comes_out_negative():
    """Singular to rounding once 0.3 x is rounded: W_2^2 to c I is sum (0.3 sqrt a_i - sqrt c)^2, a_0 anywhere below 1e-15."""
    rng, negative = np.random.default_rng(0), 0
    for _ in range(300):
        d = int(rng.integers(2, 6))
        axes, spectrum = np.linalg.qr(rng.standard_normal((d, d)))[0], np.append(10 ** rng.uniform(-17, -15), np.ones(d - 1))
        cov = (axes * spectrum) @ axes.T
        try:
            law = Gaussian(np.zeros(d), (cov + cov.T) / 2).corrupted(0.3, 0.0)
        except ValueError:  # not positive definite by its own factorisation
            continue
        negative += np.linalg.eigh(law.covs[0])[0][0] < 0
        value, error = wasserstein2(law, Gaussian(np.zeros(d), 0.49 * np.eye(d)))
        assert abs(value - np.linalg.norm(0.3 * np.sqrt(spectrum) - 0.7)) <= error < 1e-6
    assert negative > 10


def test_roots_that_a_grid_overlooks_show_on_every_other_point(monkeypatch):
    """Sixteen teeth, 0.27 apart and 0.06 wide, on a grid of half a point in one standard deviation: roots are missed."""
    teeth = GaussianMixture(np.full(16, 1 / 16), np.linspace(-2, 2, 16)[:, None], np.full(16, 0.0625**2))
    exact = total_variation(Gaussian([0.1], 1.0), teeth)[0]
    monkeypatch.setattr(importlib.import_module("refscore.distances.total_variation"), "_PER_STD", 0.5)
    value, error = total_variation(Gaussian([0.1], 1.0), teeth)
    assert 1e-3 < abs(value - exact) <= error


@pytest.mark.parametrize("more", [9e-13, -9e-13])
def test_masses_that_are_not_one_are_in_the_error(more):
    """1 + e for p or q moves 1/2 int |p - q| by up to |e|."""
    p, q = MIX, Gaussian([0.25], 1.7)
    value, error = total_variation(p, q)
    for pair in ((GaussianMixture((1 + more) * p.weights, p.means, p.covs), q),
                 (p, GaussianMixture((1 + more) * q.weights, q.means, q.covs))):
        moved, doubt = total_variation(*pair)
        assert abs(moved - value) > 2 * error and abs(more) <= doubt <= abs(more) + 2 * error


def test_the_error_of_a_map_is_in_the_distance():
    """A map with a kink is known to 1e-7 only. Densities at x and m(x) cross on either side of the kink, where m' = 1/2 and 3/2,
    and at the kink; between, the distance is a difference of distribution functions."""
    def bent(x):
        return x + 0.5 * np.abs(x - 0.1)

    p, q = norm(0.2, 1.0), norm(0.3, math.sqrt(1.4))
    roots = [brentq(lambda x, slope=slope: p.logpdf(x) - q.logpdf(bent(x)) - math.log(slope), *ends, xtol=1e-14)
             for slope, ends in ((0.5, (-3.0, 0.0)), (1.5, (0.2, 3.0)))]
    apart = [p.cdf(x) - q.cdf(bent(x)) for x in (roots[0], 0.1, roots[1])]
    exact = np.abs(np.diff([0.0, *apart, 0.0])).sum() / 2
    laws = PushForward(Gaussian([0.2], 1.0), bent), Gaussian([0.3], 1.4)
    for pair in (laws, laws[::-1]):
        value, error = total_variation(*pair)
        assert abs(value - exact) <= error and 2 * laws[0].error <= error < 1e-6 and laws[0].error > 1e-9
