"""The noise ladder: levels, and overlaps of neighbours against 50 digits, against shells, and at the ends of float64."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian
from refscore.distances import total_variation
from refscore.processes import geometric_ladder, ladder_levels, ladder_overlap, ladder_ratio

EPS = np.finfo(float).eps
CLOSE_AND_FAR = [1 + 1e-12, 1 + 1e-6, 1.003, 1.1, 1.9, 3.0, 40.0]


def exact(d, wide, narrow):
    """(TV, overlap) with 60 digits: the two laws of |x|^2/2 are Gamma(k), scale s^2 and r^2, and cross once."""
    with mp.workdps(60):
        k, s2, r2 = mp.mpf(d) / 2, mp.mpf(wide) ** 2, mp.mpf(narrow) ** 2
        square = d * mp.log(s2 / r2) / (1 / r2 - 1 / s2)  # |x|^2 where p = q
        in_wide = mp.gammainc(k, 0, square / (2 * s2), regularized=True)
        out_of_narrow = mp.gammainc(k, square / (2 * r2), mp.inf, regularized=True)
        return 1 - in_wide - out_of_narrow, in_wide + out_of_narrow


@pytest.mark.parametrize("d", [1, 2, 3, 10, 31, 32, 33, 784])
@pytest.mark.parametrize("ratio", CLOSE_AND_FAR)
def test_overlap_to_the_last_digits(d, ratio):
    """TV relative to itself at any distance; the overlap relative to itself, up to 4e-15 d log(ratio) and a few eps."""
    wide, narrow = 1.7 * ratio, 1.7
    found, (distance, common) = ladder_overlap([wide, narrow], d), exact(d, wide, narrow)
    assert abs(found.tv[0] / distance - 1) < 64 * EPS
    if common > 1e-300:
        assert abs(found.common[0] / common - 1) < 64 * EPS + 4e-15 * d * math.log(wide / narrow)
    assert found.common[0] + found.tv[0] == pytest.approx(1, abs=2 * EPS)


@pytest.mark.parametrize("d", [10**4, pytest.param(10**6, marks=pytest.mark.slow), 10**8])
@pytest.mark.parametrize("apart", [1e-6, 0.02, 1.0, 3.0, 8.0, 9.5, 11.0])
def test_overlap_in_high_dimension(d, apart):
    """By 40-digit quadrature of the two densities of log |x|^2, normalised by quadrature too."""
    lam = apart / math.sqrt(2 * d)
    wide, narrow = 2.0 * math.exp(lam), 2.0
    with mp.workdps(40):
        k, lam = mp.mpf(d) / 2, mp.log(mp.mpf(wide) / mp.mpf(narrow))
        f = lambda u: mp.exp(-k * (mp.exp(u) - 1 - u))  # noqa: E731
        width = 1 / mp.sqrt(k)
        cross = mp.log(2 * lam / mp.expm1(2 * lam))
        Z = mp.quad(f, [j * width for j in range(-16, 17, 2)])
        below = mp.quad(f, [cross + j * width for j in range(-20, 1, 2)]) / Z
        above = mp.quad(f, [cross + 2 * lam + j * width for j in range(0, 21, 2)]) / Z
        between = mp.quad(f, [cross, cross + lam, cross + 2 * lam]) / Z
    found = ladder_overlap([wide, narrow], d)
    # a relative error eps of the levels moves lambda by eps, TV by sqrt(d) eps and log(1 - TV) by (sqrt(d) + d lambda) eps
    assert abs(found.tv[0] - between) < 64 * EPS * between + 4e-16 * math.sqrt(d) * between
    assert abs(found.common[0] / (below + above) - 1) < 64 * EPS + 2e-15 * float(d * lam + math.sqrt(d))


@pytest.mark.parametrize("d", [1, 3, 784])
@pytest.mark.parametrize(
    "ratio", [1 + 1e-9, 1.3, 1.41, 1.5, 1e9, *(pytest.param(ratio, marks=pytest.mark.slow) for ratio in (1.01, 5.0, 1e3))]
)
def test_chi2_by_quadrature_with_40_digits(d, ratio):
    with mp.workdps(40):
        r2 = 1 / mp.mpf(ratio) ** 2

        def log_chi2(a, b):  # 1 + chi^2(N(0, a) || N(0, b)) = E_b (p_a/p_b)^2: the Gaussian integral, one dimension at a time
            return d * mp.log(mp.sqrt(b) / a / mp.sqrt(2 / a - 1 / b))

        narrow, wide = log_chi2(r2, mp.mpf(1)), log_chi2(mp.mpf(1), r2) if 2 * r2 > 1 else mp.inf
        if d == 1:  # the formula of this test is itself integrated; sqrt(r2/(2 - r2)) is the width of the integrand
            width = mp.sqrt(r2)
            one = mp.quad(lambda x: mp.npdf(x, 0, width) ** 2 / mp.npdf(x, 0, 1), mp.linspace(-20 * width, 20 * width, 41))
            assert abs(mp.log(one) - narrow) < mp.mpf(10) ** -25
    found = ladder_overlap([ratio, 1.0], d)
    assert found.log_chi2[0] == pytest.approx(float(narrow), rel=64 * EPS, abs=0)
    if math.isinf(wide):
        assert math.isinf(found.log_chi2_back[0])
    else:
        near = float(1 / (2 * r2 - 1))  # the pole at ratio^2 = 2 magnifies what the ratio carries
        assert found.log_chi2_back[0] == pytest.approx(float(wide), rel=64 * EPS * near, abs=0)


def test_one_dimension_is_the_total_variation_of_the_distances():
    for wide, narrow in ((2.0, 1.9), (3.0, 0.5)):
        value, error = total_variation(Gaussian([0.0], wide**2), Gaussian([0.0], narrow**2))
        assert abs(ladder_overlap([wide, narrow], 1).tv[0] - value) < error + 8 * EPS


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-5, 3.0), st.integers(1, 3000), st.floats(-200, 200))
def test_properties(lam, d, exponent):
    """Scale does not matter; distance grows with the ratio and with the dimension; Le Cam and Pinsker on both sides."""
    ratio = math.exp(lam)
    scale = 2.0 ** round(exponent)
    found = ladder_overlap([ratio, 1.0], d)
    moved = ladder_overlap([ratio * scale, scale], d)
    assert found.tv == moved.tv and found.log_chi2 == moved.log_chi2
    assert 0 <= found.tv[0] <= 1
    # up to rounding where both are 1
    assert ladder_overlap([ratio, 1.0], d + 1).tv[0] >= found.tv[0] * (1 - 64 * EPS)
    assert ladder_overlap([ratio * 1.01, 1.0], d).tv[0] >= found.tv[0] * (1 - 64 * EPS)
    hellinger2 = -math.expm1(-d / 2 * math.log(math.cosh(lam)))  # 1 - (2 s r/(s^2 + r^2))^{d/2}
    assert hellinger2 <= found.tv[0] * (1 + 1e-12) + 1e-15
    assert found.tv[0] <= math.sqrt(hellinger2 * (2 - hellinger2)) * (1 + 1e-9)
    assert found.tv[0] <= math.sqrt(math.expm1(min(700.0, found.log_chi2[0]))) / 2 * (1 + 1e-9)


@pytest.mark.parametrize("d", [1, 2, 7, 784, 10**6])
@pytest.mark.parametrize("overlap", [1e-8, 0.01, 0.5, 0.99, 1 - 1e-9])
def test_ratio_has_the_overlap(d, overlap):
    ratio = ladder_ratio(overlap, d)
    found = ladder_overlap([ratio, 1.0], d)
    lam = math.log(ratio)
    assert found.common[0] == pytest.approx(overlap, rel=1e-13 + 4 * EPS * (d * lam + math.sqrt(d)), abs=0)
    assert found.tv[0] == pytest.approx(1 - overlap, abs=1e-14 + 4 * EPS * math.sqrt(d))


def test_ratio_as_d_grows():
    """sqrt(2 d) log gamma -> 2 Phi^{-1}(1 - overlap/2), from above, the difference falling like 1/d."""
    limit = 2 * 0.6744897501960817
    away = [math.sqrt(2 * d) * math.log(ladder_ratio(0.5, d)) - limit for d in (100, 1000, 10_000)]
    assert away[0] / away[1] == pytest.approx(10, rel=0.05) and away[1] / away[2] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(("d", "overlap"), [(1, 0.5), (3, 0.2), (784, 0.5), pytest.param(10**6, 0.13, marks=pytest.mark.slow)])
def test_levels_suffice_and_fewer_do_not(d, overlap):
    levels = ladder_levels(50.0, 0.01, d, overlap)
    for n, enough in ((levels, True), (levels - 1, False)):
        shared = ladder_overlap(geometric_ladder(50.0, 0.01, n), d).common
        assert (shared >= overlap * (1 - 1e-9)).all() == enough
    # a ladder of that very ratio needs exactly its levels: rounding adds none
    ratio = ladder_ratio(overlap, d)
    assert ladder_levels(ratio**3, 1.0, d, overlap) == 4


@pytest.mark.parametrize("levels", [2, 3, 7, 500])
def test_geometric_ladder(levels):
    sigmas = geometric_ladder(50.0, 0.01, levels)
    assert sigmas.shape == (levels,) and sigmas[0] == 50.0 and sigmas[-1] == 0.01
    with mp.workdps(30):
        right = [float(50 * (mp.mpf(0.01) / 50) ** (mp.mpf(i) / (levels - 1))) for i in range(levels)]
    np.testing.assert_allclose(sigmas, right, rtol=32 * EPS)
    wide = geometric_ladder(1e300, 1e-300, levels)
    assert np.isfinite(wide).all() and (np.diff(wide) < 0).all()


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_levels_that_share_nearly_all(dim):
    """TV ~ c_d log gamma as gamma -> 1: a million times the distance, a millionth of the levels."""
    near, far = (ladder_levels(2.0, 1.0, dim, 1 - d) - 1 for d in (2.0**-50, 2.0**-30))
    assert abs(near / far / 2**20 - 1) <= 1e-6


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: geometric_ladder(0.1, 1.0, 3), ValueError, "sigma_max is 0.1 and sigma_min is 1.0"),
        (lambda: geometric_ladder(1.0, 1.0, 3), ValueError, "goes down"),
        (lambda: geometric_ladder(1.0, 0.0, 3), ValueError, "sigma_min is 0.0"),
        (lambda: geometric_ladder(1.0, 0.5, 1), ValueError, "levels is 1"),
        (lambda: geometric_ladder(1.0, 0.5, 2.0), TypeError, "levels is float"),
        (lambda: geometric_ladder(1.0, 1.0 - 2 * EPS, 9), ValueError, "fewer levels"),
        (lambda: ladder_overlap([1.0], 3), ValueError, "at least 2"),
        (lambda: ladder_overlap([1.0, 2.0], 3), ValueError, r"sigmas\[::-1\]"),
        (lambda: ladder_overlap([1.0, 0.5], 0), ValueError, "dim is 0"),
        (lambda: ladder_overlap([1.0, 0.5], 1.5), TypeError, "dim is float"),
        (lambda: ladder_ratio(0.0, 3), ValueError, "overlap is 0.0"),
        (lambda: ladder_ratio(1.0, 3), ValueError, "between 0 and 1"),
        (lambda: ladder_ratio(1e-310, 1), ValueError, "ask for more overlap"),
        (lambda: ladder_ratio(1.0 - EPS / 2, 5), ValueError, "ask for less overlap"),
        (lambda: ladder_overlap(["wide", "narrow"], 3), TypeError, "sigmas is .*pass real numbers"),
        (lambda: ladder_levels(1.0, 2.0, 3, 0.5), ValueError, "sigma_max is 1.0"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
