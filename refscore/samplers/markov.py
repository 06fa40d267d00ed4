"""The loop that runs every Markov chain of this room: all rows of a block, one step after another.

A chain says in one method, ``_advance``, how a step is made from the state and the block's own random stream. Chains of Gaussian
kernels (`chain`), of Gaussian kernels one of which is drawn (`sgld`), and chains that may stay where they are (`mala`) share all
else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

import numpy as np

from refscore import _blocks, _validate
from refscore._progress import Shown, hidden, progress

_STREAM = 0x636861696E  # "chain": so that an int seed used for the initial points gives other numbers here
_ROW_ARRAYS = 6  # x, score, noise and what the score needs besides, in arrays of the size of x


class MarkovChain(ABC):
    """What has a number of steps and a way to make each of them."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _advance(self, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The state after step k from the state before it, both (n, d): a new array."""

    def simulate(self, x0, rng) -> np.ndarray:
        """Run every row of x0 (n, d) through all steps; the last states, (n, d).

        ``rng`` is a Generator or an int seed. Row blocks run on threads, each with its own stream, so the result has
        the same bits for any number of threads. float32 stays float32. A progress bar appears after two seconds.
        """
        x0 = _validate.batch(x0, name="x0", dtype=None)
        if not isinstance(rng, np.random.Generator):
            _validate.generator(rng)
            rng = np.random.default_rng([_STREAM, int(rng)])
        label, row_bytes = f"simulating {len(x0)} rows, {len(self)} steps", self._row_bytes(x0)
        if len(x0) * row_bytes > _blocks.BLOCK_BYTES:
            return _blocks.map_rows(self._simulate_block, x0, row_bytes=row_bytes, rng=rng, label=label)
        with progress(len(self), label) as shown:  # one block, which shows its steps
            return _blocks.map_rows(partial(self._simulate_block, shown=shown), x0, row_bytes=row_bytes, rng=rng)

    def _row_bytes(self, x: np.ndarray) -> int:
        """Bytes of temporaries that a row needs."""
        return _ROW_ARRAYS * x.shape[1] * x.itemsize

    def _simulate_block(self, x: np.ndarray, *, rng: np.random.Generator, shown: Shown = hidden) -> np.ndarray:
        x = x.copy()
        for k in range(len(self)):
            shown(k)
            x = self._advance(k, x, rng)
        return x


def only_slices(steps, name: str = "chain") -> slice:
    """``steps`` of ``chain[steps]``, which is a chain again."""
    if not isinstance(steps, slice):
        raise TypeError(f"{name}[{steps!r}]: pass a slice, such as {name}[:3]")
    return steps


def noise_like(x: np.ndarray, noise, name: str = "noise") -> np.ndarray:
    """``noise``, one row of it per row of x."""
    noise = _validate.batch(noise, x.shape[1], name, dtype=None)
    if noise.shape != x.shape:
        raise ValueError(f"{name} has shape {noise.shape}, but x has shape {x.shape}: pass one row of {name} per row")
    return noise
