r"""The log-likelihood along the probability flow (systems F6), its total and its terms one by one.

    log p_{t_min}(x) = log p_T(x_T) + int_{t_min}^T div b(x_t, t) dt

The total, with the exact p_T for a prior, is the log-density of the data, which is known. The terms have second roads of their own:

    prior        the normal density at the end of the curve, written out
    divergence   Gaussian data: the flow is the linear map S_T^{1/2} S_0^{-1/2}, so it is 1/2 tr log(S_T S_0^{-1}) for every x,
                 and 1/2 v' log(S_T S_0^{-1}) v for a probe v kept along the curve; any network: the derivative J of the flow's
                 map obeys J' = Db J, and the integral is log det J (change of variables); probes: their mean over all 2^d signs
    truncation   -t_min times the time derivative of the exact log p_t
    on a grid    the same step for x and for the integral, written out

What a solver with tolerances is off by is judged by a second run with tolerances a hundred times larger.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS, collocate, stage_times
from refscore.identities._continuity import log_density_in_time
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.flow import flow_settings
from refscore.identities.samplers import Setting

_LOOSE, _TIGHT = 1e-9, 1e-11


class _Exact:
    """The score of the marginals with its derivatives, by way of the operations."""

    def __init__(self, ops: Operations, process, density):
        self.ops, self.marginal = ops, lru_cache(maxsize=2048)(lambda t: ops.marginal(process, density, t))

    def __call__(self, x, t):
        return self.ops.score(self.marginal(float(t)), x)

    def divergence(self, x, t):
        return self.ops.score_divergence(self.marginal(float(t)), x)

    def jvp(self, x, v, t):
        return np.einsum("nij,nj->ni", self.ops.score_jacobian(self.marginal(float(t)), x), v)


class _Network:
    """A network's score with its derivatives, by way of the operations; ``t`` scalar or (n,), left out for one without time."""

    def __init__(self, ops: Operations, model, takes_time: bool):
        self.ops, self.model, self.takes_time = ops, model, takes_time

    def _time(self, x, t) -> tuple:
        return (np.broadcast_to(t, len(x)),) if self.takes_time else ()

    def __call__(self, x, t):
        return self.ops.forward(self.model, x, *self._time(x, t))

    def divergence(self, x, t):
        return self.ops.divergence(self.model, x, *self._time(x, t))

    def jvp(self, x, v, t):
        return self.ops.jvp(self.model, x, v, *self._time(x, t))

    def jacobian(self, x, t):
        return self.ops.jacobian(self.model, x, *self._time(x, t))


@identity(
    id="F6",
    systems=("F6",),
    title="Log-likelihood along the probability flow: the exact log-density, and every term of it",
    statement=r"\log p_0(x_0) = \log p_T(x_T) + \int_0^T \nabla\!\cdot (f - \tfrac12 g^2 s)(x_t, t)\,dt;\quad "
    r"\mathcal N(m, C):\ \int = \tfrac12 \operatorname{tr} \log(S_T S_0^{-1})",
    source="[b, sec. 1]; Chen et al. 2018, theorem 1; Song et al. 2021, app. D.2",
    method="totals with the exact prior against exact log-densities of mixtures, d = 1, 2, 5; each term by itself: normal density "
    "and early stop written out, divergence in closed form for Gaussian data, also by a probe; Euler and Heun sums by definition",
    catches=(
        "likelihood_without_divergence", "likelihood_divergence_sign", "likelihood_divergence_over_dims",
        "likelihood_divergence_of_the_drift_alone", "likelihood_divergence_of_the_score_alone", "likelihood_divergence_without_d",
        "likelihood_divergence_of_the_full_score", "likelihood_divergence_not_integrated", "likelihood_prior_std_for_variance",
        "likelihood_prior_normaliser_once", "likelihood_prior_without_normaliser", "likelihood_prior_at_the_start",
        "likelihood_prior_standard_normal", "likelihood_prior_ignored", "likelihood_truncation_sign",
        "likelihood_truncation_of_the_divergence_alone", "likelihood_truncation_counted_in", "likelihood_early_stop_ignored",
        "likelihood_probes_of_unit_length", "likelihood_one_probe_for_all_rows", "flow_of_the_full_score", "flow_rate_halved",
    ),
)
def log_likelihood(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 61))
    ou, vp, sub, ve = flow_settings()
    for setting, d in ((vp, 1), (sub, 2), (ve, 2), (ou, 5)):
        yield _total(ops, setting, _mixture(d), rng)
    yield from _terms_of_a_gaussian(ops, ou, _targets.gaussian(3), rng)
    yield from _early_stop(ops, sub, _targets.mixture(2), rng)
    yield from _on_a_grid(ops, ou, _targets.mixture(3), rng)
    yield from _known_number(ops, vp)


def _mixture(d: int) -> GaussianMixture:
    """A skewed mixture with correlated components, of any dimension."""
    if d in _targets.DIMENSIONS:
        return _targets.mixture(d)
    i = np.arange(1, d + 1)
    means = np.array([np.sin(2 * i), 0.7 * np.cos(3 * i)])
    roots = [np.diag(0.6 + 0.3 * np.sin(i + k)) + 0.2 * np.sin(np.add.outer((k + 1) * i, 2 * i)) for k in (0, 1)]
    return GaussianMixture([0.35, 0.65], means, np.array([root @ root.T + 0.1 * np.eye(d) for root in roots]))


def _twice(ops: Operations, flow, x: np.ndarray, **options):
    """The result at tight tolerances, and what total, divergence and end may be off by: see the module; 10^3 slopes are rounded."""
    tight, loose = (ops.log_likelihood(flow, x, rtol=tol, atol=tol, **options) for tol in (_TIGHT, _LOOSE))
    changes = [np.abs(getattr(tight, name) - getattr(loose, name)).max() for name in ("total", "divergence", "end")]
    scale = 1 + np.abs(tight.prior).max() + np.abs(tight.divergence).max()
    return tight, float(max(changes) + 1e3 * EPS * scale), float(scale)


def _total(ops: Operations, setting: Setting, density, rng) -> Comparison:
    process, last = setting.process, setting.last
    flow = ops.probability_flow(process, _Exact(ops, process, density))
    x = density.sample(6, rng)
    found, error, scale = _twice(ops, flow, x, t_max=last, prior=process.marginal(density, last))
    case = f"total, {setting.name}, mixture in d = {density.dim}, T = {last:g}"
    return Comparison(case, found.total, density.logpdf(x), error + density.logpdf_error(x), scale)


def _terms_of_a_gaussian(ops: Operations, setting: Setting, density, rng) -> Iterator[Comparison]:
    """The normal prior and the divergence, exact and with a probe of its own for every row."""
    process, last, d = setting.process, 0.7 * setting.last, density.dim
    flow = ops.probability_flow(process, _Exact(ops, process, density))
    values, vectors = np.linalg.eigh(density.cov)
    alpha, sigma = float(ops.alpha(process, last)), float(ops.sigma(process, last))
    stretched = alpha**2 + sigma**2 / values
    z = rng.standard_normal((6, d))
    x = density.mean + z * np.sqrt(values) @ vectors.T
    end = alpha * density.mean + z * np.sqrt(values * stretched) @ vectors.T
    case = f"{setting.name}, Gaussian in d = {d}, T = {last:.3g}"

    found, error, scale = _twice(ops, flow, x, t_max=last)
    steepest = np.abs(end).max() * d / sigma**2  # of the log of the normal density
    prior = -0.5 * (end**2).sum(axis=1) / sigma**2 - 0.5 * d * math.log(2 * math.pi * sigma**2)
    yield Comparison(f"end: {case}", found.end, end, error, scale)
    yield Comparison(f"normal prior: {case}", found.prior, prior, (1 + steepest) * error, scale)
    yield Comparison(f"divergence: {case}", found.divergence, np.full(6, 0.5 * np.log(stretched).sum()), error, scale)
    v = rng.standard_normal((6, d))
    found, error, scale = _twice(ops, flow, x, t_max=last, probes=v)
    decay = math.log(alpha)  # -int r: the trace of f is no estimate
    right = d * decay + ((v @ vectors) ** 2 @ (0.5 * np.log(stretched) - decay))
    yield Comparison(f"divergence by one probe: {case}", found.divergence, right, error, scale)


def _early_stop(ops: Operations, setting: Setting, density, rng) -> Iterator[Comparison]:
    process, start, last = setting.process, 0.1 * setting.last, setting.last
    flow = ops.probability_flow(process, _Exact(ops, process, density))
    law = process.marginal(density, start)
    x = law.sample(6, rng)
    found, error, scale = _twice(ops, flow, x, t_min=start, t_max=last, prior=process.marginal(density, last))
    in_time, time_error = log_density_in_time(ops, process, density, x, start, float(setting.rate(start)))
    case = f"{setting.name}, mixture in d = {density.dim}, t_min = {start:.3g}"
    yield Comparison(f"total from an early stop: {case}", found.total, law.logpdf(x), error + law.logpdf_error(x), scale)
    bound = start * time_error + 64 * EPS * scale
    yield Comparison(f"truncation: {case}", found.truncation, -start * in_time, bound, scale)


def _on_a_grid(ops: Operations, setting: Setting, density, rng) -> Iterator[Comparison]:
    """A rounding of one step is stretched by the later ones, in all by less than ten here."""
    process, d = setting.process, density.dim
    score = _Exact(ops, process, density)
    flow = ops.probability_flow(process, score)

    def slopes(x, t):
        r, g2 = float(setting.rate(t)), float(setting.diffusion2(t))
        return -r * x - g2 / 2 * score(x, t), -r * d - g2 / 2 * score.divergence(x, t)

    start = density.sample(5, rng)
    times = setting.last * np.linspace(0, 1, 14) ** 1.3
    for method in ("euler", "heun"):
        x, total = start, np.zeros(len(start))
        for t, s in itertools.pairwise(times):
            b, outflow = slopes(x, t)
            if method == "heun":
                later, later_outflow = slopes(x + (s - t) * b, s)
                b, outflow = (b + later) / 2, (outflow + later_outflow) / 2
            x, total = x + (s - t) * b, total + (s - t) * outflow
        found = ops.log_likelihood(ops.flow_steps(flow, times, method), start)
        sigma2 = float(ops.sigma(process, times[-1])) ** 2
        prior = -0.5 * (x**2).sum(axis=1) / sigma2 - 0.5 * d * math.log(2 * math.pi * sigma2)
        scale = np.abs(prior).max() + np.abs(total).max()
        case = f"{method}, {setting.name}, mixture in d = {d}, 13 steps"
        yield Comparison(f"total on a grid: {case}", found.total, prior + total, 10 * 13 * 16 * EPS * scale, scale)


def _known_number(ops: Operations, setting: Setting) -> Iterator[Comparison | Table]:
    """N(0, 1/4) under VP at x = 0.3; log-densities to all digits, from the stretch sqrt(alpha^2 + 4 sigma^2)."""
    process, density, x = setting.process, Gaussian([0.0], [[0.25]]), 0.3
    alpha2 = math.exp(-10.05)
    stretch2 = alpha2 - 4 * math.expm1(-10.05)
    prior = -0.5 * stretch2 * x * x / -math.expm1(-10.05) - 0.5 * math.log(2 * math.pi * -math.expm1(-10.05))
    found, error, scale = _twice(ops, ops.probability_flow(process, _Exact(ops, process, density)), np.array([[x]]))
    yield Comparison("N(0, 1/4), VP(0.1, 20), x = 0.3, from N(0, sigma_T^2)", found.total, [prior + 0.5 * math.log(stretch2)],
                     (1 + 4 * x) * error, scale)
    rows = [
        ("prior + divergence", float(found.total[0])),
        ("exact log-density", float(density.logpdf([[x]])[0])),
        ("the divergence dropped", float(found.prior[0])),
        ("its sign flipped", float(found.prior[0] - found.divergence[0])),
    ]
    yield Table("log-likelihood of x = 0.3 under N(0, 1/4), VP(0.1, 20), from N(0, sigma_T^2)", ("what", "value"), rows)


@identity(
    id="F6.networks",
    systems=("F6",),
    title="Log-likelihood of any score: change of variables along its flow, by the trace or by probes",
    statement=r"\int_0^T \nabla\!\cdot b\,dt = \log\det J_T,\ J' = (Db)\,J,\ J_0 = I;\qquad "
    r"2^{-d} \sum_{v \in \{\pm1\}^d} \int_0^T v^\top (Db)\, v\,dt = \int_0^T \nabla\!\cdot b\,dt",
    source="[b, sec. 1]; Chen et al. 2018, theorem 1; Grathwohl et al. 2019; Hutchinson 1990",
    method="random and trained networks: the divergence integral against the determinant of the map's derivative, by forward "
    "sensitivities with collocation; probes: all sign vectors together, as k probes and in single runs, against the trace",
    catches=(
        "likelihood_without_divergence", "likelihood_divergence_sign", "likelihood_divergence_without_d",
        "likelihood_divergence_not_integrated", "likelihood_probes_summed", "likelihood_probes_uniform",
        "likelihood_probes_of_unit_length", "flow_of_the_full_score", "flow_without_drift", "divergence_without_slopes",
    ),
)
def likelihood_of_networks(ops: Operations, seed: int) -> Iterator[Comparison]:
    rng = np.random.default_rng((seed, 62))
    _, vp, sub, _ = flow_settings()
    networks: list[tuple[str, int, _Network]] = [
        ("random", 3, _Network(ops, _models.random_network(3, seed, takes_time=True), True)),
        ("trained", 2, _Network(ops, _models.trained_network(_targets.mixture(2), seed), False)),
    ]
    for setting, (name, d, network) in zip((vp, sub), networks, strict=True):
        last, x = 0.6 * setting.last, rng.standard_normal((4, d)) + 0.3
        flow = ops.probability_flow(setting.process, network)
        found, error, scale = _twice(ops, flow, x, t_max=last)
        ends, logs = zip(*(_by_sensitivities(setting, network, x, last, panels) for panels in (4, 8)), strict=True)
        bound = error + np.abs(logs[1] - logs[0]).max() + np.abs(ends[1] - ends[0]).max()
        case = f"{setting.name}, {name} network, d = {d}, T = {last:g}"
        yield Comparison(f"end: {case}", found.end, ends[1], bound, scale)
        yield Comparison(f"log det of the map's derivative: {case}", found.divergence, logs[1], bound, scale)

        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=d)))
        every = np.repeat(signs[:, None], len(x), axis=1)
        mean, mean_error, _ = _twice(ops, flow, x, t_max=last, probes=every)
        yield Comparison(f"all signs as k = {2**d} probes: {case}", mean.divergence, found.divergence, error + mean_error, scale)
        runs = [_twice(ops, flow, x, t_max=last, probes=v) for v in every[: len(every) // 2]]  # v and -v give the same
        apart, apart_error = np.mean([run[0].divergence for run in runs], axis=0), max(run[1] for run in runs)
        yield Comparison(f"all signs in single runs: {case}", apart, found.divergence, error + apart_error, scale)


def _by_sensitivities(setting: Setting, network: _Network, x: np.ndarray, last: float, panels: int):
    """(x_T, log det of its derivative in x): the flow and its variational equation as one system."""
    n, d = x.shape
    times = stage_times(0.0, last, panels)

    def slopes(i: int, states: np.ndarray) -> np.ndarray:
        y, derivative = states[:, :, 0], states[:, :, 1:].swapaxes(2, 3)  # (stages, n, d), (stages, n, d, d)
        t = np.repeat(times[i], n)
        r, g2 = (np.asarray(f(times[i]))[:, None, None] for f in (setting.rate, setting.diffusion2))
        s = network(y.reshape(-1, d), t).reshape(y.shape)
        Ds = network.jacobian(y.reshape(-1, d), t).reshape(derivative.shape)
        moved = -r[..., None] * derivative - g2[..., None] / 2 * (Ds @ derivative)
        return np.concatenate([(-r * y - g2 / 2 * s)[:, :, None], moved.swapaxes(2, 3)], axis=2)

    start = np.concatenate([x[:, None], np.broadcast_to(np.eye(d), (n, d, d))], axis=1)
    end = collocate(slopes, start, 0.0, last, panels)
    return end[:, 0], np.linalg.slogdet(end[:, 1:])[1]
