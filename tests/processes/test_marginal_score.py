"""The exact score along a process as a model: times per row, derivatives, and implicit score matching with it."""

import tracemalloc

import numpy as np
import pytest

from refscore.densities import GaussianMixture, PointSet
from refscore.networks import AnalyticScore
from refscore.objectives import dsm_process, esm, ism
from refscore.processes import OU, MarginalScore, marginal_score

DATA = GaussianMixture([0.35, 0.65], [[-0.9, 0.5], [0.8, -0.4]], [[[0.8, 0.3], [0.3, 0.6]], [[0.5, -0.2], [-0.2, 0.9]]])
PROCESS = OU(0.7, 1.3)
SCORE = MarginalScore(PROCESS, DATA)
X = np.random.default_rng(0).standard_normal((6, 2))
T = np.array([0.3, 1.1, 0.3, 0.7, 2.0, 1.1])


def test_every_row_at_its_own_time():
    for i in range(6):
        law = PROCESS.marginal(DATA, T[i])
        np.testing.assert_array_equal(SCORE(X, T)[i], SCORE(X[T == T[i]], float(T[i]))[np.flatnonzero(T == T[i]).tolist().index(i)])
        np.testing.assert_allclose(SCORE(X, T)[i], law.score(X[i : i + 1])[0], rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(SCORE.divergence(X, T)[i], law.score_divergence(X[i : i + 1])[0], rtol=1e-12)
        np.testing.assert_allclose(SCORE.jacobian(X, T)[i], law.score_jacobian(X[i : i + 1])[0], rtol=1e-12, atol=1e-14)


def test_it_is_a_model():
    """ISM of the exact score is minus half the Fisher information at that time; DSM exceeds it by d/(2 sigma^2)."""
    law = PROCESS.marginal(DATA, 0.6)
    x, w = law.nodes(0.3)
    fisher = w @ (law.score(x) ** 2).sum(axis=1)
    # the lattice at 0.3 standard deviations leaves 1e-10 of the integrals (poles of the score at a distance of about 1.2)
    assert ism(SCORE, x, t=0.6, sample_weight=w) == pytest.approx(-fisher / 2, abs=1e-9)
    assert esm(SCORE, x, law.score(x), t=0.6, sample_weight=w) == 0
    x0, noise, w = DATA.joint_nodes(PROCESS.alpha(0.6), PROCESS.sigma(0.6), 0.3)
    want = (2 / PROCESS.variance(0.6) - fisher) / 2
    assert dsm_process(SCORE, PROCESS, x0, 0.6, noise, sample_weight=w) == pytest.approx(want, abs=1e-9)
    assert SCORE.parameters == []


def test_a_score_without_time_says_so():
    with pytest.raises(TypeError, match="MarginalScore"):
        dsm_process(AnalyticScore(DATA), PROCESS, X, 0.5, X)
    with pytest.raises(TypeError, match=r"\.score, or AnalyticScore"):
        ism(DATA, X)


def test_times_close_to_each_other_are_not_confused():
    data, process = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], [0.5, 0.2]), OU(0.7, 1.3)
    score, x = MarginalScore(process, data), np.array([[0.3]])
    for t in (0.3, 0.301, 0.3, 0.3001, 0.3, 0.32, 0.34, 0.3):
        np.testing.assert_array_equal(score(x, t), process.marginal(data, t).score(x))


def test_memory_is_bounded_whatever_the_data():
    """Points of 4 MB, asked at 60 times: the marginals of all of them would be 700 MB. Small data are all remembered."""
    points, x = PointSet(np.random.default_rng(1).random((1000, 500))), np.zeros((1, 500))
    score = MarginalScore(PROCESS, points)
    small = MarginalScore(PROCESS, DATA)
    tracemalloc.start()
    for t in np.linspace(0.1, 2.0, 60).tolist():
        score(x, t)
        small(X, t)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < marginal_score._BYTES and len(small._marginals) == 60


def test_jvp_is_the_jacobian_times_a_vector():
    v = np.random.default_rng(2).standard_normal(X.shape)
    np.testing.assert_allclose(SCORE.jvp(X, v, T), (SCORE.jacobian(X, T) @ v[:, :, None])[:, :, 0], rtol=1e-13, atol=1e-14)


def test_beyond_the_overflow_of_beta_t_the_process_is_stationary():
    process = OU(1e200, 1e100)
    assert process.sigma(1e200) == pytest.approx(np.sqrt(0.5), rel=1e-14)
    assert process.alpha(1e200) == 0
