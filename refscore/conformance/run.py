"""A whole run: every operation of the contract that the adapter has, the verdicts in the order in which they depend.

    pass          right on every rung
    fail          wrong: got, wanted, rung, and what it equals
    error         the adapter is in the way: it raises, returns what is no array, changes its arguments
    convention    right in a convention that is legitimate elsewhere and not this adapter's, or not the contract's
    unsupported   the operation is absent, or has no meaning for the adapter's process
    blocked       wrong, and so is an operation that it is made of: mend that first
    inconclusive  nothing could be decided

An adapter has one convention for all its operations: what most of them follow, where it is not declared. An operation that
follows another is named, not called wrong; where a convention is declared, an operation that follows another is wrong.
Its precision too is what most operations show. More of it is never wrong; an operation that has less is.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from typing import Any

from refscore import __version__
from refscore.conformance import contrastive, conventions, directions, drawn, likelihood, sampled, seeded
from refscore.conformance.candidate import BrokenAdapter, Candidate
from refscore.conformance.chance import FALSE_ALARM_BUDGET as FALSE_ALARM_BUDGET
from refscore.conformance.diagnosis import Equals, exists
from refscore.conformance.judge import Climb, rungs_of
from refscore.conformance.ladders.setting import Setting
from refscore.conformance.mistakes import CATALOGUE, Mistake
from refscore.conformance.operations import OPERATIONS, Operation
from refscore.conformance.reference import Reference
from refscore.conformance.verdict import PRECISIONS, Check, verdict

OF_MIXTURES = {"sample", "log_likelihood"}
"""Operations whose models are all mixtures: they tell nothing about networks."""
OF_MODELS = {name for name, o in OPERATIONS.items() if o.category in ("loss", "gradient", "sampler") and name != "posterior"} | {
    "denoise", *OF_MIXTURES}
"""Operations that take a model's output for a score, or what else is declared."""
PROBES = 3
OUTCOMES = ("pass", "fail", "error", "xfail", "xpass", "unsupported", "skipped", "blocked", "inconclusive", "convention")


@dataclass(frozen=True)
class Result:
    """What one run found."""

    target: str
    seed: int
    checks: tuple[Check, ...]
    conventions: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    @property
    def counts(self) -> dict[str, int]:
        """How many checks of each outcome, always with all outcomes as keys."""
        return {kind: sum(c.outcome == kind for c in self.checks) for kind in OUTCOMES}

    @property
    def code(self) -> int:
        """0 conforms, 1 does not, 3 nothing failed but nothing was covered."""
        counts = self.counts
        if counts["fail"] + counts["error"] + counts["xpass"] + counts["blocked"]:
            return 1
        return 0 if counts["pass"] + counts["convention"] else 3


def check(adapter: Any, *, seed: int = 0, only: tuple[str, ...] | None = None, on_start: Callable[[str], None] | None = None,
          on_done: Callable[[Check], None] | None = None) -> Result:
    """Judge every operation of an adapter (an object, or its class).

    Parameters
    ----------
    adapter : object with any of the contract's operations as methods, or a class of such.
    seed : int
        Of what is random: the statistical checks.
    only : names of operations, default all.
    on_start, on_done : called with the operation's name, and with its verdict.

    Raises BrokenAdapter when the adapter cannot be built or its ``conventions`` are none.
    """
    candidate = Candidate(built(adapter))
    checks: list[Check] = []
    for operation in OPERATIONS.values():
        if only is not None and operation.name not in only:
            continue
        if on_start is not None:
            on_start(operation.name)
        start = time.perf_counter()
        wrong = {c.operation for c in checks if c.outcome == "fail"}
        if operation.name in OF_MIXTURES:
            votes = Counter(c.conventions["predicts"] for c in checks if c.outcome == "pass" and "predicts" in c.inferred)
            candidate.assumed = max(votes, key=votes.__getitem__, default=candidate.assumed)
        found = replace(judged(operation, candidate, seed, wrong), seconds=time.perf_counter() - start)
        checks.append(found)
        if on_done is not None:
            on_done(found)
    candidate, checks = _of_energies(checks, candidate, seed)
    checks = _of_own_losses(_one_precision(checks, candidate, seed), candidate, seed)
    agreed, checks = _one_convention(checks, candidate)
    checks = _root_causes(_shared(checks, candidate))
    return Result(type(candidate.adapter).__name__, seed, tuple(checks), agreed)


def built(adapter: Any) -> Any:
    """The adapter as an object: a class is built, without arguments."""
    if not isinstance(adapter, type):
        return adapter
    try:
        return adapter()
    except (Exception, SystemExit) as error:
        raised = f"{adapter.__name__}() raises {type(error).__name__}: {error}"
        raise BrokenAdapter(f"{raised}; an adapter is built without arguments") from error


def judged(operation: Operation, candidate: Candidate, seed: int, wrong: Set[str] = frozenset()) -> Check:
    """The verdict on one operation; ``wrong`` are those that failed before it."""
    why = unfit(operation, candidate)
    if why:
        return Check(operation.name, operation.name, why[0], operation.category, message=why[1])
    if operation.name == "rbm_cd_gradient":
        return _contrastive(operation, candidate, seed)
    if operation.name == "log_likelihood":
        return likelihood.judged(operation, candidate)
    if operation.name == "sample":
        return sampled.judged(operation, candidate, seed)
    if candidate.takes_seed(operation.name) and operation.name == "hutchinson":
        return directions.judged(operation, candidate, seed)
    if candidate.takes_seed(operation.name) and operation.name in drawn.LOSSES:
        return drawn.judged(operation, candidate, seed, wrong)
    if candidate.takes_seed(operation.name):
        return seeded.judged(operation, candidate, seed)
    found = verdict(Climb(operation, candidate, rungs_of(operation, candidate)), wrong)
    energies = candidate.conventions.get("predicts") == "energy"
    if operation.category == "derivative" and energies and found.outcome in ("fail", "error"):
        scores = verdict(Climb(operation, candidate, rungs_of(operation, candidate, scores=True)), wrong)
        found = replace(scores, message="of the score -grad E") if scores.outcome == "pass" else found
    return found


def unfit(operation: Operation, candidate: Candidate) -> tuple[str, str] | None:
    """The outcome, and why, where there is nothing to call; None where there is."""
    if not candidate.has(operation.name):
        own = getattr(candidate.adapter, operation.name, None)
        return ("unsupported", "the adapter does not have it") if own is None else (
            "error", f"it is {own!r}: make it a method, or None to leave it out")
    if candidate.takes_seed(operation.name) and operation.name not in (
            "rbm_cd_gradient", "sample", "hutchinson", *seeded.STATE, *drawn.LOSSES):
        return "inconclusive", "it has a last argument seed, and nothing to draw: take it away"
    if not operation.needs:
        return None
    if candidate.process is None:
        return "error", "the adapter has no process: set process to a refscore process, such as VP()"
    chain = Setting(candidate.process).chain
    if operation.needs == "sde" and chain:
        return "unsupported", "the process is a chain: there is no drift or diffusion between two indices"
    if operation.needs == "chain" and not chain:
        return "unsupported", "the process has no indices: set process to a refscore DDPM(betas)"
    return None


def _contrastive(operation: Operation, candidate: Candidate, seed: int) -> Check:
    fields = contrastive.judged(operation, candidate, seed)
    known = [CATALOGUE[name] for name in fields.pop("alike", ())]
    alike = tuple(Equals(m.name, 2, f"{m.wrong}, where {m.right} belongs") for m in known)
    if alike:
        fields["message"] += f"; fails the same tests as {alike[0].mistake}, with the same means: {alike[0].text}"
    return Check(operation.name, operation.name, category=operation.category, diagnosis=alike, **fields)


def _of_energies(checks: list[Check], candidate: Candidate, seed: int) -> tuple[Candidate, list[Check]]:
    """Whether the adapter takes a model's output for an energy, where nothing is declared and nothing of it is right otherwise.

    Then all that has a model is judged again, with energies for models; `PROBES` of the operations are tried. What equals a
    mistake, or is right on half of the rungs, is of vector fields.
    """
    of_models = [c for c in checks if c.operation in OF_MODELS and c.outcome in ("pass", "fail", "error")]
    told = [c for c in of_models if c.operation not in OF_MIXTURES]
    of_fields = [c for c in told if c.outcome == "pass" or c.outcome == "fail" and (c.diagnosis or 2 * len(c.failing) <= c.rungs)]
    if "predicts" in candidate.conventions or not told or of_fields:
        return candidate, checks
    energies = copy.copy(candidate)
    energies.assumed, energies.conventions = "energy", {**candidate.conventions, "predicts": "energy"}
    tried = [judged(OPERATIONS[c.operation], energies, seed) for c in told[:PROBES]]
    if not any(c.outcome == "pass" or any(e.legitimate for e in c.diagnosis) for c in tried):  # log p for -log p, say
        return candidate, checks
    result, wrong = [], {c.operation for c in checks if c.outcome == "fail" and c not in of_models}
    for c in checks:
        if c in of_models or c.category == "derivative" and c.outcome in ("fail", "error"):
            c = replace(judged(OPERATIONS[c.operation], energies, seed, wrong), seconds=c.seconds)
            wrong |= {c.operation} if c.outcome == "fail" else set()
        result.append(c)
    return energies, result


def _one_precision(checks: list[Check], candidate: Candidate, seed: int) -> list[Check]:
    """What most operations show is the adapter's precision, where none is declared.

    An operation that shows less and passed by it, or more and failed by it, is judged again as if that were declared.
    """
    shown = Counter(c.precision for c in checks if c.outcome == "pass" and c.precision)
    if candidate.conventions.get("dtype") is not None or not shown:
        return checks
    agreed = max(shown, key=lambda p: (shown[p], -PRECISIONS.index(p)))
    declared = copy.copy(candidate)
    declared.conventions = {**candidate.conventions, "dtype": agreed}
    result = []
    for c in checks:
        less = c.precision and PRECISIONS.index(c.precision) - PRECISIONS.index(agreed)
        if less and (c.outcome == "pass" if less < 0 else c.outcome == "fail"):
            wrong = {r.operation for r in checks if r.outcome == "fail" and r is not c}
            again = replace(judged(OPERATIONS[c.operation], declared, seed, wrong), seconds=c.seconds)
            if less < 0 and again.outcome == "fail":
                text = f"the adapter's other operations are {agreed}; declare dtype {c.precision!r} if that is meant"
                again = replace(again, message=f"{again.message}; {text}")
            c = again
        result.append(c)
    return result


def _of_own_losses(checks: list[Check], candidate: Candidate, seed: int) -> list[Check]:
    """A gradient is that of the adapter's own loss, whose conventions it follows: one that is right in others is wrong."""
    losses = {c.operation: c for c in checks if c.outcome == "pass" and c.category == "loss"}
    result = []
    for c in checks:
        own = losses.get(c.operation.removesuffix("_grad")) if c.category == "gradient" and c.outcome == "pass" else None
        wanted = {k: v for k, v in own.conventions.items() if v != "none"} if own else {}  # of rows it is that of one number
        odd = [k for k, v in wanted.items() if c.conventions.get(k) != v and k in c.inferred]
        if own and odd:
            declared = copy.copy(candidate)
            declared.conventions = {**candidate.conventions, **wanted}
            again = replace(judged(OPERATIONS[c.operation], declared, seed), seconds=c.seconds)
            follows, others = (", ".join(f"{k}={v[k]!r}" for k in odd) for v in (c.conventions, wanted))
            found = again.message.partition("; it follows")[0]
            text = f"the gradient of a loss with {follows}; the adapter's own {own.operation} has {others}; {found}"
            c = replace(again, message=text, inferred=c.inferred)
        result.append(c)
    return result


def _one_convention(checks: list[Check], candidate: Candidate) -> tuple[dict[str, Any], list[Check]]:
    """The adapter's convention for every key, declared or what most operations follow; who follows another is named."""
    votes: dict[str, Counter] = {}
    for c in checks:
        if c.outcome == "pass":
            for key in c.inferred:
                if c.category == "gradient" and key == "over_batch":
                    continue  # a gradient is that of one number, whether or not the loss is rows
                if c.conventions[key] != conventions.OWN_DEFAULT.get((c.operation, key)):
                    votes.setdefault(key, Counter())[c.conventions[key]] += 1
    agreed = {key: max(count, key=lambda v: (count[v], v == conventions.DEFAULTS[key])) for key, count in votes.items()}
    result = []
    for c in checks:
        odd = [k for k in c.inferred if c.outcome == "pass" and k in agreed and c.conventions[k] != agreed[k]
               and not (c.category == "gradient" and k == "over_batch" and agreed[k] == "none")
               and c.conventions[k] != conventions.OWN_DEFAULT.get((c.operation, k))]
        plain = [k for k, v in c.conventions.items() if c.outcome == "pass" and v == "prediction" and k not in odd]
        if odd or plain:
            follows = ", ".join(f"{k}={c.conventions[k]!r}" for k in odd + plain)
            others = ", ".join(f"{k}={agreed[k]!r}" for k in odd)
            text = f"right with {follows}, a legitimate convention; " + (
                f"the adapter's other operations have {others}" if odd else "it is none that can be declared")
            c = replace(c, outcome="convention", message=text)
        result.append(c)
    return {**agreed, **candidate.conventions}, result


def _shared(checks: list[Check], candidate: Candidate) -> list[Check]:
    """A convention of the whole adapter, such as indices that count from 0, is one where all operations that could follow it do.

    Two of them at least, where there are two: one alone is wrong. A loss and its gradient are one.
    """
    result = list(checks)
    for name in sorted({e.shared for c in checks for e in c.diagnosis if e.legitimate}):
        could = {m.operation: m for m in CATALOGUE.values() if m.shared == name}
        follow = [c for c in checks if c.outcome in ("fail", "error") and any(e.shared == name for e in c.diagnosis)]
        against = [c for c in checks if (m := could.get(c.operation.removesuffix("_grad"))) and c not in follow
                   and (c.outcome in ("fail", "error") or c.outcome in ("pass", "convention") and _differs(m, c, candidate))]
        if len({c.operation.removesuffix("_grad") for c in follow}) >= min(2, len(could)) and not against:
            for c in follow:
                text = f"right where {name}: a legitimate convention, and not the contract's; {c.message}"
                result[checks.index(c)] = replace(c, outcome="convention", message=text)
    return result


def _differs(m: Mistake, c: Check, candidate: Candidate) -> bool:
    """Whether following the convention would show in an operation that passes: alpha^2 = alpha where alpha is 1."""
    reference = Reference(candidate.process, {**candidate.conventions, **c.conventions})
    return exists(m, reference, rungs_of(OPERATIONS[m.operation], candidate))


def _root_causes(checks: list[Check]) -> list[Check]:
    """An operation that is wrong because a part of it is wrong is blocked by that part."""
    bad = {c.operation for c in checks if c.outcome in ("fail", "error")}
    roots: dict[str, tuple[str, ...]] = {}
    result = []
    for c in checks:  # in the order in which they depend
        parts = [name for name in OPERATIONS[c.operation].after if name in bad]
        of_part = any(CATALOGUE[e.mistake].operation in parts for e in c.diagnosis if e.mistake in CATALOGUE)
        if c.causes or of_part or not c.diagnosis:  # right as far as its parts are; a gradient of a wrong loss; or unknown
            parts = list(c.causes) or parts
        else:
            parts = []
        causes = tuple(dict.fromkeys(root for name in parts for root in roots.get(name, (name,))))
        if c.outcome == "fail" and causes:
            roots[c.operation] = causes
            verb = "is" if len(causes) == 1 else "are"
            text = f"{' and '.join(causes)} {verb} wrong: mend that first; {c.message}"
            c = replace(c, outcome="blocked", causes=causes, message=text)
        result.append(c)
    return result
