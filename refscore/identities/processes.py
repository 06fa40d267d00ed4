r"""Processes: alpha, sigma, transition, drift and diffusion belong to one linear SDE (systems E2, and the linear VP of E3).

For dX = -r(t) X dt + g(t) dW the mean and the variance of X_t given X_0 solve

    alpha' = -r alpha,   (sigma^2)' = g^2 - 2 r sigma^2,   hence   sigma_t^2 = int_0^t g(u)^2 e^{-2 int_u^t r} du,

and the law of X_t given X_s is of the same form, which makes transitions a semigroup. Three roads lead here besides the closed
forms: decimal arithmetic with 60 digits (the formulas of the sources as they stand, whatever they cancel), the integrals by
Gauss-Legendre quadrature of drift and diffusion, and the differential equations by spectral differentiation in t (`_moments`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal, localcontext

import numpy as np

from refscore.densities import Gaussian
from refscore.identities import _targets
from refscore.identities._calculus import EPS
from refscore.identities._chain_decimals import DIGITS
from refscore.identities._moments import Case, against_decimals, decimal_vp, linear_clock, moments
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.processes import OU, VP


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
        yield from moments(ops, Case(name, process), times, radius=0.1 / max(beta, 0.5), rng=rng)
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
        yield from against_decimals(ops, Case(name, process), times, [decimal_vp(linear_clock(low, high, t)) for t in times])
        if high < 100:  # the quadratures below resolve changes over times of about 1/beta
            inside = np.sort(rng.uniform(0.15, 0.9, 5))
            yield from moments(ops, Case(name, process), inside, radius=0.05, rng=rng)


def _extreme_times(ops: Operations) -> Iterator[Comparison]:
    """beta t from 1e-17 to 700, and the limit beta -> 0."""
    products = np.concatenate([10.0 ** np.arange(-17, 3), [0.3, 1.7, 5.5, 36.7, 350.0, 700.0]])
    for beta, g in [(1.0, math.sqrt(2)), (0.7, 1.3), (3e-9, 2.0), (4e8, 0.01)]:
        times = products / beta
        case = Case(f"beta = {beta:g}, sigma = {g:.3g}, beta t from 1e-17 to 700", OU(beta, g))
        yield from against_decimals(ops, case, times, [_decimal_ou(beta, g, t) for t in times])
    for beta in (0.0, 5e-324, 1e-200, 1e-17):
        times = np.array([1e-12, 0.3, 1.0, 7.0])
        exact = [_decimal_ou(beta, 1.3, t) for t in times]
        yield from against_decimals(ops, Case(f"beta = {beta:g}, Brownian motion to rounding", OU(beta, 1.3)), times, exact)
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
