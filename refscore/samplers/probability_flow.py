r"""The probability flow: a noise-free equation with the marginals of the SDE.

For dX = f dt + g dW with marginals p_t and s = grad log p_t the Fokker-Planck equation is a continuity equation [b, sec. 1; Song et
al. 2021, app. D.1],

    d/dt p_t = -div(f p_t) + g^2/2 Laplace p_t = -div(b p_t),      b = f - 1/2 g^2 s,

so that the solutions of dx/dt = b(x, t) carry p_s into p_t: upwards from data to noise, and downwards, the same curve, from noise
to data. Half of g^2 s here, all of it in the reverse SDE: the other half pays for the noise.

The map from time t to time s is a bijection, and its inverse is the pass from s to t. Discretised, it is a bijection as long as the
steps are short, and the pass back is its inverse up to the discretisation's error only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from refscore import _blocks, _validate
from refscore.processes._gaussian_path import GaussianPath
from refscore.samplers import runge_kutta

_ROW_ARRAYS = 10  # x, the stages of a step, and what the score needs besides, in arrays of the size of x


def probability_flow(process: GaussianPath, score: Callable) -> ProbabilityFlow:
    """The probability flow of ``process`` with the given score.

    Parameters
    ----------
    process : process
        An SDE, such as ``OU`` or ``VP``.
    score : callable
        ``score(x, t)``, (n, d) -> (n, d), with scalar t: `refscore.processes.MarginalScore`, a network, or any other.

    Raises TypeError for a process without drift and diffusion (a chain), or a score that cannot be called.
    Source: [b, sec. 1]; Song et al. 2021, eq. 13; systems F5.
    """
    return ProbabilityFlow(process, score)


@dataclass(frozen=True, eq=False)
class ProbabilityFlow:
    """dx/dt = f(x, t) - 1/2 g(t)^2 score(x, t)."""

    process: GaussianPath
    score: Callable

    def __post_init__(self):
        missing = [name for name in ("rate", "diffusion") if not callable(getattr(self.process, name, None))]
        if missing:
            raise TypeError(f"process is {self.process!r}, without {' and '.join(missing)}: pass an SDE, such as VP()")
        if not callable(self.score):
            raise TypeError(f"score is {self.score!r}: pass a callable score(x, t), such as MarginalScore(process, density)")

    def drift(self, x, t: float) -> np.ndarray:
        """b(x, t) = -r(t) x - 1/2 g(t)^2 score(x, t), (n, d), per unit of increasing time; t is one time."""
        return self._drift(_validate.batch(x, dtype=None), self._checked_time(t, "t"))

    def integrate(self, x, t0: float, t1: float, rtol: float = 1e-10, atol: float = 1e-10) -> np.ndarray:
        """Where the curves through x (n, d) at time t0 are at time t1, (n, d); t1 may lie before or after t0.

        By DOP853, with local errors of each entry below atol + rtol |entry|; 'euler', 'heun' and 'rk4' on a grid of one's own:
        `steps`. To draw from the model, integrate from T to 0 (or to an early stop) from x_T ~ N(0, sigma_T^2 I).

        Rows are taken in blocks, with times chosen for each block, so that a row's result depends on the others by no more than
        the tolerances; it has the same bits for any number of threads. float32 comes back as float32; a score in float32 ends the
        tolerances at about 1e-5.

        Raises
        ------
        ValueError
            For times outside the process, tolerances that are not positive, a score that is not finite, and where the flow
            cannot be followed to the tolerance (data that are points, integrated down to t = 0).
        """
        x = _validate.batch(x, dtype=None)
        t0, t1 = self._checked_time(t0, "t0"), self._checked_time(t1, "t1")
        rtol, atol = _validate.positive(rtol, "rtol"), _validate.positive(atol, "atol")
        if t0 == t1:
            return x.copy()
        solve = partial(self._solved, t0=t0, t1=t1, rtol=rtol, atol=atol)
        label = f"probability flow of {len(x)} rows from t = {t0:g} to {t1:g}"
        return _blocks.map_rows(solve, x, row_bytes=_ROW_ARRAYS * x.shape[1] * 8, label=label)

    def steps(self, times, method: str = "heun") -> FlowSteps:
        """The flow on a grid of times, strictly increasing (data to noise) or decreasing, by 'euler', 'heun' or 'rk4'.

        The result is a chain without noise: ``len(chain)``, ``chain.mean(k, x)``, and ``chain.integrate(x)`` for all steps.
        """
        return FlowSteps(self, times, method)

    def _solved(self, x: np.ndarray, *, t0: float, t1: float, rtol: float, atol: float) -> np.ndarray:
        eps = float(np.finfo(np.result_type(np.float32, np.asarray(self.score(x, t0)))).eps)
        start = x.astype(np.float64, copy=False)
        return runge_kutta.adaptive(self._drift, start, t0, t1, rtol, atol, eps).astype(x.dtype, copy=False)

    def _drift(self, x: np.ndarray, t: float) -> np.ndarray:
        score = np.asarray(self.score(x, t))
        if score.shape != x.shape:
            raise ValueError(f"score(x, {t}) has shape {score.shape}, but x has shape {x.shape}: they must agree")
        drift = -float(self.process.rate(t)) * x - 0.5 * float(self.process.diffusion(t)) ** 2 * score
        if not np.isfinite(drift).all():
            raise ValueError(
                f"the flow's drift at t = {t} is {drift[~np.isfinite(drift)][0]}: score(x, {t}) is not finite, or the curve has "
                "left the range of float64; take shorter steps, or stop at a larger t"
            )
        return drift.astype(x.dtype, copy=False)

    def _checked_time(self, t, name: str) -> float:
        t = _validate.positive(t, name, zero=True)
        if t > self.process.t_max:
            raise ValueError(f"{name} is {t}: {type(self.process).__name__} runs from time 0 to {self.process.t_max}")
        return t


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
            raise ValueError(f"times = {times}: pass strictly increasing or decreasing times, such as np.linspace(1, 0, 50)")
        for t in (times.min(), times.max()):
            self.flow._checked_time(t, "times")
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
        return self._mean(k, _validate.batch(x, dtype=None))

    def integrate(self, x) -> np.ndarray:
        """All steps, (n, d); row blocks, the same bits for any number of threads, float32 stays float32."""
        x = _validate.batch(x, dtype=None)
        label = f"probability flow of {len(x)} rows, {len(self)} steps"
        return _blocks.map_rows(self._block, x, row_bytes=_ROW_ARRAYS * x.shape[1] * x.itemsize, label=label)

    def _block(self, x: np.ndarray) -> np.ndarray:
        for k in range(len(self)):
            x = self._mean(k, x)
        return x

    def _mean(self, k: int, x: np.ndarray) -> np.ndarray:
        k = range(len(self))[k]
        return runge_kutta.step(self.flow._drift, x, float(self.times[k]), float(self.times[k + 1]), self.method)
