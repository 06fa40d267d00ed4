"""Wrong versions of score matching along random directions."""

from __future__ import annotations

import numpy as np

from refscore import objectives
from refscore.mistakes._registry import mistake
from refscore.networks import hutchinson_variance


def _mixed(model, x, v, square, derivative, options):
    """square 1/2 (v's)^2 + derivative v'(Ds)v, from SSM and from PSM against zero; values and gradients."""
    both = objectives.ssm(model, x, v, **options)
    squares = objectives.psm(model, x, v, np.zeros(np.shape(x)), **options)
    return _added(derivative, both, square - derivative, squares)


def _added(a, left, b, right):
    if not isinstance(left, tuple):
        return a * left + b * right
    return a * left[0] + b * right[0], [a * p + b * q for p, q in zip(left[1], right[1], strict=True)]


def _count(v) -> int:
    return len(v) if np.ndim(v) == 3 else 1


@mistake("ssm", wrong="(v's)^2 + v'(Ds)v", right="1/2 (v's)^2 + v'(Ds)v", seen="common: the factors of the two conventions mixed")
def ssm_square_without_half(model, x, v, **options):
    return _mixed(model, x, v, 2.0, 1.0, options)


@mistake(
    "ssm", wrong="1/2 (v's)^2 + 2 v'(Ds)v", right="1/2 (v's)^2 + v'(Ds)v", seen="common: the factors of the two conventions mixed"
)
def ssm_derivative_doubled(model, x, v, **options):
    return _mixed(model, x, v, 1.0, 2.0, options)


@mistake("ssm", wrong="1/2 (v's)^2 - v'(Ds)v", right="1/2 (v's)^2 + v'(Ds)v", seen="sign lost in the integration by parts")
def ssm_derivative_sign(model, x, v, **options):
    return _mixed(model, x, v, 1.0, -1.0, options)


@mistake(
    "ssm",
    wrong="(v's)^2 and w'(Ds)w with directions drawn twice",
    right="one v in both terms",
    seen="probe redrawn between the two terms",
)
def ssm_other_direction(model, x, v, **options):
    other = np.roll(np.asarray(v) * np.array([1.0, -1.0])[np.arange(np.shape(v)[-1]) % 2], 1, axis=-1) + 0.1
    squares = objectives.psm(model, x, v, np.zeros(np.shape(x)), **options)
    removed = objectives.psm(model, x, other, np.zeros(np.shape(x)), **options)
    return _added(1.0, _added(1.0, objectives.ssm(model, x, other, **options), -1.0, removed), 1.0, squares)


@mistake("ssm", wrong="sum over directions", right="mean over directions", seen="bayesflow#772: sum over probes")
def ssm_sum_over_directions(model, x, v, **options):
    result = objectives.ssm(model, x, v, **options)
    return _added(_count(v), result, 0.0, result)


@mistake("ssm", wrong="mean over dimensions", right="sum over dimensions", seen="losses wrong by a factor d in published packages")
def ssm_mean_over_dims(model, x, v, **options):
    return (
        objectives.ssm(model, x, v, **options | {"over_dims": "mean"})
        if np.shape(x)[1] > 1
        else objectives.ssm(model, x, v, **options)
    )


@mistake("psm", wrong="E(v's - v's_p)^2", right="1/2 E(v's - v's_p)^2", seen="common")
def psm_without_half(model, x, v, true_score, **options):
    return objectives.psm(model, x, v, true_score, **options | {"half": False})


@mistake("psm", wrong="1/2 E|v's - v's_p|", right="1/2 E(v's - v's_p)^2", seen="norm taken for its square")
def psm_absolute_value(model, x, v, true_score, **options):
    right = objectives.psm(model, x, v, true_score, **options)
    along = np.abs(((model(x) - true_score) * v).sum(axis=-1))
    rows = 0.5 * (along if along.ndim == 1 else along.mean(axis=0))
    if options.get("over_batch") == "none":
        return rows
    weights = options.get("sample_weight")
    value = float(rows.mean() if weights is None else weights @ rows)
    return (value, right[1]) if isinstance(right, tuple) else value


@mistake("psm", wrong="1/2 E||s - s_p||^2", right="1/2 E(v's - v's_p)^2", seen="projection left out")
def psm_norm_of_residual(model, x, v, true_score, **options):
    return objectives.esm(model, x, true_score, **options)


@mistake("ssm_vr", wrong="1/2 (v's)^2", right="1/2 ||s||^2", seen="SSM under the name of SSM-VR: the same mean, another variance")
def ssm_vr_projected_square(model, x, v, **options):
    return objectives.ssm(model, x, v, **options)


@mistake(
    "ssm_vr", wrong="||s||^2 + v'(Ds)v", right="1/2 ||s||^2 + v'(Ds)v", seen="common: the factors of the two conventions mixed"
)
def ssm_vr_square_without_half(model, x, v, **options):
    squares = objectives.esm(model, x, np.zeros(np.shape(x)), **options)
    return _added(1.0, objectives.ssm_vr(model, x, v, **options), 1.0, squares)


@mistake("ssm_vr", wrong="sum over directions", right="mean over directions", seen="bayesflow#772: sum over probes")
def ssm_vr_sum_over_directions(model, x, v, **options):
    squares = objectives.esm(model, x, np.zeros(np.shape(x)), **options)
    return _added(_count(v), objectives.ssm_vr(model, x, v, **options), 1.0 - _count(v), squares)


@mistake(
    "ssm_vr",
    wrong="1/2 ||s||^2 + v'(Ds)v / d",
    right="1/2 ||s||^2 + v'(Ds)v",
    seen="mean over dimensions applied to the trace alone",
)
def ssm_vr_derivative_over_d(model, x, v, **options):
    d, squares = np.shape(x)[1], objectives.esm(model, x, np.zeros(np.shape(x)), **options)
    return _added(1 / d, objectives.ssm_vr(model, x, v, **options), 1 - 1 / d, squares)


@mistake("ssm_vr", wrong="the first direction alone", right="mean over all directions", seen="v[0] where v has one more axis")
def ssm_vr_one_direction(model, x, v, **options):
    return objectives.ssm_vr(model, x, v[0] if np.ndim(v) == 3 else v, **options)


@mistake("sliced_variance", wrong="Var v'(Ds)v for SSM too", right="Var v'(Ds + 1/2 ss')v", seen="square taken for a constant")
def sliced_variance_without_square(model, x, law, *, variance_reduced=False, directions=1):
    return objectives.sliced_variance(model, x, law, variance_reduced=True, directions=directions)


@mistake("sliced_variance", wrong="Var v'(Ds + ss')v", right="Var v'(Ds + 1/2 ss')v", seen="neighbour: the half")
def sliced_variance_square_not_halved(model, x, law, *, variance_reduced=False, directions=1):
    s = model(x)
    form = model.jacobian(x) + (0 if variance_reduced else s[:, :, None] * s[:, None, :])
    return hutchinson_variance(form, law) / directions


@mistake("sliced_variance", wrong="variance of one direction", right="divided by the number of directions", seen="neighbour")
def sliced_variance_for_one_direction(model, x, law, *, variance_reduced=False, directions=1):
    return objectives.sliced_variance(model, x, law, variance_reduced=variance_reduced)


@mistake(
    "sliced_variance", wrong="divided by m^2", right="divided by m", seen="neighbour: the mean's factor squared without its sum"
)
def sliced_variance_over_directions_squared(model, x, law, *, variance_reduced=False, directions=1):
    return objectives.sliced_variance(model, x, law, variance_reduced=variance_reduced, directions=directions**2)


@mistake("sliced_variance", wrong="SSM-VR as if for one direction", right="divided by their number", seen="one branch mended")
def sliced_variance_directions_of_ssm_alone(model, x, law, *, variance_reduced=False, directions=1):
    count = 1 if variance_reduced else directions
    return objectives.sliced_variance(model, x, law, variance_reduced=variance_reduced, directions=count)


@mistake("ssm", wrong="gradient of 1/2 (v's)^2 alone", right="and of v'(Ds)v", seen="derivative detached from the graph")
def ssm_gradient_direction_constant(model, x, v, **options):
    result = objectives.ssm(model, x, v, **options)
    if not isinstance(result, tuple):
        return result
    return result[0], objectives.psm(model, x, v, np.zeros(np.shape(x)), **options)[1]


@mistake("ssm_vr", wrong="gradient of v'(Ds)v alone", right="and of 1/2 ||s||^2", seen="square detached from the graph")
def ssm_vr_gradient_without_square(model, x, v, **options):
    result = objectives.ssm_vr(model, x, v, **options)
    if not isinstance(result, tuple):
        return result
    squares = objectives.esm(model, x, np.zeros(np.shape(x)), **options)
    return result[0], [a - b for a, b in zip(result[1], squares[1], strict=True)]


@mistake("psm", wrong="cotangent s - s_p", right="v v'(s - s_p)", seen="projection left out of the gradient")
def psm_gradient_not_projected(model, x, v, true_score, **options):
    result = objectives.psm(model, x, v, true_score, **options)
    return (result[0], objectives.esm(model, x, true_score, **options)[1]) if isinstance(result, tuple) else result
