r"""Densities on the line that are given by log p alone, up to a constant, on a line, a half-line, an interval or several.

    p(x) = e^{l(x)}/Z on the support,      s = l',      Ds = l''

The score does not know Z; everything else does, and Z is an integral (`_panels`), with an error. The support is a row of
pieces (l_i, r_i), inside each of which l is smooth. All that is not smooth happens where pieces end, and is treated alike:

    an end of the support      p s carries a flux through it (`refscore.objectives.boundary_flux`)
    a kink or a jump of p      two pieces that touch: the score has two one-sided values there and is not defined
    a gap                      two pieces apart: the score does not know how much mass lies on which side (systems A8)

Corruption x~ = alpha x + sigma z has full support and is smooth whatever p is: `CorruptedDensity`, by quadrature as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from refscore import _blocks, _differences, _panels, _validate
from refscore.densities.corrupted_density import CorruptedDensity

EPS = float(np.finfo(np.float64).eps)
_FAR = 1e30  # beyond it a NaN of log_p is taken for inf - inf of its powers


class Face(NamedTuple):
    """A side of the support: its outward normal along one axis, and nodes on it, one float inside."""

    axis: int
    normal: float
    points: np.ndarray  # (N, d)
    weights: np.ndarray  # (N,): sum w f = int p f dS
    doubt: np.ndarray  # (N,): errors of the weights


@dataclass(frozen=True, eq=False)
class UnnormalizedDensity:
    """The density proportional to e^{log_p} on a union of intervals of the line.

    Parameters
    ----------
    log_p : callable, (n,) -> (n,)
        log p up to a constant. Smooth inside every piece; -inf where p vanishes. Beyond |x| = 1e30 NaN counts as -inf.
    support : (low, high), or a sequence ((low, high), (low, high), ...) of pieces
        In increasing order; ends may be infinite; pieces may touch (a kink, a jump) but not overlap.
    slope, curvature : callable, (n,) -> (n,), optional
        The first and second derivative of log_p. When left out they are taken from differences, whose error
        `score_error` and `score_jacobian_error` estimate.

    Raises
    ------
    ValueError
        Pieces that are empty, overlap or are out of order; log_p that is NaN or +inf inside; what is not normalisable: p that does
        not decay far out, that grows too fast at an end, or has no mass at all.

    Source: systems A1, A6; [b, "Score"], [e, "Non-negative functions"].
    """

    log_p: Callable
    support: Any = (-math.inf, math.inf)
    slope: Callable | None = None
    curvature: Callable | None = None

    def __post_init__(self):
        object.__setattr__(self, "support", pieces(self.support))
        for name in ("log_p", "slope", "curvature"):
            function = getattr(self, name)
            if not callable(function) and (name == "log_p" or function is not None):
                raise TypeError(f"{name} is {function!r}: pass a function of points (n,) that returns (n,)")
        _ = self._log_z  # refuse what is not normalisable here, not later

    @property
    def dim(self) -> int:
        """Dimension, 1."""
        return 1

    def log_normalizer(self) -> tuple[float, float]:
        """log Z of Z = int e^{log_p} dx, and its error estimate."""
        return self._log_z

    @property
    def mean(self) -> np.ndarray:
        """E x, (1,). ValueError when it does not exist."""
        return np.array([sum(self._centre)])

    @property
    def cov(self) -> np.ndarray:
        """Var x, (1, 1). ValueError when it does not exist."""
        return np.array([[self._variance]])

    def logpdf(self, x) -> np.ndarray:
        """log p(x), normalised, (n,). Outside the support it is -inf, as it should be."""
        x = _validate.batch(x, 1)[:, 0]
        value = np.full(x.shape, -np.inf)
        inside = self._piece_of(x, closed=True) >= 0
        value[inside] = self._log(x[inside]) - self._log_z[0]
        return value

    def score(self, x) -> np.ndarray:
        """d/dx log p(x), (n, 1). ValueError at the ends of pieces and outside, where there is none."""
        return self._slope(x)[0][:, None]

    def score_jacobian(self, x) -> np.ndarray:
        """d^2/dx^2 log p(x), (n, 1, 1)."""
        return self._curvature(x)[0][:, None, None]

    def score_divergence(self, x) -> np.ndarray:
        """d^2/dx^2 log p(x), (n,)."""
        return self._curvature(x)[0]

    def logpdf_error(self, x) -> np.ndarray:
        """Error estimate of `logpdf`, (n,): that of log Z, and rounding (log_p is taken to be good to 2 eps of itself)."""
        value = self.logpdf(x)
        value = np.where(np.isfinite(value), np.abs(value), 0.0)
        log_z, error = self._log_z
        return error + 2 * EPS * (value + 2 * abs(log_z))

    def score_error(self, x) -> np.ndarray:
        """Error estimate of `score`, (n, 1); for a given ``slope`` the rounding of one number, 2 eps |s|."""
        return self._slope(x)[1][:, None]

    def score_jacobian_error(self, x) -> np.ndarray:
        """Error estimate of `score_jacobian`, (n, 1, 1); for a given ``curvature`` 2 eps |Ds|."""
        return self._curvature(x)[1][:, None, None]

    def expectation(self, f, *, tolerance: float = 1e-10, max_nodes: int = 4_000_000) -> tuple[Any, Any]:
        """E f(x) and an error estimate; f maps (n, 1) to (n, ...).

        Panels are halved until f p is resolved to 3e-14 of E|f|, or more than ``max_nodes`` nodes are under way; a RuntimeWarning
        says when the estimate is above ``tolerance`` E|f|. ValueError when the integral does not converge, or f returns a wrong
        shape.
        """
        shape: tuple[int, ...] = ()

        def columns(x, owner):
            nonlocal shape
            y = np.asarray(f(x[:, None]), dtype=np.float64)
            if y.ndim < 1 or len(y) != len(x):
                raise ValueError(f"f returned shape {y.shape} for {len(x)} points: return shape ({len(x)}, ...)")
            shape = y.shape[1:]
            return _validate.finite(y, "f(x)").reshape(len(x), -1)

        found = _panels.integrate(self._log_g, columns, self._whole.panels, max_nodes=max_nodes)
        mass = math.exp(found.shift[0] - self._log_z[0])
        value, error = found.value[0] * mass, (found.error[0] + self._log_z[1] * found.size[0]) * mass
        if not found.converges.all():
            raise ValueError("the expectation does not converge: f p does not decay towards an end of the support, so E|f| is "
                             "infinite (or converges too slowly for float64); pass an f that grows less")
        _panels.warn_unless_resolved(error, found.size[0] * mass, tolerance, "expectation")
        return (float(value[0]), float(error[0])) if shape == () else (value.reshape(shape), error.reshape(shape))

    def nodes(self, spacing: float = 1.0, negligible: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Nodes x (N, 1) and weights (N,) with sum w f(x) ~ E f.

        ``spacing`` is relative to the panels that resolve p, at most 1; they are halved until they are that fine. How fine it
        must be depends on f: halve it and compare. Weights up to ``negligible`` are left out; with 0 nodes reach down to 1e-150
        from the ends, for f that are singular there.
        """
        spacing = _validate.positive(spacing, "spacing")
        if spacing > 1:
            raise ValueError(f"spacing is {spacing}: pass at most 1, the panels that resolve p itself")
        panels = self._whole.panels
        for _ in range(math.ceil(-math.log2(spacing))):
            panels = panels.halved()
        x, log_w = _panels.nodes(panels)
        weights = np.exp(self._log(x.ravel()) + log_w.ravel() - self._log_z[0])
        kept = weights > negligible
        return x.ravel()[kept, None], weights[kept]

    def faces(self, spacing: float = 1.0) -> list[Face]:
        """The finite ends of all pieces, with p there. ``spacing`` is for products, whose faces carry nodes.

        Raises ValueError where log_p is NaN at an end: it must return its limit.
        """
        out = []
        for piece in self.support:
            for end, other, normal in ((*piece, -1.0), (*piece[::-1], 1.0)):
                if math.isfinite(end):
                    inner = np.nextafter(end, other)
                    with np.errstate(divide="ignore"):
                        value = np.array(self.log_p(np.array([end, inner])), dtype=np.float64) - self._log_z[0]
                    if np.isnan(value).any():
                        raise ValueError(f"log_p is NaN at the end {end} of the support: return its limit (-inf where p vanishes)")
                    with np.errstate(over="ignore", invalid="ignore"):
                        p = np.exp(value)
                        doubt = np.abs(p[1:] - p[:1]) + p[:1] * self.logpdf_error([[inner]])
                    out.append(Face(0, normal, np.array([[inner]]), p[:1], doubt))
        return out

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, 1), by inversion of the distribution function. ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        return _blocks.map_rows(partial(_draw, *self._inverse), n=n, rng=rng, row_bytes=8 * _panels.ORDER)

    def corrupted(self, alpha: float, sigma: float) -> CorruptedDensity:
        """The law of alpha x + sigma z, z ~ N(0, 1), by quadrature. alpha >= 0, sigma > 0."""
        return CorruptedDensity(self, alpha, sigma)

    @cached_property
    def _whole(self) -> _panels.Integral:
        """Z, and the panels that resolve p."""
        cut = _panels.cut_at_peaks(self._log, np.array(self.support))
        found = _panels.integrate(self._log_g, lambda x, owner: np.ones((len(x), 1)), _panels.Panels.of(cut))
        value, error = found.value[0, 0], found.error[0, 0]
        if not value > 0:
            raise ValueError(f"log_p is -inf at all points of the support {self.support} that were tried: there is no mass to "
                             "normalise, or it lies in a narrow place; then cut the support there, ((low, cut), (cut, high))")
        if not found.converges.all():
            raise ValueError(f"log_p is not normalisable on the support {self.support}: the integral of e^log_p does not converge "
                             f"there, or not in float64 (error {error / value:.1e} of its value); p must decay far out, may not "
                             "grow like 1/distance at an end, and must have its mass between 1e-150 and 1e150 from the ends: "
                             "restrict the support, or rescale")
        _panels.warn_unless_resolved(error, value, 1e-10, "the integral of p")
        return found

    @cached_property
    def _log_z(self) -> tuple[float, float]:
        whole = self._whole
        value = float(whole.shift[0] + np.log(whole.value[0, 0]))
        return value, float(whole.error[0, 0] / whole.value[0, 0]) + EPS * (1 + abs(value))

    @cached_property
    def _cuts(self) -> np.ndarray:
        """The pieces, cut at the peaks of p, (k, 2)."""
        return np.unique(self._whole.panels.pieces, axis=0)

    @cached_property
    def _centre(self) -> tuple[float, float]:
        """An end of a piece near the mean, and how far from it the mean lies: so that nothing cancels far from zero."""
        ends = self._cuts[np.isfinite(self._cuts)]
        centre = float(ends[len(ends) // 2])
        return centre, self.expectation(lambda x: x[:, 0] - centre)[0]

    @cached_property
    def _variance(self) -> float:
        centre, away = self._centre
        return self.expectation(lambda x: ((x[:, 0] - centre) - away) ** 2)[0]

    @cached_property
    def _inverse(self) -> tuple[_panels.Panels, np.ndarray, np.ndarray]:
        """Panels in order, the distribution function at their ends, and Legendre coefficients of p dx/du."""
        panels = self._whole.panels
        panels = panels.take(np.lexsort((panels.u[:, 0], panels.pieces[:, 0])))
        series = _panels.coefficients(panels, self._log, self._log_z[0])
        return panels, np.concatenate([[0.0], np.cumsum(series[:, 0] * panels.width)]), series

    def _log(self, x: np.ndarray) -> np.ndarray:
        """log_p, checked."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value = np.array(self.log_p(x), dtype=np.float64)
        if value.shape != x.shape:
            raise ValueError(f"log_p returned shape {value.shape} for {len(x)} points: return one number a point, shape {x.shape}")
        value[np.isnan(value) & (np.abs(x) > _FAR)] = -np.inf
        bad = np.isnan(value) | (value == np.inf)
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(f"log_p is {value[at]} at x = {x[at]}: inside the support it must be finite, or -inf where p vanishes")
        return value

    def _log_g(self, x, owner):
        return self._log(x)

    def _piece_of(self, x: np.ndarray, closed: bool = False) -> np.ndarray:
        """Index of the piece that x lies in, -1 for none."""
        low, high = np.array(self.support).T
        inside = (low <= x[:, None]) & (x[:, None] <= high) if closed else (low < x[:, None]) & (x[:, None] < high)
        return np.where(inside.any(axis=1), np.argmax(inside, axis=1), -1)

    def _inside(self, x) -> tuple[np.ndarray, np.ndarray]:
        """x (n,), and how far around each point log_p is smooth: up to the nearer end, and not far beyond the width of p."""
        x = _validate.batch(x, 1)[:, 0]
        piece = self._piece_of(x)
        if (piece < 0).any():
            at = int(np.argmax(piece < 0))
            raise ValueError(f"x[{at}] = {x[at]} is not inside the support {self.support}: there is no score at the ends of pieces "
                             "and outside; pass points strictly inside")
        ends = np.array(self.support)[piece]
        peak, width = self._peak
        distance = np.minimum(x - ends[:, 0], ends[:, 1] - x)
        return x, np.minimum(0.9 * distance, np.maximum(width, 0.25 * np.abs(x - peak)))

    @cached_property
    def _peak(self) -> tuple[float, float]:
        """Where p is highest among the nodes, and 1/p there: a width of p."""
        x = _panels.nodes(self._whole.panels)[0].ravel()
        values = self._log(x)
        at = int(np.argmax(values))
        return float(x[at]), math.exp(min(700.0, self._log_z[0] - values[at]))

    def _slope(self, x) -> tuple[np.ndarray, np.ndarray]:
        x, reach = self._inside(x)
        if self.slope is not None:
            return _exact(self.slope, x, "slope")
        return _resolved(x, _differences.derivative(self._log, x, reach))

    def _curvature(self, x) -> tuple[np.ndarray, np.ndarray]:
        x, reach = self._inside(x)
        if self.curvature is not None:
            return _exact(self.curvature, x, "curvature")
        if self.slope is not None:
            return _resolved(x, _differences.derivative(self.slope, x, reach))
        return _resolved(x, _differences.derivative(self._log, x, reach, order=2))


def _resolved(x: np.ndarray, found: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    bad = ~np.isfinite(found[0])
    if bad.any():
        raise ValueError(f"no difference of log_p is finite around x = {x[int(np.argmax(bad))]}: the point lies within rounding of "
                         "an end, or p vanishes beside it; pass slope= (and curvature=), the derivatives of log_p")
    return found


def _exact(function: Callable, x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    value = np.asarray(function(x), dtype=np.float64)
    if value.shape != x.shape:
        raise ValueError(f"{name} returned shape {value.shape} for {len(x)} points: return one number a point, shape {x.shape}")
    value = _validate.finite(value, f"{name}(x)")
    return value, 2 * EPS * np.abs(value)


def _draw(panels: _panels.Panels, cumulative: np.ndarray, series: np.ndarray, n: int, rng) -> np.ndarray:
    """Invert the distribution function, a polynomial on each panel, by Newton's method held between bisections."""
    from numpy.polynomial import legendre

    target = rng.random(n) * cumulative[-1]
    row = np.clip(np.searchsorted(cumulative, target, side="right") - 1, 0, len(series) - 1)
    density = series[row].T * (panels.width[row] / 2)
    mass = legendre.legint(density, lbnd=-1)
    z = _panels.inverse(mass, density, target - cumulative[row], 4 * EPS)  # the spacing of the targets
    u = panels.u[row].mean(axis=1) + panels.width[row] / 2 * z
    return panels.take(row).at(u[:, None])[0]


def pieces(support) -> tuple[tuple[float, float], ...]:
    """The support as a tuple of (low, high), checked."""
    array = np.asarray(support, dtype=np.float64)
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(f"support is {support!r}: pass (low, high), or ((low, high), (low, high), ...)")
    flat = array.ravel()
    if np.isnan(flat).any() or not (array[:, 0] < array[:, 1]).all() or not (array[1:, 0] >= array[:-1, 1]).all():
        raise ValueError(f"support is {support!r}: every piece needs low < high, and pieces must be in order and not overlap")
    return tuple((float(low), float(high)) for low, high in array)
