"""Push-forwards against closed forms in 50 digits, changes of variables, and draws."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian, GaussianMixture, PointSet, PushForward
from refscore.distances import total_variation

MIX = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
MAPS = {  # y = m(x): the map in numpy, its inverse and the logarithm of its slope in mpmath
    "exp": (np.exp, mp.log, lambda x: x),
    "sinh": (np.sinh, mp.asinh, lambda x: mp.log(mp.cosh(x))),
    "x + tanh(3 x)": (lambda x: x + np.tanh(3 * x), None, lambda x: mp.log(1 + 3 * mp.sech(3 * x) ** 2)),
}


def inverse(name, y):
    if MAPS[name][1]:
        return MAPS[name][1](y)
    return mp.findroot(lambda x: x + mp.tanh(3 * x) - y, (y - 1.01, y + 1.01), solver="anderson", tol=1e-60)


def mp_log_density(base, x):
    return mp.log(sum(mp.mpf(float(w)) * mp.npdf(x, mp.mpf(float(m)), mp.sqrt(mp.mpf(float(v))))
                      for w, m, v in zip(base.weights, base.means[:, 0], base.covs.reshape(-1), strict=True)))


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("base", [Gaussian([0.3], 0.5), MIX], ids=["Gaussian", "mixture"])
def test_against_fifty_digits(name, base):
    law = PushForward(base, MAPS[name][0])
    y = MAPS[name][0](np.linspace(-2.3, 2.6, 23))
    assert law.error < 1e-12
    with mp.workdps(50):
        found = law.logpdf(y[:, None]), law.score(y[:, None])[:, 0], law.cdf(y[:, None])
        for value, log_p, score, below in zip(y, *found, strict=True):
            value = mp.mpf(float(value))

            def log_q(u):
                x = inverse(name, u)
                return mp_log_density(base, x) - MAPS[name][2](x)

            # at the end of a panel rounding of m is magnified by n^3/6 over half its width: 1333 * 3 eps/0.1
            assert abs(log_q(value) - log_p) < 1e-11
            slope = mp.diff(log_q, value, h=mp.mpf("1e-15"))
            assert abs(slope - score) < 1e-9 * (1 + abs(slope))  # m'' by two differentiations of polynomials
            x = inverse(name, value)
            exact = sum(mp.mpf(float(w)) * mp.ncdf((x - mp.mpf(float(m))) / mp.sqrt(mp.mpf(float(v))))
                        for w, m, v in zip(base.weights, base.means[:, 0], base.covs.reshape(-1), strict=True))
            assert abs(exact - below) < 1e-14


def test_moments_of_the_lognormal_law():
    law = PushForward(Gaussian([0.3], 0.5), np.exp)
    assert law.mean[0] == pytest.approx(np.exp(0.55), rel=1e-12)
    assert law.cov[0, 0] == pytest.approx(np.exp(1.1) * np.expm1(0.5), rel=1e-12)
    value, error = law.expectation(lambda y: y[:, 0] ** 3)
    assert abs(value - np.exp(0.9 + 9 * 0.25)) <= error + 1e-12 * value


def test_tails_and_draws():
    """Dvoretzky-Kiefer-Wolfowitz: sup |F_n - F| > 0.0164 with probability 1e-9 for n = 40 000; log-normal against normal is 0.2."""
    law = PushForward(MIX, np.exp)
    assert law.sf(np.exp([[4.0]]))[0] == pytest.approx(MIX.sf([[4.0]])[0], rel=1e-10)
    y = np.sort(law.sample(40_000, 3), axis=0)
    assert np.abs(law.cdf(y) - (np.arange(40_000) + 0.5) / 40_000).max() < np.sqrt(np.log(2e9) / 80_000)


def test_the_same_bits_for_any_number_of_threads():
    from refscore._blocks import parallel

    law, y = PushForward(MIX, np.sinh), np.sinh(np.linspace(-4, 4, 30_001))[:, None]
    found = []
    for threads in (1, 3):
        with parallel(threads=threads):
            found.append([law.logpdf(y), law.score(y), law.cdf(y), law.sample(5_000, 1)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found[0][0][::7], law.logpdf(y[::7]))


def test_beyond_the_range_the_map_is_a_line():
    """Nothing is lost there, and nothing is infinite: 2e-21 of the mass lies beyond 9.5 standard deviations."""
    law = PushForward(Gaussian([0.0], 1.0), np.sinh)
    y = np.array([[-1e9], [-1e5], [1e5], [1e9]])
    assert np.isfinite(law.logpdf(y)).all() and np.isfinite(law.score(y)).all()
    assert np.diff(law.logpdf(y[:2]))[0] > 1e6 and np.diff(law.logpdf(y[2:]))[0] < -1e6  # the tangent goes on
    assert (law.logpdf(y) < -45).all() and (law.cdf(y[2:]) == 1).all() and (law.sf(y[:2]) == 1).all()


@pytest.mark.slow
@settings(deadline=None, max_examples=4)
@given(st.floats(-1, 1), st.floats(0.1, 2), st.floats(0.2, 3), st.floats(-0.9, 0.9))
def test_total_variation_does_not_see_the_coordinates(shift, variance, frequency, depth):
    """TV(m#p, m#q) = TV(p, q), and TV(m#p, q) = TV(p, m^{-1}#q)."""
    other = Gaussian([shift], variance)
    expected, error = total_variation(MIX, other)

    def wave(x):
        return x + depth / frequency * np.sin(frequency * x)

    p, q = PushForward(MIX, wave), PushForward(other, wave)
    value, bound = total_variation(p, q)
    assert abs(value - expected) <= bound + error and bound < 1e-10
    one, error = total_variation(PushForward(MIX, np.sinh), other)
    two, bound = total_variation(MIX, PushForward(other, np.arcsinh))
    assert abs(one - two) <= bound + error < 1e-10


def test_a_step_between_the_panels_is_found():
    """A rise of width 1e-4: tanh at 0.3, half of the line's mass moved apart."""
    def step(x):
        return x + np.tanh((x - 0.3) / 1e-4)

    law = PushForward(Gaussian([0.0], 1.0), step)
    x = np.array([-1.0, 0.2999, 0.3, 0.30005, 2.0])
    assert law.cdf(step(x)[:, None]) == pytest.approx(Gaussian([0.0], 1.0).cdf(x[:, None]), abs=1e-13)
    assert law.error < 1e-9


def test_what_the_nodes_miss_counts_as_error():
    """A bump between two nodes of a panel, too narrow for them, in sight of the points between."""
    from refscore import _panels
    from refscore.densities._increasing import resolved

    z = _panels.rule()[0]
    place = (z[9] + z[10]) / 2
    flat = resolved(lambda x: x, np.array([-1.0, 1.0]))
    bump = resolved(lambda x: x + 1e-4 * np.exp(-(((x - place) / 1e-3) ** 2)), np.array([-1.0, 1.0]))
    assert flat.slope_error.max() < 1e-12 and bump.slope_error.max() > 1e-5


def test_a_kink_comes_with_its_error():
    """Polynomials miss a kink by the width of the smallest panel around it: little mass, and more than rounding."""
    law = PushForward(Gaussian([0.2], 1.0), lambda x: x + 0.5 * np.abs(x))
    y = np.linspace(-1, 3, 101)[:, None]
    x = np.where(y < 0, 2 * y, y / 1.5)
    assert law.cdf(y) == pytest.approx(Gaussian([0.2], 1.0).cdf(x), abs=law.error + 1e-14)
    assert 1e-16 < law.error < 1e-10


def test_an_infinite_density():
    """x^3 has no slope at 0: the density there is infinite, and what is not resolved of it has little mass."""
    cube, base = PushForward(Gaussian([0.2], 1.0), lambda x: x**3), Gaussian([0.2], 1.0)
    y = np.linspace(-2, 2, 41)[:, None]
    assert cube.error < 1e-9 and cube.cdf(y) == pytest.approx(base.cdf(np.cbrt(y)), abs=cube.error)
    value, error = total_variation(cube, PushForward(Gaussian([0.0], 1.3), lambda x: x**3))
    assert abs(value - total_variation(base, Gaussian([0.0], 1.3))[0]) <= error < 1e-9


@pytest.mark.parametrize(
    "base, transform, error, message",
    [
        (PointSet([[0.0]]), np.exp, TypeError, "base is .*pass a Gaussian or a GaussianMixture in one dimension"),
        (Gaussian([0.0, 1.0], 1.0), np.exp, TypeError, "in one dimension"),
        (MIX, 3.0, TypeError, "transform is 3.0: pass a map"),
        (MIX, lambda x: x[:, 0], ValueError, r"transform returned shape \(\d+,\) for \d+ points"),
        (MIX, np.sin, ValueError, "not increasing: from x = .* so that several points have one image"),
        (MIX, lambda x: -x, ValueError, "not increasing"),
        (MIX, lambda x: 1 / (x - x), ValueError, "must be finite where the law is"),
        (MIX, lambda x: x + 2 * np.sin(0.4 * x) * np.exp(-(x**2)) * 3, ValueError, "not increasing"),
    ],
)
def test_refusals(base, transform, error, message):
    with pytest.raises(error, match=message), np.errstate(all="ignore"):
        PushForward(base, transform)
