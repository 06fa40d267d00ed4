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
seen in the adapter as a whole: the first check to be called runs all of them, once.
"""

from __future__ import annotations

import unittest
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from refscore.conformance.candidate import Candidate
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.run import Check, Result, built, check, unfit
from refscore.report.outcome import BAD, NOTHING


@dataclass
class _Run:
    """One run of all checks of an adapter, when the first of them is asked for."""

    adapter: Any
    seed: int

    @cached_property
    def result(self) -> Result:
        return check(self.adapter, seed=self.seed)


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
        return next(c for c in self._run.result.checks if c.id == self.id)

    def __call__(self) -> None:
        """Raise AssertionError where the operation is wrong, unittest.SkipTest (which pytest knows) where nothing is compared."""
        __tracebackhide__ = True
        found = self.verdict
        if found.outcome in NOTHING:
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


def cases(adapter: Any, seed: int = 0) -> list[Case]:
    """One case an operation of the contract; of those that the adapter does not have ``unsupported`` says why."""
    adapter = built(adapter)
    candidate, run = Candidate(adapter), _Run(adapter, seed)
    absent = {name: why[1] for name, o in OPERATIONS.items() if (why := unfit(o, candidate)) and why[0] == "unsupported"}
    return [Case(name, absent.get(name, ""), run) for name in OPERATIONS]


def checks(adapter: Any, *, seed: int = 0) -> list[Case]:
    """The checks of an adapter (an object, or its class): each has an ``id``, and raises AssertionError when it is called in vain.

    Raises BrokenAdapter when the adapter cannot be built or its ``conventions`` are none.
    """
    return [case for case in cases(adapter, seed) if not case.unsupported]


def parametrize(adapter: Any, *, seed: int = 0) -> Any:
    """A decorator for a test function with one parameter, ``check``: it runs once an operation, and calls ``check()``.

    Raises BrokenAdapter when the adapter cannot be built or its ``conventions`` are none.
    """
    import pytest

    def mark(case: Case):
        return pytest.mark.skip(reason=case.unsupported) if case.unsupported else ()

    return pytest.mark.parametrize("check", [pytest.param(case, id=case.id, marks=mark(case)) for case in cases(adapter, seed)])
