"""Wrong traces: of the exact divergence and its gradient, of Hutchinson's estimate, of its variance."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from refscore.identities import REFERENCE
from refscore.mistakes import _layers
from refscore.mistakes._registry import mistake
from refscore.networks import MLP

# --- divergence ---


@mistake("divergence", wrong="tr(W_1 W_2 W_3)", right="tr(W_1 D_1 W_2 D_2 W_3)", seen="slopes left out of the chain rule")
def divergence_without_slopes(model, x, *t):
    if not _layers.hidden(model):
        return model.divergence(x, *t)
    product = model.weights[0][: x.shape[1]]
    for W in model.weights[1:]:
        product = product @ W
    return np.full(len(x), np.trace(product))


@mistake(
    "divergence", wrong="D_1 (W_2 o W_3 W_1) D_2'", right="D_1 (W_2 o (W_3 W_1)') D_2'",
    seen="fits when all layers are as wide"
)
def divergence_coupling_transposed(model, x, *t):
    if _layers.hidden(model) != 2 or model.sizes[1] != model.sizes[2]:
        return model.divergence(x, *t)
    D1, D2 = _layers.slopes(model, x, t)
    return np.einsum("ni,ij,nj->n", D1, model.weights[1] * (model.weights[2] @ model.weights[0][: x.shape[1]]), D2)


@mistake("divergence", wrong="D_1 C D_1'", right="D_1 C D_2'", seen="slopes of the first layer used for both; fits when as wide")
def divergence_first_slope_twice(model, x, *t):
    if _layers.hidden(model) != 2 or model.sizes[1] != model.sizes[2]:
        return model.divergence(x, *t)
    D1, _ = _layers.slopes(model, x, t)
    return np.einsum("ni,ij,nj->n", D1, model.weights[1] * (model.weights[2] @ model.weights[0][: x.shape[1]]).T, D1)


@mistake("divergence", wrong="tr Ds / d", right="tr Ds", seen="mean over dimensions; unseen in d = 1")
def divergence_over_dims(model, x, *t):
    return model.divergence(x, *t) / x.shape[1]


@mistake(
    "divergence", wrong="the sum of all entries of Ds", right="of its diagonal",
    seen="grad(s.sum(), x).sum(); unseen in d = 1"
)
def divergence_sum_of_jacobian(model, x, *t):
    return model.vjp(x, np.ones_like(x), *t).sum(axis=1)


@mistake(
    "divergence", wrong="the last d rows of W_1, t's among them", right="the first d",
    seen="input columns sliced from the wrong end"
)
def divergence_time_for_space(model, x, *t):
    if not (t and isinstance(model, MLP)):
        return model.divergence(x, *t)
    rows, d = _layers.rows(model, x, t), x.shape[1]
    full = rows.vjp(_layers.basis(x), d + 1)
    return np.einsum("knk->n", full[..., 1:])


# --- gradient of the divergence ---


def _divergence_gradient(model, x, c, t, curvatures=(), tangents: float = 1.0):
    """The gradient of sum c tr Ds by d tangents, with a factor on each layer's phi'' and on the direct use of the weights."""
    rows, basis = _layers.rows(model, x, t), _layers.basis(x)
    rows.curvatures = [f * np.asarray(z) for f, z in zip(curvatures or [1.0] * len(rows.curvatures), rows.curvatures, strict=True)]
    rows.jvp(basis)
    if tangents:
        return rows.backward(np.zeros_like(rows.output), c[:, None] * basis)
    full = rows.backward(np.zeros_like(rows.output), c[:, None] * basis)
    direct = _divergence_gradient(model, x, c, t, [0.0] * len(rows.curvatures))
    return [a - b for a, b in zip(full, direct, strict=True)]


@mistake(
    "divergence_gradient", wrong="slopes taken as constants", right="phi'' too",
    seen="create_graph=False; linear networks agree"
)
def divergence_gradient_slopes_constant(model, x, c, *t):
    return _divergence_gradient(model, x, c, t, [0.0] * _layers.hidden(model))


@mistake(
    "divergence_gradient", wrong="through the slopes only", right="through the weights in C as well",
    seen="C cached as a constant"
)
def divergence_gradient_coupling_constant(model, x, c, *t):
    return _divergence_gradient(model, x, c, t, tangents=0.0)


@mistake(
    "divergence_gradient", wrong="phi'' of the last hidden layer only", right="of every layer",
    seen="deeper networks not tried"
)
def divergence_gradient_first_curvature_missing(model, x, c, *t):
    hidden = _layers.hidden(model)
    return _divergence_gradient(model, x, c, t, [float(l == hidden - 1) for l in range(hidden)])


@mistake("divergence_gradient", wrong="mean over rows", right="sum over rows", seen="averaged twice, here and in the loss")
def divergence_gradient_averaged(model, x, c, *t):
    return [array / len(x) for array in model.divergence_gradient(x, c, *t)]


@mistake(
    "divergence_gradient", wrong="W_2* transposed", right="W_2*",
    seen="(out, in) for (in, out); fits when layers are as wide"
)
def divergence_gradient_transposed(model, x, c, *t):
    gradient = model.divergence_gradient(x, c, *t)
    if _layers.hidden(model) == 2 and model.sizes[1] == model.sizes[2]:
        gradient[2] = gradient[2].T
    return gradient


# --- Hutchinson's estimate ---


@mistake("hutchinson", wrong="sum over probes", right="mean over probes", seen="bayesflow#772")
def hutchinson_sum_over_probes(model, x, v, *t):
    return len(v) * REFERENCE.hutchinson(model, x, v, *t)


@mistake("hutchinson", wrong="mean over dimensions of v o (Ds)v", right="sum", seen="common; unseen in d = 1")
def hutchinson_mean_over_dims(model, x, v, *t):
    return (v * model.jvp(x, v, *t)).mean(axis=1)


@mistake("hutchinson", wrong="v'Av / v'v", right="v'Av", seen="taken for a Rayleigh quotient")
def hutchinson_normalised(model, x, v, *t):
    return REFERENCE.hutchinson(model, x, v, *t) / np.square(v).sum(axis=1)


@mistake(
    "hutchinson", wrong="d v'Av / v'v with Gaussian v", right="v'Av",
    seen="unbiased, so the mean cannot tell: the variance can"
)
def hutchinson_times_dimension_normalised(model, x, v, *t):
    return x.shape[1] * hutchinson_normalised(model, x, v, *t)


@mistake("hutchinson", wrong="probes from U(0, 1)", right="E vv' = I", seen="flow_matching#49: rand for randn")
def hutchinson_probes_zero_one(model, x, v, *t):
    return REFERENCE.hutchinson(model, x, (1 + erf(v / np.sqrt(2))) / 2, *t)


@mistake("hutchinson", wrong="probes from U(-1, 1), E vv' = I/3", right="E vv' = I", seen="flow_matching#49")
def hutchinson_probes_minus_one_one(model, x, v, *t):
    return REFERENCE.hutchinson(model, x, erf(v / np.sqrt(2)), *t)


@mistake(
    "hutchinson", wrong="v'(Ds)w, w another probe", right="the same v on both sides",
    seen="noise drawn anew in the backward pass"
)
def hutchinson_independent_probes(model, x, v, *t):
    return (v * model.jvp(x, np.roll(v, 1, axis=0), *t)).sum(axis=1)


@mistake("hutchinson", wrong="||(Ds)v||^2", right="v'(Ds)v", seen="the Frobenius norm's estimator")
def hutchinson_norm_of_jvp(model, x, v, *t):
    return np.square(model.jvp(x, v, *t)).sum(axis=1)


@mistake(
    "hutchinson", wrong="(v's(x + hv) - v's(x))/h, h = 1e-3", right="h -> 0",
    seen="finite difference with a step for float32"
)
def hutchinson_one_sided_difference(model, x, v, *t):
    return (v * (model(x + 1e-3 * v, *t) - model(x, *t))).sum(axis=1) / 1e-3


# --- its variance, and what it draws ---


def _parts(A):
    """S, ||S||^2 and sum S_ii^2 of the symmetric part."""
    S = (A + np.swapaxes(A, -1, -2)) / 2
    return S, np.square(S).sum(axis=(-1, -2)), np.square(np.einsum("...ii->...i", S)).sum(axis=-1)


@mistake(
    "hutchinson_variance", wrong="2 ||A||^2", right="2 ||A_s||^2, A_s the symmetric part",
    seen="common; unseen when A is symmetric"
)
def variance_without_symmetric_part(A, law):
    S, _, _ = _parts(A)
    return REFERENCE.hutchinson_variance(A, law) + 2 * np.square(A - S).sum(axis=(-1, -2))


@mistake("hutchinson_variance", wrong="||A_s||^2", right="2 ||A_s||^2", seen="E z^4 = 3 counted as 2")
def variance_without_two(A, law):
    return REFERENCE.hutchinson_variance(A, law) / 2


@mistake(
    "hutchinson_variance", wrong="2 (||A_s||^2 - sum a_ii^2) for Gaussian v", right="2 ||A_s||^2",
    seen="Rademacher's formula quoted"
)
def variance_rademacher_for_gaussian(A, law):
    return REFERENCE.hutchinson_variance(A, "rademacher" if law == "gaussian" else law)


@mistake("hutchinson_variance", wrong="2 ||A_s||^2 for every law", right="it depends on E v_i^4", seen="common")
def variance_gaussian_for_all(A, law):
    return REFERENCE.hutchinson_variance(A, "gaussian")


@mistake(
    "hutchinson_variance", wrong="2 (||A_s||^2 - (tr A)^2/d) on the sphere", right="times d/(d + 2)",
    seen="Gaussian moments kept"
)
def variance_sphere_without_dimension(A, law):
    d = np.shape(A)[-1]
    return REFERENCE.hutchinson_variance(A, law) * ((d + 2) / d if law == "sphere" else 1)


@mistake("hutchinson_variance", wrong="standard deviation", right="variance", seen="sigma for sigma^2")
def variance_standard_deviation(A, law):
    return np.sqrt(REFERENCE.hutchinson_variance(A, law))


@mistake(
    "probes", wrong="sphere of radius 1, E vv' = I/d", right="radius sqrt d",
    seen="normalised directions of sliced objectives"
)
def probes_on_unit_sphere(law, n, d, rng):
    v = REFERENCE.probes(law, n, d, rng)
    return v / np.sqrt(d) if law == "sphere" else v


@mistake("probes", wrong="signs from {0, 1}", right="{-1, 1}", seen="randint(0, 2) without 2 v - 1")
def probes_zero_one(law, n, d, rng):
    v = REFERENCE.probes(law, n, d, rng)
    return (v + 1) / 2 if law == "rademacher" else v


@mistake("probes", wrong="U(-sqrt 3, sqrt 3)", right="N(0, 1)", seen="the same two moments; its estimate has another variance")
def probes_uniform_for_gaussian(law, n, d, rng):
    if law != "gaussian":
        return REFERENCE.probes(law, n, d, rng)
    return np.random.default_rng(rng).uniform(-np.sqrt(3), np.sqrt(3), (n, d))


@mistake("probes", wrong="points of a cube, normalised", right="uniform on the sphere", seen="rand - 1/2 for randn before dividing")
def probes_normalised_cube(law, n, d, rng):
    if law != "sphere":
        return REFERENCE.probes(law, n, d, rng)
    v = np.random.default_rng(rng).uniform(-1, 1, (n, d))
    return np.sqrt(d) * v / np.linalg.norm(v, axis=1, keepdims=True)


@mistake("probes", wrong="one sign a row", right="one a coordinate", seen="shape (n, 1) broadcast")
def probes_one_sign_for_all_coordinates(law, n, d, rng):
    v = REFERENCE.probes(law, n, d, rng)
    return np.repeat(v[:, :1], d, axis=1) if law == "rademacher" else v


@mistake("probes", wrong="one probe for the batch", right="one a row", seen="shape (d,) broadcast")
def probes_one_for_all_rows(law, n, d, rng):
    return np.repeat(REFERENCE.probes(law, 1, d, rng), n, axis=0)
