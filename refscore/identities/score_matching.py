"""Identities of section B: explicit and implicit score matching (B1, B2)."""

from __future__ import annotations

import math

import numpy as np

from refscore.identities import _textbook
from refscore.identities._expectations import FINEST, flat, refined
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import DIMENSIONS, gaussian, targets


@identity(
    id="B1",
    systems=("B1",),
    title="Explicit score matching is the Fisher divergence between data and model",
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
                        out[f"grad ism {name}"], out[f"grad esm {name}"] = flat(g_ism), flat(g_esm)
                return out

            value, bound = refined(sums, 0.7, finest=FINEST[d])
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
