"""The verdict on one operation that can be computed: the candidate's answer beside the reference's, rung by rung.

    1  the candidate answers every rung
    2  the conventions left open are inferred (`refscore.conformance.conventions`)
    3  each answer is compared with the reference's, within the tolerance of the candidate's precision
    4  what is wrong is compared with every known mistake (`refscore.conformance.diagnosis`)

The precision is the declared dtype; or that of the arrays; or single, where every number returned is one (a Python float
that came from a float32 still is).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refscore.conformance import conventions
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.ladders.setting import Rung, Setting
from refscore.conformance.operations import Operation
from refscore.conformance.reference import Reference
from refscore.conformance.tolerance import own_error, tolerance

DOUBLE = float(np.finfo(np.float64).eps)
SINGLE = float(np.finfo(np.float32).eps)
RESIDUE = 2.0**14
"""What is left, over eps, where terms cancel may be so large and still be rounding: it is then the tolerance that decides."""
COARSEST = 2.0**-15
"""The coarsest precision that tolerances know of: with that of float16 they would hide what is wrong."""


@dataclass
class Known:
    """What does not depend on the candidate's answers, by rung and setting.

    Climbs of one operation may share it when process and declared conventions are the same.
    """

    wanted: dict[tuple, list[np.ndarray]] = field(default_factory=dict)
    unit: dict[tuple, list[np.ndarray]] = field(default_factory=dict)
    own: dict[tuple, list[np.ndarray]] = field(default_factory=dict)
    wrong: dict[tuple, list[np.ndarray] | None] = field(default_factory=dict)


@dataclass
class Climb:
    """What the candidate answers on every rung of one operation, and what the reference does under given conventions."""

    operation: Operation
    candidate: Candidate
    rungs: list[Rung]
    answers: list[Answer] = field(default_factory=list)
    known: Known = field(default_factory=Known, repr=False)
    left_out: tuple[str, ...] = ()

    def wanted(self, i: int, setting: dict[str, Any]) -> list[np.ndarray]:
        """The reference's values on rung i."""
        key = (self.rungs[i].name, *setting.items())
        if key not in self.known.wanted:
            plain = self.plain(setting)
            self.known.wanted[key] = (
                self.right(self.reference(setting), self.rungs[i].arguments) if plain == setting
                else self.scaled(i, self.wanted(i, plain), setting))
        return self.known.wanted[key]

    def plain(self, setting: dict[str, Any]) -> dict[str, Any]:
        """The setting with losses as rows, with 1/2 and summed over dimensions: all other scales follow from it."""
        if "half" not in setting:
            return setting
        return {**setting, "half": True, "over_dims": "sum", "over_batch": "mean" if self.gradient else "none"}

    def scaled(self, i: int, plain: list[np.ndarray], setting: dict[str, Any]) -> list[np.ndarray]:
        """Values under `plain`, as this setting wants them."""
        if "half" not in setting:
            return plain
        arguments = self.rungs[i].arguments
        n, d = next(a for a in arguments.values() if isinstance(a, np.ndarray)).shape
        reference = self.reference(setting)
        if not self.gradient:
            return [np.asarray(reference.averaged(v, d)) for v in plain]
        factor = float(np.mean(reference.averaged(np.ones(n), d)))  # of the mean and of rows 1, of the sum n
        return [v * factor for v in plain]

    def allowed(self, i: int, setting: dict[str, Any]) -> list[np.ndarray]:
        """The tolerance on rung i, in units of the candidate's eps."""
        key = (self.rungs[i].name, *setting.items())
        if key not in self.known.unit:
            rung = self.rungs[i]
            self.known.unit[key] = tolerance(self.reference(setting), self.right, rung.arguments,
                                        self.wanted(i, setting), rung.strict)
        return self.known.unit[key]

    def tolerance(self, i: int, setting: dict[str, Any], eps: float) -> list[np.ndarray]:
        """How far the candidate's numbers may be off on rung i: its rounding, and the reference's rounding and own errors."""
        allowed = self.allowed(i, setting)
        if self.operation.needs != "sde":
            return [(eps + DOUBLE) * a for a in allowed]
        key, name = (self.rungs[i].name, *setting.items()), self.operation.name
        if key not in self.known.own:
            self.known.own[key] = own_error(self.reference(setting), lambda r, a: evaluate(name, r, a), self.rungs[i].arguments,
                                            self.wanted(i, setting))
        return [(eps + DOUBLE) * a + own for a, own in zip(allowed, self.known.own[key], strict=True)]

    def reference(self, setting: dict[str, Any]) -> Reference:
        """The reference under these conventions; what they leave open is as declared."""
        declared = {k: v for k, v in self.candidate.conventions.items() if k == "predicts"}
        return Reference(self.candidate.process, {**declared, **setting})

    def right(self, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
        """What the reference returns."""
        return evaluate(self.operation.name, reference, arguments)

    def ask(self, arguments: dict[str, Any], wanted: list[np.ndarray]) -> Answer:
        """The candidate's answer."""
        return self.candidate.call(self.operation.name, arguments, wanted)

    def climb(self) -> None:
        """Ask the candidate on every rung."""
        shapes = next(conventions.possible(self.operation.name, self.operation.keys, self.candidate.conventions, self.gradient))
        for i, rung in self.in_order():
            wanted = self.wanted(i, shapes)
            answer = self.ask(rung.arguments, wanted)
            if answer.kind == "shape" and "over_batch" in self.operation.keys and not self.gradient:  # rows for a number, or so
                other = "mean" if shapes["over_batch"] == "none" else "none"
                again = self.ask(rung.arguments, self.wanted(i, {**shapes, "over_batch": other}))
                answer = again if again.kind != "shape" and "over_batch" not in self.candidate.conventions else answer
            self.answers.append(answer)
            if answer.kind == "slow":
                break
        first = self.answers[0]
        if first.values is not None and len(self.answers) > 1:
            again = self.ask(self.rungs[0].arguments, first.values)
            if again.values is None or any(ratio(a, b, COARSEST * np.abs(b)) > 1 for a, b in zip(again.values, first.values,
                                                                                              strict=True)):
                text = "asked again with the same arguments it answers otherwise: it keeps a state, or draws without a seed"
                self.answers[0] = Answer(None, text, "state")
        out = {i for i, a in enumerate(self.answers) if a.kind == "unsupported"}
        if self.open and not self.candidate.follows:
            out |= self.misled()
        self.left_out = tuple(self.rungs[i].name for i in sorted(out))
        judged = [i for i in range(len(self.answers)) if i not in out]
        if judged:  # a rung that is not supported is not judged
            self.rungs, self.answers = [self.rungs[i] for i in judged], [self.answers[i] for i in judged]

    @property
    def open(self) -> bool:
        """Whether it is open what a mixture has to return."""
        return "predicts" in self.operation.keys and "predicts" not in self.candidate.conventions

    def in_order(self) -> Iterator[tuple[int, Rung]]:
        """The rungs as they are asked for. What a mixture has to return, where it is open, is what those before it tell."""
        for i, rung in enumerate(self.rungs):
            if is_mixture(rung) and self.open:
                self.candidate.assumed = (self.infer(self.eps, self.candidate.conventions) or {}).get("predicts", "score")
            yield i, rung

    def misled(self) -> set[int]:
        """The mixtures that are right for what nobody told them not to be, the score, where all else is right of other models."""
        setting, eps = self.infer(self.eps, self.candidate.conventions), self.eps
        if setting is None or setting["predicts"] == "score":
            return set()
        wrong = {i for i in range(len(self.answers)) if not self.excess(i, setting, eps) <= 1}
        return wrong if all(is_mixture(self.rungs[i]) and self._of_score(i, setting, eps) for i in wrong) else set()

    def _of_score(self, i: int, setting: dict[str, Any], eps: float) -> bool:
        """Whether the answer on rung i is right of a model whose output is the score, taken for what the setting says."""
        def right(reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
            model, *given = arguments.values()
            return as_list(getattr(reference, self.operation.name)(Reference(self.candidate.process).model(model), *given))

        reference, arguments, values = self.reference(setting), self.rungs[i].arguments, self.values(i, setting) or []
        wanted = right(reference, arguments)
        allowed = tolerance(reference, right, arguments, wanted)
        off = [ratio(v, w, (eps + DOUBLE) * a) for v, w, a in zip(values, wanted, allowed)]
        return bool(off) and max(off) <= 1

    @property
    def gradient(self) -> bool:
        """Whether the operation is the gradient of a loss."""
        return self.operation.category == "gradient"

    @property
    def eps(self) -> float:
        """The unit roundoff of the candidate's arithmetic, as declared or as its numbers show."""
        if self.candidate.declared_eps is not None:
            return min(self.candidate.declared_eps, COARSEST)
        arrays = [v for a in self.answers if a.values is not None for v in a.values]
        floats = [v for v in arrays if v.dtype.kind == "f"]
        if floats and all(v.dtype.itemsize < 8 for v in floats):
            return min(max(float(np.finfo(v.dtype).eps) for v in floats), COARSEST)
        with np.errstate(over="ignore"):
            single = bool(floats) and all(np.array_equal(v.astype(np.float32).astype(np.float64), v) for v in floats)
        if single:
            first = next(conventions.possible(self.operation.name, self.operation.keys, self.candidate.conventions, self.gradient))
            sure = [w for i in range(len(self.answers)) for w in self.wanted(i, first)]
            single = not all(np.array_equal(w.astype(np.float32).astype(np.float64), w) for w in sure)
        return SINGLE if single else DOUBLE

    def excess(self, i: int, setting: dict[str, Any], eps: float) -> float:
        """Largest difference over tolerance on rung i: at most 1 where the candidate is right, inf where it gave no values."""
        values, wanted = self.values(i, setting), self.wanted(i, setting)
        if values is None:
            return np.inf
        if self.rungs[i].strict:
            return max(ratio(v, w, eps * a) for v, w, a in zip(values, wanted, self.allowed(i, setting), strict=True))
        far = 0.01 if eps <= DOUBLE else 0.5  # of the largest value
        near = [far * np.abs(w).max(initial=0) + RESIDUE * eps for w in wanted]
        if eps <= SINGLE and any(ratio(v, w, a) > 1 for v, w, a in zip(values, wanted, near, strict=True)):
            return np.inf  # far off, whatever the tolerance: no need to find it
        return max(ratio(v, w, a) for v, w, a in zip(values, wanted, self.tolerance(i, setting, eps), strict=True))

    def values(self, i: int, setting: dict[str, Any]) -> list[np.ndarray] | None:
        """The candidate's values on rung i in the shapes that these conventions want; None where they have others."""
        values, wanted = self.answers[i].values, self.wanted(i, setting)
        if values is None:
            return None
        values = [v.reshape(w.shape) if v.size == w.size == 1 else v for v, w in zip(values, wanted, strict=True)]
        return values if [v.shape for v in values] == [w.shape for w in wanted] else None

    def worst(self, i: int, setting: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        """Which array, and which number of it, exceeds its tolerance most on rung i; the first where there are no values."""
        values, wanted = self.values(i, setting), self.wanted(i, setting)
        if values is None:
            return 0, (0,) * wanted[0].ndim
        excess = [np.abs(v - w) / np.maximum(a, 1e-300) for v, w, a in zip(values, wanted, self.allowed(i, setting), strict=True)]
        part = int(np.argmax([e.max(initial=0) for e in excess]))
        return part, tuple(int(k) for k in np.unravel_index(int(np.argmax(excess[part])), excess[part].shape))

    def infer(self, eps: float, declared: dict[str, Any]) -> dict[str, Any] | None:
        """The conventions that the answers follow, of those that agree with ``declared``; None where no rung is right."""
        settings = list(conventions.possible(self.operation.name, self.operation.keys, declared, self.gradient))
        fit = [s for s in settings if all(a.values is None or self.values(i, s) for i, a in enumerate(self.answers))]
        settings = fit or settings  # of rows for one number no rung of one row tells
        for i in reversed(range(len(self.answers))):
            right = [s for s in settings if self.excess(i, s, eps) <= 1]
            if right:  # some rungs do not tell conventions apart: the one that is right on most of them
                return max(right, key=lambda s: sum(self.excess(j, s, eps) <= 1 for j in range(len(self.answers))))
        return None

    def unsure(self) -> dict[str, Any]:
        """What a wrong answer is compared under: the first conventions that give arrays of its shapes, of DDPM's loss with eps."""
        settings = list(conventions.possible(self.operation.name, self.operation.keys, self.candidate.conventions, self.gradient))
        if self.operation.name.startswith("ddpm_loss"):
            settings.sort(key=lambda s: s["predicts"] not in ("eps", self.candidate.conventions.get("predicts")))
        for i, answer in enumerate(self.answers):
            shape = () if answer.values is None else answer.values[0].shape
            if np.prod(shape) > 1 and shape != self.wanted(i, settings[0])[0].shape:
                return next((s for s in settings if self.wanted(i, s)[0].shape == shape), settings[0])
        return settings[0]


def is_mixture(rung: Rung) -> bool:
    """Whether the model is a mixture, whose output follows what is declared."""
    model = rung.arguments.get("model")
    return model is not None and model.kind == "mixture"


def evaluate(name: str, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
    """What the reference returns, as a list of arrays; a spec handed as ``model`` is built first."""
    given = [reference.model(v) if key == "model" else v for key, v in arguments.items()]
    return as_list(getattr(reference, name)(*given))


def as_list(value: Any) -> list[np.ndarray]:
    """One array, or several, as a list."""
    return [np.asarray(v) for v in (value if isinstance(value, (list, tuple)) else [value])]


def ratio(values: np.ndarray, wanted: np.ndarray, allowed: np.ndarray) -> float:
    """Largest |values - wanted|/allowed; 0/0 is 0."""
    difference = np.abs(values.astype(np.float64) - wanted)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return float(np.where(difference == 0, 0.0, difference / allowed).max(initial=0.0))


def rungs_of(operation: Operation, candidate: Candidate, scores: bool = False) -> list[Rung]:
    """The operation's ladder for this candidate's process and kind of model.

    A mixture of its own returns what is declared: where energies are inferred, and none are declared, none are asked for.
    """
    energies = candidate.conventions.get("predicts") == "energy"
    rungs = operation.ladder(Setting(candidate.process, energies, operation.category == "gradient", scores))
    unsure = candidate.assumed == "energy" and not candidate.follows
    return [r for r in rungs if not (unsure and is_mixture(r))] or rungs
