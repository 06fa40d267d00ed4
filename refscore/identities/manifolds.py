r"""Identity A5: data on a lower-dimensional manifold. The data score does not exist; the corrupted one blows up like 1/sigma^2."""

from __future__ import annotations

import numpy as np

from refscore import _quadrature
from refscore.densities import DegenerateGaussian, PointSet
from refscore.identities._registry import Comparison, Table, identity

EPS = np.finfo(float).eps
_ALPHA = 0.8


@identity(
    id="A5",
    systems=("A5",),
    title="Data on a subspace: the corrupted score pulls back to it like -distance/sigma^2",
    statement=r"s_\perp = -n/\sigma^2,\qquad E\|s\|^2 = \frac{d-k}{\sigma^2} + \sum_{i\le k}\frac{1}{\alpha^2 S_i^2 + \sigma^2}",
    source="[e, 'datapoints would lie on a lower dimensional manifold', 'inflate the flat manifold with noise']",
    method="score by singular axes vs QR of the factor and a solve; E||s||^2 over corners of (u, z) vs the sum; points: by Tweedie",
    catches=("score_sign", "corrupted_sigma_for_variance", "corrupted_means_not_scaled", "corrupted_noise_scaled_too",
             "corrupted_with_jitter", "score_along_the_manifold_only", "score_normal_and_tangential_swapped"),
)
def data_on_a_subspace(ops, seed):
    """Gaussians of rank k < d, in any direction and along the axes (there to sigma = 1e-60); points in a subspace and apart."""
    rows: list[tuple] = []
    for d, k in ((2, 1), (3, 1), (3, 2), (5, 2)):
        rng = np.random.default_rng((seed, d, k))
        basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
        spread = rng.uniform(0.7, 1.4, k)  # so alike that no bound below needs a condition number
        turned = basis[:, :k] * spread @ np.linalg.qr(rng.standard_normal((k, k)))[0]
        mean = rng.standard_normal(d) + 0.5
        for sigma in (1.0, 0.1, 0.01):
            yield from _gaussian(ops, mean, turned, sigma, 4 * d * EPS, rng, rows)
        # along the axes no direction is rounded, and with a mean in the subspace no distance to it
        for sigma in (1e-4, 1e-8, 1e-60):
            yield from _gaussian(ops, mean * (np.arange(d) < k), np.eye(d, k) * spread, sigma, 0.0, rng, rows)
        yield from _points_in_a_subspace(ops, mean, turned, rng)
    for d in (1, 2):
        yield from _points_apart(ops, d, np.random.default_rng((seed, d)))
    columns = ("d", "k", "sigma", "sigma^2 E||s||^2", "of it bounded")
    yield Table("sigma^2 E||s||^2 tends to the codimension d - k", columns, rows)


def _gaussian(ops, mean, factor, sigma, angle, rng, rows):
    """``angle``: how far either road may turn the subspace; off it the score moves by that angle times the distance/sigma^2."""
    d, k = factor.shape
    law = ops.corrupted(DegenerateGaussian(mean, factor), _ALPHA, sigma)
    case = f"d = {d}, k = {k}, sigma = {sigma:g}{'' if angle else ', along the axes'}"
    x = _ALPHA * (mean + rng.standard_normal((8, k)) @ factor.T) + sigma * rng.standard_normal((8, d))
    q, r = np.linalg.qr(factor)  # C^{-1} y = Q (alpha^2 R R' + sigma^2)^{-1} Q'y + (y - Q Q'y)/sigma^2
    y = x - _ALPHA * mean
    along = y @ q
    tangential = np.linalg.solve(_ALPHA**2 * r @ r.T + sigma**2 * np.eye(k), along.T).T @ q.T
    s = -tangential - (y - along @ q.T) / sigma**2
    # alpha^2 S^2 >= 0.3: what lies along the subspace is of size |y|/0.3, and a sum of d terms of it rounds to d eps
    reach = np.abs(x).max() + 1
    leak = angle * d * reach / sigma**2
    size = np.abs(s).max() + reach / (0.3 if angle == 0 else min(0.3, sigma**2))
    yield Comparison(f"score: {case}", ops.score(law, x), s, 8 * d * EPS * (np.abs(s).max() + reach / 0.3) + leak, size)
    corners = _quadrature.simplex(k + d)  # they average every quadratic exactly, and s is affine
    x = _ALPHA * (mean + corners[:, :k] @ factor.T) + sigma * corners[:, k:]
    s = ops.score(law, x)
    bounded = float((1 / (_ALPHA**2 * np.linalg.svd(factor)[1] ** 2 + sigma**2)).sum())
    exact = (d - k) / sigma**2 + bounded
    length = np.sqrt(d * (d + k)) / sigma  # of s at a corner, entries at most; the error is twice that times the leak
    leak = 2 * length * d * angle * d * (np.abs(x).max() + 1) / sigma**2
    bound = 8 * (d + k) ** 2 * EPS * exact + leak
    yield Comparison(f"E||s||^2: {case}", (s * s).sum(axis=1).mean(), exact, bound, exact + length * angle / EPS / sigma**2)
    rows.append((d, k, sigma, sigma**2 * float((s * s).sum(axis=1).mean()), sigma**2 * bounded))


def _points_in_a_subspace(ops, mean, factor, rng):
    """Off the subspace in which all points lie, the score is -distance/sigma^2 whatever sigma and the weights."""
    d, k = factor.shape
    points = PointSet(mean + rng.standard_normal((20, k)) @ factor.T, rng.dirichlet(np.ones(20)))
    normal = np.linalg.svd(factor)[0][:, k:]
    for sigma in (1.0, 0.1, 0.01):
        law = ops.corrupted(points, _ALPHA, sigma)
        x = _ALPHA * points.points[:6] + sigma * rng.standard_normal((6, d))
        distance = (x - _ALPHA * mean) @ normal
        reach = np.abs(x).max() + _ALPHA * np.abs(points.points).max()
        bound = 8 * d * EPS * d * reach / sigma**2
        case = f"20 points in {k} of {d} dimensions, sigma = {sigma:g}"
        yield Comparison(f"normal score: {case}", ops.score(law, x) @ normal, -distance / sigma**2, bound, reach / sigma**2)


def _points_apart(ops, d, rng):
    """E||s||^2 of a point set is d/sigma^2 - alpha^2 E tr Cov[x|x~]/sigma^4: as sigma shrinks below the distances, d/sigma^2."""
    points = PointSet(np.array([[0.0, 0.3], [1.5, -0.2], [0.4, 1.9]])[:, :d] + 0.1 * rng.standard_normal((3, d)), [0.2, 0.3, 0.5])
    u, w = _quadrature.normal_lattice(d, 0.1)
    for sigma in (1.0, 0.5, 0.02):
        law = ops.corrupted(points, _ALPHA, sigma)
        x = (_ALPHA * points.points[:, None] + sigma * u).reshape(-1, d)
        v = np.outer(points.weights, w).ravel()
        s = ops.score(law, x)
        away = x[:, None] - _ALPHA * points.points
        r = np.log(points.weights) - (away**2).sum(axis=2) / (2 * sigma**2)
        r = np.exp(r - r.max(axis=1, keepdims=True))
        r /= r.sum(axis=1, keepdims=True)
        middle = points.points - (r @ points.points)[:, None]
        spread = v @ (r * (middle**2).sum(axis=2)).sum(axis=1)
        exact = d / sigma**2 - _ALPHA**2 * spread / sigma**4
        # both sides are sums over the same nodes, whose error differs by that of E|z|^2 = d alone, which the lattice has to 1e-15;
        # the exponents that matter, up to 40, are good to 4 d eps of themselves
        scale = d / sigma**2 + _ALPHA**2 * spread / sigma**4
        case = f"3 points apart, d = {d}, sigma = {sigma:g}"
        yield Comparison(f"E||s||^2: {case}", v @ (s * s).sum(axis=1), exact, 1e-12 * scale, scale)
