"""``refscore check``: somebody else's implementation, through an adapter of a few lines."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from refscore.cli._common import Refusal, report_files, report_options, write_files

if TYPE_CHECKING:
    from refscore.conformance import Result
    from refscore.conformance.expected import Entry

_CHECK = """\
Compare an implementation with the reference, operation by operation, and say what is wrong with what is not right.

An adapter is a plain class, built without arguments. Every method is optional; what is there is checked:

    # mine.py
    from refscore.processes import VP
    import mylib

    class Mine:
        process = VP()                       # when time is involved
        conventions = {"predicts": "eps"}    # what is left out is inferred

        def corrupt(self, x0, t, noise):     # NumPy in, NumPy out
            return mylib.add_noise(x0, t, noise)

        def dsm_loss(self, model, x0, sigma, noise):
            return mylib.loss(model, x0, sigma, noise)

    refscore check mine.py:Mine

`refscore list` names all operations; `refscore explain dsm_loss` gives the arguments, the formula and the conventions.

columns of the table:
  error      largest difference from the reference, relative to the size of the values (worst call)
  tolerance  what rounding in the precision found can explain, measured
  verdict    pass, fail, error (the adapter is in the way), convention (a legitimate other one, named), blocked (what it is
             made of is wrong), inconclusive, xfail and xpass (see --expected-failures)
"""

_CHECK_END = """\
a file of expected failures has one section a check, and excuses the failure with that signature alone:

    [dsm_loss]
    reason = the sign of the target, mended in 0.9
    mistake = dsm_target_sign      ; as the report names it, with * and ?; or the first failing rung: rung = d = 1, *
    until = 2031-01-31

profiles of --only and --require:
  all losses gradients derivatives process samplers densities matching dsm sde ddpm rbm mrf energy, and operations by name

exit codes:
  0  conforms: something passes, or follows a legitimate other convention, and nothing is wrong
  1  does not: a check is fail, error, blocked or xpass
  2  the adapter cannot be loaded or built, or the command cannot run as given
  3  nothing is wrong, but nothing (or not what is required) is covered; inconclusive covers nothing
"""


def add(commands) -> None:
    """Enter the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "check", help="check somebody else's implementation", description=_CHECK, epilog=_CHECK_END, formatter_class=raw
    )
    parser.add_argument("target", metavar="TARGET", help="the adapter: file.py:Name or package.module:Name")
    parser.add_argument("--only", metavar="PROFILE", action="append", help="check these alone: profiles or operations, with commas")
    parser.add_argument("--require", metavar="PROFILE", action="append", help="what must be covered, in the same words")
    parser.add_argument("--expected-failures", metavar="FILE", help="failures that are known, with an excuse and its last day")
    report_options(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """0 conforms, 1 does not, 3 nothing (or not what is required) is covered."""
    inputs = {"the adapter": arguments.target.rpartition(":")[0], "--expected-failures": arguments.expected_failures}
    files = report_files(arguments, {name: path for name, path in inputs.items() if path})
    from refscore.conformance import BrokenAdapter, profiles, reporting, target
    from refscore.report import terminal

    only = _selected("--only", arguments.only)
    required = ",".join(arguments.require or ())
    _selected("--require", arguments.require)
    entries = _entries(arguments.expected_failures)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the adapter prints is no part of the report
            adapter = target.load(arguments.target)
            result, adapter = _checked(adapter, arguments.seed, only)
            process, declared = getattr(adapter, "process", None), getattr(adapter, "conventions", None) or {}
            notes = tuple(target.strangers(adapter))
    except BrokenAdapter as error:
        raise Refusal(f"{arguments.target}: {error}") from None
    if entries:
        import datetime

        from refscore.conformance.expected import apply

        result = replace(result, checks=apply(result.checks, entries, datetime.date.today()))
    result = replace(result, target=arguments.target)
    missing = profiles.missing(required, result.checks, process) if required else []
    text = f"required by {required} and not covered: {', '.join(missing)}" if missing else ""
    report = reporting.report(result, declared, notes, text)
    terminal.show(report)
    write_files(report, files)
    return 3 if missing and not report.bad else result.code


def _checked(adapter: Any, seed: int, only: tuple[str, ...] | None) -> tuple[Result, Any]:
    """The result, and the adapter as the object that was checked."""
    from refscore._progress import progress
    from refscore.conformance import OPERATIONS, check
    from refscore.conformance.run import built

    adapter = built(adapter)
    with progress(len(OPERATIONS if only is None else only), "check") as shown:
        return check(adapter, seed=seed, only=only, **watch(shown)), adapter


def watch(shown: Callable) -> dict:
    """Callbacks for `refscore.conformance.check` that move a progress bar and name the operation under way."""
    done = 0

    def on_done(verdict):
        nonlocal done
        done += 1
        shown(done)

    return {"on_start": lambda name: shown(done, lambda: name), "on_done": on_done}


def _selected(option: str, texts: list[str] | None) -> tuple[str, ...] | None:
    """The operations that an option names; None without it."""
    if texts is None:
        return None
    from refscore.conformance import profiles

    try:
        return tuple(profiles.select(",".join(texts)))
    except LookupError as error:
        raise Refusal(f"{option}: {error.args[0]}") from None


def _entries(path: str | None) -> list[Entry]:
    if path is None:
        return []
    from refscore.conformance import expected

    try:
        return expected.read(path)
    except expected.BadEntries as error:
        raise Refusal(f"--expected-failures {error}") from None
