r"""DDPM's chain: its scales, its posteriors, its schedules, and the VP process that it becomes (systems E4).

Bayes. (x_s, x_t) given x_0 is jointly Gaussian for s < t; conditioning on x_t gives q(x_s | x_t, x_0). Averaged over what x_0 may
be once x_t is seen, it is the reversed chain itself, which Tweedie's formula knows for any data: with (a, V) of x_t given x_s

    E[x_s | x_t] = (x_t + V score(x_t))/a,       Cov[x_s | x_t] = V/a^2 (I + V D score(x_t)).

Limit. The chain with beta_i = 1 - e^{-int beta dt} is the VP process at the ends of its steps, whatever their length. The published
beta_i = beta(t_i) h are not: -log(1 - beta) = beta + beta^2/2 + ..., and a sum at right ends is no integral, so that

    -log alpha-bar_N - int beta = h (int beta^2 + beta(1) - beta(0))/2 + O(h^2).

A step of length h, with u = int beta/2 over it and the score at its start, has in the three samplers (a x + b s + sqrt(v) z)

    ancestral       a = e^u,              b = 2 sinh u,       v = 1 - e^{-2u}
    exponential     a = e^u,              b = 2 (e^u - 1),    v = e^{2u} - 1
    Euler-Maruyama  a = 1 + beta(t) h/2,  b = beta(t) h,      v = beta(t) h

which differ by O(h^2): three chains of the same order with different constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refscore.densities import PointSet
from refscore.identities import _targets
from refscore.identities._calculus import EPS, extrapolate
from refscore.identities._chain_decimals import Bars, cosine, linear
from refscore.identities._expectations import POSTERIOR_ROUNDING, data_nodes, posterior_weights
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.samplers import exact_score
from refscore.processes import DDPM, VP, VPCosine
from refscore.report import Picture

UNEVEN = (0.3, 1e-17, 0.9, 0.0, 1e-9, 1 - 2.0**-53, 0.02)
"""Steps without rhyme or reason, down to where 1 - beta shows nothing of beta, up to where it is one eps."""


@identity(
    id="E4",
    systems=("E4",),
    title="DDPM's chain: marginals, posteriors, schedules",
    statement=r"\bar\alpha_i = \prod_{k\le i}(1-\beta_k),\quad q(x_{i-1}|x_i,x_0) = N\Big(\tfrac{\sqrt{\bar\alpha_{i-1}}\beta_i}"
    r"{1-\bar\alpha_i}x_0 + \tfrac{\sqrt{1-\beta_i}(1-\bar\alpha_{i-1})}{1-\bar\alpha_i}x_i,\ "
    r"\tfrac{1-\bar\alpha_{i-1}}{1-\bar\alpha_i}\beta_i I\Big)",
    source="[b, sec. 2]; [c, 'DDPM vs Score matching']; Ho et al. 2020, eq. 2, 4, 6, 7; Nichol & Dhariwal 2021, eq. 17",
    method="products and Gaussian conditioning in 60-digit decimals; and the posterior averaged over x_0 given x_i by quadrature "
    "against Tweedie's formula for the reversed chain",
    catches=(
        "ddpm_alpha_shifted", "ddpm_alpha_bar_without_root", "ddpm_alpha_sum_for_product", "ddpm_alpha_float32",
        "ddpm_alpha_of_one_step", "ddpm_sigma_shifted", "ddpm_sigma_is_variance", "ddpm_sigma_of_root",
        "ddpm_sigma_by_cancellation", "transition_from_time_zero", "transition_alpha_from_time_zero", "transition_std_for_variance",
        "transition_variances_subtracted", "posterior_variance_not_normalised", "posterior_variance_is_beta", "posterior_std",
        "posterior_weights_swapped", "posterior_alpha_bar_without_root", "posterior_alpha_bar_for_alpha", "posterior_shifted",
        "posterior_of_next_state", "cosine_not_squared", "cosine_offset_tenfold", "cosine_shifted", "linear_without_its_end",
        "quadratic_not_squared", "linear_of_roots", "corrupt_variance_for_std", "corrupt_alpha_missing",
        "corrupt_first_time_for_all",
    ),
)
def ddpm_chain(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 44))
    yield from _schedules(ops)
    schedules = {"linear": linear(1000, 1e-4, 0.02), "cosine, N = 50": cosine(50, 0.008, 0.999), "uneven": np.array(UNEVEN),
                 "random": rng.uniform(0.01, 0.6, 9)}
    for name, betas in schedules.items():
        yield from _against_decimals(ops, DDPM(betas), Bars.of(betas), name, rng)
    for name in ("uneven", "random"):
        betas = np.clip(schedules[name], 1e-3, 0.9)  # posteriors of x_0 that quadrature resolves
        yield from _reversed_chain(ops, DDPM(betas), name, rng)


def _schedules(ops: Operations) -> Iterator[Comparison]:
    """Ends of steps in float64 are off by an eps or two of the largest beta; a root squared by two more; sines by ten."""
    for n, low, high in ((1000, 1e-4, 0.02), (13, 0.003, 0.4)):
        for name, roots in (("linear", False), ("quadratic", True)):
            exact = linear(n, low, high, roots)
            found = getattr(ops, f"{name}_betas")(n, low, high)
            yield Comparison(f"{name}, N = {n}", found, exact, 4 * EPS * high, high)
    for n, s in ((1000, 0.008), (13, 0.02)):
        exact = cosine(n, s, 0.999)
        yield Comparison(f"cosine, N = {n}, s = {s}", ops.cosine_betas(n, s), exact, 16 * EPS * exact, exact)


def _against_decimals(ops: Operations, chain: DDPM, bars: Bars, name: str, rng) -> Iterator[Comparison]:
    """Relative errors: C = -log alpha-bar has a rounding or two, which e^{-C/2} turns into C eps; a mean adds positive weights."""
    n = len(chain)
    index = np.unique(np.append(rng.integers(1, n + 1, 8), [1, 2, n]))
    alpha, sigma = (np.array([scale(i) for i in index]) for scale in (bars.alpha, bars.sigma))
    lost = EPS * (8 - 8 * np.log(alpha))
    yield Comparison(f"alpha: {name}", ops.alpha(chain, index), alpha, lost * alpha, alpha)
    yield Comparison(f"sigma: {name}", ops.sigma(chain, index), sigma, 8 * EPS * sigma, sigma)
    x0, xt = rng.standard_normal((2, len(index), 3)) + 0.4
    scale = alpha[:, None] * np.abs(x0) + sigma[:, None] * np.abs(xt)
    moved = alpha[:, None] * x0 + sigma[:, None] * xt
    bound = 2 * (lost[:, None] + 8 * EPS) * scale
    yield Comparison(f"corrupted with chosen noise, an index a row: {name}", ops.corrupt(chain, x0, index, xt), moved, bound, scale)
    for label, earlier in (("i - 1", index - 1), ("any earlier index", rng.integers(0, index))):
        exact = np.array([bars.transition(s, t) for s, t in zip(earlier, index, strict=True)])
        bound = np.stack([lost, np.full_like(lost, 8 * EPS)], axis=1) * exact
        found = np.stack(ops.transition(chain, earlier, index), axis=1)
        size = np.where(exact > 0, exact, 1.0)  # beta = 0 adds nothing, and exactly so
        yield Comparison(f"transition from {label}: {name}", found, exact, bound, size)
        of_x0, of_xt, variance = np.array([bars.posterior(s, t) for s, t in zip(earlier, index, strict=True)]).T
        mean, spread = ops.posterior(chain, x0, xt, index, None if label == "i - 1" else earlier)
        scale = of_x0[:, None] * np.abs(x0) + of_xt[:, None] * np.abs(xt)
        exact = of_x0[:, None] * x0 + of_xt[:, None] * xt
        bound = 4 * lost + 16 * EPS
        yield Comparison(f"posterior of {label}, mean: {name}", mean, exact, bound[:, None] * scale, scale)
        size = np.where(variance > 0, variance, 1.0)
        yield Comparison(f"posterior of {label}, variance: {name}", spread, variance, bound * variance, size)


def _reversed_chain(ops: Operations, chain: DDPM, name: str, rng) -> Iterator[Comparison]:
    """Sums over nodes of x_0 (`POSTERIOR_ROUNDING`) against scores and their Jacobians of the marginals."""
    for d in (1, 2):
        laws: dict[str, Any] = {**_targets.targets(d), "points": PointSet(rng.standard_normal((30, d)) + 0.4)}
        for target, density in laws.items():
            for i in (2, 3, len(chain)):
                a, added = (float(y) for y in ops.transition(chain, i - 1, i))
                law = ops.marginal(chain, density, i)
                alpha, sigma = float(ops.alpha(chain, i)), float(ops.sigma(chain, i))
                x0, w = data_nodes(density, alpha, sigma)
                xt = alpha * density.mean + rng.standard_normal((3, d))
                found = [_averaged(ops, chain, row, x0, posterior_weights(row, x0, w, alpha, sigma), i) for row in xt]
                mean, cov = (np.array(part) for part in zip(*found, strict=True))
                right = (xt + added * ops.score(law, xt)) / a
                size = np.abs(x0).max() + (np.abs(xt).max() + added * np.abs(ops.score(law, xt)).max()) / a
                case = f"{target}, d = {d}, index {i}, {name}"
                yield Comparison(f"reversed chain, mean: {case}", mean, right, POSTERIOR_ROUNDING * size, size)
                bend = added * ops.score_jacobian(law, xt)
                size = size**2 + added / a**2 * (1 + np.abs(bend).max())
                right = added / a**2 * (np.eye(d) + bend)
                yield Comparison(f"reversed chain, covariance: {case}", cov, right, 4 * POSTERIOR_ROUNDING * size, size)


def _averaged(ops: Operations, chain: DDPM, row, x0, w, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of x_{i-1} given x_i = row: posterior given x_0, averaged over x_0."""
    means, variance = ops.posterior(chain, x0, np.tile(row, (len(x0), 1)), index)
    mean = w @ means
    away = means - mean
    return mean, (away * w[:, None]).T @ away + (w @ variance) * np.eye(len(row))


STEPS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384)


@identity(
    id="E4.limit",
    systems=("E4",),
    title="DDPM becomes the VP process as its steps shrink: exactly for beta_i = 1 - exp(-int beta), to first order as published",
    statement=r"\prod_{i\le N}(1-\beta(t_i)h) = e^{-\int_0^1\beta}\Big(1 - \tfrac h2\Big[\int\beta^2 + \beta(1)-\beta(0)\Big] "
    r"+ O(h^2)\Big)",
    source="[b, sec. 2]; [c]; Song et al. 2021, app. B",
    method="products of 1 - beta against integrals of beta; the gap over h, extrapolated to h = 0, against its closed form; "
    "kernels of one step with chosen noise against hyperbolic functions of the clock",
    catches=(
        "ddpm_alpha_shifted", "ddpm_alpha_bar_without_root", "ddpm_alpha_sum_for_product", "ddpm_sigma_shifted",
        "ddpm_sigma_is_variance", "alpha_rate_halved", "alpha_rate_doubled", "cosine_not_squared", "cosine_offset_tenfold",
        "cosine_shifted", "ddpm_without_growth", "ddpm_score_at_next_index", "ddpm_std_is_variance", "reverse_sde_forward_variance",
        "reverse_sde_frozen_weight_is_g2_h",
    ),
)
def limit_of_ddpm(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for process in (VP(), VP(0.4, 9.0)):
        for times in (np.linspace(0, 1, 14), np.linspace(0, 1, 8) ** 1.7):
            yield from _same_process(ops, process, times)
    yield from _cosine(ops)
    yield from _order(ops, VP(0.4, 3.0))
    yield from _kernels(ops, VP(0.4, 9.0), np.linspace(0, 1, 8) ** 1.7, seed)


def _same_process(ops: Operations, process: VP, times: np.ndarray) -> Iterator[Comparison]:
    chain, index = DDPM.from_vp(process, times), np.arange(1, len(times))
    name = f"{process}, {len(chain)} steps"
    alpha, sigma = ops.alpha(process, times[1:]), ops.sigma(process, times[1:])
    clock = times * (process.beta_min + times / 2 * (process.beta_max - process.beta_min))
    # every beta has a few eps, of which 1 - beta = e^{-B} has e^B times as many, B the clock of one step
    lost = EPS * (16 + 16 * clock[1:]) * np.exp(np.diff(clock).max())
    yield Comparison(f"alpha: {name}", ops.alpha(chain, index), alpha, lost * alpha, alpha)
    yield Comparison(f"sigma: {name}", ops.sigma(chain, index), sigma, 16 * EPS * sigma, sigma)


def _cosine(ops: Operations) -> Iterator[Comparison]:
    """The cosine schedule is the cosine process at equal steps, up to the last, which is clipped."""
    for n, s in ((20, 0.008), (13, 0.05)):
        chain = DDPM.from_vp(VPCosine(s), np.arange(n) / n)
        found = ops.cosine_betas(n, s)[:-1]
        yield Comparison(f"cosine schedule, N = {n}, s = {s}", found, chain.betas, 64 * EPS * chain.betas, chain.betas)


def _order(ops: Operations, process: VP) -> Iterator[Comparison | Table]:
    h = 1 / np.array(STEPS)
    total = (process.beta_min + process.beta_max) / 2
    slope = process.beta_max - process.beta_min
    first = (process.beta_min**2 + process.beta_min * slope + slope**2 / 3 + slope) / 2
    gaps, rows = [], list[tuple]()
    for n in STEPS:
        betas = process.beta(np.arange(1, n + 1) / n) / n
        gaps.append(-2 * float(np.log(ops.alpha(DDPM(betas), n))) - total)
    rates = np.array(gaps) / h
    limit, error, weights = extrapolate(h, rates)
    rounding = 8 * EPS * total * float(np.abs(weights) @ (1 / h))
    scale = float(np.abs(weights) @ np.abs(rates))
    yield Comparison(f"leading term: {process}", limit, first, error + rounding, scale)
    orders = [None, *(np.diff(np.log(gaps)) / np.diff(np.log(h))).tolist()]
    rows += [(n, float(w), gap, float(gap / w), order) for n, w, gap, order in zip(STEPS, h, gaps, orders, strict=True)]
    rows.append(("limit", 0.0, 0.0, first, 1.0))
    names = ("N", "h", "-log alpha-bar - int beta", "over h", "order")
    picture = Picture(x="h", y=(names[2],), log=True, ylabel="gap")
    yield Table(f"beta_i = beta(t_i)/N beside {process}", names, rows, picture)


def _kernels(ops: Operations, process: VP, times: np.ndarray, seed: int) -> Iterator[Comparison | Table]:
    """Differences of kernels, each mean good to eps of the terms it adds up."""
    rng, density, chain = np.random.default_rng((seed, 45)), _targets.mixture(2), DDPM.from_vp(process, times)
    score = exact_score(ops, process, density)
    n = len(chain)
    x, noise = rng.standard_normal((2, 5, 2)) + 0.3
    ancestral = ops.ddpm(chain, lambda y, i: score(y, times[int(i)]), "beta", predicts="score")
    rows = []
    schemes = {scheme: ops.reverse_sde(process, score, times[::-1], scheme) for scheme in ("euler_maruyama", "exponential")}
    for k in range(n):
        t, s = times[n - k], times[n - k - 1]
        h, rate, s_x = t - s, (process.beta_min + t * (process.beta_max - process.beta_min)) / 2, score(x, t)
        u = h * (process.beta_min + (t + s) / 2 * (process.beta_max - process.beta_min)) / 2
        gaps = {"exponential": (0.0, -2 * (np.cosh(u) - 1), -2 * (np.cosh(2 * u) - 1)),
                "euler_maruyama": (np.expm1(u) - rate * h, 2 * np.sinh(u) - 2 * rate * h, -np.expm1(-2 * u) - 2 * rate * h)}
        size = np.exp(u) * (np.abs(x) + 2 * np.sinh(u) * np.abs(s_x)) + np.exp(2 * u) * np.abs(noise)
        for scheme, (of_x, of_s, of_v) in gaps.items():
            case = f"ancestral less {scheme}, step from {t:.3g} to {s:.3g}"
            found = ancestral.mean(k, x) - schemes[scheme].mean(k, x)
            right = of_x * x + of_s * s_x
            yield Comparison(f"mean: {case}", found, right, 64 * EPS * size, size)
            if k < n - 1:  # the ancestral chain's last step has no noise
                stds = [(c.step(k, x, noise) - c.mean(k, x)) / noise for c in (ancestral, schemes[scheme])]
                lost = 64 * EPS * size / np.abs(noise) * (stds[0] + stds[1])
                right = np.full_like(x, of_v)
                yield Comparison(f"variance: {case}", stds[0] ** 2 - stds[1] ** 2, right, lost, (size / np.abs(noise)) ** 2)
            rows.append((scheme, float(h), float(of_x / h**2), float(of_s / h**2), float(of_v / h**2)))
    yield Table(f"Ancestral less other kernels, over h^2, {process}", ("scheme", "h", "of x", "of the score", "of v"), rows)
