r"""What no model can take from the denoising loss: its minimum over all functions s.

    min_s E lambda 1/2 ||s(x~) - grad log q(x~|x_0)||^2 = lambda C,
    C = 1/2 E tr Cov[grad log q(x~|x_0) | x~] = alpha^2/(2 sigma^4) mmse = 1/2 (d/sigma^2 - I(q)),

attained by the score of the law q of x~ alone (Vincent 2011); I is its Fisher information, mmse the least error of telling
x_0 from x~ (`refscore.processes.denoising_error`). A training loss is therefore read as loss - C: what is left is the explicit
loss on q, and its square root the error of the score. C grows like d/(2 sigma^2) as sigma -> 0 for data with a density, and
dies out for point sets, whose points are then told apart; times sigma^2 it is the error of the best noise prediction and
stays below d/2.

**Computed** from the posterior variance, not as a difference: d/sigma^2 and I(q) share all their digits for large sigma.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives._conventions import Convention
from refscore.objectives.denoising import PREDICTS, WEIGHTS, score_slope
from refscore.processes import denoising_error


def irreducible_loss(
    density: Any,
    alpha: float,
    sigma: float,
    *,
    weight: str = "one",
    predicts: str = "score",
    half: bool = True,
    over_dims: str = "sum",
    tolerance: float = 1e-11,
    max_nodes: int = 4_000_000,
) -> tuple[float, float]:
    """The least value of `dsm` (alpha = 1) and `dsm_process` at one time over all models, and an absolute error.

    Parameters
    ----------
    density : Gaussian, DegenerateGaussian, GaussianMixture or PointSet, the law of the data.
    alpha, sigma : floats
        Signal scale and standard deviation of the noise, both positive.
    weight, predicts : as in `dsm`.
        'one' C, 'sigma2' sigma^2 C, 'prediction' 1/2 times the least squared error of what the model predicts: mmse for 'x0',
        sigma^2-weighted for 'eps', (alpha^2 + sigma^2)^2/sigma^2 mmse for 'v'.
    half, over_dims : conventions, as in `dsm`.
    tolerance, max_nodes : of the quadrature, as in `refscore.processes.denoising_error`.

    Returns
    -------
    value, error : floats

    Raises ValueError or TypeError as `denoising_error` does, for unknown conventions, and where the value exceeds float64.
    Source: [e, "Denoising score matching", the constant]; systems B9, B11; Vincent 2011.
    """
    convention = Convention(half=half, over_dims=over_dims)
    _validate.choice(weight, "weight", WEIGHTS)
    _validate.choice(predicts, "predicts", PREDICTS)
    value, error = denoising_error(density, alpha, sigma, tolerance=tolerance, max_nodes=max_nodes)
    factor = 0.5 * convention.row_weights(1, density.dim)[0]
    alpha, sigma = np.float64(alpha), np.float64(sigma)
    with np.errstate(over="ignore", invalid="ignore"):
        c = score_slope("x0", alpha, sigma)
        c = c / score_slope(predicts, alpha, sigma) if weight == "prediction" else c * {"one": 1.0, "sigma2": sigma}[weight]
        value, error = float(factor * (c * (c * value))), float(factor * (c * (c * error)))
    if not math.isfinite(value):
        raise ValueError(f"the least loss at sigma = {sigma} exceeds float64: pass weight='sigma2', which stays below d/2")
    return value, error
