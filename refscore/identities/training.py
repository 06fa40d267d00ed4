"""Identities of section D: optimisers, minibatches and the training loop (D5)."""

from __future__ import annotations

import itertools
import os
import tempfile
from typing import Any

import numpy as np

from refscore.identities._expectations import EPS, flat
from refscore.identities._models import linear_score, random_network, trained_network
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import DIMENSIONS, mixture
from refscore.processes import DDPM, OU
from refscore.training import SGD, Adam, Denoising, DenoisingProcess, Implicit, NoiseConditional, NoisePrediction, Sliced, Trained

SIGMA = 0.6
SUMS = 1e-13
"""Relative error of a gradient over nodes: up to 3e5 terms with positive weights, in blocks of some hundreds, then pairwise."""

NETWORK = 1e-12
"""Relative error of a network's gradient at a row, by either road: three layers of ten units, d tangents, some hundred roundings
of terms that are up to ten times the result; a mean over minibatches keeps it."""

OPTIMISER = SGD(0.1)
OPTIMISERS = {
    "SGD": SGD(0.05),
    "SGD, momentum 0.7": SGD(0.05, momentum=0.7),
    "Adam": Adam(0.02),
    "Adam, betas 0.6 and 0.95, eps 0.1": Adam(0.02, betas=(0.6, 0.95), eps=0.1),
}


@identity(
    id="D5",
    systems=("D5",),
    title="SGD and Adam: the step is a weighted mean of all gradients so far; with a constant gradient, in closed form",
    statement=r"\theta_k = \theta_{k-1} - \eta\frac{\hat m_k}{\sqrt{\hat v_k} + \epsilon},\quad"
    r" \hat m_k = \frac{\sum_i \beta_1^{k-i} g_i}{\sum_i \beta_1^{k-i}},\quad"
    r" \hat v_k = \frac{\sum_i \beta_2^{k-i} g_i^2}{\sum_i \beta_2^{k-i}}",
    source="[a, sec. 4, gradient descent], [e, stochastic gradient descent]; Kingma & Ba 2015, Algorithm 1; Polyak 1964",
    method="recursion of the moments vs explicit sums over all gradients; constant gradients in closed form",
    catches=("adam_without_bias_correction", "adam_bias_correction_of_the_next_step", "adam_second_moment_uncorrected",
             "adam_eps_inside_the_root", "adam_eps_before_the_correction", "adam_decay_rates_swapped", "adam_without_root",
             "adam_mean_without_factor", "adam_square_of_the_mean", "sgd_momentum_damped", "optimiser_ascends",
             "optimiser_overwrites_its_state", "optimiser_overwrites_parameters", "optimiser_clips_gradients"),
)
def optimisers(ops, seed):
    """Gradients of denoising score matching along seven steps of linear, random and trained networks."""
    for d in DIMENSIONS:
        density = mixture(d)
        for (kind, model), (name, optimiser) in itertools.product(_networks(density, seed).items(), OPTIMISERS.items()):
            rng = np.random.default_rng((seed, d, 50))
            state, gradients, start = optimiser.start(model.parameters), [], flat(model.parameters)
            for _ in range(7):
                x0, z = density.sample(16, rng), rng.standard_normal((16, d))
                gradients.append(ops.dsm(model, x0, SIGMA, z, grad=True)[1])
                given = [p.copy() for p in model.parameters]
                ops.optimiser_update(optimiser, given, gradients[-1], state)  # a pure function: this changes nothing
                parameters, state = ops.optimiser_update(optimiser, given, gradients[-1], state)
                model = model.with_parameters(parameters)
            right, bound, scale = _by_sums(optimiser, start, np.array([flat(g) for g in gradients]))
            yield Comparison(f"{name}, {kind}, d = {d}", flat(model.parameters), right, bound, scale)
            yield _constant(ops, optimiser, model.parameters, gradients[0], f"constant gradient, {name}, {kind}, d = {d}")


def _networks(density, seed) -> dict[str, Any]:
    """Models with parameters: those of `refscore.identities._models` but the exact score."""
    linear, random = linear_score(density, seed), random_network(density.dim, seed)
    return {"linear": linear, "random": random, "trained": trained_network(density, seed)}


def _constant(ops, optimiser, parameters, gradient, case) -> Comparison:
    """Nine steps along one gradient g: Adam moves by 9 eta g/(|g| + eps), momentum by eta g sum_j (1 - mu^j)/(1 - mu)."""
    start, g, state = flat(parameters), flat(gradient), optimiser.start(parameters)
    for _ in range(9):
        parameters, state = ops.optimiser_update(optimiser, parameters, gradient, state)
    if isinstance(optimiser, Adam):
        right = start - 9 * optimiser.rate * g / (np.abs(g) + optimiser.eps)
    else:
        mu = optimiser.momentum
        right = start - optimiser.rate * g * (9 - mu * (1 - mu**9) / (1 - mu)) / (1 - mu)
    _, bound, scale = _by_sums(optimiser, start, np.tile(g, (9, 1)))
    return Comparison(case, flat(parameters), right, bound, scale)


def _by_sums(optimiser, theta, gradients):
    """theta after all steps without a recursion for the moments; a bound on the rounding of both roads; the size of what is added.

    A mean of k gradients of mean absolute value a is good to (2k + 4) eps a by either road, 1 - b^k to eps/(1 - b^k), and
    the mean of squares, where nothing cancels, to the like of itself, of which the root takes half.
    """
    bound, scale = np.zeros_like(theta), np.abs(theta)
    for k in range(1, len(gradients) + 1):
        past, age = gradients[:k], np.arange(k - 1, -1, -1.0)
        if isinstance(optimiser, SGD):
            weights, below, lost = optimiser.momentum**age, 1.0, 0.0
        else:
            b1, b2 = optimiser.betas
            weights, squares = b1**age / (b1**age).sum(), b2**age / (b2**age).sum()
            below = np.sqrt(squares @ past**2) + optimiser.eps
            lost = 1 / (1 - b1**k) + 1 / (1 - b2**k)
        size = optimiser.rate * (weights @ np.abs(past)) / below
        theta = theta - optimiser.rate * (weights @ past) / below
        bound += (4 * k + 16 + 2 * lost) * EPS * size + EPS * np.abs(theta)
        scale = scale + size
    return theta, 2 * bound, scale


@identity(
    id="D5.trajectory",
    systems=("D5", "B9"),
    title="Gradient descent on a linear score: the whole trajectory in closed form, towards the Gaussian's score",
    statement=r"\Theta_k - \Theta^* = (I - \eta M)^k (\Theta_0 - \Theta^*),\quad M = E\binom{\tilde x}{1}\binom{\tilde x}{1}',\quad"
    r" \Theta^* = \binom{-\Sigma^{-1}}{m'\Sigma^{-1}}",
    source="[a, sec. 4, Training Algorithm], [e, stochastic gradient descent]; Polyak 1964 for the momentum's two roots",
    method="training steps on nodes of (data, noise) vs eigenvalues of the second moments of the corrupted law",
    catches=("train_step_sum_over_batch", "train_step_forgets_the_state", "train_step_ascends", "train_step_loss_after_the_update",
             "dsm_without_half", "dsm_target_sign"),
)
def trajectory(ops, seed):
    """Denoising score matching of a linear score, whose loss is quadratic; without and with momentum, d = 1, 2, 3."""
    for d in DIMENSIONS:
        density, model = mixture(d), linear_score(mixture(d), seed)
        x0, z, w = density.joint_nodes(1.0, SIGMA, 0.7)
        noisy = density.cov + SIGMA**2 * np.eye(d)
        M = _moments(density.mean, noisy)
        best = np.vstack([-np.linalg.inv(noisy), np.linalg.solve(noisy, density.mean)])
        least = 0.5 * (d / SIGMA**2 - np.trace(np.linalg.inv(noisy)))
        objective = _OverNodes(ops, w)
        for mu in (0.0, 0.6):
            optimiser = SGD(0.8 / np.linalg.eigvalsh(M)[-1], momentum=mu)
            now, state, start = model, optimiser.start(model.parameters), np.vstack(model.parameters)
            size = (1 + np.abs(start).max() + np.abs(best).max()) * (1 + np.abs(M).max())
            for k in range(1, 13):
                loss, now, state = ops.train_step(now, objective, optimiser, state, x0, z)
                if k not in (1, 2, 5, 12):
                    continue
                case = f"d = {d}, momentum {mu}, step {k}"
                before, right = (best + _descent(M, optimiser, start - best, j) for j in (k - 1, k))
                bound = k / (1 - mu) * SUMS * size
                yield Comparison(f"parameters, {case}", np.vstack(now.parameters), right, bound, size)
                expected = least + 0.5 * np.einsum("ij,ik,kj->", before - best, M, before - best)
                yield Comparison(f"loss, {case}", loss, expected, bound * d * size, d * size**2)


class _OverNodes:
    """DSM at one noise level over weighted nodes of data and noise: the expectation, and its gradient."""

    def __init__(self, ops, weights):
        self.ops, self.weights = ops, weights

    def loss(self, model, x0, noise):
        return self.ops.dsm(model, x0, SIGMA, noise, sample_weight=self.weights, grad=True)


def _moments(mean, cov) -> np.ndarray:
    """E phi phi' of phi = (x, 1)."""
    return np.block([[cov + np.outer(mean, mean), mean[:, None]], [mean[None], np.ones((1, 1))]])


def _descent(M, optimiser, error, k: int) -> np.ndarray:
    """The error after k steps: along an eigenvector of M, powers of the roots of r^2 - (1 + mu - eta h) r + mu = 0."""
    h, Q = np.linalg.eigh(M)
    eta, mu = optimiser.rate, optimiser.momentum
    half = (1 + mu - eta * h) / 2
    root = np.sqrt(half**2 - mu + 0j)
    one, two = half + root, half - root
    share = (1 - eta * h - two) / (one - two)  # e_0 = e, e_1 = (1 - eta h) e
    return Q @ ((share * one**k + (1 - share) * two**k).real[:, None] * (Q.T @ error))


@identity(
    id="D5.minibatch",
    systems=("D5",),
    title="Minibatch steps are right on average: all minibatches of a small data set, enumerated",
    statement=r"E\,\theta_1 = \theta_0 - \eta\,\frac1n\sum_i\nabla\ell(x_i; \theta_0),\quad"
    r" E\,\Theta_k - \Theta^* = (I - \eta M_n)^k(\Theta_0 - \Theta^*)",
    source="[e, minibatches of ISM and SSM, stochastic gradient descent]",
    method="mean of steps over all minibatches (and all Rademacher directions) vs single rows' gradients, and in closed form",
    catches=("train_step_sum_over_batch", "train_step_ascends", "train_step_loss_after_the_update", "ism_trace_sign",
             "ssm_derivative_sign"),
)
def minibatches(ops, seed):
    """ISM and SSM on minibatches of two from three points; three steps of a linear score over all 9^3 sequences."""
    for d in (1, 2):
        density = mixture(d)
        points = density.sample(3, np.random.default_rng((seed, d, 51)))
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=2 * d))).reshape(-1, 2, d)
        batches = [points[list(rows)] for rows in itertools.product(range(3), repeat=2)]
        models = _networks(density, seed)
        for name, model in models.items():
            losses, gradients = zip(*(_single(ops, model, x[None]) for x in points), strict=True)
            g = np.mean(gradients, axis=0)
            right = flat(model.parameters) - OPTIMISER.rate * g
            size = 1 + np.abs(right).max() + np.abs(gradients).max() + np.abs(losses).max()
            for kind, objective, drawn in (
                ("ISM", Implicit(), [(x,) for x in batches]),
                ("SSM", Sliced(), [(x, v) for x in batches for v in signs]),
            ):
                through, start = _Through(ops, objective), OPTIMISER.start(model.parameters)
                steps = [ops.train_step(model, through, OPTIMISER, start, *arrays) for arrays in drawn]
                left = np.mean([flat(moved.parameters) for _, moved, _ in steps], axis=0)
                yield Comparison(f"{kind}, one step, {name}, d = {d}", left, right, NETWORK * size, size)
                mean_loss = np.mean([loss for loss, _, _ in steps])
                yield Comparison(f"{kind}, loss, {name}, d = {d}", mean_loss, np.mean(losses), NETWORK * size, size)
        yield _all_sequences(ops, models["linear"], points, batches, d)


class _Through:
    """An objective of `refscore.training`, by the operations."""

    def __init__(self, ops, objective):
        self.function = ops.ism if isinstance(objective, Implicit) else ops.ssm

    def loss(self, model, *drawn):
        return self.function(model, *drawn, grad=True)


def _single(ops, model, x) -> tuple[float, np.ndarray]:
    """1/2 ||s||^2 + tr Ds at one point, and its gradient from the network's own derivatives, d tangents for the trace."""
    s = ops.forward(model, x)
    trace, ones = ops.jacobian(model, x)[0].trace(), np.ones(1)
    gradient = flat(ops.parameter_gradient(model, x, s)) + flat(model.divergence_gradient_by_jvp(x, ones))
    return 0.5 * float((s * s).sum() + 2 * trace), gradient


def _all_sequences(ops, model, points, batches, d) -> Comparison:
    """E theta_3 of ISM over all sequences of minibatches: theta moves linearly, and by data that it has not seen."""
    objective, start = _Through(ops, Implicit()), OPTIMISER.start(model.parameters)
    ends = [model]
    for _ in range(3):
        ends = [ops.train_step(m, objective, OPTIMISER, start, x)[1] for m in ends for x in batches]
    left = np.mean([np.vstack(m.parameters) for m in ends], axis=0)
    M = _moments(points.mean(axis=0), np.cov(points.T, bias=True).reshape(d, d))
    theta, best = np.vstack(model.parameters), -np.linalg.solve(M, np.eye(d + 1)[:, :d])
    right = best + _descent(M, OPTIMISER, theta - best, 3)
    size = 1 + np.abs(theta).max() + np.abs(best).max()
    lost = 8 * EPS * np.linalg.cond(M)
    return Comparison(f"ISM, three steps, all sequences, d = {d}", left, right, (SUMS + lost) * size, size)


@identity(
    id="D5.loop",
    systems=("D5",),
    title="Training: every step from its own random stream, resumed with the same bits; how close it comes, exactly",
    statement=r"\theta_k = F(\theta_{k-1}; \mathrm{stream}(\mathrm{seed}, k)),\quad"
    r" J(s_\theta) - \min_s J = \tfrac12 E_{q_\sigma}\|s_\theta - \nabla\log q_\sigma\|^2",
    source="[a, sec. 4, Training Algorithm], [e, minibatches of ISM, DSM, SSM and NCSN]",
    method="the loop vs its steps one by one, vs two runs joined by a checkpoint, to the bit; numbers drawn twice are counted",
    catches=("train_stops_one_step_early", "train_counts_streams_from_zero", "train_resumes_without_moments",
             "train_resumes_with_the_first_streams", "minibatch_same_stream_at_every_step", "minibatch_one_noise_for_all_rows",
             "minibatch_ignores_the_seed", "train_returns_a_fresh_state", "train_returns_the_losses_since_it_resumed",
             "train_writes_no_checkpoint", "train_sees_the_first_row_alone"),
)
def loop(ops, seed):
    """All objectives on random networks, one trained further; a table of exact excess losses of a short run."""
    density, optimiser = mixture(2), Adam(0.01)
    timed, plain = random_network(2, seed, takes_time=True), random_network(2, seed)
    points = density.sample(9, np.random.default_rng((seed, 52)))
    cases: dict[str, Any] = {
        "ISM": (plain, Implicit()), "SSM": (plain, Sliced("gaussian", directions=2)), "DSM": (plain, Denoising(SIGMA)),
        "NCSN": (timed, NoiseConditional((1.0, 0.5, 0.25))), "DSM along OU": (timed, DenoisingProcess(OU(0.7, 1.2), 2.0, 0.1)),
        "noise prediction": (timed, NoisePrediction(DDPM([0.1, 0.4, 0.05, 0.3]))),
        "DSM, trained before": (trained_network(density, seed), Denoising(SIGMA, "sigma2")),
    }
    for name, (model, objective) in cases.items():
        keywords, data = dict(batch=12, seed=seed), points if name == "SSM" else density
        whole = ops.train(model, data, objective, optimiser, steps=5, **keywords)
        now, state, losses, drawn = model, optimiser.start(model.parameters), [], []
        for k in range(1, 6):
            drawn.append(ops.minibatch(data, objective, 12, seed, k))
            loss, now, state = ops.train_step(now, objective, optimiser, state, *drawn[-1])
            losses.append(loss)
        stepped = _all_of(Trained(now, np.array(losses), state))
        yield Comparison(f"step by step, {name}", _all_of(whole), stepped, 0.0)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "run.npz")
            for steps in (2, 5):
                resumed = ops.train(model, data, objective, optimiser, steps=steps, checkpoint=path, **keywords)
                yield Comparison(f"{steps} steps saved, {name}", os.path.exists(path), True, 0.0)
        yield Comparison(f"resumed after 2 of 5 steps, {name}", _all_of(resumed), stepped, 0.0)
        drawn += [ops.minibatch(data, objective, 12, seed + 1, k) for k in (1, 2)]
        fresh = [a for arrays in drawn for a in (arrays[1:] if data is points else arrays)]  # rows of points come again
        real = [a.ravel() for a in fresh if (a % 1).any()]  # neither levels nor signs
        numbers = np.concatenate(real)
        yield Comparison(f"numbers that are drawn differ, {name}", len(np.unique(numbers)), len(numbers), 0.0)
    yield _how_close(ops, seed)


def _all_of(run) -> np.ndarray:
    """Every number that a run leaves."""
    moments = [array for moment in run.state.moments for array in moment]
    return np.concatenate([flat(run.model.parameters), flat(moments), run.losses, [run.state.step]])


def _how_close(ops, seed) -> Table:
    """DSM in one dimension: exact excess loss over the irreducible one after more and more steps."""
    density, rows, rate = mixture(1), [], Adam(0.01)
    noisy = density.corrupted(1.0, SIGMA)
    x, w = noisy.nodes(0.2)
    score = ops.score(noisy, x)
    fisher = w @ (score**2).sum(axis=1)
    for steps in (25, 100, 400):
        run = ops.train(random_network(1, seed), density, Denoising(SIGMA), rate, steps=steps, batch=128, seed=seed)
        excess = ops.esm(run.model, x, score, sample_weight=w)
        rows.append((steps, run.losses[-25:].mean(), (1 / SIGMA**2 - fisher) / 2, excess, excess / (fisher / 2)))
    return Table(
        "DSM of a mixture in one dimension, Adam",
        ("steps", "loss of 25 minibatches", "irreducible loss", "exact excess", "share of what was to be learnt"), rows,
    )
