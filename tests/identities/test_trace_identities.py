"""Hutchinson's variance at 50 digits from fourth moments, and the exactness of the cubatures of the directions."""

import itertools
from functools import lru_cache

import mpmath as mp
import numpy as np
import pytest

from refscore import identities
from refscore.identities.trace import laws
from refscore.networks import hutchinson_variance

EPS = np.finfo(float).eps


@lru_cache
def normal_moment(k):
    """E z^k by quadrature at 50 digits."""
    with mp.workdps(50):
        return mp.quad(lambda z: z**k * mp.exp(-z * z / 2), [-mp.inf, 0, mp.inf]) / mp.sqrt(2 * mp.pi)


def fourth_moments(law, d):
    """(E v_i^4, E v_i^2 v_j^2) of the law's direction v; all other fourth moments without an odd power vanish."""
    if law == "rademacher":
        return mp.mpf(1), mp.mpf(1)
    second, fourth = normal_moment(2), normal_moment(4)
    if law == "gaussian":
        return fourth, second**2
    # v = sqrt(d) z/|z|, and |z| is independent of v: E z_i^2 z_j^2 = E |z|^4 E v_i^2 v_j^2 / d^2
    radius = d * fourth + d * (d - 1) * second**2
    return d * d * fourth / radius, d * d * second**2 / radius


def exact_variance(A, law):
    """E (v'Av)^2 - (tr A)^2, as a sum over all i, j, k, l."""
    d = len(A)
    same, two = fourth_moments(law, d)
    a = [[mp.mpf(float(entry)) for entry in row] for row in A]
    total = mp.mpf(0)
    for i, j, k, l in itertools.product(range(d), repeat=4):
        counts = sorted(np.unique([i, j, k, l], return_counts=True)[1])
        if counts == [4] or counts == [2, 2]:
            total += a[i][j] * a[k][l] * (same if counts == [4] else two)
    return total - mp.fsum([a[i][i] for i in range(d)]) ** 2


def matrices(d):
    rng = np.random.default_rng(d)
    A = rng.standard_normal((d, d))
    yield "general", A
    yield "unequal rows", A * np.logspace(0, 12, d)[:, None]
    yield "near a multiple of I", 1e3 * np.eye(d) + A
    yield "antisymmetric but for rounding of size 1e-6", A - A.T + 1e-6 * rng.standard_normal((d, d))


@pytest.mark.parametrize("law", ["gaussian", "rademacher", "sphere"])
@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_variance_at_fifty_digits(law, d):
    """What a law estimates exactly is taken off before squaring, so the error is relative to the rounding of S's entries.

    S_ij carries eps (|A_ij| + |A_ji|)/2, and on the sphere S_ii - tr S/d carries d eps max|A_ii|: with E such an error, the
    variance 2 ||S||^2 is off by at most 4 ||S|| ||E|| + 2 ||E||^2 + 4 d^2 eps of itself.
    """
    for name, A in matrices(d):
        with mp.workdps(50):
            exact = exact_variance(A, law)
            error = abs(float(hutchinson_variance(A, law) - exact))
        entries = EPS * (np.abs(A) + np.abs(A.T)) / 2
        if law == "rademacher":
            np.fill_diagonal(entries, 0.0)
        if law == "sphere":
            entries += d * EPS * np.eye(d) * np.abs(np.diag(A)).max()
        E, S = np.linalg.norm(entries), np.sqrt(max(float(exact), 0.0) / 2)
        factor = (d + 2) / d if law == "sphere" else 1.0
        bound = 4 * np.sqrt(factor) * S * E + 2 * E**2 + 4 * d * d * EPS * float(exact)
        assert error <= bound + 1e-45, (name, error, bound)


def test_laws_are_exact_to_degree_four():
    """All moments up to degree 4 of every law, against those from quadrature at 50 digits."""
    for d in (1, 2, 3):
        for law, v, w in laws(d):
            same, two = (float(m) for m in fourth_moments(law, d))
            for degree in (0, 1, 2, 3, 4):
                for index in itertools.combinations_with_replacement(range(d), degree):
                    counts = sorted(np.unique(index, return_counts=True)[1]) if index else []
                    exact = {(): 1.0, (2,): 1.0, (4,): same, (2, 2): two}.get(tuple(counts), 0.0)
                    found = w @ np.prod(v[:, list(index)], axis=1)
                    assert abs(found - exact) <= 32 * EPS * max(1.0, same), (law, d, index)


def test_the_error_of_finite_differences_is_a_u_as_predicted():
    """Right of the bottom the error is truncation, known to a percent; left of it rounding, at most what e allows for."""
    found = identities.evaluate(identities.catalogue()["B6.difference"])
    h, forward, forward_theory, central, central_theory = np.array(found.tables[-1].rows).T
    for error, theory in ((forward, forward_theory), (central, central_theory)):
        assert np.abs(error / theory - 1)[h >= 16].max() < 0.01
        assert (error[h <= 0.25] < 2 * theory[h <= 0.25]).all() and (error[h <= 0.25] > theory[h <= 0.25] / 16).all()
        assert error[0] > 4 * error.min() and error[-1] > 16 * error.min()  # a U
