"""v'(Ds)v without derivatives by hand: differences of g(h) = v.s(x + h v), and a complex step [a, "Jacobian-Vector Product"].

    forward     (g(h) - g(0))/h         = g' + h g''/2 + ...          rounding 2 e/h
    central     (g(h) - g(-h))/(2 h)    = g' + h^2 g'''/6 + ...       rounding   e/h
    complex     Im g(i h)/h             = g' - h^2 g'''/6 + ...       no subtraction: h = 1e-200 leaves nothing of it

with e the rounding error of one g. A difference is wrong on both sides: the error against h is a U, lowest where its two parts
balance,

    forward     h = 2 sqrt(e/|g''|)         error  2 sqrt(e |g''|)
    central     h = (3 e/|g'''|)^(1/3)      error  (3/2) e^(2/3) (|g'''|/3)^(1/3)

that is about 1e-8 and 1e-5 in double precision, and half of the digits, or two thirds. g'' and g''' follow exactly from the
network (`line_derivatives`, Faa di Bruno's formula layer by layer); e is a model of rounding, unit roundoff times what one
rounding of s and of x can do: typical, not a bound. The complex step (Squire & Trapp, SIAM Review 40, 1998) needs s to be analytic
and evaluated in complex arithmetic: relu is neither.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks, _validate
from refscore.networks.mlp import MLP
from refscore.networks.network import Network

SCHEMES = ("forward", "central")


def directional_difference(model: Callable, x, v, h, t=None, scheme: str = "central") -> np.ndarray:
    """The 'forward' or 'central' difference of v.s along v, (n,), for any callable s(x) or s(x, t).

    Parameters
    ----------
    x, v : (n, d) arrays. h : step, a positive number or one a row (n,). t : scalar or (n,), optional.

    Raises ValueError for shapes that differ, a step that is not positive, another scheme, a difference that is not finite.
    """
    _validate.choice(scheme, "scheme", SCHEMES)
    x, v = _points(x, v)
    h = _validate.times(h, len(x), "h")[:, None]
    if not (h > 0).all():
        raise ValueError(f"h is {h.min()}: a difference needs a positive step, see best_step")
    step = (h * v).astype(v.dtype)
    time = () if t is None else (t,)
    above, below = model(x + step, *time), model(x - step if scheme == "central" else x, *time)
    found = np.einsum("ij,ij->i", v, above - below) / (h[:, 0] * (2 if scheme == "central" else 1))
    return _validate.finite(found, "the difference of v.model")


def complex_step(model: Network, x, v, t=None, h: float = 1e-200) -> np.ndarray:
    """Im v.s(x + i h v)/h, (n,): v'(Ds)v to rounding, through the network's forward pass in complex arithmetic.

    h is relative to the largest entry of v. A network in float32 is evaluated in double precision: h^2 must vanish, and h not.
    Raises TypeError for what is not a network, ValueError for relu, which is not analytic, and for h below 1e-290.
    """
    if not isinstance(model, Network):
        raise TypeError(f"model is {model!r}, which may not take complex points: pass an MLP or an EnergyMLP")
    network: Any = model
    if network.activation.name == "relu":
        raise ValueError("the activation is relu, which is not analytic: use jvp, or directional_difference away from kinks")
    network = network.with_parameters([np.asarray(p, dtype=np.float64) for p in network.parameters])
    h = _validate.positive(h, "h")
    if h < 1e-290:
        raise ValueError(f"h is {h}: its square must vanish, but h times the derivative keep its digits; pass 1e-200")
    x, time = network.checked(x, t)
    _, v = _points(x, v)
    v, size = _normed(v)
    block = partial(_complex_steps, network, h)
    return size * (size * _blocks.map_rows(block, x, time, v, row_bytes=2 * network.row_bytes(1)))


def line_derivatives(model: MLP, x, v, t=None) -> np.ndarray:
    """g, g', g'', g''' of g(h) = v.s(x + h v) at h = 0, (4, n): Taylor mode by hand.

    Raises TypeError when the model is not an MLP, ValueError when v is not like x or s.
    """
    if not isinstance(model, MLP):
        raise TypeError(f"model is {model!r}: derivatives along a line are written for an MLP")
    x, time = model._square(x, t)
    v = model._like(v, x.shape, "v")
    return _blocks.map_rows(partial(_line_derivatives, model), x, time, v, row_bytes=model.row_bytes(3)).T


def best_step(model: MLP, x, v, t=None, scheme: str = "central") -> tuple[np.ndarray, np.ndarray]:
    """The step h (n,) at which the difference's predicted error is smallest, and that error (n,); see the module's theory.

    e is half an eps of the model's dtype times sum_k |v_k s_k| + sum_i |(v'Ds)_i x_i|. Both are inf and 0 where the
    derivative in question vanishes, as for v = 0: no step is too long for a straight line.
    """
    _validate.choice(scheme, "scheme", SCHEMES)
    x, v = _points(x, v)
    v, size = _normed(v)  # g^(k) goes like |v|^(k+1): taken for |v| = 1, nothing overflows or vanishes
    _, _, second, third = np.abs(line_derivatives(model, x, v, t).astype(np.float64))
    terms = np.abs(v * model(x, t)).sum(axis=1) + np.abs(x * model.vjp(x, v, t)).sum(axis=1)
    e = float(np.finfo(model.dtype).eps) / 2 * terms.astype(np.float64)
    e[size == 0] = 1.0  # a constant: any
    with np.errstate(divide="ignore", over="ignore"):
        if scheme == "forward":
            return 2 * np.sqrt(e / second) / size, 2 * np.sqrt(e * second) * size * size
        return np.cbrt(3 * e / third) / size, 1.5 * np.cbrt(e * e * third / 3) * size * size


def _points(x, v) -> tuple[np.ndarray, np.ndarray]:
    if np.shape(v) != np.shape(x):
        raise ValueError(f"v has shape {np.shape(v)}, x has {np.shape(x)}: pass one direction a row")
    return _validate.batch(x, dtype=None), _validate.batch(v, name="v", dtype=None)


def _normed(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """v in float64 with largest entry of each row 1, and what it was; zero rows stay."""
    size = np.abs(v).max(axis=1, initial=0.0).astype(np.float64)
    return v / np.where(size > 0, size, 1.0)[:, None], size


def _complex_steps(network, h, x, time, v):
    s = network.value_pullback(x + 1j * h * v, time, grad=False)[0]
    return np.einsum("ij,ij->i", v, s.imag) / h


def _line_derivatives(model, x, time, v):
    """(n, 4): z, z', z'', z''' of every layer become a, a', a'', a''' by Faa di Bruno's formula."""
    W = model.weights[0]
    z = [model.inputs(x, time) @ W + model.biases[0], v @ W[: x.shape[1]], 0, 0]
    for W, b in zip(model.weights[1:], model.biases[1:], strict=True):
        value, slope, curvature = model.activation.jet(z[0], 2)
        third = model.activation.third(z[0])
        a = [
            value,
            slope * z[1],
            slope * z[2] + curvature * z[1] ** 2,
            slope * z[3] + 3 * curvature * z[1] * z[2] + third * z[1] ** 3,
        ]
        z = [k @ W for k in a]
        z[0] += b
    return np.stack([np.einsum("ij,ij->i", v, np.broadcast_to(k, v.shape)) for k in z], axis=1)
