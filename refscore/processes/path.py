r"""Any Gaussian path: two functions alpha(t), sigma(t) are a linear SDE, whose drift and diffusion follow from them.

x_t = alpha_t x_0 + sigma_t z has the conditional laws of dX = -r X dt + g dW with

r = -alpha'/alpha,   g^2 = (sigma^2)' + 2 r sigma^2 = 2 sigma (sigma' - sigma alpha'/alpha) = alpha^2 (sigma^2/alpha^2)'

(Karras et al. 2022, app. B; Kingma et al. 2021). It exists where the noise-to-signal ratio sigma/alpha does not fall: g^2 >= 0.
With lambda = sigma^2/alpha^2

R(s, t) = log(alpha_s/alpha_t),   V(s, t) = alpha_t^2 (lambda_t - lambda_s),   b = alpha_s int_s^t alpha_u d lambda_u.

V is the difference (sigma_t - c)(sigma_t + c), c = alpha_t sigma_s/alpha_s, where that keeps its digits; for short steps, and for
b, the integral of g^2 by Gauss-Legendre nodes. Derivatives that are not given come by differences, good to about 1e-12.

Example: flow matching with straight lines, alpha = 1 - t, sigma = t, is the SDE with r = 1/(1 - t), g^2 = 2 t/(1 - t).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refscore import _differences, _quadrature, _validate
from refscore.processes._gaussian_path import GaussianPath

_EPS = float(np.finfo(np.float64).eps)
_CANCELS = 0.05
"""V below this part of sigma_t^2 is integrated: the difference would have lost more than a digit."""
_DIFFERENCES = 1e-11
"""Relative noise of slopes by differences."""
_EDGE = 1e-3
"""Part of t_max near either end where derivatives are taken from one side."""


@dataclass(frozen=True)
class Path(GaussianPath):
    """The process with x_t = alpha(t) x_0 + sigma(t) z, 0 <= t <= t_max.

    Parameters
    ----------
    alpha, sigma : callables
        alpha(t) and sigma(t), (n,) -> (n,), smooth for 0 < t < t_max; alpha > 0 before t_max (it may end at 0), sigma >= 0 and not
        0 after 0; sigma/alpha must not fall. alpha(0) = 1 and sigma(0) = 0 where data are to be the start, but nothing demands it.
    t_max : float
        The last time.
    alpha_slope, sigma_slope : callables, optional
        Their derivatives. Without them they are taken by differences, which ask for some thirty values each time: fine for
        schedules and a few steps, slow along a flow.

    Raises
    ------
    TypeError, ValueError
        For what is no function of arrays, values out of range, slopes that are not those of alpha and sigma (at three times), or
        sigma/alpha that falls (at 256 times between 0 and t_max, and wherever g is asked for).
    """

    signal: Callable
    noise: Callable
    t_max: float = 1.0
    signal_slope: Callable | None = None
    noise_slope: Callable | None = None

    def __init__(self, alpha: Callable, sigma: Callable, t_max: float = 1.0, *, alpha_slope: Callable | None = None,
                 sigma_slope: Callable | None = None):  # fmt: skip
        fields = {"alpha": alpha, "sigma": sigma, "alpha_slope": alpha_slope, "sigma_slope": sigma_slope}
        for name, function in fields.items():
            if not callable(function) and not (function is None and name.endswith("slope")):
                raise TypeError(f"{name} is {function!r}: pass a function of time, (n,) -> (n,), such as lambda t: 1 - t")
        for name, value in zip(("signal", "noise", "signal_slope", "noise_slope"), fields.values(), strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "t_max", _validate.positive(t_max, "t_max"))
        t = self.t_max * np.linspace(0, 1, 257)
        a, s = self._alpha(t), self._sigma(t)
        if not (a[:-1] > 0).all():
            at = t[np.argmin(a[:-1])]
            raise ValueError(f"alpha(t) is {a[:-1].min()} at t = {at}: it must be positive before t_max = {self.t_max}")
        falls = s[1:] * a[:-1] < s[:-1] * a[1:] * (1 - 8 * _EPS)
        if falls.any():
            at = int(np.argmax(falls))
            raise ValueError(f"sigma/alpha falls between t = {t[at]} and {t[at + 1]}: noise cannot be taken away by an SDE "
                             "running up from the data; is time reversed (time 0 is data)?")
        inside = self.t_max * np.array([0.21, 0.52, 0.83])
        for name, function, slope in (("alpha", self._alpha, alpha_slope), ("sigma", self._sigma, sigma_slope)):
            if slope is not None:
                given, _ = self._slope(function, slope, inside)
                found, error = _differences.derivative(function, inside, np.full(3, 0.1 * self.t_max))
                if (np.abs(given - found) > 10 * error + 1e-6 * (np.abs(given) + np.abs(found))).any():
                    raise ValueError(f"{name}_slope is {given} at t = {inside}, where {name} changes by {found} a unit of time: "
                                     f"pass the derivative of {name}")

    def __repr__(self) -> str:
        slopes = "" if self.signal_slope is None else f", alpha_slope={self.signal_slope!r}, sigma_slope={self.noise_slope!r}"
        return f"Path(alpha={self.signal!r}, sigma={self.noise!r}, t_max={self.t_max!r}{slopes})"

    def alpha(self, t):
        """alpha(t), as given."""
        t = self._time(t)
        return self._alpha(t.reshape(-1)).reshape(t.shape)[()]

    def sigma(self, t):
        """sigma(t), as given."""
        t = self._time(t)
        return self._sigma(t.reshape(-1)).reshape(t.shape)[()]

    def rate(self, t):
        """-alpha'(t)/alpha(t); refused where alpha = 0."""
        t = self._time(t)
        flat = t.reshape(-1)
        alpha = self._nonzero(self._alpha(flat), flat, "alpha", "the rate -alpha'/alpha")
        return (-self._slope(self._alpha, self.signal_slope, flat)[0] / alpha.reshape(-1)).reshape(t.shape)[()]

    def diffusion(self, t):
        """sqrt(2 sigma (sigma' - sigma alpha'/alpha))."""
        t = self._time(t)
        return np.sqrt(self._variance_rate(t.reshape(-1))[0]).reshape(t.shape)[()]

    def coefficient_errors(self, t) -> tuple:
        """Absolute errors of ``rate`` and ``diffusion`` that differences leave; 0 where slopes are given."""
        t = self._time(t)
        flat = t.reshape(-1)
        of_rate = self._slope(self._alpha, self.signal_slope, flat)[1] / self._alpha(flat)
        g2, off = self._variance_rate(flat)
        of_g = off / np.maximum(np.sqrt(g2), np.sqrt(off / 2) + np.finfo(np.float64).tiny)
        return of_rate.reshape(t.shape)[()], of_g.reshape(t.shape)[()]

    def _variance_rate(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """g^2 (n,) and the error that slopes by differences leave in it."""
        alpha = self._nonzero(self._alpha(t), t, "alpha", "g^2").reshape(-1)
        sigma = self._sigma(t)
        down, lost = (2 * sigma**2 * part / alpha for part in self._slope(self._alpha, self.signal_slope, t))
        slope, off = self._slope(self._sigma, self.noise_slope, t)
        up, off = 2 * sigma * slope, 2 * sigma * off
        if self.noise_slope is None:  # sigma^2 is smooth where sigma starts like sqrt(t), and the better known of the two is taken
            of_square, its_off = self._slope(lambda u: self._sigma(u) ** 2, None, t)
            better = (its_off < off) | (sigma == 0)
            up, off = np.where(better, of_square, up), np.where(better, its_off, off)
        g2 = up - down
        rounding = 1e-9 * (np.abs(up) + np.abs(down)) + off + lost
        if (g2 < -rounding).any():
            at = int(np.argmin(g2))
            raise ValueError(f"g^2 is {g2[at]} at t = {t[at]}: sigma/alpha falls there; noise must grow against the signal")
        return np.maximum(g2, 0), off + lost

    def _integrated_rate(self, s, t):
        with np.errstate(divide="ignore"):
            return np.log(self._at(self._alpha, s) / self._at(self._alpha, t))

    def _transition_std(self, s, t):
        s, t = np.broadcast_arrays(s, t)
        before = self._at(self._alpha, t) / self._at(self._alpha, s) * self._at(self._sigma, s)
        after = self._at(self._sigma, t)
        variance = (after - before) * (after + before)
        close = (variance < _CANCELS * after**2) & (s < t)
        if close.any():
            variance = np.where(close, 0.0, variance)
            variance[close] = self._integral(s[close], t[close], lambda u, low, high: (self._alpha(high) / self._alpha(u)) ** 2)
        return np.sqrt(np.maximum(variance, 0))[()]

    def _frozen_score_weight(self, s, t):
        s, t = np.broadcast_arrays(s, t)
        weight = self._integral(s.reshape(-1), t.reshape(-1), lambda u, low, high: self._alpha(low) / self._alpha(u))
        return weight.reshape(s.shape)[()]

    def _integral(self, low: np.ndarray, high: np.ndarray, factor: Callable) -> np.ndarray:
        """int factor(u) g(u)^2 du over each interval (n,)."""
        noise = 64 * _EPS if self.signal_slope and self.noise_slope else _DIFFERENCES
        return _quadrature.integrals(lambda u, i: factor(u, low[i], high[i]) * self._variance_rate(u)[0], low, high, noise)[0]

    def _alpha(self, t: np.ndarray) -> np.ndarray:
        return _validate.of_time(self.signal, t, "alpha")

    def _sigma(self, t: np.ndarray) -> np.ndarray:
        return _validate.of_time(self.noise, t, "sigma")

    @staticmethod
    def _at(function: Callable, t: np.ndarray) -> np.ndarray:
        t = np.asarray(t)
        return function(t.reshape(-1)).reshape(t.shape)

    def _slope(self, function: Callable, given: Callable | None, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The derivative and its error: as given, or by central differences; at the ends half the second one in sqrt(distance)."""
        if given is not None:
            slope = np.asarray(given(t), dtype=np.float64)
            if slope.shape != t.shape or not np.isfinite(slope).all():
                raise ValueError(f"a slope has shape {slope.shape}, or is not finite, for t of shape {t.shape}: pass functions "
                                 "of arrays")
            return slope, np.zeros_like(slope)
        slope, error = np.empty_like(t), np.empty_like(t)
        near = np.minimum(t, self.t_max - t) < _EDGE * self.t_max
        if not near.all():
            inside = t[~near]
            reach = np.minimum(inside, self.t_max - inside) / 2
            slope[~near], error[~near] = _differences.derivative(function, inside, reach)
        if near.any():
            ends, inwards = t[near], np.where(t[near] < self.t_max / 2, 1.0, -1.0)

            def beside(y):  # rows of as many y as there are ends, one row after the other
                rows = len(y) // len(ends)
                return function(np.tile(ends, rows) + np.tile(inwards, rows) * y * y)

            reach = np.full(len(ends), np.sqrt(self.t_max / 4))
            second, off = _differences.derivative(beside, np.zeros(len(ends)), reach, order=2)
            slope[near], error[near] = inwards * second / 2, off / 2
        if not np.isfinite(slope).all():
            at = t[np.argmax(~np.isfinite(slope))]
            raise ValueError(f"the slope at t = {at} cannot be told from values: pass alpha_slope and sigma_slope")
        return slope, error
