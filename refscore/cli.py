"""The command line: ``refscore verify``, ``refscore list``, ``refscore explain``.

Everything heavy is imported by the command that needs it, so that ``refscore --help`` answers at once.
Exit codes: 0 everything holds, 1 something does not, 2 the command cannot run as given (one line on standard error
says why), 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from refscore import __version__

if TYPE_CHECKING:
    from refscore.identities import Identity
    from refscore.report import Report

_HELP = """\
The reference for score matching and score-based diffusion: every statement is computed by two routes that share no
code, and holds when they agree within a derived bound.

examples:
  refscore verify                       check every identity, print a table
  refscore verify --only B9 D           the denoising identity, and all of section D
  refscore verify --data iris.csv       the identities on your own data set
  refscore explain B9                   what B9 says, and by which two routes it is checked
  refscore list                         all identities and the mistakes they catch
"""

SOURCES = """\
[a] a summary on score matching and diffusion   [b] Machine Learning, homework 7   [c] Deep Generative Models, lecture 13
[d] Score matching, part 3   [e] Bayesian Theory and Computation, lecture 19   X1, X2, ...: what they get wrong"""

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


class _Refusal(Exception):
    """The command cannot run as given; the message is the one line that says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: that of the process) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a log that knows ASCII only still gets text
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        code = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except _Refusal as refusal:
        print(f"refscore {arguments.name}: error: {' '.join(str(refusal).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"refscore {arguments.name}: interrupted, no report written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has gone: what was to be said is said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="refscore", description=_HELP, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"refscore {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")

    verify = commands.add_parser(
        "verify", help="check the identities", description=_VERIFY, epilog=_VERIFY_END, formatter_class=raw
    )
    only = "ids, in either case, or beginnings of ids: B is all of section B; default: all"
    verify.add_argument("--only", metavar="ID", nargs="+", action="extend", help=only)
    verify.add_argument("--data", metavar="FILE", help="use this data set (.csv or .npy) as the density")
    verify.add_argument("--seed", metavar="N", type=_seed, default=0, help="fixes all random inputs; default: 0")
    verify.add_argument("--json", metavar="FILE", help="also write the report as JSON")
    verify.add_argument("--junit", metavar="FILE", help="also write the report as JUnit XML")
    verify.add_argument("--html", metavar="FILE", help="also write the report as one HTML page")
    verify.set_defaults(command=_verify)

    listing = commands.add_parser("list", help="all identities and mistakes, one a line")
    listing.set_defaults(command=_list)

    explain = commands.add_parser("explain", help="one identity or mistake in full")
    explain.add_argument("id", metavar="ID", help="an identity's id (B9) or a mistake's name")
    explain.set_defaults(command=_explain)
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: give an integer of at least 0")
    return int(text)


# --- verify ---


def _verify(arguments: argparse.Namespace) -> int:
    files = {kind: path for kind in ("json", "junit", "html") if (path := getattr(arguments, kind)) is not None}
    _check_files(files)
    available, notes = _available(arguments.data)
    from refscore import identities
    from refscore._progress import progress
    from refscore.report import Report, terminal

    chosen = available if arguments.only is None else _select(arguments.only, available, arguments.data)
    if not chosen:
        raise _Refusal("there is nothing to verify: the catalogue is empty")
    with progress(len(chosen), "verify") as shown:
        outcomes = identities.verify(seed=arguments.seed, identities=chosen, **_watch(shown))
    report = Report("verify", __version__, arguments.seed, tuple(outcomes), notes)
    terminal.show(report)
    _write_files(report, files)
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
        raise _Refusal(str(error)) from None
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
            raise _Refusal(f"{', '.join(names)} is about a data set: add --data FILE") from None
        raise _Refusal(f"{error.args[0]}{hint}") from None


def _check_files(files: dict[str, str]) -> None:
    """Refuse, before the run starts, what could not be written after it."""
    if not files:
        return
    from refscore._files import refusal

    targets: dict[str, str] = {}
    for kind, path in files.items():
        if why := refusal(path):
            raise _Refusal(f"--{kind} {why}")
        other = targets.setdefault(os.path.realpath(path), kind)
        if other != kind and os.path.isfile(path) | (not os.path.exists(path)):
            raise _Refusal(f"--{other} and --{kind} both name {path}: give each its own file")


def _write_files(report: Report, files: dict[str, str]) -> None:
    from refscore._files import write

    for kind, path in files.items():
        try:
            write(path, _writer(kind).dumps(report).encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise _Refusal(f"--{kind} {path} could not be written: {error.strerror or error}") from None


def _writer(kind: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"refscore.report.{kind}_writer")


def _watch(shown: Callable) -> dict:
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


# --- list and explain ---


def _everything() -> tuple[list[Identity], dict]:
    from refscore import identities, mistakes
    from refscore.identities import on_data

    return [*identities.catalogue().values(), *on_data.STATEMENTS], mistakes.CATALOGUE


def _list(arguments: argparse.Namespace) -> int:
    stated, catalogue = _everything()
    print("Identities (refscore verify; ids ending in .data with --data FILE)\n")
    width = max([len(i.id) for i in stated], default=0)
    for i in stated:
        print(f"  {i.id:<{width}}  {i.title}")
    print("\nMistakes that they must catch (operation: wrong -> right)\n")
    width = max([len(name) for name in catalogue], default=0)
    for m in catalogue.values():
        print(f"  {m.name:<{width}}  {m.operation}: {m.wrong} -> {m.right}")
    print("\nrefscore explain ID says more about any of them.")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    import difflib

    from refscore import identities

    stated, catalogue = _everything()
    wanted = arguments.id.strip().lower()
    exact = [i for i in stated if i.id.lower() == wanted]
    named = [m for m in catalogue.values() if m.name.lower() == wanted]
    if not exact and not named:
        with contextlib.suppress(LookupError):
            exact = identities.select([wanted], stated)
    if not exact and not named:
        names = {n.lower(): n for n in [*[i.id for i in stated], *catalogue]}
        near = [names[n] for n in difflib.get_close_matches(wanted, list(names), n=5, cutoff=0.5)]
        hint = f"did you mean {', '.join(near)}?" if near else "refscore list shows all of them"
        raise _Refusal(f"no identity or mistake {arguments.id!r}: {hint}")
    paragraphs = [_identity_text(i, catalogue) for i in exact]
    paragraphs += [_mistake_text(m, stated) for m in named]
    print("\n\n".join(paragraphs))
    if exact:
        print(f"\n{SOURCES}")
    return 0


def _identity_text(i: Identity, catalogue: dict) -> str:
    lines = [
        f"{i.id}  {i.title}",
        _entry("states", i.statement),
        _entry("source", i.source),
        _entry("systems", ", ".join(i.systems)),
        _entry("two routes", i.method),
    ]
    caught = [catalogue[name] for name in i.catches if name in catalogue]
    if caught:
        lines.append("  catches")
        lines += [f"    {m.name} ({m.operation}): {m.wrong} -> {m.right}" for m in caught]
    return "\n".join(lines)


def _mistake_text(m, stated: list[Identity]) -> str:
    catchers = ", ".join(i.id for i in stated if m.name in i.catches)
    lines = [
        f"{m.name}, a mistake in the operation {m.operation}",
        _entry("wrong", m.wrong),
        _entry("right", m.right),
        _entry("seen in", m.seen),
        _entry("caught by", catchers or "no identity"),
    ]
    return "\n".join(lines)


def _entry(name: str, text: str) -> str:
    import textwrap

    words = " ".join(text.split())
    wrap = textwrap.wrap(words, 64, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(f"  {name if k == 0 else '':<12}{line}" for k, line in enumerate(wrap))
