"""Identities of section B: denoising score matching and the conditional score (B9, B10)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore.densities import PointSet
from refscore.identities import _textbook
from refscore.identities._expectations import FINEST, POSTERIOR_ROUNDING, data_nodes, flat, posterior_weights, refined
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import DIMENSIONS, mixture, targets
from refscore.processes import OU, VP


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
    for process, t in ((OU(0.7, 1.3), 0.5), (VP(), 0.35)):
        for d in (1, 2):
            density = mixture(d)
            alpha, sigma = float(ops.alpha(process, t)), float(ops.sigma(process, t))
            law = ops.corrupted(density, alpha, sigma)
            models = {name: _Timeless(model) for name, model in score_models(density.corrupted(alpha, sigma), seed).items()}
            for weight in ("one", "sigma2"):

                def along(model, x0, noise, w, process=process, t=t, weight=weight):
                    return ops.dsm_process(model, process, x0, np.full(len(x0), t), noise, weight, sample_weight=w)

                case = f"mixture d={d}, {type(process).__name__} t {t}"
                yield from _denoising(ops, density, law, alpha, sigma, weight, models, along, case, rows)
    for d in DIMENSIONS:
        for target, density in targets(d).items():
            models = score_models(density.corrupted(1.0, 0.9), seed)
            levels = ((0.6, "one"), (0.9, "sigma2")) if d < 3 else ((0.8, "one"),)
            for sigma, weight in levels:
                law = ops.corrupted(density, 1.0, sigma)

                def denoise(model, x0, noise, w, sigma=sigma, weight=weight):
                    return ops.dsm(model, x0, sigma, noise, weight=weight, sample_weight=w, grad=True)

                case = f"{target} d={d}, sigma {sigma}"
                yield from _denoising(ops, density, law, 1.0, sigma, weight, models, denoise, case, rows)
    columns = ("case", "weight", *models, "C")
    yield Table("DSM - ESM on the corrupted law for four scores: C = 1/2 (d/sigma^2 - I(q)), times the weight", columns, rows)


class _Timeless:
    """A model of x alone as a model of (x, t)."""

    def __init__(self, model):
        self.model = model

    def __call__(self, x, t=None):
        return self.model(x)


def _denoising(ops, density, law, alpha, sigma, weight, models, denoise, case, rows):
    d, factor = density.dim, {"one": 1.0, "sigma2": sigma**2}[weight]

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
                out[f"grad dsm {name}"], out[f"grad esm {name}"] = flat(g_dsm), flat(g_esm)
        return out

    value, bound = refined(sums, 0.7, finest=FINEST[d])
    fisher = float(value["fisher"])
    if len(density.means) == 1:  # a Gaussian's Fisher information in closed form
        fisher = float(np.trace(np.linalg.inv(alpha**2 * density.cov + sigma**2 * np.eye(d))))
    constant = 0.5 * factor * (d / sigma**2 - fisher)
    gaps = [float(value[f"dsm {name}"] - factor * value[f"esm {name}"]) for name in models]
    rows.append((case, weight, *gaps, constant))
    case = f"{case}, weight {weight}"
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
                x0, w = data_nodes(density, alpha, sigma)
                want = np.array([_posterior(ops, process, row, x0, w, t, alpha, sigma) for row in xt])
                steep = 1 / sigma * (1 + np.abs(xt).max() / sigma)
                case = f"{name}, d = {d}, {type(process).__name__} at t = {t}"
                yield Comparison(case, ops.score(law, xt), want, POSTERIOR_ROUNDING * steep, steep)


def _posterior(ops, process, row, x0, w, t, alpha, sigma):
    conditional = ops.conditional_score(process, np.tile(row, (len(x0), 1)), x0, t)
    return posterior_weights(row, x0, w, alpha, sigma) @ conditional
