"""Where a chain settles when it is run again and again: the fixed point of its law (systems F1, H5).

    affine mean A x + c, noise V (any dimension)     N(m, C),  m = A m + c,  C = A C A' + V, which exists when |A| < 1
    any other kernel (one dimension)                 the chain's law is fed back into the chain until it stays

Rounds shrink the distance to the fixed point by a factor rho, seen as the ratio of successive changes, so that after a change c
what is left is at most c rho/(1 - rho); the errors e of the rounds add up to e/(1 - rho). Changes that do not shrink are refused.
A change below the error of a round cannot be told from none: modes that exchange less of their mass than that look settled.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from refscore import _validate
from refscore._progress import Shown, progress
from refscore.densities import Gaussian, GaussianMixture
from refscore.laws import affine, grid
from refscore.laws.law import ACCURACY, law_with_error, propagated

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import Chain

_ENOUGH = 1e-12
_EPS = float(np.finfo(np.float64).eps)


def stationary(chain: Chain, initial: GaussianMixture, rounds: int = 100) -> tuple[GaussianMixture, float]:
    """The law that ``chain`` maps to itself, and an error estimate in total variation.

    Parameters
    ----------
    chain : Chain
        What is repeated: any number of steps (more of them, fewer rounds), such as ``langevin(score, step, 50)``.
    initial : Gaussian or GaussianMixture
        Where to start; the limit does not depend on it.
    rounds : int
        How often the chain is run at most; an affine chain needs one.

    Raises
    ------
    ValueError
        When there is no stationary law (an affine chain that diverges), when it is not reached to 1e-10 within ``rounds``, or when
        the law has no finite description (see `refscore.laws.law`).
    """
    if not isinstance(initial, GaussianMixture):
        raise TypeError(f"initial is {type(initial).__name__}: pass a Gaussian or a GaussianMixture")
    if hasattr(chain, "log_ratio"):
        raise TypeError("chain may refuse its steps: it settles at the density whose logpdf it was given, there is nothing to find")
    rounds = _validate.count(rounds, "rounds")
    if not hasattr(chain, "means") and (near := _affine(chain, Gaussian(initial.mean, initial.cov))) is not None:
        # slopes seen from afar have lost digits: once more, from where the chain settles
        if (fixed := _affine(chain, near[0])) is not None:
            return fixed
    before: Any = law_with_error(chain, initial)[0]
    last, rate, left = 0.0, 0.0, np.inf
    with progress(rounds, f"stationary law, at most {rounds} rounds of {len(chain)} steps") as shown:
        for i in range(rounds):
            after: Any
            after, error = propagated(chain, before, partial(_within, shown, i, last))
            change = grid._difference(_nodes(before), _nodes(after)) / 2
            if last and change > error:
                rate = change / last
            settled = change <= error or (0 < rate < 1 and rate * change <= _ENOUGH * (1 - rate))
            left = (rate * change + error) / (1 - rate) if rate < 1 else np.inf
            if settled:
                break
            before, last = after, change
    if not (settled and left <= ACCURACY):
        raise ValueError(f"after {rounds} rounds of {len(chain)} steps the law still changes by {change:.1e} a round, and is known "
                         f"to {left:.1e} only: repeat a longer chain, or start nearer to where it settles")
    return after, left


def _within(shown: Shown, i: int, change: float, done: int, note=None) -> None:
    """The bar of a search that is within round i, the round before which changed the law by ``change``."""
    shown(i, lambda: f"changed by {change:.1e}" if i else "")


def _nodes(law: GaussianMixture) -> grid._Nodes:
    """A law as `grid.propagate` returns it: components of one width."""
    return grid._Nodes(law.weights, law.means[:, 0], float(np.sqrt(law.covs.reshape(-1)[0])))


def _affine(chain: Chain, law: GaussianMixture) -> tuple[Gaussian, float] | None:
    """The fixed point of x -> A x + c + N(0, V), all steps of the chain together; None where one is not affine."""
    from scipy.linalg import solve_discrete_lyapunov

    A, c, V = np.eye(law.dim), np.zeros(law.dim), np.zeros((law.dim, law.dim))
    for k in range(len(chain)):
        pushed = affine.push(chain, k, law)
        if pushed is None:
            return None
        after, step = pushed
        A, V = step.slope @ A, step.slope @ V @ step.slope.T + step.v * np.eye(law.dim)
        c = step.slope @ c + after.mean - step.slope @ law.mean
        law = after
    rate = float(np.abs(np.linalg.eigvals(A)).max())
    if not rate < 1:
        raise ValueError(f"there is no stationary law: the chain stretches by {rate:.6g} a round, take shorter steps")
    cov = solve_discrete_lyapunov(A, V)
    fixed = Gaussian(np.linalg.solve(np.eye(law.dim) - A, c), (cov + cov.T) / 2)
    away = float(np.linalg.norm(np.linalg.solve(np.linalg.cholesky(cov), fixed.mean)))
    return fixed, 64 * _EPS * law.dim * len(chain) / (1 - rate) * float(np.linalg.cond(cov)) * (1 + away)
