"""A convention of a whole adapter: legitimate where all operations that could follow it do, and two do; else wrong."""

from collections import Counter
from types import MethodType

import numpy as np
import pytest

from refscore.conformance import Reference, check
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import OPERATIONS
from refscore.processes import DDPM, OU, VE, VP, Path, linear_betas

CHAIN = DDPM(linear_betas(13, 1e-2, 0.3))
LINES = Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -np.ones_like(t), sigma_slope=np.ones_like)
SHARED = {
    "indices count from 0": (CHAIN, {}),
    "time runs backwards": (VP(), {}),
    "scales are squares": (OU(0.8, 1.3), {}),
    "models of energy are log p": (OU(0.8, 1.3), {"predicts": "energy"}),
    "eps has the opposite sign": (CHAIN, {"predicts": "eps"}),
    "v has the opposite sign": (LINES, {"predicts": "v"}),
    "v is the path's velocity": (VP(), {"predicts": "v"}),
    "the model hears i/N": (CHAIN, {}),
    "the model hears the level's index": (OU(0.8, 1.3), {}),
    "densities are energies": (OU(0.8, 1.3), {}),
}


def followers(shared, process, conventions, only=None):
    """The reference, with a convention of others in the operations that could follow it (or ``only`` some)."""
    adapter = Reference(process, conventions)
    for m in CATALOGUE.values():
        if m.shared == shared and (only is None or m.operation in only):
            setattr(adapter, m.operation, MethodType(m.function, Reference(process, conventions)))
            if OPERATIONS[m.operation].category == "loss":
                setattr(adapter, f"{m.operation}_grad", None)
    return adapter


def able(shared):
    """The operations that could follow it."""
    return tuple(m.operation for m in CATALOGUE.values() if m.shared == shared)


def test_every_shared_convention_is_here():
    operations = Counter(m.shared for m in CATALOGUE.values() if m.shared)
    assert {*SHARED} == {name for name, count in operations.items() if count > 1}


SOME = [pytest.param(shared, marks=pytest.mark.slow if k % 2 else ()) for k, shared in enumerate(SHARED)]


@pytest.mark.parametrize("shared", SOME)
def test_an_adapter_that_follows_it_throughout_is_not_wrong(shared):
    result = check(followers(shared, *SHARED[shared]), only=able(shared))
    bad = [(c.id, c.outcome, c.message) for c in result.checks if c.outcome not in ("pass", "unsupported", "convention")]
    assert not bad
    assert result.counts["convention"] >= 2 and result.code == 0
    assert all(shared in c.message for c in result.checks if c.outcome == "convention")


@pytest.mark.parametrize("shared", SOME)
def test_an_adapter_that_follows_it_in_one_operation_is_wrong(shared):
    process, conventions = SHARED[shared]
    whole = check(followers(shared, process, conventions), only=able(shared)).checks
    first = next(c.id for c in whole if c.outcome == "convention")
    result = check(followers(shared, process, conventions, only=(first,)), only=able(shared))
    assert result.counts["convention"] == 0 and result.code == 1
    (wrong,) = [c for c in result.checks if c.id == first]
    assert wrong.outcome == "fail" and shared in {e.shared for e in wrong.diagnosis}


def test_an_operation_in_which_a_convention_does_not_show_does_not_contradict_it():
    result = check(followers("scales are squares", VE(0.05, 8.0), {}), only=able("scales are squares"))  # alpha is 1
    assert [c.id for c in result.checks if c.outcome == "convention"] == ["sigma", "diffusion"]


def test_an_index_beyond_the_last_may_raise():
    adapter = followers("indices count from 0", CHAIN, {})
    for name in ("alpha", "sigma", "posterior", "ddpm_step"):
        def strict(*arguments, name=name, counted=getattr(adapter, name)):
            index = arguments[{"posterior": 2, "ddpm_step": 2}.get(name, 0)]
            if np.max(index) >= len(CHAIN):
                raise IndexError(f"index {np.max(index)} is out of bounds for axis 0 with size {len(CHAIN)}")
            return counted(*arguments)

        setattr(adapter, name, strict)
    result = check(adapter, only=able("indices count from 0"))
    found = {c.id: c.outcome for c in result.checks}
    assert {found[name] for name in ("alpha", "sigma", "posterior", "ddpm_step")} == {"convention"}
    assert result.code == 0


SCALES = {"esm_loss": ({}, {"half": False}), "ism_loss": ({"over_batch": "mean"}, {"over_batch": "sum"}),
          "dsm_loss": ({"weight": "sigma2"}, {"weight": "one"}), "ssm_loss": ({}, {"over_dims": "mean"})}


@pytest.mark.parametrize("operation", SCALES)
def test_a_gradient_is_that_of_the_adapters_own_loss(operation):
    """A legitimate convention by itself, and not that of the loss."""
    loss, other = ({"predicts": "score", **keys} for keys in SCALES[operation])
    grad = f"{operation}_grad"

    def adapter(conventions):
        members = {name: staticmethod(getattr(Reference(None, own), name))
                   for name, own in ((operation, loss), (grad, conventions), ("model", loss))}
        return type("Adapter", (), members)

    assert check(adapter(loss), only=(operation, grad)).counts["pass"] == 2
    assert check(adapter(other), only=(grad,)).counts["pass"] == 1
    right, wrong = check(adapter(other), only=(operation, grad)).checks
    assert right.outcome == "pass" and wrong.outcome == "fail"
    (key,) = SCALES[operation][1]
    assert f"{key}={other[key]!r}; the adapter's own {operation} has {key}=" in wrong.message and wrong.reproducer
    rows = {**loss, "over_batch": "none"}  # of which a gradient is that of the sum, or of the mean
    losses = {operation: staticmethod(getattr(Reference(None, rows), operation))}
    result = check(type("Rows", (adapter(loss),), losses), only=(operation, grad))
    assert result.counts["fail"] == 0 and not any("own" in c.message for c in result.checks)
