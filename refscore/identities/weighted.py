"""Identities of weighted denoising losses: what is predicted (B13), which times (B14) and which noise levels (C2) count."""

from __future__ import annotations

import numpy as np

from refscore.identities import _textbook
from refscore.identities._expectations import FINEST, flat, refined
from refscore.identities._models import random_network
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.processes import OU, VP

EPS = np.finfo(float).eps


@identity(
    id="B13.losses",
    systems=("B13",),
    title="Losses of score, eps, x0 and v networks: one minimiser, weights that are explicit",
    statement=r"E\lambda\tfrac12\|s_m - \nabla\log q(\tilde x|x)\|^2 = \lambda k^2\,E\tfrac12\|m - m^*\|^2 + \lambda C,\quad "
    r"m^* = E[y|\tilde x],\ \lambda k^2 = 1 \text{ for the plain error of } y",
    source="[a, sec. 3], [b, sec. 2], [c], [e]; Salimans & Ho 2022, sec. 4",
    method="objective on nodes of (data, noise) vs distance to the posterior mean on nodes of the corrupted law",
    catches=(
        "dsm_process_prediction_slope_missing",
        "dsm_process_x0_without_alpha",
        "dsm_process_v_sign",
        "dsm_process_weight_fourth_power",
        "dsm_process_weight_inverted",
        "prediction_weight_inverted",
        "prediction_weight_root",
        "convert_v_sign",
        "convert_x0_alpha_missing",
    ),
)
def losses_of_predictions(ops, seed):
    """Random networks of (x, t) that predict each of the four, weights by name and as a function; values and gradients."""
    rows = []
    for process, t, d in ((OU(0.7, 1.3), 0.5, 1), (VP(), 0.35, 2)):
        alpha, sigma = float(ops.alpha(process, t)), float(ops.sigma(process, t))
        density, model = mixture(d), random_network(d, seed, takes_time=True)
        law = ops.corrupted(density, alpha, sigma)
        slope = {"score": 1.0, "eps": 1 / sigma, "x0": alpha / sigma**2, "v": alpha / (sigma * (alpha**2 + sigma**2))}
        weights = {"one": 1.0, "sigma2": sigma**2, "prediction": None, "1 + t": 1 + t}
        for predicts, k in slope.items():
            named = float(ops.prediction_weight(predicts, alpha, sigma))
            yield Comparison(
                f"weight of the plain {predicts} error, {type(process).__name__}", named, k**-2, 16 * EPS * k**-2, k**-2
            )

            def sums(
                h, predicts=predicts, k=k, process=process, t=t, density=density, law=law, model=model, alpha=alpha, sigma=sigma
            ):
                x0, noise, w = density.joint_nodes(alpha, sigma, h)
                x, v = _textbook.nodes(law, h)
                best = ops.convert(process, ops.score(law, x), x, t, "score", predicts)
                gap = model(x, t) - best
                gradient = model.gradient(x, v[:, None] * gap, t)
                out = {
                    "gap": 0.5 * (v @ (gap * gap).sum(axis=1)),
                    "grad": flat(gradient),
                    "fisher": v @ (ops.score(law, x) ** 2).sum(axis=1),
                }
                for weight in ("one", "sigma2", "prediction", "1 + t"):
                    given = (lambda time: 1 + time) if weight == "1 + t" else weight
                    out[weight], g = ops.dsm_process(
                        model, process, x0, np.full(len(x0), t), noise, given, predicts=predicts, sample_weight=w, grad=True
                    )
                    out[f"grad {weight}"] = flat(g)
                return out

            value, bound = refined(sums, 0.6, finest=FINEST[d])
            constant = 0.5 * (d / sigma**2 - float(value["fisher"]))
            for weight, factor in weights.items():
                factor = k**-2 if factor is None else factor
                left, right = float(value[weight]), factor * (k**2 * float(value["gap"]) + constant)
                slack = bound[weight] + factor * (k**2 * bound["gap"] + bound["fisher"])
                case = f"{predicts} network, weight {weight}, {type(process).__name__}, d = {d}"
                yield Comparison(case, left, right, slack, 1 + abs(left) + factor * d / sigma**2)
                left, right = value[f"grad {weight}"], factor * k**2 * value["grad"]
                slack = bound[f"grad {weight}"] + factor * k**2 * bound["grad"]
                yield Comparison(f"gradient, {case}", left, right, slack, 1 + np.abs(right).max())
            rows.append((type(process).__name__, d, predicts, k**-2, *(float(value[w]) for w in ("one", "sigma2", "prediction"))))
    yield Table(
        "One network read in four ways: its loss by weight", ("process", "d", "predicts", "1/k^2", "one", "sigma^2", "plain"), rows
    )


@identity(
    id="B14",
    systems=("B14",),
    title="The time integral of the denoising loss, and the factor T between it and an expectation",
    statement=r"\int_{t_0}^{T}\lambda(t)J_{DSM}(t)\,dt = (T-t_0)\,E_{t\sim U}\lambda J_{DSM} = "
    r"\int_{t_0}^{T}\lambda(t)\big[J_{ESM}(t) + \tfrac12(d/\sigma_t^2 - I(p_t))\big]dt",
    source="[a, sec. 3 and 4]; Song et al. 2021, eq. 7",
    method="one loss on nodes of (time, data, noise) vs Clenshaw-Curtis in time over explicit losses of the marginals",
    catches=(
        "dsm_integrated_without_length",
        "dsm_integrated_from_zero",
        "dsm_integrated_weight_squared",
        "esm_without_half",
        "score_sign",
    ),
)
def time_integral(ops, seed):
    """OU and VP, weights sigma^2, one and 1/(1 + t), away from 0; values and gradients; d = 1."""
    weights = {"sigma2": lambda s, t: s**2, "one": lambda s, t: np.ones_like(s), "1/(1 + t)": lambda s, t: 1 / (1 + t)}
    density, model = mixture(1), random_network(1, seed, takes_time=True)
    for process, start, stop in ((OU(0.7, 1.3), 0.3, 2.0), (VP(0.5, 4.0), 0.25, 0.95)):
        for weight, factor in weights.items():

            def whole(n, process=process, start=start, stop=stop, weight=weight):
                """The package's integral, n Gauss-Legendre times, one batch for all of them."""
                u, v = np.polynomial.legendre.leggauss(n)
                times = start + (stop - start) * (u + 1) / 2
                parts = [density.joint_nodes(float(process.alpha(t)), float(process.sigma(t)), SPACING) for t in times]
                x0, noise = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
                t = np.repeat(times, [len(p[0]) for p in parts])
                w = np.concatenate([c / 2 * p[2] for c, p in zip(v, parts, strict=True)])
                given = (lambda time: 1 / (1 + time)) if weight == "1/(1 + t)" else weight
                value, gradient = ops.dsm_integrated(
                    model, process, x0, t, noise, given, t_min=start, t_max=stop, sample_weight=w, grad=True
                )
                return {"value": value, "grad": flat(gradient)}

            def explicit(n, process=process, start=start, stop=stop, factor=factor):
                """The losses of the marginals, time by time, n + 1 Clenshaw-Curtis nodes."""
                total, gradient = 0.0, 0.0
                for t, c in zip(*_clenshaw_curtis(n, start, stop), strict=True):
                    alpha, sigma = float(ops.alpha(process, t)), float(ops.sigma(process, t))
                    law = ops.corrupted(density, alpha, sigma)
                    x, w = _textbook.nodes(law, SPACING)
                    s, lam = ops.score(law, x), float(factor(np.array(sigma), t))
                    esm, g = ops.esm(model, x, s, t=t, sample_weight=w, grad=True)
                    total += c * lam * (esm + 0.5 * (1 / sigma**2 - w @ (s * s).sum(axis=1)))
                    gradient = gradient + c * lam * flat(g)
                return {"value": total, "grad": gradient}

            coarse, fine = whole(20), whole(26)
            rough, smooth = explicit(40), explicit(54)
            for what in ("value", "grad"):
                size = 1 + np.abs(smooth[what]).max()
                moved = [float(np.abs(np.asarray(a[what]) - b[what]).max()) for a, b in ((coarse, fine), (rough, smooth))]
                slack = moved[0] + moved[1] + 4e-14 * size
                yield Comparison(
                    f"{what}, weight {weight}, {type(process).__name__}",
                    np.asarray(fine[what]),
                    np.asarray(smooth[what]),
                    slack,
                    size,
                )


SPACING = 0.18
"""Of lattices at one time: with networks whose poles keep a distance of 0.9 from the real axis, e^{-2 pi 0.9/0.18} = 2e-14."""


def gaussian_nodes(h: float) -> tuple[np.ndarray, np.ndarray]:
    """A lattice for N(0, 1): nodes (n, 1), weights."""
    z = h * np.arange(-int(9 / h), int(9 / h) + 1)
    w = np.exp(-z * z / 2)
    return z[:, None], w / w.sum()


def _clenshaw_curtis(n: int, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """n + 1 Chebyshev points and weights of the integral over [start, stop], n even."""
    angle = np.pi * np.arange(n + 1) / n
    k = np.arange(2, n + 1, 2)
    halved = np.where(k == n, 0.5, 1.0)
    w = 1 - 2 * (halved / (k * k - 1) * np.cos(np.outer(angle, k))).sum(axis=1)
    w *= np.where((np.arange(n + 1) % n) == 0, 1.0, 2.0) / n
    return (start + stop) / 2 + (stop - start) / 2 * np.cos(angle), (stop - start) / 2 * w


@identity(
    id="C2",
    systems=("C2",),
    title="Many noise levels: the mean of weighted denoising losses; one sampled level a row is unbiased",
    statement=r"\tfrac1L\sum_i\lambda(\sigma_i)J_{DSM}(\sigma_i) = E_{k\sim U}\lambda(\sigma_k)J_{DSM}(\sigma_k) = "
    r"\tfrac1L\sum_i\lambda(\sigma_i)\big[J_{ESM}(s;q_{\sigma_i}) + C_i\big]",
    source="[c, 'Noise conditioned score network'], [d], [e, 'NCSN']; Song & Ermon 2019, eq. 5, 6",
    method="objective on nodes of (data, noise), all levels and enumerated indices, vs explicit losses level by level",
    catches=(
        "ncsn_sum_over_levels",
        "ncsn_weight_inverted",
        "ncsn_levels_reversed",
        "ncsn_model_sees_variance",
        "ncsn_model_sees_index",
        "ncsn_index_from_one",
        "ncsn_noise_over_sigma_squared",
        "ncsn_without_half",
    ),
)
def noise_levels(ops, seed):
    """A ladder of three levels, weights sigma^2, one, sigma; a network of (x, sigma); values and gradients; shares of levels."""
    sigmas, rows = np.array([1.7, 0.8, 0.45]), []
    for d in (1, 2):
        density, model = mixture(d), random_network(d, seed, takes_time=True)
        for weight, factor in (("sigma2", lambda s: s**2), ("one", lambda s: 1.0), ("sigma", lambda s: s)):

            def sums(h, density=density, model=model, weight=weight, factor=factor, d=d):
                options = dict(weight=(lambda s: s) if weight == "sigma" else weight, grad=True)
                parts = [density.joint_nodes(1.0, sigma, h) for sigma in sigmas]
                x0, noise, w = (np.concatenate([p[i] for p in parts]) for i in range(3))
                index = np.repeat(np.arange(3), [len(p[0]) for p in parts])  # every level is as likely
                out, shares = {}, []
                out["sampled"], g = ops.ncsn(model, x0, sigmas, index, noise, sample_weight=w / 3, **options)
                out["grad sampled"] = flat(g)
                if d == 1:  # all levels see the same data: the product of two lattices
                    (x, v), (z, u) = density.nodes(h), gaussian_nodes(h)
                    x0, z = np.repeat(x, len(z), axis=0), np.tile(z, (len(x), 1))
                    w = np.repeat(v, len(u)) * np.tile(u, len(v))
                    out["all"], g = ops.ncsn(model, x0, sigmas, None, np.stack([z] * 3), sample_weight=w, **options)
                    out["grad all"] = flat(g)
                out["explicit"], out["grad explicit"] = 0.0, 0.0
                for sigma in sigmas:
                    law = ops.corrupted(density, 1.0, sigma)
                    x, v = _textbook.nodes(law, h)
                    s = ops.score(law, x)
                    esm, g = ops.esm(model, x, s, t=sigma, sample_weight=v, grad=True)
                    shares.append(factor(sigma) / 3 * (esm + 0.5 * (d / sigma**2 - v @ (s * s).sum(axis=1))))
                    out["grad explicit"] = out["grad explicit"] + factor(sigma) / 3 * flat(g)
                out["levels"] = np.array(shares)
                out["explicit"] = out["levels"].sum()
                return out

            value, bound = refined(sums, 0.5, finest=FINEST[d])
            for kind in ("all", "sampled") if d == 1 else ("sampled",):
                case = f"{'all levels' if kind == 'all' else 'a sampled level a row'}, weight {weight}, d = {d}"
                left, right = float(value[kind]), float(value["explicit"])
                yield Comparison(case, left, right, bound[kind] + bound["explicit"], 1 + right)
                left, right = value[f"grad {kind}"], value["grad explicit"]
                slack = bound[f"grad {kind}"] + bound["grad explicit"]
                yield Comparison(f"gradient, {case}", left, right, slack, 1 + np.abs(right).max())
            parts = value["levels"] / value["levels"].sum()
            rows.append((d, weight, float(value["sampled"]), *map(float, parts)))
    yield Table("What each level contributes", ("d", "lambda", "loss", *(f"share of sigma = {s}" for s in sigmas)), rows)
