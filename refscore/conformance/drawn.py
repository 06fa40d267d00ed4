r"""Losses that draw their own noise or directions: these are read off, and then all is equality.

A loss with a seed is a black box J(model; seed). But its models are ours to choose, and the noise of one seed is the same for all.

Denoising. With s(x) = a x_j + b in column j, J is sum_r c_r (a x~_rj + b + t_rj)^2 + ..., x~ the noisy point, -t the target, both
linear in x0 and in the noise. By what a x~ + t moves when x0_rj moves by +-h is not known, nor is c_r, but in all differences they
are a factor:

    D(a, b) = J(x0_rj = h) - J(x0_rj = -h) = 4 c_r h (a dx~/dx0 + dt/dx0) (a x~_rj + b + t_rj)

and (D(a, 1) + D(a, -1))/(D(a, 1) - D(a, -1)) = a x~ + t, for three a, gives x~ and t (of a wrong loss too, and apart).

Sliced. With s_j(x) = tanh(+-x_k), row r at 0 and all others far away, where tanh is flat, (v's)^2 and ||s||^2 are the same for both
signs, and half the difference is c_r v_rj v_rk. (c, and so the conventions of scale, from E v_j^2 = 1, over many rows.)

The gradient g of a loss that is quadratic in the arrays that are moved gives its differences: J(theta) - J(0) = theta'g(theta/2).

What was read off takes the place of ``noise`` or ``v`` in the ordinary ladder, and the law of what was drawn is tested: of
noise by counting the points beyond thresholds, s_1(x) = +-1 on the two sides, of directions as `refscore.conformance.directions`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain, product
from typing import Any

import numpy as np
from scipy import special

from refscore.conformance import conventions, directions
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.chance import Finding, count, seed_of, share
from refscore.conformance.judge import SINGLE, Climb, Known, rungs_of
from refscore.conformance.ladders.setting import Rung
from refscore.conformance.operations import Operation
from refscore.conformance.reference import Reference
from refscore.conformance.seeded import seeded
from refscore.conformance.spec import Spec
from refscore.conformance.tolerance import K
from refscore.conformance.verdict import Check, verdict

DENOISING = ("dsm_loss", "dsm_process_loss", "ncsn_loss", "ddpm_loss")
SLICED = ("ssm_loss", "ssm_vr_loss")
LOSSES = tuple(f"{name}{end}" for name, end in product((*DENOISING, *SLICED), ("", "_grad")))

ROWS = 50_000
"""Enough for 5 % of the noise's standard deviation to be found."""
COLUMNS = 4
"""Of directions: then 2, 1/d and 2/d are different numbers, and 1/3, of uniform ones, is none of them."""
AT_MOST = 8
"""Rows that are read off one by one; longer rungs are left out."""
FAR = 40.0
"""tanh is flat here, to the last digit."""
PATIENCE = 300.0
"""Seconds for the thousand calls by which something is read off."""
THRESHOLDS = (-3.0, -1.0, 0.0, 1.0, 3.0)


@dataclass
class Drawn(Climb):
    """A climb on which the candidate gets a seed, and the reference what the candidate drew."""

    seed: int = 0

    def ask(self, arguments: dict[str, Any], wanted: list[np.ndarray]) -> Answer:
        """The candidate's answer with the seed in place of what the reference is given."""
        return self.candidate.call(self.operation.name, seeded(arguments, self.seed), wanted)

    def right(self, reference: Reference, arguments: dict[str, Any]) -> list[np.ndarray]:
        """What the reference returns; with several directions a row their mean."""
        several = arguments.get("v")
        if several is None or several.ndim == 2:
            return super().right(reference, arguments)
        parts = [super(Drawn, self).right(reference, {**arguments, "v": v}) for v in several]
        return [np.mean(values, axis=0) for values in zip(*parts, strict=True)]


class Unreadable(Exception):
    """Nothing can be read off; with the answer that is in the way, if there is one."""

    def __init__(self, text: str, kind: str = "fail"):
        super().__init__(text)
        self.kind = kind


def judged(operation: Operation, candidate: Candidate, seed: int, wrong: Any = frozenset()) -> Check:
    """The verdict on a loss, or its gradient, that takes ``seed``."""
    def said(outcome: str, text: str) -> Check:
        return Check(operation.name, operation.name, outcome, operation.category, message=text)

    if candidate.conventions.get("predicts") == "energy":
        return said("inconclusive", "of energies the noise cannot be read off: give it a last argument noise (or v)")
    rungs = [r for r in rungs_of(operation, candidate) if len(_points(r.arguments)[1]) <= AT_MOST]
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
        return replace(found, outcome="fail", first_failing_rung=f"the law of {read.what}", message=text)
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


@dataclass
class Box:
    """The loss as a number; of a gradient, the difference that it says there is."""

    climb: Drawn

    def value(self, probe: Any, arguments: dict[str, Any]) -> float:
        """J of the model ``probe(1.0)``, rows added up; of a gradient J(probe(1)) - J(probe(0)), quadratic in between."""
        climb = self.climb
        if not climb.gradient:
            answer = climb.ask({**arguments, "model": probe(1.0)}, [np.zeros(())])
            return float(np.sum(self.numbers(answer)[0], dtype=np.float64))
        start, end = probe(0.0), probe(1.0)
        answer = climb.ask({**arguments, "model": probe(0.5)}, list(end.arrays.values()))
        return sum(float(np.sum(g * (end.arrays[k] - start.arrays[k]), dtype=np.float64))
                   for k, g in zip(end.arrays, self.numbers(answer), strict=True))

    @staticmethod
    def numbers(answer: Answer) -> list[np.ndarray]:
        """What came back, be it rows for a number."""
        values = answer.misshapen if answer.values is None else answer.values
        if values is None:
            kind = {"not finite": "fail", "shape": "fail", "unsupported": "unsupported"}.get(answer.kind, "error")
            raise Unreadable(answer.problem, kind)
        return values

    @property
    def rows(self) -> bool:
        """Whether the candidate returns one number a row."""
        longest = max(self.climb.rungs, key=lambda r: len(_points(r.arguments)[1]))
        n = len(_points(longest.arguments)[1])
        return not self.climb.gradient and self.numbers(self.climb.ask(longest.arguments, [np.zeros(n)]))[0].shape == (n,)

    def repeats(self) -> None:
        """Raise Unreadable where the same seed gives another loss, or two seeds give the same."""
        climb, arguments = self.climb, self.climb.rungs[-1].arguments
        wanted = climb.wanted(len(climb.rungs) - 1, next(conventions.possible(climb.operation.name, climb.operation.keys,
                                                                              climb.candidate.conventions, climb.gradient)))
        first, again, other = (np.concatenate([np.ravel(v) for v in self.numbers(replace(climb, seed=s).ask(arguments, wanted))])
                               for s in (climb.seed, climb.seed, climb.seed + 1))
        if np.abs(first - again).max() > K * SINGLE * np.abs(first).max():
            text = "the seed is ignored: the same seed gives another result, and nothing can be computed; draw from the seed"
            raise Unreadable(text, "inconclusive")
        if np.array_equal(first, other):
            raise Unreadable("two seeds give the same result: the seed is not used, or nothing is drawn")


def _points(arguments: dict[str, Any]) -> tuple[str, np.ndarray]:
    return next((k, v) for k, v in arguments.items() if isinstance(v, np.ndarray))


# --- denoising losses ---


@cache
def affine(d: int, time: bool, j: int, a: float, b: float, scale: float) -> Spec:
    """s(x) = scale (a x_j + b) in column j, else 0."""
    A, shift = np.zeros((d, d)), np.zeros(d)
    A[j, j], shift[j] = a * scale, b * scale
    return Spec("linear", {"A": A, "b": shift}, takes_time=time)


@cache
def gate(direction: tuple[float, ...], time: bool, threshold: float, w: float, b: float, scale: float) -> Spec:
    """s(x) = scale (+-w + b) in the first column, by the side of the threshold that direction'x lies on."""
    d, steep = len(direction), 1e6
    W1, W2, shift = np.zeros((d + time, 1)), np.zeros((1, d)), np.zeros(d)
    W1[:d, 0], W2[0, 0], shift[0] = np.array(direction) * steep, w * scale, b * scale
    return Spec("mlp", {"W1": W1, "b1": np.array([-steep * threshold]), "W2": W2, "b2": shift}, "tanh", time)


@dataclass
class Noise:
    """The noise of a denoising loss, by the noisy points and the targets."""

    box: Box
    plain: tuple[float, ...] = ()
    what = "its noise"

    def levels(self, arguments: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """alpha and sigma, one number a row."""
        n, process = len(arguments["x0"]), self.box.climb.candidate.process
        if "sigmas" in arguments:
            alpha, sigma = 1.0, arguments["sigmas"][arguments["index"]]
        elif "sigma" in arguments:
            alpha, sigma = 1.0, arguments["sigma"]
        else:
            t = arguments["t"] if "t" in arguments else arguments["index"]
            alpha, sigma = process.alpha(t), process.sigma(t)
        return np.broadcast_to(alpha, n), np.broadcast_to(sigma, n)

    def rungs(self, rungs: list[Rung]):
        """The ladder with the noise as it was read off: from the points, and from the targets, should the points be wrong."""
        def read_off(rung: Rung) -> tuple[np.ndarray, ...]:
            points, targets = self.read(rung.arguments)
            alpha, sigma = (level[:, None] for level in self.levels(rung.arguments))
            both = np.sign(points) * np.sqrt(np.maximum(points * targets, 0))
            return points / sigma, sigma * targets, -targets, -targets / alpha, both  # targets of the score, eps, v

        shapes: dict[tuple, tuple] = {}
        for rung in rungs:  # the noise of one seed depends on the shape alone
            shape = rung.arguments["x0"].shape
            if shape not in shapes:
                shapes[shape] = read_off(rung)
        self.some = shapes[max(shapes)][0]
        for way in range(5):
            yield [replace(r, arguments={**r.arguments, "noise": shapes[r.arguments["x0"].shape][way]}) for r in rungs]

    def read(self, arguments: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """x~ and t of every row with x0 = 0, (n, d) each."""
        (n, d), time = arguments["x0"].shape, arguments["model"].takes_time
        alpha = self.levels(arguments)[0]
        points, targets = np.empty((n, d)), np.empty((n, d))
        slopes = (-1.0, 2.0, -3.0)  # of x0 and v the factor may vanish for one of them
        for r, j in product(range(n), range(d)):
            step = np.zeros((n, d))
            step[r, j] = 1 / alpha[r]

            def moved(a: float, b: float, step=step, j=j) -> float:
                ends = [self.box.value(partial(affine, d, time, j, a, b), {**arguments, "x0": side * step}) for side in (1, -1)]
                return ends[0] - ends[1]

            ends = np.array([[moved(a, 1.0), moved(a, -1.0)] for a in slopes])
            plain, factor = ends.sum(axis=1) / 2, (ends[:, 0] - ends[:, 1]) / 2
            if not np.sort(np.abs(factor))[1] > 0:
                raise Unreadable(f"the noise cannot be read off: with s(x) = a x + b the loss does not depend on b x0 in row {r}, "
                                 f"column {j}, as any ||s(x0 + sigma z) - target||^2 does")
            still = np.full(3, float(self.box.climb.gradient))  # a gradient does not say how J(0), the targets alone, moves with x0
            rows = np.stack([factor * slopes, factor, still], axis=1)
            points[r, j], targets[r, j], _ = np.linalg.lstsq(rows, plain, rcond=None)[0]
        return points, targets

    def tests(self) -> list[Finding]:
        """Counts of noise beyond thresholds in two columns, their sum and their difference."""
        half = np.sqrt(0.5)
        cases = [((1.0, 0.0), "column 0", THRESHOLDS), ((0.0, 1.0), "column 1", THRESHOLDS),
                 ((half, half), "the sum of columns over sqrt 2", THRESHOLDS[1:4]),
                 ((half, -half), "the difference of columns over sqrt 2", THRESHOLDS[1:4])]
        level = share() / sum(len(thresholds) for _, _, thresholds in cases)
        return [count(self.beyond(direction, c), ROWS, float(special.ndtr(-c)), level, f"{name} beyond {c:g}")
                for direction, name, thresholds in cases for c in thresholds]

    def beyond(self, direction: tuple[float, ...], threshold: float) -> int:
        """How many of `ROWS` rows of noise lie beyond."""
        last = self.box.climb.rungs[-1].arguments
        arguments = {k: v if k == "sigmas" or np.ndim(v) == 0 else np.full(ROWS, v[0]) for k, v in last.items()
                     if k not in ("model", "noise", "x0")}
        arguments = {"model": None, "x0": np.zeros((ROWS, 2)), **arguments}
        sigma = float(self.levels(arguments)[1][0])

        def loss(w: float, b: float) -> float:
            time = last["model"].takes_time
            return self.box.value(partial(gate, direction, time, threshold * sigma, w, b), arguments)

        if not self.plain:
            up, middle, down = (loss(0.0, b) for b in (1.0, 0.0, -1.0))
            self.plain = (up - down, up - 2 * middle + down)  # 4 sum c_r t_r, and 2 sum c_r
        sides = (loss(1.0, 1.0) - loss(1.0, -1.0) - self.plain[0]) / (2 * self.plain[1])  # the mean of +-1
        return int(np.clip(np.rint(ROWS * (1 + sides) / 2), 0, ROWS))

    def spread(self) -> str:
        """What is found, in numbers that people know."""
        shares = ", ".join(f"{self.beyond((1.0, 0.0), c) / ROWS:.4f} beyond {c:g} (wanted {special.ndtr(-c):.4f})"
                           for c in THRESHOLDS)
        rows, columns = (np.ptp(self.some, axis=k).max() <= K * SINGLE * np.abs(self.some).max() for k in (0, 1))
        same = "; all rows have the same" if rows else "; all columns have the same" if columns else ""
        return f"of its first column {shares}{same}"


# --- sliced losses ---


@cache
def bent(d: int, j: int, k: int, sign: float, scale: float) -> Spec:
    """s_j(x) = scale tanh(sign x_k), else 0."""
    W1, W2 = np.zeros((d, 1)), np.zeros((1, d))
    W1[k, 0], W2[0, j] = sign, scale
    return Spec("mlp", {"W1": W1, "b1": np.zeros(1), "W2": W2, "b2": np.zeros(d)}, "tanh")


@dataclass
class Directions:
    """The directions of a sliced loss, by vv'."""

    box: Box
    what = "its directions"

    def __post_init__(self):
        d = COLUMNS
        x = np.zeros((ROWS, d))
        self.sums = self.all(x)
        size = abs(float(np.trace(self.sums))) / d
        operation, declared = self.box.climb.operation, self.box.climb.candidate.conventions
        rows = self.box.rows
        open_ = [s for s in conventions.possible(operation.name, operation.keys, declared, self.box.climb.gradient)
                 if rows == (s["over_batch"] == "none")] or [{"half": True, "over_dims": "sum", "over_batch": "mean"}]
        self.setting = min(open_, key=lambda s: abs(np.log(max(size, 1e-300) / (ROWS * self.scale(s, ROWS, d)))))
        self.sums /= self.scale(self.setting, ROWS, d)

    @staticmethod
    def scale(setting: dict[str, Any], n: int, d: int) -> float:
        """What multiplies v'(Ds)v of a row."""
        return ((1.0 if setting["half"] else 2.0) / (d if setting["over_dims"] == "mean" else 1)
                / (n if setting["over_batch"] == "mean" else 1))

    def all(self, x: np.ndarray) -> np.ndarray:
        """sum_r c_r v_r v_r' over the rows at 0, (d, d); of several directions a row the mean of vv'."""
        d = x.shape[1]
        M = np.empty((d, d))
        for j, k in product(range(d), repeat=2):
            up, down = (self.box.value(partial(bent, d, j, k, sign), {"model": None, "x": x}) for sign in (1.0, -1.0))
            M[j, k] = (up - down) / 2
        return M

    def rungs(self, rungs: list[Rung]):
        """The ladder with the directions as they were read off."""
        shapes: dict[tuple, np.ndarray] = {}
        for rung in rungs:
            shape = rung.arguments["x"].shape
            if shape not in shapes:
                shapes[shape] = np.stack([self.row(r, *shape) for r in range(shape[0])])
        self.some = shapes[max(shapes)]  # by it the law is recognised
        yield [replace(r, arguments={**r.arguments, "v": roots(shapes[r.arguments["x"].shape])}) for r in rungs]

    def row(self, r: int, n: int, d: int) -> np.ndarray:
        """vv' of row r, (d, d), but for its sign, which is that of all."""
        x = np.full((n, d), FAR)
        x[r] = 0.0
        M = self.all(x) / self.scale(self.setting, n, d) * np.sign(np.trace(self.sums))
        near = K * SINGLE * n * np.abs(M).max()
        if np.abs(M - M.T).max() > near or np.linalg.eigvalsh(M)[0] < -near or not M.any():
            found = np.array2string(M, precision=3, separator=", ").replace("\n", "")
            raise Unreadable("the directions cannot be read off: of s_j(x) = tanh(+-x_k) what changes with the sign is no v'(Ds)v: "
                             f"in row {r} the matrix vv' would be {found}")
        return M

    def tests(self) -> list[Finding]:
        """What E vv' = I asks of the sums over `ROWS` rows, by the law that the single ones show."""
        law = directions.law_of(self.some, float(np.sqrt(K * SINGLE)))
        return directions.tests_of(law, self.sums, ROWS)

    def spread(self) -> str:
        """What is found, in numbers that people know."""
        return directions.moments(self.sums / ROWS)


def roots(M: np.ndarray) -> np.ndarray:
    """v (n, d) with M = vv' row by row; where M is of higher rank v (d, n, d), of which M is the mean."""
    n, d, _ = M.shape
    values, vectors = np.linalg.eigh(M)
    v = np.sqrt(np.maximum(values, 0))[:, None, :] * vectors  # (n, d, which)
    if (values[:, :-1].max(initial=0) <= K * SINGLE * n * values[:, -1]).all():
        return v[:, :, -1]
    return np.sqrt(d) * np.moveaxis(v, -1, 0)
