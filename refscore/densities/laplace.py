r"""The Laplace law: p(x) = e^{-|x - m|/b}/(2 b), the two-sided exponential with equal sides (systems A6).

Its score is -sign(x - m)/b, with a kink of log p at m, where the score does not exist. Corrupted,

    s = (r_left - r_right)/b,      r the posterior probabilities that the data lay left and right of m.
"""

from __future__ import annotations

from refscore.densities.two_sided_exponential import TwoSidedExponential


class Laplace(TwoSidedExponential):
    """Product of Laplace laws in d dimensions, and its corruption by Gaussian noise.

    Parameters
    ----------
    loc : scalar or (d,)
        Mean and median.
    scale : scalar or (d,)
        Mean distance from ``loc``, positive; the variance is 2 scale^2.

    Raises
    ------
    ValueError
        As `TwoSidedExponential`.

    Source: systems A6; the kink is X19.
    """

    def __init__(self, loc, scale):
        super().__init__(loc, scale, scale)

    @property
    def scale(self):
        """The common scale of both sides, (d,)."""
        return self.left

    def __repr__(self) -> str:
        return self._called("loc", "scale")
