"""Identities of section B: Tweedie's formulas and the parametrisations of a score (B12, B13)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore.densities import PointSet
from refscore.identities import _textbook
from refscore.identities._expectations import EPS, POSTERIOR_ROUNDING, data_nodes, posterior_weights, refined
from refscore.identities._registry import Comparison, identity
from refscore.identities._targets import DIMENSIONS, gaussian, mixture, targets
from refscore.processes import OU, VP

LEVELS = ((1.0, 0.6), (0.7, 0.9))


@identity(
    id="B12",
    systems=("B12",),
    title="Tweedie: posterior mean and covariance from the score, and the optimal denoising error",
    statement=r"E[x|\tilde x] = (\tilde x + \sigma^2 s)/\alpha,\ "
              r"\mathrm{Cov}[x|\tilde x] = \tfrac{\sigma^2}{\alpha^2}(I + \sigma^2 Ds)",
    source="[e, optimal denoising]; Robbins 1956; Efron 2011, eq. 2.8",
    method="formulas in the score and its Jacobian vs the posterior integral; the error vs E||x - E[x|x~]||^2",
    catches=("tweedie_score_only", "tweedie_sigma_not_squared", "tweedie_alpha_missing", "tweedie_sign",
             "tweedie_covariance_sigma_once", "tweedie_covariance_alpha_once", "tweedie_first_level_for_all",
             "tweedie_covariance_first_level_for_all"),
)
def tweedie(ops, seed):
    """First and second order on mixtures and point sets; minimal mean squared error sigma^2/alpha^2 (d - sigma^2 I(q))."""
    rng = np.random.default_rng((seed, 12))
    for alpha, sigma in LEVELS:
        for d in DIMENSIONS:
            points = PointSet(rng.standard_normal((30, d)) + 0.4)
            laws: dict[str, Any] = {**targets(d), "points": points}
            for name, density in laws.items():
                law = ops.corrupted(density, alpha, sigma)
                xt = alpha * density.mean + rng.standard_normal((5, d))
                x0, w = data_nodes(density, alpha, sigma)
                weights = [posterior_weights(row, x0, w, alpha, sigma) for row in xt]
                mean = np.array([r @ x0 for r in weights])
                away = [x0 - m for m in mean]
                covariance = np.array([(r[:, None] * a).T @ a for r, a in zip(weights, away, strict=True)])
                case = f"{name}, d = {d}, alpha = {alpha}, sigma = {sigma}"
                got = ops.posterior_mean(xt, ops.score(law, xt), alpha, sigma)
                size = 1 + np.abs(xt).max() / alpha
                yield Comparison(f"mean: {case}", got, mean, POSTERIOR_ROUNDING * size, size)
                got = ops.posterior_covariance(ops.score_jacobian(law, xt), alpha, sigma)
                size = (sigma / alpha) ** 2 * (1 + sigma**2 * np.abs(ops.score_jacobian(law, xt)).max())
                yield Comparison(f"covariance: {case}", got, covariance, POSTERIOR_ROUNDING * size, size)
    yield from _levels_of_rows(ops, rng)
    for alpha, sigma in LEVELS:
        for d in DIMENSIONS:
            yield from _least_error(ops, d, alpha, sigma)


def _levels_of_rows(ops, rng):
    """Every row at its own noise level: of N(m, C) given x_t, the mean m + alpha C (alpha^2 C + sigma^2 I)^{-1} (x_t - alpha m)."""
    density = gaussian(3)
    alpha, sigma, xt = rng.uniform(0.3, 1, 5), rng.uniform(0.3, 1, 5), rng.standard_normal((5, 3))
    noisy = (alpha**2)[:, None, None] * density.cov + (sigma**2)[:, None, None] * np.eye(3)
    away = xt - alpha[:, None] * density.mean
    pulled = alpha[:, None, None] * np.linalg.solve(noisy, np.broadcast_to(density.cov, noisy.shape)).swapaxes(1, 2)
    mean = density.mean + np.einsum("nij,nj->ni", pulled, away)
    covariance = density.cov - alpha[:, None, None] * pulled @ density.cov
    laws = [ops.corrupted(density, a, s) for a, s in zip(alpha, sigma, strict=True)]
    score = np.concatenate([ops.score(law, x[None]) for law, x in zip(laws, xt, strict=True)])
    bend = np.concatenate([ops.score_jacobian(law, x[None]) for law, x in zip(laws, xt, strict=True)])
    lost = 64 * EPS * np.linalg.cond(noisy).max()
    size = (1 + np.abs(away).max()) / (alpha * sigma).min() ** 2
    yield Comparison("mean, a level a row", ops.posterior_mean(xt, score, alpha, sigma), mean, lost * size, size)
    yield Comparison("covariance, a level a row", ops.posterior_covariance(bend, alpha, sigma), covariance, lost * size, size)


def _least_error(ops, d, alpha, sigma):
    density = mixture(d)
    law = ops.corrupted(density, alpha, sigma)

    def sums(h):
        x0, noise, w = density.joint_nodes(alpha, sigma, h)
        xt = alpha * x0 + sigma * noise
        gap = x0 - ops.posterior_mean(xt, ops.score(law, xt), alpha, sigma)
        x, v = _textbook.nodes(law, h)
        s = ops.score(law, x)
        return {"error": w @ (gap * gap).sum(axis=1), "fisher": v @ (s * s).sum(axis=1)}

    value, bound = refined(sums, 0.7, finest={1: 0.02, 2: 0.08, 3: 0.25}[d])
    factor = (sigma / alpha) ** 2
    want = factor * (d - sigma**2 * float(value["fisher"]))
    case = f"least error: mixture, d = {d}, alpha = {alpha}, sigma = {sigma}"
    yield Comparison(case, float(value["error"]), want, bound["error"] + factor * sigma**2 * bound["fisher"], 1 + factor * d)


@identity(
    id="B13",
    systems=("B13",),
    title="Parametrisations: score, eps, x0, v convert into each other; their losses differ by an explicit weight",
    statement=r"s = -\epsilon/\sigma_t,\ x_t = \alpha x_0 + \sigma\epsilon,\ v = \alpha\epsilon - \sigma x_0;\quad "
              r"\sigma_t^2 J_{DSM} = \tfrac12E\|\epsilon_\theta - \epsilon\|^2",
    source="[a, sec. 3], [b, sec. 2], [c], [e]; Salimans & Ho 2022, sec. 4",
    method="conversions vs the definitions in (x0, eps) and vs posterior integrals; weighted DSM vs the errors of eps, x0, v",
    catches=("convert_score_eps_sign", "convert_score_over_sigma_squared", "convert_x0_alpha_missing", "convert_v_sign",
             "dsm_process_weight_inverted", "dsm_process_weight_fourth_power", "corrupt_first_time_for_all",
             "corrupt_alpha_missing", "corrupt_variance_for_std", "conditional_score_first_time_for_all"),
)
def parametrisations(ops, seed):
    """All ordered pairs, distinct t in a batch; the minimiser of each is the posterior mean of its target."""
    rng = np.random.default_rng((seed, 13))
    kinds = ("score", "eps", "x0", "v")
    for process in (OU(0.7, 1.3), VP()):
        name = type(process).__name__
        for d in (1, 3):
            t = rng.uniform(0.05, 0.95, 7)
            x0, eps = rng.standard_normal((7, d)) + 0.5, rng.standard_normal((7, d))
            alpha, sigma = ops.alpha(process, t)[:, None], ops.sigma(process, t)[:, None]
            xt = alpha * x0 + sigma * eps
            truth = {"score": -eps / sigma, "eps": eps, "x0": x0, "v": alpha * eps - sigma * x0}
            size = {"score": 1 / sigma**2, "eps": 1 / sigma, "x0": 1 / (alpha * sigma), "v": 1 / (alpha * sigma)}
            scale = 8 * size["score"] * np.ones_like(xt)
            got = ops.conditional_score(process, xt, x0, t)
            yield Comparison(f"score of x_t given x0, {name}, d = {d}", got, truth["score"], 64 * EPS * scale, scale)
            yield Comparison(f"corruption, {name}, d = {d}", ops.corrupt(process, x0, t, eps), xt, 16 * EPS, 1 + np.abs(xt).max())
            for source in kinds:
                for target in kinds:
                    got = ops.convert(process, truth[source], xt, t, source, target)
                    scale = 8 * np.maximum(size[target], size[source]) * np.maximum(1, 1 / alpha)
                    yield Comparison(f"{source} to {target}, {name}, d = {d}", got, truth[target], 64 * EPS * scale, scale)
        yield from _minimisers(ops, process, 0.4, rng)
        yield from _weighted_losses(ops, process, rng)


def _minimisers(ops, process, t, rng):
    """The posterior mean of each target, from the marginal score."""
    density = mixture(2)
    alpha, sigma = float(ops.alpha(process, t)), float(ops.sigma(process, t))
    law = ops.corrupted(density, alpha, sigma)
    xt = alpha * density.mean + rng.standard_normal((4, 2))
    x0, w = data_nodes(density, alpha, sigma)
    mean = np.array([posterior_weights(row, x0, w, alpha, sigma) @ x0 for row in xt])
    eps = (xt - alpha * mean) / sigma
    want = {"eps": eps, "x0": mean, "v": alpha * eps - sigma * mean}
    for target, value in want.items():
        got = ops.convert(process, ops.score(law, xt), xt, t, "score", target)
        size = (1 + np.abs(xt).max()) / min(alpha, sigma)
        yield Comparison(f"minimiser of the {target} loss, {type(process).__name__}", got, value, POSTERIOR_ROUNDING * size, size)


def _weighted_losses(ops, process, rng):
    """E lambda 1/2 ||s - target||^2 with lambda = sigma^2, sigma^4/alpha^2, (sigma^2 ...) is 1/2 the error of eps, x0, v."""
    n, d = 40, 3
    x0, eps, t = rng.standard_normal((n, d)), rng.standard_normal((n, d)), rng.uniform(0.1, 0.9, n)
    matrix, shift = rng.standard_normal((d, d)), rng.standard_normal(d)

    def model(x, t):
        return np.tanh(x @ matrix + shift) * (1 + np.asarray(t)[:, None])

    alpha, sigma = ops.alpha(process, t), ops.sigma(process, t)
    xt = alpha[:, None] * x0 + sigma[:, None] * eps
    s = model(xt, t)
    predicted = {"eps": -sigma[:, None] * s, "x0": (xt + sigma[:, None] ** 2 * s) / alpha[:, None]}
    predicted["v"] = alpha[:, None] * predicted["eps"] - sigma[:, None] * predicted["x0"]
    truth = {"eps": eps, "x0": x0, "v": alpha[:, None] * eps - sigma[:, None] * x0}

    def lambdas(of_alpha_sigma):
        return lambda times: of_alpha_sigma(process.alpha(times), process.sigma(times))

    weights = {
        "eps": "sigma2",
        "x0": lambdas(lambda a, s: s**4 / a**2),
        "v": lambdas(lambda a, s: (a * s + s**3 / a) ** 2),
    }
    for target, weight in weights.items():
        got = ops.dsm_process(model, process, x0, t, eps, weight)
        gap = predicted[target] - truth[target]
        want = 0.5 * (gap * gap).sum() / n
        size = want + 0.5 * (predicted[target] ** 2).sum() / n + 0.5 * (truth[target] ** 2).sum() / n
        yield Comparison(f"weighted DSM is the {target} error, {type(process).__name__}", got, want, 256 * EPS * size, size)
