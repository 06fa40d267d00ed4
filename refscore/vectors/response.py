"""A response: answers to vectors, judged as an adapter is that gives them when it is called.

    {"schema": "refscore.vectors.response/1", "conventions": {"predicts": "eps"},
     "answers": [{"id": "dsm_loss/1", "value": 0.25}, {"id": "vp/sigma/2", "value": [0.1, 0.2]}]}

`Recorded` is that adapter: called with the inputs of a vector, it returns the answer to it. So `refscore.conformance.check` judges
a response as it stands, with the conventions declared or inferred and the mistakes known. What has no answer is unsupported.

Decimals say in which precision they were computed: where none has more than nine significant digits, which is what float32
needs, and no dtype is declared, the answers are float32.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from refscore.conformance import OPERATIONS, BrokenAdapter, Check, Result, check
from refscore.vectors.export import RESPONSE
from refscore.vectors.vector import PROCESSES, Vector, call, vectors

SINGLE_DIGITS = 9


class BadResponse(Exception):
    """The response cannot be judged; the message says why and what to do."""


@dataclass(frozen=True)
class Response:
    """Conventions, and the answers by the id of their vector, as arrays or lists of arrays."""

    conventions: dict[str, Any]
    answers: dict[str, Any]
    asked: dict[str, Vector]

    @property
    def partial(self) -> list[str]:
        """For every operation of which only some vectors are answered a sentence: what is not answered is not judged."""
        count: dict[str, list[int]] = {}
        for name in self.asked:
            of = count.setdefault(name.rpartition("/")[0], [0, 0])
            of[0] += name in self.answers
            of[1] += 1
        return [f"{place}: {some} of {whole} vectors are answered" for place, (some, whole) in count.items() if 0 < some < whole]


class Recorded:
    """An adapter that looks its answers up.

    Parameters
    ----------
    process, conventions : as of any adapter
    answers : (vector, value) for every answer
    """

    def __init__(self, process: Any, conventions: dict[str, Any], answers: list[tuple[Vector, Any]]):
        self.process, self.conventions = process, conventions
        self._known = {call(v.operation.name, v.rung.arguments.values()): value for v, value in answers}
        for name in {v.operation.name for v, _ in answers}:
            setattr(self, name, partial(self._answer, name))

    def model(self, spec):
        """The arrays themselves: whoever answered built the model."""
        return spec

    def _answer(self, operation: str, *arguments):
        try:
            return self._known[call(operation, arguments)]
        except KeyError:
            raise NotImplementedError("there is no answer to this vector") from None


def read(path: str | Path) -> Response:
    """The response in a file.

    Raises BadResponse when it cannot be read, is no JSON or not as in the module docstring, and for an id that is unknown or twice.
    """
    digits = [0]

    def number(text: str) -> float:
        mantissa = text.lower().partition("e")[0].strip("-").replace(".", "").strip("0")
        digits[0] = max(digits[0], len(mantissa))
        return float(text)

    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=number)
    except OSError as error:
        raise BadResponse(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BadResponse(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("answers"), list):
        raise BadResponse(f'{path} has no answers: write {{"answers": [{{"id": "dsm_loss/1", "value": 0.25}}]}}')
    if found.get("schema", RESPONSE) != RESPONSE:
        raise BadResponse(f"{path} has the schema {found['schema']!r}: a response has {RESPONSE!r}")
    declared = found.get("conventions") or {}
    if not isinstance(declared, dict):
        raise BadResponse(f"{path}: conventions is {declared!r}: write an object, such as {{\"predicts\": \"eps\"}}")
    asked = {v.id: v for v in vectors(declared.get("predicts") == "energy")}
    single = 0 < digits[0] <= SINGLE_DIGITS and not declared.get("dtype")
    answers: dict[str, Any] = {}
    for k, entry in enumerate(found["answers"]):
        name, value = _entry(entry, f"{path}, answers[{k}]", asked, single)
        if name in answers:
            raise BadResponse(f"{path}, answers[{k}]: {name} is answered twice; leave one out")
        answers[name] = value
    return Response(declared, answers, asked)


def judge(response: Response, *, seed: int = 0, on_start: Callable[[str], None] | None = None,
          on_done: Callable[[Check], None] | None = None) -> Result:
    """The verdicts on a response, by operation; where a process is involved the id begins with its name.

    ``seed``, ``on_start`` and ``on_done`` as of `refscore.conformance.check`. Raises BadResponse for conventions that are none.
    """
    pairs = [(response.asked[name], value) for name, value in response.answers.items()]
    involved = [name for name in PROCESSES if any(v.process == name for v, _ in pairs)] or [""]
    checks: list[Check] = []
    conventions: dict[str, Any] = {}
    for name in involved:
        given = [(v, value) for v, value in pairs if v.process == name or (name == involved[0] and not v.process)]
        only = tuple({v.operation.name for v, _ in given})
        try:
            result = check(Recorded(PROCESSES.get(name), response.conventions, given), seed=seed, only=only,
                           on_start=on_start, on_done=on_done)
        except BrokenAdapter as error:
            raise BadResponse(str(error)) from None
        conventions = {**result.conventions, **conventions}
        checks += [replace(c, id=f"{name}/{c.id}") if OPERATIONS[c.operation].needs else c for c in result.checks]
    missing = {c.operation for c in checks}
    checks += [Check(o.name, o.name, "unsupported", o.category, message="there are no answers")
               for o in OPERATIONS.values() if o.name not in missing]
    order = list(OPERATIONS)
    return Result("response", seed, tuple(sorted(checks, key=lambda c: order.index(c.operation))), conventions)


def _entry(entry: Any, where: str, asked: dict[str, Vector], single: bool) -> tuple[str, Any]:
    if not isinstance(entry, dict) or "id" not in entry or "value" not in entry:
        raise BadResponse(f'{where} is no answer: write {{"id": "dsm_loss/1", "value": 0.25}}')
    name, value = entry["id"], entry["value"]
    if not isinstance(name, str) or name not in asked:
        near = difflib.get_close_matches(str(name), asked, n=1)
        hint = f"did you mean {near[0]}?" if near else "take ids from the files of refscore vectors export"
        raise BadResponse(f"{where}: there is no vector {name!r}: {hint}")
    several = asked[name].several
    try:
        parts = [np.asarray(part, dtype=np.float64) for part in (value if several and isinstance(value, list) else [value])]
    except (TypeError, ValueError, OverflowError) as error:
        raise BadResponse(f"{where}: the value of {name} is no array of numbers: {error}") from None
    if single and all((np.abs(p) < np.finfo(np.float32).max).all() for p in parts if np.isfinite(p).all()):
        parts = [p.astype(np.float32) for p in parts]
    return name, parts if several else parts[0]
