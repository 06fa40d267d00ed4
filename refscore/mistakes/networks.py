"""Wrong derivatives of networks: activations, forward and reverse mode, gradients of objectives.

A model without layers (an exact score) is left as it is by mistakes that only layers can make.
"""

from __future__ import annotations

import numpy as np

from refscore.identities import REFERENCE
from refscore.mistakes import _layers
from refscore.mistakes._registry import mistake
from refscore.networks import MLP


def _scaled(gradient: list, factor) -> list:
    return [factor * array for array in gradient]


# --- activations ---


@mistake("activate", wrong="z p(1.702 z), the approximation of GELU", right="SiLU: z p(z)", seen="common: one name for both")
def activation_silu_as_gelu(activation, z):
    return z / (1 + np.exp(-1.702 * z)) if activation.name == "silu" else activation(z)


@mistake("activate", wrong="softplus z = z from z = 20 on", right="log(1 + e^z)", seen="a threshold made for float32")
def activation_linear_from_twenty(activation, z):
    return np.where(z > 20, z, activation(z)) if activation.name == "softplus" else activation(z)


@mistake("slope", wrong="softplus' = 1 from z = 20 on", right="1/(1 + e^-z)", seen="derivative of the same threshold")
def slope_constant_from_twenty(activation, z):
    return np.where(z > 20, 1.0, activation.slope(z)) if activation.name == "softplus" else activation.slope(z)


@mistake("slope", wrong="e^z/(1 + e^z)", right="1/(1 + e^-z) for z > 0", seen="inf/inf; common")
def slope_overflows(activation, z):
    with np.errstate(all="ignore"):
        return np.exp(z) / (1 + np.exp(z)) if activation.name == "softplus" else activation.slope(z)


@mistake("activate", wrong="0.01 z for z < 0", right="ReLU: 0", seen="leaky ReLU under the name of the other")
def activation_relu_leaks(activation, z):
    return activation(z) + (0.01 * np.minimum(z, 0) if activation.name == "relu" else 0)


@mistake("slope", wrong="ReLU'(0) = 1/2", right="0, as the frameworks' gradients have it", seen="the subgradient in the middle")
def slope_relu_half_at_zero(activation, z):
    return activation.slope(z) + (0.5 * (z == 0) if activation.name == "relu" else 0)


@mistake("slope", wrong="softplus' = tanh", right="softplus' = logistic", seen="the two sigmoids confused")
def slope_softplus_tanh(activation, z):
    return np.tanh(z) if activation.name == "softplus" else activation.slope(z)


@mistake("slope", wrong="SiLU' = p", right="SiLU' = p + z p (1 - p)", seen="product rule forgotten")
def slope_silu_without_product_rule(activation, z):
    return 1 / (1 + np.exp(-z)) if activation.name == "silu" else activation.slope(z)


@mistake("slope", wrong="tanh' = 1 - tanh", right="tanh' = 1 - tanh^2", seen="common")
def slope_tanh_not_squared(activation, z):
    return 1 - np.tanh(z) if activation.name == "tanh" else activation.slope(z)


@mistake("curvature", wrong="sin'' = sin", right="sin'' = -sin", seen="common")
def curvature_sin_sign(activation, z):
    return np.sin(z) if activation.name == "sin" else activation.curvature(z)


@mistake("curvature", wrong="tanh'' = -2 tanh", right="tanh'' = -2 tanh tanh'", seen="chain rule forgotten")
def curvature_tanh_without_slope(activation, z):
    return -2 * np.tanh(z) if activation.name == "tanh" else activation.curvature(z)


@mistake("third", wrong="2 tanh' (1 - 3 tanh^2)", right="2 tanh' (3 tanh^2 - 1)", seen="sign lost in the second product rule")
def third_tanh_sign(activation, z):
    return -activation.third(z) if activation.name == "tanh" else activation.third(z)


@mistake("third", wrong="SiLU = z p: 2 p'' + z p(3)", right="3 p'' + z p(3)", seen="factor of the second derivative kept")
def third_silu_product_rule_twice(activation, z):
    p = 1 / (1 + np.exp(-z))
    return activation.third(z) - (p * (1 - p) * (1 - 2 * p) if activation.name == "silu" else 0)


@mistake("third", wrong="p q |q - p|", right="p q (q - p)", seen="even function guessed, as the second derivative is")
def third_softplus_not_negative(activation, z):
    return np.abs(activation.third(z)) if activation.name == "softplus" else activation.third(z)


# --- features of time ---


def _angles(features, t):
    return 2 * np.pi * np.outer(np.log(t) if features.log else t, features.frequencies)


def _sines_cosines(angle):
    return np.hstack([np.sin(angle), np.cos(angle)])


@mistake("time_features", wrong="sin B t", right="sin 2 pi B t", seen="frequencies in radians, drawn as if in cycles")
def features_without_two_pi(features, t):
    return _sines_cosines(_angles(features, t) / (2 * np.pi))


@mistake("time_features", wrong="sin pi B t", right="sin 2 pi B t", seen="positional encodings with 2^k pi")
def features_pi_for_two_pi(features, t):
    return _sines_cosines(_angles(features, t) / 2)


@mistake("time_features", wrong="[cos, sin]", right="[sin, cos]", seen="two conventions; weights of one loaded into the other")
def features_cosines_first(features, t):
    return np.hstack([np.cos(_angles(features, t)), np.sin(_angles(features, t))])


@mistake("time_features", wrong="[sin, sin]", right="[sin, cos]", seen="copied line")
def features_sines_twice(features, t):
    return np.tile(np.sin(_angles(features, t)), 2)


@mistake("time_features", wrong="sin, cos, sin, cos, ...", right="all sines, then all cosines", seen="stack, then reshape")
def features_interleaved(features, t):
    angle = _angles(features, t)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(len(angle), -1)


@mistake("time_features", wrong="tau = sigma", right="tau = log sigma", seen="noise level handed on as it is")
def features_without_logarithm(features, t):
    return _sines_cosines(2 * np.pi * np.outer(t, features.frequencies))


@mistake("time_features", wrong="log2 sigma", right="log sigma", seen="number of octaves for the natural logarithm")
def features_logarithm_to_base_two(features, t):
    return _sines_cosines(_angles(features, t) / (np.log(2) if features.log else 1))


# --- values and derivatives in x ---


@mistake("forward", wrong="activation after the last layer too", right="the last layer is affine", seen="a loop over all layers")
def forward_activation_last(model, x, *t):
    s = model(x, *t)
    return model.activation(s) if isinstance(model, MLP) else s


@mistake("forward", wrong="(t, x) goes in", right="(x, t) goes in", seen="contract read the other way round")
def forward_time_first(model, x, *t):
    if not (t and isinstance(model, MLP)):
        return model(x, *t)
    times = np.broadcast_to(t[0], len(x))
    return model(np.column_stack([times, x[:, :-1]]), x[:, -1])


@mistake("jvp", wrong="da = dz", right="da = phi'(z) dz", seen="slope left out of the chain rule")
def jvp_without_slope(model, x, v, *t):
    if not isinstance(model, MLP):
        return model.jvp(x, v, *t)
    for l, W in enumerate(model.weights):
        v = v @ (W[: x.shape[1]] if l == 0 else W)
    return v


@mistake("jvp", wrong="dz_L = da W_L + b_L", right="dz_L = da W_L", seen="the last layer reused for its own tangent")
def jvp_with_biases(model, x, v, *t):
    if not isinstance(model, MLP):
        return model.jvp(x, v, *t)
    return model.jvp(x, v, *t) + model.biases[-1]


@mistake("jvp", wrong="(Ds)'v", right="(Ds)v", seen="reverse mode called for forward mode; unseen when Ds is symmetric")
def jvp_transposed(model, x, v, *t):
    square = np.shape(v) == np.shape(model(x, *t))
    return model.vjp(x, v, *t) if square else model.jvp(x, v, *t)


@mistake("jvp", wrong="phi' at a = phi(z)", right="phi' at z", seen="the value after the activation handed on to its derivative")
def jvp_slope_at_activation(model, x, v, *t):
    if not isinstance(model, MLP):
        return model.jvp(x, v, *t)
    rows = _layers.rows(model, x, t)
    rows.slopes = [model.activation.slope(a) for a in rows.inputs[1:]]
    return rows.jvp(v[None])[0]


@mistake("vjp", wrong="u W' all the way", right="(u W') phi'", seen="slope left out of the chain rule")
def vjp_without_slope(model, x, u, *t):
    if not isinstance(model, MLP):
        return model.vjp(x, u, *t)
    for W in reversed(model.weights[1:]):
        u = u @ W.T
    return u @ model.weights[0][: x.shape[1]].T


@mistake("vjp", wrong="(Ds)u", right="(Ds)'u", seen="forward mode called for reverse mode; unseen when Ds is symmetric")
def vjp_transposed(model, x, u, *t):
    return model.jvp(x, u, *t) if np.shape(u) == np.shape(x) else model.vjp(x, u, *t)


@mistake("vjp", wrong="the last d input columns, t among them", right="the first d", seen="gradient sliced from the wrong end")
def vjp_time_for_space(model, x, u, *t):
    if not (t and isinstance(model, MLP)):
        return model.vjp(x, u, *t)
    return _layers.rows(model, x, t).vjp(u, model.sizes[0])[:, 1:]


@mistake("jacobian", wrong="[i, j, k] = ds_k/dx_j", right="[i, k, j]", seen="gradients of outputs stacked as columns")
def jacobian_transposed(model, x, *t):
    return model.jacobian(x, *t).swapaxes(1, 2)


# --- derivatives in the parameters ---


@mistake("parameter_gradient", wrong="db = mean over rows", right="db = sum over rows", seen="weights by GEMM, biases by .mean(0)")
def gradient_bias_averaged(model, x, u, *t):
    gradient = model.gradient(x, u, *t)
    gradient[1::2] = _scaled(gradient[1::2], 1 / len(x))
    return gradient


@mistake("parameter_gradient", wrong="W_1* without phi'(z_1)", right="z_1* = (z_2* W_2') phi'(z_1)", seen="loop one layer short")
def gradient_without_last_slope(model, x, u, *t):
    rows = _layers.rows(model, x, t)
    if rows.slopes:
        rows.slopes[0] = np.ones_like(rows.slopes[0])
    return rows.backward(u)


@mistake("parameter_gradient", wrong="phi' at a = phi(z)", right="phi' at z", seen="the value after the activation handed on")
def gradient_slope_at_activation(model, x, u, *t):
    rows = _layers.rows(model, x, t)
    rows.slopes = [model.activation.slope(a) for a in rows.inputs[1:]]
    return rows.backward(u)


@mistake("parameter_gradient", wrong="mean over rows", right="sum over rows", seen="averaged twice, here and in the loss")
def gradient_averaged(model, x, u, *t):
    return _scaled(model.gradient(x, u, *t), 1 / len(x))


@mistake(
    "jvp_gradient", wrong="slopes taken as constants", right="phi'' (w W')(da W) too",
    seen="Jacobian detached; linear networks agree"
)
def jvp_gradient_without_curvature(model, x, v, u, w, *t):
    return _curved(model, x, v, u, w, t, 0.0)


@mistake("jvp_gradient", wrong="1/2 phi''", right="phi''", seen="second-order Taylor term taken for the second derivative")
def jvp_gradient_curvature_halved(model, x, v, u, w, *t):
    return _curved(model, x, v, u, w, t, 0.5)


def _curved(model, x, v, u, w, t, factor):
    rows = _layers.rows(model, x, t)
    rows.curvatures = [factor * np.asarray(z) for z in rows.curvatures]
    rows.jvp(v[None])
    return rows.backward(u, w[None])


@mistake("jvp_gradient", wrong="W* = a' z*", right="W* = a' z* + da' dz*", seen="the tangent's own use of W forgotten")
def jvp_gradient_without_tangent(model, x, v, u, w, *t):
    rows = _layers.rows(model, x, t)
    rows.jvp(v[None])
    direct = [a[0].T for a in rows.a_tangents]
    gradient, w = rows.backward(u, w[None]), w
    for l in reversed(range(len(model.weights))):
        gradient[2 * l][: direct[l].shape[0]] -= direct[l] @ w
        w = (w @ model.weights[l].T) * rows.slopes[l - 1] if l else w
    return gradient


# --- gradients of objectives ---


def _gradient_of(right, changed):
    """The right value with the changed gradient, when a gradient was asked for."""
    return (right[0], changed) if isinstance(right, tuple) else right


@mistake(
    "esm", wrong="gradient 2 (s - g) ds", right="(s - g) ds with J = 1/2 ||s - g||^2",
    seen="1/2 in the loss, not in its gradient"
)
def esm_gradient_doubled(model, x, true_score, **options):
    right = REFERENCE.esm(model, x, true_score, **options)
    return _gradient_of(right, _scaled(right[1], 2.0)) if options.get("grad") else right


@mistake("esm", wrong="gradient summed over the batch", right="averaged like the loss", seen="learning rate tuned for it")
def esm_gradient_summed(model, x, true_score, **options):
    right = REFERENCE.esm(model, x, true_score, **options)
    return _gradient_of(right, _scaled(right[1], len(x))) if options.get("grad") else right


@mistake("dsm", wrong="gradient of s taken at x0", right="at x0 + sigma noise", seen="backward pass fed the clean batch")
def dsm_gradient_clean_point(model, x0, sigma, noise, **options):
    right = REFERENCE.dsm(model, x0, sigma, noise, **options)
    if not (options.get("grad") and hasattr(model, "gradient")):
        return right
    c, t = _factors(x0, options)
    level = np.broadcast_to(sigma, len(x0))[:, None]
    weight = level**2 if options.get("weight") == "sigma2" else 1.0
    residual = model(x0 + level * noise, *t) + noise / level
    return _gradient_of(right, model.gradient(x0, c * weight * residual, *t))


@mistake(
    "dsm", wrong="gradient without lambda = sigma^2", right="lambda weights loss and gradient",
    seen="loss reweighted for logging only"
)
def dsm_gradient_without_weight(model, x0, sigma, noise, **options):
    right = REFERENCE.dsm(model, x0, sigma, noise, **options)
    if not options.get("grad"):
        return right
    return _gradient_of(right, REFERENCE.dsm(model, x0, sigma, noise, **(options | {"weight": "one"}))[1])


def _factors(x, options):
    """The factor of every row's loss that the conventions give, (n, 1), and the time arguments."""
    n, d = x.shape
    weight = options.get("sample_weight")
    rows = np.full(n, 1.0 if options.get("over_batch") == "sum" else 1 / n) if weight is None else np.asarray(weight)
    loss = (1 if options.get("half", True) else 2) / (d if options.get("over_dims") == "mean" else 1)
    return loss * rows[:, None], (options["t"],) if options.get("t") is not None else ()


@mistake("ism", wrong="gradient of 1/2 ||s||^2 only", right="and of tr Ds", seen="the trace computed under no_grad")
def ism_gradient_without_trace(model, x, **options):
    right = REFERENCE.ism(model, x, **options)
    return _gradient_of(right, _squares_gradient(model, x, options)) if options.get("grad") else right


@mistake("ism", wrong="gradient of tr Ds only", right="and of 1/2 ||s||^2", seen="s detached where it is squared")
def ism_gradient_without_square(model, x, **options):
    right = REFERENCE.ism(model, x, **options)
    if not options.get("grad"):
        return right
    return _gradient_of(right, [a - b for a, b in zip(right[1], _squares_gradient(model, x, options), strict=True)])


def _squares_gradient(model, x, options):
    return REFERENCE.esm(model, x, np.zeros(np.shape(x)), **options)[1]


@mistake("ism", wrong="slopes taken as constants in the gradient of tr Ds", right="phi'' too", seen="create_graph=False")
def ism_gradient_slopes_constant(model, x, **options):
    right = REFERENCE.ism(model, x, **options)
    if not (options.get("grad") and isinstance(model, MLP)):
        return right
    c, t = _factors(x, options)
    rows, basis = _layers.rows(model, x, t), _layers.basis(x)
    rows.curvatures = [0 * np.asarray(z) for z in rows.curvatures]
    rows.jvp(basis)
    return _gradient_of(right, rows.backward(c * rows.output, c * basis))
