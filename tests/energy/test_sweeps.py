"""Sweeps over pixels: what they leave alone, what never falls, where they end, and their refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.energy import DenoisingMRF, PixelGibbs, all_images, icm, mean_field, mean_field_bound


@st.composite
def fields(draw):
    shape = draw(st.sampled_from([(1, 1), (1, 7), (4, 3), (6, 9), (9, 6)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    unary = draw(st.sampled_from([0.3, 1.0])) * rng.standard_normal(shape) if draw(st.booleans()) else draw(st.floats(-2, 2))
    return DenoisingMRF(rng.integers(0, 2, shape), unary, draw(st.floats(-2, 2)))


ORDERS = st.sampled_from(["checkerboard", "sequential"])


@settings(max_examples=40, deadline=None)
@given(fields(), ORDERS, st.integers(0, 2**32))
def test_icm_climbs_and_ends_where_no_pixel_improves(mrf, order, seed):
    start = np.random.default_rng(seed).integers(0, 2, mrf.shape)
    found = icm(mrf, start, order)
    before, at = mrf.log_weight(start), mrf.log_weight(found)
    flips = np.eye(found.size, dtype=np.uint8).reshape(-1, *mrf.shape)
    assert before - 1e-12 <= at <= mrf.log_weight(mrf.map()) + 1e-12
    assert mrf.log_weight(found ^ flips).max() <= at + 1e-12
    np.testing.assert_array_equal(icm(mrf, found, order), found)


def test_icm_leaves_a_pixel_that_may_be_either():
    """0.3 - 3 * 0.1 is not 0 in binary, but a tie all the same: the pixel stays as it began."""
    seen, trusted = np.array([[0, 1, 0], [0, 0, 0]]), np.array([[9, 0.3, 9], [9, 9, 9]])
    mrf = DenoisingMRF(seen, trusted, 0.1)
    for start in (seen, 0 * seen):
        np.testing.assert_array_equal(icm(mrf, start), start)


@settings(max_examples=40, deadline=None)
@given(fields())
def test_the_bound_grows_with_every_sweep_and_stays_below_log_z(mrf):
    bounds = [mean_field_bound(mrf, mean_field(mrf, n_sweeps=n)) for n in range(6)]
    slack = 1e-13 * (1 + np.abs(mrf.unary).sum() + mrf.x.size * abs(mrf.pairwise))
    assert (np.diff(bounds) >= -slack).all()
    assert bounds[-1] <= mrf.log_partition()[0] + slack


def test_mean_field_is_exact_without_bonds():
    mrf = DenoisingMRF(np.eye(5), np.linspace(-2, 3, 25).reshape(5, 5), 0.0)
    q = mean_field(mrf)
    np.testing.assert_allclose(q, mrf.marginals(), atol=1e-15)
    assert mean_field_bound(mrf, q) == pytest.approx(mrf.log_partition()[0], rel=1e-14)


def test_mean_field_begins_where_it_is_told():
    """Nothing seen, strong bonds: a half is a fixed point, though a saddle; from above a half the field magnetises."""
    mrf = DenoisingMRF(np.zeros((6, 6)), 0.0, 1.5)
    half, up = mean_field(mrf), mean_field(mrf, np.full((6, 6), 0.6))
    np.testing.assert_array_equal(half, 0.5)
    assert up.min() > 0.9 and mean_field_bound(mrf, up) > mean_field_bound(mrf, half)


def test_gibbs_tends_to_the_posterior():
    """512 cells, 40000 chains of 60 sweeps from one image: chi^2 of mean 511; beyond 700 with probability 6e-8."""
    mrf = DenoisingMRF(np.eye(3), 0.4, 0.25)
    images, log_weights = all_images(mrf)
    expected = 40_000 * np.exp(log_weights - mrf.log_partition()[0])
    for order in ("checkerboard", "sequential"):
        last = mrf.gibbs(60, order).simulate(np.zeros((40_000, 3, 3)), 5)
        counts = np.bincount(last.reshape(-1, 9) @ (1 << np.arange(9)[::-1]), minlength=512)
        assert ((counts - expected) ** 2 / expected).sum() < 700


def test_simulate_is_step_after_step():
    mrf = DenoisingMRF(np.random.default_rng(2).integers(0, 2, (5, 7)), 0.6, 0.9)
    chain, rng = mrf.gibbs(4), np.random.default_rng(8)
    y = mrf.x[None]
    uniforms = rng.random((4, 1, 5, 7))
    for k in range(4):
        y = chain.step(k, y, uniforms[k])
    shorter = chain[:2].simulate(mrf.x, np.random.default_rng(1))
    assert len(chain[:2]) == 2 and shorter.shape == mrf.shape and shorter.dtype == np.uint8
    np.testing.assert_array_equal(chain.step(0, mrf.x[None], uniforms[0].astype(np.float32)).shape, (1, 5, 7))
    np.testing.assert_array_equal(mrf.gibbs(0).simulate(mrf.x, 1), mrf.x)
    assert set(np.unique(y)) <= {0, 1}


def test_refusals():
    mrf = DenoisingMRF(np.eye(3), 1, 1)
    with pytest.raises(TypeError, match=r"mrf is of type ndarray: pass DenoisingMRF\(x, unary, pairwise\)"):
        icm(np.eye(3))
    with pytest.raises(ValueError, match="start has shape"):
        icm(mrf, np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="order is 'snake'"):
        icm(mrf, order="snake")
    with pytest.raises(ValueError, match="order is 'all'"):
        mrf.gibbs(3, "all")
    with pytest.raises(ValueError, match="n_sweeps is -1"):
        PixelGibbs(mrf, -1)
    with pytest.raises(ValueError, match="one uniform a pixel of every image"):
        mrf.gibbs(1).step(0, np.zeros((2, 3, 3)), np.zeros((1, 3, 3)))
    with pytest.raises(ValueError, match=r"q has shape \(2, 2\)"):
        mean_field_bound(mrf, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="a probability in"):
        mean_field(mrf, np.full((3, 3), 1.5))
    with pytest.raises(TypeError, match="rng"):
        mrf.gibbs(1).simulate(mrf.x, None)
