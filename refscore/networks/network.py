"""What every parametric score offers, from what it computes on a block of rows.

A network s(x) or s(x, t) with parameters theta is a `Network` when it says how a block of rows is evaluated and pulled
back: ``checked``, ``value_pullback``, ``jvp_pullback``, ``divergence_pullback``, ``vjps``, and ``parameters``, ``outputs``,
``dtype``. Objectives work with these alone. Here they become what users call, with checked arguments and batches cut into
row blocks:

* values and derivatives in x: ``model(x)``, ``jvp``, ``vjp``, ``jacobian``, ``divergence``, and ``divergence_by_jvp``, which
  reaches the trace through d tangents whatever closed form there may be;
* derivatives in the parameters, summed over rows: ``gradient``, ``jvp_gradient``, ``divergence_gradient``, and
  ``divergence_gradient_by_jvp``.

Block functions are bound methods, so that they can be pickled and sent to other processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _blocks, _validate


class Network(ABC):
    """A score with parameters: `MLP` and `EnergyMLP`. ``t``, where taken, is a scalar or (n,), any finite numbers."""

    dtype: Any

    # ---- what a network computes: one block of rows, arguments as `checked` returns them ---------------------------

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Number of columns of s(x)."""

    @property
    @abstractmethod
    def parameters(self) -> list[np.ndarray]:
        """[W1, b1, W2, b2, ...], read-only."""

    @abstractmethod
    def checked(self, x, t=None, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
        """x (n, d) and the time columns, (n, 1) or, without time, (n, 0), in the model's dtype."""

    @abstractmethod
    def value_pullback(self, x, time, grad: bool = True) -> tuple[np.ndarray, Callable]:
        """s, and u -> the sums over rows of the parameter gradients of u.s."""

    @abstractmethod
    def jvp_pullback(self, x, time, v, grad: bool = True) -> tuple[np.ndarray, np.ndarray, Callable]:
        """s, Ds v_k (k, n, out) for k directions v (k, n, d), and (u, w) -> sums for u.s + sum of w_k.(Ds v_k)."""

    @abstractmethod
    def divergence_pullback(self, x, time, grad: bool = True) -> tuple[np.ndarray, np.ndarray, Callable]:
        """s, tr Ds (n,), and (u, c) -> sums for u.s + c tr Ds, which `completed` turns into the gradient."""

    @abstractmethod
    def vjps(self, x, time, u) -> np.ndarray:
        """(Ds)'u_k, (k, n, d), for k cotangents u (k, n, out)."""

    @abstractmethod
    def row_bytes(self, tangents: int = 0) -> int:
        """Bytes of temporaries that a row needs, as `_blocks` counts them."""

    @abstractmethod
    def prepare_trace(self) -> int:
        """Before `divergence_pullback` on blocks: what tr Ds needs of the parameters alone is computed, once.

        Returns the tangents that a row will carry: 0 where a closed form serves, else d.
        """

    def completed(self, sums: list[np.ndarray]) -> list[np.ndarray]:
        """The gradient [W1*, b1*, ...] from the sums over all rows: what needs parameters alone is done here, once."""
        return sums

    def divergence_pullback_by_jvp(self, x, time, grad: bool = True) -> tuple[np.ndarray, np.ndarray, Callable]:
        """As `divergence_pullback`, through d tangents."""
        basis = _basis(x)
        s, columns, pullback = self.jvp_pullback(x, time, basis, grad)
        return s, np.einsum("knk->n", columns), lambda u, c: pullback(u, c[:, None] * basis)

    # ---- values and derivatives in x ---------------------------------------------------------------------------

    def __call__(self, x, t=None) -> np.ndarray:
        """s(x) or s(x, t), (n, out). ``t``: scalar or (n,), any finite numbers."""
        x, time = self.checked(x, t)
        return self._mapped(self._values, x, time)

    def jvp(self, x, v, t=None) -> np.ndarray:
        """Ds(x) v, (n, out), the derivative of s along v (n, d): forward mode."""
        x, time = self.checked(x, t)
        return self._mapped(self._jvps, x, time, self._like(v, x.shape, "v"), tangents=1)

    def vjp(self, x, u, t=None) -> np.ndarray:
        """Ds(x)'u, (n, d), the gradient in x of u.s(x) for u (n, out): reverse mode."""
        x, time = self.checked(x, t)
        return self._mapped(self._vjps, x, time, self._like(u, (x.shape[0], self.outputs), "u"), tangents=1)

    def jacobian(self, x, t=None) -> np.ndarray:
        """Ds(x), (n, out, d): entry [i, k, j] is ds_k/dx_j at row i. By ``out`` reverse passes."""
        x, time = self.checked(x, t)
        return self._mapped(self._jacobians, x, time, tangents=self.outputs)

    def divergence(self, x, t=None) -> np.ndarray:
        """tr Ds(x), (n,): in closed form where there is one (see `prepare_trace`), else by d tangents."""
        x, time = self._square(x, t)
        return self._mapped(self._traces, x, time, tangents=self.prepare_trace())

    def value_and_divergence(self, x, t=None) -> tuple[np.ndarray, np.ndarray]:
        """s, (n, out), and tr Ds, (n,), of one pass: `divergence` knows s already."""
        x, time = self._square(x, t)
        return self._mapped(self._values_and_traces, x, time, tangents=self.prepare_trace())

    def divergence_by_jvp(self, x, t=None) -> np.ndarray:
        """tr Ds(x), (n,), as the sum of e_k.(Ds e_k) over d tangents: any depth, d times the work."""
        x, time = self._square(x, t)
        return self._mapped(self._traces_by_jvp, x, time, tangents=x.shape[1])

    # ---- derivatives in the parameters, summed over rows ---------------------------------------------------------

    def gradient(self, x, u, t=None) -> list[np.ndarray]:
        """Parameter gradient [W1*, b1*, ...] of the sum over rows of u.s(x); ``u`` (n, out)."""
        x, time = self.checked(x, t)
        u = self._like(u, (x.shape[0], self.outputs), "u")
        return self._summed(self._gradients, x, time, u)

    def jvp_gradient(self, x, v, u, w, t=None) -> list[np.ndarray]:
        """Parameter gradient of the sum over rows of u.s(x) + w.(Ds(x) v); ``v`` (n, d), ``u`` and ``w`` (n, out)."""
        x, time = self.checked(x, t)
        v = self._like(v, x.shape, "v")
        u, w = (self._like(a, (x.shape[0], self.outputs), name) for a, name in ((u, "u"), (w, "w")))
        return self._summed(self._jvp_gradients, x, time, v, u, w, tangents=1)

    def divergence_gradient(self, x, c, t=None) -> list[np.ndarray]:
        """Parameter gradient of the sum over rows of c tr Ds(x), ``c`` (n,), by the road of `divergence`."""
        x, time = self._square(x, t)
        c = self._like(c, x.shape[:1], "c")
        return self.completed(self._summed(self._divergence_gradients, x, time, c, tangents=self.prepare_trace()))

    def divergence_gradient_by_jvp(self, x, c, t=None) -> list[np.ndarray]:
        """The same gradient through d tangents: the sum of c e_k.(Ds e_k), any depth."""
        x, time = self._square(x, t)
        c = self._like(c, x.shape[:1], "c")
        return self._summed(self._divergence_gradients_by_jvp, x, time, c, tangents=x.shape[1])

    # ---- plumbing --------------------------------------------------------------------------------------------------

    def _square(self, x, t) -> tuple[np.ndarray, np.ndarray]:
        x, time = self.checked(x, t)
        if x.shape[1] != self.outputs:
            raise ValueError(
                f"the network maps {x.shape[1]} dimensions to {self.outputs}, so its Jacobian has no trace: "
                f"a score network has as many outputs as x has columns"
            )
        return x, time

    def _like(self, array, shape: tuple[int, ...], name: str) -> np.ndarray:
        if np.shape(array) != shape:
            raise ValueError(f"{name} has shape {np.shape(array)}: pass shape {shape}, one row for each row of x")
        return _validate.finite(np.ascontiguousarray(array, dtype=self.dtype), name)

    def _values(self, x, time):
        return self.value_pullback(x, time, grad=False)[0]

    def _jvps(self, x, time, v):
        return self.jvp_pullback(x, time, v[None], grad=False)[1][0]

    def _vjps(self, x, time, u):
        return self.vjps(x, time, u[None])[0]

    def _jacobians(self, x, time):
        basis = np.eye(self.outputs, dtype=x.dtype)[:, None]
        return self.vjps(x, time, np.broadcast_to(basis, (self.outputs, len(x), self.outputs))).swapaxes(0, 1)

    def _values_and_traces(self, x, time):
        return self.divergence_pullback(x, time, grad=False)[:2]

    def _traces(self, x, time):
        return self.divergence_pullback(x, time, grad=False)[1]

    def _traces_by_jvp(self, x, time):
        return self.divergence_pullback_by_jvp(x, time, grad=False)[1]

    def _gradients(self, x, time, u):
        return self.value_pullback(x, time)[1](u)

    def _jvp_gradients(self, x, time, v, u, w):
        return self.jvp_pullback(x, time, v[None])[2](u, w[None])

    def _divergence_gradients(self, x, time, c):
        s, _, pullback = self.divergence_pullback(x, time)
        return pullback(np.zeros_like(s), c)

    def _divergence_gradients_by_jvp(self, x, time, c):
        s, _, pullback = self.divergence_pullback_by_jvp(x, time)
        return pullback(np.zeros_like(s), c)

    def _mapped(self, function, *arrays, tangents: int = 0) -> Any:
        found = _blocks.map_rows(function, *arrays, row_bytes=self.row_bytes(tangents))
        return tuple(_finite(part) for part in found) if isinstance(found, tuple) else _finite(found)

    def _summed(self, function, *arrays, tangents: int = 0) -> list[np.ndarray]:
        return [_finite(a) for a in _blocks.sum_rows(function, *arrays, row_bytes=self.row_bytes(tangents))]


def _basis(rows: np.ndarray) -> np.ndarray:
    """e_1, ..., e_d at every one of n rows (n, d): (d, n, d)."""
    n, d = rows.shape
    return np.broadcast_to(np.eye(d, dtype=rows.dtype)[:, None], (d, n, d))


def _finite(array: np.ndarray) -> np.ndarray:
    return _validate.finite(array, "the network's result (its weights or arguments are too large for its dtype)")
