"""Denoising score matching over a stretch of time: the integral, and the factor between it and an expectation.

    int_{t_min}^{T} lambda(t) J_DSM(s(., t); t) dt  =  (T - t_min) E_{t ~ U(t_min, T)} [lambda(t) J_DSM(s(., t); t)]

The factor T - t_min does not change the minimiser, but it does change the value, the gradient and hence the step size that
goes with it. With lambda = 1 the integrand grows as d/(2 sigma_t^2) when t -> 0, whose integral diverges for sigma_t^2 ~ t:
t_min > 0, or a weight that vanishes with sigma_t^2, is then a necessity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives.denoising import dsm_process


def dsm_integrated(
    model: Callable,
    process: Any,
    x0: np.ndarray,
    t: np.ndarray,
    noise: np.ndarray,
    weight: str | Callable = "one",
    *,
    t_max: float,
    t_min: float = 0.0,
    **options: Any,
) -> Any:
    """int_{t_min}^{t_max} lambda(t) E 1/2 ||s(x_t, t) + z/sigma_t||^2 dt, from rows at times t.

    Parameters
    ----------
    model, process, x0, noise, weight : as in `dsm_process`.
    t : (n,) times in [t_min, t_max]: draws from U(t_min, t_max), whose average times t_max - t_min is unbiased; or nodes of a
        quadrature (`time_nodes`) with ``sample_weight``, whose sum is then the integral.
    t_max, t_min : the stretch of time, 0 <= t_min < t_max.
    options : predicts, half, over_dims, over_batch, sample_weight, grad, as in `dsm_process`.

    Returns
    -------
    t_max - t_min times what `dsm_process` returns (value, rows, or value and gradient).

    Raises ValueError or TypeError for times outside the stretch, and as `dsm_process` does.
    Source: [a, sec. 3 and 4], corrected by the factor; Song et al. 2021, eq. 7.
    """
    length = _stretch(t_min, t_max)
    times = np.atleast_1d(_validate.times(t, len(x0)))
    if times.size and not (t_min <= times.min() and times.max() <= t_max):
        raise ValueError(f"t runs from {times.min()} to {times.max()}: draw it from [t_min, t_max] = [{t_min}, {t_max}]")
    result = dsm_process(model, process, x0, t, noise, weight, **options)
    if isinstance(result, tuple):
        return length * result[0], [length * g for g in result[1]]
    return length * result


def time_nodes(n: int, t_max: float, t_min: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """n Gauss-Legendre nodes t in (t_min, t_max) and weights that sum to 1: E over U(t_min, t_max), exact to degree 2n - 1."""
    length = _stretch(t_min, t_max)
    u, w = np.polynomial.legendre.leggauss(_validate.count(n, "n"))
    return t_min + length * (u + 1) / 2, w / 2


def _stretch(t_min: float, t_max: float) -> float:
    t_min, t_max = _validate.positive(t_min, "t_min", zero=True), _validate.positive(t_max, "t_max")
    if t_min >= t_max:
        raise ValueError(f"t_max is {t_max}, t_min {t_min}: time runs from t_min up to t_max")
    return t_max - t_min
