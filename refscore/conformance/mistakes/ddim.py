"""The chain with indices: a step of DDIM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.conformance.mistakes._registry import mistake


@dataclass(frozen=True)
class Jump:
    """One call of ddim_step."""

    of: Any
    model: Any
    x: np.ndarray
    index: int
    to: int
    eta: float
    noise: np.ndarray

    @property
    def scales(self):
        """alpha_t, sigma_t, alpha_s, sigma_s."""
        p = self.of.process
        return p.alpha(self.index), p.sigma(self.index), p.alpha(self.to), p.sigma(self.to)

    def v(self, power=2, factor=1.0):
        alpha, sigma, alpha_s, sigma_s = self.scales
        return factor * self.eta**power * (sigma_s / sigma) ** 2 * (1 - (alpha / alpha_s) ** 2)

    def jump(self, v=None, room=None, std=None, sign=1.0, x0=None, scales=None, noise=None, told=None):
        """alpha_s x0-hat + sqrt(room) eps + std z; right are room = sigma_s^2 - v, std = sqrt(v)."""
        alpha, sigma, alpha_s, sigma_s = scales or self.scales
        time = self.index if told is None else told
        score = self.of.score_at(self.model, self.x, (np.full(len(self.x), time),), self.scales[0], self.scales[1])
        eps = -sign * self.scales[1] * score
        v = self.v() if v is None else v
        room = sigma_s**2 - v if room is None else room
        x0 = (self.x - sigma * eps) / alpha if x0 is None else x0(eps)
        kick = (np.sqrt(v) if std is None else std) * (self.noise if noise is None else noise)
        return alpha_s * x0 + np.sqrt(np.maximum(room, 0)) * eps + kick


def implicit(wrong: str, right: str, seen: str):
    """Decorator: enter a function of a `Jump` as a mistake of ddim_step."""
    def register(function):
        def wrong_jump(self, model, x, index, prev_index, eta, noise):
            return function(Jump(self, model, x, index, prev_index, eta, noise))

        mistake("ddim_step", wrong=wrong, right=right, seen=seen, name=function.__name__)(wrong_jump)
        return function

    return register


@implicit("v = eta^2 (1 - ab_t)", "eta^2 (1 - ab_s)/(1 - ab_t)(1 - ab_t/ab_s)", "CoursIA#16158")
def ddim_variance_marginal(a):
    return a.jump(v=a.eta**2 * a.scales[1] ** 2)


@implicit("variance eta^2 beta_t", "eta^2 (1 - ab_s)/(1 - ab_t)(1 - ab_t/ab_s)", "beta for beta~")
def ddim_variance_beta(a):
    alpha, _, alpha_s, _ = a.scales
    return a.jump(v=a.eta**2 * (1 - (alpha / alpha_s) ** 2))


@implicit("beta of one index for a jump over several", "1 - ab_t/ab_s", "beta_t for 1 - ab_t/ab_s")
def ddim_variance_one_step(a):
    _, sigma, _, sigma_s = a.scales
    return a.jump(v=(a.eta * sigma_s / sigma) ** 2 * a.of.process.beta(a.index))


@implicit("sqrt(1 - ab_s) eps", "sqrt(1 - ab_s - v) eps", "noise added without room made for it")
def ddim_no_room(a):
    return a.jump(room=a.scales[3] ** 2)


@implicit("sqrt(1 - ab_s + v) eps", "sqrt(1 - ab_s - v) eps", "sign of the variance")
def ddim_room_plus(a):
    return a.jump(room=a.scales[3] ** 2 + a.v())


@implicit("noise of std v", "sqrt(v)", "abides#10: std = variance")
def ddim_noise_variance(a):
    return a.jump(std=a.v())


@implicit("no noise", "sqrt(v) z", "eta = 0 in the last term")
def ddim_without_noise(a):
    return a.jump(std=0.0)


@implicit("eta left out", "eta^2 times the variance", "eta = 1 assumed")
def ddim_eta_one(a):
    return a.jump(v=a.v(power=0))


@implicit("eta = 0 assumed", "eta^2 times the variance", "deterministic whatever eta is")
def ddim_eta_zero(a):
    return a.jump(v=0.0)


@implicit("x0-hat not divided by alpha_t", "(x - sigma_t eps)/alpha_t", "division forgotten")
def ddim_clean_not_divided(a):
    return a.jump(x0=lambda eps: a.x - a.scales[1] * eps)


@implicit("x0-hat with (1 - ab_t) eps", "sqrt(1 - ab_t) eps", "root forgotten")
def ddim_clean_variance(a):
    return a.jump(x0=lambda eps: (a.x - a.scales[1] ** 2 * eps) / a.scales[0])


@implicit("x0-hat clipped to [-1, 1]", "as predicted", "clip_denoised, which is legitimate for images alone")
def ddim_clean_clipped(a):
    return a.jump(x0=lambda eps: np.clip((a.x - a.scales[1] * eps) / a.scales[0], -1, 1))


@implicit("ab_s x0-hat", "sqrt(ab_s) x0-hat", "root forgotten")
def ddim_arrival_squared(a):
    alpha, sigma, alpha_s, sigma_s = a.scales
    return a.jump(scales=(alpha, sigma, alpha_s**2, sigma_s))


@implicit("to index - 1, whatever prev_index is", "to prev_index", "steps of one index assumed")
def ddim_to_neighbour(a):
    return Jump(a.of, a.model, a.x, a.index, a.index - 1, a.eta, a.noise).jump()


@implicit("to prev_index - 1", "to prev_index", "lucidrains#18: shifted by one")
def ddim_arrival_before(a):
    if a.to == 0:
        return a.jump()
    return Jump(a.of, a.model, a.x, a.index, a.to - 1, a.eta, a.noise).jump()


@implicit("to index 1 in place of 0", "alpha-bar_0 = 1", "final_alpha_cumprod: the first alpha-bar for 1")
def ddim_ends_at_one(a):
    return Jump(a.of, a.model, a.x, a.index, max(a.to, 1), a.eta, a.noise).jump()


@implicit("+ eps", "- eps", "sign of the noise")
def ddim_eps_sign(a):
    return a.jump(sign=-1.0)


@implicit("the model told prev_index", "index", "wrong time of the model")
def ddim_model_at_arrival(a):
    return a.jump(told=a.to)


@implicit("one noise for all rows", "each row its own", "randn(d) broadcast over the batch")
def ddim_shared_noise(a):
    return a.jump(noise=a.noise[:1])


@implicit("no noise down to index 1", "none down to index 0", "the last step by an index that starts at 1")
def ddim_quiet_before_last(a):
    return a.jump(std=0.0 if a.to == 1 else None)


@implicit("eta = 0 from the first index N", "eta", "the first of the indices handled apart")
def ddim_first_without_eta(a):
    return a.jump(v=0.0) if a.index == len(a.of.process) else a.jump()
