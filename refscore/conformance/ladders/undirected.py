"""Ladders of Boltzmann machines and of Markov random fields: from one unit to unequal layers, from one pixel to borders."""

from __future__ import annotations

import numpy as np

from refscore.conformance.ladders.setting import Rung, Setting, asked_again, short

_LAYERS = (("one unit and one", 1, 1, 1.0), ("4 visible, 3 hidden", 4, 3, 1.0), ("3 visible, 6 hidden", 3, 6, 1.5),
           ("4 visible, 4 hidden", 4, 4, 1.0), ("9 visible, 7 hidden", 9, 7, 1.0),
           ("weights that overflow exp", 5, 4, 500.0))


def machine(v: int, m: int, size: float = 1.0) -> dict[str, np.ndarray]:
    """W, b, c of this size, biased and without symmetry."""
    rng = np.random.default_rng([v, m, 5])
    return {"W": short(size * rng.standard_normal((v, m))), "b": short(size * rng.standard_normal(v) - 0.4),
            "c": short(size * rng.standard_normal(m) + 0.3)}


def slow_machine() -> dict[str, np.ndarray]:
    """Two modes, all units off and all on, the second the rarer one and left slowly: every sweep from it counts."""
    W = 3 * (1 + 0.2 * np.cos(np.arange(9.0)).reshape(3, 3))
    return {"W": W, "b": -0.8 * W.sum(axis=1), "c": -0.5 * W.sum(axis=0)}


def bits(n: int, units: int) -> np.ndarray:
    """(n, units) of 0 and 1, more ones than zeros."""
    return (np.random.default_rng([n, units, 6]).random((n, units)) < 0.6).astype(np.float64)


@asked_again
def visible(s: Setting) -> list[Rung]:
    """The last activations are not quite linear; PyTorch's softplus is from 20 on, off by more than rounding up to 36."""
    steep = {**machine(5, 4), "c": np.array([12.5, 15.0, -14.0, 15.5])}
    return [*[Rung(name, {"x": bits(5 if v > 1 else 1, v), **machine(v, m, size)}) for name, v, m, size in _LAYERS],
            Rung("activations from 10 to 20", {"x": bits(5, 5), **steep})]


@asked_again
def hidden(s: Setting) -> list[Rung]:
    steep = {**machine(4, 5), "b": np.array([12.5, 15.0, -14.0, 15.5])}
    return [*[Rung(name, {"z": bits(5 if v > 1 else 1, m), **machine(v, m, size)}) for name, v, m, size in _LAYERS],
            Rung("activations from 10 to 20", {"z": bits(5, 5), **steep})]


@asked_again
def partition(s: Setting) -> list[Rung]:
    """Of each layer one rung has more than a thousand states."""
    return [Rung(name, machine(v, m, size)) for name, v, m, size in (*_LAYERS, ("5 visible, 11 hidden", 5, 11, 0.7),
                                                                       ("12 visible, 3 hidden", 12, 3, 0.4))]


def image(height: int, width: int, salt: int = 0) -> np.ndarray:
    """(H, W) of 0 and 1, in patches with noise."""
    rng = np.random.default_rng([height, width, salt])
    smooth = np.cumsum(np.cumsum(rng.standard_normal((height, width)), axis=0), axis=1)
    return ((smooth > np.median(smooth)) ^ (rng.random((height, width)) < 0.2)).astype(np.int64)


_FIELDS = (("one pixel", 1, 1, 1.3, 0.7), ("two pixels, one bond", 1, 2, 1.3, 0.7), ("3 x 3", 3, 3, 1.1, 0.6),
           ("4 x 7", 4, 7, 0.8, 0.5), ("6 x 2, stronger bonds", 6, 2, 0.45, 0.9),
           ("one row of 8", 1, 8, 0.84375, 0.71875), ("one column of 9", 9, 1, 0.84375, 0.71875))
_CONDITIONED = (*_FIELDS, ("4 x 5, neighbours that differ", 4, 5, 0.8, -0.6), ("5 x 4, inverted data", 5, 4, -0.7, 0.4),
                ("3 x 4, no doubt", 3, 4, 9.0, 4.0))


@asked_again
def conditional(s: Setting) -> list[Rung]:
    return [Rung(name, {"y": image(h, w, 1), "x": image(h, w), "unary": u, "pairwise": p})
            for name, h, w, u, p in _CONDITIONED]


@asked_again
def best(s: Setting) -> list[Rung]:
    """The last images are such that no pixel by pixel improvement, and no marginal, finds the best."""
    more = (("5 x 5, weak data", 5, 5, 0.55, 0.5), ("6 x 9, weak data", 6, 9, 0.63, 0.53), ("4 x 12", 4, 12, 0.71, 0.58),
            ("10 x 4", 10, 4, 0.7071, 0.5774), ("5 x 4, inverted data", 5, 4, -0.7, 0.43))
    return [Rung(name, {"x": image(h, w), "unary": u, "pairwise": p}) for name, h, w, u, p in (*_FIELDS, *more)]


def nothing(s: Setting) -> list[Rung]:
    """Contrastive divergence has tests of its own, `refscore.conformance.contrastive`."""
    return []
