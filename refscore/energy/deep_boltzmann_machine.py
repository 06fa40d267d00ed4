r"""Deep Boltzmann machines with two hidden layers: restricted ones, stacked.

    p(x, z1, z2) = exp(x'W1 z1 + z1'W2 z2 + b'x + c1'z1 + c2'z2)/Z          all units in {0,1}

Layers are coupled to their neighbours alone, and that makes it a restricted machine in two ways, which is all that is needed:

    (x, z2) | z1   The odd layer separates the even ones. With (x, z2) as one visible layer of v + m2 units the whole is an RBM
                   of couplings (W1; W2') and biases (b, c2), c1: log Z and the moments under the model.
    (z1, z2) | x   Given x, what is left is an RBM of couplings W2 and biases c1 + W1'x, c2: its log Z(x) gives
                   log p(x) = b'x + log Z(x) - log Z, and its moments are the mean under the data.

With W2 = 0 the second layer is independent, log Z = log Z_RBM + sum_k log(1 + e^{c2_k}). It is not two RBMs one after the other:
z1 has one bias, and given x it still depends on z2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from refscore import _blocks
from refscore.energy import _states
from refscore.energy.rbm import RBM, layers


@dataclass(frozen=True, eq=False)
class DeepBoltzmannMachine:
    """p(x, z1, z2) = exp(x'W1 z1 + z1'W2 z2 + b'x + c1'z1 + c2'z2)/Z on {0, 1}.

    Parameters
    ----------
    W1 : (v, m1) couplings of the visible and the first hidden layer
    W2 : (m1, m2) couplings of the two hidden layers
    b : (v,), c1 : (m1,), c2 : (m2,) biases

    Raises
    ------
    ValueError
        As `RBM`; W2 whose rows are not the columns of W1.

    Source: systems G4; [e, RBM: stacked]; Salakhutdinov and Hinton, "Deep Boltzmann machines", 2009, sec. 3.
    """

    W1: Any
    W2: Any
    b: Any
    c1: Any
    c2: Any

    def __post_init__(self):
        rows, columns = np.shape(self.W2)[:1], np.shape(self.W1)[-1:]
        if rows != columns:
            raise ValueError(f"W1 has shape {np.shape(self.W1)} and W2 {np.shape(self.W2)}: pass (v, m1) and (m1, m2), the first "
                             "hidden layer being the columns of W1 and the rows of W2")
        W1, b, c1 = layers(self.W1, self.b, self.c1, ("W1", "b", "c1"))
        W2, _, c2 = layers(self.W2, self.c1, self.c2, ("W2", "c1", "c2"))
        for name, array in zip(("W1", "W2", "b", "c1", "c2"), (W1, W2, b, c1, c2), strict=True):
            object.__setattr__(self, name, array)

    @property
    def dim(self) -> int:
        """Visible units, v."""
        return len(self.b)

    @property
    def parameters(self) -> list[np.ndarray]:
        """[W1, W2, b, c1, c2]."""
        return [self.W1, self.W2, self.b, self.c1, self.c2]

    def with_parameters(self, parameters) -> DeepBoltzmannMachine:
        """The machine with these [W1, W2, b, c1, c2]."""
        return DeepBoltzmannMachine(*parameters)

    @cached_property
    def stacked(self) -> RBM:
        """The same law as an RBM with the visible layer (x, z2) and the hidden layer z1."""
        return RBM(np.concatenate([self.W1, self.W2.T]), np.concatenate([self.b, self.c2]), self.c1)

    def posterior(self, x) -> RBM:
        """The law of (z1, z2) given one x (v,): an RBM whose visible layer is z1."""
        if np.ndim(x) != 1:
            raise ValueError(f"x has shape {np.shape(x)}: pass one state ({len(self.b)},), for every x has a posterior of its own")
        x = _states.binary(np.asarray(x)[None], len(self.b))[0]
        return RBM(self.W2, self.c1 + x @ self.W1, self.c2)

    def energy(self, x, z1, z2) -> np.ndarray:
        """-x'W1 z1 - z1'W2 z2 - b'x - c1'z1 - c2'z2 row by row, (n,)."""
        return self.stacked.energy(self._even(x, z2), z1)

    def visible_mean(self, z1) -> np.ndarray:
        """E[x|z1] = sigma(b + W1 z1), (n, v)."""
        return self._split(self.stacked.visible_mean(z1))[0]

    def first_mean(self, x, z2) -> np.ndarray:
        """E[z1|x, z2] = sigma(c1 + W1'x + W2 z2), (n, m1)."""
        return self.stacked.hidden_mean(self._even(x, z2))

    def second_mean(self, z1) -> np.ndarray:
        """E[z2|z1] = sigma(c2 + W2'z1), (n, m2)."""
        return self._split(self.stacked.visible_mean(z1))[1]

    def log_partition(self) -> tuple[float, float]:
        """log Z and a bound of its rounding error (to first order in 2^-53); min(m1, v + m2) units are enumerated."""
        return self.stacked.log_partition()

    def free_energy(self, x) -> np.ndarray:
        """F(x) = -b'x - log Z(x), (n,), Z(x) that of `posterior`: p(x) = exp(-F(x))/Z. min(m1, m2) units are enumerated a row."""
        return self._of(_free_energies, x)[0]

    def exponent(self, x) -> np.ndarray:
        """f(x) = -F(x), (n,): log p up to a constant."""
        return -self.free_energy(x)

    def logpdf(self, x) -> np.ndarray:
        """log p(x) = -F(x) - log Z, (n,)."""
        return -self.free_energy(x) - self.log_partition()[0]

    def logpdf_error(self, x) -> np.ndarray:
        """Bound of the rounding error of `logpdf`, (n,)."""
        value, error = self._of(_free_energies, x)
        log_z, doubt = self.log_partition()
        return error + doubt + _states.ROUNDING * (np.abs(value) + abs(log_z))

    def moments(self) -> list[np.ndarray]:
        """E of [x z1', z1 z2', x, z1, z2] under the model, in the order of the parameters."""
        pairs, even, first = self.stacked.moments()
        (lower, upper), (visible, second) = self._split(pairs.T), self._split(even)
        return [lower.T, upper, visible, first, second]

    def log_likelihood(self, x, grad: bool = False) -> Any:
        """Mean over rows of log p(x); with ``grad=True`` also its gradient [dW1, dW2, db, dc1, dc2], E_data - E_model."""
        x = _states.data(x, len(self.b))
        value = float(self.logpdf(x).mean())
        if not grad:
            return value
        data = _blocks.sum_rows(partial(_data_moments, self), x, row_bytes=_ROW_BYTES, label=f"posteriors of {len(x)} rows")
        return value, [total / len(x) - mean for total, mean in zip(data, self.moments(), strict=True)]

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent exact draws of x, (n, v). ``rng``: int seed or numpy Generator."""
        return self._split(self.stacked.sample(n, rng))[0]

    def _even(self, x, z2) -> np.ndarray:
        """(x, z2) as one layer."""
        x, z2 = _states.binary(x, len(self.b)), _states.binary(z2, len(self.c2), "z2")
        if len(x) != len(z2):
            raise ValueError(f"x has {len(x)} rows and z2 {len(z2)}: pass one row of z2 per row of x")
        return np.concatenate([x, z2], axis=1)

    def _split(self, even: np.ndarray) -> list[np.ndarray]:
        """The parts of the layer (x, z2), along the last axis."""
        return np.split(even, [len(self.b)], axis=-1)

    def _of(self, function: Callable, x) -> Any:
        x = _states.binary(x, len(self.b))
        return _blocks.map_rows(partial(function, self), x, row_bytes=_ROW_BYTES, label=f"posteriors of {len(x)} rows")


_ROW_BYTES = _blocks.BLOCK_BYTES // 16  # rows of a block: each is a walk of its own


def _free_energies(machine: DeepBoltzmannMachine, x) -> tuple[np.ndarray, np.ndarray]:
    """F and a bound of its error, row by row."""
    bias = x @ machine.b
    log_z, error = np.array([machine.posterior(row).log_partition() for row in x]).reshape(-1, 2).T
    size = (len(machine.b) + 2) * (x @ (np.abs(machine.b) + np.abs(machine.W1).sum(axis=1)) + np.abs(machine.c1).sum())
    return -bias - log_z, error + _states.ROUNDING * (size + np.abs(bias) + np.abs(log_z))


def _data_moments(machine: DeepBoltzmannMachine, x) -> list[np.ndarray]:
    """Sums over rows x of E[. | x] of [x z1', z1 z2', x, z1, z2]."""
    given = [machine.posterior(row).moments() for row in x]
    first = np.array([g.visible for g in given])
    second = np.array([g.hidden for g in given])
    return [x.T @ first, sum(g.pairs for g in given), x.sum(axis=0), first.sum(axis=0), second.sum(axis=0)]
