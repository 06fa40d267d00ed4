r"""Observed orders of all samplers, from exact laws (systems H6): TV(p_h, q) = C h^p + O(h^(p+1)).

    order 1   Euler-Maruyama, exponential integrator, Euler's method for the flow
    order 2   Heun's method for the flow          order 4   the classical Runge-Kutta method
    order 1 up to a logarithm, slower to show: ancestral steps with beta~, which falls short by 1/i of itself at the i-th step from
              the data, and DDIM, an Euler step in sigma/alpha, a variable that is singular at the data

The laws of noise-free samplers are push-forwards, so their distances are numbers as small as one likes, where a histogram of n
draws stops at n^{-1/2}. The noise costs orders: a kernel with a frozen score is of order 1 however it treats the linear part.

Gaussian data N(mu, lambda): in time tau running down the flow is dx/dtau = A (x - alpha mu) + r alpha mu, A = r - g^2/(2 c) with
c = alpha^2 lambda + sigma^2, and takes x_t to mu + Phi (x_t - alpha mu), Phi = sqrt(lambda/c). Euler's method loses h^2/2 x'' in a
step, Heun's gains h^3 (x^(3)/12 - A x''/4); and log(1 + h A) falls short of int A by h^2 (A^2 + A')/2, the logarithm of Heun's
factor by h^3 (A^3/6 - A''/12). So the means and variances are off by m_p h^p and v_p h^p,

    Euler   m_1 = -r^2/2 int_0^T Phi alpha mu dt                      v_1 = -lambda [int_0^T A^2 dt + A(0) - A(T)]
    Heun    m_2 = r^2 int_0^T (r/12 - A/4) Phi alpha mu dt            v_2 = lambda [(A'(0) - A'(T))/6 - 1/3 int_0^T A^3 dt]

with A' = dA/dtau, at the times 0 and T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian
from refscore.identities import _curves
from refscore.identities._calculus import EPS, extrapolate, gauss_legendre
from refscore.identities._nystrom import by_hand
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.flow import ORDERS
from refscore.identities.noise_free import MAP_ERROR
from refscore.identities.samplers import Setting, exact_score, settings
from refscore.identities.theory import SKEWED, STANDARD, _scales

STEPS = (12, 24, 48, 96)
CHECKED = 12
FEW = (10, 12, 16, 20, 24, 32, 40, 48)
SCHEMES: dict[str, Callable] = {  # (ops, process, score, times) -> chain
    "EM": lambda ops, process, score, times: ops.reverse_sde(process, score, times, "euler_maruyama"),
    "EI": lambda ops, process, score, times: ops.reverse_sde(process, score, times, "exponential"),
    "ancestral": lambda ops, process, score, times: ops.ddim(process, score, times, 1.0, predicts="score"),
    "DDIM": lambda ops, process, score, times: ops.ddim(process, score, times, 0.0, predicts="score"),
    "euler": lambda ops, process, score, times: ops.flow_steps(ops.probability_flow(process, score), times, "euler"),
    "heun": lambda ops, process, score, times: ops.flow_steps(ops.probability_flow(process, score), times, "heun"),
    "rk4": lambda ops, process, score, times: ops.flow_steps(ops.probability_flow(process, score), times, "rk4"),
}


@identity(
    id="H6.flow",
    systems=("H6", "F4", "F5"),
    title="Observed orders of every sampler: 1 with noise, 1, 2 and 4 for the flow",
    statement=r"\mathrm{TV}(p_h, q) = C h^p + O(h^{p+1}):\ p = 1 \text{ (EM, exponential, DDIM, Euler)},\ 2 \text{ (Heun)},\ "
    r"4 \text{ (RK4)}",
    source="[b, sec. 1], [e]; Hairer, Norsett & Wanner 1993, sec. II.1",
    method="total variation of mixtures by distribution functions against quadrature in the coordinate before the map; for "
    "Gaussian data the moments step by step, and their leading errors, by polynomials through many h, against integrals along the "
    "path",
    catches=(
        "total_variation_not_halved", "total_variation_by_kolmogorov", "law_from_standard_normal", "law_one_step_short",
        "flow_heun_slopes_added", "flow_heun_with_one_slope", "flow_heun_second_slope_at_the_start", "flow_rk4_equal_weights",
        "flow_rk4_third_stage_at_the_start", "flow_rk4_time_not_halved", "flow_euler_slope_at_the_end", "flow_of_the_full_score",
        "flow_rate_halved", "ddim_score_at_next_index",
    ),
)
def orders_of_samplers(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for method in ("euler", "heun"):
        yield from _leading(ops, method)
    start, score = ops.marginal(STANDARD.process, SKEWED, STANDARD.last), exact_score(ops, STANDARD.process, SKEWED)
    found: dict[str, list[float]] = {name: [] for name in SCHEMES}
    for steps in STEPS:
        times = np.linspace(STANDARD.last, 0, steps + 1)
        for name, scheme in SCHEMES.items():
            law = ops.law(scheme(ops, STANDARD.process, score, times), start)
            value, error = ops.total_variation(law, SKEWED)
            found[name].append(value)
            if steps == CHECKED and name not in ("EM", "EI", "ancestral"):
                expected, estimate = _before_the_map(name, times)
                yield Comparison(f"TV, {name}, {steps} steps", value, expected, error + estimate + MAP_ERROR)
    yield _table(found)


def _before_the_map(name: str, times: np.ndarray) -> tuple[float, float]:
    slopes = _curves.mixture_slopes(SKEWED, lambda t: _scales(STANDARD, t))

    def curve(x):
        if name == "DDIM":
            return _curves.ddim(slopes, lambda t: _scales(STANDARD, t), times, x)
        return _curves.flow(slopes, STANDARD.rate, STANDARD.diffusion2, times, name, x)

    return _curves.tv_before_the_map(by_hand(SKEWED, *_scales(STANDARD, times[0]))[0], curve, SKEWED)


def _table(found: dict[str, list[float]]) -> Table:
    rows: list[tuple] = [(n, *(values[i] for values in found.values())) for i, n in enumerate(STEPS)]
    rows.append(("order", *(f"{math.log2(values[-2] / values[-1]):.2f}" for values in found.values())))
    picture = Picture(x="N", y=tuple(found), log=True, ylabel="total variation to the data")
    title = "TV to 0.3 N(-1.5, 0.4^2) + 0.7 N(1, 0.6^2), OU f = -x, g = sqrt 2, N steps of 3/N from p_3, and the last order"
    return Table(title, ("N", *found), rows, picture)


def _leading(ops: Operations, method: str) -> Iterator[Comparison]:
    """The moments by what becomes of a straight line; polynomials in h through their errors over h^p, extrapolated to h = 0."""
    setting, mu, spread, order = settings()[0], 0.6, 0.75, ORDERS[method]
    data = Gaussian([mu], spread)
    start, score = ops.marginal(setting.process, data, setting.last), exact_score(ops, setting.process, data)
    slopes, (alpha, noise) = _curves.mixture_slopes(data, lambda t: _scales(setting, t)), _scales(setting, setting.last)
    h, found, expected = setting.last / np.array(FEW), [], []
    for steps in FEW:
        times = np.linspace(setting.last, 0, steps + 1)
        law = ops.law(SCHEMES[method](ops, setting.process, score, times), start)
        found.append([law.mean[0], law.cov[0, 0]])
        end = _curves.flow(slopes, setting.rate, setting.diffusion2, times, method, np.array([alpha * mu]))
        expected.append([end.y[0], end.slope[0] ** 2 * (alpha**2 * spread + noise)])
    rounding = 64 * EPS * np.array(FEW)[:, None]
    moments = np.array(found)
    yield Comparison(f"mean and variance, {method}, {setting.name}", moments, np.array(expected), rounding)
    rates = (moments - [mu, spread]) / h[:, None] ** order
    limit, error, weights = extrapolate(h, rates)
    # the moments carry a few eps, magnified by the extrapolation and by h^-p; slopes contract, so steps add no more
    magnified = 64 * EPS * float(np.abs(weights) @ h**-order)
    scale = float(np.abs(weights).sum() * np.abs(rates).max()) + 1
    right = _leading_moments(setting, mu, spread)[order - 1]
    yield Comparison(f"leading error of mean and variance, {method}, {setting.name}", limit, right, error + magnified, scale)


def _leading_moments(setting: Setting, mu: float, spread: float) -> np.ndarray:
    """((m_1, v_1), (m_2, v_2)), the integrals of the module docstring; dc/dtau = 2 r c - g^2."""
    r, g2 = float(setting.rate(0.0)), float(setting.diffusion2(0.0))
    t, w = gauss_legendre(0.0, setting.last, 3)
    alpha, noise = _scales(setting, np.append(t, [0.0, setting.last]))
    c = alpha**2 * spread + noise
    a, bend = r - g2 / (2 * c), g2 / (2 * c**2) * (2 * r * c - g2)
    carried, inside = (np.sqrt(spread / c) * alpha * mu)[:-2], a[:-2]
    return np.array([
        [-r * r / 2 * (w @ carried), -spread * (w @ inside**2 + a[-2] - a[-1])],
        [r * r * (w @ ((r / 12 - inside / 4) * carried)), spread * ((bend[-2] - bend[-1]) / 6 - w @ inside**3 / 3)],
    ])
