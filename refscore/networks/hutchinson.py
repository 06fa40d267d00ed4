"""Hutchinson's estimate of a trace, v'Av with E vv' = I, and its exact variance.

E v'Av = tr A for every law of v with mean-free uncorrelated entries of variance one [a, "Hutchinson's Trace Estimator"]
(Hutchinson 1990). The variance depends on the law. Only the symmetric part S = (A + A')/2 counts:

    gaussian     v ~ N(0, I)                                2 ||S||^2
    rademacher   v_i = +-1 with probability 1/2 each        2 (||S||^2 - sum S_ii^2)
    sphere       v uniform on the sphere of radius sqrt d   2 d/(d + 2) (||S||^2 - (tr A)^2/d)

in Frobenius norms. No law wins always: Rademacher is exact for diagonal A, the sphere for multiples of I.
"""

from __future__ import annotations

import numpy as np

from refscore import _validate

LAWS = ("gaussian", "rademacher", "sphere")


def hutchinson(model, x, v, t=None) -> np.ndarray:
    """v.(Ds(x) v), (n,): an unbiased estimate of tr Ds(x) when E vv' = I.

    Parameters
    ----------
    model : with ``jvp(x, v)``, or ``jvp(x, v, t)`` when ``t`` is given.
    x, v : (n, d) arrays; t : scalar or (n,), optional.

    Raises TypeError when the model has no ``jvp``, ValueError when shapes differ.
    Source: [a, "Jacobian-Vector Product (JVP)"].
    """
    if not callable(getattr(model, "jvp", None)):
        raise TypeError(f"model is {model!r}, without a jvp method: pass an MLP, or AnalyticScore(density)")
    if np.shape(v) != np.shape(x):
        raise ValueError(f"v has shape {np.shape(v)}, x has {np.shape(x)}: pass one probe a row, probes(law, n, d, 0)")
    v = _validate.batch(v, name="v", dtype=None)
    return np.einsum("ij,ij->i", v, model.jvp(x, v) if t is None else model.jvp(x, v, t))


def hutchinson_variance(A, law: str) -> np.ndarray:
    """Var v'Av, exact, for ``A`` (d, d) or (n, d, d) and ``law`` 'gaussian', 'rademacher' or 'sphere': () or (n,).

    Written so that nothing cancels: what a law estimates without error is taken off S before squaring.
    Raises ValueError for another law or a matrix that is not square. Source: [a, c, e]; the sphere by
    E v_i v_j v_k v_l = d/(d+2) (three pairings of deltas).
    """
    _validate.choice(law, "law", LAWS)
    A = np.asarray(A, dtype=np.float64)
    if A.ndim not in (2, 3) or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"A has shape {A.shape}: pass (d, d), or (n, d, d) for n matrices")
    _validate.finite(A, "A")
    d = A.shape[-1]
    S = A / 2 + A.swapaxes(-1, -2) / 2
    diagonal = np.einsum("...ii->...i", S)  # a writeable view of S
    if law == "rademacher":
        diagonal[...] = 0.0
    elif law == "sphere":
        diagonal -= diagonal.mean(axis=-1, keepdims=True)
    return 2 * (d / (d + 2) if law == "sphere" else 1) * np.square(S).sum(axis=(-1, -2))


def probes(law: str, n: int, d: int, rng) -> np.ndarray:
    """n probes v (n, d) with E vv' = I: 'gaussian', 'rademacher', or 'sphere' (radius sqrt d)."""
    _validate.choice(law, "law", LAWS)
    n, d, rng = _validate.count(n, "n", least=0), _validate.count(d, "d"), _validate.generator(rng)
    if law == "rademacher":
        return 2.0 * rng.integers(0, 2, size=(n, d)) - 1.0
    v = rng.standard_normal((n, d))
    return v if law == "gaussian" else v * (np.sqrt(d) / np.linalg.norm(v, axis=1, keepdims=True))
