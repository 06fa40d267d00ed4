"""Ladders of the derivatives of a model: from one number to Jacobians that are not symmetric."""

from __future__ import annotations

from refscore.conformance.ladders.setting import Rung, Setting, noise, points

_STEPS = (
    ("d = 1, linear model", 1, 1, "linear model"),
    ("d = 3, one row, linear model", 1, 3, "linear model"),
    ("d = 3, batch of 7, one hidden layer", 7, 3, "one hidden layer"),
    ("d = 5, batch of 7, two hidden layers", 7, 5, "two hidden layers"),
    ("d = 3, batch of 7, mixture", 7, 3, "mixture"),
)


def along(s: Setting) -> list[Rung]:
    """jvp and hutchinson: a direction a row."""
    return [Rung(name, {"model": _model(d, kind), "x": points(n, d), "v": noise(n, d)}) for name, n, d, kind in _STEPS]


def divergence(s: Setting) -> list[Rung]:
    return [Rung(name, {"model": _model(d, kind), "x": points(n, d)}) for name, n, d, kind in _STEPS]


def _model(d: int, kind: str):
    return Setting().models(d, mixtures=True)[kind]  # of vector fields, whatever the candidate's models stand for
