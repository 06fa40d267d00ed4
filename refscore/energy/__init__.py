"""Unnormalised models, p = e^{-E}/Z, in sizes in which Z and everything else is exact (systems G).

rbm                     RBM                    restricted Boltzmann machine: Z, marginals, conditionals, likelihood and its gradient
gaussian_rbm            GaussianRBM            its visible units Gaussian: score without Z, and the same law as a Gaussian mixture
deep_boltzmann_machine  DeepBoltzmannMachine   two hidden layers
gibbs                   gibbs, GibbsChain      block Gibbs sampling, run by the samplers' loop
gibbs_matrix            gibbs_matrix, ...      what a sweep does to the law, exactly: transition matrix, spectral gap, mixing
contrastive             cd_gradient, ...       contrastive divergence CD-k and PCD, and their expectations, exact
digits                  binary_digits          8 x 8 images of handwritten digits, 0 and 1
mrf                     DenoisingMRF           binary images seen with noise: Z, marginals, best image, draws by the transfer matrix
enumeration             all_images             the same from a list of all images, when these are small
sweeps                  PixelGibbs             Gibbs sampling of their pixels; icm, mean_field

Every ``log_partition()`` returns (value, error). What cannot be enumerated is refused, with the number of states and the
time that it would take.
"""

from refscore.energy.contrastive import cd_gradient, contrastive_gradient, expected_cd_gradient, pcd_gradient
from refscore.energy.deep_boltzmann_machine import DeepBoltzmannMachine
from refscore.energy.digits import binary_digits
from refscore.energy.enumeration import Images, all_images
from refscore.energy.gaussian_rbm import GaussianRBM
from refscore.energy.gibbs import GibbsChain, gibbs
from refscore.energy.gibbs_matrix import gibbs_law, gibbs_matrix, gibbs_spectrum, mixing_bound, spectral_gap
from refscore.energy.mrf import DenoisingMRF
from refscore.energy.rbm import RBM
from refscore.energy.sweeps import PixelGibbs, icm, mean_field, mean_field_bound

__all__ = [
    "RBM", "DeepBoltzmannMachine", "DenoisingMRF", "GaussianRBM", "GibbsChain", "Images", "PixelGibbs", "all_images",
    "binary_digits", "cd_gradient", "contrastive_gradient", "expected_cd_gradient", "gibbs", "gibbs_law", "gibbs_matrix",
    "gibbs_spectrum", "icm", "mean_field", "mean_field_bound", "mixing_bound", "pcd_gradient", "spectral_gap",
]
