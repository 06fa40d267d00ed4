"""How a law prints its parameters: as Python that makes the same law again."""

from __future__ import annotations

import numpy as np

_MOST = 1000


def literal(value) -> str:
    """Numbers with all their digits, an array as a list; of more than 1000 entries only the ends, as NumPy prints them."""
    array = np.asarray(value)
    return repr(array.tolist()) if array.size <= _MOST else np.array2string(array, separator=", ")
