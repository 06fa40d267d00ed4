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

from refscore import _validate
from refscore.processes._gaussian_path import GaussianPath
from refscore.samplers import runge_kutta
from refscore.samplers.chain import check_score
from refscore.samplers.flow_likelihood import LogLikelihood, along, of_shape
from refscore.samplers.flow_steps import FlowSteps
from refscore.samplers.reverse_sde import check_process


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
        check_process(self.process)
        check_score(self.score)

    def drift(self, x, t: float) -> np.ndarray:
        """b(x, t) = -r(t) x - 1/2 g(t)^2 score(x, t), (n, d), per unit of increasing time; t is one time."""
        return _validate.finite(self.slope(_validate.batch(x, dtype=None), self.checked_time(t, "t")), "the drift")

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
        t0, t1 = self.checked_time(t0, "t0"), self.checked_time(t1, "t1")
        solve = self._to_tolerance(x, t0, t1, rtol, atol)
        if t0 == t1:
            return x.copy()
        label = f"probability flow of {len(x)} rows from t = {t0:g} to {t1:g}"
        start = x.astype(np.float64, copy=False)
        end = runge_kutta.map_rows(partial(solve, self.slope), start, columns=x.shape[1], label=label)
        return end.astype(x.dtype, copy=False)

    def log_likelihood(
        self, x, t_min: float = 0.0, t_max: float | None = None, prior=None, probes=None, rtol: float = 1e-10, atol: float = 1e-10
    ) -> LogLikelihood:
        """log p_{t_min}(x) of rows x (n, d) by the change of variables along the flow from t_min to t_max, its terms apart.

        Parameters
        ----------
        x : (n, d)
            Points at time t_min. Computed in float64.
        t_min : float
            Where the flow starts: 0, or an early stop for data without a density or whose score is infinite somewhere.
        t_max : float
            T, where the prior is; by default the end of a process that has one.
        prior : density, optional
            With ``logpdf``, of x_T: exact with ``MarginalScore(process, density).marginal(T)``; by default N(0, sigma_T^2 I).
        probes : (n, d) or (k, n, d), optional
            Hutchinson's v, kept along the flow, for an unbiased estimate of the divergence by ``score.jvp(x, v, t)``, the mean over
            k. By default the exact trace by ``score.divergence(x, t)``.
        rtol, atol : float
            As in `integrate`. Against exact densities of Gaussians and mixtures the defaults left errors of 1e-11 (1 + |log p|):
            with log p = -2e6, a thousand standard deviations away, 1e-5. To see them in a given case compare with
            tolerances a hundred times larger, whose errors are larger, too.

        Returns
        -------
        LogLikelihood
            ``total`` = ``prior`` + ``divergence``, and ``truncation``, an estimate of what stopping at t_min loses.

        Raises
        ------
        ValueError, TypeError
            As `integrate`, and for t_min not below t_max, a score without ``divergence`` (``jvp`` with probes), probes or a prior
            of the wrong shape.

        Source: [b, sec. 1]; Chen et al. 2018, theorem 1; Song et al. 2021, app. D.2; systems F6.
        """
        x = _validate.batch(x)
        t_min = self.checked_time(t_min, "t_min")
        t_max = self.checked_time(self.process.t_max if t_max is None else t_max, "t_max")
        if not t_min < t_max:
            raise ValueError(f"t_min = {t_min} is not below t_max = {t_max}: the likelihood is taken from data to noise")
        return along(self, self._to_tolerance(x, t_min, t_max, rtol, atol), x, t_min, t_max, prior, probes)

    def steps(self, times, method: str = "heun") -> FlowSteps:
        """The flow on a grid of times, strictly increasing (data to noise) or decreasing, by 'euler', 'heun' or 'rk4'.

        The result is a chain without noise: ``len(chain)``, ``chain.mean(k, x)``, and ``chain.integrate(x)`` for all steps.
        """
        return FlowSteps(self, times, method)

    def _to_tolerance(self, x: np.ndarray, t0: float, t1: float, rtol, atol) -> Callable:
        """(slope, y) -> y at t1 from y at t0, in picklable form."""
        eps = float(np.finfo(np.result_type(np.float32, self.scored(x[:1], t0))).eps)
        rtol, atol = _validate.positive(rtol, "rtol"), _validate.positive(atol, "atol")
        return partial(runge_kutta.adaptive, t=t0, s=t1, rtol=rtol, atol=atol, eps=eps)

    def slope(self, x: np.ndarray, t: float) -> np.ndarray:
        """`drift` with arguments as they are, for those who have checked them."""
        return self.with_score(x, self.scored(x, t), t).astype(x.dtype, copy=False)

    def scored(self, x: np.ndarray, t: float) -> np.ndarray:
        """score(x, t), as an array of x's shape."""
        try:
            score = self.score(x, t)
        except ValueError as error:
            if t > 0 or not self._well_at(x, min(1.0, self.process.t_max) / 2):
                raise
            raise ValueError(f"{error} (the score at t = 0; where data have none stop before, as with t_min=1e-4)") from error
        return of_shape(score, x.shape, f"score(x, {t})")

    def _well_at(self, x: np.ndarray, t: float) -> bool:
        try:
            self.score(x, t)
        except ValueError:
            return False
        return True

    def with_score(self, x, score, t: float):
        """-r(t) x - 1/2 g(t)^2 score: the drift from x and the score, its divergence from d and the score's divergence."""
        return -float(self.process.rate(t)) * x - 0.5 * float(self.process.diffusion(t)) ** 2 * score

    def checked_time(self, t, name: str) -> float:
        """``t`` as a time of the process."""
        if np.ndim(t):
            raise TypeError(f"{name} has shape {np.shape(t)}: pass one time for all rows; steps(times) takes a grid of times, and "
                            "rows with times of their own take a call each")
        if t == np.inf == self.process.t_max:
            raise ValueError(f"{name} is inf, as {type(self.process).__name__} has no last time: pass {name}, such as {name}=3.0")
        t = _validate.positive(t, name, zero=True)
        if t > self.process.t_max:
            raise ValueError(f"{name} is {t}: {type(self.process).__name__} runs from time 0 to {self.process.t_max}")
        return t
