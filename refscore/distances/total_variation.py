"""Total variation between two laws, TV(p, q) = 1/2 int |p - q|.

Gaussians of any covariances in any dimension, and products of laws on the line, by their Hellinger transform (`_hellinger`), one
coordinate that is not Gaussian apart from the others (`_nested`). Other laws on the line without quadrature: let r_1 < ... < r_m be
the points where p - q changes sign. Between two of them the integral of |p - q| is an exact difference of distribution functions,
so with D = P - Q, D(-inf) = D(inf) = 0,

    TV = 1/2 sum_i |D(r_{i+1}) - D(r_i)|.

An error e in a root costs (p - q)'(r) e^2/2 only, for p - q vanishes there. Roots are looked for on a grid with 8 to
16 points per standard deviation of the narrowest component around; where |log p/q| dips without a change of sign, at
the bottom of the dip too. What such a grid can overlook shows in the same computation on every other point, and the
difference is part of the error.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from refscore.densities import Gaussian, GaussianMixture, PanelLaw, Product, PushForward
from refscore.densities._grid import NEGLIGIBLE
from refscore.densities.panel_law import gauss
from refscore.distances import _hellinger, _nested, _tapered
from refscore.distances._bisection import bisect
from refscore.distances._factors import paired_factors
from refscore.distances._gaussian_pair import gaussian_pair

Line = GaussianMixture | PushForward | PanelLaw
"""What has logpdf, score, cdf and sf on the line, and a grid that resolves it."""

_EPS = np.finfo(np.float64).eps
_PER_STD = 8
_SINGULAR = -50.0  # of log phi(1/2): 1 - TV <= phi(1/2)


def total_variation(p: Any, q: Any) -> tuple[float, float]:
    """TV(p, q) = 1/2 int |p - q| in [0, 1], and an absolute error estimate.

    Parameters
    ----------
    p, q : Gaussian, GaussianMixture, PushForward, PanelLaw or Product
        Gaussians in any dimension, which keep relative accuracy however close they are; otherwise one-dimensional; or a product of
        such factors, and a product or a mixture that splits in the same axes. Beside a PanelLaw any density on the line that is
        smooth on its panels, such as the Laplace law at which MALA settles.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For mixtures in more than one dimension; where float64 does not resolve one covariance against the other; where the error
        would be 1/2 or more.

    Notes
    -----
    Of products with two coordinates or a few more that are nearly equal and not Gaussian less is known: phi decays slowly and
    oscillates, and the error says so.

    Source: [e], the theorem of Chen et al. 2023 bounds this distance; systems H5, H6.
    """
    for name, density, other in (("p", p, q), ("q", q, p)):
        if not isinstance(density, Line | Product) and not (isinstance(other, PanelLaw) and hasattr(density, "logpdf")):
            raise TypeError(f"{name} is {type(density).__name__}: pass a Gaussian, a GaussianMixture, a PushForward, a "
                            "PanelLaw or a Product of them")
    if p.dim != q.dim:
        raise ValueError(f"p has dimension {p.dim} and q has dimension {q.dim}: they must agree")
    if (pairs := paired_factors(p, q)) is not None:
        return _known(*_products(pairs))
    if _equal(p, q):
        return 0.0, 0.0
    if _gaussian(p) and _gaussian(q):
        return _known(*_gaussians(p, q))
    if p.dim == 1 and isinstance(p, Line) and isinstance(q, Line):
        return _known(*_one_dimension(p, q))
    if p.dim == 1 and not isinstance(p, Product) and not isinstance(q, Product):
        (p, missing), (q, also_missing) = _on_panels(p, q), _on_panels(q, p)
        value, error = _one_dimension(p, q)
        return _known(value, error + missing + also_missing)
    raise ValueError(
        f"total variation in dimension {p.dim} is known for Gaussians and for products only: pass Product([...]) on both sides if "
        "the laws split in the same axes, project to one dimension (a lower bound), or bound it from above by Pinsker's inequality "
        "sqrt(KL/2), see kl"
    )


def _known(value: float, error: float) -> tuple[float, float]:
    """The rule of the room: 1/2 +- 1/2 is known of any two laws."""
    if not error < 0.5:
        raise ValueError(f"total variation came out as {value:.3g} with an error of {error:.1g}, which says nothing: a covariance "
                         "is nearly singular, or a product resists its quadrature; bound it by Pinsker's inequality "
                         "sqrt(KL/2), see kl, or from below by total variations of single coordinates")
    return value, min(error, max(value, 1 - value))


def _gaussian(law) -> bool:
    return isinstance(law, GaussianMixture) and len(law.means) == 1


def _equal(p, q) -> bool:
    if p is q:
        return True
    both = isinstance(p, GaussianMixture) and isinstance(q, GaussianMixture)
    return both and all(np.array_equal(getattr(p, name), getattr(q, name)) for name in ("weights", "means", "covs"))


def _gaussians(p: GaussianMixture, q: GaussianMixture) -> tuple[float, float]:
    pair = gaussian_pair(p, q)
    if not np.isfinite(pair.squares.sum()):  # means apart by 1e154 standard deviations of q, or p that much wider than q
        return 1.0, 4 * _EPS
    affinity, doubt = _hellinger.log_affinity(pair)
    if affinity + doubt < _SINGULAR:
        return 1.0, 4 * _EPS
    value, error = _hellinger.total_variation_of(_hellinger.of_gaussians(pair))
    return _hellinger.within(value, error + _hellinger.gaussian_doubt(pair), affinity, doubt)


def _products(pairs: Counter) -> tuple[float, float]:
    """Coordinates that differ: a single one, Gaussians as one Gaussian, others pair by pair."""
    for factor in (factor for pair in pairs for factor in pair):
        if not isinstance(factor, Line):
            raise TypeError(f"a factor is {type(factor).__name__}: pass products of Gaussians, mixtures and push-forwards")
    pairs = Counter({pair: count for pair, count in pairs.items() if not _equal(*pair)})
    if pairs.total() < 2:
        return total_variation(*next(iter(pairs))) if pairs else (0.0, 0.0)
    normal = [pair for pair in pairs.elements() if all(map(_gaussian, pair))]
    laws = [Gaussian([law.means[0, 0] for law in side], [law.covs.ravel()[0] for law in side])
            for side in zip(*normal, strict=True)]
    if len(normal) == pairs.total() or (normal and _gaussians(*laws)[0] == 1):
        return _gaussians(*laws)
    left_out = sum(count * (_left_out(a) + _left_out(b)) for (a, b), count in pairs.items())
    if pairs.total() == 2:
        value, error = _nested.of_two_coordinates(*pairs.elements())
    elif len(normal) == pairs.total() - 1:
        (outer,), block = (pair for pair in pairs if not all(map(_gaussian, pair))), gaussian_pair(*laws)
        value, error = _nested.of_coordinate_and_block(outer, block)
        error += _hellinger.gaussian_doubt(block)
    else:
        alike: dict[tuple, tuple] = {}  # Gaussians are told apart by their values
        for pair, count in pairs.items():
            key = tuple((law.means[0, 0], law.covs.ravel()[0]) if _gaussian(law) else law for law in pair)
            alike[key] = (*pair, count + (alike[key][2] if key in alike else 0))
        value, error = _tapered.total_variation_of(list(alike.values()))
    return value, error + left_out


def _on_panels(density: Any, other: Any) -> tuple[Line, float]:
    """A density that knows no more than logpdf, by polynomials on the panels of the other; and its mass outside of them."""
    if isinstance(density, Line):
        return density, 0.0
    nodes, weights = gauss(other.edges, other.values.shape[1])
    values = np.exp(density.logpdf(nodes[:, None]))
    return PanelLaw(other.edges, values.reshape(other.values.shape)), abs(1 - float(weights @ values))


def _one_dimension(p: Line, q: Line) -> tuple[float, float]:
    x = np.unique(np.concatenate([p.grid(_PER_STD), q.grid(_PER_STD)]))
    gap = _LogRatio(p, q)
    log_ratio, noise = gap.with_noise(x)
    jumps = np.concatenate([law.edges for law in (p, q) if isinstance(law, PanelLaw)] or [np.zeros(0)])  # cuts that cost nothing
    value, rounding = _from_roots(p, q, np.union1d(_roots(gap, x, log_ratio, noise), jumps))
    coarse, _ = _from_roots(p, q, np.union1d(_roots(gap, x[::2], log_ratio[::2], noise[::2]), jumps))
    return min(value, 1.0), float(rounding + abs(value - coarse) + _left_out(p) + _left_out(q) + _NOISE)


def _left_out(density: Line) -> float:
    """What the weights lack to one, components too light for the grid, the error of map or polynomials."""
    if isinstance(density, PanelLaw):
        return 2 * density.error
    weights = (density.base if isinstance(density, PushForward) else density).weights
    return float(abs(weights.sum() - 1) + weights[weights <= NEGLIGIBLE].sum() + 2 * getattr(density, "error", 0.0))


_NOISE = 256 * _EPS
"""Bound on 1/2 int |p - q| over the region where rounding hides the sign of p - q; what hides it in a `PushForward` or a
`PanelLaw`, the error of its map or polynomials, costs as much as the error of the law itself."""


class _LogRatio:
    """log p/q, its slope, and how much of it may be rounding."""

    def __init__(self, p: Line, q: Line):
        self._p, self._q = p, q

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.with_noise(x)[0]

    def with_noise(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(x):
            return x, x
        log_p, log_q = self._p.logpdf(x[:, None]), self._q.logpdf(x[:, None])
        with np.errstate(invalid="ignore"):  # where one density only is past float64, the sign is clear
            ratio = log_p - log_q
        noise = 8 * _EPS * (4 + np.abs(log_p) + np.abs(log_q))
        noise += sum(law.logpdf_error(x[:, None]) for law in (self._p, self._q) if isinstance(law, PanelLaw))
        return ratio, np.where(np.isinf(ratio), 0.0, noise)

    def slope(self, x: np.ndarray) -> np.ndarray:
        if not len(x):
            return x
        return (self._p.score(x[:, None]) - self._q.score(x[:, None]))[:, 0]


def _roots(gap: _LogRatio, x: np.ndarray, log_ratio: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Sign changes of p - q: between neighbours of opposite sign, and beside a dip that reaches the other sign."""
    clear = np.abs(log_ratio) > noise
    x, size, sign = x[clear], np.abs(log_ratio[clear]), np.sign(log_ratio[clear])
    crossing = np.flatnonzero(sign[:-1] != sign[1:])
    lowest = 1 + np.flatnonzero((size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:]))
    lowest = lowest[(sign[lowest - 1] == sign[lowest]) & (sign[lowest] == sign[lowest + 1])]
    left, right, inside = x[lowest - 1], x[lowest + 1], sign[lowest]
    turns = (inside * gap.slope(left) < 0) & (inside * gap.slope(right) > 0)
    left, right, inside = left[turns], right[turns], inside[turns]
    bottom = bisect(gap.slope, left, right)
    value, blur = gap.with_noise(bottom)
    through = (value * inside < 0) & (np.abs(value) > blur)
    starts = np.concatenate([x[crossing], left[through], bottom[through]])
    stops = np.concatenate([x[crossing + 1], bottom[through], right[through]])
    return np.sort(bisect(gap, starts, stops))


def _from_roots(p: Line, q: Line, roots: np.ndarray) -> tuple[float, float]:
    """1/2 sum |D(r_{i+1}) - D(r_i)| and its rounding error; each D is a difference of the smaller tails."""
    if not len(roots):
        return 0.0, 0.0
    x = roots[:, None]
    below_p, below_q, above_p, above_q = p.cdf(x), q.cdf(x), p.sf(x), q.sf(x)
    upper = below_p + below_q > 1
    difference = np.where(upper, above_q - above_p, below_p - below_q)
    size = np.where(upper, above_p + above_q, below_p + below_q)
    steps = np.abs(np.diff(np.concatenate([[0.0], difference, [0.0]])))
    return float(steps.sum() / 2), float(16 * _EPS * size.sum() + 2 * _EPS)
