r"""Metropolis-adjusted Langevin: exact at any step, where Langevin dynamics at the same step is biased (systems F2).

A step of Langevin dynamics, density q(x, y), is taken with probability a(x, y) = min(1, r), r = p(y) q(y, x)/(p(x) q(x, y)), else
the chain stays. Whatever q, p(x) q(x, y) a(x, y) = min(p(x) q(x, y), p(y) q(y, x)) is symmetric, hence p is left alone.

For p = N(m, c) and a proposal with score -kappa (x - m), right or wrong, everything is quadratic:

    log r = alpha ((x - m)^2 - (y - m)^2),    alpha = 1/2c - (1 - rho^2)/(4 eta),  rho = 1 - eta kappa   (eta/4c^2 if kappa = 1/c),

and so the acceptance rate is, by symmetry, 2 P(r > 1): with U = Y - X, W = X + Y - 2m, that is 2 P(alpha U W < 0), an arcsine,
E a = 1 - 2/pi |arcsin corr(U, W)| whichever sign alpha has when X ~ p (then alpha and corr(U, W) agree in sign). The kinks of a lie
on |y - m| = |x - m|: on the quadrants of (U, W) the kernel is analytic, and so are its images of functions on either side of m.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.polynomial import chebyshev

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _models, _targets, _textbook
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._nystrom import by_hand, normal
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity

SHARES = {"eta": 1.0, "half_eta": 0.5}
TARGET = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])
SIDE = 80
"""Chebyshev points on either side of the mean, for functions carried backwards."""


@identity(
    id="F2.mala",
    systems=("F2", "X11"),
    title="MALA: detailed balance at every pair of points, p left alone at any step, and its acceptance rate and law as numbers",
    statement=r"a(x, y) = \min\Big(1, \frac{p(y)\, q(y, x)}{p(x)\, q(x, y)}\Big),\quad "
    r"p(x)\, q(x, y)\, a(x, y) = p(y)\, q(y, x)\, a(y, x),\quad \int p(x)\, K(x, dy)\,dx = p(y)\,dy",
    source="Roberts & Tweedie 1996; Metropolis et al. 1953; Hastings 1970",
    method="log r and steps with chosen noise against the formula, textbook densities; both sides of detailed balance; int p K = p "
    "by quadrature cut at kinks; acceptance rate against an arcsine; law against functions carried backwards by Chebyshev series",
    catches=(
        "mala_proposal_forgotten", "mala_proposal_reversed", "mala_ratio_sign", "mala_reverse_mean_at_x", "mala_reject_moves",
        "mala_variance_for_twice", "mala_target_forgotten", "mala_uniform_not_logged", "mala_accepts_below",
        "mala_convention_ignored", "mala_noise_sqrt_eta", "mala_one_step_short", "mala_reject_goes_to_mean",
        "acceptance_of_one_side", "acceptance_at_the_mean", "acceptance_of_mean_ratio", "law_ignores_rejection",
        "law_one_step_short",
    ),
)
def metropolis_adjusted(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 81))
    for name, target, score in _proposals(ops, seed):
        for convention in SHARES:
            yield from _pairs_of_points(ops, name, target, score, convention, rng)
    for name, target, score in _proposals(ops, seed):
        if target.dim == 1:
            yield _stationary(ops, name, target, score)
    for kappa, eta in ((1 / 0.7, 0.3), (1 / 0.7, 1.1), (0.6, 0.3), (2.5, 0.3)):
        yield from _arcsine(ops, kappa, eta)
    yield from _law(ops)
    yield from _beside_langevin(ops)


def _proposals(ops: Operations, seed: int) -> Iterator[tuple[str, GaussianMixture, Callable]]:
    """Right scores, and wrong ones, random and trained: the chain is exact with any of them."""
    for d in _targets.DIMENSIONS:
        target = _targets.mixture(d)
        yield f"exact score, d = {d}", target, lambda x, target=target: ops.score(target, x)
    for d in (1, 2):
        target = _targets.mixture(d)
        for kind, network in (("random", _models.random_network(d, seed)), ("trained", _models.trained_network(target, seed))):
            yield f"{kind} network, d = {d}", target, lambda x, network=network: ops.forward(network, x)


def _log_q(score: Callable, eta: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log of the density of a step from x to y."""
    away = y - x - eta * score(x)
    return -(away**2).sum(axis=1) / (4 * eta) - x.shape[1] / 2 * math.log(4 * math.pi * eta)


def _pairs_of_points(ops: Operations, name: str, target, score: Callable, convention: str, rng) -> Iterator[Comparison]:
    """At a step so long that some are refused. Roundings of the textbook's log p, and of squares that are of size log q."""
    eta, d, n_steps = 0.7, target.dim, 7
    chain = ops.mala(score, lambda x: ops.logpdf(target, x), eta / SHARES[convention], n_steps, convention)
    case = f"{name}, convention {convention}"
    x, z, u = rng.standard_normal((40, d)) + 0.3, rng.standard_normal((40, d)), rng.random(40)
    y = x + eta * score(x) + math.sqrt(2 * eta) * z
    there, back = _log_q(score, eta, x, y), _log_q(score, eta, y, x)
    before, after = _textbook.log_density(target, x), _textbook.log_density(target, y)
    log_r = after + back - before - there
    size = 1 + np.abs(after) + np.abs(back) + np.abs(before) + np.abs(there)
    bound = 64 * EPS * size + (_textbook.rounding(target, x) + _textbook.rounding(target, y))[:, 0] * size
    yield Comparison(f"number of steps: {case}", len(chain), n_steps, 0.0)
    yield Comparison(f"log r: {case}", chain.log_ratio(0, x, y), log_r, bound, size)
    left = before + there + np.minimum(0, chain.log_ratio(0, x, y))
    right = after + back + np.minimum(0, chain.log_ratio(0, y, x))
    yield Comparison(f"detailed balance, in logarithms: {case}", left, right, 2 * bound, size)
    clear = np.abs(np.log(u) - log_r) > 10 * bound  # else rounding decides
    taken = np.where((u < np.exp(np.minimum(log_r, 0)))[:, None], y, x)
    scale = 1 + np.abs(x) + np.abs(y)
    found = chain.step(n_steps - 1, x, z, u)
    yield Comparison(f"a step: {case}", found[clear], taken[clear], 64 * EPS * scale[clear], scale[clear])


def _stationary(ops: Operations, name: str, target, score: Callable) -> Comparison:
    """int p(x) q(x, y) a(x, y) dx = p(y) int q(y, z) a(y, z) dz: what comes to y and what leaves it."""
    eta, p = 0.45, by_hand(target, 1.0, 0.0)[0]
    chain = ops.mala(score, lambda x: ops.logpdf(target, x), eta, 1)
    grid = np.linspace(-14.0, 14.0, 2801)
    coming, going, doubt = [], [], []
    for y in (-2.1, -0.4, 0.3, 1.7):
        edges = np.array([grid[0], *_sign_changes(lambda x, y=y: _log_ratio(chain, x, y), grid), grid[-1]])
        found = []
        for order in (12, 16):
            x, w = _cut(edges, order)
            q = np.exp(_log_q(score, eta, x[:, None], np.full((len(x), 1), y)))
            leaving = np.exp(_log_q(score, eta, np.full((len(x), 1), y), x[:, None]))
            comes = float(w @ (p(x) * q * np.exp(np.minimum(0, _log_ratio(chain, x, y)))))
            goes = float(w @ (leaving * np.exp(np.minimum(0, -_log_ratio(chain, x, y))))) * float(p(np.array([y]))[0])
            found.append((comes, goes))
        coming.append(found[1][0])
        going.append(found[1][1])
        doubt.append(abs(found[1][0] - found[0][0]) + abs(found[1][1] - found[0][1]) + 256 * EPS)
    return Comparison(f"int p(x) K(x, y) dx = p(y): {name}", np.array(coming), np.array(going), np.array(doubt), 1.0)


def _log_ratio(chain, x: np.ndarray, y: float) -> np.ndarray:
    return chain.log_ratio(0, x[:, None], np.full((len(x), 1), y))


def _sign_changes(f: Callable, grid: np.ndarray) -> np.ndarray:
    values = f(grid)
    at = np.flatnonzero((values[1:] >= 0) != (values[:-1] >= 0))
    low, high, positive = grid[at], grid[at + 1], values[at] >= 0
    for _ in range(45):
        middle = (low + high) / 2
        same = (f(middle) >= 0) == positive
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return low


def _cut(edges: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre between edges, panels at most 0.3 wide."""
    rules = [gauss_legendre(a, b, max(1, math.ceil((b - a) / 0.3)), order) for a, b in zip(edges[:-1], edges[1:]) if b > a]
    return np.concatenate([x for x, _ in rules]), np.concatenate([w for _, w in rules])


def _arcsine(ops: Operations, kappa: float, eta: float) -> Iterator[Comparison]:
    """N(m, c) with the score of another variance; Var U, Var W and Cov(U, W) = Var Y - Var X of one step from X ~ p."""
    target = Gaussian([0.4], 0.7)
    chain = ops.mala(lambda x: kappa * (0.4 - x), lambda x: ops.logpdf(target, x), eta, 1)
    rate, error = ops.acceptance_rate(chain, target)
    rho = 1 - eta * kappa
    x, y, both = 0.7, rho**2 * 0.7 + 2 * eta, rho * 0.7
    right = 1 - 2 / math.pi * abs(math.asin((y - x) / math.sqrt((x + y) ** 2 - 4 * both**2)))
    yield Comparison(f"acceptance rate, score of N(m, {1 / kappa:.3g}) for N(m, 0.7), eta = {eta}", rate, right, error + 64 * EPS)


def _law(ops: Operations) -> Iterator[Comparison]:
    """E f(X_k) from a start beside the target, f = sin(1.3 x + 0.4), by the law and by K^k f under the start."""
    m, c, eta, kappa = 0.4, 0.7, 0.35, 1.1
    target, start = Gaussian([m], c), Gaussian([-0.5], 0.4)
    begin = by_hand(start, 1.0, 0.0)[0]

    def wave(x):
        return np.sin(1.3 * x + 0.4)

    for n_steps in (1, 5):
        chain = ops.mala(lambda x: kappa * (m - x), lambda x: ops.logpdf(target, x), eta, n_steps)
        value, error = ops.expectation(ops.law(chain, start), lambda x: wave(x[:, 0]))
        right = []
        for order in (40, 48):
            f = wave
            for _ in range(n_steps):
                f = _backwards(f, m, c, eta, kappa, order)
            x, w = _cut(np.array([m - 8.5, m, m + 8.5]), 16)
            right.append(float(w @ (begin(x) * f(x))))
        bound = error + abs(right[1] - right[0]) + 1e-12
        yield Comparison(f"E sin(1.3 x + 0.4) after {n_steps} steps, N(m, c)", value, right[1], bound)


def _backwards(f: Callable, m: float, c: float, eta: float, kappa: float, order: int) -> Callable:
    """K f(x) = f(x) + int q(x, y) a(x, y) (f(y) - f(x)) dy by a Chebyshev series on either side of m; cut at |y - m| = |x - m|."""
    rho, reach = 1 - eta * kappa, 9.0
    alpha = 1 / (2 * c) - (1 - rho**2) / (4 * eta)
    distance = (np.cos(np.pi * (np.arange(SIDE) + 0.5) / SIDE) + 1) / 2 * reach
    u, weights = np.polynomial.legendre.leggauss(order)
    series = []
    for side in (-1, 1):
        centre, spread = m + rho * side * distance, 9 * math.sqrt(2 * eta)
        cuts = np.stack([centre - spread, centre, centre + spread, m - distance, np.full(SIDE, m), m + distance], axis=1)
        edges = np.sort(np.clip(cuts, cuts[:, :1], cuts[:, 2:3]), axis=1)
        half = np.diff(edges)[..., None] / 2
        y = edges[:, :-1, None] + half * (1 + u)
        taken = normal(y - centre[:, None, None], 2 * eta)
        taken *= np.exp(np.minimum(0, alpha * (distance[:, None, None] ** 2 - (y - m) ** 2)))
        here = f(m + side * distance)
        values = here + (half * weights * taken * (f(y) - here[:, None, None])).sum(axis=(1, 2))
        series.append(chebyshev.chebfit(2 * distance / reach - 1, values, SIDE - 1))

    def image(x):
        u = np.clip(2 * np.abs(x - m) / reach - 1, -1, 1)
        return np.where(x < m, chebyshev.chebval(u, series[0]), chebyshev.chebval(u, series[1]))

    return image


def _beside_langevin(ops: Operations) -> Iterator[Comparison | Table]:
    """The same step, with and without acceptance: what a start at p becomes, and what another start has become.

    Laws are handed out to 1e-10 in total variation, and so are means of what varies by no more than 1.
    """
    adjusted = ops.mala(lambda x: ops.score(TARGET, x), lambda x: ops.logpdf(TARGET, x), 0.2, 5)
    settled = ops.law(adjusted, TARGET)
    for w in (0.7, 1.9):
        waves = np.exp(1j * (w * TARGET.means[:, 0] + 0.4) - w**2 * TARGET.covs / 2) / 2
        value, _ = ops.expectation(settled, lambda x, w=w: np.sin(w * x[:, 0] + 0.4) / 2)
        right = float(TARGET.weights @ waves.imag)
        yield Comparison(f"MALA started at p stays there, two modes, E sin({w} x + 0.4)/2", value, right, 1e-10)
    target, start, rows = Gaussian([0.4], 0.7), Gaussian([-0.5], 0.4), []
    for eta in (0.2, 0.5, 1.0):
        adjusted = ops.mala(lambda x: ops.score(target, x), lambda x: ops.logpdf(target, x), eta, 26)
        plain = ops.langevin(lambda x: ops.score(target, x), eta, 26)
        away = ops.total_variation(ops.law(adjusted, start), target)[0]
        rows.append((eta, ops.acceptance_rate(adjusted, target)[0], ops.total_variation(ops.law(plain, target), target)[0],
                     ops.total_variation(ops.law(plain, start), target)[0], away))
    columns = ("eta", "acceptance", "Langevin from p", "Langevin from elsewhere", "MALA from elsewhere")
    yield Table("TV to p = N(0.4, 0.7) after 26 steps, from p and from N(-0.5, 0.4); MALA from p stays at p", columns, rows)
