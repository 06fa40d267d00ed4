"""Wrong derivatives along a direction: complex steps, finite differences, the step that they need."""

from __future__ import annotations

import numpy as np

from refscore import networks
from refscore.mistakes._registry import mistake


@mistake("complex_step", wrong="Re v's(x + ihv)/h", right="Im v's(x + ihv)/h", seen="real part kept by a cast to float")
def complex_step_real_part(model, x, v, t=None):
    return (v * model(x, t)).sum(axis=1) / 1e-200


@mistake("complex_step", wrong="x - ihv", right="x + ihv", seen="conjugate transpose for transpose")
def complex_step_backwards(model, x, v, t=None):
    return -networks.complex_step(model, x, v, t)


@mistake("complex_step", wrong="h = 1e-3", right="h so small that h^2 vanishes", seen="the h of a finite difference kept")
def complex_step_too_long(model, x, v, t=None):
    return networks.complex_step(model, x, v, t, h=1e-3)


@mistake("complex_step", wrong="sum of (Ds)v", right="v'(Ds)v", seen="all outputs added up")
def complex_step_without_direction(model, x, v, t=None):
    return model.jvp(x, v, t).sum(axis=1)


@mistake("directional_difference", wrong="(g(h) - g(0))/h", right="(g(h) - g(-h))/(2h)", seen="called central all the same")
def difference_one_sided_for_central(model, x, v, h, t=None, scheme="central"):
    return networks.directional_difference(model, x, v, h, t, scheme="forward")


@mistake("directional_difference", wrong="(g(h) - g(-h))/h", right="(g(h) - g(-h))/(2h)", seen="common")
def difference_without_the_two(model, x, v, h, t=None, scheme="central"):
    return networks.directional_difference(model, x, v, h, t, scheme=scheme) * (2 if scheme == "central" else 1)


@mistake("directional_difference", wrong="x + h", right="x + hv", seen="scalar step broadcast over coordinates")
def difference_along_ones(model, x, v, h, t=None, scheme="central"):
    step = np.broadcast_to(h, len(x))[:, None] * np.ones_like(v)
    above, below = model(x + step, t), model(x - step if scheme == "central" else x, t)
    return (v * (above - below)).sum(axis=1) / h / (2 if scheme == "central" else 1)


@mistake("directional_difference", wrong="sum of (s(x + hv) - s(x - hv))/(2h)", right="v' of it", seen="all outputs added up")
def difference_sums_components(model, x, v, h, t=None, scheme="central"):
    step = np.broadcast_to(h, len(x))[:, None] * v
    above, below = model(x + step, t), model(x - step if scheme == "central" else x, t)
    return (above - below).sum(axis=1) / h / (2 if scheme == "central" else 1)


def _line(model, x, v, t, **changed):
    """Derivatives along a line with some of Faa di Bruno's terms scaled: of z'^2 in a'', of z' z'' and z'^3 in a'''."""
    terms = {"square": 1.0, "mixed": 3.0, "cube": 1.0} | changed
    phi, a0 = model.activation, model.inputs(*model.checked(x, *t))
    W = model.weights[0]
    z = [a0 @ W + model.biases[0], v @ W[: x.shape[1]], np.zeros((1, W.shape[1])), np.zeros((1, W.shape[1]))]
    for W, b in zip(model.weights[1:], model.biases[1:], strict=True):
        slope, curvature, third = phi.slope(z[0]), phi.curvature(z[0]), phi.third(z[0])
        second = slope * z[2] + terms["square"] * curvature * z[1] ** 2
        last = slope * z[3] + terms["mixed"] * curvature * z[1] * z[2] + terms["cube"] * third * z[1] ** 3
        z = [k @ W for k in (phi(z[0]), slope * z[1], second, last)]
        z[0] = z[0] + b
    return np.stack([(v * k).sum(axis=1) for k in z])


@mistake("line_derivatives", wrong="a'' = phi' z''", right="phi' z'' + phi'' z'^2", seen="second derivative of a composition")
def line_second_without_curvature(model, x, v, *t):
    return _line(model, x, v, t, square=0.0)


@mistake("line_derivatives", wrong="phi'' z' z'' once", right="three times", seen="product rule applied twice, terms not collected")
def line_third_mixed_term_once(model, x, v, *t):
    return _line(model, x, v, t, mixed=1.0)


@mistake("line_derivatives", wrong="g'''/6", right="g'''", seen="Taylor coefficients taken for derivatives")
def line_third_as_taylor_coefficient(model, x, v, *t):
    return networks.line_derivatives(model, x, v, *t) / np.array([1, 1, 2, 6])[:, None]


@mistake("best_step", wrong="h = 2 sqrt(e/|g''|) whatever the scheme", right="(3 e/|g'''|)^(1/3)", seen="sqrt(eps), from textbooks")
def best_step_square_root_for_central(model, x, v, t=None, scheme="central"):
    return networks.best_step(model, x, v, t, scheme="forward")


@mistake("best_step", wrong="(e/|g'''|)^(1/3)", right="(3 e/|g'''|)^(1/3)", seen="orders balanced, not constants")
def best_step_without_three(model, x, v, t=None, scheme="central"):
    h, error = networks.best_step(model, x, v, t, scheme=scheme)
    return h / (np.cbrt(3) if scheme == "central" else 2), error


@mistake("best_step", wrong="eps^(1/3) for every point", right="it depends on e and g'''", seen="a constant in the code")
def best_step_one_for_all(model, x, v, t=None, scheme="central"):
    h, error = networks.best_step(model, x, v, t, scheme=scheme)
    return np.full_like(h, np.finfo(float).eps ** (1 / 3 if scheme == "central" else 1 / 2)), error
