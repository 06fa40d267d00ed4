"""Are the vectors right? Every one is computed again, number by number, by code that shares nothing with the reference.

`refscore.vectors._plain` has the contract in plain Python: with 50 digits where mpmath is installed, so that what disagrees is the
vector, else in floats. A wanted value agrees when it is within its own float64 tolerance of that.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refscore.vectors import _plain
from refscore.vectors.export import SCHEMA, BadVectors

DIGITS = 50


@dataclass(frozen=True)
class Disagreement:
    """A number of a vector that the other route does not confirm."""

    id: str
    message: str


def exact() -> bool:
    """Whether mpmath is there."""
    return importlib.util.find_spec("mpmath") is not None


def lint(files: Iterable[dict[str, Any]], on_done: Callable[[str], None] | None = None) -> Iterator[Disagreement]:
    """What disagrees, in records of `read` or of `refscore.vectors.records`; ``on_done`` is called with the id of each vector."""
    for record in files:
        for vector in record["vectors"]:
            yield from _disagreements(record, vector)
            if on_done is not None:
                on_done(vector["id"])


def read(directory: str | Path) -> list[dict[str, Any]]:
    """The records in a directory that `refscore vectors export` has written.

    Raises BadVectors when there are none, or one cannot be read.
    """
    paths = sorted(Path(directory).rglob("*.json")) if Path(directory).is_dir() else []
    if not paths:
        raise BadVectors(f"there are no vectors in {directory}: write them with refscore vectors export {directory}")
    found = []
    for path in paths:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadVectors(f"{path} cannot be read: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise BadVectors(f"{path} is no JSON: {error}") from None
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise BadVectors(f"{path} is no file of vectors: its schema must be {SCHEMA!r}")
        if not isinstance(record.get("vectors"), list):
            raise BadVectors(f"{path} has no list of vectors")
        found.append(record)
    return found


def _disagreements(record: dict[str, Any], vector: dict[str, Any]) -> Iterator[Disagreement]:
    try:
        with _digits():
            other = _plain.answer(record["operation"], _numbers(record["process"]), _numbers(vector["inputs"]))
        pairs = list(_flat(vector["wanted"], other, vector["tolerance"]["float64"], ()))
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        yield Disagreement(str(vector.get("id")), f"cannot be computed from what the file says: {type(error).__name__}: {error}")
        return
    wrong = [(at, want, got, allowed) for at, want, got, allowed in pairs if not abs(want - got) <= allowed]
    if wrong:
        at, want, got, allowed = max(wrong, key=lambda w: abs(w[1] - w[2]) / max(w[3], 5e-324))
        where = f" at index {list(at)}" if at else ""
        apart = f"{float(abs(want - got)):.2g} apart, the tolerance is {allowed:.2g}"
        yield Disagreement(vector["id"], f"says {want!r}{where}, and the other route {float(got)!r}: {apart}"
                                         + (f"; so do {len(wrong) - 1} more numbers" if len(wrong) > 1 else ""))


def _digits():
    if not exact():
        return nullcontext()
    return importlib.import_module("mpmath").workdps(DIGITS)


def _numbers(value: Any) -> Any:
    """Floats as numbers with 50 digits; they are what the file says, bit for bit."""
    if isinstance(value, dict):
        return {name: _numbers(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return importlib.import_module("mpmath").mpf(value) if isinstance(value, float) and exact() else value


def _flat(want: Any, got: Any, allowed: Any, at: tuple[int, ...]) -> Iterator[tuple]:
    """(place, wanted, found, allowed), number by number; ValueError where shapes differ or a number is none."""
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want) or len(allowed) != len(want):
            raise ValueError(f"the shape at {list(at)} is another one")
        for k, parts in enumerate(zip(want, got, allowed, strict=True)):
            yield from _flat(*parts, (*at, k))
        return
    if not (math.isfinite(want) and math.isfinite(allowed) and allowed >= 0):
        raise ValueError(f"wanted {want!r} within {allowed!r} at {list(at)} is no number with a tolerance")
    yield at, want, got, allowed
