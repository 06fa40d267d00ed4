"""Values from the definitions row by row; gradients by differences and at 50 digits; conventions, weights, refusals."""

import itertools
import pickle
from functools import partial

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_network import CASES, SIZES, MpNetwork, batch, forward, jacobian, mp_gradient, slope_along

from refscore import parallel
from refscore._blocks import BLOCK_BYTES
from refscore.networks import MLP, AnalyticScore, EnergyMLP
from refscore.objectives import ddpm_simple, dsm, dsm_integrated, dsm_process, esm, ism, ncsn, prediction_weight, psm, ssm, ssm_vr

EPS = np.finfo(float).eps
N = 5
CONVENTIONS = [
    {"half": half, "over_dims": dims, "over_batch": reduction, "sample_weight": weights}
    for half, dims, reduction, weights in itertools.product(
        (True, False), ("sum", "mean"), ("mean", "sum", "none"), (None, np.array([0.1, 0.4, 0.0, 0.2, 1.3]))
    )
    if reduction != "none" or weights is None
]


class Decay:
    """A process whose alpha^2 + sigma^2 is not 1."""

    def alpha(self, t):
        return np.exp(-0.7 * t)

    def sigma(self, t):
        return 0.8 * np.sqrt(t)


class Line:
    """The density behind s(x) = A x + b, as far as AnalyticScore asks; A need not be symmetric."""

    A, b = np.array([[-1.5, 0.3], [0.2, -0.7]]), np.array([0.4, -0.9])

    def score(self, x):
        return x @ self.A.T + self.b

    def score_jacobian(self, x):
        return np.broadcast_to(self.A, (len(x), 2, 2))

    def score_divergence(self, x):
        return np.full(len(x), np.trace(self.A))


def plus_one(t):
    return 1 + 2 * t


def data(sizes, seed=2):
    """x, noise, true score (n, d), t (n,) or None, and sigma (n,), all different in every row."""
    x, t, _ = batch(sizes, N, seed)
    rng = np.random.default_rng(seed + 1)
    noise, score = rng.normal(size=(2, *x.shape))
    return x, noise, score, t, np.linspace(0.2, 1.7, N)


def losses(sizes):
    """Name -> (objective of a model, its canonical rows from (s, J, t) of a plain network)."""
    x, z, score, t, sigma = data(sizes)
    column = sigma[:, None]
    v = np.random.default_rng(seed=7).normal(size=(3, *x.shape))

    def half_square(r):
        return 0.5 * np.array([sum(e * e for e in row) for row in r])

    def curves(J, w):
        return np.mean([[r @ A @ r for r, A in zip(u, J, strict=True)] for u in w], axis=0)

    def along(s, w):
        return np.mean([(u * s).sum(axis=1) ** 2 / 2 for u in w], axis=0)

    def kernel_score(noisy, centre, std):
        return -(noisy - centre) / std**2

    table = {
        "esm": (partial(esm, x=x, true_score=score, t=t), x, lambda s, J: half_square(s - score)),
        "ism": (partial(ism, x=x, t=t), x, lambda s, J: half_square(s) + np.array([np.trace(m) for m in J])),
        "dsm": (
            partial(dsm, x0=x, sigma=sigma, noise=z, t=t),
            x + column * z,
            lambda s, J: half_square(s - kernel_score(x + column * z, x, column)),
        ),
        "dsm, one sigma": (
            partial(dsm, x0=x, sigma=0.3, noise=z, t=t),
            x + 0.3 * z,
            lambda s, J: half_square(s + z / 0.3),
        ),
        "dsm, sigma2": (
            partial(dsm, x0=x, sigma=sigma, noise=z, t=t, weight="sigma2"),
            x + column * z,
            lambda s, J: sigma**2 * half_square(s - kernel_score(x + column * z, x, column)),
        ),
    }
    for name, directions in (("", v), (", one direction", v[:1])):
        given = v if not name else v[0]
        table[f"psm{name}"] = (
            partial(psm, x=x, v=given, true_score=score, t=t), x, lambda s, J, w=directions: along(s - score, w))
        table[f"ssm{name}"] = (partial(ssm, x=x, v=given, t=t), x, lambda s, J, w=directions: along(s, w) + curves(J, w))
        table[f"ssm_vr{name}"] = (
            partial(ssm_vr, x=x, v=given, t=t), x, lambda s, J, w=directions: half_square(s) + curves(J, w))
    targets = {"eps": z, "x0": x, "v": z - column * x}
    for predicts, target in targets.items():
        factor = {"eps": sigma**-2, "x0": sigma**-4, "v": (sigma * (1 + sigma**2)) ** -2}[predicts]
        for weight, other in (("one", factor), ("sigma2", sigma**2 * factor), ("prediction", np.ones(N))):
            table[f"dsm of {predicts}, {weight}"] = (
                partial(dsm, x0=x, sigma=sigma, noise=z, t=t, weight=weight, predicts=predicts),
                x + column * z,
                lambda m, J, target=target, other=other: other * half_square(m - target),
            )
    if t is not None:
        alpha, std = Decay().alpha(t)[:, None], Decay().sigma(t)[:, None]
        noisy = alpha * x + std * z
        for name, weight, factor in (
            ("one", "one", np.ones(N)),
            ("sigma2", "sigma2", std[:, 0] ** 2),
            ("callable", plus_one, 1 + 2 * t),
        ):
            table[f"dsm_process, {name}"] = (
                partial(dsm_process, process=Decay(), x0=x, t=t, noise=z, weight=weight),
                noisy,
                lambda s, J, factor=factor: factor * half_square(s - kernel_score(noisy, alpha * x, std)),
            )
        for predicts, target, factor in (("eps", z, std**-2), ("x0", x, (alpha / std**2) ** 2),
                                         ("v", alpha * z - std * x, (alpha / std / (alpha**2 + std**2)) ** 2)):
            table[f"dsm_process of {predicts}"] = (
                partial(dsm_process, process=Decay(), x0=x, t=t, noise=z, weight=plus_one, predicts=predicts),
                noisy,
                lambda m, J, target=target, factor=factor: (1 + 2 * t) * factor[:, 0] * half_square(m - target),
            )
        table["dsm_integrated"] = (
            partial(dsm_integrated, process=Decay(), x0=x, t=t, noise=z, t_min=0.05, t_max=1.3),
            noisy,
            lambda s, J: 1.25 * half_square(s + z / std),
        )
        table["ncsn"] = (  # every row a level of its own
            partial(ncsn, x0=x, sigmas=t, index=np.arange(N), noise=z),
            x + t[:, None] * z,
            lambda s, J: t**2 * half_square(s - kernel_score(x + t[:, None] * z, x, t[:, None])),
        )
        table["ddpm_simple"] = (
            partial(ddpm_simple, process=Decay(), x0=x, index=t, noise=z), noisy, lambda m, J: half_square(m - z))
    return table


def _value(objective, net, convention, parameters):
    return objective(net.with_parameters(parameters), **convention)


def energy(sizes, activation, seed, **options):
    """An energy in place of the free network of these sizes."""
    return EnergyMLP((*sizes[:-1], 1), activation, seed, takes_time=SIZES[sizes], **options)


OTHERS = (3, 5, 3), (3, 5, 4, 6, 3), (4, 3), (4, 5, 7, 3)  # with --slow: by default each depth with time or without
NAMED = [pytest.param(sizes, name, marks=pytest.mark.slow if sizes in OTHERS else ()) for sizes in SIZES for name in losses(sizes)]


@pytest.mark.parametrize("sizes, name", NAMED)
def test_values_from_the_definition(sizes, name):
    """1e3 eps of the largest row: 1e2 operations, and 1/sigma^2 = 25 times the rounding of x~ - x0 in the target."""
    net = MLP(sizes, "softplus", 0)
    t = data(sizes)[3]
    objective, points, rows = losses(sizes)[name]
    inputs = points if t is None else np.column_stack([points, t])
    s, J = forward(net.parameters, "softplus", inputs), jacobian(net.parameters, "softplus", inputs, points.shape[1])
    canonical = rows(s, J)
    for convention in CONVENTIONS:
        expected = canonical * (1 if convention["half"] else 2) / (1 if convention["over_dims"] == "sum" else 3)
        if convention["over_batch"] != "none":
            mean = np.full(N, 1 / N) if convention["over_batch"] == "mean" else np.ones(N)
            expected = sum(expected * (mean if convention["sample_weight"] is None else convention["sample_weight"]))
        value = objective(net, **convention)
        assert isinstance(value, float) == (convention["over_batch"] != "none")
        assert np.abs(value - expected).max() <= 1e3 * EPS * N * np.abs(canonical).max()
        if convention["over_batch"] != "none":
            assert objective(net, **convention, grad=True)[0] == value


@pytest.mark.parametrize("kind", [MLP, energy])
@pytest.mark.parametrize("sizes, name", NAMED)
def test_gradients_by_differences(sizes, name, kind):
    """Along a random direction in one array at a time; the bound comes with the difference (plain_network)."""
    net = kind(sizes, "tanh", 0)
    objective = losses(sizes)[name][0]
    rng = np.random.default_rng(9)
    for i, array in enumerate(net.parameters):
        convention = CONVENTIONS[int(rng.integers(len(CONVENTIONS)))]
        if convention["over_batch"] == "none":
            convention = {}
        gradient = objective(net, **convention, grad=True)[1]
        assert [g.shape for g in gradient] == [p.shape for p in net.parameters]
        direction = [rng.normal(size=p.shape) * (i == j) for j, p in enumerate(net.parameters)]
        value = partial(_value, objective, net, convention)
        slope, bound = slope_along(value, net.parameters, direction)
        assert abs((gradient[i] * direction[i]).sum() - slope) <= bound < 1e-4, (i, array.shape)


@pytest.mark.parametrize("sizes, name", CASES)
def test_ism_gradient_by_two_routes(sizes, name):
    """Closed forms in the objective; here the pullback of s, and d tangents. 1e3 roundings of the gradient."""
    net = MLP(sizes, name, 3)
    x, _, _, t, _ = data(sizes)
    value, gradient = ism(net, x, t=t, grad=True)
    s = net(x, t)
    by_value, by_trace = net.gradient(x, s / N, t), net.divergence_gradient_by_jvp(x, np.full(N, 1 / N), t)
    for a, b, c in zip(gradient, by_value, by_trace, strict=True):
        assert np.abs(a - b - c).max() <= 1e3 * EPS * max(1.0, np.abs(b).max())
    assert abs(value - np.mean((s * s).sum(axis=1) / 2 + net.divergence_by_jvp(x, t))) <= 1e3 * EPS * max(1, abs(value))


@pytest.mark.parametrize("sizes, name", [((2, 2), "tanh"), ((2, 4, 2), "silu"), ((2, 3, 4, 2), "tanh")])
def test_ism_at_fifty_digits(sizes, name):
    """Value and gradient; 1e3 roundings of terms of size at most that of the largest parameter, squared."""
    net = MLP(sizes, name, 5)
    x = np.random.default_rng(6).normal(size=(2, 2))
    with mp.workdps(50):
        exact = MpNetwork(net.parameters, name)

        def loss():
            return sum(sum(e * e for e in exact(row)) / 2 + exact.divergence(row, 2) for row in x.tolist()) / 2

        expected, expected_gradient = float(loss()), mp_gradient(exact, loss)
    value, gradient = ism(net, x, grad=True)
    bound = 1e3 * EPS * max(1.0, *(np.abs(p).max() for p in net.parameters)) ** 2
    assert abs(value - expected) <= bound
    for a, b in zip(gradient, expected_gradient, strict=True):
        assert np.abs(a - b).max() <= bound


def test_linear_score_under_a_gaussian_in_closed_form():
    """Quadrature nodes as a weighted batch: E over N(m, S) of quadratics is exact with three Gauss-Hermite nodes.

    s = A x + b: J_ISM = 1/2 (|A m + b|^2 + tr A'A S) + tr A, J_ESM = 1/2 (|A m + b|^2 + tr (A+P)S(A+P)'), P = S^-1, as
    the true score is -P(x - m); they differ by half the Fisher information, tr P/2. Nine nodes, values below 100.
    """
    m, root = np.array([0.7, -1.1]), np.array([[1.2, 0.0], [0.5, 0.6]])
    S = root @ root.T
    P = np.linalg.inv(S)
    nodes, w = np.polynomial.hermite_e.hermegauss(3)
    z = np.array(list(itertools.product(nodes, repeat=2)))
    weights = np.prod(list(itertools.product(w / w.sum(), repeat=2)), axis=1)
    x = m + z @ root.T
    A, b = Line.A, Line.b
    at_mean = (A @ m + b) @ (A @ m + b)
    expected_ism = 0.5 * (at_mean + np.trace(A.T @ A @ S)) + np.trace(A)
    expected_esm = 0.5 * (at_mean + np.trace((A + P) @ S @ (A + P).T))
    for model in (AnalyticScore(Line()), MLP.from_arrays([A.T], [b], "tanh")):
        assert abs(ism(model, x, sample_weight=weights) - expected_ism) <= 1e3 * EPS * 100
        assert abs(esm(model, x, -(x - m) @ P, sample_weight=weights) - expected_esm) <= 1e3 * EPS * 100
    assert abs(expected_esm - expected_ism - np.trace(P) / 2) <= 1e2 * EPS * 100


def test_the_denoising_gradient_averages_to_the_score_of_the_noisy_law():
    """x0 ~ N(m, 1), x~ ~ N(m, 1 + sigma^2): DSM over exact nodes of (x0, noise) has ESM's gradient on the noisy law.

    A linear model makes every integrand a polynomial of degree 2 in (x0, noise): three nodes are exact.
    """
    m, sigma = 0.8, 0.3
    nodes, w = np.polynomial.hermite_e.hermegauss(3)
    w = w / w.sum()
    x0, noise = (a.reshape(-1, 1) for a in np.meshgrid(m + nodes, nodes, indexing="ij"))
    net = MLP.from_arrays([[[-0.4]]], [[0.2]], "tanh")
    joint = np.outer(w, w).ravel()
    noisy = m + np.sqrt(1 + sigma**2) * nodes[:, None]
    value, gradient = dsm(net, x0, sigma, noise, sample_weight=joint, grad=True)
    target, target_gradient = esm(net, noisy, -(noisy - m) / (1 + sigma**2), sample_weight=w, grad=True)
    constant = 0.5 * (1 / sigma**2 - 1 / (1 + sigma**2))
    assert abs(value - target - constant) <= 1e3 * EPS * value
    for a, b in zip(gradient, target_gradient, strict=True):
        assert np.abs(a - b).max() <= 1e3 * EPS / sigma


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.sampled_from([s for s, timed in SIZES.items() if not timed]),
    st.floats(0.05, 4.0),
)
def test_scaling_laws(seed, sizes, sigma):
    net = MLP(sizes, "sin", seed)
    x, z, score, _, _ = data(sizes, seed)
    *inner, W, b = net.parameters
    double = net.with_parameters([*inner, 2 * W, 2 * b])
    assert esm(double, x, 2 * score) == 4 * esm(net, x, score)  # powers of two: to the bit
    assert esm(net, x, score, half=False) == 2 * esm(net, x, score)
    assert ism(net, x, half=False) == 2 * ism(net, x)
    assert esm(net, x, net(x)) == 0.0
    one, two = (dsm(net, x, sigma, z, weight=weight, grad=True) for weight in ("one", "sigma2"))
    assert abs(sigma**2 * one[0] - two[0]) <= 64 * EPS * two[0]
    for g, h in zip(one[1], two[1], strict=True):
        assert np.abs(sigma**2 * g - h).max() <= 1e3 * EPS * max(1.0, sigma) * max(1.0, two[0])


def test_time_reaches_the_model():
    net, (x, z, score, t, _) = MLP((4, 5, 3), "tanh", 0), data((4, 5, 3))
    frozen = dsm_process(net, Decay(), x, 0.37, z)
    assert frozen == dsm_process(net, Decay(), x, np.full(N, 0.37), z)
    assert frozen == dsm(net, np.exp(-0.7 * 0.37) * x, 0.8 * np.sqrt(0.37), z, t=0.37)
    assert esm(net, x, score, t=t) != esm(net, x, score, t=t[::-1].copy())
    seen = []

    def watch(x, t):
        seen.append((x.shape, t))
        return -x

    dsm_process(watch, Decay(), x, 0.37, z)
    dsm_process(watch, Decay(), x, t, z)
    assert seen[0] == (x.shape, 0.37) and seen[1][1] is t  # once, the whole batch, t as it was given


@pytest.mark.parametrize("sigma", [1e-150, 1e-300])
def test_tiny_noise(sigma):
    """sigma2 never divides by sigma: with s = 0 the loss is 1/2 |noise|^2, to the last bits, whatever sigma is."""
    net = MLP.from_arrays([np.zeros((2, 2))], [np.zeros(2)], "tanh")
    x, z = np.random.default_rng(0).normal(size=(2, N, 2))
    value, gradient = dsm(net, x, sigma, z, weight="sigma2", grad=True)
    assert abs(value - 0.5 * np.mean((z * z).sum(axis=1))) <= 8 * EPS * value
    assert all(np.isfinite(g).all() for g in gradient)
    if sigma < 1e-200:
        with pytest.raises(ValueError, match="loss or its gradient is not finite.*weight='sigma2'"):
            dsm(net, x, sigma, z)


@pytest.mark.parametrize("kind", [MLP, energy])
@pytest.mark.parametrize("sizes", [(4, 5, 7, 3), (4, 6, 5, 4, 3)])
def test_same_bits_for_any_number_of_threads(sizes, kind):
    n, rng = 12_001, np.random.default_rng(0)
    x, z, score = rng.normal(size=(3, n, 3))
    t = rng.uniform(0.1, 1, size=n)
    net = kind(sizes, "tanh", 0)
    assert n * net.row_bytes() > 4 * BLOCK_BYTES  # several blocks, and not a whole number of them
    results = []
    for threads in (1, 2, 5):
        subject = pickle.loads(pickle.dumps(net)) if threads == 5 else net
        with parallel(threads=threads):
            pairs = [
                esm(subject, x, score, t=t, grad=True),
                ism(subject, x, t=t, grad=True),
                dsm(subject, x, 0.3, z, t=t, grad=True),
                dsm_process(subject, Decay(), x, t, z, plus_one, grad=True),
                psm(subject, x, z, score, t=t, grad=True),
                ssm(subject, x, np.stack([z, score]), t=t, grad=True),
                ssm_vr(subject, x, z, t=t, grad=True),
                ncsn(subject, x, [1.3, 0.4, 0.2], np.arange(n) % 3, z, grad=True),
                ddpm_simple(subject, Decay(), x, t, z, grad=True),
            ]
            rows = [dsm_process(subject, Decay(), x, t, z, over_batch="none")]
        results.append([array for value, gradient in pairs for array in (value, *gradient)] + rows)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert results[0][-1].shape == (n,)
    mean = dsm_process(net, Decay(), x, t, z)
    assert abs(results[0][-1].mean() - mean) <= 1e2 * EPS * mean


@pytest.mark.parametrize("kind", [MLP, energy])
@pytest.mark.parametrize("sizes, name", NAMED)
def test_float32(sizes, name, kind):
    """The gradient stays float32; 1e3 roundings of float32, with 1/sigma^2 = 25 and the rows' size inside."""
    net = kind(sizes, "tanh", 0, dtype=np.float32)
    twin = net.with_parameters([p.astype(np.float64) for p in net.parameters])
    objective = losses(sizes)[name][0]
    value, gradient = objective(net, grad=True)
    exact, exact_gradient = objective(twin, grad=True)
    bound = 1e3 * float(np.finfo(np.float32).eps) * max(1.0, abs(exact))
    assert isinstance(value, float) and abs(value - exact) <= bound
    for a, b in zip(gradient, exact_gradient, strict=True):
        assert a.dtype == np.float32 and np.abs(a - b).max() <= bound


def test_models_without_parameters():
    x, z = np.random.default_rng(0).normal(size=(2, N, 2))
    s, twin = AnalyticScore(Line()), MLP.from_arrays([Line.A.T], [Line.b], "tanh")
    for objective in (
        partial(esm, x=x, true_score=z),
        partial(ism, x=x),
        partial(dsm, x0=x, sigma=0.3, noise=z),
        partial(psm, x=x, v=z, true_score=x),
        partial(ssm, x=x, v=np.stack([z, 2 * z, x])),
        partial(ssm_vr, x=x, v=z, over_batch="none"),
        partial(esm, x=x, true_score=z, over_batch="none"),
    ):
        assert np.abs(objective(s) - objective(twin)).max() <= 1e2 * EPS * np.abs(objective(twin)).max()
    assert ism(s, x, grad=True) == (ism(s, x), [])
    assert esm(Line().score, x, z) == esm(s, x, z)
    with pytest.raises(TypeError, match="grad is True, but .* has no parameter gradients"):
        esm(Line().score, x, z, grad=True)
    with pytest.raises(TypeError, match=r"without divergence\(x\)"):
        ism(Line().score, x)
    with pytest.raises(TypeError, match=r"without jvp\(x, v\)"):
        ssm(Line().score, x, z)


X = np.full((4, 3), 0.5)
NET, TIMED = MLP((3, 5, 3), "tanh", 0), MLP((4, 5, 3), "tanh", 0)


class NoScales:
    pass


class Standstill(Decay):
    def sigma(self, t):
        return 0.0 * t


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: esm("net", X, X), TypeError, "model is a str, which cannot be called"),
        (lambda: esm(NET, X, X[:, :2]), ValueError, r"true_score has shape \(4, 2\), x has \(4, 3\)"),
        (lambda: esm(NET, X, X[:1]), ValueError, r"true_score has shape \(1, 3\)"),
        (lambda: esm(NET, X, X * np.nan), ValueError, r"true_score\[0, 0\] is nan"),
        (lambda: esm(NET, X, X * 1j), TypeError, "true_score has dtype complex128"),
        (lambda: esm(NET, X[0], X[0]), ValueError, r"x has shape \(3,\)"),
        (lambda: esm(NET, X[:0], X[:0]), ValueError, "no rows"),
        (lambda: esm(NET, X[:, :2], X[:, :2]), ValueError, "model has 3 outputs, x has 2 columns"),
        (lambda: esm(TIMED, X, X), ValueError, "pass t"),
        (lambda: esm(NET, X, X, t=0.1), ValueError, "leave out t"),
        (lambda: esm(lambda x: x[:, :1], X, X), ValueError, r"model\(x\) has shape \(4, 1\), x has \(4, 3\)"),
        (lambda: esm(lambda x: x[:, :1] * np.nan * x, X, X), ValueError, r"model\(x\)\[0, 0\] is nan"),
        (lambda: esm(lambda x: x.astype(complex), X, X), TypeError, "dtype complex128: it must return real"),
        (lambda: esm(NET, X, X, half=1), TypeError, "half is 1"),
        (lambda: esm(NET, X, X, grad="yes"), TypeError, "grad is 'yes'"),
        (lambda: ism(NET, X, over_dims="max"), ValueError, "over_dims is 'max': choose one of 'sum', 'mean'"),
        (lambda: ism(NET, X, over_batch=None), ValueError, "over_batch is None: choose one of 'mean', 'sum', 'none'"),
        (lambda: ism(NET, X, over_batch="none", grad=True), ValueError, "over_batch is 'none', but grad=True"),
        (lambda: ism(NET, X, over_batch="none", sample_weight=np.ones(4)), ValueError, "sample_weight weights nothing"),
        (lambda: ism(NET, X, sample_weight=np.ones((4, 1))), ValueError, r"sample_weight has shape \(4, 1\)"),
        (lambda: ism(NET, X, sample_weight=np.array([1, 1, 1, -1.0])), ValueError, "non-negative"),
        (lambda: ism(NET, X * np.inf), ValueError, r"x\[0, 0\] is inf"),
        (lambda: dsm(NET, X, 0.0, X), ValueError, "sigma is 0.0 at row 0: it must be greater than 0"),
        (lambda: dsm(NET, X, -1.0, X), ValueError, "sigma is -1.0"),
        (lambda: dsm(NET, X, [1, 1, 0.0, 1], X), ValueError, "sigma is 0.0 at row 2"),
        (lambda: dsm(NET, X, np.ones((4, 1)), X), ValueError, r"sigma has shape \(4, 1\)"),
        (lambda: dsm(NET, X, np.ones(3), X), ValueError, r"sigma has shape \(3,\)"),
        (lambda: dsm(NET, X, np.nan, X), ValueError, r"sigma\[0\] is nan"),
        (lambda: dsm(NET, X, "small", X), TypeError, "sigma has dtype"),
        (lambda: dsm(NET, X, 1.0, X[:3]), ValueError, r"noise has shape \(3, 3\), x0 has \(4, 3\)"),
        (lambda: dsm(NET, X, 1.0, X, weight="sigma"), ValueError, "weight is 'sigma': choose one of 'one', 'sigma2', 'prediction'"),
        (lambda: dsm_process(TIMED, NoScales(), X, 0.1, X), TypeError, r"process is .*, without alpha\(t\)"),
        (lambda: dsm_process(TIMED, Decay, X, 0.1, X), TypeError, r"process is <class .*Decay'>, .*such as VP\(\)"),
        (lambda: dsm_process(TIMED, Standstill(), X, 0.1, X), ValueError, r"process.sigma\(t\) is 0.0 at row 0"),
        (lambda: dsm_process(TIMED, Decay(), X, np.ones(3), X), ValueError, r"t has shape \(3,\)"),
        (lambda: dsm_process(TIMED, Decay(), X, -0.1, X), ValueError, "t is -0.1"),
        (lambda: dsm_process(TIMED, Decay(), X, 0.1, X, "lambda"), ValueError, "weight is 'lambda'"),
        (lambda: dsm_process(TIMED, Decay(), X, 0.1, X, lambda t: -t), ValueError, r"weight\(t\) is -0.1"),
        (lambda: dsm_process(TIMED, Decay(), X, 0.1, X, lambda t: t[:2]), ValueError, r"weight\(t\) has shape \(2,\)"),
        (lambda: dsm_process(NET, Decay(), X, 0.1, X), ValueError, "leave out t"),
        (lambda: dsm_process(TIMED, Decay(), X, "now", X), TypeError, "t is 'now'"),
        (lambda: dsm(NET, X, [1, 1, 1e-160, 1], X, predicts="x0"), ValueError, "at row 2 sigma is 1e-160 .*'x0' exceeds float64"),
        (lambda: ssm(NET, X[:0], X[:0]), ValueError, "no rows"),
        (lambda: ssm_vr(NET, X[:0], np.empty((2, 0, 3))), ValueError, "no rows"),
        (lambda: psm(NET, X[:0], X[:0], X[:0]), ValueError, "no rows"),
        (lambda: prediction_weight("x0", -1.0, 1.0), ValueError, "alpha is -1.0"),
        (lambda: prediction_weight("eps", np.nan, 1.0), ValueError, r"alpha\[0\] is nan"),
        (lambda: prediction_weight("v", 0.0, 0.0), ValueError, "alpha and sigma are both 0"),
        (lambda: prediction_weight("v", [1.0, 1.0], np.ones(3)), ValueError, r"alpha has shape \(2,\) and sigma \(3,\)"),
        (lambda: prediction_weight("x0", 1e-200, 1.0), ValueError, "'x0' exceeds float64"),
        (lambda: dsm(NET, X, 1.0, X, predicts="noise"), ValueError, "predicts is 'noise': choose one of 'score', 'eps', 'x0', 'v'"),
        (lambda: dsm(NET, X, 1.0, X, weight=lambda s: s), ValueError, "weight is <function"),
        (lambda: ssm(NET, X, X[0]), ValueError, r"v has shape \(3,\), x has \(4, 3\)"),
        (lambda: ssm(NET, X, X[:, :2]), ValueError, r"v has shape \(4, 2\)"),
        (lambda: ssm_vr(NET, X, X[:1]), ValueError, r"v has shape \(1, 3\)"),
        (lambda: ssm_vr(NET, X, np.empty((0, 4, 3))), ValueError, r"v has shape \(0, 4, 3\).*\(m, 4, 3\) for m a row"),
        (lambda: ssm(NET, X, X * np.nan), ValueError, r"v\[0, 0\] is nan"),
        (lambda: psm(NET, X, X, X[:1]), ValueError, r"true_score has shape \(1, 3\)"),
        (lambda: dsm_integrated(TIMED, Decay(), X, 0.1, X, t_max=0.05), ValueError, r"t runs from 0.1 to 0.1: draw it from"),
        (lambda: dsm_integrated(TIMED, Decay(), X, 0.1, X, t_max=1, t_min=0.2), ValueError, r"t_max\] = \[0.2, 1\]"),
        (lambda: dsm_integrated(TIMED, Decay(), X, 0.1, X, t_max=1, t_min=1), ValueError, "time runs from t_min up to t_max"),
        (lambda: ddpm_simple(TIMED, Decay(), X, 0, X), ValueError, r"process.sigma\(t\) is 0.0 at row 0"),
        (lambda: ncsn(TIMED, X, [], [0] * 4, X), ValueError, r"sigmas has shape \(0,\): pass the ladder"),
        (lambda: ncsn(TIMED, X, 0.5, [0] * 4, X), ValueError, r"sigmas has shape \(\)"),
        (lambda: ncsn(TIMED, X, [1, 0.0], [0] * 4, X), ValueError, "sigmas is 0.0 at row 1"),
        (lambda: ncsn(TIMED, X, [1, 0.5], [0, 1, 2, 0], X), ValueError, "0 to 2: with 2 sigmas it counts 0, ..., 1"),
        (lambda: ncsn(TIMED, X, [1, 0.5], [0, 1, -1, 0], X), ValueError, "index runs from -1 to 1"),
        (lambda: ncsn(TIMED, X, [1, 0.5], 0, X), ValueError, r"index has dtype int64 and shape \(\)"),
        (lambda: ncsn(TIMED, X, [1, 0.5], [0.0] * 4, X), ValueError, "index has dtype float64"),
        (lambda: ncsn(TIMED, X, [1, 0.5], None, X), ValueError, r"noise has shape \(4, 3\): with index=None .* \(2, 4, 3\)"),
        (lambda: ncsn(TIMED, X, [1, 0.5], [0] * 4, X, weight="lambda"), ValueError, "weight is 'lambda'"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_prediction_weights_of_any_scales():
    """By their formulas at 50 digits; the scale alone is beyond the square root of the largest float, or both are small."""
    for alpha, sigma in ((0.6, 0.8), (1e200, 1e-200), (1e-160, 1e-155), (3.0, 0.0), (2, 1)):
        a, s = mp.mpf(alpha), mp.mpf(sigma)
        formulas = {"score": 1, "eps": s**2, "x0": s**4 / a**2, "v": s**2 * (a**2 + s**2) ** 2 / a**2}
        for name, exact in formulas.items():
            assert abs(prediction_weight(name, alpha, sigma) - float(exact)) <= 16 * EPS * float(exact)
    assert prediction_weight("v", [0.0, 1.0], 0.5).tolist() == [np.inf, 0.25 * 1.25**2]


def test_overflow_is_refused():
    """Finite arguments, a loss beyond the largest float: refused, not returned."""
    net = MLP.from_arrays([[[1e200]]], [[0.0]], "tanh")
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="too large for its dtype to square"):
        esm(net, [[1.0]], [[0.0]])
