"""``refscore verify``: the identities, each by its two routes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from refscore import __version__
from refscore.cli._common import Refusal, report_files, report_options, write_files

if TYPE_CHECKING:
    from refscore.identities import Identity

_VERIFY = """\
Run the identities and print a verdict on each.

columns of the table:
  error    largest difference of the two routes, relative to the size of what is compared (worst case)
  bound    what rounding and quadrature can explain at most, derived, never above 1e-10
  verdict  pass: error <= bound in every case; fail: not so; info: numbers reported without a verdict
  time     seconds
Above it: tables of numbers (constants beside their closed forms, convergence orders). Below it: why each failure failed.

with --data FILE the density is your own data set, one row a point:
  CSV with or without header (comma, semicolon with decimal commas, tab, blanks) or a .npy array. Text columns and rows
  with missing values are left out, and the report says so. The identities that apply (ids ending in .data) run at
  three noise levels.
"""

_VERIFY_END = """\
examples:
  refscore verify --only a2 B           A2 and all of section B
  refscore verify --data iris.csv --only B10
  refscore verify --json verify.json --junit verify.xml --html verify.html

exit codes:
  0  all hold        1  some do not        2  the command cannot run as given
"""


def add(commands) -> None:
    """Enter the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "verify", help="check the identities", description=_VERIFY, epilog=_VERIFY_END, formatter_class=raw
    )
    only = "ids, in either case, or beginnings of ids: B is all of section B; default: all"
    parser.add_argument("--only", metavar="ID", nargs="+", action="extend", help=only)
    parser.add_argument("--data", metavar="FILE", help="use this data set (.csv or .npy) as the density")
    report_options(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """0 all hold, 1 some do not."""
    files = report_files(arguments)
    available, notes = _available(arguments.data)
    from refscore import identities
    from refscore._progress import progress
    from refscore.report import Report, terminal

    chosen = available if arguments.only is None else _select(arguments.only, available, arguments.data)
    if not chosen:
        raise Refusal("there is nothing to verify: the catalogue is empty")
    with progress(len(chosen), "verify") as shown:
        outcomes = identities.verify(seed=arguments.seed, identities=chosen, **watch(shown))
    report = Report("verify", __version__, arguments.seed, tuple(outcomes), notes)
    terminal.show(report)
    write_files(report, files)
    return 0 if report.holds else 1


def _available(data: str | None) -> tuple[list[Identity], tuple[str, ...]]:
    """The identities there are to run, and what the report says about the data."""
    from refscore import identities

    if data is None:
        return list(identities.catalogue().values()), ()
    from refscore._dataset import DataError, load
    from refscore.identities import on_data

    try:
        dataset = load(data)
    except DataError as error:
        raise Refusal(str(error)) from None
    stated, notes = on_data.identities(dataset)
    return stated, (*dataset.notes, *notes)


def _select(only: list[str], available: list[Identity], data: str | None) -> list[Identity]:
    from refscore import identities

    names = [name for group in only for name in group.split(",") if name.strip()]
    try:
        return identities.select(names, available)
    except LookupError as error:
        hint = "; with --data only the identities that apply to a data set run" if data else ""
        if not data and any(name.strip().lower().endswith(".data") for name in names):
            raise Refusal(f"{', '.join(names)} is about a data set: add --data FILE") from None
        raise Refusal(f"{error.args[0]}{hint}") from None


def watch(shown: Callable) -> dict:
    """Callbacks for `refscore.identities.verify` that move a progress bar and name the case under way."""
    done, current = 0, ""

    def on_start(identity):
        nonlocal current
        current = identity.id
        shown(done, lambda: current)

    def on_done(outcome):
        nonlocal done
        done += 1
        shown(done)

    return {"on_start": on_start, "on_case": lambda case: shown(done, lambda: f"{current}  {case}"), "on_done": on_done}
