r"""The noise ladder sigma_1 > ... > sigma_L of noise conditioned score networks, and how much neighbouring levels overlap.

Levels in geometric progression, sigma_i/sigma_{i+1} = gamma > 1 [e; Song & Ermon 2019], have neighbours that all overlap
alike. How much is a number: let p = N(0, s^2 I_d) and q = N(0, r^2 I_d), r < s, lambda = log(s/r) and k = d/2. Their densities
are equal where |x|^2/(2 s^2) = b and |x|^2/(2 r^2) = a, with

    b = k e^{-lambda - h},   a = k e^{lambda - h},   h = log(sinh(lambda)/lambda),

and |x|^2/s^2, |x|^2/r^2 are chi^2 variables with d degrees of freedom, so with the incomplete gamma functions P and Q = 1 - P

    TV(p, q) = P(k, a) - P(k, b),            1 - TV(p, q) = int min(p, q) = P(k, b) + Q(k, a).

In logarithms, t = k e^w under the integral of P, the first is an integral over the interval [-lambda, lambda] about -h,

    TV(p, q) = k^k e^{-k}/Gamma(k) int_{-lambda}^{lambda} exp(-k E(w - h)) dw,       E(v) = e^v - 1 - v,

without the cancellation of the difference: that is how it is computed where the levels are close. The chi^2 divergence is

    log(1 + chi^2(q || p)) = -k log(1 - (1 - r^2/s^2)^2),    log(1 + chi^2(p || q)) = -k log(1 - (s^2/r^2 - 1)^2),

the second infinite once s^2 >= 2 r^2: the wide law has tails that the narrow one cannot carry.

The dimension. |x| is about N(sqrt(d) s, s^2/2) (Song & Ermon 2020, sec. 3.2): shells of distance sqrt(d) (s - r) and constant
width. So TV(p, q) -> 2 Phi(sqrt(d/2) lambda) - 1, and equal overlap in every dimension wants lambda ~ 1/sqrt(d): the number of
levels grows like sqrt(d). Data convolve both laws alike, which can only bring them closer: these are the numbers of data in one
point, the worst case. For a mixture in one dimension ask `refscore.distances.total_variation` of its two corrupted laws.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from refscore import _validate

_NODES = 32
_TERMS = 30  # of the series of E(v)
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # of log Gamma(k) in k^{-1}, k^{-3}, ...
_MANY = 1e3  # k from which far tails of scipy's incomplete gamma functions lose digits: 1e-9 of 2e-6 at k = 5e5
_LARGE = 16.0  # k from which the series of Stirling leaves less than eps/2 out


class Overlap(NamedTuple):
    """Neighbours i and i + 1 of a ladder, p_i = N(0, sigma_i^2 I_d): one entry a pair, (L - 1,) arrays."""

    tv: np.ndarray
    """TV(p_i, p_{i+1}) = 1/2 int |p_i - p_{i+1}|, to full relative accuracy where it is small."""
    common: np.ndarray
    """1 - TV = int min(p_i, p_{i+1}), where it is small to a relative accuracy of about 4e-15 d log(sigma_i/sigma_{i+1})."""
    log_chi2: np.ndarray
    """log(1 + chi^2(p_{i+1} || p_i)), narrow from wide, the Renyi divergence of order 2: chi^2 itself may exceed float64."""
    log_chi2_back: np.ndarray
    """log(1 + chi^2(p_i || p_{i+1})), wide from narrow: infinite, truly, where sigma_i^2 >= 2 sigma_{i+1}^2."""


def geometric_ladder(sigma_max: float, sigma_min: float, levels: int) -> np.ndarray:
    """sigma_i = sigma_max (sigma_min/sigma_max)^{(i-1)/(L-1)}, i = 1, ..., L: (levels,), decreasing, both ends exact.

    Raises
    ------
    ValueError
        When sigma_max <= sigma_min, levels < 2, or the levels are too many for float64 to tell apart.

    Source: [e], "a geometric progression"; [c]; Song & Ermon 2019. systems C1. L levels have L - 1 ratios.
    """
    low, high = _ends(sigma_max, sigma_min)
    levels = _validate.count(levels, "levels", least=2)
    half = np.exp(-_log_ratio(high, low) / 2 * np.arange(levels) / (levels - 1))
    sigmas = high * half * half  # in two halves: sigma_min/sigma_max itself may be below float64
    sigmas[0], sigmas[-1] = high, low
    if not (np.diff(sigmas) < 0).all():
        raise ValueError(f"levels is {levels}: neighbours between {high} and {low} are then equal in float64, use fewer levels")
    return sigmas


def ladder_overlap(sigmas, dim: int) -> Overlap:
    """How far each level N(0, sigma_i^2 I) of a ladder is from the next, in ``dim`` dimensions, in closed form.

    Parameters
    ----------
    sigmas : (L,)
        At least two noise levels, strictly decreasing; any spacing.
    dim : int
        Dimension d of the data.

    Returns
    -------
    Overlap
        (tv, common, log_chi2, log_chi2_back), each (L - 1,); chi^2 itself is ``np.expm1(log_chi2)``.

    Raises ValueError for levels that are not positive and decreasing, or dim < 1.

    Source: [e], "adjacent noise scales should have sufficient overlap"; Song & Ermon 2020, sec. 3.2. systems C1.
    """
    sigmas, k = _validate.ladder(sigmas, least=2), _validate.count(dim, "dim") / 2
    spread = [_log_ratio(high, low) for high, low in zip(sigmas[:-1], sigmas[1:], strict=True)]
    distance, common = np.array([_distance(lam, k) for lam in spread]).T
    lam = np.array(spread)
    down = np.expm1(-2 * lam)  # r^2/s^2 - 1; 1 - down^2 = (1 + down)(1 - down) in logarithms where down is near -1
    with np.errstate(divide="ignore"):
        narrow = -k * np.where(lam < 0.5, np.log1p(-down * down), np.log1p(-down) - 2 * lam)
    wide = np.full(len(lam), np.inf)
    finite = 2 * lam < math.log(2)
    wide[finite] = -k * np.log1p(-np.expm1(2 * lam[finite]) ** 2)
    return Overlap(distance, common, narrow, wide)


def ladder_ratio(overlap: float, dim: int) -> float:
    """The ratio gamma of neighbouring levels whose overlap int min(p_i, p_{i+1}) = 1 - TV is ``overlap``, in (0, 1).

    gamma is where TV, which increases with it, has the wanted value: found by bracketing, to the last digits. As d grows,
    sqrt(2 d) log gamma -> 2 Phi^{-1}(1 - overlap/2).

    Raises ValueError for an overlap outside (0, 1), so small that gamma exceeds float64, or so near 1 that gamma rounds to 1.
    """
    gamma = math.exp(_log_ladder_ratio(overlap, _validate.count(dim, "dim") / 2))
    if gamma == 1:
        raise ValueError(f"overlap is {overlap}: in {dim} dimensions neighbours share that much only when they are equal in "
                         "float64; ask for less overlap")
    return gamma


def ladder_levels(sigma_max: float, sigma_min: float, dim: int, overlap: float) -> int:
    """The least number L of levels of a geometric ladder whose neighbours overlap by ``overlap`` at least, up to rounding.

    It grows like sqrt(d) log(sigma_max/sigma_min). Raises ValueError as `geometric_ladder` and `ladder_ratio`.
    """
    low, high = _ends(sigma_max, sigma_min)
    ratios = _log_ratio(high, low) / _log_ladder_ratio(overlap, _validate.count(dim, "dim") / 2)
    return 1 + max(1, math.ceil(ratios * (1 - 1e-13)))


def _ends(sigma_max, sigma_min) -> tuple[float, float]:
    low, high = _validate.positive(sigma_min, "sigma_min"), _validate.positive(sigma_max, "sigma_max")
    if not low < high:
        raise ValueError(f"sigma_max is {high} and sigma_min is {low}: a ladder goes down from sigma_max to a smaller sigma_min")
    return low, high


def _log_ratio(high: float, low: float) -> float:
    """log(high/low); close numbers are subtracted first, which is exact, and far ones divided apart from their exponents."""
    if high < 2 * low:
        return math.log1p((high - low) / low)
    (upper, i), (lower, j) = math.frexp(high), math.frexp(low)
    return math.log(upper / lower) + (i - j) * math.log(2)


def _distance(lam: float, k: float) -> tuple[float, float]:
    """(TV, 1 - TV), the one that is small from its own formula: the integral, or the two tails."""
    from scipy.special import gammainc, gammaincc

    h = math.log(math.sinh(lam) / lam) if lam < 1 else lam - math.log(2 * lam) + math.log1p(-math.exp(-2 * lam))
    if lam * math.sqrt(k) < 1 and lam < 1.5:
        x, w = np.polynomial.legendre.leggauss(_NODES)
        value = lam * _peak(k) * float(w @ np.exp(-k * _exp_remainder(lam * x - h)))
        return value, 1 - value
    if k > _MANY and lam < 0.5:
        common = _peak(k) * sum(_tail(end, k) for end in (-lam - h, lam - h))
    else:
        common = float(gammainc(k, k * math.exp(-lam - h)) + gammaincc(k, k * math.exp(lam - h)))
    return 1 - common, common


def _tail(end: float, k: float) -> float:
    """int e^{-k E} from ``end`` away from 0: k E'' >= k/3 for |v| <= 1, so that 15/sqrt(k) further on it is e^{-37} of its size."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    half = 15 / math.sqrt(k) / 8
    steps = (half * (x + 1) + 2 * half * np.arange(4)[:, None]).ravel()
    return half * float(np.tile(w, 4) @ np.exp(-k * _exp_remainder(end + math.copysign(1.0, end) * steps)))


def _peak(k: float) -> float:
    """k^k e^{-k}/Gamma(k)."""
    if k < _LARGE:
        return math.exp(k * math.log(k) - k - math.lgamma(k))
    series = sum(c / k ** (2 * j + 1) for j, c in enumerate(_STIRLING))
    return math.sqrt(k / (2 * math.pi)) * math.exp(-series)


def _exp_remainder(v: np.ndarray) -> np.ndarray:
    """E(v) = e^v - 1 - v by its series, which wants |v| <= 2."""
    total = np.ones_like(v)
    for n in range(_TERMS, 2, -1):
        total = 1 + v / n * total
    return v * v / 2 * total


def _log_ladder_ratio(overlap: float, k: float) -> float:
    from scipy.optimize import brentq

    overlap = _validate.positive(overlap, "overlap")
    if not overlap < 1:
        raise ValueError(f"overlap is {overlap}: it is the mass int min(p, q) that neighbours share, between 0 and 1")

    def excess(lam: float) -> float:
        distance, common = _distance(lam, k)
        return distance - (1 - overlap) if overlap > 0.5 else overlap - common  # the small one is told to all digits

    low = high = 1 / math.sqrt(k)
    while excess(low) > 0:
        low /= 2
    while excess(high) < 0:
        high *= 2
        if high > 700:
            raise ValueError(f"overlap is {overlap}: in {2 * k:.0f} dimensions neighbours share more than that whatever their "
                             "ratio in float64; ask for more overlap")
    return float(brentq(excess, low, high, xtol=1e-300, rtol=4 * np.finfo(float).eps))
