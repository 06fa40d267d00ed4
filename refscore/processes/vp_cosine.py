"""The variance-preserving process with the cosine schedule on [0, 1] (Nichol & Dhariwal 2021, eq. 17).

alpha_t^2 = cos^2(pi/2 (t + s)/(1 + s))/cos^2(pi/2 s/(1 + s)): the cosine is SQUARED, so alpha itself is a cosine. Counted from the
end it is a sine, phi(t) = pi/2 (1 - t)/(1 + s):

alpha_t = sin phi(t)/sin phi(0),   beta(t) = pi/(1 + s) cot phi(t),   B(s, t) = -2 log(sin phi(t)/sin phi(s)),

which reaches alpha_1 = 0 exactly, while cos(pi/2) would not. With delta = phi(s) - phi(t) the ratio of sines is 1 plus
-2 sin^2(delta/2) - cot phi(s) sin delta: no cancellation for close times. The published schedule of betas is cut off at 0.999; here
nothing is cut off, beta is infinite at t = 1, and samplers start before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore.processes.variance_preserving import VariancePreserving


@dataclass(frozen=True)
class VPCosine(VariancePreserving):
    """dX = -beta(t)/2 X dt + sqrt(beta(t)) dW, alpha_t = cos(pi/2 (t + s)/(1 + s))/cos(pi/2 s/(1 + s)).

    Parameters
    ----------
    s : float
        Offset, at least 0; as published 0.008. It keeps beta(0) = pi/(1 + s) tan(pi/2 s/(1 + s)) away from 0.
    """

    s: float = 0.008
    t_max = 1.0

    def __post_init__(self):
        object.__setattr__(self, "s", _validate.positive(self.s, "s", zero=True))

    def beta(self, t):
        """pi/(1 + s) cot phi(t).

        Raises
        ------
        ValueError
            At t = 1, where it is infinite: start samplers earlier, such as at t = 0.999.
        """
        t = self._time(t)
        if (t == 1).any():
            raise ValueError("t is 1: there the cosine schedule's beta is infinite (alpha_1 = 0); pass t < 1, such as 0.999")
        with np.errstate(over="ignore"):
            return math.pi / (1 + self.s) * self._cotangent(t)

    def _phi(self, time_left):
        return math.pi / 2 * time_left / (1 + self.s)

    def _cotangent(self, t):
        """cot phi(t); near t = 0, where phi is near pi/2, it is the tangent of the rest."""
        rest = self._phi(self.s + t)
        return np.where(rest < 1, np.tan(rest), 1 / np.tan(np.where(rest < 1, 1.0, self._phi(1 - t))))[()]

    def _clock(self, s, t):
        delta = self._phi(t - s)
        with np.errstate(divide="ignore", invalid="ignore"):
            less = 2 * np.sin(delta / 2) ** 2 + self._cotangent(s) * np.sin(delta)
            near = -2 * np.log1p(-np.minimum(less, 0.5))
            far = -2 * np.log(np.sin(self._phi(1 - t)) / np.sin(self._phi(1 - s)))
            return np.where(s == t, 0.0, np.where(less < 0.5, near, far))[()]
