"""Is an operation wrong by itself, or because a part of it is?

The candidate's own alpha, sigma, drift, diffusion, corrupt are put in the reference's place: where the candidate's answer is then
right, it is right as far as its parts are, and there is nothing to mend but these.
"""

from __future__ import annotations

from collections.abc import Set
from functools import partial
from typing import Any

import numpy as np

from refscore.conformance.diagnosis import agreement
from refscore.conformance.judge import Climb, evaluate
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.reference import Reference

PARTS = ("alpha", "sigma", "drift", "diffusion", "corrupt")


class Borrowed:
    """The process, with some of its functions the candidate's."""

    def __init__(self, process: Any, adapter: Any, parts: tuple[str, ...]):
        self._process, self._adapter, self._parts = process, adapter, parts

    def __getattr__(self, name: str):
        return getattr(self._adapter if name in self._parts else self._process, name)

    def _of_time(self, name: str, t):
        if name not in self._parts:
            return getattr(self._process, name)(t)
        value = np.asarray(getattr(self._adapter, name)(np.atleast_1d(t)), dtype=np.float64)
        return value if np.ndim(t) else value[0]

    def alpha(self, t):
        return self._of_time("alpha", t)

    def sigma(self, t):
        return self._of_time("sigma", t)

    def diffusion(self, t):
        return self._of_time("diffusion", t)

    def drift(self, x, t):
        if "drift" not in self._parts:
            return self._process.drift(x, t)
        return np.asarray(self._adapter.drift(x, np.broadcast_to(t, len(x)).copy()), dtype=np.float64)


def explained(climb: Climb, setting: dict[str, Any], eps: float, wrong: Set[str]) -> tuple[str, ...]:
    """The wrong operations that explain this one's answers: one of them alone, or all together."""
    parts = tuple(name for name in OPERATIONS[climb.operation.name].after if name in wrong and name in PARTS)
    for some in [*[(name,) for name in parts], parts]:
        if some and agreement(climb, partial(_with, climb, some), setting, eps, 0.0) is not None:
            return some
    return ()


def _with(climb: Climb, parts: tuple[str, ...], reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
    adapter = climb.candidate.adapter
    borrowed = Reference(Borrowed(reference.process, adapter, parts), reference.conventions)
    if "corrupt" in parts:
        borrowed.corrupt = adapter.corrupt  # type: ignore[method-assign]
    right = Reference(reference.process, reference.conventions)
    borrowed.model = right.model  # type: ignore[method-assign]  # models are what they are, whatever the candidate's process is
    return evaluate(climb.operation.name, borrowed, arguments)
