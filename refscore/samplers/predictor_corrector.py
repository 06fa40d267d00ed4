r"""Predictor-corrector sampling: after each step of a reverse SDE a few Langevin steps at the time reached.

Song et al. 2021, algorithms 2 and 3. The predictor leads from t to s < t, with the score at t; the corrector then leaves the time
alone and mends the law, with the score at s:

    x <- a x + b score(x, t) + sqrt(v) z                        (one step of `reverse_sde`)
    n times:   x <- x + eps_s score(x, s) + sqrt(2 eps_s) z     (`langevin`, convention 'eta')

All of them are Gaussian kernels, so the whole is one `Chain`, whose law is computed like any other's.

Step of the corrector. Algorithms 4 and 5 take eps = 2 (r |z|/|g|)^2, g the score at the state and r a signal-to-noise ratio, times
alpha for VP. With |z| and |g| of the very batch that is moved (and code averages both norms over it) eps is random and depends on
all rows: the kernel is neither Gaussian nor a kernel of one particle, and what is sampled changes with the size of the batch. Here
eps is a number for each time. `snr_steps` gives what the rule is about in expectation, 2 r^2 E|z|^2/E|g|^2, which is
2 r^2 d/E|score(x_s, s)|^2; without knowledge of the data the score of the noise serves, E|g|^2 = d/sigma_s^2: an upper bound, so
that steps are too short rather than too long, and 0 where sigma is, at the data.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore import _validate
from refscore.processes._gaussian_path import GaussianPath
from refscore.samplers.chain import Chain
from refscore.samplers.reverse_sde import reverse_sde


def predictor_corrector(
    process: GaussianPath, score: Callable, times, corrector_steps: int, eps, scheme: str = "euler_maruyama"
) -> Chain:
    """The reverse SDE on the given times, with Langevin steps after each of its steps.

    Parameters
    ----------
    process, score, times, scheme
        The predictor, as in `refscore.samplers.reverse_sde`.
    corrector_steps : int
        Langevin steps at each time reached, at least 0 (M of the algorithms).
    eps : float or (N,)
        Their step sizes, eps >= 0, one for each of times[1:]: drift eps, variance 2 eps. No step is made where it is 0. See
        `snr_steps`.

    Returns
    -------
    Chain
        N (1 + corrector_steps) kernels, if no eps is 0; ``chain.times`` are the times at which each asks for the score.

    Raises
    ------
    ValueError, TypeError
        As `reverse_sde`; for step sizes that are negative or not one a time.

    Source: Song et al. 2021, algorithms 2 and 3. systems F4.
    """
    predictor = reverse_sde(process, score, times, scheme)
    count = _validate.count(corrector_steps, "corrector_steps", least=0)
    eps = _validate.finite(np.atleast_1d(_validate.reals(eps, "eps")), "eps")
    if eps.shape not in ((1,), (len(predictor),)) or (eps < 0).any():
        raise ValueError(f"eps has shape {eps.shape}, smallest {eps.min()}: pass one step size >= 0, or one for each of times[1:], "
                         f"shape ({len(predictor)},)")
    eps = np.broadcast_to(eps, (len(predictor),))
    reached = np.asarray(times, dtype=np.float64)[1:]
    made = np.column_stack([np.ones_like(eps), *[eps] * count]).ravel() > 0
    parts = zip((predictor.times, predictor.a, predictor.b, predictor.v), (reached, np.ones_like(eps), eps, 2 * eps))
    return Chain(score, *(np.column_stack([first, *[then] * count]).ravel()[made] for first, then in parts))


def snr_steps(process: GaussianPath, times, snr: float, score_norms=None) -> np.ndarray:
    """Corrector steps eps_t = 2 snr^2 d/E|score(x_t, t)|^2, (N,): drift eps, variance 2 eps.

    Parameters
    ----------
    process : process
    times : (N,)
        The times that the predictor reaches, ``times[1:]`` of `predictor_corrector`.
    snr : float
        r > 0 of Song et al.: how long the drift is, measured in lengths of the noise, eps |g| = r sqrt(2 eps d).
    score_norms : (N,), optional
        E|score(x_t, t)|^2/d at these times, such as ``fisher_information(process.marginal(density, t))[0]/d``. Default: that of the
        noise, 1/sigma_t^2, an upper bound for exact scores.

    Source: Song et al. 2021, algorithms 4 and 5, in expectation.
    """
    times = _validate.finite(np.atleast_1d(_validate.reals(times, "times")), "times")
    factor = 2 * _validate.positive(snr, "snr") ** 2
    if score_norms is None:
        return factor * process.sigma(times) ** 2
    norms = _validate.finite(np.atleast_1d(_validate.reals(score_norms, "score_norms")), "score_norms")
    if norms.shape != times.shape or not (norms > 0).all():
        raise ValueError(f"score_norms has shape {norms.shape}: pass E|score|^2/d > 0 at each time, shape {times.shape}")
    return factor / norms
