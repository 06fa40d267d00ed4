"""The trace of a network's Jacobian in closed form, for up to two hidden layers, and its parameter gradient.

Weights are stored (in, out), D_l is the row of slopes phi'(z_l), V_1 is W_1 without the row of the time input.
A row's divergence is linear in each D_l; what it needs of the parameters alone is the *coupling* C:

    no hidden layer     tr Ds = C                         C = tr V_1
    one                 tr Ds = sum_j D1_j C_j            C_j = (W_2 V_1)_jj
    two                 tr Ds = D1 C D2'                  C = W_2 o (W_3 V_1)'

with o the entrywise product: one matrix product for the batch and no loop over d. Proof for two layers: s = phi(phi(x
W_1) W_2) W_3 has ds_k/dx_k = sum_ij (V_1)_ki D1_i (W_2)_ij D2_j (W_3)_jk; sum over k first.

Gradient of sum over rows of c tr Ds. Through the slopes: z*_l = c (d tr Ds/d D_l) phi''(z_l), what
`Rows.backward` takes as ``extra``. Through the coupling: C* (the sum over rows of c, c D1 or c D1'D2), and then, once
for the whole batch,

    one     W_2* += diag(C*) V_1'                         V_1* += W_2' diag(C*)
    two     W_2* += C* o (W_3 V_1)',  W_3* += N' V_1',    V_1* += W_3' N',     N = C* o W_2
"""

from __future__ import annotations

import numpy as np

CLOSED_FORMS = 2
"""Hidden layers up to which the closed form exists here; beyond, the trace is taken by d tangents."""


def coupling(weights, d: int) -> np.ndarray:
    """C: a scalar array, (h,) or (h1, h2), for 0, 1 or 2 hidden layers and d input columns."""
    V1 = weights[0][:d]
    if len(weights) == 1:
        return np.trace(V1)
    if len(weights) == 2:
        return np.einsum("ki,ik->i", V1, weights[1])
    return weights[1] * (weights[2] @ V1).T


def trace(slopes, C: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """tr Ds of n rows, (n,), and its derivative in the last hidden layer's slopes, which `pulled_back` uses again."""
    if not slopes:
        return np.full(n, C), None
    partial = C if len(slopes) == 1 else slopes[0] @ C
    return (slopes[0] @ C if len(slopes) == 1 else np.einsum("ij,ij->i", partial, slopes[1])), partial


def pulled_back(slopes, curvatures, C, partial, c: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Of sum over rows of c tr Ds: the derivatives in z_1, ..., and C*. ``c`` (n,)."""
    if not slopes:
        return [], c.sum()
    c = c[:, None]
    weighted = [c * curvature for curvature in curvatures]
    weighted[-1] *= partial
    if len(slopes) == 1:
        return weighted, (c * slopes[0]).sum(axis=0)
    weighted[0] *= slopes[1] @ C.T
    return weighted, (c * slopes[0]).T @ slopes[1]


def add_coupling_gradient(gradient: list[np.ndarray], weights, d: int, dC: np.ndarray) -> list[np.ndarray]:
    """``gradient`` [W1*, b1*, ...] with what reaches the weights through the coupling added. ``dC`` = C*."""
    V1, dV1 = weights[0][:d], gradient[0][:d]
    if len(weights) == 1:
        dV1 += dC * np.eye(d, dtype=V1.dtype)
    elif len(weights) == 2:
        gradient[2] += dC[:, None] * V1.T
        dV1 += weights[1].T * dC
    else:
        N = dC * weights[1]
        gradient[2] += dC * (weights[2] @ V1).T
        gradient[4] += (V1 @ N).T
        dV1 += (N @ weights[2]).T
    return gradient
