"""Ladders of a density's own log-density and score: one dimension, three, far from everything, correlated."""

from __future__ import annotations

from refscore.conformance.ladders.setting import FEW, Rung, Setting, asked_again, large, many, mixture, points, quadratic_energy


@asked_again
def own(s: Setting) -> list[Rung]:
    return [
        Rung("d = 1, one row, mixture", {"spec": mixture(1), "x": points(1, 1)}),
        Rung("d = 1, batch of 7, mixture", {"spec": mixture(1), "x": points(7, 1)}),
        Rung("d = 3, batch of 7, mixture", {"spec": mixture(3), "x": points(7, 3)}),
        Rung("d = 5, correlated Gaussian", {"spec": quadratic_energy(5), "x": points(7, 5)}),
        many(Rung("d = 1, mixture", {"spec": mixture(1), "x": points(FEW, 1)})),
        *large(Rung("d = 3, batch of 3, mixture", {"spec": mixture(3), "x": points(3, 3)})),
        Rung("d = 3, 40 widths away, mixture", {"spec": mixture(3), "x": 20 * points(4, 3)}),
    ]
