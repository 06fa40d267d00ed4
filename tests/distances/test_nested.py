"""Total variation of products, one coordinate apart: against Gaussians, lattices and draws, and one road against the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian, GaussianMixture, Product, PushForward
from refscore.distances import _nested, total_variation
from refscore.distances._gaussian_pair import gaussian_pair

MIX = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
NEAR = GaussianMixture([0.35, 0.65], [[-1.4], [1.1]], [0.2, 0.33])
TURN = np.array([[0.6, -0.8], [0.8, 0.6]])


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.2, 4), st.floats(0.2, 4))
def test_gaussians_in_the_plane(first, second, wide, narrow):
    """By the Hellinger transform, which has no quadrature over the plane."""
    p, q = Gaussian([first, second], np.diag([wide, narrow])), Gaussian([0.3, -0.4], np.diag([1.0, 0.7]))
    value, error = _nested.of_two_coordinates(
        (Gaussian([first], wide), Gaussian([0.3], 1.0)), (Gaussian([second], narrow), Gaussian([-0.4], 0.7)))
    expected, bound = total_variation(p, q)
    assert abs(value - expected) <= error + bound + 1e-13 and error < 1e-9


def test_an_extremum_at_a_point_of_the_grid():
    """log p/q of the second coordinate turns at -1.575 exactly, where its slope is computed as 0."""
    one, other = (Gaussian([0.0], 2.0), Gaussian([-0.4], 0.7)), (Gaussian([0.0], 0.84), Gaussian([0.3], 1.0))
    value, error = _nested.of_two_coordinates(one, other)
    expected, bound = total_variation(Gaussian([0.0, 0.0], np.diag([2.0, 0.84])), Gaussian([-0.4, 0.3], np.diag([0.7, 1.0])))
    assert abs(value - expected) <= error + bound + 1e-13 and error < 1e-9


@pytest.mark.parametrize(
    "p, q",
    [
        (Product([MIX, Gaussian([0.2], 0.5)]), Product([NEAR, Gaussian([0.1], 0.6)])),
        (Product([MIX, NEAR]), Product([NEAR, MIX])),
        (Product([PushForward(MIX, np.arcsinh), Gaussian([0.2], 0.5)]), Product([NEAR, Gaussian([0.0], 0.45)])),
    ],
    ids=["mixture and Gaussian", "two mixtures", "push-forward"],
)
def test_against_a_lattice(p, q):
    """Midpoint rule, h = 0.02: a line of kinks costs slope h^2/12 times its length, below 3 h^2/12 = 1e-4."""
    line = np.arange(-5, 5, 0.02) + 0.01
    parts = [[np.exp(factor.logpdf(line[:, None])) for factor in law.factors] for law in (p, q)]
    expected = 0.02**2 * np.abs(np.outer(*parts[0]) - np.outer(*parts[1])).sum() / 2
    value, error = total_variation(p, q)
    assert value == pytest.approx(expected, abs=1e-4) and error < 1e-10
    turned = total_variation(Product(p.factors, TURN), Product(q.factors, TURN))
    assert turned == (value, error)


def test_one_coordinate_that_is_the_same():
    same = Gaussian([0.4], 0.8)
    assert total_variation(Product([MIX, same]), Product([NEAR, same])) == total_variation(MIX, NEAR)


@pytest.mark.parametrize("dim", [2, 3, *(pytest.param(dim, marks=pytest.mark.slow) for dim in (5, 12))])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_gaussian_coordinate_and_the_others(dim, scale):
    """Gaussians, whose total variation is known without setting one coordinate apart."""
    rng = np.random.default_rng(dim)
    mean, variances = scale * rng.standard_normal(dim), np.exp(0.5 * scale * rng.standard_normal(dim))
    expected, bound = total_variation(Gaussian(mean, variances), Gaussian(np.zeros(dim), np.ones(dim)))
    block = gaussian_pair(Gaussian(mean[1:], variances[1:]), Gaussian(np.zeros(dim - 1), np.ones(dim - 1)))
    value, error = _nested.of_coordinate_and_block((Gaussian(mean[:1], variances[0]), Gaussian([0.0], 1.0)), block)
    assert abs(value - expected) <= error + bound and error < 1e-9


@pytest.mark.parametrize("narrow", [1e-5, 0.3])
def test_a_block_of_equal_variances(narrow):
    """One turn makes a single coordinate of thirty that are shifted alike: no quadrature over a contour."""
    p, q = Gaussian([0.0], 1.0), GaussianMixture([0.5, 0.5], [[1.0], [0.0]], [narrow, 1.0])
    expected, bound = total_variation(Product([q, Gaussian([0.1 * 30**0.5], 1.0)]), Product([p, p]))
    value, error = total_variation(Product([q] + [Gaussian([0.1], 1.0)] * 30), Product([p] * 31))
    assert abs(value - expected) <= error + bound < 1e-10
    nearly = Gaussian([0.1], 1.0 + 1e-11)  # extrema of log p/q far out, which nothing reaches
    value, error = total_variation(Product([q] + [nearly] * 30), Product([p] * 31))
    assert abs(value - expected) <= error + bound + 1e-9 and error < 1e-9


@pytest.mark.parametrize("other", [(Gaussian([0.2], 0.5), Gaussian([0.1], 0.6)), (Gaussian([0.0], 0.6), Gaussian([0.4], 0.6))])
def test_both_ways_of_the_inside(other):
    """A block of one coordinate, by the contour and by roots; with equal variances log p/q has no extremum."""
    one, error = _nested.of_two_coordinates((MIX, NEAR), other)
    two, bound = _nested.of_coordinate_and_block((MIX, NEAR), gaussian_pair(*other))
    assert abs(one - two) <= error + bound < 1e-9


@pytest.mark.slow
def test_a_mixture_and_three_gaussians_by_draws():
    """E_q (p/q - 1)_+ over 10^6 draws, whose standard error is measured: within six of them."""
    axes = np.linalg.qr(np.arange(16.0).reshape(4, 4) ** 1.5)[0]
    p = Product([MIX, *(Gaussian([0.1 * i], 0.5 + 0.2 * i) for i in range(3))], axes)
    q = Product([NEAR, *(Gaussian([0.1], 0.6 + 0.2 * i) for i in range(3))], p.axes)
    x = q.sample(1_000_000, 5)
    terms = np.maximum(np.expm1(p.logpdf(x) - q.logpdf(x)), 0.0)
    value, error = total_variation(p, q)
    assert abs(value - terms.mean()) < 6 * terms.std() / 1000 and error < 1e-10


def test_nearly_equal_and_far_apart():
    close = GaussianMixture([0.3 + 1e-7, 0.7 - 1e-7], MIX.means, MIX.covs)
    value, error = total_variation(Product([MIX, Gaussian([0.0], 1.0)]), Product([close, Gaussian([1e-7], 1.0)]))
    one, other = total_variation(MIX, close)[0], total_variation(Gaussian([0.0], 1.0), Gaussian([1e-7], 1.0))[0]
    assert max(one, other) - error <= value <= one + other + error and error < 1e-12
    value, error = total_variation(Product([MIX, Gaussian([0.0], 1.0)]), Product([close, Gaussian([60.0], 1.0)]))
    assert 1 - value <= error < 1e-12


def test_an_exchange_of_inside_and_outside(monkeypatch):
    """The same number with the coordinates nested the other way round."""
    pairs = (MIX, NEAR), (Gaussian([0.2], 0.5), Gaussian([0.1], 0.6))
    value, error = _nested.of_two_coordinates(*pairs)
    monkeypatch.setattr(_nested, "sorted", lambda given, key: list(given)[::-1], raising=False)
    exchanged, bound = _nested.of_two_coordinates(*pairs)
    assert exchanged == pytest.approx(value, rel=0, abs=error + bound + 1e-14)
