"""``refscore write-adapter``: a starting file that passes its check, to be filled with one's own code."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from refscore.cli._common import Refusal

_WRITE = """\
Print, or write to FILE, an adapter that passes its check as it stands; put your own code where its formulas are.

examples:
  refscore write-adapter torch mine.py    then: refscore check mine.py:Mine
  refscore write-adapter numpy            to standard output
"""


def add(commands) -> None:
    """Enter the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser("write-adapter", help="a starting file for check", description=_WRITE, formatter_class=raw)
    parser.add_argument("framework", metavar="torch|jax|numpy", help="what your code is written in")
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .py file; default: standard output")
    parser.add_argument("--force", action="store_true", help="write over FILE where it exists")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """0: it is written."""
    from refscore.conformance import starting

    try:
        source = starting.text(arguments.framework)
    except ValueError as error:
        raise Refusal(str(error)) from None
    if arguments.file is None:
        print(source, end="")
        return 0
    _write(arguments.file, source, arguments.force)
    print(f"wrote {arguments.file}, which passes as it stands; next: refscore check {shlex.quote(arguments.file)}:Mine",
          file=sys.stderr)
    return 0


def _write(file: str, source: str, force: bool) -> None:
    from refscore import _files
    from refscore.conformance.starting import FRAMEWORKS

    path = Path(file)
    if path.suffix != ".py":
        raise Refusal(f"{file} is no .py file, and refscore check reads those: name it {path.stem or 'mine'}.py")
    if path.stem in (*FRAMEWORKS, "refscore"):
        raise Refusal(f"{file} would hide the package {path.stem} from what imports it: choose another name, such as mine.py")
    if os.path.lexists(file) and not force:
        raise Refusal(f"{file} exists and is left as it is: choose another name, or add --force to write over it")
    if why := _files.refusal(file):
        raise Refusal(why)
    try:
        _files.write(file, source.encode())
    except OSError as error:
        raise Refusal(f"{file} could not be written: {error.strerror or error}") from None
