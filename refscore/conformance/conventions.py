"""Which convention a candidate follows: declared, or inferred from what it computes.

An operation depends on a few keys (half, over_dims, over_batch, weight, predicts, langevin, scheme, variance). What is
declared is taken at its word. What is left out is found by trying: of all values of the keys left open, those under which the
candidate's answer is right, on the most general rung, where no two conventions coincide; where none is, on the rungs below
it, for a mistake may show in general only.

Nothing is inferred from a wrong answer: then the defaults stand, and the verdict is that of the defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from refscore.conformance.reference import DEFAULTS

OPEN: dict[str, tuple] = {
    "predicts": ("score", "eps", "x0", "v"),
    "half": (True, False),
    "over_dims": ("sum", "mean"),
    "over_batch": ("mean", "sum", "none"),
    "weight": ("one", "sigma2", "prediction"),
    "langevin": ("eta", "half_eta"),
    "scheme": ("euler_maruyama", "exponential"),
    "variance": ("beta", "beta_tilde"),
}
"""What a key that is left out may turn out to be. 'prediction' is legitimate but cannot be declared: the plain error of x0 or v."""

OWN_DEFAULT = {("annealed_langevin", "langevin"): "half_eta", **{(f"ddpm_loss{g}", "weight"): "sigma2" for g in ("", "_grad")}}
"""Where an operation is published in another convention than the rest: Algorithm 1 halves its step, L_simple is eps's error."""

LOSSES_OF_DDPM = ("sigma2", "prediction")
"""L_simple, or the plain error of what the model predicts, whatever weight other losses have."""


def open_values(operation: str, key: str) -> tuple:
    """What a key may turn out to be in an operation."""
    return LOSSES_OF_DDPM if key == "weight" and operation.startswith("ddpm_loss") else OPEN[key]


def default(operation: str, key: str) -> Any:
    """The value of a key for which nothing is declared and nothing can be inferred."""
    return OWN_DEFAULT.get((operation, key), DEFAULTS[key])


def possible(operation: str, keys: tuple[str, ...], declared: dict[str, Any], gradient: bool = False) -> Iterator[dict[str, Any]]:
    """All settings of ``keys`` that agree with what is declared, the likeliest first: those with the fewest surprises."""
    choices = []
    for key in keys:
        if key in declared and open_values(operation, key) == OPEN[key]:
            own = OWN_DEFAULT.get((operation, key))  # Algorithm 1 stays Algorithm 1, whatever a step of Langevin's means
            values = [declared[key]] if own in (None, declared[key]) else [declared[key], own]
        else:
            usual = default(operation, key)
            values = [usual, *[v for v in open_values(operation, key) if v != usual]]
        if gradient and key == "over_batch":
            values = ["mean" if v == "none" else v for v in values]
            values = list(dict.fromkeys(values))
        choices.append(values)
    settings = product(*[list(enumerate(values)) for values in choices])
    for setting in sorted(settings, key=lambda s: sum(place > 0 for place, _ in s)):
        found = {key: value for key, (_, value) in zip(keys, setting, strict=True)}
        plain = ("score", "x0", "v") if open_values(operation, "weight") == LOSSES_OF_DDPM else ("x0", "v")
        if found.get("weight") == "prediction" and found.get("predicts", declared.get("predicts")) not in plain:
            continue  # of score and eps the plain error is 'one' and 'sigma2'
        yield found
