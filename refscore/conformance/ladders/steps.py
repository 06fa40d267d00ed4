"""Ladders of the samplers' steps: the parts of a step by themselves first, then all of it, then its first and last step.

Where noise is an argument a step is a function, and is compared as one. Without a model and without noise what is left is the
drift; without noise, drift and score; the noise comes last: which rung fails first says which coefficient is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore.conformance.ladders.setting import FEW, Rung, Setting, asked_again, large, many, noise, points

_STEPS = (
    ("d = 1, linear model", 1, 1, "linear model"),
    ("d = 3, batch of 7, one hidden layer", 7, 3, "one hidden layer"),
    ("d = 5, batch of 7, two hidden layers", 7, 5, "two hidden layers"),
)


def _parts(s: Setting, takes_time: bool, mixtures: bool = False):
    """(name, model, x, noise) from the parts to the whole."""
    silent = np.zeros((1, 1))
    yield "model 0, no noise", s.nothing(1, takes_time), points(1, 1), silent
    yield "linear model, no noise", s.models(1, takes_time=takes_time)["linear model"], points(1, 1), silent
    yield "model 0, with noise", s.nothing(1, takes_time), points(1, 1), noise(1, 1)
    for name, n, d, kind in _STEPS:
        yield name, s.models(d, takes_time=takes_time)[kind], points(n, d), noise(n, d)
    if mixtures:
        yield "d = 3, batch of 7, mixture", s.models(3, takes_time=takes_time, mixtures=True)["mixture"], points(7, 3), noise(7, 3)


def _more(s: Setting, takes_time: bool, rung: Callable[..., Rung]) -> list[Rung]:
    """A large batch, and a square one of large numbers: what is clipped on the way."""
    def at(name: str, n: int, d: int) -> Rung:
        return rung(name, s.models(d, takes_time=takes_time)["linear model"], points(n, d), noise(n, d))

    return [many(at("d = 1, linear model", FEW, 1)), *large(at("d = 3, batch of 3, linear model", 3, 3))]


@asked_again
def langevin(s: Setting) -> list[Rung]:
    def at(h: float, name: str, m, x, z) -> Rung:
        return Rung(f"{name}, step {h}", {"model": m, "x": x, "step": h, "noise": z})

    steps = (0.3, 0.3, 0.3, 0.3, 0.07, 1.3, 0.02)
    *rungs, last = [at(h, *part) for part, h in zip(_parts(s, False, mixtures=True), steps, strict=True)]
    return [*rungs, *_more(s, False, lambda *part: at(0.004, *part)), last]


@asked_again
def annealed(s: Setting) -> list[Rung]:
    """One level, one step; two levels; three levels that are no geometric sequence, two steps at each; many levels and steps."""
    def at(sigmas: tuple[float, ...], count: int, eps: float, name: str, m, x, z) -> Rung:
        kicks = noise(len(sigmas), count, *x.shape) if z.any() else np.zeros((len(sigmas), count, *x.shape))
        arguments = {"model": m, "x": x, "sigmas": np.array(sigmas), "eps": eps, "n_steps": count, "noise": kicks}
        return Rung(f"{name}, {len(sigmas)} levels of {count} steps, eps = {eps}", arguments)

    three = (2.0, 0.9, 0.5)
    cases = (((0.8,), 1, 0.02), ((0.8,), 1, 0.02), ((1.4, 0.5), 1, 0.02), ((1.4, 0.5), 1, 0.3), (three, 2, 0.07), (three, 3, 0.004))
    *rungs, last = [at(*case, *part) for part, case in zip(_parts(s, True), cases, strict=True)]
    kind = "one hidden layer"  # which sees the level
    part = (f"d = 1, {kind}", s.models(1, takes_time=True)[kind], points(1, 1), noise(1, 1))
    longest = at((3.0, 2.1, 1.6, 0.9, 0.7, 0.4), 7, 0.01, *part)
    return [*rungs, *_more(s, True, lambda *part: at((1.4, 0.5), 2, 0.02, *part)), longest, last]


@asked_again
def reverse(s: Setting) -> list[Rung]:
    """Short and long steps at different times, from the last one, a tiny one, and one down to 0."""
    def at(t: float, to: float, name: str, m, x, z) -> Rung:
        t, to = float(s.time(t)), float(s.time(to))
        return Rung(f"{name}, from {t:.5g} to {to:.5g}", {"model": m, "x": x, "t": t, "s": to, "noise": z})

    ends = ((0.5, 0.45), (0.5, 0.45), (0.5, 0.45), (0.51374, 0.30628), (0.90417, 0.83459), (0.13282, 0.06371), (0.05, 0.0))
    *rungs, last = [at(*end, *part) for part, end in zip(_parts(s, True, mixtures=True), ends, strict=True)]
    m = s.models(3, takes_time=True)["one hidden layer"]
    first = at(s.last, 0.97, "d = 3, batch of 7, one hidden layer", m, points(7, 3), noise(7, 3))
    return [*rungs, *_more(s, True, lambda *part: at(0.6, 0.59999, *part)), first, last]


@asked_again
def flow(s: Setting) -> list[Rung]:
    def at(name: str, kind: str, n: int, d: int, t) -> Rung:
        model = s.models(d, takes_time=True, mixtures=True)[kind]
        return Rung(name, {"model": model, "x": points(n, d), "t": t})

    rungs = [Rung("d = 1, model 0", {"model": s.nothing(1, True), "x": points(1, 1), "t": np.atleast_1d(s.time(0.5))})]
    cases = (*_STEPS, ("d = 3, batch of 7, mixture", 7, 3, "mixture"))
    for (name, n, d, kind), t in zip(cases, (0.5, 0.2, 0.9, 0.05), strict=True):
        rungs.append(at(f"{name}, t = {s.time(t):.3g}", kind, n, d, np.full(n, s.time(t))))
    return [*rungs[:-1], at("d = 3, batch of 7, distinct times", "one hidden layer", 7, 3, s.times(7)),
            many(at("d = 1, linear model, distinct times", "linear model", FEW, 1, s.times(FEW))),
            *large(at("d = 3, batch of 3, linear model, distinct times", "linear model", 3, 3, s.times(3))),
            at("d = 5, from the first time to the last", "one hidden layer", 4, 5, s.ends()), rungs[-1]]


@asked_again
def ancestral(s: Setting) -> list[Rung]:
    """In the middle, at both ends: from N, from 2 to 1, and from 1 to 0, where there is no noise."""
    def at(i: int, name: str, m, x, z) -> Rung:
        return Rung(f"{name}, index {i}", {"model": m, "x": x, "index": i, "noise": z})

    n = int(s.end)
    index = (s.time(0.5), s.time(0.5), s.time(0.5), s.time(0.37), s.time(0.8), s.time(0.2), min(2, n))
    rungs = [at(i, *part) for part, i in zip(_parts(s, True, mixtures=True), index, strict=True)]
    m = s.models(3, takes_time=True)["one hidden layer"]

    def step(name: str, i: int) -> Rung:
        return at(i, f"the {name} step", m, points(7, 3), noise(7, 3))

    return [*rungs[:-1], step("second", max(1, n - 1)), step("last but two", min(3, n)), rungs[-1],
            *_more(s, True, lambda *part: at(s.time(0.6), *part)), step("first", n), step("last", 1)]


@asked_again
def implicit(s: Setting) -> list[Rung]:
    """eta = 0, where there is no noise; 1; and others, which not all have: over one index or several, at both ends."""
    def at(i: int, j: int, eta: float, name: str, m, x, z) -> Rung:
        arguments = {"model": m, "x": x, "index": i, "prev_index": j, "eta": eta, "noise": z}
        return Rung(f"{name}, eta = {eta}, {i} to {j}", arguments)

    n = int(s.end)
    mid, low = s.time(0.5), s.time(0.3)
    etas = (0.0, 0.0, 1.0, 1.0, 0.2, 1.0, 0.75)
    jumps = ((mid, max(0, mid - 1)), (mid, max(0, mid - 1)), (mid, max(0, mid - 1)), (mid, min(low, mid - 1)),
             (s.time(0.8), min(s.time(0.35), s.time(0.8) - 1)), (s.time(0.9), s.time(0.9) - 1), (n, n - 1))
    rungs = [at(*jump, eta, *part) for part, jump, eta in zip(_parts(s, True, mixtures=True), jumps, etas, strict=True)]
    m = s.models(3, takes_time=True)["one hidden layer"]
    few = min(n, 5)
    ends = (("the first step", n, max(0, n - 7), 0.5), ("the last but one step", min(2, n), min(1, n - 1), 1.0),
            ("the last step", 1, 0, 0.5), ("the last step", min(2, n), 0, 1.0), ("a long step", s.time(0.8), s.time(0.35), 0.0),
            ("the last step", few, 0, 0.0))
    return [*rungs, *_more(s, True, lambda *part: at(s.time(0.6), s.time(0.6) - 1, 1.0, *part)),
            *[at(i, min(j, i - 1), eta, name, m, points(7, 3), noise(7, 3)) for name, i, j, eta in ends]]


@asked_again
def posterior(s: Setting) -> list[Rung]:
    def at(name: str, rows: int, d: int, i: int) -> Rung:
        return Rung(f"{name}, index {i}", {"x0": points(rows, d), "xt": points(rows, d, 1), "index": i})

    n = int(s.end)
    cases = (("d = 1, one row", 1, 1, s.time(0.5)), ("d = 3, batch of 7", 7, 3, s.time(0.3)), ("the last index", 7, 3, n),
             ("index 2", 7, 3, min(2, n)), ("index 1", 7, 3, 1))
    return [*[at(*case) for case in cases], many(at("d = 1", FEW, 1, s.time(0.6))),
            *large(at("d = 3, batch of 3", 3, 3, s.time(0.6))), at("d = 5", 7, 5, s.time(0.8))]
