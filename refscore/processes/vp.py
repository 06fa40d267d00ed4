"""The variance-preserving process with linear beta on [0, 1].

beta(t) = beta_min + t (beta_max - beta_min) (Song et al. 2021, app. C), so B(s, t) = (t - s) (mean of beta(s) and beta(t)).
"""

from __future__ import annotations

from dataclasses import dataclass

from refscore import _validate
from refscore.processes.variance_preserving import VariancePreserving


@dataclass(frozen=True)
class VP(VariancePreserving):
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

    def _beta(self, t):
        return (1 - t) * self.beta_min + t * self.beta_max

    def _clock(self, s, t):
        """Every term non-negative."""
        return (t - s) * self._beta((s + t) / 2)
