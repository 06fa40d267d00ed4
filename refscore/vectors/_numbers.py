"""Numbers that carry derivatives: of one direction forwards, of all parameters backwards; on floats or on mpmath's numbers.

    Dual(a, b)     a + b e with e^2 = 0: f(a + b e) = f(a) + b f'(a) e
    Node           a number that remembers what it was made of: `gradient` goes back from a result to its leaves

They nest: the gradient of a divergence is that of Duals made of Nodes. Slow and plain on purpose, and nothing here is shared with
`refscore.networks`, where derivatives are by hand.
"""

from __future__ import annotations

import importlib
import math
from typing import Any


class Dual:
    """value + slope e."""

    __slots__ = ("slope", "value")

    def __init__(self, value: Any, slope: Any):
        self.value, self.slope = value, slope

    def __add__(self, other):
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.slope + other.slope)
        return Dual(self.value + other, self.slope)

    def __mul__(self, other):
        if isinstance(other, Dual):
            return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)
        return Dual(self.value * other, self.slope * other)

    def reciprocal(self):
        inverse = 1 / self.value
        return Dual(inverse, -self.slope * inverse * inverse)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * (1 / other)

    def __rtruediv__(self, other):
        return self.reciprocal() * other

    __radd__, __rmul__ = __add__, __mul__


class Node:
    """A number with the numbers that it was made of, each with the derivative in it."""

    __slots__ = ("parents", "value")

    def __init__(self, value: Any, parents: tuple = ()):
        self.value, self.parents = value, parents

    def __add__(self, other):
        if isinstance(other, Dual):
            return NotImplemented
        if isinstance(other, Node):
            return Node(self.value + other.value, ((self, 1), (other, 1)))
        return Node(self.value + other, ((self, 1),))

    def __mul__(self, other):
        if isinstance(other, Dual):
            return NotImplemented
        if isinstance(other, Node):
            return Node(self.value * other.value, ((self, other.value), (other, self.value)))
        return Node(self.value * other, ((self, other),))

    def reciprocal(self):
        inverse = 1 / self.value
        return Node(inverse, ((self, -inverse * inverse),))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return NotImplemented if isinstance(other, Dual) else self + -other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return NotImplemented if isinstance(other, Dual) else self * (1 / other)

    def __rtruediv__(self, other):
        return self.reciprocal() * other

    __radd__, __rmul__ = __add__, __mul__


def gradient(result: Any, leaves: list[Node]) -> list:
    """d result/d leaf, one a leaf."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(result, False)] if isinstance(result, Node) else []
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(parent, False) for parent, _ in node.parents]
    slopes: dict[int, Any] = {id(result): 1}
    for node in reversed(order):
        for parent, slope in node.parents:
            slopes[id(parent)] = slopes.get(id(parent), 0) + slopes[id(node)] * slope
    return [slopes.get(id(leaf), 0) for leaf in leaves]


def dot(a: Any, b: Any) -> Any:
    """The sum of products."""
    return sum((p * q for p, q in zip(a, b, strict=True)), 0)


def plain(x: Any) -> Any:
    """The number without its derivatives."""
    return plain(x.value) if isinstance(x, (Dual, Node)) else x


def library(x: Any):
    """Where the functions of plain numbers of this kind are: math, or mpmath."""
    return math if isinstance(x, (int, float)) else importlib.import_module("mpmath")


def exp(x: Any) -> Any:
    """e^x."""
    if isinstance(x, Dual):
        value = exp(x.value)
        return Dual(value, value * x.slope)
    if isinstance(x, Node):
        value = exp(x.value)
        return Node(value, ((x, value),))
    return library(x).exp(x)


def log(x: Any) -> Any:
    """The natural logarithm."""
    if isinstance(x, Dual):
        return Dual(log(x.value), x.slope / x.value)
    if isinstance(x, Node):
        return Node(log(x.value), ((x, 1 / x.value),))
    return library(x).log(x)


def sqrt(x: Any) -> Any:
    """The root of a plain number."""
    return library(x).sqrt(x)


def tanh(z: Any) -> Any:
    """By e^-2|z|, which does not overflow."""
    sign = 1 if plain(z) > 0 else -1
    e = exp(z * (-2 * sign))
    return (1 - e) / (1 + e) * sign


def softplus(z: Any) -> Any:
    """log(1 + e^z)."""
    return z + log(1 + exp(-z)) if plain(z) > 0 else log(1 + exp(z))


def sigmoid(z: Any) -> Any:
    """1/(1 + e^-z)."""
    return 1 / (1 + exp(-z)) if plain(z) > 0 else 1 - 1 / (1 + exp(z))


ACTIVATIONS = {"tanh": tanh, "softplus": softplus, "silu": lambda z: z * sigmoid(z)}
