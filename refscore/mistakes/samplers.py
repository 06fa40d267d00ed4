"""Mistakes in reverse SDEs and their discretisations (systems F3, F4)."""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.samplers import Chain, reverse_sde


def _parts(process, score, x, t):
    """(f, s, g) with g as a column where t has rows."""
    g = process.diffusion(t)
    return process.drift(x, t), score(x, t), g[:, None] if np.ndim(g) else g


@mistake("reverse_drift", wrong="f + g^2 s", right="-f + g^2 s", seen="conditional-flow-matching#85: sign of f")
def reverse_drift_forward_sign(process, score, x, t):
    f, s, g = _parts(process, score, x, t)
    return f + g**2 * s


@mistake("reverse_drift", wrong="-f - g^2 s", right="-f + g^2 s", seen="conditional-flow-matching#85: sign of the score")
def reverse_drift_score_sign(process, score, x, t):
    f, s, g = _parts(process, score, x, t)
    return -f - g**2 * s


@mistake("reverse_drift", wrong="-f + g s", right="-f + g^2 s", seen="g where g^2 belongs, common")
def reverse_drift_g_for_g2(process, score, x, t):
    f, s, g = _parts(process, score, x, t)
    return -f + g * s


@mistake("reverse_drift", wrong="-f + s", right="-f + g^2 s", seen="conditional-flow-matching#85: missing factor of g^2")
def reverse_drift_without_g2(process, score, x, t):
    f, s, _ = _parts(process, score, x, t)
    return -f + s


@mistake("reverse_drift", wrong="-f + g^2 s/2", right="-f + g^2 s",
         seen="LightningDiT#89: drift of the flow and of the SDE mixed up")
def reverse_drift_of_the_flow(process, score, x, t):
    f, s, g = _parts(process, score, x, t)
    return -f + g**2 * s / 2


@mistake("reverse_drift", wrong="f - g^2 s", right="-f + g^2 s, per unit of decreasing time",
         seen="consistency_models_cifar10#12: integrated in the wrong direction")
def reverse_drift_other_direction(process, score, x, t):
    f, s, g = _parts(process, score, x, t)
    return f - g**2 * s


@mistake("reverse_drift", wrong="-2f + g^2 s", right="-f + g^2 s", seen="beta for beta/2, common")
def reverse_drift_rate_doubled(process, score, x, t):
    f, s, g = _parts(process, score, x, t)
    return -2 * f + g**2 * s


@mistake("reverse_drift", wrong="score of t/2", right="score of t", seen="times rescaled for the network only")
def reverse_drift_score_too_early(process, score, x, t):
    f, _, g = _parts(process, score, x, t)
    return -f + g**2 * score(x, np.asarray(t) / 2)


def _grid(process, times):
    times = np.asarray(times, dtype=np.float64)
    return times[:-1], times[1:], times[:-1] - times[1:]


@mistake("reverse_sde", wrong="score at s, the end of the step", right="at t, its start", seen="t - 1 for t, common")
def reverse_sde_score_at_the_end(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, np.asarray(times)[1:] + 1e-3 * (np.asarray(times)[1:] == 0), chain.a, chain.b, chain.v)


@mistake("reverse_sde", wrong="noise g h", right="noise g sqrt(h)",
         seen="noise at the wrong scale, google-research/ibc#6 is its neighbour")
def reverse_sde_noise_std_h(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, chain.a, chain.b, chain.v * _grid(process, times)[2])


@mistake("reverse_sde", wrong="noise of std v", right="of variance v", seen="stochrare#26: std = variance")
def reverse_sde_variance_is_std(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, chain.a, chain.b, chain.v**2)


@mistake("reverse_sde", wrong="g s", right="g^2 s", seen="g where g^2 belongs, common")
def reverse_sde_g_for_g2(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, chain.a, chain.b / process.diffusion(chain.times), chain.v)


@mistake("reverse_sde", wrong="s", right="g^2 s", seen="conditional-flow-matching#85: missing factor of g^2")
def reverse_sde_without_g2(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, chain.a, chain.b / process.diffusion(chain.times) ** 2, chain.v)


@mistake("reverse_sde", wrong="b = g^2 h in the exponential integrator", right="b = g^2 (e^{r h} - 1)/r",
         seen="half of the integrator taken over")
def reverse_sde_frozen_weight_is_g2_h(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    b = process.diffusion(chain.times) ** 2 * _grid(process, times)[2]
    return Chain(score, chain.times, chain.a, b, chain.v)


@mistake("reverse_sde", wrong="v = g^2 (1 - e^{-2rh})/2r", right="v = g^2 (e^{2rh} - 1)/2r",
         seen="variance of the forward transition used backwards")
def reverse_sde_forward_variance(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    t, s, _ = _grid(process, times)
    return Chain(score, chain.times, chain.a, chain.b, process.transition(s, t)[1])


@mistake("reverse_sde", wrong="1 - r h, e^{-r h}", right="1 + r h, e^{r h}", seen="conditional-flow-matching#85: sign of f")
def reverse_sde_forward_sign(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, 1 / chain.a if scheme == "exponential" else 2 - chain.a, chain.b, chain.v)


@mistake("reverse_sde", wrong="x - b s", right="x + b s", seen="conditional-flow-matching#85: sign of the score")
def reverse_sde_score_sign(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, chain.a, -chain.b, chain.v)


@mistake("reverse_sde", wrong="h = T/N in every step", right="h = t_k - t_{k+1}",
         seen="dt computed once, wrong on non-uniform grids")
def reverse_sde_equal_steps(process, score, times, scheme):
    times = np.asarray(times, dtype=np.float64)
    even = reverse_sde(process, score, np.linspace(times[0], times[-1], len(times)), scheme)
    return Chain(score, times[:-1], even.a, even.b, even.v)


@mistake("reverse_sde", wrong="r and g at s", right="r and g at t",
         seen="shift of the index by one, lucidrains#18 is its neighbour")
def reverse_sde_coefficients_at_the_end(process, score, times, scheme):
    if scheme == "exponential":
        return reverse_sde(process, score, times, scheme)
    t, s, h = _grid(process, times)
    b = process.diffusion(s) ** 2 * h
    return Chain(score, t, 1 + process.rate(s) * h, b, b)


@mistake("reverse_sde", wrong="no noise in the last step", right="noise in every step of the SDE's discretisation",
         seen="DDPM's rule for its last step taken over; lucidrains#81 is the converse")
def reverse_sde_last_step_noise_free(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, chain.a, chain.b, np.append(chain.v[:-1], 0.0))


@mistake("reverse_sde", wrong="g^2 s/2 with noise", right="g^2 s with noise (or g^2 s/2 without)",
         seen="LightningDiT#89: flow and SDE mixed up")
def reverse_sde_flow_with_noise(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    return Chain(score, chain.times, chain.a, chain.b / 2, chain.v)


@mistake("reverse_sde", wrong="r/2", right="r", seen="beta and beta/2 mixed up, common")
def reverse_sde_rate_halved(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    a = np.sqrt(chain.a) if scheme == "exponential" else (1 + chain.a) / 2
    return Chain(score, chain.times, a, chain.b, chain.v)
