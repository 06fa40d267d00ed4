"""The command line, as a user types it: verdicts, files, exit codes, and one clear line when it cannot run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import refscore
from refscore import cli, identities
from refscore.identities import Comparison, Identity, Table

IRIS = Path(__file__).parent / "data" / "iris.csv"


def toy(id, *items):
    run = lambda ops, seed: iter(items)  # noqa: E731
    return Identity(id, (id,), f"title of {id}", "x = x", "[a]", "two ways", run, ("score_sign",))


GOOD = toy("T1", Comparison("one", 1.0, 1.0, 1e-15), Table("numbers", ("a",), [(0.5,)]))
BAD = toy("T2", Comparison("off", 1.0, 2.0, 1e-15))
INFO = Identity("T3", ("T3",), "numbers only", "x", "[a]", "m", lambda ops, seed: iter(()), (), verdict=False)


@pytest.fixture
def toys(monkeypatch):
    def use(*stated):
        monkeypatch.setattr(identities, "catalogue", lambda: {i.id: i for i in stated})

    use(GOOD, BAD, INFO)
    return use


def run(capsys, *arguments):
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def command(*arguments, **options):
    line = [sys.executable, "-m", "refscore", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, **options)


def refused(result, *words):
    code, out, err = result
    assert code == 2 and out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert all(word in err for word in words), err


def test_all_hold(capsys, toys):
    code, out, err = run(capsys, "verify", "--only", "t1")
    assert code == 0 and err == "" and "1 hold, 0 fail (1 comparisons" in out
    assert "title of T1" in out and "numbers" in out


def test_some_do_not(capsys, toys):
    code, out, _ = run(capsys, "verify")
    assert code == 1 and "T2 fails: 1 of 1 cases fail" in out and "1 hold, 1 fail, 1 reported without verdict" in out


def test_only_numbers_without_verdict_is_not_success(capsys, toys):
    code, out, _ = run(capsys, "verify", "--only", "T3")
    assert code == 1 and "nothing was compared" in " ".join(out.split())


@pytest.mark.parametrize("only", [["--only", "T1", "T3"], ["--only", "t1", "--only", "T3"], ["--only", "T1,t3"]])
def test_only_takes_several(capsys, toys, only):
    code, out, _ = run(capsys, "verify", *only)
    assert code == 0 and "title of T1" in out and "numbers only" in out and "title of T2" not in out


def test_only_beginnings(capsys, toys):
    assert "title of T2" in run(capsys, "verify", "--only", "T")[1]


def test_unknown_ids_name_near_ones(capsys, toys):
    refused(run(capsys, "verify", "--only", "T11"), "no identity 'T11'", "did you mean T1")
    refused(run(capsys, "verify", "--only", "nonsense"), "choose from T1, T2, T3")


def test_an_empty_catalogue_is_no_success(capsys, toys):
    toys()
    refused(run(capsys, "verify"), "nothing to verify")


def test_the_seed_reaches_the_identities(capsys, toys):
    toys(Identity("T", ("T",), "t", "", "", "", lambda ops, seed: iter([Comparison("s", float(seed), 7.0, 0.0)])))
    assert run(capsys, "verify", "--seed", "7")[0] == 0 and run(capsys, "verify")[0] == 1
    for bad in ("-1", "1.5", "x", ""):
        code, _, err = run(capsys, "verify", "--seed", bad)
        assert code == 2 and "is not a seed" in err or "expected one argument" in err


def test_three_files(capsys, toys, tmp_path):
    paths = {kind: tmp_path / f"report.{kind}" for kind in ("json", "junit", "html")}
    code, _, _ = run(capsys, "verify", *[a for kind, path in paths.items() for a in (f"--{kind}", path)])
    assert code == 1
    top = json.loads(paths["json"].read_text())
    assert [i["outcome"] for i in top["identities"]] == ["pass", "fail", "info"] and top["seed"] == 0
    assert top["counts"] == {"pass": 1, "fail": 1, "info": 1} and top["version"] == refscore.__version__
    assert "<failure" in paths["junit"].read_text() and "</html>" in paths["html"].read_text()


def test_an_unwritable_file_is_refused_before_the_run(capsys, toys, tmp_path):
    ran = []
    toys(Identity("T", ("T",), "t", "", "", "", lambda ops, seed: ran.append(1) or iter(())))
    refused(run(capsys, "verify", "--json", tmp_path / "no" / "a.json"), "--json", "create it first")
    refused(run(capsys, "verify", "--html", tmp_path), "--html", "is a directory")
    refused(run(capsys, "verify", "--json", tmp_path / "a", "--html", tmp_path / "a"), "each its own file")
    assert not ran


def test_a_write_that_fails_after_the_run_is_said(capsys, toys, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    (tmp_path / "a.json").write_text("old")
    code, out, err = run(capsys, "verify", "--only", "T1", "--json", tmp_path / "a.json")
    assert code == 2 and "1 hold" in out and "No space left" in err and (tmp_path / "a.json").read_text() == "old"


def test_interrupted(capsys, toys):
    def interrupt(ops, seed):
        raise KeyboardInterrupt

    toys(Identity("T", ("T",), "t", "", "", "", interrupt))
    code, _, err = run(capsys, "verify")
    assert code == 130 and "interrupted" in err


def test_progress_names_what_is_under_way():
    seen = []
    identities.verify(identities=[GOOD, BAD], **cli.verify.watch(lambda done, note=lambda: "": seen.append((done, note()))))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen) and seen[-1] == (2, "")
    assert seen[0] == (0, GOOD.id) and any(note.startswith(f"{BAD.id}  ") for done, note in seen if done == 1)


# --- data ---


def test_data(capsys, tmp_path):
    path = tmp_path / "a.json"
    code, out, _ = run(capsys, "verify", "--data", IRIS, "--only", "b10", "B12", "--json", path)
    assert code == 0 and "iris.csv, 150 rows, 4 columns" in out and "text column 'species'" in out
    top = json.loads(path.read_text())
    assert [i["id"] for i in top["identities"]] == ["B10.data", "B12.data"] and any("iris" in n for n in top["notes"])


def test_data_refusals(capsys, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused(run(capsys, "verify", "--data", tmp_path / "empty.csv"), "empty.csv is empty")
    refused(run(capsys, "verify", "--data", tmp_path / "no.csv"), "does not exist")
    refused(run(capsys, "verify", "--data", tmp_path), "is a directory")
    refused(run(capsys, "verify", "--data", tmp_path / "object.npy"), "Python objects")
    refused(run(capsys, "verify", "--data", IRIS, "--only", "A2"), "no identity 'A2'", "apply to a data set")
    refused(run(capsys, "verify", "--data", "bad\nname\0"), "cannot be read")


# --- list and explain ---


def test_list_shows_identities_and_mistakes(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for expected in ("B9 ", "B9.data", "H5.data", "dsm_target_sign", "dsm: ", "dsm_loss(model, x0, sigma, noise)",
                     "langevin_noise_not_rooted", "convention, "):
        assert expected in out


def test_list_of_some_words(capsys):
    code, out, _ = run(capsys, "list", "DDIM_step", "eta")
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    assert code == 0 and "ddim_eta_zero" in out and "Identities" not in out
    assert lines and all("ddim_step" in line and "eta" in line for line in lines)
    refused(run(capsys, "list", "ddim", "no such word"), "nothing has 'ddim' and 'no such word'")


def test_an_identity_of_a_data_set_asks_for_data(capsys):
    refused(run(capsys, "verify", "--only", "B9.data"), "B9.data is about a data set: add --data FILE")


def test_explain(capsys):
    code, out, _ = run(capsys, "explain", "b10.data")
    assert code == 0 and out.startswith("B10.data  score of the corrupted data")
    for expected in ("states ", "source ", "systems ", "two routes ", "catches", "conditional_score_sign"):
        assert expected in out
    code, out, _ = run(capsys, "explain", "dsm_target_sign")
    assert code == 0 and "wrong " in out and "right " in out and "seen in " in out
    caught = out[out.index("caught by") :]
    assert "B9" in caught and "B9.data" in caught
    assert run(capsys, "explain", "F")[1].count("two routes") >= 2
    refused(run(capsys, "explain", "dsm_target_sing"), "did you mean dsm_target_sign")
    refused(run(capsys, "explain", "langevin_stpe"), "did you mean langevin_step")
    refused(run(capsys, "explain", "???"), "refscore list")


def test_explain_operations_and_their_mistakes(capsys):
    from refscore.conformance import OPERATIONS
    from refscore.conformance.mistakes import CATALOGUE

    code, out, _ = run(capsys, "explain", "DDPM_step")
    assert code == 0 and out.startswith("ddpm_step(model, x, index, noise)  or with seed in place of noise")
    for expected in ("computes ", "source ", "needs       a process with indices", "made of     alpha, sigma",
                     "conventions variance: beta, beta_tilde", "rungs       model 0, no noise", "told apart from"):
        assert expected in out
    for name in OPERATIONS:
        assert run(capsys, "explain", name)[0] == 0
    assert "weight: sigma2, prediction (found, never declared)" in run(capsys, "explain", "ddpm_loss")[1]
    assert "weight: one, sigma2, prediction (found" in run(capsys, "explain", "dsm_loss")[1]
    wrong = next(m for m in CATALOGUE.values() if not m.legitimate)
    out = run(capsys, "explain", wrong.name)[1]
    assert "wrong " in out and "seen in " in out
    other = next(m for m in CATALOGUE.values() if m.legitimate)
    assert "a convention elsewhere" in run(capsys, "explain", other.name)[1]


# --- the process ---


def test_the_module_and_its_exit_code(tmp_path):
    done = command("verify", "--only", "E2", "--json", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and "\x1b" not in done.stdout and "1 hold" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert json.loads((tmp_path / "a.json").read_text())["identities"][0]["id"] == "E2"


def test_version_help_and_usage():
    assert command("--version").stdout.strip() == f"refscore {refscore.__version__}"
    text = command("verify", "--help").stdout
    for expected in ("exit codes", "error ", "bound ", "examples", "--data FILE", "semicolon"):
        assert expected in text
    for wrong in ((), ("frobnicate",), ("verify", "--only"), ("explain",)):
        done = command(*wrong)
        assert done.returncode == 2 and "usage:" in done.stderr and "Traceback" not in done.stderr


def test_a_log_that_knows_ascii_only():
    done = command("verify", "--data", IRIS, "--only", "B10", env={"PYTHONIOENCODING": "ascii", "PATH": ""})
    assert done.returncode == 0 and "1 hold" in done.stdout and done.stdout.isascii()


def test_a_reader_that_leaves_is_no_traceback():
    line = f"{sys.executable} -m refscore list | head -n 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import refscore", ("numpy", "scipy", "matplotlib", "rich")),
        ("from refscore.cli import _parser; _parser().format_help()", ("numpy", "scipy", "rich", "jinja2")),
        ("from refscore import identities, report", ("scipy", "matplotlib", "rich", "jinja2")),
    ],
)
def test_what_is_light_loads_nothing_heavy(code, heavy):
    code = f"import sys; {code}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
