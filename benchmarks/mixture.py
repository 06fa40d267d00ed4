"""Scores of Gaussian mixtures: softmax of a matrix product, times a matrix (P1, P8)."""

from __future__ import annotations

import numpy as np

from benchmarks._row import Case, libraries, of_jax, of_torch, row
from refscore.densities import GaussianMixture, PointSet


@row("P1 mixture score, isotropic, K 64, d 32", small={"n": 40}, n=100_000, count=64, dim=32)
def isotropic(n: int, count: int, dim: int) -> Case:
    rng = np.random.default_rng(1)
    weights, means = rng.dirichlet(np.ones(count)), 2 * rng.standard_normal((count, dim))
    variances = rng.uniform(0.5, 2, count)
    mixture = GaussianMixture(weights, means, variances)
    x = mixture.sample(n, 2)

    precision, pull = 1 / variances, means / variances[:, None]
    const = np.log(weights) - dim / 2 * np.log(variances) - (means * pull).sum(axis=1) / 2

    def score(softmax, x, pull, precision, const):
        r = softmax(x @ pull.T - 0.5 * (x * x).sum(1)[:, None] * precision + const)
        return r @ pull - x * (r @ precision)[:, None]

    case = Case(np.float64, 4 * n * count * dim, {"refscore": lambda: mixture.score(x)})
    return _with_peers(case, score, x, pull, precision, const)


@row("P1 mixture score, full covariances, K 64, d 8", small={"n": 40}, n=100_000, count=64, dim=8)
def full(n: int, count: int, dim: int) -> Case:
    rng = np.random.default_rng(3)
    weights, means = rng.dirichlet(np.ones(count)), 3 * rng.standard_normal((count, dim))
    roots = rng.standard_normal((count, dim, dim)) / np.sqrt(dim)
    covs = roots @ roots.transpose(0, 2, 1) + 0.2 * np.eye(dim)
    mixture = GaussianMixture(weights, means, covs)
    x = mixture.sample(n, 4)

    precision = np.linalg.inv(covs)
    pull = np.einsum("kij,kj->ki", precision, means)
    const = np.log(weights) - np.linalg.slogdet(covs)[1] / 2 - (means * pull).sum(axis=1) / 2
    flat = precision.reshape(count, -1)

    def score(softmax, x, pull, flat, const):  # x'P x is the product of xx' and P, both taken as long rows
        square = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        r = softmax(x @ pull.T - 0.5 * (square @ flat.T) + const)
        return r @ pull - ((r @ flat).reshape(len(x), dim, dim) * x[:, None, :]).sum(2)

    case = Case(np.float64, 4 * n * count * (dim + dim * dim), {"refscore": lambda: mixture.score(x)})
    return _with_peers(case, score, x, pull, flat, const)


@row("P8 ideal denoiser, 60000 points, d 784", small={"n": 3, "points": 50, "dim": 20}, n=256, points=60_000, dim=784)
def denoiser(n: int, points: int, dim: int) -> Case:
    rng = np.random.default_rng(5)
    data = rng.random((points, dim)) ** 3  # mostly dark, as pictures of digits are
    alpha, sigma = 0.8, 0.6
    law = PointSet(data).corrupted(alpha, sigma)
    x = alpha * data[rng.integers(points, size=n)] + sigma * rng.standard_normal((n, dim))

    const = -((alpha * data) ** 2).sum(axis=1) / (2 * sigma**2)

    def score(softmax, x, data, const):
        r = softmax(x @ data.T * (alpha / sigma**2) + const)
        return (alpha * (r @ data) - x) / sigma**2

    # one product for the logits; the other is over the points that matter alone, here hardly any
    case = Case(np.float64, 2 * n * points * dim, {"refscore": lambda: law.score(x)})
    return _with_peers(case, score, x, data, const)


def _with_peers(case: Case, score, *arrays: np.ndarray) -> Case:
    """``score(softmax, *arrays)`` in both libraries."""
    torch, jax = libraries()
    if torch:
        case.runs |= of_torch(torch, lambda *a: score(lambda z: torch.softmax(z, 1), *a), *arrays)
    if jax:
        case.runs |= of_jax(jax, lambda *a: score(lambda z: jax.nn.softmax(z, 1), *a), *arrays)
    return case
