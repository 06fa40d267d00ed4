r"""The restricted Boltzmann machine with Gaussian visible units, which is a Gaussian mixture.

    p(x, z) = exp(-|x - b|^2/(2 sigma^2) + x'Wz/sigma^2 + c'z)/Z          x in R^v, z in {0,1}^m

Given z, x is N(b + Wz, sigma^2 I): the exponent is a square in x and what completes it,

    -|x - b - Wz|^2/(2 sigma^2) + g(z),    g(z) = c'z + (Wz)'(2b + Wz)/(2 sigma^2),

so that p(x) is a mixture of 2^m Gaussians with weights proportional to e^{g(z)}, the means at the corners of a sheared cube, and
Z = (2 pi sigma^2)^{v/2} sum_z e^{g(z)}. Summing out z instead gives the free energy, and the score, which needs no Z:

    F(x) = |x - b|^2/(2 sigma^2) - sum_j log(1 + exp(c_j + (W'x)_j/sigma^2)),
    s(x) = -grad F(x) = (b - x + W h(x))/sigma^2,      h(x) = E[z|x] = sigma(c + W'x/sigma^2)   (the logistic function),
    Ds(x) = -I/sigma^2 + W diag(h (1 - h)) W'/sigma^4.

The likelihood's gradient in (W, b, c) is the mean of (x z'/sigma^2, x/sigma^2, z) given x less that under the model; sigma is held.
Under the model E x = b + W E z and E[x z'] = b E z' + W E[z z'], so these means too are sums over the states of z.

In units of sigma, y = x/sigma, V = W/sigma, a = b/sigma, sigma disappears: that is how it is computed. Other texts couple by
x'Wz/sigma (Hinton, "A practical guide to training restricted Boltzmann machines", 2010, sec. 13.2); their W is W/sigma here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from refscore import _blocks, _validate
from refscore.densities import GaussianMixture
from refscore.energy import _states
from refscore.energy.rbm import Moments, layers, mean_given

_MOST_NUMBERS = 2**27  # of the means of a mixture: 1 GiB
_LEAST = -708.0  # log of the least weight that keeps all its digits
_FARTHEST = 1e150  # from zero, in units of sigma: products of two such numbers are finite


@dataclass(frozen=True, eq=False)
class GaussianRBM:
    """p(x, z) = exp(-|x - b|^2/(2 sigma^2) + x'Wz/sigma^2 + c'z)/Z for x in R^v, z in {0, 1}^m.

    Parameters
    ----------
    W : (v, m) couplings, in the units of x
    b : (v,) centre of the visible units, in the units of x
    c : (m,) biases of the hidden units
    sigma : float, standard deviation of a visible unit given the hidden ones

    Raises
    ------
    ValueError
        As `RBM`. Methods that need Z refuse too many hidden units; `mixture` also weights below e^-708.

    Source: systems G4; Cho, Ilin and Raiko, "Improved learning of Gaussian-Bernoulli restricted Boltzmann machines", 2011; as a
    mixture: Melchior, Wang and Wiskott, "Gaussian-binary restricted Boltzmann machines for modeling natural image statistics",
    2017.
    """

    W: Any
    b: Any
    c: Any
    sigma: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "sigma", _validate.positive(self.sigma, "sigma"))
        for name, array in zip("Wbc", layers(self.W, self.b, self.c), strict=True):
            object.__setattr__(self, name, array)
        with np.errstate(over="ignore"):
            largest = (np.abs(self.W).sum() + np.abs(self.b).sum()) / self.sigma
        if not largest < _FARTHEST:
            raise ValueError(f"the absolute values of W and b sum to {largest:.3g} times sigma = {self.sigma}: they must stay "
                             f"below {_FARTHEST:g} of it, or squares overflow; raise sigma")

    @property
    def dim(self) -> int:
        """Visible units, v."""
        return len(self.b)

    @property
    def parameters(self) -> list[np.ndarray]:
        """[W, b, c]."""
        return [self.W, self.b, self.c]

    def with_parameters(self, parameters) -> GaussianRBM:
        """The machine with these [W, b, c] and the same sigma."""
        W, b, c = parameters
        return GaussianRBM(W, b, c, self.sigma)

    def energy(self, x, z) -> np.ndarray:
        """|x - b|^2/(2 sigma^2) - x'Wz/sigma^2 - c'z row by row, (n,), for x (n, v) and z (n, m)."""
        (V, a, c), y, z = self._scaled, self._points(x) / self.sigma, _states.binary(z, len(self.c), "z")
        if len(y) != len(z):
            raise ValueError(f"x has {len(y)} rows and z {len(z)}: pass one row of z per row of x")
        return 0.5 * ((y - a) ** 2).sum(axis=1) - ((y @ V) * z).sum(axis=1) - z @ c

    def free_energy(self, x) -> np.ndarray:
        """F(x) = |x - b|^2/(2 sigma^2) - sum_j log(1 + exp(c_j + (W'x)_j/sigma^2)), (n,): p(x) = exp(-F(x))/Z."""
        return self._of(_free_energy, x)

    def exponent(self, x) -> np.ndarray:
        """f(x) = -F(x), (n,): log p up to a constant."""
        return -self.free_energy(x)

    def hidden_mean(self, x) -> np.ndarray:
        """E[z|x] = sigma(c + W'x/sigma^2), (n, m)."""
        return self._of(_hidden_mean, x)

    def visible_mean(self, z) -> np.ndarray:
        """E[x|z] = b + Wz, (n, v)."""
        return _states.binary(z, len(self.c), "z") @ self.W.T + self.b

    def score(self, x) -> np.ndarray:
        """grad log p(x) = (b - x + W E[z|x])/sigma^2, (n, v). Z is not needed."""
        return self._of(_score, x) / self.sigma

    def score_jacobian(self, x) -> np.ndarray:
        """-I/sigma^2 + W diag(h (1 - h)) W'/sigma^4 with h = E[z|x], (n, v, v)."""
        return self._of(_jacobian, x, self.dim) / self.sigma**2

    def score_divergence(self, x) -> np.ndarray:
        """-v/sigma^2 + sum_j h_j (1 - h_j) |W_j|^2/sigma^4 with h = E[z|x], (n,)."""
        return self._of(_divergence, x) / self.sigma**2

    def log_partition(self) -> tuple[float, float]:
        """log Z = v/2 log(2 pi sigma^2) + log sum_z e^{g(z)}, and a bound of its rounding error (to first order in 2^-53)."""
        value, error = self._log_sum
        volume = self.dim * (0.5 * math.log(2 * math.pi) + math.log(self.sigma))
        return value + volume, error + 4 * _states.ROUNDING * (2 * self.dim + abs(volume) + abs(value))

    def logpdf(self, x) -> np.ndarray:
        """log p(x) = -F(x) - log Z, (n,)."""
        return -self.free_energy(x) - self.log_partition()[0]

    def moments(self) -> Moments:
        """E[x z'], E x and E z under the model."""
        pairs, visible, hidden = self._moments
        return Moments(self.sigma * pairs, self.sigma * visible, hidden)

    def log_likelihood(self, x, grad: bool = False) -> Any:
        """Mean over rows of log p(x); with ``grad=True`` also its gradient [dW, db, dc] (sigma is held)."""
        x = self._points(x)
        if not len(x):
            raise ValueError(f"x has no rows: pass data, shape (n, {self.dim}) with n >= 1")
        value = float(self.logpdf(x).mean())
        if not grad:
            return value
        of_block = partial(_in_units, _data_moments, self._scaled, self.sigma)
        data = _blocks.sum_rows(of_block, x, row_bytes=32 * (self.dim + len(self.c)))
        pairs, visible, hidden = (total / len(x) - mean for total, mean in zip(data, self._moments, strict=True))
        return value, [pairs / self.sigma, visible / self.sigma, hidden]

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent exact draws of x, (n, v): z from the list of its states, x given z. ``rng``: int seed or Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        log_sum = self._log_sum.value  # refuses what is too large
        z = _states.drawn(np.exp(self._walk(_states.map_states, _log_weight) - log_sum), n, rng)
        return self.visible_mean(z) + self.sigma * rng.standard_normal((n, self.dim))

    def mixture(self) -> GaussianMixture:
        """The same law as a mixture of 2^m Gaussians N(b + Wz, sigma^2 I), z in lexicographic order.

        Its weights are floats: below e^-708 they lose digits, below e^-745 they are 0 and the component is lost even where it
        alone has any mass. Such machines are refused; `logpdf` and `score` work in logarithms and lose nothing.
        """
        units = len(self.c)
        if 2**units * self.dim > _MOST_NUMBERS:
            raise ValueError(f"the mixture has 2^{units} = {2.0**units:.2g} means of {self.dim} coordinates, "
                             f"{2.0**units * self.dim / 2**27:.2g} GiB: use fewer hidden units, or free_energy and score, which "
                             "need no list of states")
        logs = self._walk(_states.map_states, _log_weight) - self._log_sum.value
        if logs.min() < _LEAST:
            raise ValueError(f"a component of the mixture has weight e^{logs.min():.4g}, less than floats hold, and would be lost "
                             "where it alone has any mass: use logpdf and score, which work in logarithms, or a smaller W, b or c")
        weights = np.exp(logs)
        means = self.visible_mean(_states.rows(np.arange(2**units), units))
        return GaussianMixture(weights / weights.sum(), means, np.full(2**units, self.sigma**2))

    @cached_property
    def _log_sum(self) -> _states.LogSum:
        instead = "use fewer hidden units, or free_energy and score, which do not need it"
        _states.refuse_beyond(len(self.c), self.dim, "the partition function", instead)
        return self._walk(_states.log_sum_states, _weight_and_size)

    @cached_property
    def _moments(self) -> Moments:
        """With x in units of sigma."""
        second, first = self._walk(_states.sum_states, partial(_hidden_moments, self._log_sum.value))
        V, a, _ = self._scaled
        return Moments(np.outer(a, first) + V @ second, a + V @ first, first)

    @cached_property
    def _scaled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(V, a, c): couplings and centre in units of sigma."""
        return self.W / self.sigma, self.b / self.sigma, self.c

    def _points(self, x) -> np.ndarray:
        x = _validate.batch(x, self.dim)
        with np.errstate(over="ignore"):
            farthest = max(x.max(initial=0.0), -x.min(initial=0.0)) / self.sigma
        if not farthest <= _FARTHEST:
            raise ValueError(f"x reaches {farthest:.3g} times sigma = {self.sigma}: pass points within {_FARTHEST:g} of it")
        return x

    def _of(self, function: Callable, x, width: int = 1) -> np.ndarray:
        row_bytes = 8 * (width + 3) * (self.dim + len(self.c))
        return _blocks.map_rows(partial(_in_units, function, self._scaled, self.sigma), self._points(x), row_bytes=row_bytes)

    def _walk(self, over: Callable, function: Callable) -> Any:
        """``function`` of all hidden states."""
        units = len(self.c)
        label = f"2^{units} hidden states of {self.dim} terms"
        return over(partial(function, *self._scaled), units, row_bytes=8 * (4 * self.dim + 2 * units), label=label)


def _in_units(function: Callable, scaled: tuple, sigma: float, x) -> Any:
    return function(*scaled, x / sigma)


def _free_energy(V, a, c, y) -> np.ndarray:
    return 0.5 * ((y - a) ** 2).sum(axis=1) - np.logaddexp(0, y @ V + c).sum(axis=1)


def _hidden_mean(V, a, c, y) -> np.ndarray:
    return mean_given(V.T, c, y)


def _score(V, a, c, y) -> np.ndarray:
    return a - y + mean_given(V.T, c, y) @ V.T


def _jacobian(V, a, c, y) -> np.ndarray:
    h, q = mean_given(V.T, c, y), mean_given(-V.T, -c, y)
    return np.einsum("im,nm,jm->nij", V, h * q, V, optimize=True) - np.eye(len(a))


def _divergence(V, a, c, y) -> np.ndarray:
    h, q = mean_given(V.T, c, y), mean_given(-V.T, -c, y)
    return (h * q) @ (V * V).sum(axis=0) - len(a)


def _data_moments(V, a, c, y) -> list[np.ndarray]:
    """Sums over rows y of y E[z|y]', y and E[z|y]."""
    h = mean_given(V.T, c, y)
    return [y.T @ h, y.sum(axis=0), h.sum(axis=0)]


def _hidden_moments(log_sum: float, V, a, c, z) -> list[np.ndarray]:
    """Sums over rows z of p(z) times z z' and z."""
    weighted = np.exp(_log_weight(V, a, c, z) - log_sum)[:, None] * z
    return [z.T @ weighted, weighted.sum(axis=0)]


def _log_weight(V, a, c, z) -> np.ndarray:
    """g(z) = c'z + (Vz)'(a + Vz/2) for rows z."""
    shift = z @ V.T
    return z @ c + (shift * (a + 0.5 * shift)).sum(axis=1)


def _weight_and_size(V, a, c, z) -> tuple[np.ndarray, np.ndarray]:
    """g(z), and a bound of its rounding error in units of 2^-53: that of m terms a coordinate, twice, and of v coordinates."""
    size = _log_weight(np.abs(V), np.abs(a), np.abs(c), z)
    return _log_weight(V, a, c, z), (2 * len(c) + len(a) + 10) * size
