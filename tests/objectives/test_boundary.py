"""The flux of p s through the ends of the support, against integration by parts in 30 digits."""

import math

import mpmath as mp
import numpy as np
import pytest

from refscore.densities import Beta, Gaussian, Product, TruncatedGaussian, Uniform, UnnormalizedDensity
from refscore.networks import MLP, AnalyticScore
from refscore.objectives import boundary_flux


class Wave:
    """s(x) = sin(2 x + 0.3), a model without parameters."""

    def __call__(self, x):
        return np.sin(2 * x + 0.3)


@pytest.mark.parametrize(
    ("density", "p", "ends"),
    [
        (TruncatedGaussian(0.3, 1.2, -0.5, 2.0), lambda x: mp.npdf(x, mp.mpf(0.3), mp.mpf(1.2)), [-0.5, 2]),
        (Beta(1.0, 3.0), lambda x: (1 - x) ** 2, [0, 1]),
        (Beta(2.5, 1.0), lambda x: x ** mp.mpf(1.5), [0, 1]),
        (UnnormalizedDensity(lambda x: -2 * x, (0.7, math.inf)), lambda x: mp.exp(-2 * x), [0.7, mp.inf]),
        (UnnormalizedDensity(lambda x: np.where(x < 2, x, -x), ((0, 1), (2, 3))), lambda x: mp.exp(x if x < 2 else -x),
         [0, 1, 2, 3]),
    ],
)
def test_divergence_theorem(density, p, ends):
    """int (p s)' by 30-digit quadrature of the derivative, over all pieces."""
    with mp.workdps(30):
        pieces = list(zip(ends[::2], ends[1::2], strict=True))
        mass = sum(mp.quad(p, [a, (a + min(b, a + 2)) / 2, b]) for a, b in pieces)

        def slope(x):
            return mp.diff(lambda t: p(t) * mp.sin(2 * t + mp.mpf(0.3)), x)

        inner = [(a + mp.mpf(10) ** -12, b if b == mp.inf else b - mp.mpf(10) ** -12) for a, b in pieces]
        want = sum(mp.quad(slope, [a, (a + min(b, a + 2)) / 2, b]) for a, b in inner) / mass
    value, error = boundary_flux(Wave(), density)
    assert abs(value - float(want)) <= error + 1e-9 and error < 1e-12


def test_four_sides_of_a_box():
    """s = (x y^2, x + y) on a box: every side by hand."""
    a, b = TruncatedGaussian(0.3, 1.2, -0.5, 2.0), UnnormalizedDensity(lambda x: x, (0.0, 1.5))
    density = Product([a, b])
    pa, pb = (lambda x: math.exp(a.logpdf([[x]])[0])), (lambda x: math.exp(b.logpdf([[x]])[0]))
    y2, x1 = b.cov[0, 0] + b.mean[0] ** 2, a.mean[0]
    want = (2.0 * pa(2.0) + 0.5 * pa(-0.5)) * y2 + (x1 + 1.5) * pb(1.5) - x1 * pb(0.0)
    value, error = boundary_flux(lambda z: np.stack([z[:, 0] * z[:, 1] ** 2, z.sum(axis=1)], axis=1), density)
    assert abs(value - want) <= error + 1e-13 and error < 1e-11


def test_the_error_of_a_face_that_its_nodes_do_not_resolve():
    """s_1 = sin(400 y) on the sides x = 0 and x = 1 of a box, p = e^{x + y}/Z: int sin(400 y) e^y dy by hand."""
    line = UnnormalizedDensity(lambda x: x, (0.0, 1.0))
    density = Product([line, line])
    wave = (math.e * (math.sin(400) - 400 * math.cos(400)) + 400) / (1 + 400**2) / (math.e - 1)
    value, error = boundary_flux(lambda z: np.stack([np.sin(400 * z[:, 1]), 0 * z[:, 0]], axis=1), density)
    assert 1e-13 < abs(value - wave) <= error < 1.0


def test_pieces_that_touch_cancel_for_a_smooth_score_and_count_the_jump_of_their_own():
    laplace = UnnormalizedDensity(lambda x: -np.abs(x - 0.4) / 0.8, ((-math.inf, 0.4), (0.4, math.inf)),
                                  lambda x: -np.sign(x - 0.4) / 0.8, np.zeros_like)
    assert abs(boundary_flux(Wave(), laplace)[0]) < 1e-15
    assert boundary_flux(AnalyticScore(laplace), laplace)[0] == pytest.approx(1 / 0.8**2, rel=1e-13)  # p(m) 2/b = 1/b^2


def test_float32_models_and_corrupted_laws():
    model = MLP((1, 6, 1), "tanh", 0)
    single = model.with_parameters([a.astype(np.float32) for a in model.parameters])
    density = TruncatedGaussian(0.3, 1.2, -0.5, 2.0)
    assert boundary_flux(single, density)[0] == pytest.approx(boundary_flux(model, density)[0], rel=1e-5)
    assert boundary_flux(model, density.corrupted(0.8, 0.3)) == (0.0, 0.0)


def test_limits_that_floats_cannot_see_are_in_the_error():
    """Beta(3, 2) and s = 1/(1 - x): p s tends to 12 at 1, while p vanishes there."""
    value, error = boundary_flux(lambda x: 1 / (1 - x), Beta(3.0, 2.0))
    assert value == 0 and error == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: boundary_flux(Wave(), Beta(0.5, 3.0)), r"unbounded at x\[0\]"),
        (lambda: boundary_flux(Wave(), Gaussian([0.0], 1.0)), "no faces"),
        (lambda: boundary_flux(lambda x: x / 0.0, Beta(1.0, 1.0)), "must be finite"),
        (lambda: boundary_flux(MLP((1, 4, 2), "tanh", 0), Beta(1.0, 1.0)), "2 outputs"),
        (lambda: boundary_flux(Wave(), UnnormalizedDensity(lambda x: np.where(x == 0, np.nan, -x), (0, 1))), "NaN at the end 0.0"),
        (lambda: boundary_flux(3, Beta(1.0, 1.0)), "cannot be called"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_refusals(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_the_sides_of_a_uniform_box():
    """s = (x y, y): the flux is E div s = E y + 1; with noise the box has no sides."""
    density = Uniform([-0.5, 0.2], [2.0, 1.9])
    value, error = boundary_flux(lambda z: np.stack([z[:, 0] * z[:, 1], z[:, 1]], axis=1), density)
    assert abs(value - (1.05 + 1)) <= error + 1e-14 and error < 1e-11
    assert boundary_flux(lambda z: z, density.corrupted(1.0, 0.1)) == (0.0, 0.0)
