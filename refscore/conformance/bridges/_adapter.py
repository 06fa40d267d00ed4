"""What both bridges do with a class whose operations speak another framework's arrays.

Every operation of the contract that the class has is wrapped: NumPy arrays become the framework's on the way in, and its arrays
NumPy's on the way out; numbers, names and seeds pass as they are. One operation may call another, in the framework's arrays. A
loss gets its gradient, ``X_grad``, unless the class has one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from refscore.conformance.operations import OPERATIONS
from refscore.conformance.spec import Spec


def wrapped(cls: type, model: Callable, inwards: Callable, outwards: Callable, gradient: Callable) -> type:
    """A subclass of ``cls`` that takes and returns NumPy arrays.

    ``model(spec, process, predicts)`` builds a model, ``inwards(array)`` and ``outwards(value)`` convert, and
    ``gradient(loss, model, arguments)`` is the gradient of ``loss(model, *arguments)`` as a list of the framework's arrays.
    """
    members: dict[str, Any] = {"__doc__": cls.__doc__}

    def build(self, spec, predicts="score"):
        """``predicts`` is what is declared, or what has been inferred."""
        return model(spec, getattr(self, "process", None), predicts)

    if not callable(getattr(cls, "model", None)):
        members["model"] = build
    for name, operation in OPERATIONS.items():
        function = getattr(cls, name, None)
        if callable(function):
            members[name] = _translated(function, inwards, outwards)
            if operation.category == "loss" and getattr(cls, f"{name}_grad", None) is None:
                members[f"{name}_grad"] = _differentiated(function, inwards, outwards, gradient)
    return type(cls.__name__, (cls,), members)


def _translated(function: Callable, inwards: Callable, outwards: Callable) -> Callable:
    @wraps(function)
    def operation(self, *arguments):
        if not any(isinstance(a, np.ndarray) for a in arguments):  # called by another operation of the class
            return function(self, *arguments)
        return _called(partial(function, self), arguments, inwards, outwards)

    return operation


def _differentiated(loss: Callable, inwards: Callable, outwards: Callable, gradient: Callable) -> Callable:
    @wraps(loss)
    def operation(self, model, *arguments):
        def of(*inside):
            return gradient(lambda m, *given: loss(self, m, *given), model, list(inside))

        return _called(of, arguments, inwards, outwards)

    return operation


def _called(function: Callable, arguments: tuple, inwards: Callable, outwards: Callable) -> Any:
    """``function`` of the framework's arrays; what it changes in them in place is changed in NumPy's, where one looks for it."""
    inside = [_in(a, inwards) for a in arguments]
    result = _out(function(*inside), outwards)
    for given, there in zip(arguments, inside, strict=True):
        if isinstance(given, np.ndarray) and not np.array_equal(outwards(there), outwards(inwards(given)), equal_nan=True):
            given[...] = outwards(there)
    return result


def _in(value: Any, inwards: Callable) -> Any:
    if isinstance(value, Spec):
        return Spec(value.kind, {name: inwards(a) for name, a in value.arrays.items()}, value.activation, value.takes_time)
    return inwards(value) if isinstance(value, np.ndarray) else value


def _out(value: Any, outwards: Callable) -> Any:
    if isinstance(value, (list, tuple)):
        return [_out(part, outwards) for part in value]
    return outwards(value)
