"""The tail bounds of statistical verdicts, by scipy.stats and by drawing; false alarms; what tests say that they catch."""

import math

import mpmath
import numpy as np
import pytest
from scipy import special, stats

from refscore.conformance import OPERATIONS, chance
from refscore.conformance.chance import Finding

BUDGET = 1e-2


def rows(seed, n=400, d=2):
    return np.random.default_rng([seed, n]).standard_normal((n, d))


def at_most(n, alarms, trials, level):
    """Whether so many alarms are credible at a rate of ``level``: 1e-9 if not."""
    return stats.binom.sf(alarms - 1, trials, level) > 1e-9


def test_every_operation_has_its_share():
    assert len(OPERATIONS) <= chance.SHARES
    assert chance.share() * chance.SHARES == pytest.approx(chance.FALSE_ALARM_BUDGET)
    found = chance.standard_normal(rows(0), 1e-3)
    assert sum(f.level for f in found) == pytest.approx(1e-3)
    assert {f.level for f in found} == {f.level for f in chance.standard_normal(5 * rows(1), 1e-3)}  # fixed beforehand


def test_seeds_differ_by_run_and_by_check():
    seeds = {chance.seed_of(run, name) for run in range(50) for name in OPERATIONS}
    assert len(seeds) == 50 * len(OPERATIONS) and all(0 <= s < 2**31 for s in seeds)
    assert chance.seed_of(3, "sample") == chance.seed_of(3, "sample")


@pytest.mark.parametrize("n", [40, 400, 10_000])
def test_tails_at_fifty_digits(n):
    mpmath.mp.dps = 50
    for z in (0.3, 2.5, 6.1):
        squares = n + z * np.sqrt(2 * n)
        term = total = mpmath.exp(-mpmath.mpf(squares) / 2)  # chi^2 of an even n is Poisson: sum over k < n/2 of e^-y y^k/k!
        for k in range(1, n // 2):
            term *= mpmath.mpf(squares) / 2 / k
            total += term
        assert chance.variance(squares, n, 1e-8).p == pytest.approx(float(2 * min(total, 1 - total)), rel=1e-9)
    k = n // 4
    term = total = mpmath.mpf("0.7") ** n
    for j in range(1, k + 1):
        term *= mpmath.mpf(n - j + 1) / j * mpmath.mpf(3) / 7
        total += term
    assert chance.count(k, n, 0.3, 1e-8).p == pytest.approx(float(2 * min(total, 1 - total + term)), rel=1e-8)


def test_tails_are_counted_at_two_three_and_far_out():
    z = np.random.default_rng(5).uniform(size=(12, 500_000)).sum(axis=0) - 6  # kurtosis 2.9
    found = chance.tails(z.size, lambda q: int((np.abs(z) > q).sum()), 1e-8)
    assert [t.at for t in found[:2]] == [2.0, 3.0] and found[1].alarm and found[1].wanted == pytest.approx(math.erfc(3 / 2**0.5))
    assert (1 - found[2].wanted) ** z.size == pytest.approx(1e-8 / 4)


def test_limits_are_where_alarms_begin():
    n, level = 500, 1e-4
    for squares in np.linspace(300, 800, 2001):
        found = chance.variance(squares, n, level)
        assert found.alarm == (found.found > found.limit)
    for k in range(0, 501):
        found = chance.count(k, n, 0.3, level)
        assert found.alarm == (found.found > found.limit + 1e-12), k
    for shift in np.linspace(-0.4, 0.4, 81):
        found = chance.mean(np.full(n, shift), level)
        assert found.alarm == (found.found > found.limit)
        found = chance.kolmogorov(np.sort(stats.norm.ppf((np.arange(n) + 0.5) / n)) + shift, special.ndtr, level)
        assert found.alarm == (found.found > found.limit)


def test_kolmogorov_is_conservative_and_not_by_much():
    for n in (300, 5000):
        for level in (1e-2, 1e-8):
            exact = stats.kstwo.sf(chance.radius(n, level), n)
            assert exact <= level and exact > level / 3


@pytest.mark.parametrize("scale", [1, -1])
def test_what_a_variance_test_says_it_catches(scale):
    """Widened, or narrowed, by what it says: missed in one case of a hundred at most."""
    n, level, trials = 2000, 1e-4, 4000
    caught = chance.variance(n, n, level).caught
    squares = (1 + scale * caught) * np.random.default_rng(1).chisquare(n, trials)
    missed = sum(not chance.variance(s, n, level).alarm for s in squares)
    assert at_most(n, missed, trials, chance.MISSED)
    if scale == 1:
        assert missed > 0  # no more than it can


def test_what_a_mean_and_a_count_say_they_catch():
    n, level, trials = 500, 1e-4, 4000
    rng = np.random.default_rng(2)
    caught = chance.mean(np.zeros(n), level).caught
    missed = sum(not chance.mean(np.full(n, m), level).alarm for m in rng.normal(caught, 1 / np.sqrt(n), trials))
    assert 0 < missed and at_most(n, missed, trials, 2 * chance.MISSED)
    for sign in (1, -1):
        caught = chance.count(150, n, 0.3, level).caught
        missed = sum(not chance.count(int(k), n, 0.3, level).alarm for k in rng.binomial(n, 0.3 + sign * caught, trials))
        assert at_most(n, missed, trials, chance.MISSED)


def test_nan_is_an_alarm():
    assert Finding("", 1, np.nan, 1e-8, np.nan, 0.0, 1.0, 1.0).alarm
    assert any(f.alarm for f in chance.standard_normal(np.full((8, 2), np.nan), 1e-8))


def alarms(seeds, budget):
    return sum(any(f.alarm for f in chance.standard_normal(rows(seed), budget)) for seed in seeds)


def test_false_alarms_in_a_thousand_runs():
    assert at_most(400, alarms(range(1000), BUDGET), 1000, BUDGET)


@pytest.mark.slow
def test_false_alarms_in_ten_thousand_runs():
    """At an enlarged budget; the tests are exact for every number of rows, so that few will do."""
    count = alarms(range(10_000), BUDGET)
    assert at_most(400, count, 10_000, BUDGET)
    assert count > 10  # the budget is not squandered: Bonferroni loses little


@pytest.mark.slow
def test_one_test_alone_alarms_as_often_as_it_says():
    rng = np.random.default_rng(7)
    for n in (10, 300):
        squares = rng.chisquare(n, 20_000)
        rate = np.mean([chance.variance(s, n, 0.05).alarm for s in squares])
        assert abs(rate - 0.05) < 6 * np.sqrt(0.05 * 0.95 / 20_000)
