"""Langevin steps, plain and annealed."""

from __future__ import annotations

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
