"""Forward processes of every kind, with parameters in the range in which they are used.

A `Path` is made of functions; those drawn here are objects with a readable repr, so that a failing example can be copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st

from refscore.processes import DDPM, OU, VE, VP, Path, SubVP, VPCosine, linear_betas
from refscore.strategies.batches import array, chosen


@dataclass(frozen=True)
class Falling:
    """alpha(t) = 1 - c t^p."""

    c: float
    p: int

    def __call__(self, t):
        return 1 - self.c * t**self.p


@dataclass(frozen=True)
class Rising:
    """sigma(t) = c t^p."""

    c: float
    p: int

    def __call__(self, t):
        return self.c * t**self.p


def processes(kinds: str | Iterable[str] | None = None) -> st.SearchStrategy:
    """Processes of refscore.

    Parameters
    ----------
    kinds : names out of `PROCESSES`, default all
        `CONTINUOUS` leaves out 'ddpm', whose times are indices. Of the others 'vp cosine', and a 'path' that ends without signal,
        have alpha = 0 at ``t_max`` and no drift there: `times` and `grids` know it.

    Raises ValueError for an unknown kind.
    """
    return st.one_of([_MADE[kind] for kind in chosen(KINDS if kinds is None else kinds, KINDS)])


_LOW, _HIGH = st.floats(0.0, 1.0), st.floats(2.0, 20.0)
_BETAS = st.builds(linear_betas, st.integers(1, 20), st.floats(1e-4, 1e-2), st.floats(0.02, 0.5)) | st.integers(1, 12).flatmap(
    lambda n: array((n,), st.floats(1e-3, 0.6))
)
_MADE: dict[str, st.SearchStrategy] = {
    "ou": st.builds(OU, st.floats(0.0, 3.0), st.floats(0.2, 2.0)),
    "vp": st.builds(VP, _LOW, _HIGH),
    "vp cosine": st.builds(VPCosine, st.floats(0.001, 0.1)),
    "ve": st.builds(VE, st.floats(0.01, 0.5), st.floats(1.0, 50.0), st.sampled_from(("sigma_min", "data"))),
    "sub vp": st.builds(SubVP, _LOW, _HIGH),
    "path": st.builds(Path, st.builds(Falling, st.floats(0.0, 1.0), st.integers(1, 2)),
                      st.builds(Rising, st.floats(0.2, 3.0), st.integers(1, 2))),
    "ddpm": st.builds(DDPM, _BETAS),
}  # fmt: skip
KINDS = tuple(_MADE)
CONTINUOUS = KINDS[:-1]
