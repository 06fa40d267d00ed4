"""What is held within bounds that small numbers never reach, and what is lost of a large batch: the same in every operation.

A model that returns more than a thousand is no rarity near t = 0, and neither is a batch of more than a hundred.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore.conformance.mistakes._registry import mistake
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.reference import Reference

BOUND = 1000.0
CHUNK = 100

LOSSES = tuple(name for name, o in OPERATIONS.items() if o.category == "loss")
STEPS = ("langevin_step", "annealed_langevin", "reverse_step", "ode_drift", "ddpm_step", "ddim_step")
BY_ROWS = (*STEPS, "drift", "corrupt", "conditional_score", "convert", "denoise", "jvp", "divergence", "hutchinson", "posterior",
           "logpdf", "score")


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
    return _by_parts(getattr(self, operation)(*arguments), lambda v: np.clip(v, -BOUND, BOUND))


@each(LOSSES, "an error longer than 1000 counted by its length", "by its square", "Huber's loss for the square")
def softened(self, operation, arguments):
    return getattr(_Softened(self.process, self.conventions), operation)(*arguments)


@each(BY_ROWS, "rows beyond the 100th at 0", "all rows", "an array filled chunk by chunk, the last chunk forgotten")
def last_chunk_lost(self, operation, arguments):
    def lost(rows):
        return np.where(np.arange(len(rows)).reshape(-1, *[1] * (rows.ndim - 1)) < CHUNK, rows, 0.0)

    return _by_parts(getattr(self, operation)(*arguments), lost)


@each(LOSSES, "of the first 100 rows", "of all rows", "a loader that drops what fills no batch")
def of_first_chunk(self, operation, arguments):
    model, *rest = arguments
    n = max(len(a) for a in rest if np.ndim(a) == 2)
    rows = [a[:CHUNK] if np.ndim(a) and len(a) == n and n > CHUNK else a for a in rest]
    return getattr(self, operation)(model, *rows)
