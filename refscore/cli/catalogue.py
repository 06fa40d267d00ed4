"""``refscore list`` and ``refscore explain``: what there is, one a line, and any of it in full."""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING

from refscore.cli._common import Refusal

if TYPE_CHECKING:
    from refscore.conformance import Operation
    from refscore.identities import Identity

SOURCES = """\
[a] a summary on score matching and diffusion   [b] Machine Learning, homework 7   [c] Deep Generative Models, lecture 13
[d] Score matching, part 3   [e] Bayesian Theory and Computation, lecture 19   X1, X2, ...: what they get wrong"""


def add(commands) -> None:
    """Enter the two commands."""
    listing = commands.add_parser("list", help="all identities, operations and mistakes, one a line",
                                  epilog="refscore list ddim eta")
    listing.add_argument("words", metavar="WORD", nargs="*", help="only lines that have every one of these words")
    listing.set_defaults(command=_list)
    explain = commands.add_parser("explain", help="one identity, operation or mistake in full", epilog="refscore explain dsm_loss")
    explain.add_argument("id", metavar="ID", help="an identity's id (B9), an operation (dsm_loss), a mistake's name, a profile of "
                                                  "operations (ddpm), or 'model' or 'conventions', of adapters")
    explain.set_defaults(command=_explain)


def _everything() -> tuple[list[Identity], dict]:
    from refscore import identities, mistakes
    from refscore.identities import on_data

    return [*identities.catalogue().values(), *on_data.STATEMENTS], mistakes.CATALOGUE


def _list(arguments: argparse.Namespace) -> int:
    stated, catalogue = _everything()
    from refscore.conformance import OPERATIONS
    from refscore.conformance.mistakes import CATALOGUE

    rows = {
        "Identities (refscore verify; ids ending in .data with --data FILE)": [(i.id, i.title) for i in stated],
        "Mistakes that they must catch (operation: wrong -> right)": [
            (m.name, f"{m.operation}: {m.wrong} -> {m.right}") for m in catalogue.values()],
        "Operations of an adapter (refscore check)": [(_signature(name), o.formula) for name, o in OPERATIONS.items()],
        "Mistakes that their answers are compared with (operation: wrong -> right; convention: legitimate elsewhere -> here)": [
            (c.name, f"{'convention, ' if c.legitimate else ''}{c.operation}: {c.wrong} -> {c.right}") for c in CATALOGUE.values()],
    }  # fmt: skip
    words = [word.lower() for word in arguments.words]
    found = {head: [r for r in listed if all(w in " ".join(r).lower() for w in words)] for head, listed in rows.items()}
    if not any(found.values()):
        raise Refusal(f"nothing has {' and '.join(map(repr, words))} in its line: refscore list shows all of them")
    for head, listed in found.items():
        if listed:
            width = max(len(name) for name, _ in listed)
            print(f"{head}\n", *[f"  {name:<{width}}  {text}" for name, text in listed], sep="\n", end="\n\n")
    print("refscore explain ID says more about any of them.")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    import difflib

    from refscore import identities
    from refscore.conformance import OPERATIONS
    from refscore.conformance.mistakes import CATALOGUE

    stated, catalogue = _everything()
    wanted = arguments.id.strip().lower()
    exact = [i for i in stated if i.id.lower() == wanted]
    named = [m for m in catalogue.values() if m.name.lower() == wanted]
    known = [_wrong_text(m) for m in CATALOGUE.values() if m.name.lower() == wanted]
    if wanted in OPERATIONS:
        known.append(_operation_text(OPERATIONS[wanted]))
    known += _topics(wanted)
    if not exact and not named and not known:
        with contextlib.suppress(LookupError):
            exact = identities.select([wanted], stated)
    if not exact and not named and not known:
        names = {n.lower(): n for n in ["model", "conventions", *[i.id for i in stated], *catalogue, *OPERATIONS, *CATALOGUE]}
        near = [names[n] for n in difflib.get_close_matches(wanted, list(names), n=5, cutoff=0.5)]
        hint = f"did you mean {', '.join(near)}?" if near else "refscore list shows all of them"
        raise Refusal(f"no identity, operation or mistake {arguments.id!r}: {hint}")
    paragraphs = [_identity_text(i, catalogue) for i in exact]
    paragraphs += [*[_mistake_text(m, stated) for m in named], *known]
    print("\n\n".join(paragraphs))
    if exact or wanted in OPERATIONS:
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


def _signature(name: str) -> str:
    import inspect

    from refscore.conformance import Reference

    method = getattr(Reference, name, None)
    return name if method is None else f"{name}({', '.join(list(inspect.signature(method).parameters)[1:])})"


def _operation_text(o: Operation) -> str:
    from refscore.conformance.candidate import VALUES
    from refscore.conformance.conventions import open_values
    from refscore.conformance.ladders.setting import Setting
    from refscore.conformance.mistakes import CATALOGUE
    from refscore.processes import DDPM, VP, linear_betas

    process = DDPM(linear_betas(100)) if o.needs == "chain" else VP()
    needs = {"process": "a process", "sde": "a process in continuous time", "chain": "a process with indices, DDPM(betas)"}
    told = {key: [f"{v}{'' if v in VALUES[key] else ' (found, never declared)'}" for v in open_values(o.name, key)]
            for key in o.keys}
    keys = [f"{key}: {', '.join(values)}" for key, values in told.items()]
    lines = [_signature(o.name)]
    drawn = next((name for name in ("noise", "v") if f" {name})" in lines[0]), None)
    if drawn:
        lines[0] += f"  or with seed in place of {drawn}, where it draws its own"
    lines += [_entry("computes", o.formula), _entry("source", o.source)]
    lines += [_entry("needs", needs[o.needs])] if o.needs else []
    lines += [_entry("made of", ", ".join(o.after))] if o.after else []
    lines += [_entry("conventions" if k == 0 else "", text) for k, text in enumerate(keys)]
    lines += [_entry("rungs" if k == 0 else "", rung.name) for k, rung in enumerate(o.ladder(Setting(process)))]
    of = [m for m in CATALOGUE.values() if m.operation in (o.name, o.name.removesuffix("_grad"))]
    if of:
        lines.append("  told apart from")
        lines += [f"    {m.name}: {m.wrong} -> {m.right}" for m in of]
    return "\n".join(lines)


def _topics(wanted: str) -> list[str]:
    """What adapters are made of, and profiles."""
    from refscore.conformance import spec
    from refscore.conformance.candidate import VALUES
    from refscore.conformance.profiles import PROFILES

    if wanted in ("model", "spec"):
        text = """\
model(spec), of an adapter: builds what spec says, and is handed to the operations as it is. Raise NotImplementedError for a
kind that cannot be built. Keep spec.dim where an operation needs it and has no x, as sample; without model(spec) refscore's own
models are handed over, callable, with jvp, vjp, jacobian, of energies gradient and hessian, and with model.spec."""
        return [f"{text}\n\n{spec.__doc__.strip()}"]
    if wanted == "conventions":
        lines = ["conventions, a dict of an adapter: what is left out is inferred from what it answers"]
        lines += [_entry(key, ", ".join(map(repr, values))) for key, values in VALUES.items()]
        lines += [_entry("t_min", "where samples end and likelihoods begin"), _entry("t_max", "where samples begin")]
        lines += [_entry("dtype", "'float64', 'float32' or 'float16'")]
        return ["\n".join([*lines, "", "refscore explain OPERATION says on which of them it depends."])]
    if wanted in PROFILES:
        return [f"{wanted}, a profile (refscore check --require {wanted})\n{_entry('operations', ', '.join(PROFILES[wanted]))}"]
    return []


def _wrong_text(m) -> str:
    """A mistake, or another convention, in an operation of an adapter."""
    what = "a convention elsewhere" if m.legitimate else "a mistake"
    words = ("elsewhere", "here") if m.legitimate else ("wrong", "right")
    lines = [f"{m.name}, {what} in the operation {m.operation} of an adapter", _entry(words[0], m.wrong), _entry(words[1], m.right),
             _entry("seen in", m.seen)]
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
