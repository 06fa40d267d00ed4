r"""A loss that draws for itself as a black box J(model; seed), of which the models are ours to choose.

The gradient g of a loss that is quadratic in the arrays that are moved gives its differences: J(theta) - J(0) = theta'g(theta/2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refscore.conformance import conventions
from refscore.conformance.candidate import Answer
from refscore.conformance.chance import SAME, far_from
from refscore.conformance.judge import SINGLE, Climb
from refscore.conformance.reference import Reference
from refscore.conformance.seeded import seeded
from refscore.conformance.tolerance import K

ROWS = 50_000
"""Of large batches: enough for 5 % of the noise's standard deviation to be found."""


@dataclass
class Drawn(Climb):
    """A climb on which the candidate gets a seed, and the reference what the candidate drew."""

    seed: int = 0

    def ask(self, arguments: dict[str, Any], wanted: list[np.ndarray]) -> Answer:
        """The candidate's answer with the seed in place of what the reference is given."""
        return self.candidate.call(self.operation.name, seeded(arguments, self.seed), wanted)

    def right(self, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
        """What the reference returns; with several directions a row their mean."""
        several = arguments.get("v")
        if several is None or several.ndim == 2:
            return super().right(reference, arguments)
        parts = [super(Drawn, self).right(reference, {**arguments, "v": v}) for v in several]
        return [np.mean(values, axis=0) for values in zip(*parts, strict=True)]


class Unreadable(Exception):
    """Nothing can be read off; with the answer that is in the way, if there is one."""

    def __init__(self, text: str, kind: str = "fail"):
        super().__init__(text)
        self.kind = kind


@dataclass
class Box:
    """The loss as a number; of a gradient, the difference that it says there is."""

    climb: Drawn

    def value(self, probe: Any, arguments: dict[str, Any]) -> float:
        """J of the model ``probe(1.0)``, rows added up; of a gradient J(probe(1)) - J(probe(0)), quadratic in between."""
        climb = self.climb
        if not climb.gradient:
            answer = climb.ask({**arguments, "model": probe(1.0)}, [np.zeros(())])
            return float(np.sum(self.numbers(answer)[0], dtype=np.float64))
        start, end = probe(0.0), probe(1.0)
        answer = climb.ask({**arguments, "model": probe(0.5)}, list(end.arrays.values()))
        return sum(float(np.sum(g * (end.arrays[k] - start.arrays[k]), dtype=np.float64))
                   for k, g in zip(end.arrays, self.numbers(answer), strict=True))

    @staticmethod
    def numbers(answer: Answer) -> list[np.ndarray]:
        """What came back, be it rows for a number."""
        values = answer.misshapen if answer.values is None else answer.values
        if values is None:
            kind = {"not finite": "fail", "shape": "fail", "unsupported": "unsupported"}.get(answer.kind, "error")
            raise Unreadable(answer.problem, kind)
        return values

    @property
    def rows(self) -> bool:
        """Whether the candidate returns one number a row."""
        longest = max(self.climb.rungs, key=lambda r: len(points_of(r.arguments)[1]))
        n = len(points_of(longest.arguments)[1])
        return not self.climb.gradient and self.numbers(self.climb.ask(longest.arguments, [np.zeros(n)]))[0].shape == (n,)

    def repeats(self) -> None:
        """Raise Unreadable where the same seed gives another loss, or two seeds give the same."""
        climb, arguments = self.climb, self.climb.rungs[-1].arguments
        wanted = climb.wanted(len(climb.rungs) - 1, next(conventions.possible(climb.operation.name, climb.operation.keys,
                                                                              climb.candidate.conventions, climb.gradient)))
        first, again, other = (np.concatenate([np.ravel(v) for v in self.numbers(replace(climb, seed=s).ask(arguments, wanted))])
                               for s in (climb.seed, climb.seed, far_from(climb.seed)))
        if np.abs(first - again).max() > K * SINGLE * np.abs(first).max():
            text = "the seed is ignored: the same seed gives another result, and nothing can be computed; draw from the seed"
            raise Unreadable(text, "inconclusive")
        if np.array_equal(first, other):
            raise Unreadable(SAME)


def points_of(arguments: dict[str, Any]) -> tuple[str, np.ndarray]:
    """The first array of a call, the points, and its name."""
    return next((k, v) for k, v in arguments.items() if isinstance(v, np.ndarray))
