"""How far a right implementation may be off: rounding, times how much rounding matters here.

An implementation rounds its inputs, its schedule and its intermediate results to its own precision. To first order each such
rounding acts like a relative change of an input by about eps, so what they do together is seen by making such changes, in the
reference, at a size delta where they can be measured:

    tolerance = K (eps/delta) max over trials |f(inputs (1 + delta u)) - f(inputs)|  +  K eps |f|  +  the reference's own error

u uniform in [-1, 1], anew for every number. Points, times, weights of models, step sizes are changed; so are the process's alpha,
drift and diffusion; and of sigma^2 = 1 - alpha^2 it is the difference that is rounded, so that sigma is off by eps alpha^2/sigma^2
more. (Of OU it is that of s^2/(2 beta) (1 - alpha^2), with a factor that is large where beta is small: half of the digits may go.)
A process whose drift and diffusion come by differences says how well it knows them, and is changed by that much as well.
K = 1024 is room for many roundings in a row (two layers, five dimensions, thirteen steps), and for forms that round more;
known mistakes are further away by many orders.

What this cannot see: an implementation that loses digits by a detour, where a direct way would keep them. On rungs marked
``strict`` (sigma near t = 0) that is looked for: there sigma may lose half of its digits, and no more.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from refscore.conformance.reference import Reference
from refscore.conformance.spec import Spec, column
from refscore.processes import DDPM, OU

K = 1024
HALF = 2.0**26
"""K where half of the digits may be lost."""
DELTA = 1e-6
HALF_LOST = 0.1 / DELTA
"""Units of rounding in sigma^2 that an unlucky formula may cost: K of them are 2e-8, half of the digits."""
TRIALS = 6


class Shaken:
    """A process whose every number is off by a relative delta u; with ``strict`` sigma too, otherwise sigma^2 by delta alpha^2."""

    def __init__(self, process: Any, rng: np.random.Generator, strict: bool = False):
        self._process, self._rng, self._strict = process, rng, strict

    def _off(self, value):
        return value * (1 + DELTA * self._rng.uniform(-1, 1, np.shape(value)))

    def _within(self, t):
        """A time that was moved beyond the end is the end."""
        return np.minimum(t, self._process.t_max)

    def alpha(self, t):
        return self._off(self._process.alpha(self._within(t)))

    def sigma(self, t):
        sigma = self._process.sigma(self._within(t))
        if self._strict:
            return self._off(sigma)
        square = self._process.alpha(self._within(t)) ** 2
        more = np.minimum((_whole(self._process) - 1) * square, sigma**2 * HALF_LOST)
        lost = DELTA * self._rng.uniform(-1, 1, np.shape(sigma)) * (sigma**2 + square + more)
        return np.sqrt(np.maximum(sigma**2 + lost, 0))

    def drift(self, x, t):
        return self._off(self._process.drift(x, self._within(t)))

    def diffusion(self, t):
        return self._off(self._process.diffusion(self._within(t)))

    def beta(self, index):
        beta = self._process.beta(index)
        return beta + DELTA * self._rng.uniform(-1, 1, np.shape(beta))  # it is 1 - beta that is rounded

    def exponential_step(self, t, s):
        return tuple(self._off(part) for part in self._process.exponential_step(self._within(t), s))

    def marginal(self, density, t):
        return density.corrupted(float(self.alpha(t)), float(self.sigma(t)))


def _whole(process: Any) -> float:
    """c of sigma^2 = c (1 - alpha^2), as it is usually written, where c is more than 1."""
    if isinstance(process, OU) and process.beta > 0:
        return max(1.0, process.g**2 / (2 * process.beta))
    return 1.0


class Blurred:
    """A process whose drift and diffusion are off by their own errors, up or down by these signs."""

    def __init__(self, process: Any, of_drift: int, of_diffusion: int):
        self._process, self._of_drift, self._of_diffusion = process, of_drift, of_diffusion

    def __getattr__(self, name: str):
        return getattr(self._process, name)

    def drift(self, x, t):
        return self._process.drift(x, t) + self._of_drift * column(self._process.coefficient_errors(t)[0]) * x

    def diffusion(self, t):
        return self._process.diffusion(t) + self._of_diffusion * self._process.coefficient_errors(t)[1]

    def exponential_step(self, t, s):
        a, b, v = self._process.exponential_step(t, s)
        factor = (self.diffusion(t) / self._process.diffusion(t)) ** 2
        return a, b * factor, v * factor


def own_error(reference: Reference, evaluate: Any, arguments: dict[str, Any], wanted: list[np.ndarray]) -> list[np.ndarray]:
    """The reference's own error beyond rounding, absolute: where its process takes differences for derivatives."""
    spread = [np.zeros(value.shape) for value in wanted]
    for signs in product((1, -1), repeat=2) if hasattr(reference.process, "coefficient_errors") else ():
        off = evaluate(Reference(Blurred(reference.process, *signs), reference.conventions), arguments)
        spread = [np.maximum(s, np.abs(o - w)) for s, o, w in zip(spread, off, wanted, strict=True)]
    return [_row_max(s) for s in spread]


def shaken(value: Any, rng: np.random.Generator) -> Any:
    """Numbers, arrays and specs of floats with every number off by a relative delta u; anything else as it is."""
    if isinstance(value, Spec):
        arrays = {name: shaken(array, rng) for name, array in value.arrays.items()}
        if "weights" in arrays:
            arrays["weights"] /= arrays["weights"].sum()
        if "P" in arrays:
            arrays["P"] = (arrays["P"] + arrays["P"].T) / 2
        return replace(value, arrays=arrays)
    if isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        return value * (1 + DELTA * rng.uniform(-1, 1, np.shape(value)))
    return value


def tolerance(reference: Reference, evaluate: Any, arguments: dict[str, Any], wanted: list[np.ndarray], strict: bool = False):
    """The tolerance over eps, of the module docstring, one array for each of the wanted ones.

    ``evaluate(reference, arguments)`` gives the operation's values as a list of arrays.
    """
    rng = np.random.default_rng(0)  # the same trials in every run: a tolerance is no matter of chance
    spread = [np.zeros_like(value) for value in wanted]
    for _ in range(TRIALS):
        process = None if reference.process is None else Shaken(reference.process, rng, strict)
        moved = {name: shaken(v, rng) for name, v in arguments.items()}
        if process is not None and not isinstance(reference.process, DDPM) and "t" in moved:
            moved["t"] = np.minimum(moved["t"], 2 * reference.process.t_max - moved["t"])  # not beyond the last time
        off = evaluate(Reference(process, reference.conventions), moved)
        spread = [np.maximum(s, np.abs(o - w)) for s, o, w in zip(spread, off, wanted, strict=True)]
    unit = HALF if strict else K
    return [unit * (_row_max(s) / DELTA + _row_max(np.abs(w))) for s, w in zip(spread, wanted, strict=True)]


def _row_max(values: np.ndarray) -> np.ndarray:
    """The largest entry of each row, as large as its neighbours could have been."""
    return np.broadcast_to(values.max(axis=-1, keepdims=True), values.shape) if values.ndim > 1 else values
