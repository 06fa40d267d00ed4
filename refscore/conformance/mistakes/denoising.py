"""The denoising losses: at one noise level, along a process, on a ladder of levels, of noise prediction.

They differ in where alpha, sigma and the weight come from (`Level`), and share most mistakes: each function here is entered once
for every loss, under the loss's prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refscore.conformance.mistakes._registry import Undefined, mistake
from refscore.conformance.spec import column

PREFIX = {"dsm_loss": "dsm", "dsm_process_loss": "process", "ncsn_loss": "ncsn", "ddpm_loss": "ddpm_loss"}
LOSSES = tuple(PREFIX)
IN_TIME = ("dsm_process_loss", "ncsn_loss", "ddpm_loss")
ALONG = ("dsm_process_loss", "ddpm_loss")


@dataclass(frozen=True)
class Level:
    """One call of a denoising loss: xt = alpha x0 + sigma noise, the model hears ``time``; ``weight`` as in conventions."""

    loss: Any
    model: Any
    x0: np.ndarray
    time: tuple
    alpha: Any
    sigma: Any
    noise: np.ndarray
    weight: str

    @property
    def xt(self) -> np.ndarray:
        """The corrupted points."""
        return column(self.alpha) * self.x0 + column(self.sigma) * self.noise

    def rows(self, **changed) -> np.ndarray:
        """1/2 ||s(xt) + noise/sigma||^2 weighted, (n,); any of xt, time, noise, weight may be another."""
        xt, weight = changed.pop("xt", self.xt), changed.pop("weight", self.weight)
        own = replace(self, **changed)
        return self.loss.denoising_rows(own.model, xt, own.time, own.alpha, own.sigma, own.noise, weight)

    def error(self, **changed) -> np.ndarray:
        """s(xt) + noise/sigma, (n, d), without weight."""
        xt = changed.get("xt", self.xt)
        alpha, sigma = (np.broadcast_to(np.asarray(a, float), len(xt)) for a in (self.alpha, self.sigma))
        return self.loss.score_at(self.model, xt, self.time, alpha, sigma) + self.noise / column(sigma)

    @property
    def weights(self) -> Any:
        """lambda, (n,) or a number."""
        if self.weight not in ("one", "sigma2"):
            raise Undefined("the weight depends on what the model predicts")
        return np.asarray(self.sigma, float) ** 2 if self.weight == "sigma2" else 1.0


def level(self, operation: str, arguments: tuple) -> Level:
    """The call of one of the four losses."""
    weight = self.conventions["weight"]
    if operation == "dsm_loss":
        model, x0, sigma, noise = arguments
        return Level(self, model, x0, (), 1.0, sigma, noise, weight)
    if operation == "ncsn_loss":
        model, x0, sigmas, index, noise = arguments
        return Level(self, model, x0, (sigmas[index],), 1.0, sigmas[index], noise, weight)
    model, x0, t, noise = arguments
    return Level(self, model, x0, (t,), self.process.alpha(t), self.process.sigma(t), noise,
                 "sigma2" if operation == "ddpm_loss" else weight)


def denoising(wrong: str, right: str, seen: str, operations: tuple = LOSSES):
    """Decorator: enter a function of a `Level`, which returns wrong rows, as a mistake of each of the losses."""
    def register(function):
        for operation in operations:
            def wrong_loss(self, *arguments, operation=operation):
                at = level(self, operation, arguments)
                return self.averaged(function(at), at.x0.shape[1])

            mistake(operation, wrong=wrong, right=right, seen=seen, name=f"{PREFIX[operation]}_{function.__name__}")(wrong_loss)
        return function

    return register


@denoising("target +noise/sigma", "-noise/sigma", "acids-ircam/diffusion_models#7, #11; lebellig/flow-matching#2; pml2-book#253; "
           "torchebm#318 for energies")
def target_sign(at):
    return at.rows(noise=-at.noise, xt=at.xt)


@denoising("target -noise/sigma^2", "-noise/sigma", "lecture c, NCSN slide")
def target_over_variance(at):
    return at.rows(noise=at.noise / column(at.sigma), xt=at.xt)


@denoising("target -noise", "-noise/sigma", "division forgotten")
def target_not_scaled(at):
    return at.rows(noise=at.noise * column(at.sigma), xt=at.xt)


@denoising("target -sigma noise", "-noise/sigma", "x0 - x~ not divided by sigma^2")
def target_not_divided(at):
    return at.rows(noise=at.noise * column(at.sigma) ** 2, xt=at.xt)


@denoising("target -noise/(2 sigma)", "-noise/sigma", "the exponent's 1/2 kept in its gradient")
def target_halved(at):
    return at.rows(noise=at.noise / 2, xt=at.xt)


@denoising("model at the clean point", "at the corrupted point", "x~ not used")
def at_clean_point(at):
    return at.rows(xt=at.x0)


@denoising("x~ with sigma^2 noise", "sigma noise", "How-Diffusion-Models-Work#1; abides#10")
def noise_of_variance(at):
    return at.rows(xt=column(at.alpha) * at.x0 + column(at.sigma) ** 2 * at.noise)


@denoising("x~ with unscaled noise", "sigma noise", "scale of the noise forgotten")
def noise_unscaled(at):
    return at.rows(xt=column(at.alpha) * at.x0 + at.noise)


@denoising("x~ = x - sigma noise", "x + sigma noise", "sign of the noise in one place")
def noise_subtracted(at):
    return at.rows(xt=column(at.alpha) * at.x0 - column(at.sigma) * at.noise)


@denoising("||.||", "||.||^2", "norm not squared")
def not_squared(at):
    return at.weights * np.sqrt((at.error() ** 2).sum(axis=1)) / 2


@denoising("sum of |.|", "||.||^2", "L1 for L2")
def absolute(at):
    return at.weights * np.abs(at.error()).sum(axis=1) / 2


@denoising("square of the summed error", "sum of squares", "summed over dimensions first")
def sum_inside(at):
    return at.weights * at.error().sum(axis=1) ** 2 / 2


@denoising("||mean of the errors||^2", "mean of ||.||^2", "averaged over the batch before it is squared")
def mean_inside(at):
    inside = at.error().mean(axis=0)
    return at.weights * np.repeat((inside**2).sum() / 2, len(at.x0))


@denoising("the target's square left out", "||s - target||^2", "1/2 ||s||^2 - s'target: right up to a constant")
def without_constant(at):
    return at.rows() - at.weights * ((at.noise / column(at.sigma)) ** 2).sum(axis=1) / 2


@denoising("cross term s'noise/(2 sigma)", "s'noise/sigma", "2 forgotten as the square is expanded")
def cross_halved(at):
    target = at.noise / column(at.sigma)
    score = at.error() - target
    return at.weights * ((score**2).sum(axis=1) + (score * target).sum(axis=1) + (target**2).sum(axis=1)) / 2


@denoising("1/2 ||s||^2", "1/2 ||s + noise/sigma||^2", "target forgotten")
def without_target(at):
    return at.rows(noise=0 * at.noise, xt=at.xt)


@denoising("one noise for all rows", "each row its own", "randn(d) broadcast over the batch")
def shared_noise(at):
    shared = np.broadcast_to(at.noise[:1], at.noise.shape)
    return replace(at, noise=shared).rows()


@denoising("other noise in the target than in x~", "the same", "noise drawn twice")
def noise_drawn_twice(at):
    return at.rows(noise=np.roll(at.noise, 1, axis=1 if at.noise.shape[1] > 1 else 0), xt=at.xt)


@denoising("weight sigma", "as in conventions", "sigma for sigma^2")
def weight_sigma(at):
    return at.sigma * (at.error() ** 2).sum(axis=1) / 2


@denoising("weight 1/sigma^2", "as in conventions", "divided for multiplied; lecture a has 1/sigma^4 for 1/sigma^2 of eps losses")
def weight_inverted(at):
    return (at.error() ** 2).sum(axis=1) / 2 / np.asarray(at.sigma) ** 2


@denoising("weight sigma^4", "as in conventions", "the weight sigma^2 twice: in the loss and in the average")
def weight_fourth(at):
    return (at.error() ** 2).sum(axis=1) / 2 * np.asarray(at.sigma) ** 4


@denoising("weights (n,) times losses (n, 1): the product of their means", "row by row", "bayesflow#787", IN_TIME)
def weights_broadcast(at):
    squares = (at.error() ** 2).sum(axis=1) / 2
    return np.broadcast_to(at.weights, len(squares)).mean() * squares


@denoising("the first row's level for all", "each row at its own", "t[0], common", IN_TIME)
def one_level(at):
    first = {name: np.broadcast_to(np.ravel(getattr(at, name))[:1], len(at.x0)) for name in ("alpha", "sigma")}
    return replace(at, time=(np.full(len(at.x0), np.ravel(at.time[0])[0]),), **first).rows()


@denoising("the model at time 0", "at the level of its row", "time not handed on", IN_TIME)
def model_without_time(at):
    return at.rows(time=(0 * np.asarray(at.time[0]),))


@denoising("the model at other rows' times", "each row at its own", "times drawn twice", IN_TIME)
def model_at_other_times(at):
    return at.rows(time=(np.roll(np.asarray(at.time[0]), 1),))


@denoising("x0 not scaled", "alpha x0", "VE's formula for any process", ALONG)
def signal_kept(at):
    return at.rows(xt=at.x0 + column(at.sigma) * at.noise)


@denoising("alpha^2 x0", "alpha x0", "alpha-bar without its root", ALONG)
def signal_squared(at):
    return at.rows(xt=column(at.alpha) ** 2 * at.x0 + column(at.sigma) * at.noise)


@denoising("target -(xt - x0)/sigma^2", "-(xt - alpha x0)/sigma^2", "alpha forgotten in the target", ALONG)
def target_without_alpha(at):
    return at.rows(noise=(at.xt - at.x0) / column(at.sigma), xt=at.xt)


@denoising("sigma = sqrt(1 - alpha^2)", "sigma", "alpha^2 + sigma^2 = 1 assumed, common", ALONG)
def variance_preserving(at):
    return replace(at, sigma=np.sqrt(np.maximum(1 - at.alpha**2, 0))).rows()


@denoising("sigma = 1 - alpha", "sigma", "straight lines assumed", ALONG)
def straight_lines(at):
    return replace(at, sigma=1 - at.alpha).rows()


@denoising("alpha and sigma of index i - 1", "of index i", "lucidrains#18: alpha-bar shifted by one", ALONG)
def one_early(at):
    return _at_index(at, lambda i, last: i - 1)


@denoising("alpha and sigma of index i - 1, and of N at i = 1", "of index i", "an array from 0 read at i - 2: index -1", ALONG)
def one_early_wraps(at):
    return _at_index(at, lambda i, last: np.where(i > 1, i - 1, last))


def _at_index(at, other):
    process = at.loss.process
    if not hasattr(process, "betas"):
        raise Undefined("times have no neighbours")
    index = other(np.asarray(at.time[0]), len(process))
    sigma = np.maximum(process.sigma(index), 1e-100)  # at index 0 the error of eps is divided by it, and multiplied again
    return replace(at, alpha=process.alpha(index), sigma=sigma).rows()


@denoising("beta_i for 1 - alpha-bar_i", "the product", "alpha for alpha-bar: cumprod forgotten", ALONG)
def of_one_step(at):
    if not hasattr(at.loss.process, "betas"):
        raise Undefined("times have no steps")
    beta = at.loss.process.beta(at.time[0])
    return replace(at, alpha=np.sqrt(1 - beta), sigma=np.sqrt(beta)).rows()


@denoising("weight g^2", "as in conventions", "the likelihood weighting in its place", ("dsm_process_loss",))
def weight_diffusion(at):
    return at.loss.process.diffusion(at.time[0]) ** 2 * (at.error() ** 2).sum(axis=1) / 2


@mistake("ncsn_loss", wrong="levels numbered from the smallest", right="index into sigmas as given",
         seen="the lectures number the ladder in three different ways")
def ncsn_levels_reversed(self, model, x0, sigmas, index, noise):
    return self.ncsn_loss(model, x0, sigmas[::-1], index, noise)


@mistake("ncsn_loss", wrong="index - 1", right="index", seen="index counted from 1")
def ncsn_index_from_one(self, model, x0, sigmas, index, noise):
    return self.ncsn_loss(model, x0, sigmas, index - 1, noise)


@mistake("ncsn_loss", wrong="sum over levels of their means", right="mean over the batch", seen="averaged level by level")
def ncsn_sum_over_levels(self, model, x0, sigmas, index, noise):
    at = level(self, "ncsn_loss", (model, x0, sigmas, index, noise))
    if self.conventions["over_batch"] != "mean":
        raise Undefined("there is no mean")
    count = np.bincount(index, minlength=len(sigmas))[index]
    return self.averaged(at.rows() * len(x0) / count, x0.shape[1])
