"""Variance of the denoising loss and its gradient: closed forms for Gaussians, rows one by one, samples, conventions, refusals."""

import mpmath as mp
import numpy as np
import pytest

from refscore import parallel
from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.networks import MLP, AnalyticScore
from refscore.objectives import dsm, dsm_process, dsm_variance
from refscore.processes import OU

MIX = GaussianMixture([0.35, 0.65], [[-0.9, 0.5], [0.8, -0.4]], [0.5, 0.8])
LINE = GaussianMixture([0.35, 0.65], [[-0.9], [0.8]], [0.5, 0.8])
POINTS = PointSet([[-0.8], [0.1], [1.3]], [0.2, 0.5, 0.3])


@pytest.mark.parametrize(
    ("d", "sigma"),
    [(1, 1e-30), (1, 1e-3), (1, 0.3), (2, 1e-30), (2, 1e-3), (2, 0.3),
     *(pytest.param(3, sigma, marks=pytest.mark.slow) for sigma in (1e-30, 1e-3, 0.3))],
)
def test_linear_score_of_a_gaussian(d, sigma):
    """r = x~ W + b + z/sigma is N(m, S): Var 1/2||r||^2 = 1/2 tr S^2 + m'S m, at 50 digits."""
    rng = np.random.default_rng(d)
    root, W, (mean, b) = rng.standard_normal((d, d)), rng.standard_normal((d, d)), rng.standard_normal((2, d))
    cov, alpha = root @ root.T + 0.3 * np.eye(d), 0.8
    value, error = dsm_variance(MLP.from_arrays([W], [b], "tanh"), Gaussian(mean, cov), alpha, sigma)
    with mp.workdps(50):
        A, C = mp.matrix(W.T.tolist()), mp.matrix(cov.tolist())
        noise = sigma * A + mp.eye(d) / mp.mpf(sigma)
        S = mp.mpf(alpha) ** 2 * A * C * A.T + noise * noise.T
        m = mp.mpf(alpha) * A * mp.matrix(mean.tolist()) + mp.matrix(b.tolist())
        squares = S * S
        want = sum(squares[i, i] for i in range(d)) / 2 + (m.T * S * m)[0]
    assert abs(mp.mpf(value) - want) <= error <= 1e-10 * (1 + want)


@pytest.mark.parametrize("density", [LINE, POINTS], ids=["mixture", "points"])
@pytest.mark.parametrize(
    ("weight", "predicts"),
    [("sigma2", "score"), ("prediction", "x0"), ("one", "eps"), ("sigma2", "v"),
     pytest.param("one", "score", marks=pytest.mark.slow)],
)
def test_row_by_row(density, weight, predicts):
    """Losses and gradients of single rows, weighted by hand."""
    model, process, t = _Timed(MLP((1, 4, 1), "tanh", 3)), OU(0.7, 1.3), 0.5
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    x0, noise, w = density.joint_nodes(alpha, sigma, 0.07, degree=4)
    rows, gradients = [], []
    for i in range(len(w)):
        options = dict(weight=weight, predicts=predicts, grad=True)
        value, gradient = dsm_process(model, process, x0[i : i + 1], t, noise[i : i + 1], **options)
        rows.append(value)
        gradients.append(np.concatenate([np.ravel(a) for a in gradient]))
    (value, error), (arrays, slack) = dsm_variance(model, density, alpha, sigma, **options)
    assert abs(value - w @ (np.array(rows) - w @ rows) ** 2) <= error + 1e-10 * value
    want = w @ (np.array(gradients) - w @ np.array(gradients)) ** 2
    assert np.abs(np.concatenate([np.ravel(a) for a in arrays]) - want).max() <= slack + 1e-10 * want.max()
    assert [a.shape for a in arrays] == [a.shape for a in model.parameters]


class _Timed:
    """A network that is handed t and does not look."""

    def __init__(self, model):
        self.model = model

    def __call__(self, x, t):
        return self.model(x)

    def checked(self, x, t=None, name="x"):
        return self.model.checked(x, None, name)

    def __getattr__(self, name):
        return getattr(self.model, name)


def test_by_samples():
    """Within 5 standard errors of 4e5 draws (from the fourth moment): false alarm 6e-7; a lost factor of two is 60 of them away."""
    rng, sigma = np.random.default_rng(7), 0.4
    model = MLP((2, 8, 2), "silu", 1)
    x0, noise = MIX.sample(400_000, rng), rng.standard_normal((400_000, 2))
    rows = dsm(model, x0, sigma, noise, over_batch="none")
    away = (rows - rows.mean()) ** 2
    assert abs(away.mean() - dsm_variance(model, MIX, 1.0, sigma)[0]) < 5 * away.std() / np.sqrt(len(away))


@pytest.mark.parametrize("activation", ["tanh", "softplus", "silu", "sin", "relu"])
@pytest.mark.parametrize("sizes", [(2, 2), (2, 5, 2), (3, 4, 6, 3)])
def test_sums_of_squared_gradients(activation, sizes):
    model = MLP(sizes, activation, 4)
    rng = np.random.default_rng(2)
    x, u = rng.standard_normal((2, 7, sizes[0]))
    _, squares = model.value_squares(*model.checked(x))
    rows = [model.gradient(x[i : i + 1], u[i : i + 1]) for i in range(7)]
    for got, *want in zip(squares(u), *rows, strict=True):
        np.testing.assert_allclose(got, sum(a**2 for a in want), rtol=1e-13)


def test_conventions_multiply_by_their_squares():
    model = MLP((1, 4, 1), "tanh", 3)
    base = dsm_variance(model, LINE, 0.9, 0.5, grad=True)
    (value, error), (arrays, _) = dsm_variance(model, LINE, 0.9, 0.5, half=False, grad=True)
    assert abs(value - 4 * base[0][0]) <= error + 4 * base[0][1]
    for a, b in zip(arrays, base[1][0], strict=True):
        np.testing.assert_allclose(a, 4 * b, rtol=1e-9, atol=1e-9)
    (value, error), (arrays, _) = dsm_variance(model, LINE, 0.9, 0.5, weight="sigma2", grad=True)
    assert abs(value - 0.5**4 * base[0][0]) <= error + base[0][1]
    np.testing.assert_allclose(arrays[0], 0.5**4 * base[1][0][0], rtol=1e-9)
    linear = MLP((2, 2), "tanh", 3)
    whole, mean = dsm_variance(linear, MIX, 0.9, 0.5), dsm_variance(linear, MIX, 0.9, 0.5, over_dims="mean")
    assert abs(whole[0] - 4 * mean[0]) <= whole[1] + 4 * mean[1]


def test_time_reaches_the_model():
    model, frozen = MLP((3, 4, 2), "tanh", 3), 0.4
    W, b = model.weights[0], model.biases[0]
    same = MLP.from_arrays([W[:2], model.weights[1]], [b + frozen * W[2], model.biases[1]], "tanh")
    with_time, without = dsm_variance(model, MIX, 0.9, 0.5, t=frozen), dsm_variance(same, MIX, 0.9, 0.5)
    assert abs(with_time[0] - without[0]) <= with_time[1] + without[1]


def test_the_best_model_is_not_the_least_noisy():
    """At sigma -> 0 the variance falls with ISM, least at the score: 2 ISM = -I. But d/(2 sigma^4) stays, whatever the model."""
    sigma = 1e-3
    found = [dsm_variance(AnalyticScore(MIX.corrupted(1.0, s)), MIX, 1.0, sigma)[0] for s in (1e-3, 0.5, 1.0)]
    assert found == sorted(found) and all(abs(v * sigma**4 - 1) < 1e-5 for v in found)


def test_same_bits_for_any_number_of_threads():
    model, found = MLP((2, 6, 2), "silu", 1), []
    for threads in (1, 3):
        with parallel(threads=threads):
            (value, _), (arrays, _) = dsm_variance(model, MIX, 1.0, 0.5, grad=True)
            found.append([value, *(a.tobytes() for a in arrays)])
    assert found[0] == found[1]


def test_float32():
    model = MLP((2, 6, 2), "silu", 1, dtype=np.float32)
    double = MLP.from_arrays([W.astype(float) for W in model.weights], [b.astype(float) for b in model.biases], "silu")
    exact, _ = dsm_variance(double, MIX, 1.0, 0.5)
    assert dsm_variance(model, MIX, 1.0, 0.5, tolerance=1e-4)[0] == pytest.approx(exact, rel=1e-4)


def test_refusals():
    model = MLP((2, 2), "tanh", 0)
    with pytest.raises(TypeError, match="density is str"):
        dsm_variance(model, "data", 1.0, 1.0)
    with pytest.raises(TypeError, match="grad is True, but AnalyticScore"):
        dsm_variance(AnalyticScore(MIX), MIX, 1.0, 1.0, grad=True)
    with pytest.raises(ValueError, match="sigma is 0"):
        dsm_variance(model, MIX, 1.0, 0.0)
    with pytest.raises(ValueError, match="weight is 'two'"):
        dsm_variance(model, MIX, 1.0, 1.0, weight="two")
    with pytest.raises(ValueError, match="max_nodes is 1000.*2 components in dimension 2"):
        dsm_variance(model, MIX, 1.0, 1.0, max_nodes=1000)
    with pytest.raises(ValueError, match="not finite"), np.errstate(all="ignore"):
        dsm_variance(model, MIX, 1.0, 1e-160)
