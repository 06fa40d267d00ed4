"""Mistakes in the Fisher divergence and the Fisher information (systems B1, B2)."""

from __future__ import annotations

import numpy as np

from refscore.distances import fisher, fisher_information
from refscore.mistakes._registry import mistake


def _times(pair, factor):
    return factor * pair[0], factor * pair[1]


@mistake("fisher", wrong="E||s_p - s_q||^2", right="1/2 E||s_p - s_q||^2",
         seen="lecture a against c and e: the half is a convention, and one name means both")
def fisher_without_half(p, q, **options):
    return fisher(p, q, **options | {"half": not options.get("half", True)})


@mistake("fisher", wrong="1/2 E_q||s_p - s_q||^2", right="1/2 E_p||s_p - s_q||^2",
         seen="samples of the model taken for samples of the data: KL's two directions, confused here too")
def fisher_under_the_other_law(p, q, **options):
    return fisher(q, p, **options)


@mistake("fisher", wrong="mean over dimensions", right="sum over dimensions",
         seen="losses wrong by a factor d in published packages")
def fisher_mean_over_dims(p, q, **options):
    return _times(fisher(p, q, **options), 1 / p.dim)


@mistake("fisher", wrong="1/2 E||s_p - s_q||", right="1/2 E||s_p - s_q||^2", seen="norm taken for its square")
def fisher_norm_not_squared(p, q, **options):
    x, w = p.nodes(0.3)
    return 0.5 * float(w @ np.linalg.norm(p.score(x) - q.score(x), axis=1)), fisher(p, q, **options)[1]


@mistake("fisher", wrong="1/2 E||s_p + s_q||^2", right="1/2 E||s_p - s_q||^2",
         seen="a score with the sign of the energy's gradient")
def fisher_of_the_sum(p, q, **options):
    x, w = p.nodes(0.3)
    return 0.5 * float(w @ ((p.score(x) + q.score(x)) ** 2).sum(axis=1)), fisher(p, q, **options)[1]


@mistake("fisher_information", wrong="1/2 E||s||^2", right="E||s||^2",
         seen="the half of the losses carried over to the information")
def information_halved(p, **options):
    return _times(fisher_information(p, **options), 0.5)


@mistake("fisher_information", wrong="mean over dimensions", right="trace", seen="losses wrong by a factor d in published packages")
def information_over_d(p, **options):
    return _times(fisher_information(p, **options), 1 / p.dim)


@mistake("fisher_information", wrong="tr C", right="tr C^{-1}", seen="variance taken for precision")
def information_of_the_variance(p, **options):
    return float(np.trace(p.cov)), fisher_information(p, **options)[1]
