"""Langevin steps, plain and annealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.conformance.mistakes._registry import mistake


def _eta(self, step):
    return step / 2 if self.conventions["langevin"] == "half_eta" else step


@mistake("langevin_step", wrong="noise of std 2 eta", right="sqrt(2 eta)", seen="edward#722")
def langevin_noise_not_rooted(self, model, x, step, noise):
    eta = _eta(self, step)
    return x + eta * self.score_at(model, x) + 2 * eta * noise


@mistake("langevin_step", wrong="noise of std eta", right="sqrt(2 eta)", seen="google-research/ibc#6")
def langevin_noise_is_the_step(self, model, x, step, noise):
    eta = _eta(self, step)
    return x + eta * self.score_at(model, x) + eta * noise


@mistake("langevin_step", wrong="noise of std sqrt(eta), drift eta s", right="sqrt(2 eta)", seen="two conventions mixed, common")
def langevin_noise_without_2(self, model, x, step, noise):
    eta = _eta(self, step)
    return x + eta * self.score_at(model, x) + np.sqrt(eta) * noise


@mistake("langevin_step", wrong="noise of std 2 sqrt(eta)", right="sqrt(2 eta)", seen="2 outside of the root")
def langevin_noise_2_outside(self, model, x, step, noise):
    eta = _eta(self, step)
    return x + eta * self.score_at(model, x) + 2 * np.sqrt(eta) * noise


@mistake("langevin_step", wrong="x - eta s", right="x + eta s", seen="descent on the score, as if it were an energy's gradient")
def langevin_score_sign(self, model, x, step, noise):
    eta = _eta(self, step)
    return x - eta * self.score_at(model, x) + np.sqrt(2 * eta) * noise


@mistake("langevin_step", wrong="drift 2 eta s", right="eta s", seen="neighbour of the factor 1/2")
def langevin_drift_doubled(self, model, x, step, noise):
    eta = _eta(self, step)
    return x + 2 * eta * self.score_at(model, x) + np.sqrt(2 * eta) * noise


@mistake("langevin_step", wrong="no noise", right="sqrt(2 eta) z", seen="gradient ascent in its place")
def langevin_without_noise(self, model, x, step, noise):
    return x + _eta(self, step) * self.score_at(model, x)


@mistake("langevin_step", wrong="the increment alone", right="x + increment", seen="update returned in place of the state")
def langevin_increment_only(self, model, x, step, noise):
    eta = _eta(self, step)
    return eta * self.score_at(model, x) + np.sqrt(2 * eta) * noise


@mistake("langevin_step", wrong="score at x + noise", right="score at x", seen="noise added first")
def langevin_score_after_noise(self, model, x, step, noise):
    eta = _eta(self, step)
    y = x + np.sqrt(2 * eta) * noise
    return y + eta * self.score_at(model, y)


@mistake("langevin_step", wrong="drift eta s/2", right="eta s", seen="the half of the other convention in one term")
def langevin_drift_halved(self, model, x, step, noise):
    eta = _eta(self, step)
    return x + eta * self.score_at(model, x) / 2 + np.sqrt(2 * eta) * noise


@mistake("langevin_step", wrong="drift s", right="eta s", seen="step forgotten")
def langevin_drift_without_step(self, model, x, step, noise):
    return x + self.score_at(model, x) + np.sqrt(2 * _eta(self, step)) * noise


@mistake("langevin_step", wrong="noise subtracted", right="added", seen="harmless in law; the chain is another")
def langevin_noise_subtracted(self, model, x, step, noise):
    eta = _eta(self, step)
    return x + eta * self.score_at(model, x) - np.sqrt(2 * eta) * noise


@mistake("langevin_step", wrong="one noise for all rows", right="each row its own", seen="randn(d) broadcast over the batch")
def langevin_shared_noise(self, model, x, step, noise):
    return self.langevin_step(model, x, step, noise[:1])


@mistake("langevin_step", wrong="s/||s||", right="s", seen="the score made a unit vector")
def langevin_normalised(self, model, x, step, noise):
    eta, s = _eta(self, step), self.score_at(model, x)
    return x + eta * s / np.linalg.norm(s, axis=1, keepdims=True) + np.sqrt(2 * eta) * noise


@dataclass(frozen=True)
class Ladder:
    """One call of annealed Langevin; ``run`` with another step, order, level, noise is wrong."""

    of: Any
    model: Any
    x: np.ndarray
    sigmas: np.ndarray
    eps: float
    n_steps: int
    noise: np.ndarray

    def run(self, step=None, order=None, told=None, std=None, counts=None, factor=1.0):
        """Algorithm 1 with ``step(sigma)``, the levels in ``order``, the model told ``told(i)``, noise of ``std(eta)``."""
        last = self.sigmas[-1]
        step = step or (lambda sigma: self.eps * sigma**2 / last**2)
        std = std or (lambda eta: np.sqrt(2 * eta))
        x = self.x
        for i in range(len(self.sigmas)) if order is None else order:
            eta = _eta(self.of, step(self.sigmas[i]))
            heard = self.sigmas[i] if told is None else told(i)
            for k in range(self.n_steps) if counts is None else counts:
                level = np.full(len(x), heard)
                true = np.full(len(x), self.sigmas[i])
                score = self.of.score_at(self.model, x, (level,), 1.0, true)
                x = x + factor * eta * score + std(eta) * self.noise[i, k]
        return x


def annealed(wrong: str, right: str, seen: str):
    """Decorator: enter a function of a `Ladder` as a mistake of annealed Langevin."""
    def register(function):
        def wrong_chain(self, model, x, sigmas, eps, n_steps, noise):
            return function(Ladder(self, model, x, sigmas, eps, n_steps, noise))

        mistake("annealed_langevin", wrong=wrong, right=right, seen=seen, name=function.__name__)(wrong_chain)
        return function

    return register


@annealed("eps sigma_i^2/sigma_1^2", "eps sigma_i^2/sigma_L^2", "the lectures number the ladder in three different ways")
def annealed_over_first(a):
    return a.run(step=lambda s: a.eps * s**2 / a.sigmas[0] ** 2)


@annealed("levels from the smallest to the largest", "from the largest", "the lectures number the ladder in three different ways")
def annealed_reversed(a):
    return a.run(order=range(len(a.sigmas))[::-1])


@annealed("steps in the other order than the levels", "step_i of level i", "a ladder reversed in one place")
def annealed_steps_reversed(a):
    steps = dict(zip(a.sigmas.tolist(), a.sigmas[::-1].tolist(), strict=True))
    return a.run(step=lambda s: a.eps * steps[float(s)] ** 2 / a.sigmas[-1] ** 2)


@annealed("eps sigma_i/sigma_L", "eps sigma_i^2/sigma_L^2", "square forgotten")
def annealed_ratio_not_squared(a):
    return a.run(step=lambda s: a.eps * s / a.sigmas[-1])


@annealed("eps sigma_L^2/sigma_i^2", "eps sigma_i^2/sigma_L^2", "ratio inverted")
def annealed_ratio_inverted(a):
    return a.run(step=lambda s: a.eps * a.sigmas[-1] ** 2 / s**2)


@annealed("eps sigma_i^2", "eps sigma_i^2/sigma_L^2", "division by the last level forgotten")
def annealed_not_relative(a):
    return a.run(step=lambda s: a.eps * s**2)


@annealed("eps at every level", "eps sigma_i^2/sigma_L^2", "one step size for all")
def annealed_constant_step(a):
    return a.run(step=lambda s: a.eps)


@annealed("the first level left out", "all levels", "range(1, L)")
def annealed_without_first(a):
    return a.run(order=range(1, len(a.sigmas)))


@annealed("the last level left out", "all levels", "range(L - 1)")
def annealed_without_last(a):
    return a.run(order=range(len(a.sigmas) - 1))


@annealed("one step fewer at each level", "n_steps", "range(1, n_steps)")
def annealed_step_fewer(a):
    return a.run(counts=range(1, a.n_steps))


@annealed("the same noise at all levels", "noise[i, k]", "noise indexed by k alone")
def annealed_shared_noise(a):
    return Ladder(a.of, a.model, a.x, a.sigmas, a.eps, a.n_steps, np.broadcast_to(a.noise[:1], a.noise.shape)).run()


@annealed("no noise in the last step", "noise in every step", "the last step of ddpm")
def annealed_last_step_silent(a):
    noise = a.noise.copy()
    noise[-1, -1] = 0
    return Ladder(a.of, a.model, a.x, a.sigmas, a.eps, a.n_steps, noise).run()


@annealed("noise of the step's size", "its root", "google-research/ibc#6")
def annealed_noise_is_the_step(a):
    return a.run(std=lambda eta: 2 * eta)


@annealed("no noise", "sqrt(step) z", "gradient ascent in its place")
def annealed_without_noise(a):
    return a.run(std=lambda eta: 0.0)


@annealed("x - step s", "x + step s", "descent on the score")
def annealed_score_sign(a):
    return a.run(factor=-1.0)


@annealed("step s with noise sqrt(step)", "step/2 s", "the drift's half forgotten")
def annealed_drift_doubled(a):
    return a.run(factor=2.0)


@annealed("model told the level before", "its own level", "level one early")
def annealed_level_before(a):
    return a.run(told=lambda i: a.sigmas[max(i - 1, 0)])


@annealed("model told the last level", "its own level", "level not handed on")
def annealed_level_fixed(a):
    return a.run(told=lambda i: a.sigmas[-1])


@annealed("each level starts from x", "from where the last ended", "state not handed on")
def annealed_restarts(a):
    return a.run(order=[len(a.sigmas) - 1])


@annealed("model told sigma^2", "sigma", "variance for the level")
def annealed_told_variance(a):
    return a.run(told=lambda i: a.sigmas[i] ** 2)
