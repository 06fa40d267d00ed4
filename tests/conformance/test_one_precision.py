"""An adapter has one precision: what most of its operations show, or what it declares."""

import numpy as np
import pytest

from refscore.conformance import Reference, check
from refscore.processes import VP

FEW = ("alpha", "sigma", "corrupt", "jvp", "divergence", "esm_loss", "esm_loss_grad")


def rounded(function, dtype, given=np.float32):
    """The function of arguments rounded to float32, its result stored as ``dtype``."""
    def operation(*arguments):
        values = [a.astype(given) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arguments]
        result = function(*values)
        return [np.asarray(r, dtype) for r in result] if isinstance(result, list) else np.asarray(result, dtype)

    return operation


def adapter(operations, conventions=None):
    """The reference, declaring only ``conventions``, with these operations in place of its own."""
    right = Reference(VP())
    methods = {name: staticmethod(operations.get(name, getattr(right, name))) for name in (*FEW, "model")}
    return type("Mixed", (), {"process": VP(), "conventions": conventions or {}, **methods})


def verdicts(operations, conventions=None):
    return {c.operation: c for c in check(adapter(operations, conventions), only=FEW).checks}


def single(*names, dtype=np.float32):
    return {name: rounded(getattr(Reference(VP()), name), dtype) for name in names}


@pytest.mark.parametrize("stored", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["alpha", "jvp", "esm_loss_grad"])
def test_one_operation_in_single_precision_is_wrong(name, stored):
    found = verdicts({name: rounded(rounded(getattr(Reference(VP()), name), np.float32), stored)})
    assert {n: c.outcome for n, c in found.items()} == {n: "fail" if n == name else "pass" for n in FEW}
    assert found[name].diagnosis[0].mistake == "single_precision"
    assert "other operations are float64; declare dtype 'float32' if that is meant" in found[name].message


@pytest.mark.parametrize("conventions", [{}, {"dtype": "float32"}])
def test_single_precision_throughout_passes(conventions):
    assert {c.outcome for c in verdicts(single(*FEW), conventions).values()} == {"pass"}


@pytest.mark.parametrize("conventions", [{}, {"dtype": "float32"}])
def test_more_precision_than_the_rest_is_never_wrong(conventions):
    """A schedule in double precision, and a mean of single numbers that is taken in double precision."""
    few = single(*[n for n in FEW if n not in ("alpha", "sigma")])
    mean = rounded(lambda *a: float(np.mean(Reference(conventions={"over_batch": "none"}).esm_loss(*a).astype(np.float32),
                                            dtype=np.float64)), np.float64)
    found = verdicts({**few, "esm_loss": mean}, conventions)
    assert {n: c.outcome for n, c in found.items()} == dict.fromkeys(FEW, "pass")
    assert found["alpha"].precision == ("float32" if conventions else "float64")


def test_half_precision_in_an_adapter_in_single_is_wrong():
    found = verdicts({**single(*FEW), "jvp": rounded(Reference().jvp, np.float16)})
    assert {n: c.outcome for n, c in found.items()} == {n: "fail" if n == "jvp" else "pass" for n in FEW}
    assert "other operations are float32" in found["jvp"].message


def test_what_is_declared_is_taken_at_its_word():
    found = verdicts(single("alpha"), {"dtype": "float32"})
    assert {c.outcome for c in found.values()} == {"pass"}
