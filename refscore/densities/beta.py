r"""The Beta law on (0, 1): a density that may vanish, jump or blow up at its ends.

    p(x) = x^{a-1} (1 - x)^{b-1}/B(a, b)     s(x) = (a-1)/x - (b-1)/(1-x)     Ds(x) = -(a-1)/x^2 - (b-1)/(1-x)^2

What happens at x = 0 (and at x = 1 with b in place of a):

    a > 1        p vanishes: no flux of p s for bounded s         a > 2   E s^2 is finite too, and
    a = 1        p(0) = b: a flux -b s(0)                                 I = (a+b-1)(a+b-2) [1/(a-2) + 1/(b-2)]
    a < 1        p is unbounded: the flux of any s with s(0) != 0 is infinite
    a <= 2, a != 1   E s^2 is infinite: explicit score matching against s_p has no finite value (systems B3)

For large a and b all terms of log p are large and their sum is not. It is taken from the mean m = a/(a+b), with Stirling's formula
log Gamma(z) = (z - 1/2) log z - z + 1/2 log 2 pi + D(z) for B(a, b), so that what is large cancels by hand:

    log p(x) = (a-1) log(x/m) + (b-1) log((1-x)/(1-m)) - 1/2 log(2 pi m (1-m)/(a+b)) - [D(a) + D(b) - D(a+b)]
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from refscore import _blocks, _validate
from refscore.densities.unnormalized import EPS, UnnormalizedDensity

_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)


class Beta(UnnormalizedDensity):
    """Beta(a, b) on (0, 1), a, b > 0.

    Expectations have full accuracy near 0; near 1, where x is known to 1e-16 only, an error of (1e-16)^b that is estimated: for
    b < 1 take Beta(b, a), the law of 1 - x.

    Raises ValueError or TypeError for a or b that is not a positive number. Source: systems B3; [b], [c].
    """

    a: float
    b: float

    def __init__(self, a: float, b: float):
        a, b = _validate.positive(a, "a"), _validate.positive(b, "b")
        object.__setattr__(self, "a", a)
        object.__setattr__(self, "b", b)
        super().__init__(partial(_log_density, a, b), (0.0, 1.0), partial(_slope, a, b), partial(_curvature, a, b))

    def __repr__(self) -> str:
        return f"Beta(a={self.a!r}, b={self.b!r})"

    @property
    def _log_z(self) -> tuple[float, float]:
        """(0, rounding): log_p is normalised already. In it sqrt(ab/(a+b)), the size of both terms where the mass is."""
        a, b = self.a, self.b
        return 0.0, 16 * EPS * (1 + abs(math.log(a)) + abs(math.log(b)) + math.sqrt(a * (b / (a + b))))

    def logpdf_error(self, x) -> np.ndarray:
        """Error estimate of `logpdf`, (n,): rounding of its terms."""
        error = super().logpdf_error(x)
        x = np.clip(np.asarray(x, dtype=np.float64)[:, 0], np.finfo(float).tiny, 1 - EPS / 2)  # at the ends nothing is rounded
        left, right = _terms(self.a, self.b, x)
        return error + 4 * EPS * (np.abs(left) + np.abs(right))

    @property
    def mean(self) -> np.ndarray:
        """a/(a + b), (1,)."""
        return np.array([self.a / (self.a + self.b)])

    @property
    def cov(self) -> np.ndarray:
        """a b/((a + b)^2 (a + b + 1)), (1, 1)."""
        total = self.a + self.b
        return np.array([[self.a / total * self.b / total / (total + 1)]])

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, 1). ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        return _blocks.map_rows(partial(_draw, self.a, self.b), n=n, rng=rng, row_bytes=32)


def _log_density(a: float, b: float, x: np.ndarray) -> np.ndarray:
    left, right = _terms(a, b, x)
    rest = _remainder(a) + _remainder(b) - _remainder(a + b)
    return left + right + 0.5 * (math.log1p(b / a) + math.log1p(a / b) + math.log(a + b) - math.log(2 * math.pi)) - rest


def _terms(a: float, b: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a-1) log(x/m) and (b-1) log((1-x)/(1-m)); near m from x - m, which is exact there, told from the nearer end."""
    m, n = a / (a + b), b / (a + b)
    away = x - m if a <= b else n - (1 - x)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(np.abs(away) < m / 2, np.log1p(away / m), np.log(x) + math.log1p(b / a))
        right = np.where(np.abs(away) < n / 2, np.log1p(-away / n), np.log1p(-x) + math.log1p(a / b))
    return (a - 1) * left if a != 1 else np.zeros_like(x), (b - 1) * right if b != 1 else np.zeros_like(x)


def _remainder(z: float) -> float:
    """D(z) of Stirling's formula."""
    if z < 10:
        return math.lgamma(z) - (z - 0.5) * math.log(z) + z - 0.5 * math.log(2 * math.pi)
    return sum(c * z ** (-2 * k - 1) for k, c in enumerate(_STIRLING))


def _slope(a: float, b: float, x: np.ndarray) -> np.ndarray:
    return (a - 1) / x - (b - 1) / (1 - x)


def _curvature(a: float, b: float, x: np.ndarray) -> np.ndarray:
    return -(a - 1) / x**2 - (b - 1) / (1 - x) ** 2


def _draw(a: float, b: float, n: int, rng) -> np.ndarray:
    return rng.beta(a, b, (n, 1))
