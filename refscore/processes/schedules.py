r"""Schedules beta_1, ..., beta_N for DDPM's chain, as published.

    linear      beta_i from beta_min to beta_max in equal steps                              Ho et al. 2020, sec. 4
    quadratic   sqrt(beta_i) from sqrt(beta_min) to sqrt(beta_max) in equal steps            Ho et al. 2020, their code; Rombach et
                                                                                             al. 2022 ("scaled linear")
    cosine      alpha-bar_i = f(i)/f(0), f(i) = cos^2(pi/2 (i/N + s)/(1 + s)), beta_i <= 0.999   Nichol & Dhariwal 2021, eq. 17

The first two do not know N: at another N they are another noise, and end elsewhere. The cosine schedule is computed as

    beta_i = 1 - f(i)/f(i-1) = sin(u_{i-1} - u_i) sin(u_{i-1} + u_i)/sin^2 u_{i-1},     u_i = pi/2 (1 - i/N)/(1 + s),

which subtracts nothing: 1 - f(i)/f(i-1) loses the digits of beta that f does not show, and f(N) = cos^2(pi/2) all of them. The
last beta is 1 and always clipped; with it alpha-bar_N would be 0.
"""

from __future__ import annotations

import math

import numpy as np

from refscore import _validate


def linear_betas(n: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02) -> np.ndarray:
    """n betas in equal steps from beta_min to beta_max, 0 < beta_min <= beta_max < 1; the one of n = 1 is beta_min."""
    return np.linspace(*_ends(beta_min, beta_max), _validate.count(n, "n"))


def quadratic_betas(n: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02) -> np.ndarray:
    """n betas whose roots are in equal steps from sqrt(beta_min) to sqrt(beta_max)."""
    low, high = _ends(beta_min, beta_max)
    return np.linspace(math.sqrt(low), math.sqrt(high), _validate.count(n, "n")) ** 2


def cosine_betas(n: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> np.ndarray:
    """beta_i = min(1 - f(i)/f(i-1), beta_max) with f(i) = cos^2(pi/2 (i/n + s)/(1 + s)), s > 0.

    Source: Nichol & Dhariwal 2021, eq. 17. s keeps beta_1 from being too small: it is about pi^2 s/(4 n) (2 + 1/(n s)).
    """
    n, s = _validate.count(n, "n"), _validate.positive(s, "s", zero=True)
    _, beta_max = _ends(beta_max, beta_max)
    quarter = np.pi / 2 / (1 + s)
    i = np.arange(1, n + 1)
    double = quarter * np.minimum((2 * (n - i) + 1) / n, 2 * s + (2 * i - 1) / n)  # u_{i-1} + u_i, or pi minus it: the same sine
    betas = np.sin(quarter / n) * np.sin(double) / np.sin(quarter * (n - i + 1) / n) ** 2
    return np.minimum(betas, beta_max)


def _ends(beta_min: float, beta_max: float) -> tuple[float, float]:
    beta_min, beta_max = _validate.positive(beta_min, "beta_min"), _validate.positive(beta_max, "beta_max")
    if beta_min > beta_max:
        raise ValueError(f"beta_min = {beta_min} exceeds beta_max = {beta_max}: swap them")
    if beta_max >= 1:
        raise ValueError(f"beta_max is {beta_max}: a step keeps sqrt(1 - beta) of the signal, pass beta_max < 1, such as 0.02")
    return beta_min, beta_max
