"""The training loop: one for every objective, optimiser and source of data.

    for k = 1, 2, ..., steps:
        x_1, ..., x_n ~ data, and what the objective draws              from a stream of step k alone
        (J, g) = the mean loss over the minibatch and its gradient
        theta, state = optimiser.update(theta, g, state)

The random numbers of step k come from a stream spawned from (seed, k), in the order: rows of the data, then the
objective's draws. Nothing is carried from one step to the next but theta and the run's `State`, so a run has the same bits
however many threads there are (the gradient is summed in row blocks, `refscore._blocks`), however often it is stopped
and taken up again, and any one step can be repeated by itself (`minibatch`).

Rows of an array are drawn with replacement, x_i ~ p_data independently, as the sources' algorithms say and as the unbiasedness
of the gradient needs; the epochs of common practice are neither. Noise is drawn in float64 for float32 models too: both
precisions then see the same numbers.

How good the result is can be computed, for a density whose score is known: the exact loss minus the irreducible one is the
Fisher divergence between the model and the law that it was trained on (systems B2, B9, B11), see the example in
`refscore.training`. On an array the loss that falls is that of its rows: ISM and SSM can fall below what the law behind the data
allows, and DSM at small noise towards the score of the points themselves (`refscore.densities.PointSet`), which is their ideal
denoiser and no law's. Points that are kept back show it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refscore import _files, _validate
from refscore._described import described
from refscore._progress import progress
from refscore.training import checkpoint as checkpoints
from refscore.training.optimisers import Optimiser, State

RUNNING = 100
"""Steps over which the loss behind the progress bar is averaged."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run leaves: the model, the minibatch loss of every step before its update (steps,), the optimiser's state."""

    model: Any
    losses: np.ndarray = field(repr=False)
    state: State = field(repr=False)


def minibatch(data: Any, objective: Any, batch: int, seed: int, k: int) -> tuple[np.ndarray, ...]:
    """(x0, *drawn) of step ``k`` = 1, 2, ... of a run with this seed: arguments for ``objective.loss(model, ...)``.

    ``data``: (n, d) array, of which rows are drawn with replacement, or a density, of which fresh points are.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
    x0 = data.sample(batch, rng) if _is_law(data) else data[rng.integers(len(data), size=batch)]
    return (x0, *objective.draw(*x0.shape, rng))


def train(
    model: Any,
    data: Any,
    objective: Any,
    optimiser: Optimiser,
    *,
    steps: int,
    batch: int,
    seed: int,
    checkpoint: str | os.PathLike | None = None,
    every: int = 1000,
    label: str = "training",
) -> Trained:
    """Minimise an objective by ``steps`` steps of an optimiser on minibatches of ``batch`` rows.

    Parameters
    ----------
    model : what has ``parameters`` and ``with_parameters(arrays)``, such as an MLP, an EnergyModel or an RBM; it stays as it is.
    data : (n, d) array of data points, or a density with ``sample(n, rng)``.
    objective : what is drawn and minimised
        For scores Denoising, DenoisingProcess, NoiseConditional, NoisePrediction, Sliced or Implicit; for unnormalised models, of
        `refscore.energy`, MaximumLikelihood, ContrastiveDivergence or PersistentChains; or any object with their two methods,
        ``draw(n, d, rng)``, a tuple of arrays, and ``loss(model, x0, *drawn)``, (value, [one array a parameter]).
    optimiser : SGD or Adam.
    seed : int, fixes all random numbers of the run.
    checkpoint : path, optional
        Where the run is saved every ``every`` steps and at its end. When there is such a file, the run goes on from it, and
        ends with the same bits as one that was never stopped; with more ``steps`` than before, it is continued.
    every : steps from one writing of the checkpoint to the next: what a kill can cost. It changes no number of the run.
    label : name of the progress bar, which appears on a terminal's standard error after two seconds.

    Returns
    -------
    Trained : ``model`` (a new one), ``losses`` of all steps since the first, ``state``.

    Raises
    ------
    ValueError
        A step whose loss, gradient or parameters are not finite, named; the last checkpoint is still there. A checkpoint
        that is damaged, of a run with another configuration, or already beyond ``steps``. Bad arguments.
    OSError
        A checkpoint that cannot be written; asked before the first step.

    Source: [a, sec. 4, "Training Algorithm"], [e, "sample a minibatch", of ISM, DSM, SSM and NCSN].
    """
    steps, batch, every = (_validate.count(v, name) for v, name in ((steps, "steps"), (batch, "batch"), (every, "every")))
    seed, data = _validate.count(seed, "seed", least=0), _points(data)
    _check_parts(model, objective, optimiser)
    parts = {"model": model, "data": data, "objective": objective, "optimiser": optimiser, "batch": batch, "seed": seed}
    configuration = {} if checkpoint is None else dict(item for part in parts.items() for item in described(*part))
    fresh = model.parameters, start(model, data, objective, optimiser, seed), np.zeros(0)
    parameters, state, before = _resumed(checkpoint, configuration, steps) or fresh
    model, losses = model.with_parameters(parameters), np.concatenate([before, np.zeros(steps - len(before))])
    with progress(steps, label, state.step) as shown:
        for k in range(state.step + 1, steps + 1):
            try:
                drawn = minibatch(data, objective, batch, seed, k)
                losses[k - 1], model, state = train_step(model, objective, optimiser, state, *drawn, overwrite=True)
            except ValueError as error:
                so_far = _so_far(losses[: k - 1], checkpoint)
                raise ValueError(f"training stopped at step {k} of {steps}: {error}{so_far}") from error
            except KeyboardInterrupt:
                done = f"{checkpoint} holds a step of it: run it again to go on" if _exists(checkpoint) else "nothing was saved"
                raise KeyboardInterrupt(f"training interrupted at step {k} of {steps}; {done}") from None
            if checkpoint is not None and (k % every == 0 or k == steps):
                checkpoints.save(checkpoint, configuration, (model.parameters, state, losses[:k]))
            shown(k, lambda k=k: f"loss {losses[max(0, k - RUNNING) : k].mean():.4g}")
    return Trained(model, losses, state)


def start(model: Any, data: Any, objective: Any, optimiser: Optimiser, seed: int) -> State:
    """The state before the first step of a run with this seed, as `train` has it.

    An objective with memory has a method ``start(d, rng)``, which gives the arrays that it starts with; its ``loss`` takes them
    after what was drawn, and returns them, changed, after the gradient.
    """
    state = optimiser.start(model.parameters)
    if not hasattr(objective, "start"):
        return state
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    return replace(state, memory=tuple(objective.start(data.dim if _is_law(data) else data.shape[1], rng)))


def train_step(
    model: Any, objective: Any, optimiser: Optimiser, state: State, *drawn: np.ndarray, overwrite: bool = False
) -> tuple[float, Any, State]:
    """One step: the loss on what was drawn (`minibatch`), the model after the update, its state.

    A pure function, unless ``overwrite`` gives up the arrays of ``state``. Raises ValueError when the loss, its gradient or
    the new parameters are not finite.
    """
    value, gradient, *memory = objective.loss(model, *drawn, *state.memory)
    if not np.isfinite(value):
        raise ValueError(f"the loss is {value}")
    parameters, state = optimiser.update(model.parameters, gradient, state, overwrite=overwrite)
    return value, model.with_parameters(parameters), replace(state, memory=tuple(memory)) if memory else state


def _exists(checkpoint: str | os.PathLike | None) -> bool:
    return checkpoint is not None and os.path.exists(checkpoint)


def _so_far(losses: np.ndarray, checkpoint: str | os.PathLike | None) -> str:
    """What a run that is stopped can say of its steps so far."""
    if not len(losses):
        return ""
    last = ", ".join(f"{loss:.4g}" for loss in losses[-3:])
    kept = f"; {checkpoint} holds the last step saved" if _exists(checkpoint) else ""
    return f". Losses of the steps before: {last} (when they grow, pass a smaller rate){kept}"


def _is_law(data: Any) -> bool:
    """What draws fresh points; a pandas.DataFrame has a ``sample`` too, and is an array."""
    return callable(getattr(data, "sample", None)) and not hasattr(data, "__array__")


def _points(data: Any) -> Any:
    """A density, or a finite (n, d) array with rows in it."""
    if _is_law(data):
        return data
    data = _validate.batch(data, name="data", dtype=None)
    if not len(data):
        raise ValueError("data has no rows: pass at least one data point")
    return data


def _check_parts(model: Any, objective: Any, optimiser: Any) -> None:
    for owner, names, message in (
        (model, ("with_parameters",), "model is {}, without parameters to train: pass what has parameters and "
         "with_parameters, such as an MLP or an EnergyModel"),
        (objective, ("draw", "loss"), "objective is {}, without draw and loss: pass one such as Denoising(sigma)"),
        (optimiser, ("start", "update"), "optimiser is {}, without start and update: pass SGD(rate) or Adam(rate)"),
    ):
        if isinstance(owner, type) or not all(callable(getattr(owner, name, None)) for name in names):
            raise TypeError(message.format(_validate.briefly(owner)))


def _resumed(path: str | os.PathLike | None, configuration: dict[str, str], steps: int) -> checkpoints.Saved | None:
    """What the checkpoint holds, when there is one; refused when it does not fit, or could not be replaced."""
    if path is None:
        return None
    if why := _files.refusal(path):
        raise OSError(f"checkpoint {why}")
    found = checkpoints.load(path, configuration)
    if found is not None and (made := found[1].step) > steps:
        raise ValueError(f"checkpoint {path} holds step {made}, steps is {steps}: pass steps={made} or more, or name another file")
    return found
