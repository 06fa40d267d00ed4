r"""The Beta law on (0, 1): a density that may vanish, jump or blow up at its ends.

    p(x) = x^{a-1} (1 - x)^{b-1}/B(a, b)     s(x) = (a-1)/x - (b-1)/(1-x)     Ds(x) = -(a-1)/x^2 - (b-1)/(1-x)^2

What happens at x = 0 (and at x = 1 with b in place of a):

    a > 1        p vanishes: no flux of p s for bounded s         a > 2   E s^2 is finite too, and
    a = 1        p(0) = b: a flux -b s(0)                                 I = (a+b-1)(a+b-2) [1/(a-2) + 1/(b-2)]
    a < 1        p is unbounded: the flux of any s with s(0) != 0 is infinite
    a <= 2, a != 1   E s^2 is infinite: explicit score matching against s_p has no finite value (systems B3)
"""

from __future__ import annotations

from functools import partial

import numpy as np

from refscore import _blocks, _validate
from refscore.densities.unnormalized import EPS, UnnormalizedDensity


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
        """(0, rounding): log_p is normalised already, by log B(a, b)."""
        return 0.0, 16 * EPS * (1 + abs(float(_log_density(self.a, self.b, np.full(1, 0.5))[0])))

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
    from scipy.special import betaln, xlog1py, xlogy

    return xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b)


def _slope(a: float, b: float, x: np.ndarray) -> np.ndarray:
    return (a - 1) / x - (b - 1) / (1 - x)


def _curvature(a: float, b: float, x: np.ndarray) -> np.ndarray:
    return -(a - 1) / x**2 - (b - 1) / (1 - x) ** 2


def _draw(a: float, b: float, n: int, rng) -> np.ndarray:
    return rng.beta(a, b, (n, 1))
