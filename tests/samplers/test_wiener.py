"""Wiener increments: any grids, sums to rounding, conditional laws by linear algebra, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refscore.samplers import refined_increments, summed_increments, wiener_increments

EPS = np.finfo(float).eps
ONES = np.ones((2, 3, 1))


@st.composite
def grids(draw):
    """(times, fine): a fine grid of up to 12 steps, and some of its times with both ends."""
    gaps = draw(st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=12))
    fine = draw(st.floats(-5, 5)) + np.concatenate([[0.0], np.cumsum(gaps)])
    kept = draw(st.lists(st.booleans(), min_size=len(fine) - 2, max_size=len(fine) - 2)) if len(fine) > 2 else []
    return fine[np.array([True, *kept, True])], fine


@given(grids(), st.integers(0, 2**32), st.integers(1, 3))
def test_refined_paths_pass_through_the_coarse_one(both, seed, d):
    times, fine = both
    rng = np.random.default_rng(seed)
    dw = wiener_increments(times, rng.standard_normal((len(times) - 1, 4, d)))
    parts = refined_increments(times, dw, fine, rng.standard_normal((len(fine) - 1, 4, d)))
    bound = 64 * EPS * (1 + np.abs(dw).max() + np.abs(parts).sum(axis=0).max() + 10 * np.sqrt(fine[-1] - fine[0]))
    np.testing.assert_allclose(summed_increments(fine, parts, times), dw, rtol=0, atol=bound)


@given(grids())
def test_bridges_are_the_normal_law_given_its_sums(both):
    """Conditioning of N(0, diag h) on A x = dw by linear algebra: mean H A'(A H A')^{-1} dw, cov H - H A'(A H A')^{-1} A H."""
    times, fine = both
    h = np.diff(fine)
    A = ((fine[:-1] >= times[:-1, None]) & (fine[:-1] < times[1:, None])).astype(float)
    gain = np.linalg.solve(A @ np.diag(h) @ A.T, A @ np.diag(h)).T
    coarse = np.eye(len(A))[:, :, None]
    mean = refined_increments(times, coarse, fine, np.zeros((len(h), len(A), 1)))[:, :, 0]
    np.testing.assert_allclose(mean, gain, rtol=0, atol=1e-11)
    root = refined_increments(times, np.zeros((len(A), len(h), 1)), fine, np.eye(len(h))[:, :, None])[:, :, 0]
    np.testing.assert_allclose(root @ root.T, np.diag(h) - gain @ A @ np.diag(h), rtol=0, atol=1e-11 * h.max())


def test_a_grid_refined_by_itself_keeps_its_increments():
    times, rng = np.array([0.0, 0.3, 1.0]), np.random.default_rng(3)
    dw = rng.standard_normal((2, 4, 2))
    np.testing.assert_allclose(refined_increments(times, dw, times, rng.standard_normal((2, 4, 2))), dw, rtol=0, atol=16 * EPS)


def test_float32_stays_float32():
    times, fine, rng = np.array([0.0, 0.3, 1.0]), np.array([0.0, 0.1, 0.3, 0.6, 1.0]), np.random.default_rng(4)
    z, dw = rng.standard_normal((4, 3, 2)), rng.standard_normal((2, 3, 2))
    for f, double, single in (
        (wiener_increments, (fine, z), (fine, z.astype(np.float32))),
        (refined_increments, (times, dw, fine, z), (times, dw.astype(np.float32), fine, z.astype(np.float32))),
        (summed_increments, (fine, z, times), (fine, z.astype(np.float32), times)),
    ):
        found = f(*single)
        assert found.dtype == np.float32 and f(*double).dtype == np.float64
        np.testing.assert_allclose(found, f(*double), rtol=0, atol=32 * float(np.finfo(np.float32).eps))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: wiener_increments([0.0, 1.0, 1.0], ONES), "times = .*strictly increasing"),
    (lambda: wiener_increments([1.0], np.ones((0, 3, 1))), "at least two"),
    (lambda: wiener_increments([0.0, np.inf], np.ones((1, 3, 1))), "finite"),
    (lambda: wiener_increments([0.0, 1.0], ONES), r"noise has shape \(2, 3, 1\): pass shape \(1, n, d\)"),
    (lambda: wiener_increments([0.0, 1.0], np.full((1, 3, 1), np.nan)), "noise.*finite"),
    (lambda: refined_increments([0.0, 0.3, 1.0], ONES, [0.0, 0.5, 1.0], ONES), r"times\[1\] = 0.3 is not among"),
    (lambda: refined_increments([0.0, 1.0], np.ones((1, 3, 1)), [0.0, 1.0, 2.0], ONES), "same ends"),
    (lambda: summed_increments([0.0, 0.5, 1.0], ONES, [0.5, 1.0]), "fine runs from 0.0 to 1.0, times from 0.5 .*same ends"),
    (lambda: refined_increments([0.0, 1.0], np.ones((1, 3, 2)), [0.0, 0.5, 1.0], ONES), r"pass noise of shape \(2, 3, 2\)"),
    (lambda: summed_increments([0.0, 0.5, 1.0], np.ones((1, 3, 1)), [0.0, 1.0]), r"increments has shape \(1, 3, 1\)"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
