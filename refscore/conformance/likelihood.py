r"""Log-likelihoods along the flow: judged by the exact log-density, within the error of a solver that is not known.

The model is the exact score of a mixture along the process, so the answer is log p_{t_min}(x), up to what every implementation
loses: its solver's error, where it stops (t_min), and that it takes N(0, sigma_T^2 I) for p_T. The last is exactly computable, and
either answer is right. `EXACT` nats are a solver's rounding; up to `CLOSE` the error is reported, and the known mistakes are
all further away: a dropped divergence is 0.69 nats off at x = 0.3 of N(0, 1/4), its flipped sign 1.39. What is further off, and yet
no further than Euler's method in `STEPS` steps, is inconclusive where it equals no mistake.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore.conformance import reproducer_random
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.diagnosis import Equals
from refscore.conformance.generating import span
from refscore.conformance.judge import rungs_of
from refscore.conformance.ladders.setting import Rung
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import Operation
from refscore.conformance.reference import Reference
from refscore.conformance.verdict import Check
from refscore.densities import Gaussian
from refscore.processes import MarginalScore
from refscore.samplers import probability_flow

EXACT, CLOSE = 1e-4, 1e-2
NEAR = 0.1
"""Nats within which nothing else is tried for what a mixture has to return."""
STEPS = 50


def judged(operation: Operation, candidate: Candidate) -> Check:
    """The verdict on ``log_likelihood``."""
    rungs = rungs_of(operation, candidate)
    # what a model predicts has no part in it: its output is handed to the candidate alone
    reference = Reference(candidate.process, {k: v for k, v in candidate.conventions.items() if k in ("t_min", "t_max")})
    right = [wanted(reference, rung) for rung in rungs]

    def ask(rung: Rung) -> Answer:
        return candidate.call(operation.name, rung.arguments, [np.empty(len(rung.arguments["x"]))])

    def off_by() -> float | None:
        answer = ask(rungs[0])
        return _off(answer.values[0], right[0]) if answer.values is not None else None if answer.hopeless else np.inf

    candidate.assume(off_by, NEAR)
    answers = []
    for rung in rungs:
        answer = ask(rung)
        if answer.values is None:
            return _problem(operation, candidate, rung, answer)
        answers.append(answer.values[0].astype(np.float64))
    off = [_off(a, w) for a, w in zip(answers, right, strict=True)]
    common: dict[str, Any] = {"category": operation.category, "error": max(off), "tolerance": CLOSE, "rungs": len(rungs)}
    if max(off) <= CLOSE:
        said = f"off by {max(off):.1e} nats at most"
        said += "" if max(off) <= EXACT else f": more than rounding, within what a solver or an early stop may do ({CLOSE:g})"
        return Check(operation.name, operation.name, "pass", message=said, **common)
    i = next(k for k, o in enumerate(off) if o > CLOSE)
    exact = right[i][0]
    at = int(np.argmax(np.abs(answers[i] - exact)))
    shown = reproducer_random.likelihood(rungs[i], candidate.process, span(candidate.process, candidate.conventions)[0], at,
                                         answers[i][at], CLOSE)
    text = f"on rung '{rungs[i].name}': got {answers[i][at]:.6g}, wanted {exact[at]:.6g} at index [{at}]"
    equal = _equal(reference, rungs, answers, off)
    if not equal and all(o <= max(CLOSE, euler(reference, r)) for o, r in zip(off, rungs, strict=True)):
        start, end = span(candidate.process, candidate.conventions)
        text += (f"; Euler's method in {STEPS} steps from {start:g} to {end:g} is as far off: take more of them, or declare the "
                 "t_min and t_max that are yours; else nothing can be decided")
        return Check(operation.name, operation.name, "inconclusive", message=text, **common)
    if equal:
        text += f"; equals {equal[0].mistake} to {equal[0].digits} digits: {equal[0].text}"
    return Check(operation.name, operation.name, "fail", message=text, diagnosis=tuple(equal), first_failing_rung=rungs[i].name,
                 failing=tuple(r.name for r, o in zip(rungs, off, strict=True) if o > CLOSE), reproducer=shown, **common)


def _off(values: np.ndarray, right: list[np.ndarray]) -> float:
    """How far off, from the nearer of the two answers that are right."""
    return min(float(np.abs(values - w).max()) for w in right)


def wanted(reference: Reference, rung: Rung) -> list[np.ndarray]:
    """log p_{t_min}, and the same with the law of the end taken for a Gaussian."""
    start, _ = span(reference.process, reference.conventions)
    spec, x = rung.arguments["model"], rung.arguments["x"]
    exact = reference.process.marginal(spec.density, start).logpdf(x)
    return [exact, reference.log_likelihood(reference.model(spec), x)]


def euler(reference: Reference, rung: Rung) -> float:
    """How far off the flow is along `STEPS` steps of Euler's method."""
    process, density = reference.process, rung.arguments["model"].density
    start, end = span(process, reference.conventions)
    steps = probability_flow(process, MarginalScore(process, density)).steps(np.linspace(start, end, STEPS + 1), "euler")
    law = Gaussian(np.zeros(density.dim), float(process.sigma(end)) ** 2 * np.eye(density.dim))
    found = steps.log_likelihood(rung.arguments["x"], law).total
    return float(np.abs(found - process.marginal(density, start).logpdf(rung.arguments["x"])).max())


def _problem(operation: Operation, candidate: Candidate, rung: Rung, answer) -> Check:
    if answer.kind == "unsupported":
        return Check(operation.name, operation.name, "unsupported", operation.category, message=answer.problem)
    outcome = "fail" if answer.kind in ("shape", "not finite") else "error"
    start, _ = span(candidate.process, candidate.conventions)
    return Check(operation.name, operation.name, outcome, operation.category, first_failing_rung=rung.name,
                 message=f"on rung '{rung.name}': {answer.problem}",
                 reproducer=reproducer_random.likelihood(rung, candidate.process, start, 0, answer.problem))


def _equal(reference: Reference, rungs: list[Rung], answers: list[np.ndarray], errors: list[float]) -> list[Equals]:
    """Every mistake that is as close to all answers as a solver may be, and leaves less than half the error; the closest first."""
    found = []
    for m in (m for m in CATALOGUE.values() if m.operation == "log_likelihood"):
        off = 0.0
        for rung, answer, error in zip(reversed(rungs), reversed(answers), reversed(errors)):
            wrong = m.function(reference, reference.model(rung.arguments["model"]), rung.arguments["x"])
            left = float(np.abs(answer - wrong).max())
            off = max(off, left / max(1.0, float(np.abs(wrong).max())))
            if not off <= CLOSE or (error > CLOSE and left > error / 2):
                break
        else:
            digits = int(np.clip(-np.log10(max(off, 1e-15)), 0, 15))
            found.append((off, Equals(m.name, digits, f"{m.wrong}, where {m.right} belongs", m.legitimate, m.shared)))
    return [e for _, e in sorted(found, key=lambda pair: pair[0])]
