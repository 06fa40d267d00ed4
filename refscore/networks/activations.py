"""Activations phi with phi' and phi'', which is all that a network's derivatives need, and phi''' for those of energies.

A score network's Jacobian contains phi', and the parameter gradient of anything that contains the Jacobian (implicit
and sliced score matching) contains phi''. When the score is itself a derivative, s = -grad E, all of this is one order
higher. Every function here

* evaluates value, slope and curvature from one or two exponentials, with no overflow for any finite argument;
* has an absolute error of a few eps (tanh, softplus, their derivatives, and silu have a relative error of a few eps);
* keeps float32;
* takes complex arguments (all but relu are analytic), so that imag phi(z + ih)/h gives phi'(z) by another road.

ReLU's caveat: phi'' is zero wherever it exists, all its mass sits in the kinks, and no formula evaluated at points
sees it. tr Ds is right almost everywhere, and E tr Ds is right because relu is continuous; but the *gradient* of
E tr Ds in the parameters is carried by the kinks as they move, and a gradient row by row misses that part entirely
(identity D1.relu). The score of a ReLU energy is not even continuous, and there E tr Ds itself is wrong (D3.relu).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Jet = tuple[np.ndarray, "np.ndarray | None", "np.ndarray | None"]


@dataclass(frozen=True)
class Activation:
    """A function phi applied entry by entry: ``phi(z)``, ``phi.slope(z)`` = phi'(z), ``phi.curvature(z)`` = phi''(z).

    ``jet(z, order)`` gives (phi, phi', phi'') up to ``order`` in one go, with None for what was not asked.
    ``phi.third(z)`` = phi'''(z), by ``third_derivative``, which an activation of one's own needs in an energy alone.
    """

    name: str
    jet: Callable[[Any, int], Jet]
    third_derivative: Callable[[Any], np.ndarray] | None = None

    def __call__(self, z) -> np.ndarray:
        """phi(z), in the shape and dtype of z; complex z too."""
        return self.jet(_floating(z), 0)[0]

    def slope(self, z) -> np.ndarray:
        """phi'(z), in the shape and dtype of z; complex z too."""
        slope = self.jet(_floating(z), 1)[1]
        assert slope is not None
        return slope

    def curvature(self, z) -> np.ndarray:
        """phi''(z), in the shape and dtype of z; complex z too."""
        curvature = self.jet(_floating(z), 2)[2]
        assert curvature is not None
        return curvature

    def third(self, z) -> np.ndarray:
        """phi'''(z), in the shape and dtype of z; complex z too. ValueError when the activation was made without it."""
        if self.third_derivative is None:
            raise ValueError(
                f"activation {self.name!r} has no third derivative, which gradients of an energy's Jacobian contain: "
                f"pass Activation(name, jet, third_derivative)"
            )
        return self.third_derivative(_floating(z))


def _tanh(z, order: int) -> Jet:
    """phi' = sech^2 with sech z = e^-|z| (1 + |phi|), where nothing cancels (1 - phi^2 would);  phi'' = -2 phi phi'."""
    value = np.tanh(z)
    if order == 0:
        return value, None, None
    slope = np.exp(_minus_abs(z))
    size = np.abs(value) if z.dtype.kind == "f" else np.where(z.real > 0, value, -value)
    size += 1
    slope *= size
    slope *= slope
    if order == 1:
        return value, slope, None
    curvature = value * slope
    curvature *= -2
    return value, slope, curvature


def _softplus(z, order: int) -> Jet:
    """log(1 + e^z) = max(z, 0) + log(1 + e^-|z|);  phi' = p, phi'' = p q with the logistic p, q = 1 - p."""
    e = np.exp(_minus_abs(z))
    value = _positive_part(z) + np.log1p(e)
    if order == 0:
        return value, None, None
    p, q = _logistic(z, e)
    return value, p, p * q if order == 2 else None


def _silu(z, order: int) -> Jet:
    """z p(z), p the logistic, q = 1 - p;  phi' = p (1 + z q), phi'' = p q (2 + z (q - p))."""
    p, q = _logistic(z, np.exp(_minus_abs(z)))
    value = z * p
    if order == 0:
        return value, None, None
    slope = p * (1 + z * q)
    return value, slope, p * q * (2 + z * (q - p)) if order == 2 else None


def _sin(z, order: int) -> Jet:
    """phi' = cos, phi'' = -sin."""
    value = np.sin(z)
    return value, np.cos(z) if order >= 1 else None, -value if order == 2 else None


def _relu(z, order: int) -> Jet:
    """max(z, 0); phi' = [z > 0] (0 at the kink), phi'' = 0 almost everywhere."""
    slope = (z.real > 0).astype(z.dtype) if order >= 1 else None
    return _positive_part(z), slope, np.zeros_like(z) if order == 2 else None


def _third_tanh(z) -> np.ndarray:
    """2 phi' (3 phi^2 - 1)."""
    value, slope, _ = _tanh(z, 1)
    assert slope is not None
    return 2 * slope * (3 * value * value - 1)


def _third_softplus(z) -> np.ndarray:
    """p q (q - p)."""
    p, q = _logistic(z, np.exp(_minus_abs(z)))
    return p * q * (q - p)


def _third_silu(z) -> np.ndarray:
    """p q [3 (q - p) + z (1 - 6 p q)]."""
    p, q = _logistic(z, np.exp(_minus_abs(z)))
    return p * q * (3 * (q - p) + z * (1 - 6 * p * q))


def _third_sin(z) -> np.ndarray:
    return -np.cos(z)


def _third_relu(z) -> np.ndarray:
    """0 almost everywhere."""
    return np.zeros_like(z)


def _logistic(z, e) -> tuple[np.ndarray, np.ndarray]:
    """p = 1/(1 + e^-z) and 1 - p, from e = e^-|z|: neither tail cancels."""
    total = 1 + e
    small, large, right = e / total, 1 / total, z.real > 0
    return np.where(right, large, small), np.where(right, small, large)


def _minus_abs(z) -> np.ndarray:
    """-|z|; for complex z the analytic branch on either side of the imaginary axis."""
    if z.dtype.kind == "c":
        return np.where(z.real > 0, -z, z)
    size = np.abs(z)
    size *= -1
    return size


def _positive_part(z) -> np.ndarray:
    return np.where(z.real > 0, z, 0) if z.dtype.kind == "c" else np.maximum(z, 0)


def _floating(z) -> np.ndarray:
    array = np.asarray(z)
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


ACTIVATIONS = {
    function.__name__[1:]: Activation(function.__name__[1:], function, third)
    for function, third in (
        (_tanh, _third_tanh),
        (_softplus, _third_softplus),
        (_silu, _third_silu),
        (_sin, _third_sin),
        (_relu, _third_relu),
    )
}


def activation(which: str | Activation) -> Activation:
    """The activation of that name ('tanh', 'softplus', 'silu', 'sin', 'relu'), or the `Activation` itself.

    Raises ValueError for an unknown name and TypeError for anything else.
    """
    if isinstance(which, Activation):
        return which
    if not isinstance(which, str):
        raise TypeError(f"activation is {which!r}: pass one of {', '.join(map(repr, ACTIVATIONS))}, or an Activation")
    if which not in ACTIVATIONS:
        raise ValueError(f"activation is {which!r}: choose one of {', '.join(map(repr, ACTIVATIONS))}")
    return ACTIVATIONS[which]
