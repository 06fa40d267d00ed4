r"""Erratum of [a] about its sampler: the update that it calls DDPM-style is Euler-Maruyama's, not DDPM's ancestral step (X3).

For dX = -r X dt + sqrt(2 r) dW, u = r dt and s = -eps/sigma_t at the start of a step, the kernels a x + b s + sqrt(v) z are

    [a, sec. 4]     a = 1 + u,  b = 2u,        v = 2u
    ancestral       a = e^u,    b = 2 sinh u,  v = 1 - e^{-2u}, or sigma_s^2/sigma_t^2 of it; 0 in the last step

which differ by -u^2/2 in a, -u^3/3 in b, 2u^2 in v: relative to the step by O(dt), and so do the laws at the end. For data N(mu, w)
and c(t) = Var x_t a change of x_t reaches x_0 with the factor alpha_t w/c(t); to first order, [a] less ancestral with v = beta,

    mean        dt int -r^2/2 alpha_t mu (alpha_t w/c) dt
    variance    dt [2r + int (2 r^2 - r^2 c) (alpha_t w/c)^2 dt],    2r for the noise that DDPM leaves out of its last step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian
from refscore.identities import _targets
from refscore.identities._calculus import EPS, extrapolate, gauss_legendre
from refscore.identities._errata import refuted
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.ancestral import VARIANCES
from refscore.identities.samplers import exact_score
from refscore.processes import DDPM, OU
from refscore.report import Picture

RATE, LAST = 0.7, 2.0
STEPS = (6, 8, 12, 16, 24, 32, 48, 64)


@identity(
    id="X3",
    systems=("X3", "F4"),
    title="[a] calls its update DDPM-style: it is Euler-Maruyama on the reverse SDE; DDPM's ancestral step differs at O(dt)",
    statement=r"X - \Delta t\Big(\tfrac{\sigma^2}{\sigma_t}\epsilon_\theta - \beta X\Big) + \sigma\sqrt{\Delta t}\,Z\ \ne\ "
    r"\tfrac{1}{\sqrt{1-\beta_i}}\Big(X - \tfrac{\beta_i}{\sigma_t}\epsilon_\theta\Big) + \sqrt{v_i}\,Z,\quad "
    r"\beta_i = 1-e^{-2\beta\Delta t}",
    source="[a, sec. 4, 'Discrete Step Update (DDPM-style)']; Ho et al. 2020, algorithm 2",
    method="both kernels with chosen noise against closed forms; the laws at the end over dt, extrapolated to dt = 0, against "
    "integrals of the local differences",
    catches=(
        "reverse_sde_g_for_g2", "reverse_sde_forward_sign", "reverse_sde_score_sign", "reverse_sde_rate_halved",
        "reverse_sde_noise_std_h", "reverse_sde_last_step_noise_free", "ddpm_noise_in_last_step", "ddpm_std_is_variance",
        "ddpm_variances_swapped", "ddpm_without_growth", "ddpm_noise_weight_without_root", "ddpm_score_at_next_index",
    ),
)
def not_ancestral(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    process = OU(RATE, math.sqrt(2 * RATE))
    yield from _updates(ops, process, seed)
    yield from _laws(ops, process)


def _updates(ops: Operations, process: OU, seed: int) -> Iterator[Comparison]:
    """One step at a time; variances are read off the noise, at a loss of eps |x|/sqrt(v)."""
    rng, density, n = np.random.default_rng((seed, 33)), _targets.mixture(2), 7
    times, dt = np.linspace(0, LAST, n + 1), LAST / n
    chain, score, u = DDPM.from_vp(process, times), exact_score(ops, process, density), RATE * LAST / n
    euler = ops.reverse_sde(process, score, times[::-1], "euler_maruyama")
    x, noise = rng.standard_normal((2, 5, 2)) + 0.3
    for variance in VARIANCES:
        ancestral = ops.ddpm(chain, lambda y, i: score(y, times[int(i)]), variance, predicts="score")
        for k in range(n):
            t, s = times[n - k], times[n - k - 1]
            direction, missing = score(x, t), [-math.expm1(-2 * RATE * w) for w in (s, t)]
            eps = -math.sqrt(missing[1]) * direction
            drift = 2 * RATE / math.sqrt(missing[1]) * eps - RATE * x
            update = x - dt * drift + math.sqrt(2 * RATE * dt) * noise
            size = math.exp(u) * (np.abs(x) + 2 * u * np.abs(direction) + np.abs(noise))
            case = f"step from {t:.3g}, {variance}"
            found = euler.step(k, x, noise)
            yield Comparison(f"[a]'s update is Euler-Maruyama: {case}", found, update, 32 * EPS * size, size)
            gap = (u - math.expm1(u)) * x + 2 * (u - math.sinh(u)) * direction
            means = euler.mean(k, x), ancestral.mean(k, x)
            yield refuted(f"mean of the ancestral step: {case}", *means, gap, 32 * EPS * size, size)
            stds = [(c.step(k, x, noise) - c.mean(k, x)) / noise for c in (euler, ancestral)]
            v = -math.expm1(-2 * u) * (missing[0] / missing[1] if variance == "beta_tilde" else float(k < n - 1))
            lost = 32 * EPS * size / np.abs(noise) * (stds[0] + stds[1])
            gap = np.full_like(x, 2 * u - v)
            yield refuted(f"variance of the ancestral step: {case}", stds[0] ** 2, stds[1] ** 2, gap, lost, 1 + (size / noise) ** 2)


def _laws(ops: Operations, process: OU) -> Iterator[Comparison | Table]:
    """Moments of x_0 for Gaussian data, all chains started from p_T."""
    mu, spread = 0.6, 0.75
    data, rows, gaps = Gaussian([mu], spread), list[tuple](), []
    start, score, h = ops.marginal(process, data, LAST), exact_score(ops, process, data), LAST / np.array(STEPS)
    for n, dt in zip(STEPS, h.tolist(), strict=True):
        times = np.linspace(0, LAST, n + 1)
        chain = DDPM.from_vp(process, times)

        def by_index(x, i, times=times):
            return score(x, times[int(i)])

        euler = ops.law(ops.reverse_sde(process, score, times[::-1], "euler_maruyama"), start)
        found = {v: ops.law(ops.ddpm(chain, by_index, v, predicts="score"), start) for v in VARIANCES}
        widths = [float(np.ravel(law.cov)[0]) for law in (euler, *found.values())]
        gaps.append([float(euler.mean[0] - found["beta"].mean[0]), widths[0] - widths[1]])
        rows.append((n, dt, *(width - spread for width in widths), gaps[-1][1] / dt))
    rates = np.array(gaps) / h[:, None]
    limit, error, weights = extrapolate(h, rates)
    # moments carry a few eps each, which 1/dt and the weights magnify; steps contract
    rounding = 64 * EPS * float(np.abs(weights) @ (1 / h))
    scale = float(np.abs(weights).sum() * np.abs(rates).max()) + 1
    expected = _leading(mu, spread)
    yield refuted("mean and variance of x_0 to first order in dt", limit, np.zeros(2), expected, error + rounding, scale)
    rows.append(("limit", 0.0, 0.0, 0.0, 0.0, float(expected[1])))
    names = ("N", "dt", "[a], Euler-Maruyama", "ancestral, beta", "ancestral, beta_tilde", "([a] - beta)/dt")
    picture = Picture(x="dt", y=names[2:5], ylabel="variance of x_0 less that of the data")
    yield Table("Variance of x_0 less that of the data, N(0.6, 0.75), OU with r = 0.7, T = 2", names, rows, picture)


def _leading(mu: float, spread: float) -> np.ndarray:
    """The two integrals of the module docstring; 40 Gauss nodes leave nothing out of an analytic integrand."""
    t, w = gauss_legendre(0.0, LAST, 2)
    alpha = np.exp(-RATE * t)
    c = 1 + alpha**2 * (spread - 1)
    reach = alpha * spread / c
    return np.array([w @ (-(RATE**2) / 2 * alpha * mu * reach), 2 * RATE + w @ ((2 - c) * RATE**2 * reach**2)])
