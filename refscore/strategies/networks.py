"""Networks: free ones and energies, with and without time, up to three hidden layers of up to six units.

Weights and biases are those of a seed: as hundreds of drawn numbers they would shrink one by one, to zeros that test nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from refscore.networks import ACTIVATIONS, MLP, EnergyMLP
from refscore.strategies.batches import DIMENSIONS, chosen, integer

KINDS = ("mlp", "energy")


@st.composite
def networks(draw, dim: Any = None, kinds: str | Iterable[str] = KINDS, *, takes_time: bool | None = None,
             activations: str | Iterable[str] = tuple(ACTIVATIONS)):  # fmt: skip
    """Networks s from R^d to R^d, or energies E on R^d, whose score is -grad E.

    Parameters
    ----------
    dim : int, a strategy of ints, or None for 1 to 5
        d, the number of columns of x.
    kinds : 'mlp', 'energy', or both
    takes_time : bool or None
        Whether the last input is t: then it is called (x, t). None draws it; an `MLP` with it has ``sizes[0] = d + 1``.
    activations : names out of `refscore.networks.ACTIVATIONS`
        'relu' has kinks, where derivatives jump: leave it out of tests by differences.

    Raises ValueError for an unknown kind or activation.
    """
    d = draw(integer(dim, DIMENSIONS))
    kind = draw(st.sampled_from(chosen(kinds, KINDS)))
    activation = draw(st.sampled_from(chosen(activations, tuple(ACTIVATIONS), "activations")))
    timed = draw(st.booleans()) if takes_time is None else takes_time
    hidden = draw(st.lists(st.integers(1, 6), min_size=kind == "energy", max_size=3))
    seed = draw(st.integers(0, 2**32 - 1))
    sizes = (d + timed, *hidden, d if kind == "mlp" else 1)
    return MLP(sizes, activation, seed) if kind == "mlp" else EnergyMLP(sizes, activation, seed, takes_time=timed)
