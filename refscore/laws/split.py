r"""Laws in several dimensions that split: in some orthonormal axes no coordinate sees the others.

If x = R u and the mean of every step acts on each coordinate alone, m_k(x) = R (f_k1(u_1), ..., f_kd(u_d)), then isotropic noise
keeps independent coordinates independent, and the law is a product of laws on the line: the data is a product, or a mixture along
one line times a Gaussian. Two things have to be found, by probing:

The axes. A product of densities that is given brings its own. For a mixture they diagonalise its covariances and the spread of its
means; where these leave a choice (a start at N(0, I)), the Jacobians of the chain's means do, which are then all diagonal in the
axes: symmetric matrices that commute. They are taken at a few states of the chain, early, halfway and last.

Whether the chain splits. At every step 256 simulated states are sent through the mean, all coordinates at once and one at a time,
the others held at one point. The largest difference delta enters the error as delta/sqrt(2 pi v), what a shift of N(., v I) costs.
Not seen is how the mean behaves away from these states: beyond three standard deviations, in a mode that none of them visits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refscore import _panels
from refscore.densities import GaussianMixture, Product

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import Chain

SPLIT = 1e-9
"""Difference, relative to the mean's size, up to which coordinates count as not seeing each other; it goes into the error."""

_STATES = 256
_PROBED = 4
_RADIUS = 0.25
_SEED = 11


@dataclass(frozen=True, eq=False)
class Line:
    """The chain of one coordinate u, x = origin + u axis: of the shape of a chain in one dimension."""

    chain: Chain
    origin: np.ndarray
    axis: np.ndarray

    @property
    def v(self) -> np.ndarray:
        return np.asarray(self.chain.v)

    def __len__(self) -> int:
        return len(self.chain)

    def __getitem__(self, steps: slice) -> Line:
        return Line(self.chain[steps], self.origin, self.axis)

    def mean(self, k: int, u: np.ndarray) -> np.ndarray:
        return (self.chain.mean(k, self.origin + u * self.axis) @ self.axis)[:, None]


def lines(chain: Chain, initial: GaussianMixture | Product) -> tuple[Product, list[Any], float]:
    """``initial`` as a product, the chain of each of its coordinates, and an estimate of the error in total variation.

    Raises ValueError, with the reason, where law or chain do not split.
    """
    if isinstance(initial, Product):
        product, axes = initial, np.eye(initial.dim) if initial.axes is None else initial.axes
    else:
        axes = _axes(chain, initial)
        product = Product.of(initial, axes)
    centre = initial.mean
    each = [Line(chain, centre - (centre @ axis) * axis, axis) for axis in axes.T]
    error = 0.0
    for k, x in enumerate(_states(chain, initial)):
        u, together = x @ axes, chain.mean(k, x) @ axes
        alone = np.concatenate([line.mean(k, u[:, [i]]) for i, line in enumerate(each)], axis=1)
        departure, size = float(np.abs(together - alone).max()), float(np.abs(together).max() + np.abs(x).max())
        if not departure <= SPLIT * size:
            raise ValueError(f"at step {k} a coordinate of the mean moves by {departure:.3g} with the other coordinates")
        width = np.sqrt(chain.v[k]) if chain.v[k] > 0 else together.std(axis=0).min()
        error += np.sqrt(initial.dim) * departure / (np.sqrt(2 * np.pi) * float(width))
    return product, each, error


def _states(chain: Chain, initial):
    """States before every step, simulated."""
    rng = np.random.default_rng(_SEED)
    x = initial.sample(_STATES, rng)
    for k in range(len(chain)):
        yield x
        x = chain.mean(k, x) + np.sqrt(chain.v[k]) * rng.standard_normal(x.shape)


def _axes(chain: Chain, law: GaussianMixture) -> np.ndarray:
    """Columns that diagonalise what is known exactly, and within its multiple eigenvalues the Jacobians of the chain."""
    away = law.means - law.mean
    covs = law.covs if law.covs.ndim == 3 else law.covs.reshape(len(law.covs), -1)[:, None, :] * np.eye(law.dim)
    shares = np.random.default_rng(_SEED).uniform(1, 2, len(covs))  # generic: sums of matrices that commute keep their axes apart
    known = np.einsum("k,kij->ij", shares, covs) + 3 * (shares[:, None] * away).T @ away
    spectrum, axes = np.linalg.eigh(known)
    if not (np.diff(spectrum) <= 1e-9 * spectrum[-1]).any():
        return axes
    found = axes.T @ _jacobians(chain, law) @ axes
    if not np.abs(found - found.T).max() <= 1e-6 * np.abs(found).max():
        raise ValueError("the Jacobian of the mean is not symmetric, so it has no orthonormal axes")
    groups = np.cumsum(np.append(0, np.diff(spectrum) > 1e-9 * spectrum[-1]))
    for group in range(groups[-1] + 1):
        rows = groups == group
        axes[:, rows] = axes[:, rows] @ np.linalg.eigh((found + found.T)[np.ix_(rows, rows)])[1]
    return axes


def _jacobians(chain: Chain, law: GaussianMixture) -> np.ndarray:
    """A generic sum of Jacobians, (d, d), by the derivative at 0 of Legendre series along the coordinates."""
    z, _, transform = _panels.rule()
    weights = np.polynomial.legendre.legval(0.0, np.polynomial.legendre.legder(np.eye(len(z)))) @ transform / _RADIUS
    shares = np.random.default_rng(_SEED + 1).uniform(1, 2, (len(chain), _PROBED))
    asked = {0, len(chain) // 2, len(chain) - 1}
    total = np.zeros((law.dim, law.dim))
    for k, x in enumerate(_states(chain, law)):
        if k not in asked:
            continue
        width = x.std(axis=0).min()
        for share, point in zip(shares[k], x[:_PROBED], strict=True):
            moved = point + _RADIUS * width * z[:, None, None] * np.eye(law.dim)
            values = chain.mean(k, moved.reshape(-1, law.dim)).reshape(moved.shape)
            total += share * np.einsum("j,jai->ia", weights, values) / width
    return total
