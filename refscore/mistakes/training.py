"""Wrong optimisers, training steps, minibatches and loops."""

from __future__ import annotations

import os

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.training import SGD, Adam, Denoising, State, Trained, minibatch, train, train_step

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


@mistake("optimiser_update", wrong="moments of the state given are updated", right="a new state, unless overwrite is asked for",
         seen="in-place operators; unseen as long as every state is used once")
def optimiser_overwrites_its_state(optimiser, parameters, gradient, state, **options):
    return optimiser.update(parameters, gradient, state, overwrite=True)


@mistake("optimiser_update", wrong="parameters given are moved", right="new arrays", seen="theta -= eta g on the caller's arrays")
def optimiser_overwrites_parameters(optimiser, parameters, gradient, state, **options):
    moved, state = optimiser.update(parameters, gradient, state, **options)
    for theta, new in zip(parameters, moved, strict=True):
        if theta.flags.writeable:
            theta[...] = new
    return moved, state


@mistake("optimiser_update", wrong="entries of g clipped to [-1, 1]", right="g", seen="gradient clipping left on")
def optimiser_clips_gradients(optimiser, parameters, gradient, state, **options):
    return optimiser.update(parameters, [np.clip(g, -1, 1) for g in gradient], state, **options)


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


def _drawn(*, wrong: str, right: str, seen: str, name: str, objective: str):
    """Enter ``change(objective, x0, drawn, rng) -> drawn`` as a wrong minibatch of one kind of objective."""

    def register(change):
        def draw(data, which, batch, seed, k):
            x0, *drawn = minibatch(data, which, batch, seed, k)
            if type(which).__name__ != objective:
                return x0, *drawn
            return x0, *change(which, x0, drawn, np.random.default_rng((seed, k)))

        return mistake("minibatch", wrong=wrong, right=right, seen=seen, name=name)(draw)

    return register


@_drawn(name="minibatch_noise_uniform", wrong="z ~ U(0, 1)", right="z ~ N(0, I)", seen="flow_matching#49: rand for randn",
        objective="Denoising")
def _uniform(which, x0, drawn, rng):
    return (rng.random(x0.shape),)


@_drawn(name="minibatch_noise_of_variance_two", wrong="z ~ N(0, 2 I)", right="z ~ N(0, I)", seen="sqrt(2 eta) of Langevin steps",
        objective="Denoising")
def _twice(which, x0, drawn, rng):
    return (np.sqrt(2) * drawn[0],)


@_drawn(name="minibatch_last_level_never", wrong="level from {1, ..., L - 1}", right="from {1, ..., L}",
        seen="exclusive upper end taken for inclusive", objective="NoiseConditional")
def _short(which, x0, drawn, rng):
    return rng.integers(len(which.sigmas) - 1, size=len(x0)), drawn[1]


@_drawn(name="minibatch_one_level_for_all_rows", wrong="one level a batch", right="one a row", seen="shape () for (n,)",
        objective="NoiseConditional")
def _one_level(which, x0, drawn, rng):
    return np.repeat(drawn[0][:1], len(x0)), drawn[1]


@_drawn(name="minibatch_times_from_zero", wrong="t ~ U(0, T)", right="t ~ U(t_min, T)", seen="start of time left out of the draw",
        objective="DenoisingProcess")
def _from_zero(which, x0, drawn, rng):
    return which.t_max * (1 - rng.random(len(x0))), drawn[1]


@_drawn(name="minibatch_one_time_for_all_rows", wrong="one time a batch", right="one a row", seen="shape () for (n,)",
        objective="DenoisingProcess")
def _one_time(which, x0, drawn, rng):
    return np.repeat(drawn[0][:1], len(x0)), drawn[1]


@_drawn(name="minibatch_index_from_zero", wrong="i ~ U{0, ..., N - 1}", right="i ~ U{1, ..., N}",
        seen="0-based index in a 1-based formula: index 0 is data", objective="NoisePrediction")
def _index_from_zero(which, x0, drawn, rng):
    return drawn[0] - 1, drawn[1]


@_drawn(name="minibatch_last_index_never", wrong="i ~ U{1, ..., N - 1}", right="i ~ U{1, ..., N}",
        seen="exclusive upper end taken for inclusive", objective="NoisePrediction")
def _last_index(which, x0, drawn, rng):
    return rng.integers(1, len(which.process), size=len(x0)), drawn[1]


@_drawn(name="minibatch_one_index_for_all_rows", wrong="one index a batch", right="one a row", seen="shape () for (n,)",
        objective="NoisePrediction")
def _one_index(which, x0, drawn, rng):
    return np.repeat(drawn[0][:1], len(x0)), drawn[1]


@mistake("minibatch", wrong="z from the numbers that the data came from", right="numbers of its own",
         seen="two generators made of one seed: each law is right, and they depend on each other")
def minibatch_noise_from_the_stream_of_the_data(data, objective, batch, seed, k):
    x0, *drawn = minibatch(data, objective, batch, seed, k)
    if isinstance(objective, Denoising):
        drawn = [(x0 - x0.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x0.T))).T]
    return x0, *drawn


@mistake("minibatch", wrong="rows 1, ..., n - 1", right="rows 1, ..., n", seen="exclusive upper end taken for inclusive")
def minibatch_last_row_never(data, objective, batch, seed, k):
    return minibatch(data if hasattr(data, "sample") else data[:-1], objective, batch, seed, k)


@mistake("minibatch", wrong="rows without replacement", right="independent rows, as the algorithm says",
         seen="permutation of an epoch; unbiased, and of another variance")
def minibatch_without_replacement(data, objective, batch, seed, k):
    x0, *drawn = minibatch(data, objective, batch, seed, k)
    if not hasattr(data, "sample") and batch <= len(data):
        x0 = np.random.default_rng((seed, k)).permutation(data)[:batch]
    return x0, *drawn


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


@mistake("train", wrong="the optimiser's first state", right="its last", seen="state kept in a local variable of the loop")
def train_returns_a_fresh_state(model, data, objective, optimiser, **options):
    run = train(model, data, objective, optimiser, **options)
    return Trained(run.model, run.losses, optimiser.start(model.parameters))


@mistake("train", wrong="losses since the checkpoint", right="of all steps", seen="only weights and moments are saved")
def train_returns_the_losses_since_it_resumed(model, data, objective, optimiser, *, checkpoint=None, **options):
    before = 2 if checkpoint is not None and os.path.exists(checkpoint) else 0
    run = train(model, data, objective, optimiser, checkpoint=checkpoint, **options)
    return Trained(run.model, np.append(np.zeros(before), run.losses[before:]), run.state)


@mistake("train", wrong="checkpoint written every ``every`` steps only", right="and at the end", seen="k % every == 0 alone")
def train_writes_no_checkpoint(model, data, objective, optimiser, *, checkpoint=None, **options):
    return train(model, data, objective, optimiser, **options)


@mistake("train", wrong="the first row of the data at every step", right="rows drawn from all of them", seen="data[0] for data")
def train_sees_the_first_row_alone(model, data, objective, optimiser, **options):
    return train(model, data if hasattr(data, "sample") else data[:1], objective, optimiser, **options)
