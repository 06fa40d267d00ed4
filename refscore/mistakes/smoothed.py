"""Mistakes in laws with kinks and jumps under Gaussian noise (systems A6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore.densities import TwoSidedExponential, Uniform
from refscore.mistakes._registry import mistake


@mistake("corrupted", wrong="scale b, width b - a", right="alpha b, alpha (b - a)", seen="only the location follows alpha")
def corrupted_scale_kept(density, alpha, sigma):
    if isinstance(density, Uniform):
        law: Any = Uniform(alpha * density.low, alpha * density.low + density.width)
    else:
        law = TwoSidedExponential(alpha * density.loc, density.left, density.right)
    return law.corrupted(1.0, np.hypot(alpha * density.noise, sigma))


def _textbook(density, x, exponent=lambda sigma, b: sigma**2 / (2 * b**2), shift=-1.0, sides=("left", "right")):
    """log p from e^{-u/b + sigma^2/(2 b^2)} Phi(u/sigma - sigma/b), as it stands; a uniform law by the package."""
    if isinstance(density, Uniform):
        return density.logpdf(x)
    from scipy.special import log_ndtr

    logs = []
    for sign, b in zip((-1, 1), (getattr(density, side) for side in sides), strict=True):
        u = sign * (x - density.loc)
        logs.append(exponent(density.noise, b) - u / b + log_ndtr(u / density.noise + shift * density.noise / b))
    return (np.logaddexp(*logs) - np.log(density.left + density.right)).sum(axis=1)


@mistake("logpdf", wrong="e^{sigma/(2 b^2)}", right="e^{sigma^2/(2 b^2)}", seen="standard deviation taken for variance")
def smoothed_exponent_without_square(density, x):
    return _textbook(density, x, exponent=lambda sigma, b: sigma / (2 * b**2))


@mistake("logpdf", wrong="erfc alone", right="e^{sigma^2/(2 b^2)} erfc", seen="erfc where the formula had erfcx")
def smoothed_exponent_left_out(density, x):
    return _textbook(density, x, exponent=lambda sigma, b: 0.0)


@mistake("logpdf", wrong="Phi(u/sigma + sigma/b)", right="Phi(u/sigma - sigma/b)", seen="sign of the shift")
def smoothed_shift_sign(density, x):
    return _textbook(density, x, shift=1.0)


@mistake("logpdf", wrong="left tail to the right", right="as named", seen="sign of the tail; invisible for Laplace's law")
def smoothed_sides_exchanged(density, x):
    return _textbook(density, x, sides=("right", "left"))


@mistake("logpdf", wrong="Phi(b) - Phi(a)", right="(Phi(b) - Phi(a))/(b - a)", seen="uniform law not normalised")
def uniform_not_normalised(density, x):
    return density.logpdf(x) + (np.log(density.width).sum() if isinstance(density, Uniform) else 0.0)


@mistake("score", wrong="E[p'/p of the data], 0 for a box", right="and what the jumps add",
         seen="derivative of the data's density taken under the integral as if it had no jumps")
def score_blind_to_jumps(density, x):
    return np.zeros_like(x) if isinstance(density, Uniform) else density.score(x)


@mistake("score_jacobian", wrong="E[vv'] - 1/sigma^2", right="Cov[v] - 1/sigma^2", seen="second moment for covariance")
def jacobian_second_moment_not_centred(density, x):
    s = density.score(x)
    return density.score_jacobian(x) + s[:, :, None] * s[:, None, :]


@mistake("score_jacobian", wrong="Cov[v] - 1/sigma", right="Cov[v] - 1/sigma^2", seen="neighbour of the second moment")
def jacobian_over_sigma(density, x):
    return density.score_jacobian(x) + (1 / density.noise**2 - 1 / density.noise) * np.eye(density.dim)
