"""Products in turned axes against the mixtures that they are."""

import numpy as np
import pytest

from refscore.densities import Beta, Gaussian, GaussianMixture, Laplace, Product

TURN = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
LINE = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
PRODUCT = Product([Gaussian([0.4], 0.5), LINE, Gaussian([-1.0], 2.0)], TURN)
MIXTURE = GaussianMixture(
    LINE.weights, [TURN @ [0.4, m, -1.0] for m in LINE.means[:, 0]], [(TURN * [0.5, v, 2.0]) @ TURN.T for v in LINE.covs]
)
X = MIXTURE.sample(40, 1)


@pytest.mark.parametrize("method", ["logpdf", "score", "score_jacobian", "score_divergence"])
def test_against_the_mixture(method):
    assert getattr(PRODUCT, method)(X) == pytest.approx(getattr(MIXTURE, method)(X), rel=1e-12, abs=1e-12)


def test_moments_corruption_and_draws():
    assert PRODUCT.mean == pytest.approx(MIXTURE.mean, abs=1e-14) and PRODUCT.cov == pytest.approx(MIXTURE.cov, abs=1e-14)
    noisy = MIXTURE.corrupted(0.7, 0.4)
    assert PRODUCT.corrupted(0.7, 0.4).logpdf(X) == pytest.approx(noisy.logpdf(X), rel=1e-12)
    n = 100_000  # covariances of at most 2.3: standard errors below 2.3 sqrt(2/n) = 0.0103, six of them
    assert np.abs(np.cov(PRODUCT.sample(n, 3).T) - MIXTURE.cov).max() < 0.062


def test_a_mixture_as_a_product():
    back = Product.of(MIXTURE, TURN)
    assert [len(factor.weights) for factor in back.factors] == [1, 2, 1]
    assert back.logpdf(X) == pytest.approx(MIXTURE.logpdf(X), rel=1e-12)
    for covs in (np.array([0.3, 0.2]), np.array([[0.3, 0.5], [0.2, 0.5]])):  # isotropic: only the line x + y = 1 carries both
        plain = GaussianMixture([0.4, 0.6], [[0.0, 1.0], [2.0, 1.0]], covs)
        if covs.ndim == 1:
            with pytest.raises(ValueError, match=r"components differ along the axes \[0, 1\]"):
                Product.of(plain)
        else:
            assert Product.of(plain).logpdf(X[:, :2]) == pytest.approx(plain.logpdf(X[:, :2]), rel=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="off the diagonal in these axes"):
        Product.of(MIXTURE)
    with pytest.raises(ValueError, match=r"axes has shape \(2, 2\): pass \(3, 3\) with orthonormal columns"):
        Product(PRODUCT.factors, np.eye(2))
    with pytest.raises(ValueError, match="orthonormal columns"):
        Product(PRODUCT.factors, 2 * np.eye(3))
    with pytest.raises(TypeError, match="mixture is Laplace"):
        Product.of(Laplace([0.0], [1.0]))
    with pytest.raises(ValueError, match="faces are told by the coordinate axis"):
        Product([Beta(2.0, 3.0), Beta(2.0, 2.0)], [[0.6, -0.8], [0.8, 0.6]]).faces()
