"""A loss as a function of the model: a straight line in ESM, with the slope and constant of its conventions."""

import numpy as np
import pytest

from refscore.conformance import OPERATIONS, Reference, check
from refscore.conformance.candidate import Candidate
from refscore.conformance.expectations import DATA, LOSSES, SIGMA, line
from refscore.conformance.judge import DOUBLE, Climb
from refscore.conformance.mistakes import CATALOGUE
from refscore.distances import fisher_information

CONVENTIONS = (
    {},
    {"half": False, "over_dims": "mean", "over_batch": "none", "predicts": "eps", "weight": "sigma2"},
    {"predicts": "energy", "over_batch": "sum"},
)


def found(adapter, name):
    conventions = {k: v for k, v in adapter.conventions.items() if k in OPERATIONS[name].keys}
    return line(Climb(OPERATIONS[name], Candidate(adapter), []), conventions, DOUBLE)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_the_reference_is_the_theorems_line(name, conventions):
    theirs = found(Reference(None, conventions), name)
    assert theirs.holds
    law = DATA.corrupted(1.0, SIGMA) if name == "dsm_loss" else DATA
    information = fisher_information(law)[0]
    scale = (1 if conventions.get("half", True) else 2) * (SIGMA**2 if name == "dsm_loss" and "weight" in conventions else 1)
    constant = ((1 / SIGMA**2 if name == "dsm_loss" else 0) - information) / 2 * scale
    np.testing.assert_allclose([theirs.slope, theirs.constant], [scale, constant], rtol=1e-8)


STRAIGHT = ("dsm_without_constant", "dsm_weight_inverted", "ism_negative")
CROOKED = ("dsm_target_sign", "ism_trace_doubled", "ssm_curvature_sign")


@pytest.mark.parametrize("name, straight", [*[(name, True) for name in STRAIGHT], *[(name, False) for name in CROOKED]])
def test_what_is_wrong_may_have_the_right_minimiser(name, straight):
    m = CATALOGUE[name]
    theirs = found(m.adapter(), m.operation)
    assert theirs.straight == straight and not theirs.holds
    (verdict,) = check(m.adapter(), only=(m.operation,)).checks
    assert str(theirs) in verdict.message and verdict.expectation == str(theirs)
    words = {False: "its minimiser is wrong", True: "its minimiser is right" if theirs.slope > 0 else "to be maximised"}
    assert words[straight] in verdict.message


def test_a_loss_that_is_right_on_the_rungs_alone_is_found():
    """Wrong where no rung looks: for points beyond 3."""
    class Wrong(Reference):
        def ism_loss(self, model, x):
            return super().ism_loss(model, np.minimum(x, 3.0))

    right = check(Wrong(), only=("ism_loss",)).checks[0]
    assert right.outcome == "fail"


def test_who_is_slow_is_not_asked_hundreds_of_times(monkeypatch):
    monkeypatch.setattr("refscore.conformance.expectations.SLOW", 0.0)
    assert found(Reference(), "ism_loss") is None
