r"""The convergence theorem of Chen et al. 2023 with explicit constants [e, "Theorem (Chen et al., 2023)"].

Data q in R^d, forward process dX = -X dt + sqrt 2 dB (``STANDARD``), q_t its laws, gamma = N(0, I). The sampler starts from gamma,
runs the reverse SDE for a time T = N h with the score frozen over steps of length h (exponential integrator), and ends with law
p_T. Hypotheses: A1 every grad log q_t is L-Lipschitz; A2 m_2^2 = E_q|x|^2 is finite; A3 E|s_kh - grad log q_kh|^2 <= eps^2. Then

    TV(p_T, q) <= sqrt(KL(q||gamma)/2) e^{-T}  +  (6.5 L sqrt(d h) + 2.9 L m_2 h) sqrt T  +  eps sqrt(T/2),    h <= 1/(6 L), L >= 1.

**Derivation.** P^mu is the law of the sampler's path from mu, Q that of the exact reverse process, which starts from q_T.
Data processing, twice, and Pinsker, TV <= sqrt(KL/2), give

    TV(p_T, q) <= TV(gamma, q_T) + TV(P^{q_T}, Q) <= e^{-T} sqrt(KL(q||gamma)/2) + sqrt(KL(Q||P^{q_T})/2),

since KL(q_t||gamma) <= e^{-2t} KL(q||gamma) (log-Sobolev). Girsanov: the drifts differ by 2 (s - grad log q), the diffusion is
sqrt 2, so KL(Q||P) = 1/2 E int |2 (s - grad log q)/sqrt 2|^2 dt = E int |s - grad log q|^2 dt, with no factor. Write u < v = u + r
for the times of X, v that of the frozen score, S_t = grad log q_t(X_t), and split as [e] does, in the norm of L^2(Q):

    |s_v(X_v) - S_u| <= |s_v - grad log q_v|(X_v) + |grad log q_v - grad log q_u|(X_v) + |grad log q_u(X_v) - S_u|
                     <= eps  +  a_0 + a_1 (sqrt(d L) + L D) + a_2 sqrt M  +  L D,

    M = max_t E|X_t|^2 <= (sqrt d + m_2)^2,   E|S_t|^2 = -E tr grad^2 log q_t <= d L,   D^2 = E|X_v - X_u|^2 <= r^2 M + 2 d r,

where a_0, a_1, a_2 are the coefficients of `refscore.bounds.score_change`. At h = 1/(6 L) <= 1/6, where they are worst,
a_0 <= 2.342 L sqrt(d h), a_1 <= 5.731 L h, a_2 <= 2.128 L h, and the sum is eps + 9.12 L sqrt(d h) + 4.09 L m_2 h; Pinsker divides
it by sqrt 2.

**Sharper.** e^{-t} S_t is a martingale in decreasing time, S_v = e^{r} E[S_u | X_v] (`refscore.bounds.score_motion`), hence with no
split E|S_v - S_u|^2 = I_u + (1 - 2 e^{-r}) I_v, I the Fisher information; and d/dt (e^{-2t} I_t) = -2 e^{-2t} E|grad^2 log q_t|_F^2
with |.|_F^2 <= d L^2 turns it into (1 - e^{-r})^2 d L + (1 - e^{-2r}) d L^2. Integrated over a step,

    int_0^h (1 - e^{-2r}) dr = h - (1 - e^{-2h})/2,      int_0^h (1 - e^{-r})^2 dr = h - 2(1 - e^{-h}) + (1 - e^{-2h})/2,

    TV(p_T, q) <= sqrt(KL(q||gamma)/2) e^{-T} + sqrt(N/2 (d L^2 [h - (1 - e^{-2h})/2] + d L [h - 2(1 - e^{-h}) + (1 - e^{-2h})/2]))
                  + eps sqrt(T/2)

for every h and every L: the second moment is not needed, and the constant of L sqrt(d h T) is 1/sqrt 2 as h -> 0.

Both are bounds for smooth targets as for rough ones; for smooth ones TV is of order h (systems H6), and neither is tight.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from refscore import _quadrature, _validate
from refscore.processes import OU

STANDARD = OU(1.0, math.sqrt(2))
"""f = -x, g = sqrt 2: the process of the theorem, with stationary law N(0, I)."""


class Terms(NamedTuple):
    """A bound on TV(p_T, q), by what it is due to."""

    initialisation: float
    discretisation: float
    score: float

    @property
    def total(self) -> float:
        """The bound; above 1 it says nothing."""
        return sum(self)


def chen2023(
    *, kl: float, lipschitz: float, second_moment: float, score_error: float, dim: int, T: float, steps: int
) -> Terms:
    """The theorem, each hypothesis an argument, for the forward process ``STANDARD``: dX = -X dt + sqrt 2 dB, OU(1, sqrt 2).

    Parameters
    ----------
    kl : KL(q||N(0, I)) in nats, at least 0.
    lipschitz : L, at least 1, a Lipschitz constant of every grad log q_t, 0 <= t <= T (A1), q_t the laws along ``STANDARD``.
    second_moment : m_2 = sqrt(E_q|x|^2), not its square (A2).
    score_error : eps, the root of the largest E|s - grad log q_kh|^2 over the grid (A3), not its square.
    dim : d.
    T, steps : the time and the number N of equal steps; h = T/N must be at most 1/(6 L).

    Returns
    -------
    Terms : initialisation, discretisation, score; ``total`` is their sum.

    Raises
    ------
    ValueError
        Where a hypothesis does not hold: L below 1, h above 1/(6 L); arguments that are negative or not finite.

    Source: [e, "Theorem (Chen et al., 2023)"]; constants derived in the module docstring. Systems H1.
    """
    L, m2 = _validate.positive(lipschitz, "lipschitz"), _validate.positive(second_moment, "second_moment", zero=True)
    first, last, h, dim = _common(kl, score_error, dim, T, steps)
    if L < 1:
        raise ValueError(f"lipschitz is {L}: the theorem assumes L >= 1; a larger constant is one too, pass max(1, L)")
    if h > 1 / (6 * L):
        least = math.ceil(6 * L * T)
        raise ValueError(f"h = T/steps = {h:.4g} exceeds 1/(6 L) = {1 / (6 * L):.4g}: pass steps={least} or more, or use "
                         "martingale_bound, which holds for every h")
    return Terms(first, (6.5 * L * math.sqrt(dim * h) + 2.9 * L * m2 * h) * math.sqrt(T), last)


def martingale_bound(*, kl: float, lipschitz: float, score_error: float, dim: int, T: float, steps: int) -> Terms:
    """The sharper bound of the module docstring: any h, any L > 0, no second moment. Arguments as in `chen2023`."""
    L = _validate.positive(lipschitz, "lipschitz")
    first, last, h, dim = _common(kl, score_error, dim, T, steps)

    def rate(r, which):
        return np.where(which == 0, -np.expm1(-2 * r), np.expm1(-r) ** 2)

    (moved, shrunk), _ = _quadrature.integrals(rate, np.zeros(2), np.full(2, h))  # in closed form they lose the digits of a small h
    return Terms(first, math.sqrt(steps / 2 * dim * L * (L * moved + shrunk)), last)


def _common(kl, score_error, dim, T, steps) -> tuple[float, float, float, int]:
    """The two terms in which both bounds agree, the step and the dimension."""
    kl, eps = _validate.positive(kl, "kl", zero=True), _validate.positive(score_error, "score_error", zero=True)
    dim, T, steps = _validate.count(dim, "dim"), _validate.positive(T, "T"), _validate.count(steps, "steps")
    return math.sqrt(kl / 2) * math.exp(-T), eps * math.sqrt(T / 2), T / steps, dim
