"""Someone else's implementation, called with care.

The candidate gets copies of the arguments, in the order of the contract, and a time limit; what it returns is brought to a
list of float arrays of the wanted shapes, and everything that can go wrong on the way is a sentence and not a crash: it
raises, returns None, text, NaN, another shape, changes its arguments, does not come back. (A thread that does not come back
cannot be stopped, only left behind.)
"""

from __future__ import annotations

import copy
import difflib
import inspect
import os
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refscore.conformance.reference import Reference
from refscore.conformance.spec import Spec

PATIENCE = 20.0
"""Seconds that one call may take; when calls that took longer have cost twice as much, the others have `HURRY`."""

HURRY = 1.0

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


_PROCESS = ("alpha", "sigma", "t_max")


class BrokenAdapter(Exception):
    """The adapter cannot be used at all; the message says why and what to do."""


@dataclass(frozen=True)
class Answer:
    """What one call gave: the values, or the problem in a sentence and its kind."""

    values: list[np.ndarray] | None
    problem: str = ""
    kind: str = ""  # raised, unsupported, type, shape, not finite, mutated, slow
    misshapen: list[np.ndarray] | None = None  # the numbers all the same, where they have the wrong shapes

    @property
    def hopeless(self) -> bool:
        """Whether it is no use to ask again, with another model."""
        return self.kind in ("unsupported", "slow")


@dataclass
class Candidate:
    """An adapter, with its declared conventions checked.

    ``assumed`` is what a mixture returns where nothing is declared and it `follows`.

    Raises BrokenAdapter when conventions are no dict, or hold unknown keys or values.
    """

    adapter: Any
    process: Any = None
    conventions: dict[str, Any] = field(default_factory=dict)
    assumed: str = "score"
    _models: dict[tuple, Any] = field(default_factory=dict, repr=False)
    _lost: float = field(default=0.0, repr=False)  # seconds

    def __post_init__(self):
        try:
            self.process = getattr(self.adapter, "process", None)
            declared = getattr(self.adapter, "conventions", None)
        except Exception as error:
            raise BrokenAdapter(f"reading process and conventions {_raised(error)}") from error
        if isinstance(self.process, type) or not all(hasattr(self.process, name) for name in _PROCESS if self.process is not None):
            raise BrokenAdapter(f"process is {self.process!r}: make it a refscore process, such as VP(), or None")
        declared = {} if declared is None else declared
        if not isinstance(declared, dict):
            raise BrokenAdapter(f"conventions is a {type(declared).__name__}: make it a dict, such as {{'predicts': 'eps'}}")
        for key, value in declared.items():
            if key in VALUES:
                if not any(value is v or (isinstance(value, str) and value == v) for v in VALUES[key]):
                    choices = ", ".join(map(repr, VALUES[key]))
                    raise BrokenAdapter(f"conventions[{key!r}] is {value!r}: choose one of {choices}, or leave it out")
            elif key not in ("t_min", "t_max", "dtype"):
                known = [*VALUES, "t_min", "t_max", "dtype"]
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise BrokenAdapter(f"conventions has the key {key!r}: {hint}known are {', '.join(known)}")
        self.conventions = dict(declared)

    def has(self, operation: str) -> bool:
        """Whether the adapter has the operation: absent and None are the same."""
        try:
            return callable(getattr(self.adapter, operation, None))
        except Exception:  # a property that raises: the call will say so
            return True

    @property
    def follows(self) -> bool:
        """Whether a mixture returns what is assumed: refscore's own does, and that of an adapter's ``model(spec, predicts)``."""
        return not self.has("model") or "predicts" in _parameters(self.adapter.model)

    @property
    def guesses(self) -> tuple[str, ...]:
        """What a mixture may have to return: what is declared, or else what is assumed before all others."""
        if "predicts" in self.conventions or not self.follows:
            return (self.conventions.get("predicts", self.assumed),)
        return (self.assumed, *[p for p in VALUES["predicts"] if p != self.assumed])

    def assume(self, off: Callable[[], float | None], near: float) -> None:
        """Assume of the guesses what takes an answer within ``near`` of what is wanted, or else nearest.

        ``off`` asks and says how far off the answer is, inf where there is none, None where it is no use to ask again.
        """
        guesses, far = self.guesses, {}
        for guess in guesses if len(guesses) > 1 else ():
            self.assumed = guess
            found = off()
            if found is None:
                break
            far[guess] = found
            if found <= near:
                break
        self.assumed = min(far, key=far.__getitem__, default=guesses[0])

    def takes_seed(self, operation: str) -> bool:
        """Whether the operation draws its own randomness, by a last argument ``seed``."""
        try:
            return "seed" in _parameters(getattr(self.adapter, operation))
        except Exception:  # a property that raises
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
        given = {name: v if name == "model" else copy.deepcopy(v) for name, v in arguments.items()}
        if "model" in given:
            key = (id(arguments["model"]), self.conventions.get("predicts", self.assumed))
            if key not in self._models:
                built = self._limited(lambda: self._model(arguments["model"]), "model(spec)")
                if isinstance(built, Answer):
                    return built
                self._models[key] = (arguments["model"], built[0])  # the spec is kept, so that its id stays its own
            given["model"] = self._models[key][1]
        found = self._limited(lambda: getattr(self.adapter, operation), "it")
        if isinstance(found, Answer):
            return found
        method = found[0]
        if not _takes(method, len(given)):
            fix = f"define it as {operation}(self, {', '.join(given)})"
            return Answer(None, f"it takes {inspect.signature(method)}: {fix}", "raised")
        before = {name: v.copy() for name, v in given.items() if isinstance(v, np.ndarray)}
        answer = self._limited(lambda: _arrays(method(*given.values()), wanted, operation == "posterior"), "it")
        if isinstance(answer, Answer):
            return answer
        for name, array in before.items():
            if not np.array_equal(array, given[name], equal_nan=True):
                return Answer(None, f"it changes its argument {name} in place: work on a copy", "mutated")
        return answer[0]

    def _model(self, spec: Spec) -> Any:
        own, predicts = copy.deepcopy(spec), self.conventions.get("predicts", self.assumed)
        if self.has("model"):
            built = self.adapter.model(own, predicts=predicts) if self.follows else self.adapter.model(own)
            if built is None:
                raise TypeError(f"it returns None for the kind {own.kind!r}: return a model, or raise NotImplementedError")
            return built
        for array in own.arrays.values():
            array.flags.writeable = False  # who changes a model's arrays in place is told
        return Reference(self.process, {"predicts": predicts}).model(own)

    def together(self, function: Callable[[], Any], patience: float) -> Any:
        """What ``function`` returns, which calls the candidate many times: all in one thread, with one limit of seconds.

        Raises what ``function`` raises, and TimeoutError.
        """
        def caught():
            try:
                return function(), None
            except Exception as error:
                return None, error

        answer = self._limited(caught, "it", patience)
        if isinstance(answer, Answer):
            raise TimeoutError(answer.problem)
        value, error = answer[0]
        if error is not None:
            raise error
        return value

    def _limited(self, function: Callable[[], Any], what: str, patience: float | None = None) -> Answer | tuple[Any]:
        """(what ``function`` returns,), or the answer that says why it does not; it runs the candidate's code."""
        outcome: list[Answer | tuple[Any]] = []

        def run():
            try:
                with np.errstate(all="ignore"):
                    outcome.append((function(),))
            except NotImplementedError as error:
                outcome.append(Answer(None, f"{what} is not implemented: {error}", "unsupported"))
            except BaseException as error:  # SystemExit too: a candidate does not end the run
                outcome.append(Answer(None, f"{what} {_raised(error)}", "raised"))

        if getattr(threading.current_thread(), "limited", False):
            run()
            return outcome[0]
        patience = patience or (PATIENCE if self._lost < 2 * PATIENCE else min(HURRY, PATIENCE))
        thread = threading.Thread(target=run, daemon=True)
        thread.limited = True  # type: ignore[attr-defined]
        thread.start()
        thread.join(patience)
        if outcome:
            return outcome[0]
        self._lost += patience
        return Answer(None, f"{what} did not return within {patience:g} s", "slow")


_NOT_THEIRS = (os.path.join(os.path.dirname(os.path.dirname(__file__)), ""), "site-packages", os.path.dirname(os.__file__))
"""Parts of the names of files that no candidate is looked for in: refscore's own, installed packages, the standard library."""


def _parameters(method: Callable) -> tuple[str, ...]:
    """The names of its parameters; of what has no signature none."""
    try:
        return tuple(inspect.signature(method).parameters)
    except (TypeError, ValueError):
        return ()


def _takes(method: Callable, count: int) -> bool:
    """Whether it can be called with so many arguments; of what has no signature one supposes so."""
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _raised(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not any(part in f.filename for part in _NOT_THEIRS)]
    places = dict.fromkeys(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in (*theirs[-1:], *frames[-1:]))
    where = f" ({', in '.join(places)})" if frames else ""
    text = " ".join(str(error).split())
    return f"raises {type(error).__name__}: {text[:300]}{where}"


def _nested(result: Any, ndim: int) -> bool:
    """Whether a list, of lists, has as many dimensions as the array that is wanted, and is no array within a list."""
    try:
        return isinstance(result, (list, tuple)) and np.ndim(result) == ndim
    except Exception:  # ragged: said where it is made an array
        return False


def _arrays(result: Any, wanted: list[np.ndarray], shared: bool = False) -> Answer:
    """What came back as arrays; where it may be ``shared`` a single number stands for as many as there are rows."""
    if result is None:
        return Answer(None, "it returns None: return the value, or set the operation to None to leave it out", "type")
    parts = list(result) if isinstance(result, (list, tuple)) else [result]
    if len(wanted) == 1 and (len(parts) != 1 or _nested(result, wanted[0].ndim)):  # one array as a list of its rows
        parts = [result]
    if len(parts) != len(wanted):
        return Answer(None, f"it returns {len(parts)} arrays: wanted are {len(wanted)}, of shapes "
                            f"{', '.join(str(w.shape) for w in wanted)}", "shape")
    values, wrong = [], ""
    for part, w in zip(parts, wanted, strict=True):
        try:
            array = np.array(part)  # a copy: the candidate may use its memory again
        except Exception as error:
            return Answer(None, f"what it returns is no array: {_raised(error)}; return NumPy arrays", "type")
        if array.dtype.kind == "b":  # pixels
            array = array.astype(np.int64)
        if array.dtype.kind not in "fiu":
            return Answer(None, f"it returns {type(part).__name__} of dtype {array.dtype}: return real numbers", "type")
        if w.ndim == 0 and array.size == 1:
            array = array.reshape(())
        if shared and w.ndim == 1 and array.size == 1:
            array = np.broadcast_to(array.reshape(()), w.shape)
        if array.shape != w.shape:
            wrong = wrong or f"it returns shape {array.shape}: wanted is {w.shape}"
        elif not np.isfinite(array).all():
            return Answer(None, f"it returns {'NaN' if np.isnan(array).any() else 'an infinite number'}", "not finite")
        values.append(array)
    return Answer(None, wrong, "shape", values) if wrong else Answer(values)
