r"""Errata of the sources about noise levels: their order (X7), the end without noise (X8), the end with most noise (X14).

Each is stated as in `refscore.identities._errata`: the source's statement fails by an amount that another road predicts, and what
should stand there holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _targets, _textbook
from refscore.identities._calculus import EPS
from refscore.identities._errata import refuted
from refscore.identities._nystrom import by_hand, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.langevin import SIGMAS, annealed_steps, corrupted_score, modes_and_distance
from refscore.identities.noise_ladder import shared_mass
from refscore.processes import DDPM, OU, VP
from refscore.samplers import Chain

MODES = GaussianMixture([0.3, 0.7], [[-1.5], [1.2]], [0.16, 0.25])
START = Gaussian([0.3], SIGMAS[0] ** 2)


@identity(
    id="X7",
    systems=("X7", "C3"),
    title="[b], [c, e] and [d] number the ladder in three ways; Algorithm 1 wants sigma_1 > ... > sigma_L, as in [c, e]",
    statement=r"\text{Algorithm 1, } i = 1, \dots, L,\ \alpha_i = \epsilon\,\sigma_i^2/\sigma_L^2 \text{ wants } "
    r"\sigma_1 > \dots > \sigma_L; \text{ [d] has } \sigma_1 < \dots < \sigma_L,\ \text{[b] } \sigma_L > \dots > \sigma_0",
    source="[b, sec. 2], [c], [d, 'Data Coverage Problem'], [e], Algorithm 1",
    method="total variation of each reading's exact law from the data against a Nystrom method and quadrature",
    catches=(
        "annealed_order_reversed", "annealed_step_relative_to_first", "annealed_score_of_previous_level", "annealed_one_step_short",
        "annealed_last_level_left_out", "annealed_equal_steps", "law_one_step_short", "total_variation_not_halved",
    ),
)
def three_orders(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    eps, n_steps = 0.25, 7
    down, up = SIGMAS, SIGMAS[::-1]
    readings = {
        "[c, e]: sigma_1 > ... > sigma_L": (down, eps / down[-1] ** 2, "half_eta"),
        "[d] as numbered: sigma_1 < ... < sigma_L": (up, eps / up[-1] ** 2, "half_eta"),
        "[d] run downwards, steps as numbered": (down, eps / up[-1] ** 2, "half_eta"),
        "[b] as numbered: sigma_1 < ... < sigma_L, sigma_0 unused": (up[1:], eps / up[-1] ** 2, "half_eta"),
        "[b] run downwards, eta = eps sigma^2/(2 sigma_0^2)": (down, eps / down[-1] ** 2, "eta"),
    }
    right, rows = None, []
    for name, (levels, factor, convention) in readings.items():
        chain = _run(ops, levels, factor, n_steps, convention)
        steps = annealed_steps(MODES, levels, factor, n_steps)
        panel = 0.35 / math.sqrt(min(step.v for step in steps))  # 0.35 wide, whatever the steps: for the poles of the score
        mass, distance = modes_and_distance(ops, chain, START, steps, 17.0, MODES, 0.0, panel)
        rows.append((name, float(levels[0]), float(levels[-1]), mass.value, distance.value))
        if right is None:
            right = distance
        if "as numbered" in name:
            gap, bound = distance.right - right.right, distance.bound + right.bound
            yield refuted(f"TV is that of [c, e]: {name}", distance.value, right.value, gap, bound)
        else:
            yield Comparison(f"TV to the data: {name}", *distance)
    refused = _refused(lambda: ops.annealed_langevin(corrupted_score(ops, MODES), up, eps, n_steps))
    yield Comparison("levels that increase are refused", refused, True, 0.0)
    columns = ("reading of Algorithm 1", "first level", "last level", "mass right (0.7)", "TV to the data")
    title = f"p = 0.3 N(-1.5, 0.4^2) + 0.7 N(1.2, 0.5^2), {len(SIGMAS)} levels, {n_steps} steps each, eps = {eps}"
    yield Table(title, columns, rows)


def _run(ops: Operations, levels: np.ndarray, factor: float, n_steps: int, convention: str) -> Chain:
    """alpha_i = factor sigma_i^2 on the levels as given: by the package where they decrease, else kernel by kernel."""
    score = corrupted_score(ops, MODES)
    if levels[0] > levels[-1]:
        alpha = factor * levels[-1] ** 2
        return ops.annealed_langevin(score, levels, alpha / 2 if convention == "eta" else alpha, n_steps, convention)
    times = np.repeat(levels, n_steps)
    return Chain(score, times, np.ones(len(times)), factor * times**2 / 2, factor * times**2)


def _refused(call) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


@identity(
    id="X8",
    systems=("X8", "E4"),
    title="[b] allows alpha_t = 1; at alpha-bar_t = 1 the conditional score does not exist, though the marginal score may",
    statement=r"E\|\nabla\log p(x_t|x_0)\|^2 = \frac{d}{1-\bar\alpha_t} \to \infty,\quad "
    r"E\|\nabla\log p_t(x_t)\|^2 \to I(p_0)\quad (\bar\alpha_t \to 1)",
    source="[b, sec. 2, 'Forward Noising']: {alpha_t} in (0, 1]",
    method="moments of the package's scores on nodes of (data, noise) against their closed forms, as 1 - alpha-bar falls to 1e-8",
    catches=("conditional_score_sign", "conditional_score_over_sigma", "conditional_score_alpha_missing"),
)
def no_noise(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    """A single alpha_t = 1, as at the end of every chain here, is harmless after one below 1: it is the product that counts."""
    data, rows = _targets.gaussian(2), list[tuple]()
    z, w = _textbook.nodes(Gaussian(np.zeros(2), 1.0), 0.6)
    points = np.random.default_rng((seed, 8)).uniform(-1.5, 1.5, (5, 2))  # any x_0: the score depends on the noise only
    x0, noise, weights = np.repeat(points, len(z), axis=0), np.tile(z, (5, 1)), np.tile(w, 5) / 5

    def conditional(missing):
        chain = DDPM([missing, 0.0])
        return ops.conditional_score(chain, ops.corrupt(chain, x0, 2, noise), x0, 2)

    for missing in (0.5, 1e-2, 1e-4, 1e-8):
        case, size = f"1 - alpha-bar = {missing:g}", 4 / missing
        # x_t and alpha x_0 are rounded by eps |x|, that is by eps |x|/sigma in units of the noise
        lost, scale = 4 * EPS * (1 + np.abs(x0).max() / math.sqrt(missing / 2)), 1 + np.abs(noise)
        found = math.sqrt(missing) * conditional(missing)
        yield Comparison(f"-eps/sqrt(1 - alpha-bar): {case}", found, -noise, lost * scale, scale)
        here, closer = (float(weights @ (conditional(m) ** 2).sum(axis=1)) for m in (missing, missing / 2))
        name = f"E|conditional score|^2 has a limit: {case}, and half of it"
        yield refuted(name, closer, here, 2 / missing, 3 * lost * size, size)
        law = ops.marginal(DDPM([missing, 0.0]), data, 2)
        y, v = _textbook.nodes(law, 0.6)
        marginal = float(v @ (ops.score(law, y) ** 2).sum(axis=1))
        exact = float(np.trace(np.linalg.inv((1 - missing) * data.cov + missing * np.eye(2))))
        yield Comparison(f"E|marginal score|^2: {case}", marginal, exact, 512 * EPS * exact, exact)
        rows.append((missing, here, 2 / missing, marginal, float(np.abs(found + noise).max())))
    for other in (DDPM([0.1, 0.0]), OU(0.7, 1.3), VP()):
        refused = _refused(lambda other=other: ops.conditional_score(other, points, points, 0.0))
        yield Comparison(f"alpha-bar = 1 is refused, {type(other).__name__}", refused, True, 0.0)
    yield Comparison("alpha_1 = 1 is refused, DDPM", _refused(lambda: DDPM([0.0, 0.1])), True, 0.0)
    rows.append((0.0, "refused", "infinite", float(np.trace(np.linalg.inv(data.cov))), "-"))
    columns = ("1 - alpha-bar", "E|cond. score|^2", "d/(1 - alpha-bar)", "E|marginal score|^2", "error of eps read from x_t, x_0")
    yield Table("Gaussian data in d = 2", columns, rows)


@identity(
    id="X14",
    systems=("X14", "C1"),
    title="[d] p_{sigma_max} is near N(0, sigma_max^2 I), not near N(0, I)",
    statement=r"\mathrm{TV}(p_\sigma, N(0, \sigma^2 I)) \to 0 \text{ but } "
    r"\mathrm{TV}(p_\sigma, N(0, I)) \to 1 \quad (\sigma \to \infty)",
    source="[d, 'Data Coverage Problem', Distribution Bridging]",
    method="total variation by distribution functions against quadrature in one dimension; data in one point, in d dimensions, "
    "against quadrature in log |x|^2",
    catches=("corrupted_sigma_for_variance", "corrupted_means_not_scaled", "total_variation_not_halved", "overlap_in_one_dimension",
             "overlap_without_half", "overlap_of_variances"),
)
def most_noise(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    data, rows = _targets.mixture(1), []
    for sigma in (3.0, 10.0, 50.0):
        law, own, unit = ops.corrupted(data, 1.0, sigma), Gaussian([0.0], sigma**2), Gaussian([0.0], 1.0)
        density, reach = by_hand(data, 1.0, sigma**2)[0], 9 * sigma + 5
        found, exact, bound = {}, {}, {}
        for name, other in (("own", own), ("unit", unit)):
            found[name], error = ops.total_variation(law, other)
            exact[name], estimate = tv_by_quadrature(density, by_hand(other, 1.0, 0.0)[0], reach)
            bound[name] = error + estimate
        gap, slack = exact["unit"] - exact["own"], sum(bound.values())
        yield refuted(f"N(0, I) is as near as N(0, sigma^2 I), sigma = {sigma:g}", found["unit"], found["own"], gap, slack)
        yield Comparison(f"TV to N(0, sigma^2), sigma = {sigma:g}", found["own"], exact["own"], bound["own"])
        scaled, error = ops.total_variation(ops.corrupted(data, 1 / sigma, 1.0), unit)
        yield Comparison(f"x/sigma against N(0, 1), sigma = {sigma:g}", scaled, exact["own"], error + bound["own"])
        points = []
        for d in (3, 784):
            points.append(float(ops.ladder_overlap([sigma, 1.0], d).tv[0]))
            right = 1 - shared_mass(d, math.log(sigma))
            yield Comparison(f"one point, d = {d}, sigma = {sigma:g}", points[-1], right, 64 * EPS * d)
        rows.append((sigma, found["own"], found["unit"], *points))
    columns = ("sigma", "TV(p_sigma, N(0, sigma^2))", "TV(p_sigma, N(0, 1))", "one point, d = 3", "one point, d = 784")
    yield Table("a mixture with modes of width 0.9 and 0.7; and TV(N(0, sigma^2 I), N(0, I))", columns, rows)
