"""Ladders of the samplers' steps: the parts of a step by themselves first, then all of it, then its first and last step.

Where noise is an argument a step is a function, and is compared as one. Without a model and without noise what is left is the
drift; without noise, drift and score; the noise comes last: which rung fails first says which coefficient is wrong.
"""

from __future__ import annotations

import numpy as np

from refscore.conformance.ladders.setting import Rung, Setting, noise, points

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


def langevin(s: Setting) -> list[Rung]:
    steps = (0.3, 0.3, 0.3, 0.3, 0.07, 1.3, 0.02)
    return [Rung(f"{name}, step {h}", {"model": m, "x": x, "step": h, "noise": z})
            for (name, m, x, z), h in zip(_parts(s, False, mixtures=True), steps, strict=True)]


def annealed(s: Setting) -> list[Rung]:
    """One level, one step; two levels; three levels that are no geometric sequence, two steps at each."""
    rungs = []
    cases = (((0.8,), 1), ((0.8,), 1), ((1.4, 0.5), 1), ((1.4, 0.5), 1), ((2.0, 0.9, 0.5), 2), ((2.0, 0.9, 0.5), 3))
    for (name, m, x, z), (sigmas, count) in zip(_parts(s, True), cases, strict=True):
        kicks = noise(len(sigmas), count, *x.shape) if z.any() else np.zeros((len(sigmas), count, *x.shape))
        arguments = {"model": m, "x": x, "sigmas": np.array(sigmas), "eps": 0.02, "n_steps": count, "noise": kicks}
        rungs.append(Rung(f"{name}, {len(sigmas)} levels of {count} steps", arguments))
    return rungs


def reverse(s: Setting) -> list[Rung]:
    """Short and long steps at different times, the last one down to 0."""
    ends = ((0.5, 0.45), (0.5, 0.45), (0.5, 0.45), (0.5, 0.3), (0.9, 0.83), (0.13, 0.06), (0.05, 0.0))
    rungs = []
    for (name, m, x, z), (t, to) in zip(_parts(s, True, mixtures=True), ends, strict=True):
        t, to = float(s.time(t)), float(s.time(to))
        rungs.append(Rung(f"{name}, from {t:.3g} to {to:.3g}", {"model": m, "x": x, "t": t, "s": to, "noise": z}))
    return rungs


def flow(s: Setting) -> list[Rung]:
    rungs = [Rung("d = 1, model 0", {"model": s.nothing(1, True), "x": points(1, 1), "t": np.atleast_1d(s.time(0.5))})]
    cases = (*_STEPS, ("d = 3, batch of 7, mixture", 7, 3, "mixture"))
    for (name, n, d, kind), t in zip(cases, (0.5, 0.2, 0.9, 0.05), strict=True):
        model = s.models(d, takes_time=True, mixtures=True)[kind]
        rungs.append(Rung(f"{name}, t = {s.time(t):.3g}", {"model": model, "x": points(n, d), "t": np.full(n, s.time(t))}))
    model = s.models(3, takes_time=True)["one hidden layer"]
    return [*rungs[:-1], Rung("d = 3, batch of 7, distinct times", {"model": model, "x": points(7, 3), "t": s.times(7)}), rungs[-1]]


def ancestral(s: Setting) -> list[Rung]:
    """In the middle, at both ends: from N, from 2 to 1, and from 1 to 0, where there is no noise."""
    n = int(s.end)
    index = (s.time(0.5), s.time(0.5), s.time(0.5), s.time(0.37), s.time(0.8), s.time(0.2), min(2, n))
    rungs = [Rung(f"{name}, index {i}", {"model": m, "x": x, "index": i, "noise": z})
             for (name, m, x, z), i in zip(_parts(s, True, mixtures=True), index, strict=True)]
    m = s.models(3, takes_time=True)["one hidden layer"]
    return [*rungs, *[Rung(f"the {name} step, index {i}", {"model": m, "x": points(7, 3), "index": i, "noise": noise(7, 3)})
                      for name, i in (("first", n), ("last", 1))]]


def implicit(s: Setting) -> list[Rung]:
    """eta = 0, where there is no noise; 1; and 1/2, steps over several indices, and the last."""
    n = int(s.end)
    mid, low = s.time(0.5), s.time(0.3)
    etas = (0.0, 0.0, 1.0, 0.5, 0.5, 1.0, 0.5)
    jumps = ((mid, max(0, mid - 1)), (mid, max(0, mid - 1)), (mid, max(0, mid - 1)), (mid, min(low, mid - 1)),
             (s.time(0.8), min(s.time(0.35), s.time(0.8) - 1)), (s.time(0.9), s.time(0.9) - 1), (n, n - 1))
    rungs = [Rung(f"{name}, eta = {eta}, {i} to {j}", {"model": m, "x": x, "index": i, "prev_index": j, "eta": eta, "noise": z})
             for (name, m, x, z), (i, j), eta in zip(_parts(s, True, mixtures=True), jumps, etas, strict=True)]
    m = s.models(3, takes_time=True)["one hidden layer"]
    last = {"model": m, "x": points(7, 3), "index": min(2, n), "prev_index": 0, "eta": 0.5, "noise": noise(7, 3)}
    return [*rungs, Rung(f"the last step, {last['index']} to 0", last)]


def posterior(s: Setting) -> list[Rung]:
    n = int(s.end)
    cases = (("d = 1, one row", 1, 1, s.time(0.5)), ("d = 3, batch of 7", 7, 3, s.time(0.3)), ("the last index", 7, 3, n),
             ("index 2", 7, 3, min(2, n)), ("index 1", 7, 3, 1), ("d = 5", 7, 5, s.time(0.8)))
    return [Rung(f"{name}, index {i}", {"x0": points(rows, d), "xt": points(rows, d, 1), "index": i}) for name, rows, d, i in cases]
