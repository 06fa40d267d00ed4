r"""Reverse SDEs: that they reverse (systems F3), and what one step of their discretisations is (F4).

Signs. For dX = f dt + g dW with marginals p_t and scores s_t = grad log p_t, the reversal reads

    time running down [a, sec. 4; b]:   dx = [f - g^2 s] dt + g dw-bar,   dt < 0
    time running up, tau = T - t [e]:   dx = [-f + g^2 s] dtau + g dB,     dtau > 0

the same equation twice. ``reverse_drift`` is the second bracket, b = -f + g^2 s. That it reverses means that q_tau = p_{T-tau}
solves the Fokker-Planck equation of the second line: divided by q,

    d/dtau log q = -div b - b.s + g^2/2 (div s + |s|^2).

One step of length h with the score frozen at its start is N(a x + b s, v I), and the true transition is known for every law:
by Tweedie with the forward transition x_t | x_s ~ N(A x_s, V I),

    E[x_s | x_t] = (x_t + V s_t(x_t))/A,      Cov[x_s | x_t] = V/A^2 (I + V D s_t(x_t)).

Hence local errors in closed form, for any data. For OU with rate r and u = r h, true moments minus those of a step are

    Euler-Maruyama   mean  (e^u - 1 - u) x + g^2/r (sinh u - u) s,   covariance  g^2/2r (e^{2u} - 1 - 2u) I + (g^2/r sinh u)^2 Ds
    exponential      mean  -g^2/r (cosh u - 1) s,                    covariance  (g^2/r sinh u)^2 Ds

All begin with h^2: both schemes are of local order 2, hence of global (weak) order 1; the integrator gains no order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS, collocate, stage_times
from refscore.identities._continuity import divergence, log_density_in_time
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.processes import OU, VP, Path, VPCosine


class Setting(NamedTuple):
    """A process beside its rate r(t) and squared diffusion g(t)^2, written down once more by hand."""

    name: str
    process: Any
    rate: Callable
    diffusion2: Callable
    last: float


def settings() -> tuple[Setting, ...]:
    """Processes without special values: g is never 1, the VP has alpha^2 + sigma^2 = 1 but not at its ends."""
    return (
        Setting("OU(0.7, 1.3)", OU(0.7, 1.3), lambda t: 0.7 + 0 * t, lambda t: 1.69 + 0 * t, 2.0),
        Setting("OU(1.9, 0.6)", OU(1.9, 0.6), lambda t: 1.9 + 0 * t, lambda t: 0.36 + 0 * t, 1.1),
        Setting("Brownian motion", OU(0.0, 1.7), lambda t: 0 * t, lambda t: 2.89 + 0 * t, 1.3),
        Setting("VP(0.1, 20)", VP(), lambda t: 0.05 + 9.95 * t, lambda t: 0.1 + 19.9 * t, 1.0),
    )


def _all_settings() -> tuple[Setting, ...]:
    """With two whose rates grow without bound towards t = 1, one of them a path given by its scales."""
    def cosine(t):
        return math.pi / 1.008 * np.tan(math.pi / 2 * (t + 0.008) / 1.008)

    lines = Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -1 + 0 * t, sigma_slope=lambda t: 1 + 0 * t)
    return (
        *settings(),
        Setting("cosine", VPCosine(), lambda t: cosine(t) / 2, cosine, 0.8),
        Setting("straight lines", lines, lambda t: 1 / (1 - t), lambda t: 2 * t / (1 - t), 0.7),
    )


def exact_score(ops: Operations, process, density) -> Callable:
    """score(x, t) of the marginals, by way of the operations; times are remembered."""
    marginal = lru_cache(maxsize=1024)(lambda t: ops.marginal(process, density, t))
    return lambda x, t: ops.score(marginal(float(t)), x)


@identity(
    id="F3",
    systems=("F3",),
    title="The reverse SDE reverses: its marginals are those of the forward SDE",
    statement=r"dx = [f - g^2 \nabla\log p_t]\,dt + g\,d\bar w \iff "
    r"\partial_\tau \log q = -\nabla\!\cdot b - b\cdot s + \tfrac12 g^2 (\nabla\!\cdot s + \|s\|^2),\; "
    r"b = -f + g^2 s,\; q_\tau = p_{T-\tau}",
    source="[a, sec. 4], [b, sec. 1], [e]; Anderson 1982",
    method="time derivative of the exact log p_t and divergence of the drift by spectral differentiation, against the "
    "Fokker-Planck equation; and the moment equations of the reverse SDE by collocation from p_T back to the data",
    catches=(
        "reverse_drift_forward_sign", "reverse_drift_score_sign", "reverse_drift_g_for_g2", "reverse_drift_without_g2",
        "reverse_drift_of_the_flow", "reverse_drift_other_direction", "reverse_drift_rate_doubled", "reverse_drift_score_too_early",
        "diffusion_is_variance", "diffusion_halved",
    ),
)
def reverse_sde_reverses(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 31))
    for setting in _all_settings():
        for d in _targets.DIMENSIONS:
            density = _targets.mixture(d)
            for fraction in (0.3, 0.8):
                yield _fokker_planck(ops, setting, density, fraction * setting.last, rng)
        yield from _back_to_the_data(ops, setting, _targets.gaussian(3))


def _fokker_planck(ops: Operations, setting: Setting, density, t: float, rng) -> Comparison:
    """Both sides at samples of p_t. Bound: errors of the two derivatives (see `derivative`) and of the score they start from."""
    process, d = setting.process, density.dim
    law = process.marginal(density, t)
    x = law.sample(12, rng)
    score, g2 = exact_score(ops, process, density), float(ops.diffusion(process, t)) ** 2
    in_time, time_error = log_density_in_time(ops, process, density, x, t, float(setting.rate(t)))
    spread = 0.5 * math.sqrt(float(np.linalg.eigvalsh(law.cov)[0]))
    outflow, divergence_error = divergence(
        lambda y: ops.reverse_drift(process, score, y, t), x, spread, lambda y: float(setting.diffusion2(t)) * law.score_error(y)
    )
    drift, s = ops.reverse_drift(process, score, x, t), score(x, t)
    terms = [-outflow, -(drift * s).sum(axis=1), g2 / 2 * ops.score_divergence(law, x), g2 / 2 * (s * s).sum(axis=1)]
    scale = sum(np.abs(term) for term in terms) + np.abs(in_time) + d * float(setting.diffusion2(t))
    case = f"Fokker-Planck, {setting.name}, mixture in d = {d}, t = {t:.3g}"
    return Comparison(case, -in_time, sum(terms), time_error + divergence_error + 64 * EPS * scale, scale)


def _back_to_the_data(ops: Operations, setting: Setting, density) -> Iterator[Comparison]:
    """m' = A m + c, C' = A C + C A' + g^2 I along the reverse SDE, for Gaussian data, whose drift is A x + c."""
    coarse, fine = (_reverse_moments(ops, setting, density, panels) for panels in (6, 12))
    d = density.dim
    exact = np.concatenate([density.mean, density.cov.ravel()])
    # the flow of the moments contracts (what x_0 may be, given x_T, is narrower than p_0), so that the roundings of 12 * 12
    # stages add: at most eps times each; the order-24 rule is judged by halving the panels
    scale = np.abs(exact).max()
    bound = np.abs(fine - coarse) + 12 * 12 * 4 * EPS * scale
    case = f"{setting.name}, Gaussian in d = {d}, from t = {setting.last:g} to 0"
    yield Comparison(f"mean comes back: {case}", fine[:d], exact[:d], bound[:d], scale)
    yield Comparison(f"covariance comes back: {case}", fine[d:], exact[d:], bound[d:], scale)


def _reverse_moments(ops: Operations, setting: Setting, density, panels: int) -> np.ndarray:
    process, d = setting.process, density.dim
    score = exact_score(ops, process, density)
    probes = np.concatenate([np.zeros((1, d)), np.eye(d)])
    times = stage_times(setting.last, 0.0, panels)
    drifts = np.array([[ops.reverse_drift(process, score, probes, t) for t in row] for row in times])
    constants = drifts[:, :, 0]
    slopes = (drifts[:, :, 1:] - constants[:, :, None]).swapaxes(2, 3)
    noise = np.asarray(ops.diffusion(process, times.ravel())).reshape(times.shape) ** 2

    def rates(i: int, states: np.ndarray) -> np.ndarray:
        mean, cov = states[:, :d], states[:, d:].reshape(-1, d, d)
        moved = slopes[i] @ cov
        moved = moved + moved.swapaxes(1, 2) + noise[i][:, None, None] * np.eye(d)
        steps = np.einsum("nij,nj->ni", slopes[i], mean) + constants[i]
        return -np.concatenate([steps, moved.reshape(len(states), -1)], axis=1)  # per unit of t, which decreases

    start = ops.marginal(process, density, setting.last)
    return collocate(rates, np.concatenate([start.mean, start.cov.ravel()]), setting.last, 0.0, panels)


@identity(
    id="F4",
    systems=("F4",),
    title="One step of Euler-Maruyama and of the exponential integrator",
    statement=r"\text{EM: } x + h\,(r_t x + g_t^2 s) + g_t\sqrt{h}\,z;\quad \text{EI: the exact flow of } "
    r"dY = [r_u Y + g_u^2\, s(x,t)]\,d(-u) + g_u\,dW,\ u: t \to t - h",
    source="[a, sec. 4], [e]; Zhang & Chen 2023",
    method="the chain's kernels with chosen noise against the definition (EM), against the moment equations of the frozen-score "
    "SDE by collocation (EI), against Bayes's rule where that is exact; and local errors, by Tweedie, against their closed form",
    catches=(
        "reverse_sde_score_at_the_end", "reverse_sde_noise_std_h", "reverse_sde_g_for_g2", "reverse_sde_without_g2",
        "reverse_sde_frozen_weight_is_g2_h", "reverse_sde_forward_variance", "reverse_sde_forward_sign", "reverse_sde_score_sign",
        "reverse_sde_equal_steps", "reverse_sde_coefficients_at_the_end", "reverse_sde_last_step_noise_free",
        "reverse_sde_flow_with_noise", "reverse_sde_rate_halved", "reverse_sde_variance_is_std", "reverse_sde_steps_off_by_one",
        "transition_from_time_zero", "transition_alpha_from_time_zero", "transition_std_for_variance",
        "transition_variances_subtracted",
    ),
)
def one_step(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 41))
    for setting in _all_settings():
        for steps, end in ((7, 0.0), (13, 0.03)):
            times = end + (setting.last - end) * np.linspace(1, 0, steps + 1) ** 1.7
            exact = _frozen_moments(setting, times)
            for name, d, score in scores(ops, setting, seed):
                case = f"{setting.name}, {name} score, d = {d}, {steps} steps"
                x, noise = rng.standard_normal((2, 6, d)) + 0.3
                yield from _euler_maruyama(ops, setting, score, times, x, noise, case)
                yield from _exponential(ops, setting, score, times, x, noise, exact, case)
            yield from _without_score(ops, setting, times, f"{setting.name}, {steps} steps")
    for setting in settings()[:2]:
        yield from _local_errors(ops, setting, _targets.mixture(2), rng)


def scores(ops: Operations, setting: Setting, seed: int) -> Iterator[tuple[str, int, Callable]]:
    """Scores to run samplers with, (name, d, score): exact ones of mixtures, a random and a trained network's."""
    for d in _targets.DIMENSIONS:
        yield "mixture", d, exact_score(ops, setting.process, _targets.mixture(d))
    network = _models.random_network(2, seed, takes_time=True)
    yield "random network", 2, lambda x, t: ops.forward(network, x, np.full(len(x), t))
    trained = _models.trained_network(_targets.mixture(2), seed)
    yield "trained network", 2, lambda x, t: ops.forward(trained, x)


def _euler_maruyama(ops: Operations, setting: Setting, score, times, x, noise, case: str) -> Iterator[Comparison]:
    """Some ten roundings of the terms of the sum."""
    chain = ops.reverse_sde(setting.process, score, times, "euler_maruyama")
    mean, stepped, mean_right, stepped_right, size = [], [], [], [], []
    for k, (t, s) in enumerate(zip(times[:-1], times[1:], strict=True)):
        h, r, g2, direction = t - s, setting.rate(t), setting.diffusion2(t), score(x, t)
        mean.append(chain.mean(k, x))
        stepped.append(chain.step(k, x, noise))
        mean_right.append(x + h * (r * x + g2 * direction))
        stepped_right.append(mean_right[-1] + math.sqrt(g2) * math.sqrt(h) * noise)
        size.append(np.abs(x) * (1 + h * r) + h * g2 * np.abs(direction) + math.sqrt(g2 * h) * np.abs(noise))
    scale = np.array(size)
    yield Comparison(f"EM, length: {case}", len(chain), len(times) - 1, 0.0)
    yield Comparison(f"EM, mean: {case}", np.array(mean), np.array(mean_right), 16 * EPS * scale, scale)
    yield Comparison(f"EM, with chosen noise: {case}", np.array(stepped), np.array(stepped_right), 16 * EPS * scale, scale)


def _frozen_moments(setting: Setting, times) -> np.ndarray:
    """(N, 3): a, b, v of each step from a' = r a, b' = r b + g^2, v' = 2 r v + g^2 in decreasing time, from (1, 0, 0)."""
    moments = []
    for t, s in zip(times[:-1], times[1:], strict=True):
        panels = 4  # r h <= 2.2 on the grids used: on a panel the order-24 rule leaves less than 1e-30 out
        nodes = stage_times(t, s, panels)
        rate, g2 = setting.rate(nodes)[:, :, None], setting.diffusion2(nodes)[:, :, None]
        factors, inflow = np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])

        def slopes(i, states, rate=rate, g2=g2, factors=factors, inflow=inflow):
            return -(factors * rate[i] * states + inflow * g2[i])

        moments.append(collocate(slopes, np.array([1.0, 0.0, 0.0]), t, s, panels))
    return np.array(moments)


def _exponential(ops: Operations, setting: Setting, score, times, x, noise, exact, case: str) -> Iterator[Comparison]:
    """Positive terms only, so relative errors: those of 48 stages, and of e^{2R} with R <= 2.2."""
    chain = ops.reverse_sde(setting.process, score, times, "exponential")
    mean, stepped, mean_right, stepped_right, size = [], [], [], [], []
    for k, (t, (a, b, v)) in enumerate(zip(times[:-1], exact, strict=True)):
        direction = score(x, t)
        mean.append(chain.mean(k, x))
        stepped.append(chain.step(k, x, noise))
        mean_right.append(a * x + b * direction)
        stepped_right.append(mean_right[-1] + math.sqrt(v) * noise)
        size.append(a * np.abs(x) + b * np.abs(direction) + math.sqrt(v) * np.abs(noise))
    scale = np.array(size)
    yield Comparison(f"EI, length: {case}", len(chain), len(times) - 1, 0.0)
    yield Comparison(f"EI, mean: {case}", np.array(mean), np.array(mean_right), 128 * EPS * scale, scale)
    yield Comparison(f"EI, with chosen noise: {case}", np.array(stepped), np.array(stepped_right), 128 * EPS * scale, scale)


def _without_score(ops: Operations, setting: Setting, times, case: str) -> Iterator[Comparison]:
    """On a flat law s = 0, and the step is Bayes's rule for the forward transition: x_s | x_t ~ N(x_t/A, V/A^2)."""
    chain = ops.reverse_sde(setting.process, lambda x, t: 0 * x, times, "exponential")
    A, V = ops.transition(setting.process, times[1:], times[:-1])
    x = np.array([[0.7, -1.2], [2.0, 0.4]])
    means = np.array([chain.mean(k, x) for k in range(len(times) - 1)])
    noisy = np.array([chain.step(k, x, np.ones_like(x)) for k in range(len(times) - 1)])
    right = x / A[:, None, None]
    std = (np.sqrt(V) / A)[:, None, None]
    yield Comparison(f"EI on a flat law is Bayes's rule, mean: {case}", means, right, 64 * EPS * np.abs(right), np.abs(right))
    scale = np.abs(right) + std
    yield Comparison(f"EI on a flat law is Bayes's rule, noise: {case}", noisy, right + std, 64 * EPS * scale, scale)


def _local_errors(ops: Operations, setting: Setting, density, rng) -> Iterator[Comparison | Table]:
    """True transition minus one step, in closed form at every h (module docstring); some ten roundings of what is subtracted."""
    process, t, unit = setting.process, setting.last, np.eye(density.dim)
    r, g2 = float(setting.rate(t)), float(setting.diffusion2(t))
    h = 0.9 * t * 2.0 ** -np.arange(9)
    law = process.marginal(density, t)
    x = law.sample(4, rng)
    score = exact_score(ops, process, density)
    s, jacobian = score(x, t), ops.score_jacobian(law, x)
    A, V = (_column(y, 2) for y in ops.transition(process, t - h, np.full_like(h, t)))
    true_mean, true_cov = (x + V * s) / A, (V / A**2)[..., None] * (unit + V[..., None] * jacobian)
    u = r * h
    w = g2 * np.expm1(2 * u) / (2 * r)  # V/A^2
    bend = _column((g2 / r * _series(u, 1, 2)) ** 2, 3) * jacobian
    mean_size = np.abs(true_mean) + _column(np.exp(u), 2) * np.abs(x) + _column(w, 2) * np.abs(s) + _column(np.sqrt(w), 2)
    cov_size = _column(w, 3) * (1 + _column(w, 3) * np.abs(jacobian))
    zero = np.zeros_like(u)
    expected = {
        "euler_maruyama": (_series(u, 2, 1), g2 / r * _series(u, 3, 2), g2 / (2 * r) * _series(2 * u, 2, 1)),
        "exponential": (zero, -g2 / r * _series(u, 2, 2), zero),
    }
    rows: list[tuple] = []
    for scheme, (of_x, of_s, of_unit) in expected.items():
        chains = [ops.reverse_sde(process, score, [t, t - step], scheme) for step in h]
        means = np.array([chain.mean(0, x) for chain in chains])
        stds = np.array([(chain.step(0, x, np.ones_like(x)) - chain.mean(0, x)).mean() for chain in chains])
        mean, cov = true_mean - means, true_cov - _column(stds**2, 3) * unit
        mean_right, cov_right = _column(of_x, 2) * x + _column(of_s, 2) * s, _column(of_unit, 3) * unit + bend
        case = f"{scheme}, {setting.name}, mixture in d = {density.dim}"
        yield Comparison(f"local error of the mean: {case}", mean, mean_right, 32 * EPS * mean_size, mean_size)
        # the standard deviation is read off x + std, which costs it eps |x|/std
        lost = 8 * EPS * (4 + np.abs(x).max() * _column(np.exp(u) / np.sqrt(w), 3)) * cov_size
        yield Comparison(f"local error of the covariance: {case}", cov, cov_right, lost, cov_size)
        columns = *_orders(h, mean_right), *_orders(h, cov_right)
        rows += [(scheme, *row) for row in zip(h.tolist(), *columns, strict=True)][::2]
    title = f"Largest local errors of one step and their orders, {setting.name}, mixture in d = {density.dim}"
    yield Table(title, ("scheme", "h", "of the mean", "order", "of the covariance", "order"), rows)


def _column(y, dims: int) -> np.ndarray:
    return np.asarray(y).reshape(-1, *[1] * dims)


def _series(u: np.ndarray, first: int, step: int) -> np.ndarray:
    """sum u^k/k! over k = first, first + step, ...: e^u - 1 - u for (2, 1), sinh u - u for (3, 2)."""
    k = np.arange(first, 40, step)
    return (u[:, None] ** k / [float(math.factorial(j)) for j in k]).sum(axis=1)


def _orders(h: np.ndarray, error: np.ndarray) -> tuple[list, list]:
    """Two columns: the largest entry of the error at each h, and the observed order from the h before."""
    sizes = np.abs(error).reshape(len(h), -1).max(axis=1)
    return sizes.tolist(), ["", *(np.diff(np.log(sizes)) / np.diff(np.log(h))).round(2).tolist()]
