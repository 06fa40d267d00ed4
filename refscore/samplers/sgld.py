r"""Stochastic gradient Langevin dynamics: Langevin steps with the score of a posterior estimated from a minibatch.

Welling & Teh 2011, eq. 4: for a score that is a sum over N data rows, s(x) = s_0(x) + sum_i s(x, y_i), each step draws a set S of
b rows without replacement and moves by

    s_S(x) = s_0(x) + N/b sum_{i in S} s(x, y_i),      x <- x + eta_k/2 s_S(x) + sqrt(eta_k) z.

E s_S = s, and with G(x) = 1/(N-1) sum_i (s_i - s-bar)(s_i - s-bar)' the covariance of the rows' scores

    Cov s_S(x) = N (N - b)/b G(x),

which is 0 for b = N (drawn with replacement it would be N (N - 1)/b G). A step's kernel is thus an average over the C(N, b)
minibatches of Gaussian kernels, and the noise of the gradient adds b_k^2 Cov s_S to the variance v_k: of higher order in eta, so
that it dies out as steps decrease, but not for fixed steps. Steps a (c + k)^-gamma with gamma in (1/2, 1] have an infinite sum and
a finite sum of squares: the chain reaches everything, and its bias goes to 0.

Every row of the batch (every particle) draws its own minibatch: particles are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np

from refscore import _validate
from refscore.samplers.chain import Chain
from refscore.samplers.langevin import kernels
from refscore.samplers.markov import MarkovChain, noise_like, only_slices

_MOST_MINIBATCHES = 1 << 12


@dataclass(frozen=True, eq=False)
class PosteriorScore:
    """s(x) = prior_score(x) + sum_i datum_score(x, data[i]), also from some of the data.

    Parameters
    ----------
    datum_score : callable
        ``datum_score(x, y)``, (n, d) and (n, m) -> (n, d): row by row grad_x log p(y | x), one datum y a row.
    data : (N, m)
    prior_score : callable, optional
        ``prior_score(x)``, (n, d) -> (n, d). Default: a flat prior.
    """

    datum_score: Callable
    data: np.ndarray
    prior_score: Callable | None = None

    def __post_init__(self):
        if not callable(self.datum_score):
            raise TypeError(f"datum_score is {self.datum_score!r}: pass a callable datum_score(x, y), row by row")
        if self.prior_score is not None and not callable(self.prior_score):
            raise TypeError(f"prior_score is {self.prior_score!r}: pass a callable prior_score(x), or None for a flat prior")
        data = _validate.batch(self.data, name="data").copy()
        if not len(data):
            raise ValueError("data has no rows: pass at least one datum, shape (N, m)")
        data.flags.writeable = False
        object.__setattr__(self, "data", data)

    def __call__(self, x, t=0.0) -> np.ndarray:
        """The score from all data, (n, d)."""
        everything = np.arange(len(self.data))
        return self.estimate(x, np.broadcast_to(everything, (len(x), len(everything))))

    def estimate(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """prior_score(x) + N/b sum_j datum_score(x, data[index[:, j]]), (n, d); index (n, b), a minibatch a row."""
        total = np.zeros_like(x)
        for rows in index.T:
            total += self.term(x, rows)
        total *= len(self.data) / index.shape[1]
        return total if self.prior_score is None else total + self._checked(self.prior_score(x), x, "prior_score(x)")

    def term(self, x: np.ndarray, rows) -> np.ndarray:
        """datum_score(x, data[rows]), (n, d): what the data of these indices, one a row of x, contribute."""
        return self._checked(self.datum_score(x, self.data[rows].astype(x.dtype, copy=False)), x, "datum_score(x, y)")

    @staticmethod
    def _checked(value, x: np.ndarray, name: str) -> np.ndarray:
        value = np.asarray(value)
        if value.shape != x.shape:
            raise ValueError(f"{name} has shape {value.shape}, but x has shape {x.shape}: they must agree")
        return value


@dataclass(frozen=True, eq=False)
class MinibatchChain(MarkovChain):
    """A chain each of whose kernels is an average of Gaussian kernels, one for every minibatch of ``batch`` data rows.

    Parameters
    ----------
    full : Chain
        The chain that runs with all data; its score is a `PosteriorScore`.
    batch : int
        b, from 1 to N.
    """

    full: Chain
    batch: int

    def __post_init__(self):
        if not isinstance(self.full, Chain) or not isinstance(self.full.score, PosteriorScore):
            raise TypeError("full is no chain with a PosteriorScore: sgld(...) makes one")
        if _validate.count(self.batch, "batch") > len(self.full.score.data):
            raise ValueError(f"batch is {self.batch}, but there are {len(self.full.score.data)} data: pass at most that many")

    def __len__(self) -> int:
        return len(self.full)

    def __getitem__(self, steps: slice) -> MinibatchChain:
        """The chain of some of the steps: ``chain[:k]`` leads to the state before step k."""
        return replace(self, full=self.full[only_slices(steps)])

    @property
    def score(self) -> PosteriorScore:
        """The score from all data, and from some."""
        return self.full.score  # type: ignore[return-value]

    @property
    def v(self) -> np.ndarray:
        """Variances of the Gaussian kernels, (n_steps,): without the noise of the gradient."""
        return self.full.v

    def mean(self, k: int, x) -> np.ndarray:
        """E[x' | x] after step k, over noise and minibatch, (n, d): the mean with all data."""
        return self.full.mean(k, x)

    def means(self, k: int, x) -> np.ndarray:
        """E[x' | x, S] for every minibatch S, (C(N, b), n, d): the kernel is the average of N(means[j], v_k I)."""
        x = _validate.batch(x, dtype=None)
        return np.stack([self._given(k, x, np.broadcast_to(rows, (len(x), self.batch))) for rows in self._minibatches()])

    def alone(self, k: int, x) -> np.ndarray:
        """The means that each datum alone would give, a minibatch of one, (N, n, d); their average is ``mean``."""
        x = _validate.batch(x, dtype=None)
        return np.stack([self._given(k, x, np.full((len(x), 1), i)) for i in range(len(self.score.data))])

    def step(self, k: int, x, noise, index) -> np.ndarray:
        """Step k with chosen noise (n, d) and minibatches: index (n, b), without repetition in a row."""
        x = _validate.batch(x, dtype=None)
        noise, index = noise_like(x, noise), np.asarray(index)
        if index.shape != (len(x), self.batch) or index.dtype.kind not in "iu":
            raise ValueError(f"index has shape {index.shape} and dtype {index.dtype}: pass integers, shape {(len(x), self.batch)}")
        ordered = np.sort(index, axis=1)
        if ordered.size and (ordered[:, 0].min() < 0 or ordered[:, -1].max() >= len(self.score.data)):
            raise ValueError(f"index runs from {ordered.min()} to {ordered.max()}: pass 0, ..., {len(self.score.data) - 1}")
        if (np.diff(ordered, axis=1) == 0).any():
            raise ValueError("index repeats a datum within a row: minibatches are drawn without replacement")
        return self._given(k, x, index) + float(np.sqrt(self.v[k])) * noise

    def _advance(self, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        index = without_replacement(len(self.score.data), self.batch, len(x), rng)
        return self.full._noisy(k, self._given(k, x, index), rng)

    def _given(self, k: int, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        return self.full._moved(range(len(self))[k], x, self.score.estimate(x, index))

    def _minibatches(self) -> Iterable[tuple[int, ...]]:
        n = len(self.score.data)
        if (count := comb(n, self.batch)) > _MOST_MINIBATCHES:
            raise ValueError(f"there are {count:.3g} minibatches of {self.batch} out of {n} data, more than {_MOST_MINIBATCHES}: "
                             "take fewer data, or refscore.laws.minibatch_moments, which enumerates none")
        return combinations(range(n), self.batch)


def sgld(
    datum_score: Callable, data, batch: int, steps, prior_score: Callable | None = None, convention: str = "half_eta"
) -> MinibatchChain:
    """Stochastic gradient Langevin dynamics with the given step sizes.

    Parameters
    ----------
    datum_score, data, prior_score
        See `PosteriorScore`: row by row grad_x log p(y | x), the data (N, m), and grad log of the prior.
    batch : int
        Data rows in a minibatch, drawn anew in every step, without replacement; batch = N is Langevin dynamics.
    steps : (n_steps,)
        Step sizes > 0, such as `decreasing_steps` gives.
    convention : 'half_eta' or 'eta'
        As in `refscore.samplers.langevin`; 'half_eta' is Welling & Teh's.

    Raises
    ------
    ValueError, TypeError
        For steps that are not positive, a batch beyond the data, scores of the wrong shape.

    Source: Welling & Teh 2011, eq. 4; [c, "Langevin dynamics"], [e]. systems F2.
    """
    steps = _validate.finite(np.atleast_1d(_validate.reals(steps, "steps")), "steps")
    if steps.ndim != 1 or not len(steps) or not (steps > 0).all():
        raise ValueError(f"steps = {_validate.shown(steps)}: pass positive step sizes, shape (n_steps,), "
                         "such as decreasing_steps(0.1, 1, 0.6, 100)")
    full = kernels(PosteriorScore(datum_score, data, prior_score), np.zeros(len(steps)), steps, convention)
    return MinibatchChain(full, batch)


def decreasing_steps(a: float, c: float, gamma: float, n_steps: int) -> np.ndarray:
    """a (c + k)^-gamma for k = 0, ..., n_steps - 1, with 1/2 < gamma <= 1: sum infinite, sum of squares finite.

    Source: Welling & Teh 2011, eq. 2 and sec. 5.
    """
    a, c, gamma = _validate.positive(a, "a"), _validate.positive(c, "c"), _validate.positive(gamma, "gamma")
    if not 0.5 < gamma <= 1:
        raise ValueError(f"gamma is {gamma}: steps must sum to infinity (gamma <= 1) and their squares must not (gamma > 1/2)")
    return a * (c + np.arange(_validate.count(n_steps, "n_steps"))) ** -gamma


def without_replacement(n: int, size: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """For every row an independent set of ``size`` out of 0, ..., n - 1, all sets equally likely; (rows, size).

    Floyd's algorithm (Bentley & Floyd 1987): j runs over the last ``size`` numbers, t is drawn from 0..j, and where t is taken, j
    joins instead. It needs ``size`` draws and no memory of n.
    """
    chosen = np.empty((rows, size), dtype=np.int64)
    for i, j in enumerate(range(n - size, n)):
        t = rng.integers(0, j + 1, size=rows)
        taken = (chosen[:, :i] == t[:, None]).any(axis=1)
        chosen[:, i] = np.where(taken, j, t)
    return chosen
