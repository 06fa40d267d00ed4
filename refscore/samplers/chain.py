"""Chains of Gaussian kernels: what every sampler of this room is.

    x <- a_k x + b_k score(x, t_k) + sqrt(v_k) z,     z ~ N(0, I),    k = 0, ..., N-1

Euler-Maruyama and the exponential integrator of a reverse SDE, Langevin dynamics, DDPM's ancestral sampling and DDIM
differ only in the numbers a_k, b_k, v_k and in the time t_k at which the score is evaluated. A kernel's mean and
variance are all there is to know about it, so the exact law of the chain can be computed from the same object that is
simulated here. The chain does not know where it starts, nor which process it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refscore import _blocks, _validate

_STREAM = 0x636861696E  # "chain": so that an int seed used for the initial points gives other numbers here
_ROW_ARRAYS = 6  # x, score, noise and what the score needs besides, in arrays of the size of x


@dataclass(frozen=True, eq=False)
class Chain:
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
        if not callable(self.score):
            raise TypeError(f"score is {self.score!r}: pass a callable score(x, t)")
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
        if not isinstance(steps, slice):
            raise TypeError(f"chain[{steps!r}]: pass a slice, such as chain[:3]")
        return Chain(self.score, self.times[steps], self.a[steps], self.b[steps], self.v[steps])

    def mean(self, k: int, x) -> np.ndarray:
        """m_k(x) = a_k x + b_k score(x, t_k), shape (n, d)."""
        return self._mean(k, _validate.batch(x, dtype=None))

    def step(self, k: int, x, noise) -> np.ndarray:
        """m_k(x) + sqrt(v_k) noise, with noise (n, d) standard normal."""
        x = _validate.batch(x, dtype=None)
        noise = _validate.batch(noise, x.shape[1], "noise", dtype=None)
        if noise.shape != x.shape:
            raise ValueError(f"noise has shape {noise.shape}, but x has shape {x.shape}: pass one row of noise per row")
        return self._mean(k, x) + float(np.sqrt(self.v[k])) * noise

    def simulate(self, x0, rng) -> np.ndarray:
        """Run every row of x0 (n, d) through all steps; the last states, (n, d).

        ``rng`` is a Generator or an int seed. Row blocks run on threads, each with its own stream, so the result has
        the same bits for any number of threads. float32 stays float32. A progress bar appears after two seconds.
        """
        x0 = _validate.batch(x0, name="x0", dtype=None)
        if not isinstance(rng, np.random.Generator):
            _validate.generator(rng)
            rng = np.random.default_rng([_STREAM, int(rng)])
        row_bytes = _ROW_ARRAYS * x0.shape[1] * x0.itemsize
        label = f"simulating {len(x0)} rows, {len(self)} steps"
        return _blocks.map_rows(self._simulate_block, x0, row_bytes=row_bytes, rng=rng, label=label)

    def _simulate_block(self, x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        x = x.copy()
        noise = np.empty_like(x)
        for k in range(len(self)):
            x = self._mean(k, x)
            if self.v[k] > 0:
                rng.standard_normal(out=noise, dtype=noise.dtype)
                noise *= float(np.sqrt(self.v[k]))
                x += noise
        return x

    def _mean(self, k: int, x: np.ndarray) -> np.ndarray:
        """A new array, never x itself nor the score's own."""
        k = range(len(self))[k]
        time = float(self.times[k])
        score = np.asarray(self.score(x, time))
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
