r"""The noise that a denoising loss draws, read off and tested.

With s(x) = a x_j + b in column j, J is sum_r c_r (a x~_rj + b + t_rj)^2 + ..., x~ the noisy point, -t the target, both
linear in x0 and in the noise. By what a x~ + t moves when x0_rj moves by +-h is not known, nor is c_r, but in all differences they
are a factor:

    D(a, b) = J(x0_rj = h) - J(x0_rj = -h) = 4 c_r h (a dx~/dx0 + dt/dx0) (a x~_rj + b + t_rj)

and (D(a, 1) + D(a, -1))/(D(a, 1) - D(a, -1)) = a x~ + t, for three a, gives x~ and t (of a wrong loss too, and apart). In many
rows the noise is counted beyond thresholds, s_1(x) = +-1 on the two sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
from scipy import special

from refscore.conformance import chance, reproducer_random
from refscore.conformance.black_box import ROWS, Box, Unreadable
from refscore.conformance.chance import Finding, batches, count, share, variance
from refscore.conformance.judge import SINGLE
from refscore.conformance.ladders.setting import Rung
from refscore.conformance.spec import Spec
from refscore.conformance.tolerance import K

MOST = 400_000
"""Rows in which 0.7 % of the noise's standard deviation is found, and what is clipped at 4."""
BATCH, SEEDS = 4, 120
SLOPES = (-1.0, 2.0, -3.0)
"""Of s = a x + b: of x0 and v the factor may vanish for one of them."""
THRESHOLDS = (-3.0, -1.0, 0.0, 1.0, 3.0)


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
    plain: dict[int, tuple[float, float]] = field(default_factory=dict)
    what = "its noise"
    script = staticmethod(partial(reproducer_random.statistic, law="of independent N(0, 1)"))

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
        for r, j in product(range(n), range(d)):
            step = np.zeros((n, d))
            step[r, j] = 1 / alpha[r]

            def moved(a: float, b: float, step=step, j=j) -> float:
                ends = [self.box.value(partial(affine, d, time, j, a, b), {**arguments, "x0": side * step}) for side in (1, -1)]
                return ends[0] - ends[1]

            ends = np.array([[moved(a, 1.0), moved(a, -1.0)] for a in SLOPES])
            plain, factor = ends.sum(axis=1) / 2, (ends[:, 0] - ends[:, 1]) / 2
            if not np.sort(np.abs(factor))[1] > 0:
                raise Unreadable(f"the noise cannot be read off: with s(x) = a x + b the loss does not depend on b x0 in row {r}, "
                                 f"column {j}, as any ||s(x0 + sigma z) - target||^2 does")
            still = np.full(3, float(self.box.climb.gradient))  # a gradient does not say how J(0), the targets alone, moves with x0
            rows = np.stack([factor * SLOPES, factor, still], axis=1)
            points[r, j], targets[r, j], _ = np.linalg.lstsq(rows, plain, rcond=None)[0]
        return points, targets

    def tests(self) -> list[Finding]:
        """Counts of noise beyond thresholds in two columns, their sum and their difference; tails, variance, and small batches."""
        half = np.sqrt(0.5)
        cases = [((1.0, 0.0), "column 0", THRESHOLDS), ((0.0, 1.0), "column 1", THRESHOLDS),
                 ((half, half), "the sum of columns over sqrt 2", THRESHOLDS[1:4]),
                 ((half, -half), "the difference of columns over sqrt 2", THRESHOLDS[1:4])]
        level = share() / (5 + sum(len(thresholds) for _, _, thresholds in cases))
        found = [count(self.beyond(direction, c), ROWS, float(special.ndtr(-c)), level, f"{name} beyond {c:g}")
                 for direction, name, thresholds in cases for c in thresholds]
        tails = chance.tails(MOST, lambda q: self.beyond((1.0,), q, MOST) + MOST - self.beyond((1.0,), -q, MOST), level)
        return [*found, *tails, variance(self.squares(MOST), MOST, level), *batches(self.small(), level)]

    def at(self, n: int, d: int) -> dict[str, Any]:
        """Arguments with n rows at 0, all of one noise level."""
        last = self.box.climb.rungs[-1].arguments
        arguments = {k: v if k == "sigmas" or np.ndim(v) == 0 else np.full(n, v[0]) for k, v in last.items()
                     if k not in ("model", "noise", "x0")}
        return {"model": last["model"], "x0": np.zeros((n, d)), **arguments}

    def beyond(self, direction: tuple[float, ...], threshold: float, n: int = ROWS) -> int:
        """How many of n rows of noise lie beyond."""
        arguments = self.at(n, len(direction))
        sigma, time = float(self.levels(arguments)[1][0]), arguments["model"].takes_time

        def loss(w: float, b: float) -> float:
            return self.box.value(partial(gate, direction, time, threshold * sigma, w, b), arguments)

        if n not in self.plain:
            up, middle, down = (loss(0.0, b) for b in (1.0, 0.0, -1.0))
            self.plain[n] = (up - down, up - 2 * middle + down)  # 4 sum c_r t_r, and 2 sum c_r
        odd, even = self.plain[n]
        sides = (loss(1.0, 1.0) - loss(1.0, -1.0) - odd) / (2 * even)  # the mean of +-1
        return int(np.clip(np.rint(n * (1 + sides) / 2), 0, n))

    def squares(self, n: int) -> float:
        """The sum of n squares of noise: by how much J curves along s = a x, over that along s = b, is x~^2."""
        arguments = self.at(n, 1)
        sigma, time = float(self.levels(arguments)[1][0]), arguments["model"].takes_time

        def curvature(a: float, b: float) -> float:
            up, middle, down = (self.box.value(partial(affine, 1, time, 0, s * a, s * b), arguments) for s in (1.0, 0.0, -1.0))
            return up - 2 * middle + down

        return n * curvature(1.0, 0.0) / curvature(0.0, 1.0) / sigma**2

    def small(self) -> np.ndarray:
        """(SEEDS, BATCH, 1) noise of small batches: with s = a x, D of a row is its noise times the same number in all of them."""
        arguments, climb = self.at(BATCH, 1), self.box.climb
        time = arguments["model"].takes_time

        def moved(a: float, seed: int) -> np.ndarray:
            box = Box(replace(climb, seed=seed))
            ends = [[box.value(partial(affine, 1, time, 0, a, 0.0), {**arguments, "x0": x[:, None]}) for x in (row, -row)]
                    for row in np.eye(BATCH)]
            return np.array([up - down for up, down in ends])

        known = self.read(arguments)[0][:, 0] / self.levels(arguments)[1]
        factors = {a: float(known @ moved(a, climb.seed)) / float(known @ known) for a in SLOPES}
        a = max(SLOPES, key=lambda slope: abs(factors[slope]))
        return np.stack([moved(a, climb.seed + k) for k in range(1, SEEDS + 1)])[:, :, None] / factors[a]

    def spread(self) -> str:
        """What is found, in numbers that people know."""
        shares = ", ".join(f"{self.beyond((1.0, 0.0), c) / ROWS:.4f} beyond {c:g} (wanted {special.ndtr(-c):.4f})"
                           for c in THRESHOLDS)
        rows, columns = (np.ptp(self.some, axis=k).max() <= K * SINGLE * np.abs(self.some).max() for k in (0, 1))
        same = "; all rows have the same" if rows else "; all columns have the same" if columns else ""
        return f"of its first column {shares}{same}"
