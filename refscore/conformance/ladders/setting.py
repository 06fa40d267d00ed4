"""What the rungs of all ladders are made of: times of the candidate's process, models as arrays, points and noise.

Everything is fixed: the same rungs in every run. A model is asked on several rungs, with other points: what is kept of it shows.
Nothing is symmetric, centred or equal to one where that could hide a mistake, unless the rung's name says so. Numbers have few
digits, so that a failure can be shown as a script that is short and exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, wraps
from itertools import pairwise
from typing import Any

import numpy as np

from refscore.conformance.spec import Spec
from refscore.processes import DDPM

HORIZON = 2.0
"""The last time that is asked for where a process has none of its own."""

FEW = 13
MANY = 1031
"""Rows of a large batch, more than a chunk of 1024 and a multiple of no chunk, and how many different ones there are."""

LARGE = 1987.3
"""Numbers so much larger than the others show what is clipped, or softened, at a thousand, and what is single there."""


@dataclass(frozen=True)
class Rung:
    """One call: what is special about it, and the arguments by their names in the order of the contract.

    ``strict`` asks for sigma to the last digit (`refscore.conformance.tolerance`).
    """

    name: str
    arguments: dict[str, Any]
    strict: bool = False


@dataclass(frozen=True)
class Setting:
    """The candidate's process, whether its models are energies, and whether gradients in their arrays are asked for.

    (Those of a quadratic energy depend on whether P and P' are one parameter or two, and are not asked for.) ``scores`` asks for
    derivatives of the score -grad E of energies, not of vector fields.
    """

    process: Any = None
    energies: bool = False
    gradients: bool = False
    scores: bool = False

    @property
    def chain(self) -> bool:
        """Whether times are indices."""
        return isinstance(self.process, DDPM)

    @property
    def end(self) -> float:
        """The last time, or index."""
        last = float(self.process.t_max)
        return last if np.isfinite(last) else HORIZON

    def time(self, fraction):
        """Times at these fractions of the whole, a float or (n,); of a chain indices, at least 1."""
        if not self.chain:
            return self.end * np.asarray(fraction, dtype=np.float64) if np.ndim(fraction) else self.end * fraction
        index = np.maximum(1, np.rint(self.end * np.asarray(fraction))).astype(np.int64)
        return index if np.ndim(fraction) else int(index)

    def times(self, n: int):
        """(n,) distinct times in no order, away from both ends; of a short chain some are equal."""
        return self.time(np.round(0.05 + 0.85 * np.modf(0.31 + 0.6180339887498949 * np.arange(n))[0], 5))

    @property
    def first(self) -> float:
        """A fraction near 0, not so near that sigma^2 is all rounding in single precision, or 1 - alpha^2 half of it in double."""
        def known(fraction: float) -> bool:
            alpha, sigma = (float(f(self.time(fraction))) for f in (self.process.alpha, self.process.sigma))
            return sigma**2 > 1e-5 and not 0 < 1 - alpha**2 < 2.0**-26

        if self.chain:
            return 1 / self.end
        return next((f for f in (5e-4, 2e-3, 5e-3, 1e-2, 2e-2) if known(f)), 5e-2)

    @property
    def last(self) -> float:
        """A fraction of the whole: all of it, or where no signal is left then a little less.

        Of a chain alpha is a product, and known as long as it is not 0.
        """
        return 1.0 if self.process.alpha(self.end) > (1e-6 if self.chain else 1e-3) else 0.999

    def ends(self):
        """(4,) early and late times, the first and the last among them."""
        return self.time(np.array([self.first, 0.95, self.last, 0.1]))

    def models(self, d: int, *, takes_time: bool = False, mixtures: bool = False) -> dict[str, Spec]:
        """Specs by name, from simple to general: what the candidate's operations on models are tried with."""
        last = self.end if self.process is not None else HORIZON
        kinds = {
            "linear model": linear(d, takes_time),
            "one hidden layer": mlp(d, (6,), "tanh", takes_time, self.energies, last),
            "two hidden layers": mlp(d, (7, 5), "softplus", takes_time, self.energies, last),
        }
        if self.energies:
            kinds["linear model"] = kinds["one hidden layer"] if takes_time or self.gradients else quadratic_energy(d)
        if mixtures:
            kinds["mixture"] = mixture(d, takes_time)
        return kinds

    def nothing(self, d: int, takes_time: bool = False) -> Spec:
        """The model that is 0 everywhere, an energy where the candidate's models are."""
        return nothing(d, takes_time, self.energies)


def short(values: np.ndarray) -> np.ndarray:
    """Three decimals."""
    return np.round(values, 3)


def points(n: int, d: int, salt: int = 0) -> np.ndarray:
    """(n, d) points, correlated, skewed and not centred; ``salt`` tells one set from another."""
    rng = np.random.default_rng([n, d, salt])
    z = rng.standard_normal((n, d))
    return short(z + 0.4 * np.roll(z, 1, axis=1) ** 2 + 0.3 * rng.standard_normal(d))


def noise(*shape: int) -> np.ndarray:
    """Chosen noise of this shape, far enough from zero that none of it goes unseen."""
    z = np.random.default_rng([*shape, 77]).standard_normal(shape)
    return short(z + 0.3 * np.sign(z))


def many(rung: Rung) -> Rung:
    """A rung of `FEW` rows made one of `MANY`: the first 13, 11 and 7 rows of its arrays over and over, which a script can say."""
    lengths, arguments = iter((FEW, 11, 7)), {}
    for name, value in rung.arguments.items():
        if isinstance(value, np.ndarray) and name != "sigmas":
            value = np.take(value, np.arange(MANY) % next(lengths), axis=max(0, value.ndim - 2))
        arguments[name] = value
    return Rung(f"{rung.name}, batch of {MANY}", arguments)


def asked_again(ladder: Callable[[Setting], list[Rung]]) -> Callable[[Setting], list[Rung]]:
    """The ladder whose first batch of several rows is asked again with `other` numbers: what is kept by its shape shows."""
    @wraps(ladder)
    def whole(s: Setting) -> list[Rung]:
        rungs = ladder(s)
        arrays = [[v for v in r.arguments.values() if np.ndim(v)] for r in rungs]
        k = next((k for k, found in enumerate(arrays) if found and 3 <= len(found[0]) <= 9), None)
        return rungs if k is None else [*rungs[: k + 1], other(rungs[k]), *rungs[k + 1 :]]

    return whole


def other(rung: Rung) -> Rung:
    """The same with other numbers in arrays of the same shapes: backwards along every axis, and smaller."""
    def value(name: str, a: Any) -> Any:
        if isinstance(a, Spec):
            return replace(a, arrays={k: v if k == "weights" else np.round(0.75 * v, 6) for k, v in a.arrays.items()})
        if np.ndim(a) == 0:
            return a
        if name == "sigmas":
            return np.round(0.75 * a, 5)
        backwards = a[::-1] if a.ndim == 1 else a[..., ::-1, ::-1]
        return backwards if name in ("t", "index") or np.isin(a, (0, 1)).all() else np.round(0.75 * backwards, 5)

    return replace(rung, name=f"{rung.name}, other numbers", arguments={k: value(k, a) for k, a in rung.arguments.items()})


def large(rung: Rung, factor: float = 1.25) -> list[Rung]:
    """The same with points, noise, scores and directions `LARGE` times as large; the arrays of its model ``factor`` times.

    So it is another model than that of other rungs, and one that is kept by its kind and dimension shows. None where the model is a
    network: it saturates, and of its derivatives nothing is left but rounding.
    """
    if getattr(rung.arguments.get("model"), "kind", "") in ("mlp", "energy_mlp"):
        return []
    arguments = {}
    for name, value in rung.arguments.items():
        if isinstance(value, Spec):
            value = replace(value, arrays={k: a if k == "weights" else short(factor * a) for k, a in value.arrays.items()})
        arguments[name] = short(LARGE * value) if np.ndim(value) > 1 else value
    return [Rung(f"{rung.name}, large numbers", arguments)]


@cache
def linear(d: int, takes_time: bool = False) -> Spec:
    """x A' + b with A neither symmetric nor normal."""
    rng = np.random.default_rng([d, 1])
    A = 0.5 * rng.standard_normal((d, d)) - 0.8 * np.eye(d) + np.triu(np.full((d, d), 0.3), 1)
    return Spec("linear", {"A": short(A), "b": short(rng.standard_normal(d))}, takes_time=takes_time)


def nothing(d: int, takes_time: bool = False, energy: bool = False) -> Spec:
    """The model, or the energy, that is 0 everywhere."""
    like = mlp(d, (1,), "tanh", takes_time, energy=True) if energy else linear(d, takes_time)
    return Spec(like.kind, {name: np.zeros_like(a) for name, a in like.arrays.items()}, like.activation, takes_time)


@cache
def mlp(d: int, hidden: tuple[int, ...], activation: str, takes_time: bool = False, energy: bool = False,
        last: float = HORIZON) -> Spec:
    """A network with d outputs, or one for an energy; weights and biases without symmetry; times up to ``last``."""
    widths = [d + takes_time, *hidden, 1 if energy else d]
    rng = np.random.default_rng([*widths, energy])
    arrays = {}
    for layer, (a, b) in enumerate(pairwise(widths), start=1):
        arrays[f"W{layer}"] = rng.standard_normal((a, b)) / np.sqrt(a)
        arrays[f"b{layer}"] = 0.5 * rng.standard_normal(b)
    spec = Spec("energy_mlp" if energy else "mlp", {name: short(a) for name, a in arrays.items()}, activation, takes_time)
    if takes_time:  # indices go up to a thousand, and a saturated unit tests nothing
        spec.arrays["W1"][-1] = np.round(min(0.3, 3 / last) * arrays["W1"][-1], 6 if last > 10 else 3)
    return spec


@cache
def mixture(d: int, takes_time: bool = False) -> Spec:
    """Three components of unlike weights and widths, the whole skewed and not centred."""
    rng = np.random.default_rng([d, 3])
    means = short(np.array([-1.2, 0.4, 1.9])[:, None] + 0.5 * rng.standard_normal((3, d)))
    return Spec("mixture", {"weights": np.array([0.5, 0.2, 0.3]), "means": means, "variances": np.array([0.5, 1.3, 0.8])},
                takes_time=takes_time)


@cache
def quadratic_energy(d: int) -> Spec:
    """1/2 (x - m)'P(x - m) with P correlated."""
    rng = np.random.default_rng([d, 4])
    A = rng.standard_normal((d, d))
    return Spec("quadratic_energy", {"m": short(rng.standard_normal(d)), "P": short(A @ A.T / d + 0.5 * np.eye(d))})
