"""A network with one output as an energy, whose score is its gradient by hand: s = -grad_x E.

    p(x) = exp(-E(x))/Z        s(x) = grad log p(x) = -grad E(x)        Ds = -Hess E, symmetric

Any such s is the score of a density (as far as exp(-E) can be normalised; Z is not needed), which the output of a free
network need not be [e, "energy-based models"]. As a model it is used like an `MLP` with d outputs: everything in "s" is one
derivative above the same thing in E (`refscore.networks.second_order`). The energy itself is the view ``model.energy``:
a callable E(x) with ``gradient(x)`` and ``hessian(x)``, which is what code that expects an energy is handed; its parameter
gradients are what contrastive divergence needs. So ``model.gradient`` is always the parameter gradient of scores, as for any
network, and ``model.energy.gradient`` the gradient of E in x.

With ReLU, s is piecewise constant between kinks (one hidden layer) and jumps across them: Hess E vanishes almost everywhere,
tr Ds misses all of its mass, and implicit score matching is wrong by a number (identity D3.relu).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.networks.activations import Activation
from refscore.networks.fourier import FourierFeatures
from refscore.networks.mlp import MLP
from refscore.networks.network import Network
from refscore.networks.second_order import EnergyRows, polarised


class EnergyMLP(Network):
    """The score -grad E of a multilayer perceptron E with one output.

    Parameters
    ----------
    sizes : sequence of int
        Widths (d, hidden, ..., 1) of E, or (d + 1, hidden, ..., 1) with ``takes_time``.
    activation, rng, dtype : as for `MLP`.
    takes_time : bool
        Whether E depends on t too, its last input; Fourier features of t imply it.
    features : FourierFeatures, optional
        As for `MLP`.

    Attributes: ``network``, the MLP E; ``takes_time``.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Activation,
        rng,
        dtype: Any = np.float64,
        features: FourierFeatures | None = None,
        *,
        takes_time: bool = False,
    ):
        self._set(MLP(sizes, activation, rng, dtype, features), takes_time)

    @classmethod
    def from_arrays(
        cls,
        weights: Any,
        biases: Sequence | None = None,
        activation: str | Activation | None = None,
        features: FourierFeatures | None = None,
        *,
        takes_time: bool = False,
    ) -> EnergyMLP:
        """The energy network with these weights, a list of (in, out), the last one (in, 1), and biases; or a module's."""
        return cls._of(MLP.from_arrays(weights, biases, activation, features), takes_time)

    @classmethod
    def _of(cls, network: MLP, takes_time: bool) -> EnergyMLP:
        model = cls.__new__(cls)
        model._set(network, takes_time)
        return model

    def _set(self, network: MLP, takes_time: bool) -> None:
        if network.outputs != 1:
            raise ValueError(f"sizes is {network.sizes}, with {network.outputs} outputs: an energy has one, (d, ..., 1)")
        takes_time = bool(takes_time) or network.features is not None
        if network.sizes[0] == takes_time:
            raise ValueError(f"sizes is {network.sizes}, and the only input is time: pass (d + 1, ..., 1) with takes_time=True")
        self.network, self.takes_time, self.dtype = network, takes_time, network.dtype

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths (in, hidden, ..., 1) of E."""
        return self.network.sizes

    @property
    def outputs(self) -> int:
        """Number of columns of s(x): d."""
        return self.sizes[0] - self.takes_time

    @property
    def parameters(self) -> list[np.ndarray]:
        """[W1, b1, W2, b2, ...] of E, read-only. The last bias has no effect on s."""
        return self.network.parameters

    @property
    def activation(self) -> Activation:
        """The activation of E."""
        return self.network.activation

    @property
    def features(self) -> FourierFeatures | None:
        """What E sees in place of t."""
        return self.network.features

    @property
    def energy(self) -> Energy:
        """E as a function of x with its gradient and Hessian in x, and its gradient in the parameters."""
        return Energy(self)

    def with_parameters(self, arrays: Sequence) -> EnergyMLP:
        """The same network with other parameters [W1, b1, W2, b2, ...]."""
        return self._of(self.network.with_parameters(arrays), self.takes_time)

    def __repr__(self) -> str:
        return f"Energy{self.network!r}"

    # ---- one block of rows, arguments as `checked` returns them ------------------------------------------------------

    def checked(self, x, t=None, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
        """x (n, d) and the time columns, (n, 1) or, without time, (n, 0), in the model's dtype."""
        if (t is not None) != self.takes_time:
            raise ValueError(
                "t is missing, but this energy was made with takes_time=True: pass t"
                if self.takes_time
                else "t is given, but this energy was made with takes_time=False: leave out t, or make it with takes_time=True"
            )
        return self.network.checked(x, t, name)

    def value_pullback(self, x, time, grad: bool = True) -> tuple[np.ndarray, Callable]:
        """s, and u -> the sums over rows of the parameter gradients of u.s = -D_u E."""
        rows = self._rows(x, time, order=int(grad))
        return rows.score, rows.backward

    def jvp_pullback(self, x, time, v, grad: bool = True) -> tuple[np.ndarray, np.ndarray, Callable]:
        """s, Ds v_k (k, n, d) for k directions v (k, n, d), and (u, w) -> sums for u.s + sum of w_k.(Ds v_k)."""
        rows = self._rows(x, time, order=1 + grad)

        def pullback(u, w):
            directions, c = polarised(v, w)
            return rows.backward(u, c, rows.tangents(directions))

        return rows.score, rows.jvp(v), pullback

    def divergence_pullback(self, x, time, grad: bool = True) -> tuple[np.ndarray, np.ndarray, Callable]:
        """s, tr Ds = -(Laplacian of E) (n,), and (u, c) -> sums for u.s + c tr Ds."""
        rows = self._rows(x, time, order=1 + grad)
        tangents = rows.tangents(np.eye(x.shape[1], dtype=x.dtype)[:, None])
        return rows.score, rows.trace(tangents[0]), lambda u, c: rows.backward(u, c[None], tangents)

    def vjps(self, x, time, u) -> np.ndarray:
        """(Ds)'u_k = Ds u_k, (k, n, d): the Jacobian is symmetric."""
        return self.jvp_pullback(x, time, u, grad=False)[1]

    def prepare_trace(self) -> int:
        """The tangents that a row carries in `divergence_pullback`: none of its own in the first hidden layer, else d."""
        return 0 if len(self.network.weights) <= 2 else self.outputs

    def row_bytes(self, tangents: int = 0) -> int:
        """Bytes of temporaries that a row needs, as `_blocks` counts them."""
        return self.network.row_bytes(tangents)

    def _rows(self, x, time, order: int) -> EnergyRows:
        E = self.network
        return EnergyRows(E.weights, E.biases, E.activation, E.inputs(x, time), x.shape[1], order)


@dataclass(frozen=True)
class Energy:
    """E(x) or E(x, t) of an `EnergyMLP`, as ``model.energy``."""

    model: EnergyMLP

    @property
    def parameters(self) -> list[np.ndarray]:
        """[W1, b1, W2, b2, ...], read-only."""
        return self.model.parameters

    def with_parameters(self, arrays: Sequence) -> Energy:
        """The energy of the same network with other parameters."""
        return Energy(self.model.with_parameters(arrays))

    def __call__(self, x, t=None) -> np.ndarray:
        """E(x), (n,)."""
        self.model.checked(x, t)
        return self.model.network(x, t)[:, 0]

    def gradient(self, x, t=None) -> np.ndarray:
        """grad E(x) = -s(x), (n, d)."""
        return -self.model(x, t)

    def hessian(self, x, t=None) -> np.ndarray:
        """The Hessian of E in x, -Ds(x), (n, d, d)."""
        return -self.model.jacobian(x, t)

    def parameter_gradient(self, x, c, t=None) -> list[np.ndarray]:
        """[W1*, b1*, ...] of the sum over rows of c E(x), ``c`` (n,): with c of both signs, contrastive divergence."""
        x, time = self.model.checked(x, t)
        c = self.model._like(c, x.shape[:1], "c")
        return self.model._summed(self._gradients, x, time, c)

    def pullback(self, x, time) -> tuple[np.ndarray, Callable]:
        """On one block of rows: E (n,), and c (n,) -> the sums over rows of the parameter gradients of c E."""
        values, pullback = self.model.network.value_pullback(x, time)
        return values[:, 0], lambda c: pullback(c[:, None])

    def _gradients(self, x, time, c):
        return self.pullback(x, time)[1](c)
