"""The command line: one module a command.

Everything heavy is imported by the command that needs it, so that ``refscore --help`` answers at once.
Exit codes: 0 everything holds, 1 something does not, 2 the command cannot run as given (one line on standard error
says why), 3 nothing failed but what should be covered is not, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from refscore import __version__
from refscore.cli import catalogue, check, vectors, verify, write_adapter
from refscore.cli._common import Refusal

_HELP = """\
The reference for score matching and score-based diffusion: every statement is computed by two routes that share no
code, and holds when they agree within a derived bound.

examples:
  refscore verify                       check every identity, print a table
  refscore verify --only B9 D           the denoising identity, and all of section D
  refscore verify --data iris.csv       the identities on your own data set
  refscore write-adapter torch mine.py  a file to start from (or jax, or numpy)
  refscore check mine.py:Mine           is this implementation right, and if not, what is wrong?
  refscore vectors export DIR           test vectors for an implementation in another language
  refscore explain B9                   what B9 says, and by which two routes it is checked
  refscore explain dsm_loss             what an implementation is checked for, and the mistakes that are known
  refscore list                         all identities, operations and mistakes
"""


def command() -> NoReturn:
    """The process: `main`, and its exit code also where somebody else's code still runs in a thread that was left behind."""
    code = main()
    if any(getattr(thread, "limited", False) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


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
    except Refusal as refusal:
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
    for module in (verify, check, write_adapter, catalogue, vectors):
        module.add(commands)
    return parser
