r"""Conversions between processes (systems E6): every Gaussian path is every other one on another clock, in other units.

x^A_t and c x^B_u have one law for sigma^B_u/alpha^B_u = sigma^A_t/alpha^A_t = rho and c = alpha^A_t/alpha^B_u. The second road to u
is by hand: rho of each process solved for its time, in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.samplers import exact_score
from refscore.processes import DDPM, OU, VE, VP, Path, SubVP, VPCosine, VPSchedule, linear_betas

RATIOS = np.array([0.09, 0.4, 1.1, 3.0])
"""Noise over signal, such as every process below has at some time."""


class Clock(NamedTuple):
    """A process beside its time and alpha at a given noise-to-signal ratio, written down by hand."""

    name: str
    process: Any
    time: Callable
    alpha: Callable


def clocks() -> tuple[Clock, ...]:
    """Of VP-like processes alpha = (1 + rho^2)^{-1/2}; the others have a law of their own."""
    def preserving(rho):
        return 1 / np.sqrt(1 + rho * rho)

    def sub(rho):  # 1 - y^2 = rho y for y = alpha
        return 2 / (rho + np.sqrt(rho * rho + 4))

    def linear(clock):  # 0.1 t + 9.95 t^2 = clock
        return 2 * clock / (0.1 + np.sqrt(0.01 + 39.8 * clock))

    def mean_reverting(rho):  # e^{2 beta t} = 1 + 2 beta rho^2/g^2
        return np.log1p(1.4 / 1.69 * rho * rho) / 1.4

    zero = math.pi / 2 / 1.008
    one = np.ones_like
    return (
        Clock("OU(0.7, 1.3)", OU(0.7, 1.3), mean_reverting, lambda rho: np.exp(-0.7 * mean_reverting(rho))),
        Clock("Brownian motion", OU(0.0, 1.7), lambda rho: (rho / 1.7) ** 2, one),
        Clock("VP", VP(), lambda rho: linear(np.log1p(rho * rho)), preserving),
        Clock("cosine", VPCosine(), lambda rho: 1 - np.arcsin(preserving(rho) * math.sin(zero)) / zero, preserving),
        Clock("beta = 3 t^2 + 1", VPSchedule(lambda t: 3 * t * t + 1, 2.0), lambda rho: _cubic(np.log1p(rho * rho)), preserving),
        Clock("sub-VP", SubVP(), lambda rho: linear(-2 * np.log(sub(rho))), sub),
        Clock("VE", VE(0.01, 50.0), lambda rho: np.log(rho / 0.01) / math.log(5000), one),
        Clock("VE from data", VE(0.01, 50.0, "data"), lambda rho: np.log1p((rho / 0.01) ** 2) / (2 * math.log(5000)), one),
        Clock("straight lines", Path(lambda t: 1 - t, lambda t: t), lambda rho: rho / (1 + rho), lambda rho: 1 / (1 + rho)),
    )  # fmt: skip


def _cubic(clock):
    """t^3 + t = clock: with t = 2/sqrt(3) sinh(y), 4 sinh^3 + 3 sinh = sinh(3 y)."""
    return 2 / math.sqrt(3) * np.sinh(np.arcsinh(1.5 * math.sqrt(3) * clock) / 3)


@identity(
    id="E6",
    systems=("E6",),
    title="Every process is every other one on another clock and in other units",
    statement=r"\frac{\sigma^B_u}{\alpha^B_u} = \frac{\sigma^A_t}{\alpha^A_t},\; c = \frac{\alpha^A_t}{\alpha^B_u}:\quad "
    r"x^A_t \overset{d}{=} c\, x^B_u,\quad s^A(x, t) = \tfrac1c s^B(x/c, u),\quad V^A(s, t) = c_t^2\, V^B(u_s, u_t)",
    source="Karras et al. 2022, sec. 4 and app. B; Kingma et al. 2021, sec. 5.1",
    method="times by bisection against each process's ratio solved for time by hand, over all pairs; scales, transitions and "
    "reverse steps of one against those of the other; scores, log-densities and networks (random, trained) carried over",
    catches=(
        "time_change_of_squares", "time_change_by_sigma", "time_change_by_alpha", "time_change_same_time",
        "time_change_scale_inverted", "time_change_scale_at_one_time", "time_change_without_scale",
        "time_change_scale_of_sigma_squared",
        "converted_score_point_unscaled", "converted_score_unscaled", "converted_score_scale_inverted",
        "converted_score_at_its_own_time", "converted_score_squared_scale", "sigma_is_variance",
        "transition_std_for_variance", "exponential_step_std_for_variance",
    ),
)
def every_process_is_every_other(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 61))
    ratios = RATIOS * rng.uniform(0.9, 1.1, len(RATIOS))
    for a, b in product(clocks(), clocks()):
        yield from _clock_and_scale(ops, a, b, ratios)
        yield from _steps(ops, a, b, ratios)
    for a, b in zip(clocks(), clocks()[3:] + clocks()[:3], strict=True):
        yield from _scores(ops, a, b, ratios, seed, rng)
    yield from _chain(ops)
    names = tuple(clock.name for clock in clocks())
    rows = [(rho, *(float(f"{clock.time(rho):.3g}") for clock in clocks())) for rho in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)]
    yield Table("times of equal noise-to-signal ratio rho = sigma/alpha", ("rho", *names), rows,
                Picture(x="rho", y=names, log=True, ylabel="time"))


def _clock_and_scale(ops: Operations, a: Clock, b: Clock, rho: np.ndarray) -> Iterator[Comparison]:
    """The ratio, through t and the scales, is known to some ten eps, of which each time makes what its closed form says."""
    t = a.time(rho)
    u, scale = ops.time_change(a.process, b.process, t)
    exact = b.alpha(rho) / a.alpha(rho)
    moved = _moved(a, rho) + 24 * EPS
    bound = np.abs(b.time(rho * (1 + moved)) - b.time(rho * (1 - moved))) + 16 * EPS
    yield Comparison(f"time of {b.name} for {a.name}", u, b.time(rho), bound, b.time(rho))
    size = np.abs(a.alpha(rho * (1 + moved)) / b.alpha(rho * (1 + moved)) * exact - 1) + 24 * EPS + moved
    yield Comparison(f"scale of {b.name} for {a.name}", scale, 1 / exact, size / exact, 1 / exact)
    for name, scales in {"alpha": ops.alpha, "sigma": ops.sigma}.items():
        left, right = scales(a.process, t), scale * scales(b.process, u)
        yield Comparison(f"{name}_t = c {name}_u, {a.name} by {b.name}", left, right, 2 * size * left, left)


def _moved(clock: Clock, rho: np.ndarray) -> np.ndarray:
    """By how much of itself the ratio moves when the time, computed by hand, is off by its rounding (4 eps, of 1 at least)."""
    h = 1e-4
    slope = 2 * h / np.abs(clock.time(rho * (1 + h)) - clock.time(rho * (1 - h)))  # d log rho/dt
    return 4 * EPS * np.maximum(1.0, clock.time(rho)) * slope


def _steps(ops: Operations, a: Clock, b: Clock, rho: np.ndarray) -> Iterator[Comparison]:
    """Transitions, and of reverse steps what does not depend on which score is frozen."""
    t, u, scale = a.time(rho), b.time(rho), a.alpha(rho) / b.alpha(rho)
    by = scale[1:] / scale[:-1]
    (alpha, variance), (other, its) = ops.transition(a.process, t[:-1], t[1:]), ops.transition(b.process, u[:-1], u[1:])
    moved = _moved(a, rho) + _moved(b, rho) + 64 * EPS  # of the ratios at both ends, which are a factor of 2 and more apart
    bound = 8 * (moved[1:] + moved[:-1])
    case = f"{a.name} by {b.name}"
    yield Comparison(f"alpha of transitions: {case}", alpha, by * other, bound * alpha, alpha)
    yield Comparison(f"variance of transitions: {case}", variance, scale[1:] ** 2 * its, bound * variance, variance)
    (grow, _, v), (its_grow, _, its_v) = (ops.exponential_step(p.process, at[1:], at[:-1]) for p, at in ((a, t), (b, u)))
    yield Comparison(f"growth of reverse steps: {case}", grow, its_grow / by, bound * grow, grow)
    yield Comparison(f"variance of reverse steps: {case}", v, scale[:-1] ** 2 * its_v, bound * v, v)


def _scores(ops: Operations, a: Clock, b: Clock, rho: np.ndarray, seed: int, rng) -> Iterator[Comparison]:
    t, u, scale = a.time(rho), b.time(rho), (a.alpha(rho) / b.alpha(rho))[:, None]
    for d in _targets.DIMENSIONS:
        density = _targets.mixture(d)
        carried = ops.ConvertedScore(exact_score(ops, b.process, density), a.process, b.process)
        for i, time in enumerate(t):
            law = ops.marginal(a.process, density, time)
            x = law.sample(5, rng)
            right = ops.score(law, x)
            # the ratio moves by ``moved``, and the score by at most a few times that, as all its length scales are above sigma
            moved = float((_moved(a, rho) + _moved(b, rho))[i]) + 64 * EPS
            size = np.abs(right) + np.abs(x) / float(ops.sigma(a.process, time)) ** 2 + 1 / float(ops.sigma(a.process, time))
            bound = 8 * moved * size + 2 * law.score_error(x).reshape(len(x), -1)
            case = f"{a.name} by {b.name}, mixture in d = {d}, t = {time:.3g}"
            yield Comparison(f"score: {case}", carried(x, time), right, bound, size)
            there, y, log_scale = ops.marginal(b.process, density, u[i]), x / scale[i], math.log(float(scale[i, 0]))
            # d log p is -(d + score . x) for a change of scale, sigma^2 (div score + |score|^2) for one of sigma, each relative
            s, noise = law.score(x), float(ops.sigma(a.process, time)) ** 2
            turned = d + np.abs(s * x).sum(axis=1) + noise * (np.abs(law.score_divergence(x)) + (s * s).sum(axis=1))
            left, right = ops.logpdf(law, x), ops.logpdf(there, y) - d * log_scale
            bound = law.logpdf_error(x) + there.logpdf_error(y) + 8 * moved * turned
            yield Comparison(f"log p: {case}", left, right, bound, 1 + np.abs(left))
    networks = {"random": _models.random_network(2, seed, takes_time=True),
                "trained": _models.trained_network(_targets.mixture(2), seed)}
    x = rng.standard_normal((len(t), 2)) + 0.4
    for name, network in networks.items():
        def model(y, s, network=network, timed=name == "random"):
            return ops.forward(network, y, np.broadcast_to(s, len(y))) if timed else ops.forward(network, y)

        left = ops.ConvertedScore(model, a.process, b.process)(x, t)
        right = model(x / scale, u) / scale
        yield Comparison(f"{name} network of {b.name} for {a.name}, one time a row", left, right, 1e-12 * (1 + np.abs(right)),
                         1 + np.abs(right))


def _chain(ops: Operations) -> Iterator[Comparison]:
    """DDPM's chain on the clock of a process: u has B_u = -log alpha-bar_i; nothing is scaled."""
    chain, index = DDPM(linear_betas(20, 0.01, 0.3)), np.array([1, 7, 20])
    clock = -2 * np.log(ops.alpha(chain, index))
    u, scale = ops.time_change(chain, VP(), index)
    exact = 2 * clock / (0.1 + np.sqrt(0.01 + 39.8 * clock))
    yield Comparison("time of VP for indices of a chain", u, exact, 1e-13, exact)
    yield Comparison("scale of VP for indices of a chain", scale, np.ones(3), 64 * EPS, 1.0)
