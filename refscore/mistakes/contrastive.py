"""Wrong versions of contrastive divergence."""

from __future__ import annotations

import numpy as np

from refscore import objectives
from refscore.mistakes._registry import mistake


def _times(result, factor, gradient_factor):
    if not isinstance(result, tuple):
        return factor * result
    return factor * result[0], [gradient_factor * g for g in result[1]]


@mistake(
    "contrastive_divergence",
    wrong="mean E(negatives) - mean E(x)",
    right="mean E(x) - mean E(negatives)",
    seen="energy taken for its negative, f = -E",
)
def contrastive_sign(model, x, negatives, **options):
    return _times(objectives.contrastive_divergence(model, x, negatives, **options), -1.0, -1.0)


@mistake("contrastive_divergence", wrong="gradient ascended", right="descended", seen="log-likelihood's sign on the loss")
def contrastive_gradient_ascends(model, x, negatives, **options):
    return _times(objectives.contrastive_divergence(model, x, negatives, **options), 1.0, -1.0)


@mistake("contrastive_divergence", wrong="mean E(x)", right="mean E(x) - mean E(negatives)", seen="partition function forgotten")
def contrastive_positive_phase_alone(model, x, negatives, *, t=None, sample_weight=None, grad=False, **options):
    weights = np.full(len(x), 1 / len(x)) if sample_weight is None else sample_weight
    value = float(weights @ model.energy(x, t))
    return (value, model.energy.parameter_gradient(x, weights, t)) if grad else value


@mistake(
    "contrastive_divergence", wrong="sums over both batches", right="means", seen="batches of different sizes no longer balance"
)
def contrastive_sums(model, x, negatives, *, sample_weight=None, negative_weight=None, **options):
    n, m = len(x), len(negatives)
    return objectives.contrastive_divergence(
        model,
        x,
        negatives,
        sample_weight=n * (np.full(n, 1 / n) if sample_weight is None else sample_weight),
        negative_weight=m * (np.full(m, 1 / m) if negative_weight is None else negative_weight),
        **options,
    )


@mistake(
    "contrastive_divergence",
    wrong="negatives weighted alike",
    right="negatives of the model's law",
    seen="negatives from another law than the model's",
)
def contrastive_negatives_as_data(model, x, negatives, *, negative_weight=None, **options):
    return objectives.contrastive_divergence(model, x, negatives, **options)


@mistake(
    "contrastive_divergence", wrong="1/n for the negatives too", right="1/m", seen="one batch size; unseen where they are as many"
)
def contrastive_means_over_the_data(model, x, negatives, *, negative_weight=None, **options):
    weight = np.full(len(negatives), 1 / len(x)) if negative_weight is None else negative_weight
    return objectives.contrastive_divergence(model, x, negatives, negative_weight=weight, **options)


@mistake("contrastive_divergence", wrong="sum w E / sum w", right="sum w E", seen="np.average; unseen where weights sum to 1")
def contrastive_weights_normalised(model, x, negatives, *, sample_weight=None, **options):
    weight = None if sample_weight is None else np.asarray(sample_weight) / np.sum(sample_weight)
    return objectives.contrastive_divergence(model, x, negatives, sample_weight=weight, **options)


@mistake("contrastive_divergence", wrong="negatives at time 0", right="at the time of the data", seen="a sampler without its time")
def contrastive_time_of_data_alone(model, x, negatives, *, t=None, grad=False, **options):
    result = objectives.contrastive_divergence(model, x, negatives, t=t, grad=grad, **options)
    if t is None:
        return result
    moved = model.energy(negatives, t).mean() - model.energy(negatives, 0.0).mean()
    return (result[0] + moved, result[1]) if grad else result + moved
