r"""Identities of B6: one entry v'(Ds)v of the Jacobian by forward mode, by a complex step, by differences and their U."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refscore.identities import _plain
from refscore.identities._energy_cases import cases as energy_cases
from refscore.identities._models import trained_network
from refscore.identities._network_cases import Case, cases
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.identities.trace import POINTS, exact_jacobian
from refscore.networks import AnalyticScore


@identity(
    id="B6",
    systems=("B6",),
    title="v'(Ds)v by one pass: forward mode, complex step",
    statement=r"v'(Ds)v = \tfrac{d}{dh}\, v's(x+hv)\big|_{h=0} = \lim_{h\to0} \tfrac1h\,\mathrm{Im}\, v's(x+ihv)",
    source="[a, 'Jacobian-Vector Product']; Squire & Trapp 1998",
    method="forward mode and complex arithmetic through the network vs complex step on a plain forward pass",
    catches=(
        "hutchinson_sum_over_probes",
        "hutchinson_independent_probes",
        "hutchinson_norm_of_jvp",
        "hutchinson_mean_over_dims",
        "hutchinson_one_sided_difference",
        "jvp_without_slope",
        "jvp_with_biases",
        "jvp_slope_at_activation",
        "complex_step_real_part",
        "complex_step_backwards",
        "complex_step_too_long",
        "complex_step_without_direction",
    ),
)
def directional_derivative(ops, seed):
    """v'(Ds)v at every network of `cases`, free and energy, and of the exact score."""
    for case in [*cases(seed, square=True), *energy_cases(seed)]:
        model, x, v, t = case.model, case.x, case.v, case.t
        size = np.einsum("ni,nij,nj->n", np.abs(v), _jacobian_sizes(case), np.abs(v))
        exact = (v * _plain.directional(case.plain, x, v)).sum(axis=1)
        yield case.compare("v'(Ds)v", ops.hutchinson(model, x, v, *t), exact, size)
        yield case.compare("v'JVP", (v * ops.jvp(model, x, v, *t)).sum(axis=1), exact, size)
        yield case.compare("complex step", ops.complex_step(model, x, v, *t), exact, size)
    for d in (1, 2, 3):
        x, v = np.random.default_rng((seed, d)).standard_normal((2, POINTS, d))
        J, rounding = exact_jacobian(mixture(d), x)
        scale = np.square(v).sum(axis=1) * d * (1 + np.abs(J).max())
        left, right = ops.hutchinson(AnalyticScore(mixture(d)), x, v), np.einsum("ni,nij,nj->n", v, J, v)
        yield Comparison(f"v'(Ds)v, mixture score, d = {d}", left, right, bound=rounding * scale, scale=scale)


def _jacobian_sizes(case: Case) -> np.ndarray:
    sizes = case.sizes()[2] if hasattr(case, "sizes") else case.size.jacobian()
    return np.broadcast_to(sizes, (len(case.x), case.d, case.d))


RADIUS = 0.25
STEP = RADIUS / 2


@identity(
    id="B6.difference",
    systems=("B6",),
    title="Finite differences: their error is a U with a known bottom",
    statement=r"\tfrac{g(h)-g(0)}{h} = g' + \tfrac h2 g'' + \dots,\quad "
    r"\tfrac{g(h)-g(-h)}{2h} = g' + \tfrac{h^2}6 g''' + \dots,\quad h_* = 2\sqrt{e/|g''|},\ \sqrt[3]{3e/|g'''|}",
    source="[a, 'Jacobian-Vector Product']",
    method="differences and Taylor mode by hand vs Cauchy's formula on a plain forward pass; best h predicted vs found by a scan",
    catches=(
        "difference_one_sided_for_central",
        "difference_without_the_two",
        "difference_along_ones",
        "difference_sums_components",
        "line_second_without_curvature",
        "line_third_mixed_term_once",
        "line_third_as_taylor_coefficient",
        "best_step_square_root_for_central",
        "best_step_without_three",
        "best_step_one_for_all",
    ),
)
def finite_differences(ops, seed):
    """g = v.s(x + h v): its derivatives; the differences at h = 1/8 less the series of their error; where they are best.

    v is scaled so that no unit of the first layer moves by more than h/2: the poles of g are then at |h| > 1/2 by a wide margin.
    Derivatives of g beyond the first by Cauchy's formula for g', 64 points on the circle of radius r = 1/4: aliasing of (r/rho)^64
    with rho >= 1/2, rounding (k - 1)!/r^(k - 1) times that of g'.
    """
    for case in cases(seed, square=True):
        case.v /= 2 * np.max(np.abs(case.v) @ np.abs(case.model.weights[0][: case.d]), axis=1, keepdims=True)
        model, x, v, t = case.model, case.x, case.v, case.t
        size = (np.abs(v) * case.size.values()).sum(axis=1)
        c = _taylor(case)
        found = ops.line_derivatives(model, x, v, *t)
        for k, (factor, grown) in enumerate(((1, 1), (1, 1), (2, 1 / RADIUS), (6, 2 / RADIUS**2))):
            bound = 2 * grown * case.size.rounding * size
            yield Comparison(f"g{k * chr(39)}, {case.name}", found[k], factor * c[k], bound, 8 * size)
        for scheme, left in (("forward", range(1, 20)), ("central", range(1, 20, 2))):
            difference = ops.directional_difference(model, x, v, STEP, *t, scheme=scheme)
            error = sum(c[k] * STEP ** (k - 1) for k in left if k > 3)
            error = error + found[2] / 2 * STEP * (scheme == "forward") + found[3] / 6 * STEP**2
            bound = (2 / STEP + 8) * case.size.rounding * size
            yield Comparison(f"{scheme} difference less its error, {case.name}", difference - error, c[1], bound, 8 * size)
    yield from _bottoms(ops, seed)


def _taylor(case: Case) -> np.ndarray:
    """The coefficients c_0, ..., c_19 of g at every row: g itself, and g' around a circle, where it is a plain JVP."""
    circle = RADIUS * np.exp(2j * np.pi * (np.arange(64) + 1 / 3) / 64)
    phi, slope = case.jet
    slopes = []
    for h in circle:
        a = _plain.rows(case.x + h * case.v, *case.columns)
        J = _plain.jacobians(case.model.parameters, a, case.d, phi, slope)
        slopes.append(np.einsum("ni,nij,nj->n", case.v, J, case.v))
    around = np.array(slopes)
    c = [(case.v * case.plain(case.x)).sum(axis=1)]
    c += [(around / circle[:, None] ** k).mean(axis=0).real / (k + 1) for k in range(19)]
    return np.array(c)


FACTOR = 4.0
"""How far the best h may lie from the predicted one. It goes with the square or cube root of e, of which a factor 16 is allowed:
e counts the roundings of s and x, and not those inside the network."""

SCAN = 2.0 ** np.arange(-6, 6.5, 0.5)


def _bottoms(ops, seed) -> Iterator[Comparison | Table]:
    """The errors of both differences at multiples of the step that is predicted to be best, in units of the predicted error.

    In these units every point has the same U, forward (1/f + f)/2, central (2/f + f^2)/3, whose right branch is exact: so medians
    over 200 points stand for all. The prediction by the other road: forward |g''| h^2 = 4 e and error h = 4 e, central
    |g'''| h^3 = 3 e and error h = 3/2 e.
    """
    case = Case("trained, d = 3", trained_network(mixture(3), seed), 3, np.random.default_rng((seed, 6)), n=200)
    case.v /= 2 * np.max(np.abs(case.v) @ np.abs(case.model.weights[0]), axis=1, keepdims=True)
    model, x, v, rounding = case.model, case.x, case.v, case.size.rounding
    c, J = _taylor(case), _plain.jacobian(case.plain, x)
    e = _plain.EPS / 2 * (np.abs(v * case.plain(x)).sum(axis=1) + np.abs(x * np.einsum("ni,nij->nj", v, J)).sum(axis=1))
    size = (np.abs(v) * case.size.values()).sum(axis=1)
    e_size = _plain.EPS / 2 * (size + np.einsum("ni,ij,nj->n", np.abs(v), case.size.jacobian(), np.abs(x)))
    curves = {}
    for scheme, derivative, power, least in (("forward", 2 * c[2], 2, 4), ("central", 6 * c[3], 3, 1.5)):
        h, error = ops.best_step(model, x, v, scheme=scheme)
        balance = {"forward": 4, "central": 3}[scheme]
        bound = h**power * 4 / RADIUS**2 * rounding * size + balance * rounding * e_size
        scale = h**power * 8 * size + balance * e_size
        left = h**power * np.abs(derivative)
        yield Comparison(f"{scheme}: h^{power} |derivative| = {balance} e", left, balance * e, bound, scale)
        yield Comparison(f"{scheme}: least error h = {least} e", error * h, least * e, least * rounding * e_size, least * e_size)
        errors = [np.abs(ops.directional_difference(model, x, v, f * h, scheme=scheme) - c[1]) / error for f in SCAN]
        curves[scheme] = np.median(errors, axis=1)
        best = SCAN[np.argmin(curves[scheme])]
        yield Comparison(f"{scheme}: best step within {FACTOR:g} of the predicted one", 1 / FACTOR <= best <= FACTOR, True, 0.0)
    theory = {"forward": (1 / SCAN + SCAN) / 2, "central": (2 / SCAN + SCAN**2) / 3}
    numbers = [SCAN, *(curve[scheme] for scheme in ("forward", "central") for curve in (curves, theory))]
    columns = ("h / predicted h", "forward", "predicted", "central", "predicted ")
    rows = [tuple(map(float, row)) for row in np.transpose(numbers)[::2]]
    yield Table("Error of differences of v's along v, median in units of the predicted least error", columns, rows)
