"""The checks of an adapter as tests of one's own suite.

    # tests/test_scores.py
    from refscore.conformance import parametrize
    from mylib.testing import Mine

    @parametrize(Mine())
    def test_my_scores(check):
        check()

    $ pytest -k "dsm_loss"

There is one test an operation, named as in ``refscore list``. It fails with the report's words: got and wanted, the rung, what the
answer equals, formula and source, and a script of NumPy alone. What the adapter does not have is skipped, and says so; a legitimate
other convention passes with a warning. Without pytest,

    for check in checks(Mine()):
        check()

raises AssertionError at the first that is wrong. What an operation is blocked by, and which convention the adapter follows, is
seen in the adapter as a whole: the first check to be called runs all of them, once. ``only`` and ``expected_failures`` are the
options of ``refscore check``.
"""

from __future__ import annotations

import datetime
import os
import unittest
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from refscore.conformance.candidate import Candidate
from refscore.conformance.expected import BadEntries, Entry, apply, read
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.profiles import select
from refscore.conformance.run import Check, built, check, unfit
from refscore.report.outcome import BAD, NOTHING


@dataclass
class _Run:
    """One run of the checks of an adapter, when the first of them is asked for."""

    adapter: Any
    seed: int
    only: tuple[str, ...] | None
    entries: list[Entry]

    @cached_property
    def checks(self) -> dict[str, Check]:
        found = check(self.adapter, seed=self.seed, only=self.only).checks
        return {c.id: c for c in apply(found, self.entries, datetime.date.today())}


@dataclass(frozen=True)
class Case:
    """The check of one operation: call it."""

    id: str
    unsupported: str = ""
    _run: _Run | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Check:
        """What the run found."""
        assert self._run is not None
        return self._run.checks[self.id]

    def __call__(self) -> None:
        """Raise AssertionError where the operation is wrong, unittest.SkipTest (which pytest knows) where nothing is compared."""
        __tracebackhide__ = True
        found = self.verdict
        if found.outcome in (*NOTHING, "xfail"):
            raise unittest.SkipTest(f"{self.id} is {found.outcome}: {found.message}")
        if found.outcome in BAD:
            raise AssertionError(explained(found))
        if found.outcome == "convention":
            warnings.warn(f"{self.id}: {found.message}", stacklevel=2)


def explained(c: Check) -> str:
    """A failure in full, as text."""
    operation = OPERATIONS[c.operation]
    verb = {"fail": "fails", "error": "is in error"}.get(c.outcome, f"is {c.outcome}")
    lines = [f"{c.id} {verb}: {c.message}", f"formula: {operation.formula}", f"source: {operation.source}"]
    return "\n".join([*lines, *(["", c.reproducer] if c.reproducer else [])])


def cases(adapter: Any, seed: int, only: Iterable[str] | None, expected_failures: str | os.PathLike | None) -> list[Case]:
    """One case an operation; of those that the adapter does not have ``unsupported`` says why."""
    adapter = built(adapter)
    names = tuple(OPERATIONS) if only is None else select(",".join([only] if isinstance(only, str) else only))
    entries = read(expected_failures) if expected_failures is not None else []
    if strange := [e.id for e in entries if e.id not in OPERATIONS]:
        raise BadEntries(f"{expected_failures}: {', '.join(strange)}: no such check; take the entry out, or mend its name")
    candidate, run = Candidate(adapter), _Run(adapter, seed, names, entries)
    absent = {name: why[1] for name, o in OPERATIONS.items() if (why := unfit(o, candidate)) and why[0] == "unsupported"}
    expected = {e.id for e in entries}  # what is expected of an absent operation is told
    return [Case(name, "" if name in expected else absent.get(name, ""), run) for name in OPERATIONS if name in names]


def checks(adapter: Any, *, seed: int = 0, only: Iterable[str] | None = None,
           expected_failures: str | os.PathLike | None = None) -> list[Case]:
    """The checks of an adapter (an object, or its class): each has an ``id``, and raises AssertionError when it is called in vain.

    Parameters
    ----------
    seed : int
        Of what is drawn at random.
    only : profiles or operations, as of ``refscore check --only``; default all.
    expected_failures : path
        A file as of ``refscore check --expected-failures``; what it excuses is skipped, and says so.

    Raises BrokenAdapter when the adapter cannot be built or its ``conventions`` are none, BadEntries when the file is none, and
    LookupError for a name in ``only`` that is neither profile nor operation.
    """
    return [case for case in cases(adapter, seed, only, expected_failures) if not case.unsupported]


def parametrize(adapter: Any, *, seed: int = 0, only: Iterable[str] | None = None,
                expected_failures: str | os.PathLike | None = None) -> Any:
    """A decorator for a test function with one parameter, ``check``: it runs once an operation, and calls ``check()``.

    Arguments and what is raised are those of `checks`.
    """
    import pytest

    found = cases(adapter, seed, only, expected_failures)

    def mark(case: Case):
        return pytest.mark.skip(reason=case.unsupported) if case.unsupported else ()

    return pytest.mark.parametrize("check", [pytest.param(case, id=case.id, marks=mark(case)) for case in found])
