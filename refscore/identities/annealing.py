r"""Why many noise levels: what one small level and one large level get wrong, as numbers (systems C4).

Small sigma. Langevin dynamics moves mass between modes at a rate that falls like e^{-D^2/8 s^2} with their distance D in units of
their width s: the weights of the modes stay what the start made them. And a model trained on the data has been told nothing about
the score off the data, where chains start.
Large sigma. Modes merge, the chain relaxes in a handful of steps, but to q_sigma, whose distance TV(q_sigma, p) from the data
tends to 1.
Annealing. The weights settle while sigma is large, the shape of the modes while it is small. It does not make the weights exact:
levels at which modes part last as long as the others, and what has not moved by then stays.

The number of steps to relax is -1/log |lambda_2|, lambda_2 the second eigenvalue of the kernel: the difference between starts in
either mode falls like lambda_2^n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _models, _targets, _textbook
from refscore.identities._calculus import gauss_legendre
from refscore.identities._expectations import refined
from refscore.identities._nystrom import Step, by_hand, normal, nystrom, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.langevin import annealed_steps, corrupted_score, modes_and_distance

MODES = GaussianMixture([0.3, 0.7], [[-2.0], [1.8]], [0.16, 0.25])
VALLEY = -0.2
LEFT = Gaussian([-2.0], 0.16)
"""Where chains start: in the lighter mode."""
LADDER = (2.0, 0.3, 4)


@identity(
    id="C4",
    systems=("C4",),
    title="One small noise level does not mix, one large one has another target; annealing nearly mends both",
    statement=r"\mathrm{TV}(q_\sigma, p) \to 1 \ (\sigma \to \infty);\quad "
    r"P(X_n > 0 \mid X_0 \sim \text{left mode}) = O(n\, e^{-D^2/8s^2})",
    source="[c, 'If sigma is small ..., large ...'], [e, 'Trading off data quality and estimator accuracy']; Song & Ermon 2019",
    method="total variation by distribution functions against quadrature; masses of modes from the exact law against a Nystrom "
    "method; losses of a trained network on the data and off it on nodes against Gauss-Legendre with textbook scores",
    catches=(
        "total_variation_not_halved", "total_variation_by_kolmogorov", "corrupted_sigma_for_variance",
        "langevin_half_drift_full_noise", "langevin_convention_ignored", "annealed_step_relative_to_first",
        "annealed_order_reversed", "annealed_equal_steps", "annealed_one_step_short", "esm_without_half",
        "esm_norm_not_squared",
    ),
)
def one_level_or_many(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    yield from _levels(ops)
    yield from _chains(ops)
    yield from _off_the_data(ops, seed)


def _levels(ops: Operations) -> Iterator[Comparison | Table]:
    """Each level on its own: how far its target is from the data, and how long its chain takes to forget where it began."""
    rows = []
    for sigma in ops.geometric_ladder(8.0, 0.25, 6):
        value, error = ops.total_variation(ops.corrupted(MODES, 1.0, sigma), MODES)
        right, estimate = tv_by_quadrature(by_hand(MODES, 1.0, sigma**2)[0], by_hand(MODES, 1.0, 0.0)[0], 80.0)
        yield Comparison(f"TV(q_sigma, p), sigma = {sigma:.4g}", value, right, error + estimate, 1.0)
        step, reach = _step(sigma), 3 + 7 * math.hypot(0.5, sigma)
        after = nystrom([step] * 100, by_hand(LEFT, 1.0, 0.0)[0], 12, reach)[0].above(VALLEY)
        rows.append((float(sigma), value, after, relaxation(step, reach)))
    yield Table(
        "p = 0.3 N(-2, 0.4^2) + 0.7 N(1.8, 0.5^2): Langevin at one level, alpha = sigma^2, from the left mode",
        ("sigma", "TV(q_sigma, p)", "mass right after 100 steps", "steps to relax"), rows)


def _step(sigma: float) -> Step:
    return Step(1.0, sigma**2 / 2, sigma**2, by_hand(MODES, 1.0, sigma**2)[1])


def relaxation(step: Step, reach: float) -> float:
    """-1/log |lambda_2| of the kernel on Gauss-Legendre nodes, by Arnoldi's method; lambda_1 = 1, for mass stays."""
    from scipy.sparse.linalg import eigs

    y, w = gauss_legendre(-reach, reach, math.ceil(2 * reach / (1.6 * math.sqrt(step.v))), 12)
    kernel = normal(y[:, None] - (y + step.b * step.score(y)), step.v) * w
    largest = eigs(kernel, k=2, v0=np.ones(len(y)), return_eigenvectors=False)
    return -1 / math.log(np.abs(largest).min())


def _chains(ops: Operations) -> Iterator[Comparison | Table]:
    """The same start, the same number of steps: at the last level only, and down the ladder."""
    sigmas = ops.geometric_ladder(*LADDER)
    last, n_steps = float(sigmas[-1]), 7
    total = n_steps * len(sigmas)
    noisy = MODES.corrupted(1.0, last)
    plain = ops.langevin(lambda x: ops.score(noisy, x), last**2, total, "half_eta")
    annealed = ops.annealed_langevin(corrupted_score(ops, MODES), sigmas, last**2, n_steps)
    rows: list[tuple] = []
    for case, chain, steps, reach in (
        (f"Langevin, {total} steps at sigma_L", plain, [_step(last)] * total, 7.0),
        (f"annealed, 4 levels, {n_steps} steps each", annealed, annealed_steps(MODES, sigmas, 1.0, n_steps), 18.0),
    ):
        mass, distance = modes_and_distance(ops, chain, LEFT, steps, reach, MODES, VALLEY)
        yield Comparison(f"mass on the right: {case}", *mass)
        yield Comparison(f"TV to the data: {case}", *distance)
        rows.append((case, mass.value, distance.value))
    start, target = by_hand(LEFT, 1.0, 0.0)[0], by_hand(MODES, 1.0, 0.0)[0]
    for n in (28, 112):
        law = nystrom(annealed_steps(MODES, sigmas, 1.0, n), start, 8, 18.0)[0]
        rows.append((f"annealed, 4 levels, {n} steps each", law.above(VALLEY), tv_by_quadrature(law.density, target)[0]))
    rows.append(("q_sigma_L itself", float(noisy.sf(np.array([[VALLEY]]))[0]), ops.total_variation(noisy, MODES)[0]))
    columns = ("chain", "mass on the right", "TV to the data")
    yield Table("from the left mode, weight 0.3, to 0.7 N(1.8, 0.5^2) on the right", columns, rows)


def _off_the_data(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    """A network trained on samples of p, judged where it was trained and where a chain starts."""
    data = _targets.mixture(1)
    network = _models.trained_network(data, seed)
    places = {"p, the data": data, "q_3": data.corrupted(1.0, 3.0), "q_6": data.corrupted(1.0, 6.0)}
    rows: list[tuple] = []
    for name, place in places.items():

        def losses(h, place=place):
            x, weights = _textbook.nodes(place, h)
            true = ops.score(data, x)
            model = ops.esm(lambda y: ops.forward(network, y), x, true, sample_weight=weights)
            return {"model": model, "zero": ops.esm(np.zeros_like, x, true, sample_weight=weights)}

        value, bound = refined(losses, 0.25, finest=0.02)
        for model, loss in value.items():
            rough, right = (_by_panels(data, place, network if model == "model" else np.zeros_like, order) for order in (16, 20))
            yield Comparison(f"1/2 E||s - s_p||^2 under {name}, {model}", loss, right, bound[model] + abs(right - rough), 1 + loss)
        rows.append((name, value["model"], value["model"] / rows[0][1] if rows else 1.0))
    columns = ("under", "1/2 E||s - s_p||^2", "times that under p")
    yield Table("a network trained on samples of p: its error where the data are, and where chains start", columns, rows)


def _by_panels(data, place, model, order: int) -> float:
    y, w = gauss_legendre(-75.0, 75.0, 300, order)
    away = (model(y[:, None]) - _textbook.score(data, y[:, None]))[:, 0]
    return float(0.5 * (w * by_hand(place, 1.0, 0.0)[0](y)) @ away**2)
