"""Ladders of the forward process and of Tweedie's formula: from one time to distinct times, and to both ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from refscore.conformance.ladders.setting import FEW, Rung, Setting, asked_again, large, many, noise, other, points

NEAR_ZERO = 1e-12
"""As a part of the whole time: 1 - exp(-x) has lost most of its digits there."""
EARLIER = 2e-4


@asked_again
def scale(s: Setting) -> list[Rung]:
    """alpha, sigma and diffusion: functions of t alone."""
    rungs = [Rung("one time", {"t": np.atleast_1d(s.time(0.4))}), Rung("distinct times", {"t": s.times(7)}),
             Rung("an early time", {"t": np.atleast_1d(s.time(1e-3))})]
    if s.chain:
        n = int(s.end)
        ends = np.unique(np.clip([1, 2, 3, 4, n - 3, n - 2, n - 1, n], 1, n))
        return [*rungs, Rung("index 1 and 2", {"t": np.array([1, min(2, n)])}), Rung("the first and the last indices", {"t": ends}),
                Rung("every index", {"t": np.arange(1, n + 1)}), Rung("the last index", {"t": s.time(np.ones(1))})]
    return [*rungs, Rung("late times", {"t": s.time(np.array([0.97, 0.99, 0.999, max(s.last, 0.9999)]))}),
            Rung("t near 0", {"t": s.end * np.array([NEAR_ZERO, 3 * NEAR_ZERO])})]


def intensity(s: Setting) -> list[Rung]:
    """diffusion: not where it nearly vanishes, as SubVP's sqrt(beta (1 - exp(-2B))) does near t = 0 and loses its digits."""
    rungs = [r for r in scale(s) if r.name != "t near 0"]
    early, earlier = (float(s.process.diffusion(s.time(f))) for f in (1e-3, EARLIER))
    return [*rungs, Rung("an earlier time", {"t": np.atleast_1d(s.time(EARLIER))})] if earlier > early / 2 else rungs


def strictly(s: Setting) -> list[Rung]:
    """sigma, to the last digit near t = 0."""
    return [replace(r, strict=r.name == "t near 0") for r in scale(s)]


@asked_again
def drift(s: Setting) -> list[Rung]:
    return _climb(s, lambda name, n, d, t: Rung(name, {"x": points(n, d), "t": t}))


@asked_again
def corrupt(s: Setting) -> list[Rung]:
    silent = Rung("no noise", {"x0": points(1, 1), "t": np.atleast_1d(s.time(0.4)), "noise": np.zeros((1, 1))})
    return [silent, *_climb(s, lambda name, n, d, t: Rung(name, {"x0": points(n, d), "t": t, "noise": noise(n, d)}))]


@asked_again
def conditional_score(s: Setting) -> list[Rung]:
    return _climb(s, lambda name, n, d, t: Rung(name, {"xt": points(n, d), "x0": points(n, d, 1), "t": t}))


def convert(s: Setting) -> list[Rung]:
    """Every pair of parametrisations, equal ones too, at all kinds of times; and large numbers in a square batch."""
    def at(a: str, b: str, name: str, n: int, d: int, t) -> Rung:
        arguments = {"value": points(n, d, 2), "xt": points(n, d), "t": t, "source": a, "target": b}
        return Rung(f"{a} to {b}, {name}", arguments)

    kinds = ("score", "eps", "x0", "v")
    pairs = [(a, b) for a in kinds for b in kinds]
    return [*[at(*pair, "d = 3, distinct times", 7, 3, s.times(7)) for pair in pairs],
            other(at("v", "score", "d = 3, distinct times", 7, 3, s.times(7))),
            many(at("eps", "x0", "d = 1, distinct times", FEW, 1, s.times(FEW))),
            *[r for pair in pairs for r in large(at(*pair, "d = 4, batch of 4, from the first time to the last", 4, 4, s.ends()))]]


@asked_again
def denoise(s: Setting) -> list[Rung]:
    def at(kind: str, name: str, n: int, d: int, t) -> Rung:
        model = s.models(d, takes_time=True, mixtures=True)[kind]
        return Rung(f"{name}, {kind}", {"model": model, "xt": points(n, d), "t": t})

    return [*_climb(s, lambda *case: at("linear model", *case)),
            *[at(kind, "d = 5", 7, 5, s.times(7)) for kind in ("one hidden layer", "two hidden layers", "mixture")]]


def _climb(s: Setting, rung: Callable[..., Rung]) -> list[Rung]:
    """A rung for each case, from simple to general; a large batch, large numbers, and both ends of time."""
    cases = [
        ("d = 1, one row", 1, 1, np.atleast_1d(s.time(0.4))),
        ("d = 3, batch of 7 at one time", 7, 3, np.full(7, s.time(0.4))),
        ("d = 3, distinct times", 7, 3, s.times(7)),
    ]
    return [*[rung(*case) for case in cases], many(rung("d = 1, distinct times", FEW, 1, s.times(FEW))),
            *large(rung("d = 3, batch of 3", 3, 3, s.times(3))), rung("d = 5, from the first time to the last", 4, 5, s.ends())]
