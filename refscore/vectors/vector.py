"""The vectors: every rung of every ladder of `refscore.conformance`, with the wanted values and how far an answer may be from them.

A vector's id is the operation and the number of the rung, ``dsm_loss/4``; where a process is involved its name comes first,
``vp/sigma/2``; where models stand for energies ``energy`` comes before everything. `APART` are the operations that have no
vectors: those that draw their own randomness, whose law is judged, and the likelihood, which follows the span that the adapter
integrates over. They take an adapter (`refscore check`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refscore.conformance.conventions import default
from refscore.conformance.judge import as_list, evaluate
from refscore.conformance.ladders.setting import Rung, Setting
from refscore.conformance.operations import OPERATIONS, Operation
from refscore.conformance.reference import Reference
from refscore.conformance.spec import Spec
from refscore.conformance.tolerance import tolerance
from refscore.processes import DDPM, OU, VE, VP, linear_betas

PROCESSES: dict[str, Any] = {"vp": VP(), "ou": OU(0.9, 1.3), "ve": VE(0.05, 8.0), "ddpm": DDPM(linear_betas(100, 1e-3, 0.1))}
"""A process of every kind that the vectors involve, by the name that their ids begin with."""

APART = ("sample", "log_likelihood", "rbm_cd_gradient")

PARAMETERS: dict[Any, tuple[str, ...]] = {
    VP: ("beta_min", "beta_max"), OU: ("beta", "g"), VE: ("sigma_min", "sigma_max"), DDPM: ("betas",),
}  # fmt: skip
LAWS = {
    "VP": "dX = -beta(t)/2 X dt + sqrt(beta(t)) dW, beta(t) = beta_min + t (beta_max - beta_min), 0 <= t <= 1; "
          "alpha = exp(-B/2), sigma^2 = 1 - exp(-B), B = beta_min t + (beta_max - beta_min) t^2/2",
    "OU": "dX = -beta X dt + sigma dW; alpha = exp(-beta t), sigma_t^2 = sigma^2 (1 - exp(-2 beta t))/(2 beta)",
    "VE": "alpha = 1, sigma(t) = sigma_min (sigma_max/sigma_min)^t, g^2 = d sigma^2/dt, 0 <= t <= 1",
    "DDPM": "x_i = sqrt(1 - beta_i) x_{i-1} + sqrt(beta_i) z, i = 1, ..., N, betas[i - 1] is beta_i; "
            "alpha_i = sqrt(alpha-bar_i), sigma_i = sqrt(1 - alpha-bar_i); times are indices, 0 is data",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Vector:
    """One call with what it should return."""

    id: str
    operation: Operation
    rung: Rung
    process: str = ""
    energies: bool = False

    @property
    def conventions(self) -> dict[str, Any]:
        """Those that the wanted values are in, of the keys that the operation depends on."""
        chosen = {key: default(self.operation.name, key) for key in self.operation.keys}
        return {**chosen, "predicts": "energy"} if self.energies and "predicts" in chosen else chosen

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments in the order of the contract, as JSON has them."""
        return {name: encoded(value) for name, value in self.rung.arguments.items()}

    @cached_property
    def wanted(self) -> list[np.ndarray]:
        """The reference's values, an array for each that is returned."""
        return evaluate(self.operation.name, self._reference, self.rung.arguments)

    @property
    def several(self) -> bool:
        """Whether a list of arrays is returned, as gradients are, and not one."""
        return self.operation.category == "gradient" or len(self.wanted) > 1

    def allowed(self, eps: float) -> list[np.ndarray]:
        """How far an answer in arithmetic of this eps may be off, entry by entry."""
        unit = float(np.finfo(np.float64).eps)
        return [eps * a if self.rung.strict else (eps + unit) * a for a in self._unit]

    @cached_property
    def _unit(self) -> list[np.ndarray]:
        name = self.operation.name
        return tolerance(self._reference, lambda r, a: evaluate(name, r, a), self.rung.arguments, self.wanted, self.rung.strict)

    @property
    def _reference(self) -> Reference:
        return Reference(PROCESSES.get(self.process), {"predicts": "energy" if self.energies else "score", **self.conventions})


def vectors(energies: bool = False) -> Iterator[Vector]:
    """All vectors, operation by operation; with ``energies`` those whose models stand for energies."""
    for operation in (o for o in OPERATIONS.values() if o.name not in APART):
        for name in _names(operation):
            setting = Setting(PROCESSES.get(name), energies, operation.category == "gradient")
            place = "/".join(filter(None, ("energy" if energies else "", name, operation.name)))
            for number, rung in enumerate(operation.ladder(setting), start=1):
                yield Vector(f"{place}/{number}", operation, rung, name, energies)


def process_record(name: str) -> dict[str, Any] | None:
    """A process as JSON has it: its name, kind, parameters, and what they mean."""
    if not name:
        return None
    process = PROCESSES[name]
    kind = type(process).__name__
    parameters = {("sigma" if field == "g" else field): encoded(getattr(process, field)) for field in PARAMETERS[type(process)]}
    return {"name": name, "kind": kind, "parameters": parameters, "law": LAWS[kind]}


def encoded(value: Any) -> Any:
    """Arrays as nested lists, models as their arrays; JSON writes the shortest decimals that give a number back."""
    if isinstance(value, Spec):
        arrays = {name: a.tolist() for name, a in value.arrays.items()}
        return {"kind": value.kind, "arrays": arrays, "activation": value.activation, "takes_time": bool(value.takes_time)}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def call(operation: str, arguments: Any) -> str:
    """What an answer is looked up by: the operation and the values that it was called with."""
    return json.dumps([operation, [encoded(value) for value in arguments]])


def answer_of(vector: Vector, adapter: Any) -> Any:
    """What an adapter answers to a vector, as a response has it."""
    arguments = vector.rung.arguments
    given = [adapter.model(v) if key == "model" else v for key, v in arguments.items()]
    parts = [encoded(np.asarray(part)) for part in as_list(getattr(adapter, vector.operation.name)(*given))]
    return parts if vector.several else parts[0]


def _names(operation: Operation) -> tuple[str, ...]:
    if not operation.needs:
        return ("",)
    chains = [name for name, process in PROCESSES.items() if Setting(process).chain]
    if operation.needs == "chain":
        return tuple(chains)
    return tuple(name for name in PROCESSES if operation.needs == "process" or name not in chains)
