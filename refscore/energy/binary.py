r"""Models of binary vectors that are known up to a constant: p = e^{-E}/Z on {0,1}^v, Z a sum over 2^v states (systems G1, G2).

The same formulas as on R^d (`ebm`), with sums in place of integrals, and so without any error but rounding; there is no score.
`RBM` and `DenoisingMRF` have structure that makes their sums shorter; here E may be anything, and all states are visited.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refscore.energy import _states
from refscore.energy.ebm import Normalised

_ROUNDINGS = 16
"""Of an energy, in units of 2^-53 (1 + |E|)."""


@dataclass(frozen=True, eq=False)
class BinaryEnergyModel(Normalised):
    """p(x) = exp(-E(x))/Z for x in {0,1}^v.

    Parameters
    ----------
    energy : callable
        E(x), (n, v) -> (n,), finite or +inf where p vanishes, such as `QuadraticEnergy` (a Boltzmann machine without
        hidden units), `AnalyticEnergy` or ``EnergyMLP(...).energy``; with ``parameter_gradient(x, c)`` for the
        likelihood's gradient.
    dim : int
        v.

    Raises
    ------
    ValueError
        When 2^v states are too many to walk over; for x that are not 0 or 1; for energies that are NaN or -inf.

    Notes
    -----
    The error of log Z is rounding, for which E is taken to be good to 16 roundings of 1 + |E|.

    Source: [e, "Energy-based models"]; systems G1, G2.
    """

    def exponent(self, x) -> np.ndarray:
        """f(x) = -E(x), (n,)."""
        return self._f(_states.binary(x, self.dim))

    def log_partition(self) -> tuple[float, float]:
        """log Z = log sum_x e^{-E(x)} over all states, and a bound of its rounding error."""
        return self._log_z

    def expectation(self, f) -> tuple[Any, Any]:
        """E f(x) and a bound of its rounding error; f maps states (n, v) to (n, ...)."""
        error = 2 * self._log_z[1] + (_ROUNDINGS + self.dim) * _states.ROUNDING  # refuses what is too large
        mean, size = _states.sum_states(lambda x: self._sums(x, f), self.dim, row_bytes=self._row_bytes)
        return (float(mean), float(error * size)) if mean.ndim == 0 else (mean, error * size)

    def mean_parameter_gradient(self) -> list[np.ndarray]:
        """E_p grad_theta E, one array a parameter: the sum over all states."""
        log_z = self.log_partition()[0]

        def of_block(x):
            return self.energy.parameter_gradient(x, np.exp(self._f(x) - log_z))

        return _states.sum_states(of_block, self.dim, row_bytes=self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return 8 * (4 * self.dim + 16)

    @cached_property
    def _log_z(self) -> tuple[float, float]:
        _states.refuse_beyond(self.dim, self.dim, "log Z", "use RBM or DenoisingMRF where the energy has their form, or what needs "
                              "no Z: contrastive_divergence of samples")
        value, error = _states.log_sum_states(self._sized, self.dim, row_bytes=self._row_bytes, label="log Z")
        return value, error

    def _sized(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = self._f(x)
        return f, np.where(np.isneginf(f), 0, _ROUNDINGS * (1 + np.abs(f)))

    def _sums(self, x: np.ndarray, f) -> list[np.ndarray]:
        y, p = np.asarray(f(x), dtype=np.float64), np.exp(self._f(x) - self._log_z[0])
        if y.ndim < 1 or len(y) != len(x):
            raise ValueError(f"f returned shape {y.shape} for {len(x)} states: return shape ({len(x)}, ...)")
        return [np.tensordot(p, y, axes=1), np.tensordot(p, np.abs(y), axes=1)]

    def _f(self, x: np.ndarray) -> np.ndarray:
        value = -np.asarray(self.energy(x), dtype=np.float64)
        if value.shape != (len(x),):
            raise ValueError(f"energy returned shape {value.shape} for {len(x)} states: return a number a state")
        bad = np.isnan(value) | (value == np.inf)
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(f"energy is {-value[at]} at x = {x[at]}: it must be finite, or +inf where p vanishes")
        return value
