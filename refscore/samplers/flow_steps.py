"""The probability flow on a grid of times: a chain of maps, one step of a Runge-Kutta method each.

Discretised, a flow is a chain whose kernels are points. The law after the steps is that of the mapped points, which has the density
of the first law divided by the determinant of the map's Jacobian as long as the steps are short enough for it to be one-to-one; it
is the flow's own law up to the order of the method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from refscore import _validate
from refscore.samplers import runge_kutta
from refscore.samplers.flow_likelihood import LogLikelihood, along

if TYPE_CHECKING:
    from refscore.samplers.probability_flow import ProbabilityFlow


@dataclass(frozen=True, eq=False)
class FlowSteps:
    """The probability flow on a grid: x <- m_k(x), one step of a Runge-Kutta method from times[k] to times[k+1].

    It has the shape of `refscore.samplers.Chain`, with ``v`` = 0: its kernels are points.
    """

    flow: ProbabilityFlow
    times: np.ndarray
    method: str = "heun"

    def __post_init__(self):
        times = _validate.finite(np.atleast_1d(_validate.reals(self.times, "times")), "times").copy()
        gaps = np.diff(times)
        if times.ndim != 1 or not len(times) or not ((gaps > 0).all() or (gaps < 0).all()):
            raise ValueError(f"times = {_validate.shown(times)}: pass strictly increasing or decreasing times, "
                             "such as np.linspace(1, 0, 50)")
        for t in (times.min(), times.max()):
            self.flow.checked_time(t, "times")
        _validate.choice(self.method, "method", tuple(runge_kutta.METHODS))
        times.flags.writeable = False
        object.__setattr__(self, "times", times)

    @property
    def v(self) -> np.ndarray:
        """Variances of the kernels, (N,): zeros."""
        return np.zeros(len(self))

    def __len__(self) -> int:
        return len(self.times) - 1

    def __getitem__(self, steps: slice) -> FlowSteps:
        """Some of the steps, in a row: ``chain[:k]`` leads to the state before step k."""
        if not isinstance(steps, slice) or steps.step not in (None, 1):
            raise TypeError(f"chain[{steps!r}]: pass a slice of steps in a row, such as chain[:3]")
        first, last, _ = steps.indices(len(self))
        return FlowSteps(self.flow, self.times[first : max(last, first) + 1], self.method)

    def mean(self, k: int, x) -> np.ndarray:
        """m_k(x), (n, d): where step k takes x."""
        x, k = _validate.batch(x, dtype=None), range(len(self))[k]
        return runge_kutta.step(self.flow.slope, x, float(self.times[k]), float(self.times[k + 1]), self.method)

    def integrate(self, x) -> np.ndarray:
        """All steps, (n, d); row blocks, the same bits for any number of threads, float32 stays float32."""
        x = _validate.batch(x, dtype=None)
        label = f"probability flow of {len(x)} rows, {len(self)} steps"
        return runge_kutta.map_rows(partial(self._solve, self.flow.slope), x, columns=x.shape[1], label=label)


    def log_likelihood(self, x, prior=None, probes=None) -> LogLikelihood:
        """`ProbabilityFlow.log_likelihood` from times[0] to times[-1], with the errors of these steps; times must increase."""
        if len(self) and self.times[0] > self.times[-1]:
            raise ValueError(f"times run down, from {self.times[0]} to {self.times[-1]}: the likelihood is taken from data to "
                             "noise, pass increasing times to steps")
        return along(self.flow, self._solve, _validate.batch(x), float(self.times[0]), float(self.times[-1]), prior, probes)

    def _solve(self, slope: Callable, y: np.ndarray) -> np.ndarray:
        return runge_kutta.on_grid(slope, y, self.times, self.method)
