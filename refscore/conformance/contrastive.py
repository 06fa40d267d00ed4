"""Contrastive divergence, which draws its own sweeps: what of it can be computed all the same.

**A few rows at a time** everything can: db = mean(x_0 - x_k) leaves few states for x_k, and then dW and dc are functions of x_0 and
x_k. So one asks whether there are states x_k at all for which dW = mean(x_0 E[z|x_0]' - x_k E[z|x_k]'), db and
dc = mean(E[z|x_0] - E[z|x_k]) are right to rounding.

**Many copies of one row** in a batch make dW, db, dc means of independent terms in [-1, 1] whose expectations are known exactly,
from the law of k sweeps over all states (`refscore.energy.expected_cd_gradient`). By Hoeffding's inequality a mean of n of them
is off by r with probability at most 2 exp(-n r^2/2), so that r = sqrt(2 log(2 m/a)/n) holds for all m entries at once but for
a probability a. With n = 100352, of slow code fewer, what is off by more than 0.05 is seen. The machine has two modes between which
it goes slowly, so that one sweep more or less is 0.11 and more up to k = 3. All states in turn, for the rows of a batch, show what
mixes them up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.conformance import reproducer_random
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.chance import SAME, far_from
from refscore.conformance.ladders.undirected import bits, machine, slow_machine
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import Operation
from refscore.conformance.reference import Reference
from refscore.conformance.tolerance import K
from refscore.conformance.undirected import states
from refscore.energy import RBM, expected_cd_gradient

ALL = 512
"""States of the visible units of the machine that copies are made for."""
FEWEST, MOST = 16 * ALL, 196 * ALL
"""Of the fewest what is off by 0.15 is seen, as two sweeps in the place of one are."""
SECONDS = 10.0
"""What the tests with copies may take in all: of code that goes row by row there are fewer."""
ALARM = 1e-8
"""Probability that a right implementation is called wrong by one of the tests with copies."""
COARSEST = 2.0**-19
"""The coarsest precision that the tests of one row know of: 4K of it are 8 units of float16, more would make 0 and 1 alike."""

_ROWS = (("one row, one unit and one", 1, 1, 1, 1.0, 1), ("one row, k = 1", 1, 4, 3, 1.0, 1), ("one row, k = 3", 1, 5, 6, 1.0, 3),
         ("one row, 4 visible, 4 hidden", 1, 4, 4, 1.0, 2), ("one row, k = 2, 9 visible, 10 hidden", 1, 9, 10, 0.7, 2),
         ("three rows, 4 visible, 4 hidden", 3, 4, 4, 1.0, 1))
_COPIES = (1, 2, 3, 20)


@dataclass(frozen=True)
class Trial:
    """One test: its name, whether it failed and how, by how much, the values that tell mistakes apart, and the failure's script."""

    name: str
    problem: str = ""
    kind: str = ""
    error: float = 0.0
    allowed: float = 0.0
    values: np.ndarray | None = None
    script: str = ""
    n: int = 0

    @classmethod
    def stopped(cls, name: str, a: dict[str, Any], k: int, problem: str, kind: str) -> Trial:
        """A test that gave no numbers."""
        return cls(name, problem, kind, script=reproducer_random.sweeps(name, {**a, "x": a["x"][:8]}, k, 0, problem))


def trials(call, seed: int, eps: float) -> Iterator[Trial]:
    """All tests of ``call(arguments) -> Answer``, from one row to many copies."""
    yield _seeds(call, seed)
    yield from (_rows(call, seed, eps, *case) for case in _ROWS)
    n = _affordable(call, seed)
    yield from (_copies(call, seed, k, n) for k in _COPIES)
    yield _unlike(call, seed, n)


def _affordable(call, seed: int) -> int:
    """How many copies there is time for, a multiple of `ALL`."""
    a = {"x": np.ones((FEWEST, len(slow_machine()["b"]))), **slow_machine()}
    start = time.perf_counter()
    call({**a, "k": 1, "seed": seed})
    sweeps = SECONDS / (time.perf_counter() - start) * FEWEST
    return int(np.clip(sweeps / (sum(_COPIES) + 1), FEWEST, MOST)) // ALL * ALL


def _seeds(call, seed: int) -> Trial:
    a = {"x": bits(50, 6), **machine(6, 4)}
    first, again, other = (call({**a, "k": 2, "seed": s}) for s in (seed, seed, far_from(seed)))
    for answer in (first, again, other):
        if answer.values is None:
            return Trial.stopped("seeds", a, 2, answer.problem, answer.kind)
    if any((p != q).any() for p, q in zip(first.values, again.values, strict=True)):
        text = "the same seed gives another result: draw from a generator made of the seed alone"
        return Trial.stopped("seeds", a, 2, text, "fail")
    if all((p == q).all() for p, q in zip(first.values, other.values, strict=True)):
        return Trial.stopped("seeds", a, 2, SAME, "fail")
    return Trial("seeds")


def _rows(call, seed: int, eps: float, name: str, n: int, v: int, m: int, size: float, k: int) -> Trial:
    """x_k, those states that come nearest to what was returned, and how far off it is from theirs."""
    worst, allowed = 0.0, 4 * K * eps * (1 + size * v)
    for s in range(8):
        a = {"x": bits(s + n, v)[-n:], **machine(v, m, size)}
        answer = call({**a, "k": k, "seed": seed + 17 * s})
        if answer.values is None:
            return Trial.stopped(name, a, k, answer.problem, answer.kind)
        found = [value.astype(np.float64) for value in answer.values]
        y = _ends(found, **a)
        wanted = Reference().cd_statistics(a["x"], y, a["W"], a["b"], a["c"])
        off = [float(np.abs(f - w).max()) for f, w in zip(found, wanted, strict=True)]
        worst = max(worst, *off)
        if not max(off) <= allowed:
            i = next(i for i in (1, 0, 2) if not off[i] <= allowed)
            array, at = ("dW", "db", "dc")[i], np.unravel_index(int(np.argmax(np.abs(found[i] - wanted[i]))), wanted[i].shape)
            index = tuple(int(j) for j in at)
            shown = reproducer_random.sweep(name, a, y, array, index, found[i][index], allowed)
            why = "with x_k sampled" if i == 1 else "with E[z|x_0], E[z|x_k], x_k being what db says"
            return Trial(name, f"{array} is not that of x_0 and any states x_k, {why}: got {found[i][index]:.10g}, nearest is "
                               f"{wanted[i][index]:.10g} at index {list(index)}", "fail", off[i], allowed, script=shown)
    return Trial(name, error=worst, allowed=allowed)


def _ends(found: list[np.ndarray], x: np.ndarray, W: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The states that the rows may have ended in: of those nearest by db the nearest by dW and dc."""
    n, reference = len(x), Reference()
    X = states(len(b))
    ends = np.stack(np.meshgrid(*[np.arange(len(X))] * n, indexing="ij"), axis=-1).reshape(-1, n)
    ends = ends[(np.diff(ends, axis=1) >= 0).all(axis=1)]  # in any order they are the same
    off = np.abs(x.mean(axis=0) - X[ends].mean(axis=1) - found[1]).max(axis=1)
    near = ends[off <= off.min() + COARSEST]
    others = [reference.cd_statistics(x, X[end], W, b, c) for end in near]
    far = [max(float(np.abs(found[i] - other[i]).max()) for i in (0, 2)) for other in others]
    return X[near[int(np.argmin(far))]]


def _copies(call, seed: int, k: int, n: int) -> Trial:
    """All rows are the mode that is left slowly."""
    return _many(call, seed, f"copies of one row, k = {k}", np.ones((1, len(slow_machine()["b"]))), k, n)


def _unlike(call, seed: int, n: int) -> Trial:
    """What mixes up the rows of a batch."""
    return _many(call, seed + 100, "rows in all states in turn, k = 1", states(len(slow_machine()["b"])), 1, n)


def _many(call, seed: int, name: str, rows: np.ndarray, k: int, n: int) -> Trial:
    """Means over n copies of some rows against their exact expectation."""
    a = slow_machine()
    a = {"x": np.resize(rows, (n, rows.shape[1])), **a}
    answer = call({**a, "k": k, "seed": seed + 1000 * k})
    if answer.values is None:
        return Trial.stopped(name, {**a, "x": rows}, k, answer.problem, answer.kind)
    found = np.concatenate([np.ravel(value) for value in answer.values]).astype(np.float64)
    exact = np.concatenate([np.ravel(e) for e in expected_cd_gradient(RBM(a["W"], a["b"], a["c"]), rows, k)])
    radius = float(np.sqrt(2 * np.log(2 * found.size * (len(_COPIES) + 1) / ALARM) / n))
    off = float(np.abs(found - exact).max())
    if off <= radius:
        return Trial(name, error=off, allowed=radius, values=found, n=n)
    at = int(np.argmax(np.abs(found - exact)))
    shown = reproducer_random.sweeps(name, {**a, "x": rows}, k, at, found[at], radius, n)
    db = answer.values[1]
    if (np.abs(db - np.rint(db)) < 1e-6).all() and np.abs(db).max() < 1.5:
        return Trial(name, "all rows end in the same state: they share their draws; draw for every row", "shared", off, radius,
                     script=shown)
    return Trial(name, f"means over {n} copies: got {found[at]:.4f}, expected exactly {exact[at]:.6f}, allowed +-{radius:.3f} "
                       f"(false alarm {ALARM:g}; sees what is off by {2 * radius:.2f})", "fail", off, radius, found, shown)


def judged(operation: Operation, candidate: Candidate, seed: int) -> dict[str, Any]:
    """What the verdict on rbm_cd_gradient says: fields of a `refscore.conformance.run.Check`."""
    shown: list[float] = [2.0**-52]
    single: list[bool] = []

    def call(arguments):
        answer = candidate.call(operation.name, arguments, [arguments["W"], arguments["b"], arguments["c"]])
        floats = [v for v in answer.values or [] if v.dtype.kind == "f"]
        shown.extend(float(np.finfo(v.dtype).eps) for v in floats)
        single.extend(np.array_equal(v.astype(np.float32).astype(np.float64), v) for v in floats if len(arguments["x"]) == 1)
        return answer

    eps = min(candidate.declared_eps or 2.0**-52, COARSEST)
    found = list(trials(call, seed, eps))
    if candidate.declared_eps is None and max(shown) > eps and any(t.kind == "fail" for t in found):
        found = list(trials(call, seed, min(max(shown), COARSEST)))
    if candidate.declared_eps is None and all(single) and any(t.kind == "fail" for t in found):
        found = list(trials(call, seed, 2.0**-23))
    failing = [t for t in found if t.problem]
    worst = max((t for t in found if t.allowed), key=lambda t: t.error / t.allowed, default=Trial(""))
    fields: dict[str, Any] = {"error": worst.error, "tolerance": worst.allowed, "rungs": len(found),
                              "failing": tuple(t.name for t in failing)}
    if not failing:
        copies = found[-1]
        text = f"means over {copies.n} copies: what is off by {2 * copies.allowed:.2f} is found (false alarm {ALARM:g})"
        return {**fields, "outcome": "pass", "message": text}
    first = failing[0]
    if first.kind == "unsupported":
        return {"outcome": "unsupported", "message": first.problem}
    outcome = "fail" if first.kind in ("fail", "shared", "shape", "not finite") else "error"
    return {**fields, "outcome": outcome, "first_failing_rung": first.name, "message": f"on rung '{first.name}': {first.problem}",
            "reproducer": first.script, "alike": _alike(found, seed)}


def _alike(found: list[Trial], seed: int) -> list[str]:
    """The mistakes that fail the same tests of one row, with the same means over copies as far as these can be told apart."""
    names = []
    if any(f.kind == "shared" for f in found):  # means over unlike rows say nothing then
        found = found[:-1]
    for m in CATALOGUE.values():
        if m.operation != "rbm_cd_gradient":
            continue
        wrong = m.adapter()

        def call(arguments, wrong=wrong):
            return Answer([np.asarray(value) for value in wrong.rbm_cd_gradient(*arguments.values())])

        if all(_like(theirs, own) for theirs, own in zip(trials(call, seed + 1, 2.0**-52), found)):
            names.append(m.name)
    return names


def _like(a: Trial, b: Trial) -> bool:
    """Whether both came out alike: with the same means, or wrong in the same array."""
    if a.values is None or b.values is None:
        return a.kind == b.kind and (a.kind != "fail" or a.problem[:2] == b.problem[:2])
    return bool(np.abs(a.values - b.values).max() <= 2 * a.allowed * max(1.0, np.abs(a.values).max()))
