"""Time derivatives of exact log-densities and divergences of drifts: both sides of continuity and Fokker-Planck equations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore.identities._calculus import chebyshev_points, derivative, gain
from refscore.identities._operations import Operations


def log_density_in_time(ops: Operations, process, density, x: np.ndarray, t: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """(d/dt log p_t(x), its error), (n,), where what happens in time happens within t and 1/(1 + rate)."""
    radius = min(0.3 * t, 0.25 / (1 + rate))
    histories = [ops.logpdf(ops.marginal(process, density, u), x) for u in t + radius * chebyshev_points()]
    value, error = derivative(np.stack(histories), radius)
    return value, error + gain() / radius * process.marginal(density, t).logpdf_error(x)


def divergence(field: Callable, x: np.ndarray, spread: float, error_at: Callable) -> tuple[np.ndarray, np.ndarray]:
    """(div field(x), its error), (n,), from points within ``spread``; ``error_at`` gives the error of field's values, (m, d)."""
    value = error = np.zeros(len(x))
    for i, axis in enumerate(np.eye(x.shape[1])):
        moved = (x + spread * chebyshev_points()[:, None, None] * axis).reshape(-1, x.shape[1])
        slope, slope_error = derivative(field(moved)[:, i].reshape(-1, len(x)), spread)
        known = error_at(moved)[:, i].reshape(-1, len(x)).max(axis=0)
        value, error = value + slope, error + slope_error + gain() / spread * known
    return value, error
