"""Values and gradients of all objectives against automatic differentiation, where PyTorch or JAX is installed.

The losses are written once, for one row, in the functions that both libraries have under the same names.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from refscore.networks import MLP, EnergyMLP
from refscore.objectives import contrastive_divergence, ddpm_simple, dsm, dsm_process, esm, ism, ncsn, psm, ssm, ssm_vr
from refscore.processes import VP

EPS, N, D = np.finfo(float).eps, 6, 3
RNG = np.random.default_rng(4)
X, Z, U, V = RNG.normal(size=(4, N, D))
T, LEVELS, INDEX = RNG.uniform(0.1, 0.9, N), np.array([1.3, 0.6, 0.25]), np.array([2, 0, 1, 1, 0, 2])
ALPHA, SIGMA = VP().alpha(T), VP().sigma(T)


@pytest.fixture(params=["torch", "jax"])
def peer(request):
    """Arrays, array functions and transformations of one library, in float64."""
    library = pytest.importorskip(request.param)
    if request.param == "jax":
        library.config.update("jax_enable_x64", True)
        return SimpleNamespace(array=library.numpy.asarray, np=library.numpy, jit=library.jit, **_transforms(library))
    return SimpleNamespace(array=library.asarray, np=library, jit=lambda f: f, **_transforms(library.func))


def _transforms(functions):
    return {name: getattr(functions, name) for name in ("grad", "vmap", "jvp", "jacfwd")}


def forward(peer, p, a):
    """A network with SiLU at one row or at many."""
    for k in range(0, len(p) - 2, 2):
        z = a @ p[k] + p[k + 1]
        a = z / (1 + peer.np.exp(-z))
    return a @ p[-2] + p[-1]


def score(peer, p, kind):
    """s(x, t) of one row: a network, or minus the gradient of one."""

    def network(x, t):
        return forward(peer, p, peer.np.concatenate([x, t[None]]))

    if kind is MLP:
        return network
    gradient = peer.grad(lambda x, t: network(x, t)[0])
    return lambda x, t: -gradient(x, t)


def half(r):
    return 0.5 * (r * r).sum()


def implicit(peer, s, x, t):
    return half(s(x, t)) + peer.np.trace(peer.jacfwd(lambda y: s(y, t))(x))


def sliced(peer, s, x, t, v, exact=False):
    value, tangent = peer.jvp(lambda y: s(y, t), (x,), (v,))
    return (half(value) if exact else half((v * value).sum())) + (v * tangent).sum()


def at(peer, s, x, t, z, alpha, sigma, slope, target_z, target_x):
    """slope^2 1/2 ||m(alpha x + sigma z) - (target_z z + target_x x)||^2"""
    return half(slope * (s(alpha * x + sigma * z, t) - target_z * z - target_x * x))


ONE, NONE = np.ones(N), np.zeros(N)
ROOT = LEVELS[INDEX]
V_SLOPE = ALPHA / (SIGMA * (ALPHA**2 + SIGMA**2))
LOSSES = {  # name: (refscore's loss of a model, the same for a row, arrays of rows that it takes)
    "esm": (lambda m: esm(m, X, U, t=T, grad=True), lambda peer, s, x, t, u: half(s(x, t) - u), (X, T, U)),
    "ism": (lambda m: ism(m, X, t=T, grad=True), implicit, (X, T)),
    "psm": (lambda m: psm(m, X, V, U, t=T, grad=True), lambda peer, s, x, t, u, v: half((v * (s(x, t) - u)).sum()), (X, T, U, V)),
    "ssm": (lambda m: ssm(m, X, V, t=T, grad=True), sliced, (X, T, V)),
    "ssm_vr": (
        lambda m: ssm_vr(m, X, V, t=T, grad=True),
        lambda peer, s, x, t, v: sliced(peer, s, x, t, v, exact=True),
        (X, T, V),
    ),
    "dsm": (lambda m: dsm(m, X, SIGMA, Z, t=T, grad=True), at, (X, T, Z, ONE, SIGMA, ONE, -1 / SIGMA, NONE)),
    "dsm_process": (
        lambda m: dsm_process(m, VP(), X, T, Z, "sigma2", grad=True),
        at,
        (X, T, Z, ALPHA, SIGMA, SIGMA, -1 / SIGMA, NONE),
    ),
    "dsm_process of eps": (
        lambda m: dsm_process(m, VP(), X, T, Z, "one", predicts="eps", grad=True),
        at,
        (X, T, Z, ALPHA, SIGMA, 1 / SIGMA, ONE, NONE),
    ),
    "dsm_process of x0": (
        lambda m: dsm_process(m, VP(), X, T, Z, "prediction", predicts="x0", grad=True),
        at,
        (X, T, Z, ALPHA, SIGMA, ONE, NONE, ONE),
    ),
    "dsm_process of v": (
        lambda m: dsm_process(m, VP(), X, T, Z, "one", predicts="v", grad=True),
        at,
        (X, T, Z, ALPHA, SIGMA, V_SLOPE, ALPHA, -SIGMA),
    ),
    "ncsn": (lambda m: ncsn(m, X, LEVELS, INDEX, Z, grad=True), at, (X, ROOT, Z, ONE, ROOT, ROOT, -1 / ROOT, NONE)),
    "ddpm_simple": (
        lambda m: ddpm_simple(m, VP(), X, T, Z, grad=True),
        at,
        (X, T, Z, ALPHA, SIGMA, np.sqrt(2) * ONE, ONE, NONE),
    ),
}


@pytest.mark.parametrize("kind", [MLP, EnergyMLP], ids=["free", "energy"])
def test_automatic_differentiation_agrees(peer, kind):
    """1e3 eps of the largest gradient met and of 1/sigma^2, the largest factor of a row."""
    model = MLP((D + 1, 7, 5, D), "silu", 2) if kind is MLP else EnergyMLP((D + 1, 7, 5, 1), "silu", 2, takes_time=True)
    for name, (ours, of_row, arrays) in LOSSES.items():
        rows = [peer.array(a) for a in arrays]

        def loss(p, of_row=of_row, rows=rows):
            s = score(peer, p, kind)
            return peer.vmap(lambda *row: of_row(peer, s, *row))(*rows).mean()

        agree(ours(model), differentiated(peer, loss, model), max(1.0, SIGMA.min() ** -2), name)


def test_contrastive_divergence_agrees(peer):
    model = EnergyMLP((D, 7, 5, 1), "silu", 2)
    x, y = peer.array(X), peer.array(U[:4])

    def loss(p):
        return forward(peer, p, x).mean() - forward(peer, p, y).mean()

    agree(contrastive_divergence(model, X, U[:4], grad=True), differentiated(peer, loss, model), 1.0, "CD")


def differentiated(peer, loss, model):
    """(value, gradient) of the peer's loss at the model's parameters."""
    return peer.jit(lambda p: (loss(p), peer.grad(loss)(p)))([peer.array(np.array(a)) for a in model.parameters])


def agree(ours, theirs, size, name):
    (value, gradient), (wanted, slopes) = ours, theirs
    assert abs(value - float(wanted)) <= 1e3 * EPS * max(size, value), name
    for a, b in zip(gradient, map(np.asarray, slopes), strict=True):
        assert a.shape == b.shape and np.abs(a - b).max() <= 1e3 * EPS * max(size, np.abs(b).max()), name
