"""Unnormalised models, p = e^{-E}/Z, in sizes in which Z and everything else is exact (systems G).

ebm                     EnergyModel            any energy on R^d, d <= 3, or a box: Z by quadrature; its score needs none, in any d
binary                  BinaryEnergyModel      any energy on {0,1}^v: Z by enumeration
energies                QuadraticEnergy, SumEnergy, AnalyticEnergy
negatives               contrastive_step       samples of a chain in place of the model's: CD-k, PCD
rbm                     RBM                    restricted Boltzmann machine: Z, marginals, conditionals, likelihood and its gradient
gaussian_rbm            GaussianRBM            its visible units Gaussian: score without Z, and the same law as a Gaussian mixture
deep_boltzmann_machine  DeepBoltzmannMachine   two hidden layers
gibbs                   gibbs, GibbsChain      block Gibbs sampling, run by the samplers' loop
gibbs_matrix            gibbs_matrix, ...      what a sweep does to the law, exactly: transition matrix, spectral gap, mixing
contrastive             cd_gradient, ...       contrastive divergence CD-k and PCD, and their expectations, exact
learning                ContrastiveDivergence  what `refscore.training.train` minimises; MaximumLikelihood, PersistentChains
digits                  binary_digits          8 x 8 images of handwritten digits, 0 and 1
mrf                     DenoisingMRF           binary images seen with noise: Z, marginals, best image, draws by the transfer matrix
enumeration             all_images             the same from a list of all images, when these are small
sweeps                  PixelGibbs             Gibbs sampling of their pixels; icm, mean_field

The three machines have the same names: ``dim``, ``parameters``, ``with_parameters``, ``energy``, ``free_energy``, ``exponent``,
``log_partition``, ``logpdf``, ``log_likelihood``, ``moments``, ``sample``. These and the models of an energy are trained by
``refscore.training.train(model, data, MaximumLikelihood(), ...)``.

Every ``log_partition()`` returns (value, error). What cannot be enumerated is refused, with the number of states and the
time that it would take.
"""

from refscore.energy.binary import BinaryEnergyModel
from refscore.energy.contrastive import cd_gradient, contrastive_gradient, expected_cd_gradient, pcd_gradient
from refscore.energy.deep_boltzmann_machine import DeepBoltzmannMachine
from refscore.energy.digits import binary_digits
from refscore.energy.ebm import EnergyModel
from refscore.energy.energies import AnalyticEnergy, QuadraticEnergy, SumEnergy
from refscore.energy.enumeration import Images, all_images
from refscore.energy.gaussian_rbm import GaussianRBM
from refscore.energy.gibbs import GibbsChain, gibbs
from refscore.energy.gibbs_matrix import gibbs_law, gibbs_matrix, gibbs_spectrum, mixing_bound, spectral_gap
from refscore.energy.learning import ContrastiveDivergence, MaximumLikelihood, PersistentChains
from refscore.energy.mrf import DenoisingMRF
from refscore.energy.negatives import contrastive_step
from refscore.energy.rbm import RBM
from refscore.energy.sweeps import PixelGibbs, icm, mean_field, mean_field_bound

__all__ = [
    "RBM", "AnalyticEnergy", "BinaryEnergyModel", "ContrastiveDivergence", "DeepBoltzmannMachine", "DenoisingMRF", "EnergyModel",
    "GaussianRBM", "GibbsChain", "Images", "MaximumLikelihood", "PersistentChains", "PixelGibbs", "QuadraticEnergy", "SumEnergy",
    "all_images", "binary_digits", "cd_gradient", "contrastive_gradient", "contrastive_step", "expected_cd_gradient", "gibbs",
    "gibbs_law", "gibbs_matrix", "gibbs_spectrum", "icm", "mean_field", "mean_field_bound", "mixing_bound", "pcd_gradient",
    "spectral_gap",
]
