"""SGLD: steps against the formula, minibatches against enumeration, simulation against exact moments, refusals, the same bits."""

import pickle
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refscore import _blocks
from refscore.densities import Gaussian, PointSet
from refscore.laws import law, minibatch_moments
from refscore.networks import MLP
from refscore.samplers import PosteriorScore, decreasing_steps, langevin, sgld
from refscore.samplers.sgld import without_replacement

DATA = np.array([[0.3, -1.0], [1.2, 0.4], [2.0, 0.1], [-0.7, 0.9], [0.5, -0.2], [1.1, 1.4]])
PRECISION = np.array([[1.0, 0.3], [0.3, 0.7]])
STEPS = decreasing_steps(0.2, 1.5, 0.7, 7)
EPS = np.finfo(float).eps


def likelihood(x, y):
    return (y - x) @ PRECISION.astype(x.dtype)


def prior(x):
    return (0.5 - x) / 2


def chain(batch=2, convention="half_eta"):
    return sgld(likelihood, DATA, batch, STEPS, prior, convention)


@pytest.mark.parametrize(("convention", "drift", "variance"), [("eta", 1.0, 2.0), ("half_eta", 0.5, 1.0)])
@pytest.mark.parametrize("batch", [1, 4, 6])
def test_a_step_is_the_formula(convention, drift, variance, batch):
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(2, 5, 2))
    index = np.array([rng.permutation(6)[:batch] for _ in range(5)])
    for k in (0, 6):
        right = np.empty_like(x)
        for i in range(5):
            s = prior(x[i]) + 6 / batch * sum(PRECISION @ (DATA[j] - x[i]) for j in index[i])
            right[i] = x[i] + drift * STEPS[k] * s + np.sqrt(variance * STEPS[k]) * z[i]
        found = chain(batch, convention).step(k, x, z, index)
        np.testing.assert_allclose(found, right, rtol=0, atol=32 * EPS * np.abs(right).max())


def test_the_whole_batch_is_langevin_dynamics():
    x, z = np.random.default_rng(2).normal(size=(2, 5, 2))
    plain = langevin(PosteriorScore(likelihood, DATA, prior), STEPS[0], 1, "half_eta")
    order = np.array([np.random.default_rng(i).permutation(6) for i in range(5)])
    np.testing.assert_allclose(chain(6).step(0, x, z, order), plain.step(0, x, z), rtol=1e-13)
    assert len(chain(6).means(0, x)) == 1
    same = Gaussian([0.2, 0.1], 1.3)
    mean, cov = minibatch_moments(chain(6), same)
    right = law(chain(6).full, same)
    np.testing.assert_allclose(mean, right.mean, rtol=1e-13)
    np.testing.assert_allclose(cov, right.cov, rtol=1e-13, atol=1e-14)


def test_means_are_those_of_all_minibatches():
    x = np.random.default_rng(3).normal(size=(4, 2))
    found = chain().means(2, x)
    pairs = np.array(list(combinations(range(6), 2)))
    right = [chain().step(2, x, np.zeros_like(x), np.tile(pair, (4, 1))) for pair in pairs]
    np.testing.assert_array_equal(found, right)
    np.testing.assert_allclose(found.mean(axis=0), chain().mean(2, x), rtol=1e-13)
    np.testing.assert_allclose(chain().alone(2, x).mean(axis=0), chain().mean(2, x), rtol=1e-13)


def test_simulated_moments():
    """n = 60 000; mean and covariance against their exact values, each |z| < 6: false alarm 2e-9 each, 1e-8 in all.

    The minibatch adds 20 % to the variance here, with replacement 25 %: an error of 4 % in a variance is 6 of its standard errors,
    sqrt(2/n), so that its share is seen, and one minibatch for all rows of a block too, whose mean would wander.
    """
    start, n = Gaussian([0.5, 1.5], [[1.0, -0.4], [-0.4, 0.7]]), 60_000
    x = chain().simulate(start.sample(n, 11), 12)
    mean, cov = minibatch_moments(chain(), start)
    assert np.abs((x.mean(0) - mean) / np.sqrt(np.diag(cov) / n)).max() < 6
    away = x - mean
    for i, j in ((0, 0), (1, 1), (0, 1)):
        product = away[:, i] * away[:, j]
        assert abs(product.mean() - cov[i, j]) / (product.std() / np.sqrt(n)) < 6
    for wrong in (minibatch_moments(chain(6), start)[1], minibatch_moments(chain(1), start)[1]):
        assert abs((away[:, 0] ** 2).mean() / wrong[0, 0] - 1) / np.sqrt(2 / n) > 12  # the design sees these


def test_simulation_agrees_with_the_law():
    """A likelihood with heavy tails, d = 1. n = 60 000, distribution function at 5 points, each |z| < 6."""
    robust = sgld(lambda x, y: np.tanh(3 * (y - x)), DATA[:, :1], 1, 3 * STEPS, lambda x: -x)
    start, n = Gaussian([0.2], 4.0), 60_000
    at = np.array([-1.5, -0.4, 0.4, 0.8, 1.6])
    p = law(robust, start).cdf(at[:, None])
    found = (robust.simulate(start.sample(n, 5), 6) < at).mean(axis=0)
    assert (np.abs(found - p) / np.sqrt(p * (1 - p) / n)).max() < 6
    for wrong in (sgld(robust.score.datum_score, DATA[:, :1], 6, 3 * STEPS, lambda x: -x), robust[:4]):
        q = law(wrong, start).cdf(at[:, None])
        assert (np.abs(found - q) / np.sqrt(p * (1 - p) / n)).max() > 12


def test_law_and_moments_agree_where_both_are_known():
    narrow = sgld(lambda x, y: y - x, DATA[:, :1], 2, STEPS, lambda x: -x)
    start = Gaussian([0.2], 1.4)
    exact, (mean, cov) = law(narrow, start), minibatch_moments(narrow, start)
    np.testing.assert_allclose([exact.mean[0], exact.cov[0, 0]], [mean[0], cov[0, 0]], rtol=1e-13)
    one = law(narrow[:1], PointSet([[0.7]]))  # a point goes to fifteen
    assert len(one.means) == 15
    np.testing.assert_array_equal(one.means, narrow.means(0, np.array([[0.7]])).reshape(-1, 1))


@given(n=st.integers(1, 9), seed=st.integers(0, 999), data=st.data())
def test_gradient_noise_over_all_minibatches(n, seed, data):
    """Cov over the C(N, n) minibatches = b^2 N (N - n)/n G, for any n of N, weights and scores."""
    size = data.draw(st.integers(1, n))
    rows = np.random.default_rng(seed).normal(size=(n, 1))
    step = sgld(lambda x, y: np.sin(3 * y + x), rows, size, [0.4])
    x = np.array([[0.3]])
    each = np.array([np.sin(3 * y + x)[0, 0] for y in rows])
    G = each.var(ddof=1) if n > 1 else 0.0
    np.testing.assert_allclose(step.means(0, x).var(), 0.2**2 * n * (n - size) / size * G, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("n", "size"), [(5, 2), (5, 5), (6, 3), (1, 1)])
def test_all_minibatches_are_equally_likely(n, size):
    """Frequencies of 60 000 draws: chi^2 with B - 1 degrees of freedom, mean B - 1 and variance 2 (B - 1); 6 of its deviations."""
    drawn = np.sort(without_replacement(n, size, 60_000, np.random.default_rng(3)), axis=1)
    sets, counts = np.unique(drawn, axis=0, return_counts=True)
    assert (np.diff(drawn, axis=1) > 0).all() and len(sets) == len(list(combinations(range(n), size)))
    expected = 60_000 / len(sets)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 <= len(sets) - 1 + 6 * np.sqrt(2 * (len(sets) - 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    x = np.random.default_rng(1).normal(size=(20_000, 2)).astype(dtype)
    with _blocks.parallel(threads=1):
        one = chain().simulate(x, 3)
    with _blocks.parallel(threads=2):
        two = chain().simulate(x, 3)
    assert one.dtype == dtype and np.array_equal(one, two)
    assert not np.array_equal(one, chain().simulate(x, 4))


def test_data_have_the_precision_of_the_state():
    seen = []

    def watched(x, y):
        seen.append((x.dtype, y.dtype))
        return y - x

    sgld(watched, DATA, 2, STEPS).simulate(np.zeros((3, 2), np.float32), 0)
    assert set(seen) == {(np.dtype("float32"), np.dtype("float32"))}


def test_simulation_is_steps_with_the_stream_s_draws():
    x = np.ones((4, 2))
    index = without_replacement(6, 2, 4, rng := np.random.default_rng(3))
    right = chain().step(1, x, rng.standard_normal(x.shape), index)
    np.testing.assert_allclose(chain()._advance(1, x, np.random.default_rng(3)), right, rtol=1e-14)


def test_particles_draw_their_own_minibatches():
    """Without noise rows that start alike would stay alike if they shared a minibatch."""
    quiet = chain()
    x = quiet.simulate(np.zeros((3000, 2)), 7)
    assert abs(np.corrcoef(x[::2, 0], x[1::2, 0])[0, 1]) < 6 / np.sqrt(1500)


def test_schedule():
    steps = decreasing_steps(0.3, 2.0, 0.55, 4)
    np.testing.assert_allclose(steps, [0.3 * (2 + k) ** -0.55 for k in range(4)], rtol=1e-15)
    assert (np.diff(steps) < 0).all()


def test_chains_can_be_sliced_and_sent_to_other_processes():
    x = np.ones((2, 2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(chain())).simulate(x, 1), chain().simulate(x, 1))
    np.testing.assert_array_equal(chain()[2:].means(0, x), chain().means(2, x))
    np.testing.assert_array_equal(chain()[-1:].mean(0, x), chain().mean(-1, x))


def test_a_network_as_likelihood():
    network = MLP((2, 5, 1), "tanh", 3)
    model = sgld(lambda x, y: network(x, y[:, 0]), DATA[:, :1], 2, STEPS)
    assert model.simulate(np.zeros((4, 1)), 0).shape == (4, 1)


ONE, PLANE = np.ones((2, 2)), Gaussian([0.0, 0.0], 1.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sgld(3, DATA, 2, STEPS), TypeError, "datum_score is 3"),
        (lambda: sgld(likelihood, DATA, 2, STEPS, 3), TypeError, "prior_score is 3"),
        (lambda: sgld(likelihood, DATA[0], 2, STEPS), ValueError, "data has shape"),
        (lambda: sgld(likelihood, DATA[:0], 2, STEPS), ValueError, "data has no rows"),
        (lambda: sgld(likelihood, DATA, 7, STEPS), ValueError, "batch is 7, but there are 6 data"),
        (lambda: sgld(likelihood, DATA, 0, STEPS), ValueError, "batch is 0"),
        (lambda: sgld(likelihood, DATA, 2, [0.1, 0.0]), ValueError, "positive step sizes"),
        (lambda: sgld(likelihood, DATA, 2, []), ValueError, "positive step sizes"),
        (lambda: sgld(likelihood, DATA, 2, [np.nan]), ValueError, "must be finite"),
        (lambda: sgld(likelihood, DATA, 2, STEPS, None, "alpha"), ValueError, "convention is 'alpha'"),
        (lambda: sgld(lambda x, y: x[:1], DATA, 2, STEPS).mean(0, ONE), ValueError, r"datum_score\(x, y\) has shape"),
        (lambda: sgld(likelihood, DATA, 2, STEPS, lambda x: x[:1]).mean(0, ONE), ValueError, r"prior_score\(x\) has shape"),
        (lambda: chain().step(0, ONE, ONE, [[0, 1]]), ValueError, r"index has shape \(1, 2\)"),
        (lambda: chain().step(0, ONE, ONE, [[0, 1], [2, 2]]), ValueError, "without replacement"),
        (lambda: chain().step(0, ONE, ONE, [[0, 1], [2, 6]]), ValueError, "index runs from 0 to 6"),
        (lambda: chain().step(0, ONE, ONE[:1], [[0, 1], [2, 3]]), ValueError, "noise has shape"),
        (lambda: chain()[0], TypeError, "pass a slice"),
        (lambda: sgld(likelihood, np.zeros((99, 2)), 40, STEPS).means(0, ONE), ValueError, "minibatch_moments"),
        (lambda: law(chain(), Gaussian([0.0, 0.0], 1.0)), ValueError, "minibatch_moments"),
        (lambda: minibatch_moments(chain(), 3), TypeError, "initial is int"),
        (lambda: minibatch_moments(langevin(prior, 0.1, 2), Gaussian([0.0], 1.0)), TypeError, "what sgld returns"),
        (lambda: minibatch_moments(sgld(lambda x, y: np.tanh(y - x), DATA, 2, STEPS), PLANE), ValueError, "is not affine in x"),
        (lambda: decreasing_steps(0.1, 1.0, 0.5, 3), ValueError, "gamma is 0.5"),
        (lambda: decreasing_steps(0.1, 1.0, 1.1, 3), ValueError, "gamma is 1.1"),
        (lambda: decreasing_steps(0.1, 0.0, 0.6, 3), ValueError, "c is 0.0"),
        (lambda: decreasing_steps(0.1, 1.0, 0.6, 0), ValueError, "n_steps is 0"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
