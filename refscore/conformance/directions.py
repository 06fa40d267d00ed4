r"""Hutchinson's estimate with directions of its own: they are read off, and then all else is equality.

v'(Dm)v is linear in the model. With m(x) = E_jk x, E_jk the matrix of a single 1, the same seed gives M_jk = v_j v_k away, row by
row, and for every other model the answer must be sum_jk M_jk Dm_jk. (The mean of several directions a row is as good.) What
remains is the law of v, of which the estimate needs E vv' = I and no more. Known are

    rademacher   v_j = +-1: M_jj = 1 exactly; v_j v_k is balanced, by a binomial
    sphere       |v|^2 = d exactly; (u.v)^2 lies in [0, d], and its mean is 1 by Hoeffding's inequality
    gaussian     sum over rows of (u.v)^2 ~ chi^2_n

along u = e_j and (e_j +- e_k)/sqrt 2. Entries from U(0, 1) or U(-1, 1) have E v_j^2 = 1/3.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np

from refscore.conformance import reproducer_random
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.chance import SAME, Finding, count, far_from, seed_of, share, variance
from refscore.conformance.judge import DOUBLE, SINGLE, rungs_of
from refscore.conformance.ladders.setting import points
from refscore.conformance.operations import Operation
from refscore.conformance.reference import Reference
from refscore.conformance.spec import Spec
from refscore.conformance.tolerance import K
from refscore.conformance.verdict import Check

ROWS, COLUMNS = 100_000, 3
UNIFORM = ", as of "
"""Before the name of a law whose directions are too short."""
SEVERAL = 64
"""Rows that two seeds are compared on: signs alone would agree in a few."""


class Stop(Exception):
    """An answer that ends the verdict."""

    def __init__(self, answer: Answer):
        super().__init__(answer.problem)
        self.answer = answer


def judged(operation: Operation, candidate: Candidate, seed: int) -> Check:
    """The verdict on ``hutchinson`` with a seed."""
    own = seed_of(seed, operation.name)
    named: dict[str, Any] = {"category": operation.category}

    def ask(model, x, s=own) -> np.ndarray:
        answer = candidate.call(operation.name, {"model": model, "x": x, "seed": s}, [np.empty(len(x))])
        if answer.values is None:
            raise Stop(answer)
        return answer.values[0]

    try:
        rungs = rungs_of(operation, candidate)
        x = points(SEVERAL, rungs[-1].arguments["model"].dim)
        seeds = (own, own, far_from(own), *range(own + 1, own + 9))
        first, again, *others = (ask(rungs[-1].arguments["model"], x, s) for s in seeds)
        eps = candidate.declared_eps or (SINGLE if first.dtype.itemsize < 8 else DOUBLE)
        if np.abs(first - again).max() > K * SINGLE * np.abs(first).max():
            text = "the seed is ignored: the same seed gives another result, and nothing can be computed; make directions of it"
            return Check(operation.name, operation.name, "inconclusive", message=text, **named)
        if all(np.array_equal(first, other) for other in others):  # one sign pattern for all rows comes again in a few seeds
            shown = reproducer_random.estimate(operation, rungs[-1], 0, None, SAME)
            return Check(operation.name, operation.name, "fail", message=SAME, reproducer=shown, **named)
        for rung in rungs:
            spec, x = rung.arguments["model"], rung.arguments["x"]
            M, value = read_off(ask, x), ask(spec, x)
            J = Reference(candidate.process).model(spec).jacobian(x)
            wanted = np.einsum("njk,njk->n", M, J)
            allowed = K * eps * (np.abs(M).sum(axis=(1, 2)) * (np.abs(J).max(axis=(1, 2)) + 1))
            if (np.abs(value - wanted) > allowed).any():
                at = int(np.argmax(np.abs(value - wanted) / allowed))
                text = f"on rung '{rung.name}': got {value[at]:.10g}, its own directions give {wanted[at]:.10g} at index [{at}]"
                shown = reproducer_random.estimate(operation, rung, at, M[at], value[at], allowed[at])
                return Check(operation.name, operation.name, "fail", message=text, first_failing_rung=rung.name, reproducer=shown,
                             **named)
        M = read_off(ask, points(ROWS, COLUMNS))
    except Stop as stop:
        kind = stop.answer.kind
        outcome = "unsupported" if kind == "unsupported" else "fail" if kind in ("shape", "not finite") else "error"
        shown = "" if outcome == "unsupported" else reproducer_random.estimate(operation, rungs[0], 0, None, stop.answer.problem)
        return Check(operation.name, operation.name, outcome, message=stop.answer.problem, reproducer=shown, **named)
    law = law_of(M, np.sqrt(K * eps))
    tests = tests_of(law, M.sum(axis=0), ROWS)
    alarms = [t for t in tests if t.alarm]
    if not alarms:
        text = f"directions of law {law}, {len(tests)} tests; the nearest to an alarm: {min(tests, key=lambda t: t.p)}"
        return Check(operation.name, operation.name, "pass", message=text, rungs=len(rungs) + 1, **named)
    text = f"the directions do not have E vv' = I: {alarms[0]}; {moments(M.mean(axis=0))}"
    return Check(operation.name, operation.name, "fail", message=text, first_failing_rung="the law of the directions",
                 reproducer=reproducer_random.directions(f"hutchinson, directions of law {law}", alarms[0]), **named)


def read_off(ask, x: np.ndarray) -> np.ndarray:
    """vv' of every row, (n, d, d)."""
    d = x.shape[1]
    M = np.empty((len(x), d, d))
    for j, k in product(range(d), repeat=2):
        A = np.zeros((d, d))
        A[j, k] = 1.0
        M[:, j, k] = ask(Spec("linear", {"A": A, "b": np.zeros(d)}), x)
    return M


def law_of(M: np.ndarray, near: float) -> str:
    """The law of the directions, as far as single ones show it, vv' in M (n, d, d)."""
    d = M.shape[-1]
    diagonal = np.diagonal(M, axis1=1, axis2=2)
    if np.abs(diagonal - 1).max() <= near and np.abs(np.abs(M) - 1).max() <= near:
        return "rademacher"
    return "sphere" if np.abs(diagonal.sum(axis=1) - d).max() <= near * d else "gaussian"


def tests_of(law: str, total: np.ndarray, n: int) -> list[Finding]:
    """The tests that n directions of a law must pass, the sum of vv' being ``total`` (d, d); every law has at most d^2."""
    d = len(total)
    pairs = list(combinations(range(d), 2))
    level = share() / (d + 2 * len(pairs))
    if law == "rademacher":
        return [count(int(np.rint((n + total[j, k]) / 2)), n, 0.5, level, f"v_{j} v_{k} > 0") for j, k in pairs]
    sums = {f"v_{j}^2": total[j, j] for j in range(d)}
    for j, k in pairs:
        for sign, word in ((1, "+"), (-1, "-")):
            sums[f"(v_{j} {word} v_{k})^2/2"] = (total[j, j] + total[k, k]) / 2 + sign * (total[j, k] + total[k, j]) / 2
    if law == "sphere":
        return [hoeffding(s / n, n, d, level, name) for name, s in sums.items()]
    return [variance(float(s), n, level, name) for name, s in sums.items()]


def hoeffding(mean: float, n: int, top: float, level: float, name: str) -> Finding:
    """The mean of n independent values in [0, top] against 1 (Hoeffding 1963)."""
    got = float(mean)
    limit, more = (top * np.sqrt(np.log(2 / a) / (2 * n)) for a in (level, 0.01))
    return Finding(name, n, 2 * float(np.exp(-2 * n * ((got - 1) / top) ** 2)), level, got, 1.0, limit, limit + more)


def moments(mean: np.ndarray) -> str:
    """The mean of vv' in words."""
    squares, apart = np.diag(mean), mean[~np.eye(len(mean), dtype=bool)]
    text = f"the mean of v_j^2 is {squares.mean():.3f}, that of v_j v_k {apart.mean():.3f}"
    if np.abs(squares - 1 / 3).max() > 0.02:
        return text
    uniform = "U(0, 1)" if np.abs(apart - 0.25).max() < 0.02 else "U(-1, 1)" if np.abs(apart).max() < 0.02 else ""
    return f"{text}{UNIFORM}{uniform}" if uniform else text
