r"""The two-sided exponential law: an edge that falls off at two rates.

    p(x) = e^{-(m - x)/L}/(L + R)  for x < m,      e^{-(x - m)/R}/(L + R)  for x > m,

the law of m - L e + R e' with independent standard exponentials e, e'. Of the mass L/(L + R) lies on the left, with score 1/L, the
rest on the right, with score -1/R; at m there is a kink and no score. With noise sigma z, of density phi(x/sigma)/sigma, each side
becomes an exponentially modified Gaussian,

    int_0^inf e^{-s/R}/R phi((x - s)/sigma)/sigma ds = e^{-x/R + sigma^2/(2 R^2)}/R Phi(x/sigma - sigma/R).

`_edges` computes them to full accuracy in the tails, `_edge_rows` mixes the two (systems A6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refscore.densities._edge_rows import offset
from refscore.densities._edges import UNIT, flank
from refscore.densities._smoothed import STEEPEST, Smoothed, coordinates, in_range

_DEPTHS = np.array([1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64])  # scales beyond which e^-64 is left


@dataclass(frozen=True, eq=False, repr=False)
class TwoSidedExponential(Smoothed):
    """Product of asymmetric two-sided exponential laws in d dimensions, and its corruption by Gaussian noise.

    Parameters
    ----------
    loc : scalar or (d,)
        Where the two sides meet: the mode, not the mean.
    left, right : scalar or (d,)
        Scales (mean distances) of the two sides, positive.

    After corruption they are those of the law without its ``noise``, the standard deviation of what has been added.

    Raises
    ------
    ValueError
        Shapes that disagree, scales outside [1e-152, 1e152]; without noise, the score at ``loc`` itself.

    Source: systems A6.
    """

    loc: Any
    left: Any
    right: Any
    _shares: np.ndarray = field(init=False)
    _parameters = ("loc", "left", "right")
    _widths = ("left", "right")
    _break = "where the two sides meet in a kink"

    def __post_init__(self):
        loc, left, right = coordinates(("loc", self.loc), ("left", self.left), ("right", self.right))
        in_range(left, "left")
        in_range(right, "right")
        self._set(0.0, 0.0, loc=loc, left=left, right=right, _shares=np.log([left / (left + right), right / (left + right)]))

    def _moments(self):
        return self.loc + (self.right - self.left), self.left**2 + self.right**2

    def _edges(self, x):
        v, error = offset(self, x, self.loc)
        for side, share, scale in ((-1.0, self._shares[0], self.left), (1.0, self._shares[1], self.right)):
            with np.errstate(divide="ignore", over="ignore"):
                theta = np.minimum(self.noise / scale, STEEPEST)
            yield side, share, flank(side * v, theta, error, (1 + 2 * self._ulps) * UNIT)

    def _plain(self, x):
        scale = np.where(x < self.loc, self.left, self.right)
        depth, total = np.abs(x - self.loc) / scale, np.log(self.left + self.right)
        error = UNIT * ((4 + self._ulps) * (1 + depth + np.abs(total)) + self._ulps * np.abs(self.loc) / scale)
        return -total - depth, error, np.where(x == self.loc, np.nan, np.sign(self.loc - x) / scale)

    def _draw(self, n, rng):
        left, right = rng.standard_exponential((2, n, self.dim))
        return self.loc + (self.right * right - self.left * left)

    def _breaks(self, i):
        loc, left, right, noise = self.loc[i], self.left[i], self.right[i], self.noise
        below, above = loc - left * _DEPTHS, loc + right * _DEPTHS
        steps = noise * np.arange(13)
        ends = [below[-1] - steps[-1], above[-1] + steps[-1]]
        return np.unique(np.concatenate([below, above, loc - steps, loc + steps, ends]))
