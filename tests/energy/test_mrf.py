"""The posterior of a binary image: against 50 digits, against symmetries at any size, and its refusals."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import parallel
from refscore.energy import DenoisingMRF, all_images
from refscore.identities import _kac_ward


def by_mpmath(mrf):
    """log Z, marginals and both kinds of agreements, by the formula, with 50 digits."""
    height, width = mrf.shape
    with mpmath.workdps(50):
        total, ones = mpmath.mpf(0), mpmath.zeros(height, width)
        down, across = mpmath.zeros(max(height - 1, 1), width), mpmath.zeros(height, max(width - 1, 1))
        for code in range(2 ** (height * width)):
            y = [[code >> (r * width + c) & 1 for c in range(width)] for r in range(height)]
            exponent = sum(mpmath.mpf(float(mrf.unary[r, c])) for r, c in np.ndindex(mrf.shape) if y[r][c] == mrf.x[r, c])
            vertical = [(r, c) for r in range(height - 1) for c in range(width) if y[r][c] == y[r + 1][c]]
            horizontal = [(r, c) for r in range(height) for c in range(width - 1) if y[r][c] == y[r][c + 1]]
            weight = mpmath.exp(exponent + mpmath.mpf(mrf.pairwise) * (len(vertical) + len(horizontal)))
            total += weight
            for r, c in np.ndindex(mrf.shape):
                ones[r, c] += weight * y[r][c]
            for sums, bonds in ((down, vertical), (across, horizontal)):
                for bond in bonds:
                    sums[bond] += weight
        shares = [np.array((sums / total).tolist(), dtype=float) for sums in (ones, down, across)]
        return mpmath.log(total), shares[0], shares[1][: height - 1], shares[2][:, : width - 1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 4), (4, 2), (3, 3)])
@pytest.mark.parametrize(("spread", "pairwise"), [(1.0, 0.8), (1.0, -1.3), (30.0, 12.0), (300.0, -450.0)])
def test_everything_against_fifty_digits(shape, spread, pairwise):
    rng = np.random.default_rng(shape)
    mrf = DenoisingMRF(rng.integers(0, 2, shape), spread * rng.standard_normal(shape), pairwise)
    log_z, marginals, down, across = by_mpmath(mrf)
    value, error = mrf.log_partition()
    assert abs(log_z - mpmath.mpf(value)) <= error <= 1e-11 * (1 + np.abs(mrf.unary).sum() + abs(pairwise))
    np.testing.assert_allclose(mrf.marginals(), marginals, rtol=0, atol=1e-11)
    for got, want in zip(mrf.agreements(), (down, across), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("unary", "pairwise"), [(1.2, 0.7), (-0.4, 2.0), (40.0, -3.0)])
def test_evidence_against_fifty_digits(unary, pairwise):
    mrf = DenoisingMRF([[0, 1, 1], [1, 0, 1]], unary, pairwise)
    prior, _, _, _ = by_mpmath(DenoisingMRF(mrf.x, 0.0, pairwise))
    with mpmath.workdps(50):
        want = by_mpmath(mrf)[0] - prior - 6 * mpmath.log(1 + mpmath.exp(mpmath.mpf(unary)))
    value, error = mrf.log_evidence()
    assert abs(want - mpmath.mpf(value)) <= error < 1e-10 * (1 + abs(unary))


@pytest.mark.parametrize(("height", "width", "pairwise"), [(1, 60, 1.3), (4, 12, -0.9), (12, 12, 0.88)])
def test_error_of_log_z_covers_kac_and_wards_determinant(height, width, pairwise):
    value, error = DenoisingMRF(np.zeros((height, width)), 0, pairwise).log_partition()
    want, other = _kac_ward.log_partition(height, width, pairwise)
    assert abs(value - want) <= error + other < 1e-8


def test_chain_in_closed_form_however_long():
    value, error = DenoisingMRF(np.zeros((1, 20_000)), 0, 1.1).log_partition()
    with mpmath.workdps(30):
        want = mpmath.log(2) + 19_999 * mpmath.log(1 + mpmath.exp(mpmath.mpf(1.1)))
        assert abs(want - mpmath.mpf(value)) <= error < 1e-9


@st.composite
def fields(draw):
    shape = draw(st.sampled_from([(1, 1), (1, 9), (3, 7), (7, 3), (5, 5), (8, 11)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([0.1, 1.0, 5.0]))
    return DenoisingMRF(rng.integers(0, 2, shape), scale * rng.standard_normal(shape), draw(st.floats(-3, 3)))


SYMMETRIES = {
    "transposed": lambda image: image.T,
    "left and right": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned": lambda image: np.rot90(image),
}


@settings(max_examples=30, deadline=None)
@given(fields(), st.sampled_from(sorted(SYMMETRIES)))
def test_symmetries_of_the_grid(mrf, name):
    change = SYMMETRIES[name]
    other = DenoisingMRF(change(mrf.x), change(mrf.unary), mrf.pairwise)
    (value, error), (again, error_again) = mrf.log_partition(), other.log_partition()
    assert abs(value - again) <= error + error_again
    np.testing.assert_allclose(other.marginals(), change(mrf.marginals()), atol=1e-11)
    np.testing.assert_allclose(other.log_weight(other.map()), mrf.log_weight(mrf.map()), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(other.conditional(change(mrf.x)), change(mrf.conditional(mrf.x)), atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(fields())
def test_zero_and_one_exchanged(mrf):
    other = DenoisingMRF(1 - mrf.x, mrf.unary, mrf.pairwise)
    assert abs(mrf.log_partition()[0] - other.log_partition()[0]) <= 2 * mrf.log_partition()[1]
    np.testing.assert_allclose(other.marginals(), 1 - mrf.marginals(), atol=1e-11)
    np.testing.assert_allclose(other.log_weight(1 - mrf.map()), other.log_weight(other.map()), rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(fields(), st.integers(0, 2**32))
def test_no_image_weighs_more_than_the_best_one(mrf, seed):
    rng = np.random.default_rng(seed)
    best = mrf.map()
    near = best ^ (rng.random((200, *mrf.shape)) < 0.15)
    assert mrf.log_weight(np.concatenate([near, mrf.sample(50, seed)])).max() <= mrf.log_weight(best) + 1e-9


@settings(max_examples=20, deadline=None)
@given(fields())
def test_conditional_is_what_one_pixel_does_to_the_weight(mrf):
    y = np.random.default_rng(1).integers(0, 2, mrf.shape)
    for pixel in [(0, 0), (mrf.shape[0] - 1, mrf.shape[1] - 1), (mrf.shape[0] // 2, mrf.shape[1] // 2)]:
        weights = []
        for value in (0, 1):
            y[pixel] = value
            weights.append(mrf.log_weight(y))
        assert mrf.conditional(y)[pixel] == pytest.approx(1 / (1 + np.exp(weights[0] - weights[1])), abs=1e-12)


def test_draws_have_the_posterior_law():
    """512 cells, 40000 draws: chi^2 of mean 511; beyond 700 with probability 6e-8. Independent pixels give over 10^4."""
    mrf = DenoisingMRF(np.eye(3), 0.4, 0.25)
    images, log_weights = all_images(mrf)
    expected = 40_000 * np.exp(log_weights - mrf.log_partition()[0])
    numbers = mrf.sample(40_000, 3).reshape(-1, 9) @ (1 << np.arange(9)[::-1])
    counts = np.bincount(numbers, minlength=512)
    assert expected.min() > 4 and ((counts - expected) ** 2 / expected).sum() < 700


def test_one_image_or_many_and_any_number_of_threads():
    mrf = DenoisingMRF(np.eye(4), 0.7, 0.3)
    many = mrf.sample(5, 0)
    assert mrf.logpdf(many[0]).shape == () and mrf.conditional(many).shape == (5, 4, 4)
    np.testing.assert_array_equal(mrf.logpdf(many), [mrf.logpdf(y) for y in many])
    with parallel(threads=1):
        alone = mrf.gibbs(5).simulate(np.repeat(many, 2000, axis=0), 4)
    with parallel(threads=3):
        np.testing.assert_array_equal(mrf.gibbs(5).simulate(np.repeat(many, 2000, axis=0), 4), alone)


def test_no_data_and_ties():
    """Nothing seen: a half everywhere; both constant images are best, and of these the one of zeros is given."""
    mrf = DenoisingMRF(np.ones((3, 5)), 0.0, 1.0)
    np.testing.assert_allclose(mrf.marginals(), 0.5, atol=1e-14)
    np.testing.assert_array_equal(mrf.map(), np.zeros((3, 5)))
    np.testing.assert_array_equal(DenoisingMRF(np.ones((3, 5)), 1e-9, 1.0).map(), np.ones((3, 5)))


def test_an_image_thirteen_high_takes_no_time():
    """Without bonds a product over pixels; with them the same Z along the columns as along the lines."""
    x = np.random.default_rng(1).integers(0, 2, (13, 14))
    mrf = DenoisingMRF(x, 1.3, 0.0)
    value, error = mrf.log_partition()
    assert abs(value - x.size * np.log1p(np.exp(1.3))) <= error < 1e-9
    value, error = DenoisingMRF(np.zeros((13, 13)), np.arange(169.0).reshape(13, 13) / 99, 0.4).log_partition()
    turned, other = DenoisingMRF(np.zeros((13, 13)), np.arange(169.0).reshape(13, 13).T / 99, 0.4).log_partition()
    assert abs(value - turned) <= error + other < 1e-8


def test_images_too_high_are_refused_with_states_and_time():
    with pytest.raises(ValueError, match=r"24 x 40.*2\^24 = 1.7e\+07 states.* 9.7e\+02 s and 21 GB.*120 s and 4 GB.*gibbs"):
        DenoisingMRF(np.zeros((24, 40)), 1, 1).log_partition()
    with pytest.raises(ValueError, match=r"3 x 7 = 21 pixels is one of 2\^21 = 2.1e\+06.*20 pixels"):
        all_images(DenoisingMRF(np.zeros((3, 7)), 1, 1))
    assert DenoisingMRF(np.zeros((400, 12)), 1, 1).map().shape == (400, 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], 1, 1), r"x has shape \(2,\)"),
        ((np.zeros((0, 3)), 1, 1), "at least one pixel"),
        ((np.array([[0, 2]]), 1, 1), r"x\[0, 1\] is 2"),
        ((np.array([[0.0, np.nan]]), 1, 1), r"x\[0, 1\] is nan"),
        ((np.array([[-1, 1]]), 1, 1), "for spins"),
        ((np.array([["a"]]), 1, 1), "dtype"),
        ((np.eye(2), [1.0, 2.0], 1), r"unary has shape \(2,\)"),
        ((np.eye(2), np.nan, 1), "unary.*finite"),
        ((np.eye(2), 1, np.inf), "pairwise.*finite"),
        ((np.eye(2), 1, [1.0, 2.0]), r"pairwise has shape \(2,\)"),
        ((np.eye(2), 1e308, 1), "scale unary and pairwise down"),
    ],
)
def test_bad_fields_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenoisingMRF(*arguments)


def test_bad_images_and_uniforms_are_refused():
    mrf = DenoisingMRF(np.eye(2), 1, 1)
    for method in (mrf.conditional, mrf.logpdf, mrf.log_weight):
        with pytest.raises(ValueError, match=r"y has shape \(2, 3\), x has shape \(2, 2\)"):
            method(np.zeros((2, 3)))
        with pytest.raises(ValueError, match=r"y\[0, 1\] is 0.5"):
            method([[0, 0.5], [1, 1]])
    colours = np.random.default_rng(0).random((2, 2, 3))
    with pytest.raises(ValueError, match=r"x has shape \(2, 2, 3\): pass one image, shape \(H, W\); of colours pass one"):
        DenoisingMRF(colours, 1, 1)
    with pytest.raises(ValueError, match=r"x has shape \(3, 2, 2\): pass one image, shape \(H, W\)$"):
        DenoisingMRF(colours.T, 1, 1)
    with pytest.raises(ValueError, match=r"y has shape \(2, 2, 3\), x has shape \(2, 2\): pass images of that size"):
        mrf.logpdf(colours)
    with pytest.raises(ValueError, match=r"uniforms has shape \(2, 2\)"):
        mrf.transform(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"lie in \[0, 1\)"):
        mrf.transform(np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="n is 0"):
        mrf.sample(0, 1)
    with pytest.raises(TypeError, match="rng"):
        mrf.sample(1, None)
