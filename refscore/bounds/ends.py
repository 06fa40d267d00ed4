r"""Where a reverse chain starts and where it stops, as errors of their own (systems F7, erratum X4).

start   the chain starts from N(0, sigma_T^2 I), not from p_T, the law of alpha_T x_0 + sigma_T z. By data processing the
        sampler's output is then off by at most TV(p_T, N(0, sigma_T^2 I)). It vanishes only if alpha_T does (or x_0 = 0); for
        large T it is of order alpha_T |E x_0|/sigma_T, and of order alpha_T^2 for data of mean zero.
stop    the chain stops at t_min > 0, and what it aims at is p_{t_min}, off by TV(p_{t_min}, p_0) from the data: 1 for point sets,
        whatever t_min, where distances in x would be small. Dividing by alpha_{t_min} helps a little: ``rescaled=True``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore import _validate
from refscore.densities import Gaussian, PointSet
from refscore.distances import total_variation

_NOTHING_LEFT = 1e-140
"""alpha below which the variance of x/alpha exceeds float64."""


def start_error(process, density: Any, T: float) -> tuple[float, float]:
    """TV(p_T, N(0, sigma_T^2 I)) and its absolute error: one dimension, or what else `total_variation` takes.

    Raises as `refscore.distances.total_variation` does; ValueError at T = 0, where there is no noise to start from.
    Source: [a, sec. 4, "started from N(0, sigma_T^2 I)"]; systems F7, X4.
    """
    T = _validate.positive(T, "T")
    return total_variation(process.marginal(density, T), Gaussian(np.zeros(density.dim), float(process.sigma(T)) ** 2))


def stop_error(process, density: Any, t_min: float, *, rescaled: bool = False) -> tuple[float, float]:
    """TV(p_{t_min}, p_0) and its absolute error; with ``rescaled`` that of x/alpha_{t_min}.

    Raises as `refscore.distances.total_variation` does; ValueError where alpha_{t_min} has vanished and is to be divided by.
    Source: systems F7.
    """
    t_min = _validate.positive(t_min, "t_min", zero=True)
    law, alpha = process.marginal(density, t_min), float(process.alpha(t_min))
    if isinstance(density, PointSet):
        return float(not isinstance(law, PointSet)), 0.0
    if rescaled and alpha < _NOTHING_LEFT:
        raise ValueError(f"alpha is {alpha} at t_min = {t_min}: x/alpha is beyond float64, and nothing is left of the data; "
                         "pass an earlier t_min, or rescaled=False")
    return total_variation(law.corrupted(1 / alpha, 0.0) if rescaled else law, density)
