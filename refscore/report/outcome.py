"""What there is to report: outcomes, and nothing about where they came from.

An `Outcome` is the verdict on one statement: pass, fail, or info (numbers reported without a verdict, which count as
nothing). A `Report` is what one run of the program found. The writers know these records alone, so that every command
that ends in verdicts reports them in the same four ways.
"""

from __future__ import annotations

from dataclasses import dataclass

VERDICTS = ("pass", "fail", "info")


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

    def __post_init__(self):
        if self.outcome not in VERDICTS:
            raise ValueError(f"outcome is {self.outcome!r}: choose one of {', '.join(VERDICTS)}")


@dataclass(frozen=True)
class Report:
    """What one run found: its outcomes in order, and the notes that a reader needs to understand them."""

    command: str
    version: str
    seed: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many outcomes of each kind, always with all kinds as keys."""
        return {kind: sum(o.outcome == kind for o in self.outcomes) for kind in VERDICTS}

    @property
    def holds(self) -> bool:
        """True when something was compared and nothing failed."""
        counts = self.counts
        return counts["fail"] == 0 and counts["pass"] > 0

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all outcomes together."""
        return sum(o.seconds for o in self.outcomes)
