"""The oracle for other people's code: an adapter of a few lines is judged operation by operation.

    from refscore.conformance import check

    class Mine:
        process = VP()
        conventions = {"predicts": "eps"}

        def corrupt(self, x0, t, noise):
            ...

    check(Mine).checks

and in a test suite of one's own

    @parametrize(Mine)
    def test_my_scores(check):
        check()

`refscore.conformance.reference` reads the whole contract as formulas.
"""

from refscore.conformance import bridges
from refscore.conformance.candidate import BrokenAdapter
from refscore.conformance.operations import OPERATIONS, Operation
from refscore.conformance.pytest_support import checks, parametrize
from refscore.conformance.reference import Reference
from refscore.conformance.run import Check, Result, check
from refscore.conformance.spec import Spec

__all__ = ["OPERATIONS", "BrokenAdapter", "Check", "Operation", "Reference", "Result", "Spec", "bridges", "check", "checks",
           "parametrize"]
