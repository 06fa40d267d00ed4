"""Laws with log-density, score, Jacobian of the score, sampler and exact corruption (systems A)."""

from refscore.densities.degenerate_gaussian import DegenerateGaussian
from refscore.densities.gaussian import Gaussian
from refscore.densities.gaussian_mixture import GaussianMixture
from refscore.densities.point_set import PointSet

__all__ = ["DegenerateGaussian", "Gaussian", "GaussianMixture", "PointSet"]
