"""Activations against 50 digits, against complex steps, at the ends of the number range, and in float32."""

import mpmath as mp
import numpy as np
import pytest

from refscore.networks import ACTIVATIONS, Activation, activation

EPS = np.finfo(float).eps
POINTS = np.concatenate([[0.0, 1e-300, 1e-8, 0.1, 0.5, 1.0, 1.2784645427610738, 2.0, 5.0, 9.0, 17.0, 38.0, 300.0, 3.0]] * 2)
POINTS[14:] *= -1
HUGE = np.array([709.0, 710.0, 745.0, 746.0, 1e4, 1e150, 1.7e308])
EXACT = {
    "tanh": (mp.tanh, lambda z: mp.sech(z) ** 2, lambda z: -2 * mp.tanh(z) * mp.sech(z) ** 2),
    "softplus": (
        lambda z: mp.log1p(mp.exp(z)),
        lambda z: 1 / (1 + mp.exp(-z)),
        lambda z: mp.exp(-z) / (1 + mp.exp(-z)) ** 2,
    ),
    "silu": (lambda z: z / (1 + mp.exp(-z)), lambda z: mp.diff(lambda y: y / (1 + mp.exp(-y)), z), None),
    "sin": (mp.sin, mp.cos, lambda z: -mp.sin(z)),
}
RELATIVE = {("tanh", 0), ("tanh", 1), ("tanh", 2), ("softplus", 0), ("softplus", 1), ("softplus", 2), ("silu", 0)}


def functions(name):
    phi = ACTIVATIONS[name]
    return phi, phi.slope, phi.curvature, phi.third


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("name", EXACT)
def test_fifty_digits(name, order):
    """Eight eps: at most four roundings and two library functions of at most one ulp (eps) each enter a result.

    They are relative errors of factors bounded by 1 (sin, silu's derivatives, all third ones), hence absolute errors of the
    result, or of factors without subtraction (RELATIVE).
    """
    with mp.workdps(80):
        exact = (*EXACT[name], None)[order] or (lambda z: mp.diff(EXACT[name][0], z, order))
        truth = np.array([float(exact(mp.mpf(float(z)))) for z in POINTS])
    error = np.abs(functions(name)[order](POINTS) - truth)
    assert (error <= 8 * EPS * (np.abs(truth) if (name, order) in RELATIVE else np.maximum(1, np.abs(truth)))).all()


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", EXACT)
def test_complex_step(name, order):
    """imag f(z + ih)/h is f'(z), truncation h^2 = 1e-200; rounding as above, on either side."""
    z, h = POINTS[np.abs(POINTS) < 50], 1e-100
    step = functions(name)[order](z + 1j * h).imag / h
    assert (np.abs(step - functions(name)[order + 1](z)) <= 16 * EPS).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_complex_value_has_the_real_value(name):
    value = ACTIVATIONS[name](POINTS + 0j)
    assert value.dtype == complex
    assert (np.abs(value.real - ACTIVATIONS[name](POINTS)) <= 8 * EPS * np.maximum(1, np.abs(POINTS))).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_overflow_and_the_right_limits(name, dtype):
    z = np.minimum(HUGE, np.finfo(dtype).max / 2).astype(dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        right, left = (np.stack([f(s * z) for f in functions(name)]) for s in (1, -1))
    assert right.dtype == left.dtype == dtype
    assert np.isfinite(right).all() and np.isfinite(left).all()
    zero, one = np.zeros_like(z), np.ones_like(z)
    if name == "tanh":
        assert np.array_equal(right, [one, *[zero] * 3]) and np.array_equal(left, [-one, *[zero] * 3])
    if name in ("softplus", "silu", "relu"):  # e^-709 = 1e-308 is the largest tail among these points
        np.testing.assert_allclose(right, [z, one, zero, zero], rtol=EPS, atol=1e-300)
        np.testing.assert_allclose(left, [zero] * 4, rtol=0, atol=1e-300)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_float32(name):
    z = POINTS.astype(np.float32)
    for f in functions(name):
        assert f(z).dtype == np.float32
        near = f(z.astype(np.float64))
        assert (np.abs(f(z) - near) <= 8 * np.finfo(np.float32).eps * np.maximum(1, np.abs(near))).all()


def test_relu():
    z = np.array([-2.0, -0.0, 0.0, 3.0])
    relu = ACTIVATIONS["relu"]
    assert np.array_equal(relu(z), [0, 0, 0, 3]) and np.array_equal(relu.slope(z), [0, 0, 0, 1])
    assert np.array_equal(relu.curvature(z), [0, 0, 0, 0]) and np.array_equal(relu.third(z), [0, 0, 0, 0])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_jet_is_its_parts_and_keeps_its_argument(name):
    z = POINTS.copy()
    jets = [ACTIVATIONS[name].jet(z, order) for order in (0, 1, 2)]
    assert np.array_equal(z, POINTS)
    assert [[part is None for part in jet] for jet in jets] == [[False, True, True], [False, False, True], [False] * 3]
    for part, f in zip(jets[2], functions(name)[:3], strict=True):
        assert np.array_equal(part, f(z))


def test_integers_and_scalars():
    assert ACTIVATIONS["silu"](np.array([0, 1])).dtype == np.float64
    assert ACTIVATIONS["sin"].slope(0) == 1.0


def test_names():
    assert activation("sin") is ACTIVATIONS["sin"]
    own = Activation("identity", lambda z, order: (z, np.ones_like(z), np.zeros_like(z)))
    assert activation(own) is own
    with pytest.raises(ValueError, match="'identity' has no third derivative.*pass Activation"):
        own.third(1.0)
    with pytest.raises(ValueError, match="'gelu': choose one of 'tanh'"):
        activation("gelu")
    with pytest.raises(TypeError, match="activation is .*tanh.*: pass one of"):
        activation(np.tanh)
