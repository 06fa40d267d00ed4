"""A row of the table: one computation, in every library that is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

THREADS = 2
ROWS: dict[str, Row] = {}
LIBRARIES = ("refscore", "torch", "torch compiled", "jax")


@dataclass(frozen=True)
class Row:
    """``make(**sizes)`` gives a `Case`; ``small`` are sizes that take no time, to see that the row runs."""

    name: str
    make: Callable[..., Case]
    sizes: dict[str, Any]
    small: dict[str, Any]

    def case(self, small: bool = False) -> Case:
        """The row's computation with its inputs, drawn anew."""
        return self.make(**{**self.sizes, **(self.small if small else {})})


@dataclass
class Case:
    """What is to be timed: a function without arguments for each library, by name.

    ``flops`` in matrix products, None where they are not what takes the time; ``tolerance``: largest difference between the
    libraries' results, relative to the largest entry of each array. With ``accuracy`` the others simulate what refscore computes:
    their times are extrapolated to that error, which falls like the root of the time.
    """

    dtype: type
    flops: float | None
    runs: dict[str, Callable[[], Any]] = field(default_factory=dict)
    tolerance: float = 1e-10
    accuracy: float | None = None

    def check(self) -> None:
        """Every library gives what refscore gives, array by array; raises AssertionError. What does not compile is left out."""
        wanted = _arrays(self.runs["refscore"]())
        assert all(np.isfinite(a).all() for a in wanted)
        for name in [name for name in self.runs if name != "refscore"]:
            try:
                got = _arrays(self.runs[name]())
            except Exception:  # no C compiler here, or an operation that torch.compile does not know
                if name != "torch compiled":
                    raise
                del self.runs[name]
                continue
            assert len(got) == len(wanted), name
            for a, b in zip(wanted, got, strict=True):
                assert a.shape == b.shape and (a.dtype == b.dtype or a.size == 1), (name, a.shape, b.shape, a.dtype, b.dtype)
                error = np.abs(a - b).max() / np.abs(a).max()
                assert error <= self.tolerance, f"{name} differs from refscore by {error:.1e}"

    def effort(self) -> dict[str, float]:
        """By which factor the time of each library is to be multiplied: (error/accuracy)^2, with the error of its result now."""
        if self.accuracy is None:
            return dict.fromkeys(self.runs, 1.0)
        exact = self.runs["refscore"]()
        errors = {name: float(np.sqrt(np.mean((run() - exact) ** 2))) for name, run in self.runs.items()}
        return {name: max(1.0, error / self.accuracy) ** 2 for name, error in errors.items()}


def row(name: str, small: dict[str, Any], **sizes):
    """Enters the decorated function, which makes the `Case`, in the table as ``name``."""

    def enter(make):
        ROWS[name] = Row(name, make, sizes, small)
        return make

    return enter


def libraries() -> tuple[Any, Any]:
    """(torch, jax), each None when it is not installed, on the row's number of threads and in double precision."""
    torch = jax = None
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(THREADS)
    if importlib.util.find_spec("jax"):
        import jax

        jax.config.update("jax_enable_x64", True)
    return torch, jax


def of_torch(torch, function, *arrays: np.ndarray) -> dict[str, Callable]:
    """A function of tensors, without gradients: eager and compiled."""
    tensors, compiled = [torch.tensor(a) for a in arrays], torch.compile(function)
    return {"torch": torch.no_grad()(lambda: function(*tensors)), "torch compiled": torch.no_grad()(lambda: compiled(*tensors))}


def of_jax(jax, function, *arrays: np.ndarray) -> dict[str, Callable]:
    """A function of arrays: compiled, and waited for."""
    compiled, given = jax.jit(function), [jax.numpy.asarray(a) for a in arrays]
    return {"jax": lambda: jax.block_until_ready(compiled(*given))}


def _arrays(result) -> list[np.ndarray]:
    if isinstance(result, (list, tuple)):
        return [array for part in result for array in _arrays(part)]
    return [np.atleast_1d(np.asarray(result.detach() if hasattr(result, "detach") else result))]
