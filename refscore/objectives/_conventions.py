"""What an objective's number means, and the one place where rows become a number.

The package's own convention: J = E 1/2 ||.||^2, summed over dimensions, averaged over the batch. Others differ by a
factor, and every factor is an argument:

    half=False              twice the value: ||.||^2 (and 2 tr Ds), as in [a] and in most code
    over_dims='mean'        divided by d
    over_batch='sum'        the sum over rows;  'none': the rows themselves, (n,)
    sample_weight=w (n,)    sum_i w_i loss_i: w stands in place of 1/n (quadrature: nodes and weights that sum to 1)

An objective writes the loss of a block of rows once, as a function ``rows(model, grad, weight, *blocks)`` of block
arrays, which returns the weighted losses (n,) and, with ``grad``, the sums of parameter gradients. `evaluate` does the
rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks, _validate
from refscore.objectives._models import Opaque


@dataclass(frozen=True)
class Convention:
    """The conventions of one call, checked."""

    half: bool = True
    over_dims: str = "sum"
    over_batch: str = "mean"
    sample_weight: Any = None
    grad: bool = False

    def __post_init__(self):
        for name in ("half", "grad"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} is {getattr(self, name)!r}: pass True or False")
        _validate.choice(self.over_dims, "over_dims", ("sum", "mean"))
        _validate.choice(self.over_batch, "over_batch", ("mean", "sum", "none"))
        if self.over_batch == "none" and self.grad:
            raise ValueError("over_batch is 'none', but grad=True needs one number: pass 'mean' or 'sum'")
        if self.over_batch == "none" and self.sample_weight is not None:
            raise ValueError("over_batch is 'none', so sample_weight weights nothing: leave it out, or pass 'sum'")

    def row_weights(self, n: int, d: int) -> np.ndarray:
        """The factor of each row's canonical loss (1/2, summed over dimensions), (n,)."""
        if n == 0:
            raise ValueError("the batch has no rows: an average over nothing is not defined; pass at least one row")
        if self.sample_weight is not None or self.over_batch == "mean":
            rows = _validate.row_weights(self.sample_weight, n)
        else:
            rows = np.ones(n)
        return rows * ((1.0 if self.half else 2.0) / (1.0 if self.over_dims == "sum" else d))


def evaluate(rows: Callable, model, convention: Convention, d: int, *arrays: np.ndarray, tangents: int = 0):
    """The value of the loss ``rows`` on these arrays (each with n rows), as ``convention`` says; with grad, a pair."""
    weight = convention.row_weights(len(arrays[0]), d)
    if isinstance(model, Opaque):  # evaluated on the whole batch, by the caller's own code
        losses, sums = rows(model, convention.grad, weight, *arrays)
        totals = [losses if convention.over_batch == "none" else losses.sum(), *sums]
    elif convention.over_batch == "none":
        totals = [_blocks.map_rows(partial(_losses, rows, model), weight, *arrays, row_bytes=model.row_bytes(tangents))]
    else:
        block = partial(_sums, rows, model, convention.grad)
        totals = _blocks.sum_rows(block, weight, *arrays, row_bytes=model.row_bytes(tangents))
    if not all(np.isfinite(total).all() for total in totals):
        raise ValueError(
            "the loss or its gradient is not finite: the model's output at these points is too large for its dtype to "
            "square (for denoising at tiny sigma pass weight='sigma2', which never divides by sigma)"
        )
    value = totals[0] if convention.over_batch == "none" else float(totals[0])
    return (value, model.completed(totals[1:])) if convention.grad else value


def squared_norms(r: np.ndarray) -> np.ndarray:
    """||r_i||^2 of each row, in float64."""
    return np.einsum("ij,ij->i", r, r).astype(np.float64, copy=False)


def times_rows(weight: np.ndarray, r: np.ndarray) -> np.ndarray:
    """weight_i r_i, in the dtype of r."""
    return weight.astype(r.dtype, copy=False)[:, None] * r


def _losses(rows, model, *blocks):
    return rows(model, False, *blocks)[0]


def _sums(rows, model, grad, *blocks):
    losses, sums = rows(model, grad, *blocks)
    return [losses.sum(), *sums]
