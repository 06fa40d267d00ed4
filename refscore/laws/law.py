"""The law that a chain of Gaussian kernels produces, computed and not sampled (systems H5).

Rules, applied step after step, the first that fits:
    1. a point set under a noisy kernel becomes a mixture with one component a point, whatever the mean (any dimension);
    2. a mixture under a kernel with an affine mean stays a mixture (any dimension, `affine`), a Gaussian a Gaussian;
    3. in one dimension any other mean is handled by quadrature (`grid`); the law is then a mixture with one component a
       node. Noise-free steps are taken together with the next noisy one.

Anything else is refused: in several dimensions the law has no description of finite size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refscore.densities import GaussianMixture, PointSet
from refscore.laws import affine, grid

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import Chain

ACCURACY = 1e-10
"""Largest error of the quadrature with which `law` hands out a law."""


def law(chain: Chain, initial):
    """The law of the last state of ``chain`` when the first has law ``initial``.

    Parameters
    ----------
    chain : Chain
        ``chain[:k]`` for the law of the state before step k.
    initial : Gaussian, GaussianMixture or PointSet

    Returns
    -------
    Gaussian, GaussianMixture or PointSet
        Gaussian when ``initial`` is and every mean is affine; PointSet only when ``initial`` is and no step has noise.

    Raises
    ------
    ValueError
        When the law has no finite description (more than one dimension and a mean that is not affine; a noise-free
        last step that is not affine), when the quadrature would need too many nodes, or when its error exceeds 1e-10
        (`law_with_error` hands it over nevertheless).
    """
    density, _, quadrature = _propagate(chain, initial)
    if quadrature > ACCURACY:
        raise ValueError(
            f"the law of this chain is known only to {quadrature:.1e} in total variation, not to {ACCURACY}: use "
            "law_with_error(chain, initial) if that is enough, or a smoother score"
        )
    return density


def law_with_error(chain: Chain, initial) -> tuple[GaussianMixture | PointSet, float]:
    """`law` and an estimate of its error in total variation (rounding, quadrature, departure from affine).

    The error of the score, as a function, is no part of it: the law is that of the chain as given. Over affine steps it
    is a sum of one bound a step, which overstates by a lot, since a contracting chain forgets.
    """
    density, affine_error, quadrature = _propagate(chain, initial)
    return density, affine_error + quadrature


def _propagate(chain: Chain, initial) -> tuple[GaussianMixture | PointSet, float, float]:
    """The law, the error of the affine steps, the error of the quadrature."""
    if not isinstance(initial, (GaussianMixture, PointSet)):
        raise TypeError(f"initial is {type(initial).__name__}: pass a Gaussian, a GaussianMixture or a PointSet")
    density, error, quadrature, k = initial, 0.0, 0.0, 0
    noisy = np.flatnonzero(chain.v > 0)
    last = int(noisy[-1]) + 1 if noisy.size else 0
    while k < len(chain):
        if isinstance(density, PointSet):
            density = _scatter(chain, k, density)
            k += 1
        elif (pushed := affine.push(chain, k, density)) is not None:
            density, error, k = pushed[0], error + pushed[1], k + 1
        else:
            _quadrature_or_refuse(chain, k, last, density.dim)
            (density, quadrature), k = grid.propagate(chain[k:last], density), last
    return density, error, quadrature


def _scatter(chain: Chain, k: int, points: PointSet) -> GaussianMixture | PointSet:
    means, v = chain.mean(k, points.points), chain.v[k]
    return GaussianMixture(points.weights, means, np.full(len(means), v)) if v > 0 else PointSet(means, points.weights)


def _quadrature_or_refuse(chain: Chain, k: int, last: int, dim: int) -> None:
    if dim > 1:
        raise ValueError(
            f"the mean of step {k} is not affine and the dimension is {dim}: the law has no finite description. "
            "Use a score that is affine (a Gaussian target), one dimension, a PointSet with a single step, or simulate"
        )
    if k >= last:
        raise ValueError(
            f"step {k} is noise-free and its mean is not affine: the law is no longer a mixture. "
            f"Take law(chain[:{k}], initial), the law before it, and map samples or a grid through chain.mean({k}, x)"
        )
