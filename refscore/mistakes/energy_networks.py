"""Wrong derivatives of energy networks, s = -grad E. Other models are left as they are."""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.networks import EnergyMLP
from refscore.networks.second_order import EnergyRows, polarised


def _rows(model: EnergyMLP, x, t: tuple) -> EnergyRows:
    return model._rows(*model.checked(x, *t), order=2)


def _along_axes(model: EnergyMLP, x, t: tuple) -> tuple[EnergyRows, tuple[list, list]]:
    rows = _rows(model, x, t)
    return rows, rows.tangents(np.eye(x.shape[1])[:, None])


@mistake("energy", wrong="f with p = exp(f)/Z", right="E with p = exp(-E)/Z", seen="[e] writes exp(f); code, exp(-E)")
def energy_negated(model, x, *t):
    return -model.energy(x, *t)


@mistake("forward", wrong="s = grad E", right="s = -grad E", seen="the gradient that autograd returns, used as it is")
def energy_score_positive(model, x, *t):
    return -model(x, *t) if isinstance(model, EnergyMLP) else model(x, *t)


@mistake("forward", wrong="W_L' ... W_1' without phi'", right="adjoints times slopes", seen="slope left out of the chain rule")
def energy_score_without_slope(model, x, *t):
    if not isinstance(model, EnergyMLP):
        return model(x, *t)
    product = model.network.weights[-1]
    for W in reversed(model.network.weights[:-1]):
        product = W @ product
    return np.tile(-product[: x.shape[1], 0], (len(x), 1))


@mistake("jacobian", wrong="Hess E", right="Ds = -Hess E", seen="sign kept for the score and lost for its derivative")
def energy_jacobian_positive(model, x, *t):
    return -model.jacobian(x, *t) if isinstance(model, EnergyMLP) else model.jacobian(x, *t)


@mistake(
    "jacobian", wrong="J' diag(W_L phi'') J of the last hidden layer", right="all layers' curvatures",
    seen="Gauss-Newton approximation taken for the Hessian; right with one hidden layer"
)
def energy_jacobian_gauss_newton(model, x, *t):
    if not isinstance(model, EnergyMLP) or len(model.network.weights) < 3:
        return model.jacobian(x, *t)
    rows, (p, _) = _along_axes(model, x, t)
    return -np.einsum("nj,inj,knj->nik", rows.adjoints[-1] * rows.curvatures[-1], p[-1], p[-1])


@mistake("jvp", wrong="s(v), the tangent without curvature", right="-(Hess E) v", seen="grad of grad with a detached graph")
def energy_jvp_forward_only(model, x, v, *t):
    return model(v, *t) if isinstance(model, EnergyMLP) else model.jvp(x, v, *t)


@mistake(
    "divergence", wrong="curvature of the last hidden layer alone", right="of all layers",
    seen="closed form for one hidden layer applied to deeper networks"
)
def energy_divergence_last_layer(model, x, *t):
    return np.trace(energy_jacobian_gauss_newton(model, x, *t), axis1=1, axis2=2)


@mistake("divergence", wrong="sum W_2j phi'' ||V_1j||", right="sum W_2j phi'' ||V_1j||^2", seen="norms where squares belong")
def energy_divergence_norms_not_squared(model, x, *t):
    if not isinstance(model, EnergyMLP) or len(model.network.weights) != 2:
        return model.divergence(x, *t)
    rows = _rows(model, x, t)
    return -(rows.adjoints[0] * rows.curvatures[0]) @ np.linalg.norm(model.network.weights[0][: x.shape[1]], axis=0)


@mistake("divergence", wrong="the Laplacian of E", right="tr Ds = minus the Laplacian", seen="sign of s forgotten in its trace")
def energy_divergence_positive(model, x, *t):
    return -model.divergence(x, *t) if isinstance(model, EnergyMLP) else model.divergence(x, *t)


# --- derivatives in the parameters ---


@mistake("energy_gradient", wrong="mean over rows", right="sum over rows", seen="averaged twice, here and in the loss")
def energy_gradient_averaged(energy, x, c, *t):
    return [array / len(x) for array in energy.parameter_gradient(x, c, *t)]


@mistake("energy_gradient", wrong="gradient of -sum c E", right="of sum c E", seen="phases of contrastive divergence exchanged")
def energy_gradient_ascending(energy, x, c, *t):
    return [-array for array in energy.parameter_gradient(x, c, *t)]


@mistake("parameter_gradient", wrong="gradient of u.grad E", right="of u.s = -u.grad E", seen="sign lost on the way back")
def energy_score_gradient_positive(model, x, u, *t):
    gradient = model.gradient(x, u, *t)
    return [-array for array in gradient] if isinstance(model, EnergyMLP) else gradient


@mistake("parameter_gradient", wrong="slopes taken as constants", right="phi'' too", seen="create_graph=False in grad E")
def energy_score_gradient_slopes_constant(model, x, u, *t):
    if not isinstance(model, EnergyMLP):
        return model.gradient(x, u, *t)
    rows = _rows(model, x, t)
    rows.curvatures = [0 * curvature for curvature in rows.curvatures]
    return rows.backward(np.asarray(u))


@mistake("jvp_gradient", wrong="curvatures taken as constants", right="phi''' too", seen="second backward without its graph")
def energy_jvp_gradient_without_third_derivative(model, x, v, u, w, *t):
    if not isinstance(model, EnergyMLP):
        return model.jvp_gradient(x, v, u, w, *t)
    rows = _rows(model, x, t)
    rows.thirds = [0 * third for third in rows.thirds]
    directions, c = polarised(v[None], w[None])
    return rows.backward(u, c, rows.tangents(directions))


@mistake("divergence_gradient", wrong="curvatures taken as constants", right="phi''' too", seen="third-order graph not kept")
def energy_divergence_gradient_without_third_derivative(model, x, c, *t):
    if not isinstance(model, EnergyMLP):
        return model.divergence_gradient(x, c, *t)
    rows, tangents = _along_axes(model, x, t)
    rows.thirds = [0 * third for third in rows.thirds]
    return rows.backward(np.zeros_like(x), c[None], tangents)


@mistake(
    "divergence_gradient", wrong="W* = a' z* + a_r' r*", right="and a_p' p*: the norms ||V_1j||^2 depend on W_1",
    seen="tangents e_k W_1 computed outside the graph"
)
def energy_divergence_gradient_without_tangents(model, x, c, *t):
    if not isinstance(model, EnergyMLP):
        return model.divergence_gradient(x, c, *t)
    rows, (p, a_p) = _along_axes(model, x, t)
    return rows.backward(np.zeros_like(x), c[None], (p, [0 * a for a in a_p]))
