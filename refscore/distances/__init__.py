"""Distances between laws, each with its error: (value, error)."""

from refscore.distances.total_variation import total_variation

__all__ = ["total_variation"]
