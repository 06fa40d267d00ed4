"""The law of a chain of Gaussian kernels in one dimension, by the trapezoidal rule.

    p_{k+1}(y) = int p_k(x) N(y; m_k(x), v_k) dx = sum_j h p_k(x_j) N(y; m_k(x_j), v_k) + error,   x_j = j h

so the law after a step is a Gaussian mixture with one component a node, and can be evaluated anywhere (systems H5).

Spacing. The trapezoidal rule on the whole line has error sum_{j != 0} F(2 pi j/h), F the Fourier transform of the
integrand (Trefethen & Weideman 2014, sec. 5). p_k is a mixture of Gaussians of standard deviation >= tau; the kernel as
a function of x has width sqrt(v_k)/A where |m_k'| <= A. For linear m_k the product is Gaussian with width w at least,
1/w^2 = 1/tau^2 + A^2/v_k, and spacing h = c w has relative error 2 e^{-2 pi^2/c^2}: c = 0.75 gives 1e-15. The score of
a mixture is not linear: it has poles at the complex zeros of p_t, at distance delta = pi sigma^2/|mu_1 - mu_2| from the
line for two equal components, and then the error is of order e^{-2 pi delta/h}. delta is not known to this module.
Hence the start is c = 0.5, the whole chain is run again with spacing smaller by sqrt 2, and so on until two laws agree;
their difference is the error of the coarser one, which is handed out.

Range. A node whose weight h p_k(x_j) is below 1e-22 is dropped, and a component reaches 9 standard deviations (outside
lies 2e-19 of it). A kernel never increases the L1 norm, so the errors of the steps add up and are not amplified. What
the error estimate cannot see is an error of the score itself, and structure finer than the nodes of both runs and than
the probes: 4096 points over the range of the law, at which every step looks for slopes that its nodes would miss.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from refscore._progress import Shown, hidden
from refscore.densities import GaussianMixture
from refscore.laws import minibatch

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import Chain

_FINENESS = 0.5
_TOLERANCE = 1e-13
_REFINEMENTS = 4
_ROUNDS = 2
_PROBES = 4096
_BLOCK = 1 << 17  # entries of a table of nodes and places: 1 MB stays in the cache, 32 MB cost three times the time
_MAX_NODES = 1 << 18
_NEGLIGIBLE = 1e-22
_REACH = 9.0
_EPS = np.finfo(np.float64).eps


class _Nodes(NamedTuple):
    """A law: sum_j weights_j N(centres_j, std^2)."""

    weights: np.ndarray
    centres: np.ndarray
    std: float


def propagate(chain: Chain, initial: GaussianMixture, shown: Shown = hidden) -> tuple[GaussianMixture, float]:
    """The law after all steps, the last of which must be noisy, and an error estimate in the L1 norm.

    The estimate is the difference from a run with spacing smaller by sqrt 2, plus what is missing from the mass (before
    it is divided out). Rounding is part of both, since the two runs share no node. ``shown`` is told the steps done in each run.

    Raises
    ------
    ValueError
        When more than 2^18 nodes are needed: kernels or components too narrow for the range of the law.
    """
    fineness = _FINENESS
    coarse, defect = _run(chain, initial, fineness, shown)
    for _ in range(_REFINEMENTS):
        fineness /= np.sqrt(2)
        fine, _defect = _run(chain, initial, fineness, shown)
        difference = _difference(coarse, fine)
        error = difference + defect + 4 * _EPS
        # the constant 1/(sqrt(2 pi v)) is rounded, alike in every step, so the mass may drift by eps a step
        if difference <= _TOLERANCE and defect <= _TOLERANCE + _EPS * len(chain):
            break
        coarse, defect = fine, _defect
    return GaussianMixture(coarse.weights, coarse.centres[:, None], np.full(len(coarse.weights), coarse.std**2)), error


def _run(chain: Chain, initial: GaussianMixture, fineness: float, shown: Shown) -> tuple[_Nodes, float]:
    """The law after all steps, normalised, and how far its mass was from one."""
    law: _Nodes | GaussianMixture = initial
    start = 0
    for k in range(len(chain)):
        if chain.v[k] > 0:  # noise-free steps before k are carried out within the mean of this one
            law = _step(law, partial(_composed, chain, range(start, k + 1)), float(np.sqrt(chain.v[k])), fineness)
            start = k + 1
            shown(start, lambda: f"nodes {fineness:.2g} widths apart")
    assert start == len(chain) and isinstance(law, _Nodes)
    mass = float(law.weights.sum())
    return law._replace(weights=law.weights / mass), abs(mass - 1)


def _composed(chain: Chain, steps: range, x: np.ndarray) -> np.ndarray:
    """The mean after these steps, (B, n): one row for each way that minibatches may be drawn, one only without them."""
    y = x[None]
    for k in steps:
        y = minibatch.means(chain, k, y.reshape(-1, 1)).reshape(-1, len(x))
    return y


def _step(law: _Nodes | GaussianMixture, mean: Callable, std: float, fineness: float) -> _Nodes:
    """The law after the kernel that is the average of N(mean_b(x), std^2), for mean(x) of shape (B, n).

    The spacing follows from the steepest slope found on nodes and probes.
    A mean that jumps has no steepest slope, so there is one correction only; the difference of two runs then tells.
    Slopes hidden between the nodes bring them as close as the probes that found them, and refinement does the rest.
    """
    narrowest = law.std if isinstance(law, _Nodes) else float(np.sqrt(law.covs.min()))
    slope, steepest = 1.0, 1.0
    for attempt in range(_ROUNDS):
        slope = max(slope, steepest)
        width = 1 / np.hypot(1 / narrowest, slope / std)
        spacing = _short(fineness * width)
        index, density = _on_lattice(law, spacing) if isinstance(law, _Nodes) else _start(law, spacing)
        kept = spacing * density > _NEGLIGIBLE
        x = index[kept] * spacing
        centres = mean(x)
        steepest = _steepest(x, centres)
        if attempt == 0:
            probes = np.linspace(x[0], x[-1], _PROBES)
            steepest = max(steepest, min(_steepest(probes, mean(probes)), _FINENESS * std / (probes[1] - probes[0])))
        if steepest <= 1.02 * slope:  # the spacing is then within 2 % of what was asked for
            break
    return _Nodes(np.tile(spacing * density[kept] / len(centres), len(centres)), centres.ravel(), std)


def _steepest(x: np.ndarray, values: np.ndarray) -> float:
    return float(np.abs(np.diff(values) / np.diff(x)).max())


def _short(spacing: float) -> float:
    """Rounded down to 8 bits, so that j * spacing is exact."""
    mantissa, exponent = np.frexp(spacing)
    return float(np.ldexp(np.floor(mantissa * 256) / 256, exponent))


def _start(law: GaussianMixture, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Lattice indices covering the initial law, and its density there."""
    present = law.weights > _NEGLIGIBLE
    centres, reach = law.means[present, 0], _REACH * np.sqrt(law.covs.reshape(-1)[present])
    index = _indices((centres - reach).min() / spacing, (centres + reach).max() / spacing)
    return index, np.exp(law.logpdf(index[:, None] * spacing))


def _on_lattice(law: _Nodes, spacing: float, index: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lattice indices covering the law, and its density there; every component is added where it reaches."""
    nearest = np.rint(law.centres / spacing)
    reach = np.ceil(_REACH * law.std / spacing)
    if index is None:
        index = _indices(nearest.min() - reach, nearest.max() + reach)
    offset = np.arange(-reach, reach + 1)
    total = np.zeros(len(index))
    for rows in np.array_split(np.arange(len(nearest)), 1 + len(nearest) * len(offset) // _BLOCK):
        z = ((nearest * spacing - law.centres)[rows, None] + offset * spacing) / law.std
        z *= z
        z *= -0.5
        np.exp(z, out=z)
        z *= (law.weights[rows] / (np.sqrt(2 * np.pi) * law.std))[:, None]
        place = (nearest[rows] - index[0]).astype(np.int64)[:, None] + offset.astype(np.int64)
        total += np.bincount(place.ravel(), z.ravel(), minlength=len(index))
    return index, total


def _indices(low: float, high: float) -> np.ndarray:
    low, high = np.floor(low), np.ceil(high)
    if not high - low < _MAX_NODES:
        raise ValueError(
            f"the law of this chain needs {high - low:.2g} quadrature nodes, more than {_MAX_NODES}: its kernels or components are "
            "too narrow for its range; either the steps are so long that the chain diverges (take shorter ones), or so short near "
            "the data that a kernel is nearly a point (take longer ones there, or stop at a larger time)"
        )
    return np.arange(low, high + 1)


def _difference(p: _Nodes, q: _Nodes) -> float:
    """int |p - q| by the trapezoidal rule with half a standard deviation."""
    spacing = _short(p.std / 2)
    reach = np.ceil(_REACH * p.std / spacing) + 1
    ends = np.concatenate([p.centres, q.centres]) / spacing
    index = _indices(ends.min() - reach, ends.max() + reach)
    return spacing * float(np.abs(_on_lattice(p, spacing, index)[1] - _on_lattice(q, spacing, index)[1]).sum())
