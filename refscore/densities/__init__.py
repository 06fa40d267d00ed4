"""Laws with log-density, score, Jacobian of the score, sampler and exact corruption (systems A).

gaussian, gaussian_mixture, point_set, degenerate_gaussian    closed under Gaussian noise, exact in any dimension
laplace, two_sided_exponential, uniform                       closed under Gaussian noise, exact, coordinate by coordinate
unnormalized, truncated_gaussian, beta, nonnegative           on pieces of the line, by quadrature with an error
corrupted_density                                             what noise makes of those
product                                                       independent coordinates, a box with faces
push_forward                                                  smooth increasing maps of mixtures on the line
panel_law                                                     polynomials on panels of the line
"""

from refscore.densities.beta import Beta
from refscore.densities.corrupted_density import CorruptedDensity
from refscore.densities.degenerate_gaussian import DegenerateGaussian
from refscore.densities.gaussian import Gaussian
from refscore.densities.gaussian_mixture import GaussianMixture
from refscore.densities.laplace import Laplace
from refscore.densities.nonnegative import nonnegative
from refscore.densities.panel_law import PanelLaw
from refscore.densities.point_set import PointSet
from refscore.densities.product import Product
from refscore.densities.push_forward import PushForward
from refscore.densities.truncated_gaussian import TruncatedGaussian
from refscore.densities.two_sided_exponential import TwoSidedExponential
from refscore.densities.uniform import Uniform
from refscore.densities.unnormalized import UnnormalizedDensity

__all__ = [
    "Beta",
    "CorruptedDensity",
    "DegenerateGaussian",
    "Gaussian",
    "GaussianMixture",
    "Laplace",
    "PanelLaw",
    "PointSet",
    "Product",
    "PushForward",
    "TruncatedGaussian",
    "TwoSidedExponential",
    "Uniform",
    "UnnormalizedDensity",
    "nonnegative",
]
