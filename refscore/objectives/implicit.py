"""Implicit score matching: the Fisher divergence without the true score.

    J_ISM(s) = E_p [1/2 ||s(x)||^2 + tr Ds(x)] = J_ESM(s) - 1/2 E_p ||grad log p||^2

by integration by parts, E_p s.grad log p = -E_p tr Ds, which needs p s to vanish at the boundary of p's support
(Hyvarinen 2005, thm. 1; where it does not, `boundary_flux` is the difference). The constant is minus half the Fisher
information. With ``half=False`` the loss is ||s||^2 + 2 tr Ds, as in [a] and [b]: the trace's factor goes with the square's.
The gradient is second order: the pullback of s through the network plus the gradient of its trace. Kinks are not seen: with
ReLU the gradient misses what they contribute, and for the score of a ReLU energy, which jumps, the value is wrong too
(identities D1.relu, D3.relu).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives._conventions import Convention, evaluate, squared_norms, times_rows
from refscore.objectives._models import as_model


def ism(
    model: Callable,
    x: np.ndarray,
    *,
    t: float | np.ndarray | None = None,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """E [1/2 ||s(x)||^2 + tr Ds(x)] over the rows of x, with the exact trace.

    Parameters
    ----------
    model : an MLP, or a callable s(x) with ``divergence(x)`` such as AnalyticScore; (x, t) when ``t`` is given.
    x : (n, d) array of points.
    t : scalar or (n,), optional: handed to the model.
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives`.
    grad : with True also the gradient in the parameters (for AnalyticScore an empty list).

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for shapes that differ, values that are not finite, unknown conventions.
    Source: [a, sec. 2], [b, sec. 1], [c, "Theorem (implicit score matching)"]; Hyvarinen 2005, thm. 1.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    _, d = _validate.batch(x, dtype=None).shape
    network = as_model(model, d, grad)
    x, time = network.checked(x, t)
    return evaluate(_rows, network, convention, d, x, time, tangents=network.prepare_trace())


def _rows(model, grad, weight, x, time):
    s, trace, pullback = model.divergence_pullback(x, time, grad)
    loss = weight * (squared_norms(s) / 2 + trace)
    return loss, pullback(times_rows(weight, s), weight.astype(s.dtype, copy=False)) if grad else []
