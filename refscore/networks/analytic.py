"""The exact score of a density in the shape of a model: what a perfectly trained network would be.

Its Jacobian is the Hessian of log p, hence symmetric, and it has no parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore import _validate


@dataclass(frozen=True)
class AnalyticScore:
    """s(x) = grad log p(x) of ``density``, any object with ``score``, ``score_jacobian`` and ``score_divergence``.

    Raises TypeError when the density lacks one of them. For a score that changes with time pass any callable of (x, t)
    to the objectives, for example `refscore.processes.MarginalScore`.
    """

    density: Any

    def __post_init__(self):
        missing = [name for name in ("score", "score_jacobian", "score_divergence") if not hasattr(self.density, name)]
        if missing:
            lacks = ", ".join(missing)
            raise TypeError(f"density is {self.density!r}, without {lacks}: pass one of refscore.densities")

    @property
    def parameters(self) -> list[np.ndarray]:
        """Empty: gradients of objectives are empty lists."""
        return []

    def __call__(self, x, *t) -> np.ndarray:
        """grad log p(x), (n, d). It does not depend on time, and refuses one: TypeError."""
        if t:
            raise TypeError("AnalyticScore takes x alone: for the score of a law that changes with time pass "
                            "refscore.processes.MarginalScore(process, density)")
        return self.density.score(x)

    def jvp(self, x, v) -> np.ndarray:
        """(Hessian of log p)(x) v, (n, d), for v (n, d)."""
        return np.einsum("nij,nj->ni", self.jacobian(x), _validate.batch(v, np.shape(x)[-1], "v"))

    def vjp(self, x, u) -> np.ndarray:
        """(Hessian of log p)(x)'u, (n, d), for u (n, d)."""
        return np.einsum("nij,ni->nj", self.jacobian(x), _validate.batch(u, np.shape(x)[-1], "u"))

    def jacobian(self, x) -> np.ndarray:
        """The Hessian of log p, (n, d, d)."""
        return self.density.score_jacobian(x)

    def divergence(self, x) -> np.ndarray:
        """The Laplacian of log p, (n,)."""
        return self.density.score_divergence(x)
