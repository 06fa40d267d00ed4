r"""Restricted Boltzmann machines: two layers of binary units, coupled across and not within.

    p(x, z) = exp(x'Wz + b'x + c'z)/Z          x in {0,1}^v visible, z in {0,1}^m hidden

Given one layer the units of the other are independent, E[z|x] = sigma(c + W'x) and E[x|z] = sigma(b + Wz), so one layer
can be summed out in closed form,

    sum_z exp(x'Wz + b'x + c'z) = exp(-F(x)),   F(x) = -b'x - sum_j log(1 + exp(c_j + (W'x)_j)),

and what is left, Z = sum_x e^{-F(x)} or the same with the roles of the layers exchanged, is a sum over the smaller layer
alone: 2^min(v, m) terms, each a row of one matrix product. The likelihood's gradient is a difference of means,

    grad log p(x) = E[g(x, z) | x] - E g(x, z),   g = (x z', x, z) for (W, b, c).

Nothing here draws samples except `RBM.sample`, which draws exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from refscore import _blocks, _validate
from refscore.energy import _states
from refscore.networks.activations import activation

_INSTEAD = ("use fewer units in the smaller layer, or estimate: gradients by contrastive divergence, log Z by annealed importance "
            "sampling")
_softplus = activation("softplus")
_FACTORS = 1000  # so many factors, each at most 2, stay below the largest float64


class Moments(NamedTuple):
    """E[x z'] (v, m), E x (v,), E z (m,): in the order of the parameters W, b, c."""

    pairs: np.ndarray
    visible: np.ndarray
    hidden: np.ndarray


@dataclass(frozen=True, eq=False)
class RBM:
    """The restricted Boltzmann machine p(x, z) = exp(x'Wz + b'x + c'z)/Z on {0, 1}.

    Parameters
    ----------
    W : (v, m) couplings
    b : (v,) biases of the visible units
    c : (m,) biases of the hidden units

    Raises
    ------
    ValueError
        Shapes that disagree, entries that are not finite or so large that an energy overflows. Methods that need Z refuse when
        the smaller layer has too many states to walk over, those that take states when these are not 0 or 1.

    Source: systems G4; [e, "Restricted Boltzmann machine"]; Smolensky 1986; Hinton 2002.
    """

    W: Any
    b: Any
    c: Any

    def __post_init__(self):
        W, b, c = (np.array(a, dtype=np.float64) for a in (self.W, self.b, self.c))
        if W.ndim != 2 or not W.size:
            raise ValueError(f"W has shape {W.shape}: pass couplings of v >= 1 visible and m >= 1 hidden units, shape (v, m)")
        hint = ", or W.T if its rows are the hidden units" if (b.shape, c.shape) == (W.shape[1:], W.shape[:1]) else ""
        for name, array, layer, units in (("b", b, "visible", W.shape[0]), ("c", c, "hidden", W.shape[1])):
            if array.shape != (units,):
                raise ValueError(f"{name} has shape {array.shape}, but W {W.shape} has {units} {layer} units: "
                                 f"pass one bias a {layer} unit, shape ({units},){hint}")
        for name, array in (("W", W), ("b", b), ("c", c)):
            _validate.finite(array, name)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        with np.errstate(over="ignore"):
            largest = sum(np.abs(array).sum() for array in (W, b, c))
        if not largest < 1e300:
            raise ValueError(f"the parameters' absolute values sum to {largest:.3g}: energies must stay "
                             "below 1e300, scale W, b, c down")

    @property
    def parameters(self) -> list[np.ndarray]:
        """[W, b, c]."""
        return [self.W, self.b, self.c]

    @property
    def swapped(self) -> RBM:
        """The same machine with the roles of its layers exchanged, RBM(W', c, b)."""
        return RBM(self.W.T, self.c, self.b)

    def energy(self, x, z) -> np.ndarray:
        """-x'Wz - b'x - c'z row by row, (n,), for x (n, v) and z (n, m)."""
        x, z = _states.binary(x, len(self.b), "x"), _states.binary(z, len(self.c), "z")
        if len(x) != len(z):
            raise ValueError(f"x has {len(x)} rows and z {len(z)}: pass one row of z per row of x")
        return -np.einsum("ni,ni->n", x @ self.W, z) - x @ self.b - z @ self.c

    def free_energy(self, x) -> np.ndarray:
        """F(x) = -b'x - sum_j log(1 + exp(c_j + (W'x)_j)), (n,): p(x) = exp(-F(x))/Z."""
        return self._rows(_free_energy, _states.binary(x, len(self.b)))

    def hidden_mean(self, x) -> np.ndarray:
        """E[z|x] = sigma(c + W'x), (n, m)."""
        return self._rows(_mean, _states.binary(x, len(self.b)))

    def visible_mean(self, z) -> np.ndarray:
        """E[x|z] = sigma(b + Wz), (n, v)."""
        return self.swapped._rows(_mean, _states.binary(z, len(self.c), "z"))

    def log_partition(self) -> tuple[float, float]:
        """log Z = log sum_{x, z} exp(x'Wz + b'x + c'z), and a bound of its rounding error (first order in 2^-53)."""
        value, error = self._log_z
        return value, error

    def logpdf(self, x) -> np.ndarray:
        """log p(x) = -F(x) - log Z, (n,)."""
        return -self.free_energy(x) - self._log_z.value

    def hidden_logpdf(self, z) -> np.ndarray:
        """log p(z) = c'z + sum_i log(1 + exp(b_i + (Wz)_i)) - log Z, (n,)."""
        z = _states.binary(z, len(self.c), "z")
        return -self.swapped.free_energy(z) - self._log_z.value

    def moments(self) -> Moments:
        """E[x z'], E x and E z under the model, exact."""
        machine = self._enumerated
        of_block = partial(_moments, machine.W, machine.b, machine.c, self._log_z.value)
        pairs, visible, hidden = _states.sum_states(of_block, len(machine.c), row_bytes=machine._row_bytes)
        return Moments(pairs, visible, hidden) if machine is self else Moments(pairs.T, hidden, visible)

    def log_likelihood(self, x, grad: bool = False) -> Any:
        """Mean over rows of log p(x); with ``grad=True`` also its gradient [dW, db, dc], E_data - E_model of (x z', x, z).

        Gradients point where the likelihood grows.
        """
        x = _states.binary(x, len(self.b))
        value = float(self.logpdf(x).mean())
        if not grad:
            return value
        data = _blocks.sum_rows(partial(_data_moments, self.W, self.c), x, row_bytes=8 * (len(self.b) + 4 * len(self.c)))
        return value, [d / len(x) - m for d, m in zip(data, self.moments(), strict=True)]

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent exact draws of x, (n, v): the smaller layer from its 2^k states, the other one given it.

        ``rng``: int seed or numpy Generator.
        """
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        machine = self._enumerated
        weights = np.exp(self._smaller_log_weights - self._log_z.value)
        numbers = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(n), side="right")
        z = np.array([_states.rows(i, i + 1, len(machine.c))[0] for i in numbers])
        if machine is not self:
            return z
        return (rng.random((n, len(self.b))) < self.visible_mean(z)).astype(np.float64)

    @cached_property
    def _enumerated(self) -> RBM:
        """This machine, or with its layers exchanged, so that the hidden layer is the smaller one."""
        machine = self if len(self.c) <= len(self.b) else self.swapped
        _states.refuse_beyond(len(machine.c), len(machine.b), "the partition function", _INSTEAD)
        return machine

    @property
    def _row_bytes(self) -> int:
        """Temporaries of a hidden state in a walk."""
        return 8 * (4 * len(self.b) + 2 * len(self.c))

    @cached_property
    def _log_z(self) -> _states.LogSum:
        machine = self._enumerated
        walk = partial(_log_weights, machine.W, machine.b, machine.c)
        label = f"2^{len(machine.c)} states"
        return _states.log_sum_states(walk, len(machine.c), row_bytes=machine._row_bytes, label=label)

    @property
    def _smaller_log_weights(self) -> np.ndarray:
        machine = self._enumerated
        walk = partial(_log_weights, machine.W, machine.b, machine.c)
        return _states.map_states(lambda z: walk(z)[0], len(machine.c), row_bytes=machine._row_bytes)

    def _rows(self, function, x: np.ndarray) -> np.ndarray:
        return _blocks.map_rows(partial(function, self.W, self.b, self.c), x, row_bytes=8 * (len(self.b) + 4 * len(self.c)))


def _free_energy(W, b, c, x) -> np.ndarray:
    return -(x @ b) - _softplus(x @ W + c).sum(axis=1)


def _mean(W, b, c, x) -> np.ndarray:
    return _softplus.slope(x @ W + c)


def _data_moments(W, c, x) -> list[np.ndarray]:
    hidden = _softplus.slope(x @ W + c)
    return [x.T @ hidden, x.sum(axis=0), hidden.sum(axis=0)]


def _log_weights(W, b, c, z) -> tuple[np.ndarray, np.ndarray]:
    """c'z + sum_i log(1 + e^{a_i}), a = b + Wz, for rows z, and its rounding error in units of 2^-53.

    sum_i log(1 + e^-|a_i|) is the log of a product. _softplus has slope at most 1, so the error of a adds up to at most that
    of sum_i |b_i| + sum_j |W_ij| z_j.
    """
    a = W @ z.T
    a += b[:, None]
    value = np.maximum(a, 0).sum(axis=0)
    np.abs(a, out=a)
    np.exp(np.negative(a, out=a), out=a)
    a += 1
    for start in range(0, len(b), _FACTORS):
        value += np.log(np.multiply.reduce(a[start:start + _FACTORS], axis=0))
    value += z @ c
    size = np.abs(b).sum() + z @ (np.abs(W).sum(axis=0) + np.abs(c)) + len(b)
    return value, (len(b) + len(c) + 10) * size


def _moments(W, b, c, log_z: float, z) -> list[np.ndarray]:
    """Sums over rows z of p(z) E[x|z] z', p(z) E[x|z] and p(z) z."""
    p = np.exp(_log_weights(W, b, c, z)[0] - log_z)
    x = _softplus.slope(W @ z.T + b[:, None])
    weighted = p[:, None] * z
    return [x @ weighted, x @ p, weighted.sum(axis=0)]
