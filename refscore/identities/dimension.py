r"""Total variation of a discretised chain and the dimension: TV is of order sqrt(d) h for product targets (system H6).

A chain with the score of a product acts on every coordinate by itself, so its law is a product too. Let the law of one coordinate
be the target times 1 + h r_1 + O(h^2). The log-likelihood ratio of d coordinates is h sum_i r_1(x_i) to first order, and

    TV = 1/2 h E|sum_i r_1(x_i)| + O(h^2)  ->  h sqrt(d) (E r_1^2/(2 pi))^{1/2} as d grows: sqrt(d), neither d nor d^0.

For the target N(0, lambda I) the variance is off by v_1 h (`theory` integrates v_1 along the path), r_1 = v_1 (z^2 - 1)/(2 lambda),
and with k = d/2, E|chi^2_d - d| = 4 k^k e^{-k}/Gamma(k),

    TV/h -> C_d = (v_1/lambda) k^k e^{-k}/Gamma(k);    C_d/sqrt(d) rises from 0.2420 v_1/lambda (d = 1) to 0.2821 = 1/(2 sqrt(pi)).

What is left of it when sqrt(d) h is not small is a function of that product: about 2 Phi(delta/2) - 1, delta^2 = d h^2 E r_1^2.

The second road. For Gaussians the chi-square laws of |x|^2; for mixtures Gil-Pelaez' formula: with L = sum_i log p/q(x_i), TV =
P_p(L > 0) - P_q(L > 0), both from characteristic functions on the real line, the d-th power of that of one coordinate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian, Product
from refscore.identities._calculus import EPS, extrapolate, gauss_legendre
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.samplers import Setting, exact_score
from refscore.identities.theory import SCHEMES, SKEWED, STANDARD, _leading_moments

DIMENSIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
STEPS = (16, 24, 32, 48, 64, 96, 128)
SHORT = STANDARD._replace(last=0.5)
"""So short that the polynomial in h converges: the narrow target makes the last steps stiff, h/lambda = 1/8 at most."""
VARIANCE = 0.25
MOST = 136
MANY = (256, 512)
_PACE = 0.25
"""Nodes of the characteristic function of L, in units of 1/std: L is wrapped round a circle of 25 standard deviations."""


@identity(
    id="H6.dimension",
    systems=("H6",),
    title="Total variation grows like sqrt(d): product targets, d = 1 to 1024",
    statement=r"\mathrm{TV}(p_h^{\otimes d}, q^{\otimes d}) = C_d h + O(h^2),\quad C_d/\sqrt d \to "
    r"\Bigl(\frac{E r_1^2}{2\pi}\Bigr)^{1/2}",
    source="[e], theorem of Chen et al. 2023, whose bound is of order sqrt(d h)",
    method="Hellinger transform of d coordinates against the chi-square laws of |x|^2, for mixtures against Gil-Pelaez' formula; "
    "TV/h extrapolated to h = 0 against the constant from the leading error of the variance",
    catches=(
        "total_variation_sum_over_coordinates", "total_variation_as_if_independent_tests", "total_variation_by_pinsker",
        "total_variation_is_hellinger", "total_variation_is_overlap", "total_variation_not_halved", "law_variance_twice",
        "law_one_step_short", "reverse_sde_flow_with_noise", "reverse_sde_score_at_the_end", "reverse_sde_rate_halved",
    ),
)
def dimension(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for scheme in SCHEMES:
        yield from _constants(ops, scheme)
        yield from _all_dimensions(ops, scheme)
    yield from _mixture(ops)


def _variance(ops: Operations, setting: Setting, scheme: str, steps: int) -> float:
    """Of one coordinate of the law."""
    data = Gaussian([0.0], VARIANCE)
    score = exact_score(ops, setting.process, data)
    chain = ops.reverse_sde(setting.process, score, np.linspace(setting.last, 0, steps + 1), scheme)
    return float(np.ravel(ops.law(chain, ops.marginal(setting.process, data, setting.last)).covs)[0])


def _distance(ops: Operations, d: int, variance: float) -> tuple[float, float]:
    return ops.total_variation(Gaussian(np.zeros(d), variance), Gaussian(np.zeros(d), VARIANCE))


def _constants(ops: Operations, scheme: str) -> Iterator[Comparison]:
    """TV/h extrapolated to h = 0 by the polynomial through all h, for d so small that sqrt(d) h is."""
    h = SHORT.last / np.array(STEPS)
    variances = [_variance(ops, SHORT, scheme, steps) for steps in STEPS]
    v1 = float(_leading_moments(SHORT, 0.0, VARIANCE, scheme)[1])
    for d in (1, 2, 5):
        found = np.array([_distance(ops, d, variance) for variance in variances])
        limit, error, weights = extrapolate(h, found[:, 0] / h)
        right = _constant(v1, d)
        scale = float(np.abs(weights) @ (found[:, 0] / h))
        rounding = float(np.abs(weights) @ ((found[:, 1] + 64 * EPS) / h))
        yield Comparison(f"C_d, {scheme}, d = {d}", limit, right, error + rounding, scale)


def _constant(v1: float, d: int) -> float:
    """C_d of the module."""
    k = d / 2
    return abs(v1) / VARIANCE * math.exp(k * math.log(k) - k - math.lgamma(k))


def _all_dimensions(ops: Operations, scheme: str) -> Iterator[Comparison | Table]:
    h, variance = STANDARD.last / MOST, _variance(ops, STANDARD, scheme, MOST)
    v1 = float(_leading_moments(STANDARD, 0.0, VARIANCE, scheme)[1])
    rows: list[tuple] = []
    for d in DIMENSIONS:
        value, error = _distance(ops, d, variance)
        product, doubt = ops.total_variation(*(Product([Gaussian([0.0], v)] * d) for v in (variance, VARIANCE)))
        levels = sorted([math.sqrt(variance), math.sqrt(VARIANCE)], reverse=True)
        right = float(ops.ladder_overlap(levels, d).tv[0])
        # roots of variances are rounded: d TV/d log sigma <= sqrt(d)
        yield Comparison(f"TV, {scheme}, {MOST} steps, d = {d}", value, right, error + 64 * EPS * math.sqrt(d), value)
        bound = doubt + 64 * EPS * math.sqrt(d)
        yield Comparison(f"TV of a product, {scheme}, {MOST} steps, d = {d}", product, right, bound, value)
        delta = math.sqrt(d / 2) * abs(variance - VARIANCE) / VARIANCE
        rows.append((d, value, value / (math.sqrt(d) * h), _constant(v1, d) / math.sqrt(d), math.erf(delta / math.sqrt(8))))
    rows.append(("limit", None, None, abs(v1) / VARIANCE / math.sqrt(4 * math.pi), None))
    names = ("d", "TV", "TV/(sqrt(d) h)", "h -> 0", "2 Phi(delta/2) - 1")
    title = f"TV of {scheme}, {MOST} steps, N(0, I/4), OU f = -x, g = sqrt 2, T = 3, from p_T"
    yield Table(title, names, rows, Picture(x="d", y=("TV", "2 Phi(delta/2) - 1"), log=True, ylabel="total variation"))


def _mixture(ops: Operations) -> Iterator[Comparison | Table]:
    """A skewed mixture in every coordinate."""
    score = exact_score(ops, STANDARD.process, SKEWED)
    start = ops.marginal(STANDARD.process, SKEWED, STANDARD.last)
    steps = 48
    law = ops.law(ops.reverse_sde(STANDARD.process, score, np.linspace(STANDARD.last, 0, steps + 1), "exponential"), start)
    h = STANDARD.last / steps
    one = ops.total_variation(law, SKEWED)[0]
    rows: list[tuple] = [(1, one, one / h, None)]
    for d in MANY:
        value, error = ops.total_variation(Product([law] * d), Product([SKEWED] * d))
        right, estimate, spread = _gil_pelaez(ops, law, SKEWED, d)
        yield Comparison(f"TV of {d} skewed coordinates", value, right, error + estimate, 1.0)
        rows.append((d, value, value / (math.sqrt(d) * h), math.erf(math.sqrt(d / 8) * spread)))
    title = f"TV of the exponential integrator, {steps} steps, d coordinates 0.3 N(-1.5, 0.4^2) + 0.7 N(1, 0.6^2), T = 3"
    yield Table(title, ("d", "TV", "TV/(sqrt(d) h)", "2 Phi(delta/2) - 1"), rows)


def _gil_pelaez(ops: Operations, p, q, d: int) -> tuple[float, float, float]:
    """P_p(L > 0) - P_q(L > 0) = 1/pi int_0^inf Im[chi_p^d - chi_q^d]/t dt by the midpoint rule, its error, and the spread of L."""
    x, w = gauss_legendre(-8.0, 7.0, 75)
    log_p, log_q = (ops.logpdf(law, x[:, None]) for law in (p, q))
    L, f, g = log_p - log_q, w * np.exp(log_p), w * np.exp(log_q)
    spread = math.sqrt(float(g @ L**2))
    found = []
    for pace in (_PACE, 0.8 * _PACE):
        width = pace / (math.sqrt(d) * spread)
        t = width * (np.arange(round(16 / pace)) + 0.5)  # e^(-16^2/2) of the characteristic function is left at the end
        waves = np.exp(1j * np.outer(t, L))
        found.append(float((((waves @ f) ** d - (waves @ g) ** d).imag / t).sum()) * width / math.pi)
    return found[1], abs(found[1] - found[0]) + 2 * d * 64 * EPS, spread
