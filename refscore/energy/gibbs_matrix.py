r"""What a block Gibbs sweep does to the law of the visible units, exactly.

A sweep x -> z -> x' has the transition matrix

    T(x' | x) = sum_z p(x' | z) p(z | x),

and since p(x) p(z | x) = p(x, z), the product p(x) T(x' | x) = sum_z p(x, z) p(x', z)/p(z) is symmetric: detailed balance, so
that T leaves p(x) alone. Moreover T is similar to M M' with

    M(x, z) = p(x, z)/sqrt(p(x) p(z)) = sqrt(p(z | x) p(x | z)),

so its eigenvalues are the squares of M's singular values: 1 = l_1 >= l_2 >= ... >= 0, the first for sqrt p(x), and the same, but
for zeros, whether one looks at the visible or at the hidden layer (M'M). The singular values are the correlations between functions
of x and functions of z, sqrt l_2 the largest one there is. From a law q the distance to p shrinks at least like

    TV(q T^k, p) <= 1/2 sqrt(chi2(q T^k, p)) <= 1/2 l_2^k sqrt(chi2(q, p)),      chi2(q, p) = sum_x q^2/p - 1.

None of this needs Z. The sums over z run over blocks of hidden states; the visible ones, numbered lexicographically as
everywhere in this room, are held all at once. ``rbm.swapped`` has the same for the hidden layer.

Source: systems G4, G2; Levin, Peres and Wilmer, "Markov chains and mixing times", 2009, chapter 12; Hirschfeld 1935 for M.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from refscore import _validate
from refscore.energy import _states
from refscore.energy.rbm import RBM

_MOST_VISIBLE = 16
"""Units of a layer whose states are held all at once, many times over."""

_MOST_IN_A_MATRIX = 11
"""Units of a layer between all pairs of whose states there is a matrix, 32 MiB of it."""

_ROW_BYTES = 2
"""Of the 32 bytes that a pair takes: blocks larger than elsewhere, as a matrix is added up in each."""


def gibbs_matrix(rbm: RBM) -> np.ndarray:
    """T, (2^v, 2^v): row x, column x' is the probability of x' one sweep after x, p(x' | x).

    Raises ValueError for more than 11 visible units, and when 2^(v + m) pairs are too many to walk over.
    """
    return _over_hidden(rbm, _transitions, _MOST_IN_A_MATRIX)


def gibbs_spectrum(rbm: RBM) -> np.ndarray:
    """The eigenvalues of T from the largest, 1, downwards, (2^min(v, m),); those of 2^max(v, m) that are missing are 0.

    Raises ValueError for more than 11 units in the smaller layer, and when 2^(v + m) pairs are too many to walk over.
    """
    smaller = rbm if len(rbm.b) <= len(rbm.c) else rbm.swapped
    return np.maximum(np.linalg.eigvalsh(_over_hidden(smaller, _correlations, _MOST_IN_A_MATRIX))[::-1], 0)


def spectral_gap(rbm: RBM) -> float:
    """1 - l_2: distances to p shrink by l_2 a sweep in the end. 1 for independent layers, near 0 for a chain that hardly moves."""
    return float(1 - gibbs_spectrum(rbm)[1])


def gibbs_law(rbm: RBM, start, n_sweeps: int) -> np.ndarray:
    """The law of x after ``n_sweeps`` sweeps, (2^v,): ``start`` T^n without T, two passes over the pairs (x, z) a sweep.

    Parameters
    ----------
    start : (2^v,) probabilities of the visible states, or rows (n, v) of 0 and 1, each with probability 1/n.

    Raises ValueError for a start that is neither, for more than 16 visible units, and when 2^(v + m) pairs are too many.
    """
    law = start_law(rbm, start)
    for _ in range(_validate.count(n_sweeps, "n_sweeps", least=0)):
        law = _over_hidden(rbm, partial(_moved, law), _MOST_VISIBLE)
        law /= law.sum()  # rounding changes the total by much the same each time
    return law


def mixing_bound(rbm: RBM, start, n_sweeps: int) -> float:
    """1/2 l_2^n sqrt(chi2(start, p)) or, where less, 1: what TV(start T^n, p) is at most. ``start`` as for `gibbs_law`."""
    law, n_sweeps = start_law(rbm, start), _validate.count(n_sweeps, "n_sweeps", least=0)
    p = np.exp(rbm.logpdf(_states.rows(np.arange(len(law)), len(rbm.b))))
    rate = float(gibbs_spectrum(rbm)[1]) ** n_sweeps
    if rate == 0 or law[p == 0].any():  # states less likely than the smallest float
        return float(rate > 0)
    law, p = law[p > 0], p[p > 0]
    with np.errstate(over="ignore"):
        return float(min(1.0, rate / 2 * np.sqrt(((law - p) ** 2 / p).sum())))


def start_law(rbm: RBM, start) -> np.ndarray:
    """``start`` of `gibbs_law` as probabilities of the visible states, (2^v,)."""
    units = len(rbm.b)
    _refuse_beyond(rbm, _MOST_VISIBLE)
    if np.ndim(start) == 2:
        x = _states.binary(start, units, "start")
        if not len(x):
            raise ValueError("start has no rows: pass at least one state of the visible units")
        return np.bincount(_states.index(x), minlength=2**units) / len(x)
    law = _validate.finite(_validate.reals(start, "start"), "start")
    if law.shape != (2**units,) or (law < 0).any() or abs(law.sum() - 1) > 1e-9:
        raise ValueError(f"start has shape {law.shape} and sum {law.sum():.6g}: pass the probabilities of the 2^{units} visible "
                         f"states, or rows of 0 and 1, shape (n, {units})")
    return law


def _over_hidden(rbm: RBM, function: Callable, most: int) -> np.ndarray:
    """The sum over blocks of hidden states of ``function(log p(z | x), log p(x | z))``, both (block, 2^v)."""
    _refuse_beyond(rbm, most)
    v, m = len(rbm.b), len(rbm.c)
    x = _states.rows(np.arange(2**v), v)
    on, off = _log_probabilities(x @ rbm.W + rbm.c)

    def of_block(z: np.ndarray) -> list[np.ndarray]:
        back_on, back_off = _log_probabilities(z @ rbm.W.T + rbm.b)
        return [function(z @ on.T + (1 - z) @ off.T, back_on @ x.T + back_off @ (1 - x).T)]

    return _states.sum_states(of_block, m, row_bytes=_ROW_BYTES * len(x), label=f"2^{v + m} pairs of states")[0]


def _log_probabilities(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every unit log p(1) and log p(0). Their sums over units have one sign; z'inputs less a normaliser cancels digits."""
    return -np.logaddexp(0, -inputs), -np.logaddexp(0, inputs)


def _transitions(log_z, log_x) -> np.ndarray:
    return np.exp(log_z).T @ np.exp(log_x)


def _correlations(log_z, log_x) -> np.ndarray:
    M = np.exp((log_z + log_x) / 2)
    return M.T @ M


def _moved(law, log_z, log_x) -> np.ndarray:
    return (np.exp(log_z) @ law) @ np.exp(log_x)


def _refuse_beyond(rbm: RBM, most: int) -> None:
    v, m = len(rbm.b), len(rbm.c)
    if v > most:
        pairs = most == _MOST_IN_A_MATRIX
        held, doubles = (f"2^{2 * v} pairs of states", 4.0**v) if pairs else (f"2^{v} states", 2.0**v)
        raise ValueError(f"a layer of {v} units has {held}, {8 * doubles / 2**30:.2g} GiB in each of several arrays held at once, "
                         f"to which {_states.duration(doubles * 2.0**m)} of additions lead for {m} units beside it: pass a machine "
                         f"with at most {most} units in it, or simulate, gibbs(rbm, n_sweeps)")
    _states.refuse_beyond(v + m, 1, "a sweep's law", "simulate, gibbs(rbm, n_sweeps)")
