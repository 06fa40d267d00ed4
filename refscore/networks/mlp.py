"""A multilayer perceptron as a score model s(x) or s(x, t), with every derivative by hand.

    s = phi(... phi(a_0 W_1 + b_1) ...) W_L + b_L,        a_0 = x  or  (x, t)

Weights are (in, out); t, or its Fourier features, are appended after x, and every derivative "in x" is in the first d columns.
Without hidden layers s = x W_1 + b_1, the score of a Gaussian when W_1 is symmetric and negative definite. Nothing
makes Ds symmetric: the output is in general not the gradient of anything, so not the score of any density.

The calculus is in `refscore.networks.backprop` (forward, tangents, backward) and `refscore.networks.divergence` (the
closed form of tr Ds, up to two hidden layers); this module holds the parameters and evaluates blocks of rows. What users
call is in `refscore.networks.network`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from refscore import _blocks, _validate
from refscore.networks import divergence as closed
from refscore.networks import modules
from refscore.networks.activations import Activation, activation
from refscore.networks.backprop import Rows
from refscore.networks.fourier import FourierFeatures
from refscore.networks.network import Network

LEAST_ROWS = 256
"""Rows (times tangents) that a block has at least: below, reading the weights costs more than multiplying by them."""


class MLP(Network):
    """A multilayer perceptron with random weights; `MLP.from_arrays` takes given ones.

    Parameters
    ----------
    sizes : sequence of int
        Widths (in, hidden, ..., out), for example (d, 16, 16, d), or (d + 1, 16, 16, d) when the model takes time.
    activation : str or Activation
        'tanh', 'softplus', 'silu', 'sin' or 'relu', after every layer but the last.
    rng : numpy Generator or int
        Source of the weights AND biases, all N(0, 1/in): no symmetry is left in which a mistake could hide.
    dtype : float64 (default) or float32
        Of the parameters, hence of everything the model computes.
    features : FourierFeatures, optional
        What the first layer sees in place of t: W_1 is then (d + features.width, hidden), ``sizes`` is (d + 1, ...) as without.

    The parameters are read-only arrays: `with_parameters` makes the model with other ones.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Activation,
        rng,
        dtype: Any = np.float64,
        features: FourierFeatures | None = None,
    ):
        widths = [_validate.count(size, f"sizes[{i}]") for i, size in enumerate(sizes)]
        if len(widths) < 2:
            raise ValueError(f"sizes is {tuple(widths)}: give at least an input and an output width, as in (d, 16, d)")
        widths[0] += _extra(features)
        draw = _validate.generator(rng).standard_normal
        if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ValueError(f"dtype is {dtype!r}: pass numpy.float64 or numpy.float32")
        weights = [draw((m, k)) / np.sqrt(m) for m, k in pairwise(widths)]
        biases = [draw(k) / np.sqrt(m) for m, k in pairwise(widths)]
        self._set([np.asarray(W, dtype) for W in weights], [np.asarray(b, dtype) for b in biases], activation, features)

    @classmethod
    def from_arrays(
        cls,
        weights: Any,
        biases: Sequence | None = None,
        activation: str | Activation | None = None,
        features: FourierFeatures | None = None,
    ) -> MLP:
        """The MLP with these weights, a list of (in, out), and biases, a list of (out,). All float32 stays float32.

        Alone, ``weights`` is a torch module or a list of linear layers and activation modules (`refscore.networks.modules`).
        """
        if biases is None and activation is None:
            weights, biases, activation = modules.layers(weights)
        elif biases is None or activation is None:
            raise TypeError("biases and activation go together: pass both, or a module with linear layers and activations alone")
        model = cls.__new__(cls)
        model._set(list(weights), list(biases), activation, features)
        return model

    def _set(self, weights: list, biases: list, which: str | Activation, features: FourierFeatures | None) -> None:
        self.activation, self.features = activation(which), features
        if len(weights) != len(biases) or not weights:
            raise ValueError(f"weights has {len(weights)} arrays, biases {len(biases)}: pass one of each a layer")
        arrays = [np.asarray(array) for array in (*weights, *biases)]
        self.dtype = np.dtype(np.float32 if all(a.dtype == np.float32 for a in arrays) else np.float64)
        self.weights = tuple(_parameter(W, f"weights[{l}]", 2, self.dtype) for l, W in enumerate(weights))
        self.biases = tuple(_parameter(b, f"biases[{l}]", 1, self.dtype) for l, b in enumerate(biases))
        for l, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            before = self.weights[l - 1].shape[1] if l else W.shape[0]
            if W.shape != (before, b.size):
                hint = f"pass weights[{l}] of shape ({before}, {b.size})"
                if W.shape[0] == b.size:  # (out, in), as torch keeps them
                    hint = "pass its transpose, weight.T, or the torch Sequential itself"
                raise ValueError(
                    f"weights[{l}] has shape {W.shape}, biases[{l}] {b.shape}, the layer before {before} outputs: "
                    f"weights are (in, out), biases (out,), so {hint}"
                )
        self.sizes = (self.weights[0].shape[0] - _extra(features), *(W.shape[1] for W in self.weights))
        if features is not None and self.sizes[0] < 2:
            raise ValueError(
                f"weights[0] has {len(self.weights[0])} rows, features {features.width} columns, which leaves no input for x: "
                f"pass weights[0] with d + {features.width} rows, sizes (d + 1, ...)"
            )

    @property
    def outputs(self) -> int:
        """Number of columns of s(x)."""
        return self.sizes[-1]

    @property
    def parameters(self) -> list[np.ndarray]:
        """[W1, b1, W2, b2, ...], read-only."""
        return [array for layer in zip(self.weights, self.biases, strict=True) for array in layer]

    def with_parameters(self, arrays: Sequence) -> MLP:
        """The same network with other parameters [W1, b1, W2, b2, ...]."""
        given, wanted = [np.shape(a) for a in arrays], [a.shape for a in self.parameters]
        if given != wanted:
            raise ValueError(f"arrays have shapes {given}: pass arrays like those of .parameters, {wanted}")
        return MLP.from_arrays(arrays[0::2], arrays[1::2], self.activation, self.features)

    def __repr__(self) -> str:
        features = "" if self.features is None else f", features={self.features}"
        return f"MLP(sizes={self.sizes}, activation={self.activation.name!r}, dtype={self.dtype}{features})"

    # ---- for objectives: one block of rows, arguments as `checked` returns them ------------------------------------

    def value_pullback(self, x, time, grad: bool = True) -> tuple[np.ndarray, Callable]:
        """s, and u -> the sums over rows of the parameter gradients of u.s."""
        rows = self._rows(x, time, order=int(grad))
        return rows.output, rows.backward

    def value_squares(self, x, time) -> tuple[np.ndarray, Callable]:
        """s, and u -> the sums over rows of the squares of the rows' own parameter gradients of u.s."""
        rows = self._rows(x, time, order=1)
        return rows.output, rows.backward_squares

    def jvp_pullback(self, x, time, v, grad: bool = True) -> tuple[np.ndarray, np.ndarray, Callable]:
        """s, Ds v_k (k, n, out) for k directions v (k, n, d), and (u, w) -> sums for u.s + sum of w_k.(Ds v_k)."""
        rows = self._rows(x, time, order=1 + grad)
        return rows.output, rows.jvp(v), rows.backward

    def divergence_pullback(self, x, time, grad: bool = True) -> tuple[np.ndarray, np.ndarray, Callable]:
        """s, tr Ds (n,), and (u, c) -> sums for u.s + c tr Ds, which `completed` turns into the gradient."""
        if not self._closed:
            return self.divergence_pullback_by_jvp(x, time, grad)
        rows, C = self._rows(x, time, order=1 + grad), self._coupling
        trace, kept = closed.trace(rows.slopes, C, len(x))

        def pullback(u, c):
            extra, dC = closed.pulled_back(rows.slopes, rows.curvatures, C, kept, c)
            return [*rows.backward(u, extra=extra), dC]

        return rows.output, trace, pullback

    def vjps(self, x, time, u) -> np.ndarray:
        """(Ds)'u_k, (k, n, d), for k cotangents u (k, n, out)."""
        return self._rows(x, time, order=1).vjp(u, x.shape[1])

    def completed(self, sums: list[np.ndarray]) -> list[np.ndarray]:
        """The gradient [W1*, b1*, ...] from the sums over all rows: what needs parameters alone is done here, once."""
        gradient = sums[: 2 * len(self.weights)]
        if len(sums) > len(gradient):
            with _blocks.one_blas_thread:
                closed.add_coupling_gradient(gradient, self.weights, self.outputs, sums[-1])
        return gradient

    def prepare_trace(self) -> int:
        """Before `divergence_pullback` on blocks: what tr Ds needs of the parameters alone is computed, once.

        Returns the tangents that a row will carry: 0 where the closed form serves, else d.
        """
        return 0 if self._closed and self._coupling is not None else self.outputs

    def row_bytes(self, tangents: int = 0) -> int:
        """Bytes of temporaries that a row needs, as `_blocks` counts them; at most what gives `LEAST_ROWS` rows."""
        kept = 4 * (1 + tangents) * self.dtype.itemsize * (sum(self.sizes) + _extra(self.features))
        return min(kept, (1 + tangents) * _blocks.BLOCK_BYTES // LEAST_ROWS)

    def checked(self, x, t=None, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
        """x (n, d) and t (n, 1) or, without time, (n, 0), in the model's dtype; t for Fourier features in float64."""
        if t is None and self.features is not None:
            raise ValueError("t is missing, but the network has Fourier features of it: pass t")
        columns, d = np.shape(x)[-1] if np.ndim(x) == 2 else None, self.sizes[0] - (t is not None)
        if columns not in (None, d):
            inputs = f"{self.sizes[0]} inputs" + (" of which t is the last" if t is not None else "")
            hint = "pass t" if t is None and columns == d - 1 else f"pass x with {d} columns"
            if t is not None:
                hint = f"leave out t, or make the network with {self.sizes[0] + 1} inputs" if columns == self.sizes[0] else hint
            raise ValueError(f"{name} has {columns} columns, but the network has {inputs}: {hint}")
        x = _validate.batch(x, name=name, dtype=self.dtype)
        if t is None:
            return x, np.empty((len(x), 0), self.dtype)
        time = _validate.times(t, len(x), signed=True)[:, None]
        return x, time.astype(self.dtype) if self.features is None else time

    def inputs(self, x, time) -> np.ndarray:
        """a_0: x and t, or the features of t, side by side."""
        if self.features is not None:
            time = self.features(time[:, 0]).astype(self.dtype)
        return np.concatenate([x, time], axis=1)

    # ---- plumbing ----------------------------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        return len(self.weights) - 1 <= closed.CLOSED_FORMS

    @cached_property
    def _coupling(self) -> np.ndarray:
        with _blocks.one_blas_thread:
            return closed.coupling(self.weights, self.outputs)

    def _rows(self, x, time, order: int) -> Rows:
        return Rows(self.weights, self.biases, self.activation, self.inputs(x, time), order)


def _extra(features: FourierFeatures | None) -> int:
    """Rows that W_1 has beyond ``sizes[0]``."""
    if features is not None and not isinstance(features, FourierFeatures):
        raise TypeError(f"features is {features!r}: pass FourierFeatures(frequencies), or None for t itself")
    return 0 if features is None else features.width - 1


def _parameter(array, name: str, ndim: int, dtype) -> np.ndarray:
    """A read-only copy."""
    array = np.array(array, dtype=dtype, order="C")
    if array.ndim != ndim or array.size == 0:
        wanted = "(in, out)" if ndim == 2 else "(out,)"
        raise ValueError(f"{name} has shape {array.shape}: pass shape {wanted}, no width being 0")
    _validate.finite(array, name).flags.writeable = False
    return array
