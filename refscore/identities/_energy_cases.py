"""Energy networks on which derivatives are tried, and the same derivatives of E written plainly.

A plain score is minus a product of Jacobians of E, a plain Jacobian of it minus the second derivatives of E by forward mode
twice: polynomials with positive coefficients (but for that sign) in weights, activations and phi', phi'', so that bounds follow
as in `_plain`. A term contains twice as many factors as one of a network without the derivative: hence twice the rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refscore.identities import _plain
from refscore.identities._models import trained_energy
from refscore.identities._network_cases import SMOOTH, Case
from refscore.identities._registry import Comparison
from refscore.identities._targets import mixture
from refscore.networks import EnergyMLP, FourierFeatures


class EnergyCase(Case):
    """An energy network with points, times and directions; ``plain`` is its score."""

    def __init__(self, name: str, model: EnergyMLP, d: int, rng: np.random.Generator):
        super().__init__(name, model, d, rng)
        self.jet = (*self.jet, _plain.CURVATURE[model.activation.name], -1)

    def sized(self, a) -> _plain.Size:
        size = super().sized(a)
        size.jet = (*size.jet, _plain.sharper, 1)
        size.rounding *= 2
        return size

    def scores(self, p, a, *jet) -> np.ndarray:
        return scores(p, a, *jet, d=self.d)

    def jacobians(self, p, a, *jet) -> np.ndarray:
        return jacobians(p, a, *jet, d=self.d)

    def energy(self, x) -> np.ndarray:
        """E at real or complex x, (n,), by the plain forward pass."""
        return _plain.values(self.model, x, *self.columns)[:, 0]

    def plain(self, x) -> np.ndarray:
        return self.scores(self.model.parameters, _plain.rows(x, *self.columns), *self.jet)

    def compare(self, what: str, left, right, size) -> Comparison:
        """As for any case; where the size is 0 (an affine energy bends nowhere) exact equality is asked for."""
        return Comparison(f"{what}, {self.name}", left, right, self.size.rounding * size, np.where(size > 0, size, 1.0))

    def sizes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of E (n,), of s (n, d), of Ds (n, d, d)."""
        p, a, jet = self.size.parameters, self.size.inputs, self.size.jet
        s, J = (f(p, a, *jet).real for f in (self.scores, self.jacobians))
        return self.size.values()[:, 0], s, J


def cases(seed: int) -> Iterator[EnergyCase]:
    """0 to 3 hidden layers, with and without time, random and trained."""
    rng = np.random.default_rng((seed, 3))
    for d in (1, 2, 3):
        for hidden in (0, 1, 2, 3):
            for k, activation in enumerate(SMOOTH if hidden else ("tanh", "tanh")):
                time = (d + hidden + k) % 2
                sizes = (d + time, *(5, 4, 6)[:hidden], 1)
                name = f"{activation} energy {sizes}{' with time' if time else ''}"
                yield EnergyCase(name, EnergyMLP(sizes, activation, rng, takes_time=bool(time)), d, rng)
        name, features = f"silu energy, Fourier features of t, d = {d}", FourierFeatures([0.4, 1.1, -0.6])
        yield EnergyCase(name, EnergyMLP((d + 1, 5, 4, 1), "silu", rng, features=features), d, rng)
        yield EnergyCase(f"trained energy, d = {d}", trained_energy(mixture(d), seed), d, rng)


# phi, phi', phi'' and the sign of s = -grad E are handed in: sizes have no sign.


def scores(p, a, phi, slope, curvature, sign, *, d):
    """s, (..., n, d)"""
    return sign * _plain.jacobians(p, a, d, phi, slope)[..., 0]


def jacobians(p, a, phi, slope, curvature, sign, *, d):
    """Ds, (..., n, d, d)"""
    return sign * _plain.hessians(p, a, d, phi, slope, curvature)


def energies(p, a, phi, *jet, c):
    """sum c E"""
    return (c * _plain.forward(p, a, phi)[..., 0]).sum(axis=-1)
