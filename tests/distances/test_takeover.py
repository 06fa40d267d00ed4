"""Components that take over from each other at surfaces, in the plane and in space: divergences against nested Gauss panels.

For round components with all means on one line, integrands depend on the place s along it and the distance r from it. Panels in s
end, for every r, around the points at which two components are equally dense, as finely as they change there; panels in r around
the r at which these points vanish. With twice as many panels nothing changes beyond rounding.
"""

import itertools
import math
import warnings

import numpy as np
import pytest

from refscore.densities import GaussianMixture
from refscore.densities._takeover import Heights, steepness
from refscore.distances import fisher, kl

Z, W = np.polynomial.legendre.leggauss(20)
STEPS = np.array([0, 0.5, *range(1, 7), 8, 10, 12, 16, 24, 40, *(2.0**j for j in range(6, 19))])
AROUND = np.concatenate([-STEPS[1:], STEPS])


def logs(law, d, s, r):
    """log density, and its slopes along s and r."""
    heights = np.stack([math.log(w) - d / 2 * math.log(2 * math.pi * v) - ((s - m) ** 2 + r * r) / (2 * v) for w, m, v in law])
    top = heights.max(axis=0)
    shares = np.exp(heights - top)
    total = shares.sum(axis=0)
    along = sum(a * (m - s) / v for a, (_, m, v) in zip(shares, law, strict=True)) / total
    return top + np.log(total), along, -r * sum(a / v for a, (_, _, v) in zip(shares, law, strict=True)) / total


def quadratics(laws, d):
    """log of the ratio of two components as A (s^2 + r^2) + B s + C."""
    for law in laws:
        for (u, m, v), (w, n, t) in itertools.combinations(law, 2):
            a, b = 1 / (2 * v), 1 / (2 * t)
            yield b - a, 2 * (a * m - b * n), math.log(u / w) - d / 2 * math.log(v / t) - a * m * m + b * n * n


def panels(cuts, pieces=1):
    """Nodes and weights on all intervals between sorted rows of cuts, (m, k) -> (m, 20 pieces (k - 1))."""
    cuts = np.concatenate([cuts[:, :-1] + np.diff(cuts) * (i / pieces) for i in range(pieces)] + [cuts[:, -1:]], axis=1)
    cuts.sort(axis=1)
    half = np.diff(cuts)[..., None] / 2
    return (cuts[:, :-1, None] + half * (1 + Z)).reshape(len(cuts), -1), (half * W).reshape(len(cuts), -1)


def nested(p, q, d, pieces=1):
    """KL(p || q) and E_p|grad log p/q|^2; laws as lists of (weight, place on the line, variance)."""
    laws, low, high = p + q, min(m - 14 * v**0.5 for _, m, v in p), max(m + 14 * v**0.5 for _, m, v in p)
    far = 14 * max(v for _, _, v in p) ** 0.5
    cuts = [math.sqrt(v) * STEPS for _, _, v in laws]
    for A, B, C in quadratics((p, q), d):
        if A and (square := (B * B / (4 * A) - C) / A) > 0:
            cuts.append(math.sqrt(square) + AROUND / abs(2 * A * math.sqrt(square)))
    cuts = np.concatenate(cuts)
    radii, outer = panels(np.unique(np.append(cuts[(cuts >= 0) & (cuts < far)], [0.0, far]))[None], pieces)
    outer = outer * {2: 2.0, 3: 2 * math.pi * radii}[d]
    total = np.zeros(2)
    for r, weight in zip(np.array_split(radii[0], 40), np.array_split(outer[0], 40), strict=True):
        cuts = [np.broadcast_to(m + math.sqrt(v) * AROUND, (len(r), len(AROUND))) for _, m, v in laws]
        for A, B, C in quadratics((p, q), d):
            if A == 0:
                cuts.append(np.broadcast_to((AROUND - C) / B if B == 0 else -C / B + AROUND / abs(B), (len(r), len(AROUND))))
                continue
            rise = np.maximum(B * B - 4 * A * (C + A * r * r), 0) ** 0.5
            scale = 1 / np.maximum(rise, abs(A) ** 0.5)
            cuts += [((-B + side * rise) / (2 * A))[:, None] + scale[:, None] * AROUND for side in (-1, 1)]
            cuts.append(-B / (2 * A) + np.broadcast_to(AROUND / abs(A) ** 0.5, (len(r), len(AROUND))))
        s, w = panels(np.sort(np.clip(np.concatenate(cuts, axis=1), low, high), axis=1), pieces)
        kept = w > 0
        s, r, w = s[kept], np.broadcast_to(r[:, None], w.shape)[kept], (w * weight[:, None])[kept]
        (log_p, *slopes), (log_q, *others) = logs(p, d, s, r), logs(q, d, s, r)
        mass = np.exp(log_p) * w
        square = sum((a - b) ** 2 for a, b in zip(slopes, others, strict=True))
        total += (mass * (log_p - log_q)).sum(), (mass * square).sum()
    return total


def placed(law, direction):
    w, m, v = zip(*law, strict=True)
    return GaussianMixture(w, np.outer(m, direction), v)


def check(p, q, d, direction, kl_within, fisher_within):
    exact = nested(p, q, d)
    p, q = placed(p, direction), placed(q, direction)
    for (value, error), truth, enough in zip((kl(p, q), fisher(p, q, half=False)), exact, (kl_within, fisher_within), strict=True):
        assert abs(value - truth) <= error <= enough * truth, (value, error, truth)


UNIT = [(1.0, 0.0, 1.0)]
PLANE = ([1.0, 0.0], [0.6, 0.8])


@pytest.mark.parametrize("d, q", [pytest.param(3, [(0.4, -0.5, 0.01), (0.6, 1.0, 0.02)], marks=pytest.mark.slow),
                                  (2, [(0.5, -1.0, 0.04), (0.5, 1.0, 0.04)])])
def test_the_truth_stands_still(d, q):
    np.testing.assert_allclose(nested(UNIT, q, d), nested(UNIT, q, d, pieces=2), rtol=1e-13)


@pytest.mark.parametrize("std", [0.01, 0.001])
@pytest.mark.parametrize("off", [1e-3, pytest.param(1e-2, marks=pytest.mark.slow)])
def test_a_surface_behind_the_outermost_nodes(std, off):
    """It runs along a face of boxes, closer to it than any node: with boxes that know nothing of it 6e-5 of Fisher's is lost."""
    check(UNIT, [(0.5, -1.0, std**2), (0.5, 1.0 + off, std**2)], 2, PLANE[0], 1e-10, 1e-10)


@pytest.mark.parametrize("p, q, direction", [
    (UNIT, [(0.5, 1.0, 0.01), (0.5, 0.0, 1.0)], PLANE[0]),
    pytest.param(UNIT, [(0.4, -0.5, 0.01), (0.6, 1.0, 0.0025)], PLANE[0], marks=pytest.mark.slow),
    pytest.param(UNIT, [(0.3, -0.5, 0.0025), (0.3, 1.0, 0.0025), (0.4, 0.0, 1.0)], PLANE[1], marks=pytest.mark.slow),
    ([(0.3, -1.0, 1.0), (0.7, 0.8, 0.3)], [(0.4, -0.5, 0.01), (0.6, 1.0, 0.8)], PLANE[1]),
])
def test_the_plane(p, q, direction):
    check(p, q, 2, direction, 1e-10, 1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:expectation. the error estimate")
@pytest.mark.parametrize("scale", [1e-2, 1e-4])
@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_a_thin_surface_askew(scale, ratio):
    """More boxes would be needed than there may be: the error says so."""
    q = [(0.4, -0.5, scale**2), (0.6, 1.0, ratio * scale**2)]
    check(UNIT, q, 2, PLANE[1], 1e-7, 1e-3)


SPACE = [0.36, 0.48, 0.8]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:expectation. the error estimate")
@pytest.mark.parametrize("p, q, direction, kl_within, fisher_within", [
    (UNIT, [(0.5, 1.0, 0.01), (0.5, 0.0, 1.0)], [1.0, 0.0, 0.0], 1e-8, 1e-7),
    (UNIT, [(0.5, 1.0, 1 / 9), (0.5, 0.0, 1.0)], [1.0, 0.0, 0.0], 1e-8, 1e-7),
    (UNIT, [(0.4, -0.5, 0.04), (0.6, 1.0, 0.04)], [1.0, 0.0, 0.0], 1e-7, 1e-6),
    (UNIT, [(0.3, -0.5, 1 / 64), (0.3, 1.0, 1 / 64), (0.4, 0.0, 1.0)], SPACE, 1e-4, 1e-3),
    (UNIT, [(0.4, -0.5, 1 / 900), (0.6, 1.0, 1 / 500)], SPACE, 1e-3, 0.1),
    ([(0.3, -1.0, 1.0), (0.7, 0.8, 0.3)], [(0.4, -0.5, 0.06), (0.6, 1.0, 0.8)], [1.0, 0.0, 0.0], 1e-5, 1e-3),
])
def test_space(p, q, direction, kl_within, fisher_within):
    """Errors are honest, and small where a few million nodes suffice."""
    check(p, q, 3, direction, kl_within, fisher_within)


def test_space_within_a_second():
    """The smallest box meshes: 1e-6 and less is asked of few nodes."""
    q = [(0.5, 1.0, 0.01), (0.5, 0.0, 1.0)]
    exact = nested(UNIT, q, 3)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value, error = fisher(placed(UNIT, [1.0, 0.0, 0.0]), placed(q, [1.0, 0.0, 0.0]), half=False, max_nodes=1_000_000)
    assert abs(value - exact) <= error <= 1e-3 * exact


@pytest.mark.parametrize("d", [2, 3])
def test_no_log_ratio_that_matters_changes_by_more_than_is_said(d):
    """Points drawn in boxes: where a component comes within e^-38 of the highest, its log-ratio to that stays within the bound."""
    rng = np.random.default_rng(0)
    law = Heights(rng.normal(size=4), rng.normal(size=(4, d)), rng.normal(size=(4, d, d)) * 3)
    low = rng.uniform(-2, 2, (200, d))
    high = low + rng.uniform(0.05, 1.0, (200, d))
    bound = steepness(law, low, high)
    assert (bound == 0).any() and (bound > 0).any()
    for a, b, most in zip(low, high, bound, strict=True):
        u = rng.uniform(a, b, (300, d))
        h = law(u)
        top = law(((a + b) / 2)[None]).argmax()
        for i in range(d):
            start, end = u.copy(), u.copy()
            start[:, i], end[:, i] = a[i], b[i]
            change = np.abs((law(end)[:, [top]] - law(end)) - (law(start)[:, [top]] - law(start))).max(axis=0)
            assert (change[(h[:, [top]] - h).min(axis=0) < 38] <= most[i] * (1 + 1e-12)).all()
