r"""The lemmas behind the theorem of Chen et al. 2023, measured (systems H3), and the convergence of OU (H4).

Every quantity is found twice: in closed form by the package, and from the joint law of two points of the forward path, by moments
for Gaussians and on nodes of (X_s, noise) for a mixture. Then the inequalities are asked for their sign, and tables show how much
each of them gives away. What is an equality is compared as one:

    e^{-t} S_t is a martingale in decreasing time:   E|S_t - S_s|^2 = I_s + (1 - 2A) I_t,  A = alpha_t/alpha_s
    data N(m, I):                                    KL(q_t||gamma) = e^{-2t} KL(q||gamma)
    any data (de Bruijn):                            -d/dt KL(q_t||gamma) = E_{q_t}|grad log q_t/gamma|^2 >= 2 KL(q_t||gamma)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore._quadrature import normal_lattice, refined
from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS, chebyshev_points, derivative, gain
from refscore.identities._inequalities import holds
from refscore.identities._nystrom import by_hand
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.samplers import Setting, settings
from refscore.identities.theory import SKEWED, STANDARD, _scales

PAIRS = ((0.05, 0.25), (0.4, 0.5), (0.3, 1.4))


@identity(
    id="H3",
    systems=("H3",),
    title="The lemmas of the convergence proof: each quantity exactly, each inequality with its slack",
    statement=r"E\|X_t - X_s\|^2 = (1-A)^2 E\|X_s\|^2 + dV,\quad E\|S_t - S_s\|^2 = I_s + (1 - 2A) I_t,\quad "
    r"\|\nabla\log q_t - \nabla\log q_s\|(x) \le a_0 + a_1\|\nabla\log q_s(x)\| + a_2\|x\|",
    source="[e, 'Bounding the discretization error', 'Bounding the change of score along the forward process', moment bounds]",
    method="closed forms against joint moments of (X_s, X_t) for Gaussians and nodes of (X_s, noise) for a mixture; slacks of the "
    "inequalities beside them",
    catches=(
        "displacement_of_the_noise_only", "displacement_without_noise", "displacement_forgets_the_mean", "displacement_std",
        "score_motion_difference_of_informations", "score_motion_independent", "score_motion_factor_inverted",
        "score_change_r_for_2r", "score_change_without_dimension", "score_change_kappa_inverted",
        "moment_of_m2_not_squared", "moment_decays_with_e_t", "moment_without_noise",
        "score_errors_half", "score_errors_root", "score_errors_at_the_data",
    ),
)
def lemmas(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for setting, d in zip((STANDARD, *settings()), (3, 2, 1, 2, 3)):
        for s, t in PAIRS:
            yield from _two_points(ops, setting, _targets.gaussian(d), s * setting.last / 2, t * setting.last / 2)
    for d in _targets.DIMENSIONS:
        yield from _standard_moments(ops, _targets.mixture(d))
    yield from _change_of_score(ops)
    yield from _three_terms(ops, seed)


def _two_points(ops: Operations, setting: Setting, data: Gaussian, s: float, t: float) -> Iterator[Comparison]:
    """X_t - X_s = (alpha_t - alpha_s) x_0 + (A - 1) sigma_s z + sqrt(V) z', and Cov(X_s, X_t) = A C_s."""
    (alpha_s, noise_s), (alpha_t, noise_t) = _scales(setting, s), _scales(setting, t)
    A, d, unit = alpha_t / alpha_s, data.dim, np.eye(data.dim)
    case = f"{setting.name}, Gaussian in d = {d}, s = {s:.3g}, t = {t:.3g}"
    right = (alpha_t - alpha_s) ** 2 * (data.mean @ data.mean + np.trace(data.cov))
    right += d * ((A - 1) ** 2 * noise_s + noise_t - A * A * noise_s)
    size = d * noise_t + right
    yield Comparison(f"E|X_t - X_s|^2: {case}", ops.displacement(setting.process, data, s, t), right, 64 * EPS * size, size)
    before, after = alpha_s**2 * data.cov + noise_s * unit, alpha_t**2 * data.cov + noise_t * unit
    P, Q = np.linalg.inv(before), np.linalg.inv(after)
    size = np.trace(P) + np.trace(Q)
    value, error = ops.score_motion(setting.process, data, s, t)
    right = size - 2 * np.trace(P @ (A * before) @ Q)
    yield Comparison(f"E|S_t - S_s|^2: {case}", value, right, error + 256 * EPS * size, size)


def _standard_moments(ops: Operations, data: GaussianMixture) -> Iterator[Comparison]:
    """For f = -x, g = sqrt 2: E|X_t|^2 on nodes of the data, its bounds, the bound on the displacement."""
    d, m2 = data.dim, ops.second_moment(data)
    x, w = data.nodes(0.7)
    square = float(w @ (x * x).sum(axis=1))
    size = d + square
    yield Comparison(f"m_2, mixture in d = {d}", m2, math.sqrt(square), 1e-12 * size, size)
    for t in (0.0, 0.3, 2.0):
        moment = ops.second_moment_along(m2, d, t)
        right = math.exp(-2 * t) * square - d * math.expm1(-2 * t)
        yield Comparison(f"E|X_t|^2, t = {t}, mixture in d = {d}", moment, right, 1e-12 * size, size)
        yield holds(f"E|X_t|^2 <= max(d, m_2^2), t = {t}, d = {d}", moment, max(d, m2 * m2), 64 * EPS * size, size)
        for r in (0.01, 0.5):
            moved = ops.displacement(STANDARD.process, data, t, t + r)
            bound = r * r * max(d, m2 * m2) + 2 * d * r
            yield holds(f"E|X_t+r - X_t|^2 <= r^2 M + 2 d r, t = {t}, r = {r}, d = {d}", moved, bound, 64 * EPS * size, size)


def _change_of_score(ops: Operations) -> Iterator[Comparison | Table]:
    """The coefficients once more from kappa = 1/w - L; the largest part of the bound that is used, over x, on both roads."""
    x, rows = np.linspace(-6, 6, 481), []
    L = ops.score_lipschitz(SKEWED, 3.0).certified
    for s, part in ((0.0, 0.8), (0.02, 0.3), (0.3, 0.05)):
        for d in (1, 3):
            r = part * math.log1p(1 / L) / 2
            kappa = 1 / (math.exp(2 * r) - 1) - L
            right = (math.exp(r) * L * math.sqrt(d / kappa), math.exp(r) * (1 + L / kappa) - 1,
                     math.exp(r) * L * (math.exp(r) - 1) * (1 + L / kappa))
            found = ops.score_change(L, d, r)
            lost = 64 * EPS / (1 - part) / r
            yield Comparison(f"a_0, a_1, a_2, part {part} of 1/L, d = {d}", found, right, lost * L, 1 + L)
        a0, a1, a2 = ops.score_change(L, 1, r)
        used = []
        for score in (lambda u: ops.score(ops.marginal(STANDARD.process, SKEWED, u), x[:, None])[:, 0],
                      lambda u: by_hand(SKEWED, *_scales(STANDARD, u))[1](x)):
            before, after = score(s), score(s + r)
            used.append(np.abs(after - before) / (a0 + a1 * np.abs(before) + a2 * np.abs(x)))
        yield Comparison(f"part of the bound that is used, s = {s}", used[0], used[1], 1e-11)
        yield holds(f"change of the score, at every x, s = {s}", float(used[0].max()), 1.0, 1e-11)
        rows.append((s, r, float(np.abs(after - before).max()), float(used[0].max())))
    columns = ("s", "r", "largest change of the score", "largest part of the bound used")
    yield Table("change of the score from s to s + r, skewed mixture, |x| <= 6", columns, rows)


def _three_terms(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    """|s(X_t) - S_s|^2 against three times its three parts, for a random network; S_t - S_s by the martingale and by its bound."""
    data, rows = _targets.mixture(1), []
    network = _models.random_network(1, seed, "tanh", takes_time=True)

    def score(x, t):
        return ops.forward(network, x / 2, np.full(len(x), t)) - x

    L = ops.score_lipschitz(data, 3.0).certified
    for s, t in PAIRS:
        value, bound = refined(lambda spacing, s=s, t=t: _on_nodes(data, score, s, t, spacing), 0.35, finest=0.12)
        lost = {k: float(b) for k, b in bound.items()}
        whole, model, change, moved, motion = (float(value[k]) for k in ("whole", "model", "change", "moved", "motion"))
        case, A, r, size = f"s = {s}, t = {t}", math.exp(s - t), t - s, 1 + whole + model
        wrong, error = ops.score_errors(data, score, [t])
        yield Comparison(f"eps^2: {case}", wrong[0], model, error[0] + lost["model"], size)
        found, error = ops.score_motion(STANDARD.process, data, s, t)
        yield Comparison(f"E|S_t - S_s|^2: {case}", found, motion, error + lost["motion"], size)
        # E|s - S_s|^2 from the law of X_t alone and the information at s
        single = float(value["square"] - 2 * A * value["product"] + value["information"])
        slack = lost["square"] + 2 * lost["product"] + lost["information"] + lost["whole"]
        yield Comparison(f"E|s(X_t) - S_s|^2 from single marginals: {case}", single, whole, slack, size)
        parts = 3 * (model + change + moved)
        yield holds(f"three-term split: {case}", whole, parts, sum(lost.values()), size)
        least = L * L * ops.displacement(STANDARD.process, data, s, t)
        yield holds(f"third term <= L^2 E|X_t - X_s|^2: {case}", moved, least, lost["moved"], 1 + least)
        sharp = L * (1 - A) ** 2 + L * L * (1 - A * A)
        yield holds(f"E|S_t - S_s|^2 <= (1 - e^-r)^2 d L + (1 - e^-2r) d L^2: {case}", motion, sharp, lost["motion"], 1 + sharp)
        yield holds(f"Fisher information <= d L: {case}", float(value["information"]), L, lost["information"])
        crude = (_split_by_lemmas(ops, L, math.sqrt(wrong[0]), ops.second_moment(data), r)
                 if L * math.expm1(2 * r) < 1 else math.inf)
        rows.append((s, t, whole, model, change, moved, parts, crude, motion, sharp))
    columns = ("s", "t", "E|s - S_s|^2", "score error", "change of score", "displacement", "3 x sum", "by the lemmas",
               "E|S_t - S_s|^2", "martingale bound")
    yield Table("three-term split for a random network, mixture on the line, OU(1, sqrt 2)", columns, rows)


def _split_by_lemmas(ops: Operations, L: float, eps: float, m2: float, r: float) -> float:
    a0, a1, a2 = ops.score_change(L, 1, r)
    M = max(1.0, m2 * m2)
    moved = math.sqrt(r * r * M + 2 * r)
    return (eps + a0 + a1 * (math.sqrt(L) + L * moved) + a2 * math.sqrt(M) + L * moved) ** 2


def _on_nodes(data: GaussianMixture, score, s: float, t: float, spacing: float) -> dict:
    """Second moments of (X_s, X_t) for f = -x, g = sqrt 2, on nodes of X_s and of the noise between."""
    z, w = normal_lattice(1, spacing)
    (alpha, noise), A = _scales(STANDARD, s), math.exp(s - t)
    x = (alpha * data.means + np.sqrt(alpha**2 * data.covs.reshape(-1, 1) + noise) * z[:, 0])[..., None]
    later = A * x + math.sqrt(-math.expm1(2 * (s - t))) * z[:, 0]
    early, late = (by_hand(data, *_scales(STANDARD, u))[1] for u in (s, t))

    def at(function, points):
        return function(points.ravel()).reshape(points.shape)

    true, frozen = at(early, x), at(late, later)
    model, between = at(lambda y: score(y[:, None], t)[:, 0], later), at(early, later)
    terms = {"whole": model - true, "model": model - frozen, "change": frozen - between, "moved": between - true,
             "motion": frozen - true, "square": model, "information": true + 0 * frozen}
    found = {name: data.weights @ ((gap * gap) @ w @ w) for name, gap in terms.items()}
    return found | {"product": data.weights @ ((model * frozen) @ w @ w)}


@identity(
    id="H4",
    systems=("H4",),
    title="Convergence of OU: KL(q_t || gamma) falls at least like e^{-2t}",
    statement=r"\mathrm{KL}(q_t\|\gamma) \le e^{-2t}\,\mathrm{KL}(q\|\gamma),\quad "
    r"-\tfrac{d}{dt}\mathrm{KL}(q_t\|\gamma) = E_{q_t}\|\nabla\log\tfrac{q_t}{\gamma}\|^2 \ge 2\,\mathrm{KL}(q_t\|\gamma)",
    source="[e, 'convergence of the OU process in KL divergence']; Bakry & Emery 1985, Gross 1975",
    method="closed forms by hand for Gaussians and trapezoidal sums for mixtures against the package's KL; its derivative in time "
    "by Chebyshev points against the relative Fisher information",
    catches=("kl_to_gamma_reversed", "kl_in_bits", "fisher_not_halved", "fisher_under_the_other_law", "marginal_without_decay"),
)
def convergence(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    times = (0.0, 0.25, 0.7, 1.5, 3.0)
    targets = {"shifted": Gaussian([0.8, -0.6], 1.0), "narrow, centred": Gaussian([0.0, 0.0], [0.3, 0.6]),
               "wide, centred": Gaussian([0.0], 4.0), "Gaussian, d = 3": _targets.gaussian(3), "skewed mixture": SKEWED}
    rows: list[tuple] = []
    for name, data in targets.items():
        normal = Gaussian(np.zeros(data.dim), 1.0)
        start, first = ops.kl(data, normal)
        for t in times:
            law = ops.marginal(STANDARD.process, data, t)
            value, error = ops.kl(law, normal)
            right, lost = _kl_by_hand(data, t)
            case = f"{name}, t = {t}"
            yield Comparison(f"KL(q_t||gamma): {case}", value, right, error + lost, 1.0)
            allowed = math.exp(-2 * t) * start
            yield holds(f"KL(q_t||gamma) <= e^-2t KL(q||gamma): {case}", value, allowed, error + first)
            if name == "shifted":
                yield Comparison(f"equality for N(m, I): {case}", value, allowed, error + first + 16 * EPS)
            information, spread = ops.fisher(law, normal, half=False)
            if t:
                yield _de_bruijn(data, t, information, spread, case)
            yield holds(f"log-Sobolev: {case}", 2 * value, information, spread + 2 * error)
            rows.append((name, t, value, value / start, math.exp(-2 * t), information / value))
    columns = ("data", "t", "KL(q_t||gamma)", "of KL(q||gamma)", "e^-2t", "rate -d/dt log KL")
    yield Table("decay of KL: the rate tends to 2 if the mean is not zero, to 4 if it is", columns, rows)
    curve = [(float(t), *(_kl_by_hand(data, t)[0] / _kl_by_hand(data, 0.0)[0] for data in targets.values()), math.exp(-2 * t))
             for t in np.linspace(0, 3, 13)]
    yield Table("KL(q_t||gamma)/KL(q||gamma)", ("t", *targets, "e^-2t"), curve,
                Picture(x="t", y=(*targets, "e^-2t"), ylabel="KL(q_t||gamma)/KL(q||gamma)"))


def _kl_by_hand(data: GaussianMixture, t: float) -> tuple[float, float]:
    """In closed form for a Gaussian, by the trapezoidal rule with spacing 1/40 for a mixture on the line; and its error."""
    decay = math.exp(-2 * t)
    if len(data.means) == 1:
        excess = decay * (np.linalg.eigvalsh(data.cov) - 1)
        value = 0.5 * float((excess - np.log1p(excess)).sum() + decay * data.mean @ data.mean)
        return value, 64 * EPS * float(np.abs(excess).sum() + value)
    x = np.arange(-480, 481) / 40
    p = by_hand(data, *_scales(STANDARD, t))[0](x)
    terms = p * (np.log(p) + x * x / 2 + math.log(2 * math.pi) / 2) / 40
    return float(terms.sum()), 16 * EPS * float(p @ (4 + np.abs(np.log(p)) + x * x)) / 40  # logarithms to some eps of themselves


def _de_bruijn(data: GaussianMixture, t: float, information: float, error: float, case: str) -> Comparison:
    radius = 0.3 * t
    nodes = [_kl_by_hand(data, u) for u in t + radius * chebyshev_points()]
    slope, lost = derivative(np.array([value for value, _ in nodes]), radius)
    lost = lost + gain() / radius * max(e for _, e in nodes)
    return Comparison(f"-d/dt KL = relative Fisher information: {case}", information, -slope, error + lost, 1 + information)
