r"""A law on the line by its density at Gauss-Legendre nodes of panels, a polynomial on each.

What is left of a law when it is neither a mixture nor the image of one, such as that of a chain that may refuse a step. Outside the
panels it has no mass. Between them it may jump or have a kink, inside it is smooth: on a panel of half width r around m,

    p(m + r z) = sum_k c_k P_k(z),      c_k = (k + 1/2) sum_j w_j P_k(z_j) p_j.

If the values are those of a smoother function, the last three c_k say what the polynomials leave of it: that is ``error``. A
polynomial may fall below zero where p is lost in rounding; that is no mass.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from numpy.polynomial import legendre

from refscore import _blocks, _panels, _validate

_EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 64 * _EPS
_HALVINGS = 40


@dataclass(frozen=True, eq=False)
class PanelLaw:
    """The law with density proportional to ``values`` at the Gauss-Legendre nodes of panels (edges[i], edges[i+1]).

    Parameters
    ----------
    edges : (m + 1,)
        Strictly increasing.
    values : (m, order)
        The density at the nodes, up to a constant: they are divided by the mass.

    Raises ValueError for edges that do not increase, another shape, and values that are not finite or without mass.
    Source: systems F2.
    """

    edges: np.ndarray
    values: np.ndarray

    def __post_init__(self):
        edges = _validate.finite(_validate.reals(self.edges, "edges"), "edges")
        values = _validate.finite(_validate.reals(self.values, "values"), "values")
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise ValueError(f"edges has shape {edges.shape}: pass two or more strictly increasing numbers, the ends of panels")
        if values.ndim != 2 or len(values) != len(edges) - 1 or values.shape[1] < 3:
            raise ValueError(f"values has shape {values.shape}: pass ({len(edges) - 1}, order), the density at three "
                             "Gauss-Legendre nodes of every panel or more")
        mass = float(gauss(edges, values.shape[1])[1] @ values.ravel())
        if not mass > 0:
            raise ValueError(f"values have the mass {mass}: a density has more than none")
        for name, array in (("edges", edges), ("values", values / mass)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def dim(self) -> int:
        """Dimension, 1."""
        return 1

    @cached_property
    def error(self) -> float:
        """Estimate, in total variation, of how far the law is from the function of which the values were taken."""
        return float(np.diff(self.edges) @ self._doubt) / 2

    @cached_property
    def mean(self) -> np.ndarray:
        """E x, (1,)."""
        return self.expectation(lambda x: x)[0]

    @cached_property
    def cov(self) -> np.ndarray:
        """Var x, (1, 1)."""
        return self.expectation(lambda x: (x - self.mean) ** 2)[0][:, None]

    def density(self, x) -> np.ndarray:
        """p(x), (n,), for x (n, 1)."""
        return self._of_rows(_density, x)

    def logpdf(self, x) -> np.ndarray:
        """log p(x), (n,); -inf outside the panels, and where p is lost in rounding."""
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(self.density(x), 0.0))

    def logpdf_error(self, x) -> np.ndarray:
        """Estimate of how far log p(x) is from that of the function of which the values were taken, (n,); 0 where it is -inf."""
        x = _validate.batch(x, 1)
        p = self.density(x)
        return np.where(p > 0, self._doubt[self._panel(x[:, 0])] / np.where(p > 0, p, 1.0), 0.0)

    def score(self, x) -> np.ndarray:
        """p'(x)/p(x), (n, 1): from the right where panels meet, 0 where there is no mass."""
        return self._of_rows(_score, x)[:, None]

    def cdf(self, x) -> np.ndarray:
        """P(X <= x), (n,)."""
        return self._of_rows(partial(_tail, False), x)

    def sf(self, x) -> np.ndarray:
        """P(X > x), (n,): accurate where `cdf` is 1 to rounding."""
        return self._of_rows(partial(_tail, True), x)

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, 1), by inversion of the distribution function. ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        return _blocks.map_rows(partial(_draw, self), n=n, rng=rng, row_bytes=self._row_bytes)[:, None]

    def grid(self, per_std: float) -> np.ndarray:
        """Sorted points that resolve the law: the ends of the panels, and ``per_std`` points on each."""
        pieces = math.ceil(_validate.positive(per_std, "per_std"))
        inside = self.edges[:-1, None] + np.diff(self.edges)[:, None] * (np.arange(pieces) / pieces)
        return np.append(inside.ravel(), self.edges[-1])

    def nodes(self, spacing: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Nodes x (N, 1) and weights (N,) with sum w f(x) ~ E f; without those whose weight is lost in rounding.

        ``spacing`` is relative to the panels, at most 1; they are halved until they are that fine. How fine it must be depends on
        f: halve it and compare.
        """
        spacing = _validate.positive(spacing, "spacing")
        if spacing > 1:
            raise ValueError(f"spacing is {spacing}: pass at most 1, the panels themselves")
        x, weights = gauss(self.grid(2.0 ** math.ceil(-math.log2(spacing))), self.values.shape[1])
        weights = weights * self.density(x[:, None])
        return x[weights > 0, None], weights[weights > 0]

    def expectation(self, f, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000) -> tuple[Any, Any]:
        """E f(x) and an error estimate; f maps (n, 1) to (n, ...), and is not asked where there is no mass.

        The error is what polynomials leave of f p, and rounding; panels are halved until it is below ``tolerance`` E|f| or more
        than ``max_nodes`` nodes are under way. A RuntimeWarning says when it is not.
        """
        order, low, high = self.values.shape[1], self.edges[:-1], self.edges[1:]
        z, w = legendre.leggauss(order)
        total: Any = 0.0
        size, left = total, total
        for level in range(_HALVINGS):
            half = (high - low) / 2
            x = ((low + high) / 2)[:, None] + half[:, None] * z
            y, shape = _product(f, x.reshape(-1, 1), self.density(x.reshape(-1, 1)))
            y = y.reshape(len(low), order, -1)
            terms = half[:, None, None] * w[:, None] * y
            sizes = np.abs(terms).sum(axis=1)
            rest = 2 * half[:, None] * np.stack([tails(column) for column in np.moveaxis(y, 2, 0)], axis=1)
            size_so_far = size + sizes.sum(axis=0)
            good = (rest <= _ROUNDING * sizes + _EPS * size_so_far).all(axis=1)
            enough = (left + rest.sum(axis=0) + _ROUNDING * size_so_far <= tolerance * size_so_far).all()
            if enough or level == _HALVINGS - 1 or 2 * order * (~good).sum() > max_nodes:
                good[:] = True
            total, size, left = (a + b[good].sum(axis=0) for a, b in ((total, terms.sum(axis=1)), (size, sizes), (left, rest)))
            if good.all():
                break
            low, high = low[~good], high[~good]
            middle = (low + high) / 2
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        error = left + _ROUNDING * size
        if not (error <= tolerance * size).all():
            warnings.warn(f"expectation: the error estimate {np.max(error):.1e} is above tolerance {tolerance:.0e} times E|f|: f "
                          "is not smooth on any panel, or max_nodes is too small", RuntimeWarning, stacklevel=2)
        return (float(total[0]), float(error[0])) if shape == () else (total.reshape(shape), error.reshape(shape))

    @cached_property
    def _series(self) -> np.ndarray:
        """Legendre coefficients of p, (m, order)."""
        return self.values @ _coefficients(self.values.shape[1]).T

    @cached_property
    def _masses(self) -> np.ndarray:
        return np.diff(self.edges) * self._series[:, 0]

    @cached_property
    def _doubt(self) -> np.ndarray:
        """What the polynomials and rounding leave open of p, (m,)."""
        return tails(self.values) + _ROUNDING * np.abs(self.values).max(axis=1)

    @property
    def _row_bytes(self) -> int:
        return 4 * 8 * self.values.shape[1]  # a row's series, and those of its integral and derivative

    def _panel(self, x: np.ndarray) -> np.ndarray:
        return np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.values) - 1)

    def _of_rows(self, function: Callable, x) -> np.ndarray:
        return _blocks.map_rows(partial(function, self), _validate.batch(x, 1)[:, 0], row_bytes=self._row_bytes)


def _placed(law: PanelLaw, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The panel of x, half its width, z within it, and whether x is within the panels at all."""
    row = law._panel(x)
    half = (law.edges[row + 1] - law.edges[row]) / 2
    z = np.clip((x - (law.edges[row + 1] + law.edges[row]) / 2) / half, -1, 1)
    return row, half, z, (x >= law.edges[0]) & (x <= law.edges[-1])


def _density(law: PanelLaw, x: np.ndarray) -> np.ndarray:
    row, _, z, inside = _placed(law, x)
    return np.where(inside, legendre.legval(z, law._series[row].T, tensor=False), 0.0)


def _score(law: PanelLaw, x: np.ndarray) -> np.ndarray:
    row, half, z, inside = _placed(law, x)
    series = law._series[row].T
    p = legendre.legval(z, series, tensor=False)
    slope = legendre.legval(z, legendre.legder(series), tensor=False) / half
    return np.where(inside & (p > 0), slope, 0.0) / np.where(p > 0, p, 1.0)


def _tail(above: bool, law: PanelLaw, x: np.ndarray) -> np.ndarray:
    """Whole panels, and the integral of the polynomial over the piece."""
    row, half, z, _ = _placed(law, x)
    piece = half * np.abs(legendre.legval(z, legendre.legint(law._series[row].T, lbnd=1 if above else -1), tensor=False))
    masses = law._masses[::-1] if above else law._masses
    whole = np.append(0.0, np.cumsum(masses))
    return np.clip(whole[len(masses) - 1 - row if above else row] + piece, 0.0, 1.0)


def _draw(law: PanelLaw, n: int, rng) -> np.ndarray:
    """Invert the distribution function, a polynomial on each panel, by Newton's method held between bisections."""
    cumulative = np.append(0.0, np.cumsum(law._masses))
    target = rng.random(n) * cumulative[-1]
    row = np.clip(np.searchsorted(cumulative, target, side="right") - 1, 0, len(law.values) - 1)
    half = (law.edges[row + 1] - law.edges[row]) / 2
    p = law._series[row].T * half
    z = _panels.inverse(legendre.legint(p, lbnd=-1), p, target - cumulative[row], 4 * _EPS)  # the spacing of the targets
    return (law.edges[row + 1] + law.edges[row]) / 2 + half * z


def _product(f: Callable, x: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, tuple]:
    """f p at the points, (n, columns), 0 where p is; and the trailing shape of f."""
    some = p > 0
    y = np.asarray(f(x[some]), dtype=np.float64)
    if y.ndim < 1 or len(y) != some.sum():
        raise ValueError(f"f returned shape {y.shape} for {some.sum()} points: return shape ({some.sum()}, ...)")
    product = np.zeros((len(x), int(np.prod(y.shape[1:]))))
    product[some] = _validate.finite(y, "f(x)").reshape(len(y), -1) * p[some, None]
    return product, y.shape[1:]


def gauss(edges: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on all panels, ((len(edges) - 1) order,)."""
    u, w = legendre.leggauss(order)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    return (middle[:, None] + half[:, None] * u).ravel(), (half[:, None] * w).ravel()


def lagrange(u: np.ndarray, order: int) -> np.ndarray:
    """The polynomials that are 1 at one Gauss-Legendre node and 0 at the others, at u in [-1, 1]: (..., order)."""
    return legendre.legvander(u, order - 1) @ _coefficients(order)


def tails(values: np.ndarray) -> np.ndarray:
    """The last three Legendre coefficients of (panels, order) values at nodes, summed without sign, (panels,)."""
    return np.abs(values @ _coefficients(values.shape[1])[-3:].T).sum(axis=1)


@lru_cache(maxsize=4)
def _coefficients(order: int) -> np.ndarray:
    """(order, order): column j has the Legendre coefficients of the polynomial that is 1 at node j; exact by Gauss."""
    u, w = legendre.leggauss(order)
    return (np.arange(order)[:, None] + 0.5) * legendre.legvander(u, order - 1).T * w
