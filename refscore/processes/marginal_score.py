"""The exact time-dependent score of a process started from a known law, as a callable ``score(x, t)``.

s(x, t) = grad_x log p_t(x), p_t the law of alpha_t x_0 + sigma_t z. It is what a perfect model would have learnt, and
what samplers and exact laws are run with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from refscore import _validate

_REMEMBERED = 4096
_BYTES = 1 << 28
"""What is remembered takes about so much at most: 256 MiB."""


@dataclass(frozen=True, eq=False)
class MarginalScore:
    """``score(x, t) = process.marginal(density, t).score(x)``; t a scalar, or (n,) with one time a row.

    The marginals of up to a few thousand times are remembered, because samplers ask for the same times block by block; of data
    with millions of numbers, each of whose marginals is as large, only as many as memory is made for.
    """

    process: object
    density: object
    _marginals: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if not hasattr(self.process, "marginal"):
            raise TypeError(f"process is {type(self.process).__name__}: pass MarginalScore(process, density), such as "
                            "MarginalScore(VP(), density)")
        if not hasattr(self.density, "corrupted"):
            raise TypeError(f"density is {type(self.density).__name__}: pass a density, such as Gaussian; for data points "
                            "PointSet(x)")

    @property
    def parameters(self) -> list[np.ndarray]:
        """Empty: gradients of objectives are empty lists."""
        return []

    def __call__(self, x, t) -> np.ndarray:
        """grad_x log p_t(x), (n, d)."""
        return self._at("score", x, t)

    def jvp(self, x, v, t) -> np.ndarray:
        """(Hessian of log p_t)(x) v, (n, d), for v (n, d)."""
        return np.einsum("nij,nj->ni", self.jacobian(x, t), _validate.batch(v, np.shape(x)[-1], "v"))

    def divergence(self, x, t) -> np.ndarray:
        """The Laplacian of log p_t, (n,)."""
        return self._at("score_divergence", x, t)

    def jacobian(self, x, t) -> np.ndarray:
        """The Hessian of log p_t, (n, d, d)."""
        return self._at("score_jacobian", x, t)

    def _at(self, method: str, x, t) -> np.ndarray:
        """The method of p_t at every row, rows of equal time together."""
        if np.ndim(t) == 0:
            return getattr(self.marginal(float(t)), method)(x)
        x = _validate.batch(x, dtype=None)
        times, rows = np.unique(_validate.times(t, x.shape[0]), return_inverse=True)
        parts = [getattr(self.marginal(float(time)), method)(x[rows == i]) for i, time in enumerate(times)]
        result = np.empty((len(x), *parts[0].shape[1:])) if parts else np.empty_like(x)
        for i, part in enumerate(parts):
            result[rows == i] = part
        return result

    def marginal(self, t: float):
        """The law p_t."""
        marginal = self._marginals.get(t)
        if marginal is None:
            marginal = self.process.marginal(self.density, t)  # type: ignore[attr-defined]
            if len(self._marginals) >= min(_REMEMBERED, _BYTES // (1 + 4 * _held(marginal))):  # four times: what it will compute
                self._marginals.clear()
            self._marginals[t] = marginal
        return marginal

    def __reduce__(self):
        return MarginalScore, (self.process, self.density)


def _held(thing, depth: int = 6) -> int:
    """Bytes of the arrays in an object and in the objects that it is made of."""
    if isinstance(thing, np.ndarray) or not depth:
        return getattr(thing, "nbytes", 0)
    parts = thing if isinstance(thing, (list, tuple)) else vars(thing).values() if hasattr(thing, "__dict__") else ()
    return sum(_held(part, depth - 1) for part in parts)
