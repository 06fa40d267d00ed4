"""The Ornstein-Uhlenbeck process dX = -beta X dt + sigma dW [a, sec. 3; e].

alpha_t = e^{-beta t},  sigma_t^2 = sigma^2 (1 - e^{-2 beta t})/(2 beta),  with h = t - s:
a = e^{beta h},  b = sigma^2 (e^{beta h} - 1)/beta,  v = sigma^2 (e^{2 beta h} - 1)/(2 beta).
beta = 0 is Brownian motion, and the limit is taken without loss: (e^{c h} - 1)/c is h (e^x - 1)/x with x = c h.
The stationary law, for beta > 0, is N(0, sigma^2/(2 beta) I); OU(1, sqrt(2)) is the standard process of [e].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore.processes._gaussian_path import GaussianPath


@dataclass(frozen=True)
class OU(GaussianPath):
    """dX = -beta X dt + sigma dW.

    Parameters
    ----------
    beta : float
        Rate of mean reversion, at least 0 (units 1/time). 0 gives Brownian motion, alpha = 1, sigma_t = sigma sqrt(t).
    sigma : float
        Diffusion coefficient g, greater than 0 (units of x per square root of time). Not the noise level sigma_t, which
        is the method ``OU.sigma(t)``; the coefficient is read back as ``OU.diffusion(t)``.
    """

    beta: float
    g: float

    def __init__(self, beta: float, sigma: float):
        object.__setattr__(self, "beta", _validate.positive(beta, "beta", zero=True))
        object.__setattr__(self, "g", _validate.positive(sigma, "sigma"))

    def __repr__(self) -> str:
        return f"OU(beta={self.beta!r}, sigma={self.g!r})"

    def rate(self, t):
        """beta, at every t."""
        return np.full_like(self._time(t), self.beta)[()]

    def diffusion(self, t):
        """sigma, at every t."""
        return np.full_like(self._time(t), self.g)[()]

    def _integrated_rate(self, s, t):
        with np.errstate(over="ignore"):
            return self.beta * (t - s)

    def _transition_std(self, s, t):
        h = t - s  # 1 - e^{-2x} = (1 - e^{-x})(1 + e^{-x}): 2 beta could exceed float64
        return self.g * np.sqrt(_expm1_over(-self.beta, h) * (0.5 + 0.5 * np.exp(-self._integrated_rate(s, t))))

    def _frozen_score_weight(self, s, t):
        return self.g * (self.g * _expm1_over(self.beta, t - s))


def _expm1_over(c: float, h):
    """(e^{c h} - 1)/c for h >= 0, which is h at c = 0; no cancellation, no underflow of c h, right where c h = -inf."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        x = c * h
        ratio = np.where(x == 0, 1.0, np.expm1(x) / np.where(x == 0, 1.0, x))
        return np.where(np.abs(x) < 1, h * ratio, np.expm1(x) / (c or 1.0))[()]
