r"""Contrastive divergence: the likelihood's gradient with states of a Gibbs chain where those of the model belong.

The gradient of the mean log-likelihood is a difference of two means of g(x) = E[(x z', x, z) | x] (`refscore.energy.rbm`),

    E_data g(x) - E_model g(x)              positive phase, negative phase.

CD-k replaces the model by where k sweeps lead from the data, x_k given x_0; PCD by chains that go on from one gradient to the next,
which the caller keeps. In both the hidden units are means given the state they belong to, E[z | x_k], never z_{k-1} that led
there. Over the draws the expectation is a finite sum: if q is the law of the start, data or chains,

    E CD-k = E_data g - sum_x (q T^k)(x) g(x),       bias = sum_x (p - q T^k)(x) g(x) = - sum_{i >= 2} l_i^k (...),

with T and its eigenvalues l_i of `refscore.energy.gibbs_matrix`. So the bias vanishes like l_2^k, at once when the data have the
model's law, and it is no noise: CD-k comes to rest where CD-k vanishes, which is not where the likelihood is largest, unless the
model can have the law of the data.

All gradients point to where the likelihood grows; means over the batch.

Source: systems G2; [e, "Contrastive Divergence"]; Hinton 2002; Tieleman 2008; Carreira-Perpinan & Hinton 2005 for the bias.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from refscore import _blocks, _validate
from refscore.energy import _states
from refscore.energy.gibbs import gibbs
from refscore.energy.gibbs_matrix import gibbs_law
from refscore.energy.rbm import RBM, mean_given


def cd_gradient(rbm: RBM, x, k: int, rng) -> list[np.ndarray]:
    """CD-k, [dW, db, dc]: g at the data minus g at where k sweeps lead from them, mean over the batch.

    Parameters
    ----------
    x : (n, v), data of 0 and 1
    k : sweeps, at least 1
    rng : int seed or numpy Generator, as for ``gibbs(rbm, k).simulate(x, rng)``, which makes the negative states

    Source: systems G2; Hinton 2002; Hinton, "A practical guide to training restricted Boltzmann machines", 2010, sec. 3.
    """
    return contrastive_gradient(rbm, x, gibbs(rbm, _validate.count(k, "k")).simulate(x, rng))


def pcd_gradient(rbm: RBM, x, chains, k: int, rng) -> tuple[list[np.ndarray], np.ndarray]:
    """Persistent contrastive divergence: ([dW, db, dc], the chains after k more sweeps), for the next call.

    ``chains``: (n', v) of 0 and 1, the states of any number of chains. Source: systems G2; Tieleman 2008.
    """
    chains = gibbs(rbm, _validate.count(k, "k")).simulate(chains, rng)
    return contrastive_gradient(rbm, x, chains), chains


def expected_cd_gradient(rbm: RBM, x, k: int, chains=None) -> list[np.ndarray]:
    """The expectation of `cd_gradient` over its draws, exact; with ``chains`` that of `pcd_gradient`.

    ``chains``: rows (n', v), or probabilities of the 2^v visible states. Up to 16 visible units, see `gibbs_law`.
    """
    law = gibbs_law(rbm, x if chains is None else chains, _validate.count(k, "k"))
    some = np.flatnonzero(law)
    return contrastive_gradient(rbm, x, _states.rows(some, len(rbm.b)), law[some])


def contrastive_gradient(rbm: RBM, x, negatives, weights=None) -> list[np.ndarray]:
    """E_data g(x) - E_negatives g(x), [dW, db, dc].

    Parameters
    ----------
    x : (n, v), data, each row with weight 1/n
    negatives : (n', v), the states of the negative phase
    weights : (n',), optional: of the negatives, in place of 1/n'. With all states and p(x) it is the likelihood's gradient.
    """
    positive, negative = _means(rbm, x, "x"), _means(rbm, negatives, "negatives", weights)
    return [p - n for p, n in zip(positive, negative, strict=True)]


def _means(rbm: RBM, x, name: str, weights=None) -> list[np.ndarray]:
    """Weighted means of x E[z|x]', x and E[z|x]."""
    x = _states.binary(x, len(rbm.b), name)
    if not len(x):
        raise ValueError(f"{name} has no rows: pass at least one state of the visible units")
    weights = _validate.row_weights(weights, len(x), "weights")
    return _blocks.sum_rows(partial(_sums, rbm.W, rbm.c), x, weights, row_bytes=16 * (len(rbm.b) + len(rbm.c)))


def _sums(W, c, x, weights) -> list[np.ndarray]:
    z = mean_given(W.T, c, x)
    z *= weights[:, None]
    return [x.T @ z, weights @ x, z.sum(axis=0)]
