"""Laws: Gaussians, mixtures in all three forms of covariance, Laplace, uniform laws, point sets.

Covariances are C = s^2 I + L L', L lower triangular, which is correlated and positive definite with smallest eigenvalue at least
s^2. Means are at least 1/4 from 0 in every coordinate, so that a sign or an uncentred moment shows. One law in eight is the plain
one of its kind, at (1, ..., d) and of width 1: what all shrink to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refscore.densities import Gaussian, GaussianMixture, Laplace, PointSet, Uniform
from refscore.strategies.batches import DIMENSIONS, array, chosen, integer, made, plainly

SMOOTH = ("gaussian", "isotropic mixture", "diagonal mixture", "full mixture")
"""Those with a score everywhere."""

_FORMS = ("isotropic", "diagonal", "full")
_WIDTHS = st.floats(0.2, 2.0)
_AWAY = st.builds(lambda size, negative: -size if negative else size, st.floats(0.25, 3.0), st.booleans())


def densities(dim: Any = None, kinds: str | Iterable[str] = ("gaussian", "isotropic mixture", "diagonal mixture",
                                                             "full mixture", "laplace", "uniform", "point set")
              ) -> st.SearchStrategy:  # fmt: skip
    """Laws of refscore. They shrink to N(1, 1) in one dimension, or to the plain law of the first kind that fails.

    Parameters
    ----------
    dim : int, a strategy of ints, or None for 1 to 5
    kinds : names out of `DENSITIES`
        `SMOOTH` leaves out those without a score: 'point set' has none at all, 'laplace' none at its kink, 'uniform' none
        at the faces of its box and outside. Corrupted, all of them have one: ``densities().map(lambda p: p.corrupted(0.8, 0.5))``.

    Raises ValueError for an unknown kind or dim < 1, TypeError for a dim or kinds of another type; at once.
    """
    return _densities(integer(dim, "dim", DIMENSIONS), chosen(kinds, KINDS))


@st.composite
def _densities(draw, dims: st.SearchStrategy[int], kinds: tuple[str, ...]):
    kind, d = draw(st.sampled_from(kinds)), draw(dims)
    if plainly(draw):
        return made(draw, *_plain(kind, np.arange(1.0, d + 1)))
    return draw(_MADE[kind](d))


@st.composite
def gaussian(draw, d: int):
    """N(m, C), C a number, a diagonal or a matrix."""
    return made(draw, Gaussian, draw(array((d,), _AWAY)), draw(covariances(1, d, draw(st.sampled_from(_FORMS))))[0])


@st.composite
def mixture(draw, d: int, form: str):
    """One to four components."""
    count = draw(st.integers(1, 4))
    return made(draw, GaussianMixture, draw(weights(count)), draw(array((count, d), _AWAY)), draw(covariances(count, d, form)))


@st.composite
def laplace(draw, d: int):
    """Independent Laplace coordinates."""
    return made(draw, Laplace, draw(array((d,), _AWAY)), draw(array((d,), _WIDTHS)))


@st.composite
def uniform(draw, d: int):
    """A box."""
    low = draw(array((d,), _AWAY))
    return made(draw, Uniform, low, low + draw(array((d,), _WIDTHS)))


@st.composite
def point_set(draw, d: int):
    """One to six points, their weights equal or not."""
    count = draw(st.integers(1, 6))
    return made(draw, PointSet, draw(array((count, d), _AWAY)), draw(st.none() | weights(count)))


def weights(count: int) -> st.SearchStrategy[np.ndarray]:
    """(count,) positive weights that sum to one, the largest at most 20 times the smallest."""
    return array((count,), st.floats(0.05, 1.0)).map(lambda w: w / w.sum())


@st.composite
def covariances(draw, count: int, d: int, form: str):
    """(count,), (count, d) or (count, d, d) of them."""
    if form != "full":
        return draw(array((count,) if form == "isotropic" else (count, d), _WIDTHS)) ** 2
    floor = draw(array((count, 1, 1), _WIDTHS)) ** 2
    L = np.tril(draw(array((count, d, d), st.floats(-1.5, 1.5))))
    C = floor * np.eye(d) + L @ L.transpose(0, 2, 1)
    return (C + C.transpose(0, 2, 1)) / 2


def _plain(kind: str, at: np.ndarray) -> tuple:
    """The class and the arguments of the plain law of a kind."""
    one = np.ones_like(at)
    widths = {"isotropic mixture": one[:1], "diagonal mixture": one[None], "full mixture": np.eye(len(at))[None]}
    if kind in widths:
        return GaussianMixture, one[:1], at[None], widths[kind]
    laws: dict[str, tuple] = {"gaussian": (Gaussian, at, 1.0), "laplace": (Laplace, at, one), "uniform": (Uniform, at, at + one),
                              "point set": (PointSet, at[None])}  # fmt: skip
    return laws[kind]


_MADE: dict[str, Callable[[int], st.SearchStrategy]] = {
    "gaussian": gaussian,
    "isotropic mixture": lambda d: mixture(d, "isotropic"),
    "diagonal mixture": lambda d: mixture(d, "diagonal"),
    "full mixture": lambda d: mixture(d, "full"),
    "laplace": laplace,
    "uniform": uniform,
    "point set": point_set,
}
KINDS = tuple(_MADE)
