"""Mistakes in predictor-corrector sampling (systems F4)."""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.mistakes.langevin import _with
from refscore.samplers import Chain, predictor_corrector, snr_steps


def _corrects(chain: Chain, corrector_steps) -> np.ndarray:
    """Which kernels are the corrector's."""
    return np.arange(len(chain)) % (1 + corrector_steps) > 0


def _changed(name, change):
    """The chain with its corrector's numbers ``name`` changed."""

    def wrong(process, score, times, corrector_steps, eps, *scheme):
        chain = predictor_corrector(process, score, times, corrector_steps, eps, *scheme)
        value = getattr(chain, name)
        return _with(chain, **{name: np.where(_corrects(chain, corrector_steps), change(value), value)})

    return wrong


@mistake("predictor_corrector", wrong="score at t, where the predictor came from", right="score at s, the time reached",
         seen="one time variable for both halves of the loop")
def corrector_at_the_time_before(process, score, times, corrector_steps, *rest):
    chain = predictor_corrector(process, score, times, corrector_steps, *rest)
    return _with(chain, times=np.repeat(chain.times[:: 1 + corrector_steps], 1 + corrector_steps))


mistake("predictor_corrector", wrong="noise of std eps", right="noise of std sqrt(2 eps)", seen="google-research/ibc#6",
        name="corrector_noise_std_eps")(_changed("v", lambda v: (v / 2) ** 2))
mistake("predictor_corrector", wrong="noise sqrt(eps)", right="noise sqrt(2 eps)", name="corrector_noise_sqrt_eps",
        seen="the drift of one convention with the noise of the other")(_changed("v", lambda v: v / 2))
mistake("predictor_corrector", wrong="drift eps/2", right="drift eps", name="corrector_score_halved",
        seen="Algorithm 1 of annealed Langevin dynamics has eps/2 and sqrt(eps)")(_changed("b", lambda b: b / 2))
mistake("predictor_corrector", wrong="no noise in the corrector", right="noise sqrt(2 eps)", name="corrector_without_noise",
        seen="denoising taken for correction")(_changed("v", lambda v: 0 * v))
mistake("predictor_corrector", wrong="x - eps s", right="x + eps s", name="corrector_sign",
        seen="descent of log p")(_changed("b", lambda b: -b))
mistake("predictor_corrector", wrong="eps of the first time throughout", right="eps of each time", name="corrector_steps_equal",
        seen="a step for the noisiest time is too long at the data")(_changed("b", lambda b: np.full_like(b, b[1])))


@mistake("predictor_corrector", wrong="corrector at t, then predictor", right="predictor, then corrector at s",
         seen="the order of the two halves is a convention in numerical continuation, not here")
def corrector_before_predictor(process, score, times, corrector_steps, eps, *scheme):
    chain = predictor_corrector(process, score, times, corrector_steps, eps, *scheme)
    order = np.roll(np.arange(len(chain)).reshape(-1, 1 + corrector_steps), -1, axis=1).ravel()
    return Chain(score, *(getattr(chain, name)[order] for name in ("times", "a", "b", "v")))


@mistake("predictor_corrector", wrong="M - 1 corrector steps", right="M", seen="range(1, M), common")
def corrector_one_step_short(process, score, times, corrector_steps, *rest):
    return predictor_corrector(process, score, times, corrector_steps - 1 if corrector_steps else 0, *rest)


@mistake("predictor_corrector", wrong="eps of the next time", right="eps of the time reached", seen="shift of the index by one")
def corrector_step_of_next_time(process, score, times, corrector_steps, eps, *scheme):
    return predictor_corrector(process, score, times, corrector_steps, np.append(eps[1:], eps[-1]), *scheme)


@mistake("predictor_corrector", wrong="no corrector at the last time", right="at every time reached",
         seen="DDPM's rule for its last step taken over")
def corrector_left_out_at_the_end(process, score, times, corrector_steps, *rest):
    chain = predictor_corrector(process, score, times, corrector_steps, *rest)
    return chain[: len(chain) - corrector_steps]


@mistake("snr_steps", wrong="2 r d/E|g|^2", right="2 r^2 d/E|g|^2", seen="the square dropped")
def snr_not_squared(process, times, snr, score_norms=None):
    return snr_steps(process, times, snr, score_norms) / snr


@mistake("snr_steps", wrong="r^2 d/E|g|^2", right="2 r^2 d/E|g|^2", seen="the factor 2 belongs to the noise's sqrt(2 eps)")
def snr_without_two(process, times, snr, score_norms=None):
    return snr_steps(process, times, snr, score_norms) / 2


@mistake("snr_steps", wrong="2 r^2 sigma", right="2 r^2 sigma^2", seen="sigma for sigma^2, common")
def snr_sigma_for_variance(process, times, snr, score_norms=None):
    steps = snr_steps(process, times, snr, score_norms)
    return np.sqrt(2) * snr * np.sqrt(steps)


@mistake("snr_steps", wrong="2 r^2 E|g|^2/d", right="2 r^2 d/E|g|^2", seen="(|g|/|z|)^2 for (|z|/|g|)^2")
def snr_inverted(process, times, snr, score_norms=None):
    return 4 * snr**4 / snr_steps(process, times, snr, score_norms)


@mistake("snr_steps", wrong="2 alpha r^2 d/E|g|^2 for a step without alpha", right="2 r^2 d/E|g|^2",
         seen="Algorithm 5's factor, which makes r depend on time, taken for part of the rule")
def snr_times_alpha(process, times, snr, score_norms=None):
    return process.alpha(np.asarray(times)) * snr_steps(process, times, snr, score_norms)
