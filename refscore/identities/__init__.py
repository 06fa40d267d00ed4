"""Every statement once, grouped like the systems it covers; ``refscore verify`` runs them.

A module of this folder states identities (`refscore.identities._registry.identity`); all modules are found and
imported when the catalogue is first asked for, so a new identity is one decorated generator in one file.

    >>> from refscore import identities
    >>> outcomes = identities.verify(only=["B9"])       # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable

from refscore.identities._operations import REFERENCE, Operations
from refscore.identities._registry import Comparison, Identity, Table, evaluate, identity, registered
from refscore.report import Outcome

__all__ = [
    "REFERENCE",
    "Comparison",
    "Identity",
    "Operations",
    "Table",
    "catalogue",
    "evaluate",
    "identity",
    "select",
    "verify",
]


def catalogue() -> dict[str, Identity]:
    """All identities by id, in the order of the systems (A2, A3, ..., B2, ..., B10, ...)."""
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
        importlib.import_module(f"{__name__}.{module}")
    return {id: registered[id] for id in sorted(registered, key=_natural)}


def verify(
    only: Iterable[str] | None = None,
    seed: int = 0,
    ops: Operations = REFERENCE,
    *,
    identities: Iterable[Identity] | None = None,
    on_start: Callable[[Identity], None] | None = None,
    on_case: Callable[[str], None] | None = None,
    on_done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run identities and return their outcomes, in order.

    Parameters
    ----------
    only : iterable of str, optional
        Ids or prefixes, see `select`. Default: all.
    seed : int
        Fixes all random inputs.
    ops : Operations
        What the identities call. Default: the package itself.
    identities : iterable of Identity, optional
        What to choose from. Default: the catalogue.
    on_start, on_case, on_done : callable, optional
        Called with the identity, with the name of each comparison, and with the outcome.

    Raises
    ------
    LookupError
        When a name in ``only`` fits no identity; the message lists near matches.
    """
    available = list(catalogue().values() if identities is None else identities)
    outcomes = []
    for chosen in available if only is None else select(only, available):
        if on_start is not None:
            on_start(chosen)
        outcomes.append(evaluate(chosen, ops, seed, on_case=on_case))
        if on_done is not None:
            on_done(outcomes[-1])
    return outcomes


def select(only: Iterable[str], available: Iterable[Identity]) -> list[Identity]:
    """The identities that ``only`` names, in the order of ``available``, each once.

    A name is an id in either case (``b9``), or the beginning of ids up to a change from letters to digits or a dot:
    ``B`` is all of section B, ``B1`` is B1 and B1.data but not B10.

    Raises
    ------
    LookupError
        When a name fits nothing; the message lists near matches.
    """
    available = list(available)
    chosen: set[str] = set()
    for name in only:
        fits = [i.id for i in available if _fits(name, i.id)]
        if not fits:
            raise LookupError(f"no identity {name!r}: {_near(name, [i.id for i in available])}")
        chosen.update(fits)
    return [i for i in available if i.id in chosen]


def _fits(name: str, id: str) -> bool:
    wanted, have = _parts(name), _parts(id)
    return bool(wanted) and have[: len(wanted)] == wanted


def _parts(id: str) -> list[str]:
    """'B10.data' -> ['b', '10', 'data']: the pieces by which ids are matched and ordered."""
    return re.findall(r"\d+|[^\d.]+", id.strip().lower())


def _natural(id: str) -> list[tuple[bool, int, str]]:
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in _parts(id)]


def _near(name: str, ids: list[str]) -> str:
    import difflib

    lower = {id.lower(): id for id in ids}
    near = [lower[m] for m in difflib.get_close_matches(name.strip().lower(), list(lower), n=5, cutoff=0.5)]
    if near:
        return f"did you mean {', '.join(near)}?"
    return f"choose from {', '.join(ids) or 'none: the catalogue is empty'}"
