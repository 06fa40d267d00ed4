"""What a small error is: lost digits, differences for derivatives, single precision, or nothing that is known.

Differences in a step h leave an error that is smooth and the same in every run: it is computed, and the answers must have it,
digit by digit, on every rung on which it is larger than the rounding of the difference. What float32 leaves is as large as its
unit roundoff on most rungs, linear models included, where differences are exact. Who finds neither says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from refscore.conformance.judge import SINGLE, Climb, as_list, evaluate
from refscore.conformance.reference import Reference
from refscore.conformance.tolerance import K

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
EXPLAINED = 0.1
"""Part of an error that may be left when its cause is subtracted."""
LARGEST = 0.02
"""Relative: errors beyond this are not small, and forward differences with h = 1e-3 may have."""
ROUNDINGS = 64
"""Units of rounding that a calculation in float32 leaves in its result at most, as a rule; 1/256 at least."""
ENOUGH, MINORITY = 30, 0.05
"""Of so many roundings at least this part goes up, and down."""


def lost_digits(climb: Climb, setting: dict[str, Any], eps: float) -> Iterator[tuple[str, int, str]]:
    """(name, digits, text) of what explains errors that are small on every rung."""
    errors = relative_errors(climb, setting)
    digits = _digits(errors)
    if errors and all(climb.excess(i, setting, SINGLE if climb.rungs[i].strict else eps) <= 1 for i in errors):
        yield "cancellation", digits, "digits are lost near t = 0, where 1 - exp(-x) cancels: write -expm1(-x)"
    elif not errors or max(errors.values()) > LARGEST:
        return
    elif step := _step(climb, setting, errors):
        yield "differences", digits, f"right to about {digits} digits: {step} in the place of the derivative"
    elif eps < SINGLE and _as_single(climb, setting, errors):
        other = " (or differences, with a step that small)" if _derivative(climb) and not _stored(climb) else ""
        yield ("single_precision", digits, f"right to the digits of single precision: something on the way is float32{other}, "
                                           "or a constant as small is added; compute in float64, or declare dtype 'float32'")


def unknown(climb: Climb, setting: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """The same where nothing explains them."""
    errors = relative_errors(climb, setting)
    if errors and max(errors.values()) <= 1e-5:
        size = f"off by about {max(errors.values()):.0e} relative"
        cause = "as differences for the derivative would be, or single precision in a part"
        yield "small_error", _digits(errors), f"{size}, {cause if _derivative(climb) else 'cause unknown'}"


def relative_errors(climb: Climb, setting: dict[str, Any]) -> dict[int, float]:
    """Largest error over largest value, by rung; none where there are no numbers to compare."""
    found = {}
    for i in range(len(climb.answers)):
        values, wanted = climb.values(i, setting), climb.wanted(i, setting)
        if values is None:
            return {}
        size = max(1e-300, *(float(np.abs(w).max(initial=0)) for w in wanted))
        off = max(float(np.abs(v - w).max(initial=0)) for v, w in zip(values, wanted, strict=True))
        found[i] = off / size if off else 0.0
    return found


def _digits(errors: dict[int, float]) -> int:
    return int(np.clip(-np.log10(max([*errors.values(), 1e-15])), 0, 15))


def _derivative(climb: Climb) -> bool:
    return climb.gradient or climb.operation.name in ("jvp", "divergence", "hutchinson", "ism_loss", "ssm_loss", "ssm_vr_loss")


def _stored(climb: Climb) -> bool:
    """Whether all numbers are float32, or became float64 after they were."""
    arrays = [v for a in climb.answers for v in a.values or [] if v.dtype.kind == "f"]
    with np.errstate(over="ignore"):
        return bool(arrays) and all(np.array_equal(v.astype(np.float32).astype(np.float64), v) for v in arrays)


def _as_single(climb: Climb, setting: dict[str, Any], errors: dict[int, float]) -> bool:
    """Whether errors are as large as float32 leaves them, everywhere no larger and nearly everywhere no smaller."""
    if any(climb.excess(i, setting, SINGLE) > 1 for i in errors):
        return False
    if _stored(climb):
        return True
    if _one_sided(climb, setting, errors):
        return False
    inexact = [i for i in errors if any((w != w.astype(np.float32)).any() for w in climb.wanted(i, setting))]
    large = any(climb.excess(i, setting, SINGLE * ROUNDINGS / K) > 1 for i in errors)
    return not large and sum(errors[i] >= SINGLE / 256 for i in inexact) > 0.7 * len(inexact)


def _one_sided(climb: Climb, setting: dict[str, Any], errors: dict[int, float]) -> bool:
    """Whether nearly all numbers are too large, or too small: what is rounded is as often either."""
    pairs = [pair for i in errors for pair in zip(climb.values(i, setting) or [], climb.wanted(i, setting), strict=True)]
    off = np.concatenate([np.ravel((v - w) * np.sign(w)) for v, w in pairs])
    off = off[off != 0]
    return len(off) >= ENOUGH and not MINORITY < np.mean(off > 0) < 1 - MINORITY


def _step(climb: Climb, setting: dict[str, Any], errors: dict[int, float]) -> str:
    """The differences that leave these errors, in words."""
    if not _derivative(climb):
        return ""
    shown = sorted((i for i in errors if errors[i] > 1e-10), key=lambda i: -errors[i])
    of = _gradient if climb.gradient else _along
    ways = ("v", "axes") if "v" in climb.rungs[0].arguments and not climb.gradient else ("axes",)
    for way, central, h in product(ways, (False, True), STEPS):
        if shown and all(_left(climb, setting, i, partial(of, way, central, h)) <= EXPLAINED for i in shown):
            return f"{'central' if central else 'forward'} differences of step {h:g}"
    return ""


def _left(climb: Climb, setting: dict[str, Any], i: int, of: Callable) -> float:
    """What is left of the error on rung i when that of the differences is subtracted, over it."""
    values, wanted = climb.values(i, setting) or [], climb.wanted(i, setting)
    try:
        other = of(climb.operation.name.removesuffix("_grad"), climb.reference(setting), climb.rungs[i].arguments)
    except Exception:  # an energy has no Jacobian of its own
        return np.inf
    off, left = (max(float(np.abs(v - w).max(initial=0)) for v, w in zip(values, far, strict=True)) for far in (wanted, other))
    return left / off


class _Differenced:
    """A model whose derivatives are differences, along the axes or along v."""

    def __init__(self, model: Any, quotient: Callable, v: np.ndarray | None):
        self._model, self._quotient, self._v, self.spec = model, quotient, v, model.spec

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def __call__(self, *inputs):
        return self._model(*inputs)

    def jvp(self, x, v):
        return self._quotient(lambda h: self._model(x + h * v))

    def jacobian(self, x):
        return self._matrix(self._model, x)

    def hessian(self, x):
        return self._matrix(self._model.gradient, x)

    def _matrix(self, of, x):
        if self._v is None:
            return np.stack([self._quotient(lambda h, e=e: of(x + h * e)) for e in np.eye(x.shape[1])], axis=2)
        v = self._v
        product = self._quotient(lambda h: of(x + h * v))
        return product[:, :, None] * (v / (v**2).sum(axis=1, keepdims=True))[:, None, :]  # what it makes of v is right


def _quotient(central: bool, h: float, of: Callable):
    return (of(h) - of(-h)) / (2 * h) if central else (of(h) - of(0.0)) / h


def _along(way: str, central: bool, h: float, name: str, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
    """A derivative of a model, or a loss that has one, by differences in x."""
    v = arguments["v"] if way == "v" else None
    model = _Differenced(reference.model(arguments["model"]), partial(_quotient, central, h), v)
    return as_list(getattr(reference, name)(*[model if key == "model" else a for key, a in arguments.items()]))


def _gradient(way: str, central: bool, h: float, name: str, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
    """The gradient of a loss by differences in the arrays of its model."""
    spec, result = arguments["model"], []
    for key, array in spec.arrays.items():
        slopes = np.empty_like(array)
        for at in np.ndindex(array.shape):
            def loss(step, key=key, array=array, at=at):
                moved = array.copy()
                moved[at] += step
                model = replace(spec, arrays={**spec.arrays, key: moved})
                return np.mean(evaluate(name, reference, {**arguments, "model": model})[0])

            slopes[at] = _quotient(central, h, loss)
        result.append(slopes)
    return result
