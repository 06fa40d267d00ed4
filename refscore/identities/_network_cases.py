"""Networks on which derivatives are tried, each with points, directions and the sizes from which bounds follow.

0 to 3 hidden layers of different widths (a transposed weight does not even fit), with and without time and its features, with
more outputs than inputs and fewer, random and trained.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
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
        self.size = self.sized(self.rows)
        self.jet: tuple = _plain.VALUE[model.activation.name], _plain.SLOPE[model.activation.name]

    def sized(self, a) -> _plain.Size:
        """Sizes at these input rows."""
        return _plain.Size(self.model, a, self.d)

    def scores(self, p, a, phi, slope) -> np.ndarray:
        """s at input rows a, (..., n, out), by the plain forward pass."""
        return _plain.forward(p, a, phi)

    def jacobians(self, p, a, phi, slope) -> np.ndarray:
        """Ds, (..., n, out, d)."""
        return _plain.jacobians(p, a, self.d, phi, slope).swapaxes(-2, -1)

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

    def at(self, x, *t) -> Case:
        """The same network at other points, and times when it takes time."""
        other = copy.copy(self)
        other.x, other.t = x, t
        other.rows = _plain.rows(x, *other.columns)
        other.size = other.sized(other.rows)
        return other

    def noisy(self, alpha, sigma, *t) -> Case:
        """The same network at alpha x + sigma v, alpha and sigma (n,), and at times t when given."""
        mean, steps = alpha[:, None] * self.x, sigma[:, None] * self.v
        other = self.at(mean + steps, *(t or self.t))
        other.size.inputs = np.abs(_plain.rows(np.abs(mean) + np.abs(steps), *other.columns))
        return other

    def gradients(self, what: str, left, formula: Callable, **arguments) -> Iterator[Comparison]:
        """``left`` = [W1*, b1*, ...] against complex steps of a formula of `_losses` in every parameter."""
        yield from self.entries(what, left, self.of(formula), **arguments)

    def entries(self, what: str, left, f: Callable, **arguments) -> Iterator[Comparison]:
        """``left`` = [W1*, b1*, ...] against complex steps of f(parameters, rows, *jet, **arguments)."""
        right = _plain.gradient(lambda p: f(p, self.rows, *self.jet, **arguments), self.model.parameters)
        sizes = self.size.gradient(f, **{k: np.abs(a) for k, a in arguments.items()})
        for i, (a, b, size) in enumerate(zip(left, right, sizes, strict=True)):
            bound = (self.size.rounding + ROWS * _plain.EPS) * size  # the sum over rows adds its own roundings
            array = f"{'Wb'[i % 2]}{i // 2 + 1}"
            # what does not depend on the array at all has size 0: bound 0 asks for exactly 0
            yield Comparison(f"{what} in {array}, {self.name}", a, b, bound=bound, scale=size.max() or 1.0)

    def loss(self, what: str, found: tuple, formula: Callable, **arguments) -> Iterator[Comparison]:
        """``found`` = (values, all of one loss, and gradient) against a formula of `_losses` and its complex steps."""
        value, gradient = found
        f = self.of(formula)
        right = f(self.model.parameters, self.rows, *self.jet, **arguments)
        size = self.size.value(f, **{k: np.abs(a) for k, a in arguments.items()})
        bound = (self.size.rounding + ROWS * _plain.EPS) * size
        yield Comparison(f"{what}, {self.name}", value, np.full(np.shape(value), right), bound=bound, scale=size)
        yield from self.entries(f"{what} gradient", gradient, f, **arguments)

    def of(self, formula: Callable) -> Callable:
        """A formula in s and Ds as a function of parameters, input rows and jet."""

        def f(p, a, *jet, **arguments):
            return formula(self.scores(p, a, *jet), partial(self.jacobians, p, a, *jet), **arguments)

        return f


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

