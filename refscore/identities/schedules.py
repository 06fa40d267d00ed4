r"""Schedules of noise: the cosine and any other beta(t), sub-VP, VE, and paths given by their two scales (systems E3).

Each is tried as in `_moments`, and by what is its own: where it starts and ends, and what it is beside VP. The formulas in 60
digits are the published ones as they stand, whatever they cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext

import numpy as np

from refscore.identities._calculus import EPS
from refscore.identities._chain_decimals import DIGITS, PI, cos
from refscore.identities._moments import Case, against_decimals, decimal_vp, linear_clock, moments
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.processes import VE, VP, Path, SubVP, VPCosine, VPSchedule

_EARLY = np.concatenate([10.0 ** np.arange(-17, 0), [0.2, 0.5, 0.77]])
_DIFFERENCES = 700
"""Slack of slopes by differences: good to 1e-11 at worst, 64 eps are 1.4e-14."""


@identity(
    id="E3.cosine",
    systems=("E3",),
    title="Moments of the variance-preserving process with the cosine schedule",
    statement=r"\alpha_t = \frac{\cos\left(\frac\pi2 \frac{t+s}{1+s}\right)}{\cos\left(\frac\pi2 \frac{s}{1+s}\right)},\quad "
    r"\sigma_t^2 = 1 - \alpha_t^2,\quad \beta(t) = \frac{\pi}{1+s} \tan\left(\frac\pi2 \frac{t+s}{1+s}\right)",
    source="Nichol & Dhariwal 2021, eq. 17",
    method="closed forms against the published cosines in 60-digit decimal arithmetic to both ends, quadrature of the Ito "
    "integral, the moment equations by spectral differentiation, and the semigroup property",
    catches=(
        "vp_cosine_not_squared", "vp_cosine_offset_tenfold", "vp_cosine_not_normalised", "vp_cosine_offset_outside_the_period",
        "vp_cosine_beta_as_in_the_chain", "sigma_is_variance", "alpha_beta_not_integrated", "drift_doubled",
        "drift_first_time_for_all", "diffusion_is_variance", "transition_from_time_zero", "exponential_step_weight_halved",
        "exponential_step_forward_variance",
    ),
)
def cosine_schedule(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 33))
    for s in (0.008, 0.0, 0.3, rng.uniform(0.001, 0.1)):
        case = Case(f"cosine schedule, s = {s:.3g}", VPCosine(s))
        times = np.concatenate([_EARLY, 1 - 10.0 ** np.arange(-15, 0), [1 - 2.0**-53], rng.uniform(0, 1, 4)])
        yield from against_decimals(ops, case, times, [_decimal_cosine(s, t) for t in times])
        yield Comparison(f"alpha_1 = 0, to the last bit: {case.name}", ops.alpha(case.process, 1.0), 0.0, 0.0)
        yield Comparison(f"sigma_1 = 1, to the last bit: {case.name}", ops.sigma(case.process, 1.0), 1.0, 0.0)
        yield from moments(ops, case, np.sort(rng.uniform(0.15, 0.8, 5)), radius=0.05, rng=rng)


def _decimal_cosine(s: float, t: float) -> tuple[Decimal, Decimal]:
    with localcontext(DIGITS):
        shift, time = Decimal(s), Decimal(float(t))
        alpha = cos(PI / 2 * (time + shift) / (1 + shift)) / cos(PI / 2 * shift / (1 + shift))
        return alpha, 1 - alpha * alpha


@identity(
    id="E3.schedule",
    systems=("E3",),
    title="Moments of the variance-preserving process with any integrable beta",
    statement=r"\alpha_t = e^{-\frac12 B_t},\quad \sigma_t^2 = 1 - e^{-B_t},\quad B_t = \int_0^t \beta(u)\,du",
    source="[b, sec. 2]; Song et al. 2021, eq. 11 and app. C",
    method="the clock by adaptive quadrature against primitives in 60 digits (steps, kinks, singularities), quadrature of the Ito "
    "integral, the moment equations by spectral differentiation, the semigroup property; and VP from its beta alone",
    catches=(
        "alpha_beta_not_integrated", "alpha_clock_by_trapezoid", "alpha_clock_by_left_rectangle", "sigma_clock_by_midpoint",
        "alpha_rate_doubled", "sigma_is_variance",
        "sigma_alpha_not_squared", "drift_sign", "diffusion_halved", "transition_alpha_from_time_zero",
        "transition_variances_subtracted", "exponential_step_weight_is_variance",
    ),
)
def any_schedule(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 34))
    table = []
    for name, beta, clock in _schedules():
        process = VPSchedule(beta)
        times = np.concatenate([[0.01, 0.03, 0.1], [0.29, 0.31, 0.36, 0.38, 0.7, 1.0], rng.uniform(0.1, 1, 3)])
        exact = [_by_clock(clock, t) for t in times]
        yield from against_decimals(ops, Case(name, process), times, exact, process.clock_error)
        table.append((name, process.clock_error, float(abs(ops.alpha(process, 1.0) / float(exact[8][0]) - 1))))
    for name, beta, clock in _schedules()[:2]:
        case = Case(f"{name}, from t = 1e-17 on", VPSchedule(beta), slack=2)  # panels add some roundings to those of beta
        yield from against_decimals(ops, case, _EARLY, [_by_clock(clock, t) for t in _EARLY])
        yield from moments(ops, case, np.sort(rng.uniform(0.15, 0.8, 5)), radius=0.05, rng=rng)
    low, high = rng.uniform(0.05, 1), rng.uniform(5, 30)
    given, linear = VPSchedule(lambda t: (1 - t) * low + t * high), VP(low, high)
    for s, t in ((0.2, 0.200001), (0.1, 0.9)):
        left, right = (np.array(ops.exponential_step(p, t, s)) for p in (given, linear))
        bound = 64 * EPS * (1 + math.log(right[0])) * right
        yield Comparison(f"reverse step of VP from its beta alone, from {t:.6g} to {s:.3g}", left, right, bound, right)
    yield Table("Clocks by adaptive quadrature, on [0, 1]", ("schedule", "error of B_1 as estimated", "error of alpha_1"), table)


def _schedules() -> tuple[tuple[str, Callable, Callable], ...]:
    """(name, beta, its primitive in decimals); the first two are smooth."""
    step, kink = Decimal(0.37), Decimal(0.3)
    return (
        ("beta = 0.5 + 3 t^2", lambda t: 0.5 + 3 * t * t, lambda t: t / 2 + t**3),
        ("beta = 2 e^{2 t}", lambda t: 2 * np.exp(2 * t), _growing),
        ("beta with a step at 0.37", lambda t: np.where(t < 0.37, 1.0, 30.0), lambda t: t + 29 * max(t - step, Decimal(0))),
        ("beta = 9 |t - 0.3|", lambda t: 9 * np.abs(t - 0.3), lambda t: 9 * (kink**2 + (t - kink) * abs(t - kink)) / 2),
        ("beta = t^{-1/2}", lambda t: t**-0.5, lambda t: 2 * t.sqrt()),
    )


def _growing(t: Decimal) -> Decimal:
    """e^{2 t} - 1; where 60 digits would lose more than 20 of it, its series."""
    x = 2 * t
    return x.exp() - 1 if x > Decimal("1e-15") else x + x**2 / 2 + x**3 / 6 + x**4 / 24


def _by_clock(clock: Callable, t: float) -> tuple[Decimal, Decimal]:
    with localcontext(DIGITS):
        return decimal_vp(clock(Decimal(float(t))))


@identity(
    id="E3.subvp",
    systems=("E3",),
    title="Moments of the sub-variance-preserving process",
    statement=r"g^2 = \beta(t)\left(1 - e^{-2 B_t}\right):\quad \alpha_t = e^{-\frac12 B_t},\quad \sigma_t = 1 - e^{-B_t}"
    r"\ \text{(not its root)}",
    source="Song et al. 2021, eq. 13 and app. C",
    method="closed forms against 60-digit decimal arithmetic, quadrature of the Ito integral, the moment equations by spectral "
    "differentiation, the semigroup property, reverse steps by quadrature; and its variance below that of VP",
    catches=(
        "subvp_sigma_of_vp", "subvp_diffusion_of_vp", "subvp_diffusion_with_one_clock", "subvp_transition_of_vp",
        "subvp_transition_is_stationary", "subvp_weight_of_vp", "sigma_is_variance", "drift_doubled", "diffusion_is_variance",
        "transition_from_time_zero", "exponential_step_weight_is_variance", "exponential_step_forward_variance",
    ),
)
def sub_variance_preserving(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 35))
    for low, high in [(0.1, 20.0), (0.0, 5.0), (3.0, 1397.0), (rng.uniform(0.05, 1), rng.uniform(5, 30))]:
        case = Case(f"sub-VP, beta from {low:.3g} to {high:.3g}", SubVP(low, high))
        times = np.append(_EARLY, 1.0)
        yield from against_decimals(ops, case, times, [_decimal_sub_vp(linear_clock(low, high, t)) for t in times])
        if high < 100:
            inside = np.sort(rng.uniform(0.15, 0.9, 5))
            yield from moments(ops, case, inside, radius=0.05, rng=rng)
            variance = ops.sigma(VP(low, high), inside) ** 2
            yield Comparison(f"sigma_t is sigma_t^2 of VP: {case.name}", ops.sigma(case.process, inside), variance,
                             16 * EPS * variance, variance)


def _decimal_sub_vp(clock: Decimal) -> tuple[Decimal, Decimal]:
    with localcontext(DIGITS):
        alpha, variance = decimal_vp(clock)
        return alpha, variance**2


@identity(
    id="E3.ve",
    systems=("E3",),
    title="Moments of the variance-exploding process, from sigma_min or from the data",
    statement=r"\sigma(t) = \sigma_{\min} \left(\tfrac{\sigma_{\max}}{\sigma_{\min}}\right)^t,\quad "
    r"g^2 = \tfrac{d\sigma^2}{dt} = 2 \sigma(t)^2 \log\tfrac{\sigma_{\max}}{\sigma_{\min}};\quad "
    r"\operatorname{Var}(x_t \mid x_0) = \sigma(t)^2 \ \text{from } \sigma_{\min},\quad "
    r"\sigma(t)^2 - \sigma_{\min}^2\ \text{from data}",
    source="Song et al. 2021, eq. 9 and app. C; Song & Ermon 2019",
    method="closed forms against 60-digit decimal arithmetic, quadrature of the Ito integral added to what is there at time 0, the "
    "moment equations by spectral differentiation, the semigroup property, the values at both ends",
    catches=(
        "ve_diffusion_without_log_ratio", "ve_diffusion_without_two", "ve_diffusion_factor_outside_the_root", "ve_other_start",
        "ve_sigma_backwards", "ve_sigma_linear", "ve_transition_of_differences", "sigma_is_variance", "diffusion_is_variance",
        "diffusion_halved", "transition_from_time_zero", "transition_std_for_variance", "exponential_step_weight_halved",
    ),
)
def variance_exploding(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 36))
    for low, high in [(0.01, 50.0), (0.3, 7.0), (1e-8, 3e5), (rng.uniform(0.01, 0.1), rng.uniform(5, 50))]:
        for start in ("sigma_min", "data"):
            # powers magnify the rounding of t and of the logarithm by log(sigma_max/sigma_min)
            case = Case(f"VE({low:.3g}, {high:.3g}), start = {start!r}", VE(low, high, start), slack=1 + math.log(high / low),
                        start=low if start == "sigma_min" else 0.0)
            times = np.append(_EARLY, 1.0)
            yield from against_decimals(ops, case, times, [_decimal_ve(low, high, start, t) for t in times])
            yield Comparison(f"sigma at t = 0: {case.name}", ops.sigma(case.process, 0.0), case.start, 0.0, high)
            if start == "sigma_min":
                yield Comparison(f"sigma at t = 1: {case.name}", ops.sigma(case.process, 1.0), high, 0.0, high)
            yield from moments(ops, case, np.sort(rng.uniform(0.15, 0.9, 5)), radius=0.05, rng=rng)


def _decimal_ve(low: float, high: float, start: str, t: float) -> tuple[Decimal, Decimal]:
    with localcontext(DIGITS):
        bottom, top, time = Decimal(low), Decimal(high), Decimal(float(t))
        level = bottom**2 * (2 * time * (top / bottom).ln()).exp()
        return Decimal(1), level if start == "sigma_min" else level - bottom**2


@identity(
    id="E3.path",
    systems=("E3",),
    title="Any path x_t = alpha(t) x_0 + sigma(t) z is a linear SDE",
    statement=r"f = \frac{\alpha'}{\alpha} x,\quad g^2 = (\sigma^2)' - 2 \frac{\alpha'}{\alpha} \sigma^2 "
    r"= \alpha^2 \left(\sigma^2/\alpha^2\right)'",
    source="Karras et al. 2022, app. B; Kingma et al. 2021; Lipman et al. 2023 (straight lines)",
    method="drift and diffusion from the two scales (slopes given, or by differences) against closed forms, quadrature of the Ito "
    "integral, the moment equations by spectral differentiation, the semigroup property; other processes from their scales",
    catches=(
        "path_diffusion_without_decay", "path_diffusion_sign", "path_diffusion_of_sigma", "path_diffusion_decay_once",
        "path_rate_is_the_slope", "drift_sign", "diffusion_is_variance", "transition_variances_subtracted",
        "transition_alpha_from_time_zero", "exponential_step_weight_is_variance", "exponential_step_alpha_forwards",
    ),
)
def paths(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 37))
    times = np.sort(rng.uniform(0.15, 0.8, 5))
    for name, start, scales, slopes, rate, g2 in _paths():
        for how, given, slack in (("slopes given", slopes, 1), ("slopes by differences", {}, _DIFFERENCES)):
            case = Case(f"{name}, {how}", Path(*scales, **given), 4, start, slack)  # V is a difference, down to a twentieth
            yield from moments(ops, case, times, radius=0.1, rng=rng)
            x, known = np.ones((5, 1)), 8 * slack * EPS
            exact = -rate(times)
            scale = np.abs(exact) + 1  # slopes are taken of numbers of size 1
            yield Comparison(f"drift at x = 1: {case.name}", ops.drift(case.process, x, times)[:, 0], exact, known * scale, scale)
            exact = g2(times)
            yield Comparison(f"g^2: {case.name}", ops.diffusion(case.process, times) ** 2, exact, known * (1 + exact), 1 + exact)
    for name, process in {"VP": VP(), "cosine": VPCosine(), "sub-VP": SubVP(), "VE": VE(0.2, 7.0)}.items():
        path = Path(process.alpha, process.sigma)
        size = 1 / np.minimum(times, 1 - times)  # of a slope, for functions of size 1
        rates, diffusions = -ops.drift(process, np.ones((5, 1)), times)[:, 0], ops.diffusion(process, times) ** 2
        top = float(ops.sigma(process, 1.0))
        found = -ops.drift(path, np.ones((5, 1)), times)[:, 0] * ops.alpha(process, times)
        bound = 8 * _DIFFERENCES * EPS * size
        yield Comparison(f"{name} from its scales, alpha'", found, rates * ops.alpha(process, times), bound, size)
        scale = diffusions + top**2 * size + 2 * rates * ops.sigma(process, times) ** 2
        scale = scale + 2 * size / ops.alpha(process, times)
        bound = 8 * _DIFFERENCES * EPS * scale
        yield Comparison(f"{name} from its scales, g^2", ops.diffusion(path, times) ** 2, diffusions, bound, scale)
    yield _beside_each_other(ops)


def _paths():
    """(name, sigma_0, scales, slopes, r, g^2): straight lines, a quarter circle, and one where neither end is special."""
    half = math.pi / 2
    return (
        ("straight lines, alpha = 1 - t, sigma = t", 0.0, (lambda t: 1 - t, lambda t: t),
         {"alpha_slope": lambda t: -1 + 0 * t, "sigma_slope": lambda t: 1 + 0 * t},
         lambda t: 1 / (1 - t), lambda t: 2 * t / (1 - t)),
        ("quarter circle", 0.0, (lambda t: np.cos(half * t), lambda t: np.sin(half * t)),
         {"alpha_slope": lambda t: -half * np.sin(half * t), "sigma_slope": lambda t: half * np.cos(half * t)},
         lambda t: half * np.tan(half * t), lambda t: math.pi * np.tan(half * t)),
        ("alpha = e^{-0.7 t}, sigma = 0.4 + t^2", 0.4, (lambda t: np.exp(-0.7 * t), lambda t: 0.4 + t * t),
         {"alpha_slope": lambda t: -0.7 * np.exp(-0.7 * t), "sigma_slope": lambda t: 2 * t},
         lambda t: 0.7 + 0 * t, lambda t: 2 * (0.4 + t * t) * (2 * t + 0.7 * (0.4 + t * t))),
    )  # fmt: skip


def _beside_each_other(ops: Operations) -> Table:
    """log10 of the signal-to-noise ratio alpha^2/sigma^2 of each process, whose shape is what schedules differ in."""
    processes = {"VP": VP(), "cosine": VPCosine(), "sub-VP": SubVP(), "VE(0.01, 50)": VE(0.01, 50.0),
                 "straight lines": Path(lambda t: 1 - t, lambda t: t)}
    times = np.linspace(0.025, 0.975, 39)
    columns = [2 * np.log10(ops.alpha(p, times) / ops.sigma(p, times)) for p in processes.values()]
    return Table("log10 of the signal-to-noise ratio alpha^2/sigma^2", ("t", *processes), list(zip(times, *columns, strict=True)),
                 picture=Picture(x="t", y=tuple(processes), ylabel="log10 alpha^2/sigma^2"))
