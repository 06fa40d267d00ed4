"""Wrong optimisers, training steps, minibatches and loops."""

from __future__ import annotations

import os

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.training import SGD, Adam, State, Trained, minibatch, train, train_step

# --- Adam: one entry of the published algorithm at a time -----------------------------------------------------------


def _adam(name: str, *, wrong: str, right: str, seen: str):
    """Enter ``rule(k, g, m, v, b1, b2, eps) -> (step, m, v)`` as a wrong Adam; other optimisers are left as they are."""

    def register(rule):
        def update(optimiser, parameters, gradient, state, **options):
            if not isinstance(optimiser, Adam):
                return optimiser.update(parameters, gradient, state, **options)
            k, moved, means, squares = state.step + 1, [], [], []
            for theta, g, m, v in zip(parameters, gradient, *state.moments, strict=True):
                step, m, v = rule(k, g, m, v, *optimiser.betas, optimiser.eps)
                moved.append(theta - optimiser.rate * step)
                means.append(m)
                squares.append(v)
            return moved, State(k, (means, squares))

        return mistake("optimiser_update", wrong=wrong, right=right, seen=seen, name=name)(update)

    return register


def _means(g, m, v, b1, b2):
    return b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g


@_adam("adam_without_bias_correction", wrong="m/(sqrt(v) + eps)", right="m^/(sqrt(v^) + eps)", seen="BERT's AdamWeightDecay")
def _uncorrected(k, g, m, v, b1, b2, eps):
    m, v = _means(g, m, v, b1, b2)
    return m / (np.sqrt(v) + eps), m, v


@_adam(
    "adam_bias_correction_of_the_next_step", wrong="1 - b^(k+1)", right="1 - b^k, the first step having k = 1",
    seen="step counted up before and after"
)
def _next(k, g, m, v, b1, b2, eps):
    m, v = _means(g, m, v, b1, b2)
    return m / (1 - b1 ** (k + 1)) / (np.sqrt(v / (1 - b2 ** (k + 1))) + eps), m, v


@_adam("adam_second_moment_uncorrected", wrong="m^/(sqrt(v) + eps)", right="m^/(sqrt(v^) + eps)", seen="common")
def _half_corrected(k, g, m, v, b1, b2, eps):
    m, v = _means(g, m, v, b1, b2)
    return m / (1 - b1**k) / (np.sqrt(v) + eps), m, v


@_adam("adam_eps_inside_the_root", wrong="sqrt(v^ + eps)", right="sqrt(v^) + eps", seen="habit of batch normalisation")
def _inside(k, g, m, v, b1, b2, eps):
    m, v = _means(g, m, v, b1, b2)
    return m / (1 - b1**k) / np.sqrt(v / (1 - b2**k) + eps), m, v


@_adam(
    "adam_eps_before_the_correction", wrong="sqrt(v) + eps, corrected together", right="sqrt(v^) + eps",
    seen="the faster form at the end of the paper's section 2, whose eps is another one"
)
def _before(k, g, m, v, b1, b2, eps):
    m, v = _means(g, m, v, b1, b2)
    return np.sqrt(1 - b2**k) / (1 - b1**k) * m / (np.sqrt(v) + eps), m, v


@_adam("adam_decay_rates_swapped", wrong="b2 for the mean, b1 for the square", right="the other way round", seen="common")
def _swapped(k, g, m, v, b1, b2, eps):
    m, v = _means(g, m, v, b2, b1)
    return m / (1 - b2**k) / (np.sqrt(v / (1 - b1**k)) + eps), m, v


@_adam("adam_without_root", wrong="m^/(v^ + eps)", right="m^/(sqrt(v^) + eps)", seen="root forgotten")
def _rootless(k, g, m, v, b1, b2, eps):
    m, v = _means(g, m, v, b1, b2)
    return m / (1 - b1**k) / (v / (1 - b2**k) + eps), m, v


@_adam("adam_mean_without_factor", wrong="m = b1 m + g", right="m = b1 m + (1 - b1) g", seen="momentum of SGD put into Adam")
def _undamped(k, g, m, v, b1, b2, eps):
    m, v = b1 * m + g, _means(g, m, v, b1, b2)[1]
    return m / (1 - b1**k) / (np.sqrt(v / (1 - b2**k)) + eps), m, v


@_adam("adam_square_of_the_mean", wrong="v from m^2", right="v from g^2", seen="wrong variable squared")
def _squared_mean(k, g, m, v, b1, b2, eps):
    m = _means(g, m, v, b1, b2)[0]
    v = b2 * v + (1 - b2) * m * m
    return m / (1 - b1**k) / (np.sqrt(v / (1 - b2**k)) + eps), m, v


# --- any optimiser ------------------------------------------------------------------------------------------------


@mistake("optimiser_update", wrong="u = mu u + (1 - mu) g", right="u = mu u + g", seen="the two conventions of momentum mixed")
def sgd_momentum_damped(optimiser, parameters, gradient, state, **options):
    if isinstance(optimiser, SGD):
        gradient = [(1 - optimiser.momentum) * g for g in gradient]
    return optimiser.update(parameters, gradient, state, **options)


@mistake("optimiser_update", wrong="theta + eta g", right="theta - eta g", seen="a log-likelihood to maximise taken for a loss")
def optimiser_ascends(optimiser, parameters, gradient, state, **options):
    return optimiser.update(parameters, [-g for g in gradient], state, **options)


# --- training steps -----------------------------------------------------------------------------------------------


class _Scaled:
    """An objective whose gradient is multiplied by ``factor``."""

    def __init__(self, objective, factor):
        self.objective, self.factor = objective, factor

    def loss(self, model, *drawn):
        value, gradient = self.objective.loss(model, *drawn)
        return value, [self.factor * g for g in gradient]


@mistake("train_step", wrong="gradient summed over the batch", right="gradient of the mean", seen="per-row gradients added up")
def train_step_sum_over_batch(model, objective, optimiser, state, *drawn, **options):
    return train_step(model, _Scaled(objective, len(drawn[0])), optimiser, state, *drawn, **options)


@mistake("train_step", wrong="theta + eta g", right="theta - eta g", seen="common")
def train_step_ascends(model, objective, optimiser, state, *drawn, **options):
    return train_step(model, _Scaled(objective, -1.0), optimiser, state, *drawn, **options)


@mistake("train_step", wrong="moments zero at every step", right="moments carried on", seen="optimiser built inside the loop")
def train_step_forgets_the_state(model, objective, optimiser, state, *drawn, **options):
    return train_step(model, objective, optimiser, optimiser.start(model.parameters), *drawn, **options)


@mistake("train_step", wrong="loss after the update", right="loss before it, as its gradient", seen="evaluated again for the log")
def train_step_loss_after_the_update(model, objective, optimiser, state, *drawn, **options):
    _, moved, state = train_step(model, objective, optimiser, state, *drawn, **options)
    return objective.loss(moved, *drawn)[0], moved, state


# --- minibatches --------------------------------------------------------------------------------------------------


@mistake("minibatch", wrong="one stream for all steps", right="a stream from (seed, k)", seen="generator seeded inside the loop")
def minibatch_same_stream_at_every_step(data, objective, batch, seed, k):
    return minibatch(data, objective, batch, seed, 1)


@mistake("minibatch", wrong="the seed is not used", right="a stream spawned from (seed, k)", seen="seed fixed in a helper")
def minibatch_ignores_the_seed(data, objective, batch, seed, k):
    return minibatch(data, objective, batch, 0, k)


@mistake("minibatch", wrong="z drawn once for the batch", right="z_i drawn for every row", seen="noise of shape (d,) broadcast")
def minibatch_one_noise_for_all_rows(data, objective, batch, seed, k):
    x0, *drawn = minibatch(data, objective, batch, seed, k)
    return (x0, *(np.repeat(a[:1], batch, axis=0) for a in drawn))


# --- loops --------------------------------------------------------------------------------------------------------


def _steps(model, state, objective, optimiser, steps: int, stream) -> Trained:
    """What `train` does from ``state`` on, step k on the minibatch ``stream(k)``."""
    losses = np.zeros(steps)
    for k in range(state.step + 1, steps + 1):
        losses[k - 1], model, state = train_step(model, objective, optimiser, state, *stream(k))
    return Trained(model, losses, state)


def _resumed(change):
    """A `train` that goes on from a checkpoint with the state, and the shift of the streams, that ``change`` says."""

    def wrong(model, data, objective, optimiser, *, steps, batch, seed, checkpoint=None, **options):
        keywords = dict(batch=batch, seed=seed, checkpoint=checkpoint, **options)
        if checkpoint is None or not os.path.exists(checkpoint):
            return train(model, data, objective, optimiser, steps=steps, **keywords)
        with np.load(checkpoint) as saved:
            made = len(saved["losses"])
        before = train(model, data, objective, optimiser, steps=made, **keywords)
        state, shift = change(before, optimiser)
        stream = lambda k: minibatch(data, objective, batch, seed, k - shift)  # noqa: E731
        return _steps(before.model, state, objective, optimiser, steps, stream)

    return wrong


@mistake("train", wrong="range(1, steps)", right="range(1, steps + 1)", seen="off by one")
def train_stops_one_step_early(model, data, objective, optimiser, *, steps, **options):
    run = train(model, data, objective, optimiser, steps=steps - 1, **options)
    return Trained(run.model, np.append(run.losses, 0.0), run.state)


@mistake("train", wrong="streams 0, ..., steps - 1", right="streams 1, ..., steps", seen="off by one")
def train_counts_streams_from_zero(model, data, objective, optimiser, *, steps, batch, seed, **options):
    start = optimiser.start(model.parameters)
    return _steps(model, start, objective, optimiser, steps, lambda k: minibatch(data, objective, batch, seed, k - 1))


mistake(
    "train", wrong="moments start again", right="moments restored with the parameters", seen="only the weights are saved",
    name="train_resumes_without_moments",
)(_resumed(lambda before, optimiser: (State(before.state.step, optimiser.start(before.model.parameters).moments), 0)))

mistake(
    "train", wrong="streams start again at 1", right="streams go on at k + 1", seen="seeded anew after every start",
    name="train_resumes_with_the_first_streams",
)(_resumed(lambda before, optimiser: (before.state, before.state.step)))
