"""The lattice and the simplex behind expectations."""

import itertools

import numpy as np
import pytest

from refscore import _quadrature


def test_the_lattice_has_no_symmetry():
    u, _ = _quadrature.normal_lattice(2, 0.5)
    assert not set(map(tuple, np.round(u, 9))) & set(map(tuple, np.round(-u, 9)))


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_the_simplex_carries_two_moments(d):
    corners = _quadrature.simplex(d)
    np.testing.assert_allclose(corners.mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(corners.T @ corners / (d + 1), np.eye(d), atol=1e-15)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_lattice_integrates_polynomials_and_waves(d):
    """Even moments 1, 3, 15 and E cos u.z = e^{-|u|^2/2}; the lattice leaves e^{-2 pi^2/h^2} = 3e-35 at h = 0.5."""
    z, w = _quadrature.normal_lattice(d, 0.5)
    for power, moment in ((0, 1), (2, 1), (4, 3), (6, 15)):
        assert w @ z[:, 0] ** power == pytest.approx(moment, rel=1e-12)
    u = np.arange(1, d + 1) / 2
    assert w @ np.cos(z @ u) == pytest.approx(np.exp(-u @ u / 2), rel=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_normal_rule_integrates_every_monomial_up_to_its_degree(dim, degree):
    nodes, weights = _quadrature.normal_rule(dim, degree)
    moments = [1, 0, 1, 0, 3, 0, 15]
    for powers in itertools.product(range(degree + 1), repeat=dim):
        if sum(powers) <= degree:
            value = weights @ np.prod(nodes ** np.array(powers), axis=1)
            assert abs(value - np.prod([moments[p] for p in powers])) < 1e-13 * 15


@pytest.mark.parametrize(
    "changes",
    [
        (5.7e-5, 4.3e-7, 1.2e-9, 1.0e-11, 1e-14, 0, 0, 0, 0, 0, 0),  # seen: a steep part hides a shallow one, the rate falls
        (1e-3, 1e-12, 1e-6, 1e-9, 1e-13, 0, 0, 0, 0, 0, 0),  # one change small by an accident of phase
    ],
)
def test_refinement_is_not_fooled(changes):
    """Lattices whose values are known: 1 plus all changes still to come, so that the true error of each is known too."""
    errors = iter(np.cumsum(changes[::-1])[::-1])
    value, bound = _quadrature.refined(lambda h: {"value": np.array(1 + next(errors))}, 0.7, finest=0.01)
    assert abs(value["value"] - 1) <= bound["value"] < 1e-10
