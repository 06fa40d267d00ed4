"""Theorems about the sampler's error as inequalities, each hypothesis an argument; and every quantity in them, computed.

    >>> import numpy as np
    >>> from refscore import bounds
    >>> from refscore.densities import Gaussian, GaussianMixture
    >>> from refscore.distances import kl
    >>> data = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
    >>> L = bounds.score_lipschitz(data, T=3.0)
    >>> terms = bounds.chen2023(kl=kl(data, Gaussian([0.0], 1.0))[0], lipschitz=L.certified, score_error=0.0,
    ...                         second_moment=bounds.second_moment(data), dim=1, T=3.0, steps=1000)
    >>> exact = lambda x, t: bounds.STANDARD.marginal(data, t).score(x)
    >>> path = bounds.path_kl(bounds.STANDARD, data, exact, np.linspace(3, 0, 1001))
    >>> bool(np.sqrt(path.value / 2) < terms.discretisation)
    True
"""

from refscore.bounds.chen2023 import STANDARD, Terms, chen2023, martingale_bound
from refscore.bounds.ends import start_error, stop_error
from refscore.bounds.hypotheses import Lipschitz, score_errors, score_lipschitz, second_moment
from refscore.bounds.lemmas import displacement, score_change, score_motion, second_moment_along
from refscore.bounds.path_kl import PathKL, path_kl

__all__ = [
    "STANDARD",
    "Lipschitz",
    "PathKL",
    "Terms",
    "chen2023",
    "displacement",
    "martingale_bound",
    "path_kl",
    "score_change",
    "score_errors",
    "score_lipschitz",
    "score_motion",
    "second_moment",
    "second_moment_along",
    "start_error",
    "stop_error",
]
