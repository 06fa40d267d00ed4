"""Wrong objectives of energy networks, s = -grad E. Other models are left as they are."""

from __future__ import annotations

import numpy as np

from refscore import objectives
from refscore.mistakes._registry import mistake
from refscore.networks import EnergyMLP


def _ascending(objective):
    """The objective with grad E where s = -grad E belongs: that of the energy -E, whose last layer has the other sign."""

    def wrong(model, *arguments, **options):
        if not isinstance(model, EnergyMLP):
            return objective(model, *arguments, **options)
        *before, W, b = model.parameters
        result = objective(model.with_parameters([*before, -W, -b]), *arguments, **options)
        if not isinstance(result, tuple):
            return result
        value, (*gradient, dW, db) = result
        return value, [*gradient, -dW, -db]

    return wrong


for name, wrong, right, seen in (
    ("esm", "1/2 E||grad E - s_p||^2", "1/2 E||grad E + s_p||^2", "the gradient that autograd returns, used as it is"),
    ("ism", "1/2||grad E||^2 + Laplacian E", "1/2||grad E||^2 - Laplacian E", "[e] has + for f with p = exp(f)/Z, and E = -f"),
    ("psm", "1/2 E(v'grad E - v's_p)^2", "1/2 E(v'grad E + v's_p)^2", "the gradient that autograd returns, used as it is"),
    ("ssm", "+ v'(Hess E)v", "- v'(Hess E)v", "[e] has + for f with p = exp(f)/Z, and E = -f"),
    ("ssm_vr", "+ v'(Hess E)v", "- v'(Hess E)v", "[e] has + for f with p = exp(f)/Z, and E = -f"),
    ("dsm", "||grad E + z/sigma||^2", "||grad E - z/sigma||^2", "torchebm#318"),
    ("ncsn", "||grad E + z/sigma||^2", "||grad E - z/sigma||^2", "torchebm#318, at every level"),
):
    mistake(name, wrong=wrong, right=right, seen=seen, name=f"{name}_of_ascending_energy")(_ascending(getattr(objectives, name)))


@mistake("dsm", wrong="no gradient", right="gradient through grad E", seen="grad E without create_graph: its graph is gone")
def dsm_gradient_of_detached_energy(model, x0, sigma, noise, **options):
    result = objectives.dsm(model, x0, sigma, noise, **options)
    if not (isinstance(result, tuple) and isinstance(model, EnergyMLP)):
        return result
    return result[0], [np.zeros_like(a) for a in result[1]]
