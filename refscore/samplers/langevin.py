r"""Langevin dynamics: Euler-Maruyama for dX = score(X) dt + sqrt(2) dW, whose stationary law is p.

Two conventions are in use for what the step size is, and both are right (systems F1, C3):

    'eta'        x <- x + eta s(x) + sqrt(2 eta) z           [b, "Annealed Langevin Dynamics"; d, "Recap"; e]
    'half_eta'   x <- x + eta/2 s(x) + sqrt(eta) z           [c, "Langevin dynamics"; Algorithm 1 of c and e; Welling & Teh 2011]

They are the same kernel when the second's step is twice the first's. What is wrong is a mixture of the two, such as the full
drift with noise sqrt(eta): it samples p^2, not p.

The chain forgets its start, but its stationary law is p only as the step goes to 0. For p = N(m, C), in the convention 'eta', it
is N(m, C (I - eta/2 C^{-1})^{-1}): too wide, and there is none once eta reaches twice the smallest eigenvalue of C. What this
module does not know is how steep the score is: a step that is too long for it makes the chain diverge, which `Chain`
refuses once a state has left the range of its floats, 1e308 in float64: of fewer steps the last states are handed out as they are,
however large, for what is large depends on the score.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore.samplers.chain import Chain

CONVENTIONS = ("eta", "half_eta")


def langevin(score: Callable, step: float, n_steps: int, convention: str = "eta") -> Chain:
    """n_steps of Langevin dynamics with one step size.

    Parameters
    ----------
    score : callable
        ``score(x)``, (n, d) -> (n, d), such as ``density.score`` or a model; or ``score(x, t)`` with t required, which
        is asked at t = 0, the data. For the score at another time or noise level fix it: ``lambda x: score(x, 0.3)``.
    step : float
        eta > 0 (units of x squared).
    n_steps : int
        At least 1.
    convention : 'eta' or 'half_eta'
        What ``step`` means, see the module docstring: drift eta and variance 2 eta, or eta/2 and eta.

    Raises
    ------
    ValueError, TypeError
        For a step that is not positive, n_steps below 1, an unknown convention. A step too long for the score shows when
        the chain runs: it is refused there once a state is infinite, see above.

    Source: [c, "Langevin dynamics"], [d, "Recap"], [e]; systems F1.
    """
    steps = np.full(_validate.count(n_steps, "n_steps"), _validate.positive(step, "step"))
    return kernels(_of_data(score), np.zeros(len(steps)), steps, convention)


def kernels(score: Callable, times: np.ndarray, steps: np.ndarray, convention: str) -> Chain:
    """One Langevin kernel a step, with the score at ``times`` and step sizes ``steps``, as ``convention`` reads them."""
    eta = steps if _validate.choice(convention, "convention", CONVENTIONS) == "eta" else steps / 2
    return Chain(score, times, np.ones(len(eta)), eta, 2 * eta)


def _of_data(score: Callable) -> Callable:
    """``score`` as a function of (x, t): itself when it cannot be called with x alone."""
    if not callable(score):
        raise TypeError(f"score is {score!r}: pass a callable score(x), such as density.score, or score(x, t)")
    try:
        inspect.signature(score).bind(None)
    except (TypeError, ValueError):  # it asks for more, or does not say what it asks for
        return score
    return _WithoutTime(score)


@dataclass(frozen=True)
class _WithoutTime:
    """score(x) where a chain calls score(x, t); a class, so that it can be pickled."""

    score: Callable

    def __call__(self, x, t):
        return self.score(x)
