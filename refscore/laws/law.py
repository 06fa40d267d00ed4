"""The law that a chain of Gaussian kernels produces, computed and not sampled (systems H5).

Rules, applied step after step, the first that fits:
    1. a point set under a noisy kernel becomes a mixture with one component a point, whatever the mean (any dimension);
    2. a mixture under a kernel with an affine mean stays a mixture (any dimension, `affine`), a Gaussian a Gaussian;
    3. in one dimension any other mean is handled by quadrature (`grid`); the law is then a mixture with one component a
       node. Noise-free steps are taken together with the next noisy one. So are chains that draw one of several means in a
       step (`minibatch`), with one component a node and mean;
    4. in one dimension noise-free steps at the end are one map, and the law is a push-forward by it, if it increases: the last
       step of DDPM, DDIM without noise, the probability flow;
    5. in one dimension a chain that may refuse its steps has a law of its own kind (`metropolis`, `PanelLaw`);
    6. in several dimensions any other mean is refused, unless law and chain split: independent coordinates in some axes, each of
       which the chain moves without seeing the others (`split`). The law is then a product of laws on the line.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from refscore._progress import Shown, progress
from refscore.densities import GaussianMixture, PanelLaw, PointSet, Product, PushForward
from refscore.laws import affine, grid, metropolis, minibatch, split

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import Chain, MetropolisChain

ACCURACY = 1e-10
"""Largest error in total variation with which `law` hands out a law."""

_FAR = 1e4


def law(chain: Chain, initial):
    """The law of the last state of ``chain`` when the first has law ``initial``.

    Parameters
    ----------
    chain : Chain, or a flow on a grid of times (``probability_flow(...).steps(times)``)
        ``chain[:k]`` for the law of the state before step k.
    initial : Gaussian, GaussianMixture, PointSet, or a Product of Gaussians and mixtures

    Returns
    -------
    Gaussian, GaussianMixture, PointSet, PushForward, Product or PanelLaw
        Gaussian when ``initial`` is and every mean is affine; PointSet only when ``initial`` is and no step has noise; PushForward
        when the last steps are noise-free and not affine; Product in several dimensions, when the chain acts on independent
        coordinates one by one and the mean is not affine, or ``initial`` is a Product; PanelLaw for a chain that may refuse steps.

    Raises
    ------
    ValueError
        When the law has no finite description (more than one dimension, a mean that is not affine and does not split), when
        noise-free steps at the end fold the line (steps too long, or a score that is not smooth), when the quadrature would need
        too many nodes, or when the error of all steps together exceeds 1e-10 (`law_with_error` hands it over nevertheless).

    Notes
    -----
    The quadrature in one dimension has a node for every width of a kernel, divided by the steepest slope of its mean, and takes its
    time for them: 40 steps of a reverse SDE between modes at -50 and 50 take half a minute.

    The score is a black box, seen at points only; what happens between them stays unseen, here and in the error:

    * d = 1, is a mean affine: 1024 points over +-9 standard deviations of the law, 0.0176 of one apart, and for a mixture
      as many shared by its components (127 of them at most), each over +-9 of its own standard deviations;
    * d = 1, quadrature: its nodes, and 4096 points over the range of the law to find the steepest place of the mean;
    * d = 1, noise-free steps at the end: 40 points on each panel of at most two standard deviations;
    * d > 1, is a mean affine: 1 + 2 d points for the slope, 6 points within +-8 standard deviations on each axis and on
      16 random lines through the mean, and at most 127 centres of components. What lies off these lines, or on them
      between 0, 1, 3 and 8 standard deviations, is missed: the check is meant for scores that are affine or far from it;
    * d > 1, does the chain split: 256 simulated states at every step, and Jacobians at four of them in three steps.
    """
    density, error = law_with_error(chain, initial)
    if not error <= ACCURACY:
        fix = "or a smoother score; a chain that diverges needs shorter steps"
        far, width = float(np.abs(initial.mean).max()), float(np.sqrt(np.diag(initial.cov).max()))
        if _FAR * width < far:
            fix = (f"or shift chain and law to the origin, as by score(x + m): floats at {far:.3g} are coarse beside a standard "
                   f"deviation of {width:.3g}")
        raise ValueError(f"the law of this chain is known only to {error:.1e} in total variation, not to {ACCURACY}: use "
                         f"law_with_error(chain, initial) if that is enough, {fix}")
    return density


def law_with_error(chain: Chain, initial) -> tuple[GaussianMixture | PointSet | PushForward | Product | PanelLaw, float]:
    """`law` and its error in total variation: a bound for affine steps (rounding, departure seen), an estimate for all others.

    The error of the score, as a function, is no part of it: the law is that of the chain as given. Nor is a feature of
    the score narrower than the spacing of the points that it is seen at (Notes of `law`: in one dimension 0.0176
    standard deviations of the law, in several dimensions much more).
    """
    if not isinstance(initial, (GaussianMixture, PointSet, Product)):
        raise TypeError(f"initial is {type(initial).__name__}: pass a Gaussian, a GaussianMixture, a PointSet or a Product")
    if hasattr(chain, "log_ratio"):
        return metropolis.law(cast("MetropolisChain", chain), initial)
    if not all(hasattr(chain, name) for name in ("v", "mean", "__len__")):
        raise TypeError(f"chain is {type(chain).__name__}: pass what langevin, annealed_langevin, sgld, mala, reverse_sde, ddpm, "
                        "ddim, predictor_corrector or probability_flow(...).steps(times) return")
    with progress(len(chain), f"law after {len(chain)} steps") as shown:
        return propagated(chain, initial, shown)


def propagated(chain: Any, initial, shown: Shown) -> tuple[Any, float]:
    """`law_with_error` of a chain that takes every step; ``shown`` is told how many of them are done."""
    density: Any = initial
    steps: list[affine.Step] = []
    error, k = 0.0, 0
    noisy = np.flatnonzero(np.asarray(chain.v) > 0)
    last = int(noisy[-1]) + 1 if noisy.size else 0
    while k < len(chain):
        shown(k)
        if isinstance(density, PointSet):
            density = _scatter(chain, k, density)
            k += 1
        elif hasattr(chain, "means"):
            minibatch.refuse_dimensions(density.dim)
            (density, quadrature), k = grid.propagate(chain[k:], density, partial(_after, k, shown)), len(chain)
            error += quadrature
        elif isinstance(density, Product):
            return _by_lines(chain, k, density, error, shown)
        elif (pushed := affine.push(chain, k, density)) is not None:
            density, k = pushed[0], k + 1
            steps.append(pushed[1])
        else:
            error, steps = error + affine.error(steps, density), []  # kernels do not increase total variation
            if density.dim > 1:
                return _by_lines(chain, k, density, error, shown)
            if k >= last:
                density = _pushed_forward(chain, k, density)
                return density, error + density.error
            (density, quadrature), k = grid.propagate(chain[k:last], density, partial(_after, k, shown)), last
            error += quadrature
    return density, error + affine.error(steps, density)


def _after(k: int, shown: Shown, done: int, note) -> None:
    """The bar of a chain whose first k steps are done."""
    shown(k + done, note)


def _scatter(chain: Chain, k: int, points: PointSet) -> GaussianMixture | PointSet:
    means, v = minibatch.means(chain, k, points.points), chain.v[k]
    weights, means = np.tile(points.weights / len(means), len(means)), means.reshape(-1, points.dim)
    return GaussianMixture(weights, means, np.full(len(means), v)) if v > 0 else PointSet(means, weights)


def _pushed_forward(chain: Chain, k: int, density: GaussianMixture) -> PushForward:
    try:
        return PushForward(density, lambda x: reduce(lambda y, j: chain.mean(j, y), range(k, len(chain)), x))
    except ValueError as reason:
        raise ValueError(
            f"steps {k} to {len(chain) - 1} are noise-free and not affine, and their law is no smooth push-forward: {reason}. "
            f"Take shorter steps; law(chain[:{k}], initial) is the law before them"
        ) from reason


def _by_lines(
    chain: Chain, k: int, density: GaussianMixture | Product, error: float, shown: Shown
) -> tuple[Product, float]:
    try:
        product, lines, departure = split.lines(chain[k:], density)
    except ValueError as reason:
        raise ValueError(
            f"the mean of step {k} is not affine and the dimension is {density.dim}: the law has a finite description only if the "
            f"chain acts on independent coordinates one by one, and {reason}. Use a score that is affine (a Gaussian target) or "
            "splits (a product, a mixture along one line), one dimension, a PointSet with a single step, or simulate"
        ) from reason
    laws = [propagated(line, factor, shown) for line, factor in zip(lines, product.factors, strict=True)]
    return Product([law for law, _ in laws], product.axes), error + departure + sum(e for _, e in laws)
