"""What a wrong answer equals.

A failing operation is compared with every known mistake in it, on every rung: the candidate equals a mistake when all its
answers do, within the tolerance. How many digits agree is said; what the author did is not, for several roads lead to one number.
Besides the catalogue: a constant factor, a factor that is a power of the dimension or of the batch, a constant added, and errors
that are small (`refscore.conformance.nearly`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from refscore.conformance import conventions
from refscore.conformance.judge import SINGLE, Climb, as_list, evaluate, ratio
from refscore.conformance.ladders.setting import Rung
from refscore.conformance.mistakes import CATALOGUE, Mistake
from refscore.conformance.nearly import lost_digits, unknown
from refscore.conformance.reference import Reference
from refscore.conformance.spec import Spec

LOOSE = 1e-6
"""Relative: a mistake made by way of difference quotients, or partly in single precision, is still the same mistake."""

NEAR = 1e-3
"""Relative distance beyond which nothing is compared any closer, whatever the precision."""

SEEN = 1e-7
"""Relative difference from the right values, beyond which a mistake exists."""

DIFFERENCES = 3e-6
"""Relative accuracy of gradients by differences, as a tolerance."""


_NEARLY = 4
"""Digits by which one equality may be worse than another and still be called one."""


@dataclass(frozen=True)
class Equals:
    """The answers equal ``mistake`` to ``digits`` digits; ``text`` is what is wrong about it, ``under`` other conventions."""

    mistake: str
    digits: int
    text: str
    legitimate: bool = False
    shared: str = ""
    under: str = ""


def diagnose(climb: Climb, setting: dict[str, Any], eps: float) -> list[Equals]:
    """Everything known that all answers equal: mistakes before conventions of others, those under the same first."""
    near = [(m, settings) for m in _candidates(climb.operation.name) if (settings := list(_plausible(climb, m, setting, eps)))]
    found = [e for e in (_equals(climb, m, settings, setting, eps) for m, settings in near) if e]
    if not found:
        found = [*_factors(climb, setting, eps), *[Equals(*said) for said in lost_digits(climb, setting, eps)]]
    if not found:
        found = [e for e in (_equals(climb, m, settings, setting, eps, LOOSE) for m, settings in near) if e]
    if not found:
        found = [Equals(*said) for said in unknown(climb, setting)]
    best = max((e.digits for e in found), default=0)
    found = [e for e in found if e.digits >= best - _NEARLY]  # where tolerances are wide, something else is near
    return sorted(found, key=lambda e: (e.legitimate, e.under != "", -e.digits))


def _candidates(operation: str) -> list[Mistake]:
    names = (operation, operation.removesuffix("_grad"))
    return [m for m in CATALOGUE.values() if m.operation in names]


def _of_loss(climb: Climb, m: Mistake) -> bool:
    """Whether it is the mistake's gradient that the answers are compared with."""
    return m.operation != climb.operation.name


def _equals(climb: Climb, m: Mistake, settings: list[dict[str, Any]], found: dict[str, Any], eps: float, relative: float = 0.0):
    """The mistake under the first setting under which all answers equal it, and more so than what is right, there or as found."""
    for s in settings:
        of, loose = partial(mistaken, m, gradient=_of_loss(climb, m)), DIFFERENCES if _of_loss(climb, m) else relative
        digits = agreement(climb, of, s, eps, loose)
        if digits is not None and digits > max(_digits_right(climb, r, eps, loose) for r in (s, found)):
            other = ", ".join(f"{k}={v!r}" for k, v in s.items() if v != found.get(k))
            under = f" under {other}" if other else ""
            return Equals(m.name, digits, f"{m.wrong}, where {m.right} belongs{under}", m.legitimate, m.shared, other)
    return None


def _digits_right(climb: Climb, setting: dict[str, Any], eps: float, relative: float) -> int:
    """Digits to which all answers are right, -1 where one is not: the gradient of a loss without a constant is no mistake."""
    digits = agreement(climb, partial(_times, climb, lambda a: 1.0), setting, eps, relative) if relative else None
    return -1 if digits is None else digits


def _plausible(climb: Climb, m: Mistake, setting: dict[str, Any], eps: float) -> Iterator[dict[str, Any]]:
    """The conventions under which the mistake is near the answer on the most general rung, those found first.

    Those that differ by scale are one evaluation; of a gradient it is the slope along one direction that is compared.
    """
    settings, of_loss, near = [setting], _of_loss(climb, m), NEAR if eps <= SINGLE else np.inf
    if climb.operation.keys:
        open_ = conventions.possible(climb.operation.name, climb.operation.keys, climb.candidate.conventions, climb.gradient)
        settings += [s for s in open_ if s != setting]
    i = next((i for i in reversed(range(len(climb.answers))) if _given(climb, i, settings[0]) is not None), None)
    if i is None:
        return
    for s in settings:
        values = _given(climb, i, s)
        if values is not None and all(_near(climb, m, i, s, values, near, way) for way in (range(3) if of_loss else [None])):
            yield s


def _near(climb: Climb, m: Mistake, i: int, setting: dict[str, Any], values: list[np.ndarray], near: float, way: int | None):
    """Whether the mistake is within ``near`` of these values, relative to their length; or their slopes along ``way`` are."""
    of_values = climb.gradient and way is None  # what is done to a gradient, such as clipping it, may depend on its scale
    wrong = None if of_values else _attempt(climb, m, i, climb.plain(setting), way)
    wrong = _attempt(climb, m, i, setting, way) if wrong is None else climb.scaled(i, wrong, setting)
    if wrong is None:
        return False
    length = np.sqrt(sum((v.astype(float) ** 2).sum() for v in values))
    values = values if way is None else [_along(values, way)]
    return [v.shape for v in values] == [w.shape for w in wrong] and all(
        np.abs(v - w).max(initial=0) <= near * length for v, w in zip(values, wrong, strict=True))


def _attempt(climb: Climb, m: Mistake, i: int, setting: dict[str, Any], way: int | None) -> list[np.ndarray] | None:
    """What the mistake returns, or its slope along direction ``way``; None where the mistake does not exist."""
    key = (m.name, way, climb.rungs[i].name, *setting.items())
    if key not in climb.known.wrong:
        try:
            with np.errstate(all="ignore"):
                reference = climb.reference(setting)
                if climb.gradient and way is None:  # made of the right gradient, which is known
                    setattr(reference, climb.operation.name, lambda *arguments: list(climb.wanted(i, setting)))
                climb.known.wrong[key] = _tried(m, reference, climb.rungs[i].arguments, way)
        except Exception:  # a mistake need not be defined everywhere
            climb.known.wrong[key] = None
    return climb.known.wrong[key]


def _tried(m: Mistake, reference: Reference, arguments: dict[str, Any], way: int | None) -> list[np.ndarray]:
    if way is None:
        return mistaken(m, reference, arguments)
    spec = arguments["model"]
    along = dict(zip(spec.arrays, _direction(spec.arrays.values(), way), strict=True))
    ends = [replace(spec, arrays={k: a + h * along[k] for k, a in spec.arrays.items()}) for h in (1e-5, -1e-5)]
    up, down = (np.mean(mistaken(m, reference, {**arguments, "model": end})) for end in ends)
    return [np.asarray((up - down) / 2e-5)]


def _direction(arrays: Iterable[np.ndarray], way: int) -> list[np.ndarray]:
    rng = np.random.default_rng(way)
    return [rng.standard_normal(a.shape) for a in arrays]


def _along(values: list[np.ndarray], way: int) -> np.ndarray:
    """The slope along direction ``way`` that a gradient says there is."""
    return np.asarray(sum(float((v * u).sum()) for v, u in zip(values, _direction(values, way), strict=True)))


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


def agreement(climb: Climb, of: Callable, setting: dict[str, Any], eps: float, relative: float) -> int | None:
    """Digits to which all answers equal ``of(reference, arguments)``; None where one does not. General rungs come first."""
    worst = 0.0
    seen = False
    for i in reversed(range(len(climb.answers))):
        values, lost = _given(climb, i, setting), climb.answers[i].kind == "not finite"
        if values is None and climb.answers[i].values is not None:
            return None
        if values is None and not lost:
            continue
        try:
            with np.errstate(all="ignore"):
                wrong = of(climb.reference(setting), climb.rungs[i].arguments)
        except Exception:  # a mistake need not be defined everywhere
            return None
        if lost != (not all(np.isfinite(w).all() for w in wrong)):
            return None
        if values is None:
            continue
        if [v.shape for v in values] != [w.shape for w in wrong]:
            return None
        size = max(float(np.abs(w).max(initial=0)) for w in wrong)
        for value, w, allowed in zip(values, wrong, _allowed(climb, i, setting, wrong, eps), strict=True):
            scale = np.abs(climb.wanted(i, setting)[0]).max(initial=0) if w.ndim == 0 else 0.0
            larger = max(1.0, size / scale) if scale > 0 else 1.0
            if ratio(value, w, 4 * larger * allowed + relative * max(size, 1e-300)) > 1:
                return None
            worst = max(worst, float(np.abs(value - w).max(initial=0)) / size if size else 0.0)
        seen = True
    return None if not seen else 15 if worst == 0 else int(np.clip(-np.log10(worst), 0, 15))


def _given(climb: Climb, i: int, setting: dict[str, Any]) -> list[np.ndarray] | None:
    """The candidate's numbers on rung i, be their shapes wrong; None where it gave none."""
    answer = climb.answers[i]
    return climb.values(i, setting) if answer.values is not None else answer.misshapen


def _allowed(climb: Climb, i: int, setting: dict[str, Any], wrong: list[np.ndarray], eps: float) -> list[np.ndarray]:
    """The tolerance, for numbers of the wrong shapes the largest."""
    allowed = climb.tolerance(i, setting, eps)
    if [a.shape for a in allowed] == [w.shape for w in wrong]:
        return allowed
    return [np.full(w.shape, max(a.max(initial=0) for a in allowed)) for w in wrong]


def exists(m: Mistake, reference: Reference, rungs: list[Rung], right: dict[tuple, list[np.ndarray]] | None = None) -> bool:
    """Whether the mistake is defined on every rung, gives numbers on one and others than the right ones; ``right`` keeps those."""
    right = {} if right is None else right
    differs = answers = False
    for rung in rungs:
        key = (m.operation, rung.name)
        try:
            with np.errstate(all="ignore"):
                wrong = mistaken(m, reference, rung.arguments)
        except Exception:  # not for this process, or in this convention
            return False
        if key not in right:
            right[key] = evaluate(m.operation, reference, rung.arguments)
        answers |= all(np.isfinite(a).all() for a in wrong)
        for a, b in zip(wrong, right[key], strict=True):
            differs |= a.shape != b.shape or not np.abs(a - b).max(initial=0) <= SEEN * np.abs(b).max(initial=0)
    return differs and answers


def _factors(climb: Climb, setting: dict[str, Any], eps: float):
    """The right values times -1, 2, 1/2, a power of d or n; or times any one number; or that much more."""
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
        if all(factor(rung.arguments) == 1 for rung in climb.rungs):
            continue
        digits = agreement(climb, partial(_times, climb, factor), setting, eps, 0.0)
        if digits is not None:
            yield Equals(text.replace(" ", "_"), digits, f"{text} the right value on every rung")
            return
    constant = _constant(climb, setting)
    if constant is not None and abs(constant - 1) > 1e-9:
        digits = agreement(climb, partial(_times, climb, lambda a: constant), setting, eps, 1e-12)
        if digits is not None:
            text = f"{constant:.10g} times the right value on every rung" if constant else "0 on every rung"
            cut = "; nothing is left of what it depends on: is the graph cut?" if climb.gradient and not constant else ""
            yield Equals("constant_factor", digits, text + cut)
            return
    added = _added(climb, setting)
    if added:
        digits = agreement(climb, partial(_plus, climb, added), setting, eps, 0.0)
        if digits is not None:
            yield Equals("added_constant", digits, f"the right value {added:+.4g} on every rung")


def _times(climb: Climb, factor: Callable, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
    return [factor(arguments) * w for w in evaluate(climb.operation.name, reference, arguments)]


def _plus(climb: Climb, added: float, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
    return [w + added for w in evaluate(climb.operation.name, reference, arguments)]


def _added(climb: Climb, setting: dict[str, Any]) -> float:
    """By how much the first answer is off, in the middle of its numbers."""
    values = climb.values(0, setting)
    if values is None:
        return 0.0
    return float(np.median(np.concatenate([np.ravel(v - w) for v, w in zip(values, climb.wanted(0, setting), strict=True)])))


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
