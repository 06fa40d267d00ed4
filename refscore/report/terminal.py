"""A report on the terminal: the numbers reported without verdict, the verdicts, why some fail, one summary line.

What one looks for comes last, where a terminal stands when the run ends.

Readable at 80 columns and, without colour, in the log of a build server (there the width is that of the environment
variable COLUMNS, or 80). All text is printed as it is: brackets in a title are brackets, not markup.
"""

from __future__ import annotations

import math
import numbers
import sys
from dataclasses import replace
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from refscore.report.outcome import BAD, Outcome, Report, Table

_LONG = 24
"""Rows of a curve that are printed, every so many if there are more."""

_STYLE = {"pass": "green", "fail": "bold red", "error": "bold red", "xpass": "bold red", "blocked": "red", "convention": "yellow",
          "xfail": "yellow"}

COLUMNS = {"verify": ("statement", "bound"), "check": ("formula", "tolerance")}
"""What a command calls its statements and its bounds."""


def show(report: Report, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print the report to ``file`` (standard output)."""
    console = Console(file=file or sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    console.print(f"refscore {report.version}, {report.command}, seed {report.seed}")
    for note in report.notes:
        console.print(Text("  " + note), style="dim")
    for outcome in report.outcomes:
        for table in outcome.tables:
            every = -(-len(table.rows) // _LONG) if table.picture else 1  # curves are for the page
            some = f" (one row in {every})" if every > 1 else ""
            console.print(Text(f"{outcome.id}: {table.title}{some}", style="bold"))
            console.print(_numbers(replace(table, rows=table.rows[::every]), console.width))
    if any(o.outcome != "unsupported" for o in report.outcomes):
        console.print(_verdicts(report, console.width))
    for line in absent(report):
        console.print(Text(line + "\n"), style="dim")
    for outcome in report.outcomes:
        if outcome.message and outcome.outcome not in ("unsupported", "blocked"):
            _explain(console, outcome, [o for o in report.bad if o.finding and outcome.id in o.finding.causes[:1]])
    console.print(Text(summary(report), style="bold " + ("green" if report.holds else "red")))


def absent(report: Report) -> list[str]:
    """The outcomes that there is nothing to say of but why, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for o in report.outcomes:
        if o.outcome == "unsupported":
            reasons.setdefault(o.message, []).append(o.id)
    return [f"unsupported, {why} ({len(ids)}): {', '.join(ids)}" for why, ids in reasons.items()]


def summary(report: Report) -> str:
    """One line: how many hold, fail, only inform, how many comparisons were made and how long they took."""
    counts = report.counts
    words = {"pass": "hold", "info": "reported without verdict"} if report.command == "verify" else {}
    parts = [f"{n} {words.get(kind, kind)}" for kind, n in counts.items() if n or kind in ("pass", "fail")]
    cases = sum(o.cases for o in report.outcomes)
    line = f"{', '.join(parts)} ({cases} comparisons in {report.seconds:.1f} s)"
    if not report.bad and not counts["pass"] and not counts.get("convention"):
        line += ": nothing was compared" if report.command == "verify" else ": nothing is covered"
    return f"{line}; {report.missing}" if report.missing else line


def number(value: float | None) -> str:
    """An error or a bound in two digits; a dash when there is none."""
    if value is None or math.isnan(value):
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def cell(value: Any, digits: int = 10) -> str:
    """A table entry: text as it is, whole numbers whole, other numbers in ``digits`` digits, a dash where there is nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or isinstance(value, numbers.Integral):
        return str(value)
    return f"{float(value):.{digits}g}"


def table_text(table: Table, digits: int = 10) -> str:
    """The table as plain aligned text under its title."""
    lines = [list(table.columns), *[[cell(v, digits) for v in row] for row in table.rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    return "\n".join([table.title, *["  ".join(v.rjust(w) for v, w in zip(line, widths)) for line in lines]])


def _verdicts(report: Report, width: int) -> Grid:
    """The table; formulas, which are explained where something is wrong, are cut to what the other columns leave."""
    rows = [o for o in report.outcomes if o.outcome != "unsupported"]
    statement, bound = COLUMNS[report.command]
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), expand=False)
    grid.add_column("id", no_wrap=True)
    if report.command == "check":
        texts = [("id", "error", bound, "verdict", "time"), *[[cell.plain for cell in (*_row(o)[:1], *_row(o)[2:])] for o in rows]]
        others = sum(max(map(len, column)) for column in zip(*texts))
        grid.add_column(statement, no_wrap=True, overflow="ellipsis", max_width=max(8, width - others - 18))
    else:
        grid.add_column(statement, ratio=1)
    for name in ("error", bound):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("time", justify="right", no_wrap=True)
    for before, o in zip((None, *rows), rows):
        if before is not None and before.section != o.section:
            grid.add_section()
        grid.add_row(*_row(o))
    return grid


def _row(o: Outcome) -> list[Text]:
    plain = [o.id, o.title, number(o.error), number(o.bound)]
    return [*map(Text, plain), Text(o.outcome, style=_STYLE.get(o.outcome, "cyan")), Text(f"{o.seconds:.1f} s")]


def _explain(console: Console, o: Outcome, blocked: list[Outcome]) -> None:
    """Why an outcome is what it is; of somebody else's operation also what it should be, and how to see it."""
    verb = {"fail": "fails", "error": "is in error"}.get(o.outcome, o.outcome)
    found = o.finding
    console.print(Text.assemble((f"{o.id} {verb}: ", _STYLE.get(o.outcome, "cyan")), o.message, "" if found else "\n"))
    if found is None:
        return
    if o.outcome in (*BAD, "xfail"):
        rows = {"formula": o.statement, "source": o.source}
        if found.failing:
            rows["rungs"] = f"{len(found.failing)} of {o.cases} fail, '{found.first_failing_rung}' first"
        for equal in found.diagnosis[1:]:
            rows["also"] = ", ".join(filter(None, (rows.get("also"), f"{equal.mistake} to {equal.digits} digits")))
        for other in blocked:
            rows[f"blocks {other.id}"] = other.message
        for name, text in rows.items():
            console.print(Padding(Text.assemble((f"{name}: ", "dim"), text), (0, 0, 0, 4), expand=False))
        if found.script:
            console.print()
        for line in found.script.splitlines():  # to be copied: as it is, whatever the width
            console.print(Text(line), style="dim", soft_wrap=True)
    console.print()


def _numbers(table: Table, width: int) -> Grid:
    """The table with as many digits as the width allows."""
    room = width - 2 - len(table.columns)  # the grid's gaps are one wider than those of the text
    digits = next((k for k in (10, 8, 6, 4) if max(map(len, table_text(table, k).split("\n")[1:])) <= room), 3)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in table.columns:
        grid.add_column(Text(column), justify="right")
    for row in table.rows:
        grid.add_row(*[Text(cell(v, digits)) for v in row])
    return grid
