"""Chains of Gaussian kernels: what every sampler of this room is.

    x <- a_k x + b_k score(x, t_k) + sqrt(v_k) z,     z ~ N(0, I),    k = 0, ..., N-1

Euler-Maruyama and the exponential integrator of a reverse SDE, Langevin dynamics, DDPM's ancestral sampling and DDIM
differ only in the numbers a_k, b_k, v_k and in the time t_k at which the score is evaluated. A kernel's mean and
variance are all there is to know about it, so the exact law of the chain can be computed from the same object that is
simulated here. The chain does not know where it starts, nor which process it came from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore.samplers.markov import MarkovChain, noise_like, only_slices


def check_score(score) -> None:
    """Refuse what cannot be called as ``score(x, t)``."""
    check_callable(score, "score", "MarginalScore(process, density)", "a density's own score knows no time")


def check_callable(function, name: str, example: str, why: str) -> None:
    """Refuse what cannot be called as ``name(x, t)``; ``why`` says what it is mistaken for."""
    if not callable(function):
        raise TypeError(f"{name} is {function!r}: pass a callable {name}(x, t), such as {example}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it does not say what it asks for
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise TypeError(f"{name}{signature} cannot be called as {name}(x, t) ({error}): {why}; pass {example}, or "
                        "lambda x, t: ...") from error


@dataclass(frozen=True, eq=False)
class Chain(MarkovChain):
    """A chain of Gaussian kernels N(a_k x + b_k score(x, t_k), v_k I).

    Parameters
    ----------
    score : callable
        ``score(x, t)`` with x (n, d) and a scalar t, returning (n, d).
    times : (N,)
        t_k, where the score is evaluated in step k.
    a, b, v : (N,)
        The numbers of each kernel; v_k >= 0 is a variance, and v_k = 0 a noise-free step.
    """

    score: Callable
    times: np.ndarray
    a: np.ndarray
    b: np.ndarray
    v: np.ndarray

    def __post_init__(self):
        check_score(self.score)
        for name in ("times", "a", "b", "v"):
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.ndim != 1 or array.shape != np.shape(self.times):
                raise ValueError(f"{name} has shape {array.shape}: pass one number a step, like times")
            _validate.finite(array, name).flags.writeable = False
            object.__setattr__(self, name, array)
        if (self.v < 0).any():
            k = int(np.argmin(self.v))
            raise ValueError(f"v[{k}] is {self.v[k]}: v is a variance, pass v >= 0")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, steps: slice) -> Chain:
        """The chain of some of the steps: ``chain[:k]`` leads to the state before step k."""
        steps = only_slices(steps)
        return Chain(self.score, self.times[steps], self.a[steps], self.b[steps], self.v[steps])

    def mean(self, k: int, x) -> np.ndarray:
        """m_k(x) = a_k x + b_k score(x, t_k), shape (n, d)."""
        return self._mean(k, _validate.batch(x, dtype=None))

    def step(self, k: int, x, noise) -> np.ndarray:
        """m_k(x) + sqrt(v_k) noise, with noise (n, d) standard normal."""
        x = _validate.batch(x, dtype=None)
        noise = noise_like(x, noise)
        return self._mean(k, x) + float(np.sqrt(self.v[k])) * noise

    def _advance(self, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._noisy(k, self._mean(k, x), rng)

    def _noisy(self, k: int, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """mean + sqrt(v_k) z, in place."""
        if self.v[k] > 0:
            noise = rng.standard_normal(mean.shape, dtype=mean.dtype)
            noise *= float(np.sqrt(self.v[k]))
            mean += noise
        return mean

    def _mean(self, k: int, x: np.ndarray) -> np.ndarray:
        """A new array, never x itself nor the score's own."""
        k = range(len(self))[k]
        return self._moved(k, x, self.score(x, float(self.times[k])))

    def _moved(self, k: int, x: np.ndarray, score) -> np.ndarray:
        """a_k x + b_k score, for a score at x and t_k."""
        score = np.asarray(score)
        time = float(self.times[k])
        if score.shape != x.shape:
            raise ValueError(f"score(x, {time}) has shape {score.shape}, but x has shape {x.shape}: they must agree")
        mean = float(self.b[k]) * score
        mean += float(self.a[k]) * x
        if not np.isfinite(mean).all():
            raise ValueError(
                f"step {k} of the chain gives {mean[~np.isfinite(mean)][0]}: score(x, {time}) is not finite, or the "
                "steps are so long that the chain diverges; take shorter steps"
            )
        return mean.astype(x.dtype, copy=False)
