r"""Errata about where a score exists and what it determines (X17, X19)."""

from __future__ import annotations

import math

import numpy as np

from refscore.densities import TwoSidedExponential
from refscore.identities import _lines
from refscore.identities._errata import refuted
from refscore.identities._expectations import EPS
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.networks import AnalyticScore


@identity(
    id="X17",
    systems=("A8",),
    title="[e] says that two densities are the same iff their scores are: only on connected support",
    statement=r"s_p = s_q \text{ everywhere, yet } TV(p, q) = |w - w'|;\quad \log p - \log q \text{ is constant on each piece}",
    source="[e, Score matching, 'two distributions are identical iff their scores are the same']",
    method="total variation by quadrature vs the weights of the pieces; ratio of densities vs ratio of weights",
    catches=("logpdf_weights_of_pieces_dropped", "logpdf_of_each_piece_alone", "expectation_not_normalised",
             "score_times_mass_of_piece"),
)
def same_score(ops, seed):
    """Two pieces apart, and two that meet in a zero of p: p is then positive almost everywhere and still not determined."""
    rows = []
    for name, pair in {"gap": _lines.gap_between, "zero": _lines.zero_between}.items():
        for w, v in ((0.3, 0.55), (0.85, 0.2)):
            p, q = pair(w), pair(v)
            x, weights = p.nodes()
            fisher = ops.esm(lambda x, q=q: ops.score(q, x), x, ops.score(p, x), sample_weight=weights)
            distance, error = _lines.total_variation(ops, p, q)
            case = f"{name}, weights {w} and {v}"
            yield Comparison(f"the scores agree: {case}", fisher, 0.0, 0.0)
            yield refuted(f"equal scores, hence TV = 0: {case}", distance, 0.0, abs(w - v), error + 1e-13)
            points = np.array([-1.9, -1.2, 0.6, 1.7])
            ratio = ops.logpdf(p, points[:, None]) - ops.logpdf(q, points[:, None])
            want = np.where(points < 0, math.log(w / v), math.log((1 - w) / (1 - v)))
            yield Comparison(f"log p/q is constant on each piece: {case}", ratio, want, 1e-12, 1 + np.abs(want))
            rows.append((name, w, v, float(fisher), float(distance)))
    yield Table("Fisher divergence 0, and the densities differ", ("support", "w", "w'", "Fisher divergence", "TV"), rows)


@identity(
    id="X19",
    systems=("A1", "B3"),
    title="[b] says that p need only be continuous for the score to exist: at a kink there is none, and ISM misses a delta",
    statement=r"E_p[\tfrac12s_p^2 + s_p'] = -\tfrac12 E_ps_p^2 + p(m)\,(s_p(m^-) - s_p(m^+))",
    source="[b, Score]",
    method="implicit score matching of the piecewise score vs the jump of the score in closed form",
    catches=("flux_neglected", "flux_inward", "flux_ends_added", "flux_without_density", "ism_square_without_half",
             "score_smoothed_over_the_kink"),
)
def kink(ops, seed):
    """Two-sided exponentials with different slopes left and right of m; the Laplace law is the symmetric one."""
    rows = []
    for m, left, right in ((0.4, 0.8, 0.8), (-0.3, 0.5, 1.3), (1.1, 1.6, 0.7)):
        density = _lines.two_sided(m, left, right)
        case = f"m = {m}, b = {left} and {right}"
        own = AnalyticScore(density)
        sides = np.array([[np.nextafter(m, -np.inf)], [np.nextafter(m, np.inf)]])
        one_sided = ops.score(density, sides)[:, 0]
        yield Comparison(f"one-sided scores: {case}", one_sided, np.array([1 / left, -1 / right]), 4 * EPS / min(left, right))
        peak = math.exp(TwoSidedExponential(m, left, right).logpdf([[m]])[0])
        jump = peak * (1 / left + 1 / right)
        information = 1 / (left * right)
        x, w = density.nodes()
        ism = ops.ism(own, x, sample_weight=w)
        bound = 1e-12 * (1 + information)
        yield refuted(f"ISM of the score as if p were smooth: {case}", ism, -information / 2, jump, bound, 1 + information)
        flux, error = ops.boundary_flux(own, density)
        yield Comparison(f"the delta at the kink, counted: {case}", ism - flux, -information / 2, bound + error, 1 + information)
        for name, model in score_models(mixture(1), seed).items():
            gap = []
            for h in (0.5, 0.25):
                x, w = density.nodes(h)
                s = ops.score(density, x)
                gap.append(ops.ism(model, x, sample_weight=w) - ops.esm(model, x, s, sample_weight=w) + float(w @ s[:, 0] ** 2) / 2)
            size = 1 + abs(ops.ism(model, x, sample_weight=w)) + information
            flux, error = ops.boundary_flux(model, density)
            bound = 2 * abs(gap[1] - gap[0]) + 256 * EPS * size
            yield Comparison(f"smooth {name} score, no flux: {case}", gap[1], 0.0, bound, size)
            yield Comparison(f"flux of a smooth {name} score: {case}", flux, 0.0, error + 64 * EPS * size, size)
        rows.append((m, left, right, 1 / left, -1 / right, ism, -information / 2, jump))
    columns = ("m", "b left", "b right", "s(m-)", "s(m+)", "E[s^2/2 + s'] off the kink", "-I/2", "p(m) jump")
    yield Table("a continuous density with a kink", columns, rows)
