"""Identities of section B: score matching along random directions (B7, B8)."""

from __future__ import annotations

import itertools

import numpy as np

from refscore.identities import _plain, _textbook
from refscore.identities._expectations import FINEST, flat, refined
from refscore.identities._models import linear_score, random_network, score_models, trained_network
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture, targets
from refscore.identities.trace import laws
from refscore.networks import AnalyticScore

POINTS = 4


@identity(
    id="B7",
    systems=("B7",),
    title="Sliced score matching: SSM = PSM - 1/2 E(v's_p)^2 for every v, and the same gradient",
    statement=r"E\big[\tfrac12(v's)^2 + v'(Ds)v\big] = \tfrac12E\big(v's - v's_p\big)^2 - \tfrac12E(v's_p)^2",
    source="[d, 'Sliced score matching'], [e, 'Sliced Fisher divergence']; Song et al. 2019, theorem 1",
    method="derivative along v (second-order gradient) vs explicit projected residual, by quadrature over x at fixed v",
    catches=(
        "ssm_square_without_half",
        "ssm_derivative_doubled",
        "ssm_derivative_sign",
        "ssm_other_direction",
        "ssm_sum_over_directions",
        "ssm_mean_over_dims",
        "psm_without_half",
        "psm_absolute_value",
        "psm_norm_of_residual",
    ),
)
def sliced(ops, seed):
    """Fixed directions of length 1.3; values and parameter gradients; PSM over all signs is ESM, row by row."""
    rows = []
    for d in (1, 2, 3):
        v = np.random.default_rng((seed, d, 7)).standard_normal((2, d))
        v *= 1.3 / np.linalg.norm(v, axis=1, keepdims=True)
        for target, density in targets(d).items() if d < 3 else [("mixture", mixture(d))]:
            models = score_models(density, seed)
            if d == 3:  # the lattice for networks of three variables takes its time, and B2 takes it
                models = {name: models[name] for name in ("exact", "linear")}

            def sums(h, density=density, models=models, v=v, d=d):
                x, w = density.nodes(h)
                s = ops.score(density, x)
                along = np.broadcast_to(v[:, None], (len(v), len(x), d))
                out = {"constant": -0.5 * (w @ np.mean((s @ v.T) ** 2, axis=1))}
                for name, model in models.items():
                    out[f"ssm {name}"], g_ssm = ops.ssm(model, x, along, sample_weight=w, grad=True)
                    out[f"psm {name}"], g_psm = ops.psm(model, x, along, s, sample_weight=w, grad=True)
                    if g_ssm:
                        out[f"grad ssm {name}"], out[f"grad psm {name}"] = flat(g_ssm), flat(g_psm)
                return out

            value, bound = refined(sums, 0.7, finest=FINEST[d])
            constant = float(value["constant"])
            if d < 3:
                rows.append((target, d, *(float(value[f"ssm {name}"] - value[f"psm {name}"]) for name in models), constant))
            for name in models:
                ssm, psm = float(value[f"ssm {name}"]), float(value[f"psm {name}"])
                slack, case = bound[f"ssm {name}"] + bound[f"psm {name}"] + bound["constant"], f"{name} score, {target}, d = {d}"
                yield Comparison(case, ssm, psm + constant, slack, 1 + abs(ssm) + abs(psm))
                if f"grad ssm {name}" in value:
                    left, right = value[f"grad ssm {name}"], value[f"grad psm {name}"]
                    slack = bound[f"grad ssm {name}"] + bound[f"grad psm {name}"]
                    yield Comparison(f"gradient, {case}", left, right, slack, 1 + np.abs(right).max())
        yield from _projected_over_all_signs(ops, d, seed)
    columns = ("target", "d", "exact", "linear", "random", "trained", "-1/2 E(v's_p)^2")
    yield Table("SSM - PSM for four scores: -1/2 E(v's_p)^2", columns, rows)


def _projected_over_all_signs(ops, d, seed):
    """E (v'r)^2 = ||r||^2 for E vv' = I: no road of the package's is needed to see it."""
    x = np.random.default_rng((seed, d, 8)).standard_normal((POINTS, d))
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=d)))
    v = np.broadcast_to(signs[:, None], (len(signs), POINTS, d))
    s_p = _textbook.score(mixture(d), x)
    for name, model in score_models(mixture(d), seed).items():
        gap = model(x) - s_p
        size = 1 + (model(x) ** 2 + s_p**2).sum(axis=1)
        left = ops.psm(model, x, v, s_p, over_batch="none")
        yield Comparison(
            f"PSM over all signs is ESM, {name} score, d = {d}", left, 0.5 * (gap**2).sum(axis=1), 64 * d * _plain.EPS * size, size
        )


@identity(
    id="B8",
    systems=("B8",),
    title="SSM with the square taken exactly: ISM with an estimated trace, any number of directions",
    statement=r"\tfrac12\|s\|^2 + \tfrac1m\textstyle\sum_k v_k'(Ds)v_k,\quad E_v = \tfrac12\|s\|^2 + \mathrm{tr}\,Ds",
    source="[e, 'Sliced score matching']; Song et al. 2019, eq. 9",
    method="one tangent a direction vs quadratic forms of complex-step Jacobians; enumeration of v vs the exact trace",
    catches=(
        "ssm_vr_projected_square",
        "ssm_vr_square_without_half",
        "ssm_vr_sum_over_directions",
        "ssm_vr_derivative_over_d",
        "ssm_vr_one_direction",
        "ssm_sum_over_directions",
    ),
)
def variance_reduced(ops, seed):
    """Rows at random v, one and three a point; averages over whole laws of v against the trace, SSM's against the same."""
    for name, model, x, s, J, size, rounding in _cases(seed):
        n, d = x.shape
        rng = np.random.default_rng((seed, d, 9))
        squares, scale = (s * s).sum(axis=1), 1 + (s * s).sum(axis=1) + size.sum()
        for m in (1, 3):
            v = rng.standard_normal((m, n, d))
            along, forms = np.einsum("mnd,nd->mn", v, s), np.einsum("mni,nij,mnj->mn", v, J, v)
            grown = scale * (1 + np.einsum("mnd,mnd->n", v, v))
            given = v if m > 1 else v[0]
            for objective, square in (("ssm_vr", squares), ("ssm", np.mean(along**2, axis=0))):
                left = getattr(ops, objective)(model, x, given, over_batch="none")
                right = square / 2 + forms.mean(axis=0)
                yield Comparison(
                    f"{objective}, {m} directions, {name}", left, right, (rounding + 64 * d * _plain.EPS) * grown, grown
                )
        for law, v, weights in laws(d):
            each = np.stack([ops.ssm_vr(model, x, np.tile(row, (n, 1)), over_batch="none") for row in v])
            sliced = np.stack([ops.ssm(model, x, np.tile(row, (n, 1)), over_batch="none") for row in v])
            right = squares / 2 + np.trace(J, axis1=1, axis2=2)
            grown = scale * (1 + float(weights @ (v * v).sum(axis=1)))
            bound = (rounding + (len(v) + 64 * d) * _plain.EPS) * grown
            yield Comparison(f"E ssm_vr over {law} v, {name}", weights @ each, right, bound, grown)
            yield Comparison(f"E ssm over {law} v, {name}", weights @ sliced, right, bound, grown)


def _cases(seed):
    """Name, model, points, s and Ds by plain roads, sizes of the entries of Ds, rounding relative to them."""
    for d in (1, 2, 3):
        x = np.random.default_rng((seed, d, 10)).standard_normal((POINTS, d)) + 0.2
        density = mixture(d)
        J = _plain.jacobian(lambda z, density=density: _textbook.score(density, z), x)
        rounding = 3 * float(_textbook.rounding(density, x).max())
        yield (
            f"mixture score, d = {d}",
            AnalyticScore(density),
            x,
            _textbook.score(density, x),
            J,
            1 + np.abs(J).max(axis=0),
            rounding,
        )
        networks = {
            "linear": linear_score(density, seed),
            "random": random_network(d, seed),
            "trained": trained_network(density, seed),
        }
        for name, model in networks.items():
            size = _plain.Size(model, x, d)
            J = _plain.jacobian(lambda z, model=model: _plain.values(model, z), x)
            yield f"{name} network, d = {d}", model, x, _plain.values(model, x), J, 1 + size.jacobian(), size.rounding


@identity(
    id="B8.variance",
    systems=("B8", "B5"),
    title="Variances of SSM and SSM-VR over the direction: quadratic forms, and neither always wins",
    statement=r"\mathrm{Var}_v = \mathrm{Var}\,v'\big(Ds + \tfrac12ss'\big)v \ \text{(SSM)},\quad "
    r"\mathrm{Var}\,v'(Ds)v\ \text{(SSM-VR)}",
    source="[e, 'Sliced score matching']; Song et al. 2019, sec. 3",
    method="closed forms vs second moments of the losses by enumeration, Gauss-Hermite product and cubature of the sphere",
    catches=(
        "sliced_variance_without_square",
        "sliced_variance_square_not_halved",
        "sliced_variance_for_one_direction",
        "sliced_variance_over_directions_squared",
        "sliced_variance_directions_of_ssm_alone",
        "ssm_vr_projected_square",
    ),
)
def sliced_variances(ops, seed):
    """Every law of v; two independent directions by all pairs of signs; the averages under p side by side."""
    for name, model, x, s, _, size, rounding in _cases(seed):
        d, squares = x.shape[1], (s * s).sum(axis=1)
        for law, v, weights in laws(d):
            for objective in ("ssm", "ssm_vr"):
                each = np.stack([getattr(ops, objective)(model, x, np.tile(row, (POINTS, 1)), over_batch="none") for row in v])
                right = weights @ (each - weights @ each) ** 2
                left = ops.sliced_variance(model, x, law, variance_reduced=objective == "ssm_vr")
                form = (
                    np.einsum("ki,ij,kj->k", np.abs(v), size, np.abs(v))[:, None]
                    + size.sum()
                    + (1 + (v * v).sum(axis=1)[:, None]) * (1 + squares)
                )
                scale = 4 * weights @ form**2
                bound = (2 * rounding + (len(v) + 2 * size.size + 64 * d) * _plain.EPS) * scale
                yield Comparison(f"{objective}, {law} v, {name}", left, right, bound, scale)
                if d == 1:  # pairs of directions: all of them, as likely as both are
                    each = (each[:, None] + each) / 2
                    right = np.einsum("i,j,ijn->n", weights, weights, (each - np.einsum("i,j,ijn->n", weights, weights, each)) ** 2)
                    left = ops.sliced_variance(model, x, law, variance_reduced=objective == "ssm_vr", directions=2)
                    yield Comparison(f"{objective}, two directions, {law} v, {name}", left, right, bound, scale)
        signs = np.array(list(itertools.product([-1.0, 1.0], repeat=d)))
        pairs = [np.repeat(np.stack(pair)[:, None], POINTS, axis=1) for pair in itertools.product(signs, repeat=2)]
        each = np.stack([ops.ssm(model, x, pair, over_batch="none") for pair in pairs])
        left, right = ops.sliced_variance(model, x, "rademacher", directions=2), each.var(axis=0)
        scale = 4 * (size.sum() + d * (1 + squares)) ** 2
        bound = (2 * rounding + (len(pairs) + 2 * size.size + 64 * d) * _plain.EPS) * scale
        yield Comparison(f"two directions, signs, {name}", left, right, bound, scale)
    columns = ("score", "law of v", "SSM", "SSM-VR")
    yield Table(
        "Variance over v of a row's loss, averaged over x: SSM-VR is not always the better", columns, list(_averages(ops))
    )


def _averages(ops):
    for d in (1, 2, 3):
        density = mixture(d)
        x, w = density.nodes(0.4)
        for law in ("gaussian", "rademacher", "sphere"):
            both = (float(w @ ops.sliced_variance(AnalyticScore(density), x, law, variance_reduced=flag)) for flag in (False, True))
            yield (f"mixture, d = {d}", law, *both)
