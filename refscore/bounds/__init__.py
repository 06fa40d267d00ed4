"""Theorems about the sampler's error as inequalities, each hypothesis an argument; and every quantity in them, computed.

    >>> import numpy as np
    >>> from refscore import bounds
    >>> from refscore.densities import GaussianMixture
    >>> data = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
    >>> kl, _ = bounds.kl_to_normal(data)
    >>> L = bounds.score_lipschitz(data, T=3.0)
    >>> terms = bounds.chen2023(kl=kl, lipschitz=L.certified, second_moment=bounds.second_moment(data),
    ...                         score_error=0.0, dim=1, T=3.0, steps=1000)
    >>> exact = lambda x, t: bounds.STANDARD.marginal(data, t).score(x)
    >>> path = bounds.path_kl(bounds.STANDARD, data, exact, np.linspace(3, 0, 1001))
    >>> bool(np.sqrt(path.value / 2) < terms.discretisation)
    True
"""

from refscore.bounds.chen2023 import STANDARD, Terms, chen2023, martingale_bound
from refscore.bounds.ends import start_error, stop_error
from refscore.bounds.hypotheses import Lipschitz, kl_to_normal, score_errors, score_lipschitz, second_moment
from refscore.bounds.lemmas import displacement, score_change, score_motion, second_moment_along
from refscore.bounds.path_kl import PathKL, path_kl

__all__ = [
    "STANDARD",
    "Lipschitz",
    "PathKL",
    "Terms",
    "chen2023",
    "displacement",
    "kl_to_normal",
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
