"""The variance-preserving process with any schedule beta(t) that can be integrated, given as a function.

Its clock B(s, t) = int_s^t beta comes by Gauss-Legendre quadrature on panels that are halved until the sum of the halves agrees
with the whole: steps and kinks end up between panels, an integrable singularity such as t^{-1/2} in a row of ever smaller ones.
There, where 0 is the singular point, the row is continued to the smallest floats, so that B(0, t) keeps its digits however short t.
A reading of the clock is the sum of two ends of panels and of the whole panels between them, all terms non-negative, so that short
times lose no digits. What the nodes cannot see is a spike between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from refscore import _quadrature, _validate
from refscore.processes.variance_preserving import VariancePreserving

_EPS = float(np.finfo(np.float64).eps)
_WORST = 1e-10
_SINGULAR, _SMALLEST = 1e-9, 1e-290


@dataclass(frozen=True, eq=False)
class VPSchedule(VariancePreserving):
    """dX = -beta(t)/2 X dt + sqrt(beta(t)) dW for 0 <= t <= t_max.

    Parameters
    ----------
    schedule : callable
        beta(t): (n,) -> (n,), non-negative and finite for 0 < t < t_max, integrable (units 1/time).
    t_max : float
        The last time.

    Attributes
    ----------
    clock_error : float
        What the quadrature of B(0, t_max) may be off by (an estimate: the change when panels are halved).

    Raises
    ------
    TypeError, ValueError
        For a schedule that is no function of arrays, negative or not finite inside, or that cannot be integrated to ten digits.
    """

    schedule: Callable
    t_max: float = 1.0
    clock_error: float = field(init=False, repr=False)
    _edges: np.ndarray = field(init=False, repr=False)
    _before: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        if not callable(self.schedule):
            raise TypeError(f"schedule is {self.schedule!r}: pass a function of arrays, such as lambda t: 0.1 + 19.9 * t")
        object.__setattr__(self, "t_max", _validate.positive(self.t_max, "t_max"))
        with np.errstate(over="ignore", invalid="ignore"):
            edges, parts, error = self._panels()
            total = float(parts.sum())
        if not np.isfinite(32 * total):
            raise ValueError(f"schedule: the integral of beta up to {self.t_max} exceeds float64; pass a weaker schedule, "
                             "or an earlier t_max")
        if not total > 0:
            raise ValueError("schedule is 0 everywhere: there would be no noise; pass beta(t) > 0 somewhere")
        if not error <= _WORST * total:
            raise ValueError(f"schedule: the integral of beta up to {self.t_max} is known to {error / total:.0e} of itself only; "
                             "beta is not integrable there (stop earlier: t_max), or rough: pass a smoother function")
        object.__setattr__(self, "clock_error", error + 32 * _EPS * total)
        object.__setattr__(self, "_edges", edges)
        before = np.concatenate([[0], np.cumsum(parts, dtype=np.longdouble)])  # differences of readings keep their digits
        object.__setattr__(self, "_before", before)

    def beta(self, t):
        """The schedule at t."""
        t = self._time(t)
        return self._schedule(t.reshape(-1)).reshape(t.shape)[()]

    def _schedule(self, t: np.ndarray) -> np.ndarray:
        return _validate.of_time(self.schedule, t, "schedule")

    def _panels(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Edges of the panels, the integral over each, and how far off they are together."""
        start = self.t_max * np.linspace(0, 1, 8) ** 1.2  # uneven: periods and symmetries must not look resolved
        pieces, error = _quadrature.adaptive(lambda t, _: self._schedule(t), start[:-1], start[1:])
        order = np.argsort(pieces.edges)
        edges, values = np.append(pieces.edges[order], self.t_max), pieces.values[order]
        if edges[1] < _SINGULAR * self.t_max:
            near = np.ldexp(edges[1], -np.arange(int(np.log2(edges[1] / _SMALLEST)), -1, -1))
            near = np.concatenate([[0.0], near])
            edges, values = np.concatenate([near, edges[2:]]), np.concatenate([self._integral(near[:-1], near[1:]), values[1:]])
        return edges, values, float(error.sum())

    def _integral(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return _quadrature.gauss(lambda t, _: self._schedule(t), low, high)

    def _clock(self, s, t):
        s, t = np.broadcast_arrays(s, t)
        low, high = s.reshape(-1), t.reshape(-1)
        first = np.searchsorted(self._edges, low, side="left")  # edge after s
        last = np.searchsorted(self._edges, high, side="right") - 1  # edge before t
        inside = last < first  # no edge between them
        after, before = np.where(inside, high, self._edges[np.minimum(first, len(self._edges) - 1)]), self._edges[last]
        between = np.where(inside, 0.0, (self._before[last] - self._before[np.minimum(first, last)]).astype(np.float64))
        total = self._integral(low, after) + between + np.where(inside, 0.0, self._integral(np.where(inside, high, before), high))
        return total.reshape(s.shape)[()]
