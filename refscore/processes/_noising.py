"""Gaussian noising: x_t = alpha_t x_0 + sigma_t z, and what follows from the two scales alone.

    conditional     p_t(x_t | x_0) = N(alpha_t x_0, sigma_t^2 I),  score  -(x_t - alpha_t x_0)/sigma_t^2 = -eps/sigma_t
    marginal        p_t, the law of alpha_t x_0 + sigma_t z for x_0 of a given law
    a model         says the same about x_t as a score, as the noise eps, as the clean point x_0, or as v

t is a time where the process is the solution of an SDE (`GaussianPath`), and an index where it is a chain; a subclass says
which by what it takes for one. Nothing here says how x_t came from x_0, nor which law the data have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from refscore import _validate

PARAMETRISATIONS = ("score", "eps", "x0", "v")
WEAKER = "use other units, in which the diffusion is weaker"


class Noising(ABC):
    """x_t given x_0 is N(alpha(t) x_0, sigma(t)^2 I); arguments t are scalars or (n,), and so are the results."""

    t_max: float = np.inf
    """The last time at which the process is defined."""

    @abstractmethod
    def alpha(self, t):
        """Signal scale alpha_t."""

    @abstractmethod
    def sigma(self, t):
        """Noise standard deviation sigma_t."""

    @abstractmethod
    def transition(self, s, t) -> tuple[Any, Any]:
        """(alpha, variance) of x_t given x_s, s <= t: N(alpha_{t|s} x_s, variance I).

        Semigroup: alpha_t = alpha_{t|s} alpha_s and sigma_t^2 = alpha_{t|s}^2 sigma_s^2 + variance.
        """

    def variance(self, t):
        """sigma_t^2; refused, like sigma_t and the variance of a transition, where it exceeds float64."""
        with np.errstate(over="ignore"):
            return representable(np.square(self.sigma(t)), "the variance sigma_t^2", WEAKER)

    def covariance(self, s, t):
        """Cov(x_s, x_t | x_0) of one coordinate, s <= t: alpha_{t|s} sigma_s^2."""
        return self.transition(s, t)[0] * self.variance(s)

    def corrupt(self, x0, t, noise) -> np.ndarray:
        """x_t = alpha_t x_0 + sigma_t noise, with noise standard normal; all (n, d)."""
        x0 = _validate.batch(x0, name="x0")
        noise = like(noise, x0, "noise", "x0")
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
        x0 = like(x0, xt, "x0", "xt")
        t = self._rows(t, xt)
        sigma = self._nonzero(self.sigma(t), t, "sigma", "the conditional score -(xt - alpha x0)/sigma^2")
        with np.errstate(over="ignore"):
            score = (self._column(self.alpha(t)) * x0 - xt) / sigma / sigma
        return representable(score, "the conditional score", "sigma is too small for this residual: use a larger t")

    def marginal(self, density, t):
        """The law p_t of x_t when x_0 has law ``density``: ``density.corrupted(alpha_t, sigma_t)``; t is one time."""
        time = self._time(t)
        if time.ndim:
            raise ValueError(f"t has shape {time.shape}: a marginal is one law, pass one time, such as t[0]")
        if not hasattr(density, "corrupted"):
            raise TypeError(f"density is {type(density).__name__}: pass a density, such as Gaussian; for data points PointSet(x)")
        alpha, sigma = float(self.alpha(t)), float(self.sigma(t))
        return density if alpha == 1 and sigma == 0 else density.corrupted(alpha, sigma)

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
        value = like(value, xt, "value", "xt")
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
        return representable(result, what, "sigma or alpha is too small for this value: use a less extreme t")

    def _time(self, t, name: str = "t") -> np.ndarray:
        array = np.asarray(t)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name} is {_validate.shown(t)}: pass a real number, or an array of shape (n,)")
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
            raise ValueError(f"s = {_validate.shown(s)} is later than t = {_validate.shown(t)}: pass s <= t (time 0 is data)")
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


def like(array, other: np.ndarray, name: str, of: str) -> np.ndarray:
    array = _validate.batch(array, name=name)
    if array.shape != other.shape:
        raise ValueError(f"{name} has shape {array.shape}, but {of} has shape {other.shape}: they must agree")
    return array


def representable(value, what: str, mend: str):
    if not np.isfinite(value).all():
        raise ValueError(f"{what} exceeds the range of float64: {mend}")
    return value
