r"""The uniform law on a box: p(x) = 1/prod_i (b_i - a_i) for a <= x <= b, and 0 outside (systems A6).

Inside the score is 0; at the boundary and outside there is none. With noise sigma z every coordinate becomes

    [Phi((b - x)/sigma) - Phi((a - x)/sigma)]/(b - a),

a difference that `_edges` computes without cancellation, for boxes narrow and wide and far outside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refscore.densities._edge_rows import offset
from refscore.densities._edges import UNIT, box
from refscore.densities._smoothed import Smoothed, coordinates, in_range
from refscore.densities.product import Product
from refscore.densities.unnormalized import Face, UnnormalizedDensity


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(Smoothed):
    """Uniform law on a box in d dimensions, and its corruption by Gaussian noise.

    Parameters
    ----------
    low, high : scalar or (d,)
        Ends of the box in every coordinate, low < high.

    After corruption they are those of the law without its ``noise``, the standard deviation of what has been added. Without noise
    ``logpdf`` is -inf outside the box: a true infinity.

    Raises
    ------
    ValueError
        Shapes that disagree, low >= high, widths outside [1e-152, 1e152]; without noise, the score at the boundary and outside.

    Source: systems A6.
    """

    low: Any
    high: Any
    width: np.ndarray = field(init=False)
    _parameters = ("low", "high", "width")
    _widths = ("width",)
    _break = "at the boundary of the box or outside it"

    def __post_init__(self):
        low, high = coordinates(("low", self.low), ("high", self.high))
        if not (low < high).all():
            i = int(np.argmin(high - low))
            raise ValueError(f"low[{i}] = {low[i]} and high[{i}] = {high[i]}: low must be below high; exchange them")
        in_range(high - low, "high - low")
        self._set(0.0, 0.0, low=low, high=high, width=high - low)

    def faces(self, spacing: float = 1.0) -> list[Face]:
        """The 2 d sides of the box, with nodes (`Product.faces`); none once there is noise."""
        if self.noise:
            return []
        return Product([UnnormalizedDensity(np.zeros_like, side) for side in zip(self.low, self.high, strict=True)]).faces(spacing)

    def _moments(self):
        return self.low + self.width / 2, self.width**2 / 12

    def _edges(self, x):
        below = x - self.low <= self.high - x
        t, error = offset(self, np.where(below, self.low, x), np.where(below, x, self.high))
        yield np.where(below, 1.0, -1.0), np.zeros(self.dim), box(t, self.width / self.noise, error, (1 + 2 * self._ulps) * UNIT)

    def _plain(self, x):
        inside = (x >= self.low) & (x <= self.high)
        value = np.where(inside, -np.log(self.width), -np.inf)
        error = np.where(inside, (4 + self._ulps) * UNIT * (1 + np.abs(np.log(self.width))), 0.0)
        return value, error, np.where((x > self.low) & (x < self.high), 0.0, np.nan)

    def _draw(self, n, rng):
        return self.low + self.width * rng.random((n, self.dim))

    def _breaks(self, i):
        low, high, steps = self.low[i], self.high[i], self.noise * np.arange(13)
        return np.unique(np.concatenate([np.linspace(low, high, 5), low - steps, low + steps, high - steps, high + steps]))
