r"""The probability flow: that it carries the marginals (systems F5), and what its discretisations are (F5.steps).

dx/dt = b(x, t), b = f - 1/2 g^2 s, carries p_0 into p_t when p_t solves the continuity equation, divided by p_t

    d/dt log p_t = -div b - b.s.

Where the flow is known in closed form:

    N(m, C)          S_t = alpha_t^2 C + sigma_t^2 I all commute, so x_t = alpha_t m + S_t^{1/2} S_0^{-1/2} (x_0 - m)
    one dimension    curves do not cross, so P(X_t <= x_t) = P(X_0 <= x_0) along each: monotone transport

What a solver with tolerances is off by is judged by a second run with tolerances a hundred times larger, which is off by more.

On a grid, a Runge-Kutta method of order p gives the flow's end as e_0 + e_p h^p + e_{p+1} h^{p+1} + ..., h = 1/n for n steps, on
any smoothly graded grid. A sum of runs with different n, with weights that remove h^p, h^{p+1}, ..., is the flow itself; a method
of lower order leaves its own powers in, and is found out. Where the drift is lambda x, a step of order p in p stages (p <= 4)
multiplies by 1 + z + ... + z^p/p!, z = lambda h; where it is a power of t, the step is a rule of quadrature: left rectangle,
trapezium, Simpson.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from refscore.identities import _targets
from refscore.identities._calculus import EPS
from refscore.identities._continuity import divergence, log_density_in_time
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.samplers import Setting, exact_score, scores, settings
from refscore.processes import OU, VE, SubVP
from refscore.report import Picture

ORDERS = {"euler": 1, "heun": 2, "rk4": 4}
_LOOSE, _TIGHT = 1e-10, 1e-12


def flow_settings() -> tuple[Setting, ...]:
    """A constant rate, VP, one whose rate and diffusion are unrelated, and one without a drift; all start at the data."""
    def sub(t):
        return (0.1 + 19.9 * t) * -np.expm1(-2 * (0.1 * t + 9.95 * t * t))

    growth = 2 * math.log(4.0 / 0.2)
    return (
        *settings()[::3],
        Setting("sub-VP(0.1, 20)", SubVP(), lambda t: 0.05 + 9.95 * t, sub, 1.0),
        Setting("VE(0.2, 4)", VE(0.2, 4.0, "data"), lambda t: 0 * t, lambda t: growth * 0.04 * np.exp(growth * t), 1.0),
    )


@identity(
    id="F5",
    systems=("F5",),
    title="The probability flow has the marginals of the SDE",
    statement=r"\dot x = f - \tfrac12 g^2 \nabla\log p_t \;\Rightarrow\; \partial_t \log p_t = -\nabla\!\cdot b - b\cdot s;\quad "
    r"\mathcal N(m, C):\ x_t = \alpha_t m + S_t^{1/2} S_0^{-1/2}(x_0 - m);\quad d = 1:\ F_t(x_t) = F_0(x_0);\quad "
    r"\Phi_{t \to 0} \circ \Phi_{0 \to t} = \mathrm{id}",
    source="[b, sec. 1]; Song et al. 2021, app. D.1; Maoutsa, Reich & Opper 2020",
    method="the drift: time derivative of the exact log p_t and divergence by spectral differentiation, against the continuity "
    "equation; its curves: up, against the closed form for Gaussians, down, against monotone transport of mixtures, and both ways",
    catches=(
        "flow_of_the_full_score", "flow_score_sign", "flow_drift_sign", "flow_other_direction", "flow_g_for_g2", "flow_without_g2",
        "flow_rate_halved", "flow_without_drift", "flow_score_too_early", "flow_integrates_the_other_way",
        "flow_backwards_as_forwards", "flow_starts_from_time_zero",
    ),
)
def carries_the_marginals(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 51))
    for setting in flow_settings():
        for d in _targets.DIMENSIONS:
            yield _continuity(ops, setting, _targets.mixture(d), 0.6 * setting.last, rng)
        yield _gaussian_curves(ops, setting, _targets.gaussian(3), rng)
        yield _monotone_transport(ops, setting, _targets.mixture(1), rng)
    yield from _there_and_back(ops, flow_settings()[1], seed, rng)


def _continuity(ops: Operations, setting: Setting, density, t: float, rng) -> Comparison:
    """Both sides at samples of p_t. Bound: errors of the two derivatives and of the score they start from."""
    process, d, g2 = setting.process, density.dim, float(setting.diffusion2(t))
    law = process.marginal(density, t)
    x = law.sample(12, rng)
    score = exact_score(ops, process, density)
    flow = ops.probability_flow(process, score)
    in_time, time_error = log_density_in_time(ops, process, density, x, t, float(setting.rate(t)))
    spread = 0.5 * math.sqrt(float(np.linalg.eigvalsh(law.cov)[0]))
    outflow, divergence_error = divergence(
        lambda y: ops.flow_drift(flow, y, t), x, spread, lambda y: g2 * law.score_error(y)
    )
    along = (ops.flow_drift(flow, x, t) * score(x, t)).sum(axis=1)
    scale = np.abs(in_time) + np.abs(outflow) + np.abs(along) + d * (float(setting.rate(t)) + g2)
    case = f"continuity equation, {setting.name}, mixture in d = {d}, t = {t:.3g}"
    return Comparison(case, in_time, -outflow - along, time_error + divergence_error + 64 * EPS * scale, scale)


def _ends(ops: Operations, flow, x: np.ndarray, start: float, stop: float) -> tuple[np.ndarray, float]:
    """Where the curves end, and what that may be off by: the change from loose tolerances, and roundings of up to 10^3 slopes."""
    tight, loose = (ops.flow_integrate(flow, x, start, stop, rtol=tol, atol=tol) for tol in (_TIGHT, _LOOSE))
    return tight, float(np.abs(tight - loose).max() + 1e3 * EPS * np.abs(tight).max())


def _gaussian_curves(ops: Operations, setting: Setting, density, rng) -> Comparison:
    """From the data upwards."""
    process, last = setting.process, setting.last
    flow = ops.probability_flow(process, exact_score(ops, process, density))
    values, vectors = np.linalg.eigh(density.cov)
    alpha, sigma = float(ops.alpha(process, last)), float(ops.sigma(process, last))
    z = rng.standard_normal((6, density.dim))
    end, error = _ends(ops, flow, density.mean + z * np.sqrt(values) @ vectors.T, 0.0, last)
    right = alpha * density.mean + z * np.sqrt(alpha**2 * values + sigma**2) @ vectors.T
    scale = np.abs(right).max()
    case = f"Gaussian in d = {density.dim}, {setting.name}, up to t = {last:g}"
    return Comparison(case, end, right, error + 64 * EPS * scale, scale)


def _monotone_transport(ops: Operations, setting: Setting, density, rng) -> Comparison:
    """From noise down to the data."""
    process, last = setting.process, 0.9 * setting.last
    flow = ops.probability_flow(process, exact_score(ops, process, density))
    noisy = process.marginal(density, last)
    x = noisy.sample(8, rng)
    end, error = _ends(ops, flow, x, last, 0.0)
    steepest = 1 / math.sqrt(2 * math.pi * float(density.spectrum.min()))  # of the data's distribution function
    case = f"monotone transport, {setting.name}, mixture in d = 1, down from t = {last:.3g}"
    return Comparison(case, density.cdf(end), noisy.cdf(x), error * steepest + 64 * EPS)


def _there_and_back(ops: Operations, setting: Setting, seed: int, rng) -> Iterator[Comparison]:
    """Any score has a flow, and it can be undone; what is not undone at loose tolerances is more than at tight ones."""
    start, stop = 0.2 * setting.last, 0.6 * setting.last
    for name, d, score in scores(ops, setting, seed):
        if d > 2:
            continue
        flow, x = ops.probability_flow(setting.process, score), rng.standard_normal((5, d)) + 0.3
        (there, back), (_, loose) = (_way(ops, flow, x, start, stop, tol) for tol in (_TIGHT, _LOOSE))
        scale = np.abs(x).max() + np.abs(there).max()
        bound = np.abs(back - loose).max() + 2e3 * EPS * scale
        yield Comparison(f"there and back: {setting.name}, {name} score, d = {d}", back, x, bound, scale)


def _way(ops: Operations, flow, x: np.ndarray, start: float, stop: float, tol: float) -> tuple[np.ndarray, np.ndarray]:
    there = ops.flow_integrate(flow, x, start, stop, rtol=tol, atol=tol)
    return there, ops.flow_integrate(flow, there, stop, start, rtol=tol, atol=tol)


@identity(
    id="F5.steps",
    systems=("F5",),
    title="Euler, Heun and the classical Runge-Kutta method along the flow: their steps and their orders 1, 2 and 4",
    statement=r"x + h k_1;\quad x + \tfrac h2 (k_1 + k_2);\quad x + \tfrac h6 (k_1 + 2k_2 + 2k_3 + k_4);\quad "
    r"\Phi = \sum_i w_i \Phi_{n_i} \text{ when } \sum_i w_i = 1,\ \sum_i w_i n_i^{-q} = 0 \text{ for } q = p, p + 1, \dots",
    source="[b, sec. 1]; Karras et al. 2022, Algorithm 1; Hairer, Norsett & Wanner 1993, sec. II.1, II.8",
    method="steps on uneven grids, up and down, against their definitions written out; against the truncated exponential where the "
    "drift is linear, and quadrature where it depends on time alone; sums of runs that are exact for methods of this order alone",
    catches=(
        "flow_of_the_full_score", "flow_score_sign", "flow_heun_second_slope_at_the_start", "flow_heun_slopes_added",
        "flow_heun_with_one_slope", "flow_rk4_equal_weights", "flow_rk4_third_stage_at_the_start", "flow_rk4_time_not_halved",
        "flow_euler_slope_at_the_end", "flow_equal_steps", "flow_last_step_left_out", "flow_steps_length_positive",
    ),
)
def steps_and_orders(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 52))
    for setting in flow_settings()[::2]:
        for method in ORDERS:
            for times in (setting.last * np.linspace(0, 1, 8) ** 1.7, setting.last * (0.03 + 0.97 * np.linspace(1, 0, 14) ** 1.3)):
                yield from _by_definition(ops, setting, method, times, seed, rng)
    for method in ORDERS:
        yield _linear_drift(ops, method)
        yield _drift_of_time_alone(ops, method)
    yield from _orders(ops, flow_settings()[1], _targets.gaussian(2), rng)


def _by_definition(ops: Operations, setting: Setting, method: str, times: np.ndarray, seed: int, rng) -> Iterator[Comparison]:
    """A rounding of one stage reaches the later ones times h |Db|, below 2 on these grids: ten roundings times (1 + 2)^3."""
    for name, d, score in scores(ops, setting, seed):
        def b(x, t, score=score):
            return -float(setting.rate(t)) * x - 0.5 * float(setting.diffusion2(t)) * score(x, t)

        chain = ops.flow_steps(ops.probability_flow(setting.process, score), times, method)
        x = rng.standard_normal((4, d)) + 0.3
        case = f"{method}, {setting.name}, {name} score, d = {d}, {len(times) - 1} steps {'up' if times[0] < times[-1] else 'down'}"
        yield Comparison(f"length: {case}", len(chain), len(times) - 1, 0.0)
        right, size = zip(*(_step(b, x, t, s, method) for t, s in zip(times[:-1], times[1:], strict=True)), strict=True)
        left = np.array([chain.mean(k, x) for k in range(len(chain))])
        yield Comparison(case, left, np.array(right), 270 * EPS * np.array(size), np.array(size))


def _step(b: Callable, x: np.ndarray, t: float, s: float, method: str) -> tuple[np.ndarray, np.ndarray]:
    """The step written out, and the largest of what it adds up."""
    h, middle = s - t, (t + s) / 2
    k = [b(x, t)]
    if method == "heun":
        k.append(b(x + h * k[0], s))
    elif method == "rk4":
        k.append(b(x + h / 2 * k[0], middle))
        k.append(b(x + h / 2 * k[1], middle))
        k.append(b(x + h * k[2], s))
    slope = {"euler": k[0], "heun": (k[0] + k[-1]) / 2, "rk4": (k[0] + 2 * sum(k[1:-1]) + k[-1]) / 6}[method]
    return x + h * slope, np.abs(x).max() + abs(h) * np.max(np.abs(k), axis=(0, 1, 2)) * np.ones_like(x)


def _linear_drift(ops: Operations, method: str) -> Comparison:
    """s = -c x under OU: b = (g^2 c/2 - r) x; a step multiplies by the exponential series up to its order."""
    rate, g, c = 0.7, 1.3, np.array([2.5, -0.4])
    chain = ops.flow_steps(ops.probability_flow(OU(rate, g), lambda x, t: -c * x), [1.0, 0.6, 0.35], method)
    x = np.array([[0.7, -1.2]])
    z = np.array([-0.4, -0.25])[:, None, None] * (g * g * c / 2 - rate)
    right = x * sum(z**q / math.factorial(q) for q in range(ORDERS[method] + 1))
    left = np.array([chain.mean(k, x) for k in range(2)])
    return Comparison(f"{method}: linear drift, truncated exponential", left, right, 64 * EPS * np.abs(x).max(), np.abs(x).max())


def _drift_of_time_alone(ops: Operations, method: str) -> Comparison:
    """s = t^q under Brownian motion: x - g^2/2 int t^q, exactly for q < p, and with the rule's value of the integral for q = p."""
    g, (t, s) = 1.7, (0.3, 0.8)
    h, middle = s - t, (t + s) / 2
    x, left, right = np.array([[0.7, -1.2]]), [], []
    for q in range(ORDERS[method] + 1):
        chain = ops.flow_steps(ops.probability_flow(OU(0.0, g), lambda x, u, q=q: np.full_like(x, u**q)), [t, s], method)
        rule = {"euler": t**q, "heun": (t**q + s**q) / 2, "rk4": (t**q + 4 * middle**q + s**q) / 6}[method]
        if q < ORDERS[method]:
            rule = (s ** (q + 1) - t ** (q + 1)) / (q + 1) / h
        left.append(chain.mean(0, x))
        right.append(x - g * g / 2 * h * rule)
    return Comparison(f"{method}: drift of time alone, quadrature", np.array(left), np.array(right), 64 * EPS * 2, 2.0)


def _orders(ops: Operations, setting: Setting, density, rng) -> Iterator[Comparison | Table]:
    process, last = setting.process, setting.last
    flow = ops.probability_flow(process, exact_score(ops, process, density))
    values, vectors = np.linalg.eigh(density.cov)
    alpha, sigma = float(ops.alpha(process, last)), float(ops.sigma(process, last))
    z = rng.standard_normal((4, density.dim))
    x = density.mean + z * np.sqrt(values) @ vectors.T
    exact = alpha * density.mean + z * np.sqrt(alpha**2 * values + sigma**2) @ vectors.T
    scale, columns = np.abs(exact).max(), []
    for method, order in ORDERS.items():
        chains = [ops.flow_steps(flow, last * _graded(n), method) for n in _COUNTS]
        ends = np.array([chain.integrate(x) for chain in chains])
        weights, fewer = _weights(_COUNTS, order), _weights(_COUNTS[1:], order)
        limit, before = np.tensordot(weights, ends, axes=1), np.tensordot(fewer, ends[1:], axes=1)
        rounding = np.abs(weights) @ np.array(_COUNTS) * 8 * EPS * scale
        case = f"{method}: order {order} by extrapolation, {setting.name}, Gaussian in d = {density.dim}"
        yield Comparison(case, limit, exact, np.abs(limit - before).max() + rounding, scale)
        errors = np.abs(ends - exact).max(axis=(1, 2))
        observed = np.diff(np.log(errors)) / np.diff(np.log(1 / np.array(_COUNTS)))
        columns += [errors.tolist(), ["", *observed.round(3).tolist()]]
    title = f"Largest errors of the flow's end on n graded steps and their orders, {setting.name}, Gaussian in d = {density.dim}"
    names = [name for method in ORDERS for name in (method, f"order of {method}")]
    picture = Picture("n", tuple(ORDERS), log=True, ylabel="largest error")
    yield Table(title, ("n", *names), list(zip(_COUNTS, *columns, strict=True)), picture)


def _graded(n: int) -> np.ndarray:
    """n steps from 0 to 1, analytic in k/n (a power 1.5 would leave powers h^1.5 in), the last three times as long as the first."""
    u = np.linspace(0, 1, n + 1)
    return u * (1 + u) / 2


_COUNTS = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def _weights(counts: tuple[int, ...], order: int) -> np.ndarray:
    """w with sum w = 1 and sum w n^-q = 0 for q = order, order + 1, ..., by elimination in rational numbers."""
    size = len(counts)
    powers = [0, *range(order, order + size - 1)]
    rows = [[Fraction(1, n) ** q for n in counts] + [Fraction(int(q == 0))] for q in powers]
    for i in range(size):
        pivot = next(r for r in range(i, size) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(size):
            if r != i and rows[r][i]:
                rows[r] = [v - rows[r][i] * w for v, w in zip(rows[r], rows[i], strict=True)]
    return np.array([float(row[-1]) for row in rows])
