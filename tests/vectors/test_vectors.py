"""The vectors, out and back: what is exported, how answers are judged beside an adapter, and that a wrong vector is found."""

import json
import os
from functools import cache

import numpy as np
import pytest

from refscore.cli import main
from refscore.conformance import OPERATIONS, Reference, check
from refscore.conformance.candidate import Candidate
from refscore.conformance.diagnosis import exists
from refscore.conformance.judge import rungs_of
from refscore.conformance.mistakes import CATALOGUE
from refscore.vectors import BadResponse, answer_of, judge, lint, read, records, vectors
from refscore.vectors.vector import APART, PROCESSES

CONVENTIONS = {"half": False, "over_dims": "mean", "weight": "sigma2", "predicts": "eps", "langevin": "half_eta",
               "variance": "beta_tilde", "scheme": "exponential"}


@cache
def exported(energies=False):
    """As anyone reads it, from JSON."""
    return json.loads(json.dumps(list(records(energies))))


def written(path, answers, conventions=None):
    path.write_text(json.dumps({"schema": "refscore.vectors.response/1", "conventions": conventions or {}, "answers": answers}))
    return path


def answered(adapter_of, names=None, energies=False):
    return [{"id": v.id, "value": answer_of(v, adapter_of(PROCESSES.get(v.process)))} for v in vectors(energies)
            if names is None or v.operation.name in names]


def wanted(energies=False):
    return [{"id": v["id"], "value": v["wanted"]} for record in exported(energies) for v in record["vectors"]]


def test_every_operation_has_vectors():
    assert {r["operation"] for r in exported()} == set(OPERATIONS) - set(APART)
    ids = [v["id"] for r in exported() for v in r["vectors"]]
    assert len(ids) == len(set(ids)) > 400


@pytest.mark.parametrize("energies", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_wanted_values_pass(tmp_path, energies):
    response = read(written(tmp_path / "r.json", wanted(energies), {"predicts": "energy"} if energies else {}))
    result = judge(response)
    assert {c.operation for c in result.checks if c.outcome == "unsupported"} == set(APART) and response.partial == []
    assert {c.outcome for c in result.checks if c.operation not in APART} == {"pass"} and result.code == 0
    assert {c.id for c in result.checks if c.operation == "sigma"} == {f"{p}/sigma" for p in PROCESSES}


@pytest.mark.slow
@pytest.mark.parametrize("declared", [False, True])
def test_other_conventions_are_inferred_or_taken_as_declared(tmp_path, declared):
    answers = answered(lambda process: Reference(process, CONVENTIONS))
    result = judge(read(written(tmp_path / "r.json", answers, CONVENTIONS if declared else {})))
    assert {c.outcome for c in result.checks if c.operation not in APART} == {"pass"}
    assert result.conventions["predicts"] == "eps" and result.conventions["over_dims"] == "mean"


LONG = ("dsm_loss", "langevin_step", "conditional_score")


@pytest.mark.parametrize(
    "name", ["corrupt", "rbm_hidden_mean", "posterior", *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)]
)
def test_a_wrong_answer_has_the_diagnosis_of_an_adapter(tmp_path, name):
    """The first mistakes of the operation, called and recorded; other operations right."""
    process = "ddpm" if OPERATIONS[name].needs == "chain" else "vp"
    place = f"{process}/{name}" if OPERATIONS[name].needs else name
    reference = Reference(PROCESSES[process])
    rungs = rungs_of(OPERATIONS[name], Candidate(reference))
    for mistake in [m for m in CATALOGUE.values() if m.operation == name and exists(m, reference, rungs)][:3]:
        def adapter(process, function=mistake.function):
            return type("Wrong", (Reference,), {name: function})(process)

        called = check(adapter(PROCESSES[process]), only=(name,)).checks[0]
        answers = [{"id": v.id, "value": answer_of(v, adapter(PROCESSES.get(v.process)))} for v in vectors()
                   if v.id.startswith(f"{place}/")]
        path = written(tmp_path / "r.json", answers, adapter(None).conventions)
        recorded = next(c for c in judge(read(path)).checks if c.id == place)
        assert called.message.startswith(recorded.message)  # an adapter may be asked for more than the vectors
        for field in ("outcome", "error", "tolerance", "diagnosis", "first_failing_rung", "failing", "reproducer"):
            assert getattr(recorded, field) == getattr(called, field), (mistake.name, field)
        assert recorded.outcome == "fail" and recorded.diagnosis


def test_what_is_made_of_what_is_wrong_is_not_a_crash(tmp_path):
    class Wrong(Reference):
        def alpha(self, t):
            return 1.01 * super().alpha(t)

        def corrupt(self, x0, t, noise):
            return np.asarray(self.alpha(t))[:, None] * x0 + np.asarray(self.sigma(t))[:, None] * noise

    result = judge(read(written(tmp_path / "r.json", answered(Wrong, {"alpha", "sigma", "corrupt"}))))
    outcomes = {c.id: c.outcome for c in result.checks if c.outcome != "unsupported"}
    assert outcomes["vp/alpha"] == "fail" and outcomes["vp/sigma"] == "pass" and outcomes["vp/corrupt"] in ("fail", "blocked")


def test_missing_answers_are_unsupported_and_said(tmp_path, capsys):
    right = {a["id"]: a for a in wanted()}
    few = [right["dsm_loss/2"], right["dsm_loss/4"]]
    path = written(tmp_path / "r.json", [*few, *[right[f"dsm_loss/{k}"] for k in (3, 5, 6, 7)],
                                         *[a for name, a in right.items() if name.startswith("vp/sigma/")]])
    assert main(["vectors", "check", str(path), "--json", str(tmp_path / "report.json")]) == 0
    assert "dsm_loss: 6 of 11 vectors are answered" in capsys.readouterr().out
    checks = {c["id"]: c for c in json.loads((tmp_path / "report.json").read_text())["checks"]}
    assert checks["dsm_loss"]["outcome"] == checks["vp/sigma"]["outcome"] == "pass"
    assert {c["outcome"] for name, c in checks.items() if name not in ("dsm_loss", "vp/sigma")} == {"unsupported"}
    assert main(["vectors", "check", str(written(path, []))]) == main(["vectors", "check", str(written(path, few))]) == 3
    right["dsm_loss/4"]["value"] += 1e-6
    assert main(["vectors", "check", str(written(path, few))]) == 1


def test_what_is_no_number_fails(tmp_path):
    """JavaScript writes NaN as null, Python as NaN."""
    first = next(v for r in exported() if r["operation"] == "jvp" for v in r["vectors"])
    for value in ([[None]], [[float("nan")]], [[1.0], [2.0]], 0.0):
        check = next(c for c in judge(read(written(tmp_path / "r.json", [{"id": first["id"], "value": value}]))).checks
                     if c.operation == "jvp")
        assert check.outcome == "fail"


def test_single_precision_is_seen_by_its_digits(tmp_path):
    """Nine digits of float32, which are no float32 when read as float64."""
    answers = [{"id": a["id"], "value": shortened(a["value"])} for a in wanted() if a["id"].startswith(("esm_loss/", "jvp/"))]
    precisions = {c.precision for c in judge(read(written(tmp_path / "r.json", answers))).checks if c.outcome == "pass"}
    assert precisions == {"float32"}
    double = read(written(tmp_path / "r.json", answers, {"dtype": "float64"}))
    assert {c.outcome for c in judge(double).checks} >= {"fail"}


def shortened(value):
    return [shortened(v) for v in value] if isinstance(value, list) else float(str(np.float32(value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "has no answers"),
        ('{"answers": 3}', "has no answers"),
        ('{"schema": "other/1", "answers": []}', "schema 'other/1'"),
        ('{"answers": [], "conventions": [1]}', "conventions is"),
        ('{"answers": [{"id": "esm_loss/1", "value": 1}], "conventions": {"half": "yes"}}', "choose one of True, False"),
        ('{"answers": [{"id": "esm_loss/1"}]}', r"answers\[0\] is no answer"),
        ('{"answers": [{"id": "esm_los/1", "value": 1}]}', "did you mean esm_loss/1"),
        ('{"answers": [{"id": ["a"], "value": 1}]}', "there is no vector"),
        ('{"answers": [{"id": "esm_loss/1", "value": 1}, {"id": "esm_loss/1", "value": 2}]}', "answered twice"),
        ('{"answers": [{"id": "esm_loss/1", "value": [[1], 2]}]}', "is no array of numbers"),
        ('{"answers": [{"id": "esm_loss/1", "value": "about 3"}]}', "is no array of numbers"),
        ('{"answers": [{"id": "energy/esm_loss/1", "value": 1}]}', "there is no vector"),
    ],
)
def test_a_response_that_is_none_is_refused(tmp_path, capsys, text, message):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(BadResponse, match=message):
        judge(read(path))
    assert main(["vectors", "check", str(path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_response_that_is_not_there(tmp_path, capsys):
    assert main(["vectors", "check", str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_files_hold_every_digit_and_lint_reads_them(tmp_path, capsys, monkeypatch):
    assert main(["vectors", "export", str(tmp_path / "new" / "set")]) == 0
    root = tmp_path / "new" / "set"
    found = {}
    for path in root.rglob("*.json"):
        record = json.loads(path.read_text())
        found |= {v["id"]: v for v in record["vectors"]}
        assert path.relative_to(root).as_posix() == f"{record['vectors'][0]['id'].rpartition('/')[0]}.json"
    assert found == {v["id"]: v for r in exported() for v in r["vectors"]}
    assert "refscore vectors check" in (root / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    only = tmp_path / "some"
    only.mkdir()
    (only / "esm_loss.json").write_text((root / "esm_loss.json").read_text())
    assert main(["vectors", "lint", "some"]) == 0
    assert "all agree" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["file in its place", "file below", pytest.param("file for a directory", marks=pytest.mark.slow)])
def test_nothing_is_lost_where_nothing_can_be_written(tmp_path, capsys, how):
    target = tmp_path / "set"
    if how == "file in its place":
        target.write_text("mine")
    elif how == "file below":
        target = tmp_path / "set" / "below"
        (tmp_path / "set").write_text("mine")
    else:
        target.mkdir()
        (target / "vp").write_text("mine")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    assert main(["vectors", "export", str(target)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == before
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ["mine"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_write_protected(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["vectors", "export", str(tmp_path)]) == 2
    assert "cannot create a file" in capsys.readouterr().err


CHEAP = [r for r in exported() if not r["operation"].endswith("_grad") and (r["process"] or {}).get("name") in (None, "vp")]


@pytest.mark.parametrize("mpmath", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_other_route_agrees(mpmath, monkeypatch):
    """In floats; with 50 digits, and for all processes and gradients, with --slow."""
    if mpmath:
        pytest.importorskip("mpmath")
    monkeypatch.setattr("refscore.vectors.recomputed.exact", lambda: mpmath)
    assert list(lint(CHEAP)) == []


@pytest.mark.slow
@pytest.mark.parametrize("energies, mpmath", [(False, True), (True, False)])
def test_the_other_route_agrees_everywhere(energies, mpmath, monkeypatch):
    monkeypatch.setattr("refscore.vectors.recomputed.exact", lambda: mpmath)
    assert list(lint(exported(energies))) == []


def test_the_other_route_agrees_about_gradients(monkeypatch):
    monkeypatch.setattr("refscore.vectors.recomputed.exact", lambda: False)
    assert list(lint(r for r in exported() if r["operation"].endswith("_grad") and r["process"] in (None, vp()))) == []


def vp():
    return next(r["process"] for r in exported() if r["process"] and r["process"]["name"] == "vp")


def test_a_wrong_vector_is_found_in_every_operation(monkeypatch):
    """One number of one vector off by twice its tolerance, operation by operation; and inputs that were changed."""
    monkeypatch.setattr("refscore.vectors.recomputed.exact", lambda: False)
    for record in CHEAP:
        vector = json.loads(json.dumps(record["vectors"][0]))
        vector["wanted"] = moved(vector["wanted"], vector["tolerance"]["float64"])
        found = list(lint([{**record, "vectors": [vector]}]))
        assert [d.id for d in found] == [vector["id"]] and "apart" in found[0].message, record["operation"]
    record = next(r for r in CHEAP if r["operation"] == "esm_loss")
    vector = json.loads(json.dumps(record["vectors"][2]))
    vector["inputs"]["x"][0][1] += 0.001
    assert len(list(lint([{**record, "vectors": [vector]}]))) == 1
    del vector["inputs"]["model"]["kind"]
    assert "cannot be computed" in list(lint([{**record, "vectors": [vector]}]))[0].message


def moved(value, tolerance):
    if isinstance(value, list):
        return [moved(value[0], tolerance[0]), *value[1:]]
    return value + max(2 * tolerance, 1e-300)


def test_a_lint_of_nothing_is_refused(tmp_path, capsys):
    assert main(["vectors", "lint", str(tmp_path)]) == 2
    (tmp_path / "a.json").write_text("{}")
    assert main(["vectors", "lint", str(tmp_path)]) == 2
    assert "is no file of vectors" in capsys.readouterr().err
