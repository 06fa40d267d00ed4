r"""Integration by parts with the boundary kept.

Implicit score matching rests on E_p s . s_p = -E_p div s. On a support with ends this misses the flux of p s through them:

    E_p [div s + s . s_p] = int div(p s) dx = oint p s . n dS                             (the divergence theorem)
    J_ISM(s) = J_ESM(s) - 1/2 E_p ||s_p||^2 + oint p s . n dS

(systems B3). The flux depends on s: where it does not vanish, minimising J_ISM does not minimise J_ESM. In one dimension
the surface integral is p s at the upper ends minus p s at the lower ones, over all pieces on which p is smooth: where two
pieces touch the two sides cancel unless p or s jumps, and what is left is what a kink or a jump contributes to div s as a delta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refscore import _validate
from refscore.objectives._models import as_model


def boundary_flux(model: Callable, density: Any) -> tuple[float, float]:
    """oint p s . n dS over all ends of the support, and an error estimate.

    Parameters
    ----------
    model : callable s(x), (n, d) -> (n, d)
        Bounded at the ends; asked there one float inside the support, on each side where two pieces touch.
    density : with ``faces(spacing)``: a density on the line (`UnnormalizedDensity`, `TruncatedGaussian`, `Beta`), or a `Product`

    Returns
    -------
    value, error : float
        The error is the change when all panels of the faces are halved (waves too short for both are not seen), and how much p
        differs one float away from the end.

    Raises
    ------
    ValueError
        When p is unbounded at an end, where the flux is infinite unless s vanishes; when the model is not finite there.

    Ends at infinity are taken to carry nothing: p s must vanish there, as it does for every model that grows like a power
    and p that decays faster.
    Source: [b, "Implicit score matching"], [c, "Theorem (implicit score matching)"]; Hyvarinen 2005, thm. 1.
    """
    if not hasattr(density, "faces"):
        raise TypeError(f"density is {density!r}, which has no faces: pass a density on the line or a Product of them")
    network = as_model(model, density.dim, False)
    values = []
    for spacing in (1.0, 0.5):
        value, error = 0.0, 0.0
        for face in density.faces(spacing):
            if not np.isfinite(face.weights).all():
                raise ValueError(f"p is unbounded at x[{face.axis}] = {face.points[0, face.axis]}: the flux of p s through that "
                                 "end is infinite; restrict the support, or take a density that is bounded at its ends")
            x, time = network.checked(face.points)
            s = _validate.finite(network.value_pullback(x, time, False)[0], "model(x) at the boundary")[:, face.axis]
            value += face.normal * float(face.weights @ s)
            error += float(face.doubt @ np.abs(s))
        values.append(value)
    return values[1], error + abs(values[1] - values[0])
