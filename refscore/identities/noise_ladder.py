r"""The ladder of noise levels and the overlap of neighbours, as numbers (systems C1).

The second road: with u = log(|x|^2/(d s^2)) the laws N(0, s^2 I) and N(0, r^2 I), lambda = log(s/r), are one density and its shift,

    f(u) = e^{-k E(u)}/Z,  f(u + 2 lambda),   k = d/2,  E(u) = e^u - 1 - u,

(|x|^2/(2 s^2) has a Gamma(k) law), so that all distances between them are integrals over the line, Z included. No incomplete
gamma function, no Stirling series. They cross at u = log(2 lambda/(e^{2 lambda} - 1)).

Song & Ermon 2020 (technique 2) choose the ratio gamma of levels by

    Phi(sqrt(2d) (gamma - 1) + 3 gamma) - Phi(sqrt(2d) (gamma - 1) - 3 gamma) = 0.5:

half of the mass of a level in the shell of three standard deviations of the level above. The table shows what that is in terms of
overlap: since 3 = 2 * 1.5, neighbours at total variation about 2 Phi(1.5) - 1 = 0.87. In d <= 4 the left side exceeds 1/2 for every
ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.identities import _targets
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._nystrom import by_hand, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity

DIMENSIONS = (1, 2, 3, 5, 784, 10**4, 10**6)
APART = (0.3, 1.3, 3.0, 5.0, 9.5)
"""sqrt(2 d) log(sigma_i/sigma_{i+1}): distance of two shells in units of their width."""
_DEEP = 45.0  # e^-45 = 3e-20 of the largest density is left out


@identity(
    id="C1",
    systems=("C1",),
    title="Noise ladder: neighbouring levels overlap by a number that depends on ratio and dimension",
    statement=r"\sigma_i/\sigma_{i+1} = \gamma;\quad \mathrm{TV}(N(0,\sigma_i^2 I), N(0,\sigma_{i+1}^2 I)) = P(\tfrac d2, a) - "
    r"P(\tfrac d2, b),\quad 1 + \chi^2 = \bigl(1 - (1 - \gamma^{-2})^2\bigr)^{-d/2}",
    source="[c], [d], [e], 'adjacent noise scales should have sufficient overlap'; Song & Ermon 2019; 2020, sec. 3.2",
    method="closed forms against quadrature of min(p, q), |p - q|, q^2/p in the logarithm of |x|^2, d = 1 to 10^6; mixtures in one "
    "dimension by distribution functions against quadrature; ratio and number of levels by what they must achieve",
    catches=(
        "ladder_linear", "ladder_with_a_ratio_too_many", "ladder_increasing", "ladder_of_variances", "overlap_in_one_dimension",
        "overlap_without_half", "overlap_of_variances", "overlap_d_for_half_d", "overlap_of_shells", "overlap_chi2_swapped",
        "ratio_for_total_variation", "ratio_in_one_dimension", "levels_without_the_first", "levels_rounded_down",
        "total_variation_not_halved", "overlap_of_the_first_pair_for_all", "overlap_back_always_finite", "overlap_by_subtraction",
    ),
)
def noise_ladder(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for levels, high, low in ((2, 3.0, 0.1), (7, 50.0, 0.01), (232, 50.0, 0.01)):
        right = np.geomspace(high, low, levels)  # two roundings of a logarithm up to 4
        found = ops.geometric_ladder(high, low, levels)
        yield Comparison(f"geometric, {levels} levels from {high:g} to {low:g}", found, right, 32 * EPS * right, right)
    for d in DIMENSIONS:
        yield from _neighbours(ops, d)
        yield from _wanted(ops, d)
    yield from _mixture(ops)
    yield _song_ermon(ops)


def _shells(d: int, lam: float) -> tuple[Callable, np.ndarray, np.ndarray, np.ndarray, float]:
    """(E, nodes and weights with a break where the laws cross, which of them lie below it, relative error of f there)."""
    k = d / 2
    reach = _DEEP / (3 * k) + math.sqrt((_DEEP / (3 * k)) ** 2 + 2 * _DEEP / k)  # k E(+-reach) >= 45, by E >= u^2/(2 + 2|u|/3)
    crossing = math.log(2 * lam / math.expm1(2 * lam))
    edges, width = (-reach - 2 * lam, crossing, max(reach, crossing)), 1.0 / math.sqrt(k + 1)
    ends = [(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]
    pieces = [gauss_legendre(a, b, max(1, math.ceil((b - a) / width)), 24) for a, b in ends]
    u, w = np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])
    # e^u - 1 and u are rounded where k E <= 45, that is within +-reach; left of it relative errors grow, masses do not
    return lambda v: np.expm1(v) - v, u, w, u < crossing, 4 * EPS * (k * (1 + math.exp(min(reach, 3.0))) * reach + _DEEP)


def _neighbours(ops: Operations, d: int) -> Iterator[Comparison]:
    k = d / 2
    for apart in APART:
        lam = apart / math.sqrt(2 * d)
        found = ops.ladder_overlap([2.7, 2.7 * math.exp(-lam)], d)
        lam = math.log(2.7 / (2.7 * math.exp(-lam)))  # of the levels as they are
        E, u, w, below, error = _shells(d, lam)
        wide, narrow = np.exp(-k * E(u)), np.exp(-k * E(u + 2 * lam))
        Z = float(w @ wide)
        shared = float(w @ np.where(below, wide, narrow)) / Z
        distance = float(w @ np.abs(wide - narrow)) / (2 * Z)
        # lambda carries 4 eps; with shells for Gaussians d TV/d lambda <= sqrt(d), d log(1 - TV)/d lambda <= sqrt(d) + d lambda
        moved = 4 * EPS * (1 + lam)
        case = f"d = {d}, sigma_i/sigma_i+1 = {math.exp(lam):.6g}"
        yield Comparison(f"TV: {case}", found.tv, [distance], 2 * error + moved * math.sqrt(d), 1.0)
        bound = (2 * error + moved * (math.sqrt(d) + d * lam)) * shared
        yield Comparison(f"int min(p, q): {case}", found.common, [shared], bound, shared)
        yield _chi2(f"chi^2 of narrow from wide: {case}", found.log_chi2, d, lam, True)
        if 2 * lam < 0.99 * math.log(2):
            yield _chi2(f"chi^2 of wide from narrow: {case}", found.log_chi2_back, d, lam, False)
        elif 2 * lam > 1.01 * math.log(2):
            yield Comparison(f"chi^2 of wide from narrow is infinite: {case}", np.isinf(found.log_chi2_back), [True], 0.0)
    uneven = [9.0, 2.7, 2.6, 0.4]
    pairs = [ops.ladder_overlap(pair, d) for pair in zip(uneven[:-1], uneven[1:], strict=True)]
    left, right = ops.ladder_overlap(uneven, d).tv, np.concatenate([pair.tv for pair in pairs])
    yield Comparison(f"neighbours of an uneven ladder, d = {d}", left, right, 4 * EPS, 1.0)


def _chi2(case: str, found, d: int, lam: float, narrow: bool) -> Comparison:
    """log int q^2/p over the peak of its integrand, whose curvature is k there too."""
    k = d / 2
    peak = -math.log(2 * math.exp(2 * lam) - 1) if narrow else -math.log(2 - math.exp(2 * lam))
    E, u, w, _, error = _shells(d, 1e-3 / math.sqrt(k))
    v = u + peak
    height = k * (E(v) - 2 * E(v + 2 * lam) if narrow else E(v + 2 * lam) - 2 * E(v))
    value = float(height.max()) + math.log(float(w @ np.exp(height - height.max())) / float(w @ np.exp(-k * E(u))))
    size = 1 + k * (lam + abs(peak))
    return Comparison(case, found, [value], 4 * error + 64 * EPS * size + 16 * EPS * k * abs(value) / (1 + k * lam), size)


def _wanted(ops: Operations, d: int) -> Iterator[Comparison]:
    """The ratio has the overlap that was asked for; L levels are enough, and L - 1 are not."""
    for overlap in (0.12, 0.5, 0.83):
        lam = math.log(ops.ladder_ratio(overlap, d))
        found = shared_mass(d, lam)
        E_error = _shells(d, lam)[-1]
        bound = 2 * E_error + 16 * EPS * (1 + lam) * math.sqrt(d) + 4 * EPS
        yield Comparison(f"overlap at ladder_ratio({overlap}, {d})", found, overlap, bound, 1.0)
        levels = ops.ladder_levels(50.0, 0.01, d, overlap)
        full = math.log(5000.0)
        enough = [shared_mass(d, full / max(1, n)) >= overlap for n in (levels - 1, levels - 2)]
        yield Comparison(f"{levels} levels, and no fewer, for {overlap} in d = {d}", enough, [True, levels == 2], 0.0)


def shared_mass(d: int, lam: float) -> float:
    """int min(p, q) of N(0, s^2 I) and N(0, r^2 I) by quadrature, lam = log(s/r)."""
    k, (E, u, w, below, _) = d / 2, _shells(d, lam)
    wide = np.exp(-k * E(u))
    return float(w @ np.where(below, wide, np.exp(-k * E(u + 2 * lam)))) / float(w @ wide)


def _mixture(ops: Operations) -> Iterator[Comparison | Table]:
    """Data convolve both levels alike: they are closer than those of data in one point."""
    data, sigmas = _targets.mixture(1), ops.geometric_ladder(6.0, 0.1, 7)
    bound_by = ops.ladder_overlap(sigmas, 1).tv
    rows = []
    for i, (high, low) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        value, error = ops.total_variation(ops.corrupted(data, 1.0, high), ops.corrupted(data, 1.0, low))
        right, estimate = tv_by_quadrature(by_hand(data, 1.0, high**2)[0], by_hand(data, 1.0, low**2)[0], 60.0)
        yield Comparison(f"TV of a mixture's neighbours, sigma = {high:.4g}, {low:.4g}", value, right, error + estimate, 1.0)
        rows.append((i + 1, float(high), float(low), value, float(bound_by[i])))
    title = "TV between neighbours of a geometric ladder, d = 1: a mixture, and data in one point, which bounds it"
    yield Table(title, ("i", "sigma_i", "sigma_i+1", "TV, mixture", "TV, one point"), rows)


def _song_ermon(ops: Operations) -> Table:
    from scipy.optimize import brentq
    from scipy.special import gammainc, ndtr

    def criterion(gamma: float, d: int) -> float:
        centre = math.sqrt(2 * d) * (gamma - 1)
        return float(ndtr(centre + 3 * gamma) - ndtr(centre - 3 * gamma))

    rows = []
    for d in (1, 3, 784, 3072, 10**4, 10**6):
        half = ops.ladder_ratio(0.5, d)
        row = [d, half, math.sqrt(2 * d) * math.log(half), ops.ladder_levels(50.0, 0.01, d, 0.5)]
        if d <= 4:
            rows.append((*row, None, None, None, None))
            continue
        gamma = float(brentq(lambda g, d=d: criterion(g, d) - 0.5, 1 + 1e-12, 3.0))
        shell = [d / 2 * (gamma * (1 + side * 3 / math.sqrt(2 * d))) ** 2 for side in (1, -1)]
        inside = float(gammainc(d / 2, shell[0]) - gammainc(d / 2, shell[1]))
        overlap = float(ops.ladder_overlap([gamma, 1.0], d).common[0])
        rows.append((*row, gamma, 1 + math.ceil(math.log(5000) / math.log(gamma)), inside, overlap))
    return Table(
        "levels from 50 to 0.01: for an overlap of one half, and by Song & Ermon 2020 (half the mass in the shell above)",
        ("d", "ratio", "sqrt(2d) log ratio", "levels", "ratio, S&E", "levels, S&E", "mass in the shell", "overlap, S&E"), rows)
