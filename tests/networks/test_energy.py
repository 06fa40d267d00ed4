"""Energy networks by other roads: 50 digits, differences of values, an MLP that happens to be a gradient; their properties."""

import itertools
import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_network import ANALYTIC, MpNetwork, mp_gradient, slope_along

from refscore import objectives, parallel
from refscore._blocks import BLOCK_BYTES
from refscore.networks import MLP, EnergyMLP, hutchinson
from refscore.networks.second_order import polarised

EPS = np.finfo(float).eps
ROWS = 5
SIZES = {(3, 1): False, (3, 5, 1): False, (4, 5, 7, 1): True, (3, 5, 4, 6, 1): False, (2, 6, 1): True}
CASES = list(itertools.product(SIZES, ANALYTIC))


def energy(sizes, name="silu", seed=0, **options):
    return EnergyMLP(sizes, name, seed, takes_time=SIZES.get(sizes, False), **options)


def arguments(model, n=ROWS, seed=2):
    """x, t or None; u, v, w (n, d); c (n,)."""
    rng = np.random.default_rng(seed)
    x, u, v, w = rng.normal(size=(4, n, model.outputs))
    return x, rng.uniform(0.1, 1, n) if model.takes_time else None, u, v, w, rng.normal(size=n)


def second_difference(function, row, i, j, step):
    """d^2/dx_i dx_j at 80 digits: errors step^2 = 1e-32 and 1e-80/step^2."""
    total = mp.mpf(0)
    for a, b in itertools.product((1, -1), repeat=2):
        moved = list(row)
        moved[i] += a * step
        moved[j] += b * step
        total += a * b * function(moved)[0]
    return total / (4 * step**2)


@pytest.mark.parametrize(
    "sizes, name", [((2, 3, 1), "tanh"), ((3, 4, 1), "silu"), ((2, 3, 4, 1), "softplus"), ((2, 3, 2, 3, 1), "sin")]
)
def test_eighty_digits(sizes, name):
    """E, s, Ds, tr Ds and the gradients of sum c tr Ds and sum u.s in every parameter; 1e2 roundings of products of parameters."""
    takes_time = sizes[0] == 3
    model = EnergyMLP(sizes, name, 7, takes_time=takes_time)
    d = model.outputs
    x, u, c = np.random.default_rng(8).normal(size=(2, 2, d)), np.array([[0.4, -1.3], [0.9, 0.2]]), np.array([0.6, -1.7])
    x, t = x[0], 0.7 if takes_time else None
    with mp.workdps(80):
        exact, step = MpNetwork(model.parameters, name), mp.mpf(10) ** -16
        rows = [[mp.mpf(float(v)) for v in row] + ([mp.mpf(0.7)] if takes_time else []) for row in x]

        def slope(row, k):
            up, down = ([v + s * step * (i == k) for i, v in enumerate(row)] for s in (1, -1))
            return -(exact(up)[0] - exact(down)[0]) / (2 * step)

        def laplacian(row):
            return sum(second_difference(exact, row, k, k, step / 2) for k in range(d))

        values = np.array([float(exact(row)[0]) for row in rows])
        scores = np.array([[float(slope(row, k)) for k in range(d)] for row in rows])
        J = np.array([[[-float(second_difference(exact, r, i, j, step)) for j in range(d)] for i in range(d)] for r in rows])
        along_u = mp_gradient(exact, lambda: sum(u[n, k] * slope(row, k) for n, row in enumerate(rows) for k in range(d)))
        along_c = mp_gradient(exact, lambda: -sum(c[n] * laplacian(row) for n, row in enumerate(rows)))
    bound = 1e2 * EPS * max(1.0, *(np.abs(p).max() for p in model.parameters)) ** 3
    assert np.abs(model.energy(x, t) - values).max() <= bound
    assert np.abs(model(x, t) - scores).max() <= bound and np.abs(model.energy.gradient(x, t) + scores).max() <= bound
    assert np.abs(model.jacobian(x, t) - J).max() <= bound and np.abs(model.energy.hessian(x, t) + J).max() <= bound
    assert np.abs(model.divergence(x, t) - np.trace(J, axis1=1, axis2=2)).max() <= bound
    for found, truth in ((model.gradient(x, u, t), along_u), (model.divergence_gradient(x, c, t), along_c)):
        for a, b in zip(found, truth, strict=True):
            assert np.abs(a - b).max() <= bound * len(x)


@pytest.mark.parametrize("sizes, name", CASES)
def test_parameter_gradients_by_differences(sizes, name):
    """Along a random direction in one parameter array at a time; the bound comes with the difference (slope_along)."""
    model = energy(sizes, name)
    x, t, u, v, w, c = arguments(model)
    routes = [
        (model.energy.parameter_gradient(x, c, t), lambda m: (c * m.energy(x, t)).sum()),
        (model.gradient(x, u, t), lambda m: (u * m(x, t)).sum()),
        (model.jvp_gradient(x, v, u, w, t), lambda m: (u * m(x, t) + w * m.jvp(x, v, t)).sum()),
        (model.divergence_gradient(x, c, t), lambda m: (c * m.divergence_by_jvp(x, t)).sum()),
        (model.divergence_gradient_by_jvp(x, c, t), lambda m: (c * m.divergence(x, t)).sum()),
    ]
    rng = np.random.default_rng(5)
    for gradient, function in routes:
        assert [g.shape for g in gradient] == [p.shape for p in model.parameters]
        for i, g in enumerate(gradient):
            direction = [rng.normal(size=p.shape) * (i == j) for j, p in enumerate(model.parameters)]
            slope, bound = slope_along(lambda p, f=function: f(model.with_parameters(p)), model.parameters, direction)
            assert abs((g * direction[i]).sum() - slope) <= bound < 1e-5


def test_one_hidden_layer_is_an_mlp_with_tied_weights():
    """E = sum_j w_j phi(x V_j) has s = -phi'(x V) diag(w) V': with phi = softplus, phi' the logistic, written here by hand."""
    model = energy((3, 5, 1), "softplus")
    V, b, w, _ = model.parameters
    x = arguments(model)[0]
    p = 1 / (1 + np.exp(-(x @ V + b)))
    np.testing.assert_allclose(model(x), -(p * w[:, 0]) @ V.T, rtol=0, atol=16 * EPS)
    np.testing.assert_allclose(model.divergence(x), -(p * (1 - p)) @ (w[:, 0] * (V**2).sum(axis=0)), rtol=0, atol=16 * EPS)


def test_no_hidden_layer_is_a_constant_score():
    model = energy((3, 1))
    x, _, u, v, _, c = arguments(model)
    assert np.array_equal(model(x), np.tile(-model.parameters[0][:, 0], (ROWS, 1)))
    assert not model.jvp(x, v).any() and not model.divergence(x).any() and not model.jacobian(x).any()
    dW, db = model.gradient(x, u)
    np.testing.assert_allclose(dW[:, 0], -u.sum(axis=0), atol=8 * EPS)
    assert not db.any() and not any(g.any() for g in model.divergence_gradient(x, c))


networks = st.builds(
    lambda hidden, name, seed: EnergyMLP((3, *hidden, 1), name, seed),
    st.lists(st.integers(1, 6), max_size=4),
    st.sampled_from(["tanh", "softplus", "silu", "sin", "relu"]),
    st.integers(0, 2**32),
)
vectors = st.lists(st.integers(-192, 192), min_size=3, max_size=3).map(lambda v: np.array([v]) / 64)


@settings(deadline=None, max_examples=60)
@given(networks, vectors, vectors, vectors)
def test_symmetric_and_consistent(model, x, v, w):
    """1e3 eps of everything that is multiplied on the way, curvature counting a layer twice."""
    weights = np.prod([1 + np.linalg.norm(a) for a in (*model.network.weights, *model.network.weights, v, w)])
    bound = 1e3 * EPS * weights
    J = model.jacobian(x)[0]
    assert np.abs(J - J.T).max() <= bound
    assert abs((w * model.jvp(x, v)).sum() - (v * model.jvp(x, w)).sum()) <= bound
    assert np.array_equal(model.jvp(x, v), model.vjp(x, v))
    assert abs(model.divergence(x)[0] - np.trace(J)) <= bound and abs(model.divergence_by_jvp(x)[0] - np.trace(J)) <= bound
    for a, b in zip(model.jvp_gradient(x, v, 0 * v, w), model.jvp_gradient(x, w, 0 * v, v), strict=True):
        assert np.abs(a - b).max() <= bound  # w'(Ds)v is v'(Ds)w, and so are their gradients


@settings(deadline=None, max_examples=60)
@given(vectors, vectors, st.integers(-300, 300))
def test_polarised_keeps_digits_at_any_ratio_of_sizes(v, w, exponent):
    w = w * 2.0**exponent
    directions, c = polarised(v[None], w[None])
    found = np.einsum("kn,kni,knj->ij", c, directions, directions)
    exact = (v.T @ w + w.T @ v) / 2
    assert np.abs(found - exact).max() <= 8 * EPS * np.abs(v).max() * np.abs(w).max()


@pytest.mark.parametrize("sizes", [(3, 5, 1), (4, 5, 7, 1), (3, 5, 4, 6, 1)])
def test_same_bits_for_any_number_of_threads_and_after_pickling(sizes):
    model, n = energy(sizes), 16_001
    assert n * model.row_bytes() > 4 * BLOCK_BYTES
    x, t, u, v, w, c = arguments(model, n)
    results = []
    for threads, subject in ((1, model), (2, model), (5, pickle.loads(pickle.dumps(model)))):
        with parallel(threads=threads):
            results.append(
                [subject(x, t), subject.energy(x, t), subject.jvp(x, v, t), subject.jacobian(x, t), subject.divergence(x, t)]
                + subject.gradient(x, u, t)
                + subject.jvp_gradient(x, v, u, w, t)
                + subject.divergence_gradient(x, c, t)
                + subject.energy.parameter_gradient(x, c, t)
            )
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("sizes, name", CASES)
def test_float32(sizes, name):
    """Within 1e2 eps of float32 of the size of what is added up, three factors of the parameters."""
    model = energy(sizes, name, dtype=np.float32)
    twin = model.with_parameters([p.astype(np.float64) for p in model.parameters])
    x, t, u, v, w, c = (None if a is None else a.astype(np.float32) for a in arguments(model))
    size = max(1.0, *(np.abs(p).max() for p in model.parameters)) ** 2
    for f in (
        lambda m: [m(x, t), m.energy(x, t), m.jvp(x, v, t), m.jacobian(x, t), m.divergence(x, t)],
        lambda m: m.gradient(x, u, t),
        lambda m: m.jvp_gradient(x, v, u, w, t),
        lambda m: m.divergence_gradient(x, c, t),
        lambda m: m.energy.parameter_gradient(x, c, t),
    ):
        for a, b in zip(f(model), f(twin), strict=True):
            assert a.dtype == np.float32 and b.dtype == np.float64
            assert np.abs(a - b).max() <= 1e2 * np.finfo(np.float32).eps * ROWS * size * max(1.0, np.abs(b).max())


@pytest.mark.parametrize("sizes", [(3, 5, 1), (4, 5, 7, 1)])
def test_every_objective_takes_an_energy_network(sizes):
    """Values against the formulas on the model's own public derivatives; gradients against their pullbacks."""
    model = energy(sizes)
    x, t, u, v, _, _ = arguments(model)
    options = {} if t is None else {"t": t}
    s, trace = model.value_and_divergence(x, t)
    assert np.allclose(s, model(x, t), rtol=0, atol=64 * EPS) and np.allclose(trace, model.divergence(x, t), rtol=0, atol=64 * EPS)
    value, gradient = objectives.ism(model, x, grad=True, **options)
    assert value == pytest.approx((np.square(s).sum(axis=1) / 2 + trace).mean(), abs=8 * EPS)
    parts = zip(model.gradient(x, s / ROWS, t), model.divergence_gradient(x, np.full(ROWS, 1 / ROWS), t), strict=True)
    for a, (b, c) in zip(gradient, parts, strict=True):
        np.testing.assert_allclose(a, b + c, rtol=0, atol=64 * EPS)
    value, gradient = objectives.esm(model, x, u, grad=True, **options)
    assert value == pytest.approx(np.square(s - u).sum() / 2 / ROWS, abs=8 * EPS)
    for a, b in zip(gradient, model.gradient(x, (s - u) / ROWS, t), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * EPS)
    noisy = model(x + 0.3 * v, t)
    assert objectives.dsm(model, x, 0.3, v, **options) == pytest.approx(np.square(noisy + v / 0.3).sum() / 2 / ROWS, rel=8 * EPS)
    np.testing.assert_allclose(hutchinson(model, x, v, t), (v * model.jvp(x, v, t)).sum(axis=1), atol=8 * EPS)


def test_construction():
    model = EnergyMLP((4, 5, 1), "tanh", 3, takes_time=True)
    inner = MLP((4, 5, 1), "tanh", 3)
    assert all(np.array_equal(a, b) for a, b in zip(model.parameters, inner.parameters, strict=True))
    assert model.outputs == 3 and model.sizes == (4, 5, 1) and model.energy.parameters[0] is model.parameters[0]
    again = EnergyMLP.from_arrays(inner.weights, inner.biases, "tanh", takes_time=True)
    x, t = np.ones((2, 3)), 0.4
    assert np.array_equal(again(x, t), model(x, t)) and np.array_equal(again.energy(x, t), inner(x, t)[:, 0])
    assert model.with_parameters(model.parameters).takes_time
    assert repr(model) == "EnergyMLP(sizes=(4, 5, 1), activation='tanh', dtype=float64)"


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: EnergyMLP((3, 5, 3), "tanh", 0), ValueError, "3 outputs: an energy has one"),
        (lambda: EnergyMLP((1, 5, 1), "tanh", 0, takes_time=True), ValueError, "only input is time"),
        (lambda: energy((3, 5, 1))(np.zeros((2, 3)), 0.1), ValueError, "takes_time=False: leave out t"),
        (lambda: energy((4, 5, 7, 1))(np.zeros((2, 3))), ValueError, "takes_time=True: pass t"),
        (lambda: energy((3, 5, 1)).energy(np.zeros((2, 3)), 0.1), ValueError, "leave out t"),
        (lambda: energy((3, 5, 1))(np.zeros((2, 2))), ValueError, "x has 2 columns"),
        (lambda: energy((3, 5, 1)).energy.parameter_gradient(np.zeros((2, 3)), [1.0]), ValueError, "c has shape"),
        (lambda: objectives.ism(energy((3, 5, 1)), np.zeros((2, 2))), ValueError, "model has 3 outputs, x has 2 columns"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
