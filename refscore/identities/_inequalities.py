"""How an inequality is checked: it holds, and how far it is from an equality is known by another road.

That one number lies below another says little: most mistakes leave it so. So the two numbers, or their difference, are compared
with a second route like those of any identity, and only then the slack is asked for its sign.
"""

from __future__ import annotations

from refscore.identities._registry import Comparison


def holds(case: str, small: float, large: float, error: float, scale: float = 1.0) -> Comparison:
    """small <= large, beyond an ``error`` by which their difference may be off."""
    return Comparison(f"{case}: slack at least 0", min(float(large) - float(small), 0.0), 0.0, error, scale)
