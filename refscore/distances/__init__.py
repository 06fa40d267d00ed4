"""Distances between laws, each with its error: (value, error).

The distance lies in [value - error, value + error], as far as that reaches into where it can lie at all: none is negative, and
total variation is at most 1. An error is cut down to what that range leaves open, |TV - value| <= max(value, 1 - value), and to
what provable bounds leave open where these are at hand (Hellinger's, for Gaussians). A total variation known no better than
1/2 +- 1/2, which holds for any two laws, is refused. The others have no upper end: an error above the value says that the laws may
be equal, and is handed out.
"""

from refscore.distances.fisher import fisher, fisher_information
from refscore.distances.kl import kl
from refscore.distances.total_variation import total_variation
from refscore.distances.wasserstein import wasserstein2

__all__ = ["fisher", "fisher_information", "kl", "total_variation", "wasserstein2"]
