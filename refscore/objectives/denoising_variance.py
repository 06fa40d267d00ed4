r"""How noisy the denoising loss and its gradient are: the variance over one draw of (x_0, z), for a fixed model.

With r = s(x~) + z/sigma the loss of a draw is 1/2 ||r||^2 and its gradient J'r, J = ds/dtheta. As sigma -> 0 the noise term takes
over, whatever the model; for data with a density and alpha = 1, expanding s(x_0 + sigma z) in sigma,

    Var 1/2 ||r||^2  =  d/(2 sigma^4) + 2 J_ISM(s)/sigma^2 + O(1),        J_ISM = E[1/2 ||s||^2 + tr Ds] over the data,
    tr Cov J'r       =  E tr JJ'/sigma^2 + O(1),

so a batch that is to know the loss to a given accuracy must grow like sigma^-4 ([e]: "the loss variance would also increase
drastically as sigma -> 0"). The weight lambda = sigma^2 multiplies both by sigma^4: the loss then has variance d/2 + O(sigma^2),
of which the model knows nothing, and the gradient sigma^2 E tr JJ' + O(sigma^4).

**Computed** by nodes of (x_0, z) that are exact for polynomials of degree 4 in the noise at given x~
(`GaussianMixture.joint_nodes`), as ||r||^4 is; the squares of the rows' gradients are summed by a backward pass of their own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore import _quadrature, _validate
from refscore.objectives._conventions import Convention
from refscore.objectives.denoising import PREDICTS, WEIGHTS, denoising

_COARSEST = 0.7


def dsm_variance(
    model: Any,
    density: Any,
    alpha: float,
    sigma: float,
    *,
    weight: str = "one",
    predicts: str = "score",
    t: float | None = None,
    half: bool = True,
    over_dims: str = "sum",
    grad: bool = False,
    tolerance: float = 3e-11,
    max_nodes: int = 2_000_000,
) -> Any:
    """Variance of one draw's denoising loss, and of its parameter gradient; a batch of n has 1/n of it.

    Parameters
    ----------
    model : callable m(x), or m(x, t) when ``t`` is given; an MLP for the gradient.
    density : GaussianMixture (Gaussian) or PointSet, the law of the data.
    alpha, sigma : floats, signal scale and standard deviation of the noise, both positive.
    weight, predicts, half, over_dims : conventions of the loss, as in `dsm`.
    grad : with True also the variance of every parameter's gradient.
    tolerance, max_nodes : lattices over x~ are refined until the error is below ``tolerance`` (1 + value), or the next one
        has more than ``max_nodes`` nodes (x_0, z).

    Returns
    -------
    value, error : floats
        The variance and an estimate of its error, from the change between lattices (`_quadrature.refined`).
    [v_W1, v_b1, ...], error : list of arrays like the parameters, and a bound for each of their entries; with ``grad`` the result
        is ((value, error), (arrays, error)). Their sum is the trace of the gradient's covariance.

    Raises
    ------
    TypeError, ValueError
        For laws without nodes; networks without sums of squared gradients; unknown conventions; where ``max_nodes`` is too small.

    Source: [e, "the loss variance would also increase drastically"]; systems B11.
    """
    Convention(half, over_dims, grad=grad)
    _validate.choice(weight, "weight", WEIGHTS)
    _validate.choice(predicts, "predicts", PREDICTS)
    alpha, sigma = _validate.positive(alpha, "alpha"), _validate.positive(sigma, "sigma")
    if not hasattr(density, "joint_nodes"):
        raise TypeError(f"density is {type(density).__name__}: pass a Gaussian, a GaussianMixture or a PointSet")
    if grad and not hasattr(model, "value_squares"):
        raise TypeError(f"grad is True, but {type(model).__name__} does not sum squares of gradients: pass an MLP, or grad=False")

    def sums(spacing):
        x0, noise, w = density.joint_nodes(alpha, sigma, spacing, degree=4)
        levels = np.full(len(x0), alpha), np.full(len(x0), sigma)

        def loss(model, **options):
            return denoising(model, Convention(half, over_dims, **options), x0, noise, t, *levels, weight, predicts)

        rows = loss(model, over_batch="none")
        out = {"loss": w @ (rows - w @ rows) ** 2}
        if grad:
            first = loss(model, sample_weight=w, grad=True)[1]
            second = loss(_Squares(model), sample_weight=np.sqrt(w), grad=True)[1]
            out |= {f"gradient {i}": b - a * a for i, (a, b) in enumerate(zip(first, second, strict=True))}
        return out

    value, bound = _quadrature.refined(sums, _COARSEST, finest=_finest(density, max_nodes), enough=tolerance)
    found = float(value.pop("loss")), float(bound.pop("loss"))
    return (found, (list(value.values()), float(max(bound.values())))) if grad else found


class _Squares:
    """A network whose pullback sums the squares of the rows' gradients, so that weights sqrt(w) come out as w."""

    def __init__(self, model):
        self.value_pullback = lambda x, time, grad: model.value_squares(x, time)
        self.model = model

    def __call__(self, *arguments):
        return self.model(*arguments)

    def __getattr__(self, name):
        return getattr(self.model, name)


def _finest(density, max_nodes: int) -> float:
    """The spacing at which `joint_nodes` of degree 4 has ``max_nodes`` nodes; three lattices must fit."""
    d = density.dim
    unit = len(density.spectrum) * (3**d if density.spectrum.any() else 1) * _quadrature.lattice_size(d, 1.0)
    finest = (unit / _validate.count(max_nodes, "max_nodes")) ** (1 / d)
    if finest > _COARSEST / 2:
        raise ValueError(f"max_nodes is {max_nodes}: {len(density.spectrum)} components in dimension {d} need about "
                         f"{unit * (2 / _COARSEST) ** d:.0e} nodes; pass more, or take the variance over sample(n, rng) and noise")
    return math.nextafter(finest, 0)
