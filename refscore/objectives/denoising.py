"""Denoising score matching: regression on the score of the noise kernel.

With x~ = alpha x_0 + sigma z, z ~ N(0, I), the kernel's score in the NOISY variable is
grad log q(x~|x_0) = -(x~ - alpha x_0)/sigma^2 = -z/sigma, and

    J_DSM(s) = E lambda 1/2 ||s(x~) + z/sigma||^2 = E lambda [J_ESM on the law of x~] + C

(Vincent 2011), C not depending on s. One noise level has alpha = 1; a process has alpha(t), sigma(t) and a
model s(x, t). Time itself carries no weight: for an integral over [0, T] see `refscore.objectives.dsm_integrated`.

**What the model predicts.** Its output m stands for the score, the noise z, the clean x_0, or v = alpha z - sigma x_0
(Salimans & Ho 2022). Each is affine in the others at given x~, so the error of the score is a multiple of the error of m:

    predicts    target y = a z + b x_0      k = |score error|/|m - y|
    score       -z/sigma                    1
    eps         z                           1/sigma
    x0          x_0                         alpha/sigma^2
    v           alpha z - sigma x_0         alpha/(sigma (alpha^2 + sigma^2))

**Weights** lambda multiply the squared score error whatever the model predicts: 'one' is the score error itself; 'sigma2'
(lambda = sigma^2) the noise error 1/2 ||sigma s + z||^2; 'prediction' (lambda = 1/k^2, `prediction_weight`) the plain error
1/2 ||m - y||^2; or a function lambda(t). The minimiser is the same for all of them; what differs is which times count.

Computed as r = c (m - y) with c = k sqrt lambda: for 'sigma2' and 'prediction' no large number is met however small
sigma is. The loss is 1/2 ||r||^2, its gradient the pullback of c r.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives._conventions import Convention, evaluate, squared_norms, times_rows
from refscore.objectives._models import as_model, matching

WEIGHTS = ("one", "sigma2", "prediction")
PREDICTS = ("score", "eps", "x0", "v")


def dsm(
    model: Callable,
    x0: np.ndarray,
    sigma: float | np.ndarray,
    noise: np.ndarray,
    *,
    weight: str = "one",
    predicts: str = "score",
    t: float | np.ndarray | None = None,
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """E lambda 1/2 ||s(x0 + sigma noise) + noise/sigma||^2 over the rows, one noise level (or one a row).

    Parameters
    ----------
    model : callable m(x), or m(x, t) when ``t`` is given.
    x0, noise : (n, d) arrays, clean points and the standard normal z.
    sigma : scalar or (n,), standard deviation of the noise, positive.
    weight : 'one', 'sigma2' for E 1/2 ||sigma s + noise||^2, or 'prediction' for the plain error of what the model predicts.
    predicts : 'score', 'eps', 'x0' or 'v': what the model's output stands for (module docstring, with alpha = 1).
    t : scalar or (n,), optional: handed to a model conditioned on the noise level.
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives`.
    grad : with True also the gradient in the parameters (for AnalyticScore an empty list).

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for sigma <= 0, shapes that differ, values that are not finite, unknown conventions.
    Source: [c, "Theorem (denoising score matching)"], [d, "Denoising score matching"]; Vincent 2011.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    n, _ = _validate.batch(x0, name="x0", dtype=None).shape
    sigma = levels(sigma, n, "sigma")
    _validate.choice(weight, "weight", WEIGHTS)
    return denoising(model, convention, x0, noise, t, np.ones(n), sigma, weight, predicts)


def dsm_process(
    model: Callable,
    process: Any,
    x0: np.ndarray,
    t: float | np.ndarray,
    noise: np.ndarray,
    weight: str | Callable = "one",
    *,
    predicts: str = "score",
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """E lambda(t) 1/2 ||s(x_t, t) + noise/sigma_t||^2 with x_t = alpha_t x0 + sigma_t noise.

    Parameters
    ----------
    model : callable m(x, t); t reaches it as it is given here.
    process : any object with ``alpha(t)`` and ``sigma(t)``.
    x0, noise : (n, d) arrays, clean points and the standard normal z.
    t : scalar or (n,), with sigma(t) > 0.
    weight : 'one', 'sigma2' (the noise error), 'prediction' (the plain error of what the model predicts), or a callable
        lambda(t) >= 0 giving (n,).
    predicts : 'score', 'eps', 'x0' or 'v': what the model's output stands for (module docstring).
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives`.
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
        if isinstance(process, type) or not callable(getattr(process, name, None)):
            raise TypeError(f"process is {process!r}, without {name}(t): pass one of refscore.processes, such as VP()")
    times = _validate.times(t, n)
    alpha = levels(process.alpha(times), n, "process.alpha(t)", zero=True)
    sigma = levels(process.sigma(times), n, "process.sigma(t)")
    if not callable(weight):
        _validate.choice(weight, "weight", (*WEIGHTS, "a callable lambda(t)"))
    lambdas = levels(weight(times), n, "weight(t)", zero=True) if callable(weight) else weight
    return denoising(model, convention, x0, noise, t, alpha, sigma, lambdas, predicts)


def prediction_weight(predicts: str, alpha: float | np.ndarray, sigma: float | np.ndarray) -> Any:
    """lambda with lambda ||score error||^2 = ||m - y||^2 for a model whose output m stands for y = ``predicts``.

    1 (score), sigma^2 (eps), sigma^4/alpha^2 (x0), sigma^2 (alpha^2 + sigma^2)^2/alpha^2 (v); of the shape of alpha and sigma.
    Infinite at alpha = 0 for x0 and v, which pure noise says nothing about.

    Raises ValueError or TypeError for alpha or sigma that is negative or not a finite number, both zero, shapes that do not
    broadcast, and where the weight exceeds float64. Source: [a, sec. 3], [c], [e]; Salimans & Ho 2022, sec. 4.
    """
    _validate.choice(predicts, "predicts", PREDICTS)
    try:
        shape = np.broadcast_shapes(np.shape(alpha), np.shape(sigma))
    except ValueError:
        shapes = f"alpha has shape {np.shape(alpha)} and sigma {np.shape(sigma)}"
        raise ValueError(f"{shapes}: pass scalars, or one of each a row") from None
    alpha, sigma = (
        np.broadcast_to(levels(np.ravel(a), np.size(a), name, zero=True).reshape(np.shape(a)), shape)
        for a, name in ((alpha, "alpha"), (sigma, "sigma"))
    )
    if ((alpha == 0) & (sigma == 0)).any():
        raise ValueError("alpha and sigma are both 0: there is neither data nor noise; pass a positive sigma")
    with np.errstate(divide="ignore", over="ignore"):
        weight = (1 / score_slope(predicts, alpha, sigma)) ** 2
    if (np.isinf(weight) & (alpha > 0)).any():
        raise ValueError(f"the weight of predicts={predicts!r} exceeds float64 at alpha down to {alpha.min()}, sigma up to "
                         f"{sigma.max()}: pass scales nearer to each other")
    return weight


def score_slope(predicts: str, alpha, sigma):
    """|score error| / |error of the prediction|, the k of the module docstring."""
    return {
        "score": np.ones_like(sigma),
        "eps": 1 / sigma,
        "x0": alpha / sigma / sigma,
        "v": alpha / np.hypot(alpha, sigma) / sigma / np.hypot(alpha, sigma),
    }[predicts]


def denoising(model, convention: Convention, x0, noise, t, alpha, sigma, weight, predicts: str) -> Any:
    """What all denoising losses are: (n,) scales alpha and sigma, a weight by name or lambda (n,), and t for the model."""
    _validate.choice(predicts, "predicts", PREDICTS)
    n, d = np.shape(x0)
    model = as_model(model, d, convention.grad)
    x0, time = model.checked(x0, t, "x0")
    noise = matching(model, noise, (n, d), "noise", "x0")
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if isinstance(weight, str) and weight == "prediction":
            c = np.ones(n)
        else:
            root = {"one": np.ones(n), "sigma2": sigma}[weight] if isinstance(weight, str) else np.sqrt(weight)
            c = root * score_slope(predicts, alpha, sigma)
        a, b = {"score": (-1 / sigma, 0.0), "eps": (1.0, 0.0), "x0": (0.0, 1.0), "v": (alpha, -sigma)}[predicts]
        scales = np.stack([alpha, sigma, c, c * a, c * b], axis=1).astype(model.dtype)
    bad = ~np.isfinite(scales).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"at row {row} sigma is {sigma[row]} and alpha {alpha[row]}: the weight of an error of predicts={predicts!r} exceeds "
            f"{model.dtype}; pass weight='prediction' (or 'sigma2'), or more noise"
        )
    return evaluate(_rows, model, convention, d, x0, time, noise, scales)


def _rows(model, grad, weight, x0, time, noise, scales):
    alpha, sigma, c, ca, cb = (scales[:, j, None] for j in range(5))
    m, pullback = model.value_pullback(alpha * x0 + sigma * noise, time, grad)
    r = c * m - ca * noise - cb * x0
    loss = weight * squared_norms(r) / 2
    return loss, pullback(times_rows(weight, c * r)) if grad else []


def levels(values, n: int, name: str, *, zero: bool = False) -> np.ndarray:
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
