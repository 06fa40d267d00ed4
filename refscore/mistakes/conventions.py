"""Mistakes in how rows become one number: batches without weights, weights that do not sum to 1, sums, single rows."""

from __future__ import annotations

import numpy as np

from refscore import objectives
from refscore.distances import fisher
from refscore.mistakes._registry import mistake


def _scaled(result, value, gradient):
    """A value times one factor, its gradient times another."""
    return (value * result[0], [gradient * g for g in result[1]]) if isinstance(result, tuple) else value * result


def _unweighted(name: str, value: bool = True):
    """n times the loss (and always its gradient) where an average was asked for by leaving everything out."""
    right = getattr(objectives, name)

    def wrong(model, x, *arguments, sample_weight=None, over_batch="mean", **options):
        result = right(model, x, *arguments, sample_weight=sample_weight, over_batch=over_batch, **options)
        n = len(x) if sample_weight is None and over_batch == "mean" else 1
        return _scaled(result, n if value else 1, n)

    return wrong


for _name in ("ism", "dsm", "ncsn"):
    mistake(
        _name, wrong="sum over a batch without weights", right="mean", seen="common; unseen where all nodes have weights",
        name=f"{_name}_sums_without_weights",
    )(_unweighted(_name))

mistake(
    "dsm", wrong="gradient summed over a batch without weights", right="averaged like the loss", seen="per-row gradients added up",
    name="dsm_gradient_sums_without_weights",
)(_unweighted("dsm", value=False))


def _normalised(name: str):
    right = getattr(objectives, name)

    def wrong(model, *arguments, sample_weight=None, **options):
        weight = None if sample_weight is None else np.asarray(sample_weight) / np.sum(sample_weight)
        return right(model, *arguments, sample_weight=weight, **options)

    return wrong


for _name in ("esm", "dsm"):
    mistake(
        _name, wrong="sum w loss / sum w", right="sum w loss", seen="np.average; unseen where weights sum to 1",
        name=f"{_name}_weights_normalised",
    )(_normalised(_name))


@mistake("dsm", wrong="over_batch='sum' averaged", right="summed", seen="an argument that is accepted and not used")
def dsm_sum_averaged(model, x0, sigma, noise, *, over_batch="mean", **options):
    return objectives.dsm(model, x0, sigma, noise, over_batch="mean" if over_batch == "sum" else over_batch, **options)


@mistake("ncsn", wrong="rows divided by n", right="the rows themselves", seen="mean taken before the reduction is chosen")
def ncsn_rows_averaged(model, x0, sigmas, index, noise, *, over_batch="mean", **options):
    result = objectives.ncsn(model, x0, sigmas, index, noise, over_batch=over_batch, **options)
    return result / len(x0) if over_batch == "none" else result


@mistake("dsm", wrong="sigma at least 0.05", right="sigma", seen="clamp against division by zero, left in")
def dsm_sigma_clipped(model, x0, sigma, noise, **options):
    return objectives.dsm(model, x0, np.maximum(sigma, 0.05), noise, **options)


@mistake("ncsn", wrong="the network's output taken for a score", right="for what it predicts", seen="predicts not handed on")
def ncsn_predicts_ignored(model, x0, sigmas, index, noise, *, predicts="score", **options):
    return objectives.ncsn(model, x0, sigmas, index, noise, **options)


@mistake("ncsn", wrong="levels sorted, indices not", right="index counts the levels as given", seen="unseen on a sorted ladder")
def ncsn_levels_sorted(model, x0, sigmas, index, noise, **options):
    return objectives.ncsn(model, x0, np.sort(sigmas)[::-1], index, noise, **options)


@mistake("dsm", wrong="weight 'prediction' taken for 'one'", right="the plain error of the prediction", seen="not handed on")
def dsm_prediction_weight_ignored(model, x0, sigma, noise, *, weight="one", **options):
    return objectives.dsm(model, x0, sigma, noise, weight="one" if weight == "prediction" else weight, **options)


@mistake("dsm_integrated", wrong="half=False in the value alone", right="in the gradient too", seen="a factor put on last")
def dsm_integrated_half_in_the_value_alone(model, process, x0, t, noise, *weight, half=True, **options):
    result = objectives.dsm_integrated(model, process, x0, t, noise, *weight, half=half, **options)
    return result if half or not isinstance(result, tuple) else _scaled(result, 1, 0.5)


@mistake("dsm_integrated", wrong="over_dims not handed on", right="handed on", seen="an argument that is accepted and not used")
def dsm_integrated_over_dims_ignored(model, process, x0, t, noise, *weight, over_dims="sum", **options):
    return objectives.dsm_integrated(model, process, x0, t, noise, *weight, **options)


@mistake("fisher", wrong="half=False ignored", right="E||s_p - s_q||^2", seen="an argument that is accepted and not used")
def fisher_half_ignored(p, q, *, half=True, **options):
    return fisher(p, q, **options)


@mistake("irreducible_loss", wrong="half=False ignored", right="d/sigma^2 - I(q)", seen="an argument that is accepted and not used")
def irreducible_half_ignored(density, alpha, sigma, *, half=True, **options):
    return objectives.irreducible_loss(density, alpha, sigma, **options)


@mistake("dsm_variance", wrong="variance/d for over_dims='mean'", right="variance/d^2", seen="a factor taken out once")
def dsm_variance_over_dims_once(model, density, alpha, sigma, *, over_dims="sum", **options):
    found = objectives.dsm_variance(model, density, alpha, sigma, over_dims=over_dims, **options)
    return found if over_dims == "sum" or options.get("grad") else (found[0] * density.dim, found[1])


@mistake("dsm_variance", wrong="the model's output taken for a score", right="for what it predicts", seen="predicts not handed on")
def dsm_variance_predicts_ignored(model, density, alpha, sigma, *, predicts="score", **options):
    return objectives.dsm_variance(model, density, alpha, sigma, **options)


@mistake("ssm_vr", wrong="gradient summed over directions", right="averaged like the loss", seen="bayesflow#772: sum over probes")
def ssm_vr_gradient_sums_over_directions(model, x, v, **options):
    return _scaled(objectives.ssm_vr(model, x, v, **options), 1, len(v) if np.ndim(v) == 3 else 1)
