"""What a run found, as the record that `refscore.report` writes."""

from __future__ import annotations

from collections.abc import Iterable

from refscore.conformance.operations import OPERATIONS
from refscore.conformance.run import FALSE_ALARM_BUDGET, Check, Result
from refscore.report import Equal, Finding, Outcome, Report


def report(result: Result, declared: Iterable[str] = (), notes: tuple[str, ...] = (), missing: str = "") -> Report:
    """The report on ``result``; ``declared`` are the keys of the adapter's ``conventions``, ``missing`` is what is not covered."""
    found = result.conventions
    kinds = {"declared": [k for k in found if k in declared], "inferred": [k for k in found if k not in declared]}
    lines = [f"conventions {kind}: {', '.join(f'{k} = {found[k]}' for k in keys)}" for kind, keys in kinds.items() if keys]
    by_dtype: dict[str, list[str]] = {}
    for c in result.checks:
        if c.precision not in ("", "float64"):
            by_dtype.setdefault(c.precision, []).append(c.id)
    if "dtype" not in declared:
        lines += [f"precision inferred: {name} in {', '.join(ids)}" for name, ids in by_dtype.items()]
    about = {"target": result.target, "false_alarm_budget": FALSE_ALARM_BUDGET, "conventions": found, "inferred": kinds["inferred"],
             "missing": missing}
    return Report("check", result.version, result.seed, tuple(map(outcome, result.checks)), (*lines, *notes), about, missing)


def outcome(c: Check) -> Outcome:
    """One check as an outcome with a finding."""
    operation = OPERATIONS.get(c.operation)
    formula, source = (operation.formula, operation.source) if operation else ("", "")
    title = f"gradient of {c.operation.removesuffix('_grad')}" if c.category == "gradient" else formula
    equal = tuple(Equal(e.mistake, e.digits, e.text) for e in c.diagnosis)
    finding = Finding(c.operation, c.category, c.conventions, c.inferred, c.precision, c.failing, c.first_failing_rung, equal,
                      c.causes, c.reproducer)
    method = f"{c.rungs} calls compared in {c.precision}" if c.precision else ""
    method += f"; {c.expectation}" if c.expectation else ""
    return Outcome(c.id, (), title, c.outcome, c.error, c.tolerance, method, c.seconds, c.message, c.rungs,
                   statement=formula, source=source, finding=finding)
