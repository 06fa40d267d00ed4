"""Gaussian paths: what follows from a linear SDE, for every process alike.

A process is a linear SDE with scalar coefficients, dX = -r(t) X dt + g(t) dW, run from time 0 (data) upwards. With

    R(s, t) = int_s^t r(u) du      and      V(s, t) = int_s^t e^{-2 R(u, t)} g(u)^2 du

everything else follows:

    transition      x_t = e^{-R(s,t)} x_s + sqrt(V(s,t)) z,  so  alpha_t = e^{-R(0,t)},  sigma_t^2 = V(0,t)
    reverse SDE     dY = [r Y + g^2 score(Y, u)] d(-u) + g dW  in decreasing time u [a, sec. 4; e; Anderson 1982].
                    With the score frozen at (x_t, t) it is linear, hence solved exactly from t down to s < t:
                    x_s = a x_t + b score + sqrt(v) z   with
                    a = e^{R(s,t)} = alpha_s/alpha_t,
                    b = int_s^t e^{R(s,u)} g(u)^2 du   = alpha_s int_s^t alpha_u d(sigma_u^2/alpha_u^2),
                    v = int_s^t e^{2R(s,u)} g(u)^2 du  = alpha_s^2 (sigma_t^2/alpha_t^2 - sigma_s^2/alpha_s^2)
                    (the exponential integrator of [e]); v = e^{2R(s,t)} V(s,t), which has no cancellation.

A subclass gives r, g, R, sqrt(V) and b in forms without cancellation (differences t - s are taken first, 1 - e^{-x} is
-expm1(-x)). Relative errors are then a few eps, times 1 + R where e^{R} itself is that sensitive to its argument.
Nothing here says which law the data have, nor where a sampler evaluates its score.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from refscore import _validate
from refscore.processes._noising import WEAKER, Noising, representable


class GaussianPath(Noising):
    """A process dX = -rate(t) X dt + diffusion(t) dW; time arguments are scalars or (n,), and so are the results."""

    @abstractmethod
    def rate(self, t):
        """r(t) of the drift f(x, t) = -r(t) x, in units of 1/time."""

    @abstractmethod
    def diffusion(self, t):
        """g(t), the standard deviation of the noise per square root of time (not its square)."""

    @abstractmethod
    def _integrated_rate(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """R(s, t), without cancellation as t - s -> 0."""

    @abstractmethod
    def _transition_std(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """sqrt(V(s, t)), without cancellation as t - s -> 0."""

    @abstractmethod
    def _frozen_score_weight(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """b(t -> s) = int_s^t e^{R(s,u)} g(u)^2 du, without cancellation as t - s -> 0."""

    def alpha(self, t):
        """Signal scale alpha_t = exp(-R(0, t)); it underflows to 0 where R exceeds 745."""
        t = self._time(t)
        return np.exp(-self._integrated_rate(np.zeros_like(t), t))

    def sigma(self, t):
        """Noise standard deviation sigma_t = sqrt(V(0, t)); 0 at t = 0."""
        t = self._time(t)
        with np.errstate(over="ignore"):
            return representable(self._transition_std(np.zeros_like(t), t), "sigma_t", WEAKER)

    def drift(self, x, t) -> np.ndarray:
        """f(x, t) = -rate(t) x, shape (n, d)."""
        x = _validate.batch(x)
        return -self._column(self.rate(self._rows(t, x))) * x

    def transition(self, s, t) -> tuple[Any, Any]:
        """(alpha, variance) of x_t given x_s, s <= t: N(e^{-R(s,t)} x_s, V(s,t) I).

        Semigroup: alpha_t = alpha_{t|s} alpha_s and sigma_t^2 = alpha_{t|s}^2 sigma_s^2 + V(s, t).
        """
        s, t = self._interval(s, t)
        with np.errstate(over="ignore"):
            variance = np.square(self._transition_std(s, t))
        representable(variance, "the variance of the transition", WEAKER)
        return np.exp(-self._integrated_rate(s, t)), variance

    def exponential_step(self, t, s) -> tuple[Any, Any, Any]:
        """(a, b, v) of the reverse SDE from t down to s <= t with the score frozen at time t.

        x_s = a x_t + b score(x_t, t) + sqrt(v) z is then exact (module docstring; the exponential integrator of [e]).

        Raises
        ------
        ValueError
            When s > t, or when a, b or v exceeds the range of float64 (R(s, t) above about 354).
        """
        s, t = self._interval(s, t)
        with np.errstate(over="ignore"):
            a = np.exp(self._integrated_rate(s, t))
            b = self._frozen_score_weight(s, t)
            v = np.square(a * self._transition_std(s, t))
        mend = "the step is too long for float64: go from t to s in several steps, and start where alpha_t is not 0"
        for name, value in {"a": a, "b": b, "v": v}.items():
            representable(value, f"{name} of the exponential step", mend)
        return a, b, v
