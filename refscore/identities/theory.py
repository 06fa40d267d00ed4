r"""The true law of a discretised reverse SDE, and how far it is from the data (systems H5, H6).

A chain of kernels N(m_k(x), v_k I) started from p_T has a law that is computed, not sampled:

    Gaussian data: m_k(x) = A_k x + c_k,  m <- A m + c,  C <- A C A' + v I;
    d = 1:         p_{k+1}(y) = int p_k(x) N(y; m_k(x), v_k) dx.

Here both are done a second time: by scalars in the eigenbasis of the data, with the processes and schemes written down once
more by hand, and by a Nystrom method on Gauss-Legendre panels. The distance to the data is TV = 1/2 int |p - q|.

The order of the error in TV is one for smooth targets, for Euler-Maruyama and the exponential integrator. For N(mu, lambda) data,
OU with rate r, c(t) = alpha^2 lambda + sigma_t^2 and the sensitivity Phi = alpha lambda/c of x_0 to x_t, local errors add up to

    v_h = lambda + h int_0^T eps(t) Phi(t)^2 dt + O(h^2),     m_h = mu + h int_0^T eta(t) Phi(t) dt + O(h^2),
    EM:  eps = (r c - g^2)^2/c + r (g^2 - 2 r c),   eta = -r^2 alpha mu/2;
    EI:  eps = (r c - g^2)^2/c + r (g^2 - r c),     eta = 0,

so TV = C h + O(h^2), C = 1/2 int |m_1 d/dm + v_1 d/dv| N(x; mu, lambda) dx: the sqrt(h) of the bound of Chen et al. is not tight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS, extrapolate, gauss_legendre
from refscore.identities._nystrom import LAW_ERROR, Nystrom, Step, by_hand, nystrom, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.samplers import Setting, _frozen_moments, exact_score, settings
from refscore.networks import MLP
from refscore.processes import OU

SCHEMES = ("euler_maruyama", "exponential")

STANDARD = Setting("OU(1, sqrt 2)", OU(1.0, math.sqrt(2)), lambda t: 1.0 + 0 * t, lambda t: 2.0 + 0 * t, 3.0)
SKEWED = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])


def _scales(setting: Setting, t):
    """(alpha, sigma_t^2) by hand; the rate is linear in t, and g^2/2r does not depend on t."""
    r, g2 = setting.rate(0.5), setting.diffusion2(0.5)
    alpha = np.exp(-t * setting.rate(t / 2))
    return alpha, (g2 / (2 * r) * -np.expm1(-2 * t * setting.rate(t / 2)) if r else g2 * t)


def _coefficients(setting: Setting, times: np.ndarray, scheme: str) -> np.ndarray:
    """(N, 3): a, b, v of every step by hand."""
    if scheme == "exponential":
        return _frozen_moments(setting, times)
    h, r, g2 = times[:-1] - times[1:], setting.rate(times[:-1]), setting.diffusion2(times[:-1])
    return np.stack([1 + r * h, g2 * h, g2 * h], axis=1)


def _grid(start: float, end: float, steps: int, power: float = 1.7) -> np.ndarray:
    return end + (start - end) * np.linspace(1, 0, steps + 1) ** power


@identity(
    id="H5",
    systems=("H5",),
    title="The true law of the discretised reverse SDE",
    statement=r"p_{k+1}(y) = \int p_k(x)\, N(y;\, m_k(x), v_k I)\, dx;\quad m_k(x) = A_k x + c_k:\; "
    r"C_{k+1} = A_k C_k A_k^\top + v_k I",
    source="[e]; Trefethen & Weideman 2014",
    method="Gaussian recursion against scalars in the eigenbasis and against the unrolled sum; laws in one dimension against a "
    "Nystrom method on Gauss-Legendre panels; total variation "
    "by distribution functions against quadrature of |p - q| between its roots",
    catches=(
        "law_without_transpose", "law_variance_twice", "law_std_for_variance", "law_from_standard_normal", "law_one_step_short",
        "law_without_last_noise", "law_gaussian_of_same_moments", "total_variation_not_halved", "total_variation_by_kolmogorov",
        "total_variation_signed", "reverse_sde_score_at_the_end", "reverse_sde_noise_std_h",
        "reverse_sde_frozen_weight_is_g2_h", "reverse_sde_coefficients_at_the_end", "reverse_sde_steps_off_by_one",
        "reverse_sde_forward_variance", "reverse_sde_equal_steps", "reverse_sde_last_step_noise_free",
        "reverse_sde_variance_is_std",
        "reverse_sde_flow_with_noise", "reverse_sde_rate_halved",
    ),
)
def law_of_the_chain(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for setting, dimensions in zip(settings(), ((1, 3), (2,), (3,), (2, 3)), strict=True):
        for d in dimensions:
            for scheme in SCHEMES:
                yield from _gaussian(ops, setting, _targets.gaussian(d), scheme)
    for d in (2, 3):
        yield from _linear_model(ops, settings()[0], d, seed)
    yield from _mixture_laws(ops, seed)
    yield _along_the_chain(ops)


def _gaussian(ops: Operations, setting: Setting, data: Gaussian, scheme: str) -> Iterator[Comparison]:
    """Mean and covariance after 13 uneven steps, by scalars along the eigenvectors of the data's covariance.

    The scalar recursion carries a running error: 64 eps of each sum, for the handful of roundings of a step in d <= 3 dimensions
    (probing the affine mean, two matrix products), shrunk or stretched by the steps that follow.
    """
    times = _grid(setting.last, 0.02, 13)
    start = ops.marginal(setting.process, data, setting.last)
    law = ops.law(ops.reverse_sde(setting.process, exact_score(ops, setting.process, data), times, scheme), start)
    spectrum, axes = np.linalg.eigh(data.cov)
    centre = data.mean @ axes
    alpha, noise = _scales(setting, times)
    mean, variance = alpha[0] * centre, alpha[0] ** 2 * spectrum + noise[0]
    mean_error, variance_error = 64 * EPS * np.abs(mean), 64 * EPS * variance
    for k, (a, b, v) in enumerate(_coefficients(setting, times, scheme)):
        precision = 1 / (alpha[k] ** 2 * spectrum + noise[k])
        slope, size = a - b * precision, a + b * precision
        shift = b * precision * alpha[k] * centre
        mean_error = np.abs(slope) * mean_error + 64 * EPS * (size * (np.abs(mean) + np.sqrt(variance)) + np.abs(shift))
        variance_error = slope**2 * variance_error + 64 * EPS * (size**2 * variance + v)
        mean, variance = slope * mean + shift, slope**2 * variance + v
    case = f"{scheme}, {setting.name}, Gaussian in d = {data.dim}"
    scale = float(np.sqrt(variance.max()) + np.abs(mean).max())
    yield Comparison(f"mean of the law: {case}", law.mean, mean @ axes.T, float(mean_error.sum()), scale)
    bound, scale = float(variance_error.sum()), float(variance.max())
    yield Comparison(f"covariance of the law: {case}", law.cov, (axes * variance) @ axes.T, bound, scale)


def _linear_model(ops: Operations, setting: Setting, d: int, seed: int) -> Iterator[Comparison]:
    """A model s = x W + w whose Jacobian is not symmetric: C_N = Phi_0 C_0 Phi_0' + sum_k v_k Phi_{k+1} Phi_{k+1}'."""
    rng = np.random.default_rng((seed, 51, d))
    W, w = 0.4 * rng.standard_normal((d, d)) - np.eye(d), rng.standard_normal(d)
    model = MLP.from_arrays([W], [w], "tanh")
    times, start = _grid(setting.last, 0.0, 7), _targets.gaussian(d)
    for scheme in SCHEMES:
        chain = ops.reverse_sde(setting.process, lambda x, t: ops.forward(model, x), times, scheme)
        law = ops.law(chain, start)
        flow, mean, cov, size = np.eye(d), np.zeros(d), np.zeros((d, d)), 0.0
        for a, b, v in _coefficients(setting, times, scheme)[::-1]:  # flow: from after this step to the end
            mean = mean + flow @ (b * w)
            cov = cov + v * flow @ flow.T
            size += b * float(np.linalg.norm(flow, 2) * np.linalg.norm(w))
            flow = flow @ (a * np.eye(d) + b * W.T)
        mean, cov = mean + flow @ start.mean, cov + flow @ start.cov @ flow.T
        # forward sums and backward products differ by the roundings of 7 steps, times how much the flow stretches
        stretch = float(np.linalg.norm(flow, 2))
        scale = size + stretch * (float(np.abs(start.mean).max()) + 1) + float(np.sqrt(np.trace(cov)))
        case = f"{scheme}, {setting.name}, linear model in d = {d}"
        yield Comparison(f"mean, unrolled: {case}", law.mean, mean, 7 * 256 * EPS * scale, scale)
        scale = float(np.trace(cov)) + stretch**2
        yield Comparison(f"covariance, unrolled: {case}", law.cov, cov, 7 * 256 * EPS * scale, scale)


def _nystrom(
    setting: Setting, data, times, scheme: str, score: Callable | None, order: int, reach: float
) -> tuple[Nystrom, float]:
    """The law of the chain by quadrature on [-reach, reach], and how far its mass is from one."""
    alpha, noise = _scales(setting, times)

    def slopes(k: int) -> Callable:
        return (lambda y: score(y[:, None], times[k])[:, 0]) if score else by_hand(data, alpha[k], noise[k])[1]

    steps = [Step(a, b, v, slopes(k)) for k, (a, b, v) in enumerate(_coefficients(setting, times, scheme))]
    return nystrom(steps, by_hand(data, alpha[0], noise[0])[0], order, reach)


def _mixture_laws(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    network = _models.random_network(1, seed, "tanh", takes_time=True)  # bounded

    def model(x, t):  # pulled inwards, as scores are
        return ops.forward(network, x, np.full(len(x), t)) - x

    ou, vp = settings()[0], settings()[3]
    wide = GaussianMixture([0.25, 0.4, 0.35], [[-1.2], [0.1], [1.1]], [0.2, 0.3, 0.15])
    known = {}
    for name, setting, data, times, score, reach in [
        ("skewed mixture", STANDARD, SKEWED, np.linspace(3, 0, 49), None, 8.0),
        ("three components", vp, wide, _grid(0.6, 0.05, 7, 1.2), None, 14.0),
        ("random network minus x", ou, wide, _grid(1.5, 0.1, 7), model, 14.0),
    ]:
        for scheme in SCHEMES:
            case = f"{scheme}, {setting.name}, {name}, {len(times) - 1} steps"
            (rough, _), (fine, defect) = (_nystrom(setting, data, times, scheme, score, order, reach) for order in (13, 17))
            chain = ops.reverse_sde(setting.process, score or exact_score(ops, setting.process, data), times, scheme)
            law = ops.law(chain, ops.marginal(setting.process, data, times[0]))
            y = np.linspace(-3.3, 3.1, 41)
            right, other = fine.density(y), rough.density(y)
            # an L1 error e before the last kernel is at most e/sqrt(2 pi v) after it
            lost = LAW_ERROR + defect + 16 * EPS * len(times)
            bound = np.abs(right - other) + lost / math.sqrt(2 * math.pi * fine.v)
            yield Comparison(f"density of the law: {case}", np.exp(ops.logpdf(law, y[:, None])), right, bound, right.max())
            value, error = ops.total_variation(law, data)
            expected, estimate = tv_by_quadrature(fine.density, by_hand(data, 1.0, 0.0)[0], reach)
            y, w = gauss_legendre(-reach, reach, 48, 12)
            loss = float(w @ np.abs(rough.density(y) - fine.density(y))) / 2
            yield Comparison(f"TV to the data: {case}", value, expected, error + estimate + loss + lost, expected)
            known[name, scheme] = value
    # An outside number. Both routes here give 0.07758959366622(1), 1.7e-13 below it: more than its rounding 5e-14 explains, within
    # the error 2e-13 of two laws; so this comparison vouches for 11 digits, and the two above for the rest.
    digits = 0.0775895936664
    yield Comparison("TV = 0.0775895936664 for 48 exponential steps from T = 3", known["skewed mixture", "exponential"], digits,
                     5e-14 + 2 * LAW_ERROR, digits)


def _along_the_chain(ops: Operations) -> Table:
    """The exact density before, on the way and after 12 exponential steps, beside the data's."""
    times = _grid(STANDARD.last, 0.0, 12)
    chain = ops.reverse_sde(STANDARD.process, exact_score(ops, STANDARD.process, SKEWED), times, "exponential")
    start, y = ops.marginal(STANDARD.process, SKEWED, STANDARD.last), np.linspace(-3.5, 3.5, 71)
    laws = {f"t = {times[k]:.2g}": ops.law(chain[:k], start) for k in (0, 6, 9, 11, 12)} | {"data": SKEWED}
    columns = [np.exp(ops.logpdf(law, y[:, None])) for law in laws.values()]
    rows = [tuple(float(v) for v in row) for row in zip(y, *columns, strict=True)]
    return Table("density along the reverse chain, 12 exponential steps", ("y", *laws), rows, Picture("y", tuple(laws)))


STEPS = (12, 17, 24, 34, 48, 68, 96, 136)
EXTRAPOLATED = (16, 24, 32, 48, 64, 96, 128, 192)


@identity(
    id="H6",
    systems=("H6",),
    title="Observed orders: total variation is of order h",
    statement=r"\mathrm{TV}(p_h, q) = C h + O(h^2) \text{ for Euler-Maruyama and the exponential integrator}",
    source="[e], theorem of Chen et al. 2023, whose bound is of order sqrt(h); Talay & Tubaro 1990",
    method="total variation by distribution functions against quadrature of |p - q| at every h; for Gaussian data the moments' "
    "leading error against its integral along the path, and the polynomial through TV(h), extrapolated to h = 0, against 0",
    catches=(
        "law_variance_twice", "total_variation_not_halved", "total_variation_by_kolmogorov", "total_variation_signed",
        "reverse_sde_score_at_the_end", "reverse_sde_flow_with_noise", "reverse_sde_rate_halved",
        "reverse_sde_forward_variance", "reverse_sde_steps_off_by_one",
    ),
)
def orders(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    columns = {}
    start = ops.marginal(STANDARD.process, SKEWED, STANDARD.last)
    score = exact_score(ops, STANDARD.process, SKEWED)
    target = by_hand(SKEWED, 1.0, 0.0)[0]
    for scheme in SCHEMES:
        found = []
        for steps in STEPS:
            chain = ops.reverse_sde(STANDARD.process, score, np.linspace(STANDARD.last, 0, steps + 1), scheme)
            law = ops.law(chain, start)
            value, error = ops.total_variation(law, SKEWED)
            expected, estimate = tv_by_quadrature(lambda y, law=law: np.exp(ops.logpdf(law, y[:, None])), target)
            yield Comparison(f"TV, {scheme}, {steps} steps", value, expected, error + estimate, expected)
            found.append(value)
        columns[scheme] = found
    yield _slopes(columns)
    for scheme in SCHEMES:
        yield from _leading_error(ops, scheme)


def _slopes(columns: dict) -> Table:
    h = STANDARD.last / np.array(STEPS)
    rows = []
    for i, steps in enumerate(STEPS):
        row: list = [steps, float(h[i])]
        for values in columns.values():
            order = math.log(values[i - 1] / values[i]) / math.log(h[i - 1] / h[i]) if i else None
            row += [values[i], values[i] / float(h[i]), order]
        rows.append(tuple(row))
    names = ("N", "h", "TV, EM", "TV/h, EM", "order, EM", "TV, EI", "TV/h, EI", "order, EI")
    picture = Picture(x="h", y=("TV, EM", "TV, EI"), log=True, ylabel="total variation")
    return Table("TV of 0.3 N(-1.5, 0.4^2) + 0.7 N(1, 0.6^2), OU f = -x, g = sqrt 2, T = 3, from p_T", names, rows, picture)


def _leading_error(ops: Operations, scheme: str) -> Iterator[Comparison | Table]:
    """Gaussian data: polynomials in h through the moments' errors over h, and through TV, extrapolated to h = 0."""
    setting = settings()[0]
    mu, spread = 0.6, 0.75
    data = Gaussian([mu], spread)
    start = ops.marginal(setting.process, data, setting.last)
    score = exact_score(ops, setting.process, data)
    h = setting.last / np.array(EXTRAPOLATED)
    rates, distances, noise = [], [], 0.0
    for steps, width in zip(EXTRAPOLATED, h, strict=True):
        times = np.linspace(setting.last, 0, steps + 1)
        law = ops.law(ops.reverse_sde(setting.process, score, times, scheme), start)
        rates.append([(law.mean[0] - mu) / width, (law.cov[0, 0] - spread) / width])
        value, error = ops.total_variation(law, data)
        distances.append(value)
        noise = max(noise, error)
    expected = _leading_moments(setting, mu, spread, scheme)
    limit, error, weights = extrapolate(h, np.array(rates))
    # the moments of the laws carry a few eps, magnified by the extrapolation and by 1/h; slopes contract, so steps add no more
    rounding = 64 * EPS * float(np.abs(weights) @ (1 / h))
    scale = float(np.abs(weights).sum() * np.abs(rates).max()) + 1
    yield Comparison(f"leading error of mean and variance, {scheme}, {setting.name}", limit, expected, error + rounding, scale)
    zero, error, weights = extrapolate(h, np.array(distances))
    scale = float(np.abs(weights) @ distances)
    error = error + float(np.abs(weights).sum()) * noise
    yield Comparison(f"TV extrapolated to h = 0, {scheme}, {setting.name}", zero, 0.0, error, scale)
    constant = _leading_distance(expected[0], expected[1], spread)
    halved = np.log2(np.array(distances[:-2]) / np.array(distances[2:]))  # the grid holds h/2 two places on
    rows: list[tuple] = [(n, float(w), tv, tv / float(w), order) for n, w, tv, order in
            zip(EXTRAPOLATED, h, distances, [*halved.tolist(), None, None], strict=True)]
    over_h, order_at_0 = extrapolate(h, np.array(distances) / h)[0], extrapolate(h[:-2], halved)[0]
    rows.append(("limit", 0.0, float(zero), float(over_h), float(order_at_0)))
    rows.append(("exact", 0.0, 0.0, constant, 1.0))
    title = f"TV, {scheme}, {setting.name}, N(0.6, 0.75), T = 2: order 1 with constant C"
    yield Table(title, ("N", "h", "TV", "TV/h", "order"), rows)


def _leading_moments(setting: Setting, mu: float, spread: float, scheme: str) -> np.ndarray:
    """(m_1, v_1), the integrals of the module docstring; 40 Gauss nodes on 2 panels leave nothing out of an analytic integrand."""
    t, w = gauss_legendre(0.0, setting.last, 2)
    r, g2 = float(setting.rate(0.0)), float(setting.diffusion2(0.0))
    alpha, noise = _scales(setting, t)
    c = alpha**2 * spread + noise
    sensitivity = alpha * spread / c
    common = (r * c - g2) ** 2 / c
    if scheme == "exponential":
        return np.array([0.0, w @ ((common + r * (g2 - r * c)) * sensitivity**2)])
    return np.array([w @ (-r * r / 2 * alpha * mu * sensitivity), w @ ((common + r * (g2 - 2 * r * c)) * sensitivity**2)])


def _leading_distance(m1: float, v1: float, spread: float) -> float:
    """C = 1/2 int |m_1 z/sd + v_1 (z^2 - 1)/(2 var)| phi(z) dz, by its antiderivative between the two roots."""
    linear, quadratic = m1 / math.sqrt(spread), v1 / (2 * spread)
    roots = np.sort(np.roots([quadratic, linear, -quadratic]).real)
    primitive = -np.exp(-roots**2 / 2) / math.sqrt(2 * math.pi) * (linear + quadratic * roots)
    return float(np.abs(np.diff([0.0, *primitive, 0.0])).sum() / 2)
