r"""Denoising diffusion implicit models: the same marginals with any amount of noise, over any of the indices.

From the noise prediction eps at (x_t, t), with the clean point it implies, to s < t (Song, Meng & Ermon 2021, eq. 12),

    x_s = alpha_s x0-hat + sqrt(sigma_s^2 - v) eps + sqrt(v) z,       x0-hat = (x_t - sigma_t eps)/alpha_t,
    v = eta^2 sigma_s^2/sigma_t^2 V,   alpha_ts = alpha_t/alpha_s,   V = sigma_t^2 - alpha_ts^2 sigma_s^2, the variance of x_t | x_s

(eq. 16: sigma^2/sigma^2 (1 - alpha-bar_t/alpha-bar_s) eta^2). Whatever eta, N(alpha_t x_0, sigma_t^2 I) is mapped to
N(alpha_s x_0, sigma_s^2 I) when eps is the noise of a known x_0 (lemma 1); for other data each eta has its own error.

    eta = 1     v is the posterior's variance: on all indices the chain of `ddpm` with 'beta_tilde'
    eta = 0     no noise: x/alpha moves by eps times the change of sigma/alpha, one Euler step of the probability flow ODE
                in that variable (eq. 14)

**Computed** as a x + b s + sqrt(v) z with a = 1/alpha_ts and c = sqrt(sigma_s^2 - v),

    b = sigma_t (sigma_t a - c) = sigma_t (V a + alpha_ts v)/(sigma_t + alpha_ts c),
    c^2 = sigma_s^2 (alpha_ts^2 sigma_s^2 + (1 - eta^2) V)/sigma_t^2:

positive terms throughout, however short the step. Nothing here needs indices: times of a process do as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore import _validate
from refscore.processes import DDPM
from refscore.processes._noising import Noising
from refscore.samplers._noise_prediction import PredictedScore
from refscore.samplers.chain import Chain


def ddim(process: Noising, eps_model: Callable, indices=None, eta: float = 0.0, *, predicts: str = "eps") -> Chain:
    """The chain of DDIM over the given indices.

    Parameters
    ----------
    process : DDPM, or any process with alpha(t), sigma(t) and transition(s, t)
    eps_model : callable
        ``eps_model(x, i)``, (n, d) -> (n, d), called with the scalar index (time) at the START of each step.
    indices : (K + 1,), optional
        Strictly decreasing, from where the chain starts to where it ends: (N, ..., 1, 0) of a DDPM by default. Times, for
        another process.
    eta : float
        Amount of noise, 0 <= eta <= 1, see the module docstring.
    predicts : 'eps', 'score', 'x0' or 'v'
        What ``eps_model`` gives.

    Returns
    -------
    Chain
        K kernels; step k leads from indices[k] to indices[k+1]. Steps to index 0 have no noise.

    Raises
    ------
    ValueError, TypeError
        For indices that do not decrease or are none of the process, eta outside [0, 1], a step so long that alpha_t/alpha_s
        underflows, a model that is not callable.

    Source: Song, Meng & Ermon 2021, eq. 12 and 16. systems F4.
    """
    if indices is None:
        if not isinstance(process, DDPM):
            raise ValueError(f"indices is None, and process is {process!r}: pass decreasing times, such as np.linspace(1, 0, 51)")
        indices = np.arange(len(process), -1, -1)
    indices = np.atleast_1d(_validate.reals(indices, "indices"))
    if indices.ndim != 1 or len(indices) < 2 or not (np.diff(indices) < 0).all():
        raise ValueError(f"indices = {_validate.shown(indices)}: pass at least two strictly decreasing indices, "
                         "such as [1000, 750, 500, 250, 0]")
    eta = _validate.positive(eta, "eta", zero=True)
    if eta > 1:
        raise ValueError(f"eta is {eta}: above 1 the noise would exceed the posterior's; pass 0 <= eta <= 1")
    if not isinstance(process, Noising):
        raise TypeError(f"process is {process!r}: pass a DDPM, or a process such as VP()")
    process._time(indices, "indices")
    t, s = indices[:-1], indices[1:]
    shrink, added = process.transition(s, t)
    if (shrink == 0).any():
        raise ValueError(f"alpha_t/alpha_s underflows from {t[np.argmin(shrink)]} to {s[np.argmin(shrink)]}: take more steps")
    before, after = process.sigma(t), process.sigma(s)
    v = added * (eta * after / before) ** 2
    kept = after / before * np.sqrt((shrink * after) ** 2 + (1 - eta) * (1 + eta) * added)
    b = before * (added / shrink + shrink * v) / (before + shrink * kept)
    return Chain(PredictedScore(process, eps_model, predicts), t, 1 / shrink, b, v)
