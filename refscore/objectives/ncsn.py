"""Denoising at many noise levels with one model s(x, sigma): noise conditional score networks.

    J(s) = 1/L sum_i lambda(sigma_i) J_DSM(s(., sigma_i); sigma_i)

(Song & Ermon 2019, eq. 6). With lambda = sigma^2 level i weighs 1/2 ||sigma_i s + z||^2, which is of the same size at every
level because the score grows as 1/sigma; with lambda = 1 the smallest level dominates. Drawing one level i_k ~ U{1, ..., L} a row
instead of summing over all of them leaves the expectation as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives._conventions import Convention
from refscore.objectives.denoising import WEIGHTS, denoising, levels


def ncsn(
    model: Callable,
    x0: np.ndarray,
    sigmas: np.ndarray,
    index: np.ndarray | None,
    noise: np.ndarray,
    *,
    weight: str | Callable = "sigma2",
    predicts: str = "score",
    half: bool = True,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """E lambda(sigma_i) 1/2 ||s(x0 + sigma_i noise, sigma_i) + noise/sigma_i||^2, a level a row or the mean over all levels.

    Parameters
    ----------
    model : callable m(x, sigma), conditioned on the standard deviation itself; sigma has shape (n,).
    x0 : (n, d) array of clean points.
    sigmas : (L,) positive standard deviations, in any order.
    index : (n,) integers 0, ..., L - 1, the level of each row; or None for all levels.
    noise : (n, d) array, the standard normal z; with ``index=None`` (L, n, d), one for each level.
    weight : 'sigma2' (default), 'one', 'prediction', or a callable lambda(sigma) >= 0 giving (n,).
    predicts : 'score', 'eps', 'x0' or 'v', as in `dsm`.
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives`.
    grad : with True also the gradient in the parameters.

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError for sigmas that are not positive, an index out of range, shapes that differ.
    Source: [c, "Noise conditioned score network"], [d], [e, "NCSN"]; Song & Ermon 2019, eq. 5 and 6.
    """
    convention = Convention(half, over_dims, over_batch, sample_weight, grad)
    n, d = _validate.batch(x0, name="x0", dtype=None).shape
    if np.ndim(sigmas) != 1 or np.size(sigmas) == 0:
        raise ValueError(f"sigmas has shape {np.shape(sigmas)}: pass the ladder of noise levels, shape (L,)")
    ladder = levels(sigmas, len(sigmas), "sigmas")
    if not callable(weight):
        _validate.choice(weight, "weight", (*WEIGHTS, "a callable lambda(sigma)"))

    def at(index, noise):
        sigma = ladder[index]
        lambdas = levels(weight(sigma), n, "weight(sigma)", zero=True) if callable(weight) else weight
        return denoising(model, convention, x0, noise, sigma, np.ones(n), sigma, lambdas, predicts)

    if index is not None:
        return at(_indices(index, n, len(ladder)), noise)
    if np.shape(noise) != (len(ladder), n, d):
        raise ValueError(
            f"noise has shape {np.shape(noise)}: with index=None pass noise for every level, shape {(len(ladder), n, d)}"
        )
    each = [at(np.full(n, i), z) for i, z in enumerate(noise)]
    if not grad:
        return sum(each) / len(each)
    values, gradients = zip(*each, strict=True)
    return sum(values) / len(each), [sum(parts) / len(each) for parts in zip(*gradients, strict=True)]


def _indices(index, n: int, count: int) -> np.ndarray:
    index = np.asarray(index)
    if index.shape != (n,) or index.dtype.kind not in "iu":
        raise ValueError(
            f"index has dtype {index.dtype} and shape {index.shape}: pass one integer a row, shape ({n},), as in "
            f"rng.integers({count}, size={n}), or None for all levels"
        )
    if n and not (0 <= index.min() and index.max() < count):
        raise ValueError(f"index runs from {index.min()} to {index.max()}: with {count} sigmas it counts 0, ..., {count - 1}")
    return index
