"""What there is to report: outcomes, and nothing about where they came from.

An `Outcome` is the verdict on one statement: an identity of refscore's own (pass, fail, or info for numbers reported without
a verdict), or that somebody else's operation computes its formula, and then it has a `Finding`. A `Report` is what one run of
the program found. The writers know these records alone, so that every command that ends in verdicts reports them in the same
four ways.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VERDICTS: dict[str, tuple[str, ...]] = {
    "verify": ("pass", "fail", "info"),
    "check": ("pass", "fail", "error", "xfail", "xpass", "unsupported", "skipped", "blocked", "inconclusive", "convention"),
}
"""What a command's outcomes may be."""

BAD = ("fail", "error", "xpass", "blocked")
"""Outcomes with which nothing holds."""

NOTHING = ("info", "unsupported", "skipped", "inconclusive")
"""Outcomes that count as nothing."""


@dataclass(frozen=True)
class Picture:
    """How a table is drawn: the columns ``y`` against the column ``x``, one curve each; ``log`` for two logarithmic axes."""

    x: str
    y: tuple[str, ...]
    log: bool = False
    ylabel: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers that are reported without a verdict: a curve, a constant beside its closed form.

    With a ``picture`` it is drawn too, where pages are written.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple]
    picture: Picture | None = None

    def __post_init__(self):
        if self.picture is not None:
            for name in (self.picture.x, *self.picture.y):
                if name not in self.columns:
                    raise ValueError(f"table {self.title!r}: its picture draws {name!r}; its columns are {', '.join(self.columns)}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: row {row!r} does not fit {len(self.columns)} columns")


@dataclass(frozen=True)
class Equal:
    """A known mistake that the answers equal, to so many digits; ``text`` says what is wrong about it."""

    mistake: str
    digits: int
    text: str = ""


@dataclass(frozen=True)
class Finding:
    """What is known of somebody else's operation besides its verdict.

    ``settings`` are the conventions under which it was judged, ``inferred`` those of them that were not declared; ``failing``
    are the names of the failing rungs, ``causes`` the operations that block it, ``script`` a program that shows the first.
    """

    operation: str
    category: str
    settings: dict[str, Any] = field(default_factory=dict)
    inferred: tuple[str, ...] = ()
    precision: str = ""
    failing: tuple[str, ...] = ()
    first_failing_rung: str = ""
    diagnosis: tuple[Equal, ...] = ()
    causes: tuple[str, ...] = ()
    script: str = ""


@dataclass(frozen=True)
class Outcome:
    """The verdict on one statement.

    ``error`` and ``bound`` are those of the worst case (the one that comes closest to its bound, or exceeds it most),
    relative to the scale of the quantities compared; ``error`` is None when nothing could be compared because the
    statement's own code raised, and NaN when a compared number was not finite. ``cases`` counts the comparisons.
    """

    id: str
    systems: tuple[str, ...]
    title: str
    outcome: str
    error: float | None
    bound: float | None
    method: str
    seconds: float
    message: str = ""
    cases: int = 0
    tables: tuple[Table, ...] = ()
    statement: str = ""
    source: str = ""
    finding: Finding | None = None

    def __post_init__(self):
        known = VERDICTS["verify" if self.finding is None else "check"]
        if self.outcome not in known:
            raise ValueError(f"outcome is {self.outcome!r}: choose one of {', '.join(known)}")

    @property
    def section(self) -> str:
        """What it stands together with."""
        return self.id[0] if self.finding is None else self.finding.category

    @property
    def details(self) -> dict[str, str]:
        """What is behind the verdict, by headings."""
        found = self.finding
        if found is None:
            rows = {"Statement (LaTeX)": self.statement, "Source": self.source, "Systems": ", ".join(self.systems),
                    "Two routes": self.method, "Comparisons": str(self.cases)}
        else:
            told = [f"{k} = {v}{' (inferred)' if k in found.inferred else ''}" for k, v in found.settings.items()]
            equal = [f"{e.mistake}, to {e.digits} digits: {e.text}" for e in found.diagnosis]
            rows = {"Formula": self.statement, "Source": self.source, "Conventions": ", ".join(told), "How": self.method,
                    "Failing rungs": "; ".join(found.failing), "Equals": " | ".join(equal), "Blocked by": ", ".join(found.causes)}
        return {name: text for name, text in rows.items() if text}


@dataclass(frozen=True)
class Report:
    """What one run found: its outcomes in order, and the notes that a reader needs to understand them.

    ``about`` holds what else programs may want to know, in terms of JSON; ``missing`` says what was required and is not
    covered.
    """

    command: str
    version: str
    seed: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    missing: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many outcomes of each kind, always with all kinds of the command as keys."""
        return {kind: sum(o.outcome == kind for o in self.outcomes) for kind in VERDICTS[self.command]}

    @property
    def bad(self) -> tuple[Outcome, ...]:
        """The outcomes with which nothing holds."""
        return tuple(o for o in self.outcomes if o.outcome in BAD)

    @property
    def holds(self) -> bool:
        """True when something was compared, nothing is missing and nothing failed."""
        return not self.bad and not self.missing and any(o.outcome in ("pass", "convention") for o in self.outcomes)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all outcomes together."""
        return sum(o.seconds for o in self.outcomes)
