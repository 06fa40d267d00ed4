r"""ISM and DSM on the user's data: score matching on the corrupted law, whose score is known.

At a given x~, with r the posterior over the points, t_i = -(x~ - alpha x_i)/sigma^2 and s_q = sum_i r_i t_i,

    sum_i r_i 1/2 |s - t_i|^2 = 1/2 |s - s_q|^2 + sum_i r_i 1/2 |t_i - s_q|^2,

a finite sum in any dimension. In expectation over x~ the last term is
C = 1/2 (d/sigma^2 - I(q)), I(q) = E|s_q|^2. On a line the expectations are trapezoidal sums: given x~, two values of t
with the posterior's mean and variance carry everything that a square needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from refscore.identities._finite_posterior import UNIT, FinitePosterior, Lattice, lattice
from refscore.identities._on_data import LEVELS, Level, Points, network_error, networks, places, posteriors
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table

_SETTLED = 1e-11  # of the scale: largest difference of two spacings that ends the refinement
_FINENESS = (3, 4, 6, 8, 12, 24, 48)  # nodes to a sigma
_LINE_WORK, _PLANE_WORK = 6e8, 6e6  # nodes times points
_TOO_WIDE = "the first principal axis is too wide for a lattice: remove outliers, or scale the columns"
_COMPONENTS = 3000  # up to so many points the exact score is a model too


# --- in expectation, on a line or a plane ---


@dataclass(frozen=True)
class _Sides:
    """Both sides of a statement on a lattice, its scale, and what rounding can do to them."""

    left: float
    right: float
    scale: float
    rounding: float
    constant: tuple[float, ...] = ()


def implicit(ops: Operations, seed: int, points: Points) -> Iterator[Comparison]:
    """B2: ISM = ESM - 1/2 I(q) on the corrupted law, on a line, and on a plane where that is cheap."""
    some = False
    for found in _on_lattices(ops, seed, points.line, LEVELS, _LINE_WORK, _implicit_sides):
        some = True
        yield _comparison(*found)
    if not some:
        raise ValueError(_TOO_WIDE)
    if points.values.shape[1] > 1:
        for found in _on_lattices(ops, seed, points.projected(2), LEVELS[:2], _PLANE_WORK, _implicit_sides):
            yield _comparison(*found)


def denoising(ops: Operations, seed: int, points: Points) -> Iterator[Comparison | Table]:
    """B9: DSM = ESM + C, at given x~ in full dimension and in expectation on a line."""
    for level in LEVELS:
        yield from _at_given_points(ops, seed, points.full, level)
    rows = []
    for case, sides, bound in _on_lattices(ops, seed, points.line, LEVELS, _LINE_WORK, _denoising_sides):
        yield _comparison(case, sides, bound)
        rows.append((case[0], case[1].relative, *sides.constant))
    if not rows:
        raise ValueError(_TOO_WIDE)
    columns = ("model", "sigma/alpha", "I(q)", "E DSM - ESM", "1/2 (1/sigma^2 - I)")
    yield Table("the constant C on the first principal axis, and its closed form", columns, rows)


def _comparison(case: tuple[str, Level, int], sides: _Sides, bound: float) -> Comparison:
    name, level, dim = case
    return Comparison(f"{name}, {dim}-D lattice, {level}", sides.left, sides.right, bound, sides.scale)


def _on_lattices(
    ops: Operations, seed: int, data: np.ndarray, levels: tuple[Level, ...], work: float, sides: Callable
) -> Iterator[tuple[tuple[str, Level, int], _Sides, float]]:
    """((model, level, d), sides, bound) of every model at every level, on the first lattice that is fine enough for it.

    Fine enough: with twice the spacing the sides differ by 1e-11 of the scale; that difference overstates the error.
    """
    from refscore.densities import PointSet

    for level in levels:
        models = _models(ops, data, level, np.random.default_rng(seed))
        law = ops.corrupted(PointSet(data), level.alpha, level.sigma)
        for per_sigma in _FINENESS:
            grid = lattice(data, level.alpha, level.sigma, per_sigma, work)
            if grid is None:
                break
            true, every_other = ops.score(law, grid.nodes), grid.coarser()
            for name, model in list(models.items()):
                fine = sides(ops, model, grid, true, level)
                coarse = sides(ops, model, every_other, true[grid.even], level)
                pairs = zip((fine.left, fine.right, *fine.constant), (coarse.left, coarse.right, *coarse.constant))
                difference = sum(abs(a - b) for a, b in pairs)
                if difference <= _SETTLED * fine.scale or per_sigma == _FINENESS[-1]:
                    del models[name]
                    yield (name, level, data.shape[1]), fine, 2 * difference + fine.rounding
            if not models:
                break


def _implicit_sides(ops: Operations, model, grid: Lattice, true: np.ndarray, level: Level) -> _Sides:
    w = grid.weights
    fisher = float(w @ (true**2).sum(axis=1))
    left = ops.ism(model, grid.nodes, sample_weight=w)
    right = ops.esm(model, grid.nodes, true, sample_weight=w) - fisher / 2
    s, s_error, trace_error = _model_size(model, grid, level)
    divergence = float(w @ (s**2).sum(axis=1)) ** 0.5 * fisher**0.5  # |E tr Ds| = |E s.s_q| <= this, by Cauchy-Schwarz
    scale = float(w @ (s**2).sum(axis=1)) + fisher + divergence
    return _Sides(left, right, scale, _rounding(grid, s, s_error, true, scale, level) + float(w @ trace_error))


def _denoising_sides(ops: Operations, model, grid: Lattice, true: np.ndarray, level: Level) -> _Sides:
    w, sigma = grid.weights, level.sigma
    fisher = float(w @ (true**2).sum(axis=1))
    closed = 0.5 * (1 / sigma**2 - fisher)
    root = np.sqrt(grid.variance)[:, None]
    noise = np.concatenate([-sigma * (grid.score + root), -sigma * (grid.score - root)])
    clean = np.concatenate([grid.nodes, grid.nodes]) - sigma * noise
    left = ops.dsm(model, clean, sigma, noise, sample_weight=np.concatenate([w, w]) / 2)
    explicit = ops.esm(model, grid.nodes, true, sample_weight=w)
    moved = 4 * UNIT * float(np.abs(clean).max() + np.abs(grid.nodes).max())
    s, s_error, _ = _model_size(model, grid, level, moved)
    scale = float(w @ (s**2).sum(axis=1)) + 1 / sigma**2
    rounding = _rounding(grid, s, s_error, true, scale, level)
    return _Sides(left, explicit + closed, scale, rounding, (fisher, left - explicit, closed))


def _rounding(grid: Lattice, s: np.ndarray, s_error: np.ndarray, true: np.ndarray, scale: float, level: Level) -> float:
    """Of sums of w |s|^2, w |s_q|^2, w |s - s_q|^2: weights and scores are off by ``grid.rounding``, s by its own."""
    w = grid.weights
    away = np.abs(s - true) + np.abs(s) + np.sqrt(grid.variance)[:, None]
    score_error = grid.rounding / level.sigma  # of either route's s_q
    return 8 * grid.rounding * scale + float(w @ (away * (2 * s_error + 2 * score_error)).sum(axis=1))


def _model_size(model, grid: Lattice, level: Level, moved: float = 0.0):
    """(s, bound on its error, bound on the error of its trace), at the nodes."""
    if hasattr(model, "weights"):
        return model(grid.nodes), *network_error(model, grid.nodes, moved)
    steep = 1 / level.sigma**2 + grid.variance[:, None]  # |Ds| = |Cov(c) - I/sigma^2|
    error = np.broadcast_to(grid.rounding / level.sigma + steep * moved, grid.nodes.shape)
    return grid.score, error, 4 * grid.rounding * (grid.nodes.shape[1] / level.sigma**2 + grid.variance)


# --- at given x~, in any dimension ---


def _at_given_points(ops: Operations, seed: int, data: np.ndarray, level: Level) -> Iterator[Comparison]:
    from refscore.densities import PointSet

    rng = np.random.default_rng(seed)
    law = ops.corrupted(PointSet(data), level.alpha, level.sigma)
    x = places(data, level, rng, most=6)
    true = ops.score(law, x)
    models = _models(ops, data, level, rng, exact=len(data) ** 2 * data.shape[1] <= 2e7)
    kept = list(posteriors(data, x, level))
    for name, model in models.items():
        s = np.asarray(model(x))
        explicit = ops.esm(model, x, true, over_batch="none")
        rows = [_given(ops, model, r, s[i], true[i], law, level) for i, r in enumerate(kept)]
        left, variance, bound, scale = (np.array(column) for column in zip(*rows))
        case = f"{name}, at {len(x)} given x~ in {data.shape[1]} dimensions, {level}"
        yield Comparison(case, left, explicit + variance, bound, scale)


def _given(ops: Operations, model, r: FinitePosterior, s: np.ndarray, true: np.ndarray, law, level: Level):
    """(sum_i r_i 1/2 |s - t_i|^2 by DSM, sum_i r_i 1/2 |t_i - s_q|^2, bound, scale) at one x~."""
    left = variance = 0.0
    rows = max(1, (1 << 20) // r.points.shape[1])
    for i in range(0, len(r.points), rows):
        block, weights = r.points[i : i + rows], r.weights[i : i + rows]
        noise = (r.x - level.alpha * block) / level.sigma
        left += ops.dsm(model, level.alpha * block, level.sigma, noise, sample_weight=weights)
        variance += 0.5 * float(weights @ ((-noise / level.sigma - true) ** 2).sum(axis=1))
    target = partial(_targets, r.x, level)
    _, target_error, target_size = r.expect(target, lambda p: 16 * UNIT * (np.abs(r.x) + np.abs(p)) / level.sigma**2)
    # both sides are linear in the weights through sum_i r_i t_i alone: it is off by target_error, s_q by its own bound
    moved = 8 * UNIT * float(np.abs(r.x).max() + np.abs(r.points).max())
    if hasattr(model, "weights"):
        s_error = network_error(model, r.x[None], moved)[0][0]
    else:
        reach = float(np.abs(r.points - r.points.mean(axis=0)).max()) * level.alpha / level.sigma**2
        s_error = law.score_error(r.x[None])[0] + moved * (1 / level.sigma**2 + reach**2 * len(s))
    bound = np.abs(s - true) @ (target_error + law.score_error(r.x[None])[0])
    bound += (np.abs(s) + target_size) @ (2 * s_error + 16 * UNIT * target_size)
    size = float((s**2).sum()) + 2 * variance + float((target_size**2).sum())
    largest = float(np.linalg.norm(r.x) + level.alpha * np.linalg.norm(r.points, axis=1).max()) / level.sigma**2
    scale = size + len(s) / level.sigma**2 + largest**2
    return left, variance, float(bound) + (len(r.weights) + len(s) + 16) * UNIT * size, scale


def _targets(x: np.ndarray, level: Level, block: np.ndarray) -> np.ndarray:
    return (level.alpha * block - x) / level.sigma**2


def _models(
    ops: Operations, data: np.ndarray, level: Level, rng: np.random.Generator, exact: bool | None = None
) -> dict:
    from refscore.densities import PointSet
    from refscore.networks import AnalyticScore

    models = networks(data, level, rng)
    if len(data) <= _COMPONENTS if exact is None else exact:
        models["exact score"] = AnalyticScore(ops.corrupted(PointSet(data), level.alpha, level.sigma))
    return models
