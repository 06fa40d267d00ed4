"""Ladders of the losses and of their gradients: from one row in one dimension to networks in five, sigma from 1 to generic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refscore.conformance.ladders.setting import FEW, Rung, Setting, asked_again, large, many, noise, points

_STEPS = (
    ("d = 1, one row, linear model", 1, 1, "linear model"),
    ("d = 3, one row, linear model", 1, 3, "linear model"),
    ("d = 3, batch of 7, linear model", 7, 3, "linear model"),
    ("d = 3, batch of 7, one hidden layer", 7, 3, "one hidden layer"),
    ("d = 5, batch of 7, two hidden layers", 7, 5, "two hidden layers"),
)


def _climb(rung: Callable[[str, int, int, str], Rung]) -> list[Rung]:
    """A rung for each of the steps; before the most general one a large batch, and a square one of large numbers."""
    *steps, last = (rung(*step) for step in _STEPS)
    return [*steps, many(rung("d = 1, linear model", FEW, 1, "linear model")),
            *large(rung("d = 3, batch of 3, linear model", 3, 3, "linear model")), last]


@asked_again
def explicit(s: Setting) -> list[Rung]:
    return _climb(lambda name, n, d, kind: Rung(
        name, {"model": s.models(d)[kind], "x": points(n, d), "true_score": points(n, d, 1)}))


@asked_again
def implicit(s: Setting) -> list[Rung]:
    return _climb(lambda name, n, d, kind: Rung(name, {"model": s.models(d)[kind], "x": points(n, d)}))


@asked_again
def sliced(s: Setting) -> list[Rung]:
    return _climb(lambda name, n, d, kind: Rung(name, {"model": s.models(d)[kind], "x": points(n, d), "v": noise(n, d)}))


@asked_again
def denoising(s: Setting) -> list[Rung]:
    """One noise level, first 1, where sigma, sigma^2 and 1/sigma are the same; a small and a large one."""
    def at(sigma: float, name: str, n: int, d: int, kind: str) -> Rung:
        model = s.models(d)[kind]
        return Rung(f"{name}, sigma = {sigma}", {"model": model, "x0": points(n, d), "sigma": sigma, "noise": noise(n, d)})

    levels = {"two hidden layers": 0.3, "one hidden layer": 1.7}
    rungs = _climb(lambda *step: at(levels.get(step[-1], 0.6), *step))
    far = [] if s.energies else [50.0]  # where a network saturates nothing is left of its derivatives but rounding
    return [at(1.0, *_STEPS[0]), *rungs[:-1], *[at(sigma, *_STEPS[2]) for sigma in (0.01, *far)], rungs[-1]]


@asked_again
def along_process(s: Setting) -> list[Rung]:
    def at(name: str, n: int, d: int, kind: str, t: Any = None) -> Rung:
        t = t if t is not None else s.times(n) if n > 1 else np.atleast_1d(s.time(0.4))
        model = s.models(d, takes_time=True)[kind]
        return Rung(name, {"model": model, "x0": points(n, d), "t": t, "noise": noise(n, d)})

    rungs = _climb(lambda name, n, d, kind: at(name if n == 1 else f"{name}, distinct times", n, d, kind))
    name, n, d, kind = _STEPS[2]
    more = [at("d = 3, one row near t = 0", 1, 3, "one hidden layer", np.atleast_1d(s.time(s.first))),
            at("d = 3, early and late", 4, 3, "one hidden layer", s.time(np.array([0.02, 0.95, 0.05, s.last])))]
    return [*rungs[:2], at(f"{name}, one time", n, d, kind, np.full(n, s.time(0.4))), *rungs[2:-1], *more, rungs[-1]]


def noise_prediction(s: Setting) -> list[Rung]:
    """L_simple: as along the process, the times being indices."""
    rungs = along_process(s)
    return [Rung(r.name.replace("times", "indices").replace("time", "index"),
                 {"index" if key == "t" else key: value for key, value in r.arguments.items()}) for r in rungs]


@asked_again
def ladder_of_levels(s: Setting) -> list[Rung]:
    """NCSN: one level, one level a row of several, levels that are no geometric sequence, and as many that are far apart."""
    def at(name: str, n: int, d: int, kind: str, levels: Sequence[float] = (2.5, 1.1, 0.6, 0.25)) -> Rung:
        sigmas = np.array([1.0] if n == d == 1 else levels)
        index = (2 + 3 * np.arange(n)) % len(sigmas)
        model = s.models(d, takes_time=True)[kind]
        return Rung(f"{name}, {len(sigmas)} levels",
                    {"model": model, "x0": points(n, d), "sigmas": sigmas, "index": index, "noise": noise(n, d)})

    name, n, d, kind = _STEPS[2]
    rungs = _climb(at)
    return [*rungs[:-1], at(f"{name}, from 50 to 0.01", n, d, kind, (50.0, 3.0, 0.2, 0.01)), rungs[-1]]
