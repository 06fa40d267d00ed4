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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from refscore import _blocks, _validate
from refscore.energy import _states

_INSTEAD = ("use fewer units in the smaller layer, or do without: free_energy, gibbs and contrastive divergence need no such walk; "
            "estimators of log Z, such as annealed importance sampling, are outside this package")
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

    Source: systems G4; [e, RBM]; Smolensky 1986; Hinton 2002.
    """

    W: Any
    b: Any
    c: Any

    def __post_init__(self):
        for name, array in zip("Wbc", layers(self.W, self.b, self.c), strict=True):
            object.__setattr__(self, name, array)

    @property
    def dim(self) -> int:
        """Visible units, v."""
        return len(self.b)

    @property
    def parameters(self) -> list[np.ndarray]:
        """[W, b, c]."""
        return [self.W, self.b, self.c]

    def with_parameters(self, parameters) -> RBM:
        """The machine with these [W, b, c]."""
        return RBM(*parameters)

    @cached_property
    def swapped(self) -> RBM:
        """The same machine with the roles of its layers exchanged, RBM(W', c, b)."""
        return RBM(self.W.T, self.c, self.b)

    def energy(self, x, z) -> np.ndarray:
        """-x'Wz - b'x - c'z row by row, (n,), for x (n, v) and z (n, m)."""
        x, z = self._visible(x), self._hidden(z)
        if len(x) != len(z):
            raise ValueError(f"x has {len(x)} rows and z {len(z)}: pass one row of z per row of x")
        return -((x @ self.W) * z).sum(axis=1) - x @ self.b - z @ self.c

    def free_energy(self, x) -> np.ndarray:
        """F(x) = -b'x - sum_j log(1 + exp(c_j + (W'x)_j)), (n,): p(x) = exp(-F(x))/Z."""
        return -self.swapped._marginal(self._visible(x))[0]

    def exponent(self, x) -> np.ndarray:
        """f(x) = -F(x), (n,): log p up to a constant."""
        return -self.free_energy(x)

    def hidden_mean(self, x) -> np.ndarray:
        """E[z|x] = sigma(c + W'x), (n, m), of states x, 0 or 1.

        A mean over x, or grey values, would give the same formula another meaning (mean field: what z would be if every unit of x
        were its mean), which is no expectation under p, and is refused.
        """
        return self.swapped._mean(self._visible(x))

    def visible_mean(self, z) -> np.ndarray:
        """E[x|z] = sigma(b + Wz), (n, v)."""
        return self._mean(self._hidden(z))

    def log_partition(self) -> tuple[float, float]:
        """log Z = log sum_{x, z} exp(x'Wz + b'x + c'z), and a bound of its rounding error (to first order in 2^-53)."""
        value, error = self._log_z
        return value, error

    def logpdf(self, x) -> np.ndarray:
        """log p(x) = -F(x) - log Z, (n,)."""
        return -self.free_energy(x) - self._log_z.value

    def hidden_logpdf(self, z) -> np.ndarray:
        """log p(z) = c'z + sum_i log(1 + exp(b_i + (Wz)_i)) - log Z, (n,)."""
        return self._marginal(self._hidden(z))[0] - self._log_z.value

    def logpdf_error(self, x) -> np.ndarray:
        """Bound of the rounding error of `logpdf`, (n,)."""
        value, size = self.swapped._marginal(self._visible(x))
        return _states.ROUNDING * (size + np.abs(value) + abs(self._log_z.value)) + self._log_z.error

    def moments(self) -> Moments:
        """E[x z'], E x and E z under the model; entries to about three times the error of `log_partition`."""
        machine = self._enumerated
        of_block = partial(_moments, machine.W, machine.b, machine.c, self._log_z.value)
        pairs, visible, hidden = machine._walk(_states.sum_states, of_block)
        return Moments(pairs, visible, hidden) if machine is self else Moments(pairs.T, hidden, visible)

    def log_likelihood(self, x, grad: bool = False) -> Any:
        """Mean over rows of log p(x); with ``grad=True`` also its gradient [dW, db, dc], E_data - E_model of (x z', x, z)."""
        x = _states.data(x, len(self.b))
        value = float(self.logpdf(x).mean())
        if not grad:
            return value
        data = _blocks.sum_rows(partial(_data_moments, self.W, self.c), x, row_bytes=self._row_bytes)
        return value, [total / len(x) - mean for total, mean in zip(data, self.moments(), strict=True)]

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent exact draws of x, (n, v): the smaller layer from the list of its states, the other one given it.

        ``rng``: int seed or numpy Generator. Takes 16 bytes a state of the smaller layer.
        """
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        machine = self._enumerated
        of_block = partial(_probabilities, machine.W, machine.b, machine.c, self._log_z.value)
        states = _states.drawn(machine._walk(_states.map_states, of_block), n, rng)
        return (rng.random((n, len(self.b))) < self._mean(states)).astype(np.float64) if machine is self else states

    def _visible(self, x) -> np.ndarray:
        return _states.binary(x, len(self.b), "x")

    def _hidden(self, z) -> np.ndarray:
        return _states.binary(z, len(self.c), "z")

    def _mean(self, z: np.ndarray) -> np.ndarray:
        return _blocks.map_rows(partial(mean_given, self.W, self.b), z, row_bytes=self._row_bytes)

    def _marginal(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _blocks.map_rows(partial(log_marginal, self.W, self.b, self.c), z, row_bytes=self._row_bytes)

    @cached_property
    def _enumerated(self) -> RBM:
        """The machine whose hidden layer is the smaller one: this, or with its layers exchanged."""
        machine = self if len(self.c) <= len(self.b) else self.swapped
        _states.refuse_beyond(len(machine.c), len(machine.b), "the partition function", _INSTEAD)
        return machine

    def _walk(self, over: Callable, function: Callable) -> Any:
        """``function`` of all hidden states."""
        units = len(self.c)
        return over(function, units, row_bytes=self._row_bytes, label=f"2^{units} states of {len(self.b)} terms")

    @property
    def _row_bytes(self) -> int:
        """Temporaries of a state: two arrays of each layer."""
        return 16 * (len(self.b) + len(self.c))

    @cached_property
    def _log_z(self) -> _states.LogSum:
        machine = self._enumerated
        return machine._walk(_states.log_sum_states, partial(log_marginal, machine.W, machine.b, machine.c))


def layers(W, b, c, names: tuple[str, str, str] = ("W", "b", "c")) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Couplings (v, m) and biases (v,), (m,) of two layers, checked, copied and write-protected."""
    arrays = W, b, c = tuple(_validate.reals(array, name) for array, name in zip((W, b, c), names, strict=True))
    if W.ndim != 2 or not W.size:
        raise ValueError(f"{names[0]} has shape {W.shape}: pass couplings of v >= 1 and m >= 1 units, shape (v, m)")
    hint = f", or {names[0]}.T if its rows are the hidden units" if (b.shape, c.shape) == (W.shape[1:], W.shape[:1]) else ""
    for name, array, side, units in ((names[1], b, "rows", W.shape[0]), (names[2], c, "columns", W.shape[1])):
        if array.shape != (units,):
            raise ValueError(f"{name} has shape {array.shape}, but {names[0]} {W.shape} has {units} {side}: "
                             f"pass one bias for each of them, shape ({units},){hint}")
    for name, array in zip(names, arrays, strict=True):
        _validate.finite(array, name)
        array.flags.writeable = False
    with np.errstate(over="ignore"):
        largest = sum(np.abs(array).sum() for array in arrays)
    if not largest < 1e300:
        raise ValueError(f"the absolute values of {', '.join(names)} sum to {largest:.3g}: energies must stay below 1e300, scale "
                         "them down")
    return W, b, c


def log_marginal(W, b, c, z) -> tuple[np.ndarray, np.ndarray]:
    """c'z + sum_i log(1 + e^{a_i}), a = b + Wz, for rows z, and a bound of its rounding error in units of 2^-53.

    sum_i log(1 + e^-|a_i|) is the log of a product. The slope of log(1 + e^a) is at most 1, so the errors of a add up to at most
    those of sum_i |b_i| + sum_j |W_ij| z_j, which is at least sum_i max(a_i, 0) too.
    """
    a = W @ z.T
    a += b[:, None]
    value = z @ c + np.maximum(a, 0).sum(axis=0)
    np.exp(np.negative(np.abs(a, out=a), out=a), out=a)
    a += 1
    for start in range(0, len(b), _FACTORS):
        value += np.log(np.multiply.reduce(a[start:start + _FACTORS], axis=0))
    size = np.abs(b).sum() + z @ (np.abs(W).sum(axis=0) + np.abs(c)) + len(b)
    return value, (len(b) + len(c) + 10) * size


def mean_given(W, b, z) -> np.ndarray:
    """sigma(b + Wz) for rows z; 1/(1 + inf) is 0, as it should be."""
    a = z @ W.T
    a += b
    with np.errstate(over="ignore"):
        np.exp(np.negative(a, out=a), out=a)
    a += 1
    return np.reciprocal(a, out=a)


def _probabilities(W, b, c, log_z: float, z) -> np.ndarray:
    return np.exp(log_marginal(W, b, c, z)[0] - log_z)


def _moments(W, b, c, log_z: float, z) -> list[np.ndarray]:
    """Sums over rows z of p(z) times E[x|z] z', E[x|z] and z."""
    p, x = _probabilities(W, b, c, log_z, z), mean_given(W, b, z)
    weighted = p[:, None] * z
    return [x.T @ weighted, p @ x, weighted.sum(axis=0)]


def _data_moments(W, c, x) -> list[np.ndarray]:
    """Sums over rows x of x E[z|x]', x and E[z|x]."""
    z = mean_given(W.T, c, x)
    return [x.T @ z, x.sum(axis=0), z.sum(axis=0)]
