"""The least denoising loss: against the losses themselves, their gradients, samples and closed forms."""

import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.distances import fisher_information
from refscore.networks import MLP
from refscore.objectives import dsm, dsm_process, irreducible_loss
from refscore.processes import OU, denoising_error

MIX = GaussianMixture([0.35, 0.65], [[-0.9, 0.5], [0.8, -0.4]], [0.5, 0.8])
CONVENTIONS = [{"half": half, "over_dims": dims} for half in (True, False) for dims in ("sum", "mean")]


@pytest.mark.parametrize("predicts", ["score", "eps", "x0", "v"])
@pytest.mark.parametrize("weight", ["one", "sigma2", "prediction"])
def test_is_the_loss_of_the_best_prediction(weight, predicts):
    """For every weight, prediction and convention, with the best prediction handed over as the model."""
    process, t = OU(0.7, 1.3), 0.5
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    law = MIX.corrupted(alpha, sigma)
    x0, noise, w = MIX.joint_nodes(alpha, sigma, 0.25)

    def best(x, _):
        return process.convert(law.score(x), x, t, "score", predicts)

    for convention in CONVENTIONS:
        loss = dsm_process(best, process, x0, t, noise, weight, predicts=predicts, sample_weight=w, **convention)
        value, error = irreducible_loss(MIX, alpha, sigma, weight=weight, predicts=predicts, **convention)
        assert abs(loss - value) <= error + 1e-11 * loss
        mmse, slack = denoising_error(MIX, alpha, sigma)
        assert error == pytest.approx(slack * value / mmse, rel=1e-9, abs=0)


def test_no_linear_model_does_better():
    """The gradient vanishes at the score of a Gaussian, and every step away from it costs."""
    g, sigma = Gaussian([0.4, -1.1], [[1.0, 0.3], [0.3, 0.6]]), 0.7
    x0, noise, w = g.joint_nodes(1.0, sigma, 0.5)
    precision = np.linalg.inv(g.cov + sigma**2 * np.eye(2))
    best = [-precision, precision @ g.mean]
    value, gradient = dsm(MLP.from_arrays(best[:1], best[1:], "tanh"), x0, sigma, noise, sample_weight=w, grad=True)
    least, error = irreducible_loss(g, 1.0, sigma)
    assert abs(value - least) <= error + 1e-12 and all(np.abs(a).max() < 1e-12 for a in gradient)
    rng = np.random.default_rng(0)
    for _ in range(5):
        moved = [a + 1e-3 * rng.standard_normal(a.shape) for a in best]
        assert dsm(MLP.from_arrays(moved[:1], moved[1:], "tanh"), x0, sigma, noise, sample_weight=w) > least + error


@pytest.mark.parametrize("density", [Gaussian([0.3], 0.8), GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])])
def test_is_half_of_what_the_information_leaves(density):
    for alpha, sigma in ((1.0, 0.4), (0.6, 1.0), (0.3, 5.0)):
        value, error = irreducible_loss(density, alpha, sigma)
        information, slack = fisher_information(density.corrupted(alpha, sigma))
        assert abs(value - 0.5 * (1 / sigma**2 - information)) <= error + slack + 1e-15 / sigma**2


def test_by_samples():
    """|mean of 2e5 losses - C| < 5 standard errors: false alarm 6e-7; a factor of two would be seen at 100 standard errors."""
    rng, sigma = np.random.default_rng(5), 0.8
    points = PointSet(rng.standard_normal((6, 2)), rng.dirichlet(np.ones(6)))
    x0, noise = points.sample(200_000, rng), rng.standard_normal((200_000, 2))
    rows = dsm(points.corrupted(1.0, sigma).score, x0, sigma, noise, over_batch="none")
    assert abs(rows.mean() - irreducible_loss(points, 1.0, sigma)[0]) < 5 * rows.std() / np.sqrt(len(rows))


def test_growth():
    """d/(2 sigma^2) for data with a density; nothing for points, soon; below d/2 as a noise error."""
    points = PointSet([[-0.8], [0.1], [1.3]])
    for sigma in (1e-1, 1e-2, 1e-3):
        assert irreducible_loss(MIX, 1.0, sigma)[0] * sigma**2 == pytest.approx(1.0, abs=6 * sigma**2)
    assert irreducible_loss(points, 1.0, 0.02, weight="sigma2")[0] < 1e-20
    noise_errors = [irreducible_loss(MIX, 1.0, sigma, weight="sigma2")[0] for sigma in (1e-120, 0.1, 1.0, 10.0)]
    assert noise_errors == sorted(noise_errors, reverse=True) and abs(noise_errors[0] - 1) < 1e-15


def test_predictions_of_clean_points_under_any_noise():
    """Half of v sigma^2/(v + sigma^2), however small: sigma^4 below float64 is no reason to return 0."""
    for sigma in (1e-140, 1e-100, 1.0, 1e100):
        exact = 0.5 * sigma * (2 / (2 + sigma * sigma)) * sigma if sigma < 1e3 else 1.0
        value, error = irreducible_loss(Gaussian([1.0], [2.0]), 1.0, sigma, weight="prediction", predicts="x0")
        assert 0 < exact and abs(value - exact) <= error <= 1e-13 * exact


def test_refusals():
    with pytest.raises(ValueError, match="exceeds float64: pass weight='sigma2'"):
        irreducible_loss(MIX, 1.0, 1e-152 * 1e-3)
    with pytest.raises(ValueError, match="weight is 'sigma'"):
        irreducible_loss(MIX, 1.0, 1.0, weight="sigma")
    with pytest.raises(ValueError, match="predicts is 'noise'"):
        irreducible_loss(MIX, 1.0, 1.0, predicts="noise")
    with pytest.raises(TypeError, match="half is 1"):
        irreducible_loss(MIX, 1.0, 1.0, half=1)
    with pytest.raises(ValueError, match="alpha is 0"):
        irreducible_loss(MIX, 0.0, 1.0)
