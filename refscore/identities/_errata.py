"""How an erratum is stated: what a source says fails by an amount that is known, and what should stand there holds.

"It fails" would be a weak verdict: anything wrong in the package makes a statement fail. So the gap between the two sides
of the source's statement is itself predicted, by another road, and compared: the statement fails *by exactly this much*.
The corrected statement is an ordinary `Comparison`; the numbers of both go into a `Table`.
"""

from __future__ import annotations

import numpy as np

from refscore.identities._registry import Comparison


def refuted(case: str, left, right, gap, bound, scale=1.0) -> Comparison:
    """The source's ``left = right`` is off by ``gap``: left - right = gap within ``bound``, and gap is no rounding error."""
    if not (np.abs(gap) > 1e6 * np.asarray(bound)).any():
        raise ValueError(f"{case}: a gap of {np.max(np.abs(gap)):.3g} with bound {np.max(bound):.3g} refutes nothing")
    return Comparison(f"refuted: {case}", np.asarray(left) - np.asarray(right), np.asarray(gap), bound, scale)
