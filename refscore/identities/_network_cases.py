"""Networks on which derivatives are tried, each with points, directions and the sizes from which bounds follow.

0 to 3 hidden layers of different widths (a transposed weight does not even fit), with and without time and its features, with
more outputs than inputs and fewer, random and trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refscore.identities import _plain
from refscore.identities._models import random_network, trained_network
from refscore.identities._registry import Comparison
from refscore.identities._targets import mixture
from refscore.networks import MLP, EnergyMLP, FourierFeatures

SMOOTH = ("tanh", "softplus", "silu", "sin")
ROWS = 5


class Case:
    """A network, points, times (one a row, or none), and directions; its sizes as `_plain` derives them."""

    def __init__(self, name: str, model: MLP | EnergyMLP, d: int, rng: np.random.Generator, n: int = ROWS):
        self.name, self.d = name, d
        self.model: Any = model
        self.x = rng.standard_normal((n, d))
        self.t: tuple = (rng.uniform(0.1, 1.0, n),) if model.sizes[0] > d else ()
        self.rows = _plain.rows(self.x, *self.columns)
        self.v = rng.standard_normal((n, d))
        self.u, self.w = rng.standard_normal((2, n, model.outputs))
        self.c = rng.standard_normal(n)
        self.size = _plain.Size(model, self.rows, d)
        self.jet: tuple = _plain.VALUE[model.activation.name], _plain.SLOPE[model.activation.name]

    @property
    def columns(self) -> tuple:
        """What the network has beside x: nothing, t, or the features of t."""
        gamma = self.model.features
        return self.t if gamma is None else tuple(_plain.features(gamma.frequencies, self.t[0], gamma.log).T)

    def plain(self, x) -> np.ndarray:
        """s at real or complex x, by the plain forward pass."""
        return _plain.values(self.model, x, *self.columns)

    def compare(self, what: str, left, right, size) -> Comparison:
        """left = right, up to the rounding that comes with quantities of this size."""
        return Comparison(f"{what}, {self.name}", left, right, bound=self.size.rounding * size, scale=size)

    def gradients(self, what: str, left, f: Callable, **arguments) -> Iterator[Comparison]:
        """``left`` = [W1*, b1*, ...] against complex steps of f(parameters, rows, *jet, **arguments), jet = (phi, phi').

        f is a polynomial with positive coefficients in all it is given, so that the same f of absolute values is its size.
        """
        right = _plain.gradient(lambda p: f(p, self.rows, *self.jet, **arguments), self.model.parameters)
        sizes = self.size.gradient(f, **{k: np.abs(a) for k, a in arguments.items()})
        for i, (a, b, size) in enumerate(zip(left, right, sizes, strict=True)):
            bound = (self.size.rounding + ROWS * _plain.EPS) * size  # the sum over rows adds its own roundings
            array = f"{'Wb'[i % 2]}{i // 2 + 1}"
            # what does not depend on the array at all has size 0: bound 0 asks for exactly 0
            yield Comparison(f"{what} in {array}, {self.name}", a, b, bound=bound, scale=size.max() or 1.0)

    def loss(self, what: str, found: tuple, f: Callable, **arguments) -> Iterator[Comparison]:
        """``found`` = (value, gradient) against f and its complex steps."""
        value, gradient = found
        right = f(self.model.parameters, self.rows, *self.jet, **arguments)
        size = self.size.value(f, **{k: np.abs(a) for k, a in arguments.items()})
        bound = (self.size.rounding + ROWS * _plain.EPS) * size
        yield Comparison(f"{what}, {self.name}", np.asarray(value), np.asarray(right), bound=bound, scale=size)
        yield from self.gradients(f"{what} gradient", gradient, f, **arguments)


def cases(seed: int, *, square: bool = False) -> Iterator[Case]:
    """The networks; ``square`` leaves out those without a trace."""
    rng = np.random.default_rng(seed)
    for d in (1, 2, 3):
        for hidden in (0, 1, 2, 3):
            for k, activation in enumerate(SMOOTH if hidden else ("tanh", "tanh")):
                time = (d + hidden + k) % 2
                sizes = (d + time, *(5, 4, 6)[:hidden], d)
                name = f"{activation} {sizes}{' with time' if time else ''}" if hidden else f"affine {sizes}"
                yield Case(name, MLP(sizes, activation, rng), d, rng)
        name = f"silu, Fourier features of log t, d = {d}"
        yield Case(name, MLP((d + 1, 5, 4, d), "silu", rng, features=FourierFeatures([0.3, -0.7], log=True)), d, rng)
        activation = SMOOTH[d % 4]
        yield Case(f"trained {activation}, d = {d}", trained_network(mixture(d), seed, activation), d, rng)
    if not square:
        for sizes in ((4, 5, 2), (2, 4, 3, 5)):
            yield Case(f"tanh {sizes}", MLP(sizes, "tanh", rng), sizes[0], rng)


def wide(seed: int) -> Iterator[Case]:
    """Two hidden layers of the same width, so that a transposed weight fits and must be told by its numbers; d = 3 and 5."""
    rng = np.random.default_rng((seed, 10))
    for d, time in ((3, True), (5, False)):
        yield Case(f"silu, width 10, d = {d}", random_network(d, seed, takes_time=time), d, rng)


# What gradients are taken of, as one writes it; phi and slope are handed in.


def linear(p, a, phi, slope, u):
    """sum u.s"""
    return (u * _plain.forward(p, a, phi)).sum(axis=(-2, -1))


def tangent(p, a, phi, slope, u, v, w):
    """sum u.s + w.(Ds v)"""
    J = _plain.jacobians(p, a, v.shape[1], phi, slope)
    return linear(p, a, phi, slope, u) + (v[:, :, None] * J * w[:, None, :]).sum(axis=(-3, -2, -1))


def divergence(p, a, phi, slope, c, d):
    """sum c tr Ds"""
    return (c * _plain.traces(p, a, d, phi, slope)).sum(axis=-1)


def squares(p, a, phi, slope, c, shift):
    """sum c 1/2 ||s + shift||^2"""
    return 0.5 * (c * ((_plain.forward(p, a, phi) + shift) ** 2).sum(axis=-1)).sum(axis=-1)


def implicit(p, a, phi, slope, c, d):
    """sum c (1/2 ||s||^2 + tr Ds)"""
    return squares(p, a, phi, slope, c, 0.0) + divergence(p, a, phi, slope, c, d)


def projected(p, a, phi, slope, c, v, shift):
    """sum c 1/2 (v.(s + shift))^2"""
    along = (v * (_plain.forward(p, a, phi) + shift)).sum(axis=-1)
    return 0.5 * (c * along**2).sum(axis=-1)


def sliced(p, a, phi, slope, c, v):
    """sum c (1/2 (v.s)^2 + v.(Ds v))"""
    return projected(p, a, phi, slope, c, v, 0.0) + _curvature(p, a, phi, slope, c, v)


def sliced_exactly(p, a, phi, slope, c, v):
    """sum c (1/2 ||s||^2 + v.(Ds v))"""
    return squares(p, a, phi, slope, c, 0.0) + _curvature(p, a, phi, slope, c, v)


def _curvature(p, a, phi, slope, c, v):
    J = _plain.jacobians(p, a, v.shape[1], phi, slope)
    return (c * (v[:, :, None] * J * v[:, None, :]).sum(axis=(-2, -1))).sum(axis=-1)
