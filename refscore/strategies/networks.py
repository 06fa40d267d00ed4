"""Networks: free ones and energies, with and without time, up to three hidden layers of up to six units.

Weights and biases are those of a seed: as hundreds of drawn numbers they would shrink one by one, to zeros that test nothing. So
what Hypothesis prints is the call with the seed; the network's own repr leaves the weights out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from refscore.networks import ACTIVATIONS, MLP, EnergyMLP
from refscore.strategies.batches import DIMENSIONS, chosen, integer, made

KINDS = ("mlp", "energy")


def networks(dim: Any = None, kinds: str | Iterable[str] = KINDS, *, takes_time: bool | None = None,
             activations: str | Iterable[str] = tuple(ACTIVATIONS)) -> st.SearchStrategy:  # fmt: skip
    """Networks s from R^d to R^d, or energies E on R^d, whose score is -grad E. They shrink to MLP((1, 1), 'tanh', 0).

    Parameters
    ----------
    dim : int, a strategy of ints, or None for 1 to 5
        d, the number of columns of x.
    kinds : 'mlp', 'energy', or both
    takes_time : bool or None
        Whether the last input is t: then it is called (x, t). None draws it; an `MLP` with it has ``sizes[0] = d + 1``.
    activations : names out of `refscore.networks.ACTIVATIONS`
        'relu' has kinks, where derivatives jump: leave it out of tests by differences.

    Raises ValueError for an unknown kind or activation or dim < 1, TypeError for arguments of other types; at once.
    """
    if not (takes_time is None or isinstance(takes_time, bool)):
        raise TypeError(f"takes_time is {takes_time!r}: pass True or False, or None for both")
    return _networks(integer(dim, "dim", DIMENSIONS), chosen(kinds, KINDS),
                     chosen(activations, tuple(ACTIVATIONS), "activations"), takes_time)  # fmt: skip


@st.composite
def _networks(draw, dims: st.SearchStrategy[int], kinds: tuple[str, ...], activations: tuple[str, ...], takes_time: bool | None):
    d, kind, activation = draw(dims), draw(st.sampled_from(kinds)), draw(st.sampled_from(activations))
    timed = draw(st.booleans()) if takes_time is None else takes_time
    hidden = draw(st.lists(st.integers(1, 6), min_size=kind == "energy", max_size=3))
    seed = draw(st.integers(0, 2**32 - 1))
    sizes = (d + timed, *hidden, d if kind == "mlp" else 1)
    if kind == "mlp":
        return made(draw, MLP, sizes, activation, seed)
    return made(draw, EnergyMLP, sizes, activation, seed, takes_time=timed)
