r"""The bias of Langevin dynamics, as numbers: where the chain settles instead of at its target (systems F1).

In the convention 'eta', x <- x + eta s(x) + sqrt(2 eta) z, s = grad log p. For p = N(m, C) the step is affine with slope
I - eta C^{-1}, and it leaves alone

    p_eta = N(m, C (I - eta/2 C^{-1})^{-1}),

along an eigenvector with variance c: c/(1 - eta/2c), too wide, and infinite at eta = 2c. Whatever p is, p_eta = p (1 + eta g)
+ O(eta^2). With L f = s.grad f + lap f, one step is E f(x') = f + eta L f + eta^2 (1/2 s s:D^2 f + s.grad lap f + 1/2 lap^2 f)
+ O(eta^3), and what p (1 + eta g) must satisfy for all f is solved by

    g = 1/2 div s + 1/4 |s|^2 + 1/4 I(p),      I(p) = E|s|^2 = -E div s

in any dimension. So TV(p_eta, p) = eta/2 E|g| + O(eta^2), of first order, and KL(p_eta | p) = eta^2/2 E g^2 + O(eta^3). In the
convention 'half_eta' every eta above is half the step.
"""

from __future__ import annotations

import numpy as np

from refscore import _validate
from refscore.densities import Gaussian

CONVENTIONS = {"eta": 1.0, "half_eta": 0.5}
"""What a step is to be multiplied by to be the eta of the module docstring."""


def langevin_stationary(target: Gaussian, step: float, convention: str = "eta") -> Gaussian:
    """The stationary law of Langevin dynamics with score of a Gaussian: N(m, C (I - eta/2 C^{-1})^{-1}).

    Parameters
    ----------
    target : Gaussian
        N(m, C), whose score the chain runs with.
    step : float
        The chain's step, > 0 (units of x squared), as ``convention`` reads it; eta < 2 times the smallest eigenvalue of C.
    convention : 'eta' or 'half_eta'
        As in `refscore.samplers.langevin`.

    Raises
    ------
    ValueError
        For a step so long that the chain diverges and no stationary law exists.

    Source: [c, "Langevin dynamics"] says p itself (X11); systems F1.
    """
    if not isinstance(target, Gaussian):
        raise TypeError(f"target is {type(target).__name__}: pass a Gaussian; for another law in one dimension take "
                        "stationary(chain, initial), or langevin_bias for the leading term")
    share = CONVENTIONS[_validate.choice(convention, "convention", tuple(CONVENTIONS))]
    eta = share * _validate.positive(step, "step")
    variances, axes = np.linalg.eigh(target.cov)
    if not eta < 2 * variances[0]:
        raise ValueError(f"step is {step}: with the target's smallest variance {variances[0]:.6g} there is a stationary law only "
                         f"below {2 * variances[0] / share:.6g} (convention {convention!r}): take a shorter step")
    return Gaussian(target.mean, (axes * (variances / (1 - eta / (2 * variances)))) @ axes.T)


def langevin_bias(density, x, information: float | None = None) -> np.ndarray:
    """g(x) = 1/2 div s + 1/4 |s|^2 + 1/4 I(p), (n,): the chain settles at p (1 + eta g) + O(eta^2), convention 'eta'.

    Parameters
    ----------
    density : density
        With `score`, `score_divergence` and, unless ``information`` is given, `expectation`; such as a GaussianMixture.
    x : (n, d)
    information : float, optional
        I(p) = E|s|^2, where it is known (`refscore.distances.fisher_information`). Default: by quadrature. It makes E_p g = 0.

    Source: the O(eta^2) terms of the weak expansion of one step (module docstring); systems F1, X11.
    """
    x = _validate.batch(x, density.dim)
    if information is None:
        information, _ = density.expectation(lambda y: (density.score(y) ** 2).sum(axis=1))
    return density.score_divergence(x) / 2 + (density.score(x) ** 2).sum(axis=1) / 4 + information / 4
