"""One walk over all states of binary units, in blocks: what every exact sum of this room is made of.

State i of n units is the row of the n binary digits of i, the first unit the highest digit, so that the rows are in
lexicographic order, as ``itertools.product((0, 1), repeat=n)`` has them. Only a block of rows exists at a time.

    map_states       a function of every state, joined
    sum_states       sums over all states, of arrays
    log_sum_states   log sum_z e^{l(z)} for l of any size, and its error
    drawn            states that are drawn with given probabilities

A sum of exponentials is taken relative to the largest l of its block, and blocks relative to the largest of all. Whoever
computes l also says how large the numbers are that were added up to it, in units of their rounding: the error of
log sum e^l is the mean of that of l under the weights e^l, and what rounding the sum itself adds (each term's exponent
l - max is rounded once, and the mean of max - l is at most the entropy, n log 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from refscore import _blocks, _validate

ROUNDING = 2.0**-53
RATE = 2e8
"""Terms a second that a walk takes for granted when it says how long it would last: one processor."""

MOST_TERMS = 2.0**36
"""Longer walks are refused: about six minutes."""


class LogSum(NamedTuple):
    """log sum_z e^{l(z)} and a bound of its error."""

    value: float
    error: float


def binary(x, dim: int, name: str = "x", dtype=np.float64) -> np.ndarray:
    """``x`` as an (n, dim) array in which every entry is 0 or 1; otherwise the first bad place is named.

    ``dtype=None`` keeps float32 as it is.
    """
    x = _validate.batch(x, dim, name, dtype)
    bad = (x != 0) & (x != 1)
    if bad.any():
        i, j = (int(k) for k in np.argwhere(bad)[0])
        raise ValueError(f"{name}[{i}, {j}] is {x[i, j]:g}: units are 0 or 1; pass ({name} >= threshold).astype(float), "
                         f"or ({name} + 1) / 2 for units of -1 and 1")
    return x


def data(x, dim: int) -> np.ndarray:
    """``x`` as `binary` has it, with at least one row: a mean is taken over rows."""
    x = binary(x, dim)
    if not len(x):
        raise ValueError(f"x has no rows: pass data, shape (n, {dim}) with n >= 1")
    return x


def refuse_beyond(units: int, width: int, what: str, instead: str) -> None:
    """ValueError when 2^units states with ``width`` terms each are too many to walk over."""
    terms = 2**units * width
    if terms > MOST_TERMS:
        raise ValueError(f"{what} walks over 2^{units} = {2.0**units:.2g} states with {width} terms each, about "
                         f"{duration(terms)} at {RATE:.0e} terms a second: {instead}")


def rows(numbers, units: int) -> np.ndarray:
    """The states of these numbers (n,), of so many units, (n, units) of float64."""
    return ((np.asarray(numbers)[:, None] >> np.arange(units - 1, -1, -1)) & 1).astype(np.float64)


def drawn(probabilities: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n independent states, (n, units), given the probabilities of all 2^units, which need not add up to one."""
    cumulative = np.cumsum(probabilities)
    numbers = np.searchsorted(cumulative / cumulative[-1], rng.random(n), side="right")
    return rows(numbers, len(probabilities).bit_length() - 1)


def index(states: np.ndarray) -> np.ndarray:
    """The number of each row of 0 and 1, (n,) of int64; `rows` undoes it."""
    units = states.shape[1]
    return states.astype(np.int64) @ (np.int64(1) << np.arange(units - 1, -1, -1))


def map_states(function: Callable, units: int, *, row_bytes: int, label: str | None = None) -> np.ndarray:
    """``function`` of the rows of every block, joined: an array with 2^units rows."""
    starts, of_block = _walk(function, units, row_bytes)
    joined = _blocks.map_rows(partial(_wrapped, of_block), starts, row_bytes=_blocks.BLOCK_BYTES, label=label)
    return joined.reshape(2**units, *joined.shape[2:])


def sum_states(function: Callable, units: int, *, row_bytes: int, label: str | None = None) -> list:
    """The sum over blocks of ``function(rows)``, a list of arrays."""
    starts, of_block = _walk(function, units, row_bytes)
    return _blocks.sum_rows(of_block, starts, row_bytes=_blocks.BLOCK_BYTES, label=label)


def log_sum_states(function: Callable, units: int, *, row_bytes: int, label: str | None = None) -> LogSum:
    """log sum_z e^{l(z)} for ``function(rows) -> (l, size)``, both (n,): |error of l| <= size * 2^-53."""
    starts, of_block = _walk(partial(_log_sum, function), units, row_bytes)
    largest, mass, sizes = _blocks.map_rows(of_block, starts, row_bytes=_blocks.BLOCK_BYTES, label=label)
    top = largest.max()
    if top == -np.inf:
        raise ValueError("all states have weight 0: there is no mass to normalise; pass an energy that is finite for some of them")
    scale = np.exp(largest - top)
    total = float((scale * mass).sum())  # pairwise: one state may be a block, and blocks many
    value = float(top + np.log(total))
    size = float(scale @ sizes) / total + 3 * units + 64 + 2 * abs(value)
    return LogSum(value, size * ROUNDING)


def _walk(function: Callable, units: int, row_bytes: int) -> tuple[np.ndarray, Callable]:
    """The first states of all blocks, a power of two of them to a block, and ``function`` of the block that starts there."""
    size = 1 << min(units, max(0, int(math.log2(max(1, _blocks.BLOCK_BYTES // row_bytes)))))
    return np.arange(0, 2**units, size), partial(_of_block, function, units, size)


def _of_block(function: Callable, units: int, size: int, start: np.ndarray):
    return function(rows(np.arange(start[0], start[0] + size), units))


def _wrapped(of_block: Callable, start: np.ndarray) -> np.ndarray:
    return of_block(start)[None]


def _log_sum(function: Callable, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a block: the largest l, sum e^{l - largest}, and the sum of these times size."""
    value, size = function(states)
    largest = value.max()
    weights = np.exp(value - (largest if largest > -np.inf else 0.0))
    return np.array([largest]), np.array([weights.sum()]), np.array([weights @ size])


def duration(terms: float) -> str:
    """How long so many terms take, in words."""
    seconds = terms / RATE
    for unit, length in (("years", 3.15e7), ("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds > length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} seconds"
