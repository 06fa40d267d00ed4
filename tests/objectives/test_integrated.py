"""The integral over time by quadrature of the losses at fixed times, and the factor between it and an average."""

from __future__ import annotations

import numpy as np
import pytest

from refscore.networks import MLP
from refscore.objectives import dsm_integrated, dsm_process, time_nodes
from refscore.processes import OU

EPS = np.finfo(float).eps


def test_nodes_average_polynomials_exactly():
    t, w = time_nodes(4, 2.5, 0.5)
    assert 0.5 < t.min() and t.max() < 2.5
    for k in range(8):
        assert abs(w @ t**k - (2.5 ** (k + 1) - 0.5 ** (k + 1)) / (k + 1) / 2) <= 64 * EPS * 2.5**k


def test_nodes_with_weights_give_the_integral():
    """Against Simpson's rule on 4001 times, whose error is (h^4/180) max f (T - t_min), f estimated by differences."""
    model, process = MLP((3, 6, 2), "tanh", 1), OU(0.8, 1.1)
    x0, z = np.random.default_rng(0).normal(size=(2, 1, 2))

    def at(t):
        n = len(t)
        rows = np.repeat(x0, n, axis=0), t, np.repeat(z, n, axis=0)
        return dsm_process(model, process, *rows, lambda time: 1 + time, over_batch="none")

    grid = np.linspace(0.3, 1.7, 4001)
    f, h = at(grid), 1.4 / 4000
    simpson = h / 3 * (f[0] + f[-1] + 4 * f[1::2].sum() + 2 * f[2:-1:2].sum())
    fourth = np.abs(np.diff(f[::100], 4)).max() / (100 * h) ** 4
    t, w = time_nodes(30, 1.7, 0.3)
    found = dsm_integrated(model, process, np.repeat(x0, 30, axis=0), t, np.repeat(z, 30, axis=0), lambda time: 1 + time,
                           t_min=0.3, t_max=1.7, sample_weight=w)
    assert abs(found - simpson) <= 2 * h**4 / 180 * fourth * 1.4 + 1e4 * EPS * f.max()


def test_gradient_and_rows_carry_the_factor():
    model, process = MLP((2, 4, 1), "silu", 1), OU(0.8, 1.1)
    x0, z = np.random.default_rng(0).normal(size=(2, 5, 1))
    t = np.linspace(0.2, 2.0, 5)
    value, gradient = dsm_process(model, process, x0, t, z, "sigma2", grad=True)
    wide, steep = dsm_integrated(model, process, x0, t, z, "sigma2", t_max=2.0, grad=True)
    assert wide == 2 * value and all((a == 2 * b).all() for a, b in zip(steep, gradient, strict=True))
    rows = dsm_integrated(model, process, x0, t, z, "sigma2", t_max=2.0, over_batch="none")
    assert abs(rows.mean() - wide) <= 16 * EPS * wide


@pytest.mark.parametrize("n", [0, 1.5])
def test_refusals(n):
    with pytest.raises((ValueError, TypeError), match="n is"):
        time_nodes(n, 1.0)
