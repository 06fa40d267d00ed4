"""Samplers: chains of Gaussian kernels x <- a x + b score(x, t) + sqrt(v) z."""

from refscore.samplers.chain import Chain
from refscore.samplers.reverse_sde import reverse_drift, reverse_sde

__all__ = ["Chain", "reverse_drift", "reverse_sde"]
