"""DDPM's chain in 60 digits, from what defines it: alpha-bar_i = prod (1 - beta_k), and 1 - alpha-bar_i as it stands."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from typing import NamedTuple

import numpy as np

DIGITS = Context(prec=60, Emin=-999999, Emax=999999)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640629")


class Bars(NamedTuple):
    """alpha-bar_0, ..., alpha-bar_N."""

    alpha_bar: list[Decimal]

    @classmethod
    def of(cls, betas) -> Bars:
        """Running products of 1 - beta."""
        bars = [Decimal(1)]
        with localcontext(DIGITS):
            for beta in betas:
                bars.append(bars[-1] * (1 - Decimal(float(beta))))
        return cls(bars)

    def alpha(self, i: int) -> float:
        """sqrt(alpha-bar_i)."""
        with localcontext(DIGITS):
            return float(self.alpha_bar[i].sqrt())

    def sigma(self, i: int) -> float:
        """sqrt(1 - alpha-bar_i)."""
        with localcontext(DIGITS):
            return float((1 - self.alpha_bar[i]).sqrt())

    def transition(self, s: int, t: int) -> tuple[float, float]:
        """(alpha, variance) of x_t given x_s."""
        with localcontext(DIGITS):
            ratio = self.alpha_bar[t] / self.alpha_bar[s]
            return float(ratio.sqrt()), float(1 - ratio)

    def posterior(self, s: int, t: int) -> tuple[float, float, float]:
        """(weight of x_0, weight of x_t, variance) of x_s given x_t and x_0, by conditioning the joint law of (x_s, x_t) given x_0.

        m_s + C_st/C_tt (x_t - m_t) and C_ss - C_st^2/C_tt, m_t = sqrt(alpha-bar_t) x_0, C_st = alpha_ts C_ss.
        """
        with localcontext(DIGITS):
            own, other = 1 - self.alpha_bar[t], 1 - self.alpha_bar[s]
            cross = (self.alpha_bar[t] / self.alpha_bar[s]).sqrt() * other
            gain = cross / own
            return float(self.alpha_bar[s].sqrt() - gain * self.alpha_bar[t].sqrt()), float(gain), float(other - cross * gain)


def linear(n: int, low: float, high: float, roots: bool = False) -> np.ndarray:
    """Betas (or their roots) in equal steps."""
    with localcontext(DIGITS):
        a, b = (Decimal(x).sqrt() if roots else Decimal(x) for x in (low, high))
        line = [a + (b - a) * i / (n - 1) for i in range(n)]
        return np.array([float(x * x if roots else x) for x in line])


def cosine(n: int, s: float, beta_max: float) -> np.ndarray:
    """min(1 - f(i)/f(i - 1), beta_max) with f(i) = cos^2(pi/2 (i/n + s)/(1 + s)); f(n) = 0."""
    with localcontext(DIGITS):
        shift = Decimal(s)
        f = [cos(PI / 2 * (Decimal(i) / n + shift) / (1 + shift)) ** 2 for i in range(n + 1)]
        return np.minimum([float(1 - after / before) for before, after in zip(f[:-1], f[1:], strict=True)], beta_max)


def cos(x: Decimal) -> Decimal:
    """The series; |x| <= pi/2, so that 60 terms leave nothing out."""
    term = total = Decimal(1)
    for k in range(1, 60):
        term *= -x * x / ((2 * k - 1) * (2 * k))
        total += term
    return total
