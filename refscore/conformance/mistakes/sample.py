"""Samplers as a whole: the reverse SDE and the flow mixed up, wrong noise, a wrong start or end."""

from __future__ import annotations

import numpy as np

from refscore.conformance.generating import ScoreOf, denser_below, span
from refscore.conformance.mistakes._registry import mistake
from refscore.processes import DDPM
from refscore.samplers import probability_flow

STEPS = 100


def _reverse(self, model, n, seed, *, drift=1.0, score=1.0, noise=lambda g, h: g * np.sqrt(h), last=None, clock=None):
    """Euler-Maruyama in `STEPS` steps of -f + score g^2 s with its noise, each part at the caller's mercy."""
    if isinstance(self.process, DDPM):
        raise ValueError("a chain has no reverse SDE")
    rng = np.random.default_rng(seed)
    low, end = span(self.process, self.conventions)
    times = np.linspace(end, max(low, 1e-3 * end) if last is None else last * end, STEPS + 1)
    x = self.process.sigma(end) * rng.standard_normal((n, model.spec.dim))
    for t, s in zip(times[:-1].tolist(), times[1:].tolist()):
        g, h = float(self.process.diffusion(t)), t - s
        seen = t if clock is None else clock(t, end)
        x = x + h * (-drift * self.process.drift(x, t) + score * g**2 * self.score_now(model, x, seen))
        x = x + noise(g, h) * rng.standard_normal(x.shape)
    return x


@mistake("sample", wrong="drift -f + g^2 s and no noise", right="1/2 g^2 s without noise, or noise", seen="reverse SDE for flow")
def sample_without_noise(self, model, n, seed):
    return _reverse(self, model, n, seed, noise=lambda g, h: 0.0)


@mistake("sample", wrong="drift -f + 1/2 g^2 s with noise g", right="g^2 s", seen="flow for reverse SDE")
def sample_half_the_score(self, model, n, seed):
    return _reverse(self, model, n, seed, score=0.5)


@mistake("sample", wrong="noise of std g h", right="g sqrt(h)", seen="the step not rooted")
def sample_noise_step_not_rooted(self, model, n, seed):
    return _reverse(self, model, n, seed, noise=lambda g, h: g * h)


@mistake("sample", wrong="noise of std g^2 sqrt(h)", right="g sqrt(h)", seen="g^2 and g mixed up")
def sample_noise_g_squared(self, model, n, seed):
    return _reverse(self, model, n, seed, noise=lambda g, h: g**2 * np.sqrt(h))


@mistake("sample", wrong="drift f + g^2 s", right="-f + g^2 s", seen="conditional-flow-matching#85")
def sample_drift_sign(self, model, n, seed):
    return _reverse(self, model, n, seed, drift=-1.0)


@mistake("sample", wrong="start from N(0, I)", right="N(0, sigma_T^2 I)", seen="a variance-exploding process, common")
def sample_standard_start(self, model, n, seed):
    start, end = span(self.process, self.conventions)
    flow = probability_flow(self.process, ScoreOf(self, model)).steps(denser_below(start, end), "rk4")
    return flow.integrate(np.random.default_rng(seed).standard_normal((n, model.spec.dim)))


@mistake("sample", wrong="stops at t = T/5", right="t_min", seen="a grid without its last steps")
def sample_stops_early(self, model, n, seed):
    return _reverse(self, model, n, seed, last=0.2)


@mistake("sample", wrong="score at T - t", right="score at t", seen="the clock of the reverse process")
def sample_score_at_the_wrong_end(self, model, n, seed):
    low, _ = span(self.process, self.conventions)
    return _reverse(self, model, n, seed, clock=lambda t, end: max(end - t, low))


def _ancestral(self, model, n, seed, step):
    """Down the indices from N(0, I): ``step(x, index, noise)``."""
    if not isinstance(self.process, DDPM):
        raise ValueError("only a chain has indices")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, model.spec.dim))
    for index in range(len(self.process), 0, -1):
        x = step(x, index, rng.standard_normal(x.shape))
    return x


@mistake("sample", wrong="noise of std beta", right="sqrt(beta)", seen="variance and standard deviation mixed up")
def sample_chain_noise_not_rooted(self, model, n, seed):
    root = self.process.betas ** 0.5
    return _ancestral(self, model, n, seed, lambda x, i, z: self.ddpm_step(model, x, i, root[i - 1] * z))


@mistake("sample", wrong="no noise", right="sqrt(beta) z", seen="the mean of every step in place of a draw")
def sample_chain_without_noise(self, model, n, seed):
    return _ancestral(self, model, n, seed, lambda x, i, z: self.ddpm_step(model, x, i, 0 * z))


@mistake("sample", wrong="(x + beta s) without dividing by sqrt(1 - beta)", right="divided", seen="eq. 11 without its first factor")
def sample_chain_not_rescaled(self, model, n, seed):
    keep = np.sqrt(1 - self.process.betas)

    def step(x, i, z):
        mean = self.ddpm_step(model, x, i, 0 * z)
        return self.ddpm_step(model, x, i, z) - mean + keep[i - 1] * mean

    return _ancestral(self, model, n, seed, step)


@mistake("sample", wrong="x - beta s", right="x + beta s", seen="sign of the score, common")
def sample_chain_score_sign(self, model, n, seed):
    def step(x, i, z):
        mean = self.ddpm_step(model, x, i, 0 * z)
        still = x / np.sqrt(1 - self.process.betas[i - 1])
        return self.ddpm_step(model, x, i, z) - 2 * (mean - still)

    return _ancestral(self, model, n, seed, step)


@mistake("sample", wrong="stops at index 1", right="the last step, to 0, too", seen="range(N, 1, -1), common")
def sample_chain_stops_at_one(self, model, n, seed):
    return _ancestral(self, model, n, seed, lambda x, i, z: self.ddpm_step(model, x, i, z) if i > 1 else x)


@mistake("sample", wrong="noise in the last step too", right="its mean alone", seen="z where t > 1 is forgotten, common")
def sample_chain_noise_at_the_end(self, model, n, seed):
    root = self.process.betas ** 0.5

    def step(x, i, z):
        return self.ddpm_step(model, x, i, z) if i > 1 else self.ddpm_step(model, x, i, 0 * z) + root[0] * z

    return _ancestral(self, model, n, seed, step)
