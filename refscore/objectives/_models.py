"""What an objective asks of a model.

A network (`refscore.networks.MLP`, or anything with the same methods) is evaluated block by block and pulls cotangents
back to its parameters: ``checked``, ``value_pullback``, ``jvp_pullback``, ``divergence_pullback``, ``completed``, ``row_bytes``,
``prepare_trace``, ``dtype``, ``outputs``.

Any other callable ``s(x)`` or ``s(x, t)``, such as ``density.score`` or an `AnalyticScore`, is `Opaque`: it is called
once, on the whole batch and in the calling thread, and its answer is checked. It has no parameters to differentiate in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refscore import _validate


class Opaque:
    """A callable model without parameters, behind the interface that objectives use."""

    dtype = np.dtype(np.float64)

    def __init__(self, model: Callable):
        self.model = model
        self.t: Any = None

    def checked(self, x, t=None, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
        """x (n, d) and an unused time column; t is kept as it was given, for the model."""
        x = _validate.batch(x, name=name)
        if t is not None:
            _validate.times(t, len(x), signed=True)
        self.t = t
        return x, np.empty((len(x), 0))

    def value_pullback(self, x, time, grad: bool = True):
        """s, and a pullback to no parameters."""
        return self._answer(self.model, x, x.shape, "model(x)"), lambda u: []

    def jvp_pullback(self, x, time, v, grad: bool = True):
        """s, Ds v_k (k, n, d) for directions v (k, n, d), and a pullback to no parameters."""
        s = self._answer(self.model, x, x.shape, "model(x)")
        jvp = getattr(self.model, "jvp", None)
        if jvp is None:
            raise TypeError(f"model is a {_kind(self.model)}, without jvp(x, v): pass an MLP or AnalyticScore(density)")
        tangents = [self._answer(partial(jvp, x), w, x.shape, "model.jvp(x, v)") for w in v]
        return s, np.stack(tangents), lambda u, w: []

    def prepare_trace(self) -> int:
        """Nothing to prepare."""
        return 0

    def divergence_pullback(self, x, time, grad: bool = True):
        """s, tr Ds, and a pullback to no parameters."""
        s = self._answer(self.model, x, x.shape, "model(x)")
        divergence = getattr(self.model, "divergence", None)
        if divergence is None:
            raise TypeError(f"model is a {_kind(self.model)}, without divergence(x): pass an MLP or AnalyticScore(density)")
        return s, self._answer(divergence, x, x.shape[:1], "model.divergence(x)"), lambda u, c: []

    def completed(self, sums: list) -> list:
        """Nothing to complete."""
        return sums

    def _answer(self, function, x, shape, name) -> np.ndarray:
        answer = np.asarray(function(x) if self.t is None else function(x, self.t))
        if answer.shape != shape:
            raise ValueError(f"{name} has shape {answer.shape}, x has {x.shape}: return an array of shape {shape}")
        if answer.dtype.kind not in "fiu":
            raise TypeError(f"{name} has dtype {answer.dtype}: it must return real numbers")
        return _validate.finite(answer.astype(np.float64, copy=False), name)


def as_model(model, d: int, grad: bool):
    """The ``model`` itself when it works block by block, else `Opaque`.

    Raises TypeError for what is not callable, and for what has no parameter gradients when ``grad`` asks for them;
    ValueError when a network has not d outputs.
    """
    if not callable(model):
        hint = "its method .score, or AnalyticScore(density)" if hasattr(model, "score") else "an MLP or AnalyticScore(density)"
        raise TypeError(f"model is a {_kind(model)}, which cannot be called: pass a callable s(x) or s(x, t), such as {hint}")
    if not hasattr(model, "value_pullback"):
        if grad and getattr(model, "parameters", None) != []:
            raise TypeError(f"grad is True, but {_kind(model)} has no parameter gradients: pass an MLP, or grad=False")
        return Opaque(model)
    if model.outputs != d:
        raise ValueError(f"model has {model.outputs} outputs, x has {d} columns: pass a network with {d} outputs")
    return model


def matching(model, array, shape: tuple[int, ...], name: str, other: str) -> np.ndarray:
    """``array`` as finite real numbers of ``shape`` in the model's dtype; refused rather than broadcast."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}: pass an array of real numbers of shape {shape}")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, {other} has {shape}: pass one row for each row of {other}")
    return _validate.finite(np.ascontiguousarray(array, dtype=model.dtype), name)


def _kind(model) -> str:
    """The name of a function, or of an object's class."""
    return getattr(model, "__name__", type(model).__name__)
