r"""The identities on the user's own data set: its points are the law p_0 = 1/n sum_i delta(x - x_i).

The corrupted law p_t = 1/n sum_i N(alpha x_i, sigma^2 I) is known exactly, and so is everything about it. The package
computes it as a mixture density; the second route is the posterior r_i = p(x_i | x~) as a finite sum over the points
(`_finite_posterior`), quadrature on a lattice for expectations, and a transition matrix for the sampler's law. These
statements take the points as an argument: `identities` binds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from refscore._dataset import Dataset
from refscore.identities import _on_data_matching, _on_data_sampler
from refscore.identities._finite_posterior import UNIT
from refscore.identities._on_data import BETA, LEVELS, G, Level, Points, places, posteriors, prepared
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Identity


def identities(dataset: Dataset) -> tuple[list[Identity], tuple[str, ...]]:
    """(the statements of this module about this data set, notes for the report)."""
    points = prepared(dataset)
    return [replace(s, run=partial(s.run, points=points)) for s in STATEMENTS], points.notes  # type: ignore[call-arg]


def _marginal_score(ops: Operations, seed: int, points: Points) -> Iterator[Comparison]:
    """B10: score of the corrupted law = posterior mean of the conditional scores."""
    from refscore.densities import PointSet
    from refscore.processes import OU

    process, data = OU(BETA, G), points.full
    for level in LEVELS:
        x = places(data, level, np.random.default_rng(seed))
        law = ops.corrupted(PointSet(data), level.alpha, level.sigma)
        right, bound, scale = (np.empty(x.shape) for _ in range(3))
        for i, r in enumerate(posteriors(data, x, level)):
            conditional = partial(_conditional_scores, ops, process, level, r.x)
            right[i], bound[i], _ = r.expect(conditional, partial(_conditional_errors, level, r.x))
            bound[i] += _row_error(law, x[i])
            scale[i] = _size(r.x, data, level)
        where = f"{_count(x)} of {data.shape[1]} dimensions, {level}"
        yield Comparison(where, ops.score(law, x), right, bound, scale)


def _tweedie(ops: Operations, seed: int, points: Points) -> Iterator[Comparison]:
    """B12: E[x0 | x~] and Cov[x0 | x~] from the score and its Jacobian, against finite sums."""
    from refscore.densities import PointSet

    for level in LEVELS:
        a, s = level.alpha, level.sigma
        data = points.full
        x = places(data, level, np.random.default_rng(seed))
        law = ops.corrupted(PointSet(data), a, s)
        right, bound, scale = (np.empty(x.shape) for _ in range(3))
        for i, r in enumerate(posteriors(data, x, level)):
            right[i], bound[i], _ = r.expect(_identity)
            bound[i] += s * s / a * _row_error(law, x[i]) + 8 * UNIT * (2 * np.abs(r.x) / a + np.abs(right[i]))
            scale[i] = _size(r.x, data, level) * s * s / a
        left = ops.posterior_mean(x, ops.score(law, x), a, s)
        yield Comparison(f"E[x0 | x~], {_count(x)} of {data.shape[1]} dimensions, {level}", left, right, bound, scale)
        yield _posterior_covariance(ops, seed, points.second_order, level)


def _posterior_covariance(ops: Operations, seed: int, data: np.ndarray, level: Level) -> Comparison:
    from refscore.densities import PointSet

    a, s, d = level.alpha, level.sigma, data.shape[1]
    most = int(np.clip(4_000_000 // (len(data) * d * d), 1, 12))
    x = places(data, level, np.random.default_rng(seed), most)[:most]
    law = ops.corrupted(PointSet(data), a, s)
    right, bound = np.empty((len(x), d, d)), np.empty((len(x), d, d))
    dropped = math.exp(-50) * float(np.ptp(data, axis=0).max()) ** 2  # posterior weights below e^-50 may be left out
    for i, r in enumerate(posteriors(data, x, level)):
        mean, mean_error, _ = r.expect(_identity)
        error = partial(_outer_error, mean, mean_error, r.x / a, len(r.points))
        right[i], spread, size = r.expect(partial(_outer, mean), error)
        # the Jacobian adds up the same sum, with log weights as uncertain again: twice the bound; and the weights,
        # whose sum over n points is off by n u at most, multiply the identity matrix that cancels
        bound[i] = 2 * spread + UNIT * (16 * size + (len(data) + 16) * np.eye(d) * s * s / a / a) + dropped
    left = ops.posterior_covariance(_row_by_row(ops.score_jacobian, law, x), a, s)
    scale = s * s / a / a + float((data**2).sum(axis=1).mean())
    return Comparison(f"Cov[x0 | x~], {_count(x)} of {d} dimensions, {level}", left, right, bound, scale)


def _row_by_row(function: Callable, law, x: np.ndarray) -> np.ndarray:
    """One row at a time: the temporaries of a row are as large as the data."""
    return np.concatenate([function(law, row[None]) for row in x])


def _row_error(law, row: np.ndarray) -> np.ndarray:
    return law.score_error(row[None])[0]


def _conditional_scores(ops: Operations, process, level: Level, x: np.ndarray, block: np.ndarray) -> np.ndarray:
    return ops.conditional_score(process, np.tile(x, (len(block), 1)), block, level.t)


def _conditional_errors(level: Level, x: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Of -(x~ - alpha x0)/sigma^2 with alpha and sigma known to a few units in the last place each."""
    return 16 * UNIT * (np.abs(x) + level.alpha * np.abs(block)) / level.sigma**2


def _identity(block: np.ndarray) -> np.ndarray:
    return block


def _outer(mean: np.ndarray, block: np.ndarray) -> np.ndarray:
    away = block - mean
    return away[:, :, None] * away[:, None, :]


def _outer_error(mean: np.ndarray, mean_error: np.ndarray, x: np.ndarray, count: int, block: np.ndarray):
    """Of these products: either factor is off by the mean's error and, in the Jacobian, by u of (x~, x_i) a term."""
    away = np.abs(block - mean)
    off = mean_error + (count + 8) * UNIT * (np.abs(x) + np.abs(block))
    return off[:, :, None] * (away + off)[:, None, :] + away[:, :, None] * off[:, None, :]


def _size(x: np.ndarray, data: np.ndarray, level: Level) -> float:
    """The size of the conditional scores that are averaged: |x~|, sqrt(d) sigma and alpha max |x_i|, over sigma^2."""
    farthest = level.alpha * float(np.linalg.norm(data, axis=1).max())
    return (float(np.linalg.norm(x)) + np.sqrt(data.shape[1]) * level.sigma + farthest) / level.sigma**2


def _count(x: np.ndarray) -> str:
    return f"{len(x)} point{'s' * (len(x) != 1)} x~"


_DATA = "[a, sec. 3]; the law is the user's data set"

_LAW = ("score_sign", "corrupted_sigma_for_variance", "corrupted_means_not_scaled")

STATEMENTS: tuple[Identity, ...] = (
    Identity(
        id="B2.data",
        systems=("B2", "A4"),
        title="ISM = ESM - 1/2 Fisher information, on the corrupted data",
        statement=r"E_{q_\sigma}[\tfrac12\|s\|^2 + \mathrm{tr}\,Ds] = \tfrac12 E_{q_\sigma}\|s - s_q\|^2"
        r" - \tfrac12 E_{q_\sigma}\|s_q\|^2",
        source="[a, sec. 2], Hyvarinen 2005, thm. 1; the law is the user's data set",
        method="ISM against ESM and Fisher information, both by the trapezoidal rule on a lattice over the projection "
        "to the first principal axis (and the first two, where the data are few), with two spacings",
        run=_on_data_matching.implicit,  # type: ignore[arg-type]
        catches=(
            *_LAW,
            "esm_without_half",
            "esm_mean_over_dims",
            "esm_sum_over_batch",
            "esm_norm_not_squared",
            "ism_trace_doubled",
            "ism_square_without_half",
            "ism_trace_sign",
            "ism_trace_over_d",
        ),
    ),
    Identity(
        id="B9.data",
        systems=("B9", "A4"),
        title="DSM = ESM on the corrupted data + C, with C in closed form",
        statement=r"\tfrac12 E\|s(\tilde x) - \nabla_{\tilde x}\log q(\tilde x|x)\|^2 = J_{ESM}(s; q_\sigma) + C,"
        r"\quad C = \tfrac12(d/\sigma^2 - I(q_\sigma))",
        source="[a, sec. 3], Vincent 2011, sec. 4.3; the law is the user's data set",
        method="at given x~: DSM over the posterior as a finite sum against ESM plus the posterior variance; on the "
        "first principal axis: full expectations by the trapezoidal rule, C from the Fisher information",
        run=_on_data_matching.denoising,  # type: ignore[arg-type]
        catches=(
            *_LAW,
            "esm_without_half",
            "esm_mean_over_dims",
            "esm_norm_not_squared",
            "dsm_target_sign",
            "dsm_target_over_sigma_squared",
            "dsm_without_half",
            "dsm_mean_over_dims",
            "dsm_noise_scaled_by_variance",
            "dsm_gradient_in_clean_point",
        ),
    ),
    Identity(
        id="B10.data",
        systems=("B10", "A3", "A4"),
        title="score of the corrupted data = posterior mean of conditional scores",
        statement=r"\nabla\log p_t(x_t) = E[\nabla\log p(x_t|x_0) \mid x_t]",
        source=_DATA,
        method="mixture density's score against a finite sum over the data points with softmax weights",
        run=_marginal_score,  # type: ignore[arg-type]
        catches=(
            *_LAW,
            "conditional_score_sign",
            "conditional_score_over_sigma",
            "conditional_score_alpha_missing",
        ),
    ),
    Identity(
        id="B12.data",
        systems=("B12", "A4"),
        title="Tweedie: mean and covariance of x0 given x~, on the data",
        statement=r"E[x_0|\tilde x] = (\tilde x + \sigma^2 s(\tilde x))/\alpha,\quad"
        r" \mathrm{Cov}[x_0|\tilde x] = \tfrac{\sigma^2}{\alpha^2}(I + \sigma^2 Ds(\tilde x))",
        source="[e], Efron 2011; the law is the user's data set",
        method="score and Jacobian of the mixture density against posterior moments as finite sums over the points",
        run=_tweedie,  # type: ignore[arg-type]
        catches=(
            *_LAW,
            "jacobian_without_posterior_covariance",
            "tweedie_score_only",
            "tweedie_sigma_not_squared",
            "tweedie_alpha_missing",
            "tweedie_sign",
            "tweedie_covariance_sigma_once",
            "tweedie_covariance_alpha_once",
        ),
    ),
    Identity(
        id="H5.data",
        systems=("H5", "F3", "F4", "A4"),
        title="law of the ideal denoiser's sampler, first principal axis",
        statement=r"p_{k+1}(y) = \int p_k(x)\, N(y; m_k(x), v_k)\,dx,\quad"
        r" m_k(x) = a_k x + b_k s(x, t_k),\quad \mathrm{TV}(p_N, p_{t_{min}})",
        source="[a, sec. 4], [e]; the law is the user's data set",
        method="propagated law and total variation by distribution functions against a transition matrix on a lattice "
        "and Gauss-Legendre quadrature of |p - q| between its kinks",
        run=_on_data_sampler.sampler_law,  # type: ignore[arg-type]
        catches=(
            *_LAW,
            "sigma_is_variance",
            "sigma_without_half",
            "alpha_rate_halved",
            "alpha_rate_doubled",
            "reverse_sde_score_at_the_end",
            "reverse_sde_noise_std_h",
            "reverse_sde_variance_is_std",
            "reverse_sde_g_for_g2",
            "reverse_sde_without_g2",
            "reverse_sde_frozen_weight_is_g2_h",
            "reverse_sde_forward_variance",
            "reverse_sde_forward_sign",
            "reverse_sde_score_sign",
            "reverse_sde_equal_steps",
            "reverse_sde_flow_with_noise",
            "reverse_sde_rate_halved",
            "law_variance_twice",
            "law_std_for_variance",
            "law_from_standard_normal",
            "law_one_step_short",
            "total_variation_not_halved",
            "total_variation_signed",
        ),
    ),
)
"""The statements; their ``run`` takes the points as ``points=``, which `identities` binds."""
