"""Denoising score matching: regression on the score of the noise kernel.

With x~ = alpha x_0 + sigma z, z ~ N(0, I), the kernel's score in the NOISY variable is
grad log q(x~|x_0) = -(x~ - alpha x_0)/sigma^2 = -z/sigma, and

    J_DSM(s) = E lambda 1/2 ||s(x~) + z/sigma||^2 = E lambda [J_ESM on the law of x~] + C

(Vincent 2011), C not depending on s. One noise level has alpha = 1; a process has alpha(t), sigma(t) and a
model s(x, t). Weights lambda: 'one' is the score error itself; 'sigma2' (lambda = sigma^2) the noise error
1/2 ||sigma s + z||^2; or a function lambda(t). Time itself carries no weight: for an integral over [0, T] draw t
uniformly and multiply by T.

Computed as r = g s + h z with g = sqrt lambda and h = g/sigma, so that lambda = sigma^2 (g = sigma, h = 1) meets no
large number however small sigma is. The loss is 1/2 ||r||^2, its gradient the pullback of g r.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives._conventions import Convention, evaluate, squared_norms, times_rows
from refscore.objectives._models import as_model, matching

WEIGHTS = ("one", "sigma2")


def dsm(
    model: Callable,
    x0: np.ndarray,
    sigma: float | np.ndarray,
    noise: np.ndarray,
    *,
    weight: str = "one",
    t: float | np.ndarray | None = None,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """E 1/2 ||s(x0 + sigma noise) + noise/sigma||^2 over the rows, one noise level (or one a row).

    Parameters
    ----------
    model : callable s(x), or s(x, t) when ``t`` is given.
    x0, noise : (n, d) arrays, clean points and the standard normal z.
    sigma : scalar or (n,), standard deviation of the noise, positive.
    weight : 'one', or 'sigma2' for E 1/2 ||sigma s + noise||^2.
    t : scalar or (n,), optional: handed to a model conditioned on the noise level.
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives._conventions`.
    grad : with True also the gradient in the parameters (for AnalyticScore an empty list).

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for sigma <= 0, shapes that differ, values that are not finite, unknown conventions.
    Source: [c, "Theorem (denoising score matching)"], [d, "Denoising score matching"]; Vincent 2011.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    n, _ = _validate.batch(x0, name="x0", dtype=None).shape
    sigma = _levels(sigma, n, "sigma")
    _validate.choice(weight, "weight", WEIGHTS)
    g = np.ones(n) if weight == "one" else sigma
    return _denoising(model, convention, x0, noise, t, np.ones(n), sigma, g)


def dsm_process(
    model: Callable,
    process: Any,
    x0: np.ndarray,
    t: float | np.ndarray,
    noise: np.ndarray,
    weight: str | Callable = "one",
    *,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """E lambda(t) 1/2 ||s(x_t, t) + noise/sigma_t||^2 with x_t = alpha_t x0 + sigma_t noise.

    Parameters
    ----------
    model : callable s(x, t); t reaches it as it is given here.
    process : any object with ``alpha(t)`` and ``sigma(t)``.
    x0, noise : (n, d) arrays, clean points and the standard normal z.
    t : scalar or (n,), with sigma(t) > 0.
    weight : 'one', 'sigma2' (the noise-prediction error), or a callable lambda(t) >= 0 giving (n,).
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives._conventions`.
    grad : with True also the gradient in the parameters (for AnalyticScore an empty list).

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for sigma(t) = 0 (the kernel has no score), shapes that differ, values that are not
    finite, unknown conventions. Source: [a, sec. 3 and "Proof of Denoising Score Matching"]; Song et al. 2021, eq. 7.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    n, _ = _validate.batch(x0, name="x0", dtype=None).shape
    for name in ("alpha", "sigma"):
        if not callable(getattr(process, name, None)):
            raise TypeError(f"process is {process!r}, without {name}(t): pass one of refscore.processes, such as VP()")
    times = _validate.times(t, n)
    alpha = _levels(process.alpha(times), n, "process.alpha(t)", zero=True)
    sigma = _levels(process.sigma(times), n, "process.sigma(t)")
    if callable(weight):
        g = np.sqrt(_levels(weight(times), n, "weight(t)", zero=True))
    else:
        _validate.choice(weight, "weight", (*WEIGHTS, "a callable lambda(t)"))
        g = np.ones(n) if weight == "one" else sigma
    return _denoising(model, convention, x0, noise, t, alpha, sigma, g)


def _denoising(model, convention, x0, noise, t, alpha, sigma, g):
    n, d = np.shape(x0)
    model = as_model(model, d, convention.grad)
    x0, time = model.checked(x0, t, "x0")
    noise = matching(model, noise, (n, d), "noise", "x0")
    scales = np.stack([alpha, sigma, g, g / sigma], axis=1)
    scales = _validate.finite(scales.astype(model.dtype), "[alpha, sigma, sqrt(weight), sqrt(weight)/sigma]")
    return evaluate(_rows, model, convention, d, x0, time, noise, scales)


def _rows(model, grad, weight, x0, time, noise, scales):
    alpha, sigma, g, h = (scales[:, j, None] for j in range(4))
    s, pullback = model.value_pullback(alpha * x0 + sigma * noise, time, grad)
    r = g * s + h * noise  # sqrt(lambda) (s - target), target = -noise/sigma
    loss = weight * squared_norms(r) / 2
    return loss, pullback(times_rows(weight, g * r)) if grad else []


def _levels(values, n: int, name: str, *, zero: bool = False) -> np.ndarray:
    """Positive (``zero``: non-negative) finite numbers, scalar or (n,), as (n,)."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {array.dtype}: pass real numbers, a scalar or shape ({n},)")
    if array.ndim > 1 or (array.ndim == 1 and array.shape != (n,)):
        raise ValueError(f"{name} has shape {array.shape}: it must be a scalar or have one number a row, shape ({n},)")
    array = np.broadcast_to(_validate.finite(np.atleast_1d(array.astype(np.float64)), name), (n,))
    if n and array.min() < 0 or (not zero and n and array.min() == 0):
        wanted = "at least 0" if zero else "greater than 0 (no noise, no conditional score: raise t or sigma)"
        raise ValueError(f"{name} is {array.min()} at row {int(array.argmin())}: it must be {wanted}")
    return array
