"""Identities of section B: what the best denoiser leaves, and the least denoising loss (B12, B11)."""

from __future__ import annotations

import numpy as np

from refscore.densities import PointSet
from refscore.identities import _textbook
from refscore.identities._calculus import chebyshev_points, derivative, gain
from refscore.identities._expectations import EPS, refined
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import DIMENSIONS, gaussian, mixture, targets
from refscore.networks import AnalyticScore
from refscore.processes import OU, VP

LEVELS = {1: ((1.0, 0.6), (0.7, 0.9), (0.4, 7.0)), 2: ((0.7, 0.9),), 3: ((0.8, 1.4),)}
"""(alpha, sigma) by dimension."""

SPACING = {1: (0.7, 0.02), 2: (0.7, 0.08), 3: (0.84, 0.42)}
"""The first and the finest lattice: in three dimensions so much noise is added that the third one is fine enough."""


def _models(law, seed):
    """Four scores; in three dimensions, where a lattice fine enough for networks takes too long, the exact and the linear one."""
    models = score_models(law, seed)
    return models if law.dim < 3 else {name: models[name] for name in ("exact", "linear")}


@identity(
    id="B12.error",
    systems=("B12",),
    title="The optimal denoising error: posterior variance, Fisher information and mutual information agree",
    statement=r"E\|x_0 - E[x_0|\tilde x]\|^2 = E\,\mathrm{tr}\,\mathrm{Cov}[x_0|\tilde x]"
              r" = \tfrac{\sigma^2}{\alpha^2}(d - \sigma^2 I(q)) = 2\tfrac{d}{d\,\mathrm{snr}} I(x_0; \tilde x);\quad"
              r" E\|x_0 - D\|^2 = \mathrm{mmse} + E\|D - E[x_0|\tilde x]\|^2",
    source="[e, suitable for optimal denoising]; Guo, Shamai & Verdu 2005, theorem 1",
    method="posterior variance by components vs the squared error on nodes of (data, noise), vs Fisher information, vs the "
           "derivative of the mutual information in one dimension, vs sums over points, vs closed form for Gaussians",
    catches=("mmse_over_d", "mmse_alpha_missing", "mmse_alpha_once", "mmse_sigma_once", "mmse_root", "mmse_within_components",
             "mmse_of_the_linear_denoiser", "mmse_of_a_posterior_sample", "mmse_of_the_posterior_mean"),
)
def optimal_denoising_error(ops, seed):
    """Mixtures, Gaussians, point sets; four denoisers made of score models, each worse by exactly its distance to the best."""
    rows: list[tuple] = []
    for d in DIMENSIONS:
        for alpha, sigma in LEVELS[d]:
            where = f"d = {d}, alpha = {alpha}, sigma = {sigma}"
            yield _wiener(ops, d, alpha, sigma, where)
            yield from _worse(ops, d, alpha, sigma, where, seed, rows)
            if d < 3:
                yield _of_points(ops, d, alpha, sigma, where, seed)
    for name, density in (("mixture", mixture(1)), ("points", PointSet([[-0.8], [0.1], [1.1]], [0.2, 0.5, 0.3]))):
        yield _by_mutual_information(ops, name, density)
    columns = ("case", "mmse", "exact", "linear", "random", "trained")
    yield Table("Squared errors of denoisers (x~ + sigma^2 s)/alpha: the best, and of four scores s", columns, rows)


def _wiener(ops, d, alpha, sigma, where):
    """tr [C - alpha C M^{-1} alpha C], M the covariance of x~."""
    cov = gaussian(d).cov
    told = alpha**2 * cov @ np.linalg.solve(alpha**2 * cov + sigma**2 * np.eye(d), cov)
    value, error = ops.denoising_error(gaussian(d), alpha, sigma)
    size = float(np.trace(cov) + np.trace(told))
    return Comparison(f"Gaussian: {where}", value, float(np.trace(cov - told)), error + 16 * d * EPS * size, size)


def _worse(ops, d, alpha, sigma, where, seed, rows):
    density = mixture(d)
    law = density.corrupted(alpha, sigma)
    models = _models(law, seed)
    value, error = ops.denoising_error(density, alpha, sigma, tolerance=2e-11)

    def sums(h):
        x0, noise, w = density.joint_nodes(alpha, sigma, h)
        xt = alpha * x0 + sigma * noise
        best = (xt + sigma**2 * _textbook.score(law, xt)) / alpha
        x, v = _textbook.nodes(law, h)
        s = _textbook.score(law, x)
        out = {"fisher": v @ (s * s).sum(axis=1)}
        for name, model in models.items():
            guess = (xt + sigma**2 * model(xt)) / alpha
            out[f"error {name}"] = w @ ((x0 - guess) ** 2).sum(axis=1)
            out[f"gap {name}"] = w @ ((best - guess) ** 2).sum(axis=1)
        return out

    sums_at, bound = refined(sums, SPACING[d][0], finest=SPACING[d][1])
    factor = (sigma / alpha) ** 2
    want = factor * (d - sigma**2 * float(sums_at["fisher"]))
    slack = error + factor * (sigma**2 * bound["fisher"] + 8 * EPS * d)
    yield Comparison(f"Fisher information: {where}", value, want, slack, 1 + factor * d)
    errors = {name: float(sums_at[f"error {name}"]) for name in models}
    for name, have in errors.items():
        gap = float(sums_at[f"gap {name}"])
        slack = error + bound[f"error {name}"] + bound[f"gap {name}"]
        yield Comparison(f"denoiser of the {name} score: {where}", have, value + gap, slack, 1 + have)
    rows.append((where, value, *(errors.get(name, "") for name in ("exact", "linear", "random", "trained"))))


def _of_points(ops, d, alpha, sigma, where, seed):
    """sum over nodes of x~ of the variance over the points that may have given it."""
    rng = np.random.default_rng((seed, d, 12))
    points = PointSet(rng.standard_normal((7, d)) + 0.4, rng.dirichlet(np.full(7, 3.0)))
    law = points.corrupted(alpha, sigma)

    def sums(h):
        x, w = _textbook.nodes(law, h)
        square = ((x[:, None, :] - alpha * points.points) ** 2).sum(axis=2) / (2 * sigma**2)
        r = points.weights * np.exp(square.min(axis=1, keepdims=True) - square)
        r /= r.sum(axis=1, keepdims=True)
        away = points.points - (r @ points.points)[:, None, :]
        return {"error": w @ np.einsum("nk,nkd,nkd->n", r, away, away)}

    have, bound = refined(sums, SPACING[d][0], finest=SPACING[d][1])
    value, error = ops.denoising_error(points, alpha, sigma, tolerance=2e-11)
    return Comparison(f"points: {where}", value, float(have["error"]), error + bound["error"], 1 + value)


def _by_mutual_information(ops, name, density):
    """2 d/d(snr) [h(x~) - 1/2 log(2 pi e sigma^2)] at alpha = 1, snr = 1/sigma^2, with the entropy h by quadrature."""
    snr, radius = 2.5, 1.5
    values, slack = [], 0.0
    for point in snr + radius * chebyshev_points():
        law = density.corrupted(1.0, point**-0.5)

        def entropy(h, law=law):
            x, w = _textbook.nodes(law, h)
            return {"h": -w @ _textbook.log_density(law, x)}

        have, bound = refined(entropy, 0.5, finest=0.02)
        values.append(float(have["h"]) + 0.5 * np.log(point / (2 * np.pi * np.e)))
        slack = max(slack, bound["h"])
    slope, left = derivative(np.array(values), radius)
    value, error = ops.denoising_error(density, 1.0, snr**-0.5)
    bound = error + 2 * (float(left) + gain() / radius * slack)
    return Comparison(f"derivative of the mutual information: {name}", value, 2 * float(slope), bound, 4 * np.abs(values).max())


@identity(
    id="B11",
    systems=("B11", "B9"),
    title="The irreducible denoising loss: what is left when the model is the score of the noisy law",
    statement=r"\min_s J_{DSM} = \tfrac12 E\,\mathrm{tr}\,\mathrm{Cov}[\nabla\log q(\tilde x|x_0) \mid \tilde x]"
              r" = \tfrac{\alpha^2}{2\sigma^4}\mathrm{mmse} = \tfrac12(d/\sigma^2 - I(q))",
    source="[e, denoising score matching: Const]; Vincent 2011; systems B9, B11",
    method="posterior variance vs the loss of the exact score on nodes of (data, noise), vs Fisher information, vs DSM - ESM of "
           "random and trained networks, vs closed form for Gaussians",
    catches=("irreducible_half_ignored", "irreducible_without_half", "irreducible_of_the_data", "irreducible_without_d",
             "irreducible_noise_alone",
             "irreducible_alpha_missing", "irreducible_over_dims", "irreducible_weight_ignored", "irreducible_weight_inverted",
             "dsm_target_sign", "information_halved"),
)
def irreducible(ops, seed):
    """One level, along OU and VP, all weights and predictions; sigma so small or large that d/sigma^2 - I(q) has no digits left."""
    rows = []
    for d in DIMENSIONS:
        for name, density in targets(d).items() if d < 3 else [("Gaussian", gaussian(3))]:
            yield from _along(ops, name, density, OU(0.7, 1.3), 0.5)
            if d == 1:
                yield from _along(ops, name, density, VP(), 0.35)
        yield from _above(ops, d, seed)
        for sigma in (1e-6, 1e-2, 1.0, 1e2, 1e6):
            lam = np.linalg.eigvalsh(gaussian(d).cov)
            each = 0.81 * lam / (sigma**2 * (0.81 * lam + sigma**2))
            for half, over_dims, want in ((True, "sum", float(each.sum()) / 2), (False, "mean", float(each.mean()))):
                value, error = ops.irreducible_loss(gaussian(d), 0.9, sigma, half=half, over_dims=over_dims)
                case = f"Gaussian, d = {d}, sigma = {sigma:g}, {over_dims} over dimensions"
                yield Comparison(case, value, want, error + 64 * EPS * want, want)
    points = PointSet([[-0.8], [0.1], [1.1]], [0.2, 0.5, 0.3])
    for sigma in (0.05, 0.2, 0.8, 3.2, 12.8):
        values = [ops.irreducible_loss(density, 1.0, sigma, tolerance=1e-9)[0] for density in (mixture(1), points)]
        rows.append((sigma, *(number for value in values for number in (value, sigma**2 * value))))
    columns = ("sigma", "mixture: C", "sigma^2 C", "3 points: C", "sigma^2 C")
    yield Table("Least denoising loss in one dimension", columns, rows)


def _along(ops, name, density, process, t):
    """Every weight and prediction: the loss of the exact score, and 1/2 lambda (d/sigma^2 - I)."""
    d, alpha, sigma = density.dim, float(ops.alpha(process, t)), float(ops.sigma(process, t))
    law = ops.corrupted(density, alpha, sigma)
    best = AnalyticScore(law)
    lambdas = {"one": 1.0, "sigma2": sigma**2}
    lambdas |= {"x0": sigma**4 / alpha**2, "eps": sigma**2, "v": sigma**2 * (alpha**2 + sigma**2) ** 2 / alpha**2}

    def sums(h):
        x0, noise, w = density.joint_nodes(alpha, sigma, h)
        return {"one": ops.dsm_process(lambda x, t: best(x), process, x0, t, noise, sample_weight=w)}

    have, bound = refined(sums, SPACING[d][0], finest=SPACING[d][1])
    information, slack = ops.fisher_information(law)
    for kind, factor in lambdas.items():
        asked = {"weight": kind} if kind in ("one", "sigma2") else {"weight": "prediction", "predicts": kind}
        value, error = ops.irreducible_loss(density, alpha, sigma, **asked)
        case = f"{name}, d = {d}, {type(process).__name__} at t = {t}, {kind}"
        scale = factor * d / sigma**2
        yield Comparison(f"loss of the score: {case}", value, factor * float(have["one"]), error + factor * bound["one"], scale)
        want = 0.5 * factor * (d / sigma**2 - information)
        yield Comparison(f"Fisher information: {case}", value, want, error + factor * slack + 8 * EPS * scale, scale)


def _above(ops, d, seed):
    """DSM of any model lies above C by the explicit loss on the corrupted law, weighted alike."""
    density, sigma = mixture(d), (0.6, 0.9, 1.4)[d - 1]
    law = ops.corrupted(density, 1.0, sigma)
    models = _models(density.corrupted(1.0, sigma), seed)

    def sums(h):
        x0, noise, w = density.joint_nodes(1.0, sigma, h)
        x, v = _textbook.nodes(law, h)
        s = _textbook.score(law, x)
        out = {}
        for name, model in models.items():
            out[f"dsm {name}"] = ops.dsm(model, x0, sigma, noise, weight="sigma2", sample_weight=w)
            out[f"esm {name}"] = sigma**2 * ops.esm(model, x, s, sample_weight=v)
        return out

    have, bound = refined(sums, SPACING[d][0], finest=SPACING[d][1])
    value, error = ops.irreducible_loss(density, 1.0, sigma, weight="sigma2", tolerance=2e-11)
    for name in models:
        dsm, esm = float(have[f"dsm {name}"]), float(have[f"esm {name}"])
        slack = error + bound[f"dsm {name}"] + bound[f"esm {name}"]
        yield Comparison(f"DSM - ESM, {name} score, d = {d}, sigma = {sigma}", dsm - esm, value, slack, 1 + dsm + esm)
