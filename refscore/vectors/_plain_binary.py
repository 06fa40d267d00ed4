"""Boltzmann machines state by state, images by their joint weights and by dynamic programming, in plain numbers as `_plain`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from refscore.vectors._numbers import dot, exp, log


def binary(units):
    return list(itertools.product((0, 1), repeat=units))


def log_sum(logs):
    top = max(logs)
    return log(sum((exp(v - top) for v in logs), 0)) + top


def joint(x, z, W, b, c):
    """x'Wz + b'x + c'z."""
    return dot(x, [dot(row, z) for row in W]) + dot(b, x) + dot(c, z)


def expected(states, logs):
    """The mean state under weights e^log."""
    top = max(logs)
    weights = [exp(v - top) for v in logs]
    total = sum(weights, 0)
    return [sum((w for w, s in zip(weights, states, strict=True) if s[j]), 0 * top) / total for j in range(len(states[0]))]


def rbm_free_energy(p, x, W, b, c):
    return [-log_sum([joint(row, z, W, b, c) for z in binary(len(c))]) for row in x]


def rbm_hidden_mean(p, x, W, b, c):
    states = binary(len(c))
    return [expected(states, [joint(row, z, W, b, c) for z in states]) for row in x]


def rbm_visible_mean(p, z, W, b, c):
    states = binary(len(b))
    return [expected(states, [joint(x, row, W, b, c) for x in states]) for row in z]


def rbm_log_partition(p, W, b, c):
    """Over the visible states, each with its hidden units summed one by one."""
    columns = list(zip(*W, strict=True))
    return log_sum([dot(b, x) + sum((log_sum([0 * c[0], c[j] + dot(column, x)]) for j, column in enumerate(columns)), 0)
                    for x in binary(len(b))])


def weight(y, x, unary, pairwise):
    """unary sum [x_i = y_i] + pairwise sum over bonds [y_i = y_j]."""
    agree = sum(a == b for p, q in zip(y, x, strict=True) for a, b in zip(p, q, strict=True))
    bonds = sum(a == b for row in y for a, b in itertools.pairwise(row))
    bonds += sum(a == b for p, q in itertools.pairwise(y) for a, b in zip(p, q, strict=True))
    return unary * agree + pairwise * bonds


def mrf_conditional(p, y, x, unary, pairwise):
    def one(i, j):
        both = [[[value if (k, l) == (i, j) else pixel for l, pixel in enumerate(row)] for k, row in enumerate(y)]
                for value in (0, 1)]
        return expected([(0,), (1,)], [weight(image, x, unary, pairwise) for image in both])[0]

    return [[one(i, j) for j in range(len(y[0]))] for i in range(len(y))]


def mrf_map(p, x, unary, pairwise):
    """Row by row: the best image above for every state of a row."""
    if len(x[0]) > len(x):
        return [list(row) for row in zip(*mrf_map(p, [list(r) for r in zip(*x, strict=True)], unary, pairwise), strict=True)]
    states = binary(len(x[0]))
    best: dict[tuple, tuple] = {s: (weight([s], x[:1], unary, pairwise), [s]) for s in states}
    for row in x[1:]:
        best = {s: max((value + pairwise * sum(a == b for a, b in zip(image[-1], s, strict=True)), [*image, s])
                       for value, image in best.values()) for s in states}
        best = {s: (value + weight([s], [row], unary, pairwise), image) for s, (value, image) in best.items()}
    return [list(row) for row in max(best.values())[1]]


OPERATIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (rbm_free_energy, rbm_hidden_mean, rbm_visible_mean, rbm_log_partition, mrf_conditional, mrf_map)
}
