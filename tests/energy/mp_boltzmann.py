"""Boltzmann machines in 50-digit arithmetic, all states of all layers one by one: the second route for every test here."""

import itertools

import mpmath as mp
import numpy as np

DIGITS = 50


def binary_rows(units):
    return np.array(list(itertools.product((0.0, 1.0), repeat=units)))


def numbers(array):
    return [mp.mpf(float(a)) for a in np.ravel(array)]


def exponents(W, b, c):
    """{(x, z): x'Wz + b'x + c'z} over all pairs of states."""
    W, b, c = mp.matrix(np.asarray(W).tolist()), numbers(b), numbers(c)
    out = {}
    for x in itertools.product((0, 1), repeat=W.rows):
        a = [c[j] + mp.fsum(W[i, j] for i in range(W.rows) if x[i]) for j in range(W.cols)]
        bias = mp.fsum(b[i] for i in range(W.rows) if x[i])
        for z in itertools.product((0, 1), repeat=W.cols):
            out[x, z] = bias + mp.fsum(a[j] for j in range(W.cols) if z[j])
    return out


def log_sum(terms):
    terms = list(terms)
    top = max(terms)
    return top + mp.log(mp.fsum(mp.exp(t - top) for t in terms))


def moments(table, log_z):
    """E[x z'], E x, E z as nested lists of mpmath numbers."""
    p = {pair: mp.exp(t - log_z) for pair, t in table.items()}
    v, m = (len(layer) for layer in next(iter(p)))
    pairs = [[mp.fsum(w for (x, z), w in p.items() if x[i] and z[j]) for j in range(m)] for i in range(v)]
    visible = [mp.fsum(w for (x, _), w in p.items() if x[i]) for i in range(v)]
    hidden = [mp.fsum(w for (_, z), w in p.items() if z[j]) for j in range(m)]
    return pairs, visible, hidden


def differences(got, want):
    """|got - want| entry by entry, computed in 50 digits."""
    want = np.array(want, dtype=object).ravel()
    return np.array([float(abs(mp.mpf(float(g)) - w)) for g, w in zip(np.ravel(got), want, strict=True)])
