"""The calculus of a layered network, on one block of rows.

Forward, with a_0 the input row, L layers and z_L = s:

    z_l = a_{l-1} W_l + b_l        a_l = phi(z_l)

Tangent (forward mode): da_0 = v, and Ds v = dz_L with

    dz_l = da_{l-1} W_l            da_l = phi'(z_l) dz_l

Backward (reverse mode). The gradient of G = sum over rows of u.s + w.(Ds v) starts from z*_L = u, dz*_L = w; a star
marks the derivative of G in the starred quantity:

    W*_l = a_{l-1}' z*_l + da_{l-1}' dz*_l        b*_l = sum over rows of z*_l
    z*_{l-1} = (z*_l W_l') phi' + (dz*_l W_l') dz_{l-1} phi''        dz*_{l-1} = (dz*_l W_l') phi'

so phi'' enters only where the Jacobian is being differentiated (Pearlmutter 1994 for this forward-over-reverse pass).
Everything here is pure NumPy on the rows it is given; checks, blocks and threads are in `refscore.networks.mlp`.
"""

from __future__ import annotations

import numpy as np

from refscore.networks.activations import Activation


class Rows:
    """A block of rows on its way through the network, and what each layer leaves behind for the derivatives.

    Parameters
    ----------
    weights, biases : sequences of (in, out) and (out,) arrays, one per layer.
    activation : Activation, applied after every layer but the last.
    a0 : (n, in) array.
    order : 0 for the output alone, 1 to keep the slopes phi'(z_l), 2 to keep the curvatures phi''(z_l) as well.

    Attributes: ``output`` (n, out); ``inputs`` a_0, ..., a_{L-1}; ``slopes``, ``curvatures`` of the hidden layers.
    """

    def __init__(self, weights, biases, activation: Activation, a0: np.ndarray, order: int):
        self.weights = weights
        self.inputs, self.slopes, self.curvatures = [a0], [], []
        self.z_tangents: list[np.ndarray] = []
        self.a_tangents: list[np.ndarray] = []
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            a, slope, curvature = activation.jet(_affine(self.inputs[-1], W, b), order)
            self.inputs.append(a)
            self.slopes.append(slope)
            self.curvatures.append(curvature)
        self.output = _affine(self.inputs[-1], weights[-1], biases[-1])

    def jvp(self, v: np.ndarray) -> np.ndarray:
        """Ds v_k, (k, n, out), for k directions v (k, n, d) in the first d input columns; kept for `backward`."""
        self.z_tangents, self.a_tangents = [], [v]
        dz = v @ self.weights[0][: v.shape[-1]]
        for slope, W in zip(self.slopes, self.weights[1:], strict=True):
            self.z_tangents.append(dz)
            self.a_tangents.append(slope * dz)
            dz = self.a_tangents[-1] @ W
        return dz

    def vjp(self, u: np.ndarray, d: int) -> np.ndarray:
        """(Ds)'u in the first d input columns, (..., n, d), for u (..., n, out)."""
        for slope, W in zip(reversed(self.slopes), reversed(self.weights[1:]), strict=True):
            u = u @ W.T
            u *= slope
        return u @ self.weights[0][:d].T

    def backward(self, u: np.ndarray, w: np.ndarray | None = None, extra: list[np.ndarray] | None = None) -> list:
        """Parameter gradient [W1*, b1*, ...] of the sum over rows of u.s + sum over k of w_k.(Ds v_k).

        ``u`` (n, out); ``w`` (k, n, out), for the directions of the last `jvp`. ``extra``: for each hidden layer an
        array like z_l, the derivative in z_l of whatever else depends on it.
        """
        gradient: list[np.ndarray] = []
        for l in reversed(range(len(self.weights))):
            dW = self.inputs[l].T @ u
            if w is not None:
                dW[: self.a_tangents[l].shape[-1]] += outer(self.a_tangents[l], w)
            gradient[:0] = [dW, u.sum(axis=0)]
            if l == 0:
                break
            W, slope = self.weights[l], self.slopes[l - 1]
            u = u @ W.T
            u *= slope
            if w is not None:
                w = w @ W.T
                u += (w * self.z_tangents[l - 1]).sum(axis=0) * self.curvatures[l - 1]
                w *= slope
            if extra is not None:
                u += extra[l - 1]
        return gradient

    def backward_squares(self, u: np.ndarray) -> list[np.ndarray]:
        """[W1, b1, ...]: the sums over rows of the SQUARES of each row's parameter gradient of u.s.

        A row's W*_l is a_{l-1}' z*_l, of rank one, so its square is the product of the squares: still one matrix product.
        """
        squares: list[np.ndarray] = []
        for l in reversed(range(len(self.weights))):
            squares[:0] = [(self.inputs[l] ** 2).T @ u**2, (u**2).sum(axis=0)]
            if l:
                u = (u @ self.weights[l].T) * self.slopes[l - 1]
        return squares


def _affine(a, W, b) -> np.ndarray:
    z = a @ W
    z += b
    return z


def outer(a, b) -> np.ndarray:
    """The sum of a_i b_i' over all leading axes: one matrix product."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])
