"""``refscore list`` and ``refscore explain``: what there is, one a line, and any of it in full."""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING

from refscore.cli._common import Refusal

if TYPE_CHECKING:
    from refscore.identities import Identity

SOURCES = """\
[a] a summary on score matching and diffusion   [b] Machine Learning, homework 7   [c] Deep Generative Models, lecture 13
[d] Score matching, part 3   [e] Bayesian Theory and Computation, lecture 19   X1, X2, ...: what they get wrong"""


def add(commands) -> None:
    """Enter the two commands."""
    listing = commands.add_parser("list", help="all identities and mistakes, one a line")
    listing.set_defaults(command=_list)
    explain = commands.add_parser("explain", help="one identity or mistake in full")
    explain.add_argument("id", metavar="ID", help="an identity's id (B9) or a mistake's name")
    explain.set_defaults(command=_explain)


def _everything() -> tuple[list[Identity], dict]:
    from refscore import identities, mistakes
    from refscore.identities import on_data

    return [*identities.catalogue().values(), *on_data.STATEMENTS], mistakes.CATALOGUE


def _list(arguments: argparse.Namespace) -> int:
    stated, catalogue = _everything()
    print("Identities (refscore verify; ids ending in .data with --data FILE)\n")
    width = max([len(i.id) for i in stated], default=0)
    for i in stated:
        print(f"  {i.id:<{width}}  {i.title}")
    print("\nMistakes that they must catch (operation: wrong -> right)\n")
    width = max([len(name) for name in catalogue], default=0)
    for m in catalogue.values():
        print(f"  {m.name:<{width}}  {m.operation}: {m.wrong} -> {m.right}")
    print("\nrefscore explain ID says more about any of them.")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    import difflib

    from refscore import identities

    stated, catalogue = _everything()
    wanted = arguments.id.strip().lower()
    exact = [i for i in stated if i.id.lower() == wanted]
    named = [m for m in catalogue.values() if m.name.lower() == wanted]
    if not exact and not named:
        with contextlib.suppress(LookupError):
            exact = identities.select([wanted], stated)
    if not exact and not named:
        names = {n.lower(): n for n in [*[i.id for i in stated], *catalogue]}
        near = [names[n] for n in difflib.get_close_matches(wanted, list(names), n=5, cutoff=0.5)]
        hint = f"did you mean {', '.join(near)}?" if near else "refscore list shows all of them"
        raise Refusal(f"no identity or mistake {arguments.id!r}: {hint}")
    paragraphs = [_identity_text(i, catalogue) for i in exact]
    paragraphs += [_mistake_text(m, stated) for m in named]
    print("\n\n".join(paragraphs))
    if exact:
        print(f"\n{SOURCES}")
    return 0


def _identity_text(i: Identity, catalogue: dict) -> str:
    lines = [
        f"{i.id}  {i.title}",
        _entry("states", i.statement),
        _entry("source", i.source),
        _entry("systems", ", ".join(i.systems)),
        _entry("two routes", i.method),
    ]
    caught = [catalogue[name] for name in i.catches if name in catalogue]
    if caught:
        lines.append("  catches")
        lines += [f"    {m.name} ({m.operation}): {m.wrong} -> {m.right}" for m in caught]
    return "\n".join(lines)


def _mistake_text(m, stated: list[Identity]) -> str:
    catchers = ", ".join(i.id for i in stated if m.name in i.catches)
    lines = [
        f"{m.name}, a mistake in the operation {m.operation}",
        _entry("wrong", m.wrong),
        _entry("right", m.right),
        _entry("seen in", m.seen),
        _entry("caught by", catchers or "no identity"),
    ]
    return "\n".join(lines)


def _entry(name: str, text: str) -> str:
    import textwrap

    words = " ".join(text.split())
    wrap = textwrap.wrap(words, 64, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(f"  {name if k == 0 else '':<12}{line}" for k, line in enumerate(wrap))
