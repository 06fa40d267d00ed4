"""Scripts of NumPy alone: every one of them runs, is short, and prints the number that the reference wants.

The formulas of the scripts share no code with the reference, so this is the reference's second road as well.
"""

import contextlib
import io

import numpy as np
import pytest

from refscore.conformance import OPERATIONS, Reference, check, reproducer
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.judge import Climb, rungs_of
from refscore.conformance.run import unfit
from refscore.processes import DDPM, OU, VE, VP, VPCosine, linear_betas

PROCESSES = {"VP": VP(), "OU": OU(1.0, 1.3), "VE": VE(0.01, 10.0), "cosine": VPCosine(), "DDPM": DDPM(linear_betas(100)),
             "other betas": DDPM(0.02 + 0.3 * np.sin(np.arange(1.0, 30.0)) ** 2)}
CONVENTIONS = (
    {},
    {"predicts": "eps", "half": False, "over_dims": "mean"},
    {"predicts": "v", "over_batch": "none", "weight": "sigma2", "langevin": "half_eta", "scheme": "exponential",
     "variance": "beta_tilde"},
    {"predicts": "x0", "over_batch": "sum"},
    {"predicts": "energy"},
)  # fmt: skip
NONE = {"rbm_cd_gradient", "sample", "log_likelihood"}
"""Operations that are judged by statistics, or along a whole path: no script is that short."""


def printed(script):
    """What a script prints as wanted, and what it says came back."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "script", "exec"), {})
    wanted, returned = out.getvalue().split("; ")
    return float(wanted.removeprefix("wanted ")), returned


def scripts(process, conventions):
    """(script, operation, wanted, index of what is shown) of every rung of every operation, had something else come back."""
    reference = Reference(process, conventions)
    candidate = Candidate(reference)
    for operation in OPERATIONS.values():
        if unfit(operation, candidate) or operation.name in NONE:
            continue
        climb = Climb(operation, candidate, rungs_of(operation, candidate))
        setting = {key: reference.conventions[key] for key in operation.keys}
        for i in range(len(climb.rungs)):
            wanted = climb.wanted(i, setting)
            rng = np.random.default_rng(i)
            other = [w + (0.1 + np.abs(w).max()) * rng.standard_normal(w.shape) for w in wanted]
            climb.answers.append(Answer([1 - wanted[0]] if operation.name == "mrf_map" else other))
            part, at = climb.worst(i, setting)
            yield reproducer.script(climb, i, setting), operation, wanted[part], at


def agree(process, conventions):
    count = 0
    for script, operation, wanted, at in scripts(process, conventions):
        assert script.count("\n") <= 20 and max(map(len, script.splitlines())) <= 600 and "refscore" not in script
        value, returned = printed(script)
        assert returned.startswith("it returned")
        if operation.name == "mrf_map":
            assert value >= float(returned.split()[-1])  # the exponents of two images, the first the largest there is
        else:
            relative = 2e-5 if ":.6g" in script else 1e-9
            np.testing.assert_allclose(value, wanted[at], rtol=relative, atol=relative * 1e-3 * np.abs(wanted).max() + 1e-12)
        count += 1
    assert count > 150


@pytest.mark.parametrize(("process", "conventions"), [("VP", CONVENTIONS[1]), ("DDPM", CONVENTIONS[2]), ("cosine", CONVENTIONS[4])])
def test_every_script_prints_what_the_reference_wants(process, conventions):
    agree(PROCESSES[process], conventions)


@pytest.mark.slow
@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
@pytest.mark.parametrize("process", PROCESSES)
def test_every_script_prints_what_the_reference_wants_everywhere(process, conventions):
    agree(PROCESSES[process], conventions)


def off_by_a_tenth(reference, name):
    def wrong(*arguments):
        value = getattr(reference, name)(*arguments)
        return [1.1 * v + 0.1 for v in value] if isinstance(value, list | tuple) else 1.1 * value + 0.1

    return wrong


@pytest.mark.parametrize("process", ["VP", "DDPM"])
def test_a_failure_has_a_script_with_its_numbers(process):
    reference = Reference(PROCESSES[process], {"predicts": "eps"})
    wrong = type("Wrong", (), {"process": reference.process, "conventions": reference.conventions, "model": reference.model})()
    for name in OPERATIONS:
        if name not in NONE:
            setattr(wrong, name, off_by_a_tenth(reference, name))
    failed = [c for c in check(wrong).checks if c.outcome in ("fail", "blocked")]
    assert len(failed) > 35
    for c in failed:
        value, returned = printed(c.reproducer)
        if c.operation == "mrf_map":
            continue
        got, wanted = (float(c.message.split(f"{word} ")[1].split(",")[0].split(" ")[0]) for word in ("got", "wanted"))
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-12)
        assert float(returned.split()[-1]) == got and c.first_failing_rung in c.reproducer


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda *a: np.full((1, 1), np.nan), "it returns NaN"),
        (lambda *a: np.zeros((3, 3)), "it returns shape (3, 3)"),
        (lambda *a: {}["no \"key\" {0} \\ 'at' all"], "it raises KeyError"),
    ],
)
def test_what_gives_no_number_has_a_script_that_says_so(function, words):
    wrong = type("Wrong", (), {"jvp": staticmethod(function)})
    value, returned = printed(check(wrong, only=("jvp",)).checks[0].reproducer)
    right = printed(check(type("Wrong", (), {"jvp": staticmethod(lambda model, x, v: 0 * x)}), only=("jvp",)).checks[0].reproducer)
    assert value == right[0] and returned.startswith(words)
