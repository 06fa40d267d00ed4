r"""The second road to models of binary units: all states of all units one by one, with exponents as they are written.

Nothing is summed out in closed form: p~(x, z) = exp(exponent) for every pair (x, z), or triple, and sums of these. Parameters may
be complex, so that derivatives in them are complex steps, exact to rounding.
"""

from __future__ import annotations

import itertools

import numpy as np

_STEP = 1e-30
EPS = float(np.finfo(np.float64).eps)


def states(units: int) -> np.ndarray:
    """All rows of 0 and 1, (2^units, units), in lexicographic order."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=units)))


def two_layers(x, z, W, b, c) -> np.ndarray:
    """x'Wz + b'x + c'z of all pairs of rows, (len(x), len(z))."""
    return np.einsum("ai,ij,bj->ab", x, W, z) + (x @ b)[:, None] + (z @ c)[None, :]


def three_layers(x, z1, z2, W1, W2, b, c1, c2) -> np.ndarray:
    """x'W1 z1 + z1'W2 z2 + b'x + c1'z1 + c2'z2 of all triples of rows, (len(x), len(z1), len(z2))."""
    upper = np.einsum("bj,jk,ck->bc", z1, W2, z2) + (z1 @ c1)[:, None] + (z2 @ c2)[None, :]
    return (np.einsum("ai,ij,bj->ab", x, W1, z1) + (x @ b)[:, None])[:, :, None] + upper[None]


def log_sum(exponent, axis=None) -> np.ndarray:
    """log sum e^exponent over ``axis``, all of it by default; complex too."""
    top = exponent.real.max()
    return top + np.log(np.exp(exponent - top).sum(axis=axis))


def gradient(f, parameters) -> list[np.ndarray]:
    """d f/d parameter by complex steps, entry by entry; f takes the parameters and returns a number."""
    out = []
    for k, array in enumerate(parameters):
        slopes = np.zeros(array.shape)
        for at in np.ndindex(array.shape):
            moved = array.astype(complex)
            moved[at] += 1j * _STEP
            slopes[at] = f(*parameters[:k], moved, *parameters[k + 1:]).imag / _STEP
        out.append(slopes)
    return out


def size(parameters) -> float:
    """The largest an exponent and the logarithm of the number of states can be, together."""
    return float(sum(np.abs(a).sum() + len(a) for a in parameters))
