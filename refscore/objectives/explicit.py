"""Explicit score matching: the Fisher divergence between a model and a known score.

    J_ESM(s) = E_p 1/2 ||s(x) - grad log p(x)||^2

It needs the true score, so it is what the other objectives are measured against: implicit and denoising score matching
equal it up to a constant that does not depend on s. It weights errors by p, so it sees nothing where p has no mass.
Its gradient is the pullback of the residual: theta* = E (ds/dtheta)'(s - grad log p).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives._conventions import Convention, evaluate, squared_norms, times_rows
from refscore.objectives._models import as_model, matching


def esm(
    model: Callable,
    x: np.ndarray,
    true_score: np.ndarray,
    *,
    t: float | np.ndarray | None = None,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """E 1/2 ||s(x) - true_score||^2 over the rows of x.

    Parameters
    ----------
    model : callable s(x), or s(x, t) when ``t`` is given: an MLP, an AnalyticScore, any function.
    x, true_score : (n, d) arrays, points and grad log p there.
    t : scalar or (n,), optional: handed to the model.
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives`.
    grad : with True also the gradient in the parameters (for AnalyticScore an empty list).

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for shapes that differ, values that are not finite, unknown conventions.
    Source: [a, sec. 1], [b, sec. 1], [c, "Fisher divergence"]; Hyvarinen 2005, eq. 2.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    n, d = _validate.batch(x, dtype=None).shape
    network = as_model(model, d, grad)
    x, time = network.checked(x, t)
    true_score = matching(network, true_score, (n, d), "true_score", "x")
    return evaluate(_rows, network, convention, d, x, time, true_score)


def _rows(model, grad, weight, x, time, true_score):
    s, pullback = model.value_pullback(x, time, grad)
    residual = s - true_score
    loss = weight * squared_norms(residual) / 2
    return loss, pullback(times_rows(weight, residual)) if grad else []
