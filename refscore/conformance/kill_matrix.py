"""The kill matrix: every known mistake is caught, and told apart from every other.

A mistake is put in the place of one operation of the reference, and the adapter is checked. It is caught when the verdict is
fail (or error, where the wrong version cannot answer), and diagnosed when the verdict names it. A mistake may not exist for a
process or in a convention, such as alpha^2 + sigma^2 = 1 for a VP process, where it is true: `scenarios_of` lists those where it
does.

Two mistakes are told apart when in one scenario the verdict on the one does not name the other. With the conventions left open
more are alike than with them declared: what is wrong in one convention may be another mistake in the next. `EQUIVALENT` lists
what cannot be told apart, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from refscore.conformance.candidate import Candidate
from refscore.conformance.diagnosis import exists
from refscore.conformance.judge import Climb, Known, rungs_of
from refscore.conformance.mistakes import CATALOGUE, Mistake
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.reference import Reference
from refscore.conformance.verdict import Check, verdict
from refscore.processes import DDPM, OU, VE, Path, linear_betas

APART = ("rbm_cd_gradient", "sample", "log_likelihood")
"""Operations that draw or integrate, and are judged otherwise than rung by rung."""

_SAME = "the same numbers: a convention where the whole adapter follows it, a mistake where one operation does"
_SIGN = "the opposite sign of what the model says is the opposite sign of the score, and of the target"
_ENERGY = {
    "annealed_langevin": "annealed_score_sign", "ddim_step": "ddim_eps_sign", "ddpm_loss": "ddpm_loss_target_sign",
    "ddpm_step": "ddpm_eps_sign", "denoise": "denoise_sign", "dsm_loss": "dsm_target_sign",
    "dsm_process_loss": "process_target_sign",
    "esm_loss": "esm_sign", "ism_loss": "ism_trace_sign", "langevin_step": "langevin_score_sign", "ncsn_loss": "ncsn_target_sign",
    "ode_drift": "flow_score_sign", "reverse_step": "reverse_score_sign", "ssm_loss": "ssm_curvature_sign",
    "ssm_vr_loss": "ssm_vr_curvature_sign",
}
EQUIVALENT: dict[tuple[str, str], str] = {
    **{pair: _SAME for a, b in (("alpha_squared", "alpha_is_square"), ("diffusion_squared", "diffusion_is_square"),
                                ("sigma_is_variance", "sigma_is_square"), ("score_sign", "score_as_energy"))
       for pair in ((a, b), (b, a))},
    **{(f"{operation}_of_log_density", sign): _SIGN for operation, sign in _ENERGY.items()},
    **{(f"{operation}_opposite_eps", sign): _SIGN for operation, sign in _ENERGY.items()
       if operation not in ("esm_loss", "ism_loss", "ssm_loss", "ssm_vr_loss", "langevin_step")},
    **{pair: "where f = 0 (VE), the direction of time is the sign of the score, and eps exists as a convention of steps there alone"
       for pair in (("ode_drift_opposite_eps", "flow_direction"), ("reverse_step_opposite_eps", "reverse_wrong_direction"))},
    ("ode_drift_path_velocity", "flow_is_output"): "what the convention says: the model's output is the velocity",
}
"""(a, b): every verdict on a names b too."""


@dataclass(frozen=True, eq=False)
class Scenario:
    """A process and conventions in which mistakes are made."""

    name: str
    process: Any
    conventions: dict[str, Any]
    known: dict[tuple, Known] = field(default_factory=dict)
    right: dict[tuple, list[np.ndarray]] = field(default_factory=dict)

    @cached_property
    def reference(self) -> Reference:
        """The reference in this scenario."""
        return Reference(self.process, self.conventions)


def _straight_lines() -> Path:
    return Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -np.ones_like(t), sigma_slope=np.ones_like)


def scenarios() -> tuple[Scenario, ...]:
    """Processes that hide different mistakes, in conventions that do: a mistake need exist in one of them."""
    return (
        Scenario("OU, score", OU(0.8, 1.3), {}),
        Scenario("chain, score", DDPM(linear_betas(50, 1e-3, 0.1)), {}),
        Scenario("VE, eps", VE(0.05, 8.0), {"predicts": "eps", "weight": "sigma2", "half": False, "over_dims": "mean"}),
        Scenario("lines, v", _straight_lines(), {"predicts": "v", "over_batch": "sum", "langevin": "half_eta",
                                                "scheme": "exponential"}),
        Scenario("chain, eps", DDPM(linear_betas(50, 1e-3, 0.1)), {"predicts": "eps", "weight": "sigma2",
                                                                   "variance": "beta_tilde"}),
        Scenario("chain, v", DDPM(linear_betas(13, 1e-2, 0.3)), {"predicts": "v", "over_batch": "none"}),
        Scenario("OU, energy", OU(0.8, 1.3), {"predicts": "energy"}),
        Scenario("chain, energy", DDPM(linear_betas(13, 1e-2, 0.3)), {"predicts": "energy"}),
    )


def scenarios_of(m: Mistake, among: tuple[Scenario, ...]) -> Iterator[Scenario]:
    """Those in which the mistake exists."""
    operation = OPERATIONS[m.operation]
    for s in among:
        unfit = "sde" if isinstance(s.process, DDPM) else "chain"
        if operation.needs != unfit and m.operation not in APART:
            if exists(m, s.reference, rungs_of(operation, Candidate(s.reference)), s.right):
                yield s


def killed(m: Mistake, scenario: Scenario, declared: bool) -> Check:
    """The verdict on the reference with this mistake; conventions declared, or left open."""
    wrong: Any = m.adapter(scenario.process, scenario.conventions)
    if not declared:
        methods = {name: staticmethod(getattr(wrong, name)) for name in (m.operation, "model")}
        wrong = type("Silent", (), {"process": scenario.process, **methods})
    candidate, operation = Candidate(wrong), OPERATIONS[m.operation]
    known = scenario.known.setdefault((m.operation, declared), Known())
    return verdict(Climb(operation, candidate, rungs_of(operation, candidate), known=known))


@dataclass(frozen=True)
class Kill:
    """One cell: what was found about a mistake in a scenario."""

    mistake: str
    operation: str
    scenario: str
    declared: bool
    outcome: str
    rung: str
    named: tuple[str, ...]


def kills(among: tuple[Scenario, ...], names: tuple[str, ...] | None = None, *, first: bool = False,
          ways: tuple[bool, ...] = (True, False)) -> Iterator[Kill]:
    """All cells of the matrix: every mistake in every scenario, or the ``first``, where it exists."""
    for name, m in CATALOGUE.items():
        if names is not None and name not in names:
            continue
        for scenario in scenarios_of(m, among):
            for declared in ways if scenario.conventions.get("predicts") != "energy" else (True,):  # energies are always declared
                c = killed(m, scenario, declared)
                named = tuple(e.mistake for e in c.diagnosis)
                yield Kill(name, m.operation, scenario.name, declared, c.outcome, c.first_failing_rung, named)
            if first:
                break


def table(cells: list[Kill]) -> str:
    """The matrix as text: mistake, scenario, outcome, the first rung that fails, what else it could be."""
    lines = [f"{'mistake':44} {'scenario':14} {'conventions':11} {'outcome':10} first failing rung | also equals"]
    for c in cells:
        also = ", ".join(name for name in c.named if name != c.mistake)
        way = "declared" if c.declared else "open"
        own = "" if c.mistake in c.named or c.outcome in ("pass", "convention") else " (not named)"
        lines.append(f"{c.mistake:44} {c.scenario:14} {way:11} {c.outcome:10} {c.rung}{own}{' | ' + also if also else ''}")
    return "\n".join(lines)


def alike(a: str, b: str, among: tuple[Scenario, ...]) -> bool:
    """Whether every verdict on mistake a, conventions declared, names b too."""
    found = (killed(CATALOGUE[a], s, declared=True) for s in scenarios_of(CATALOGUE[a], among))
    return all(b in [e.mistake for e in c.diagnosis] for c in found)
