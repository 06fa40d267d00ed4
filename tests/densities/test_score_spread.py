"""The spread of the components' scores: from 50 digits, where components compete and where one of them explains all."""

import mpmath as mp
import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture

FACTORS = np.array([[[0.9, 0.0], [0.3, 0.7]], [[0.7, 0.0], [-0.25, 0.9]], [[0.4, 0.0], [0.2, 1.3]]])
FORMS = {"isotropic": np.array([0.5, 0.8, 1.3]), "diagonal": np.array([[0.5, 0.9], [0.8, 0.4], [1.3, 0.7]]),
         "full": FACTORS @ FACTORS.transpose(0, 2, 1)}
MEANS = np.array([[-0.9, 0.5], [0.8, -0.4], [1.5, 1.1]])


def exact(density, x):
    """sum_k r_k |s_k - s|^2 at 50 digits."""
    with mp.workdps(50):
        terms, scores = [], []
        for w, m, c in zip(density.weights, density.means, density.covs, strict=True):
            c = mp.matrix((np.eye(2) * c if np.ndim(c) < 2 else c).tolist())
            score = c**-1 * (mp.matrix(m.tolist()) - mp.matrix(x.tolist()))
            scores.append(score)
            away = mp.matrix(m.tolist()) - mp.matrix(x.tolist())
            terms.append(mp.mpf(w) / mp.sqrt(mp.det(c)) * mp.exp(-(away.T * score)[0] / 2))
        r = [t / sum(terms) for t in terms]
        mean = sum((a * s for a, s in zip(r, scores, strict=True)), mp.zeros(2, 1))
        return sum(a * sum((s[i] - mean[i]) ** 2 for i in range(2)) for a, s in zip(r, scores, strict=True))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stretch", [1.0, 8.0])
def test_against_mpmath(form, stretch):
    density = GaussianMixture([0.2, 0.5, 0.3], stretch * MEANS, FORMS[form])
    x = stretch * np.random.default_rng(0).normal(0.5, 1.0, (25, 2))
    for got, row in zip(density.score_spread(x), x, strict=True):
        want = exact(density, row)
        assert abs(mp.mpf(got) - want) <= 1e-12 * want + mp.mpf(10) ** -19 * stretch**2


def test_far_out_where_components_still_compete():
    """Along a line on which nothing changes, 1e12 standard deviations out: rows that go the careful way."""
    density = GaussianMixture([0.2, 0.5, 0.3], [[0.0, -1.0], [0.0, 0.75], [0.0, 1.5]], [0.75, 0.75, 0.75])
    near = np.column_stack([np.zeros(20), np.linspace(-3, 3, 20)])
    far = near + [2.0**40, 0.0]
    np.testing.assert_allclose(density.score_spread(far), density.score_spread(near), rtol=1e-12)


def test_one_component_has_no_spread():
    assert (Gaussian([0.3, 1.0], [0.5, 0.7]).score_spread(np.random.default_rng(1).standard_normal((20, 2))) == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_is_the_divergence_without_the_mean_precision(form):
    """Equal covariances: div s = spread - tr C^{-1}."""
    cov = FORMS[form][0]
    density = GaussianMixture([0.2, 0.5, 0.3], MEANS, np.stack([cov] * 3))
    x = np.random.default_rng(2).standard_normal((30, 2))
    precision = np.trace(np.linalg.inv(np.eye(2) * cov if np.ndim(cov) < 2 else cov))
    np.testing.assert_allclose(density.score_spread(x) - precision, density.score_divergence(x), rtol=0, atol=1e-13 * precision)
