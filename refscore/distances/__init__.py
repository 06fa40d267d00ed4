"""Distances between laws, each with its error: (value, error)."""

from refscore.distances.fisher import fisher, fisher_information
from refscore.distances.kl import kl
from refscore.distances.total_variation import total_variation
from refscore.distances.wasserstein import wasserstein2

__all__ = ["fisher", "fisher_information", "kl", "total_variation", "wasserstein2"]
