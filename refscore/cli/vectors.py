"""``refscore vectors``: test vectors any language can read, and the judgement of what comes back."""

from __future__ import annotations

import argparse
from dataclasses import replace

from refscore.cli._common import Refusal, report_files, report_options, write_files

_VECTORS = """\
Check an implementation that is not written in Python: it reads vectors from JSON, and writes its answers as JSON.

  refscore vectors export vectors/       inputs, wanted values, tolerances: one file an operation, and a README
  refscore vectors check response.json   judge the answers: conventions inferred, mistakes named, as refscore check does
  refscore vectors lint                  are the vectors right? each is computed again by other code

a response:
  {"schema": "refscore.vectors.response/1", "conventions": {"predicts": "eps"},
   "answers": [{"id": "dsm_loss/1", "value": 0.25}, {"id": "vp/sigma/2", "value": [0.1, 0.2]}]}

Any part of the vectors may be answered; the rest is unsupported. Conventions that are left out are inferred. Print float64 with 17
significant digits; answers of at most 9 are taken for float32.
"""

_CODES = """\
exit codes of check:
  0  conforms                    2  the response cannot be read
  1  does not                    3  nothing failed, but nothing is covered
"""


def add(commands) -> None:
    """Enter the command and its three."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser("vectors", help="test vectors any language can read", description=_VECTORS, epilog=_CODES,
                                 formatter_class=raw)  # fmt: skip
    below = parser.add_subparsers(required=True, metavar="export|check|lint", dest="action")
    export = below.add_parser("export", help="write the vectors as JSON, and a README")
    export.add_argument("directory", metavar="DIR", help="where to; made if it is not there")
    export.add_argument("--energies", action="store_true", help="those for models that are energies ('predicts': 'energy')")
    export.set_defaults(command=_export)
    check = below.add_parser("check", help="judge the answers of an implementation", description=_VECTORS, epilog=_CODES,
                             formatter_class=raw)  # fmt: skip
    check.add_argument("response", metavar="RESPONSE.json", help="the answers")
    report_options(check)
    check.set_defaults(command=_check)
    lint = below.add_parser("lint", help="compute every vector again by other code; exit code 1 where that disagrees")
    lint.add_argument("directory", metavar="DIR", nargs="?", help="exported vectors; default: the built-in ones")
    lint.set_defaults(command=_lint)


def _export(arguments: argparse.Namespace) -> int:
    from refscore.vectors.export import BadVectors, export, refusal

    if why := refusal(arguments.directory):
        raise Refusal(why)
    try:
        files = export(arguments.directory, arguments.energies)
    except BadVectors as error:
        raise Refusal(str(error)) from None
    print(f"{len(files) - 1} files of vectors in {arguments.directory}; README.md there says how to answer them")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    files = report_files(arguments)
    from refscore._progress import progress
    from refscore.cli.check import watch
    from refscore.conformance import reporting
    from refscore.report import terminal
    from refscore.vectors.response import BadResponse, judge, read

    try:
        response = read(arguments.response)
        with progress(len({name.rpartition("/")[0] for name in response.answers}), "check") as shown:
            result = judge(response, seed=arguments.seed, **watch(shown))
    except BadResponse as error:
        raise Refusal(str(error)) from None
    report = reporting.report(replace(result, target=arguments.response), response.conventions, tuple(response.partial))
    terminal.show(report)
    write_files(report, files)
    return result.code


def _lint(arguments: argparse.Namespace) -> int:
    from itertools import chain

    from refscore._progress import progress
    from refscore.vectors import recomputed
    from refscore.vectors.export import BadVectors, records

    try:
        given = arguments.directory
        files = list(chain(records(), records(energies=True)) if given is None else recomputed.read(given))
        whole, done = sum(len(record["vectors"]) for record in files), 0
        with progress(whole, "lint") as shown:

            def on_done(name: str) -> None:
                nonlocal done
                done += 1
                shown(done)

            found = list(recomputed.lint(files, on_done))
    except BadVectors as error:
        raise Refusal(str(error)) from None
    for disagreement in found:
        print(f"{disagreement.id}: {disagreement.message}")
    how = f"{recomputed.DIGITS} digits" if recomputed.exact() else "floats, for mpmath is not installed"
    print(f"{whole} vectors computed again, number by number, in {how}: " + (f"{len(found)} disagree" if found else "all agree"))
    return 1 if found else 0
