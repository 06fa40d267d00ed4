"""Unnormalised models, p = e^{-E}/Z, in sizes in which Z and everything else is exact (systems G).

rbm                     RBM                    restricted Boltzmann machine: Z, marginals, conditionals, likelihood and its gradient
gaussian_rbm            GaussianRBM            its visible units Gaussian: score without Z, and the same law as a Gaussian mixture
deep_boltzmann_machine  DeepBoltzmannMachine   two hidden layers
digits                  binary_digits          8 x 8 images of handwritten digits, 0 and 1

Every ``log_partition()`` returns (value, error). What cannot be enumerated is refused, with the number of states and the
time that it would take.
"""

from refscore.energy.deep_boltzmann_machine import DeepBoltzmannMachine
from refscore.energy.digits import binary_digits
from refscore.energy.gaussian_rbm import GaussianRBM
from refscore.energy.rbm import RBM

__all__ = ["RBM", "DeepBoltzmannMachine", "GaussianRBM", "binary_digits"]
