"""Samplers: chains of Gaussian kernels x <- a x + b score(x, t) + sqrt(v) z, mixed or refused, and the flow, which has no noise.

Defaults follow the source of each sampler, and so differ. A step is eta (x + eta s + sqrt(2 eta) z) in `langevin` and `mala`, eta/2
('half_eta') in `annealed_langevin` and `sgld`. `ddpm` has the variance 'beta', `ddim` no noise (eta = 0), and both ask a model for
eps where the others ask for a score. `reverse_sde`, `predictor_corrector` and `forward_sde` take Euler-Maruyama steps; the flow is
integrated to a tolerance, and on a grid, `steps`, by Heun's method.
"""

from refscore.samplers.annealed_langevin import annealed_langevin
from refscore.samplers.chain import Chain
from refscore.samplers.ddim import ddim
from refscore.samplers.ddpm import ddpm
from refscore.samplers.flow_likelihood import LogLikelihood
from refscore.samplers.flow_steps import FlowSteps
from refscore.samplers.langevin import langevin
from refscore.samplers.mala import MetropolisChain, mala
from refscore.samplers.markov import MarkovChain
from refscore.samplers.predictor_corrector import predictor_corrector, snr_steps
from refscore.samplers.probability_flow import ProbabilityFlow, probability_flow
from refscore.samplers.reverse_sde import reverse_drift, reverse_sde
from refscore.samplers.sde import SDESteps, forward_sde
from refscore.samplers.sgld import MinibatchChain, PosteriorScore, decreasing_steps, sgld
from refscore.samplers.to_file import simulate_to_file
from refscore.samplers.wiener import refined_increments, summed_increments, wiener_increments

__all__ = [
    "Chain", "FlowSteps", "LogLikelihood", "MarkovChain", "MetropolisChain", "MinibatchChain", "PosteriorScore",
    "ProbabilityFlow", "SDESteps", "annealed_langevin", "ddim", "ddpm", "decreasing_steps", "forward_sde", "langevin", "mala",
    "predictor_corrector", "probability_flow", "refined_increments", "reverse_drift", "reverse_sde", "sgld", "simulate_to_file",
    "snr_steps", "summed_increments", "wiener_increments",
]
