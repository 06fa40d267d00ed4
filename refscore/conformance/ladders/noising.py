"""Ladders of the forward process and of Tweedie's formula: from one time to distinct times, and to both ends."""

from __future__ import annotations

import numpy as np

from refscore.conformance.ladders.setting import Rung, Setting, noise, points

NEAR_ZERO = 1e-12
"""As a part of the whole time: 1 - exp(-x) has lost most of its digits there."""

FAR = 30.0
"""Points as far from zero as this show what is clipped."""


def scale(s: Setting, strict: bool = False) -> list[Rung]:
    """alpha, sigma and diffusion: functions of t alone."""
    rungs = [Rung("one time", {"t": np.atleast_1d(s.time(0.4))}), Rung("distinct times", {"t": s.times(7)}),
             Rung("an early time", {"t": np.atleast_1d(s.time(1e-3))})]
    if s.chain:
        n = int(s.end)
        ends = np.unique(np.clip([1, 2, 3, 4, n - 3, n - 2, n - 1, n], 1, n))
        return [*rungs, Rung("index 1 and 2", {"t": np.array([1, min(2, n)])}), Rung("the first and the last indices", {"t": ends}),
                Rung("the last index", {"t": s.time(np.ones(1))})]
    return [*rungs, Rung("late times", {"t": s.time(np.array([0.97, 0.99, 0.999]))}),
            Rung("t near 0", {"t": s.end * np.array([NEAR_ZERO, 3 * NEAR_ZERO])}, strict)]


def intensity(s: Setting) -> list[Rung]:
    """diffusion: not where it nearly vanishes, as SubVP's sqrt(beta (1 - exp(-2B))) does near t = 0 and loses its digits."""
    return [r for r in scale(s) if r.name != "t near 0"]


def strictly(s: Setting) -> list[Rung]:
    """sigma, to the last digit near t = 0."""
    return scale(s, strict=True)


def drift(s: Setting) -> list[Rung]:
    far = Rung("d = 3, far away", {"x": FAR * points(4, 3), "t": s.times(4)})
    return [*[Rung(name, {"x": points(n, d), "t": t}) for name, n, d, t in _cases(s)], far]


def corrupt(s: Setting) -> list[Rung]:
    return [
        Rung("no noise", {"x0": points(1, 1), "t": np.atleast_1d(s.time(0.4)), "noise": np.zeros((1, 1))}),
        *[Rung(name, {"x0": points(n, d), "t": t, "noise": noise(n, d)}) for name, n, d, t in _cases(s)],
        Rung("d = 3, far away", {"x0": FAR * points(4, 3), "t": s.times(4), "noise": noise(4, 3)}),
    ]


def conditional_score(s: Setting) -> list[Rung]:
    return [Rung(name, {"xt": points(n, d), "x0": points(n, d, 1), "t": t}) for name, n, d, t in _cases(s)]


def convert(s: Setting) -> list[Rung]:
    """Every pair of parametrisations."""
    pairs = [(a, b) for a in ("score", "eps", "x0", "v") for b in ("score", "eps", "x0", "v") if a != b]
    return [
        Rung(f"{a} to {b}, {name}", {"value": points(n, d, 2), "xt": points(n, d), "t": t, "source": a, "target": b})
        for name, n, d, t in _cases(s)[2:3]
        for a, b in pairs
    ]


def denoise(s: Setting) -> list[Rung]:
    rungs = [Rung(f"{name}, linear model", {"model": s.models(d, takes_time=True)["linear model"], "xt": points(n, d), "t": t})
             for name, n, d, t in _cases(s)[:3]]
    n, d = 7, 5
    more = s.models(d, takes_time=True, mixtures=True)
    return rungs + [Rung(f"d = 5, {name}", {"model": more[name], "xt": points(n, d), "t": s.times(n)})
                    for name in ("one hidden layer", "two hidden layers", "mixture")]


def _cases(s: Setting):
    """(name, n, d, t), from simple to general."""
    return [
        ("d = 1, one row", 1, 1, np.atleast_1d(s.time(0.4))),
        ("d = 3, batch of 7 at one time", 7, 3, np.full(7, s.time(0.4))),
        ("d = 3, distinct times", 7, 3, s.times(7)),
        ("d = 5, early and late", 4, 5, s.time(np.array([0.01, 0.95, 0.5, 0.1]))),
    ]
