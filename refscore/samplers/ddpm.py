r"""Ancestral sampling of DDPM: from x_N ~ N(0, I) down the chain, one index at a time.

The mean of q(x_{i-1} | x_i, x_0) with the x_0 that the noise prediction implies (Ho et al. 2020, eq. 11; algorithm 2),

    x_{i-1} = (x_i - beta_i/sqrt(1 - alpha-bar_i) eps(x_i, i))/sqrt(1 - beta_i) + sqrt(v_i) z
            = (x_i + beta_i s(x_i, i))/sqrt(1 - beta_i) + sqrt(v_i) z,                              s = -eps/sigma_i,

without noise in the last step, from i = 1 to 0. Both choices of the variance are in use:

    'beta'         v_i = beta_i       right if x_{i-1} is N(0, I) for all i, that is, for data N(0, I)
    'beta_tilde'   v_i = beta~_i      right for data in one known point; smaller

With the exact noise prediction E[z | x_i] the mean is that of the reversed chain for ANY data (Tweedie), so that the variance is
all that is wrong with a step: Cov[x_{i-1} | x_i] = beta_i/(1 - beta_i) (I + beta_i Ds) lies between the two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore import _validate
from refscore.processes import DDPM
from refscore.samplers._noise_prediction import PredictedScore
from refscore.samplers.chain import Chain


def ddpm(process: DDPM, eps_model: Callable, variance: str = "beta", *, predicts: str = "eps") -> Chain:
    """The N steps of ancestral sampling, from index N to index 0.

    Parameters
    ----------
    process : DDPM
    eps_model : callable
        ``eps_model(x, i)``, (n, d) -> (n, d), called with the int i = N, ..., 1 at the START of each step; a network
        that counts from 0 is ``lambda x, i: net(x, i - 1)``.
    variance : 'beta' or 'beta_tilde'
        See the module docstring; the last step has none.
    predicts : 'eps', 'score', 'x0' or 'v'
        What ``eps_model`` gives: the score with ``MarginalScore(process, density)``, say.

    Returns
    -------
    Chain
        N kernels; ``chain.times`` are N, ..., 1 and step k leads to index N - k - 1. Start from N(0, I), or from what the
        chain should start from, ``process.marginal(density, N)``.

    Raises
    ------
    ValueError, TypeError
        For another process (`reverse_sde` is for those), a model that is not callable, an unknown variance or prediction.

    Source: Ho et al. 2020, algorithm 2; the two variances: sec. 3.2. systems F4.
    """
    if not isinstance(process, DDPM):
        raise TypeError(f"process is {process!r}: ancestral sampling steps through the indices of a DDPM; pass DDPM(betas), "
                        "DDPM.from_vp(process, times), or use reverse_sde or ddim")
    _validate.choice(variance, "variance", ("beta", "beta_tilde"))
    index = np.arange(len(process), 0, -1)
    a, beta = process.transition(index - 1, index)
    v = beta.copy()
    if variance == "beta_tilde":
        v *= (process.sigma(index - 1) / process.sigma(index)) ** 2
    v[-1] = 0.0
    return Chain(PredictedScore(process, eps_model, predicts), index, 1 / a, beta / a, v)
