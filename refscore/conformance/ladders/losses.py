"""Ladders of the losses and of their gradients: from one row in one dimension to networks in five, sigma from 1 to generic."""

from __future__ import annotations

import numpy as np

from refscore.conformance.ladders.setting import Rung, Setting, noise, points

_STEPS = (
    ("d = 1, one row, linear model", 1, 1, "linear model"),
    ("d = 3, one row, linear model", 1, 3, "linear model"),
    ("d = 3, batch of 7, linear model", 7, 3, "linear model"),
    ("d = 3, batch of 7, one hidden layer", 7, 3, "one hidden layer"),
    ("d = 5, batch of 7, two hidden layers", 7, 5, "two hidden layers"),
)


def explicit(s: Setting) -> list[Rung]:
    return [Rung(name, {"model": s.models(d)[kind], "x": points(n, d), "true_score": points(n, d, 1)})
            for name, n, d, kind in _STEPS]


def implicit(s: Setting) -> list[Rung]:
    return [Rung(name, {"model": s.models(d)[kind], "x": points(n, d)}) for name, n, d, kind in _STEPS]


def sliced(s: Setting) -> list[Rung]:
    return [Rung(name, {"model": s.models(d)[kind], "x": points(n, d), "v": noise(n, d)}) for name, n, d, kind in _STEPS]


def denoising(s: Setting) -> list[Rung]:
    """One noise level, first 1, where sigma, sigma^2 and 1/sigma are the same."""
    levels = (1.0, 0.6, 0.6, 1.7, 0.3)
    first = [Rung("d = 1, one row, linear model, sigma = 1", _dsm(s, 1, 1, "linear model", 1.0))]
    return first + [Rung(f"{name}, sigma = {sigma}", _dsm(s, n, d, kind, sigma)) for (name, n, d, kind), sigma in
                    zip(_STEPS, (0.6, *levels[1:]), strict=True)]


def _dsm(s: Setting, n: int, d: int, kind: str, sigma: float) -> dict:
    return {"model": s.models(d)[kind], "x0": points(n, d), "sigma": sigma, "noise": noise(n, d)}


def along_process(s: Setting) -> list[Rung]:
    rungs = []
    for name, n, d, kind in _STEPS:
        model = s.models(d, takes_time=True)[kind]
        times = s.times(n) if n > 1 else np.atleast_1d(s.time(0.4))
        if n > 1 and kind == "linear model":
            rungs.append(Rung(f"{name}, one time", _process(model, n, d, "t", np.full(n, s.time(0.4)))))
        rungs.append(Rung(name if n == 1 else f"{name}, distinct times", _process(model, n, d, "t", times)))
    model = s.models(3, takes_time=True)["one hidden layer"]
    early = s.time(np.array([0.02, 0.95, 0.05, 0.8]))
    return [*rungs[:-1], Rung("d = 3, early and late", _process(model, 4, 3, "t", early)), rungs[-1]]


def noise_prediction(s: Setting) -> list[Rung]:
    """L_simple: as along the process, the times being indices."""
    rungs = along_process(s)
    return [Rung(r.name.replace("times", "indices").replace("time", "index"),
                 {"index" if key == "t" else key: value for key, value in r.arguments.items()}) for r in rungs]


def _process(model, n: int, d: int, name: str, t) -> dict:
    return {"model": model, "x0": points(n, d), name: t, "noise": noise(n, d)}


def ladder_of_levels(s: Setting) -> list[Rung]:
    """NCSN: one level, one level a row of several, levels that are no geometric sequence."""
    rungs = []
    for name, n, d, kind in _STEPS:
        model = s.models(d, takes_time=True)[kind]
        sigmas = np.array([1.0]) if d == 1 else np.array([2.5, 1.1, 0.6, 0.25])
        index = np.zeros(n, dtype=np.int64) if d == 1 else (2 + 3 * np.arange(n)) % 4
        rungs.append(Rung(f"{name}, {len(sigmas)} levels",
                          {"model": model, "x0": points(n, d), "sigmas": sigmas, "index": index, "noise": noise(n, d)}))
    return rungs
