"""Parametric scores with every derivative by hand: `MLP`, `EnergyMLP` (both may see time through `FourierFeatures`), the exact
`AnalyticScore`, Hutchinson's trace estimate, differences and complex steps along a direction."""

from refscore.networks.activations import ACTIVATIONS, Activation, activation
from refscore.networks.analytic import AnalyticScore
from refscore.networks.energy import EnergyMLP
from refscore.networks.finite_difference import best_step, complex_step, directional_difference, line_derivatives
from refscore.networks.fourier import FourierFeatures
from refscore.networks.hutchinson import hutchinson, hutchinson_variance, probes
from refscore.networks.mlp import MLP

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Activation",
    "AnalyticScore",
    "EnergyMLP",
    "FourierFeatures",
    "activation",
    "best_step",
    "complex_step",
    "directional_difference",
    "hutchinson",
    "hutchinson_variance",
    "line_derivatives",
    "probes",
]
