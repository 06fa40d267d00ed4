"""Hutchinson's estimate: its mean and variance by exact sums over the law of the probes, not by sampling."""

import itertools

import numpy as np
import pytest

from refscore.networks import MLP, AnalyticScore, hutchinson, hutchinson_variance, probes

EPS = np.finfo(float).eps
A = np.array([[1.5, -0.3, 2.0], [0.7, -2.2, 0.1], [0.4, 0.9, 0.6]])  # not symmetric, trace -0.1


def nodes(law, d):
    """Points and weights that integrate polynomials of degree 4 (v'Av squared) exactly under the law, d = 2 or 3."""
    if law == "rademacher":
        v = np.array(list(itertools.product([-1.0, 1.0], repeat=d)))
        return v, np.full(len(v), 1 / len(v))
    if law == "gaussian":  # three Gauss-Hermite nodes are exact to degree 5
        z, w = np.polynomial.hermite_e.hermegauss(3)
        v = np.array(list(itertools.product(z, repeat=d)))
        return v, np.prod(list(itertools.product(w / w.sum(), repeat=d)), axis=1)
    angle = 2 * np.pi * np.arange(8) / 8  # exact for trigonometric polynomials of degree 7
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    if d == 2:
        return np.sqrt(2) * circle, np.full(8, 1 / 8)
    height, w = np.polynomial.legendre.leggauss(4)  # Archimedes: the height on a sphere is uniform
    v = [[np.sqrt(1 - h * h) * c, np.sqrt(1 - h * h) * s, h] for h in height for c, s in circle]
    return np.sqrt(3) * np.array(v), np.repeat(w / 2, 8) / 8


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("law", ["gaussian", "rademacher", "sphere"])
def test_mean_and_variance_by_exact_sums(law, d):
    """64 terms of size at most ||v||^4 ||A||^2 < 1e4: rounding below 64 * 1e4 * eps."""
    v, w = nodes(law, d)
    B = A[:d, :d]
    estimates = np.einsum("ni,ij,nj->n", v, B, v)
    assert abs(w @ estimates - np.trace(B)) <= 1e4 * EPS
    variance = w @ (estimates - np.trace(B)) ** 2
    assert abs(hutchinson_variance(B, law) - variance) <= 64e4 * EPS
    assert np.abs(np.einsum("n,ni,nj->ij", w, v, v) - np.eye(d)).max() <= 64 * EPS  # the rule itself: E vv' = I


def test_variance_where_a_law_is_exact_and_in_batches():
    assert hutchinson_variance(np.diag([1.0, 1e8, -3.0]), "rademacher") == 0
    assert hutchinson_variance(7 * np.eye(5), "sphere") == 0
    assert hutchinson_variance([[0.0, 1.0], [-1.0, 0.0]], "gaussian") == 0  # v'Av = 0 for antisymmetric A
    stack = np.stack([A, A.T, 2 * A])
    for law in ("gaussian", "rademacher", "sphere"):
        one = hutchinson_variance(A, law)
        assert hutchinson_variance(stack, law).shape == (3,)
        assert np.allclose(hutchinson_variance(stack, law), [one, one, 4 * one], rtol=8 * EPS, atol=0)
        assert np.array_equal(A, np.array([[1.5, -0.3, 2.0], [0.7, -2.2, 0.1], [0.4, 0.9, 0.6]]))


def test_enumerated_estimates_of_a_network_average_to_its_divergence():
    """Eight sign vectors; 1e2 operations on numbers of size at most 10 on either side."""
    net = MLP((4, 5, 6, 3), "tanh", 0)
    x, t = np.random.default_rng(1).normal(size=(4, 3)), np.array([0.1, 0.2, 0.5, 0.9])
    v, w = nodes("rademacher", 3)
    estimates = np.array([hutchinson(net, x, np.tile(row, (4, 1)), t) for row in v])
    assert np.abs(w @ estimates - net.divergence(x, t)).max() <= 1e3 * EPS
    J = net.jacobian(x, t)
    u = np.random.default_rng(2).normal(size=x.shape)
    assert np.abs(hutchinson(net, x, u, t) - np.einsum("ni,nij,nj->n", u, J, u)).max() <= 1e3 * EPS
    spread = np.array(w @ (estimates - w @ estimates) ** 2)
    assert np.abs(hutchinson_variance(J, "rademacher") - spread).max() <= 1e3 * EPS


def test_probes():
    n, d = 40000, 5
    signs, sphere, gauss = (probes(law, n, d, 3) for law in ("rademacher", "sphere", "gaussian"))
    assert signs.shape == sphere.shape == gauss.shape == (n, d)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert np.abs(np.linalg.norm(sphere, axis=1) - np.sqrt(d)).max() <= 8 * EPS * np.sqrt(d)
    for v in (signs, sphere, gauss):
        # 15 second moments and 5 means a law, standard errors at most sqrt(2/n) and sqrt(1/n): six of them, 60 chances
        # of 2e-9. Probes from U(-1, 1) (second moment 1/3) are 94 standard errors off, from U(0, 1) further still.
        assert np.abs(v.T @ v / n - np.eye(d)).max() <= 6 * np.sqrt(2 / n)
        assert np.abs(v.mean(axis=0)).max() <= 6 * np.sqrt(1 / n)
    kurtosis = (gauss**4).mean(axis=0)  # 3, with standard error sqrt(96/n): tells the Gaussian from the other two
    assert np.abs(kurtosis - 3).max() <= 6 * np.sqrt(96 / n)
    assert np.array_equal(signs, probes("rademacher", n, d, np.random.default_rng(3)))


class Whirl:
    """A 'density' whose 'Hessian' is not symmetric, so that a transposition shows."""

    def score(self, x):
        return x @ A.T

    def score_jacobian(self, x):
        return np.broadcast_to(A, (len(x), 3, 3))

    def score_divergence(self, x):
        return np.full(len(x), np.trace(A))


def test_analytic_score():
    s = AnalyticScore(Whirl())
    x, v = np.random.default_rng(0).normal(size=(2, 4, 3))
    assert s.parameters == []
    assert np.array_equal(s(x), x @ A.T) and s.jacobian(x).shape == (4, 3, 3)
    assert np.allclose(s.jvp(x, v), v @ A.T, rtol=0, atol=32 * EPS)
    assert np.allclose(s.vjp(x, v), v @ A, rtol=0, atol=32 * EPS)
    assert np.array_equal(s.divergence(x), np.full(4, np.trace(A)))
    assert np.allclose(hutchinson(s, x, v), np.einsum("ni,ij,nj->n", v, A, v), rtol=0, atol=1e2 * EPS)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: AnalyticScore(np.tanh), TypeError, "without score, score_jacobian, score_divergence"),
        (lambda: AnalyticScore(Whirl()).jvp(np.ones((2, 3)), np.ones((2, 2))), ValueError, "v has 2 columns"),
        (lambda: hutchinson(np.tanh, np.ones((2, 3)), np.ones((2, 3))), TypeError, "without a jvp method"),
        (lambda: hutchinson(MLP((3, 3), "sin", 0), np.ones((2, 3)), np.ones(3)), ValueError, "v has shape"),
        (lambda: hutchinson_variance(A, "uniform"), ValueError, "law is 'uniform': choose one of 'gaussian'"),
        (lambda: hutchinson_variance(A[:2], "sphere"), ValueError, r"A has shape \(2, 3\)"),
        (lambda: hutchinson_variance(A + np.nan, "sphere"), ValueError, r"A\[0, 0\] is nan"),
        (lambda: probes("normal", 2, 3, 0), ValueError, "law is 'normal'"),
        (lambda: probes("gaussian", 2, 3, None), TypeError, "rng is None"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
