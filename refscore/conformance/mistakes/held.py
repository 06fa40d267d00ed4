"""What is held within bounds, of numbers, of rows, of times, that a short and small example never reaches; in every operation.

A score of more than a thousand is no rarity near t = 0, and neither is a batch of more than a hundred.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore.conformance.ladders.setting import Setting
from refscore.conformance.mistakes._registry import Undefined, mistake
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.reference import Reference

BOUND = 1000.0
CHUNK = 100

LOSSES = tuple(name for name, o in OPERATIONS.items() if o.category == "loss")
STEPS = ("langevin_step", "annealed_langevin", "reverse_step", "ode_drift", "ddpm_step", "ddim_step")
BY_ROWS = (*STEPS, "drift", "corrupt", "conditional_score", "convert", "denoise", "jvp", "divergence", "hutchinson", "posterior",
           "logpdf", "score")
TIMES = {"alpha": 0, "sigma": 0, "diffusion": 0, "drift": 1, "corrupt": 1, "conditional_score": 2, "convert": 2, "denoise": 2,
         "dsm_process_loss": 2, "reverse_step": 2, "ode_drift": 2}
"""Which of the arguments is the time."""


def each(operations: tuple[str, ...], wrong: str, right: str, seen: str) -> Callable[[Callable], Callable]:
    """Decorator: enter a function of (reference, name of the operation, arguments) as a mistake of each of the operations."""
    def register(function):
        for operation in operations:
            def wrongly(self, *arguments, operation=operation):
                return function(self, operation, arguments)

            mistake(operation, wrong=wrong, right=right, seen=seen, name=f"{operation}_{function.__name__}")(wrongly)
        return function

    return register


class _Clipped(Reference):
    def score_at(self, model, x, *level):
        return np.clip(super().score_at(model, x, *level), -BOUND, BOUND)


class _Softened(Reference):
    def averaged(self, rows, d):
        return super().averaged(np.where(rows > BOUND**2 / 2, BOUND * np.sqrt(2 * np.maximum(rows, 0)) - BOUND**2 / 2, rows), d)


def _by_parts(value, change):
    return tuple(change(v) for v in value) if isinstance(value, tuple) else change(value)


@each((*STEPS, *LOSSES, "denoise"), "score clipped to [-1000, 1000]", "as the model says", "clipped for stability, common")
def score_clipped(self, operation, arguments):
    return getattr(_Clipped(self.process, self.conventions), operation)(*arguments)


@each(BY_ROWS, "what it returns clipped to [-1000, 1000]", "as it is",
      "clipped for stability, common")
def value_clipped(self, operation, arguments):
    return _by_parts(getattr(Reference, operation)(self, *arguments), lambda v: np.clip(v, -BOUND, BOUND))


@each(LOSSES, "an error longer than 1000 counted by its length", "by its square", "Huber's loss for the square")
def softened(self, operation, arguments):
    return getattr(_Softened(self.process, self.conventions), operation)(*arguments)


@each(BY_ROWS, "rows beyond the 100th at 0", "all rows", "an array filled chunk by chunk, the last chunk forgotten")
def last_chunk_lost(self, operation, arguments):
    def lost(rows):
        return np.where(np.arange(len(rows)).reshape(-1, *[1] * (rows.ndim - 1)) < CHUNK, rows, 0.0)

    return _by_parts(getattr(Reference, operation)(self, *arguments), lost)


@each(LOSSES, "of the first 100 rows", "of all rows", "a loader that drops what fills no batch")
def of_first_chunk(self, operation, arguments):
    model, *rest = arguments
    n = max(len(a) for a in rest if np.ndim(a) == 2)
    rows = [a[:CHUNK] if np.ndim(a) and len(a) == n and n > CHUNK else a for a in rest]
    return getattr(Reference, operation)(self, model, *rows)


class _Floored(Reference):
    def denoising_rows(self, model, xt, t, alpha, sigma, *of):
        return super().denoising_rows(model, xt, t, alpha, np.maximum(sigma, 0.01), *of)


@each(("dsm_process_loss",), "sigma at least 0.01", "as it is", "1/sigma kept from growing near t = 0, common")
def sigma_floored(self, operation, arguments):
    return getattr(_Floored(self.process, self.conventions), operation)(*arguments)


def _at_times(self, operation, arguments, change):
    setting = Setting(self.process)
    if setting.chain:
        raise Undefined("times have no fractions")
    changed = list(arguments)
    changed[TIMES[operation]] = change(changed[TIMES[operation]], setting.end)
    return getattr(Reference, operation)(self, *changed)


@each(tuple(o for o in TIMES if o not in ("drift", "diffusion", "reverse_step")),
      "t at least 1e-3 of the whole", "any t", "t_min put into every formula, common")
def not_early(self, operation, arguments):
    return _at_times(self, operation, arguments, lambda t, end: np.maximum(t, 1e-3 * end))


@each(tuple(TIMES), "t at most 0.99 of the whole", "any t", "kept from the last time, where alpha may vanish")
def not_late(self, operation, arguments):
    return _at_times(self, operation, arguments, lambda t, end: np.minimum(t, 0.99 * end))


@mistake("reverse_step", wrong="no step shorter than 1e-3 of the whole", right="t - s", seen="a smallest step, so that none is 0")
def reverse_not_short(self, model, x, t, s, noise):
    return Reference.reverse_step(self, model, x, t, min(s, max(0.0, t - 1e-3 * Setting(self.process).end)), noise)
