r"""Energies: functions E of x, with derivatives by hand, whose models are p = exp(-E)/Z (systems G1).

    QuadraticEnergy    E = 1/2 (x - m)'P(x - m)      on R^d the Gaussian N(m, P^{-1}), on {0,1}^v a Boltzmann machine
    SumEnergy          E = E_1 + E_2 + ...           a product of models; with a quadratic one a network that grows far out
    AnalyticEnergy     any function, with the derivatives that are known

`refscore.networks.EnergyMLP` has one as ``model.energy``. What they have in common is what the room asks for: ``E(x)`` (n,),
``gradient(x)`` (n, d), ``hessian(x)`` (n, d, d), all in x; ``parameters`` and ``parameter_gradient(x, c)``, the gradients of the
sum over rows of c E(x); ``with_parameters(arrays)``. The lectures write f for -E and call that the energy [e].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refscore import _validate


@dataclass(frozen=True, eq=False)
class QuadraticEnergy:
    """E(x) = 1/2 (x - m)'P(x - m).

    Parameters
    ----------
    mean : (d,)
        m.
    precision : (d, d), symmetric
        P; on R^d only a positive definite one can be normalised.
    """

    mean: Any
    precision: Any

    def __post_init__(self):
        mean, precision = (np.array(a, dtype=np.float64) for a in (self.mean, self.precision))
        if mean.ndim != 1 or precision.shape != (len(mean), len(mean)):
            raise ValueError(f"mean has shape {mean.shape}, precision {precision.shape}: pass (d,) and (d, d)")
        if not np.array_equal(_validate.finite(precision, "precision"), precision.T):
            raise ValueError("precision is not symmetric: pass (P + P.T)/2, which has the same energy")
        for name, array in (("mean", _validate.finite(mean, "mean")), ("precision", precision)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def parameters(self) -> list[np.ndarray]:
        """[m, P]."""
        return [self.mean, self.precision]

    def with_parameters(self, arrays: Sequence) -> QuadraticEnergy:
        """The energy with other [m, P]."""
        return QuadraticEnergy(*arrays)

    def __call__(self, x) -> np.ndarray:
        """E(x), (n,)."""
        away = self._away(x)
        return 0.5 * ((away @ self.precision) * away).sum(axis=1)

    def gradient(self, x) -> np.ndarray:
        """P(x - m), (n, d)."""
        return self._away(x) @ self.precision

    def hessian(self, x) -> np.ndarray:
        """P of every row, (n, d, d)."""
        return np.broadcast_to(self.precision, (len(self._away(x)), *self.precision.shape)).copy()

    def parameter_gradient(self, x, c) -> list[np.ndarray]:
        """[-sum c P(x - m), 1/2 sum c (x - m)(x - m)'], as if the entries of P were free; symmetric to the last bit."""
        away = self._away(x)
        weighted = _weights(c, len(away))[:, None] * away
        square = weighted.T @ away
        return [-self.precision @ weighted.sum(axis=0), 0.25 * (square + square.T)]

    def _away(self, x) -> np.ndarray:
        return _validate.batch(x, len(self.mean)) - self.mean


@dataclass(frozen=True, eq=False)
class SumEnergy:
    """E_1(x) + E_2(x) + ...: densities that are multiplied."""

    terms: Sequence

    def __post_init__(self):
        object.__setattr__(self, "terms", tuple(self.terms))
        if not self.terms or not all(callable(term) for term in self.terms):
            raise TypeError(f"terms is {self.terms!r}: pass a list of energies, SumEnergy([network.energy, QuadraticEnergy(m, P)])")

    @property
    def parameters(self) -> list[np.ndarray]:
        """Those of all terms, one after another."""
        return [array for term in self.terms for array in term.parameters]

    def with_parameters(self, arrays: Sequence) -> SumEnergy:
        """The sum with other parameters, in the same order."""
        terms, start = [], 0
        for term in self.terms:
            stop = start + len(term.parameters)
            terms.append(term.with_parameters(arrays[start:stop]))
            start = stop
        return SumEnergy(terms)

    def __call__(self, x) -> np.ndarray:
        """E(x), (n,)."""
        return sum(term(x) for term in self.terms)

    def gradient(self, x) -> np.ndarray:
        """grad E(x), (n, d)."""
        return sum(term.gradient(x) for term in self.terms)

    def hessian(self, x) -> np.ndarray:
        """(n, d, d)."""
        return sum(term.hessian(x) for term in self.terms)

    def parameter_gradient(self, x, c) -> list[np.ndarray]:
        """Of the sum over rows of c E(x), in the order of ``parameters``."""
        return [array for term in self.terms for array in term.parameter_gradient(x, c)]


@dataclass(frozen=True, eq=False)
class AnalyticEnergy:
    """Any function as an energy, with what is known of it.

    Parameters
    ----------
    value : callable
        ``value(x, *parameters)``, (n, d) -> (n,); +inf where p vanishes.
    slope, curvature : callable, optional
        ``slope(x, *parameters)``, (n, d), the gradient in x, and ``curvature(x, *parameters)``, (n, d, d). Sampling by
        Langevin dynamics needs the first; `EnergyModel.log_partition` uses it to look for narrow wells.
    weighted : callable, optional
        ``weighted(x, c, *parameters)``: the gradients in the parameters of sum c E(x), one array a parameter.
    parameters : sequence of arrays
    """

    value: Callable
    slope: Callable | None = None
    curvature: Callable | None = None
    weighted: Callable | None = None
    parameters: Sequence = ()

    def __post_init__(self):
        for name in ("value", "slope", "curvature", "weighted"):
            function = getattr(self, name)
            if not callable(function) and (name == "value" or function is not None):
                raise TypeError(f"{name} is {function!r}: pass a function of points (n, d)")
        arrays = [_validate.finite(np.array(a, dtype=np.float64), "parameters") for a in self.parameters]
        object.__setattr__(self, "parameters", arrays)

    def with_parameters(self, arrays: Sequence) -> AnalyticEnergy:
        """The same function with other parameters."""
        return replace(self, parameters=arrays)

    def __call__(self, x) -> np.ndarray:
        """E(x), (n,)."""
        return _shaped(self.value(x, *self.parameters), (len(x),), "value")

    def gradient(self, x) -> np.ndarray:
        """grad E(x), (n, d). TypeError where no ``slope`` was given."""
        return _shaped(self._known("slope")(x, *self.parameters), np.shape(x), "slope")

    def hessian(self, x) -> np.ndarray:
        """(n, d, d). TypeError where no ``curvature`` was given."""
        return _shaped(self._known("curvature")(x, *self.parameters), (*np.shape(x), np.shape(x)[1]), "curvature")

    def parameter_gradient(self, x, c) -> list[np.ndarray]:
        """Of the sum over rows of c E(x). TypeError where no ``weighted`` was given."""
        arrays = [np.asarray(a, dtype=np.float64) for a in self._known("weighted")(x, _weights(c, len(x)), *self.parameters)]
        shapes = [a.shape for a in arrays], [p.shape for p in self.parameters]
        if shapes[0] != shapes[1]:
            raise ValueError(f"weighted returned arrays of shapes {shapes[0]}: return one a parameter, of shapes {shapes[1]}")
        return arrays

    def _known(self, name: str) -> Callable:
        function = getattr(self, name)
        if function is None:
            raise TypeError(f"this energy knows no {name}: pass AnalyticEnergy(..., {name}=...)")
        return function


def _shaped(value, shape: tuple[int, ...], name: str) -> np.ndarray:
    value = np.asarray(value, dtype=np.float64)
    if value.shape != shape:
        raise ValueError(f"{name} returned shape {value.shape} for {shape[0]} points: return shape {shape}")
    return value


def _weights(c, n: int) -> np.ndarray:
    c = _validate.reals(c, "c")
    if c.shape != (n,):
        raise ValueError(f"c has shape {c.shape}: pass one number a row, shape ({n},)")
    return _validate.finite(c, "c")
