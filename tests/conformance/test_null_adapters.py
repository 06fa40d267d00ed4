"""Adapters that compute nothing: they pass nothing, crash nothing, and what is wrong with them is a sentence."""

import time

import numpy as np
import pytest

from refscore.conformance import OPERATIONS, BrokenAdapter, Reference, candidate, check
from refscore.processes import DDPM, VP, linear_betas

PROCESSES = {"VP": VP(), "DDPM": DDPM(linear_betas(20))}


class Opaque:
    """What NumPy makes an array of objects of, or fails on."""

    def __array__(self, *arguments, **options):
        raise SystemExit(3)


def right(name, process, arguments):
    given = [Reference(process).model(a.spec) if hasattr(a, "spec") else a for a in arguments]
    value = getattr(Reference(process), name)(*given)
    return [np.asarray(v) for v in value] if isinstance(value, list | tuple) else np.asarray(value)


def like(value, what):
    return [what(v) for v in value] if isinstance(value, list) else what(value)


def mutating(name, process, arguments):
    value = right(name, process, arguments)
    for a in arguments:
        if isinstance(a, np.ndarray):
            a += 1
    return value


def said(name, process, arguments):
    print("nothing", name)
    return right(name, process, arguments) * 0


def raising(error):
    def function(name, process, arguments):
        raise error

    return function


NULLS = {
    "zeros": lambda *a: like(right(*a), np.zeros_like),
    "ones": lambda *a: like(right(*a), lambda v: np.ones_like(v) if v.dtype.kind == "f" else np.ones(v.shape)),
    "nan": lambda *a: like(right(*a), lambda v: np.full(v.shape, np.nan)),
    "one nan": lambda *a: like(right(*a), lambda v: np.where(np.arange(v.size).reshape(v.shape) == v.size - 1, np.nan, v)),
    "inf": lambda *a: like(right(*a), lambda v: np.full(v.shape, np.inf)),
    "echo": lambda name, process, arguments: arguments[0],
    "echo of rows": lambda name, process, arguments: next(a for a in arguments if isinstance(a, np.ndarray)),
    "constant": lambda *a: 0.5,
    "mutating": mutating,
    "one row more": lambda *a: like(right(*a), lambda v: np.concatenate([np.atleast_1d(v), np.atleast_1d(v)[:1]])),
    "twice": lambda *a: like(right(*a), lambda v: np.stack([v, v], axis=-1)),
    "empty": lambda *a: np.zeros((0, 3)),
    "raising": raising(RuntimeError("no")),
    "exiting": raising(SystemExit(0)),
    "interrupting": raising(KeyboardInterrupt()),
    "bad words": raising(ValueError("\x00 {braces} %s [red]")),
    "printing": said,
    "none": lambda *a: None,
    "text": lambda *a: "nan",
    "complex": lambda *a: like(right(*a), lambda v: v + 0j),
    "objects": lambda *a: [object(), {}, None],
    "opaque": lambda *a: Opaque(),
    "ragged": lambda *a: [[1.0], [1.0, 2.0], [3.0]],
    "generator": lambda *a: (v for v in right(*a)),
    "a class": lambda *a: Opaque,
    "not implemented": raising(NotImplementedError("later")),
}


def adapter(function, process):
    """An adapter whose every operation is ``function(name, process, arguments)``."""
    made = type("Null", (), {"process": process})()
    for name in OPERATIONS:
        setattr(made, name, lambda *arguments, name=name: function(name, process, arguments))
    return made


FEW = ("alpha", "corrupt", "convert", "jvp", "divergence", "esm_loss", "dsm_loss", "ism_loss_grad", "langevin_step", "ddpm_step",
       "posterior", "logpdf", "rbm_log_partition")


def passes_nothing(kind, process, only):
    result = check(adapter(NULLS[kind], PROCESSES[process]), only=only)
    assert not [(c.id, c.outcome, c.error) for c in result.checks if c.outcome in ("pass", "convention", "xfail")]
    assert len(result.checks) == len(only) and result.code == (3 if kind == "not implemented" else 1)
    assert all(c.message for c in result.checks)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow if k % 2 else ()) for k, kind in enumerate(NULLS)])
def test_null_adapters_pass_nothing(kind):
    passes_nothing(kind, "DDPM", FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind, process", [(kind, process) for k, kind in enumerate(NULLS) for j, process in enumerate(PROCESSES)
                                           if k % len(PROCESSES) == j])
def test_null_adapters_pass_nothing_at_all(kind, process):
    of_process = [name for name, o in OPERATIONS.items() if o.needs or process == "DDPM"]
    passes_nothing(kind, process, tuple(o for o in of_process if (kind, o) != ("mutating", "sample")))  # which is given no array


def test_what_does_not_come_back_is_left_behind(monkeypatch):
    monkeypatch.setattr(candidate, "PATIENCE", 0.05)
    start = time.perf_counter()
    result = check(adapter(lambda *a: time.sleep(3), VP()), only=FEW)
    assert time.perf_counter() - start < 30
    called = [c for c in result.checks if c.outcome != "unsupported"]
    assert called and all(c.outcome in ("error", "inconclusive") for c in called)
    assert any("did not return within 0.05 s" in c.message for c in called)


def test_after_some_slow_calls_the_others_have_less_time(monkeypatch):
    monkeypatch.setattr(candidate, "PATIENCE", 0.4)
    monkeypatch.setattr(candidate, "HURRY", 0.02)
    few = ("jvp", "divergence", "hutchinson", "logpdf")
    result = check(adapter(lambda *a: time.sleep(1), VP()), only=few)
    waits = [float(c.message.split("within ")[1].split(" s")[0]) for c in result.checks]
    assert waits == [0.4, 0.4, 0.02, 0.02]


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(2)])
def test_a_model_that_cannot_be_built_is_an_error_of_what_takes_it(error):
    def model(self, spec):
        raise error

    wrong = type("Wrong", (Reference,), {"model": model})
    result = {c.id: c for c in check(wrong(VP()), only=("jvp", "alpha", "dsm_loss")).checks}
    assert result["alpha"].outcome == "pass"
    assert result["jvp"].outcome == "error" and "model(spec) raises" in result["jvp"].message


def test_a_model_that_is_none_names_the_kind():
    wrong = type("Wrong", (Reference,), {"model": lambda self, spec: None})
    (found,) = check(wrong(), only=("jvp",)).checks
    assert found.outcome == "error" and "returns None for the kind 'linear'" in found.message


def test_what_is_computed_in_the_same_memory_is_right():
    """Every jvp of 7 rows in 3 dimensions is written to one array, which is returned."""
    memory = {}

    class Frugal:
        def jvp(self, model, x, v):
            out = memory.setdefault(x.shape, np.empty_like(x))
            out[:] = model.jvp(x, v)
            return out

    assert check(Frugal(), only=("jvp",)).checks[0].outcome == "pass"


def test_a_model_that_is_changed_is_the_candidates_own():
    """Weights of the model that is passed cannot be overwritten, and the reference would not see it."""

    class Training:
        def jvp(self, model, x, v):
            value = model.jvp(x, v)
            for array in model.spec.arrays.values():
                array += 1
            return value + 1

    verdict = check(Training(), only=("jvp",)).checks[0]
    assert verdict.outcome == "error" and "read-only" in verdict.message
    assert check(Reference(), only=("jvp",)).checks[0].outcome == "pass"


def raises(self):
    raise RuntimeError("no such device")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"process": VP}, "process is <class"),
        ({"process": "VP"}, "process is 'VP'"),
        ({"conventions": ["eps"]}, "conventions is a list"),
        ({"conventions": {"half": 1}}, "is 1: choose one of True, False"),
        ({"conventions": {"half": np.ones(2)}}, "choose one of True, False"),
        ({"conventions": {"predict": "eps"}}, "has the key 'predict': did you mean 'predicts'"),
        ({"conventions": {"dtype": "float31"}, "alpha": lambda self, t: t}, "'float31'"),
        ({"conventions": property(raises)}, "no such device"),
        ({"__init__": raises}, "Wrong.. raises RuntimeError"),
    ],
)
def test_a_broken_adapter_is_refused(attributes, words):
    with pytest.raises(BrokenAdapter, match=words):
        check(type("Wrong", (), {"process": VP(), **attributes}))


def test_an_operation_that_is_a_property_that_raises_is_an_error():
    result = check(type("Wrong", (), {"jvp": property(raises)}), only=("jvp", "divergence"))
    assert [c.outcome for c in result.checks] == ["error", "unsupported"]
    assert "no such device" in result.checks[0].message


def test_who_implements_little_of_an_operation_does_not_pass():
    class Line(Reference):
        def divergence(self, model, x):
            if x.shape[1] > 1:
                raise NotImplementedError("one dimension only")
            return super().divergence(model, x)

    verdict = check(Line(), only=("divergence",)).checks[0]
    assert verdict.outcome == "inconclusive" and "not implemented on most rungs: d = 3, one row" in verdict.message


def test_a_state_between_calls_is_told():
    class Counts(Reference):
        calls = 0

        def jvp(self, model, x, v):
            self.calls += 1
            return super().jvp(model, x, v) * (1 if self.calls < 6 else 1.01)

    verdict = check(Counts(), only=("jvp",)).checks[0]
    assert verdict.outcome == "error" and "answers otherwise" in verdict.message
