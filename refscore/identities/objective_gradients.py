"""Identities of D4: gradients of the objectives by hand, for free networks and for energies (s = -grad E)."""

from __future__ import annotations

import numpy as np

from refscore.identities import _energy_cases, _network_cases
from refscore.identities._losses import implicit, projected, sliced, sliced_exactly, squares
from refscore.identities._network_cases import ROWS
from refscore.identities._plain import EPS
from refscore.identities._registry import Comparison, identity

OF_EVERY_SCORE = (
    "esm_gradient_doubled",
    "esm_gradient_summed",
    "dsm_gradient_clean_point",
    "dsm_gradient_without_weight",
    "dsm_gradient_of_prediction_unscaled",
    "ism_gradient_without_trace",
    "ism_gradient_without_square",
    "ssm_gradient_direction_constant",
    "ssm_vr_gradient_without_square",
    "psm_gradient_not_projected",
    "dsm_process_alpha_missing",
    "dsm_process_weight_inverted",
    "ncsn_levels_reversed",
    "ncsn_sum_over_levels",
    "ism_sums_without_weights",
    "dsm_sums_without_weights",
    "dsm_gradient_sums_without_weights",
    "ncsn_sums_without_weights",
    "esm_weights_normalised",
    "dsm_weights_normalised",
    "dsm_sum_averaged",
    "dsm_sigma_clipped",
    "dsm_prediction_weight_ignored",
    "ncsn_rows_averaged",
    "ncsn_predicts_ignored",
    "ncsn_levels_sorted",
    "ssm_vr_gradient_sums_over_directions",
    "dsm_integrated_half_in_the_value_alone",
    "dsm_integrated_over_dims_ignored",
)


@identity(
    id="D4",
    systems=("D4",),
    title="Gradients of the objectives: ESM, ISM, PSM, SSM, SSM-VR, DSM, NCSN, and of eps, x0 and v networks",
    statement=r"\nabla_\theta \tfrac1n\sum_i \tfrac12\|s_i - g_i\|^2,\quad "
    r"\nabla_\theta \tfrac1n\sum_i \big[\tfrac12\|s_i\|^2 + \mathrm{tr}\,Ds_i\big]",
    source="[a, sec. 1-3], [b, sec. 1], [c], [d], [e]",
    method="backpropagation, closed form of the trace's gradient vs complex step in every parameter of the losses as written",
    catches=(*OF_EVERY_SCORE, "ism_gradient_slopes_constant"),
)
def gradients_of_objectives(ops, seed):
    """Values, rows and gradients of all objectives; weights that do not sum to 1, means and sums; a noise level a row."""
    for k, case in enumerate(_network_cases.cases(seed, square=True)):
        yield from _objectives(ops, case, k, seed)


@identity(
    id="D4.energy",
    systems=("D4", "D3"),
    title="Gradients of the objectives of an energy: no change but s = -grad E",
    statement=r"\nabla_\theta \tfrac1n\sum_i \tfrac12\|\nabla E(x_i) + g_i\|^2,\quad "
    r"\nabla_\theta \tfrac1n\sum_i \big[\tfrac12\|\nabla E(x_i)\|^2 - \Delta E(x_i)\big]",
    source="[e, 'energy-based models']",
    method="reverse mode through a second-order operator vs complex step in every parameter of the losses as written",
    catches=(
        *OF_EVERY_SCORE,
        "esm_of_ascending_energy",
        "ism_of_ascending_energy",
        "psm_of_ascending_energy",
        "ssm_of_ascending_energy",
        "ssm_vr_of_ascending_energy",
        "dsm_of_ascending_energy",
        "ncsn_of_ascending_energy",
        "dsm_gradient_of_detached_energy",
    ),
)
def gradients_of_objectives_of_energies(ops, seed):
    """As for free networks."""
    for k, case in enumerate(_energy_cases.cases(seed)):
        yield from _objectives(ops, case, k, seed)


class _Ramp:
    """Some alpha(t) and sigma(t), alpha^2 + sigma^2 not 1."""

    def alpha(self, t):
        return 1 / (1 + t)

    def sigma(self, t):
        return (1 + 2 * t) / 3


LEVELS = np.array([0.7, 1.4, 0.3])


def _objectives(ops, case, k, seed):
    """All losses of one network, those along a process or a ladder of levels when it takes time."""
    model, x, z, d = case.model, case.x, case.v, case.d
    rng = np.random.default_rng((seed, k))
    weight, sigma = rng.uniform(0, 1, ROWS), 10 ** rng.uniform(-2.5, 0.2, ROWS)
    convention = dict(half=k % 3 > 0, over_dims=("sum", "mean")[k % 2])
    options, rows = (
        (dict(sample_weight=weight), weight), (dict(), np.full(ROWS, 1 / ROWS)), (dict(over_batch="sum"), np.ones(ROWS))
    )[k // 3 % 3]
    c = (1 if convention["half"] else 2) / (d if convention["over_dims"] == "mean" else 1) * rows
    at = {"t": case.t[0]} if case.t else {}

    def found(objective, *arguments, **more):
        """The loss of the batch and that of its rows, added up here; the gradient."""
        value, gradient = objective(*arguments, grad=True, **more, **convention, **options)
        return np.array([value, rows @ objective(*arguments, over_batch="none", **more, **convention)]), gradient

    yield from case.loss("ESM", found(ops.esm, model, x, case.u, **at), squares, c=c, shift=-case.u)
    yield from case.loss("ISM", found(ops.ism, model, x, **at), implicit, c=c)
    yield from case.loss("PSM", found(ops.psm, model, x, z, case.u, **at), projected, c=c, v=z, shift=-case.u)
    yield from case.loss("SSM", found(ops.ssm, model, x, z, **at), sliced, c=c, v=z)
    both = np.stack([z, -z])  # two directions, of which each has the loss of the other
    yield from case.loss("SSM-VR", found(ops.ssm_vr, model, x, both, **at), sliced_exactly, c=c, v=z)

    name = ("one", "sigma2", "prediction")[k // 2 % 3]
    noisy, predicts = case.noisy(np.ones(ROWS), sigma), ("eps", "x0", "v")[k % 3]
    for y in ("score", predicts):
        losses = found(ops.dsm, model, x, sigma, z, weight=name, predicts=y, **at)
        slope, target = _prediction(y, x, z, np.ones(ROWS), sigma)
        yield from noisy.loss(f"DSM of {y}", losses, squares, c=c * _squared(name, slope, sigma), shift=-target)
    if not case.t:
        return
    t, process = case.t[0], _Ramp()
    noisy, std = case.noisy(process.alpha(t), process.sigma(t)), process.sigma(t)
    slope, target = _prediction(predicts, x, z, process.alpha(t), std)
    losses = found(ops.dsm_process, model, process, x, t, z, name, predicts=predicts)
    yield from noisy.loss(f"DSM of {predicts} along a process", losses, squares, c=c * _squared(name, slope, std), shift=-target)
    whole = found(ops.dsm_integrated, model, process, x, t, z, name, predicts=predicts, t_min=0.05, t_max=1.25)
    for part, left, right in zip(("value", "gradient"), whole, losses, strict=True):
        left, right = np.hstack([np.ravel(a) for a in left]), 1.2 * np.hstack([np.ravel(a) for a in right])
        yield Comparison(f"time integral, {part}, {case.name}", left, right, 8 * EPS * np.abs(right), np.abs(right).max())
    losses = found(ops.ddpm_simple, model, process, x, t, z)
    yield from noisy.loss("noise prediction", losses, squares, c=c, shift=-z)
    index = rng.integers(0, len(LEVELS), ROWS)
    noisy, std = case.noisy(np.ones(ROWS), LEVELS[index], LEVELS[index]), LEVELS[index]
    predicts = ("score", "eps", "x0", "v")[k % 4]
    losses = found(ops.ncsn, model, x, LEVELS, index, z, weight=name, predicts=predicts)
    slope, target = _prediction(predicts, x, z, np.ones(ROWS), std)
    yield from noisy.loss(f"NCSN of {predicts}", losses, squares, c=c * _squared(name, slope, std), shift=-target)


def _squared(weight, slope, sigma):
    """lambda k^2: the factor of ||m - y||^2."""
    return {"one": slope**2, "sigma2": (sigma * slope) ** 2, "prediction": np.ones_like(sigma)}[weight]


def _prediction(predicts, x0, z, alpha, sigma):
    """k = |score error|/|error of the prediction| and what is to be predicted (`refscore.objectives.denoising`)."""
    a, s = alpha[:, None], sigma[:, None]
    return {
        "score": (np.ones_like(sigma), -z / s),
        "eps": (1 / sigma, z),
        "x0": (alpha / sigma**2, x0),
        "v": (alpha / (sigma * (alpha**2 + sigma**2)), a * z - s * x0),
    }[predicts]
