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
from rich.table import Table as Grid
from rich.text import Text

from refscore.report.outcome import Outcome, Report, Table

_LONG = 24
"""Rows of a curve that are printed, every so many if there are more."""

_STYLE = {"pass": "green", "fail": "bold red", "info": "cyan"}


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
    console.print(_verdicts(report))
    for outcome in report.outcomes:
        if outcome.outcome == "fail":
            console.print(Text.assemble((f"{outcome.id} fails: ", _STYLE["fail"]), outcome.message, "\n"))
    console.print(Text(summary(report), style="bold " + ("green" if report.holds else "red")))


def summary(report: Report) -> str:
    """One line: how many hold, fail, only inform, how many comparisons were made and how long they took."""
    counts = report.counts
    parts = [f"{counts['pass']} hold", f"{counts['fail']} fail"]
    if counts["info"]:
        parts.append(f"{counts['info']} reported without verdict")
    cases = sum(o.cases for o in report.outcomes)
    line = f"{', '.join(parts)} ({cases} comparisons in {report.seconds:.1f} s)"
    return line if counts["pass"] or counts["fail"] else line + ": nothing was compared"


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


def _verdicts(report: Report) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), expand=False)
    grid.add_column("id", no_wrap=True)
    grid.add_column("statement", ratio=1)
    for name in ("error", "bound"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("time", justify="right", no_wrap=True)
    for before, o in zip((None, *report.outcomes), report.outcomes):
        if before is not None and before.id[0] != o.id[0]:
            grid.add_section()
        grid.add_row(*_row(o))
    return grid


def _row(o: Outcome) -> list[Text]:
    plain = [o.id, o.title, number(o.error), number(o.bound)]
    return [*map(Text, plain), Text(o.outcome, style=_STYLE[o.outcome]), Text(f"{o.seconds:.1f} s")]


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
