"""Targets on which identities are checked: asymmetric, correlated, off centre, so that no symmetry hides a mistake."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from refscore.densities import Gaussian, GaussianMixture

DIMENSIONS = (1, 2, 3)

_MEANS = np.array([[-0.9, 0.5, 0.3], [0.8, -0.4, 0.6]])
_FACTORS = np.array(
    [[[0.9, 0.0, 0.0], [0.3, 0.7, 0.0], [-0.2, 0.25, 0.8]], [[0.7, 0.0, 0.0], [-0.25, 0.9, 0.0], [0.15, -0.3, 0.75]]]
)
_WEIGHTS = np.array([0.35, 0.65])


@lru_cache(maxsize=8)
def gaussian(d: int) -> Gaussian:
    """A correlated Gaussian with non-zero mean."""
    factor = _FACTORS[0, :d, :d]
    return Gaussian(_MEANS[0, :d], factor @ factor.T)


@lru_cache(maxsize=8)
def mixture(d: int) -> GaussianMixture:
    """A skewed mixture of two correlated Gaussians."""
    factors = _FACTORS[:, :d, :d]
    return GaussianMixture(_WEIGHTS, _MEANS[:, :d], factors @ factors.transpose(0, 2, 1))


def targets(d: int) -> dict[str, GaussianMixture]:
    """The targets of dimension d by name."""
    return {"Gaussian": gaussian(d), "mixture": mixture(d)}
