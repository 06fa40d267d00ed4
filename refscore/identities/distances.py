r"""Distances between laws, each by a second road (systems H1, H2, H4, H6).

KL. For Gaussians the textbook's trace and determinants, which cancel, and near equality the series

    KL = 1/2 sum_{k >= 2} (-1)^k tr(E^k)/k + 1/2 |delta|^2,      E = C_q^{-1}(C_p - C_q).

For mixtures de Bruijn's identity along OU(1, sqrt 2), where p_a is the law of a x + (1 - a^2)^{1/2} z, a = e^{-t}:

    KL(p || q) = int_0^inf E_{p_t}||s_{p_t} - s_{q_t}||^2 dt = int_0^1 J(a) da/a.

TV. Isotropic Gaussians by incomplete gamma functions; on the line by the two roots of log p/q; in the plane, where covariances need
not commute, by polar coordinates: on a ray both densities times r have closed integrals up to the one radius where they cross.

W_2. For Gaussians B^2 = tr A + tr C - 2 sum_i l_i^{1/2}, l the eigenvalues of A C; on the line p and an increasing map m of it have
W_2^2 = E (m(x) - x)^2; for small point sets all permutations. Talagrand's inequality is sharp for N(m, I), N(0, I): W_2^2 = 2 KL.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture, PointSet, Product, PushForward
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._nystrom import by_hand
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, identity

DIMENSIONS = (1, 2, 3, 5)
ONE = GaussianMixture([0.35, 0.65], [[-0.8], [0.7]], [0.6, 0.8])
OTHER = GaussianMixture([0.5, 0.3, 0.2], [[-0.5], [0.2], [1.1]], [0.9, 0.7, 0.5])


def _pair(d: int, seed: int, change: float | None = None) -> tuple[Gaussian, Gaussian, float]:
    """Two Gaussians whose covariances do not commute, and the larger condition number; ``change`` apart, or far."""
    rng = np.random.default_rng((seed, 77, d))
    roots, means = rng.standard_normal((2, d, d)), rng.standard_normal((2, d))
    first, second = roots @ roots.transpose(0, 2, 1) / d + 0.4 * np.eye(d)
    if change is not None:
        first, means[0] = second + change * first, means[1] + change * means[0]
    return Gaussian(means[0], first), Gaussian(means[1], second), float(max(np.linalg.cond(first), np.linalg.cond(second)))


@identity(
    id="H1.kl",
    systems=("H1", "H2", "H4"),
    title="Kullback-Leibler divergence of Gaussians and mixtures",
    statement=r"\mathrm{KL}(p\|q) = \tfrac12\bigl[\mathrm{tr}\,C_q^{-1}C_p - d + \log\tfrac{|C_q|}{|C_p|} + \delta^\top C_q^{-1}"
    r"\delta\bigr] = \int_0^\infty E_{p_t}\|s_{p_t} - s_{q_t}\|^2\, dt",
    source="[e], theorem of Chen et al. 2023; Barron 1986 (de Bruijn's identity for relative entropy)",
    method="whitened excesses against trace and determinants, and against the series in traces of powers near equality; quadrature "
    "against Fisher divergences along the OU process, which agree with panels, against panels on the line, and against the sum "
    "over coordinates",
    catches=(
        "kl_to_gamma_reversed", "kl_symmetrised", "kl_without_half", "kl_log_det_sign", "kl_dimension_forgotten", "kl_in_bits",
        "kl_means_in_units_of_p", "kl_of_moments", "kl_of_diagonals", "fisher_under_the_other_law", "fisher_norm_not_squared",
        "fisher_of_the_sum", "corrupted_sigma_for_variance",
    ),
)
def kullback_leibler(ops: Operations, seed: int) -> Iterator[Comparison]:
    for d in DIMENSIONS:
        p, q, cond = _pair(d, seed)
        inverse = np.linalg.inv(q.cov)
        away = p.mean - q.mean
        terms = [np.trace(inverse @ p.cov), -d, np.linalg.slogdet(q.cov)[1], -np.linalg.slogdet(p.cov)[1], away @ inverse @ away]
        value, error = ops.kl(p, q)
        size = float(np.abs(terms).sum())
        yield Comparison(f"textbook formula, d = {d}", value, sum(terms) / 2, error + 32 * d * EPS * cond * size, size)
        for change in (1e-2, 1e-6):
            p, q, cond = _pair(d, seed, change)
            E = np.linalg.solve(q.cov, p.cov - q.cov)
            away, power, right = p.mean - q.mean, E, 0.0
            for k in range(2, 16):
                power = power @ E
                right += (-1) ** k * float(np.trace(power)) / k
            right = (right + float(away @ np.linalg.solve(q.cov, away))) / 2
            value, error = ops.kl(p, q)
            yield Comparison(f"series, d = {d}, change {change:g}", value, right, error + 64 * d * EPS * cond * right, right)
    yield from _mixtures(ops, "two mixtures", ONE, OTHER)
    yield from _mixtures(ops, "Gaussian to mixture", Gaussian([0.3], 1.4), ONE)
    plane = GaussianMixture(np.outer(ONE.weights, OTHER.weights).ravel(),
                            [[a, b] for a in ONE.means[:, 0] for b in OTHER.means[:, 0]],
                            [[a, b] for a in ONE.covs for b in OTHER.covs])
    other = Gaussian([0.1, -0.2], [1.2, 0.9])
    parts = [ops.kl(law, Gaussian([m], v)) for law, m, v in ((ONE, 0.1, 1.2), (OTHER, -0.2, 0.9))]
    value, error = ops.kl(plane, other)
    right = sum(part[0] for part in parts)
    yield Comparison("sum over the coordinates of the plane", value, right, error + sum(part[1] for part in parts), right)


def _mixtures(ops: Operations, name: str, p, q) -> Iterator[Comparison]:
    value, error = ops.kl(p, q)
    x, w = gauss_legendre(-12.0, 12.0, 60)
    f, g = (by_hand(law, 1.0, 0.0)[0](x) for law in (p, q))
    right = float(w @ (f * np.log(f / g)))
    size = float(w @ np.abs(f * np.log(f / g)))
    yield Comparison(f"panels on the line, {name}", value, right, error + 256 * EPS * (1 + size), size)
    found, doubt = [], 0.0
    for order in (18, 24):
        a, w = gauss_legendre(0.0, 1.0, 1, order)
        rates = np.array([ops.fisher(*(ops.corrupted(law, r, math.sqrt(1 - r * r)) for law in (p, q)), half=False) for r in a])
        found.append(float(w @ (rates[:, 0] / a)))
        doubt = float(w @ (rates[:, 1] / a))
        by_panels, rounding = np.array([_rate(p, q, r) for r in a]).T
        rounding += rates[:, 1]
        yield Comparison(f"Fisher divergences on the line, {order} nodes, {name}", rates[:, 0], by_panels, rounding, size)
    bound = error + doubt + abs(found[1] - found[0]) + 64 * EPS * value
    yield Comparison(f"de Bruijn's identity, {name}", value, found[1], bound, size)


def _rate(p, q, r: float) -> tuple[float, float]:
    """E||s_p - s_q||^2 of the laws of r x + (1 - r^2)^{1/2} z on panels, and its rounding; it vanishes with r, the terms do not."""
    x, w = gauss_legendre(-12.0, 12.0, 60)
    (f, s), (_, other) = (by_hand(law, r, 1 - r * r) for law in (p, q))
    return float(w @ (f(x) * (s(x) - other(x)) ** 2)), 256 * EPS * float(w @ (f(x) * (s(x) ** 2 + other(x) ** 2)))


@identity(
    id="H6.tv",
    systems=("H1", "H6"),
    title="Total variation of any two Gaussians, in any dimension",
    statement=r"\mathrm{TV}(p, q) = \frac1{2\pi}\int \frac{1 - \varphi(\frac12 + iu)}{\frac14 + u^2}\, du,\quad "
    r"\varphi(s) = \int p^s q^{1-s}\, dx",
    source="[e], theorem of Chen et al. 2023; the Hellinger transform: Le Cam 1986",
    method="Hellinger transform on a bent contour against incomplete gamma functions (d = 1 to 10^6), the error function of "
    "whitened means, the two roots on the line, and polar coordinates in the plane for covariances that do not commute",
    catches=(
        "total_variation_not_halved", "total_variation_by_pinsker", "total_variation_is_hellinger", "total_variation_is_overlap",
        "total_variation_sum_over_coordinates", "total_variation_as_if_independent_tests", "total_variation_pooled_covariance",
        "total_variation_of_sorted_spectra", "overlap_of_variances",
    ),
)
def total_variation(ops: Operations, seed: int) -> Iterator[Comparison]:
    for d in (1, 2, 3, 5, 64, 1024, 10**6):
        for apart in (1e-3, 0.3, 3.0):
            ratio = math.exp(apart / math.sqrt(2 * d))
            right = float(ops.ladder_overlap([ratio, 1.0], d).tv[0])
            value, error = ops.total_variation(Gaussian(np.full(d, 0.7), ratio * ratio), Gaussian(np.full(d, 0.7), 1.0))
            # both see a ratio rounded by a few eps: d TV/d log(ratio) <= sqrt(d)
            yield Comparison(f"isotropic, d = {d}, apart by {apart:g}", value, right, error + 64 * EPS * math.sqrt(d), 1.0)
    for d in DIMENSIONS:
        p, q, cond = _pair(d, seed)
        same = Gaussian(p.mean, q.cov)
        right = math.erf(math.sqrt((p.mean - q.mean) @ np.linalg.solve(q.cov, p.mean - q.mean) / 8))
        value, error = ops.total_variation(same, q)
        yield Comparison(f"equal covariances, d = {d}", value, right, error + 32 * d * EPS * cond, 1.0)
    for change in (0.01, 1.0):
        p, q, _ = _pair(1, seed, change)
        right = _by_two_roots(float(p.mean[0]), float(p.cov[0, 0]), float(q.mean[0]), float(q.cov[0, 0]))
        value, error = ops.total_variation(p, q)
        yield Comparison(f"on the line, change {change:g}", value, right, error + 64 * EPS / change, 1.0)
        p, q, cond = _pair(2, seed, change)
        value, error = ops.total_variation(Gaussian(q.mean, p.cov), q)
        right, estimate = _in_the_plane(p.cov, q.cov)
        yield Comparison(f"in the plane, change {change:g}", value, right, error + estimate + 64 * EPS * cond, 1.0)
    p, q, cond = _pair(3, seed)
    turned = [Product([Gaussian([m], v) for m, v in zip(law.mean, np.diag(law.cov), strict=True)]) for law in (p, q)]
    plain = [Gaussian(law.mean, np.diag(np.diag(law.cov))) for law in (p, q)]
    (value, error), (right, other) = ops.total_variation(*turned), ops.total_variation(*plain)
    yield Comparison("a product and its Gaussian", value, right, error + other, 1.0)


def _by_two_roots(m: float, v: float, n: float, w: float) -> float:
    """1/2 int |p - q| of N(m, v) and N(n, w) between the two roots of the quadratic polynomial log p/q, which v != w has."""
    roots = np.sort(np.roots([(1 / w - 1 / v) / 2, m / v - n / w, (n * n / w - m * m / v + math.log(w / v)) / 2]).real)
    inside = [0.5 * (math.erf((roots[1] - a) / math.sqrt(2 * b)) - math.erf((roots[0] - a) / math.sqrt(2 * b)))
              for a, b in ((m, v), (n, w))]
    return abs(inside[0] - inside[1])


def _in_the_plane(C: np.ndarray, D: np.ndarray) -> tuple[float, float]:
    """TV of N(0, C) and N(0, D), the angle on panels between the directions where both decay alike, and their change by order."""
    P, Q = np.linalg.inv(C), np.linalg.inv(D)
    heights = np.sqrt([np.linalg.det(P), np.linalg.det(Q)]) / (2 * math.pi)
    gap, log = (P - Q) / 2, math.log(heights[0] / heights[1])
    flat = math.sqrt(max(0.0, -np.linalg.det(gap))) / (gap[0, 0] or 1.0)
    turns = [math.atan2(1.0, -gap[0, 1] / (gap[0, 0] or 1.0) + sign * flat) for sign in (-1, 1)]
    edges = np.unique(np.concatenate([[0.0, math.pi], np.mod(turns, math.pi)]))

    def integral(order: int) -> float:
        total = 0.0
        for start, stop in itertools.pairwise(edges):
            u, w = gauss_legendre(-3.2, 3.2, 12, order)  # tanh-sinh: at the edges the radius goes to infinity
            t = np.tanh(math.pi / 2 * np.sinh(u))
            w = w * (stop - start) / 2 * math.pi / 2 * np.cosh(u) * (1 - t * t)
            n = np.stack([np.cos(angle := (start + stop) / 2 + (stop - start) / 2 * t), np.sin(angle)])
            a, b = (np.einsum("in,ij,jn->n", n, M, n) for M in (P, Q))
            square = np.where(log * (a - b) > 0, 2 * log / np.where(a == b, 1.0, a - b), np.inf)  # r^2 where p = q
            inner = heights[0] / a * -np.expm1(-a * square / 2) - heights[1] / b * -np.expm1(-b * square / 2)
            outer = heights[0] / a * np.exp(-a * square / 2) - heights[1] / b * np.exp(-b * square / 2)
            total += float(w @ (np.abs(inner) + np.abs(outer)))
        return total  # half of it, twice: opposite rays are alike

    fine, coarse = integral(20), integral(14)
    return fine, abs(fine - coarse) + 256 * EPS


@identity(
    id="H6.w2",
    systems=("H1", "H6"),
    title="Wasserstein's distance of Gaussians, of laws on the line and of point sets",
    statement=r"W_2^2 = |\delta|^2 + \mathrm{tr}\bigl[A + C - 2 (A^{1/2} C A^{1/2})^{1/2}\bigr];\quad "
    r"W_2^2 = \int_0^1 (F^{-1} - G^{-1})^2\, dt",
    source="Olkin & Pukelsheim 1982; Villani 2003, sec. 2.2; Talagrand 1996",
    method="Sylvester's equation against eigenvalues of A C; the monotone coupling against a map that is known to be optimal, and "
    "against quantiles by bisection; assignment against all permutations; translations against 2 KL",
    catches=(
        "w2_squared", "w2_bures_without_root", "w2_as_if_commuting", "w2_means_only", "w2_of_covariances", "w2_first_order",
        "w2_points_in_given_order", "w2_per_coordinate", "kl_without_half",
    ),
)
def wasserstein(ops: Operations, seed: int) -> Iterator[Comparison]:
    for d in DIMENSIONS:
        p, q, cond = _pair(d, seed)
        spectrum = np.linalg.eigvals(p.cov @ q.cov).real
        scale = float(((p.mean - q.mean) ** 2).sum() + np.trace(p.cov + q.cov))
        right = scale - 2 * float(np.sqrt(spectrum).sum())
        value, error = ops.wasserstein2(p, q)
        yield Comparison(f"Gaussians, d = {d}", value**2, right, 2 * value * error + 64 * d * EPS * cond * scale, scale)
        cov = np.eye(d)
        (value, error), (kl, doubt) = (f(Gaussian(p.mean, cov), Gaussian(q.mean, cov)) for f in (ops.wasserstein2, ops.kl))
        yield Comparison(f"translations, d = {d}", value**2, 2 * kl, 2 * (value * error + doubt) + 16 * EPS * kl, 2 * kl)

    def bent(x):
        return 0.4 + 1.2 * x - 0.3 * np.sin(x)

    value, error = ops.wasserstein2(ONE, PushForward(ONE, bent))
    right, doubt = ops.expectation(ONE, lambda x: (bent(x) - x)[:, 0] ** 2)
    yield Comparison("a law and its image under an increasing map", value**2, right, 2 * value * error + doubt + 1e-13, right)
    value, error = ops.wasserstein2(ONE, OTHER)
    right, estimate = _by_quantiles(ONE, OTHER)
    yield Comparison("mixtures on the line", value**2, right, 2 * value * error + estimate, float(ONE.cov[0, 0] + OTHER.cov[0, 0]))
    rng = np.random.default_rng((seed, 78))
    for d in (1, 2, 3):
        x, y = rng.standard_normal((2, 6, d))
        right = min(float(((x - y[list(order)]) ** 2).sum()) / 6 for order in itertools.permutations(range(6)))
        value, error = ops.wasserstein2(PointSet(x), PointSet(y))
        yield Comparison(f"point sets, d = {d}", value**2, right, 64 * EPS * (right + 1), right + 1)


def _by_quantiles(p: GaussianMixture, q: GaussianMixture) -> tuple[float, float]:
    """E_p (T(x) - x)^2, T by bisection of hand-written distribution functions, on two lattices."""
    from scipy.special import ndtr

    def tails(law, x):
        u = (x[:, None] - law.means[:, 0]) / np.sqrt(law.covs)
        return ndtr(u) @ law.weights, ndtr(-u) @ law.weights

    found = []
    for panels in (30, 45):
        x, w = gauss_legendre(-9.0, 9.0, panels)
        below, above = tails(p, x)
        low, high = np.full(x.shape, -14.0), np.full(x.shape, 14.0)
        for _ in range(60):
            T = (low + high) / 2
            F, tail = tails(q, T)
            left = np.where(below < 0.5, F < below, tail > above)
            low, high = np.where(left, T, low), np.where(left, high, T)
        found.append(float(w @ (by_hand(p, 1.0, 0.0)[0](x) * (T - x) ** 2)))
    return found[1], abs(found[1] - found[0]) + 1e-13
