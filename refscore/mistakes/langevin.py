"""Mistakes in Langevin dynamics, plain and annealed (systems C3)."""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.samplers import Chain, annealed_langevin, langevin


def _with(chain: Chain, **changed) -> Chain:
    parts = {name: getattr(chain, name) for name in ("score", "times", "a", "b", "v")}
    return Chain(**{**parts, **changed})


@mistake("langevin", wrong="x + eta s + eta z", right="x + eta s + sqrt(2 eta) z", seen="google-research/ibc#6")
def langevin_noise_std_eta(score, step, n_steps, *convention):
    chain = langevin(score, step, n_steps, *convention)
    return _with(chain, v=chain.b**2)


@mistake("langevin", wrong="x + eta s + 2 eta z", right="x + eta s + sqrt(2 eta) z",
         seen="edward#722: variance for standard deviation")
def langevin_noise_std_2eta(score, step, n_steps, *convention):
    chain = langevin(score, step, n_steps, *convention)
    return _with(chain, v=chain.v**2)


@mistake("langevin", wrong="x + eta s + sqrt(eta) z", right="x + eta s + sqrt(2 eta) z",
         seen="the drift of one convention with the noise of the other: samples p^2")
def langevin_noise_sqrt_eta(score, step, n_steps, *convention):
    chain = langevin(score, step, n_steps, *convention)
    return _with(chain, v=chain.v / 2)


@mistake("langevin", wrong="x + eta/2 s + sqrt(2 eta) z", right="x + eta s + sqrt(2 eta) z",
         seen="the noise of one convention with the drift of the other: samples sqrt(p)")
def langevin_half_drift_full_noise(score, step, n_steps, *convention):
    chain = langevin(score, step, n_steps, *convention)
    return _with(chain, b=chain.b / 2)


@mistake("langevin", wrong="x - eta s", right="x + eta s", seen="descent of log p; the sign of an energy's gradient")
def langevin_score_sign(score, step, n_steps, *convention):
    chain = langevin(score, step, n_steps, *convention)
    return _with(chain, b=-chain.b)


@mistake("langevin", wrong="no noise in the last step", right="noise in every step",
         seen="DDPM's rule for its last step taken over")
def langevin_last_step_noise_free(score, step, n_steps, *convention):
    chain = langevin(score, step, n_steps, *convention)
    return _with(chain, v=np.append(chain.v[:-1], 0.0))


@mistake("langevin", wrong="n - 1 steps", right="n steps", seen="range(1, n), common")
def langevin_one_step_short(score, step, n_steps, *convention):
    return langevin(score, step, n_steps, *convention)[:-1]


@mistake("langevin", wrong="eta/2 is taken for eta", right="the convention that was asked for",
         seen="lectures c and e against b and d: eps/2 and eps")
def langevin_convention_ignored(score, step, n_steps, *convention):
    return langevin(score, step, n_steps)


@mistake("annealed_langevin", wrong="alpha_i = eps sigma_i^2/sigma_1^2", right="alpha_i = eps sigma_i^2/sigma_L^2",
         seen="the lectures number the ladder in three different ways")
def annealed_step_relative_to_first(score, sigmas, eps, n_steps, *convention):
    return annealed_langevin(score, sigmas, eps * (sigmas[-1] / sigmas[0]) ** 2, n_steps, *convention)


@mistake("annealed_langevin", wrong="levels from the smallest to the largest", right="from the largest to the smallest",
         seen="lecture d: sigma_1 < ... < sigma_L, with Algorithm 1 of c and e")
def annealed_order_reversed(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    return Chain(score, *(getattr(chain, name)[::-1] for name in ("times", "a", "b", "v")))


@mistake("annealed_langevin", wrong="alpha_i = eps sigma_i/sigma_L", right="alpha_i = eps sigma_i^2/sigma_L^2",
         seen="sigma for sigma^2, common")
def annealed_sigma_for_sigma2(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    ratio = chain.times[-1] / chain.times
    return _with(chain, b=chain.b * ratio, v=chain.v * ratio)


@mistake("annealed_langevin", wrong="alpha_i = eps at every level", right="alpha_i = eps sigma_i^2/sigma_L^2",
         seen="lecture b leaves eta open; a step for the last level is too short for the first")
def annealed_equal_steps(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    return _with(chain, b=np.full(len(chain), chain.b[-1]), v=np.full(len(chain), chain.v[-1]))


@mistake("annealed_langevin", wrong="score at sigma_{i-1}", right="score at sigma_i",
         seen="shift of the index by one, lucidrains#18 is its neighbour")
def annealed_score_of_previous_level(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    return _with(chain, times=np.append(np.full(n_steps, chain.times[0]), chain.times[:-n_steps]))


@mistake("annealed_langevin", wrong="T - 1 steps a level", right="T steps a level", seen="range(1, T), common")
def annealed_one_step_short(score, sigmas, eps, n_steps, *convention):
    return annealed_langevin(score, sigmas, eps, n_steps - 1, *convention)


@mistake("annealed_langevin", wrong="no noise in the last step of a level", right="noise in every step",
         seen="DDPM's rule for its last step taken over; score_sde denoises once after the chain, which is another step")
def annealed_last_step_noise_free(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    return _with(chain, v=np.where(np.arange(1, len(chain) + 1) % n_steps == 0, 0.0, chain.v))


@mistake("annealed_langevin", wrong="x + alpha s + sqrt(alpha) z", right="x + alpha/2 s + sqrt(alpha) z",
         seen="the drift of one convention with the noise of the other")
def annealed_full_drift(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    return _with(chain, b=2 * chain.b)


@mistake("annealed_langevin", wrong="noise of std alpha", right="noise of std sqrt(alpha)", seen="google-research/ibc#6")
def annealed_noise_std_alpha(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    return _with(chain, v=chain.v**2)


@mistake("annealed_langevin", wrong="levels 1, ..., L - 1", right="levels 1, ..., L",
         seen="lecture b: with sigma_L > ... > sigma_0, a loop over 1, ..., L leaves sigma_0 out")
def annealed_last_level_left_out(score, sigmas, eps, n_steps, *convention):
    return annealed_langevin(score, sigmas, eps, n_steps, *convention)[:-n_steps]


@mistake("annealed_langevin", wrong="score of the smallest level throughout", right="score at sigma_i",
         seen="a network not conditioned on sigma")
def annealed_score_of_data(score, sigmas, eps, n_steps, *convention):
    chain = annealed_langevin(score, sigmas, eps, n_steps, *convention)
    return _with(chain, times=np.full(len(chain), chain.times[-1]))
