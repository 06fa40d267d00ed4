"""What every linear SDE must satisfy, for a process on trial: a new process is one `Case` and one call of `moments`.

Closed forms against the formulas as they stand in 60 digits, the Ito integrals of drift and diffusion by quadrature, the moment
equations by spectral differentiation in t, the semigroup, the covariance in time, and the frozen-score reverse steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np

from refscore.identities._calculus import EPS, chebyshev_points, derivative, gauss_legendre
from refscore.identities._chain_decimals import DIGITS
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison


class Case(NamedTuple):
    """A process; ``start`` is sigma at t = 0.

    ``slack`` is how many times the roundings of a short closed form those of alpha and sigma are, ``rates`` the same of r and g.
    """

    name: str
    process: Any
    slack: float = 1.0
    start: float = 0.0
    rates: float = 1.0

    @property
    def worst(self) -> float:
        """Of comparisons in which all of them meet."""
        return max(self.slack, self.rates)


def linear_clock(low: float, high: float, t: float) -> Decimal:
    """int_0^t beta of the linear schedule, as it stands."""
    with localcontext(DIGITS):
        time = Decimal(float(t))
        return Decimal(low) * time + (Decimal(high) - Decimal(low)) * time * time / 2


def decimal_vp(clock: Decimal) -> tuple[Decimal, Decimal]:
    """(alpha, sigma^2) = (e^{-B/2}, 1 - e^{-B})."""
    with localcontext(DIGITS):
        return (-clock / 2).exp(), 1 - (-clock).exp()


def against_decimals(ops: Operations, case: Case, times: np.ndarray, exact: list, clock_error: float = 0.0) -> Iterator[Comparison]:
    """Relative errors: R = int r has a few roundings, which e^{-R} turns into R eps; sqrt(1 - e^{-2R}) never magnifies them.

    A clock B = 2 R that is known to ``clock_error`` only moves alpha by half of that, and 1 - e^{-B} by at most that.
    """
    process = case.process
    with localcontext(DIGITS):
        alpha = np.array([float(a) for a, _ in exact])
        sigma = np.array([float(v.sqrt()) for _, v in exact])
        over = np.array([float(v - Decimal(case.start) ** 2 * a * a) for a, v in exact])
    rounding = case.slack * EPS * (8 - 4 * np.log(alpha)) + clock_error
    small = case.slack * 8 * EPS * sigma + clock_error / 2 / sigma
    yield Comparison(f"alpha: {case.name}", ops.alpha(process, times), alpha, rounding * alpha, alpha)
    yield Comparison(f"sigma_t: {case.name}", ops.sigma(process, times), sigma, small, sigma)
    a, v = ops.transition(process, np.zeros_like(times), times)
    yield Comparison(f"transition from 0, alpha: {case.name}", a, alpha, rounding * alpha, alpha)
    yield Comparison(f"transition from 0, variance: {case.name}", v, over, 16 * case.slack * EPS * over + clock_error, over)


def moments(ops: Operations, case: Case, times: np.ndarray, radius: float, rng) -> Iterator[Comparison]:
    """At five increasing times, around which r, g and sigma^2 are smooth for ``radius``."""
    yield from _integrals(ops, case, times)
    yield from _moment_equations(ops, case, times, radius, rng)
    yield from _semigroup(ops, case, times)
    yield from _covariance(ops, case, times)
    yield from _reverse_steps(ops, case, times)


def _rate(ops: Operations, process, u: np.ndarray) -> np.ndarray:
    """r(u), read off the drift at x = 1."""
    return -ops.drift(process, np.ones((len(u), 1)), u)[:, 0]


def _decay(ops: Operations, process, u: np.ndarray, t: float) -> np.ndarray:
    """e^{-int_u^t r}, for every u.

    The rule is exact where r is a polynomial. With a pole of r at distance p beyond an interval of length l, as at t = 1 of the
    cosine schedule, it leaves out (1 + 2p/l + ...)^{-40}: below rounding for p = l/4, that is for times up to 0.8.
    """
    nodes, weights = gauss_legendre(0.0, 1.0, 1)
    rates = _rate(ops, process, (u[:, None] + (t - u)[:, None] * nodes).ravel())
    return np.exp(-(t - u) * (rates.reshape(len(u), -1) @ weights))


def _covariance_from_noise(ops: Operations, case: Case, s: float, t: float) -> float:
    """Cov(x_s, x_t), s <= t: int_0^s g(u)^2 e^{-R(u, s)} e^{-R(u, t)} du by the Ito isometry, and what was there at time 0.

    On each of 8 panels the exponent changes by less than 6, and 20 nodes leave 6^40 (20!)^4/(41 (40!)^3) < 1e-37 of it out.
    """
    nodes, weights = gauss_legendre(0.0, s, 8)
    places = np.append(nodes, 0.0)
    decays = _decay(ops, case.process, places, s) * _decay(ops, case.process, places, t)
    return float(weights @ (ops.diffusion(case.process, nodes) ** 2 * decays[:-1]) + case.start**2 * decays[-1])


def _integrals(ops: Operations, case: Case, times: np.ndarray) -> Iterator[Comparison]:
    """Sums of 160 positive terms, each with a relative error of some ten eps: 64 eps covers them."""
    process, name = case.process, case.name
    alpha = np.array([_decay(ops, process, np.zeros(1), t)[0] for t in times])
    variance = np.array([_covariance_from_noise(ops, case, t, t) for t in times])
    # rates times spans reach about 20: e^{-R} carries R eps
    bound = 64 * case.worst * EPS * (1 + np.abs(np.log(alpha)))
    yield Comparison(f"alpha = exp(-int rate): {name}", ops.alpha(process, times), alpha, bound * alpha, alpha)
    yield Comparison(f"sigma_t^2 = Ito integral: {name}", ops.sigma(process, times) ** 2, variance, bound * variance, variance)


def _moment_equations(ops: Operations, case: Case, times: np.ndarray, radius: float, rng) -> Iterator[Comparison]:
    """d/dt E[x_t | x_0] = E f(x_t, t), d/dt Var = g^2 + 2 f' Var, every row of x_0 at its own time."""
    process, name, roundings = case.process, case.name, case.worst * EPS
    grid = times + radius * chebyshev_points()[:, None]
    alpha = ops.alpha(process, grid.ravel()).reshape(grid.shape)
    variance = (ops.sigma(process, grid.ravel()) ** 2).reshape(grid.shape)
    x0 = rng.standard_normal((len(times), 3)) + 0.5
    slope, error = derivative(alpha, radius)
    now = ops.alpha(process, times)
    # alpha and sigma^2 carry up to 8 eps (1 + R), R <= 20, beyond the 4 eps that ``derivative`` counts
    known = 2 * case.slack * (1 + np.abs(np.log(now)))
    left, right = slope[:, None] * x0, ops.drift(process, now[:, None] * x0, times)
    scale = np.abs(x0) * (now / radius)[:, None] + np.abs(right)
    bound = np.abs(x0) * (known * error)[:, None] + 8 * roundings * scale
    yield Comparison(f"alpha' x_0 = f(alpha x_0, t): {name}", left, right, bound, scale)
    slope, error = derivative(variance, radius)
    rate, g2 = _rate(ops, process, times), ops.diffusion(process, times) ** 2
    now = ops.sigma(process, times) ** 2
    scale = g2 + 2 * np.abs(rate) * now + now / radius
    bound = 8 * case.slack * error + 16 * roundings * scale
    yield Comparison(f"(sigma_t^2)' = g^2 - 2 r sigma_t^2: {name}", slope, g2 - 2 * rate * now, bound, scale)


def _semigroup(ops: Operations, case: Case, times: np.ndarray) -> Iterator[Comparison]:
    """From 0 to s, then from s to t: alpha multiplies, variances add after the second step has shrunk the first."""
    process, name, roundings = case.process, case.name, case.worst * EPS
    for s, t in [(times[0], times[1]), (times[1], times[3]), (times[0], times[-1])]:
        alpha, variance = (float(y) for y in ops.transition(process, s, t))
        step = f"{name}, from {s:.3g} to {t:.3g}"
        whole = float(ops.alpha(process, t))
        yield Comparison(f"alpha_t = alpha_ts alpha_s: {step}", alpha * float(ops.alpha(process, s)), whole,
                         roundings * (24 - 12 * math.log(whole)) * whole, whole)
        whole = float(ops.sigma(process, t)) ** 2
        added = alpha**2 * float(ops.sigma(process, s)) ** 2 + variance
        bound = 64 * roundings * (1 + abs(math.log(alpha))) * whole
        yield Comparison(f"sigma_t^2 = alpha_ts^2 sigma_s^2 + V_ts: {step}", added, whole, bound, whole)
    s, t, u = times[0], times[2], times[4]
    (a, v), (b, w), (c, whole) = (ops.transition(process, *pair) for pair in ((s, t), (t, u), (s, u)))
    yield Comparison(f"transitions compose, alpha: {name}", a * b, c, roundings * (24 - 12 * math.log(c)) * c, c)
    bound = 64 * roundings * (1 - math.log(c)) * whole
    yield Comparison(f"transitions compose, variance: {name}", b * b * v + w, whole, bound, whole)


def _covariance(ops: Operations, case: Case, times: np.ndarray) -> Iterator[Comparison]:
    process, name = case.process, case.name
    for s, t in [(times[0], times[2]), (times[2], times[3])]:
        exact = _covariance_from_noise(ops, case, s, t)
        bound = 64 * case.worst * EPS * (1 - math.log(float(ops.alpha(process, t)))) * exact
        left = float(ops.transition(process, s, t)[0]) * float(ops.sigma(process, s)) ** 2
        yield Comparison(f"Cov(x_s, x_t) = alpha_ts sigma_s^2: {name}", left, exact, bound, exact)
        yield Comparison(f"covariance(s, t): {name}", process.covariance(s, t), exact, bound, exact)


def _reverse_steps(ops: Operations, case: Case, times: np.ndarray) -> Iterator[Comparison]:
    """x_s = a x_t + b score + sqrt(v) z with a = e^R, b = int e^{R(s,u)} g^2 du, v = int e^{2R(s,u)} g^2 du."""
    process = case.process
    start, end = times[[0, 1, 2]], times[[1, 3, 4]]
    a, b, v = ops.exponential_step(process, end, start)
    for i, (s, t) in enumerate(zip(start, end, strict=True)):
        nodes, weights = gauss_legendre(s, t, 8)
        growth = _decay(ops, process, np.append(nodes, t), s)  # from u > s down to s: e^{+R(s, u)}
        g2 = weights * ops.diffusion(process, nodes) ** 2
        exact = np.array([growth[-1], growth[:-1] @ g2, growth[:-1] ** 2 @ g2])
        bound = 64 * case.worst * EPS * (1 + math.log(growth[-1])) * exact
        found = np.array([a[i], b[i], v[i]])
        yield Comparison(f"reverse step from {t:.3g} to {s:.3g}: {case.name}", found, exact, bound, exact)
