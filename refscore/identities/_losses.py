"""Losses as one writes them, in a score s (..., n, d) and its Jacobian Ds (..., n, d, d), whatever the score is computed by.

``Ds`` is a function without arguments: most losses need no Jacobian. Each formula is a polynomial with positive coefficients in s,
Ds and all it is given, so that the same formula of absolute values is the size of what it adds up (`refscore.identities._plain`).
Weights c (n,) stand for everything that a convention multiplies the loss of a row with.
"""

from __future__ import annotations

import numpy as np


def linear(s, Ds, u):
    """sum u.s"""
    return (u * s).sum(axis=(-2, -1))


def tangent(s, Ds, u, v, w):
    """sum u.s + w.(Ds v)"""
    return linear(s, Ds, u) + (w[:, :, None] * Ds() * v[:, None, :]).sum(axis=(-3, -2, -1))


def divergence(s, Ds, c):
    """sum c tr Ds"""
    return (c * np.trace(Ds(), axis1=-2, axis2=-1)).sum(axis=-1)


def squares(s, Ds, c, shift):
    """sum c 1/2 ||s + shift||^2"""
    return 0.5 * (c * ((s + shift) ** 2).sum(axis=-1)).sum(axis=-1)


def implicit(s, Ds, c):
    """sum c (1/2 ||s||^2 + tr Ds)"""
    return squares(s, Ds, c, 0.0) + divergence(s, Ds, c)


def projected(s, Ds, c, v, shift):
    """sum c 1/2 (v.(s + shift))^2"""
    return 0.5 * (c * (v * (s + shift)).sum(axis=-1) ** 2).sum(axis=-1)


def sliced(s, Ds, c, v):
    """sum c (1/2 (v.s)^2 + v.(Ds v))"""
    return projected(s, Ds, c, v, 0.0) + _curvature(Ds, c, v)


def sliced_exactly(s, Ds, c, v):
    """sum c (1/2 ||s||^2 + v.(Ds v))"""
    return squares(s, Ds, c, 0.0) + _curvature(Ds, c, v)


def _curvature(Ds, c, v):
    return (c * (v[:, :, None] * Ds() * v[:, None, :]).sum(axis=(-2, -1))).sum(axis=-1)
