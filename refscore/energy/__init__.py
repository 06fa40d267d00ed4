"""Unnormalised models, p = e^{-E}/Z, in sizes in which Z and everything else is exact (systems G).

rbm    RBM     restricted Boltzmann machines: Z, marginals, conditionals, likelihood and its gradient

Every ``log_partition()`` returns (value, error). What cannot be enumerated is refused, with the number of states and the
time that it would take.
"""

from refscore.energy.rbm import RBM

__all__ = ["RBM"]
