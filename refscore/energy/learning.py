r"""What `refscore.training.train` minimises so that the likelihood of an unnormalised model grows, exactly or nearly.

    MaximumLikelihood         - mean log p(x_i) and its gradient, exact, of any model whose Z is: what the others estimate
    ContrastiveDivergence     CD-k, of an RBM: chains start at the minibatch
    PersistentChains          PCD, of an RBM: chains that go on from step to step, as memory of the run, which a checkpoint has

The last two have no value of the likelihood. Their loss is mean F(x_i) - mean F(negatives), whose gradient at fixed negatives
is minus the gradient of `refscore.energy.contrastive`; it is no estimate of the likelihood and need not fall. The draws of a step
are the seed of its chains.

Source: systems G2; Hinton 2002; Tieleman 2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore import _validate
from refscore.energy.contrastive import contrastive_gradient
from refscore.energy.gibbs import gibbs
from refscore.energy.rbm import RBM


@dataclass(frozen=True)
class MaximumLikelihood:
    """Minus the mean log-likelihood: nothing is drawn.

    For any model with ``log_likelihood(x, grad=True)``: `RBM`, `GaussianRBM` and `DeepBoltzmannMachine` of sizes that can be
    enumerated, `BinaryEnergyModel`, and `EnergyModel` in up to three dimensions, which takes a quadrature of Z a step.
    """

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """Nothing."""
        return ()

    def loss(self, model: Any, x0) -> tuple[float, list[np.ndarray]]:
        """-1/n sum log p(x_i), and its gradient."""
        if not hasattr(model, "log_likelihood"):
            hint = "EnergyModel(model.energy, dim)" if hasattr(model, "energy") else "EnergyModel(energy, dim), or an RBM"
            raise TypeError(f"model is of type {type(model).__name__}, without log_likelihood(x, grad=True): pass a model whose Z "
                            f"can be computed, {hint}")
        value, gradient = model.log_likelihood(x0, grad=True)
        return -value, [-g for g in gradient]


@dataclass(frozen=True)
class ContrastiveDivergence:
    """CD-k of an `RBM`, by Gibbs sampling.

    For an `EnergyModel` on R^d, whose chain is a choice (Langevin dynamics, MALA), `contrastive_step` makes the same estimate, a
    step at a time.

    Parameters
    ----------
    k : sweeps from the minibatch to the negatives.
    """

    k: int = 1

    def __post_init__(self):
        _validate.count(self.k, "k")

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """The seed of the chains."""
        return (_seed(rng),)

    def loss(self, model: RBM, x0, seed) -> tuple[float, list[np.ndarray]]:
        """1/n sum F(x_i) - F(x_i after k sweeps), and its gradient at fixed negatives."""
        return _against(model, x0, gibbs(model, self.k).simulate(x0, int(seed)))


@dataclass(frozen=True)
class PersistentChains:
    """PCD-k: ``chains`` Gibbs chains, k sweeps further in every step.

    Parameters
    ----------
    k : sweeps a step.
    chains : how many chains. They start with fair coins for units.
    """

    k: int = 1
    chains: int = 100

    def __post_init__(self):
        _validate.count(self.k, "k")
        _validate.count(self.chains, "chains")

    def start(self, d: int, rng: np.random.Generator) -> tuple:
        """The chains' first states, (chains, d)."""
        return (rng.integers(0, 2, (self.chains, d)).astype(np.float64),)

    def draw(self, n: int, d: int, rng: np.random.Generator) -> tuple:
        """The seed of the step's sweeps."""
        return (_seed(rng),)

    def loss(self, model: RBM, x0, seed, chains) -> tuple[float, list[np.ndarray], np.ndarray]:
        """1/n sum F(x_i) - mean F(chains, k sweeps on), its gradient at fixed chains, and the chains."""
        chains = gibbs(model, self.k).simulate(chains, int(seed))
        return *_against(model, x0, chains), chains


def _seed(rng: np.random.Generator) -> np.int64:
    return rng.integers(0, 2**63)


def _against(model: RBM, x0, negatives) -> tuple[float, list[np.ndarray]]:
    value = model.free_energy(x0).mean() - model.free_energy(negatives).mean()
    return float(value), [-g for g in contrastive_gradient(model, x0, negatives)]
