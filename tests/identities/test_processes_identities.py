"""What the identities of processes, samplers and laws rest on: their tables, and their calculus against 50 digits."""

import numpy as np
import pytest
from mpmath import mp, mpf

from refscore import identities
from refscore.identities._calculus import chebyshev_points, collocate, derivative, gauss_legendre, stage_times

CATALOGUE = identities.catalogue()


def _at_zero(h, values, noise):
    """Neville's polynomial at h = 0, and its last correction plus |weights| @ noise."""
    full, fewer = ([np.prod([u / (u - x) for u in nodes if u != x]) for x in nodes] for nodes in (h, h[1:]))
    value = full @ values
    return value, abs(value - fewer @ values[1:]) + np.abs(full) @ noise


@pytest.mark.slow
def test_orders_in_the_table():
    """TV/h of Gaussian data goes to the constant of the leading error, and the order to 1 (not 1/2).

    A TV in the table is off by at most e = 320 eps: 64 eps for the moments of the law, 256 eps for the distance itself. TV/h is
    off by e/h, log2 of a ratio of two by e (1/TV + 1/TV')/log 2, and the weights of the extrapolation (sum of |weights|/h 7.6e3,
    of |weights| 85 in the order) make 5e-10 and at most 9e-9 of them; the last correction of Neville's scheme is 3e-12 and 2e-8.
    """
    tables = identities.evaluate(CATALOGUE["H6"]).tables
    for table in tables[1:]:
        *rows, limit, exact = table.rows
        h, tv = (np.array([row[i] for row in rows]) for i in (1, 2))
        noise = 320 * np.finfo(float).eps
        constant, bound = _at_zero(h, tv / h, noise / h)
        assert abs(limit[3] - constant) <= bound and abs(constant - exact[3]) <= bound < 1e-9
        order, bound = _at_zero(h[:-2], np.log2(tv[:-2] / tv[2:]), noise * (1 / tv[:-2] + 1 / tv[2:]) / np.log(2))
        assert abs(limit[4] - order) <= bound and abs(order - 1) <= bound < 1e-7


def test_derivative_error_is_honest():
    """Against mpmath: for a function with poles near the interval, and for one without."""
    for pole in (1.2, 3.0, 50.0):
        for n in (9, 15, 25):
            value, error = derivative(1 / (pole + chebyshev_points(n)), 1.0)
            exact = -1 / pole**2
            assert abs(value - exact) <= error
    with mp.workdps(40):
        exact = float(mp.diff(lambda x: mp.exp(mp.sin(3 * x)), mpf("0.3")))
    value, error = derivative(np.exp(np.sin(3 * (0.3 + 0.2 * chebyshev_points()))), 0.2)
    assert abs(value - exact) <= error < 1e-11


def test_gauss_legendre_is_exact_for_polynomials():
    x, w = gauss_legendre(-1.0, 2.5, 3, 5)
    for k in range(10):
        assert w @ x**k == pytest.approx((2.5 ** (k + 1) - (-1.0) ** (k + 1)) / (k + 1), rel=1e-14)


@pytest.mark.parametrize("start, stop", [(0.0, 1.5), (1.5, 0.0)])
def test_collocation_against_closed_form(start, stop):
    """y' = -2 t y + cos(t) e^{-t^2} has y = e^{-t^2} (c + sin t), forwards and backwards."""
    def exact(t):
        return np.exp(-t * t) * (0.7 + np.sin(t))

    times = stage_times(start, stop, 6)[:, :, None]

    def slope(i, y):
        return -2 * times[i] * y + np.cos(times[i]) * np.exp(-times[i] ** 2)

    value = collocate(slope, np.array([exact(start)]), start, stop, 6)
    # rounding of 72 stages, magnified by at most e^{1.5^2} on the way back
    assert abs(value[0] - exact(stop)) < 72 * np.finfo(float).eps * np.exp(1.5**2) * 1.7
