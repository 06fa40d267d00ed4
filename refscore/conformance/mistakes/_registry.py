"""Wrong versions of the contract's operations, and conventions that are legitimate elsewhere.

A mistake is a function with the signature of the method of `refscore.conformance.reference.Reference` that it would replace,
``self`` included, through which it reads the process and the conventions. What is wrong about it, what is right, and where it
was seen stand beside it. A gradient has no mistakes of its own here: that of every wrong loss is taken by differences.

    @mistake("langevin_step", wrong="noise 2 eta", right="noise sqrt(2 eta)", seen="edward#722")
    def langevin_noise_not_rooted(self, model, x, step, noise): ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

from refscore.conformance.operations import OPERATIONS
from refscore.conformance.reference import Reference


@dataclass(frozen=True)
class Mistake:
    """One wrong version of one operation; ``legitimate`` where it is another convention, consistently followed elsewhere.

    ``shared`` names the convention of such a one: all operations of an adapter follow it, or none.
    """

    name: str
    operation: str
    function: Callable
    wrong: str
    right: str
    seen: str
    legitimate: bool = False
    shared: str = ""

    def adapter(self, process: Any = None, conventions: dict[str, Any] | None = None) -> Reference:
        """The reference with this mistake in its place, and right in everything else."""
        wrong = Reference(process, conventions)
        setattr(wrong, self.operation, MethodType(self.function, Reference(process, conventions)))
        return wrong


class Undefined(Exception):
    """The mistake does not exist for this process or under this convention."""


CATALOGUE: dict[str, Mistake] = {}
"""All of them by name."""


def mistake(operation: str, *, wrong: str, right: str, seen: str, name: str | None = None) -> Callable[[Callable], Callable]:
    """Decorator: enter a function, under its own name or ``name``, as a wrong version of ``operation``."""
    return _entered(operation, wrong, right, seen, name)


def elsewhere(
    operation: str, shared: str, *, means: str, here: str, seen: str, name: str | None = None
) -> Callable[[Callable], Callable]:
    """Decorator: enter a legitimate convention that the contract does not have; ``shared`` is its name for all operations."""
    return _entered(operation, means, here, seen, name, True, shared)


def _entered(operation, wrong, right, seen, name, legitimate=False, shared=""):
    if operation not in OPERATIONS:
        raise ValueError(f"there is no operation {operation!r}: choose one of {', '.join(OPERATIONS)}")

    def register(function):
        key = name or function.__name__
        if key in CATALOGUE:
            raise ValueError(f"mistake {key!r} is entered twice: choose another name")
        CATALOGUE[key] = Mistake(key, operation, function, wrong, right, seen, legitimate, shared)
        return function

    return register
