r"""Identities of section B: explicit, implicit and denoising score matching, Tweedie, parametrisations.

Expectations are trapezoidal sums over lattices carried into every component (`_textbook.nodes`, `joint_nodes`); the nodes
enter the objectives as data and noise with ``sample_weight``, so that what is checked is the objective itself. Two
objectives that agree up to a constant agree in expectation only: the bound is the change of both sides from one lattice to
the next finer one, plus rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore.densities import PointSet
from refscore.identities import _textbook
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import DIMENSIONS, gaussian, mixture, targets
from refscore.processes import OU, VP

EPS = np.finfo(float).eps


def refined(compute, spacing: float, *, finest: float, enough: float = 2e-12):
    """``compute(spacing)``, a dict of arrays, on ever finer lattices until no entry moves by ``enough`` of its size.

    The error of a lattice falls faster than geometrically as the spacing shrinks by sqrt 2, so what is left after two
    changes c1, c2 is below c2 (c2/c1). Returns the dict of the finest lattice and a dict of bounds: twice that, plus rounding.
    """
    values = [compute(spacing)]
    changes: list[dict] = []
    while True:
        spacing /= math.sqrt(2)
        values.append(compute(spacing))
        last = values[-1]
        floor = {k: 64 * EPS * (1 + np.abs(last[k]).max()) for k in last}
        changes.append({k: max(float(np.abs(np.asarray(last[k]) - values[-2][k]).max()), floor[k]) for k in last})
        if len(changes) > 1:
            bound = {k: floor[k] + 2 * changes[-1][k] * min(1.0, changes[-1][k] / changes[-2][k]) for k in last}
            if spacing / math.sqrt(2) < finest or all(bound[k] <= enough / EPS / 64 * floor[k] for k in last):
                return last, bound


def _flat(gradient) -> np.ndarray:
    return np.concatenate([np.ravel(g) for g in gradient]) if gradient else np.zeros(0)


def _finest(d: int) -> float:
    return {1: 0.02, 2: 0.08, 3: 0.22}[d]


@identity(
    id="B1",
    systems=("B1",),
    title="Explicit score matching is half the Fisher divergence",
    statement=r"J_{ESM}(s) = \tfrac12 E_p\|s - \nabla\log p\|^2",
    source="[a, sec. 1], [b, sec. 1], [c, Fisher divergence], [d], [e]",
    method="objective on quadrature nodes vs the integral written out; closed form for linear scores of Gaussians",
    catches=("esm_without_half", "esm_mean_over_dims", "esm_sum_over_batch", "esm_norm_not_squared", "score_sign"),
)
def explicit_score_matching(ops, seed):
    """The objective with weighted nodes against the written-out integral, and with samples against a plain mean."""
    for d in DIMENSIONS:
        for target, density in targets(d).items():
            x, w = _textbook.nodes(density, 0.5)
            for name, model in score_models(density, seed).items():
                value = ops.esm(model, x, ops.score(density, x), sample_weight=w)
                gap = model(x) - _textbook.score(density, x)
                want = 0.5 * math.fsum(w * (gap * gap).sum(axis=1))
                size = 1 + float(w @ ((model(x) ** 2).sum(axis=1) + (_textbook.score(density, x) ** 2).sum(axis=1)))
                yield Comparison(f"{name} score, {target}, d = {d}", value, want, 1e-12 * size, size)
                batch = density.mean + np.random.default_rng((seed, d)).standard_normal((25, d))
                got = ops.esm(model, batch, ops.score(density, batch))
                gap = model(batch) - _textbook.score(density, batch)
                want = 0.5 * (gap * gap).sum() / 25
                size = 1 + float((model(batch) ** 2).sum() + (_textbook.score(density, batch) ** 2).sum()) / 25
                yield Comparison(f"unweighted batch, {name} score, {target}, d = {d}", got, want, 1e-12 * size, size)
        density = gaussian(d)
        linear = score_models(density, seed)["linear"]
        matrix, shift = linear.parameters
        precision = np.linalg.inv(density.cov)
        slope, offset = matrix + precision, density.mean @ matrix + shift  # s - s_p = (x - m) slope + offset
        want = 0.5 * (np.trace(slope.T @ density.cov @ slope) + offset @ offset)
        x, w = density.nodes(0.5)
        value = ops.esm(linear, x, ops.score(density, x), sample_weight=w)
        yield Comparison(f"linear score, Gaussian, closed form, d = {d}", value, want, 1e-12 * (1 + want), 1 + want)


@identity(
    id="B2",
    systems=("B2",),
    title="Implicit score matching: ISM = ESM - 1/2 E||grad log p||^2, and the same gradient",
    statement=r"E_p[\tfrac12\|s\|^2 + \mathrm{tr} Ds] = \tfrac12E_p\|s - s_p\|^2 - \tfrac12E_p\|s_p\|^2",
    source="[a, sec. 2], [b, sec. 1], [c, implicit score matching], [d], [e]; Hyvarinen 2005, theorem 1",
    method="trace of the Jacobian (second-order gradient) vs explicit residual (first-order gradient), by quadrature",
    catches=("ism_trace_doubled", "ism_square_without_half", "ism_trace_sign", "ism_trace_over_d",
             "score_covariance_for_precision"),
)
def implicit_score_matching(ops, seed):
    """Values and parameter gradients; the constant against its closed form (Gaussian) or -1/2 E div s_p (mixture)."""
    rows = []
    for d in DIMENSIONS:
        for target, density in targets(d).items():
            models = score_models(density, seed)

            def sums(h, density=density, models=models):
                x, w = density.nodes(h)
                s = ops.score(density, x)
                out = {"fisher": w @ (s * s).sum(axis=1), "divergence": w @ ops.score_divergence(density, x)}
                for name, model in models.items():
                    out[f"ism {name}"], g_ism = ops.ism(model, x, sample_weight=w, grad=True)
                    out[f"esm {name}"], g_esm = ops.esm(model, x, s, sample_weight=w, grad=True)
                    if g_ism:
                        out[f"grad ism {name}"], out[f"grad esm {name}"] = _flat(g_ism), _flat(g_esm)
                return out

            value, bound = refined(sums, 0.7, finest=_finest(d))
            constant = -0.5 * float(value["fisher"])
            closed = -0.5 * np.trace(np.linalg.inv(density.cov)) if target == "Gaussian" else 0.5 * float(value["divergence"])
            yield Comparison(f"constant, {target}, d = {d}", constant, closed, bound["fisher"] + bound["divergence"], 1 - constant)
            rows.append((target, d, *(float(value[f"ism {name}"] - value[f"esm {name}"]) for name in models), float(closed)))
            for name in models:
                ism, esm = float(value[f"ism {name}"]), float(value[f"esm {name}"])
                slack = bound[f"ism {name}"] + bound[f"esm {name}"] + bound["fisher"]
                scale = 1 + abs(ism) + abs(esm)
                yield Comparison(f"{name} score, {target}, d = {d}", ism, esm + closed, slack, scale)
                if f"grad ism {name}" in value:
                    left, right = value[f"grad ism {name}"], value[f"grad esm {name}"]
                    slack = bound[f"grad ism {name}"] + bound[f"grad esm {name}"]
                    yield Comparison(f"gradient, {name} score, {target}, d = {d}", left, right, slack, 1 + np.abs(right).max())
    columns = ("target", "d", *models, "-1/2 E||s_p||^2")
    yield Table("ISM - ESM for four scores: minus half the Fisher information", columns, rows)


@identity(
    id="B9",
    systems=("B9",),
    title="Denoising score matching: DSM = ESM on the corrupted law + C, and the same gradient",
    statement=r"E\tfrac12\|s(\tilde x) - \nabla\log q(\tilde x|x)\|^2 = J_{ESM}(s; q_\sigma) + \tfrac12(d/\sigma^2 - I(q_\sigma))",
    source="[a, proof of DSM], [b, sec. 1], [c, denoising score matching], [d], [e]; Vincent 2011",
    method="objective on nodes of (data, noise) vs explicit score matching on nodes of the corrupted law",
    catches=("dsm_target_sign", "dsm_target_over_sigma_squared", "dsm_without_half", "dsm_mean_over_dims",
             "dsm_noise_scaled_by_variance", "dsm_gradient_in_clean_point", "dsm_process_alpha_missing",
             "dsm_process_weight_inverted", "esm_without_half"),
)
def denoising_score_matching(ops, seed):
    """One noise level (weights one and sigma^2) and along OU and VP at several times; values and parameter gradients."""
    rows: list[tuple] = []
    for d in DIMENSIONS:
        for target, density in targets(d).items():
            models = score_models(density.corrupted(1.0, 0.9), seed)
            levels = ((0.6, "one"), (0.9, "sigma2")) if d < 3 else ((0.8, "one"),)
            for sigma, weight in levels:
                law = ops.corrupted(density, 1.0, sigma)
                factor = 1.0 if weight == "one" else sigma**2

                def denoise(model, x0, noise, w, sigma=sigma, weight=weight):
                    return ops.dsm(model, x0, sigma, noise, weight=weight, sample_weight=w, grad=True)

                case = f"{target} d={d}, sigma {sigma}" + _times(weight)
                yield from _denoising(ops, density, law, 1.0, sigma, factor, models, denoise, case, rows)
    for process, t in ((OU(0.7, 1.3), 0.5), (VP(), 0.35)):
        for d in (1, 2):
            density = mixture(d)
            alpha, sigma = float(ops.alpha(process, t)), float(ops.sigma(process, t))
            law = ops.corrupted(density, alpha, sigma)
            models = {name: _Timeless(model) for name, model in score_models(density.corrupted(alpha, sigma), seed).items()}
            for weight, factor in (("one", 1.0), ("sigma2", sigma**2)):

                def along(model, x0, noise, w, process=process, t=t, weight=weight):
                    return ops.dsm_process(model, process, x0, np.full(len(x0), t), noise, weight, sample_weight=w)

                case = f"mixture d={d}, {type(process).__name__} t {t}" + _times(weight)
                yield from _denoising(ops, density, law, alpha, sigma, factor, models, along, case, rows)
    columns = ("case", *models, "C")
    yield Table("DSM - ESM on the corrupted law for four scores: C = 1/2 (d/sigma^2 - I(q)), times the weight", columns, rows)


def _times(weight: str) -> str:
    return "" if weight == "one" else ", x sigma^2"


class _Timeless:
    """A model of x alone as a model of (x, t)."""

    def __init__(self, model):
        self.model = model

    def __call__(self, x, t=None):
        return self.model(x)


def _denoising(ops, density, law, alpha, sigma, factor, models, denoise, case, rows):
    d = density.dim

    def sums(h):
        x0, noise, w = density.joint_nodes(alpha, sigma, h)
        x, v = _textbook.nodes(law, h)
        s = ops.score(law, x)
        out = {"fisher": v @ (s * s).sum(axis=1)}
        for name, model in models.items():
            dsm = denoise(model, x0, noise, w)
            esm = ops.esm(model, x, s, sample_weight=v, grad=isinstance(dsm, tuple))
            out[f"dsm {name}"], g_dsm = dsm if isinstance(dsm, tuple) else (dsm, [])
            out[f"esm {name}"], g_esm = esm if isinstance(esm, tuple) else (esm, [])
            if g_dsm:
                out[f"grad dsm {name}"], out[f"grad esm {name}"] = _flat(g_dsm), _flat(g_esm)
        return out

    value, bound = refined(sums, 0.7, finest={1: 0.02, 2: 0.1, 3: 0.22}[d])
    constant = 0.5 * factor * (d / sigma**2 - float(value["fisher"]))
    gaps = [float(value[f"dsm {name}"] - factor * value[f"esm {name}"]) for name in models]
    rows.append((case, *gaps, constant))
    for name in models:
        dsm, esm = float(value[f"dsm {name}"]), factor * float(value[f"esm {name}"])
        slack = bound[f"dsm {name}"] + factor * (bound[f"esm {name}"] + bound["fisher"])
        yield Comparison(f"{name} score, {case}", dsm, esm + constant, slack, 1 + abs(dsm) + abs(esm))
        if f"grad dsm {name}" in value:
            left, right = value[f"grad dsm {name}"], factor * value[f"grad esm {name}"]
            slack = bound[f"grad dsm {name}"] + factor * bound[f"grad esm {name}"]
            yield Comparison(f"gradient, {name} score, {case}", left, right, slack, 1 + np.abs(right).max())


@identity(
    id="B10",
    systems=("B10",),
    title="The marginal score is the posterior mean of the conditional score",
    statement=r"\nabla\log p_t(x_t) = E[\nabla\log p_t(x_t|x_0) \mid x_t]",
    source="[a, proof of DSM, sec. 2]",
    method="closed-form score of the corrupted law vs the posterior integral of the conditional score",
    catches=("conditional_score_sign", "conditional_score_over_sigma", "conditional_score_alpha_missing", "score_sign",
             "corrupted_sigma_for_variance"),
)
def marginal_score(ops, seed):
    """Mixtures by quadrature over x0 given x_t, point sets by the finite sum, OU and VP."""
    rng = np.random.default_rng((seed, 10))
    for process, t in ((OU(0.7, 1.3), 0.4), (OU(0.0, 1.0), 0.5), (VP(), 0.3)):
        alpha, sigma = float(ops.alpha(process, t)), float(ops.sigma(process, t))
        for d in DIMENSIONS:
            points = PointSet(rng.standard_normal((30, d)) + 0.4)
            laws: dict[str, Any] = {**targets(d), "points": points}
            for name, density in laws.items():
                law = ops.corrupted(density, alpha, sigma)
                xt = alpha * density.mean + rng.standard_normal((5, d))
                x0, w = _data_nodes(density, alpha, sigma)
                want = np.array([_posterior(ops, process, row, x0, w, t, alpha, sigma) for row in xt])
                steep = 1 / sigma * (1 + np.abs(xt).max() / sigma)
                case = f"{name}, d = {d}, {type(process).__name__} at t = {t}"
                yield Comparison(case, ops.score(law, xt), want, 1e-12 * steep, steep)


def _data_nodes(density, alpha, sigma):
    """Nodes of the data law fine enough for integrands with the factor N(x_t; alpha x0, sigma^2 I)."""
    if isinstance(density, PointSet):
        return density.points, density.weights
    return _textbook.nodes(density, 0.72 / math.sqrt(1 + (1.1 * alpha / sigma) ** 2))


def _kernel(row, x0, w, alpha, sigma):
    """Posterior weights of the nodes x0 at x_t = row."""
    square = ((row - alpha * x0) ** 2).sum(axis=1) / (2 * sigma**2)
    weights = w * np.exp(square.min() - square)
    return weights / weights.sum()


def _posterior(ops, process, row, x0, w, t, alpha, sigma):
    conditional = ops.conditional_score(process, np.tile(row, (len(x0), 1)), x0, t)
    return _kernel(row, x0, w, alpha, sigma) @ conditional


@identity(
    id="B12",
    systems=("B12",),
    title="Tweedie: posterior mean and covariance from the score, and the optimal denoising error",
    statement=r"E[x|\tilde x] = (\tilde x + \sigma^2 s)/\alpha,\ "
              r"\mathrm{Cov}[x|\tilde x] = \tfrac{\sigma^2}{\alpha^2}(I + \sigma^2 Ds)",
    source="[e, optimal denoising]; Robbins 1956; Efron 2011, eq. 2.8",
    method="formulas in the score and its Jacobian vs the posterior integral; the error vs E||x - E[x|x~]||^2",
    catches=("tweedie_score_only", "tweedie_sigma_not_squared", "tweedie_alpha_missing", "tweedie_sign",
             "tweedie_covariance_sigma_once", "tweedie_covariance_alpha_once"),
)
def tweedie(ops, seed):
    """First and second order on mixtures and point sets; minimal mean squared error sigma^2/alpha^2 (d - sigma^2 I(q))."""
    rng = np.random.default_rng((seed, 12))
    for alpha, sigma in ((1.0, 0.6), (0.7, 0.9)):
        for d in DIMENSIONS:
            points = PointSet(rng.standard_normal((30, d)) + 0.4)
            laws: dict[str, Any] = {**targets(d), "points": points}
            for name, density in laws.items():
                law = ops.corrupted(density, alpha, sigma)
                xt = alpha * density.mean + rng.standard_normal((5, d))
                x0, w = _data_nodes(density, alpha, sigma)
                weights = [_kernel(row, x0, w, alpha, sigma) for row in xt]
                mean = np.array([r @ x0 for r in weights])
                away = [x0 - m for m in mean]
                covariance = np.array([(r[:, None] * a).T @ a for r, a in zip(weights, away, strict=True)])
                case = f"{name}, d = {d}, alpha = {alpha}, sigma = {sigma}"
                got = ops.posterior_mean(xt, ops.score(law, xt), alpha, sigma)
                size = 1 + np.abs(xt).max() / alpha
                yield Comparison(f"mean: {case}", got, mean, 1e-12 * size, size)
                got = ops.posterior_covariance(ops.score_jacobian(law, xt), alpha, sigma)
                size = (sigma / alpha) ** 2 * (1 + sigma**2 * np.abs(ops.score_jacobian(law, xt)).max())
                yield Comparison(f"covariance: {case}", got, covariance, 1e-12 * size, size)
            yield from _least_error(ops, d, alpha, sigma)


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

    value, bound = refined(sums, 0.7, finest={1: 0.02, 2: 0.1, 3: 0.3}[d])
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
             "dsm_process_weight_inverted", "dsm_process_weight_fourth_power"),
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
    x0, w = _data_nodes(density, alpha, sigma)
    mean = np.array([_kernel(row, x0, w, alpha, sigma) @ x0 for row in xt])
    eps = (xt - alpha * mean) / sigma
    want = {"eps": eps, "x0": mean, "v": alpha * eps - sigma * mean}
    for target, value in want.items():
        got = ops.convert(process, ops.score(law, xt), xt, t, "score", target)
        size = (1 + np.abs(xt).max()) / min(alpha, sigma)
        yield Comparison(f"minimiser of the {target} loss, {type(process).__name__}", got, value, 1e-12 * size, size)


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
        yield Comparison(f"weighted DSM is the {target} error, {type(process).__name__}", got, want, 1e-12 * size, size)
