"""Integrals over pieces of the line: the substitution, the error, and several integrals at once."""

import math
from fractions import Fraction

import numpy as np
import pytest

from refscore import _panels
from refscore._panels import Panels

INF = math.inf


def ones(x, owner):
    return np.ones((len(x), 1))


def integral(log_g, pieces, f=ones):
    found = _panels.integrate(lambda x, owner: log_g(x), f, Panels.of(np.array(pieces, dtype=float)))
    return found, float(found.value[0, 0] * np.exp(found.shift[0])), float(found.error[0, 0] * np.exp(found.shift[0]))


@pytest.mark.parametrize(
    ("log_g", "pieces", "want"),
    [
        (lambda x: -x, [[0, INF]], 1.0),
        (lambda x: x, [[-INF, 0.5]], math.exp(0.5)),
        (np.zeros_like, [[-1, 2]], 3.0),
        (lambda x: -0.95 * np.log(x), [[0, 1]], 20.0),
        (lambda x: -1.2 * np.log(x), [[1, INF]], 5.0),
        (lambda x: -x * x / 2, [[-INF, 0.3], [0.3, INF]], math.sqrt(2 * math.pi)),
    ],
)
def test_the_three_substitutions(log_g, pieces, want):
    found, value, error = integral(log_g, pieces)
    assert abs(value - want) <= error + 4e-16 * want and error < 2e-6 * want and found.converges.all()


def test_a_peak_that_is_seen_late():
    """Broad panels are done before the peak between them is found: their sums must follow the scale that it brings."""
    width, height, at = 0.004, 1e4, 0.437
    _, value, error = integral(lambda x: np.log1p(height * np.exp(-(((x - at) / width) ** 2) / 2)), [[0, 1]])
    want = 1 + height * width * math.sqrt(2 * math.pi)
    assert abs(value - want) <= error < 1e-10 * want


@pytest.mark.parametrize("rate", [0.03, 0.06])
def test_what_lies_beyond_the_last_node(rate):
    """x^{-1-a} beyond e^345: the part left out is e^{-345 a}/a; the estimate is that, to a tenth."""
    _, value, error = integral(lambda x: -(1 + rate) * np.log(x), [[0.0, 1.0], [1.0, INF]][1:])
    missing = 1 / rate - value
    assert missing == pytest.approx(math.exp(-345 * rate) / rate, rel=1e-6)
    assert 0.9 * missing <= error <= 1.1 * missing


def test_what_does_not_converge_says_so():
    assert not integral(lambda x: -np.log(x), [[1, INF]])[0].converges.any()
    assert not integral(lambda x: -np.log(x), [[0, 1]])[0].converges.any()


def test_rounding_of_a_large_logarithm_is_part_of_the_error():
    """log g = 1e9 + 1/3 is off by 3e-8 everywhere alike, which no comparison of nodes shows; 1e9 - x^2 at each node differently."""
    found = _panels.integrate(lambda x, owner: (1e9 + 0 * x) + 1 / 3, ones, Panels.of(np.array([[0.0, 1.0]])))
    missed = abs(float(Fraction(1e9 + 1 / 3) - Fraction(1e9) - Fraction(1, 3)))
    assert 3e-8 < missed <= found.error[0, 0] / found.value[0, 0] < 1e-6
    found = _panels.integrate(lambda x, owner: 1e9 - x * x, ones, Panels.of(np.array([[-INF, 0.1], [0.1, INF]])))
    log_value = float(found.shift[0] - 1e9 + np.log(found.value[0, 0]))
    assert abs(log_value - 0.5 * math.log(math.pi)) <= found.error[0, 0] / found.value[0, 0] < 1e-6


def test_several_integrals_at_once_are_those_one_by_one():
    """Owners differ in pieces, in scale (e^{-900}) and in what they need."""
    pieces = np.array([[0.0, INF], [-INF, 1.0], [1.0, INF], [0.0, 2.0]])
    owner = np.array([0, 1, 1, 2])
    sharp = np.array([1.0, 30.0, 0.1])
    together = _panels.integrate(
        lambda x, o: -sharp[o] * np.abs(x) - 900 * o, lambda x, o: np.stack([x, np.cos(x)], axis=1), Panels.of(pieces, owner), 3
    )
    for k in range(3):
        alone = _panels.integrate(
            lambda x, o, k=k: -sharp[k] * np.abs(x) - 900 * k, lambda x, o: np.stack([x, np.cos(x)], axis=1),
            Panels.of(pieces[owner == k]),
        )
        scale = np.exp(together.shift[k] - alone.shift[0])
        np.testing.assert_allclose(together.value[k] * scale, alone.value[0], rtol=1e-13, atol=1e-16)


def test_cuts_find_narrow_peaks_and_leave_no_full_line():
    def log_g(x):
        return np.logaddexp(-((x - 12.3) ** 2) * 100, -((x + 4) ** 2) * 1e4)

    cut = _panels.cut_at_peaks(log_g, np.array([[-INF, INF]]))
    assert np.abs(cut[:, 1] + 4).min() < 1e-7 and np.abs(cut[:, 1] - 12.3).min() < 1e-7
    assert not np.isinf(cut).all(axis=1).any()
    assert len(_panels.cut_at_peaks(lambda x: -x, np.array([[0.0, INF]]))) == 1
