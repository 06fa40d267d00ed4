"""Every derivative of the network by another road: complex steps, differences, 50 digits; and their properties."""

import pickle

import mpmath as mp
import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_network import (
    ANALYTIC,
    CASES,
    SIZES,
    MpNetwork,
    batch,
    forward,
    jacobian,
    jacobian_error,
    mp_gradient,
    slope_along,
)

from refscore import parallel
from refscore._blocks import BLOCK_BYTES
from refscore.networks import MLP, divergence

EPS = np.finfo(float).eps
ROWS = 5


def model(sizes, name="silu", seed=0, **kwargs):
    return MLP(sizes, name, seed, **kwargs)


def cotangents(net, n, seed=1):
    """u and w (n, out), c (n,)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, net.sizes[-1])), rng.normal(size=(n, net.sizes[-1])), rng.normal(size=n)


@pytest.mark.parametrize("sizes, name", CASES)
def test_first_derivatives_by_complex_steps(sizes, name):
    """Bounds: running error analysis (plain_network.jacobian_error), twice: either side errs; and the last product."""
    net = model(sizes, name)
    x, t, inputs = batch(sizes, ROWS, 2)
    d = x.shape[1]
    rng = np.random.default_rng(3)
    v, u = rng.normal(size=x.shape), rng.normal(size=(ROWS, net.sizes[-1]))
    J = jacobian(net.parameters, name, inputs, d)
    J_error, s_error, _ = jacobian_error(net.parameters, name, inputs, d, EPS)
    J_error = 2 * J_error + 16 * EPS * np.abs(J)
    assert (np.abs(net(x, t) - forward(net.parameters, name, inputs)) <= 2 * s_error).all()
    assert (np.abs(net.jacobian(x, t) - J) <= J_error).all()
    assert (np.abs(net.jvp(x, v, t) - np.einsum("nkj,nj->nk", J, v)) <= np.einsum("nkj,nj->nk", J_error, abs(v))).all()
    assert (np.abs(net.vjp(x, u, t) - np.einsum("nkj,nk->nj", J, u)) <= np.einsum("nkj,nk->nj", J_error, abs(u))).all()
    # the closed form sums the same products in another order, over other indices too: the bounds of all entries
    trace, bound = np.einsum("nkk->n", J), J_error.sum(axis=(1, 2))
    assert (np.abs(net.divergence(x, t) - trace) <= bound).all()
    assert (np.abs(net.divergence_by_jvp(x, t) - trace) <= bound).all()
    value, divergence = net.value_and_divergence(x, t)
    assert np.array_equal(value, net(x, t)) and np.array_equal(divergence, net.divergence(x, t))


@pytest.mark.parametrize("sizes, name", CASES)
def test_parameter_gradients_by_differences(sizes, name):
    """Along a random direction in one parameter array at a time; the bound comes with the difference (slope_along)."""
    net = model(sizes, name)
    x, t, _ = batch(sizes, ROWS, 2)
    u, w, c = cotangents(net, ROWS)
    v = np.random.default_rng(4).normal(size=x.shape)
    routes = [
        (net.gradient(x, u, t), lambda m: (u * m(x, t)).sum()),
        (net.jvp_gradient(x, v, u, w, t), lambda m: (u * m(x, t) + w * m.jvp(x, v, t)).sum()),
        (net.divergence_gradient(x, c, t), lambda m: (c * m.divergence_by_jvp(x, t)).sum()),
        (net.divergence_gradient_by_jvp(x, c, t), lambda m: (c * m.divergence(x, t)).sum()),
    ]
    rng = np.random.default_rng(5)
    for gradient, function in routes:
        assert [g.shape for g in gradient] == [p.shape for p in net.parameters]
        for i, g in enumerate(gradient):
            direction = [rng.normal(size=p.shape) * (i == j) for j, p in enumerate(net.parameters)]
            slope, bound = slope_along(lambda p, f=function: f(net.with_parameters(p)), net.parameters, direction)
            assert abs((g * direction[i]).sum() - slope) <= bound < 1e-5


@pytest.mark.parametrize("name", ANALYTIC)
@pytest.mark.parametrize("sizes", SIZES)
def test_gradient_by_complex_steps_in_the_parameters(sizes, name):
    """Every entry of every array. Rounding: 1e2 operations on a path, each eps of quantities of at most ``size``."""
    net = model(sizes, name)
    x, t, inputs = batch(sizes, ROWS, 2)
    u, _, _ = cotangents(net, ROWS)
    size = max(1.0, np.abs(u).max() * np.abs(inputs).max()) * ROWS
    for i, g in enumerate(net.gradient(x, u, t)):
        for place in np.ndindex(g.shape):
            moved = [p.astype(complex) for p in net.parameters]
            moved[i][place] += 1e-100j
            assert abs((u * forward(moved, name, inputs)).sum().imag / 1e-100 - g[place]) <= 1e2 * EPS * size


@pytest.mark.parametrize("sizes, name", CASES)
def test_closed_form_gradient_of_the_trace_is_the_one_through_tangents(sizes, name):
    """Both err by at most 1e2 eps of the largest entry times the number of rows (1e2: operations on a path)."""
    net = model(sizes, name)
    x, t, _ = batch(sizes, ROWS, 2)
    c = cotangents(net, ROWS)[2]
    for a, b in zip(net.divergence_gradient(x, c, t), net.divergence_gradient_by_jvp(x, c, t), strict=True):
        assert np.abs(a - b).max() <= 1e2 * EPS * ROWS * max(1.0, np.abs(b).max())


@pytest.mark.parametrize(
    "sizes, name, t", [((2, 2), "tanh", None), ((3, 4, 2), "silu", 0.7), ((2, 3, 4, 2), "softplus", None)]
)
def test_fifty_digits(sizes, name, t):
    """Value, divergence, gradient of sum c tr Ds: 1e2 roundings of products of two parameters and phi''."""
    net = model(sizes, name, seed=7)
    x, c = np.random.default_rng(8).normal(size=(2, 2)), [0.6, -1.7]
    rows = x.tolist() if t is None else np.column_stack([x, [t, t]]).tolist()
    with mp.workdps(50):
        exact = MpNetwork(net.parameters, name)
        value = np.array([[float(entry) for entry in exact(row)] for row in rows])
        divergence = np.array([float(exact.divergence(row, 2)) for row in rows])
        gradient = mp_gradient(exact, lambda: sum(c[i] * exact.divergence(row, 2) for i, row in enumerate(rows)))
    bound = 1e2 * EPS * max(1.0, *(np.abs(p).max() for p in net.parameters)) ** 2
    assert np.abs(net(x, t) - value).max() <= bound
    assert np.abs(net.divergence(x, t) - divergence).max() <= bound
    for a, b in zip(net.divergence_gradient(x, c, t), gradient, strict=True):
        assert np.abs(a - b).max() <= bound


vectors = st.lists(st.integers(-192, 192), min_size=3, max_size=3).map(lambda v: np.array([v]) / 64)
networks = st.builds(
    lambda hidden, name, seed: MLP((3, *hidden, 3), name, seed),
    st.lists(st.integers(1, 6), max_size=4),
    st.sampled_from(["tanh", "softplus", "silu", "sin", "relu"]),
    st.integers(0, 2**32),
)


def size(net, *arrays):
    """1e3 eps times everything that is multiplied on the way: norms of the layers and of the arguments."""
    return 1e3 * EPS * np.prod([1 + np.linalg.norm(a) for a in (*net.weights, *arrays)])


@settings(deadline=None, max_examples=60)
@given(networks, vectors, vectors, vectors, vectors, st.floats(-2, 2))
def test_linear_and_adjoint(net, x, v, w, u, a):
    bound = size(net, v, w, u)
    assert np.abs(net.jvp(x, a * v + w) - a * net.jvp(x, v) - net.jvp(x, w)).max() <= 4 * bound
    assert np.abs(net.vjp(x, a * v + w) - a * net.vjp(x, v) - net.vjp(x, w)).max() <= 4 * bound
    assert abs((u * net.jvp(x, v)).sum() - (net.vjp(x, u) * v).sum()) <= bound
    assert np.abs(net.jacobian(x)[0] @ v[0] - net.jvp(x, v)[0]).max() <= bound
    assert abs(net.divergence(x)[0] - np.trace(net.jacobian(x)[0])) <= bound


@settings(deadline=None, max_examples=30)
@given(networks, vectors, vectors)
def test_euler_in_the_last_layer(net, x, u):
    """s is linear in the last layer: doubling it doubles everything to the bit; <layer, its gradient> is G itself."""
    *inner, W, b = net.parameters
    double = net.with_parameters([*inner, 2 * W, 2 * b])
    c = np.array([1.3])
    for name, arguments in (("__call__", ()), ("jvp", (u,)), ("vjp", (u,)), ("jacobian", ()), ("divergence", ())):
        assert np.array_equal(getattr(double, name)(x, *arguments), 2 * getattr(net, name)(x, *arguments))
    dW, db = net.gradient(x, u)[-2:]
    assert abs((W * dW).sum() + (b * db).sum() - (u * net(x)).sum()) <= size(net, x, u)
    dW, db = net.divergence_gradient(x, c)[-2:]
    assert abs((W * dW).sum() + (b * db).sum() - c[0] * net.divergence(x)[0]) <= size(net, x)


def test_gradients_are_linear_and_add_up_over_rows():
    net = model((3, 5, 7, 3))
    x, _, _ = batch(net.sizes, ROWS, 2)
    u, w, c = cotangents(net, ROWS)
    v = w[::-1].copy()
    whole = net.jvp_gradient(x, v, u, w)
    parts = [net.jvp_gradient(x[i : i + 1], v[i : i + 1], u[i : i + 1], w[i : i + 1]) for i in range(ROWS)]
    for a, *b in zip(whole, *parts, strict=True):
        assert np.abs(a - sum(b)).max() <= 1e3 * EPS
    only_value, only_tangent = net.jvp_gradient(x, v, u, 0 * w), net.jvp_gradient(x, v, 0 * u, w)
    for a, b, g, s in zip(only_value, net.gradient(x, u), whole, only_tangent, strict=True):
        assert np.abs(a - b).max() <= 1e3 * EPS and np.abs(g - a - s).max() <= 1e3 * EPS


@pytest.mark.parametrize("sizes", [(3, 5, 7, 3), (4, 5, 7, 3), (3, 5, 4, 6, 3)])
def test_same_bits_for_any_number_of_threads_and_after_pickling(sizes):
    net, n = model(sizes), 12_001
    assert n * net.row_bytes() > 4 * BLOCK_BYTES  # several blocks, and not a whole number of them
    x, t, _ = batch(sizes, n, 2)
    u, w, c = cotangents(net, n)
    results = []
    for threads, subject in ((1, net), (2, net), (5, pickle.loads(pickle.dumps(net)))):
        with parallel(threads=threads):
            results.append(
                [subject(x, t), subject.jvp(x, u, t), subject.vjp(x, u, t), subject.jacobian(x, t)]
                + [subject.divergence(x, t), subject.divergence_by_jvp(x, t)]
                + subject.gradient(x, u, t)
                + subject.jvp_gradient(x, w, u, w, t)
                + subject.divergence_gradient(x, c, t)
                + subject.divergence_gradient_by_jvp(x, c, t)
            )
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("sizes, name", CASES)
def test_float32(sizes, name):
    """The running error bound with float32's eps; gradients within 1e2 eps of the size of their terms."""
    net = model(sizes, name, dtype=np.float32)
    twin = net.with_parameters([p.astype(np.float64) for p in net.parameters])
    x, t, inputs = batch(sizes, ROWS, 2)
    x, t = x.astype(np.float32), None if t is None else t.astype(np.float32)
    inputs = inputs.astype(np.float32).astype(np.float64)
    eps = float(np.finfo(np.float32).eps)
    assert net.dtype == np.float32 and all(p.dtype == np.float32 for p in net.parameters) and twin.dtype == np.float64
    J_error, s_error, _ = jacobian_error(twin.parameters, name, inputs, x.shape[1], eps)
    J = twin.jacobian(x, t)
    assert (np.abs(net(x, t) - twin(x, t)) <= s_error).all()
    assert (np.abs(net.jacobian(x, t) - J) <= J_error + 16 * eps * np.abs(J)).all()
    u, w, c = cotangents(net, ROWS)
    for f in (
        lambda m: [m(x, t), m.jvp(x, u, t), m.vjp(x, u, t), m.jacobian(x, t)],
        lambda m: [m.divergence(x, t), m.divergence_by_jvp(x, t)],
        lambda m: m.gradient(x, u, t),
        lambda m: m.jvp_gradient(x, w, u, w, t),
        lambda m: m.divergence_gradient(x, c, t),
        lambda m: m.divergence_gradient_by_jvp(x, c, t),
    ):
        for a, b in zip(f(net), f(twin), strict=True):
            assert a.dtype == np.float32
            assert np.abs(a - b).max() <= 1e2 * eps * ROWS * max(1.0, np.abs(b).max())


def test_time_is_the_last_input_and_no_direction():
    net = model((4, 5, 7, 3))
    x, t, inputs = batch(net.sizes, ROWS, 2)
    plain = MLP.from_arrays(net.weights, net.biases, "silu")
    assert np.array_equal(net(x, t), plain(inputs))
    assert np.array_equal(net(x, 0.25), net(x, np.full(ROWS, 0.25)))
    assert not np.allclose(net(x, t), net(x, t[::-1].copy()))
    assert np.array_equal(net.jacobian(x, t), plain.jacobian(inputs)[:, :, :3])
    assert np.isfinite(net(x, -3.0)).all()  # any finite number may condition a network, the logarithm of sigma too


def test_no_hidden_layer_is_the_linear_score():
    A, b = np.array([[-2.0, 0.5], [1.0, -3.0]]), np.array([0.3, -0.7])
    net = MLP.from_arrays([A], [b], "tanh")
    x = np.array([[1.0, 2.0], [-1.0, 0.5]])
    assert np.array_equal(net(x), x @ A + b)
    assert np.array_equal(net.jacobian(x), [A.T, A.T])
    assert np.array_equal(net.divergence(x), [-5.0, -5.0])
    dA, db = net.divergence_gradient(x, [2.0, 3.0])
    assert np.array_equal(dA, 5 * np.eye(2)) and np.array_equal(db, [0, 0])


def test_construction():
    net = MLP((2, 4, 3), "tanh", 11)
    same, other = MLP((2, 4, 3), "tanh", np.random.default_rng(11)), MLP((2, 4, 3), "tanh", 12)
    assert [p.shape for p in net.parameters] == [(2, 4), (4,), (4, 3), (3,)]
    assert all(np.array_equal(a, b) for a, b in zip(net.parameters, same.parameters, strict=True))
    assert all((a != b).all() for a, b in zip(net.parameters, other.parameters, strict=True))
    assert repr(net) == "MLP(sizes=(2, 4, 3), activation='tanh', dtype=float64)"
    W = np.ones((2, 2))
    held = MLP.from_arrays([W], [[0.0, 0.0]], "sin")
    W[0, 0] = 7.0
    assert held.weights[0][0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        held.weights[0][0, 0] = 2.0
    assert MLP.from_arrays([np.ones((1, 1), np.float32)], [np.ones(1)], "sin").dtype == np.float64
    large = MLP((400, 300), "tanh", 0)  # 120000 draws: the standard deviation has a standard error of 0.2 percent
    assert abs(large.weights[0].std() * np.sqrt(400) - 1) < 0.01  # five standard errors


def test_empty_batch():
    net = model((3, 5, 3))
    assert net(np.empty((0, 3))).shape == (0, 3)
    assert net.divergence(np.empty((0, 3))).shape == (0,)


X = np.zeros((2, 3))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: MLP((3,), "tanh", 0), ValueError, "at least an input and an output width"),
        (lambda: MLP((3, 0, 3), "tanh", 0), ValueError, r"sizes\[1\] is 0"),
        (lambda: MLP((3, 2.5, 3), "tanh", 0), TypeError, r"sizes\[1\] is float"),
        (lambda: MLP((3, 3), "gelu", 0), ValueError, "activation is 'gelu'"),
        (lambda: MLP((3, 3), "tanh", None), TypeError, "rng is None"),
        (lambda: MLP.from_arrays([np.ones((2, 3))], [], "tanh"), ValueError, "weights has 1 arrays, biases 0"),
        (lambda: MLP.from_arrays([], [], "tanh"), ValueError, "weights has 0 arrays"),
        (lambda: MLP.from_arrays([np.ones((2, 3))], [np.ones(2)], "tanh"), ValueError, r"weights\[0\].*\(in, out\)"),
        (
            lambda: MLP.from_arrays([np.ones((2, 3)), np.ones((2, 3))], [np.ones(3), np.ones(3)], "tanh"),
            ValueError,
            r"weights\[1\] has shape \(2, 3\).*pass weights\[1\] of shape \(3, 3\)",
        ),
        (lambda: MLP.from_arrays([np.ones(3)], [np.ones(3)], "tanh"), ValueError, r"weights\[0\] has shape \(3,\)"),
        (lambda: MLP.from_arrays([[[np.nan]]], [[0.0]], "tanh"), ValueError, r"weights\[0\]\[0, 0\] is nan"),
        (lambda: model((3, 3)).with_parameters([np.ones((3, 3))]), ValueError, r"arrays have shapes \[\(3, 3\)\]"),
        (lambda: model((3, 3))(np.zeros(3)), ValueError, r"x has shape \(3,\), expected \(n, "),
        (lambda: model((3, 3))(np.zeros((2, 4))), ValueError, "x has 4 columns, .* 3 inputs: pass x with 3 columns"),
        (lambda: model((4, 3))(X), ValueError, "x has 3 columns, but the network has 4 inputs: pass t"),
        (lambda: model((3, 3))(X, 0.5), ValueError, "leave out t, or make the network with 4 inputs"),
        (lambda: MLP((2, 3, 2), "tanh", 0, dtype=int), ValueError, "dtype is <class 'int'>: pass numpy.float64 or numpy.float32"),
        (lambda: MLP((2, 3, 2), "tanh", 0, dtype="float16"), ValueError, "dtype is 'float16'"),
        (lambda: model((4, 3))(X, np.zeros(3)), ValueError, r"t has shape \(3,\)"),
        (lambda: model((4, 3))(X, np.nan), ValueError, "t.* is nan"),
        (lambda: model((3, 3))(X + np.nan), ValueError, r"x\[0, 0\] is nan"),
        (lambda: model((3, 3))(X.astype(str)), TypeError, "x has dtype"),
        (lambda: model((3, 3)).jvp(X, np.zeros(3)), ValueError, r"v has shape \(3,\): pass shape \(2, 3\)"),
        (lambda: model((3, 2)).vjp(X, X), ValueError, r"u has shape \(2, 3\): pass shape \(2, 2\)"),
        (lambda: model((3, 3)).gradient(X, np.zeros((1, 3))), ValueError, "u has shape"),
        (lambda: model((3, 3)).divergence_gradient(X, np.zeros((2, 1))), ValueError, "c has shape"),
        (lambda: model((3, 3)).jvp(X, X + np.inf), ValueError, r"v\[0, 0\] is inf"),
        (lambda: model((3, 2)).divergence(X), ValueError, "maps 3 dimensions to 2"),
        (lambda: MLP.from_arrays([[[1e308]]], [[0.0]], "tanh")([[10.0]]), ValueError, "too large for its dtype"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_products_between_blocks_are_held_to_one_thread(monkeypatch):
    """BLAS's own threads would go on waiting for more, beside those of the pool: a step of ISM then takes several times as long."""
    threads = []

    def watched(function):
        def run(*arguments):
            threads.extend(lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas")
            return function(*arguments)

        return run

    for name in ("coupling", "add_coupling_gradient"):
        monkeypatch.setattr(divergence, name, watched(getattr(divergence, name)))
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        MLP((2, 8, 8, 2), "tanh", 0).divergence_gradient(np.ones((3, 2)), np.ones(3))
    assert threads and set(threads) == {1}
