r"""Ancestral sampling and DDIM: what one step is, and what whole chains make of Gaussian data (systems F4).

Both are kernels a x + b s + sqrt(v) z from the noise prediction eps = -sigma s at x. The published steps,

    DDPM    x_{i-1} = (x_i - beta_i/sqrt(1 - alpha-bar_i) eps)/sqrt(1 - beta_i) + sqrt(v_i) z,   v_i = beta_i or beta~_i, v_1 = 0
    DDIM    x_s = alpha_s (x_t - sigma_t eps)/alpha_t + sqrt(sigma_s^2 - v) eps + sqrt(v) z,
            v = eta^2 (1 - alpha-bar_s)/(1 - alpha-bar_t) (1 - alpha-bar_t/alpha-bar_s)

are evaluated in 60-digit scales. Beyond the formulas: with the exact prediction the mean of DDPM's step is E[x_{i-1} | x_i], the
integral over what x_0 may be, for any data; DDIM maps N(alpha_t x_0, sigma_t^2 I) to N(alpha_s x_0, sigma_s^2 I) for every eta;
with eta = 0 it moves x/alpha by eps times the change of sigma/alpha; with eta = 1 on all indices it is DDPM with beta~.

For Gaussian data in one dimension with c_i = Var x_i, the chain takes a variance w to (1 - beta_i/c_i)^2 w/(1 - beta_i) + v_i, and
a mean that starts right stays right: the whole bias is in the variance, of first order in the steps h with beta_i, and h log(1/h)
with beta~_i, which falls short of beta_i by about 1/i of it at the i-th step from the data, however short the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS
from refscore.identities._chain_decimals import Bars
from refscore.identities._expectations import POSTERIOR_ROUNDING, data_nodes, posterior_weights
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.samplers import exact_score
from refscore.processes import DDPM, OU, VP, MarginalScore
from refscore.report import Picture

BETAS = np.array([0.02, 0.31, 0.004, 0.17, 0.45, 0.09, 0.26])
"""Not monotone, so that no index passes for its neighbour."""

VARIANCES = ("beta", "beta_tilde")


def predictions(process, density, seed: int) -> Iterator[tuple[str, Callable]]:
    """Noise predictions eps(x, t) by name, t a scalar or (n,): exact, random, and trained on the score of the data."""
    score, network = MarginalScore(process, density), _models.random_network(density.dim, seed, takes_time=True)
    trained = _models.trained_network(density, seed)

    def of_score(model):
        return lambda x, t: -np.reshape(process.sigma(t), (-1, 1)) * model(x, t)

    yield "exact", of_score(score)
    yield "random network", lambda x, t: network(x, np.broadcast_to(t, len(x)) / 10)
    yield "trained network", of_score(lambda x, t: trained(x))


@identity(
    id="F4.ddpm",
    systems=("F4", "E4"),
    title="Ancestral sampling of DDPM: its step, with either variance, and its bias",
    statement=r"x_{i-1} = \tfrac{1}{\sqrt{1-\beta_i}}\Big(x_i - \tfrac{\beta_i}{\sqrt{1-\bar\alpha_i}}\epsilon(x_i,i)\Big) + "
    r"\sqrt{v_i}\,z = E[x_{i-1}|x_i] + \sqrt{v_i}\,z,\quad v_i \in \{\beta_i, \tilde\beta_i\},\ v_1 = 0",
    source="[a, sec. 4, 'DDPM-style']; [b, sec. 2]; Ho et al. 2020, eq. 11 and algorithm 2",
    method="the chain's kernels with chosen noise against the published step in 60-digit scales, the posterior mean, and the "
    "integral over x_0; the law of the whole chain against the recursion of its moments",
    catches=(
        "ddpm_noise_in_last_step", "ddpm_variance_not_normalised", "ddpm_std_is_variance", "ddpm_variances_swapped",
        "ddpm_noise_weight_without_root", "ddpm_without_growth", "ddpm_growth_without_root", "ddpm_score_at_next_index",
        "ddpm_one_step_short", "ddpm_indices_reversed", "ddpm_noise_sign", "posterior_weights_swapped", "posterior_shifted",
        "posterior_alpha_bar_for_alpha", "law_one_step_short",
    ),
)
def ancestral_sampling(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 46))
    process, bars = DDPM(BETAS), Bars.of(BETAS)
    for d in _targets.DIMENSIONS:
        density = _targets.mixture(d)
        for name, model in predictions(process, density, seed):
            for variance in VARIANCES:
                x, noise = rng.standard_normal((2, 5, d)) + 0.3
                yield from _ancestral(ops, process, bars, model, variance, x, noise, f"{name}, d = {d}")
        yield from _true_mean(ops, process, density, rng)
    yield from _bias(ops)


def _ancestral(ops: Operations, process: DDPM, bars: Bars, model, variance: str, x, noise, case: str) -> Iterator[Comparison]:
    """Some thirty roundings of the terms of the sum."""
    chain, n = ops.ddpm(process, model, variance), len(BETAS)
    case = f"{variance}, {case}"
    yield Comparison(f"length: {case}", len(chain), n, 0.0)
    if len(chain) != n:
        return
    mean, stepped, right, noisy, bayes, size = ([] for _ in range(6))
    for k, i in enumerate(range(n, 0, -1)):
        beta, eps = BETAS[i - 1], model(x, i)
        before, after = bars.sigma(i - 1), bars.sigma(i)
        v = beta if variance == "beta" else before**2 / after**2 * beta
        mean.append(chain.mean(k, x))
        stepped.append(chain.step(k, x, noise))
        right.append((x - beta / after * eps) / math.sqrt(1 - beta))
        noisy.append(right[-1] + (math.sqrt(v) * noise if i > 1 else 0))
        x0 = (x - after * eps) / bars.alpha(i)
        bayes.append(ops.posterior(process, x0, x, i)[0])
        size.append((np.abs(x) + beta / after * np.abs(eps)) / math.sqrt(1 - beta) + np.abs(noise) + np.abs(x0))
    scale = np.array(size)
    yield Comparison(f"mean: {case}", np.array(mean), np.array(right), 32 * EPS * scale, scale)
    yield Comparison(f"with chosen noise: {case}", np.array(stepped), np.array(noisy), 32 * EPS * scale, scale)
    yield Comparison(f"posterior of the implied x_0: {case}", np.array(bayes), np.array(right), 64 * EPS * scale, scale)


def _true_mean(ops: Operations, process: DDPM, density, rng) -> Iterator[Comparison]:
    """E[x_{i-1} | x_i] as an integral over x_0, of a mixture: the mean of the chain's step with the exact prediction."""
    score = exact_score(ops, process, density)
    chain, n = ops.ddpm(process, score, "beta", predicts="score"), len(BETAS)
    if len(chain) != n:
        return
    for i in (2, 5, n):
        alpha, sigma = float(process.alpha(i)), float(process.sigma(i))
        x0, w = data_nodes(density, alpha, sigma)
        x = alpha * density.mean + rng.standard_normal((3, density.dim))
        right = []
        for row in x:
            weights = posterior_weights(row, x0, w, alpha, sigma)
            right.append(ops.posterior(process, (weights @ x0)[None], row[None], i)[0][0])
        size = np.abs(x0).max() + np.abs(x).max()
        case = f"E[x_(i-1) | x_i], mixture d = {density.dim}, index {i}"
        yield Comparison(case, chain.mean(n - i, x), np.array(right), 2 * POSTERIOR_ROUNDING * size, size)


GRIDS = (4, 7, 13, 25, 50, 100)


def _bias(ops: Operations) -> Iterator[Comparison | Table]:
    """N(0.6, 0.4) under the VP(0.1, 20): moments by recursion, where each step contracts and adds a few eps."""
    mu, spread, process = 0.6, 0.4, VP()
    data, rows = Gaussian([mu], spread), []
    for n in GRIDS:
        chain, row = DDPM.from_vp(process, np.linspace(0, 1, n + 1)), list[float]([n])
        score, start = exact_score(ops, chain, data), ops.marginal(chain, data, n)
        for variance in VARIANCES:
            law = ops.law(ops.ddpm(chain, score, variance, predicts="score"), start)
            mean, width = _recursion(chain.betas, mu, spread, variance)
            scale = 1 + mu * mu + spread
            found = np.array([law.mean[0], float(np.asarray(law.cov).ravel()[0])])
            yield Comparison(f"moments of x_0, {variance}, N = {n}", found, np.array([mean, width]), 64 * n * EPS * scale, scale)
            row += [width - spread, ops.total_variation(law, data)[0]]
        rows.append(tuple(row))
    names = ("N", "variance, beta", "TV, beta", "variance, beta_tilde", "TV, beta_tilde")
    picture = Picture(x="N", y=("TV, beta", "TV, beta_tilde"), log=True, ylabel="total variation to the data")
    yield Table("Bias of DDPM from the exact start: data N(0.6, 0.4), steps of VP(0.1, 20)", names, rows, picture)


def _recursion(betas: np.ndarray, mu: float, spread: float, variance: str) -> tuple[float, float]:
    """Mean and variance of the chain's x_0, from moments of x_N that are exact."""
    bars = np.concatenate([[1.0], np.cumprod(1 - betas)])
    c = 1 + bars * (spread - 1)
    mean, width = math.sqrt(bars[-1]) * mu, c[-1]
    for i in range(len(betas), 0, -1):
        beta = betas[i - 1]
        slope = 1 - beta / c[i]
        mean = (slope * mean + beta / c[i] * math.sqrt(bars[i]) * mu) / math.sqrt(1 - beta)
        v = 0.0 if i == 1 else beta if variance == "beta" else (1 - bars[i - 1]) / (1 - bars[i]) * beta
        width = slope**2 * width / (1 - beta) + v
    return mean, width


@identity(
    id="F4.ddim",
    systems=("F4",),
    title="DDIM: one family from the deterministic flow (eta = 0) to ancestral sampling (eta = 1), on any of the indices",
    statement=r"x_s = \alpha_s\frac{x_t-\sigma_t\epsilon}{\alpha_t} + \sqrt{\sigma_s^2 - v}\,\epsilon + \sqrt v\,z,\quad "
    r"v = \eta^2\,\frac{1-\bar\alpha_s}{1-\bar\alpha_t}\Big(1-\frac{\bar\alpha_t}{\bar\alpha_s}\Big)",
    source="[b, sec. 2, 'Probability Flow ODE']; Song, Meng & Ermon 2021, eq. 12, 14, 16 and lemma 1",
    method="the chain's kernels with chosen noise against the published step in 60-digit scales; laws from a known clean point "
    "against q(x_s | x_0); eta = 1 against DDPM; eta = 0 against an Euler step of x/alpha in sigma/alpha",
    catches=(
        "ddim_eta_not_squared", "ddim_variance_without_ratio", "ddim_direction_keeps_all_noise", "ddim_direction_without_root",
        "ddim_consecutive_indices", "ddim_std_is_variance", "ddim_x0_not_scaled", "ddim_noise_sign", "ddim_score_at_next_index",
        "ddim_eta_ignored", "ddim_direction_at_start", "ddpm_variance_not_normalised", "ddpm_variances_swapped",
        "ddpm_noise_in_last_step", "law_one_step_short",
    ),
)
def implicit_models(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 47))
    process, bars = DDPM(BETAS), Bars.of(BETAS)
    for d in _targets.DIMENSIONS:
        for name, model in predictions(process, _targets.mixture(d), seed):
            for eta in (0.0, 0.4, 1.0):
                for path in (None, (7, 4, 3, 0), (6, 5, 1)):
                    x, noise = rng.standard_normal((2, 5, d)) + 0.3
                    yield from _implicit(ops, process, bars, model, eta, path, x, noise, f"{name}, d = {d}")
    yield from _known_point(ops)
    _, model = next(predictions(process, _targets.mixture(2), seed))
    one, other = ops.ddim(process, model, eta=1.0), ops.ddpm(process, model, "beta_tilde")
    for number in ("times", "a", "b", "v"):
        left, right = getattr(one, number), getattr(other, number)
        yield Comparison(f"eta = 1 is DDPM with beta_tilde: {number}", left, right, 32 * EPS * np.abs(left), 1 + np.abs(left))
    yield from _bias_of_ddim(ops)


def _implicit(ops: Operations, process: DDPM, bars: Bars, model, eta: float, path, x, noise, case: str) -> Iterator[Comparison]:
    """Some thirty roundings of the terms of the sum, of which sqrt(sigma_s^2 - v) may be a difference: in decimals by hand."""
    chain = ops.ddim(process, model, path, eta)
    ends = tuple(range(len(BETAS), -1, -1)) if path is None else path
    case = f"eta = {eta}, indices {'all' if path is None else path}, {case}"
    yield Comparison(f"length: {case}", len(chain), len(ends) - 1, 0.0)
    if len(chain) != len(ends) - 1:
        return
    stepped, noisy, flow, euler, size = ([] for _ in range(5))
    for k, (t, s) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        eps, (_, added) = model(x, t), bars.transition(s, t)
        alphas, sigmas = [bars.alpha(i) for i in (s, t)], [bars.sigma(i) for i in (s, t)]
        v = eta**2 * (sigmas[0] / sigmas[1]) ** 2 * added
        kept = math.sqrt(max(0.0, sigmas[0] ** 2 - v))
        x0 = (x - sigmas[1] * eps) / alphas[1]
        stepped.append(chain.step(k, x, noise))
        noisy.append(alphas[0] * x0 + kept * eps + math.sqrt(v) * noise)
        size.append(alphas[0] / alphas[1] * (np.abs(x) + sigmas[1] * np.abs(eps)) + np.abs(eps) + np.abs(noise))
        flow.append(chain.mean(k, x) / alphas[0])
        euler.append(x / alphas[1] + (sigmas[0] / alphas[0] - sigmas[1] / alphas[1]) * eps)
    scale = np.array(size)
    yield Comparison(f"with chosen noise: {case}", np.array(stepped), np.array(noisy), 64 * EPS * scale, scale)
    if eta == 0:
        scale = scale / bars.alpha(max(ends))
        yield Comparison(f"Euler in sigma/alpha: {case}", np.array(flow), np.array(euler), 64 * EPS * scale, scale)


def _known_point(ops: Operations) -> Iterator[Comparison]:
    """For indices, and for times of any process; the law of the chain is computed, not the step's moments."""
    x0 = np.array([0.8, -1.7])
    for process, path in ((DDPM(BETAS), (7, 5, 4, 1)), (OU(0.7, 1.3), (1.9, 0.8, 0.3)), (VP(0.4, 9.0), (1.0, 0.4, 0.1))):

        def known(x, t, process=process):
            return (x - float(process.alpha(t)) * x0) / float(process.sigma(t))

        start = Gaussian(float(process.alpha(path[0])) * x0, float(process.variance(path[0])) * np.eye(2))
        for eta in (0.0, 0.4, 1.0):
            chain = ops.ddim(process, known, path, eta)
            for k, s in enumerate(path[1:], 1):
                law = ops.law(chain[:k], start)
                case = f"eta = {eta}, {process}, at {s}"
                scale = 1 + np.abs(x0)
                yield Comparison(f"mean of a known point: {case}", law.mean, process.alpha(s) * x0, 256 * EPS * scale, scale)
                scale = 1 + process.variance(path[0])
                right = process.variance(s) * np.eye(2)
                yield Comparison(f"covariance of a known point: {case}", law.cov, right, 256 * EPS * scale, scale)


def _bias_of_ddim(ops: Operations) -> Iterator[Comparison | Table]:
    """Gaussian data: (1/alpha_ts - b/c_t)^2 w + v, with b from the published step."""
    mu, spread, rows = 0.6, 0.4, list[tuple]()
    data, etas = Gaussian([mu], spread), (0.0, 0.5, 1.0)
    for n in GRIDS[:-1]:
        chain, row = DDPM.from_vp(VP(), np.linspace(0, 1, n + 1)), list[float]([n])
        exact = Bars.of(chain.betas)
        bars, missing = (np.array([scale(i) for i in range(n + 1)]) ** 2 for scale in (exact.alpha, exact.sigma))
        c = 1 + bars * (spread - 1)
        for eta in etas:
            width = c[-1]
            for i in range(n, 0, -1):
                v = eta**2 * missing[i - 1] / missing[i] * (1 - bars[i] / bars[i - 1])
                slope = math.sqrt(bars[i - 1] / bars[i]) * (1 - missing[i] / c[i])
                slope += math.sqrt(max(0.0, missing[i - 1] - v) * missing[i]) / c[i]
                width = slope**2 * width + v
            law = ops.law(ops.ddim(chain, exact_score(ops, chain, data), None, eta, predicts="score"),
                          ops.marginal(chain, data, n))
            found = float(np.asarray(law.cov).ravel()[0])
            yield Comparison(f"variance of x_0, eta = {eta}, N = {n}", found, width, 64 * n * EPS, 1.0)
            row += [width - spread, ops.total_variation(law, data)[0]]
        rows.append(tuple(row))
    names = ("N", *(f"{what}, eta = {eta}" for eta in etas for what in ("variance", "TV")))
    picture = Picture(x="N", y=names[2::2], log=True, ylabel="total variation to the data")
    yield Table("Bias of DDIM from the exact start: data N(0.6, 0.4), steps of VP(0.1, 20)", names, rows, picture)
