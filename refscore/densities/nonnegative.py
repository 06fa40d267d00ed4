r"""Densities from any function f of the line: p = e^f/Z, f^2/Z or |f|/Z (systems A7).

    p        exp f      f^2                      |f|
    s        f'         2 f'/f                   f'/f
    Ds       f''        2 f''/f - 2 (f'/f)^2     f''/f - (f'/f)^2

Z is an integral in every case, and the score needs it in none. What exp f has and the others have not: it is never zero. A zero x_0
of f splits the support of f^2 and |f|, s ~ k/(x - x_0) with k = 2 or 1 (systems A8):

    f^2    E s^2 = 4 int f'^2/Z is finite, and p s vanishes at x_0: integration by parts holds. But c_1 f^2 to the left and
           c_2 f^2 to the right of x_0 have the same score: it does not determine the density
    |f|    E s^2 is infinite (logarithmically), and p s jumps by 2 |f'(x_0)|/Z there
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from refscore import _panels, _validate
from refscore.densities.unnormalized import UnnormalizedDensity, pieces

_POWERS = {"square": 2, "abs": 1}
_MOST_ZEROS = 100


def nonnegative(
    f: Callable, slope: Callable, form: str, support=(-math.inf, math.inf), curvature: Callable | None = None
) -> UnnormalizedDensity:
    """The density proportional to exp f, f^2 or |f|.

    Parameters
    ----------
    f, slope, curvature : callable, (n,) -> (n,)
        f, f' and, optional, f'' (differences of the score otherwise).
    form : 'exp', 'square' or 'abs'
    support : as in `UnnormalizedDensity`
        For 'square' and 'abs' it is cut where f changes sign, as seen on a grid; a zero that f touches only must be cut by hand.

    Raises ValueError for an unknown form, and what is not normalisable. Source: systems A7; [e, "Non-negative functions"].
    """
    if _validate.choice(form, "form", ("exp", *_POWERS)) == "exp":
        return UnnormalizedDensity(f, support, slope, curvature)
    power = _POWERS[form]

    def log_p(x):
        with np.errstate(divide="ignore"):
            return power * np.log(np.abs(f(x)))

    def ratio(x, g):  # g/f; one rounding away from a zero f may come out as zero itself
        y = np.asarray(f(x), dtype=np.float64)
        return g / np.where(y == 0, slope(x) * np.spacing(x), y)

    def first(x):
        return power * ratio(x, slope(x))

    def second(x):
        assert curvature is not None
        return power * (ratio(x, curvature(x)) - ratio(x, slope(x)) ** 2)

    return UnnormalizedDensity(log_p, _cut_at_zeros(f, pieces(support)), first, curvature and second)


def _cut_at_zeros(f: Callable, support) -> np.ndarray:
    """The pieces, cut where f changes sign."""
    from scipy.optimize import brentq

    cut = []
    for low, high in support:
        x = _panels.survey(low, high)
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.asarray(f(x), dtype=np.float64)
        x, y = x[y != 0], y[y != 0]  # zeros themselves lie between two signs, or are underflow
        changes = np.flatnonzero((y[1:] > 0) != (y[:-1] > 0))
        if len(changes) > _MOST_ZEROS:
            raise ValueError(f"f changes sign at least {len(changes)} times on ({low}, {high}): a density with so many gaps is not "
                             "resolved; restrict the support")
        inner = [brentq(lambda t: float(f(np.array([t]))[0]), x[i], x[i + 1], xtol=1e-300, rtol=4 * _panels.EPS) for i in changes]
        edges = [low, *inner, high]
        cut += list(zip(edges[:-1], edges[1:], strict=True))
    return np.array(cut)
