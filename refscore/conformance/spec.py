"""Models that travel as arrays: what a candidate builds in its own framework, and what refscore builds beside it.

    kind                arrays                      what it is
    linear              A, b                        x A' + b
    mlp                 W1, b1, W2, b2, ...         a_l W_l + b_l, the activation between layers; t as last input column
    mixture             weights, means, variances   the score of sum_k w_k N(m_k, v_k I), with time that of its corruption at t
    quadratic_energy    m, P                        E = 1/2 (x - m)'P(x - m), (n,)
    energy_mlp          W1, b1, ...                 an mlp with one output, (n,)

A model that takes time is called ``model(x, t)``, any other ``model(x)``. What a mixture returns follows the candidate's
``predicts``: its score, the noise, the clean point, v, or the energy -log p. Who declares nothing may define
``model(spec, predicts)``, and is told what has been inferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.networks import MLP, EnergyMLP
from refscore.processes import MarginalScore

KINDS = ("linear", "mlp", "mixture", "quadratic_energy", "energy_mlp")
ENERGIES = ("quadratic_energy", "energy_mlp")


def column(values):
    """One number a row beside (n, d): (n,) becomes (n, 1), a scalar stays."""
    return values[:, None] if np.ndim(values) else values


def converted(value, xt, alpha, sigma, source: str, target: str):
    """What a model says about xt = alpha x0 + sigma eps, said otherwise: score = -eps/sigma, v = alpha eps - sigma x0."""
    if source == target:
        return value
    alpha, sigma = column(alpha), column(sigma)
    if source == "x0":
        x0, eps = value, (xt - alpha * value) / sigma
    elif source == "v":
        length = alpha**2 + sigma**2
        x0, eps = (alpha * xt - sigma * value) / length, (sigma * xt + alpha * value) / length
    else:
        eps = value if source == "eps" else -sigma * value
        x0 = (xt - sigma * eps) / alpha if target in ("x0", "v") else None
    return {"score": lambda: -eps / sigma, "eps": lambda: eps, "x0": lambda: x0, "v": lambda: alpha * eps - sigma * x0}[target]()


@dataclass(frozen=True, eq=False)
class Spec:
    """One model as arrays (module docstring).

    Raises ValueError for an unknown kind. ``arrays`` is a dict in the order in which gradients are returned.
    """

    kind: str
    arrays: dict[str, np.ndarray]
    activation: str | None = None
    takes_time: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}: choose one of {', '.join(KINDS)}")

    @property
    def dim(self) -> int:
        """d, the number of columns of x."""
        arrays = self.arrays
        if self.kind in ("mlp", "energy_mlp"):
            return arrays["W1"].shape[0] - self.takes_time
        return arrays[{"linear": "A", "mixture": "means", "quadratic_energy": "P"}[self.kind]].shape[1]

    @cached_property
    def density(self):
        """The law that a mixture, or a quadratic energy, is the score of."""
        a = self.arrays
        if self.kind == "mixture":
            return GaussianMixture(a["weights"] / np.sum(a["weights"], dtype=np.float64), a["means"], a["variances"])
        if self.kind == "quadratic_energy":
            return Gaussian(a["m"], np.linalg.inv(a["P"]))
        raise ValueError(f"a spec of kind {self.kind!r} has no density of its own: pass 'mixture' or 'quadratic_energy'")

    @cached_property
    def network(self) -> Any:
        """The refscore network with these arrays; of a linear model the one without hidden layers."""
        if self.kind == "linear":
            weights = self.arrays["A"].T
            rows = [weights, np.zeros((1, weights.shape[1]))] if self.takes_time else [weights]  # time enters with weight 0
            return MLP.from_arrays([np.concatenate(rows)], [self.arrays["b"]], "tanh")
        arrays = list(self.arrays.values())
        if self.kind == "energy_mlp":
            return EnergyMLP.from_arrays(arrays[::2], arrays[1::2], self.activation, takes_time=self.takes_time)
        return MLP.from_arrays(arrays[::2], arrays[1::2], self.activation)


@dataclass(frozen=True, eq=False)
class Model:
    """refscore's own model of a spec, callable as the candidate's; ``predicts`` says what a mixture returns."""

    spec: Spec
    process: Any = None
    predicts: str = "score"

    def __call__(self, x, t=None) -> np.ndarray:
        """The model's output, (n, d), or the energy, (n,)."""
        kind = self.spec.kind
        if kind == "quadratic_energy":
            r = np.asarray(x) - self.spec.arrays["m"]
            return np.einsum("ni,ij,nj->n", r, self.spec.arrays["P"], r) / 2
        if kind == "energy_mlp":
            return self.spec.network.energy(*self._inputs(x, t))
        if kind == "mixture":
            return self._mixture(x, t)
        return self.spec.network(*self._inputs(x, t))

    def gradient(self, x, t=None) -> np.ndarray:
        """grad_x E, (n, d), of an energy."""
        if self.spec.kind == "quadratic_energy":
            return (np.asarray(x) - self.spec.arrays["m"]) @ self.spec.arrays["P"]
        if self.spec.kind == "energy_mlp":
            return self.spec.network.energy.gradient(*self._inputs(x, t))
        return -self._score_of(x, t)

    def hessian(self, x, t=None) -> np.ndarray:
        """Hess_x E, (n, d, d), of an energy."""
        if self.spec.kind == "quadratic_energy":
            return np.broadcast_to(self.spec.arrays["P"], (len(x), *self.spec.arrays["P"].shape)).copy()
        if self.spec.kind == "energy_mlp":
            return self.spec.network.energy.hessian(*self._inputs(x, t))
        return -self._score_jacobian(x, t)

    def jacobian(self, x, t=None) -> np.ndarray:
        """d output_i / d x_j, (n, d, d)."""
        if self.spec.kind != "mixture":
            return self.spec.network.jacobian(*self._inputs(x, t))
        J = self._score_jacobian(x, t)
        if self.predicts in ("score", "energy") or not self.spec.takes_time:
            return J
        columns = [self._converted(J[:, :, j], np.eye(J.shape[1])[j], t) for j in range(J.shape[1])]  # linear in (score, x)
        return np.stack(columns, axis=2)

    def jvp(self, x, v, t=None) -> np.ndarray:
        """The Jacobian times v, (n, d)."""
        if self.spec.kind != "mixture":
            return self.spec.network.jvp(x, v, *self._time(t))
        return np.einsum("nij,nj->ni", self.jacobian(x, t), v)

    def vjp(self, x, u, t=None) -> np.ndarray:
        """u times the Jacobian, (n, d)."""
        if self.spec.kind != "mixture":
            return self.spec.network.vjp(x, u, *self._time(t))
        return np.einsum("nij,ni->nj", self.jacobian(x, t), u)

    def _inputs(self, x, t) -> tuple:
        return (x, *self._time(t))

    def _time(self, t) -> tuple:
        return (t,) if self.spec.takes_time else ()

    def _mixture(self, x, t):
        if self.predicts == "energy":
            return -self._at("logpdf", x, t)
        score = self._score_of(x, t)
        if self.predicts == "score" or not self.spec.takes_time:
            return score
        return self._converted(score, x, t)

    def _converted(self, score, x, t):
        return converted(score, x, self.process.alpha(t), self.process.sigma(t), "score", self.predicts)

    def _score_of(self, x, t):
        return self._marginals(x, t) if self.spec.takes_time else self.spec.density.score(x)

    def _score_jacobian(self, x, t):
        return self._marginals.jacobian(x, t) if self.spec.takes_time else self.spec.density.score_jacobian(x)

    def _at(self, method: str, x, t):
        return self._marginals._at(method, x, t) if self.spec.takes_time else getattr(self.spec.density, method)(x)

    @cached_property
    def _marginals(self) -> MarginalScore:
        return MarginalScore(self.process, self.spec.density)
