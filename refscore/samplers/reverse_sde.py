"""Discretised reverse SDEs as chains of Gaussian kernels.

The reversal of dX = f(X, t) dt + g(t) dW is, with time running down and the score of the law p_t [a, sec. 4; b; e;
Anderson 1982],

    dY = [-f(Y, t) + g(t)^2 score(Y, t)] d(-t) + g(t) dW.

For f = -rate(t) x, one step from t to s = t - h < t with the score evaluated at time t is a Gaussian kernel:

    Euler-Maruyama [a, sec. 4]       a = 1 + rate(t) h,   b = v = g(t)^2 h           (everything frozen at t)
    exponential integrator [e]       a, b, v of ``process.exponential_step(t, s)``   (only the score frozen at t)

The score may be a marginal's own, or a model's: whatever it is, it is what the chain runs with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore import _validate
from refscore.processes._gaussian_path import GaussianPath
from refscore.samplers.chain import Chain


def check_process(process) -> None:
    """Refuse what is no SDE: a chain, or a class in place of one of its processes."""
    missing = [name for name in ("rate", "diffusion") if not callable(getattr(process, name, None))]
    if missing:
        raise TypeError(f"process is {process!r}, without {' and '.join(missing)}: pass an SDE, such as VP(); "
                        "ddpm and ddim sample a chain")
    if isinstance(process, type):
        raise TypeError(f"process is the class {process.__name__}: pass a process, such as {process.__name__}(...)")


def reverse_drift(process: GaussianPath, score: Callable, x, t) -> np.ndarray:
    """-f(x, t) + g(t)^2 score(x, t), shape (n, d): drift of the reverse SDE per unit of DECREASING time.

    In time running up from 0 the same equation reads dY = [f - g^2 score] dt + ... with dt < 0: the negative of this.
    """
    x = _validate.batch(x)
    value = np.asarray(score(x, t))
    if value.shape != x.shape:
        raise ValueError(f"score(x, t) has shape {value.shape}, but x has shape {x.shape}: they must agree")
    variance_rate = np.square(process.diffusion(t))
    return (variance_rate[:, None] if np.ndim(variance_rate) else variance_rate) * value - process.drift(x, t)


def reverse_sde(process: GaussianPath, score: Callable, times, scheme: str = "euler_maruyama") -> Chain:
    """The chain that discretises the reverse SDE on the given times.

    Parameters
    ----------
    process : process
        Forward process, such as ``OU`` or ``VP``.
    score : callable
        ``score(x, t)``, (n, d) -> (n, d), called with the scalar time at the START of each step (the larger one).
    times : (N + 1,)
        Strictly decreasing, from where the chain starts to where it ends (0 or an early stop); any spacing.
    scheme : 'euler_maruyama' or 'exponential'
        See the module docstring.

    Returns
    -------
    Chain
        N kernels; step k leads from times[k] to times[k+1].

    Raises TypeError for a process that is no SDE, ValueError for times that do not decrease or are none of the process.
    """
    check_process(process)
    _validate.choice(scheme, "scheme", ("euler_maruyama", "exponential"))
    times = _validate.finite(np.atleast_1d(np.asarray(times, dtype=np.float64)), "times")
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) < 0).all() or times[-1] < 0:
        raise ValueError(f"times = {_validate.shown(times)}: pass at least two strictly decreasing times, "
                         "such as np.linspace(3, 0, 49)")
    t, s = times[:-1], times[1:]
    if scheme == "exponential":
        return Chain(score, t, *process.exponential_step(t, s))
    b = np.square(process.diffusion(t)) * (t - s)
    return Chain(score, t, 1 + process.rate(t) * (t - s), b, b)
