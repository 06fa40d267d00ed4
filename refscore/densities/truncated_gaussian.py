r"""The Gaussian N(m, sigma^2) conditioned on an interval or a half-line: a density whose ends carry a flux.

Let o be the point of [low, high] nearest to m, r = (o - m)/sigma, t = (x - o)/sigma. Then

    log p(x) = -r t - t^2/2 - log(sigma M),     M = int e^{-r t - t^2/2} dt over the interval
    s(x)     = (m - x)/sigma^2,                 Ds = -1/sigma^2

as without the ends: a score does not see where its density stops. Nothing here cancels or underflows however far the interval lies
in the tail, where (x - m)^2 and log Phi alone would lose all digits of their difference. Each side of o adds

    G(w, r) = int_0^w e^{-r t - t^2/2} dt = sqrt(pi/2) [erfcx(r/sqrt 2) - e^{-r w - w^2/2} erfcx((r + w)/sqrt 2)],  r >= 0.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from refscore import _validate
from refscore.densities.unnormalized import EPS, UnnormalizedDensity


class TruncatedGaussian(UnnormalizedDensity):
    """N(mean, sigma^2) conditioned on low < x < high.

    Parameters
    ----------
    mean, sigma : float
        Mean and standard deviation before truncation.
    low, high : float
        Ends, either of which may be infinite.

    Raises
    ------
    ValueError
        sigma not above 0, low not below high, an interval so far out that its distance to the mean overflows.

    Source: systems B3; [b, "Implicit score matching"].
    """

    _name: str

    def __init__(self, mean: float, sigma: float, low: float = -math.inf, high: float = math.inf):
        mean, sigma = float(_validate.finite(np.array(mean, dtype=np.float64), "mean")), _validate.positive(sigma, "sigma")
        origin = min(max(mean, float(low)), float(high))
        tilt = (origin - mean) / sigma
        sides = [((float(high) - origin) / sigma, tilt), ((origin - float(low)) / sigma, -tilt)]
        if not math.isfinite(tilt * tilt):
            raise ValueError(f"[low, high] = [{low}, {high}] is {abs(tilt):.3g} standard deviations from the mean {mean}: rescale")
        log_mass = math.log(sigma * sum(_half_mass(width, r) for width, r in sides if width > 0)) if low < high else 0.0
        log_p = partial(_log_density, origin, sigma, tilt, log_mass)
        super().__init__(log_p, (low, high), partial(_slope, mean, sigma), partial(_curvature, sigma))
        name = f"TruncatedGaussian(mean={mean!r}, sigma={sigma!r}, low={float(low)!r}, high={float(high)!r})"
        object.__setattr__(self, "_name", name)

    def __repr__(self) -> str:
        return self._name

    @property
    def _log_z(self) -> tuple[float, float]:
        """(0, rounding): log_p is normalised already, by the formula above."""
        return 0.0, 32 * EPS


def _half_mass(w: float, r: float) -> float:
    """G(w, r) for w > 0, r >= 0; by Gauss-Legendre where the difference of two erfcx would cancel."""
    from scipy.special import erfcx

    if w * (1 + r) < 1:
        z, weights = np.polynomial.legendre.leggauss(20)
        t = w * (z + 1) / 2
        return float(w / 2 * (weights @ np.exp(-r * t - t * t / 2)))
    rest = math.exp(-r * w - w * w / 2) * erfcx((r + w) / math.sqrt(2)) if w < math.inf else 0.0
    return math.sqrt(math.pi / 2) * float(erfcx(r / math.sqrt(2)) - rest)


def _log_density(origin: float, sigma: float, tilt: float, log_mass: float, x: np.ndarray) -> np.ndarray:
    t = (x - origin) / sigma
    return -t * (tilt + t / 2) - log_mass


def _slope(mean: float, sigma: float, x: np.ndarray) -> np.ndarray:
    return (mean - x) / sigma / sigma


def _curvature(sigma: float, x: np.ndarray) -> np.ndarray:
    return np.full(x.shape, -1 / sigma / sigma)
