r"""Predictor-corrector sampling: a chain of reverse-SDE steps with Langevin steps between them (systems F4).

The corrector runs at the time that the predictor has reached, with the score of that time. Whatever it does to the predictor's
error, it has an error of its own, since Langevin dynamics with a finite step does not leave p_s alone (F1): for Gaussian data with
marginal variance c its kernel maps a variance V to (1 - eps/c)^2 V + 2 eps, towards c/(1 - eps/2c).

The step of the corrector is a number for each time. That of the signal-to-noise rule, in expectation, eps = 2 r^2 d/E|score|^2,
makes eps |g| = r sqrt(2 eps d): the drift is r times as long as the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _targets, _textbook
from refscore.identities._calculus import EPS
from refscore.identities._nystrom import Step, by_hand
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.langevin import compare_laws
from refscore.identities.samplers import Setting, _frozen_moments, exact_score, scores, settings

SCHEMES = ("euler_maruyama", "exponential")
TWO_MODES = GaussianMixture([0.3, 0.7], [[-1.2], [1.0]], [0.2, 0.3])


@identity(
    id="F4.pc",
    systems=("F4",),
    title="Predictor-corrector: reverse-SDE steps from t to s with the score at t, then Langevin steps with the score at s",
    statement=r"x \leftarrow a x + b\, s(x, t) + \sqrt{v}\, z,\quad \text{then } M \text{ times } "
    r"x \leftarrow x + \epsilon_s\, s(x, s) + \sqrt{2 \epsilon_s}\, z;\quad \epsilon_s = 2 r^2 d / E\|s(x_s, s)\|^2",
    source="Song et al. 2021, algorithms 2 to 5",
    method="the chain's kernels with chosen noise against the algorithm as a double loop; laws of Gaussian data against scalars "
    "along eigenvectors, of mixtures in one dimension against a Nystrom method; the step rule against moments of textbook scores",
    catches=(
        "corrector_at_the_time_before", "corrector_noise_std_eps", "corrector_noise_sqrt_eps", "corrector_score_halved",
        "corrector_before_predictor", "corrector_one_step_short", "corrector_step_of_next_time", "corrector_steps_equal",
        "corrector_without_noise", "corrector_sign", "corrector_left_out_at_the_end", "snr_not_squared", "snr_without_two",
        "snr_sigma_for_variance", "snr_inverted", "snr_times_alpha", "law_one_step_short", "law_variance_twice",
    ),
)
def predictor_corrector(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 43))
    for setting in settings():
        times = 0.02 + (setting.last - 0.02) * np.linspace(1, 0, 8) ** 1.7
        eps = 0.03 * (1 + rng.random(7)) * setting.process.sigma(times[1:])
        for scheme, count in zip(SCHEMES, (1, 3), strict=True):
            steps = _by_hand(setting, times, scheme)
            for name, d, score in scores(ops, setting, seed):
                case = f"{scheme}, {setting.name}, {name} score, d = {d}, {count} corrector steps"
                yield from _double_loop(ops, setting, score, times, count, eps, scheme, steps, rng, d, case)
            yield from _gaussian_law(ops, setting, _targets.gaussian(3), times, eps, scheme, steps)
        yield from _step_rule(ops, setting, times[1:])
    yield from _mixture_law(ops)


def _by_hand(setting: Setting, times: np.ndarray, scheme: str) -> np.ndarray:
    """(N, 3): a, b, v of the predictor."""
    if scheme == "exponential":
        return _frozen_moments(setting, times)
    h, r, g2 = times[:-1] - times[1:], setting.rate(times[:-1]), setting.diffusion2(times[:-1])
    return np.stack([1 + r * h, g2 * h, g2 * h], axis=1)


def _double_loop(ops: Operations, setting, score, times, count, eps, scheme, steps, rng, d, case) -> Iterator[Comparison]:
    """Every kernel at the state where the loop is; the predictor's roundings are those of F4."""
    chain = ops.predictor_corrector(setting.process, score, times, count, eps, scheme)
    yield Comparison(f"number of kernels: {case}", len(chain), len(steps) * (1 + count), 0.0)
    x, k = rng.standard_normal((5, d)) + 0.3, 0
    found, right, size = [], [], []
    for t, s, e, (a, b, v) in zip(times[:-1], times[1:], eps, steps):
        for time, shrink, drift, variance in [(t, a, b, v), *[(s, 1.0, e, 2 * e)] * count]:
            z, direction = rng.standard_normal((5, d)), score(x, time)
            inside = k < len(chain)
            found.append((chain.mean(k, x), chain.step(k, x, z)) if inside else (np.full_like(x, np.inf),) * 2)
            mean = shrink * x + drift * direction
            right.append((mean, mean + math.sqrt(variance) * z))
            size.append(shrink * np.abs(x) + drift * np.abs(direction) + math.sqrt(variance) * np.abs(z))
            x, k = right[-1][1], k + 1
    scale = np.array(size)[:, None]
    yield Comparison(f"step by step: {case}", np.array(found), np.array(right), 128 * EPS * scale, scale)


def _gaussian_law(ops: Operations, setting: Setting, data: Gaussian, times, eps, scheme: str, steps) -> Iterator[Comparison]:
    """Scalars along eigenvectors, with their running errors: 64 eps of each sum, for the roundings of a step in d = 3."""
    start = ops.marginal(setting.process, data, times[0])
    chain = ops.predictor_corrector(setting.process, exact_score(ops, setting.process, data), times, 2, eps, scheme)
    law = ops.law(chain, start)
    spectrum, axes = np.linalg.eigh(data.cov)
    centre = data.mean @ axes
    mean, variance = start.mean @ axes, np.diag(axes.T @ start.cov @ axes)
    mean_error, variance_error = 64 * EPS * (1 + np.abs(mean)), 64 * EPS * variance
    for t, s, e, (a, b, v) in zip(times[:-1], times[1:], eps, steps):
        for time, shrink, drift, noise in [(t, a, b, v), *[(s, 1.0, e, 2 * e)] * 2]:
            alpha, sigma = float(setting.process.alpha(time)), float(setting.process.sigma(time))
            precision = 1 / (alpha**2 * spectrum + sigma**2)
            slope, size, shift = shrink - drift * precision, shrink + drift * precision, drift * precision * alpha * centre
            mean_error = np.abs(slope) * mean_error + 64 * EPS * (size * (np.abs(mean) + np.sqrt(variance)) + np.abs(shift))
            variance_error = slope**2 * variance_error + 64 * EPS * (size**2 * variance + noise)
            mean, variance = slope * mean + shift, slope**2 * variance + noise
    case = f"{scheme}, {setting.name}, Gaussian in d = 3"
    scale = float(np.sqrt(variance.max()) + np.abs(mean).max())
    yield Comparison(f"mean of the law: {case}", law.mean, axes @ mean, float(mean_error.sum()), scale)
    bound, scale = float(variance_error.sum()), float(variance.max())
    yield Comparison(f"covariance of the law: {case}", law.cov, (axes * variance) @ axes.T, bound, scale)


def _step_rule(ops: Operations, setting: Setting, times: np.ndarray) -> Iterator[Comparison]:
    """r^2 = eps |g|^2/2d, |g|^2 that of the noise's own score or of the marginal's, by nodes of (data, noise)."""
    r, d = 0.17, 2
    density = _targets.mixture(d)
    z, w = _textbook.nodes(Gaussian(np.zeros(d), 1.0), 0.6)
    sigma = np.array([float(setting.process.sigma(t)) for t in times])
    of_noise = np.array([w @ ((z / s) ** 2).sum(axis=1) for s in sigma])
    of_law = []
    for t in times:
        x, v = _textbook.nodes(setting.process.marginal(density, t), 0.3)
        of_law.append(v @ (_textbook.score(setting.process.marginal(density, t), x) ** 2).sum(axis=1))
    for name, norms, argument in (("noise", of_noise, {}), ("marginal", np.array(of_law), {"score_norms": np.array(of_law) / d})):
        eps = ops.snr_steps(setting.process, times, r, **argument)
        found, right = eps * norms / (2 * d), np.full(len(times), r**2)
        yield Comparison(f"eps E|g|^2/2d = r^2, score of the {name}: {setting.name}", found, right, 1e-13 * r**2, r**2)


def _mixture_law(ops: Operations) -> Iterator[Comparison | Table]:
    """The law in one dimension, and what the corrector is worth beside as many scores asked for by the predictor."""
    setting = settings()[0]
    process, score = setting.process, exact_score(ops, settings()[0].process, TWO_MODES)
    start = ops.marginal(process, TWO_MODES, setting.last)
    begin = by_hand(start, 1.0, 0.0)[0]
    rows: list[tuple] = []
    for scheme in SCHEMES:
        for n, count in ((8, 0), (4, 0), (4, 1), (4, 3)):
            times = 0.1 + (setting.last - 0.1) * np.linspace(1, 0, n + 1) ** 1.7
            eps = ops.snr_steps(process, times[1:], 0.3)
            chain = ops.predictor_corrector(process, score, times, count, eps, scheme)
            law = ops.law(chain, start)
            rows.append((scheme, n, count, ops.total_variation(law, TWO_MODES)[0]))
            if (scheme, count) in (("euler_maruyama", 1), ("exponential", 3)):
                steps = []
                for t, s, e, (a, b, v) in zip(times[:-1], times[1:], eps, _by_hand(setting, times, scheme)):
                    there, here = (by_hand(TWO_MODES, float(process.alpha(u)), float(process.sigma(u)) ** 2)[1] for u in (t, s))
                    steps += [Step(a, b, v, there), *[Step(1.0, e, 2 * e, here)] * count]
                case = f"{scheme}, {n} predictor steps, {count} corrector steps after each"
                yield compare_laws(case, law, ops.logpdf, steps, begin, 14.0, 0.8)
    yield Table("OU(0.7, 1.3), two modes, from t = 2 to 0.1: with and without corrector, eps by r = 0.3",
                ("scheme", "predictor steps", "corrector steps after each", "TV to the data"), rows)
