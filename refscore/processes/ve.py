"""The variance-exploding process dX = g(t) dW with a geometric noise level on [0, 1] (Song et al. 2021, eq. 9 and app. C).

sigma(t) = sigma_min (sigma_max/sigma_min)^t,  g(t)^2 = d sigma(t)^2/dt = 2 L sigma(t)^2,  L = log(sigma_max/sigma_min), alpha = 1;
with h = t - s:   V(s, t) = sigma(t)^2 - sigma(s)^2 = sigma(t)^2 (1 - e^{-2 L h}),   a = 1,   b = v = V(s, t).

Where does it start? The SDE adds sigma(t)^2 - sigma_min^2 by time t, the ladder sigma(t)^2: two processes go by the name.

    start = 'sigma_min'   x_t = x_0 + sigma(t) z: the clean point x_0 has been given noise sigma_min before time 0. This is the
                          kernel that is published and trained with; at t = 0 the law is that of x_0 + sigma_min z.
    start = 'data'        x_t = x_0 + sqrt(sigma(t)^2 - sigma_min^2) z: at t = 0 the law is that of x_0.

Transitions, hence samplers, are the same; the laws of x_t differ by noise of variance sigma_min^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore.processes._gaussian_path import GaussianPath

STARTS = ("sigma_min", "data")


@dataclass(frozen=True)
class VE(GaussianPath):
    """dX = sqrt(2 L) sigma(t) dW, sigma(t) geometric from sigma_min at t = 0 to sigma_max at t = 1.

    Parameters
    ----------
    sigma_min, sigma_max : float
        0 < sigma_min < sigma_max (units of x). The defaults are those of Song & Ermon 2019 for images.
    start : 'sigma_min' or 'data'
        What the law at time 0 is: the data with noise sigma_min (the kernel as published), or the data.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    start: str = "sigma_min"
    t_max = 1.0

    def __post_init__(self):
        object.__setattr__(self, "sigma_min", _validate.positive(self.sigma_min, "sigma_min"))
        object.__setattr__(self, "sigma_max", _validate.positive(self.sigma_max, "sigma_max"))
        _validate.choice(self.start, "start", STARTS)
        if not self.sigma_min < self.sigma_max:
            raise ValueError(f"sigma_min = {self.sigma_min} is not below sigma_max = {self.sigma_max}: swap them")

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def _level(self, t):
        """sigma_min (sigma_max/sigma_min)^t, each power of a number that is exact at its end."""
        return self.sigma_min ** (1 - t) * self.sigma_max**t

    def sigma(self, t):
        """Noise standard deviation of x_t given x_0: sigma(t), or sqrt(sigma(t)^2 - sigma_min^2) with start='data'."""
        return super().sigma(t) if self.start == "data" else self._level(self._time(t))[()]

    def rate(self, t):
        """0: nothing is shrunk."""
        return np.zeros_like(self._time(t))[()]

    def diffusion(self, t):
        """sqrt(2 L) sigma(t)."""
        return math.sqrt(2 * self._log_ratio) * self._level(self._time(t))[()]

    def _integrated_rate(self, s, t):
        return np.zeros(np.broadcast_shapes(np.shape(s), np.shape(t)))

    def _transition_std(self, s, t):
        return self._level(t) * np.sqrt(-np.expm1(-2 * self._log_ratio * (t - s)))  # the level at s times e^{L h} may overflow

    def _frozen_score_weight(self, s, t):
        return np.square(self._transition_std(s, t))
