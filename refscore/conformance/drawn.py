r"""Losses that draw their own noise or directions: these are read off, and then all is equality.

A loss with a seed is a black box J(model; seed). But its models are ours to choose, and the noise of one seed is the same for all:
`refscore.conformance.drawn_noise` and `refscore.conformance.drawn_directions` say how it is read off. It then takes the place of
``noise`` or ``v`` in the ordinary ladder, and the law of what was drawn is tested.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, product
from typing import Any

from refscore.conformance.black_box import Box, Drawn, Unreadable, points_of
from refscore.conformance.candidate import Candidate
from refscore.conformance.chance import seed_of
from refscore.conformance.drawn_directions import Directions
from refscore.conformance.drawn_noise import Noise
from refscore.conformance.judge import Known, rungs_of
from refscore.conformance.operations import Operation
from refscore.conformance.verdict import Check, verdict

DENOISING = ("dsm_loss", "dsm_process_loss", "ncsn_loss", "ddpm_loss")
SLICED = ("ssm_loss", "ssm_vr_loss")
LOSSES = tuple(f"{name}{end}" for name, end in product((*DENOISING, *SLICED), ("", "_grad")))

AT_MOST = 8
"""Rows that are read off one by one; longer rungs are left out."""
PATIENCE = 300.0
"""Seconds for the thousand calls by which something is read off."""


def judged(operation: Operation, candidate: Candidate, seed: int, wrong: Any = frozenset()) -> Check:
    """The verdict on a loss, or its gradient, that takes ``seed``."""
    def said(outcome: str, text: str) -> Check:
        return Check(operation.name, operation.name, outcome, operation.category, message=text)

    if candidate.conventions.get("predicts") == "energy":
        return said("inconclusive", "of energies the noise cannot be read off: give it a last argument noise (or v)")
    rungs = [r for r in rungs_of(operation, candidate) if len(points_of(r.arguments)[1]) <= AT_MOST]
    box = Box(Drawn(operation, candidate, rungs, seed=seed_of(seed, operation.name)))
    sliced = operation.name.removesuffix("_grad") in SLICED
    try:
        box.repeats()
        read = candidate.together(lambda: Directions(box) if sliced else Noise(box), PATIENCE)
        ways = candidate.together(lambda: list(read.rungs(rungs)), PATIENCE)
        found = _verdict([replace(box.climb, rungs=way, answers=[], known=Known()) for way in ways], wrong)
        if found.outcome != "pass":
            return replace(found, message=f"{found.message} (what it draws is read off)")
        tests = candidate.together(read.tests, PATIENCE)
    except Unreadable as stop:
        return said(stop.kind, str(stop))
    except TimeoutError as stop:
        return said("error", str(stop))
    alarms = sorted((t for t in tests if t.alarm), key=lambda t: -t.found / t.limit)
    if alarms:
        text = f"right as a function of {read.what}, whose law is wrong: {alarms[0]}; {read.spread()}"
        return replace(found, outcome="fail", first_failing_rung=f"the law of {read.what}", message=text,
                       reproducer=read.script(f"{operation.name}, {read.what}", alarms[0]))
    nearest = min(tests, key=lambda t: t.p)
    return replace(found, message=f"{read.what} read off and tested: {len(tests)} tests, the nearest to an alarm: {nearest}")


def _verdict(climbs: list[Drawn], wrong: Any) -> Check:
    """Of what was read off in several ways the one that is right; else the first that says why not; else the first."""
    for climb in climbs:
        climb.climb()
        setting = climb.infer(climb.eps, climb.candidate.conventions)
        if setting is not None and all(climb.excess(i, setting, climb.eps) <= 1 for i in range(len(climb.answers))):
            return verdict(replace(climb, answers=[]), wrong)
    verdicts = (verdict(replace(climb, answers=[]), wrong) for climb in climbs)
    first = next(verdicts)
    return next((c for c in chain([first], verdicts) if c.diagnosis or c.causes), first)
