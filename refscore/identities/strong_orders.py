r"""Strong and weak errors of schemes for linear SDEs, exactly: moments of solution and approximation on one path (systems E1).

Geometric Brownian motion, dx = mu x dt + s x dw (with o dw for Heun's scheme). Over a step x is multiplied by M, its approximation
by R, both functions of dw, so the pair's second moments obey a recursion whose coefficients are one-dimensional Gaussian
integrals: of the package's own step, by Gauss-Hermite quadrature, on one road; on the other E R^2 and E[M R] by hand. With
a = mu (mu + s^2/2 for the equation of Stratonovich), l = 2 a + s^2 and e the error of x_T, as h -> 0, for E x_0^2 = 1,

    Euler-Maruyama   E e^2/h    -> e^{l T} T s^4/2
    Milstein         E e^2/h^2  -> e^{l T} (T (s^6/6 + mu^2 s^2) + T^2 c^2),          c = mu^2/2 + mu s^2
    Heun             E e^2/h^2  -> e^{l T} (T 5 s^6/12 + T^2 c^2),                    c = mu s^2/2 + 5 s^4/8

from the leading terms of M - R: its variance a step gives the term in T, E[(M - R) M] = c h^2 the one in T^2.

Additive noise, dx = -r(t) x dt + g(t) dw: with Phi(T, s) = exp(-int_s^T r) and P the product of the factors after a step,
x_T - x_T^h = (Phi(T, 0) - P_0) x_0 + sum_k int (Phi(T, s) g(s) - P_{k+1} G_k) dw_s, so that Ito's isometry gives E e^2. Within a
step U = (t_{k+1} - s)/h is uniform, and with B(s) = 1/2 int_s^T (r' - r^2) the kernel over h tends to

    Euler-Maruyama   Phi(T, s) (g'(1 - U) - (r U + B) g),    and Phi(T, 0) (-B(0)) for x_0
    Heun             Phi(T, s) (1/2 - U) (r g + g'),         and 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.polynomial import hermite_e

from refscore.identities._calculus import EPS, extrapolate, gauss_legendre
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.processes import OU, VP

END = 0.4
MOTIONS = ((0.8, 0.6), (-0.5, 0.8))
"""(mu, s) of geometric Brownian motions."""

NODES = 12
"""Of Gauss-Hermite: exact for degree 23, so for R^2; of exp(2 s dw) it leaves (4 s^2 h)^12 12!/24!, below rounding."""

STEPS = (3, 4, 6, 8, 12, 16, 24, 32)
ORDERS = {"euler_maruyama": 1, "milstein": 2, "heun": 2}
"""Powers of h in E e^2."""


@identity(
    id="E1.orders",
    systems=("E1",),
    title="Strong orders 1/2 and 1 and the weak order 1 of Euler-Maruyama, Milstein and Heun, exactly, with their constants",
    statement=r"\sqrt{\mathrm{E}|x_T - x_T^h|^2} \sim C h^{1/2} \text{ (Euler-Maruyama)},\; C h \text{ (Milstein, Heun, additive "
    r"noise)};\quad \mathrm{E}\,\phi(x_T) - \mathrm{E}\,\phi(x_T^h) \sim C h",
    source="[c]; Kloeden & Platen 1992, ch. 10 and 14; constants derived in the module's text",
    method="second moments of solution and approximation on one path, from the package's steps at quadrature nodes, against closed "
    "forms; additive noise by Ito's isometry; constants as h -> 0 by extrapolation in h against formulas",
    catches=(
        "sde_increment_scaled_twice", "sde_diffusion_at_end", "sde_diffusion_squared", "sde_drift_sign", "sde_one_step_short",
        "sde_drift_at_end", "sde_stratonovich_for_ito", "sde_ito_for_stratonovich", "heun_predictor_without_noise",
        "heun_noise_not_corrected", "heun_drift_not_corrected", "milstein_without_half", "milstein_plus_step",
        "milstein_of_stratonovich", "milstein_not_used",
    ),
)
def orders(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rows = []
    for mu, s in MOTIONS:
        found = {scheme: np.array([_motion(ops, scheme, mu, s, n) for n in STEPS]) for scheme in ORDERS}
        for scheme, errors in found.items():
            yield from _against_closed_forms(scheme, mu, s, errors)
            yield from _constants(scheme, mu, s, errors)
        if (mu, s) == MOTIONS[0]:
            rows = [(END / n, *(math.sqrt(found[scheme][i, 0]) for scheme in ORDERS)) for i, n in enumerate(STEPS)]
    columns = ("h", "Euler-Maruyama", "Milstein", "Heun")
    picture = Picture(x="h", y=columns[1:], log=True, ylabel="strong error")
    yield Table(f"Strong errors at T = {END}: geometric Brownian motion, mu, s = {MOTIONS[0]}", columns, rows, picture=picture)
    yield from _ornstein_uhlenbeck(ops, 1.3, 0.7)
    for name, process in (("OU", OU(1.3, 0.7)), ("VP", VP(1.5, 3.0))):
        for scheme in ("euler_maruyama", "heun"):
            yield _additive_constant(ops, name, process, scheme)


# ---- geometric Brownian motion -----------------------------------------------------------------------------------


def _moments_of_a_step(ops: Operations, scheme: str, mu: float, s: float, n: int) -> dict[str, float]:
    """E of all products of two of M, R, D = M - R and 1, by the last step but one, and how many steps there are."""
    options = (lambda x, t: np.full_like(x, s),) if scheme == "milstein" else ()
    steps = ops.forward_sde(lambda x, t: mu * x, lambda x, t: s * x, np.linspace(0.0, END, n + 1), scheme, *options)
    h = END / n
    nodes, weights = hermite_e.hermegauss(NODES)
    dw = math.sqrt(h) * nodes
    approximate = steps.step(max(len(steps) - 2, 0), np.ones((NODES, 1)), dw[:, None])[:, 0]
    exact = np.exp((mu - (0 if scheme == "heun" else s * s / 2)) * h + s * dw)
    parts = {"M": exact, "R": approximate, "D": exact - approximate, "1": np.ones(NODES)}
    weights = weights / weights.sum()
    means = {a + b: float(weights @ (parts[a] * parts[b])) for a in parts for b in parts}
    return {**means, "steps": float(len(steps))}


def _motion(ops: Operations, scheme: str, mu: float, s: float, n: int) -> np.ndarray:
    """E e^2, E x_T - E x_T^h, E x_T^2 - E (x_T^h)^2: moments of (x, e), e' = R e + D x, so that nothing large cancels."""
    m = _moments_of_a_step(ops, scheme, mu, s, n)
    advance = np.array([
        [m["M1"], 0, 0, 0, 0], [m["D1"], m["R1"], 0, 0, 0],
        [0, 0, m["MM"], 0, 0], [0, 0, m["DM"], m["RM"], 0], [0, 0, m["DD"], 2 * m["RD"], m["RR"]],
    ])
    state = np.array([1.0, 0.0, 1.0, 0.0, 0.0])  # E x, E e, E x^2, E e x, E e^2
    for _ in range(int(m["steps"])):
        state = advance @ state
    return np.array([state[4], state[1], 2 * state[3] - state[4]])


def _by_hand(scheme: str, mu: float, s: float, h: float) -> tuple[float, float, float]:
    """(E R, E R^2, E[M R]): polynomials of dw ~ N(0, h), and of dw ~ N(s h, h) under M/E M."""
    shift = s * h
    if scheme == "heun":  # R = 1 + u + u^2/2, u = mu h + s dw
        def powers(m):
            v = s * s * h
            return m, m**2 + v, m**3 + 3 * m * v, m**4 + 6 * m**2 * v + 3 * v**2

        u1, u2, u3, u4 = powers(mu * h)
        t1, t2, _, _ = powers(mu * h + s * shift)
        return 1 + u1 + u2 / 2, 1 + 2 * u1 + 2 * u2 + u3 + u4 / 4, math.exp((mu + s * s / 2) * h) * (1 + t1 + t2 / 2)
    square, tilted = (1 + mu * h) ** 2 + s * s * h, 1 + mu * h + s * shift
    if scheme == "milstein":  # s^2/2 (dw^2 - h) is orthogonal to 1 and dw, of variance s^4 h^2/2
        square, tilted = square + s**4 * h * h / 2, tilted + s * s / 2 * shift**2
    return 1 + mu * h, square, math.exp(mu * h) * tilted


def _rates(scheme: str, mu: float, s: float) -> tuple[float, float]:
    """E x_T = e^{a T}, E x_T^2 = e^{l T}."""
    a = mu + s * s / 2 if scheme == "heun" else mu
    return a, 2 * a + s * s


def _against_closed_forms(scheme: str, mu: float, s: float, errors: np.ndarray) -> Iterator[Comparison]:
    """E e^2 = e^{l T} - 2 (E[M R])^n + (E R^2)^n: three terms of size e^{l T}, n factors with some ten roundings each."""
    a, rate = _rates(scheme, mu, s)
    right = []
    for n in STEPS:
        mean, square, mixed = (factor**n for factor in _by_hand(scheme, mu, s, END / n))
        right.append((math.exp(rate * END) - 2 * mixed + square, math.exp(a * END) - mean, math.exp(rate * END) - square))
    scale = 1 + math.exp(rate * END)
    bound = 64 * EPS * np.array(STEPS)[:, None] * scale
    yield Comparison(f"E e^2, weak errors of E x, E x^2: {scheme}, mu = {mu}, s = {s}", errors, np.array(right), bound, scale)


def _constants(scheme: str, mu: float, s: float, errors: np.ndarray) -> Iterator[Comparison]:
    """Of E e^2 and of the errors of E x and E x^2; as E R = e^{a h} - c h^2 that of E x is c T e^{a T} h, alike for the square.

    M - R, about h^((1 + p)/2), is off by 8 eps at most, at each of n nodes' steps: that is E e^2's rounding, and the weak errors'.
    """
    a, rate = _rates(scheme, mu, s)
    h, power = END / np.array(STEPS), ORDERS[scheme]
    growth, case = math.exp(rate * END), f"{scheme}, mu = {mu}, s = {s}"
    strong, mean, square = {
        "euler_maruyama": (END * s**4 / 2, mu**2 / 2, rate**2 / 2 - mu**2),
        "milstein": (END * (s**6 / 6 + mu**2 * s**2) + (END * (mu**2 / 2 + mu * s**2)) ** 2, mu**2 / 2,
                     rate**2 / 2 - mu**2 - s**4 / 2),
        "heun": (END * 5 * s**6 / 12 + (END * (mu * s**2 / 2 + 5 * s**4 / 8)) ** 2, mu * s**2 / 2 + s**4 / 8,
                 rate**2 / 2 - 2 * mu**2 - 3 * mu * s**2 - 3 * s**4 / 4),
    }[scheme]
    values = errors.T / (h**power, h, h)
    yield _limit(f"E e^2/h^{power}: {case}", h, values[0], strong * growth, 16 * EPS * values[0] / h ** ((1 + power) / 2))
    rounding = 8 * EPS * np.array(STEPS) / h
    yield _limit(f"error of E x over h: {case}", h, values[1], mean * END * math.exp(a * END), rounding * math.exp(a * END))
    yield _limit(f"error of E x^2 over h: {case}", h, values[2], square * END * growth, 2 * rounding * growth)


def _limit(case: str, h: np.ndarray, values: np.ndarray, right: float, rounding: np.ndarray) -> Comparison:
    """The polynomial in h through all values, at 0; its error is taken for the difference from the one of a degree less."""
    value, error, weights = extrapolate(h, values)
    bound = float(error + np.abs(weights) @ rounding)
    return Comparison(f"limit of {case}", value, right, bound, float(np.abs(weights) @ np.abs(values)))


# ---- additive noise ----------------------------------------------------------------------------------------------


def _isometry(ops: Operations, process, scheme: str, n: int) -> tuple[float, float]:
    """(E e^2 for E x_0^2 = 1, E (x_T^h)^2): factors and noise read off the package's steps, the isometry by quadrature."""
    times = np.linspace(0.0, END, n + 1)
    steps = ops.forward_sde(lambda x, t: ops.drift(process, x, t), lambda x, t: ops.diffusion(process, t), times, scheme)
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    factors = np.array([steps.step(k, one, none)[0, 0] for k in range(len(steps))])
    noise = np.array([steps.step(k, none, one)[0, 0] for k in range(len(steps))])
    later = np.append(np.cumprod(factors[::-1])[::-1][1:], 1.0) * noise
    start = float(np.prod(factors))
    total, square = (_rest(process, 0.0) - start) ** 2, start**2
    for k, weight in enumerate(later):
        s, w = gauss_legendre(times[k], times[k + 1], 1, 10)
        total += float(w @ (_rest(process, s) * _g(process, s) - weight) ** 2)
        square += weight**2 * END / n
    return total, square


def _r(process, t):
    """r(t), by the process's definition."""
    return process.beta + 0 * t if isinstance(process, OU) else (process.beta_min + t * (process.beta_max - process.beta_min)) / 2


def _g(process, t):
    return process.g + 0 * t if isinstance(process, OU) else np.sqrt(2 * _r(process, t))


def _rest(process, s):
    """Phi(T, s): r is linear in t, so that the middle counts."""
    return np.exp(-(END - s) * _r(process, (s + END) / 2))


def _ornstein_uhlenbeck(ops: Operations, beta: float, sigma: float) -> Iterator[Comparison]:
    """Steps of a factor q and noise G: geometric series. A dozen roundings of each of n terms."""
    q, big = np.exp(-beta * END), math.exp(-2 * beta * END)
    for scheme in ("euler_maruyama", "heun"):
        left, right = [], []
        for n in STEPS:
            h = END / n
            half = beta * h / 2 if scheme == "heun" else 0.0
            factor, noise, exact = 1 - beta * h * (1 - half), sigma * (1 - half), math.exp(-beta * h)
            squares = sum(factor ** (2 * j) for j in range(n))
            mixed = sum((exact * factor) ** j for j in range(n))
            e2 = (q - factor**n) ** 2 + sigma**2 * (1 - big) / (2 * beta) + noise**2 * h * squares
            e2 -= 2 * sigma * noise * (1 - exact) / beta * mixed
            left.append(_isometry(ops, OU(beta, sigma), scheme, n))
            right.append((e2, factor ** (2 * n) + noise**2 * h * squares))
        bound = 64 * EPS * np.array(STEPS)[:, None]
        yield Comparison(f"E e^2 and E x^2: OU, {scheme}", np.array(left), np.array(right), bound)


def _additive_constant(ops: Operations, name: str, process, scheme: str) -> Comparison:
    """E e^2/h^2 -> int of the limit kernel's mean square over U in (0, 1), E U = 1/2, E U^2 = 1/3."""
    h = END / np.array(STEPS)
    values = np.array([_isometry(ops, process, scheme, n)[0] for n in STEPS]) / h**2
    s, w = gauss_legendre(0.0, END, 4)
    r, g, rest = _r(process, s), _g(process, s), _rest(process, s)
    climb = float(_r(process, 1.0) - _r(process, 0.0))  # r' and, as g^2 = 2 r where r varies, g' = r'/g
    g_climb = climb / g
    if scheme == "heun":
        start, square = 0.0, (r * g + g_climb) ** 2 / 12
    else:
        def bend(s):  # r^2 is a square of a linear function: Simpson's rule is exact
            ends = _r(process, s) ** 2 + _r(process, END) ** 2 + 4 * _r(process, (s + END) / 2) ** 2
            return (END - s) / 2 * (climb - ends / 6)

        start, fixed, slope = bend(0.0) * float(_rest(process, 0.0)), g_climb - bend(s) * g, -(g_climb + r * g)
        square = fixed**2 + fixed * slope + slope**2 / 3
    rounding = 64 * EPS * (np.sqrt(values) / h + values)  # the kernel, about h, is off by 16 eps
    return _limit(f"E e^2/h^2, additive noise: {name}, {scheme}", h, values, start**2 + float(w @ (rest**2 * square)), rounding)
