r"""Schedules: cosine and free ones of VP, sub-VP, VE, paths given by their scales; and that all are one process (systems E3, E6).

Every process is checked as OU and the linear VP are: alpha, sigma, transitions and reverse steps against drift and diffusion by the
Ito integral and the moment equations, and against its published form, in 60 digits where that form needs no more than exp and log.

That x^A_t = c x^B_u in law where sigma/alpha agree is checked for every ordered pair, the clock u(t) against its closed form:

    rho = sigma/alpha:    OU       u = log(1 + 2 beta rho^2/sigma^2)/(2 beta)       Brownian  u = rho^2/sigma^2
                          VP       B(u) = log(1 + rho^2)                            sub-VP    B(u) = 2 arsinh(rho/2)
                          cosine   sin phi(u) = sin phi(0)/sqrt(1 + rho^2)          VE        u = log(rho/sigma_min)/L
                          straight lines  u = rho/(1 + rho)

(from the data: rho^2 + sigma_min^2 for VE), and the laws and scores of a mixture against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

from refscore.identities import _targets
from refscore.identities._calculus import EPS
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.processes import DIGITS, against_decimals, inside
from refscore.processes import OU, VE, VP, Path, SubVP, VPCosine, VPSchedule

_LINEAR = (
    "sigma_is_variance", "sigma_without_half", "alpha_rate_halved", "alpha_rate_doubled", "alpha_beta_not_integrated", "drift_sign",
    "drift_doubled", "drift_first_time_for_all", "diffusion_is_variance", "diffusion_halved", "transition_from_time_zero",
    "transition_alpha_from_time_zero", "transition_std_for_variance", "transition_variances_subtracted",
    "exponential_step_weight_halved", "exponential_step_weight_is_variance", "exponential_step_forward_variance",
    "exponential_step_std_for_variance", "exponential_step_alpha_forwards",
)  # fmt: skip
_TINY_TIMES = np.concatenate([10.0 ** np.arange(-17, 0), [0.2, 0.5, 0.77, 1.0]])


def _decimals(form: Callable, times: np.ndarray) -> list[tuple[Decimal, Decimal]]:
    """(alpha, sigma^2) of every time by ``form(t)``, which returns (alpha, sigma), in 60 digits."""
    with localcontext(DIGITS):
        pairs = [form(Decimal(float(t))) for t in times]
        return [(alpha, sigma * sigma) for alpha, sigma in pairs]


@identity(
    id="E3.schedule",
    systems=("E3",),
    title="Moments of the variance-preserving process with the cosine schedule, and with any schedule",
    statement=r"\alpha_t = \frac{\cos\left(\frac{\pi}{2}\frac{t+s}{1+s}\right)}{\cos\left(\frac{\pi}{2}\frac{s}{1+s}\right)};\quad "
    r"\alpha_t = e^{-\frac12\int_0^t \beta},\; \sigma_t^2 = 1 - \alpha_t^2",
    source="[e]; Nichol & Dhariwal 2021, eq. 17",
    method="the published cosines and 60-digit decimal arithmetic for an exponential beta(t), "
    "against clocks by reduction and by quadrature; Ito integrals, moment equations, semigroup",
    catches=(*_LINEAR, "cosine_offset_ten_times", "schedule_by_left_rectangle"),
)
def schedules(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 61))
    times = np.array([1e-9, 0.1, 0.3, 0.77, 0.95, 0.999])
    for s in (0.008, float(rng.uniform(0.02, 0.2))):
        process, name = VPCosine(s), f"cosine, s = {s:.3g}"
        published = np.cos(math.pi / 2 * (times + s) / (1 + s)) / math.cos(math.pi / 2 * s / (1 + s))
        yield Comparison(f"alpha as published: {name}", ops.alpha(process, times), published, 8 * EPS, 1.0)
        yield Comparison(f"sigma^2 = 1 - alpha^2: {name}", ops.sigma(process, times) ** 2, 1 - published**2, 16 * EPS, 1.0)
        yield from inside(ops, process, name, np.sort(rng.uniform(0.15, 0.85, 5)), 0.05, rng)
    low, growth = float(rng.uniform(0.3, 1)), float(rng.uniform(2, 3))
    free, name = VPSchedule(lambda t: low * np.exp(growth * t)), f"beta(t) = {low:.3g} exp({growth:.3g} t)"

    def closed(t: Decimal):
        clock = Decimal(low) / Decimal(growth) * ((Decimal(growth) * t).exp() - 1)
        return (-clock / 2).exp(), (1 - (-clock).exp()).sqrt()

    yield from against_decimals(ops, free, name, _TINY_TIMES, _decimals(closed, _TINY_TIMES))
    yield from inside(ops, free, name, np.sort(rng.uniform(0.15, 0.9, 5)), 0.05, rng)
    yield from _step(ops)


def _step(ops: Operations) -> Iterator[Comparison]:
    """A schedule that jumps, and one that is infinite at 0 and integrable: clocks in closed form."""
    times = np.array([0.1, 0.37, 0.4, 1.0])
    jump = VPSchedule(lambda t: np.where(t < 0.37, 1.0, 6.0))
    clock = np.minimum(times, 0.37) + 6 * np.maximum(times - 0.37, 0)
    yield Comparison("beta jumps from 1 to 6", ops.alpha(jump, times), np.exp(-clock / 2), 4 * jump.clock_error, 1.0)
    root = VPSchedule(lambda t: t**-0.5)
    yield Comparison("beta = t^{-1/2}", ops.alpha(root, times), np.exp(-np.sqrt(times)), 4 * root.clock_error, 1.0)


@identity(
    id="E3.subvp",
    systems=("E3",),
    title="Moments of the sub-variance-preserving process: its standard deviation is VP's variance",
    statement=r"\sigma_t = 1 - e^{-\int_0^t \beta},\quad g^2 = \beta(t)\left(1 - e^{-2\int_0^t\beta}\right)",
    source="[e]; Song et al. 2021, eqs. 13, 14 and app. C",
    method="closed forms against 60-digit decimal arithmetic; Ito integrals, moment equations, semigroup",
    catches=(*_LINEAR, "sub_vp_std_of_vp", "sub_vp_diffusion_of_vp", "sub_vp_diffusion_exponent_halved"),
)
def sub_variance_preserving(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 62))
    for low, high in [(0.1, 20.0), (float(rng.uniform(0.05, 1)), float(rng.uniform(5, 15)))]:
        process, name = SubVP(low, high), f"sub-VP, beta from {low:.3g} to {high:.3g}"

        def closed(t: Decimal, low=low, high=high):
            clock = Decimal(low) * t + (Decimal(high) - Decimal(low)) * t * t / 2
            return (-clock / 2).exp(), 1 - (-clock).exp()

        yield from against_decimals(ops, process, name, _TINY_TIMES, _decimals(closed, _TINY_TIMES))
        yield from inside(ops, process, name, np.sort(rng.uniform(0.15, 0.9, 5)), 0.05, rng)


@identity(
    id="E3.ve",
    systems=("E3",),
    title="Moments of the variance-exploding process, started from its smallest noise or from the data",
    statement=r"\sigma(t) = \sigma_{\min}\left(\frac{\sigma_{\max}}{\sigma_{\min}}\right)^t,\quad g^2 = \frac{d\sigma^2}{dt};\quad "
    r"x_t = x_0 + \sigma(t) z \text{ or } x_0 + \sqrt{\sigma(t)^2 - \sigma_{\min}^2}\, z",
    source="[e]; Song et al. 2021, eq. 9 and app. C",
    method="closed forms against 60-digit decimal arithmetic; Ito integrals, moment equations, semigroup",
    catches=(
        "sigma_is_variance", "sigma_without_half", "diffusion_is_variance", "diffusion_halved", "transition_from_time_zero",
        "transition_std_for_variance", "exponential_step_weight_halved", "exponential_step_std_for_variance", "ve_start_confused",
        "ve_diffusion_is_sigma", "ve_linear_ladder",
    ),
)  # fmt: skip
def variance_exploding(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 63))
    for low, high in [(0.01, 50.0), (float(rng.uniform(0.1, 0.5)), float(rng.uniform(3, 30)))]:
        for start in ("sigma_min", "data"):
            process, name = VE(low, high, start), f"VE from {low:.3g} to {high:.3g}, start = {start}"

            def closed(t: Decimal, low=low, high=high, start=start):
                level = Decimal(low) * (t * (Decimal(high) / Decimal(low)).ln()).exp()
                return Decimal(1), level if start == "sigma_min" else (level * level - Decimal(low) ** 2).sqrt()

            with localcontext(DIGITS):
                exact = _decimals(closed, _TINY_TIMES)
                sigma = np.array([float(v.sqrt()) for _, v in exact])
            # powers of ratios: log(50/0.01) = 8.5 roundings of the exponent
            yield Comparison(f"sigma_t: {name}", ops.sigma(process, _TINY_TIMES), sigma, 32 * EPS * sigma, sigma)
            yield from inside(ops, process, name, np.sort(rng.uniform(0.15, 0.9, 5)), 0.05, rng)


@identity(
    id="E3.path",
    systems=("E3", "E6"),
    title="Drift and diffusion follow from alpha and sigma",
    statement=r"f = \frac{\dot\alpha}{\alpha} x,\quad g^2 = 2\sigma\left(\dot\sigma - \sigma\frac{\dot\alpha}{\alpha}\right)",
    source="[e]; Karras et al. 2022, app. B; Kingma et al. 2021",
    method="straight lines, a quarter circle and the scales of VP as functions, against closed forms of rate and diffusion; Ito "
    "integrals, moment equations, semigroup",
    catches=(
        "drift_sign", "drift_doubled", "drift_first_time_for_all", "diffusion_is_variance", "diffusion_halved",
        "transition_from_time_zero", "transition_alpha_from_time_zero", "transition_std_for_variance",
        "transition_variances_subtracted", "exponential_step_weight_halved", "exponential_step_weight_is_variance",
        "exponential_step_forward_variance", "path_diffusion_without_drift", "path_diffusion_sign", "path_diffusion_of_sigma",
    ),
)  # fmt: skip
def paths(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 64))
    half = math.pi / 2
    vp = VP(0.3, 6.0)
    cases = [  # name, path with slopes, the same without, r, g^2
        ("straight lines", Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -1 + 0 * t, sigma_slope=lambda t: 1 + 0 * t),
         Path(lambda t: 1 - t, lambda t: t), lambda t: 1 / (1 - t), lambda t: 2 * t / (1 - t)),
        ("quarter circle", Path(lambda t: np.cos(half * t), lambda t: np.sin(half * t),
                                alpha_slope=lambda t: -half * np.sin(half * t), sigma_slope=lambda t: half * np.cos(half * t)),
         Path(lambda t: np.cos(half * t), lambda t: np.sin(half * t)), lambda t: half * np.tan(half * t),
         lambda t: math.pi * np.tan(half * t)),
        ("VP's scales", Path(vp.alpha, vp.sigma, alpha_slope=lambda t: -vp.rate(t) * vp.alpha(t),
                             sigma_slope=lambda t: vp.rate(t) * vp.alpha(t) ** 2 / vp.sigma(t)),
         Path(vp.alpha, vp.sigma), lambda t: 0.15 + 2.85 * t, lambda t: 0.3 + 5.7 * t),
    ]  # fmt: skip
    for name, path, by_values, rate, g2 in cases:
        times = np.sort(rng.uniform(0.15, 0.85, 5))
        yield from inside(ops, path, name, times, 0.05, rng)
        x = rng.standard_normal((5, 3)) + 0.5
        for p, how, digits in ((path, "slopes given", 32 * EPS), (by_values, "slopes by differences", 1e-11)):
            drift, g = -rate(times)[:, None] * x, np.sqrt(g2(times))
            # differences of the scales are off by 1e-12 of them at most (`_differences` says so), g^2 by twice as much
            yield Comparison(f"drift, {how}: {name}", ops.drift(p, x, times), drift, digits * np.abs(drift), np.abs(drift))
            yield Comparison(f"diffusion, {how}: {name}", ops.diffusion(p, times), g, digits * g, g)


class _Clock(NamedTuple):
    """A process beside u(rho), the time at which its noise-to-signal ratio is rho."""

    name: str
    process: OU | VP | VE | VPCosine | Path
    time: Callable
    at: float


def _linear_clock(clock, low: float, high: float):
    return 2 * clock / (low + np.sqrt(low * low + 2 * (high - low) * clock))


def _clocks() -> list[_Clock]:
    angle = math.pi / 2 / 1.008
    return [
        _Clock("OU(0.7, 1.3)", OU(0.7, 1.3), lambda r: np.log1p(1.4 * (r / 1.3) ** 2) / 1.4, 0.9),
        _Clock("Brownian motion", OU(0.0, 1.7), lambda r: (r / 1.7) ** 2, 0.6),
        _Clock("VP", VP(), lambda r: _linear_clock(np.log1p(r * r), 0.1, 20.0), 0.3),
        _Clock("cosine", VPCosine(), lambda r: 1 - np.arcsin(math.sin(angle) / np.hypot(1, r)) / angle, 0.45),
        _Clock("sub-VP", SubVP(), lambda r: _linear_clock(2 * np.arcsinh(r / 2), 0.1, 20.0), 0.37),
        _Clock("VE from the data", VE(0.02, 40.0, "data"), lambda r: np.log1p((r / 0.02) ** 2) / (2 * math.log(2000)), 0.52),
        _Clock("VE", VE(0.02, 40.0), lambda r: np.log(r / 0.02) / math.log(2000), 0.55),
        _Clock("straight lines", Path(lambda t: 1 - t, lambda t: t), lambda r: r / (1 + r), 0.41),
    ]


@identity(
    id="E6",
    systems=("E6",),
    title="Every process is a time-changed, rescaled other one",
    statement=r"x^A_t \overset{d}{=} c\, x^B_u,\quad \frac{\sigma^B_u}{\alpha^B_u} = \frac{\sigma^A_t}{\alpha^A_t},\; "
    r"c = \frac{\alpha^A_t}{\alpha^B_u};\quad s^A(x, t) = \tfrac1c\, s^B(x/c, u)",
    source="[e]; Song et al. 2021, app. C; Karras et al. 2022, sec. 2",
    method="clocks by bisection against their closed forms, for every ordered pair of eight processes; scores and log-densities of "
    "a mixture along one against those along the other",
    catches=(
        "time_change_by_sigma", "time_change_by_snr_of_variance", "time_change_scale_inverted", "time_change_scale_of_sigma_zero",
        "time_change_same_time", "converted_score_not_divided", "converted_score_at_x", "converted_score_squared_scale",
        "sigma_is_variance",
    ),
)  # fmt: skip
def one_process(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 66))
    data = _targets.mixture(2)
    for a in _clocks():
        t = a.at * rng.uniform(0.5, 1.2, 3)
        ratio = np.array([float(ops.sigma(a.process, u)) / float(ops.alpha(a.process, u)) for u in t])
        for b in _clocks():
            u, c = ops.time_change(a.process, b.process, t)
            expected = b.time(ratio)
            # rho is rounded, and tells u to |rho du/d rho|/u times as much; cosines and logarithms near 1 add as much again
            slope = np.abs(b.time(ratio * (1 + 1e-6)) - b.time(ratio * (1 - 1e-6))) / 2e-6
            bound = 32 * EPS * (slope + expected + 1)
            yield Comparison(f"clock: {a.name} at the times of {b.name}", u, expected, bound, 1.0)
            right = ops.sigma(a.process, t) / ops.sigma(b.process, u)
            yield Comparison(f"scale: {a.name} by {b.name}", c, right, 64 * EPS * right * (1 + slope / expected), right)
            yield from _laws(ops, a, b, data, float(t[1]), float(u[1]), float(c[1]), rng)
    names = ("OU", "BM", "VP", "cosine", "sub-VP", "VE 0", "VE", "lines")
    rows = [(rho, *(float(f"{c.time(rho):.3g}") for c in _clocks())) for rho in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)]
    picture = Picture("rho", names, log=True, ylabel="time")
    yield Table("times of equal noise-to-signal ratio rho = sigma/alpha, eight processes", ("rho", *names), rows, picture)


def _laws(ops: Operations, a: _Clock, b: _Clock, data, t: float, u: float, c: float, rng) -> Iterator[Comparison]:
    """log p_A(x) = log p_B(x/c) - d log c, and the scores, at samples; bounds: their own errors, and u and c rounded."""
    here, there = a.process.marginal(data, t), b.process.marginal(data, u)
    x = here.sample(5, rng)
    left, right = ops.logpdf(here, x), ops.logpdf(there, x / c) - data.dim * math.log(c)
    score, jacobian = here.score(x), here.score_jacobian(x)
    far = np.linalg.norm(x, axis=1)
    steep = np.linalg.norm(score, axis=1) * far + np.abs(score).sum(axis=1) + data.dim  # a change of scale by eps, or of sigma
    bound = here.logpdf_error(x) + there.logpdf_error(x / c) + 256 * EPS * steep
    yield Comparison(f"log p: {a.name} from {b.name}", left, right, bound, 1 + np.abs(left))
    converted = ops.ConvertedScore(lambda y, v: ops.score(there, y), a.process, b.process)(x, t)
    change = np.abs(jacobian).sum(axis=2) * far[:, None] + np.abs(score) + np.abs(score).max()
    bound = here.score_error(x) + there.score_error(x / c) / c + 256 * EPS * change
    yield Comparison(f"score: {a.name} from {b.name}", converted, ops.score(here, x), bound, change)
