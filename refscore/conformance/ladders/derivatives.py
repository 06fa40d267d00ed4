"""Ladders of the derivatives of a model: from one number to Jacobians that are not symmetric."""

from __future__ import annotations

from collections.abc import Callable

from refscore.conformance.ladders.setting import FEW, LARGE, Rung, Setting, asked_again, large, many, noise, points

_STEPS = (
    ("d = 1, linear model", 1, 1, "linear model"),
    ("d = 3, one row, linear model", 1, 3, "linear model"),
    ("d = 3, batch of 7, one hidden layer", 7, 3, "one hidden layer"),
    ("d = 5, batch of 7, two hidden layers", 7, 5, "two hidden layers"),
    ("d = 3, batch of 7, mixture", 7, 3, "mixture"),
)


@asked_again
def along(s: Setting) -> list[Rung]:
    """jvp and hutchinson: a direction a row, none of length 1."""
    return _climb(s, lambda name, n, d, kind: Rung(name, {"model": _model(s, d, kind), "x": points(n, d), "v": noise(n, d)}))


@asked_again
def divergence(s: Setting) -> list[Rung]:
    return _climb(s, lambda name, n, d, kind: Rung(name, {"model": _model(s, d, kind), "x": points(n, d)}), LARGE)


def _climb(s: Setting, rung: Callable[[str, int, int, str], Rung], factor: float = 1.25) -> list[Rung]:
    """A rung for each of the steps; before the most general one a large batch, and a square one of large numbers.

    Where models are energies a mixture is one too, and no vector field.
    """
    *steps, last = (rung(*step) for step in _STEPS)
    return [*steps, many(rung("d = 1, one hidden layer", FEW, 1, "one hidden layer")),
            *large(rung("d = 3, batch of 3, linear model", 3, 3, "linear model"), factor), *([] if s.energies else [last])]


def _model(s: Setting, d: int, kind: str):
    return (s if s.scores else Setting()).models(d, mixtures=True)[kind]  # of vector fields, unless those of scores are asked for
