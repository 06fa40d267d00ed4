"""Z with 50 digits and in closed form, narrow wells far apart, what has no Z; the likelihood's gradient by differences."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import parallel
from refscore._quadrature import panels
from refscore.densities import Gaussian, GaussianMixture
from refscore.energy import (
    RBM,
    AnalyticEnergy,
    BinaryEnergyModel,
    EnergyModel,
    QuadraticEnergy,
    SumEnergy,
    _cover,
    contrastive_step,
)
from refscore.energy._cells import NOWHERE, Cells, Forest
from refscore.networks import EnergyMLP
from refscore.samplers import langevin, mala

EPS = np.finfo(float).eps


def from_density(density, constant=0.0):
    return AnalyticEnergy(lambda x: constant - density.logpdf(x), lambda x: -density.score(x))


def polynomial(value, slope):
    return AnalyticEnergy(value, slope)


COUPLED = polynomial(lambda x: (x**4).sum(axis=1) / 4 - x[:, 0] * x[:, 1], lambda x: x**3 - x[:, ::-1])


def test_integrals_with_fifty_digits():
    """Int e^{-x^4} = 2 Gamma(5/4); a skewed double well; a coupled quartic by its series in xy."""
    mp = pytest.importorskip("mpmath")
    with mp.workdps(50):
        quartic = mp.log(2 * mp.gamma(mp.mpf(5) / 4))
        well = mp.log(mp.quad(lambda x: mp.exp(-(x**4) / 4 + 3 * x**2 - x / 3), [-8, -mp.sqrt(6), 0, mp.sqrt(6), 8]))
        moment = lambda n: 4 ** (mp.mpf(n + 1) / 4) * mp.gamma(mp.mpf(n + 1) / 4) / 2  # noqa: E731
        coupled = mp.log(sum(moment(n) ** 2 / mp.factorial(n) for n in range(0, 160, 2)))
    cases = (
        (polynomial(lambda x: x[:, 0] ** 4, lambda x: 4 * x**3), 1, quartic),
        (polynomial(lambda x: x[:, 0] ** 4 / 4 - 3 * x[:, 0] ** 2 + x[:, 0] / 3, lambda x: x**3 - 6 * x + 1 / 3), 1, well),
        (COUPLED, 2, coupled),
    )
    for energy, d, exact in cases:
        value, error = EnergyModel(energy, d).log_partition()
        assert abs(value - float(exact)) <= error < 1e-13


@pytest.mark.parametrize("d", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("far", "width"), [(3.0, 0.5), (20.0, 0.1), (50.0, 0.01)])
def test_narrow_wells_far_apart_are_all_found(d, far, width):
    mixture = GaussianMixture([0.3, 0.7], np.array([-np.ones(d), 0.7 * np.ones(d)]) * far, [width**2, 4 * width**2])
    value, error = EnergyModel(from_density(mixture, 3.7), d).log_partition()
    assert abs(value + 3.7) <= error < 1e-10


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 2))
@settings(max_examples=10, deadline=None)
def test_quadratic_energies_whatever_their_shape(seed, d):
    """Conditions up to about 1e3, means up to 30 away, in the default coordinates and in their own; with any constant."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((d, d)) * 2.0 ** rng.uniform(-3, 3, d)
    precision = axes @ axes.T + 0.05 * np.eye(d)
    precision = (precision + precision.T) / 2
    mean, constant = 10 * rng.standard_normal(d), 300 * rng.standard_normal()
    quadratic = QuadraticEnergy(mean, precision)
    with mpmath.workdps(50):  # of a condition of 5e3 a determinant in double precision has lost more than the error that is claimed
        exact = float((d * mpmath.log(2 * mpmath.pi) - mpmath.log(mpmath.det(mpmath.matrix(precision.tolist())))) / 2)
    moved = AnalyticEnergy(lambda x: quadratic(x) + constant, quadratic.gradient)
    for proposal in (None, Gaussian(mean, np.linalg.inv(precision))):
        for energy, log_z in ((quadratic, exact), (moved, exact - constant)):
            value, error = EnergyModel(energy, d, proposal=proposal).log_partition()
            assert abs(value - log_z) <= error < 1e-10


def test_a_needle_in_a_wide_well_is_found_from_a_point_nearby():
    """Width 0.002 within a well of width 2: from afar there is no hint of it, and a third of Z is missed without one."""
    for d in (1, 2):
        mixture = GaussianMixture([0.65, 0.35], np.array([np.zeros(d), 1.3 * np.ones(d)]), [4.0, 4e-6])
        value, error = EnergyModel(from_density(mixture), d, starts=np.full((1, d), 1.305)).log_partition()
        assert abs(value) <= error < 1e-10


def test_energies_without_a_gradient():
    """Descents by trial; a narrow well ninety away, so deep that e^f would overflow by the heights first seen."""
    for d in (1, 2):
        far = GaussianMixture([0.5, 0.5], [[0.2] * d, [-90.0] * d], [2.5e-3, 1e-4])
        value, error = EnergyModel(AnalyticEnergy(lambda x, p=far: -p.logpdf(x)), d).log_partition()
        assert abs(value) <= error < 1e-10


def test_moments_and_nodes_of_a_quadratic_energy():
    precision = np.array([[2.0, 0.7, 0.1], [0.7, 1.0, -0.3], [0.1, -0.3, 0.8]])
    mean, cov = np.array([0.4, -1.0, 0.2]), np.linalg.inv(precision)
    model = EnergyModel(QuadraticEnergy(mean, precision), 3, proposal=Gaussian(mean, cov))
    value, error = model.expectation(lambda x: (x - mean)[:, :, None] * (x - mean)[:, None])
    assert value.shape == (3, 3) and (np.abs(value - cov) <= error + 64 * EPS).all() and error.max() < 1e-10
    x, w = model.nodes()
    assert abs(w.sum() - 1) <= 1e-12 and np.abs(w @ x - mean).max() <= 1e-12
    normal = Gaussian(mean, cov)
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(model.logpdf(points), normal.logpdf(points), atol=1e-11)
    np.testing.assert_allclose(model.score(points), normal.score(points), atol=1e-12)
    np.testing.assert_allclose(model.score_divergence(points), normal.score_divergence(points), atol=1e-12)


def test_heavy_tails_and_kinks():
    """(1 + x^2)^{-a} by its Gamma functions; |x| + x/3 with a kink, and a ReLU network, cut where it has kinks."""
    for a in (0.8, 1.5):
        energy = polynomial(lambda x, a=a: a * np.log1p(x[:, 0] ** 2), lambda x, a=a: 2 * a * x / (1 + x**2))
        exact = math.log(math.pi) / 2 + math.lgamma(a - 0.5) - math.lgamma(a)
        value, error = EnergyModel(energy, 1).log_partition()
        assert abs(value - exact) <= error < 1e-11
    value, error = EnergyModel(polynomial(lambda x: np.abs(x[:, 0] - 0.1) + x[:, 0] / 3, None), 1).log_partition()
    assert abs(value - math.log(9 / 4 * math.exp(-0.1 / 3))) <= error < 1e-11
    network = SumEnergy([EnergyMLP((1, 6, 1), "relu", 3).energy, QuadraticEnergy([0.3], [[0.7]])])
    value, error = EnergyModel(network, 1).log_partition()
    W, b = network.parameters[:2]
    kinks = np.sort(-b / W[0])
    nodes, weights = panels(np.array([-40.0, *kinks[np.abs(kinks) < 40], 40.0]), 400)
    assert abs(value - math.log(weights @ np.exp(-network(nodes[:, None])))) <= error < 1e-12


def test_a_needle_beside_the_edge_of_a_cell_has_its_tail_in_the_next():
    """Width 1e-4, a few of it away from the middle of the box, where cells are cut, and far from all nodes on that edge."""
    for away in (0.5, 2.0, 4.0):
        needle = Gaussian([0.5 + away * 1e-4, 0.41], 1e-8)
        value, error = EnergyModel(from_density(needle), 2, box=[(0.0, 1.0)] * 2).log_partition()
        assert abs(value) <= error < 1e-10


def test_what_lies_beyond_the_last_shell_is_in_the_error():
    """(1 + x^2)^-0.6: a hundred doublings, and 1e-6 of Z is still farther out."""
    energy = polynomial(lambda x: 0.6 * np.log1p(x[:, 0] ** 2), lambda x: 1.2 * x / (1 + x**2))
    with pytest.warns(RuntimeWarning, match="error estimate"):
        value, error = EnergyModel(energy, 1).log_partition()
    assert 1e-8 < abs(value - (math.log(math.pi) / 2 + math.lgamma(0.1) - math.lgamma(0.6))) <= error < 1e-4


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_coarser_rule_has_nodes_on_the_faces(d):
    low, high = np.full((1, d), -1.0), np.full((1, d), 2.0)
    x, w = _cover.nodes(low, high, rule=1)
    assert x.min() == -1 and x.max() == 2 and abs(w.sum() - 3**d) <= 1e-12
    assert abs(w @ x[:, 0] ** 20 - 3 ** (d - 1) * (2**21 + 1) / 21) <= 1e-9 * 2**21


@pytest.mark.slow
def test_an_error_that_cannot_be_small_is_said():
    kinked = SumEnergy([EnergyMLP((3, 6, 1), "relu", 3).energy, QuadraticEnergy(np.zeros(3), np.eye(3))])
    with pytest.warns(RuntimeWarning, match="kinks"):
        _, error = EnergyModel(kinked, 3).log_partition()
    assert 1e-10 < error < 1e-2


def test_boxes():
    """e^{-c.x} on a box; half the box has less; beyond it p is 0."""
    c = np.array([1.3, -0.7])
    energy = polynomial(lambda x: x @ c, lambda x: np.broadcast_to(c, x.shape))
    box = np.array([(-0.5, 2.0), (0.3, 1.1)])
    exact = sum(math.log((math.exp(-k * a) - math.exp(-k * b)) / k) for k, (a, b) in zip(c, box))
    model = EnergyModel(energy, 2, box=box)
    value, error = model.log_partition()
    assert abs(value - exact) <= error < 1e-13
    assert np.isneginf(model.logpdf(np.array([[2.1, 0.5]]))).all()
    with pytest.raises(ValueError, match="probability 0"):
        model.log_likelihood(np.array([[2.1, 0.5]]))


@pytest.mark.parametrize("d", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_has_no_z_is_refused(d):
    energies = {
        "bounded network": EnergyMLP((d, 8, 1), "tanh", 3).energy,
        "linear": polynomial(lambda x: x.sum(axis=1), np.ones_like),
        "falling": polynomial(lambda x: -(x**4).sum(axis=1), lambda x: -4 * x**3),
        "log": polynomial(lambda x: d / 2 * np.log1p((x**2).sum(axis=1)), lambda x: d * x / (1 + (x**2).sum(axis=1))[:, None]),
        "saddle": QuadraticEnergy(np.zeros(d), np.diag([-1.0, 2.0][:d])),
    }
    for energy in energies.values():
        with pytest.raises(ValueError, match="not integrable"):
            EnergyModel(energy, d).log_partition()


def funnel(s, d):
    """x_0 is N(0, s^2), all others N(0, e^{x_0}): Z = s (2 pi)^{d/2}. Towards -x_0 the arm is e^{x_0/2} thin."""

    def value(x):
        return (x[:, 0] / s) ** 2 / 2 + (x[:, 1:] ** 2).sum(axis=1) * np.exp(-x[:, 0]) / 2 + (d - 1) / 2 * x[:, 0]

    def slope(x):
        spread = np.exp(-x[:, :1])
        along = x[:, :1] / s**2 - (x[:, 1:] ** 2).sum(axis=1, keepdims=True) * spread / 2 + (d - 1) / 2
        return np.concatenate([along, x[:, 1:] * spread], axis=1)

    return value, slope, math.log(s) + d / 2 * math.log(2 * math.pi)


@pytest.mark.parametrize("known", [False, True], ids=["without slope", "with slope"])
@pytest.mark.parametrize("s", [0.5, 1.0, *(pytest.param(s, marks=pytest.mark.slow) for s in (2.0, 3.0))])
def test_funnels_are_followed_to_where_they_are_thin(s, known):
    """At s = 3 six standard deviations along the arm it is 1e-4 wide; nodes would have to hit it by chance."""
    value, slope, exact = funnel(s, 2)
    found, error = EnergyModel(AnalyticEnergy(value, slope if known else None), 2).log_partition()
    assert abs(found - exact) <= error < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("s", [0.5, 1.0, 2.0])
def test_funnels_in_three_dimensions(s):
    value, slope, exact = funnel(s, 3)
    found, error = EnergyModel(AnalyticEnergy(value, slope), 3).log_partition()
    assert abs(found - exact) <= error < 1e-5


@pytest.mark.parametrize("eps", [1e-2, 1e-4, 1e-6, 1e-8])
def test_long_valleys_that_get_thinner(eps):
    """E = x^2/2 + x^2 y^2 + eps y^2: y reaches out to eps^-1/2 where |x| < 1/y. Over y first: e^{-x^2/2} sqrt(pi/(x^2 + eps)),
    and over x that is a Bessel function, sqrt(pi) e^{eps/4} K_0(eps/4)."""
    from scipy.special import k0e

    def value(x):
        return x[:, 0] ** 2 / 2 + (x[:, 0] * x[:, 1]) ** 2 + eps * x[:, 1] ** 2

    exact = math.log(math.sqrt(math.pi) * math.exp(eps / 2 - eps / 4 - eps / 4) * k0e(eps / 4))
    found, error = EnergyModel(AnalyticEnergy(value), 2).log_partition()
    assert abs(found - exact) <= error < 1e-12


@pytest.mark.parametrize("nodes", [50_000, 100_000, 200_000])
@pytest.mark.parametrize("s", [1.0, 2.0, pytest.param(3.0, marks=pytest.mark.slow)])
def test_arms_that_there_are_no_nodes_for_are_in_the_error_or_refused(monkeypatch, s, nodes):
    monkeypatch.setattr(_cover, "MAX_NODES", nodes)
    value, slope, exact = funnel(s, 2)
    try:
        found, error = EnergyModel(AnalyticEnergy(value, slope), 2).log_partition()
    except ValueError as refusal:
        assert "in doubt" in str(refusal) or "not integrable" in str(refusal)
        assert s > 1
    else:
        assert abs(found - exact) <= error


@pytest.mark.slow
@pytest.mark.parametrize("valley", [0.0, 0.5])
def test_channels_of_infinite_mass_are_refused(valley):
    """e^{-x^2 y^2}: along the axes ever narrower, and never enough so; with a well in x along one of them only."""
    with pytest.raises(ValueError, match="not integrable|in doubt"):
        EnergyModel(AnalyticEnergy(lambda x: valley * x[:, 0] ** 2 + (x[:, 0] * x[:, 1]) ** 2), 2).log_partition()


@pytest.mark.parametrize(("mean", "precision"), [(1e4, 1e6), (1e6, 1e4), (-3e5, 1e3)])
def test_narrow_laws_far_from_the_origin_lose_nothing_to_rounded_edges(mean, precision):
    """Widths that are differences of shared edges add up to the whole, however few digits are left of them."""
    with pytest.warns(RuntimeWarning, match="error estimate"):
        value, error = EnergyModel(QuadraticEnergy([mean], [[precision]]), 1).log_partition()
    assert abs(value - math.log(2 * math.pi / precision) / 2) <= min(error, 1e-11) and error < 1e-7


def test_cells_are_not_cut_below_rounding():
    """At 1e8 floats are 1.5e-8 apart: of a law 1e-6 wide little is lost, and the error says so; one 1e-7 wide is refused."""
    with pytest.warns(RuntimeWarning, match="error estimate"):
        value, error = EnergyModel(QuadraticEnergy([1e8], [[1e12]]), 1, box=[(1e8 - 1e-5, 1e8 + 1e-5)]).log_partition()
    assert abs(value - math.log(2 * math.pi / 1e12) / 2) <= error < 0.1
    with pytest.raises(ValueError, match="in doubt"):
        EnergyModel(QuadraticEnergy([1e8], [[1e14]]), 1, box=[(1e8 - 1e-6, 1e8 + 1e-6)]).log_partition()


@pytest.mark.parametrize("d", [1, 2])
def test_a_search_for_a_cell_may_begin_anywhere(d):
    """From a cell nearby or far off it ends in the leaf that is found from the roots, for points on edges too, on either side."""
    rng, forest = np.random.default_rng(d), Forest(d)
    for shell in (0, 1):
        forest.plant(Cells(np.full((1, d), 2.0 * shell - 1), np.full((1, d), 2.0 * shell + 1), np.array([shell])))
    for _ in range(6):
        leaves = np.flatnonzero(forest.leaves)
        axes = rng.random((len(leaves), d)) < 0.5
        forest.cut(leaves[axes.any(axis=1)], axes[axes.any(axis=1)])
    x = np.concatenate([rng.uniform(-1.3, 3.3, (500, d)), forest.cells.low, forest.cells.high])
    side, begin = rng.choice([-1, 1], x.shape), rng.integers(0, len(forest.cells.low), len(x))
    found = forest.locate(x, side, np.full(len(x), NOWHERE))
    np.testing.assert_array_equal(forest.locate(x, side, begin), found)
    assert 0 < (found == NOWHERE).sum() < len(x) / 2 and forest.leaves[found[found != NOWHERE]].all()


@pytest.mark.parametrize("k", [0.5, pytest.param(0.9, marks=pytest.mark.slow)])
def test_singularities_that_can_be_integrated(k):
    """|x|^-k e^{-x^2/2}: 2^{(1-k)/2} Gamma((1-k)/2); not at 0 floats are too far apart for it, and the error says so."""
    model = EnergyModel(AnalyticEnergy(lambda x: k * np.log(np.maximum(np.abs(x[:, 0]), 1e-300)) + x[:, 0] ** 2 / 2), 1)
    value, error = model.log_partition()
    assert abs(value - (1 - k) / 2 * math.log(2) - math.lgamma((1 - k) / 2)) <= error < 1e-12


def test_a_singularity_between_floats_is_in_the_error():
    """|x - 0.3|^-1/2 on [-0.7, 1.3]: 4. Cells end where floats do, 1e-9 of Z before the singularity does."""
    energy = AnalyticEnergy(lambda x: 0.5 * np.log(np.maximum(np.abs(x[:, 0] - 0.3), 1e-18)))
    with pytest.warns(RuntimeWarning, match="error estimate"):
        value, error = EnergyModel(energy, 1, box=[(-0.7, 1.3)]).log_partition()
    assert 1e-11 < abs(value - math.log(4)) <= error < 1e-2


@pytest.mark.slow
def test_an_oblique_edge_has_a_finite_error():
    """p cut off along x + 0.3 y = 0, so that half of Z is left; no slope is known."""
    energy = AnalyticEnergy(lambda x: np.where(x[:, 0] + 0.3 * x[:, 1] > 0, (x**2).sum(axis=1) / 2, np.inf))
    model = EnergyModel(energy, 2, box=[(-9.0, 9.0)] * 2)
    with pytest.warns(RuntimeWarning, match="error estimate.* E has kinks"):
        value, error = model.log_partition()
    assert abs(value - math.log(math.pi)) <= error < 1e-2
    assert np.isfinite(model._moved(np.array([[1e-12 - 0.3, 1.0]]))).all()  # beside the edge, where any step leads across


def test_expectations_that_do_not_exist_are_refused():
    model = EnergyModel(polynomial(lambda x: np.log1p(x[:, 0] ** 2), lambda x: 2 * x / (1 + x**2)), 1)
    with pytest.raises(ValueError, match="does not converge"):
        model.expectation(lambda x: np.abs(x[:, 0]))


def differences(log_likelihood, energy, rng):
    """Along one random direction in all parameters: (gradient's, central difference, its error)."""
    direction = [rng.standard_normal(a.shape) for a in energy.parameters]
    direction = [(v + v.T) / 2 if v.ndim == 2 and v.shape[0] == v.shape[1] else v for v in direction]

    def along(h):
        return log_likelihood(energy.with_parameters([a + h * v for a, v in zip(energy.parameters, direction)]))

    slopes = [(along(h) - along(-h)) / (2 * h) for h in (1e-4, 2e-4)]
    return direction, slopes[0], abs(slopes[1] - slopes[0]) + 1e-10


@pytest.mark.parametrize("d", [1, 2])
def test_gradient_of_the_likelihood_by_differences_of_log_z(d):
    rng = np.random.default_rng(d)
    energy = SumEnergy([EnergyMLP((d, 7, 1), "softplus", d).energy, QuadraticEnergy(rng.normal(size=d), np.eye(d))])
    x = rng.normal(size=(9, d))
    _, gradient = EnergyModel(energy, d).log_likelihood(x, grad=True)
    direction, slope, error = differences(lambda e: EnergyModel(e, d).log_likelihood(x), energy, rng)
    assert abs(sum((g * v).sum() for g, v in zip(gradient, direction)) - slope) <= error < 1e-5


def test_the_gradient_in_a_precision_is_symmetric_to_the_last_bit():
    """Or the first step of a training would leave a P that is none."""
    rng = np.random.default_rng(0)
    for d in (2, 3, 5):
        x, c = rng.normal(size=(200, d)), rng.normal(size=200)
        energy = QuadraticEnergy(rng.normal(size=d), np.eye(d))
        slope = energy.parameter_gradient(x, c)[1]
        np.testing.assert_array_equal(slope, slope.T)
        away = x - energy.mean
        want = 0.5 * np.einsum("n,ni,nj->ij", c, away, away)
        assert np.abs(slope - want).max() <= 200 * EPS * np.einsum("n,ni,nj->ij", np.abs(c), np.abs(away), np.abs(away)).max()


def test_gradient_of_binary_models_by_differences_of_log_z():
    rng = np.random.default_rng(5)
    energy, x = EnergyMLP((6, 5, 1), "tanh", 2).energy, rng.integers(0, 2, size=(9, 6)).astype(float)
    _, gradient = BinaryEnergyModel(energy, 6).log_likelihood(x, grad=True)
    direction, slope, error = differences(lambda e: BinaryEnergyModel(e, 6).log_likelihood(x), energy, rng)
    assert abs(sum((g * v).sum() for g, v in zip(gradient, direction)) - slope) <= error < 1e-5


def test_a_chain_of_binary_units_by_its_transfer_matrix():
    """E = -sum b_i x_i - J sum x_i x_{i+1} for 15 units: 15 products of 2 x 2 matrices against 2^15 terms."""
    rng = np.random.default_rng(3)
    b, J = rng.normal(size=15), 0.8
    model = BinaryEnergyModel(AnalyticEnergy(lambda x: -x @ b - J * (x[:, 1:] * x[:, :-1]).sum(axis=1)), 15)
    row = np.array([1.0, math.exp(b[0])])
    for bias in b[1:]:
        row = row @ np.array([[1.0, math.exp(bias)], [1.0, math.exp(bias + J)]])
    value, error = model.log_partition()
    assert abs(value - math.log(row.sum())) <= error < 1e-12
    mean, bound = model.expectation(lambda x: x[:, :2])
    states = np.array(list(itertools.product((0.0, 1.0), repeat=15)))
    p = np.exp(model.logpdf(states))
    assert abs(p.sum() - 1) <= 1e-12 and (np.abs(mean - p @ states[:, :2]) <= bound + 1e-14).all()
    assert (0 < bound).all() and (bound < 1e-11).all()


def test_binary_states_may_have_no_weight():
    """Only states with an even number of ones: E = +inf for the others, as many as there are."""
    model = BinaryEnergyModel(AnalyticEnergy(lambda x: np.where(x.sum(axis=1) % 2 == 0, x[:, 0], np.inf)), 15)
    value, error = model.log_partition()
    assert abs(value - math.log(2**13 * (1 + math.exp(-1)))) <= error < 1e-10
    assert np.isneginf(model.logpdf(np.eye(15)[:1])).all()
    mean, bound = model.expectation(lambda x: x[:, 0])
    assert abs(mean - 1 / (1 + math.e)) <= bound < 1e-10
    with pytest.raises(ValueError, match="all states have weight 0"):
        BinaryEnergyModel(AnalyticEnergy(lambda x: np.full(len(x), np.inf)), 3).log_partition()
    with pytest.raises(ValueError, match="energy is nan at x"):
        BinaryEnergyModel(AnalyticEnergy(lambda x: x[:, 0] * np.nan), 3).log_partition()


def test_langevin_needs_no_z_and_a_constant_changes_no_bit():
    x = np.random.default_rng(0).normal(size=(50, 2))
    quiet = EnergyModel(COUPLED, 2)
    loud = EnergyModel(polynomial(lambda y: COUPLED(y) - 1e9, COUPLED.gradient), 2)
    one, other = (langevin(model.score, 0.05, 20).simulate(x, 7) for model in (quiet, loud))
    assert one.tobytes() == other.tobytes()
    beyond = EnergyModel(QuadraticEnergy(np.zeros(40), np.eye(40)), 40)  # in 40 dimensions there is no Z to be had, and no need
    assert langevin(beyond.score, 0.1, 3).simulate(np.zeros((4, 40)), 1).shape == (4, 40)


def test_contrastive_steps_from_the_data_and_from_where_they_were_left():
    model = EnergyModel(QuadraticEnergy([0.5], [[1.5]]), 1)
    x = np.random.default_rng(1).normal(size=(20, 1))
    chain = mala(model.score, model.exponent, 0.3, 3)
    gradient, negatives = contrastive_step(model, x, chain, x, 4)
    np.testing.assert_array_equal(negatives, chain.simulate(x, 4))
    want = -1.5 * (negatives - 0.5).mean() + 1.5 * (x - 0.5).mean()
    assert abs(gradient[0][0] - want) <= 64 * EPS
    want = ((negatives - 0.5) ** 2).mean() / 2 - ((x - 0.5) ** 2).mean() / 2
    assert abs(gradient[1][0, 0] - want) <= 64 * EPS
    again, further = contrastive_step(model, x, chain, negatives, 5)
    np.testing.assert_array_equal(further, chain.simulate(negatives, 5))
    with pytest.raises(TypeError, match="langevin or mala"):
        contrastive_step(model, x, lambda y: y, x, 0)


def test_the_same_bits_for_any_number_of_threads():
    energy = SumEnergy([EnergyMLP((2, 9, 1), "silu", 1).energy, QuadraticEnergy([0.1, 0.2], np.eye(2))])
    found = []
    for threads in (1, 3):
        with parallel(threads=threads):
            found.append((EnergyModel(energy, 2).log_partition(), BinaryEnergyModel(energy, 2).log_partition()))
    assert found[0] == found[1]


def test_single_precision_is_known_to_single_precision(monkeypatch):
    single = EnergyMLP((1, 9, 1), "softplus", 1, dtype=np.float32)
    arrays = [a.astype(float) for a in single.parameters]
    double = EnergyMLP.from_arrays(arrays[::2], arrays[1::2], "softplus")
    box = [(-2.0, 3.0)]
    with pytest.warns(RuntimeWarning, match="E is computed in float32, good to 1e-07 of itself; compute it in float64"):
        value, error = EnergyModel(single.energy, 1, box=box).log_partition()
    monkeypatch.setattr(_cover, "MAX_NODES", 50_000)  # of a sum in float64, whose digits are those of a term
    with pytest.warns(RuntimeWarning, match="E is computed in float32"):
        EnergyModel(SumEnergy([single.energy, QuadraticEnergy([0.3], [[0.7]])]), 1).log_partition()
    exact, _ = EnergyModel(double.energy, 1, box=box).log_partition()
    assert abs(value - exact) <= error < 1e-5


QUADRATIC = QuadraticEnergy([0.0, 0.0], np.eye(2))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: EnergyModel(3, 1), TypeError, "energy is 3"),
        (lambda: EnergyModel(RBM(np.ones((9, 5)), np.ones(9), np.ones(5)), 9), TypeError, "energy is of type RBM: pass a function"),
        (lambda: EnergyModel(EnergyMLP((2, 4, 1), "tanh", 0), 2), TypeError, r"energy is an EnergyMLP.*its attribute .energy"),
        (lambda: BinaryEnergyModel(EnergyMLP((2, 4, 1), "tanh", 0), 2), TypeError, "energy is an EnergyMLP.*its attribute .energy"),
        (lambda: EnergyModel(lambda x: x[:, 0] ** 2, 1).parameters, TypeError, "without parameters: pass QuadraticEnergy"),
        (lambda: EnergyModel(QUADRATIC, 2, box=[(0, 1)]), ValueError, "pass 2 finite intervals"),
        (lambda: EnergyModel(QUADRATIC, 2, box=[(0, 1), (1, 1)]), ValueError, "low < high"),
        (lambda: EnergyModel(QUADRATIC, 2, proposal=Gaussian([0.0], 1.0)), ValueError, "a Gaussian in 2 dimensions"),
        (lambda: EnergyModel(QUADRATIC, 2, proposal=Gaussian([0.0, 0.0], 1.0), box=[(0, 1)] * 2), ValueError, "leave out proposal"),
        (lambda: EnergyModel(QUADRATIC, 2, starts=[0.0, 1.0]), ValueError, "starts has shape"),
        (lambda: EnergyModel(QuadraticEnergy(np.zeros(5), np.eye(5)), 5).log_partition(), ValueError, r"16\^5 = 1.0e\+06"),
        (lambda: EnergyModel(AnalyticEnergy(lambda x: np.full(len(x), np.nan)), 1).log_partition(), ValueError, "energy is nan"),
        (lambda: EnergyModel(AnalyticEnergy(lambda x: x), 1).log_partition(), ValueError, r"value returned shape \("),
        (lambda: EnergyModel(AnalyticEnergy(lambda x: x[:, 0] ** 2), 1).score(np.ones((2, 1))), TypeError, "knows no slope"),
        (lambda: EnergyModel(QUADRATIC, 2).log_likelihood(np.ones((0, 2))), ValueError, "x has no rows"),
        (lambda: EnergyModel(QUADRATIC, 2).log_likelihood(np.ones((1, 2)), grad=1), TypeError, "grad is 1"),
        (lambda: EnergyModel(QUADRATIC, 2).logpdf(np.ones((1, 3))), ValueError, "3 columns"),
        (lambda: BinaryEnergyModel(QUADRATIC, 40).log_partition(), ValueError, r"2\^40 = 1.1e\+12 states"),
        (lambda: BinaryEnergyModel(QUADRATIC, 2).logpdf(np.full((1, 2), 0.5)), ValueError, r"x\[0, 0\] is 0.5"),
        (lambda: QuadraticEnergy([0.0, 0.0], [[1.0, 0.2], [0.1, 1.0]]), ValueError, "not symmetric"),
        (lambda: QuadraticEnergy([0.0], np.eye(2)), ValueError, "precision"),
        (lambda: SumEnergy([3.0]), TypeError, "pass a list of energies"),
        (lambda: QUADRATIC.parameter_gradient(np.ones((2, 2)), [1.0]), ValueError, "one number a row"),
    ],
)
def test_refusals_say_how_to_mend_it(call, error, match):
    with pytest.raises(error, match=match):
        call()
