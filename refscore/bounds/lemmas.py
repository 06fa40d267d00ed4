r"""The lemmas on the way to the theorem, as numbers and as inequalities (systems H3).

X_s and X_t, s < t = s + r, on one path of the forward process, x_t = A x_s + sqrt(V) z; S_t = grad log q_t(X_t).

    displacement    E|X_t - X_s|^2 = (1 - A)^2 E|X_s|^2 + d V, exactly; for f = -x, g = sqrt 2 at most r^2 max(d, m_2^2) + 2 d r
    score motion    E|S_t - S_s|^2 = I_s + (1 - 2/B) I_t,  B = 1/A, exactly, for S_t = B E[S_s | X_t] makes E S_s.S_t = I_t/B
    score change    |grad log q_t - grad log q_s|(x) <= a_0 + a_1 |grad log q_s(x)| + a_2 |x|      for f = -x, g = sqrt 2

**Change of the score along the forward process** [e, "Bounding the change of score"]. Let grad log q_s be L-Lipschitz and
w = e^{2r} - 1 < 1/L. Given X_t = x, y = X_s has density proportional to e^{-V(y)}, V(y) = |y - e^r x|^2/(2 w) - log q_s(y),
strongly convex with constant kappa = 1/w - L. Integrating by parts, E grad V(y).(y - e^r x) = d; so D^2 = E|y - e^r x|^2 obeys

    kappa D^2 <= d + |grad log q_s(e^r x)| D,        D <= sqrt(d/kappa) + |grad log q_s(e^r x)|/kappa,

and from grad log q_t(x) = e^r E[grad log q_s(y) | x], |grad log q_s(e^r x)| <= |grad log q_s(x)| + L (e^r - 1)|x|,

    a_0 = e^r L sqrt(d/kappa),   a_1 = e^r - 1 + e^r L/kappa,   a_2 = e^r (e^r - 1) L (1 + L/kappa).

To first order in r: L sqrt(2 d r), (1 + 2 L) r, L r, which are the three terms of [e].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore import _validate
from refscore.distances import fisher_information


def displacement(process, density, s: float, t: float) -> float:
    """E|X_t - X_s|^2 along the forward process, s <= t: exact, for any law of the data with a mean and a covariance.

    Units of x squared. Source: [e, "apply moment bounds for the forward process"]; systems H3.
    """
    A, V = process.transition(s, t)
    law = process.marginal(density, s)
    return float((1 - A) ** 2 * (law.mean @ law.mean + np.trace(law.cov)) + law.dim * V)


def score_motion(process, density, s: float, t: float) -> tuple[float, float]:
    """E|grad log q_t(X_t) - grad log q_s(X_s)|^2 along the forward process, s <= t, and its absolute error.

    From the Fisher informations at both times alone; what a frozen exact score costs. Raises as `fisher_information` does,
    for point sets at s = 0 above all. Source: systems H3; the martingale of the module docstring.
    """
    A = float(process.transition(s, t)[0])
    (before, error), (after, other) = (fisher_information(process.marginal(density, u)) for u in (s, t))
    return before + (1 - 2 * A) * after, error + abs(1 - 2 * A) * other


def score_change(lipschitz: float, dim: int, r: float) -> tuple[float, float, float]:
    """(a_0, a_1, a_2) with |grad log q_{s+r} - grad log q_s|(x) <= a_0 + a_1 |grad log q_s(x)| + a_2 |x| at every x.

    For f = -x, g = sqrt 2. Raises ValueError unless L (e^{2r} - 1) < 1. Source: [e, "Bounding the change of score along the
    forward process"]; derived in the module docstring. Systems H3.
    """
    L, r = _validate.positive(lipschitz, "lipschitz"), _validate.positive(r, "r", zero=True)
    dim = _validate.count(dim, "dim")
    w = math.expm1(2 * r)
    if not L * w < 1:
        raise ValueError(f"L (e^(2r) - 1) is {L * w:.4g}: the lemma wants it below 1, pass r < {math.log1p(1 / L) / 2:.4g}")
    spread, grown, moved = w / (1 - L * w), math.exp(r), math.expm1(r)
    return grown * L * math.sqrt(dim * spread), moved + grown * L * spread, grown * moved * L * (1 + L * spread)


def second_moment_along(second_moment: float, dim: int, t: Any) -> Any:
    """E|X_t|^2 = d + e^{-2t} (m_2^2 - d) for f = -x, g = sqrt 2: between d and m_2^2, whatever the law of the data.

    Source: [e, "apply moment bounds for the forward process"]; systems H3.
    """
    m2, dim = _validate.positive(second_moment, "second_moment", zero=True), _validate.count(dim, "dim")
    t = _validate.reals(t, "t")
    return (dim + np.exp(-2 * t) * (m2 * m2 - dim))[()]
