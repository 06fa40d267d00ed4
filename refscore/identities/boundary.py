r"""Identities of section B: integration by parts with the boundary kept (B3)."""

from __future__ import annotations

import math

import numpy as np

from refscore.densities import Beta, Product, TruncatedGaussian, Uniform, UnnormalizedDensity
from refscore.identities._calculus import gauss_legendre
from refscore.identities._expectations import EPS
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.networks import AnalyticScore


def _bounded() -> dict:
    """Laws with ends; on a line also p at the ends as known on paper, [(end, outward normal, p), ...]."""
    line = UnnormalizedDensity(lambda x: -1.7 * x, (-0.6, 1.9), lambda x: np.full(x.shape, -1.7), lambda x: np.zeros(x.shape))
    return {
        "truncated Gaussian, interval": (TruncatedGaussian(0.3, 1.2, -0.5, 2.0), _normal_ends(0.3, 1.2, -0.5, 2.0)),
        "truncated Gaussian, half-line": (TruncatedGaussian(-0.2, 0.9, 0.1), _normal_ends(-0.2, 0.9, 0.1, math.inf)),
        "exponential on an interval": (line, [(-0.6, -1.0, _tilted(-0.6)), (1.9, 1.0, _tilted(1.9))]),
        "Beta(1, 1)": (Beta(1.0, 1.0), [(0.0, -1.0, 1.0), (1.0, 1.0, 1.0)]),
        "Beta(1, 3)": (Beta(1.0, 3.0), [(0.0, -1.0, 3.0)]),
        "Beta(2.5, 3.5)": (Beta(2.5, 3.5), []),
        "box in the plane": (Product([TruncatedGaussian(0.3, 1.2, -0.5, 2.0), line]), []),
        "box, uniform": (Uniform([-0.5, -0.6], [2.0, 1.9]), []),
        "half-strip of the plane": (Product([TruncatedGaussian(-0.2, 0.9, 0.1), line]), []),
    }


def _normal_ends(mean, sigma, low, high):
    from scipy.special import ndtr

    mass = ndtr((high - mean) / sigma) - ndtr((low - mean) / sigma)
    ends = [(end, sign) for end, sign in ((low, -1.0), (high, 1.0)) if math.isfinite(end)]
    peak = 1 / (sigma * math.sqrt(2 * math.pi) * mass)
    return [(end, sign, float(peak * math.exp(-(((end - mean) / sigma) ** 2) / 2))) for end, sign in ends]


def _tilted(x):
    return -1.7 * math.exp(-1.7 * x) / (math.exp(-1.7 * 1.9) - math.exp(1.7 * 0.6))


@identity(
    id="B3",
    systems=("B3",),
    title="Integration by parts with its boundary: implicit score matching is off by the flux of p s through the ends",
    statement=r"J_{ISM}(s) = J_{ESM}(s) - \tfrac12E_p\|s_p\|^2 + \oint p\,s\cdot n\,dS",
    source="[b, sec. 1, Implicit score matching], [c, Theorem]; Hyvarinen 2005, theorem 1",
    method="objectives by quadrature over the support vs p s at its ends, p in closed form",
    catches=("flux_neglected", "flux_inward", "flux_without_density", "flux_upper_ends_only", "flux_ends_added",
             "flux_not_normalised", "ism_trace_doubled", "esm_without_half"),
)
def boundary_flux(ops, seed):
    """Intervals, half-lines, boxes and quadrants with analytic, linear, random and trained scores; then Beta(a, b)."""
    rows = []
    for name, (density, ends) in _bounded().items():
        d = density.dim
        models = score_models(mixture(d), seed)
        if name.startswith("truncated") or name.endswith("plane"):
            models["its own"] = AnalyticScore(density)
        if d == 1:  # the best constant score is E s_p = [p], where J_ISM = c^2/2 has its minimum at 0 whatever p is
            flux, error = ops.boundary_flux(np.ones_like, density)
            jump = math.fsum(sign * p for _, sign, p in ends)
            x, w = density.nodes()
            terms = w * ops.score(density, x)[:, 0]
            size = 1 + float(np.abs(terms).sum())
            yield Comparison(f"E s_p = [p], {name}", math.fsum(terms), jump, 1e-12 * size, size)
            yield Comparison(f"flux of s = 1, {name}", flux, jump, error + 64 * EPS * size, size)
        sums = [_gaps(ops, density, models, *_nodes(ops, name, density, h)) for h in (0.5, 0.25)]
        for model_name, model in models.items():
            flux, error = ops.boundary_flux(model, density)
            gap, size = sums[-1][model_name]
            change = 2 * abs(gap - sums[0][model_name][0])
            yield Comparison(f"{model_name} score, {name}", gap, flux, error + change + 256 * EPS * size, size)
            if d == 1:
                want = math.fsum(sign * p * float(model(np.array([[np.nextafter(e, 0.5)]]))[0, 0]) for e, sign, p in ends)
                yield Comparison(f"flux, {model_name} score, {name}", flux, want, error + 64 * EPS * size, size)
            rows.append((name, d, model_name, gap, flux))
    yield Table("J_ISM - (J_ESM - I/2) and the flux of p s", ("law", "d", "score", "gap", "flux"), rows)
    yield from _beta(ops, seed)


def _nodes(ops, name, density, spacing):
    """Nodes and weights of the law: its own on a line; Gauss panels over the rectangle in the plane, weighted with its density."""
    if density.dim == 1:
        return density.nodes(spacing)
    fineness = round(0.5 / spacing)
    first = gauss_legendre(-0.5, 2.0, fineness) if name.startswith("box") else gauss_legendre(0.1, 8.1, 4 * fineness)
    sides = [first, gauss_legendre(-0.6, 1.9, fineness)]
    x = np.stack(np.meshgrid(*[x for x, _ in sides], indexing="ij"), axis=-1).reshape(-1, 2)
    return x, np.outer(sides[0][1], sides[1][1]).ravel() * np.exp(ops.logpdf(density, x))


def _gaps(ops, density, models, x, w):
    """J_ISM - (J_ESM - I/2) of every model, and the size of what is added up."""
    s = ops.score(density, x)
    half_fisher = float(w @ (s * s).sum(axis=1)) / 2
    out = {}
    for name, model in models.items():
        ism, esm = ops.ism(model, x, sample_weight=w), ops.esm(model, x, s, sample_weight=w)
        out[name] = ism - esm + half_fisher, 1 + abs(ism) + abs(esm) + half_fisher
    return out


def _beta(ops, seed):
    """E[div s + s s_p] = flux for a = 1 and every a > 1; I = E s_p^2 for a > 2 only; no flux at all for a < 1."""
    rows = []
    model = score_models(mixture(1), seed)["trained"]
    for a, b in ((0.6, 3.0), (1.0, 3.0), (1.5, 3.0), (2.0, 3.0), (2.5, 3.5), (4.0, 3.0)):
        density = Beta(a, b)
        flux, cross, information = (math.inf, math.inf, math.inf)
        if a >= 1:
            flux, error = ops.boundary_flux(model, density)
            x, w = density.nodes(0.5)
            terms = model.divergence(x) + model(x)[:, 0] * ops.score(density, x)[:, 0]
            cross, size = float(w @ terms), 1 + float(w @ np.abs(terms))
            at_zero = float(model(np.array([[5e-324]]))[0, 0])
            want = -b * at_zero if a == 1 else 0.0
            yield Comparison(f"E[s' + s s_p], Beta({a}, {b})", cross, want, 1e-12 * size, size)
            yield Comparison(f"flux, Beta({a}, {b})", flux, want, error + 16 * EPS * size, size)
        if a > 2 or a == 1:
            got, error = ops.fisher_information(density)
            information = (a + b - 1) * (a + b - 2) * ((1 / (a - 2) if a > 2 else 0) + 1 / (b - 2))
            if a == 1:  # only the end at 1 pulls: I = (b - 1)^2 E (1 - x)^{-2}
                information = (b - 1) * b * (b - 1) / (b - 2)
            yield Comparison(f"E s_p^2, Beta({a}, {b})", got, information, error + 1e-12 * information, information)
        rows.append((a, b, math.exp(float(density.logpdf([[0.0]])[0])) if a >= 1 else math.inf, flux, cross, information))
    yield Table("Beta(a, b): what happens at x = 0", ("a", "b", "p(0)", "flux", "E[s' + s s_p]", "E s_p^2"), rows)
