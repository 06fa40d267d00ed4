"""Parametric scores with every derivative by hand: `MLP`, `EnergyMLP` (both may see time through `FourierFeatures`), the exact
`AnalyticScore`, Hutchinson's trace estimate."""

from refscore.networks.activations import ACTIVATIONS, Activation, activation
from refscore.networks.analytic import AnalyticScore
from refscore.networks.energy import EnergyMLP
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
    "hutchinson",
    "hutchinson_variance",
    "probes",
]
