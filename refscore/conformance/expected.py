"""Failures that a candidate knows of: a file of its own, one section a check.

    [dsm_loss]
    reason = the sign of the target, mended in 0.9
    mistake = dsm_target_*                  ; what the check must say: a mistake's name, with * and ?,
    rung = d = 3, batch of 7, linear model* ; or the first failing rung, or both
    until = 2031-01-31                      ; the last day on which this is an excuse

An entry excuses the failure with that signature and no other: what fails in another way fails. So does what an entry expects to
fail and does not ('xpass'), what is past its day, and an entry for a check that does not exist, or for an operation that the
adapter does not have: a list of excuses that is out of date hides what it was not written for.
"""

from __future__ import annotations

import configparser
import datetime
import difflib
import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.run import Check

KEYS = ("reason", "mistake", "rung", "until")


class BadEntries(Exception):
    """The file of expected failures cannot be used; the message says why."""


@dataclass(frozen=True)
class Entry:
    """One expected failure."""

    id: str
    reason: str
    until: datetime.date
    mistake: str = ""
    rung: str = ""

    def excuses(self, check: Check) -> bool:
        """Whether the failure has this signature."""
        mistakes = not self.mistake or any(fnmatchcase(e.mistake, self.mistake) for e in check.diagnosis)
        return mistakes and (not self.rung or fnmatchcase(check.first_failing_rung, self.rung))

    @property
    def signature(self) -> str:
        """What it must look like, in words."""
        return " and ".join(f"{key} = {value}" for key in ("mistake", "rung") if (value := getattr(self, key)))


def read(path: str | os.PathLike) -> list[Entry]:
    """The entries of a file.

    Raises BadEntries when it cannot be read or an entry is not as in the module docstring.
    """
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",), default_section="")
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except OSError as error:
        raise BadEntries(f"{path} cannot be read: {error.strerror or error}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise BadEntries(f"{path} is no list of expected failures: {' '.join(str(error).split())}; "
                         "write a section [check id] with reason, mistake or rung, and until") from None
    return [_entry(parser[name], f"{path}, [{name}]") for name in parser.sections()]


def _entry(section: configparser.SectionProxy, where: str) -> Entry:
    given = dict(section)
    for key in given:
        if key not in KEYS:
            raise BadEntries(f"{where}: {key!r} is not known; an entry has {', '.join(KEYS)}")
    if not given.get("reason"):
        raise BadEntries(f"{where}: there is no reason; say why this fails, reason = ...")
    patterns = [given.get("mistake", ""), given.get("rung", "")]
    if not any(p.strip("*? ") for p in patterns) or any(p and not p.strip("*? ") for p in patterns):
        raise BadEntries(f"{where}: it would excuse every failure; name a mistake or the first failing rung as the report does")
    try:
        until = datetime.date.fromisoformat(given.get("until", ""))
    except ValueError:
        raise BadEntries(f"{where}: until is {given.get('until', 'missing')}; give the last day of the excuse, "
                         "such as until = 2031-01-31") from None
    return Entry(section.name, given["reason"], until, *patterns)


def apply(checks: tuple[Check, ...], entries: list[Entry], today: datetime.date) -> tuple[Check, ...]:
    """The checks with their failures excused, or with what is wrong about an entry said."""
    known = {entry.id: entry for entry in entries}
    result = [_excused(c, known[c.id], today) if c.id in known else c for c in checks]
    ids = [c.id for c in checks]
    for entry in entries:
        if entry.id not in ids and entry.id not in OPERATIONS:  # else it has not been selected
            near = difflib.get_close_matches(entry.id, OPERATIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else "take the entry out, or take the id from the report"
            result.append(Check(entry.id, "", "error", "expected failures",
                                message=f"a failure is expected of {entry.id!r}, and there is no such check: {hint}"))
    return tuple(result)


def _excused(c: Check, entry: Entry, today: datetime.date) -> Check:
    if c.outcome in ("pass", "convention"):
        return replace(c, outcome="xpass", message=f"it was expected to fail ({entry.reason}) and does not: take its entry out")
    if c.outcome == "unsupported":
        text = f"it was expected to fail ({entry.reason}) and is not there: {c.message}; take its entry out"
        return replace(c, outcome="error", message=text)
    if c.outcome not in ("fail", "error", "blocked"):
        return c
    if today > entry.until:
        return replace(c, message=f"{c.message}; its excuse ({entry.reason}) ended on {entry.until}: mend it, or set a new day")
    if not entry.excuses(c):
        near = difflib.get_close_matches(entry.mistake, CATALOGUE, n=1, cutoff=0.8) if entry.mistake not in CATALOGUE else ()
        hint = f"; did you mean {near[0]}?" if near else ""
        return replace(c, message=f"{c.message}; expected was another failure, {entry.signature} ({entry.reason}){hint}")
    return replace(c, outcome="xfail", message=f"expected until {entry.until}, {entry.reason}: {c.message}")
