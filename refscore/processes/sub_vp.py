"""The sub-variance-preserving process dX = -beta(t)/2 X dt + sqrt(beta(t) (1 - e^{-2 B(0,t)})) dW (Song et al. 2021, eq. 13).

The drift of VP with less noise: sigma_t = 1 - e^{-B(0,t)} is the STANDARD DEVIATION, where VP has its square root; hence the name,
sigma_t^2 is below VP's. With B_s = B(0, s), B_t = B(0, t), h = B_t - B_s

V(s, t) = (1 - e^{-h}) (1 - e^{-B_s - B_t}),
b = (1 - e^{-2 B_s}) 2 (e^{h/2} - 1) + e^{-2 B_s} J(h),   J(h) = int_0^h e^{y/2} (1 - e^{-2y}) dy
  (= 2 (e^{h/2} - 1) - 2/3 (1 - e^{-3h/2}), a difference that cancels to h^2 for short steps: there the integral is taken by
  Gauss-Legendre nodes, whose terms are positive).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refscore.processes.vp import VP

_NODES = 16  # exact to rounding for h < 1


@dataclass(frozen=True)
class SubVP(VP):
    """VP's drift with the diffusion sqrt(beta(t) (1 - e^{-2 B(0,t)})); beta(t) linear from beta_min to beta_max on [0, 1].

    Parameters
    ----------
    beta_min, beta_max : float
        As for `VP`.
    """

    def diffusion(self, t):
        """sqrt(beta(t) (1 - e^{-2 B(0,t)})), 0 at t = 0."""
        t = self._time(t)
        return np.sqrt(self.beta(t) * -np.expm1(-2 * self._clock(0.0, t)))

    def _transition_std(self, s, t):
        before, step = self._clock(0.0, s), self._clock(s, t)
        return np.sqrt(np.expm1(-step) * np.expm1(-2 * before - step))

    def _frozen_score_weight(self, s, t):
        before, step = self._clock(0.0, s), self._clock(s, t)
        return -np.expm1(-2 * before) * 2 * np.expm1(step / 2) + np.exp(-2 * before) * _growing(step)


def _growing(h):
    """J(h)."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    short = np.minimum(h, 1.0)
    y = np.multiply.outer(short, (x + 1) / 2)
    by_nodes = short / 2 * ((np.exp(y / 2) * -np.expm1(-2 * y)) @ w)
    return np.where(h < 1, by_nodes, 2 * np.expm1(h / 2) + 2 / 3 * np.expm1(-1.5 * h))[()]
