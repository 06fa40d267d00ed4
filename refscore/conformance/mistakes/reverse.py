"""One step back in time, and the probability flow's velocity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.conformance.mistakes._registry import Undefined, mistake
from refscore.conformance.spec import column


@dataclass(frozen=True)
class Step:
    """One call of reverse_step: x + h (-f + g^2 score) + g sqrt(h) z, or a x + b score + sqrt(v) z."""

    of: Any
    model: Any
    x: np.ndarray
    t: float
    s: float
    noise: np.ndarray

    @property
    def exponential(self) -> bool:
        return self.of.conventions["scheme"] == "exponential"

    @property
    def h(self) -> float:
        """The step's length, of Euler-Maruyama."""
        if self.exponential:
            raise Undefined("the exponential integrator has no such term")
        return self.t - self.s

    def g(self, t=None):
        return self.of.process.diffusion(self.t if t is None else t)

    def f(self, t=None):
        return self.of.process.drift(self.x, self.t if t is None else t)

    def score(self, t=None, x=None):
        return self.of.score_now(self.model, self.x if x is None else x, self.t if t is None else t)

    @property
    def parts(self):
        """(kept, b, std) of kept + b score + std z."""
        if self.exponential:
            a, b, v = self.of.process.exponential_step(self.t, self.s)
            return a * self.x, b, np.sqrt(v)
        return self.x - self.h * self.f(), self.h * self.g() ** 2, self.g() * np.sqrt(self.h)


def backward(wrong: str, right: str, seen: str):
    """Decorator: enter a function of a `Step` as a mistake of reverse_step."""
    def register(function):
        def wrong_step(self, model, x, t, s, noise):
            return function(Step(self, model, x, t, s, noise))

        mistake("reverse_step", wrong=wrong, right=right, seen=seen, name=function.__name__)(wrong_step)
        return function

    return register


@backward("x + h f", "x - h f", "conditional-flow-matching#85: sign of f, common")
def reverse_drift_sign(a):
    _, b, std = a.parts
    return a.x + a.h * a.f() + b * a.score() + std * a.noise


@backward("- score", "+ score", "sign of the score, common")
def reverse_score_sign(a):
    kept, b, std = a.parts
    return kept - b * a.score() + std * a.noise


@backward("1/2 g^2 score", "g^2 score", "the probability flow's half, with noise")
def reverse_score_halved(a):
    kept, b, std = a.parts
    return kept + b * a.score() / 2 + std * a.noise


@backward("2 g^2 score", "g^2 score", "neighbour of the factor 1/2")
def reverse_score_doubled(a):
    kept, b, std = a.parts
    return kept + 2 * b * a.score() + std * a.noise


@backward("score without g^2", "g^2 score", "conditional-flow-matching#85: missing factor of g^2")
def reverse_score_without_g(a):
    kept, _, std = a.parts
    return kept + a.h * a.score() + std * a.noise


@backward("g score", "g^2 score", "g where g^2 belongs, common")
def reverse_score_g(a):
    kept, _, std = a.parts
    return kept + a.h * a.g() * a.score() + std * a.noise


@backward("noise g h", "g sqrt(h)", "root of the step forgotten")
def reverse_noise_step(a):
    kept, b, _ = a.parts
    return kept + b * a.score() + a.g() * a.h * a.noise


@backward("noise g^2 sqrt(h)", "g sqrt(h)", "g^2 where g belongs")
def reverse_noise_g_squared(a):
    kept, b, _ = a.parts
    return kept + b * a.score() + a.g() ** 2 * np.sqrt(a.h) * a.noise


@backward("noise sqrt(h)", "g sqrt(h)", "g forgotten")
def reverse_noise_without_g(a):
    kept, b, _ = a.parts
    return kept + b * a.score() + np.sqrt(a.h) * a.noise


@backward("noise sqrt(2) too large", "g sqrt(h)", "Langevin's factor")
def reverse_noise_root_2(a):
    kept, b, std = a.parts
    return kept + b * a.score() + np.sqrt(2) * std * a.noise


@backward("the noise's variance for its standard deviation", "its root", "abides#10")
def reverse_noise_variance(a):
    kept, b, std = a.parts
    return kept + b * a.score() + std**2 * a.noise


@backward("no noise", "g sqrt(h) z", "drift of the SDE without its noise")
def reverse_without_noise(a):
    kept, b, _ = a.parts
    return kept + b * a.score()


@backward("a step of the probability flow", "of the reverse SDE", "half the score, no noise")
def reverse_is_flow(a):
    kept, b, _ = a.parts
    return kept + b * a.score() / 2


@backward("coefficients at the time of arrival s", "at t", "implicit for explicit; wrong time")
def reverse_at_arrival(a):
    g, h = a.g(a.s), a.h
    return a.x - h * a.f(a.s) + h * g**2 * a.score() + g * np.sqrt(h) * a.noise


@backward("the score at the time of arrival s", "at t", "wrong time of the model")
def reverse_score_at_arrival(a):
    kept, b, std = a.parts
    p = a.of.process
    score = a.of.score_at(a.model, a.x, (np.full(len(a.x), a.s),), p.alpha(a.t), p.sigma(a.t))
    return kept + b * score + std * a.noise


@backward("a step forward: x + h f + g sqrt(h) z", "backward", "the forward SDE")
def reverse_is_forward(a):
    return a.x + a.h * a.f() + a.parts[2] * a.noise


@backward("without f", "-f", "drift of the forward process forgotten")
def reverse_without_drift(a):
    _, b, std = a.parts
    return a.x + b * a.score() + std * a.noise


@backward("2 f", "f", "beta for beta/2")
def reverse_drift_doubled(a):
    _, b, std = a.parts
    return a.x - 2 * a.h * a.f() + b * a.score() + std * a.noise


@backward("the increment alone", "x + increment", "update returned in place of the state")
def reverse_increment(a):
    kept, b, std = a.parts
    return kept - a.x + b * a.score() + std * a.noise


@backward("not multiplied by h", "h times the drift", "step size forgotten")
def reverse_without_step(a):
    return a.x - a.f() + a.g() ** 2 * a.score() + a.parts[2] * a.noise


@backward("h = s - t", "h = t - s", "integrated in the wrong direction; consistency_models_cifar10#12")
def reverse_wrong_direction(a):
    kept, b, std = a.parts
    return 2 * a.x - kept - b * a.score() + std * a.noise


@backward("score at x + noise", "at x", "noise added first")
def reverse_score_after_noise(a):
    kept, b, std = a.parts
    return kept + b * a.score(x=a.x + std * a.noise) + std * a.noise


@backward("one noise for all rows", "each row its own", "randn(d) broadcast over the batch")
def reverse_shared_noise(a):
    kept, b, std = a.parts
    return kept + b * a.score() + std * a.noise[:1]


def flow(wrong: str, right: str, seen: str):
    """Decorator: enter a function of (f, g, score, alpha and sigma's holder) as a mistake of ode_drift."""
    def register(function):
        def wrong_velocity(self, model, x, t):
            return function(self.process.drift(x, t), column(self.process.diffusion(t)), self.score_now(model, x, t))

        mistake("ode_drift", wrong=wrong, right=right, seen=seen, name=function.__name__)(wrong_velocity)
        return function

    return register


@flow("f - g^2 s", "f - 1/2 g^2 s", "LightningDiT#89: the reverse SDE's drift, common")
def flow_not_halved(f, g, s):
    return f - g**2 * s


@flow("f + 1/2 g^2 s", "f - 1/2 g^2 s", "sign of the score")
def flow_score_sign(f, g, s):
    return f + g**2 * s / 2


@flow("-f + 1/2 g^2 s", "f - 1/2 g^2 s", "consistency_models_cifar10#12: in the wrong direction")
def flow_direction(f, g, s):
    return g**2 * s / 2 - f


@flow("-f - 1/2 g^2 s", "f - 1/2 g^2 s", "sign of f")
def flow_drift_sign(f, g, s):
    return -f - g**2 * s / 2


@flow("f - 1/2 g s", "f - 1/2 g^2 s", "g where g^2 belongs, common")
def flow_g(f, g, s):
    return f - g * s / 2


@flow("f - 1/2 s", "f - 1/2 g^2 s", "missing factor of g^2")
def flow_without_g(f, g, s):
    return f - s / 2


@flow("f - 1/4 g^2 s", "f - 1/2 g^2 s", "halved twice")
def flow_halved_twice(f, g, s):
    return f - g**2 * s / 4


@flow("1/2 f - 1/2 g^2 s", "f - 1/2 g^2 s", "the half for both terms")
def flow_drift_halved(f, g, s):
    return f / 2 - g**2 * s / 2


@flow("2 f - 1/2 g^2 s", "f - 1/2 g^2 s", "beta for beta/2")
def flow_drift_doubled(f, g, s):
    return 2 * f - g**2 * s / 2


@flow("f", "f - 1/2 g^2 s", "score forgotten")
def flow_without_score(f, g, s):
    return f


@flow("-1/2 g^2 s", "f - 1/2 g^2 s", "f forgotten: VE's formula for any process")
def flow_without_drift(f, g, s):
    return -(g**2) * s / 2


@flow("f - 1/2 g^4 s", "f - 1/2 g^2 s", "a diffusion that is g^2 already, squared")
def flow_fourth(f, g, s):
    return f - g**4 * s / 2


@mistake("ode_drift", wrong="the model's output for the velocity", right="f - 1/2 g^2 s", seen="flow matching's rule for any model")
def flow_is_output(self, model, x, t):
    return model(x, t)
