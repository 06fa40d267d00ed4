"""The variance-preserving process dX = -beta(t)/2 X dt + sqrt(beta(t)) dW with linear beta on [0, 1].

beta(t) = beta_min + t (beta_max - beta_min) (Song et al. 2021, eq. 11 and app. C; the limit of DDPM's chain), so with
B(s, t) = int_s^t beta = (t - s) (mean of beta(s) and beta(t)):

alpha_t = e^{-B(0,t)/2},  sigma_t^2 = 1 - e^{-B(0,t)},  hence alpha^2 + sigma^2 = 1;
a = e^{B(s,t)/2},  b = 2 (e^{B(s,t)/2} - 1),  v = e^{B(s,t)} - 1.

It is the process OU(1/2, 1) on the clock B: only B knows the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore.processes._gaussian_path import GaussianPath


@dataclass(frozen=True)
class VP(GaussianPath):
    """dX = -beta(t)/2 X dt + sqrt(beta(t)) dW, beta(t) linear from beta_min at t = 0 to beta_max at t = 1.

    Parameters
    ----------
    beta_min, beta_max : float
        0 <= beta_min <= beta_max, beta_max > 0 (units 1/time). Times beyond 1 are refused.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_max = 1.0

    def __post_init__(self):
        object.__setattr__(self, "beta_min", _validate.positive(self.beta_min, "beta_min", zero=True))
        object.__setattr__(self, "beta_max", _validate.positive(self.beta_max, "beta_max"))
        if self.beta_min > self.beta_max:
            raise ValueError(f"beta_min = {self.beta_min} exceeds beta_max = {self.beta_max}: swap them")

    def beta(self, t):
        """The schedule beta(t) = (1 - t) beta_min + t beta_max."""
        return self._beta(self._time(t))

    def rate(self, t):
        """beta(t)/2."""
        return self.beta(t) / 2

    def diffusion(self, t):
        """sqrt(beta(t))."""
        return np.sqrt(self.beta(t))

    def _beta(self, t):
        return (1 - t) * self.beta_min + t * self.beta_max

    def _clock(self, s, t):
        """B(s, t), every term non-negative."""
        return (t - s) * self._beta((s + t) / 2)

    def _integrated_rate(self, s, t):
        return self._clock(s, t) / 2

    def _transition_std(self, s, t):
        return np.sqrt(-np.expm1(-self._clock(s, t)))

    def _frozen_score_weight(self, s, t):
        return 2 * np.expm1(self._clock(s, t) / 2)
