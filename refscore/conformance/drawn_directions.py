r"""The directions that a sliced loss draws, read off and tested.

With s_j(x) = tanh(+-x_k), row r at 0 and all others far away, where tanh is flat, (v's)^2 and ||s||^2 are the same for both
signs, and half the difference is c_r v_rj v_rk. (c, and so the conventions of scale, from E v_j^2 = 1, over many rows.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np

from refscore.conformance import conventions, directions, reproducer_random
from refscore.conformance.black_box import ROWS, Box, Unreadable
from refscore.conformance.chance import Finding
from refscore.conformance.judge import SINGLE
from refscore.conformance.ladders.setting import Rung
from refscore.conformance.spec import Spec
from refscore.conformance.tolerance import K

COLUMNS = 4
"""Then 2, 1/d and 2/d are different numbers, and 1/3, of uniform directions, is none of them."""
NEAR = 0.1
"""In the logarithm: directions with E v_j^2 = 1 are known by their size."""
FAR = 40.0
"""tanh is flat here, to the last digit."""


@cache
def bent(d: int, j: int, k: int, sign: float, scale: float) -> Spec:
    """s_j(x) = scale tanh(sign x_k), else 0."""
    W1, W2 = np.zeros((d, 1)), np.zeros((1, d))
    W1[k, 0], W2[0, j] = sign, scale
    return Spec("mlp", {"W1": W1, "b1": np.zeros(1), "W2": W2, "b2": np.zeros(d)}, "tanh")


@cache
def constant(d: int, scale: float) -> Spec:
    """s = scale e_1."""
    return Spec("linear", {"A": np.zeros((d, d)), "b": scale * np.eye(d)[0]})


@dataclass
class Directions:
    """The directions of a sliced loss, by vv'."""

    box: Box
    what = "its directions"
    script = staticmethod(reproducer_random.directions)

    def __post_init__(self):
        d = COLUMNS
        x = np.zeros((ROWS, d))
        self.sums = self.all(x)
        size = abs(float(np.trace(self.sums))) / d
        operation, declared = self.box.climb.operation, self.box.climb.candidate.conventions
        rows = self.box.rows
        open_ = [s for s in conventions.possible(operation.name, operation.keys, declared, self.box.climb.gradient)
                 if rows == (s["over_batch"] == "none")] or [{"half": True, "over_dims": "sum", "over_batch": "mean"}]

        def far(s: dict[str, Any]) -> float:
            return abs(float(np.log(max(size, 1e-300) / (ROWS * self.scale(s, ROWS, d)))))

        if operation.name.startswith("ssm_vr") and min(map(far, open_)) > NEAR:
            size = 2 * self.box.value(partial(constant, d), {"model": None, "x": x})  # ||s||^2/2 of a constant s knows no v
        self.open = sorted(open_, key=far)
        self.setting = self.open[0]
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
        """What is found, in numbers that people know; under other conventions too, where it is a law that people draw from."""
        found, own = directions.moments(self.sums / ROWS), self.scale(self.setting, ROWS, COLUMNS)
        if np.ptp(self.some, axis=0).max() <= K * SINGLE * np.abs(self.some).max():
            found += "; all rows have the same"
        if directions.UNIFORM in found:
            return found
        for other in self.open[1:]:
            text = directions.moments(self.sums * (own / self.scale(other, ROWS, COLUMNS)) / ROWS)
            if directions.UNIFORM in text:
                keys = ", ".join(f"{k}={v!r}" for k, v in other.items() if v != self.setting.get(k))
                return f"{found}; with {keys} {text}"
        return found


def roots(M: np.ndarray) -> np.ndarray:
    """v (n, d) with M = vv' row by row; where M is of higher rank v (d, n, d), of which M is the mean."""
    n, d, _ = M.shape
    values, vectors = np.linalg.eigh(M)
    v = np.sqrt(np.maximum(values, 0))[:, None, :] * vectors  # (n, d, which)
    if (values[:, :-1].max(initial=0) <= K * SINGLE * n * values[:, -1]).all():
        return v[:, :, -1]
    return np.sqrt(d) * np.moveaxis(v, -1, 0)
