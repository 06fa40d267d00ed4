r"""Where one component of a Gaussian mixture takes over from another, in the plane and in space: which boxes it passes through.

There log q has a kink and its score a jump. With h_k = log w_k N(u; m_k, C_k), the log-ratio g = h_t - h_k of two is a quadratic
polynomial, and q is smooth on the scale 1/|grad g| on which it changes by one. In a box with edges e, t the highest at its middle,

    g >= min over the corners - 1/8 sum_i e_i^2 |d_ii g|        (multilinear interpolation),
    |d_i g| <= |d_i g(middle)| + 1/2 sum_j e_j |d_ij g|,

so that what k is to q there, and how often log q bends within an edge, are bounded from above and by no samples.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

_LOST = 38.0  # e^-38 of q is lost in rounding
_EPS = float(np.finfo(np.float64).eps)


class Heights(NamedTuple):
    """log w_k N(u; m_k, C_k) = top_k - 1/2 |A_k (u - m_k)|^2 for all components of a law, up to a constant."""

    top: np.ndarray  # (J,)
    means: np.ndarray  # (J, d)
    whitening: np.ndarray  # (J, d, d)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """(m, J) at u (m, d)."""
        return self.top - 0.5 * np.square(np.einsum("jab,mjb->mja", self.whitening, u[:, None] - self.means)).sum(axis=2)


def steepness(law: Heights, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """By how much log-ratios of components that matter in a box may change along its edges, (m, d); 0 where one alone does."""
    edges, middle = high - low, low + (high - low) / 2
    rows = np.arange(len(low))
    at = law(middle)
    top = at.argmax(axis=1)
    precision = np.einsum("jab,jac->jbc", law.whitening, law.whitening)
    bend = np.abs(precision[top][:, None] - precision)  # (m, J, d, d)
    least = np.full(at.shape, np.inf)
    for ends in itertools.product((False, True), repeat=low.shape[1]):
        h = law(np.where(ends, high, low))
        least = np.minimum(least, h[rows, top][:, None] - h - 8 * _EPS * np.abs(h))
    least -= 0.125 * np.einsum("mjaa,ma->mj", bend, edges**2)
    slopes = np.einsum("jab,mjb->mja", precision, law.means - middle[:, None])
    change = (np.abs(slopes[rows, top][:, None] - slopes) + 0.5 * np.einsum("mjab,mb->mja", bend, edges)) * edges[:, None]
    return np.where((least < _LOST)[:, :, None], change, 0.0).max(axis=1)
