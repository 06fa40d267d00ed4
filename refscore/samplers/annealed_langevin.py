r"""Annealed Langevin dynamics: Langevin dynamics at one noise level after another, from the largest down.

Algorithm 1 of [c] and [e] (Song & Ermon 2019), with levels sigma_1 > ... > sigma_L and scores of q_sigma, the law of x_0 + sigma z:

    for i = 1, ..., L:
        alpha_i = eps sigma_i^2/sigma_L^2
        n_steps times:  x <- x + alpha_i/2 score(x, sigma_i) + sqrt(alpha_i) z

The steps shrink like sigma_i^2, so that drift and noise keep their ratio: with |s| about sqrt(d)/sigma_i it is
sqrt(eps)/(2 sigma_L) at every level. eps is thus the step at the LAST, smallest level. In [b] the same levels are called
sigma_L > ... > sigma_0, in [d] sigma_1 < ... < sigma_L: here they are numbered in the order in which they are used, decreasing,
and the step refers to the last.

Stability. The Jacobian of the score of q_sigma is at least -I/sigma^2 (it is (Cov[x_0 | x]/sigma^2 - I)/sigma^2), so no level
overshoots as long as eps <= 2 sigma_L^2, nor diverges below 4 sigma_L^2 (convention 'eta': half of these), for any data.

The last step adds its noise, as in the algorithm: the chain aims at q_{sigma_L}, not at the data, and denoises nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore import _validate
from refscore.samplers.chain import Chain
from refscore.samplers.langevin import kernels


def annealed_langevin(score: Callable, sigmas, eps: float, n_steps: int, convention: str = "half_eta") -> Chain:
    """Algorithm 1: ``n_steps`` Langevin steps at every noise level, the levels decreasing.

    Parameters
    ----------
    score : callable
        ``score(x, sigma)``, (n, d) -> (n, d), with the scalar noise level for its second argument.
    sigmas : (L,)
        Noise levels (standard deviations), strictly decreasing, such as `refscore.processes.geometric_ladder` gives.
    eps : float
        Step size at the last level, eps > 0 (units of x squared); level i has eps sigma_i^2/sigma_L^2.
    n_steps : int
        Steps at each level, at least 1 (T of the algorithm).
    convention : 'half_eta' or 'eta'
        What a step size means, see `refscore.samplers.langevin`: 'half_eta' is Algorithm 1, 'eta' is [b].

    Returns
    -------
    Chain
        L n_steps kernels; ``chain.times`` are the noise levels.

    Raises
    ------
    ValueError, TypeError
        For levels that are not positive and strictly decreasing, eps or n_steps not positive, step sizes beyond float64.

    Source: [c], [e], Algorithm 1; [b, "Annealed Langevin Dynamics"]; Song & Ermon 2019. systems C3.
    """
    sigmas = _validate.ladder(sigmas, least=1)
    eps, n_steps = _validate.positive(eps, "eps"), _validate.count(n_steps, "n_steps")
    with np.errstate(over="ignore"):
        steps = eps * (sigmas / sigmas[-1]) ** 2
    if not np.isfinite(steps[0]):
        raise ValueError(f"the step at the first level, eps (sigma_1/sigma_L)^2 with eps = {eps} and sigmas from {sigmas[0]} to "
                         f"{sigmas[-1]}, exceeds float64: use fewer octaves of noise, or a smaller eps")
    return kernels(score, np.repeat(sigmas, n_steps), np.repeat(steps, n_steps), convention)
