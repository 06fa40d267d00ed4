"""What a wrong answer equals.

A failing operation is compared with every known mistake in it, on every rung: the candidate equals a mistake when all its
answers do, within the tolerance. How many digits agree is said; what the author did is not, for several roads lead to one number.
Besides the catalogue: a constant factor, a factor that is a power of the dimension or of the batch, single precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from refscore.conformance import conventions
from refscore.conformance.judge import DOUBLE, SINGLE, Climb, as_list, evaluate, ratio
from refscore.conformance.mistakes import CATALOGUE, Mistake
from refscore.conformance.reference import Reference
from refscore.conformance.spec import Spec

LOOSE = 1e-6
"""Relative: a mistake made by way of difference quotients, or partly in single precision, is still the same mistake."""

DIFFERENCES = 3e-6
"""Relative accuracy of gradients by differences, as a tolerance."""


@dataclass(frozen=True)
class Equals:
    """The answers equal ``mistake`` to ``digits`` digits; ``text`` is what is wrong about it."""

    mistake: str
    digits: int
    text: str
    legitimate: bool = False
    shared: str = ""


def diagnose(climb: Climb, setting: dict[str, Any], eps: float) -> list[Equals]:
    """Everything known that all answers equal, the closest first."""
    mistakes = _candidates(climb.operation.name)
    found = [e for e in (_equals(climb, m, setting, eps) for m in mistakes) if e]
    if not found:
        found = [e for e in (*_factors(climb, setting, eps), _precision(climb, setting, eps)) if e]
    if not found:
        found = [e for e in (_equals(climb, m, setting, eps, LOOSE) for m in mistakes) if e]
    return sorted(found, key=lambda e: -e.digits)


def _candidates(operation: str) -> list[Mistake]:
    names = (operation, operation.removesuffix("_grad"))
    return [m for m in CATALOGUE.values() if m.operation in names]


def _equals(climb: Climb, m: Mistake, setting: dict[str, Any], eps: float, relative: float = 0.0) -> Equals | None:
    """The mistake under the conventions found, or else under any that were left open."""
    of_loss = m.operation != climb.operation.name
    settings = [setting]
    if climb.operation.keys:
        open_ = conventions.possible(climb.operation.name, climb.operation.keys, climb.candidate.conventions, climb.gradient)
        settings += [s for s in open_ if s != setting]
    for i, s in enumerate(settings):
        digits = _agreement(climb, lambda r, a: mistaken(m, r, a, gradient=of_loss), s, eps, DIFFERENCES if of_loss else relative)
        if digits is not None:
            under = "" if i == 0 else " under " + ", ".join(f"{k}={v!r}" for k, v in s.items() if v != setting.get(k))
            return Equals(m.name, digits, f"{m.wrong}, where {m.right} belongs{under}", m.legitimate, m.shared)
    return None


def mistaken(m: Mistake, reference: Reference, arguments: dict[str, Any], gradient: bool = False) -> list[np.ndarray]:
    """What the mistake returns; or the gradient of a wrong loss in the arrays of its model, by differences."""
    def value(changed: dict[str, Any]) -> Any:
        given = [reference.model(v) if key == "model" else v for key, v in changed.items()]
        return m.function(reference, *given)

    if not gradient:
        return as_list(value(arguments))
    spec = arguments["model"]
    result = []
    for name, array in spec.arrays.items():
        slopes = np.empty_like(array)
        for at in np.ndindex(array.shape):
            h = 1e-5 * (1 + abs(array[at]))
            ends = []
            for sign in (1, -1):
                moved = array.copy()
                moved[at] += sign * h
                ends.append(np.mean(value({**arguments, "model": _replaced(spec, name, moved)})))  # of rows their mean
            slopes[at] = (ends[0] - ends[1]) / (2 * h)
        result.append(slopes)
    return result


def _replaced(spec: Spec, name: str, array: np.ndarray) -> Spec:
    return Spec(spec.kind, {**spec.arrays, name: array}, spec.activation, spec.takes_time)


def _agreement(climb: Climb, of: Callable, setting: dict[str, Any], eps: float, relative: float) -> int | None:
    """Digits to which all answers equal ``of(reference, arguments)``; None where one does not. General rungs come first."""
    worst = 0.0
    seen = False
    for i in reversed(range(len(climb.answers))):
        if climb.answers[i].values is None:
            continue
        values = climb.values(i, setting)
        if values is None:
            return None
        try:
            with np.errstate(all="ignore"):
                wrong = of(climb.reference(setting), climb.rungs[i].arguments)
        except Exception:  # a mistake need not be defined everywhere
            return None
        if [v.shape for v in values] != [w.shape for w in wrong] or not all(np.isfinite(w).all() for w in wrong):
            return None
        size = max(float(np.abs(w).max(initial=0)) for w in wrong)
        for value, w, unit in zip(values, wrong, climb.allowed(i, setting), strict=True):
            scale = np.abs(climb.wanted(i, setting)[0]).max(initial=0) if w.ndim == 0 else 0.0
            larger = max(1.0, size / scale) if scale > 0 else 1.0
            if ratio(value, w, 4 * larger * (eps + DOUBLE) * unit + relative * max(size, 1e-300)) > 1:
                return None
            worst = max(worst, float(np.abs(value - w).max(initial=0)) / size if size else 0.0)
        seen = True
    return None if not seen else 15 if worst == 0 else int(np.clip(-np.log10(worst), 0, 15))


def _factors(climb: Climb, setting: dict[str, Any], eps: float):
    """The right values times -1, 2, 1/2, a power of d or n; or times any one number."""
    kinds: dict[str, Callable[[dict[str, Any]], float]] = {
        "the opposite sign": lambda a: -1.0,
        "twice": lambda a: 2.0,
        "half": lambda a: 0.5,
        "d times": _d,
        "1/d times": lambda a: 1 / _d(a),
        "n times": _n,
        "1/n times": lambda a: 1 / _n(a),
    }
    for text, factor in kinds.items():
        digits = _agreement(climb, partial(_times, climb, factor), setting, eps, 0.0)
        if digits is not None:
            yield Equals(text.replace(" ", "_"), digits, f"{text} the right value on every rung")
            return
    constant = _constant(climb, setting)
    if constant is not None:
        digits = _agreement(climb, partial(_times, climb, lambda a: constant), setting, eps, 1e-12)
        if digits is not None:
            yield Equals("constant_factor", digits, f"{constant:.10g} times the right value on every rung")


def _times(climb: Climb, factor: Callable, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
    return [factor(arguments) * w for w in evaluate(climb.operation.name, reference, arguments)]


def _constant(climb: Climb, setting: dict[str, Any]) -> float | None:
    for i in reversed(range(len(climb.answers))):
        values = climb.values(i, setting)
        if values is not None:
            v, w = (np.concatenate([np.ravel(part) for part in parts]) for parts in (values, climb.wanted(i, setting)))
            return float(v @ w / (w @ w)) if v.shape == w.shape and w.any() else None
    return None


def _rows(arguments: dict[str, Any]) -> np.ndarray:
    return next(a for a in arguments.values() if isinstance(a, np.ndarray))


def _d(arguments: dict[str, Any]) -> float:
    rows = _rows(arguments)
    return float(rows.shape[1]) if rows.ndim > 1 else 1.0


def _n(arguments: dict[str, Any]) -> float:
    return float(len(_rows(arguments)))


def _precision(climb: Climb, setting: dict[str, Any], eps: float) -> Equals | None:
    if eps >= SINGLE or any(climb.excess(i, setting, SINGLE) > 1 for i in range(len(climb.answers))):
        return None
    digits = _agreement(climb, partial(_times, climb, lambda a: 1.0), setting, SINGLE, 0.0)
    return None if digits is None else Equals(
        "single_precision", digits, "right to the digits of single precision: something on the way is float32; "
        "compute in float64, or declare dtype 'float32'")
