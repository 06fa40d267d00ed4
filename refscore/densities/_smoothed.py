r"""Products of one-dimensional laws plus Gaussian noise: what Laplace, uniform and two-sided exponential laws share.

Every coordinate is a box, or two flanks that meet (`_edges`); `_edge_rows` mixes them and computes. Here is what does not depend on
which: parameters that corruption multiplies by alpha, the noise that it adds, draws, quadrature.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks, _quadrature, _validate
from refscore.densities import _edge_rows
from refscore.densities._edges import UNIT
from refscore.densities._literal import literal

_RANGE = 1e-152, 1e152  # so that the square of a width stays in the range of float64
STEEPEST = 1e300  # noise/scale of a flank that alpha = 0 has folded up: as good as infinite


class Smoothed:
    """A law with independent coordinates, plus noise times N(0, I); closed under corruption.

    A law of this kind names its parameters, arrays (d,), all of which corruption multiplies by alpha, and which of them are
    widths, not places. It has ``_edges(x)``: what `_edge_rows` mixes; ``_plain(x)``: (log-density, its error, slope or NaN) of
    every coordinate without noise; ``_draw(n, rng)`` and ``_moments()`` (mean, variances) without noise; ``_breaks(i)``: where to
    cut coordinate i for quadrature; ``_break``: what is wrong where the slope is NaN.
    """

    _parameters: tuple[str, ...] = ()
    _widths: tuple[str, ...] = ()
    _break: str = ""
    _edges: Callable[..., Iterator[tuple]]
    _plain: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
    _draw: Callable[..., np.ndarray]
    _moments: Callable[..., tuple[np.ndarray, np.ndarray]]
    _breaks: Callable[..., np.ndarray]
    noise: float = 0.0
    """Standard deviation of the Gaussian noise that corruption has added."""
    _ulps: float = 0.0  # units in the last place by which parameters and noise may be off

    def __repr__(self) -> str:
        return self._called(*(f.name for f in fields(self) if f.init))  # type: ignore[arg-type]

    def _called(self, *names: str) -> str:
        """The call that makes it: of these arguments, and of `corrupted` once there is noise."""
        arguments = ", ".join(f"{name}={literal(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({arguments})" + (f".corrupted(1.0, {self.noise!r})" if self.noise else "")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(getattr(self, self._parameters[0]))

    @property
    def mean(self) -> np.ndarray:
        """E x, (d,)."""
        return self._moments()[0]

    @property
    def cov(self) -> np.ndarray:
        """Cov x, diagonal, (d, d)."""
        return np.diag(self._moments()[1] + self.noise * self.noise)

    def logpdf(self, x) -> np.ndarray:
        """log p(x), (n,). Below -1.8e308 it is -inf, its correct rounding; so it is where there is no density at all."""
        return self._map(_edge_rows.log_density, x)

    def score(self, x) -> np.ndarray:
        """grad log p(x), (n, d). Without noise it is refused where log p is not differentiable."""
        return self._map(_edge_rows.score, x)

    def score_jacobian(self, x) -> np.ndarray:
        """D s(x), diagonal, (n, d, d). Without noise the second derivative where it exists: what a kink adds is no function."""
        return self.score_slopes(x)[:, :, None] * np.eye(self.dim)

    def score_divergence(self, x) -> np.ndarray:
        """div s(x) = tr D s(x), (n,)."""
        return self.score_slopes(x).sum(axis=1)

    def score_slopes(self, x) -> np.ndarray:
        """The diagonal of D s(x), (n, d): coordinate i of the score depends on x_i alone."""
        return self._map(_edge_rows.slopes, x)

    def logpdf_error(self, x) -> np.ndarray:
        """A bound on |logpdf(x) - its exact value|, (n,)."""
        return self._map(_edge_rows.log_density_error, x)

    def score_error(self, x) -> np.ndarray:
        """A bound on |score(x) - its exact value|, entry by entry, (n, d)."""
        return self._map(_edge_rows.score_error, x)

    def _map(self, function, x) -> np.ndarray:
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(function, self), x, row_bytes=400 * self.dim)

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, d). ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        return _blocks.map_rows(partial(_edge_rows.draw, self), n=n, rng=rng, row_bytes=64 * self.dim)

    def corrupted(self, alpha: float, sigma: float):
        """The law of alpha x + sigma z, z ~ N(0, I): of the same class, exactly. alpha >= 0 and sigma >= 0, not both zero."""
        alpha, sigma = _validate.positive(alpha, "alpha", zero=True), _validate.positive(sigma, "sigma", zero=True)
        noise = math.hypot(alpha * self.noise, sigma)
        with np.errstate(over="ignore"):
            parameters = {name: alpha * getattr(self, name) for name in self._parameters}
        smoothing = {"noise": np.array([noise])} if alpha == 0 or noise > 0 else {name: parameters[name] for name in self._widths}
        for name, value in smoothing.items():
            in_range(value, f"{name} after corruption with alpha = {alpha}, sigma = {sigma}")
        for name, value in parameters.items():
            _validate.finite(value, f"{name} after corruption with alpha = {alpha}")
        exact = math.frexp(alpha)[0] in (0.0, 0.5) and self.noise == 0  # nothing is rounded by 0 or a power of two
        return copy.copy(self)._set(noise, self._ulps + (0 if exact else 3), **parameters)

    def _set(self, noise: float, ulps: float, **parameters: np.ndarray):
        for name, value in parameters.items():
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "noise", noise)
        object.__setattr__(self, "_ulps", ulps)
        return self

    def nodes(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (N, d) and weights (N,) with sum w f(x) ~ E f: Gauss-Legendre panels between the kinks of every coordinate.

        ``spacing``: length of the panels, relative to what the density varies on there (noise or scale), at most 1. How fine it
        must be depends on f: halve it and compare.
        """
        spacing = _validate.positive(spacing, "spacing")
        if spacing > 1:
            raise ValueError(f"spacing is {spacing}: pass at most 1, a panel as long as the noise or the scale of the law")
        nodes, weights = np.zeros((1, 0)), np.ones(1)
        for i, (x, w) in enumerate(self._lines(math.ceil(1 / spacing))):
            log_p = self._map(_edge_rows.log_coordinates, np.tile(x[:, None], (1, self.dim)))[:, i]
            nodes = np.column_stack([np.repeat(nodes, len(x), axis=0), np.tile(x, len(nodes))])
            weights = np.outer(weights, w * np.exp(log_p)).ravel()
        return nodes, weights

    def _lines(self, cells: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return [_quadrature.panels(self._breaks(i), cells) for i in range(self.dim)]

    def expectation(self, f, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000):
        """E f(x) and an error estimate, by `nodes` of ever finer spacing.

        Parameters
        ----------
        f : callable, (n, d) -> (n, ...)
            Smooth on the scale of the density (a spike between the nodes is not seen), and growing less than e^{|x|/scale}.
        tolerance : float
            Panels are halved until the error estimate is below ``tolerance`` times E|f|, or ``max_nodes`` is reached.
        max_nodes : int
            The largest number of nodes.

        Returns
        -------
        value, error : arrays of f's trailing shape (floats for scalar f)
            The error is an estimate: what the last halving changed, or ten times that when it does not shrink as it does for
            smooth f, and rounding. A RuntimeWarning says when it is above ``tolerance``.

        Raises
        ------
        ValueError
            When two spacings need more than ``max_nodes`` nodes (dimension too high), or f returns a wrong shape.
        """
        values: list[np.ndarray] = []
        changes: list[np.ndarray] = []
        for cells in (1, 2, 4, 8, 16, 32, 64):
            if math.prod(len(x) for x, _ in self._lines(cells)) > max_nodes:
                break
            x, w = self.nodes(1 / cells)
            y = np.asarray(f(x), dtype=np.float64)
            if y.ndim < 1 or len(y) != len(x):
                raise ValueError(f"f returned shape {y.shape} for {len(x)} points: return shape ({len(x)}, ...)")
            _validate.finite(y, "f(x)")
            values.append(np.tensordot(w, y, axes=1))
            size = np.tensordot(w, np.abs(y), axes=1)
            changes.append(np.abs(values[-1] - values[-2]) if len(values) > 1 else size)
            # rounding of f, of every weight (a logarithm up to 100), and of a pairwise sum
            error = np.where(changes[-1] <= changes[-2] / 64, 1, 10) * changes[-1] + 256 * UNIT * size if len(values) > 1 else size
            if len(values) > 1 and (error <= tolerance * size).all():
                break
        if len(values) < 2:
            raise ValueError(f"quadrature in dimension {self.dim} needs more than max_nodes = {max_nodes} nodes: "
                             "raise max_nodes, or average f over sample(n, rng) and report the standard error")
        if not (error <= tolerance * size).all():
            warnings.warn(f"expectation: the error estimate {np.max(error):.1e} is above tolerance {tolerance:.0e} times E|f|: "
                          "f is not smooth on the scale of the density, or max_nodes is too small", RuntimeWarning, stacklevel=2)
        return (float(values[-1]), float(error)) if values[-1].ndim == 0 else (values[-1], error)


def coordinates(*parameters: tuple[str, Any]) -> list[np.ndarray]:
    """Scalars and arrays (d,), given with their names, as finite float64 arrays (d,)."""
    arrays = [np.atleast_1d(_validate.reals(value, name)) for name, value in parameters]
    shapes = {a.shape for a in arrays} - {(1,)}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        given = ", ".join(f"{name} {np.shape(value)}" for name, value in parameters)
        raise ValueError(f"shapes {given}: pass scalars, or arrays with one entry a coordinate, shape (d,)")
    for (name, _), a in zip(parameters, arrays, strict=True):
        _validate.finite(a, name)
    return [np.array(a) for a in np.broadcast_arrays(*arrays)]


def in_range(widths: np.ndarray, name: str) -> None:
    """Refuse widths that are not positive, or whose squares leave float64."""
    low, high = _RANGE
    if not ((widths >= low) & (widths <= high)).all():
        raise ValueError(f"{name} must lie in [{low}, {high}] (given {widths.min()} to {widths.max()}): rescale the coordinates")
