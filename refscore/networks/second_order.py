"""The calculus of a network with one output, E(x), differentiated once more: its gradient is the score, s = -grad E.

With z_l, a_l as in `refscore.networks.backprop`, L layers and z_L = E, the adjoints h_l = dE/da_l run backwards,

    h_{L-1} = W_L'        h_{l-1} = (h_l phi'(z_l)) W_l'        s = -h_0

and second derivatives are curvatures of hidden units between two tangents. With p = dz_l along v, q = dz_l along w,

    v'(Hess E)w = sum over l of sum_j h_lj phi''(z_lj) p_lj q_lj

which is symmetric, and with v = w = e_1, ..., e_d the Laplacian. In the first layer p does not depend on the row (it is a row
of W_1), so for one hidden layer tr Ds = -sum_j W_2j phi''(z_j) ||V_1j||^2 costs no more than a forward pass; for more the
d tangents must be carried through the layers that follow, because squares of sums do not factor.

Gradients in the parameters. All that is ever differentiated is a second-order operator on E,

    u.s + sum_k w_k.(Ds v_k) = -[D_u + sum_k c_k (D_{v_k})^2] E

(v'(Hess E)w is a difference of two squares, see `polarised`), and it is one more forward pass, r_l for the operator on z_l
("forward Laplacian", Li et al. 2024): with a_0 = x, r_0 = u and Q_l = sum_k c_k p_lk^2,

    r_l -> (phi' r + phi'' Q) W        so that r_L is the bracket

The reverse pass through it, a star marking derivatives of -r_L summed over rows, begins with r*_L = -1 and is

    a_r* = r*_l W_l' = -h_{l-1}        a* = z*_l W_l'         a_p* = p*_l W_l'
    r*_{l-1} = a_r* phi'               p*_{l-1} = a_p* phi' + 2 c a_r* phi'' p
    z*_{l-1} = a* phi' + sum_k a_p* phi'' p + a_r* (phi'' r + phi''' Q)
    W*_l = a' z*_l + a_r' r*_l + sum_k a_p' p*_l

with a_r = phi' r + phi'' Q and a_p = phi' p: third derivatives enter only where the Jacobian is being differentiated.
"""

from __future__ import annotations

import numpy as np

from refscore.networks.activations import Activation
from refscore.networks.backprop import outer


class EnergyRows:
    """A block of rows on its way through E and back, and what each layer leaves behind for the derivatives.

    Parameters
    ----------
    weights, biases, activation : as for `refscore.networks.backprop.Rows`, the last layer having one output.
    a0 : (n, in) array; x is its first d columns.
    order : derivatives of E in x that will be differentiated in x or theta: 0, 1 or 2.

    Attributes: ``inputs`` a_0, ..., a_{L-1}; ``slopes``, ``curvatures``, ``thirds`` of the hidden layers as far as ``order``
    needs them; ``adjoints`` h_1, ..., h_{L-1}; ``score`` (n, d).
    """

    def __init__(self, weights, biases, activation: Activation, a0: np.ndarray, d: int, order: int):
        self.weights, self.d, self.inputs = weights, d, [a0]
        self.slopes: list = []
        self.curvatures: list = []
        self.thirds: list = []
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            z = self.inputs[-1] @ W
            z += b
            a, slope, curvature = activation.jet(z, min(order + 1, 2))
            self.inputs.append(a)
            self.slopes.append(slope)
            self.curvatures.append(curvature)
            self.thirds.append(activation.third(z) if order == 2 else None)
        h = np.broadcast_to(weights[-1][:, 0], self.inputs[-1].shape)
        self.adjoints: list = []
        for slope, W in zip(reversed(self.slopes), reversed(weights[:-1]), strict=True):
            self.adjoints.insert(0, h)
            h = (h * slope) @ W.T
        self.score = -h[:, :d]

    def tangents(self, v: np.ndarray) -> tuple[list, list]:
        """p_l along the directions v (k, n, d), or (k, 1, d) when the same for all rows; and a_p, beginning with v."""
        z_tangents: list[np.ndarray] = []
        a_tangents = [v]
        for W, slope in zip(self.weights[:-1], [None, *self.slopes]):
            if slope is not None:
                a_tangents.append(slope * z_tangents[-1])
            z_tangents.append(_times(a_tangents[-1], W[: a_tangents[-1].shape[-1]]))
        return z_tangents, a_tangents

    def jvp(self, v: np.ndarray) -> np.ndarray:
        """Ds v_k = -(Hess E) v_k, (k, n, d): the tangent of the backward pass, dh, along v (k, n, d)."""
        dh = np.zeros((1, 1, 1), v.dtype)
        layers = zip(self.weights[:-1], self.slopes, self.curvatures, self.adjoints, self.tangents(v)[0], strict=True)
        for W, slope, curvature, h, p in reversed(list(layers)):
            dh = _times(dh * slope + h * curvature * p, W.T)
        return -np.broadcast_to(dh[..., : self.d], v.shape)

    def trace(self, z_tangents: list) -> np.ndarray:
        """tr Ds, (n,), from the tangents along e_1, ..., e_d."""
        total = np.zeros(len(self.score), self.score.dtype)
        for curvature, h, p in zip(self.curvatures, self.adjoints, z_tangents, strict=True):
            total -= (h * curvature * np.einsum("knj,knj->nj", p, p)).sum(axis=1)
        return total

    def backward(self, u: np.ndarray, c: np.ndarray | None = None, tangents: tuple[list, list] = ([], [])) -> list[np.ndarray]:
        """Parameter gradient [W1*, b1*, ...] of the sum over rows of -[D_u + sum_k c_k (D_{v_k})^2] E.

        ``u`` (n, d); ``c`` (k, n), or (1, n) when the same for all directions; ``tangents``: those along v_1, v_2, ...
        """
        p, a_p = tangents
        r, a_r, Q = self._operator(u, c, p)
        r_star, z_star, p_star = np.full((len(u), 1), -1, u.dtype), np.zeros((len(u), 1), u.dtype), None
        gradient: list[np.ndarray] = []
        for l in reversed(range(len(self.weights))):
            dW = self.inputs[l].T @ z_star
            dW[: a_r[l].shape[-1]] += a_r[l].T @ r_star
            if p_star is not None:
                dW[: a_p[l].shape[-1]] += outer(a_p[l], p_star)
            gradient[:0] = [dW, z_star.sum(axis=0)]
            if l == 0:
                break
            W, slope, curvature, a_r_star = self.weights[l], self.slopes[l - 1], self.curvatures[l - 1], -self.adjoints[l - 1]
            r_star, bent = a_r_star * slope, a_r_star * curvature
            z_star = (z_star @ W.T) * slope + bent * r[l - 1]
            if c is not None:
                z_star += a_r_star * self.thirds[l - 1] * Q[l - 1]
                bent = _for_each_row_of(p[l - 1], 2 * c[..., None] * bent) * p[l - 1]
                if p_star is not None:
                    a_p_star = _times(p_star, W.T)
                    z_star += (a_p_star * p[l - 1]).sum(axis=0) * curvature
                    bent += _for_each_row_of(p[l - 1], a_p_star * slope)
                p_star = bent
        return gradient

    def _operator(self, u, c, p) -> tuple[list, list, list]:
        """r_1, ...; a_r, beginning with u; Q_1, ..."""
        r, a_r, Q = [], [u], []
        for l, W in enumerate(self.weights[:-1]):
            r.append(a_r[-1] @ W[: a_r[-1].shape[-1]])
            a_r.append(self.slopes[l] * r[-1])
            if c is not None:
                squares = p[l] ** 2 if len(c) > 1 else (p[l] ** 2).sum(axis=0, keepdims=True)
                Q.append((c[..., None] * squares).sum(axis=0))
                a_r[-1] += self.curvatures[l] * Q[-1]
        return r, a_r, Q


def polarised(v: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (2k, n, d) and coefficients (2k, n) with sum c (D_direction)^2 = sum_k D_{v_k} D_{w_k}, v and w (k, n, d).

    v w' + w v' = [(m v + w/m)(m v + w/m)' - (m v - w/m)(m v - w/m)']/2, with m^2 about |w|/|v| row by row, so that nothing cancels
    beyond |v| |w|; m is a power of 2, which costs no rounding.
    """
    of_v, of_w = (np.frexp(np.abs(a).max(axis=-1, keepdims=True))[1] for a in (v, w))
    m = np.ldexp(np.ones_like(v, shape=1), (of_w - of_v) // 2)
    directions = np.concatenate([m * v + w / m, m * v - w / m])
    c = np.repeat(np.array([0.25, -0.25], v.dtype), len(v))
    return directions, np.broadcast_to(c[:, None], directions.shape[:2])


def _times(a: np.ndarray, W: np.ndarray) -> np.ndarray:
    """a W for a (k, n, m) as one matrix product: `numpy.matmul` would make k small ones."""
    return (a.reshape(-1, a.shape[-1]) @ W).reshape(*a.shape[:-1], W.shape[1])


def _for_each_row_of(p: np.ndarray, array: np.ndarray) -> np.ndarray:
    """``array``; summed over rows where p is the same for all of them, one row."""
    return array.sum(axis=1, keepdims=True) if p.shape[1] == 1 else array
