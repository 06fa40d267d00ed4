"""Nodes of (data, noise): all moments up to the degree that is asked for, and independence of the two."""

import itertools

import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture, PointSet

LAWS = {
    "full": GaussianMixture([0.4, 0.6], [[0.3, -0.7], [1.1, 0.2]], [[[0.9, 0.3], [0.3, 0.6]], [[0.5, -0.2], [-0.2, 1.1]]]),
    "diagonal": GaussianMixture([0.4, 0.6], [[0.3, -0.7], [1.1, 0.2]], [[0.9, 0.4], [0.5, 1.1]]),
    "isotropic": Gaussian([0.3, -0.7], 0.8),
    "points": PointSet([[0.3, -0.7], [1.1, 0.2], [-0.6, 0.5]], [0.2, 0.5, 0.3]),
}


def moment(law, a, power):
    """E (x'a)^power by the law's own expectation."""
    return law.expectation(lambda x: (x @ a) ** power)[0]


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("degree", [2, 3, 4])
@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.6), (0.7, 0.05), (0.3, 4.0)])
def test_moments_of_data_and_noise(name, degree, alpha, sigma):
    law, a, b = LAWS[name], np.array([0.8, -0.5]), np.array([0.3, 1.2])
    x0, z, w = law.joint_nodes(alpha, sigma, 0.5, degree)
    assert (w > 0).all() and abs(w.sum() - 1) < 1e-13 and x0.shape == z.shape == (len(w), 2)
    normal = [1.0, 0.0, b @ b, 0.0, 3 * (b @ b) ** 2]
    for i, j in itertools.product(range(degree + 1), repeat=2):
        if i + j <= degree:
            got, want = w @ ((x0 @ a) ** i * (z @ b) ** j), moment(law, a, i) * normal[j]
            assert abs(got - want) < 1e-11 * (1 + moment(law, a, 4) + normal[4]), (i, j)


def test_degree_two_is_not_enough_for_the_fourth_moment():
    law, b = LAWS["full"], np.array([0.3, 1.2])
    _, z, w = law.joint_nodes(1.0, 0.6, 0.5)
    assert abs(w @ (z @ b) ** 4 - 3 * (b @ b) ** 2) > 0.1


def test_refusals():
    with pytest.raises(ValueError, match="degree is 0"):
        LAWS["full"].joint_nodes(1.0, 0.6, 0.5, degree=0)
