"""The noise-prediction loss of denoising diffusion probabilistic models.

With x_i = sqrt(alpha-bar_i) x_0 + sqrt(1 - alpha-bar_i) z the model eps(x_i, i) is fitted to the noise,

    L_simple = E ||z - eps(x_i, i)||^2 ,        i ~ U{1, ..., N}

(Ho et al. 2020, eq. 14), without the weights of the variational bound. As a score loss it is the squared error of s = -eps/sigma_i
times lambda = sigma_i^2 = 1 - alpha-bar_i, without the 1/2: `dsm_process` with ``weight='sigma2', half=False``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore.objectives.denoising import dsm_process


def ddpm_simple(
    model: Callable,
    process: Any,
    x0: np.ndarray,
    index: int | np.ndarray,
    noise: np.ndarray,
    *,
    half: bool = False,
    over_dims: str = "sum",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """L_simple, E ||noise - eps(alpha_i x0 + sigma_i noise, i)||^2 over the rows; as published, without 1/2.

    Parameters
    ----------
    model : callable eps(x, i), predicting the noise.
    process : with ``alpha(i)`` = sqrt(alpha-bar_i) and ``sigma(i)`` = sqrt(1 - alpha-bar_i); any process will do,
        i is then its time.
    x0, noise : (n, d) arrays, clean points and the standard normal z.
    index : scalar or (n,), 1, ..., N; 0 is data, where there is no noise to predict.
    half, over_dims, over_batch, sample_weight : conventions, see `refscore.objectives`; ``half`` is False here.
    grad : with True also the gradient in the parameters.

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError as `dsm_process` does. Source: [b, sec. 2], [c, "DDPM"]; Ho et al. 2020, eq. 14.
    """
    return dsm_process(model, process, x0, index, noise, "prediction", predicts="eps", half=half, over_dims=over_dims,
                       over_batch=over_batch, sample_weight=sample_weight, grad=grad)
