r"""Wiener increments, their refinement, and the schemes for forward SDEs (systems E1).

Increments are linear in the noise, so their covariance is no matter of sampling: put every unit vector of the noise in place of it,
and sum the products of what comes out. That must be min(s, t) on any grid, and on a grid refined by bridges too.

The strong orders are in `strong_orders`; here steps stand against their formulas, with increments chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, identity
from refscore.processes import OU, VP

TIMES = np.array([0.1, 0.25, 0.3, 0.7, 0.9])
FINE = np.array([0.1, 0.12, 0.2, 0.25, 0.3, 0.33, 0.34, 0.5, 0.7, 0.75, 0.9])
_WIENER = (
    "wiener_std_dt", "wiener_unit_increments", "wiener_equal_steps", "wiener_shared_by_coordinates", "wiener_path_for_increments",
)
_BRIDGES = (
    "bridge_fresh_path", "bridge_without_noise", "bridge_unconditioned", "bridge_half_variance", "bridge_double_std",
    "bridge_equal_shares", "coarse_increments_averaged", "coarse_increments_subsampled",
)


@identity(
    id="E1",
    systems=("E1",),
    title="Wiener increments: the covariance min(s, t) on any grid, and on one refined by bridges, which keeps the path",
    statement=r"w(t_{k+1}) - w(t_k) = \sqrt{t_{k+1} - t_k}\, z_k,\quad \mathrm{Cov}[w(s), w(t)] = \min(s, t)\, I,\quad "
    r"\mathrm{Var}[w(t) \mid w(a), w(b)] = \frac{(t-a)(b-t)}{b-a}",
    source="[c]; Glasserman 2003, sec. 3.1",
    method="the linear map from noise to increments at every unit vector of the noise, and its covariance, against min(s, t); the "
    "bridge's variance; sums of refined increments against the coarse ones",
    catches=(*_WIENER, *_BRIDGES),
)
def wiener(ops: Operations, seed: int) -> Iterator[Comparison]:
    rng = np.random.default_rng((seed, 91))
    for d in (1, 2, 3):
        units = _units(len(TIMES) - 1, d)
        coarse = ops.wiener_increments(TIMES, units)
        yield _covariance(f"grid of {len(TIMES) - 1} steps, d = {d}", TIMES, coarse)
        # noise of both grids, one after the other: the rows are independent of each other
        bridges = _units(len(FINE) - 1, d)
        both = np.concatenate([units, np.zeros((len(units), bridges.shape[1], d))], axis=1)
        extra = np.concatenate([np.zeros((len(bridges), units.shape[1], d)), bridges], axis=1)
        refined = ops.refined_increments(TIMES, ops.wiener_increments(TIMES, both), FINE, extra)
        yield _covariance(f"refined by bridges, d = {d}", FINE, refined)
        yield from _bridge_variance(ops, d, bridges)
        noise = rng.standard_normal((len(TIMES) - 1, 7, d)), rng.standard_normal((len(FINE) - 1, 7, d))
        dw = ops.wiener_increments(TIMES, noise[0])
        parts = ops.refined_increments(TIMES, dw, FINE, noise[1])
        sums = [parts[(FINE[:-1] >= a) & (FINE[:-1] < b)].sum(axis=0) for a, b in zip(TIMES[:-1], TIMES[1:])]
        scale = 1 + np.abs(noise[0]).max() + np.abs(noise[1]).max()
        yield Comparison(f"fine increments add up, d = {d}", np.array(sums), dw, 32 * EPS * scale, scale)
        yield Comparison(f"summed increments, d = {d}", ops.summed_increments(FINE, parts, TIMES), dw, 32 * EPS * scale, scale)


def _units(steps: int, d: int) -> np.ndarray:
    """Noise (steps, steps d, d): one row for every unit vector."""
    return np.ascontiguousarray(np.eye(steps * d).reshape(steps * d, steps, d).swapaxes(0, 1))


def _covariance(case: str, times: np.ndarray, increments: np.ndarray) -> Comparison:
    """Products of at most 30 numbers below 1, of sums of at most 10 increments with some roundings each."""
    path = np.cumsum(increments, axis=0)
    d = path.shape[2]
    left = np.einsum("sra,trb->satb", path, path)
    right = np.einsum("st,ab->satb", np.minimum.outer(times[1:], times[1:]) - times[0], np.eye(d))
    return Comparison(f"Cov[w(s), w(t)] = min(s, t): {case}", left, right, 256 * EPS)


def _bridge_variance(ops: Operations, d: int, noise: np.ndarray) -> Iterator[Comparison]:
    """Given the coarse path, here 0, each time between has (t - a)(b - t)/(b - a) in every coordinate."""
    still = np.zeros((len(TIMES) - 1, noise.shape[1], d))
    path = np.cumsum(ops.refined_increments(TIMES, still, FINE, noise), axis=0)
    after = np.searchsorted(TIMES, FINE[1:])
    a, b, t = TIMES[after - 1], TIMES[after], FINE[1:]
    right = np.repeat(((t - a) * (b - t) / (b - a))[:, None], d, axis=1)
    yield Comparison(f"Var[w(t) | w(a), w(b)], d = {d}", (path**2).sum(axis=1), right, 256 * EPS)


@identity(
    id="E1.steps",
    systems=("E1",),
    title="Forward SDEs: every step of Euler-Maruyama, Milstein and Heun by its formula, and the reverse SDE as a forward one",
    statement=r"dx = f(x, t)\,dt + g(x, t)\,dw:\; x + f h + g\,\Delta w \;\left[+ \tfrac12 g g' (\Delta w^2 - h)\right],\quad "
    r"x + \tfrac12 (f + \hat f) h + \tfrac12 (g + \hat g) \Delta w",
    source="[c]; Maruyama 1955; Milstein 1974; Kloeden & Platen 1992, ch. 10 and 14",
    method="paths with chosen increments against the formulas in a loop over rows and coordinates, drifts of processes, exact "
    "scores, random and trained networks; Euler-Maruyama on the time-reversed equation against the chain of reverse_sde",
    catches=(
        "sde_increment_scaled_twice", "sde_noise_shared", "sde_diffusion_at_end", "sde_drift_at_end", "sde_diffusion_squared",
        "sde_drift_sign", "sde_one_step_short", "sde_stratonovich_for_ito", "sde_ito_for_stratonovich",
        "heun_predictor_without_noise", "heun_noise_not_corrected", "heun_drift_not_corrected",
        "milstein_without_half", "milstein_plus_step", "milstein_of_stratonovich", "milstein_slope_alone", "milstein_not_used",
    ),
)
def steps(ops: Operations, seed: int) -> Iterator[Comparison]:
    rng = np.random.default_rng((seed, 92))
    for name, d, drift in _drifts(ops, seed):
        x = rng.standard_normal((5, d)) + 0.4
        increments = np.sqrt(np.diff(TIMES))[:, None, None] * rng.standard_normal((len(TIMES) - 1, 5, d))
        for kind, diffusion, slope in _diffusions():
            for scheme in ("euler_maruyama", "milstein", "heun"):
                found = ops.forward_sde(drift, diffusion, TIMES, scheme, *((slope,) if scheme == "milstein" else ()))
                yield from _path(f"{scheme}, {name}, d = {d}, {kind}", found, scheme, drift, diffusion, slope, x, increments)
    for d in _targets.DIMENSIONS:
        yield from _reversed(ops, d, rng)


def _drifts(ops: Operations, seed: int) -> Iterator[tuple[str, int, Callable]]:
    """f(x, t), all of them varying with x and t."""
    process = VP(0.2, 6.0)
    for d in _targets.DIMENSIONS:
        density = _targets.mixture(d)
        yield "VP's drift", d, lambda x, t: ops.drift(process, x, t)
        yield "score of a mixture", d, lambda x, t, p=density: ops.score(ops.corrupted(p, 1.0, t), x)
    random, trained = _models.random_network(2, seed, takes_time=True), _models.trained_network(_targets.mixture(3), seed)
    yield "random network", 2, lambda x, t: ops.forward(random, x, np.full(len(x), t))
    yield "trained network", 3, lambda x, t: (1 + t) * ops.forward(trained, x)


def _diffusions() -> Iterator[tuple[str, Callable, Callable]]:
    """g_i(x_i, t) and its derivative: a number, one a row, one an entry."""
    yield "g(t)", lambda x, t: 0.5 + t, lambda x, t: 0.0
    yield "g_i = (1 + t) sqrt(1 + x_i^2)", lambda x, t: (1 + t) * np.sqrt(1 + x * x), lambda x, t: (1 + t) * x / np.sqrt(1 + x * x)


def _path(case: str, found, scheme: str, f: Callable, g: Callable, slope: Callable, x, increments) -> Iterator[Comparison]:
    """Every step at the state where the loop is; a few roundings of each term, which the second stage of Heun's passes on."""
    yield Comparison(f"number of steps: {case}", len(found), len(increments), 0.0)
    left, right, size = [], [], []
    for k, dw in enumerate(increments[: len(found)]):
        t, s = TIMES[k], TIMES[k + 1]
        left.append(found.step(k, x, dw))
        drift, noise = f(x, t), _full(g(x, t), x)
        expected, extent = np.empty_like(x), np.empty_like(x)
        for i in np.ndindex(*x.shape):
            expected[i] = x[i] + drift[i] * (s - t) + noise[i] * dw[i]
            extent[i] = abs(x[i]) + abs(drift[i] * (s - t)) + abs(noise[i] * dw[i])
        if scheme == "milstein":
            more = _full(slope(x, t), x)
            for i in np.ndindex(*x.shape):
                expected[i] += noise[i] * more[i] * (dw[i] ** 2 - (s - t)) / 2
                extent[i] += abs(noise[i] * more[i]) * (dw[i] ** 2 + (s - t))
        if scheme == "heun":
            drift_end, noise_end = f(expected, s), _full(g(expected, s), x)
            for i in np.ndindex(*x.shape):
                expected[i] = x[i] + (drift[i] + drift_end[i]) * (s - t) / 2 + (noise[i] + noise_end[i]) * dw[i] / 2
                extent[i] += abs(drift_end[i] * (s - t)) + abs(noise_end[i] * dw[i])
        right.append(expected)
        size.append(extent)
        x = expected
    scale = 1 + np.array(size).max()
    yield Comparison(f"steps: {case}", np.array(left), np.array(right), 1024 * EPS * scale, scale)


def _full(value, x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), x.shape)


def _reversed(ops: Operations, d: int, rng) -> Iterator[Comparison]:
    """The reverse SDE in increasing time u = T - t is a forward one, and its Euler-Maruyama is the sampler's chain."""
    process, density, end = OU(0.8, 1.3), _targets.mixture(d), 0.9

    def score(x, t):
        return ops.score(ops.corrupted(density, ops.alpha(process, t), ops.sigma(process, t)), x)

    times = end - TIMES
    chain = ops.reverse_sde(process, score, times)
    drift, diffusion = (lambda x, u: ops.reverse_drift(process, score, x, end - u)), (lambda x, u: ops.diffusion(process, end - u))
    found = ops.forward_sde(drift, diffusion, TIMES)
    x, z = rng.standard_normal((2, 5, d))
    steps = range(min(len(chain), len(found)))
    left = np.array([found.step(k, x, math.sqrt(TIMES[k + 1] - TIMES[k]) * z) for k in steps])
    right = np.array([chain.step(k, x, z) for k in steps])
    scale = 1 + np.abs(left).max()
    yield Comparison(f"Euler-Maruyama of the reverse SDE, mixture, d = {d}", left, right, 1024 * EPS * scale, scale)
