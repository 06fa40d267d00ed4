"""Gaussian paths: what follows from a linear SDE, for every process alike.

A process is a linear SDE with scalar coefficients, dX = -r(t) X dt + g(t) dW, run from time 0 (data) upwards. With

    R(s, t) = int_s^t r(u) du      and      V(s, t) = int_s^t e^{-2 R(u, t)} g(u)^2 du

everything else follows:

    transition      x_t = e^{-R(s,t)} x_s + sqrt(V(s,t)) z,  so  alpha_t = e^{-R(0,t)},  sigma_t^2 = V(0,t)
    conditional     p_t(x_t | x_0) = N(alpha_t x_0, sigma_t^2 I),  score  -(x_t - alpha_t x_0)/sigma_t^2 = -eps/sigma_t
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

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from refscore import _validate

PARAMETRISATIONS = ("score", "eps", "x0", "v")
_WEAKER = "use other units, in which the diffusion is weaker"


class GaussianPath(ABC):
    """A process dX = -rate(t) X dt + diffusion(t) dW; time arguments are scalars or (n,), and so are the results."""

    t_max: ClassVar[float] = np.inf
    """The last time at which the process is defined."""

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
            return _representable(self._transition_std(np.zeros_like(t), t), "sigma_t", _WEAKER)

    def variance(self, t):
        """sigma_t^2; refused, like sigma_t and the variance of a transition, where it exceeds float64."""
        with np.errstate(over="ignore"):
            return _representable(np.square(self.sigma(t)), "the variance sigma_t^2", _WEAKER)

    def drift(self, x, t) -> np.ndarray:
        """f(x, t) = -rate(t) x, shape (n, d)."""
        x = _validate.batch(x)
        return -self._column(self.rate(self._rows(t, x))) * x

    def corrupt(self, x0, t, noise) -> np.ndarray:
        """x_t = alpha_t x_0 + sigma_t noise, with noise standard normal; all (n, d)."""
        x0 = _validate.batch(x0, name="x0")
        noise = _like(noise, x0, "noise", "x0")
        t = self._rows(t, x0)
        return self._column(self.alpha(t)) * x0 + self._column(self.sigma(t)) * noise

    def conditional_score(self, xt, x0, t) -> np.ndarray:
        """grad_{x_t} log p_t(x_t | x_0) = -(x_t - alpha_t x_0)/sigma_t^2, shape (n, d) [a, sec. 3].

        Raises
        ------
        ValueError
            Where sigma_t = 0: x_t given x_0 is then a point and has no score.
        """
        xt = _validate.batch(xt, name="xt")
        x0 = _like(x0, xt, "x0", "xt")
        t = self._rows(t, xt)
        sigma = self._nonzero(self.sigma(t), t, "sigma", "the conditional score -(xt - alpha x0)/sigma^2")
        with np.errstate(over="ignore"):
            score = (self._column(self.alpha(t)) * x0 - xt) / sigma / sigma
        return _representable(score, "the conditional score", "sigma is too small for this residual: use a larger t")

    def marginal(self, density, t):
        """The law p_t of x_t when x_0 has law ``density``: ``density.corrupted(alpha_t, sigma_t)``; t is one time."""
        time = self._time(t)
        if time.ndim:
            raise ValueError(f"t has shape {time.shape}: a marginal is one law, pass one time, such as t[0]")
        alpha, sigma = float(self.alpha(t)), float(self.sigma(t))
        return density if alpha == 1 and sigma == 0 else density.corrupted(alpha, sigma)

    def transition(self, s, t) -> tuple[Any, Any]:
        """(alpha, variance) of x_t given x_s, s <= t: N(e^{-R(s,t)} x_s, V(s,t) I).

        Semigroup: alpha_t = alpha_{t|s} alpha_s and sigma_t^2 = alpha_{t|s}^2 sigma_s^2 + V(s, t).
        """
        s, t = self._interval(s, t)
        with np.errstate(over="ignore"):
            variance = np.square(self._transition_std(s, t))
        _representable(variance, "the variance of the transition", _WEAKER)
        return np.exp(-self._integrated_rate(s, t)), variance

    def covariance(self, s, t):
        """Cov(x_s, x_t | x_0) of one coordinate, s <= t: alpha_{t|s} sigma_s^2."""
        return self.transition(s, t)[0] * self.variance(s)

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
        mend = "the step is too long for float64: go from t to s in several steps"
        for name, value in {"a": a, "b": b, "v": v}.items():
            _representable(value, f"{name} of the exponential step", mend)
        return a, b, v

    def convert(self, value, xt, t, source: str, target: str) -> np.ndarray:
        """What a model says about x_t, from one parametrisation to another; all (n, d).

        With x_t = alpha x0 + sigma eps:  score = -eps/sigma  and  v = alpha eps - sigma x0  (Salimans & Ho 2022,
        sec. 4, where alpha^2 + sigma^2 = 1; here for any alpha, sigma). Hence x0 = (x_t - sigma eps)/alpha; and from v
        x0 = (alpha x_t - sigma v)/(alpha^2 + sigma^2), eps = (sigma x_t + alpha v)/(alpha^2 + sigma^2).

        Parameters
        ----------
        value, xt : (n, d)
        t : scalar or (n,)
        source, target : 'score', 'eps', 'x0' or 'v'

        Raises
        ------
        ValueError
            Where the conversion divides by sigma_t = 0 (x0 to anything else, anything else to score) or by an alpha_t
            that has underflowed to 0 (score or eps to x0 or v).
        """
        _validate.choice(source, "source", PARAMETRISATIONS)
        _validate.choice(target, "target", PARAMETRISATIONS)
        xt = _validate.batch(xt, name="xt")
        value = _like(value, xt, "value", "xt")
        t = self._rows(t, xt)
        if source == target:
            return value.copy()
        what = f"converting {source} to {target}"
        alpha, sigma = self._column(self.alpha(t)), self._column(self.sigma(t))
        if target == "score" or source == "x0":
            self._nonzero(sigma, t, "sigma", what)
        if source in ("score", "eps") and target in ("x0", "v"):
            self._nonzero(alpha, t, "alpha", what)
        with np.errstate(over="ignore", invalid="ignore"):
            result = _convert(value, xt, alpha, sigma, source, target)
        return _representable(result, what, "sigma or alpha is too small for this value: use a less extreme t")

    def _time(self, t, name: str = "t") -> np.ndarray:
        array = np.asarray(t)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name} is {t!r}: pass a real number, or an array of shape (n,)")
        array = array.astype(np.float64)
        _validate.times(array, array.size, name)
        if (array > self.t_max).any():
            raise ValueError(f"{name} is {array.max()}: {type(self).__name__} runs from time 0 to {self.t_max}")
        return array

    def _rows(self, t, x: np.ndarray) -> np.ndarray:
        t = self._time(t)
        _validate.times(t, x.shape[0])
        return t

    def _interval(self, s, t) -> tuple[np.ndarray, np.ndarray]:
        s, t = self._time(s, "s"), self._time(t, "t")
        if s.ndim and t.ndim and s.shape != t.shape:
            raise ValueError(f"s has shape {s.shape} and t has shape {t.shape}: pass scalars or equal shapes (n,)")
        if (s > t).any():
            raise ValueError(f"s = {s} is later than t = {t}: pass s <= t (time 0 is data)")
        return s, t

    def _nonzero(self, scale, t: np.ndarray, name: str, what: str):
        if not np.all(scale):
            time = float(t if t.ndim == 0 else t[np.argmin(np.ravel(scale))])
            mend = "t > 0" if name == "sigma" else "a smaller t"
            raise ValueError(f"{name} is 0 at t = {time}: {what} divides by it; pass {mend}")
        return self._column(scale)

    @staticmethod
    def _column(scale):
        return scale[:, None] if np.ndim(scale) == 1 else scale


def _convert(value, xt, alpha, sigma, source: str, target: str) -> np.ndarray:
    """From source by way of (x0, eps); only what is needed is computed, so that no division is made in vain."""
    length = np.hypot(alpha, sigma)
    if source == "v":
        cos, sin = alpha / length, sigma / length
        if target == "x0":
            return (cos * xt - sin * value) / length
        eps = (sin * xt + cos * value) / length
        return eps if target == "eps" else -eps / sigma
    if source == "x0":
        x0, eps = value, (xt - alpha * value) / sigma
    else:
        eps = value if source == "eps" else -sigma * value
        x0 = (xt - sigma * eps) / alpha if target in ("x0", "v") else None
    if target == "v":
        return alpha * eps - sigma * x0
    return {"x0": x0, "eps": eps, "score": -eps / sigma if target == "score" else None}[target]


def _like(array, other: np.ndarray, name: str, of: str) -> np.ndarray:
    array = _validate.batch(array, name=name)
    if array.shape != other.shape:
        raise ValueError(f"{name} has shape {array.shape}, but {of} has shape {other.shape}: they must agree")
    return array


def _representable(value, what: str, mend: str):
    if not np.isfinite(value).all():
        raise ValueError(f"{what} exceeds the range of float64: {mend}")
    return value
