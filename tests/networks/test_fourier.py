"""Fourier features by 50 digits and as plain columns of an ordinary network."""

import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refscore import parallel
from refscore.networks import MLP, EnergyMLP, FourierFeatures

EPS = np.finfo(float).eps


@pytest.mark.parametrize("log", [False, True])
def test_fifty_digits(log):
    """The angle has four roundings and the library functions one: 8 eps of 1 + |angle|."""
    gamma = FourierFeatures.random(4, 3.0, 1, log)
    t = np.array([1e-3, 0.2, 0.5, 1.0, 17.3])
    found = gamma(t)
    with mp.workdps(50):
        for i, time in enumerate(t):
            for j, B in enumerate(gamma.frequencies):
                angle = 2 * mp.pi * mp.mpf(float(B)) * (mp.log(mp.mpf(float(time))) if log else mp.mpf(float(time)))
                bound = 8 * EPS * (1 + abs(float(angle)))
                assert abs(found[i, j] - float(mp.sin(angle))) <= bound
                assert abs(found[i, j + 4] - float(mp.cos(angle))) <= bound


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_every_pair_is_on_the_circle_and_the_kernel_is_stationary(t, shift):
    gamma = FourierFeatures([0.3, -1.7, 4.0])
    a, b = gamma(np.array([t]))[0], gamma(np.array([t + shift]))[0]
    np.testing.assert_allclose(a[:3] ** 2 + a[3:] ** 2, 1, rtol=8 * EPS)
    origin = gamma(np.array([0.0, shift]))
    assert abs(a @ b - origin[0] @ origin[1]) <= 64 * EPS * (1 + 2 * np.pi * 6 * (abs(t) + abs(shift)))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", [MLP, EnergyMLP])
def test_a_network_with_features_is_a_network_of_the_features(kind, dtype, log):
    """To the bit: values, derivatives in x, and gradients are those of the plain network on [x, gamma(t)]."""
    d, n = 3, 700
    gamma = FourierFeatures.random(5, 2.0, 4, log)
    out = (d,) if kind is MLP else (1,)
    model = kind((d + 1, 6, 5, *out), "silu", 2, dtype, gamma)
    rng = np.random.default_rng(3)
    x, v, u = rng.standard_normal((3, n, d)).astype(dtype)
    t, c = rng.uniform(0.1, 2, n), rng.standard_normal(n).astype(dtype)
    assert model.sizes == (4, 6, 5, *out) and model.parameters[0].shape == (13, 6) and model.outputs == d
    plain = MLP.from_arrays(model.parameters[0::2], model.parameters[1::2], "silu")
    side_by_side = np.hstack([x, gamma(t).astype(dtype)])
    if kind is MLP:
        assert np.array_equal(model(x, t), plain(side_by_side))
        assert np.array_equal(model.jacobian(x, t), plain.jacobian(side_by_side)[:, :, :d])
        for a, b in zip(model.gradient(x, u, t), plain.gradient(side_by_side, u), strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=1e2 * n * np.finfo(dtype).eps)  # blocks are cut elsewhere
    else:
        assert np.array_equal(model.energy(x, t), plain(side_by_side)[:, 0])
        np.testing.assert_allclose(model(x, t), -plain.vjp(side_by_side, np.ones((n, 1)))[:, :d], atol=64 * np.finfo(dtype).eps)
    again = model.with_parameters(model.parameters)
    assert again.features is gamma
    with parallel(threads=3):
        copy = pickle.loads(pickle.dumps(model))
        assert np.array_equal(copy(x, t), model(x, t)) and np.array_equal(copy.divergence(x, t), model.divergence(x, t))
    assert all(np.isfinite(g).all() for g in model.divergence_gradient(x, c, t) + model.jvp_gradient(x, v, u, u, t))


def test_construction():
    gamma = FourierFeatures.random(1000, 2.0, 0)
    assert abs(gamma.frequencies.std() - 2) < 0.25  # the standard error is 2/sqrt(2000) = 0.045: more than five of them
    assert gamma.width == 2000 and not gamma.log
    assert np.array_equal(gamma.frequencies, FourierFeatures.random(1000, 2.0, 0).frequencies)
    with pytest.raises(ValueError, match="read-only"):
        gamma.frequencies[0] = 1.0
    model = MLP((2, 3, 1), "tanh", 0, features=FourierFeatures([1.0]))
    assert repr(model) == "MLP(sizes=(2, 3, 1), activation='tanh', dtype=float64, features=FourierFeatures(m=1, log=False))"


X = np.zeros((2, 1))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: FourierFeatures(1.0), ValueError, r"frequencies has shape \(\): pass a vector"),
        (lambda: FourierFeatures([]), ValueError, "frequencies has shape"),
        (lambda: FourierFeatures([np.inf]), ValueError, r"frequencies\[0\] is inf"),
        (lambda: FourierFeatures.random(0, 1.0, 0), ValueError, "m is 0"),
        (lambda: FourierFeatures.random(2, -1.0, 0), ValueError, "scale is -1.0"),
        (lambda: FourierFeatures.random(2, 1.0, None), TypeError, "rng is None"),
        (lambda: FourierFeatures([1.0], log=True)([0.3, 0.0]), ValueError, "t is 0.0, whose logarithm"),
        (lambda: FourierFeatures([1.0])([np.nan]), ValueError, "t.* is nan"),
        (lambda: MLP((2, 3, 1), "tanh", 0, features=[1.0]), TypeError, "features is .*: pass FourierFeatures"),
        (lambda: MLP((1, 3, 1), "tanh", 0, features=FourierFeatures([1.0])), ValueError, "leaves no input for x"),
        (lambda: MLP((2, 3, 1), "tanh", 0, features=FourierFeatures([1.0]))(X), ValueError, "t is missing.*: pass t"),
        (lambda: MLP((2, 3, 1), "tanh", 0, features=FourierFeatures([1.0], log=True))(X, 0.0), ValueError, "pass t > 0"),
        (lambda: EnergyMLP((2, 3, 1), "tanh", 0, features=FourierFeatures([1.0]))(X), ValueError, "pass t"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
