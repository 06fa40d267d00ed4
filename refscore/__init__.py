"""Score matching and score-based generative modelling, as a reference that can be checked.

Every score is analytic, every derivative is written by hand, every exact value is reached by two routes that share
no code and carries an error bound. The rooms:

    densities     laws with log-density, score, Jacobian of the score          Gaussian, GaussianMixture, PointSet
    processes     how noise is added: alpha(t), sigma(t), drift, diffusion     OU, VP
    networks      parametric scores with every derivative by hand              MLP
    objectives    what training minimises                                      esm, ism, dsm
    training      the sources' training loops, SGD and Adam, reproducible      train, Adam, Denoising
    samplers      chains of Gaussian kernels                                   reverse_sde
    laws          what a discretised sampler produces, exactly                 law
    distances     between laws                                                 total_variation
    energy        unnormalised models, exact where they can be enumerated      RBM
    identities    every statement once, checked by ``refscore verify``
    mistakes      plausible wrong versions that the identities must catch

Randomness is always an argument, batches are (n, d) float64 arrays, sigma is a standard deviation, time 0 is data.
"""

import importlib

__version__ = "0.1.0"

_ROOMS = (
    "densities", "processes", "networks", "objectives", "training", "samplers", "laws", "distances", "energy",
    "identities", "mistakes",
)

__all__ = [*_ROOMS, "parallel"]


def __getattr__(name: str):
    """Import a room when it is first used, so that ``import refscore`` stays fast."""
    if name in _ROOMS:
        return importlib.import_module(f"refscore.{name}")
    if name == "parallel":
        return importlib.import_module("refscore._blocks").parallel
    raise AttributeError(f"module 'refscore' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
