"""Score matching along random directions: the trace is replaced by one directional derivative.

For directions v independent of x with E vv' = I (`refscore.networks.probes`):

    PSM     1/2 E (v's - v's_p)^2                               = J_ESM(s)            projected; needs the true score
    SSM     E [1/2 (v's)^2 + v'(Ds)v]                           = PSM - 1/2 E (v's_p)^2
    SSM-VR  E [1/2 ||s||^2 + v'(Ds)v]                           = J_ISM(s)            E (v's)^2 = ||s||^2, taken exactly

by integration by parts along v (Song et al. 2019, thm. 1), which needs p s to vanish at the boundary. All three have the minimiser
s_p; for E vv' = I they are ESM and ISM in expectation, for other laws of v the norms are those of E vv'. Several directions a
point, v of shape (m, n, d), are averaged.

v'(Ds)v is the derivative of v's along v, one tangent of forward mode, so the cost does not grow with d; the gradient pulls v
back through that tangent. SSM-VR is not always the better of the two: see `sliced_variance`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refscore import _validate
from refscore.networks.hutchinson import hutchinson_variance
from refscore.objectives._conventions import Convention, evaluate, squared_norms, times_rows
from refscore.objectives._models import as_model, matching


def psm(
    model: Callable,
    x: np.ndarray,
    v: np.ndarray,
    true_score: np.ndarray,
    *,
    t: float | np.ndarray | None = None,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """Projected score matching, E 1/2 (v's(x) - v'true_score)^2 over the rows and their directions.

    Parameters
    ----------
    model : callable s(x), or s(x, t) when ``t`` is given.
    x : (n, d) array of points.
    v : (n, d), one direction a row, or (m, n, d), m directions a row.
    true_score : (n, d) array, grad log p at x.
    t : scalar or (n,), optional: handed to the model.
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives`.
    grad : with True also the gradient in the parameters (for AnalyticScore an empty list).

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for shapes that differ, values that are not finite, unknown conventions.
    Source: [d, "Sliced score matching"], [e, "Sliced Fisher divergence"]; Song et al. 2019, eq. 5.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    model, x, time, v = _arguments(model, x, v, t, grad)
    true_score = matching(model, true_score, x.shape, "true_score", "x")
    return evaluate(_projected, model, convention, x.shape[1], x, time, v, true_score)


def ssm(
    model: Callable,
    x: np.ndarray,
    v: np.ndarray,
    *,
    t: float | np.ndarray | None = None,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """Sliced score matching, E [1/2 (v's(x))^2 + v'(Ds(x))v] over the rows and their directions.

    Parameters
    ----------
    model : an MLP, or a callable s(x) with ``jvp(x, v)`` such as AnalyticScore; (x, t) and (x, v, t) when ``t`` is given.
    x, v, t, half, over_dims, over_batch, sample_weight, grad : as in `psm`.

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for shapes that differ, values that are not finite, unknown conventions.
    Source: [d, "Sliced score matching"], [e, "Sliced score matching"]; Song et al. 2019, eq. 8.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    return _sliced(False, model, convention, x, v, t)


def ssm_vr(
    model: Callable,
    x: np.ndarray,
    v: np.ndarray,
    *,
    t: float | np.ndarray | None = None,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """Sliced score matching with the square taken exactly, E [1/2 ||s(x)||^2 + v'(Ds(x))v]: ISM with Hutchinson's trace.

    Parameters, returns and errors as in `ssm`. Needs E vv' = I. Source: [e, "Sliced score matching"]; Song et al. 2019, eq. 9.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    return _sliced(True, model, convention, x, v, t)


def _arguments(model, x, v, t, grad):
    """The model behind the objectives' interface; x, the time column, and v as (n, m, d), each in the model's dtype."""
    n, d = _validate.batch(x, dtype=None).shape
    model = as_model(model, d, grad)
    x, time = model.checked(x, t)
    given = np.shape(v)
    if len(given) not in (2, 3) or given[-2:] != (n, d) or 0 in given[:-2]:
        raise ValueError(
            f"v has shape {given}, x has {(n, d)}: pass directions of shape ({n}, {d}), or (m, {n}, {d}) for m a row, "
            f"as in probes('rademacher', {n}, {d}, rng)"
        )
    v = matching(model, v, given, "v", "x")
    return model, x, time, (v if v.ndim == 3 else v[None]).swapaxes(0, 1)


def _sliced(exact_square, model, convention, x, v, t):
    model, x, time, v = _arguments(model, x, v, t, convention.grad)
    return evaluate(partial(_rows, exact_square), model, convention, x.shape[1], x, time, v, tangents=v.shape[1])


def _projected(model, grad, weight, x, time, v, true_score):
    s, pullback = model.value_pullback(x, time, grad)
    along = np.einsum("nmd,nd->nm", v, s - true_score)
    loss = weight * squared_norms(along) / (2 * v.shape[1])
    return loss, pullback(times_rows(weight / v.shape[1], np.einsum("nm,nmd->nd", along, v))) if grad else []


def _rows(exact_square, model, grad, weight, x, time, v):
    v, m = v.swapaxes(0, 1), v.shape[1]
    s, tangents, pullback = model.jvp_pullback(x, time, v, grad)
    along = np.einsum("mnd,nd->nm", v, s)
    square = squared_norms(s) if exact_square else squared_norms(along) / m
    loss = weight * (square / 2 + np.einsum("mnd,mnd->n", v, tangents) / m)
    if not grad:
        return loss, []
    u = s if exact_square else np.einsum("nm,mnd->nd", along, v) / m
    return loss, pullback(times_rows(weight, u), times_rows(weight / m, v))


def sliced_variance(model, x: np.ndarray, law: str, *, variance_reduced: bool = False, directions: int = 1, t=None) -> np.ndarray:
    """Variance over v of each row's loss, (n,): SSM, or SSM-VR with ``variance_reduced``, for ``directions`` independent v.

    Given x both losses are quadratic forms in v plus a constant,

        SSM     v'(Ds + 1/2 s s')v            SSM-VR     v'(Ds)v + 1/2 ||s||^2

    so `hutchinson_variance` gives their variances. Where 1/2 s s' cancels part of Ds, SSM has the smaller one, the name
    "variance reduced" notwithstanding: for N(0, I) and its score, Gaussian v, the averages over x are d^2/2 + d and 2 d, so that
    SSM-VR loses in d = 1, ties in d = 2, and wins from d = 3 on.

    Parameters
    ----------
    model : with ``jacobian(x)``, such as an MLP or AnalyticScore; (x, t) when ``t`` is given.
    x : (n, d) array.
    law : 'gaussian', 'rademacher' or 'sphere', the law of v.

    Raises TypeError for a model without ``jacobian``, ValueError for another law. Source: [e, "Sliced score matching"]; Song et al.
    2019, sec. 3.
    """
    if not hasattr(model, "jacobian"):
        raise TypeError(f"model is a {type(model).__name__}, without jacobian(x): pass an MLP or AnalyticScore(density)")
    x = _validate.batch(x)
    time = () if t is None else (t,)
    form = np.array(model.jacobian(x, *time), dtype=np.float64)
    if not variance_reduced:
        s = np.asarray(model(x, *time), dtype=np.float64)
        form += s[:, :, None] * s[:, None, :] / 2
    return hutchinson_variance(form, law) / _validate.count(directions, "directions")
