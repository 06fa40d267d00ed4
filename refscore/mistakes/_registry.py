"""What a mistake is: a plausible wrong version of one operation.

A mistake has the signature of the operation it corrupts (`refscore.identities._operations`), so that it can be put in
its place. It says what is wrong, what is right, and where it was seen; the identities that must catch it name it.

    @mistake("dsm", wrong="+eps/sigma", right="-eps/sigma", seen="repository#7")
    def dsm_target_sign(model, x0, sigma, noise, **options):
        ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from refscore.identities._operations import NAMES, REFERENCE, Operations

__all__ = ["CATALOGUE", "Mistake", "mistake"]


@dataclass(frozen=True)
class Mistake:
    """One wrong version of one operation."""

    name: str
    operation: str
    function: Callable
    wrong: str
    right: str
    seen: str

    def operations(self, base: Operations = REFERENCE) -> Operations:
        """``base`` with this mistake in place of its operation."""
        return base.replace(**{self.operation: self.function})


CATALOGUE: dict[str, Mistake] = {}
"""All mistakes by name."""


def mistake(
    operation: str, *, wrong: str, right: str, seen: str, name: str | None = None
) -> Callable[[Callable], Callable]:
    """Decorator: enter a function, under its own name or ``name``, as a wrong version of ``operation``."""
    if operation not in NAMES:
        raise ValueError(f"there is no operation {operation!r} to get wrong: choose one of {', '.join(NAMES)}")

    def register(function):
        key = name or function.__name__
        if key in CATALOGUE:
            raise ValueError(f"mistake {key!r} is entered twice: choose another name")
        CATALOGUE[key] = Mistake(key, operation, function, wrong, right, seen)
        return function

    return register
