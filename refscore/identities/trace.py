r"""Identities of the trace of a Jacobian: exact (B4, D2), estimated by random directions (B5).

Expectations over directions are not sampled: sign vectors are enumerated, the normal law is a Gauss-Hermite product and
the sphere a cubature, each exact for the polynomials of degree 2 (mean) and 4 (variance) that v'Av and its square are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from refscore.identities import _plain, _textbook
from refscore.identities._losses import divergence
from refscore.identities._models import linear_score, random_network, trained_network
from refscore.identities._network_cases import cases, wide
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.networks import AnalyticScore

POINTS = 3


def laws(d: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, nodes (N, d) and weights (N,) of every law of v in d dimensions, exact for polynomials of degree 4."""
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=d)))
    yield "rademacher", signs, np.full(len(signs), 1 / len(signs))
    if d > 3:
        return
    z, w = np.polynomial.hermite_e.hermegauss(4)  # degree 7
    nodes = np.array(list(itertools.product(z, repeat=d)))
    yield "gaussian", nodes, np.prod(list(itertools.product(w / w.sum(), repeat=d)), axis=1)
    angle = 2 * np.pi * (np.arange(7) + 1 / 3) / 7  # degree 6
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if d == 1:
        sphere, weights = np.array([[-1.0], [1.0]]), np.full(2, 0.5)
    elif d == 2:
        sphere, weights = circle, np.full(7, 1 / 7)
    else:
        height, w = np.polynomial.legendre.leggauss(4)  # degree 7; Archimedes: the height on the sphere is uniform
        sphere = np.array([[*(np.sqrt(1 - h * h) * c), h] for h in height for c in circle])
        weights = np.repeat(w / 14, 7)
    yield "sphere", np.sqrt(d) * sphere, weights


def _models(seed: int) -> Iterator[tuple[str, object, np.ndarray, np.ndarray, np.ndarray, float]]:
    """Name, model, points x, Jacobians by complex steps, their sizes (d, d), and the rounding relative to the sizes."""
    for d in (1, 2, 3, 5):
        x = np.random.default_rng((seed, d)).standard_normal((POINTS, d)) + 0.2
        networks = {"random": random_network(d, seed)}
        if d <= 3:
            networks |= {"linear": linear_score(mixture(d), seed), "trained": trained_network(mixture(d), seed)}
            J, rounding = exact_jacobian(mixture(d), x)
            yield f"mixture score, d = {d}", AnalyticScore(mixture(d)), x, J, 1 + np.abs(J).max(axis=0), rounding
        for name, model in networks.items():
            size = _plain.Size(model, x, d)
            J = _plain.jacobian(lambda z, model=model: _plain.values(model, z), x)
            yield f"{name} network, d = {d}", model, x, J, size.jacobian(), size.rounding


def exact_jacobian(density, x) -> tuple[np.ndarray, float]:
    """Jacobian of a mixture's score by complex steps of the textbook formula, and its rounding relative to 1 + |Ds|.

    Ds holds products of two component scores of at most C^{-1/2} sqrt(q) each, so the score's own bound counts thrice.
    """
    J = _plain.jacobian(lambda z: _textbook.score(density, z), x)
    return J, 3 * float(_textbook.rounding(density, x).max())


def _estimates(ops, model, x, v) -> np.ndarray:
    """v'(Ds)v for every point (row) and every direction (column)."""
    n, k = len(x), len(v)
    return ops.hutchinson(model, np.repeat(x, k, axis=0), np.tile(v, (n, 1))).reshape(n, k)


@identity(
    id="B5",
    systems=("B5",),
    title="Hutchinson's estimate is unbiased",
    statement=r"E\,v'Av = \mathrm{tr}\,A \quad\text{for}\quad E\,vv' = I",
    source="[a, 'Hutchinson's Trace Estimator'], [c], [e]; Hutchinson 1990",
    method="enumeration of signs, Gauss-Hermite product, cubature of the sphere vs trace of a complex-step Jacobian",
    catches=(
        "hutchinson_sum_over_probes",
        "hutchinson_mean_over_dims",
        "hutchinson_normalised",
        "hutchinson_probes_zero_one",
        "hutchinson_probes_minus_one_one",
        "hutchinson_independent_probes",
        "hutchinson_norm_of_jvp",
        "probes_on_unit_sphere",
        "probes_zero_one",
    ),
)
def hutchinson_mean(ops, seed):
    """E v'(Ds)v = tr Ds for three laws of v, every score model, d = 1, 2, 3 (signs also in d = 5); and what the laws draw."""
    for name, model, x, J, size, rounding in _models(seed):
        for law, v, weights in laws(x.shape[1]):
            left = _estimates(ops, model, x, v) @ weights
            scale = float(np.einsum("k,ki,ij,kj->", weights, np.abs(v), size, np.abs(v)))
            bound = (rounding + (len(v) + 32) * _plain.EPS) * scale
            right = np.trace(J, axis1=1, axis2=2)
            yield Comparison(f"{law}, {name}", left, right, bound=bound, scale=scale)
    for d in (1, 2, 3, 5):
        signs, sphere = (ops.probes(law, 64, d, seed) for law in ("rademacher", "sphere"))
        yield Comparison(f"signs have squares 1, d = {d}", signs**2, np.ones((64, d)), bound=0.0)
        bound = 4 * (d + 4) * _plain.EPS * d
        yield Comparison(f"|v|^2 = d, d = {d}", np.square(sphere).sum(axis=1), np.full(64, d), bound=bound, scale=d)


@identity(
    id="B5.variance",
    systems=("B5",),
    title="Variance of Hutchinson's estimate",
    statement=r"\mathrm{Var}\,v'Av = 2\|A_s\|_F^2,\quad 2\big(\|A_s\|_F^2-\textstyle\sum a_{ii}^2\big),\quad "
    r"\tfrac{2d}{d+2}\big(\|A_s\|_F^2-\tfrac1d(\mathrm{tr}A)^2\big)",
    source="[a, 'Hutchinson's Trace Estimator'], [c], [e]",
    method="closed forms vs second moments by enumeration, Gauss-Hermite product and cubature of the sphere",
    catches=(
        "variance_without_symmetric_part",
        "variance_without_two",
        "variance_rademacher_for_gaussian",
        "variance_gaussian_for_all",
        "variance_sphere_without_dimension",
        "variance_standard_deviation",
        "hutchinson_times_dimension_normalised",
    ),
)
def hutchinson_variance(ops, seed):
    """Var v'(Ds)v over the law of v, for the Gaussian, signs and the sphere of radius sqrt d; and the three side by side."""
    rows = []
    for name, model, x, J, size, rounding in _models(seed):
        trace, found = np.trace(J, axis1=1, axis2=2), {}
        for law, v, weights in laws(x.shape[1]):
            centred = _estimates(ops, model, x, v) - trace[:, None]
            form = np.einsum("ki,ij,kj->k", np.abs(v), size, np.abs(v)) + np.trace(size)
            scale = 2 * float(weights @ form**2) + 4 * float(np.square(size).sum())
            # squares double the relative error; the sums over nodes and entries add (N + 2 d^2 + 32) eps
            bound = (2 * rounding + (len(v) + 2 * size.size + 32) * _plain.EPS) * scale
            left, right = ops.hutchinson_variance(ops.jacobian(model, x), law), centred**2 @ weights
            found[law] = right[0]
            yield Comparison(f"{law}, {name}", left, right, bound=bound, scale=scale)
        if "sphere" in found:
            rows.append((name, *(float(found[law]) for law in ("gaussian", "rademacher", "sphere"))))
    yield Table("Variance of v'(Ds)v at one point", ("score", "Gaussian", "Rademacher", "sphere"), rows)


@identity(
    id="B4",
    systems=("B4", "D2"),
    title="Exact trace: closed form with 0, 1, 2 hidden layers, d JVPs with more",
    statement=r"\mathrm{tr}\,Ds = \textstyle\sum_j D_{1j}(W_2W_1)_{jj},\quad \mathrm{tr}\,Ds = D_1\big(W_2\circ(W_3W_1)'\big)D_2'",
    source="[a, sec. 2], [c], [e]",
    method="closed form by hand vs trace of a complex-step Jacobian vs d JVPs",
    catches=(
        "divergence_without_slopes",
        "divergence_coupling_transposed",
        "divergence_first_slope_twice",
        "divergence_over_dims",
        "divergence_sum_of_jacobian",
        "divergence_time_for_space",
        "jvp_without_slope",
    ),
)
def exact_trace(ops, seed):
    """tr Ds of every network of `cases`, of width 10 as well, and of the exact score, in three ways."""
    every = [*cases(seed, square=True), *wide(seed)]
    for case in every:
        model, x, t, d = case.model, case.x, case.t, case.d
        size = np.full(len(x), np.trace(case.size.jacobian()))
        trace = np.trace(_plain.jacobian(case.plain, x), axis1=1, axis2=2)
        closed = ops.divergence(model, x, *t)
        tangents = sum(ops.jvp(model, x, np.tile(e, (len(x), 1)), *t)[:, k] for k, e in enumerate(np.eye(d)))
        yield case.compare("closed form and complex step", closed, trace, size)
        yield case.compare("d JVPs and closed form", tangents, closed, size)
    for d in (1, 2, 3):
        x = np.random.default_rng((seed, d)).standard_normal((POINTS, d))
        J, rounding = exact_jacobian(mixture(d), x)
        scale = d * (1 + np.abs(J).max())
        left = ops.divergence(AnalyticScore(mixture(d)), x)
        yield Comparison(f"mixture score, d = {d}", left, np.trace(J, axis1=1, axis2=2), bound=rounding * scale, scale=scale)


@identity(
    id="D2",
    systems=("D2",),
    title="Gradient of the divergence in the parameters",
    statement=r"\nabla_\theta \sum_i c_i\,\mathrm{tr}\,Ds(x_i)",
    source="[a, sec. 2]; closed forms of B4 differentiated",
    method="closed form by hand vs complex step in every parameter of the trace of a product of Jacobians",
    catches=(
        "divergence_gradient_slopes_constant",
        "divergence_gradient_coupling_constant",
        "divergence_gradient_first_curvature_missing",
        "divergence_gradient_averaged",
        "divergence_gradient_transposed",
    ),
)
def divergence_gradient(ops, seed):
    """The gradient of sum c tr Ds (second order: it contains phi'') in every single weight and bias."""
    for case in [*cases(seed, square=True), *wide(seed)]:
        found = ops.divergence_gradient(case.model, case.x, case.c, *case.t)
        yield from case.gradients("c tr Ds", found, divergence, c=case.c)
