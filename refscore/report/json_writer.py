"""A report as strict JSON.

    {"schema", "version", "seed", "counts", "identities": [{"id", "systems", "title", "outcome", "error", "bound",
     "method", "seconds", ...}]}

``error`` and ``bound`` are relative to the scale of what was compared. JSON has no NaN and no Infinity: a number that
is not finite is null, and ``message`` says what happened. Further keys (message, cases, statement, source, tables,
notes, holds) may be joined by more; readers ignore those they do not know.
"""

from __future__ import annotations

import json
import math
import numbers
from dataclasses import asdict
from typing import Any

from refscore.report.outcome import Outcome, Report, Table

SCHEMA = "refscore.verify/1"


def dumps(report: Report) -> str:
    """The report as JSON text."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """The report as what JSON knows: dicts, lists, strings, numbers, booleans, None."""
    return {
        "schema": SCHEMA,
        "version": report.version,
        "seed": report.seed,
        "holds": report.holds,
        "counts": report.counts,
        "notes": list(report.notes),
        "identities": [_outcome(o) for o in report.outcomes],
    }


def _outcome(o: Outcome) -> dict[str, Any]:
    return {
        "id": o.id,
        "systems": list(o.systems),
        "title": o.title,
        "outcome": o.outcome,
        "error": _value(o.error),
        "bound": _value(o.bound),
        "method": o.method,
        "seconds": round(o.seconds, 6),
        "message": o.message,
        "cases": o.cases,
        "statement": o.statement,
        "source": o.source,
        "tables": [_table(t) for t in o.tables],
    }


def _table(t: Table) -> dict[str, Any]:
    table = {"title": t.title, "columns": list(t.columns), "rows": [[_value(v) for v in row] for row in t.rows]}
    return {**table, "picture": asdict(t.picture)} if t.picture else table


def _value(value: Any) -> Any:
    """A table entry or number as JSON has it: NumPy scalars become Python's, non-finite numbers null."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
