"""How an inequality is judged: by the sign of its slack, beyond the error, and never by a number that is not one."""

import pytest

from refscore.identities import Identity, evaluate
from refscore.identities._inequalities import holds


def verdict(*arguments):
    def run(ops, seed):
        yield holds("toy", *arguments)

    return evaluate(Identity("T", ("T",), "toy", "x <= y", "nowhere", "", run)).outcome


@pytest.mark.parametrize(("small", "large"), [(1.0, 2.0), (1.0, 1.0), (1.0 + 1e-13, 1.0), (-1.0, float("inf"))])
def test_holds(small, large):
    assert verdict(small, large, 1e-12) == "pass"


@pytest.mark.parametrize(("small", "large"), [(2.0, 1.0), (1.0 + 1e-11, 1.0), (float("nan"), 1.0), (1.0, float("nan"))])
def test_does_not_hold(small, large):
    assert verdict(small, large, 1e-12) == "fail"


def test_an_error_that_excuses_anything_is_no_evidence():
    assert verdict(1.0, 2.0, 1e-3) == "fail"
