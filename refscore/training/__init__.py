"""Training loops as the sources state them: `train` an objective's draws with `SGD` or `Adam`, to the same bits every time.

A score of noisy data, trained by minibatch denoising score matching, and how far it is from the best one there is:

    >>> import numpy as np
    >>> from refscore.densities import GaussianMixture
    >>> from refscore.networks import MLP
    >>> from refscore.objectives import esm
    >>> from refscore.training import Adam, Denoising, train
    >>> data = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.1, 0.3])
    >>> run = train(MLP((1, 32, 32, 1), "silu", 0), data, Denoising(0.5), Adam(0.005), steps=1000, batch=128, seed=0)
    >>> noisy = data.corrupted(1.0, 0.5)
    >>> x, w = noisy.nodes(0.2)
    >>> excess = esm(run.model, x, noisy.score(x), sample_weight=w)     # loss minus irreducible loss, exactly
    >>> bool(0 < excess < 0.02 * w @ (noisy.score(x) ** 2).sum(axis=1))
    True

With ``checkpoint="run.npz"`` a run that is killed goes on where it was saved, and ends with the same bits.
"""

from refscore.training.draws import Denoising, DenoisingProcess, Implicit, NoiseConditional, NoisePrediction, Sliced
from refscore.training.loop import Trained, minibatch, start, train, train_step
from refscore.training.optimisers import SGD, Adam, State

__all__ = [
    "SGD",
    "Adam",
    "Denoising",
    "DenoisingProcess",
    "Implicit",
    "NoiseConditional",
    "NoisePrediction",
    "Sliced",
    "State",
    "Trained",
    "minibatch",
    "start",
    "train",
    "train_step",
]
