"""Differences, complex steps, derivatives along a line and the best step, by 50 digits and by closed forms."""

import mpmath as mp
import numpy as np
import pytest
from plain_network import ANALYTIC, CASES, MpNetwork, batch

from refscore import parallel
from refscore.densities import Gaussian
from refscore.networks import MLP, EnergyMLP, best_step, complex_step, directional_difference, line_derivatives

EPS = np.finfo(float).eps


@pytest.mark.parametrize("sizes, name", CASES)
def test_line_derivatives_by_fifty_digits(sizes, name):
    """mpmath's Taylor coefficients of v.s(x + h v), by differences at raised precision; 1e3 roundings of |W|^3-sized terms."""
    model = MLP(sizes, name, 3)
    x, t, inputs = batch(sizes, 2, 4)
    v = np.random.default_rng(5).normal(size=x.shape)
    found = line_derivatives(model, x, v, t)
    size = (np.abs(v) @ np.abs(model.weights[0][:3])).max() ** 3
    size *= np.prod([1 + np.abs(W).sum(axis=0).max() for W in model.weights[1:]])
    with mp.workdps(50):
        exact = MpNetwork(model.parameters, name)
        for i in range(2):

            def g(h, i=i):
                row = [mp.mpf(float(a)) + (h * mp.mpf(float(v[i, k])) if k < 3 else 0) for k, a in enumerate(inputs[i])]
                return mp.fsum(mp.mpf(float(v[i, k])) * s for k, s in enumerate(exact(row)))

            for k, truth in enumerate(mp.diffs(g, 0, 3)):
                assert abs(found[k, i] - float(truth)) <= 1e3 * EPS * max(1.0, size)


@pytest.mark.parametrize("kind", [MLP, EnergyMLP])
@pytest.mark.parametrize("name", ANALYTIC)
def test_complex_step_is_forward_mode(kind, name):
    model = kind((4, 5, 6, 3 if kind is MLP else 1), name, 2, **({} if kind is MLP else {"takes_time": True}))
    x, v = np.random.default_rng(0).normal(size=(2, 900, 3))
    t = np.linspace(0, 1, 900)
    exact = (v * model.jvp(x, v, t)).sum(axis=1)
    bound = 1e2 * EPS * (1 + np.abs(v).sum(axis=1)) ** 2
    for h in (1e-200, 1e-20, 1e-290):
        assert (np.abs(complex_step(model, x, v, t, h=h) - exact) <= bound).all()
    with parallel(threads=3):
        threaded = complex_step(model, x, v, t), line_derivatives(MLP((3, 5, 3), name, 0), x, v)
    assert np.array_equal(threaded[0], complex_step(model, x, v, t))
    assert np.array_equal(threaded[1], line_derivatives(MLP((3, 5, 3), name, 0), x, v))
    single = model.with_parameters([p.astype(np.float32) for p in model.parameters])
    near = single.with_parameters([p.astype(np.float64) for p in single.parameters])
    assert np.array_equal(complex_step(single, x, v, t), complex_step(near, x, v, t))  # evaluated in double precision


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**-300, 2.0**300, 2.0**500])
def test_directions_of_any_length(scale):
    """v'(Ds)v goes like |v|^2, the best step like 1/|v|; powers of two change no digit."""
    x, v = np.random.default_rng(3).normal(size=(2, 40, 3))
    net = MLP((3, 5, 3), "tanh", 0)
    assert np.array_equal(complex_step(net, x, scale * v), complex_step(net, x, v) * scale * scale)
    for scheme in ("forward", "central"):
        (h, error), (long, scaled) = best_step(net, x, v, scheme=scheme), best_step(net, x, scale * v, scheme=scheme)
        assert np.array_equal(long, h / scale) and np.array_equal(scaled, error * scale * scale)
        still, none = best_step(net, x, 0 * v, scheme=scheme)
        assert (still == np.inf).all() and (none == 0).all()


def test_differences_of_a_cubic():
    """s(x) = x^3 has g = v (x + h v)^3: the forward error is 3 x v^3 h + v^4 h^2, the central one v^4 h^2, exactly."""
    x, v, h = np.array([[1.0], [-0.5]]), np.array([[2.0], [1.5]]), np.array([0.25, 0.5])
    g = 3 * x[:, 0] ** 2 * v[:, 0] ** 2
    central = directional_difference(lambda x: x**3, x, v, h)
    forward = directional_difference(lambda x: x**3, x, v, h, scheme="forward")
    np.testing.assert_allclose(central, g + h**2 * v[:, 0] ** 4, rtol=8 * EPS)
    np.testing.assert_allclose(forward, g + 3 * x[:, 0] * v[:, 0] ** 3 * h + h**2 * v[:, 0] ** 4, rtol=8 * EPS)
    timed = directional_difference(lambda x, t: np.asarray(t)[:, None] * x**3, x, v, 0.25, np.array([2.0, 3.0]))
    np.testing.assert_allclose(timed, [2, 3] * directional_difference(lambda x: x**3, x, v, 0.25), rtol=8 * EPS)
    density = Gaussian([0.3], [[2.0]])
    np.testing.assert_allclose(directional_difference(density.score, x, v, 0.1), -v[:, 0] ** 2 / 2, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scheme", ["forward", "central"])
def test_no_step_is_much_better_than_the_predicted_one(scheme, dtype):
    """Over 300 points the median error at the predicted step is within a factor 4 of the least median of a scan over nine decades.

    In a U of this shape a step off by a factor 4 costs a factor 4 (forward) or 5 (central), and e is allowed to be off by 16.
    """
    model = MLP((3, 12, 9, 3), "tanh", 6, dtype)
    x, v = np.random.default_rng(7).normal(size=(2, 300, 3)).astype(dtype)
    exact = line_derivatives(model.with_parameters([p.astype(np.float64) for p in model.parameters]), x, v)[1]
    h, predicted = best_step(model, x, v, scheme=scheme)
    assert h.shape == predicted.shape == (300,)

    def median(step):
        return np.median(np.abs(directional_difference(model, x, v, step, scheme=scheme) - exact))

    assert median(h) <= 4 * min(median(h * f) for f in 10.0 ** np.arange(-4.5, 4.75, 0.25))
    assert 1 / 16 <= median(h) / np.median(predicted) <= 4


def test_the_two_parts_of_the_error_balance():
    """d/dh of truncation + rounding vanishes: forward |g''|/2 = 2 e/h^2, central |g(3)| h/3 = e/h^2; e in its own words."""
    model = MLP((3, 8, 7, 3), "silu", 6)
    x, v = np.random.default_rng(7).normal(size=(2, 20, 3))
    _, _, second, third = np.abs(line_derivatives(model, x, v))
    e = EPS / 2 * (np.abs(v * model(x)).sum(axis=1) + np.abs(x * np.einsum("nij,ni->nj", model.jacobian(x), v)).sum(axis=1))
    h, error = best_step(model, x, v, scheme="forward")
    np.testing.assert_allclose(second / 2, 2 * e / h**2, rtol=1e-12)
    np.testing.assert_allclose(error, h * second / 2 + 2 * e / h, rtol=1e-12)
    h, error = best_step(model, x, v)
    np.testing.assert_allclose(third * h / 3, e / h**2, rtol=1e-12)
    np.testing.assert_allclose(error, h**2 * third / 6 + e / h, rtol=1e-12)


def test_a_straight_line_has_no_longest_step():
    model = MLP((2, 2), "tanh", 0)
    h, error = best_step(model, np.ones((3, 2)), np.ones((3, 2)))
    assert np.isinf(h).all() and not error.any()


X = np.zeros((2, 3))
NET = MLP((3, 4, 3), "tanh", 0)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: directional_difference(NET, X, X, 0.0), ValueError, "h is 0.0: a difference needs a positive step"),
        (lambda: directional_difference(NET, X, X, np.full(3, 0.1)), ValueError, r"h has shape \(3,\)"),
        (lambda: directional_difference(NET, X, X[:1], 0.1), ValueError, "v has shape .* pass one direction a row"),
        (lambda: directional_difference(NET, X, X, 0.1, scheme="backward"), ValueError, "scheme is 'backward'"),
        (lambda: complex_step(lambda x: x, X, X), TypeError, "pass an MLP or an EnergyMLP"),
        (lambda: complex_step(MLP((3, 4, 3), "relu", 0), X, X), ValueError, "relu, which is not analytic"),
        (lambda: complex_step(NET, X, X, h=0.0), ValueError, "h is 0.0"),
        (lambda: complex_step(NET, X, X, h=1e-310), ValueError, "h is 1e-310.*pass 1e-200"),
        (lambda: directional_difference(lambda x: x * np.nan, X, X, 0.1), ValueError, "the difference of v.model.0. is nan"),
        (lambda: line_derivatives(EnergyMLP((3, 4, 1), "tanh", 0), X, X), TypeError, "written for an MLP"),
        (lambda: line_derivatives(MLP((3, 4, 2), "tanh", 0), X, X), ValueError, "maps 3 dimensions to 2"),
        (lambda: best_step(NET, X, X, scheme="best"), ValueError, "scheme is 'best'"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
