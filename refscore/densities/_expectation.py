r"""E f(x) for Gaussian mixtures, component by component: by the trapezoidal rule on ever finer lattices, or on boxes.

The lattice (`refscore._quadrature`) is right for every f that is smooth on the scale of the component. For such f the changes c0,
c1, c2 of the last four lattices, relative to E|f|, fall faster than geometrically, c' < c^1.2. As in `_quadrature.refined`, a
change that is small by accident counts for c^sqrt(2), and the rate of decay may fall by half: with r = max(c2/c1, c1/c0) <= 0.9,
what is left is taken to be 2 c2 sqrt(r)/(1 - r); otherwise (kinks, jumps) ten times the largest of them. To it come rounding and
what f has in the outermost shell of the lattice, which is widened until that is rounding.

Components within which f has something much narrower are left to `_cells`. In the plane and in space, where lattices cannot be
refined at will, so are those within which it has something twice as narrow, once the lattices have missed the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _quadrature, _validate
from refscore.densities import _cells

_BLOCK = 1 << 16
_DOUBT = 10.0
_TINY, _EPS = np.finfo(float).tiny, float(np.finfo(float).eps)


def expectation(p: Any, f: Callable, laws: tuple[Any, ...], tolerance: float, max_nodes: int):
    """E f, its error and E|f|, of f's trailing shape; see `GaussianMixture.expectation`."""
    narrow = _cells.narrow_within(p, laws)
    value, error, size = _by_both(p, f, narrow, tolerance, max_nodes)
    if not (error <= tolerance * size).all() and len(more := _cells.narrow_within(p, laws, less=True)) > len(narrow):
        try:
            return _by_both(p, f, more, tolerance, max_nodes)
        except _cells.TooMany:
            return value, _DOUBT * error, size  # bumps a few nodes wide: changes may be small by accident
    return value, error, size


def _by_both(p: Any, f: Callable, narrow: dict[int, _cells.Gaussians], tolerance: float, max_nodes: int):
    plain = [k for k in range(len(p.means)) if k not in narrow]
    value, error, size = _by_lattices(p, f, plain, tolerance, max_nodes) if plain else (np.zeros(()),) * 3
    if not narrow:
        return value, error, size
    shape: tuple[int, ...] = ()

    def weighted(k: int, u: np.ndarray) -> np.ndarray:
        nonlocal shape
        y = _values(f, p.placed(k, u @ narrow[k].axes.T))
        shape = y.shape[1:]
        return p.weights[k] * y.reshape(len(y), -1)

    rounded = {k: float(np.abs(p._parts.root(k)[1] @ p.means[k]).max()) + 1 for k in narrow}
    parts = _cells.integral(weighted, narrow, size.ravel(), rounded, tolerance, max_nodes)
    return tuple(whole + part.reshape(shape) for whole, part in zip((value, error, size), parts, strict=True))


def _values(f: Callable, x: np.ndarray) -> np.ndarray:
    y = np.asarray(f(x), dtype=np.float64)
    if y.ndim < 1 or len(y) != len(x):
        raise ValueError(f"f returned shape {y.shape} for {len(x)} points: return shape ({len(x)}, ...)")
    return _validate.finite(y, "f(x)")


def _by_lattices(p: Any, f: Callable, components: list[int], tolerance: float, max_nodes: int):
    spacing, radius, values, changes = 0.8, _quadrature.RADIUS, [], []
    while len(components) * _quadrature.lattice_size(p.dim, spacing, radius) <= max_nodes:
        value, size, shell = _lattice_sum(p, f, components, spacing, radius)
        rounding = 64 * _EPS * size
        if (shell > rounding).any() and radius < 24:  # f grows so fast that its integral reaches further out
            radius *= 4 / 3
            continue
        values.append(value)
        if len(values) > 1:
            changes.append(np.abs(value - values[-2]))
        if len(changes) > 2:
            c0, c1, c2 = (np.maximum(c / (size + _TINY), 64 * _EPS) for c in changes[-3:])
            smooth = ((c1 <= c0**1.2) | (c1 < 1e-13)) & ((c2 <= c1**1.2) | (c2 < 1e-13))
            kinked = 10 * np.maximum(c0, np.maximum(c1, c2))
            c1 = np.maximum(c1, c0 ** math.sqrt(2))
            c2 = np.maximum(c2, c1 ** math.sqrt(2))
            rate = np.minimum(0.9, np.maximum(c2 / c1, c1 / c0))
            left = np.where(smooth, 2 * c2 * np.sqrt(rate) / (1 - rate), kinked)
            error = rounding + shell + size * left
            if (error <= tolerance * size).all():
                break
        spacing /= math.sqrt(2)
    if len(changes) < 3:
        needed = len(components) * _quadrature.lattice_size(p.dim, 0.28)
        raise ValueError(f"quadrature of {len(components)} components in dimension {p.dim} needs about {needed:.0e} nodes: "
                         "raise max_nodes, or average f over sample(n, rng) and report the standard error")
    return value, error, size


def _lattice_sum(p: Any, f: Callable, components: list[int], spacing: float, radius: float):
    """Sums of w f and w |f| over all nodes, and of w |f| over the outermost shell, of width one."""
    u, w = _quadrature.normal_lattice(p.dim, spacing, radius)
    outer = (u * u).sum(axis=1) > (radius - 1) ** 2
    total = size = shell = np.zeros(())
    for k in components:
        for start in range(0, len(u), _BLOCK):
            y = _values(f, p.placed(k, u[start:start + _BLOCK]))
            columns = np.ascontiguousarray(y.reshape(len(y), -1).T)  # so that NumPy sums pairwise
            columns *= p.weights[k] * w[start:start + _BLOCK]
            total = total + columns.sum(axis=1)
            np.abs(columns, out=columns)
            size = size + columns.sum(axis=1)
            shell = shell + columns[:, outer[start:start + _BLOCK]].sum(axis=1)
    return tuple(a.reshape(y.shape[1:]) for a in (total, size, shell))
