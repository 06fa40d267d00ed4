"""The checks of an adapter in somebody's own test suite, with pytest and without."""

import subprocess
import sys
import unittest

import pytest

from refscore import conformance
from refscore.conformance import OPERATIONS, BrokenAdapter, Reference, checks, parametrize
from refscore.conformance.pytest_support import cases
from refscore.processes import VP


class Few:
    process = VP()
    conventions = {"predicts": "score"}
    calls = 0

    def jvp(self, model, x, v):
        type(self).calls += 1
        return model.jvp(x, v)

    def divergence(self, model, x):
        return -Reference().divergence(model, x)

    def hutchinson(self, model, x, v):
        raise NotImplementedError("later")

    def alpha(self, t):
        raise RuntimeError("no table")


@parametrize(Few)
def test_decorated(check, request):
    if check.id in ("divergence", "alpha"):
        with pytest.raises(AssertionError, match=f"{check.id} (fails|is in error)"):
            check()
    else:
        check()


def test_unsupported_ones_are_skipped_and_ids_are_check_ids():
    mark = parametrize(Few()).mark
    params = {p.id: p for p in mark.args[1]}
    assert mark.args[0] == "check" and list(params) == list(OPERATIONS)
    assert not params["jvp"].marks and params["score"].marks[0].kwargs["reason"] == "the adapter does not have it"


def test_checks_are_callables():
    found = {case.id: case for case in checks(Few())}
    assert set(found) == {"jvp", "divergence", "hutchinson", "alpha"}
    assert found["jvp"]() is None
    with pytest.raises(AssertionError) as caught:
        found["divergence"]()
    text = str(caught.value)
    for expected in ("divergence fails: on rung", "wanted", "formula: tr Dm(x)", "source: ", "import numpy as np"):
        assert expected in text
    with pytest.raises(unittest.SkipTest, match="later"):
        found["hutchinson"]()
    with pytest.raises(AssertionError, match="no table"):
        found["alpha"]()


def test_one_run_for_all(monkeypatch):
    runs = []
    original = conformance.pytest_support.check
    monkeypatch.setattr(conformance.pytest_support, "check", lambda *a, **k: runs.append(k) or original(*a, **k))
    found = cases(Few(), 7, None, None)
    assert not runs
    for case in found:
        _ = case.verdict
    assert runs == [{"seed": 7, "only": tuple(OPERATIONS)}]


def test_a_legitimate_convention_warns():
    """Everything sums over the batch but one loss, which averages."""
    sums = Reference(None, {"over_batch": "sum"})
    mine = type("Mine", (), {name: staticmethod(getattr(sums, name)) for name in ("model", "esm_loss", "ssm_loss", "dsm_loss")})
    mine.ism_loss = staticmethod(Reference().ism_loss)
    found = {case.id: case for case in checks(mine)}
    with pytest.warns(UserWarning, match="ism_loss: right with over_batch='mean'"):
        found["ism_loss"]()
    assert found["esm_loss"]() is None


def test_a_broken_adapter_is_refused_when_tests_are_collected():
    for use in (checks, parametrize):
        with pytest.raises(BrokenAdapter, match="conventions"):
            use(type("Wrong", (), {"conventions": {"half": "no"}}))


SUITE = """
from refscore.conformance import parametrize

class Mine:
    def jvp(self, model, x, v):
        return model.jvp(x, v)
    def divergence(self, model, x):
        return 2 * model.jvp(x, x).sum(axis=1)

@parametrize(Mine)
def test_mine(check):
    check()
"""


def test_in_a_suite_of_its_own(tmp_path):
    (tmp_path / "test_mine.py").write_text(SUITE)
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "jvp or divergence or alpha", "test_mine.py"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 1 and "1 failed, 1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "divergence fails: on rung 'd = 1, " in done.stdout and "pytest_support.py" not in done.stdout


def test_pytest_is_loaded_when_it_is_asked_for():
    code = "import sys, refscore.conformance; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout.strip() == "False"


def test_some_alone_and_failures_that_are_expected(tmp_path):
    known = tmp_path / "known.ini"
    known.write_text("[divergence]\nreason = later\nrung = d = 1, *\nuntil = 2131-01-31\n")
    found = {c.id: c for c in checks(Few, only=["derivatives", "alpha"], expected_failures=known)}
    assert set(found) == {"jvp", "divergence", "hutchinson", "alpha"}
    found["jvp"]()
    with pytest.raises(unittest.SkipTest, match="is xfail: expected until 2131-01-31, later"):
        found["divergence"]()
    known.write_text(known.read_text().replace("d = 1, *", "d = 3*"))
    with pytest.raises(AssertionError, match="expected was another failure"):
        {c.id: c for c in checks(Few, only="divergence", expected_failures=known)}["divergence"]()
    known.write_text(known.read_text().replace("[divergence]", "[drift]"))
    with pytest.raises(AssertionError, match="is not there"):
        {c.id: c for c in checks(Few, expected_failures=known)}["drift"]()
    known.write_text(known.read_text().replace("[drift]", "[drfit]"))
    with pytest.raises(conformance.expected.BadEntries, match="drfit: no such check"):
        parametrize(Few, expected_failures=known)
    with pytest.raises(LookupError, match="no profile and no operation"):
        parametrize(Few, only=["losess"])
