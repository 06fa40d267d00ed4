"""What a trained model is for: drawing from it, and the likelihood of points under it. The part of `Reference` that says so.

Both follow the probability flow dx/dt = f - 1/2 g^2 s between t_min and the end T, where the law is taken for N(0, sigma_T^2 I); of
a chain samples come down its indices. The data themselves are never seen: only the model is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.conformance.spec import ENERGIES, converted
from refscore.processes import DDPM
from refscore.samplers import probability_flow

EARLY = 1e-5
"""t_min as a part of the whole time, where none is declared."""
FADED = 1e-3
"""alpha/sigma at the end of a process that has none of its own."""
ACCURACY = 1e-7


def span(process: Any, conventions: dict[str, Any]) -> tuple[float, float]:
    """(t_min, T): declared; or nearly 0, and the end of the process, a little before where its drift is infinite there."""
    end = conventions.get("t_max")
    if end is None:
        end = float(process.t_max)
        if not np.isfinite(end):
            end = 1.0
            while process.alpha(end) > FADED * process.sigma(end) and end < 1e3:
                end *= 2
        if process.alpha(end) == 0:
            end *= 1 - FADED
    start = conventions.get("t_min")
    return EARLY * end if start is None else float(start), float(end)


def denser_below(start: float, end: float, steps: int = 20) -> np.ndarray:
    """Times from ``end`` down to ``start``, ever closer."""
    return start + (end - start) * np.linspace(1, 0, steps + 1) ** 2


@dataclass(frozen=True)
class ScoreOf:
    """The score that a model's output stands for, and its divergence, at one time."""

    reference: Any
    model: Any

    def __call__(self, x, t):
        return self.reference.score_now(self.model, x, t)

    def divergence(self, x, t):
        """tr Ds; conversion is linear in (output, x), so that it acts on every column of the Jacobian."""
        r, d = self.reference, x.shape[1]
        times = np.full(len(x), t)
        predicts = r.conventions["predicts"]
        if self.model.spec.kind in ENERGIES or predicts == "energy":
            return -np.trace(self.model.hessian(x, times), axis1=1, axis2=2)
        J = self.model.jacobian(x, times)
        alpha, sigma = r.process.alpha(t), r.process.sigma(t)
        return sum(converted(J[:, :, j], np.eye(d)[j], alpha, sigma, predicts, "score")[:, j] for j in range(d))


class Generating:
    """`sample` and `log_likelihood` of the reference; what it needs of the rest is ``process``, ``conventions``, ``score_now``."""

    process: Any
    conventions: dict[str, Any]

    def sample(self, model, n, seed):
        """n draws: the probability flow from N(0, sigma_T^2 I) down to t_min; of a chain ddpm_step from N(0, I) at N to 0."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((n, model.spec.dim))
        if isinstance(self.process, DDPM):
            for index in range(len(self.process), 0, -1):
                x = self.ddpm_step(model, x, index, rng.standard_normal(x.shape))  # type: ignore[attr-defined]
            return x
        start, end = span(self.process, self.conventions)
        flow = probability_flow(self.process, ScoreOf(self, model)).steps(denser_below(start, end), "rk4")
        return flow.integrate(self.process.sigma(end) * x)

    def log_likelihood(self, model, x):
        """log N(x_T; 0, sigma_T^2 I) + int div(f - 1/2 g^2 s) dt along the flow from x."""
        return self.flow_likelihood(model, x).total

    def flow_likelihood(self, model, x):
        """The same in its terms."""
        start, end = span(self.process, self.conventions)
        flow = probability_flow(self.process, ScoreOf(self, model))
        return flow.log_likelihood(x, start, end, rtol=ACCURACY, atol=ACCURACY)
