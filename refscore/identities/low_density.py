r"""Low-density regions: what explicit score matching does not see there, and why chains that start there go wrong (systems A9).

ESM weighs errors by p. Two scores that no loss under p can tell from s_p, yet whose errors matter:

A bump. s = s_p + b u e^{-|x - c|^2/(2 l^2)}, u a unit vector, errs by b between the modes, and

    J_ESM = b^2/2 E_p e^{-|x - c|^2/l^2} = b^2/2 sum_k w_k det(I + 2 C_k/l^2)^{-1/2} e^{-(m_k - c)'(l^2 I + 2 C_k)^{-1}(m_k - c)}.

A chain that starts at p hardly meets it; one that starts at c does, and ends in the wrong modes. So does, to a lesser degree, one
that starts there with the exact score: which mode it falls into is decided in the first steps, by where the start lies and not by
the weights.

Wrong weights. The score of the mixture with weights v instead of w: for two components N(m_i, s^2), D = m_2 - m_1, in the logit
u = log(w_1/w_2) - D (x - (m_1 + m_2)/2)/s^2 of the posterior,

    F(p_w, p_v) = 1/2 D^2/s^4 E_p (sigma(u) - sigma(u + log(v_1 w_2/(v_2 w_1))))^2,     sigma(u) = 1/(1 + e^{-u}),

of order e^{-D^2/8s^2}, while TV(p_w, p_v) = |w_1 - v_1| (2 Phi(D/2s) - 1) does not depend on how far the modes are apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _targets, _textbook
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._expectations import FINEST, refined
from refscore.identities._nystrom import Step, by_hand, normal
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.langevin import modes_and_distance

MODES = GaussianMixture([0.3, 0.7], [[-2.2], [1.9]], [0.09, 0.1225])
VALLEY = -0.25
BETWEEN = Gaussian([VALLEY], 0.09)


@identity(
    id="A9",
    systems=("A9",),
    title="Low-density regions: a loss under p does not see errors there, and chains that start there find the wrong weights",
    statement=r"s = s_p + b\,u\,e^{-\|x-c\|^2/2l^2}:\; J_{ESM} = \tfrac{b^2}{2} \textstyle\sum_k w_k "
    r"|I + \tfrac{2}{l^2} C_k|^{-1/2} e^{-(m_k-c)^\top (l^2 I + 2C_k)^{-1}(m_k-c)}; \quad "
    r"\nabla\log p_w \approx \nabla\log p_v,\ \mathrm{TV}(p_w, p_v) \approx |w - v|",
    source="[c, NCSN], [d, 'Data Coverage Problem'], [e, 'Pitfalls']; Song & Ermon 2019, sec. 3.2",
    method="losses on nodes against Gaussian integrals and against quadrature in the posterior's logit; total variation by "
    "distribution functions against closed forms; laws of chains against a Nystrom method",
    catches=(
        "esm_without_half", "esm_mean_over_dims", "esm_norm_not_squared", "fisher_without_half", "fisher_under_the_other_law",
        "fisher_of_the_sum", "total_variation_not_halved", "law_variance_twice", "law_one_step_short", "law_from_standard_normal",
        "langevin_noise_std_eta", "langevin_score_sign", "langevin_one_step_short", "langevin_half_drift_full_noise",
    ),
)
def low_density(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 19))
    for d in _targets.DIMENSIONS:
        yield from _bump(ops, d, rng)
    yield from _wrong_weights(ops)
    yield from _chains(ops)


def _bump(ops: Operations, d: int, rng) -> Iterator[Comparison]:
    """In d dimensions, far from both modes (where J is tiny) and near."""
    density = _targets.mixture(d)
    direction = rng.standard_normal(d)
    direction /= np.linalg.norm(direction)
    for away, width, height in ((0.3, 0.9, 2.0), (3.5, 0.8, -7.0)):
        centre = density.mean + away * np.array([0.6, -0.8, 0.3])[:d]

        def losses(h, centre=centre, width=width, height=height):
            x, weights = _textbook.nodes(density, h)
            true = ops.score(density, x)
            wrong = true + _gaussian_bump(x, centre, width, height) * direction
            return {"J": ops.esm(lambda y: wrong, x, true, sample_weight=weights)}

        value, bound = refined(losses, 0.5 if d < 3 else 0.8, finest=FINEST[d])
        right = _bump_loss(density, centre, width, height)
        yield Comparison(f"bump {away:g} from the mean, d = {d}", value["J"], right, bound["J"], 1 + right)


def _gaussian_bump(x: np.ndarray, centre, width: float, height: float) -> np.ndarray:
    """b e^{-|x - c|^2/(2 l^2)}, (n, 1)."""
    return height * np.exp(-((x - centre) ** 2).sum(axis=1, keepdims=True) / (2 * width**2))


def _bump_loss(density, centre, width: float, height: float) -> float:
    total, unit = 0.0, np.eye(density.dim)
    for w, m, C in zip(density.weights, density.means, _textbook.matrices(density), strict=True):
        square = (m - centre) @ np.linalg.solve(width**2 * unit + 2 * C, m - centre)
        total += w * math.exp(-square) / math.sqrt(np.linalg.det(unit + 2 * C / width**2))
    return height**2 / 2 * total


def _wrong_weights(ops: Operations) -> Iterator[Comparison | Table]:
    """Equal widths s; the distance D of the modes in units of s."""
    s, w, rows = 0.7, 0.3, []
    for apart in (2.0, 4.0, 6.0, 8.0, 10.0):
        means = np.array([[0.2], [0.2 + apart * s]])
        true = GaussianMixture([w, 1 - w], means, np.full(2, s * s))
        row: list = [apart]
        for v in (0.5, 0.9):
            wrong = GaussianMixture([v, 1 - v], means, np.full(2, s * s))
            loss, error = ops.fisher(true, wrong)
            right = _loss_in_logit(apart, s, w, v)
            case = f"D/s = {apart:g}, weight {v} for {w}"
            yield Comparison(f"Fisher divergence, {case}", loss, right, error + 256 * EPS * right, right)
            distance, error = ops.total_variation(true, wrong)
            exact = abs(w - v) * math.erf(apart / math.sqrt(8))
            yield Comparison(f"TV, {case}", distance, exact, error + 16 * EPS, 1.0)
            row += [loss, distance]
        rows.append((*row, math.exp(-apart**2 / 8)))
    columns = ("D/s", "F, weight 0.5", "TV, weight 0.5", "F, weight 0.9", "TV, weight 0.9", "e^{-D^2/8s^2}")
    yield Table("0.3 N(m_1, s^2) + 0.7 N(m_2, s^2), s = 0.7, and the same with wrong weights: loss and distance", columns, rows)


def _loss_in_logit(apart: float, s: float, w: float, v: float) -> float:
    """E_p over u, whose law is the mixture of N(-+D^2/2s^2 + logit, D^2/s^2); from -60 to 60, beyond which sigma does not move."""
    u, weights = gauss_legendre(-60.0, 60.0, 240, 16)
    logit = math.log(w / (1 - w))
    density = w * normal(u - logit - apart**2 / 2, apart**2) + (1 - w) * normal(u - logit + apart**2 / 2, apart**2)
    shift = math.log(v / (1 - v)) - logit
    away = math.sinh(shift / 2) / (2 * np.cosh(u / 2) * np.cosh((u + shift) / 2))  # sigma(u + shift) - sigma(u)
    return float(0.5 * (apart / s) ** 2 * (weights * density) @ away**2)


def _chains(ops: Operations) -> Iterator[Comparison | Table]:
    """Exact score and bump, from the valley and from the data; mass of the right mode, which should be 0.7.

    The score has poles at distance pi s^2/D = 0.08 from the valley: panels of 0.16.
    """
    step, n_steps, width, rows = 0.02, 13, 0.3, []
    for name, start, height in (("valley", BETWEEN, 0.0), ("valley", BETWEEN, -15.0), ("p", MODES, -15.0)):

        def score(x, height=height):
            return ops.score(MODES, x) + _gaussian_bump(x, VALLEY, width, height)

        steps = [Step(1.0, step, 2 * step, _by_hand_with_bump(width, height))] * n_steps
        case, chain = f"from {name}, bump {height:g}, {n_steps} steps", ops.langevin(score, step, n_steps)
        mass, distance = modes_and_distance(ops, chain, start, steps, 5.6, MODES, VALLEY, width=0.8)
        yield Comparison(f"mass on the right: {case}", *mass)
        yield Comparison(f"TV to the data: {case}", *distance)
        rows.append((name, height, _bump_loss(MODES, np.array([VALLEY]), width, height), mass.value, distance.value))
    columns = ("start", "bump b", "J_ESM", "mass on the right", "TV to p")
    title = "13 Langevin steps, eta = 0.02, p = 0.3 N(-2.2, 0.3^2) + 0.7 N(1.9, 0.35^2), score wrong by b in the valley"
    yield Table(title, columns, rows)


def _by_hand_with_bump(width: float, height: float) -> Callable:
    exact = by_hand(MODES, 1.0, 0.0)[1]
    return lambda y: exact(y) + height * np.exp(-((y - VALLEY) ** 2) / (2 * width**2))
