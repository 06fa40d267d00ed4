"""Samplers: chains of Gaussian kernels x <- a x + b score(x, t) + sqrt(v) z."""

from refscore.samplers.annealed_langevin import annealed_langevin
from refscore.samplers.chain import Chain
from refscore.samplers.langevin import langevin
from refscore.samplers.reverse_sde import reverse_drift, reverse_sde

__all__ = ["Chain", "annealed_langevin", "langevin", "reverse_drift", "reverse_sde"]
