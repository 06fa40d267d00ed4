"""Variance-preserving processes dX = -beta(t)/2 X dt + sqrt(beta(t)) dW, for any schedule beta(t) >= 0.

With the clock B(s, t) = int_s^t beta (Song et al. 2021, eq. 11 and app. C; the limit of DDPM's chain)

alpha_t = e^{-B(0,t)/2},  sigma_t^2 = 1 - e^{-B(0,t)},  hence alpha^2 + sigma^2 = 1;
a = e^{B(s,t)/2},  b = 2 (e^{B(s,t)/2} - 1),  v = e^{B(s,t)} - 1.

It is the process OU(1/2, 1) on the clock B: only beta and B know the schedule.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from refscore.processes._gaussian_path import GaussianPath


class VariancePreserving(GaussianPath):
    """dX = -beta(t)/2 X dt + sqrt(beta(t)) dW; a subclass gives beta and its integral."""

    @abstractmethod
    def beta(self, t):
        """The schedule beta(t), in units of 1/time."""

    @abstractmethod
    def _clock(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """B(s, t) = int_s^t beta, without cancellation as t - s -> 0."""

    def rate(self, t):
        """beta(t)/2."""
        return self.beta(t) / 2

    def diffusion(self, t):
        """sqrt(beta(t))."""
        return np.sqrt(self.beta(t))

    def _integrated_rate(self, s, t):
        return self._clock(s, t) / 2

    def _transition_std(self, s, t):
        return np.sqrt(-np.expm1(-self._clock(s, t)))

    def _frozen_score_weight(self, s, t):
        return 2 * np.expm1(self._clock(s, t) / 2)
