r"""Where a reverse chain starts and where it stops (systems F7).

Both errors are total variations between laws in closed form. Their leading terms are known for any data on the line, since
p_T = E phi_sigma(x - alpha x_0) is a power series in alpha, and p_t one in t near the data:

    TV(p_T, N(0, sigma_T^2))  =  alpha |E x_0|/(sigma sqrt(2 pi)) + O(alpha^2),     alpha^2 E x_0^2 phi(1)/sigma^2 if E x_0 = 0,
    TV(p_t, p_0)  =  t/2 int |r (x p)' + g^2/2 p''| dx + O(t^2).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.identities import _targets
from refscore.identities._calculus import EPS, extrapolate
from refscore.identities._inequalities import holds
from refscore.identities._nystrom import LAW_ERROR, by_hand, normal, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.samplers import Setting, exact_score, settings
from refscore.identities.theory import SKEWED, STANDARD, _scales

CENTRED = GaussianMixture([0.25, 0.75], [[-1.5], [0.5]], [0.3, 0.2])
SHIFTED = GaussianMixture([0.35, 0.65], [[0.4], [1.8]], [0.3, 0.5])
DATA = {"mixture": _targets.mixture(1), "skewed mixture": SKEWED, "centred mixture": CENTRED, "shifted mixture": SHIFTED}


@identity(
    id="F7",
    systems=("F7",),
    title="Started from N(0, sigma_T^2 I), stopped at t_min: both errors as numbers",
    statement=r"\mathrm{TV}(p_T, N(0,\sigma_T^2)) = \frac{\alpha_T |E x_0|}{\sigma_T\sqrt{2\pi}} + O(\alpha_T^2),\quad "
    r"\mathrm{TV}(p_t, p_0) = \tfrac t2\int |r\,(xp)' + \tfrac{g^2}{2} p''|\,dx + O(t^2)",
    source="[a, sec. 4]; [e, theorem, where gamma takes the place of q_T]",
    method="total variation by the package against quadrature of |p - q| on the line, against chi-square and normal tails in d "
    "dimensions; leading terms by extrapolation against their integrals; the sampler's own change of law against data processing",
    catches=(
        "start_from_standard_normal", "start_variance_is_std", "start_matches_the_mean", "start_forgets_alpha", "start_not_halved",
        "stop_is_the_start", "stop_rescaled_by_alpha", "stop_forgets_to_shrink", "stop_by_the_noise_alone",
    ),
)
def ends(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for setting, (name, data) in zip((STANDARD, *settings()), itertools.cycle(DATA.items())):
        yield from _on_the_line(ops, setting, data, f"{name}, {setting.name}")
    yield from _in_dimensions(ops)
    yield from _leading_terms(ops)
    yield from _through_the_chain(ops)


def _on_the_line(ops: Operations, setting: Setting, data: GaussianMixture, case: str) -> Iterator[Comparison]:
    for end in (0.3 * setting.last, setting.last):
        alpha, noise = _scales(setting, end)
        density, other = by_hand(data, alpha, noise)[0], by_hand(Gaussian([0.0], 1.0), 0.0, noise)[0]
        value, error = ops.start_error(setting.process, data, end)
        right, lost = tv_by_quadrature(density, other, 4 + 9 * math.sqrt(alpha**2 + noise))
        yield Comparison(f"start: {case}, T = {end:.3g}", value, right, error + lost)
    at_data = by_hand(data, 1.0, 0.0)[0]
    for t, rescaled in itertools.product((0.002 * setting.last, 0.1 * setting.last), (False, True)):
        alpha, noise = _scales(setting, t)
        scale = 1 / alpha if rescaled else 1.0
        value, error = ops.stop_error(setting.process, data, t, rescaled=rescaled)
        right, lost = tv_by_quadrature(by_hand(data, scale * alpha, scale**2 * noise)[0], at_data, 14.0)
        yield Comparison(f"stop: {case}, t = {t:.3g}, rescaled {rescaled}", value, right, error + lost)


def _in_dimensions(ops: Operations) -> Iterator[Comparison]:
    """N(0, a I) against N(0, b I): |x|^2 decides, and is chi-square; one point: a shift, which the normal law decides."""
    from scipy.special import erf, gammainc

    setting = settings()[0]
    for d, spread in ((2, 0.4), (3, 2.5), (16, 0.4)):
        alpha, noise = _scales(setting, 1.1)
        value, error = ops.start_error(setting.process, Gaussian(np.zeros(d), spread), 1.1)
        a, b = alpha**2 * spread + noise, noise
        edge = d * math.log(a / b) / (1 / b - 1 / a) / 2
        right = abs(gammainc(d / 2, edge / a) - gammainc(d / 2, edge / b))
        yield Comparison(f"start, N(0, {spread} I), d = {d}", value, right, error + 64 * EPS * d)
        value, error = ops.stop_error(setting.process, Gaussian(np.zeros(d), spread), 0.2)
        alpha, noise = _scales(setting, 0.2)
        a, b = alpha**2 * spread + noise, spread
        edge = d * math.log(a / b) / (1 / b - 1 / a) / 2
        right = abs(gammainc(d / 2, edge / a) - gammainc(d / 2, edge / b))
        yield Comparison(f"stop, N(0, {spread} I), d = {d}", value, right, error + 64 * EPS * d)
        alpha, noise = _scales(setting, 0.7)
        point = np.linspace(-0.5, 0.9, d)
        value, error = ops.start_error(setting.process, PointSet(point[None]), 0.7)
        right = erf(alpha * np.linalg.norm(point) / math.sqrt(8 * noise))
        yield Comparison(f"start, one point, d = {d}", value, right, error + 64 * EPS)
    value = ops.stop_error(setting.process, PointSet([[0.0], [1.0]]), 1e-3)[0]
    yield Comparison("stop, points: any noise is infinitely far", value, 1.0, 0.0)


def _leading_terms(ops: Operations) -> Iterator[Comparison | Table]:
    """TV/alpha, TV/alpha^2 as alpha -> 0, both even in alpha (turn x round), TV/t as t -> 0: polynomials, extrapolated."""
    alpha = np.linspace(0.24, 0.06, 7)
    rows, series = [], {}
    for name, data in {"shifted mixture": SHIFTED, "centred mixture": CENTRED}.items():
        found = [ops.start_error(STANDARD.process, data, -math.log(a)) for a in alpha]
        power = 2 if name.startswith("centred") else 1
        square = float((data.weights * (data.means[:, 0] ** 2 + data.covs)).sum())
        right = square * math.exp(-0.5) / math.sqrt(2 * math.pi) if power == 2 else abs(data.mean[0]) / math.sqrt(2 * math.pi)
        values = np.array([value for value, _ in found])
        limit, error, weights = extrapolate(alpha**2, values / alpha**power)
        error += float(np.abs(weights) @ (np.array([e for _, e in found]) / alpha**power))
        yield Comparison(f"TV/alpha^{power} at T = infinity, {name}", limit, right, error, float(np.abs(weights).sum()) * right)
        series[name] = values
    for k, a in enumerate(alpha):
        rows.append((float(-math.log(a)), float(a), *(float(v[k]) for v in series.values())))
    yield Table("TV(p_T, N(0, sigma_T^2)), OU(1, sqrt 2)", ("T", "alpha_T", *series), rows,
                Picture(x="alpha_T", y=tuple(series), log=True, ylabel="total variation"))
    setting, data = settings()[0], DATA["mixture"]
    times = np.linspace(0.04, 0.004, 10)
    found = [ops.stop_error(setting.process, data, t) for t in times]
    values = np.array([value for value, _ in found])
    limit, error, weights = extrapolate(times, values / times)
    error += float(np.abs(weights) @ (np.array([e for _, e in found]) / times))
    right, lost = _speed(setting, data)
    yield Comparison("TV/t at t = 0, mixture", limit, right, error + lost, float(np.abs(weights).sum()) * right)
    rows = [(float(t), float(v), float(v / t)) for t, v in zip(times, values)]
    yield Table(f"TV(p_t, p_0), mixture, {setting.name}", ("t_min", "TV", "TV/t_min"), [*rows, (0.0, 0.0, right)])


def _speed(setting: Setting, data: GaussianMixture) -> tuple[float, float]:
    """1/2 int |r (x p)' + g^2/2 p''| dx."""
    means, variances = data.means[:, 0], data.covs.reshape(-1)
    rate, g2 = float(setting.rate(0.0)), float(setting.diffusion2(0.0))

    def change(x):
        away = (x[:, None] - means) / variances
        p = normal(x[:, None] - means, variances) * data.weights
        return (p * (rate * (1 - x[:, None] * away) + g2 / 2 * (away**2 - 1 / variances))).sum(axis=1)

    return tv_by_quadrature(change, np.zeros_like, 9.0)


def _through_the_chain(ops: Operations) -> Iterator[Comparison | Table]:
    """The same chain from both starts: its laws are no further apart than the starts, and less, for it contracts."""
    setting, data, rows = settings()[0], DATA["mixture"], []
    score = exact_score(ops, setting.process, data)
    for end in (0.5, 1.0, 2.0):
        chain = ops.reverse_sde(setting.process, score, np.linspace(end, 0.05, 13), "exponential")
        noise = _scales(setting, end)[1]
        laws = [ops.law(chain, start) for start in (ops.marginal(setting.process, data, end), Gaussian([0.0], noise))]
        moved, error = ops.total_variation(*laws)
        start, lost = ops.start_error(setting.process, data, end)
        stop = ops.stop_error(setting.process, data, 0.05)[0]
        truth = ops.total_variation(laws[1], data)[0]
        yield holds(f"data processing, T = {end}", moved, start, error + lost + 2 * LAW_ERROR)
        rows.append((end, start, moved, stop, ops.total_variation(laws[0], data)[0], truth))
    columns = ("T", "TV of the starts", "TV after 12 steps", "TV(p_t_min, p_0)", "TV to the data from p_T", "from N(0, sigma_T^2)")
    yield Table(f"mixture, {setting.name}, 12 exponential steps from T to t_min = 0.05", columns, rows)
