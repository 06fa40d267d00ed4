"""Stochastic gradient descent and Adam, as functions (parameters, gradient, state) -> (parameters, state).

g is the gradient of the minibatch loss at step k = 1, 2, ...; every entry of theta moves by its own gradient and by running
means of it, the moments, which start from zero:

    SGD     theta <- theta - eta u       u <- mu u + g                                       (mu = 0: u = g, no moment)
    Adam    m <- b1 m + (1 - b1) g       theta <- theta - eta m^ / (sqrt(v^) + eps)
            v <- b2 v + (1 - b2) g^2     m^ = m/(1 - b1^k),  v^ = v/(1 - b2^k)

The moments of Adam start from zero, so that after k steps E m = (1 - b1^k) E g for gradients of one law: dividing by 1 - b1^k
takes this bias out, and the first step is eta g/(|g| + eps), whatever b1 and b2 are. Momentum has the rate outside
the mean, so that with a constant gradient its steps grow to eta g/(1 - mu).

A step reads and writes each array a few times and computes little: it runs in the calling thread, in place where it may.
float32 stays float32.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refscore import _validate


@dataclass(frozen=True, eq=False)
class State:
    """Where a run stands: the steps made, the optimiser's moments, each a list of arrays shaped like the parameters, and the arrays
    that the objective hands on from step to step, if it does."""

    step: int
    moments: tuple[list[np.ndarray], ...]
    memory: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Optimiser(ABC):
    """A rule that moves every entry of theta by its own gradient and moments."""

    @property
    @abstractmethod
    def moments(self) -> int:
        """Running means kept for every parameter."""

    @abstractmethod
    def _moved(self, k: int, theta: np.ndarray, g: np.ndarray, *moments: np.ndarray) -> np.ndarray:
        """theta after step k, a new array; the moments are updated in place."""

    def start(self, parameters: Sequence[np.ndarray]) -> State:
        """The state before the first step: all moments zero."""
        return State(0, tuple([np.zeros_like(p) for p in parameters] for _ in range(self.moments)))

    def update(
        self, parameters: Sequence[np.ndarray], gradient: Sequence[np.ndarray], state: State, *, overwrite: bool = False
    ) -> tuple[list[np.ndarray], State]:
        """The parameters and the state after one more step.

        Parameters
        ----------
        parameters, gradient : lists of arrays of the same shapes, such as ``model.parameters`` and an objective's gradient.
        state : State, from `start` or the step before.
        overwrite : with True the moments of ``state`` are updated in place, and ``state`` is of no further use. Parameters
            and gradient stay as they are in any case.

        Raises ValueError for shapes that differ, a gradient that is not finite, and a step that leaves the range of the dtype.
        """
        shapes = [np.shape(p) for p in parameters]
        for name, arrays in (("gradient", gradient), *((f"state.moments[{j}]", m) for j, m in enumerate(state.moments))):
            if (given := [np.shape(a) for a in arrays]) != shapes:
                raise ValueError(f"{name} has shapes {given}, parameters {shapes}: pass one array for each parameter array")
        if len(state.moments) != self.moments:
            raise ValueError(
                f"state has {len(state.moments)} moments, {self} keeps {self.moments}: pass {type(self).__name__}.start(parameters)"
            )
        k, moments = state.step + 1, state.moments if overwrite else tuple([a.copy() for a in m] for m in state.moments)
        moved = []
        for i, (theta, g) in enumerate(zip(parameters, gradient, strict=True)):
            g = _validate.finite(np.asarray(g, theta.dtype), f"gradient[{i}]")
            try:
                with np.errstate(over="raise", invalid="raise", divide="raise"):
                    moved.append(self._moved(k, theta, g, *(m[i] for m in moments)))
            except FloatingPointError as error:
                raise ValueError(
                    f"step {k} of {self} leaves the range of {theta.dtype} at parameter {i} ({error}): lower the rate, "
                    "or scale the loss"
                ) from error
        return moved, State(k, moments)


@dataclass(frozen=True)
class SGD(Optimiser):
    """theta <- theta - rate u with u <- momentum u + g.

    Parameters
    ----------
    rate : learning rate eta > 0.
    momentum : mu in [0, 1); 0 is plain stochastic gradient descent.

    Source: [a, sec. 4, "gradient descent"], [e, "stochastic gradient descent"]; Polyak 1964.
    """

    rate: float
    momentum: float = 0.0

    def __post_init__(self):
        _validate.positive(self.rate, "rate")
        _decay(self.momentum, "momentum")

    @property
    def moments(self) -> int:
        """1 with momentum, else 0."""
        return int(self.momentum > 0)

    def _moved(self, k, theta, g, *moments):
        for u in moments:
            u *= self.momentum
            u += g
            g = u
        step = self.rate * g
        return np.subtract(theta, step, out=step)


@dataclass(frozen=True)
class Adam(Optimiser):
    """theta <- theta - rate m^/(sqrt(v^) + eps), with bias-corrected means m^ of g and v^ of g^2.

    Parameters
    ----------
    rate : step size > 0: no entry of theta moves by much more in one step.
    betas : (b1, b2), decay rates of the means of g and of g^2, each in [0, 1).
    eps : > 0, outside the root.

    Source: Kingma & Ba 2015, Algorithm 1.
    """

    rate: float = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self):
        _validate.positive(self.rate, "rate")
        _validate.positive(self.eps, "eps")
        if np.shape(self.betas) != (2,):
            raise ValueError(f"betas is {self.betas!r}: pass the two decay rates, as in (0.9, 0.999)")
        for i, beta in enumerate(self.betas):
            _decay(beta, f"betas[{i}]")

    @property
    def moments(self) -> int:
        """2: m and v."""
        return 2

    def _moved(self, k, theta, g, *moments):
        (b1, b2), (m, v) = self.betas, moments
        m *= b1
        t = (1 - b1) * g
        m += t
        v *= b2
        np.multiply(g, g, out=t)
        t *= 1 - b2
        v += t
        np.sqrt(v, out=t)
        t *= 1 / math.sqrt(1 - b2**k)
        t += self.eps
        np.divide(m, t, out=t)
        t *= self.rate / (1 - b1**k)
        return np.subtract(theta, t, out=t)


def _decay(value: float, name: str) -> None:
    if _validate.positive(value, name, zero=True) >= 1:
        raise ValueError(f"{name} is {value}: a running mean forgets only when it is below 1, as in 0.9")
