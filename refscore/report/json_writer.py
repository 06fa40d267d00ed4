"""A report as strict JSON.

of verify:  {"schema", "version", "seed", "counts", "identities": [{"id", "systems", "title", "outcome", "error", "bound",
             "method", "seconds", ...}]}
of check:   {"schema", "version", "seed", "false_alarm_budget", "counts", "checks": [{"id", "operation", "outcome", "category",
             "error", "tolerance", "diagnosis": [{"mistake", "digits"}], "first_failing_rung", "message", "reproducer", ...}]}

``error``, ``bound`` and ``tolerance`` are relative to the scale of what was compared. JSON has no NaN and no Infinity: a number
that is not finite is null, and ``message`` says what happened. Further keys (message, cases, statement, source, tables,
notes, holds, conventions, rungs) may be joined by more; readers ignore those they do not know.
"""

from __future__ import annotations

import json
import math
import numbers
from dataclasses import asdict
from typing import Any

from refscore.report.outcome import Finding, Outcome, Report, Table

SCHEMA = {"verify": "refscore.verify/1", "check": "refscore.check/1"}


def dumps(report: Report) -> str:
    """The report as JSON text."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """The report as what JSON knows: dicts, lists, strings, numbers, booleans, None."""
    outcomes = [_identity(o) if o.finding is None else _check(o, o.finding) for o in report.outcomes]
    return {
        "schema": SCHEMA[report.command],
        "version": report.version,
        "seed": report.seed,
        "holds": report.holds,
        "counts": report.counts,
        "notes": list(report.notes),
        **_value(report.about),
        "identities" if report.command == "verify" else "checks": outcomes,
    }


def _identity(o: Outcome) -> dict[str, Any]:
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


def _check(o: Outcome, found: Finding) -> dict[str, Any]:
    return {
        "id": o.id,
        "operation": found.operation,
        "outcome": o.outcome,
        "category": found.category,
        "error": _value(o.error),
        "tolerance": _value(o.bound),
        "diagnosis": [asdict(e) for e in found.diagnosis],
        "first_failing_rung": found.first_failing_rung or None,
        "message": o.message,
        "reproducer": found.script or None,
        "formula": o.statement,
        "source": o.source,
        "conventions": _value(found.settings),
        "inferred": list(found.inferred),
        "precision": found.precision,
        "rungs": o.cases,
        "failing_rungs": list(found.failing),
        "blocked_by": list(found.causes),
        "seconds": round(o.seconds, 6),
    }


def _table(t: Table) -> dict[str, Any]:
    table = {"title": t.title, "columns": list(t.columns), "rows": [[_value(v) for v in row] for row in t.rows]}
    return {**table, "picture": asdict(t.picture)} if t.picture else table


def _value(value: Any) -> Any:
    """Anything as JSON has it: NumPy scalars become Python's, numbers that are not finite null, what it does not know text."""
    if isinstance(value, dict):
        return {str(key): _value(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_value(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
