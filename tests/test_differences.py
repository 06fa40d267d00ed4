"""Derivatives from values: right within their error, on scales from 1e-6 to 1e6, and honest where there is none."""

import numpy as np
import pytest

from refscore._differences import derivative

X = np.array([-1.3, 0.2, 2.4])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    ("f", "first", "second"),
    [
        (np.exp, np.exp, np.exp),
        (np.sin, np.cos, lambda x: -np.sin(x)),
        (lambda x: x**3 - x, lambda x: 3 * x**2 - 1, lambda x: 6 * x),
        (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2, lambda x: (6 * x * x - 2) / (1 + x * x) ** 3),
    ],
)
def test_first_and_second(f, first, second, scale):
    reach = np.full(3, 0.5 * scale)
    value, error = derivative(lambda x: f(x / scale), X * scale, reach)
    assert (np.abs(value * scale - first(X)) <= error * scale).all() and (error * scale < 1e-10 * (1 + np.abs(f(X)))).all()
    value, error = derivative(lambda x: f(x / scale), X * scale, reach, order=2)
    slack = 4e-16 / scale**2 * np.abs(X)  # rounding of x / scale, which f sees
    assert (np.abs(value - second(X) / scale**2) <= error + slack).all()
    assert (error * scale**2 < 1e-7 * (1 + np.abs(f(X)))).all()


def test_noise_widens_the_error():
    """Values rounded to 1e-9: the derivative is known to about 1e-9 over the reach, and says so."""
    value, error = derivative(lambda x: np.round(np.exp(x), 9), X, np.full(3, 0.5))
    assert (np.abs(value - np.exp(X)) <= error).all() and (error > 1e-10).all()


def test_steps_to_where_f_is_infinite_are_not_taken():
    """log(1 - x^2) at 0.3 with a reach of 0.8: the two longest steps leave (-1, 1)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value, error = derivative(lambda x: np.log(np.maximum(1 - x * x, 0)), np.array([0.3]), np.array([0.8]))
    assert abs(value[0] + 0.6 / 0.91) <= error[0] < 1e-9


def test_no_step_is_left_above_the_rounding_of_x():
    value, error = derivative(np.exp, X, np.full(3, 1e-20))
    assert np.isnan(value).all() and np.isinf(error).all()
