r"""Processes: alpha, sigma, transition, drift and diffusion belong to one linear SDE (systems E2, and the linear VP of E3).

For dX = -r(t) X dt + g(t) dW the mean and the variance of X_t given X_0 solve

    alpha' = -r alpha,   (sigma^2)' = g^2 - 2 r sigma^2,   hence   sigma_t^2 = int_0^t g(u)^2 e^{-2 int_u^t r} du,

and the law of X_t given X_s is of the same form, which makes transitions a semigroup. Three roads lead here besides the closed
forms: decimal arithmetic with 60 digits (the formulas of the sources as they stand, whatever they cancel), the integrals by
Gauss-Legendre quadrature of drift and diffusion, and the differential equations by spectral differentiation in t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Context, Decimal, localcontext

import numpy as np

from refscore.densities import Gaussian
from refscore.identities import _targets
from refscore.identities._calculus import EPS, chebyshev_points, derivative, gauss_legendre
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.processes import OU, VP

DIGITS = Context(prec=60, Emin=-999999, Emax=999999)


@identity(
    id="E2",
    systems=("E2",),
    title="Moments of the Ornstein-Uhlenbeck process",
    statement=r"\alpha_t = e^{-\beta t},\quad \sigma_t^2 = \frac{\sigma^2}{2\beta}\left(1 - e^{-2\beta t}\right),\quad "
    r"\operatorname{Cov}(x_s, x_t \mid x_0) = e^{-\beta(t-s)} \sigma_s^2",
    source="[a, sec. 3]; [e]; Uhlenbeck & Ornstein 1930",
    method="closed forms against 60-digit decimal arithmetic, quadrature of the Ito integral, the moment equations by spectral "
    "differentiation, the semigroup property, and the stationary law",
    catches=(
        "sigma_is_variance", "sigma_without_half", "sigma_by_cancellation", "alpha_rate_halved", "alpha_rate_doubled",
        "alpha_from_sigma", "sigma_alpha_not_squared", "drift_sign", "drift_doubled", "diffusion_is_variance", "diffusion_halved",
        "transition_from_time_zero", "transition_alpha_from_time_zero", "transition_std_for_variance",
        "transition_variances_subtracted",
        "exponential_step_weight_halved", "exponential_step_weight_is_variance", "exponential_step_forward_variance",
        "exponential_step_std_for_variance", "exponential_step_alpha_forwards",
    ),
)
def ornstein_uhlenbeck(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 2))
    yield from _extreme_times(ops)
    for beta, g in [(0.7, 1.3), (2.5, 0.6), (rng.uniform(0.2, 2), rng.uniform(0.3, 2.5)), (0.0, 1.7)]:
        process, name = OU(beta, g), f"beta = {beta:.3g}, sigma = {g:.3g}"
        times = np.sort(rng.uniform(0.1, 3.0, 5)) / max(beta, 0.5)
        yield from inside(ops, process, name, times, 0.1 / max(beta, 0.5), rng)
        if beta > 0:
            yield from _stationary(ops, process, name, times)


@identity(
    id="E3.linear",
    systems=("E3",),
    title="Moments of the variance-preserving process with linear beta",
    statement=r"\alpha_t = e^{-\frac12 \int_0^t \beta},\quad \sigma_t^2 = 1 - e^{-\int_0^t \beta},\quad "
    r"\alpha_t^2 + \sigma_t^2 = 1",
    source="[b, sec. 2]; [e]; Song et al. 2021, eq. 11 and app. C",
    method="closed forms against 60-digit decimal arithmetic, quadrature of the Ito integral, the moment equations by spectral "
    "differentiation, and the semigroup property",
    catches=(
        "sigma_is_variance", "sigma_without_half", "sigma_by_cancellation", "alpha_rate_halved", "alpha_rate_doubled",
        "alpha_from_sigma", "alpha_beta_not_integrated", "sigma_alpha_not_squared", "drift_sign", "drift_doubled",
        "drift_first_time_for_all", "diffusion_is_variance", "diffusion_halved", "transition_from_time_zero",
        "transition_alpha_from_time_zero", "transition_std_for_variance", "transition_variances_subtracted",
        "exponential_step_weight_halved", "exponential_step_weight_is_variance", "exponential_step_forward_variance",
        "exponential_step_std_for_variance", "exponential_step_alpha_forwards",
    ),
)
def variance_preserving(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 3))
    for low, high in [(0.1, 20.0), (0.0, 5.0), (3.0, 1397.0), (rng.uniform(0.05, 1), rng.uniform(5, 30))]:
        process, name = VP(low, high), f"beta from {low:.3g} to {high:.3g}"
        times = np.concatenate([10.0 ** np.arange(-17, 0), [0.2, 0.5, 0.77, 1.0]])
        if high < 100:
            times = np.append(times, rng.uniform(0, 1, 4))
        yield from against_decimals(ops, process, name, times, [_decimal_vp(low, high, t) for t in times])
        if high < 100:  # the quadratures resolve changes over times of about 1/beta
            yield from inside(ops, process, name, np.sort(rng.uniform(0.15, 0.9, 5)), 0.05, rng)


def inside(ops: Operations, process, name: str, times: np.ndarray, radius: float, rng) -> Iterator[Comparison]:
    """All that ties scales, transitions and reverse steps to the drift and the diffusion, at five times away from the ends."""
    yield from _integrals(ops, process, name, times)
    yield from _moment_equations(ops, process, name, times, radius, rng)
    yield from _semigroup(ops, process, name, times)
    yield from _covariance(ops, process, name, times)
    yield from _reverse_steps(ops, process, name, times)


def _extreme_times(ops: Operations) -> Iterator[Comparison]:
    """beta t from 1e-17 to 700, and the limit beta -> 0."""
    products = np.concatenate([10.0 ** np.arange(-17, 3), [0.3, 1.7, 5.5, 36.7, 350.0, 700.0]])
    for beta, g in [(1.0, math.sqrt(2)), (0.7, 1.3), (3e-9, 2.0), (4e8, 0.01)]:
        times = products / beta
        yield from against_decimals(ops, OU(beta, g), f"beta = {beta:g}, sigma = {g:.3g}, beta t from 1e-17 to 700", times,
                                     [_decimal_ou(beta, g, t) for t in times])
    for beta in (0.0, 5e-324, 1e-200, 1e-17):
        times = np.array([1e-12, 0.3, 1.0, 7.0])
        exact = [_decimal_ou(beta, 1.3, t) for t in times]
        yield from against_decimals(ops, OU(beta, 1.3), f"beta = {beta:g}, Brownian motion to rounding", times, exact)
        root = np.array([1.3 * math.sqrt(t) for t in times])  # (1 - e^{-2x})/2x = 1 - x + ..., x <= 7e-17
        yield Comparison(f"beta = {beta:g}: sigma_t = sigma sqrt(t)", ops.sigma(OU(beta, 1.3), times), root, 8 * EPS * root, root)


def _decimal_ou(beta: float, g: float, t: float) -> tuple[Decimal, Decimal]:
    """(alpha, sigma^2) by the formulas as they stand, in 60 digits."""
    with localcontext(DIGITS):
        b, s, time = Decimal(beta), Decimal(g), Decimal(float(t))
        if b * time < Decimal("1e-60"):  # 1 - beta t, which no longer shows in 60 digits
            return Decimal(1), s * s * time
        small = b * time < Decimal("1e-20")  # then the difference loses 20 digits and more: two terms of the series instead
        decay = (-2 * b * time).exp()
        return (-b * time).exp(), s * s * time * (1 - b * time) if small else s * s / (2 * b) * (1 - decay)


def _decimal_vp(low: float, high: float, t: float) -> tuple[Decimal, Decimal]:
    with localcontext(DIGITS):
        time = Decimal(float(t))
        clock = Decimal(low) * time + (Decimal(high) - Decimal(low)) * time * time / 2
        return (-clock / 2).exp(), 1 - (-clock).exp()


def against_decimals(ops: Operations, process, name: str, times: np.ndarray, exact: list) -> Iterator[Comparison]:
    """Relative errors: R = int r has a few roundings, which e^{-R} turns into R eps; sqrt(1 - e^{-2R}) never magnifies them."""
    with localcontext(DIGITS):
        alpha = np.array([float(a) for a, _ in exact])
        sigma = np.array([float(v.sqrt()) for _, v in exact])
        start = np.zeros_like(times)
        over = [float(v) for _, v in exact]
    rounding = EPS * (8 - 4 * np.log(alpha))
    yield Comparison(f"alpha: {name}", ops.alpha(process, times), alpha, rounding * alpha, alpha)
    yield Comparison(f"sigma_t: {name}", ops.sigma(process, times), sigma, 8 * EPS * sigma, sigma)
    a, v = ops.transition(process, start, times)
    yield Comparison(f"transition from 0, alpha: {name}", a, alpha, rounding * alpha, alpha)
    yield Comparison(f"transition from 0, variance: {name}", v, np.array(over), 16 * EPS * np.array(over), np.array(over))


def _rate(ops: Operations, process, u: np.ndarray) -> np.ndarray:
    """r(u), read off the drift at x = 1."""
    return -ops.drift(process, np.ones((len(u), 1)), u)[:, 0]


def _decay(ops: Operations, process, u: np.ndarray, t: float) -> np.ndarray:
    """e^{-int_u^t r}, for every u; exact for polynomials, and for rates that are analytic a tenth of the span around it."""
    nodes, weights = gauss_legendre(0.0, 1.0, 4)
    rates = _rate(ops, process, (u[:, None] + (t - u)[:, None] * nodes).ravel())
    return np.exp(-(t - u) * (rates.reshape(len(u), -1) @ weights))


def _ito(ops: Operations, process, s: float, t: float, upto: float) -> float:
    """int_0^upto g(u)^2 e^{-R(u, s)} e^{-R(u, t)} du, upto <= s <= t: the Ito isometry.

    On each of 8 panels the exponent changes by less than 6, and 20 nodes leave 6^40 (20!)^4/(41 (40!)^3) < 1e-37 of it out.
    """
    nodes, weights = gauss_legendre(0.0, upto, 8)
    decays = _decay(ops, process, nodes, s) * _decay(ops, process, nodes, t)
    return float(weights @ (ops.diffusion(process, nodes) ** 2 * decays))


def _integrals(ops: Operations, process, name: str, times: np.ndarray) -> Iterator[Comparison]:
    """Sums of 160 positive terms, each with a relative error of some ten eps: 64 eps covers them."""
    alpha = np.array([_decay(ops, process, np.zeros(1), t)[0] for t in times])
    first = float(ops.sigma(process, 0.0)) ** 2  # a process may start with noise
    variance = np.array([_ito(ops, process, t, t, t) for t in times]) + alpha**2 * first
    # rates times spans reach about 20: e^{-R} carries R eps
    bound = 64 * EPS * (1 + np.abs(np.log(alpha)))
    yield Comparison(f"alpha = exp(-int rate): {name}", ops.alpha(process, times), alpha, bound * alpha, alpha)
    yield Comparison(f"sigma_t^2 = Ito integral: {name}", ops.sigma(process, times) ** 2, variance, bound * variance, variance)


def _moment_equations(ops: Operations, process, name: str, times: np.ndarray, radius: float, rng) -> Iterator[Comparison]:
    """d/dt E[x_t | x_0] = E f(x_t, t), d/dt Var = g^2 + 2 f' Var, every row of x_0 at its own time."""
    grid = times + radius * chebyshev_points()[:, None]
    alpha = ops.alpha(process, grid.ravel()).reshape(grid.shape)
    variance = (ops.sigma(process, grid.ravel()) ** 2).reshape(grid.shape)
    x0 = rng.standard_normal((len(times), 3)) + 0.5
    slope, error = derivative(alpha, radius)
    now = ops.alpha(process, times)
    # alpha and sigma^2 carry up to 8 eps (1 + R), R <= 20, beyond the 4 eps that ``derivative`` counts
    known = 2 * (1 + np.abs(np.log(now)))
    left, right = slope[:, None] * x0, ops.drift(process, now[:, None] * x0, times)
    scale = np.abs(x0) * (now / radius)[:, None] + np.abs(right)
    bound = np.abs(x0) * (known * error)[:, None] + 8 * EPS * scale
    yield Comparison(f"alpha' x_0 = f(alpha x_0, t): {name}", left, right, bound, scale)
    slope, error = derivative(variance, radius)
    rate, g2 = _rate(ops, process, times), ops.diffusion(process, times) ** 2
    now = ops.sigma(process, times) ** 2
    scale = g2 + 2 * np.abs(rate) * now + now / radius
    yield Comparison(f"(sigma_t^2)' = g^2 - 2 r sigma_t^2: {name}", slope, g2 - 2 * rate * now, 8 * error + 16 * EPS * scale, scale)


def _semigroup(ops: Operations, process, name: str, times: np.ndarray) -> Iterator[Comparison]:
    """From 0 to s, then from s to t: alpha multiplies, variances add after the second step has shrunk the first."""
    for s, t in [(times[0], times[1]), (times[1], times[3]), (times[0], times[-1])]:
        alpha, variance = (float(y) for y in ops.transition(process, s, t))
        case = f"{name}, from {s:.3g} to {t:.3g}"
        whole = float(ops.alpha(process, t))
        yield Comparison(f"alpha_t = alpha_ts alpha_s: {case}", alpha * float(ops.alpha(process, s)), whole,
                         EPS * (24 - 12 * math.log(whole)) * whole, whole)
        whole = float(ops.sigma(process, t)) ** 2
        added = alpha**2 * float(ops.sigma(process, s)) ** 2 + variance
        bound = 64 * EPS * (1 + abs(math.log(alpha))) * whole
        yield Comparison(f"sigma_t^2 = alpha_ts^2 sigma_s^2 + V_ts: {case}", added, whole, bound, whole)
    s, t, u = times[0], times[2], times[4]
    (a, v), (b, w), (c, whole) = (ops.transition(process, *pair) for pair in ((s, t), (t, u), (s, u)))
    yield Comparison(f"transitions compose, alpha: {name}", a * b, c, EPS * (24 - 12 * math.log(c)) * c, c)
    yield Comparison(f"transitions compose, variance: {name}", b * b * v + w, whole, 64 * EPS * (1 - math.log(c)) * whole, whole)


def _covariance(ops: Operations, process, name: str, times: np.ndarray) -> Iterator[Comparison]:
    for s, t in [(times[0], times[2]), (times[2], times[3])]:
        first = float(ops.sigma(process, 0.0)) ** 2 * float(ops.alpha(process, s)) * float(ops.alpha(process, t))
        exact = _ito(ops, process, s, t, s) + first
        bound = 64 * EPS * (1 - math.log(float(ops.alpha(process, t)))) * exact
        left = float(ops.transition(process, s, t)[0]) * float(ops.sigma(process, s)) ** 2
        yield Comparison(f"Cov(x_s, x_t) = alpha_ts sigma_s^2: {name}", left, exact, bound, exact)
        yield Comparison(f"covariance(s, t): {name}", process.covariance(s, t), exact, bound, exact)


def _reverse_steps(ops: Operations, process, name: str, times: np.ndarray) -> Iterator[Comparison]:
    """x_s = a x_t + b score + sqrt(v) z with a = e^R, b = int e^{R(s,u)} g^2 du, v = int e^{2R(s,u)} g^2 du."""
    start, end = times[[0, 1, 2]], times[[1, 3, 4]]
    a, b, v = ops.exponential_step(process, end, start)
    for i, (s, t) in enumerate(zip(start, end, strict=True)):
        nodes, weights = gauss_legendre(s, t, 8)
        growth = _decay(ops, process, np.append(nodes, t), s)  # from u > s down to s: e^{+R(s, u)}
        g2 = weights * ops.diffusion(process, nodes) ** 2
        exact = np.array([growth[-1], growth[:-1] @ g2, growth[:-1] ** 2 @ g2])
        bound = 64 * EPS * (1 + math.log(growth[-1])) * exact
        found = np.array([a[i], b[i], v[i]])
        yield Comparison(f"reverse step from {t:.3g} to {s:.3g}: {name}", found, exact, bound, exact)


def _stationary(ops: Operations, process: OU, name: str, times: np.ndarray) -> Iterator[Comparison]:
    """N(0, sigma^2/(2 beta)) is where every start ends, and what never changes."""
    limit = process.g * process.g / (2 * process.beta)
    last = float(ops.sigma(process, 700 / process.beta)) ** 2
    yield Comparison(f"sigma_t^2 at beta t = 700: {name}", last, limit, 16 * EPS * limit, limit)
    law = Gaussian(np.zeros(3), limit * np.eye(3))
    for t in times[:2]:
        then = ops.marginal(process, law, t).cov
        yield Comparison(f"stationary law, t = {t:.3g}: {name}", then, law.cov, 32 * EPS * limit, limit)
    start = _targets.mixture(2)
    late = ops.marginal(process, start, 60 / process.beta)  # what is left of the start is e^{-60} = 9e-27 of it
    yield Comparison(f"any start, mean at beta t = 60: {name}", late.mean, np.zeros(2), 1e-20, np.sqrt(limit))
    yield Comparison(f"any start, covariance at beta t = 60: {name}", late.cov, limit * np.eye(2), 32 * EPS * limit, limit)
