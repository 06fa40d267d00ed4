"""Exact laws of discretised samplers: what a chain of Gaussian kernels produces, without sampling."""

from refscore.densities import PanelLaw
from refscore.laws.langevin_bias import langevin_bias, langevin_stationary
from refscore.laws.law import law, law_with_error
from refscore.laws.metropolis import acceptance_rate
from refscore.laws.minibatch import minibatch_moments
from refscore.laws.stationary import stationary

__all__ = [
    "PanelLaw", "acceptance_rate", "langevin_bias", "langevin_stationary", "law", "law_with_error", "minibatch_moments",
    "stationary",
]
