"""Fourier features of time, or of the logarithm of a noise level: what a network sees in place of one number.

    gamma(tau) = [sin 2 pi B tau, cos 2 pi B tau],        tau = t  or  log t

with m fixed frequencies B, in cycles per unit of tau; training does not touch them. A layer on the bare number t can only bend
slowly in t; on gamma(t) it has the kernel

    gamma(tau).gamma(tau') = sum_j cos 2 pi B_j (tau - tau')

which depends on the difference of times alone, or with the logarithm on the RATIO of noise levels, and whose width is set by
the spread of B (Tancik et al., NeurIPS 2020; for the noise level of a score network Song et al., ICLR 2021, who draw B from
a normal law).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore import _validate


@dataclass(frozen=True, eq=False)
class FourierFeatures:
    """gamma, with ``frequencies`` B (m,) in cycles per unit of t, or with ``log`` per unit of log t (t is then positive).

    Raises ValueError when the frequencies are not a vector of finite numbers.
    """

    frequencies: Any
    log: bool = False

    def __post_init__(self):
        B = np.array(self.frequencies, dtype=np.float64)
        if B.ndim != 1 or B.size == 0:
            raise ValueError(f"frequencies has shape {B.shape}: pass a vector (m,), or FourierFeatures.random(m, scale, rng)")
        _validate.finite(B, "frequencies").flags.writeable = False
        object.__setattr__(self, "frequencies", B)

    @classmethod
    def random(cls, m: int, scale: float, rng, log: bool = False) -> FourierFeatures:
        """B ~ N(0, scale^2), m of them."""
        m, scale = _validate.count(m, "m"), _validate.positive(scale, "scale")
        return cls(scale * _validate.generator(rng).standard_normal(m), log)

    @property
    def width(self) -> int:
        """Columns of gamma, 2 m."""
        return 2 * len(self.frequencies)

    def __call__(self, t) -> np.ndarray:
        """gamma of times t (n,), (n, 2 m): all the sines, then all the cosines. With ``log`` ValueError unless t > 0."""
        t = _validate.finite(np.asarray(t, dtype=np.float64), "t")
        if self.log and not (t > 0).all():
            raise ValueError(f"t is {t.min()}, whose logarithm the features take: pass t > 0, such as a noise level sigma")
        angle = 2 * np.pi * np.multiply.outer(np.log(t) if self.log else t, self.frequencies)
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)

    def __repr__(self) -> str:
        return f"FourierFeatures(m={len(self.frequencies)}, log={self.log})"
