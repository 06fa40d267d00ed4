r"""The second road for networks: a forward pass as one writes it on paper, and derivatives that differentiate nothing by hand.

    s = phi(... phi(a W_1 + b_1) ...) W_L + b_L

with complex-safe phi, and the complex step Im f(x + i h)/h = f'(x) + O(h^2) at h = 2^-100, which is exact to rounding
because nothing is subtracted (Squire & Trapp, SIAM Review 40, 1998). Nothing here is shared with `refscore.networks`.

**How the bounds are derived.** Everything compared is a polynomial with positive coefficients in weights, activations a_l,
slopes phi' and curvatures phi''. Put absolute values in place of all weights and inputs, and in place of phi a jet
that is never smaller, |phi(z)| <= 1.1 |z| + 0.7, |phi'| <= 1.1, |phi''| <= 1 (true of tanh, softplus, SiLU, sin): the same
code then returns the *size* of what the routes add up (`Size`). A rounding error on the way is relative to that size. A
layer with fan-in m makes at most m + 8 of them in real arithmetic, four times as many in complex, so that with
eps = 2^-52 (for both routes together) the pre-activation's error runs along the layers as

    e_l = 4 (m_l + 8) eps (|a_{l-1}| |W_l| + |b_l|) + (1.1 e_{l-1} + 8 eps |a_{l-1}|) |W_l|

and enters phi, phi' and phi'' with at most twice its size (|phi''| <= 1, |phi'''| <= 2). A term of any derivative here is a
product of at most 2 (L + 1) such factors (two activations or outputs, and slopes or curvatures of L - 1 layers, some of them
twice), whose relative errors add up to those of the products going forwards and backwards:

    bound = [4 (L + 1) max e + 2 sum_l 4 (m_l + 8) eps] size
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STEP = 2.0**-100
EPS = float(np.finfo(float).eps)

VALUE: dict[str, Callable] = {
    "tanh": np.tanh,
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "sin": np.sin,
}
SLOPE: dict[str, Callable] = {
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
    "softplus": lambda z: 1 / (1 + np.exp(-z)),
    "silu": lambda z: (1 + np.exp(-z) + z * np.exp(-z)) / (1 + np.exp(-z)) ** 2,
    "sin": np.cos,
}
CURVATURE: dict[str, Callable] = {
    "tanh": lambda z: -2 * np.tanh(z) / np.cosh(z) ** 2,
    "softplus": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
    "silu": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2 * (2 - z * np.tanh(z / 2)),
    "sin": lambda z: -np.sin(z),
}


def forward(parameters: Sequence, a, phi: Callable) -> np.ndarray:
    """s at the input rows a, (..., n, out); parameters [W1, b1, ...] may have leading axes."""
    *hidden, (W, b) = _layers(parameters)
    for V, c in hidden:
        a = phi(a @ V + c)
    return a @ W + b


def jacobians(parameters: Sequence, a, d: int, phi: Callable, slope: Callable) -> np.ndarray:
    """V_1 diag(phi') W_2 diag(phi') ... of every row, (..., n, d, out): the TRANSPOSE of Ds in the first d inputs."""
    layers = _layers(parameters)
    product = layers[0][0][..., None, :d, :]
    for (W, b), (after, _) in zip(layers, layers[1:], strict=False):
        z = a @ W + b
        a = phi(z)
        product = (product * slope(z)[..., None, :]) @ after[..., None, :, :]
    rows = np.broadcast_shapes(product.shape[:-2], a.shape[:-1])  # without hidden layers the product is the same for all rows
    return np.broadcast_to(product, rows + product.shape[-2:])


def hessians(parameters: Sequence, a, d: int, phi: Callable, slope: Callable, curvature: Callable) -> np.ndarray:
    """Second derivatives of the first output of every row in the first d inputs, (..., n, d, d): forward mode, twice."""
    layers = _layers(parameters)
    first, second = layers[0][0][..., None, :d, :], np.zeros((1, d, d, 1))
    for (W, b), (after, _) in zip(layers, layers[1:], strict=False):
        z = a @ W + b
        a = phi(z)
        bent = first[..., :, None, :] * first[..., None, :, :] * curvature(z)[..., None, None, :]
        second = (second * slope(z)[..., None, None, :] + bent) @ after[..., None, None, :, :]
        first = (first * slope(z)[..., None, :]) @ after[..., None, :, :]
    rows = np.broadcast_shapes(second.shape[:-3], a.shape[:-1])
    return np.broadcast_to(second[..., 0], (*rows, d, d))


def traces(parameters: Sequence, a, d: int, phi: Callable, slope: Callable) -> np.ndarray:
    """tr Ds of every row, (..., n)."""
    return np.trace(jacobians(parameters, a, d, phi, slope), axis1=-2, axis2=-1)


def gradient(f: Callable, parameters: Sequence) -> list[np.ndarray]:
    """df/d(each entry) of a real f(parameters), by one complex step an entry, all entries of an array at once."""
    result = []
    for l, array in enumerate(parameters):
        moved = np.zeros((array.size, array.size), complex)
        np.fill_diagonal(moved, 1j * STEP)
        arrays = [*parameters]
        arrays[l] = array + moved.reshape(array.size, *array.shape)
        values = np.broadcast_to(f(arrays), array.size)  # a number alone when f does not depend on this array
        result.append(values.imag.reshape(array.shape) / STEP)
    return result


def rows(x, *t) -> np.ndarray:
    """Input rows: x with t, when given, as last column, or with the columns of its features."""
    return np.column_stack([x, *(np.broadcast_to(time, len(x)) for time in t)])


def features(frequencies, t, log: bool) -> np.ndarray:
    """[sin 2 pi B t, cos 2 pi B t] as the parts of e^{2 pi i B t}, whole turns taken off before multiplying by 2 pi."""
    turns = np.outer(np.log(t) if log else t, frequencies)
    wave = np.exp(2j * np.pi * (turns - np.round(turns)))
    return np.hstack([wave.imag, wave.real])


def values(model, x, *t) -> np.ndarray:
    """s, (n, out); x may be complex."""
    return forward(model.parameters, rows(x, *t), VALUE[model.activation.name])


def directional(f: Callable, x, v) -> np.ndarray:
    """d/dh f(x + h v) at h = 0, row by row."""
    return np.asarray(f(x + 1j * STEP * v)).imag / STEP


def jacobian(f: Callable, x) -> np.ndarray:
    """Entry [n, k, j]: df_k/dx_j at row n, by a complex step in every coordinate."""
    return np.stack([directional(f, x, e) for e in np.eye(x.shape[1])], axis=2)


def _layers(parameters: Sequence) -> list[tuple[Any, Any]]:
    return [(W, b[..., None, :]) for W, b in zip(parameters[0::2], parameters[1::2], strict=True)]


class Size:
    """Sizes of a network's derivatives at rows a, as the module docstring derives them, and the rounding relative to them."""

    jet: tuple

    def __init__(self, model, a: np.ndarray, d: int):
        self.jet, self.d, self.inputs = (above, steeper), d, np.abs(a)
        self.parameters = [np.abs(p) for p in model.parameters]
        value, error, largest = np.asarray(a, float), np.zeros_like(a, float), 0.0
        counts = [4 * (W.shape[0] + 8) for W in self.parameters[0::2]]
        sizes, signed = _layers(self.parameters), _layers(model.parameters)
        for m, (W, b), (V, c) in zip(counts, sizes[:-1], signed, strict=False):
            error = EPS * m * (np.abs(value) @ W + b) + error @ W
            largest = max(largest, float(error.max()))
            value = VALUE[model.activation.name](value @ V + c)
            error = 1.1 * error + 8 * EPS * np.abs(value)
        self.rounding = 4 * (len(counts) + 1) * largest + 2 * EPS * sum(counts)

    def values(self) -> np.ndarray:
        """Of s, (n, out)."""
        return forward(self.parameters, self.inputs, above)

    def jacobian(self) -> np.ndarray:
        """Of Ds, (out, d): the same for all rows."""
        product = self.parameters[0][: self.d]
        for W in self.parameters[2::2]:
            product = 1.1 * product @ W
        return product.T

    def value(self, f: Callable, **arguments) -> float:
        """Of f(parameters, rows, *jet, **arguments), f having positive coefficients and ``arguments`` no signs."""
        return float(np.real(f(self.parameters, self.inputs, *self.jet, **arguments)))

    def gradient(self, f: Callable, **arguments) -> list[np.ndarray]:
        """Of the parameter gradient of such an f."""
        return gradient(lambda p: f(p, self.inputs, *self.jet, **arguments), self.parameters)


def above(z):
    """Never below |phi|, with slope 1.1 along a complex step."""
    return 1.1 * z + 0.7


def steeper(z):
    """Never below |phi'|, with slope 1 along a complex step."""
    return 1.1 + 1j * np.imag(z)


def sharper(z):
    """Never below |phi''|, with slope 2 along a complex step."""
    return 1 + 2j * np.imag(z)
