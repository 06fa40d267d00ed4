"""Errata of the sources about denoising score matching: which law, which variable, which density (X6, X12, X13, X16).

Each is stated as in `refscore.identities._errata`: the source's statement fails by an amount that another road predicts, and what
should stand there holds.
"""

from __future__ import annotations

import numpy as np

from refscore import _quadrature
from refscore.densities import GaussianMixture
from refscore.identities import _textbook
from refscore.identities._errata import refuted
from refscore.identities._expectations import EPS, FINEST, refined
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.networks import AnalyticScore

CASES = ((1, 0.6), (2, 0.8))
"""(d, sigma)"""


def _zero(x):
    return np.zeros_like(x)


@identity(
    id="X6",
    systems=("X6", "B9"),
    title="[b] calls two laws of noise eps, N(0, sigma^2 I) and N(0, I): each line holds with its own, neither with the other",
    statement=r"E\|S(x) + \epsilon/\sigma^2\|^2\big|_{\epsilon\sim N(0, \sigma^2I)}"
              r" = E\tfrac1{\sigma^2}\|\sigma S(x_0+\sigma z) + z\|^2"
              r"\ \ne\ E\tfrac1{\sigma^2}\|\sigma S(x_0 + \sigma\epsilon) + \epsilon\|^2",
    source="[b, sec. 1, 'DSM': 'x = x_0 + eps, eps ~ N(0, sigma^2 I)' against 'E_{eps ~ N(0, I)}']",
    method="losses on nodes of (data, noise) vs losses of the two corrupted laws without noise",
    catches=("dsm_target_sign", "dsm_target_over_sigma_squared", "dsm_mean_over_dims", "dsm_noise_scaled_by_variance",
             "dsm_gradient_in_clean_point", "score_sign"),
)
def two_laws_of_one_letter(ops, seed):
    """The first line's eps = sigma z in the last formula gives E||S(x_0 + sigma^2 z) + z||^2: another law, another target."""
    rows = []
    for d, sigma in CASES:
        density = mixture(d)
        for name, model in score_models(density.corrupted(1.0, sigma), seed).items():

            def sums(h, density=density, model=model, sigma=sigma):
                x0, noise, w = density.joint_nodes(1.0, sigma, h)
                y0, z, v = density.joint_nodes(1.0, sigma**2, h)
                target = -(sigma * noise) / sigma**2  # -eps/sigma^2, eps = sigma noise as in the first line
                return {
                    "first line": w @ ((model(x0 + sigma * noise) - target) ** 2).sum(axis=1),
                    "last line": ops.dsm(model, x0, sigma, noise, half=False, sample_weight=w),
                    "mixed": ops.dsm(model, y0, sigma, sigma * z, half=False, sample_weight=v),
                    "right": _without_noise(ops, model, density, sigma, sigma, h),
                    "wrong": _without_noise(ops, model, density, sigma**2, 1.0, h),
                }

            value, bound = refined(sums, 0.6, finest=FINEST[d])
            first, last, mixed, right, wrong = (float(value[k]) for k in value)
            case, scale = f"{name} score, d = {d}, sigma = {sigma}", 1 + first + mixed
            slack = bound["mixed"] + bound["last line"] + bound["wrong"] + bound["right"]
            yield refuted(f"N(0, sigma^2 I) in the last line, {case}", mixed, last, wrong - right, slack, scale)
            yield Comparison(f"each line with its own: {case}", last, first, bound["last line"] + bound["first line"], scale)
            rows.append((case, first, last, mixed))
    columns = ("case", "first line, N(0, sigma^2 I)", "last line, N(0, I)", "last line, N(0, sigma^2 I)")
    yield Table("The loss of [b]", columns, rows)


def _without_noise(ops, model, density, spread, scale, h):
    """E||S(x) + z/scale||^2, x = x_0 + spread z, from E[z|x] = -spread grad log q(x) and E||z||^2 = d."""
    law = density.corrupted(1.0, spread)
    x, w = _textbook.nodes(law, h)
    s = model(x)
    return w @ ((s * s).sum(axis=1) - 2 * spread / scale * (s * ops.score(law, x)).sum(axis=1)) + density.dim / scale**2


@identity(
    id="X12",
    systems=("X12", "B9", "B12"),
    title="[d] states DSM with p(x|x'), x clean: the posterior, not Gaussian; with its Gaussian formula the best model is zero",
    statement=r"\nabla_x\log p(x|x') = s_p(x) - (x - x')/\sigma^2;\quad "
              r"\tfrac12E\|\hat s(x) + (x - x')/\sigma^2\|^2 = \tfrac12E\|\hat s\|^2 + \tfrac{d}{2\sigma^2}",
    source="[d, 'Denoising score matching', J_DSM and key aspect 3]",
    method="score of the posterior, a mixture written out, vs Bayes' rule; losses on nodes of (data, noise) vs closed values",
    catches=("score_sign", "esm_without_half", "esm_mean_over_dims", "information_halved", "dsm_without_half", "dsm_target_sign"),
)
def posterior_for_kernel(ops, seed):
    """The posterior's score, its two modes; the loss with the Gaussian formula, with the posterior, with the kernel.

    With the true posterior [d]'s theorem holds as it stands, J = J_ESM on the data + d/(2 sigma^2): but its target is s_p itself
    plus noise that the model cannot see, so it needs what is to be learnt.
    """
    rng = np.random.default_rng((seed, 112))
    rows: list[tuple] = []
    for d, sigma in CASES:
        density = mixture(d)
        x, noisy = density.mean + rng.standard_normal((2, 6, d))
        for point in noisy:
            posterior = _posterior(density, point, sigma)
            have, kernel = _textbook.score(posterior, x), (point - x) / sigma**2
            size = 1 + np.abs(have).max() + np.abs(kernel).max()
            bound = (_textbook.rounding(posterior, x) + _textbook.rounding(density, x)) * size
            yield refuted(f"p(x|x') = N(x', sigma^2 I), d = {d}", have, kernel, ops.score(density, x), bound, size)
        yield from _literal_losses(ops, density, sigma, seed, rows)
    apart = GaussianMixture([0.45, 0.55], [[-1.5], [1.4]], [0.2, 0.3])
    line = np.linspace(-3, 3, 601)[:, None]
    slope = np.sign(_textbook.score(_posterior(apart, np.array([-0.05]), 1.5), line)[:, 0])
    modes = int(((slope[:-1] > 0) & (slope[1:] <= 0)).sum())
    yield refuted("the posterior of two components has one mode", modes, 1, 1, 0.0)
    columns = ("case", "s", "Gaussian formula", "posterior", "kernel, at x~")
    yield Table("1/2 E||s - target||^2 less its value at s = 0", columns, rows)


def _posterior(density, point, sigma):
    """p(x|x') = sum_k r_k N(mu_k, V_k): Bayes' rule for each component, V_k = (C_k^{-1} + I/sigma^2)^{-1}."""
    unit = np.eye(density.dim) / sigma**2
    precisions = [np.linalg.inv(c) for c in _textbook.matrices(density)]
    V = np.array([np.linalg.inv(P + unit) for P in precisions])
    mu = np.array([v @ (P @ m + point / sigma**2) for v, P, m in zip(V, precisions, density.means, strict=True)])
    r = np.exp(_textbook.log_terms(density.corrupted(1.0, sigma), point[None])[0])
    return GaussianMixture(r / r.sum(), mu, (V + V.transpose(0, 2, 1)) / 2)


def _literal_losses(ops, density, sigma, seed, rows):
    """x on the lattice of the data, noise on a simplex: x' = x + sigma noise."""
    d, law = density.dim, ops.corrupted(density, 1.0, sigma)
    models = score_models(density, seed)
    corners = _quadrature.simplex(d)

    def sums(h):
        x, w = _textbook.nodes(density, h)
        e, s = np.tile(corners, (len(x), 1)), ops.score(density, x)
        many, share = np.repeat(x, d + 1, axis=0), np.repeat(w, d + 1) / (d + 1)
        x0, noise, v = density.joint_nodes(1.0, sigma, h)
        gaussian, posterior = e / sigma, np.repeat(s, d + 1, axis=0) + e / sigma
        out = {"kernel zero": ops.dsm(_zero, x0, sigma, noise, sample_weight=v)}
        out["kernel best"] = ops.dsm(AnalyticScore(law), x0, sigma, noise, sample_weight=v)
        for name, model in (("zero", _zero), *models.items()):
            out[f"gaussian {name}"] = ops.esm(model, many, gaussian, sample_weight=share)
            out[f"posterior {name}"] = ops.esm(model, many, posterior, sample_weight=share)
            out[f"square {name}"] = 0.5 * w @ (model(x) ** 2).sum(axis=1)
            out[f"explicit {name}"] = 0.5 * w @ ((model(x) - _textbook.score(density, x)) ** 2).sum(axis=1)
        return out

    value, bound = refined(sums, 0.6, finest=FINEST[d])
    have = {k: float(v) for k, v in value.items()}
    information, error = ops.fisher_information(density)
    noisy, slack = ops.fisher_information(law)
    where, floor = f"d = {d}, sigma = {sigma}", d / (2 * sigma**2)
    bounds = error + bound["gaussian exact"] + bound["gaussian zero"]
    left, right = have["gaussian exact"], have["gaussian zero"]
    yield refuted(f"the score is as good as zero: Gaussian formula, {where}", left, right, information / 2, bounds, 1 + left)
    for name in models:
        total = bound[f"gaussian {name}"] + bound[f"square {name}"] + 8 * EPS * floor
        case = f"{name} score, {where}"
        want = have[f"square {name}"] + floor
        yield Comparison(f"Gaussian formula: {case}", have[f"gaussian {name}"], want, total, 1 + want)
        total = bound[f"posterior {name}"] + bound[f"explicit {name}"] + 8 * EPS * floor
        want = have[f"explicit {name}"] + floor
        yield Comparison(f"true posterior: {case}", have[f"posterior {name}"], want, total, 1 + want)
    left, right = have["kernel best"], have["kernel zero"]
    bounds = slack / 2 + bound["kernel best"] + bound["kernel zero"]
    yield Comparison(f"kernel: the score gains half its information, {where}", right - left, noisy / 2, bounds, 1 + right)
    for name in ("exact", "linear", "trained"):
        gains = [have[f"{kind} {name}"] - have[f"{kind} zero"] for kind in ("gaussian", "posterior")]
        rows.append((where, name, *gains, have["kernel best"] - have["kernel zero"] if name == "exact" else ""))


@identity(
    id="X13",
    systems=("X13", "B9"),
    title="[d] J_ESM = J_DSM + C holds for ESM on the corrupted density, not on the data density",
    statement=r"J_{DSM}(s) - J_{DSM}(r) = J_{ESM}(s; q_\sigma) - J_{ESM}(r; q_\sigma)"
              r"\ \ne\ J_{ESM}(s; p) - J_{ESM}(r; p);\quad s = s_p, r = s_q:\ \text{off by}\ F(p, q) + F(q, p)",
    source="[d, 'Denoising score matching', key aspect 4]",
    method="differences of losses of two models on nodes vs Fisher divergences, vs implicit losses on data and on noisy data",
    catches=("dsm_without_half", "dsm_target_sign", "esm_without_half", "esm_mean_over_dims", "fisher_without_half",
             "fisher_mean_over_dims", "fisher_of_the_sum", "ism_trace_doubled", "ism_trace_sign"),
)
def on_the_corrupted_density(ops, seed):
    """The two exact scores, and pairs of networks; how the gap closes as sigma -> 0."""
    rows = []
    for d, sigma in CASES:
        density = mixture(d)
        law = ops.corrupted(density, 1.0, sigma)
        models = {"s_p": AnalyticScore(density), "s_q": AnalyticScore(law)}
        networks = ("linear", "random", "trained") if d == 1 else ("linear",)
        models |= {name: score_models(density.corrupted(1.0, sigma), seed)[name] for name in networks}

        def sums(h, density=density, sigma=sigma, law=law, models=models):
            x0, noise, w = density.joint_nodes(1.0, sigma, h)
            x, v = _textbook.nodes(density, h)
            y, u = _textbook.nodes(law, h)
            s_p, s_q = _textbook.score(density, x), _textbook.score(law, y)
            out = {}
            for name, model in models.items():
                out[f"dsm {name}"] = ops.dsm(model, x0, sigma, noise, sample_weight=w)
                out[f"esm p {name}"] = ops.esm(model, x, s_p, sample_weight=v)
                out[f"esm q {name}"] = ops.esm(model, y, s_q, sample_weight=u)
                out[f"ism gap {name}"] = ops.ism(model, x, sample_weight=v) - ops.ism(model, y, sample_weight=u)
            return out

        value, bound = refined(sums, 0.6, finest=FINEST[d])
        have = {k: float(v) for k, v in value.items()}
        forth, back = ops.fisher(density, law, tolerance=2e-11), ops.fisher(law, density, tolerance=2e-11)
        pairs = [("s_p", "s_q"), ("linear", "s_q"), ("trained", "linear"), ("random", "trained")]
        for first, second in pairs if d == 1 else pairs[:2]:
            case = f"{first} against {second}, d = {d}, sigma = {sigma}"
            pair = [{kind: have[f"{kind} {name}"] for kind in ("dsm", "esm p", "esm q", "ism gap")} for name in (first, second)]
            dsm, on_data, on_noisy, gap = (pair[0][k] - pair[1][k] for k in ("dsm", "esm p", "esm q", "ism gap"))
            slack = sum(bound[f"{kind} {name}"] for kind in ("dsm", "esm p", "ism gap") for name in (first, second))
            scale = 1.0 + sum(abs(number) for losses in pair for number in losses.values())
            yield refuted(f"ESM on the data: {case}", on_data, dsm, gap, slack, scale)
            if (first, second) == ("s_p", "s_q"):
                slack = sum(bound[f"{kind} {name}"] for kind in ("dsm", "esm p") for name in (first, second)) + forth[1] + back[1]
                yield refuted(f"by divergences: {case}", on_data, dsm, -forth[0] - back[0], slack, scale)
            slack = sum(bound[f"{kind} {name}"] for kind in ("dsm", "esm q") for name in (first, second))
            yield Comparison(f"ESM on the corrupted law: {case}", on_noisy, dsm, slack, scale)
    for sigma in (0.8, 0.4, 0.2, 0.1, 0.05):
        density = mixture(1)
        law = density.corrupted(1.0, sigma)
        misses = [ops.fisher(*laws, tolerance=1e-9)[0] for laws in ((density, law), (law, density))]
        rows.append((sigma, *misses, sum(misses) / sigma**4))
    yield Table("What DSM's minimiser s_q misses on the data, d = 1", ("sigma", "F(p, q)", "F(q, p)", "sum/sigma^4"), rows)


@identity(
    id="X16",
    systems=("X16", "B9", "C2"),
    title="[e] NCSN slide: grad_x log q(x~|x) for grad_x~ flips the sign of the target, and the minimiser becomes minus the score",
    statement=r"\nabla_x\log q(\tilde x|x) = +(\tilde x - x)/\sigma^2:\quad E\|\nabla_x\log q - s\|^2 = E\|s + z/\sigma\|^2"
              r" + 4E_{q}\,s\cdot s_q",
    source="[e, 'Noise conditional score networks', second line of the weighted loss, against its third line]",
    method="losses on nodes of (data, noise) vs inner products of scores on the corrupted law, vs Fisher information",
    catches=("dsm_target_sign", "dsm_gradient_in_clean_point", "dsm_target_over_sigma_squared", "dsm_mean_over_dims",
             "esm_mean_over_dims", "information_halved", "score_sign"),
)
def gradient_in_the_clean_point(ops, seed):
    """Three levels; the second line of [e] against its third, for four models; the second line's minimiser."""
    rows = []
    for d, sigma in ((1, 0.4), (1, 0.9), (1, 1.6), (2, 0.8)):
        density = mixture(d)
        law = ops.corrupted(density, 1.0, sigma)
        models = score_models(density.corrupted(1.0, sigma), seed) | {"minus exact": lambda x, law=law: -_textbook.score(law, x)}

        def sums(h, density=density, sigma=sigma, law=law, models=models):
            x0, noise, w = density.joint_nodes(1.0, sigma, h)
            xt = x0 + sigma * noise
            x, v = _textbook.nodes(law, h)
            out = {}
            for name, model in models.items():
                out[f"second {name}"] = ops.esm(model, xt, (xt - x0) / sigma**2, half=False, sample_weight=w)
                out[f"third {name}"] = ops.dsm(model, x0, sigma, noise, half=False, sample_weight=w)
                out[f"inner {name}"] = v @ (model(x) * ops.score(law, x)).sum(axis=1)
            return out

        value, bound = refined(sums, 0.6, finest=FINEST[d])
        have = {k: float(v) for k, v in value.items()}
        information, error = ops.fisher_information(law)
        for name in models:
            second, third = have[f"second {name}"], have[f"third {name}"]
            slack = bound[f"second {name}"] + bound[f"third {name}"] + 4 * bound[f"inner {name}"]
            case = f"{name} score, d = {d}, sigma = {sigma}"
            yield refuted(f"second line = third: {case}", second, third, 4 * have[f"inner {name}"], slack, 1 + second + third)
        least = d / sigma**2 - information
        for line, name in (("second", "minus exact"), ("third", "exact")):
            slack = bound[f"{line} {name}"] + error
            yield Comparison(f"least value of the {line} line, at the {name} score, d = {d}, sigma = {sigma}",
                             have[f"{line} {name}"], least, slack + 8 * EPS * d / sigma**2, 1 + d / sigma**2)
        ends = [have[f"{line} {name}"] for line in ("second", "third") for name in ("exact", "minus exact")]
        rows.append((d, sigma, *ends, least))
    columns = ("d", "sigma", "second line at s_q", "at -s_q", "third line at s_q", "at -s_q", "least")
    yield Table("The two lines of [e]", columns, rows)
