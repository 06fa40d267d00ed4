"""Samplers: chains of Gaussian kernels x <- a x + b score(x, t) + sqrt(v) z, and the flow, which has no noise."""

from refscore.samplers.annealed_langevin import annealed_langevin
from refscore.samplers.chain import Chain
from refscore.samplers.ddim import ddim
from refscore.samplers.ddpm import ddpm
from refscore.samplers.flow_likelihood import LogLikelihood
from refscore.samplers.flow_steps import FlowSteps
from refscore.samplers.langevin import langevin
from refscore.samplers.probability_flow import ProbabilityFlow, probability_flow
from refscore.samplers.reverse_sde import reverse_drift, reverse_sde

__all__ = [
    "Chain", "FlowSteps", "LogLikelihood", "ProbabilityFlow", "annealed_langevin", "ddim", "ddpm", "langevin", "probability_flow",
    "reverse_drift", "reverse_sde",
]
