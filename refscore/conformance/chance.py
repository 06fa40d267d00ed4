r"""Verdicts on what is random: exact tail bounds, one budget of false alarms for a whole run, and what each test would have caught.

A run calls something right wrong with probability at most 1e-6, all its tests together. The budget is split before anything is
drawn (Bonferroni): every operation has one share of `SHARES`, whether the adapter has the operation or not, and divides it equally
among its tests, whose number does not depend on what is drawn. Seeds follow from the seed of the run and the name of the check.
Nothing is tried twice.

No test here is asymptotic. For n independent rows z of N(0, I) in d columns

    mean          sqrt(n) mean z_j                                ~ N(0, 1)
    covariance    sum (u.z)^2, u = e_i and (e_i +- e_j)/sqrt 2    ~ chi^2_n: d^2 directions are as good as the whole covariance
    dependence    sum of (z_r +- z_q)^2/2 over pairs of rows      ~ chi^2: too large or too small where rows go together
    shape         sup |F_n - Phi| > e                             with probability at most 2 exp(-2 n e^2)
                                                                  (Dvoretzky, Kiefer & Wolfowitz 1956; Massart 1990)
    counts        of independent events                           ~ binomial
    tails         how many |z| > 2, 3 and q                       counts: q is where none at all is just an alarm
    repeats       values that were there before                   at most binomial: each is one of N known ones with probability
                                                                  at most N times that of the likeliest number

Every test says what it would have caught: the smallest deviation that it finds with probability 99 %.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import special

FALSE_ALARM_BUDGET = 1e-6
SHARES = 64
"""More than there are operations."""
MISSED = 0.01
"""Probability of missing the deviation that a test says it catches."""
LIKELIEST = 2.0**-22
"""The likeliest |z| of a generator in single precision: z of 23 random bits, and both signs."""


@dataclass(frozen=True)
class Finding:
    """One test: ``p`` bounds the probability of what was found, or worse, by chance; ``level`` is what it is held against.

    ``got`` deviates from ``wanted`` by ``found``, of which ``limit`` is the largest without alarm, and ``caught`` would have been
    found at 99 %. Where it is about a point, ``at`` is the point.
    """

    name: str
    n: int
    p: float
    level: float
    got: float
    wanted: float
    limit: float
    caught: float
    at: float = float("nan")

    @property
    def found(self) -> float:
        """The deviation."""
        return abs(self.got - self.wanted)

    @property
    def alarm(self) -> bool:
        """Whether this is no chance; NaN is none."""
        return not self.p > self.level

    def __str__(self) -> str:
        return (f"{self.name}: got {self.got:.6g}, wanted {self.wanted:.6g}, off by {self.found:.3g}, allowed is {self.limit:.3g} "
                f"(n = {self.n}, false alarm {self.level:.1g}, {self.caught:.3g} is found with probability 99 %)")


def share(budget: float = FALSE_ALARM_BUDGET) -> float:
    """The budget of one operation."""
    return budget / SHARES


def seed_of(run: int, check: str) -> int:
    """The seed of one check in a run, 0 <= seed < 2^31."""
    return int.from_bytes(hashlib.sha256(f"{run}/{check}".encode()).digest()[:4], "big") >> 1


def mean(values: np.ndarray, level: float, name: str = "mean") -> Finding:
    """The mean of n values of N(0, 1) against 0."""
    n = len(values)
    got = float(values.mean())
    limit = -float(special.ndtri(level / 2)) / np.sqrt(n)
    p = 2 * float(special.ndtr(-abs(got) * np.sqrt(n)))
    return Finding(name, n, p, level, got, 0.0, limit, limit - float(special.ndtri(MISSED)) / np.sqrt(n))


def variance(squares: float, n: int, level: float, name: str = "variance") -> Finding:
    """A sum of n squares of N(0, 1) against its chi^2_n; deviations are those of the mean square from 1."""
    low, high = _squares(n, level)
    p = 2 * min(float(special.gammainc(n / 2, squares / 2)), float(special.gammaincc(n / 2, squares / 2)))
    limit = high / n - 1 if squares > n else 1 - low / n
    caught = max(high / (2 * special.gammaincinv(n / 2, MISSED)) - 1, 1 - low / (2 * special.gammainccinv(n / 2, MISSED)))
    return Finding(name, n, p, level, squares / n, 1.0, limit, float(caught))


def ratio(squares: float, n: int, level: float) -> tuple[float, float]:
    """The interval of the standard deviation of n centred Gaussian ones, given the sum of their squares, but for ``level``."""
    low, high = _squares(n, level)
    return float(np.sqrt(squares / high)), float(np.sqrt(squares / low))


def _squares(n: int, level: float) -> tuple[float, float]:
    return 2 * float(special.gammaincinv(n / 2, level / 2)), 2 * float(special.gammainccinv(n / 2, level / 2))


def kolmogorov(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray], level: float, name: str = "distribution") -> Finding:
    """The empirical distribution function of n independent values against ``cdf``, by Massart's bound."""
    n = values.size
    at = np.sort(values, axis=None)
    F = np.asarray(cdf(at), dtype=np.float64)
    steps = np.arange(n + 1) / n
    i, j = int(np.argmax(steps[1:] - F)), int(np.argmax(F - steps[:-1]))  # NaN is the largest there is
    k, got = (i, steps[i + 1]) if not steps[i + 1] - F[i] < F[j] - steps[j] else (j, steps[j])
    limit = radius(n, level)
    p = min(1.0, 2 * float(np.exp(-2 * n * (got - F[k]) ** 2)))
    return Finding(name, n, p, level, float(got), float(F[k]), limit, limit + radius(n, MISSED), float(at[k]))


def radius(n: int, level: float) -> float:
    """What sup |F_n - F| exceeds with probability at most ``level``."""
    return float(np.sqrt(np.log(2 / level) / (2 * n)))


def count(k: int, n: int, chance: float, level: float, name: str = "count") -> Finding:
    """k events of n independent ones of this probability; deviations are those of the frequency."""
    p = 2 * min(_at_most(k, n, chance), _at_most(n - k, n, 1 - chance))
    low, high = (n - _most(n, 1 - chance, level / 2)) / n, _most(n, chance, level / 2) / n
    up = special.betaincinv(high * n + 1, n - high * n, 1 - MISSED) if high < 1 else 1.0
    down = special.betaincinv(low * n, n - low * n + 1, MISSED) if low > 0 else 0.0
    limit = high - chance if k > n * chance else chance - low
    return Finding(name, n, min(p, 1.0), level, k / n, chance, limit, float(max(up - chance, chance - down)))


def tails(n: int, beyond: Callable[[float], int], level: float) -> list[Finding]:
    """How many of n independent N(0, 1) are beyond 2, 3 and q in size, q where none at all is just an alarm: P(none) = level/4.

    So noise is found whose tails are too light or too heavy (that of twelve uniform numbers from 300 000 on), and noise that is
    clipped, or drawn again, anywhere up to q: 4.2 for 800 000 values.
    """
    q = -float(special.ndtri(-float(np.expm1(np.log(level / 4) / n)) / 2))
    return [replace(count(beyond(c), n, 2 * float(special.ndtr(-c)), level, f"tails, |z| > {c:.4g}"), at=c) for c in (2.0, 3.0, q)]


def repeats(z: np.ndarray, level: float, likeliest: float = LIKELIEST, name: str = "repeats, |z| seen before") -> Finding:
    """How many of independent N(0, 1) were there before, up to sign and to single precision.

    Given those before it a value is one of them with probability at most n ``likeliest``, that of the likeliest number times n.
    """
    n = z.size
    k = n - len(np.unique(np.abs(z).astype(np.float32)))
    chance = min(1.0, n * likeliest)
    limit = _most(n, chance, level) / n
    return Finding(name, n, _at_most(n - k, n, 1 - chance), level, k / n, 0.0, limit, min(1.0, limit + 1 / n))


def _at_most(k: int, n: int, chance: float) -> float:
    """P(X <= k) of a binomial."""
    return 1.0 if k >= n else float(special.betaincc(k + 1, n - k, chance))


def _most(n: int, chance: float, tail: float) -> int:
    """The largest k that is no alarm: P(X >= k) > tail, by bisection."""
    low, high = 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _at_most(n - middle, n, 1 - chance) > tail:
            low = middle
        else:
            high = middle
    return low


def standard_normal(z: np.ndarray, budget: float, likeliest: float = LIKELIEST) -> list[Finding]:
    """All that N(0, I) says about rows z (n, d), n a multiple of 8; the two halves come from two seeds.

    ``budget`` is divided equally among the tests; ``likeliest`` is the probability of the likeliest |z| (`repeats`).
    """
    n, d = z.shape
    quarter = z.reshape(4, n // 4, d)
    pairs = {"neighbouring rows": (z[::2], z[1::2]), "rows of the two halves of a batch": (quarter[::2], quarter[1::2]),
             "rows of two seeds": (z[: n // 2], z[n // 2 :])}
    directions = {f"variance of column {i}": z[:, i] for i in range(d)}
    for i, j in combinations(range(d), 2):
        directions[f"variance of the sum of columns {i} and {j}"] = (z[:, i] + z[:, j]) / np.sqrt(2)
        directions[f"variance of the difference of columns {i} and {j}"] = (z[:, i] - z[:, j]) / np.sqrt(2)
    level = budget / (d + len(directions) + 2 * len(pairs) + 5)
    found = [mean(z[:, i], level, f"mean of column {i}") for i in range(d)]
    found += [variance(float(np.dot(u, u)), n, level, name) for name, u in directions.items()]
    for name, (a, b) in pairs.items():
        for sign, word in ((1, "sum"), (-1, "difference")):
            u = (a + sign * b).ravel()
            found.append(variance(float(np.dot(u, u)) / 2, u.size, level, f"variance of the {word} of {name}"))

    def beyond(q: float) -> int:
        return int((np.abs(z) > q).sum())

    return [*found, kolmogorov(z, special.ndtr, level), *tails(z.size, beyond, level), repeats(z, level, likeliest)]


def batches(z: np.ndarray, budget: float, likeliest: float = LIKELIEST) -> list[Finding]:
    """All that N(0, I) says about small batches z (n, rows, d), each of a seed of its own: their entries, sums and lengths.

    So noise is found that is centred or scaled within a batch, that half of the rows share, or that comes of few seeds.
    """
    n, rows, _ = z.shape
    flat = z.reshape(n, -1)
    size = flat.shape[1]
    found = [replace(f, name=f.name.replace("columns", "entries").replace("column", "entry"))
             for f in standard_normal(flat, budget / 3, likeliest)]
    sums = standard_normal(flat.sum(axis=1, keepdims=True) / np.sqrt(size), budget / 3, likeliest)
    found += [replace(f, name=f.name.replace("column 0", "sums")) for f in sums]
    lengths = (flat**2).sum(axis=1)
    found.append(kolmogorov(lengths, lambda s: special.gammainc(size / 2, s / 2), budget / 3, "distribution of lengths"))
    return [replace(f, name=f"{f.name}, in batches of {rows}") for f in found]


SAME = "two seeds give the same result: the seed is not used, or only its last digits are, or nothing is drawn"


def far_from(seed: int) -> int:
    """Another seed, 0 <= seed < 2^31, that is the same modulo 2, 3, ..., 10, 100, 1000, 256, 65536 and many more."""
    apart = 2**16 * 3**2 * 5**3 * 7
    return seed + apart if seed + apart < 2**31 else seed - apart
