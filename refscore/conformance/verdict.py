"""What is said about one operation: the outcome, the rung on which it shows, got and wanted, and what the answer equals."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refscore.conformance.causes import explained
from refscore.conformance.diagnosis import Equals, diagnose
from refscore.conformance.expectations import line
from refscore.conformance.judge import DOUBLE, SINGLE, Climb, is_mixture
from refscore.conformance.reproducer import script

PRECISIONS = ("float16", "float32", "float64")
"""From coarse to fine; what is coarser still is judged like float16."""


@dataclass(frozen=True)
class Check:
    """The verdict on one operation. ``error`` and ``tolerance`` are relative to the size of the values, on the worst rung."""

    id: str
    operation: str
    outcome: str
    category: str
    error: float | None = None
    tolerance: float | None = None
    diagnosis: tuple[Equals, ...] = ()
    first_failing_rung: str = ""
    message: str = ""
    reproducer: str = ""
    conventions: dict[str, Any] = field(default_factory=dict)
    inferred: tuple[str, ...] = ()
    rungs: int = 0
    failing: tuple[str, ...] = ()
    precision: str = ""
    expectation: str = ""
    causes: tuple[str, ...] = ()
    seconds: float = 0.0


def verdict(climb: Climb, wrong: Set[str] = frozenset()) -> Check:
    """The verdict on one operation whose every answer can be computed; ``wrong`` are the operations known to be."""
    climb.climb()
    operation, candidate = climb.operation, climb.candidate
    if climb.answers[0].kind == "unsupported":
        return Check(operation.name, operation.name, "unsupported", operation.category, message=climb.answers[0].problem)
    eps, declared = climb.eps, candidate.conventions
    setting = climb.infer(eps, declared)
    sure = setting is not None
    if setting is None:
        setting = climb.infer(max(eps, SINGLE), declared)
        if setting is None or any(climb.excess(i, setting, max(eps, SINGLE)) > 1 for i in range(len(climb.answers))):
            setting = climb.unsure()  # else it is right on every rung, in single precision
    excess = [climb.excess(i, setting, eps) for i in range(len(climb.answers))]
    failing = tuple(r.name for r, e in zip(climb.rungs, excess) if not e <= 1)
    worst = int(np.argmax([e if climb.answers[i].values is not None else -1 for i, e in enumerate(excess)]))
    error, allowed = _relative(climb, worst, setting, eps)
    base = Check(
        operation.name, operation.name, "pass", operation.category, error, allowed, conventions=dict(setting),
        inferred=tuple(k for k in operation.keys if k not in declared) if sure else (), rungs=len(climb.answers), failing=failing,
        precision=_precision(eps),
    )
    if not failing and len(climb.left_out) > len(climb.rungs):
        text = f"right as far as it goes, but it is not implemented on most rungs: {', '.join(climb.left_out)}"
        return replace(base, outcome="inconclusive", message=text)
    if not failing:
        theorem = line(climb, setting, eps) if setting.get("weight") != "prediction" else None
        if theorem is None:
            return base
        if theorem.holds:
            return replace(base, expectation=str(theorem))
        slope, constant = theorem.wanted
        text = f"right on every rung, but {theorem}, and wanted is {slope:.6g} ESM with {constant:+.6g}"
        return replace(base, outcome="fail", first_failing_rung="expectation", message=text, expectation=str(theorem))
    first = next(i for i, e in enumerate(excess) if not e <= 1)
    base = replace(base, first_failing_rung=climb.rungs[first].name, reproducer=script(climb, first, setting))
    problem = next((a for a in climb.answers if a.problem), None)
    at = climb.rungs[climb.answers.index(problem)].name if problem else ""
    if problem is not None and (climb.answers[first].problem or climb.values(first, setting) is None):
        kind = "fail" if problem.kind in ("shape", "not finite") else "error"
        known = problem.kind in ("shape", "not finite") or any(
            e > 1 and climb.values(i, setting) is not None for i, e in enumerate(excess))
        equal = tuple(diagnose(climb, setting, eps)) if known else ()  # by what it does answer, where that is wrong
        text = f"; equals {equal[0].mistake}: {equal[0].text}" if equal else ""
        return replace(base, outcome=kind, diagnosis=equal, message=f"on rung '{at}': {problem.problem}{text}")
    if climb.values(first, setting) is None:
        shapes = [tuple(v.shape) for v in climb.answers[first].values or []]
        wanted = climb.wanted(first, setting)[0].shape
        text = f"on rung '{climb.rungs[first].name}': it returns shape {shapes[0]}, wanted is {wanted}"
        return replace(base, outcome="fail", message=text)
    equal = tuple(diagnose(climb, setting, eps))
    message = _message(climb, first, setting, equal, _contradiction(climb, eps))
    if problem is not None:
        return replace(base, outcome="fail", message=f"{message}; on rung '{at}' {problem.problem}", diagnosis=equal)
    theorem = line(climb, setting, eps)
    if theorem is not None:
        base, message = replace(base, expectation=str(theorem)), f"{message}; {theorem}"
    causes = explained(climb, setting, eps, wrong)
    return replace(base, outcome="fail", message=message, diagnosis=equal, causes=causes)


def _precision(eps: float) -> str:
    """The precision whose unit roundoff this is, or else the next that is coarser."""
    return PRECISIONS[2 if eps <= DOUBLE else 1 if eps <= SINGLE else 0]


def _contradiction(climb: Climb, eps: float) -> str:
    """Under which other values of declared keys the answers are right, if under any."""
    declared = climb.candidate.conventions
    if not any(k in declared for k in climb.operation.keys):
        return ""
    free = {k: v for k, v in declared.items() if k not in climb.operation.keys}
    other = climb.infer(eps, free)
    if other is None:
        return ""
    own = "predicts" in declared and other.get("predicts") != declared["predicts"]  # a mixture returns what is declared
    if any(climb.excess(i, other, eps) > 1 for i, rung in enumerate(climb.rungs) if not (own and is_mixture(rung))):
        return ""
    keys = [k for k in climb.operation.keys if k in declared and other[k] != declared[k]]
    told = ", ".join(f"{k}={other[k]!r}" for k in keys)
    return f"it follows {told}, and conventions declares {', '.join(f'{k}={declared[k]!r}' for k in keys)}" if keys else ""


def _relative(climb: Climb, i: int, setting: dict[str, Any], eps: float) -> tuple[float | None, float | None]:
    """(error, tolerance) on rung i, relative to the largest value there."""
    values, wanted = climb.values(i, setting), climb.wanted(i, setting)
    if values is None:
        return None, None
    size = max(float(np.abs(w).max(initial=0)) for w in wanted) or 1.0
    error = max(float(np.abs(v - w).max(initial=0)) for v, w in zip(values, wanted, strict=True)) / size
    return error, max(float(a.max(initial=0)) for a in climb.tolerance(i, setting, eps)) / size


def _message(climb: Climb, i: int, setting: dict[str, Any], equal: tuple[Equals, ...], contradicts: str) -> str:
    """Got, wanted, where, and what it equals."""
    part, at = climb.worst(i, setting)
    value, wanted = (float(arrays[part][at]) for arrays in (climb.values(i, setting) or [], climb.wanted(i, setting)))
    where = f" at index {list(at)}" if at else ""
    which = f" of {_part(climb, i, part)}" if len(climb.wanted(i, setting)) > 1 else ""
    apart = f"difference {value - wanted:.2g}"
    text = f"on rung '{climb.rungs[i].name}': got {value:.10g}, wanted {wanted:.10g}, {apart}{where}{which}"
    if contradicts:
        text += f"; {contradicts}"
    elif equal:
        text += f"; equals {equal[0].mistake} to {equal[0].digits} digits: {equal[0].text}"
    elif not climb.candidate.conventions.keys() >= set(climb.operation.keys):
        told = ", ".join(f"{k}={v!r}" for k, v in setting.items())
        text += f"; compared under {told}: wrong under every convention that is open, and no known mistake"
    return text


def _part(climb: Climb, i: int, part: int) -> str:
    """The name of one of several arrays."""
    if climb.gradient:
        return f"the gradient in {list(climb.rungs[i].arguments['model'].arrays)[part]}"
    return "the " + ("mean", "variance")[part] if climb.operation.name == "posterior" else f"array {part}"
