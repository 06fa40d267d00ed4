"""A black-box loss against the theorem that it stands on: what it is in expectation, as a function of the model.

    E ISM(s) = E SSM(s) = ESM(s) - 1/2 E ||s_p||^2            E DSM(s) = ESM(s) on the law of x~, + 1/2 (d/sigma^2 - E ||s_q||^2)

The candidate's loss is asked row by row at quadrature nodes of the data (and of the noise, `GaussianMixture.joint_nodes`), weighted
by their weights: its exact expectation, whatever it does with a batch. For several models beside their ESM, which is computed
without it, that must be a straight line, J = a ESM + c, with the a and c of the conventions. This shares nothing with the
comparison of single values; and of a loss that fails there it says whether its minimiser is right all the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from refscore.conformance.judge import Climb
from refscore.conformance.ladders.setting import mlp
from refscore.densities import GaussianMixture

DATA = GaussianMixture([0.6, 0.4], [[-0.8], [1.1]], [0.5, 0.8])
SIGMA = 0.7
SPACING = 0.2
WIDTHS = ((3,), (4,), (5,))
LOSSES = ("ism_loss", "ssm_loss", "ssm_vr_loss", "dsm_loss")
LATTICE = 1e-9
"""Relative: what the nodes may be off by together, for these models (halving the spacing changes less)."""
SLOW = 0.02
"""Seconds a call: of who takes longer nothing is asked hundreds of times."""


@dataclass(frozen=True)
class Line:
    """J = slope ESM + constant, up to ``residual``; ``wanted`` is what the conventions make of slope and constant."""

    slope: float
    constant: float
    residual: float
    size: float
    wanted: tuple[float, float]
    eps: float

    @property
    def straight(self) -> bool:
        """Whether the loss is a function of ESM at all, so that it has the right minimiser (or none, where it runs down)."""
        return self.residual <= (LATTICE + 1e3 * self.eps) * self.size

    @property
    def holds(self) -> bool:
        """Whether slope and constant are those of the theorem, too."""
        off = max(abs(self.slope - self.wanted[0]) * self.size, abs(self.constant - self.wanted[1]))
        return self.straight and off <= 1e2 * (LATTICE + 1e3 * self.eps) * self.size

    def __str__(self) -> str:
        if not self.straight:
            return "row by row in one dimension it is in expectation no function of the score's error: its minimiser is wrong"
        minimiser = "" if self.holds else ": its minimiser is right" if self.slope > 0 else ": it is to be maximised"
        sign = "+" if self.constant >= 0 else "-"
        return f"row by row in one dimension it is in expectation {self.slope:.6g} ESM {sign} {abs(self.constant):.6g}{minimiser}"


def line(climb: Climb, setting: dict[str, Any], eps: float) -> Line | None:
    """The line of one of `LOSSES`; None for other operations, and where the candidate is slow or does not answer."""
    name = climb.operation.name
    if name not in LOSSES or climb.candidate.takes_seed(name):
        return None
    reference = climb.reference(setting)
    energies = climb.candidate.conventions.get("predicts") == "energy"
    if name == "dsm_loss":
        x0, noise, weights = DATA.joint_nodes(1.0, SIGMA, SPACING)
        law, sigma, x = DATA.corrupted(1.0, SIGMA), SIGMA, x0 + SIGMA * noise
    else:
        x, weights = DATA.nodes(SPACING)
        law, sigma, x0, noise = DATA, None, x, np.ones_like(x)
    true = law.score(x)
    values, errors = [], []
    for hidden in WIDTHS:
        spec = mlp(1, hidden, "tanh", energy=energies)
        try:
            found = climb.candidate.together(partial(_rows, climb, spec, x0, noise), len(x) * SLOW)
        except TimeoutError:
            return None
        if found is None:
            return None
        values.append(float(weights @ found))
        score = reference.score_at(reference.model(spec), x, (), 1.0, sigma)
        errors.append(float(weights @ ((score - true) ** 2).sum(axis=1)) / 2)
    (slope, constant), *_ = np.linalg.lstsq(np.stack([errors, np.ones(len(errors))], axis=1), np.array(values), rcond=None)
    residual = float(np.abs(slope * np.array(errors) + constant - values).max())
    information = float(weights @ (true**2).sum(axis=1))
    c = reference.conventions
    scale = (1.0 if c["half"] else 2.0) * (SIGMA**2 if name == "dsm_loss" and c["weight"] == "sigma2" else 1.0)
    offset = (1 / SIGMA**2 - information if name == "dsm_loss" else -information) / 2
    size = float(np.abs(values).max() + abs(slope) * np.max(errors))
    return Line(float(slope), float(constant), residual, size, (scale, scale * offset), eps)


def _rows(climb: Climb, spec, x0, noise) -> np.ndarray | None:
    """The loss of every row by itself; None where there is no answer, or none soon."""
    found, start = np.empty(len(x0)), time.perf_counter()
    for i in range(len(x0)):
        answer = climb.candidate.call(climb.operation.name, _row(climb.operation.name, spec, x0[i : i + 1], noise[i : i + 1]),
                                      [np.zeros(())])
        if answer.values is None or (i == 9 and time.perf_counter() - start > 10 * SLOW):
            return None
        found[i] = answer.values[0]
    return found


def _row(name: str, spec, x, noise) -> dict[str, Any]:
    if name == "dsm_loss":
        return {"model": spec, "x0": x, "sigma": SIGMA, "noise": noise}
    return {"model": spec, "x": x} if name == "ism_loss" else {"model": spec, "x": x, "v": noise}
