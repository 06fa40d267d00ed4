"""Forward processes of every kind, with parameters in the range in which they are used.

A `Path` is made of functions; those drawn here print as the lambdas that they are, so that a failing example can be pasted. One
process in eight is the plain one of its kind: what all shrink to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from refscore.processes import DDPM, OU, VE, VP, Path, SubVP, VPCosine, linear_betas
from refscore.strategies.batches import chosen, made, plainly


@dataclass(frozen=True, repr=False)
class Power:
    """a + c t^p."""

    a: float
    c: float
    p: int

    def __call__(self, t):
        return self.a + self.c * t**self.p

    def __repr__(self) -> str:
        return f"lambda t: {self.a!r} {'-' if self.c < 0 else '+'} {abs(self.c)!r} * t**{self.p}"

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(repr(self))  # Hypothesis would print the fields of a dataclass


def processes(kinds: str | Iterable[str] | None = None) -> st.SearchStrategy:
    """Processes of refscore. They shrink to OU(1.0, 1.0), or to the plain process of the first kind that fails: VP(), VPCosine(),
    VE(), SubVP() as published, the Path with alpha = 1 - t and sigma = t, DDPM([0.5]).

    Parameters
    ----------
    kinds : names out of `PROCESSES`, default all
        `CONTINUOUS` leaves out 'ddpm', whose times are indices. Of the others 'vp cosine', and a 'path' that ends without signal,
        have alpha = 0 at ``t_max`` and no drift there: `times` and `grids` know it. Of 'ou' some have beta = 0, on purpose: that
        is Brownian motion, alpha = 1, where sigma^2 (1 - e^{-2 beta t})/(2 beta) divides by 0. What fails elsewhere too does not
        shrink to it.

    Raises ValueError for an unknown kind, TypeError for what is no name; at once.
    """
    return _processes(chosen(KINDS if kinds is None else kinds, KINDS))


@st.composite
def _processes(draw, kinds: tuple[str, ...]):
    kind = draw(st.sampled_from(kinds))
    if kind in _PLAIN and plainly(draw):
        return made(draw, *_PLAIN[kind])
    return draw(_MADE[kind])


_PLAIN: dict[str, tuple[Any, ...]] = {
    "ou": (OU, 1.0, 1.0),
    "vp": (VP,),
    "vp cosine": (VPCosine,),
    "ve": (VE,),
    "sub vp": (SubVP,),
    "path": (Path, Power(1.0, -1.0, 1), Power(0.0, 1.0, 1)),
}  # not a chain: its grids take fewer choices than those of the others, and so must it take more, or all would shrink to it
# 0 takes as many choices as another rate: with fewer, all would shrink to it
_RATES = st.builds(lambda rate, k: 0.0 if k == 7 else rate, st.floats(0.05, 3.0), st.integers(0, 7))
_LOW, _HIGH = st.floats(0.0, 1.0), st.floats(2.0, 20.0)
_EVEN = st.tuples(st.integers(1, 20), st.floats(1e-4, 1e-2), st.floats(0.02, 0.5))
_BETAS = st.lists(st.floats(1e-3, 0.6), min_size=1, max_size=12) | _EVEN.map(lambda ends: linear_betas(*ends).tolist())
_MADE: dict[str, st.SearchStrategy] = {
    "ou": st.builds(OU, _RATES, st.floats(0.2, 2.0)),
    "vp": st.builds(VP, _LOW, _HIGH),
    "vp cosine": st.builds(VPCosine, st.floats(0.001, 0.1)),
    "ve": st.builds(VE, st.floats(0.01, 0.5), st.floats(1.0, 50.0), st.sampled_from(("sigma_min", "data"))),
    "sub vp": st.builds(SubVP, _LOW, _HIGH),
    "path": st.builds(Path, st.builds(Power, st.just(1.0), st.floats(0.0, 1.0).map(lambda c: -c), st.integers(1, 2)),
                      st.builds(Power, st.just(0.0), st.floats(0.2, 3.0), st.integers(1, 2))),
    "ddpm": st.builds(DDPM, _BETAS),
}  # fmt: skip
KINDS = tuple(_MADE)
CONTINUOUS = KINDS[:-1]
