"""Someone else's implementation, called with care.

The candidate gets copies of the arguments, in the order of the contract, and a time limit; what it returns is brought to a
list of float arrays of the wanted shapes, and everything that can go wrong on the way is a sentence and not a crash: it
raises, returns None, text, NaN, another shape, changes its arguments, does not come back.
"""

from __future__ import annotations

import copy
import inspect
import threading
import traceback
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refscore.conformance.reference import Reference
from refscore.conformance.spec import Spec

PATIENCE = 20.0
"""Seconds that one call may take."""

VALUES: dict[str, tuple] = {
    "predicts": ("score", "eps", "x0", "v", "energy"),
    "half": (True, False),
    "over_dims": ("sum", "mean"),
    "over_batch": ("mean", "sum", "none"),
    "weight": ("one", "sigma2"),
    "langevin": ("eta", "half_eta"),
    "scheme": ("euler_maruyama", "exponential"),
    "variance": ("beta", "beta_tilde"),
}
"""What may be declared in ``conventions``; besides, numbers t_min, t_max and a dtype."""


class BrokenAdapter(Exception):
    """The adapter cannot be used at all; the message says why and what to do."""


@dataclass(frozen=True)
class Answer:
    """What one call gave: the values, or the problem in a sentence and its kind."""

    values: list[np.ndarray] | None
    problem: str = ""
    kind: str = ""  # raised, unsupported, type, shape, not finite, mutated, slow


@dataclass
class Candidate:
    """An adapter, with its declared conventions checked.

    Raises BrokenAdapter when conventions are no dict, or hold unknown keys or values.
    """

    adapter: Any
    process: Any = None
    conventions: dict[str, Any] = field(default_factory=dict)
    _models: dict[int, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self):
        self.process = getattr(self.adapter, "process", None)
        declared = getattr(self.adapter, "conventions", None)
        declared = {} if declared is None else declared
        if not isinstance(declared, dict):
            raise BrokenAdapter(f"conventions is a {type(declared).__name__}: make it a dict, such as {{'predicts': 'eps'}}")
        for key, value in declared.items():
            if key in VALUES:
                if value not in VALUES[key]:
                    choices = ", ".join(map(repr, VALUES[key]))
                    raise BrokenAdapter(f"conventions[{key!r}] is {value!r}: choose one of {choices}, or leave it out")
            elif key not in ("t_min", "t_max", "dtype"):
                raise BrokenAdapter(f"conventions has the key {key!r}: known are {', '.join([*VALUES, 't_min', 't_max', 'dtype'])}")
        self.conventions = dict(declared)

    def has(self, operation: str) -> bool:
        """Whether the adapter has the operation: absent and None are the same."""
        return callable(getattr(self.adapter, operation, None))

    def takes_seed(self, operation: str) -> bool:
        """Whether the operation draws its own randomness, by a last argument ``seed``."""
        try:
            return "seed" in inspect.signature(getattr(self.adapter, operation)).parameters
        except (TypeError, ValueError):
            return False

    @property
    def declared_eps(self) -> float | None:
        """The unit roundoff of a declared dtype."""
        if self.conventions.get("dtype") is None:
            return None
        name = str(self.conventions["dtype"]).rsplit(".", 1)[-1].rstrip("'>")
        try:
            return 2.0**-8 if name == "bfloat16" else float(np.finfo(name).eps)
        except (TypeError, ValueError):
            given = self.conventions["dtype"]
            raise BrokenAdapter(f"conventions['dtype'] is {given!r}: pass 'float64', 'float32' or 'float16'") from None

    def call(self, operation: str, arguments: dict[str, Any], wanted: list[np.ndarray]) -> Answer:
        """The operation's answer; ``wanted`` fixes how many arrays there are and their shapes."""
        try:
            given = {name: self._model(v) if name == "model" else copy.deepcopy(v) for name, v in arguments.items()}
        except Exception as error:
            return Answer(None, f"model(spec) {_raised(error)}", "raised")
        before = {name: v.copy() for name, v in given.items() if isinstance(v, np.ndarray)}
        result, problem, kind = _limited(getattr(self.adapter, operation), list(given.values()))
        if problem:
            return Answer(None, problem, kind)
        for name, array in before.items():
            if not np.array_equal(array, given[name], equal_nan=True):
                return Answer(None, f"it changes its argument {name} in place: work on a copy", "mutated")
        return _arrays(result, wanted)

    def _model(self, spec: Spec) -> Any:
        key = id(spec)
        if key not in self._models:
            if self.has("model"):
                built = self.adapter.model(copy.deepcopy(spec))
            else:
                predicts = self.conventions.get("predicts", "score")
                built = Reference(self.process, {"predicts": predicts}).model(spec)
            self._models[key] = (spec, built)  # the spec is kept, so that its id stays its own
        return self._models[key][1]


def _limited(function, arguments) -> tuple[Any, str, str]:
    """(result, problem, kind) of a call that may take `PATIENCE` seconds."""
    outcome: list = []

    def run():
        try:
            with np.errstate(all="ignore"):
                outcome.append((function(*arguments), "", ""))
        except NotImplementedError as error:
            outcome.append((None, f"it is not implemented: {error}", "unsupported"))
        except BaseException as error:  # SystemExit too: a candidate does not end the run
            outcome.append((None, f"it {_raised(error)}", "raised"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return outcome[0] if outcome else (None, f"it did not return within {PATIENCE:g} s", "slow")


def _raised(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"raises {type(error).__name__}: {text[:300]}{where}"


def _arrays(result: Any, wanted: list[np.ndarray]) -> Answer:
    if result is None:
        return Answer(None, "it returns None: return the value, or set the operation to None to leave it out", "type")
    parts = list(result) if isinstance(result, (list, tuple)) else [result]
    if len(wanted) == 1 and len(parts) != 1:
        parts = [result]
    if len(parts) != len(wanted):
        return Answer(None, f"it returns {len(parts)} arrays: wanted are {len(wanted)}, of shapes "
                            f"{', '.join(str(w.shape) for w in wanted)}", "shape")
    values = []
    for part, w in zip(parts, wanted, strict=True):
        try:
            array = np.asarray(part)
        except Exception as error:
            return Answer(None, f"what it returns is no array: {_raised(error)}; return NumPy arrays", "type")
        if array.dtype.kind == "b":  # pixels
            array = array.astype(np.int64)
        if array.dtype.kind not in "fiu":
            return Answer(None, f"it returns {type(part).__name__} of dtype {array.dtype}: return real numbers", "type")
        if w.ndim == 0 and array.size == 1:
            array = array.reshape(())
        if array.shape != w.shape:
            return Answer(None, f"it returns shape {array.shape}: wanted is {w.shape}", "shape")
        if not np.isfinite(array).all():
            return Answer(None, f"it returns {'NaN' if np.isnan(array).any() else 'an infinite number'}", "not finite")
        values.append(array)
    return Answer(values)
