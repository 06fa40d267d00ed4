r"""Contrastive divergence: samples of a short chain in place of the model's own (systems G2).

    E_model grad E - E_data grad E   ~   mean over x_k of grad E - mean over x of grad E,     x_k: k steps of a chain

Which chain, and from where, is all that differs [e, "Contrastive divergence"; Hinton 2002; Tieleman 2008]:

    CD-k     k steps from the data                 start = x
    PCD-k    k steps from where the last call left    start = the negatives that it returned

The expectation of what comes out is E_{p_k} grad E - E_data grad E, p_k the law of the chain after k steps: the gradient of the
likelihood if p_k is the model, biased by E_{p_k} grad E - E_p grad E if not. A chain that leaves p alone (MALA) forgets its
start, so that the bias of CD-k vanishes as k grows, and of PCD as it is repeated; one that does not (Langevin dynamics at a fixed
step) keeps the bias of its own stationary law. Where the data follow that law, not where they follow p, CD-k rests for every k.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives import contrastive_divergence
from refscore.samplers import MarkovChain


def contrastive_step(model: Any, x, chain: MarkovChain, start, rng) -> tuple[list[np.ndarray], np.ndarray]:
    """One estimate of the likelihood's gradient, and the negatives that it was made with.

    Parameters
    ----------
    model : EnergyModel, or EnergyMLP
        What has an ``energy`` with ``parameter_gradient(x, c)``.
    x : (n, d) array
        Data.
    chain : MarkovChain
        k steps, such as ``langevin(model.score, step, k)`` or ``mala(model.score, model.exponent, step, k)``; made anew
        whenever the parameters have moved.
    start : (m, d) array
        Where the chains begin: ``x`` for CD-k, the last negatives for PCD.
    rng : int seed or numpy Generator

    Returns
    -------
    ([array, ...], (m, d))
        The gradient, one array a parameter, in the direction in which the likelihood grows; the last states of the chains.

    For an RBM, whose chain is Gibbs sampling, `ContrastiveDivergence` and `PersistentChains` are the same for `train`.

    Raises ValueError and TypeError as `refscore.objectives.contrastive_divergence`.
    Source: [e, "Contrastive divergence"]; systems G2.
    """
    if not isinstance(chain, MarkovChain):
        raise TypeError(f"chain is {type(chain).__name__}: pass what langevin or mala returns")
    x = _validate.batch(x, dtype=None)
    negatives = chain.simulate(_validate.batch(start, x.shape[1], "start", dtype=None), rng)
    _, descent = contrastive_divergence(model, x, negatives, grad=True)
    return [-g for g in descent], negatives
