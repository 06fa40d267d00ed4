"""`refscore check`, as a user types it: verdicts, files, exit codes, and one clear line when it cannot run."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from refscore import cli
from refscore.conformance import Reference, check, profiles
from refscore.conformance.operations import OPERATIONS
from refscore.processes import DDPM, VP, linear_betas

ADAPTERS = """
from refscore.conformance import Reference
from refscore.conformance.mistakes import CATALOGUE
from refscore.processes import DDPM, VP, linear_betas

FEW = ("jvp", "divergence", "alpha", "sigma", "drift", "diffusion", "reverse_step", "langevin_step")

class Few:
    process = VP()
    conventions = {"predicts": "score"}

for name in (*FEW, "model"):
    setattr(Few, name, staticmethod(getattr(Reference(VP()), name)))

class Wrong(Few):
    langevin_step = staticmethod(CATALOGUE["langevin_noise_not_rooted"].adapter().langevin_step)

class Blocked(Few):
    def drift(self, x, t):
        return self.process.drift(x, t) + 1
    def reverse_step(self, model, x, t, s, noise):
        return Reference(VP()).reverse_step(model, x, t, s, noise) - 1.0 * (t - s)

class Raises(Few):
    def jvp(self, model, x, v):
        raise RuntimeError("no [bold]jvp[/bold]\\x00")

class Empty:
    def hutchinsons(self, model, x, v):
        return x

class Unbuilt:
    def __init__(self, device):
        pass

class BadConventions(Few):
    conventions = {"half": "yes"}

def function():
    return Few()

built = Few()
"""


@pytest.fixture
def adapters(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(ADAPTERS)
    return path


def run(capsys, *arguments):
    try:
        code = cli.main(["check", *map(str, arguments)])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def refused(result, *words):
    code, out, err = result
    assert code == 2 and out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert all(word in err for word in words), err


def strict(path):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("name", ["Few", "built"])
def test_what_is_right_conforms(capsys, adapters, name):
    code, out, err = run(capsys, f"{adapters}:{name}")
    assert code == 0 and err == "" and "8 pass, 0 fail" in out
    assert "predicts = score" in out and "conventions inferred: langevin = eta, scheme = euler_maruyama" in out
    assert "unsupported, the adapter does not have it" in out and out.count("hutchinson") == 1
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_wrong_is_named(capsys, adapters, tmp_path):
    paths = {kind: tmp_path / f"report.{kind}" for kind in ("json", "junit", "html")}
    code, out, _ = run(capsys, f"{adapters}:Wrong", "--seed", 7, *[a for kind, path in paths.items() for a in (f"--{kind}", path)])
    assert code == 1
    words = " ".join(out.split())
    for expected in ("langevin_step fails: on rung 'model 0, with noise", "equals langevin_noise_not_rooted to 15 digits",
                     "formula: x + eta s", "source: [c]", "8 of 10 fail", "7 pass, 1 fail"):
        assert expected in words
    top = strict(paths["json"])
    assert top["schema"] == "refscore.check/1" and top["seed"] == 7 and top["false_alarm_budget"] == 1e-6
    assert top["counts"]["fail"] == 1 and top["counts"]["pass"] == 7 and len(top["counts"]) == 10 and top["holds"] is False
    required = {"id", "operation", "outcome", "category", "error", "tolerance", "diagnosis", "first_failing_rung", "message",
                "reproducer"}  # fmt: skip
    assert all(required <= set(c) for c in top["checks"]) and len(top["checks"]) == len(OPERATIONS)
    failed = next(c for c in top["checks"] if c["outcome"] == "fail")
    assert failed["operation"] == "langevin_step" and failed["error"] > 1e-3 > failed["tolerance"] > 0
    assert failed["diagnosis"][0]["mistake"] == "langevin_noise_not_rooted" and failed["diagnosis"][0]["digits"] >= 12
    assert failed["first_failing_rung"].startswith("model 0, with noise")
    suite = ET.parse(paths["junit"]).getroot().find("testsuite")
    assert suite.get("failures") == "1" and suite.get("errors") == "0" and suite.get("tests") == str(len(OPERATIONS))
    page = paths["html"].read_text()
    assert "langevin_noise_not_rooted" in page and page.endswith("</html>\n") and 'href="http' not in page


def test_what_is_blocked_stands_under_its_cause(capsys, adapters, tmp_path):
    code, out, _ = run(capsys, f"{adapters}:Blocked", "--json", tmp_path / "a")
    words = " ".join(out.split())
    assert code == 1 and "1 fail" in words and "1 blocked" in words
    assert words.index("drift fails:") < words.index("blocks reverse_step: drift is wrong: mend that first")
    blocked = next(c for c in strict(tmp_path / "a")["checks"] if c["outcome"] == "blocked")
    assert blocked["operation"] == "reverse_step" and blocked["blocked_by"] == ["drift"]


def test_what_raises_is_an_error_and_its_text_is_text(capsys, adapters, tmp_path):
    code, out, _ = run(capsys, f"{adapters}:Raises", "--junit", tmp_path / "a.xml", "--html", tmp_path / "a.html")
    assert code == 1 and "raises RuntimeError: no [bold]jvp[/bold]" in " ".join(out.split())
    suite = ET.parse(tmp_path / "a.xml").getroot().find("testsuite")
    assert suite.get("errors") == "1" and suite.get("failures") == "0"


def test_nothing_covered(capsys, adapters):
    code, out, _ = run(capsys, f"{adapters}:Empty")
    words = " ".join(out.split())
    assert code == 3 and "nothing is covered" in words
    assert "hutchinsons is no operation and is not checked: did you mean hutchinson?" in words


def test_some_operations_alone(capsys, adapters, tmp_path):
    path = tmp_path / "a.json"
    assert run(capsys, f"{adapters}:Wrong", "--only", "derivatives,alpha", "--json", path)[0] == 0
    assert [c["operation"] for c in json.loads(path.read_text())["checks"]] == ["alpha", "jvp", "divergence", "hutchinson"]
    assert run(capsys, f"{adapters}:Wrong", "--only", "langevin_step")[0] == 1
    refused(run(capsys, f"{adapters}:Few", "--only", "alhpa"), "--only", "did you mean alpha")


def test_what_is_required(capsys, adapters, tmp_path):
    assert run(capsys, f"{adapters}:Few", "--require", "alpha,sigma, langevin_step")[0] == 0
    code, out, _ = run(capsys, f"{adapters}:Few", "--require", "sde", "--junit", tmp_path / "a.xml")
    assert code == 3 and "required by sde and not covered: corrupt, conditional_score" in " ".join(out.split())
    assert ET.parse(tmp_path / "a.xml").getroot().find("testsuite").get("failures") == "1"
    assert run(capsys, f"{adapters}:Wrong", "--require", "sde")[0] == 1
    refused(run(capsys, f"{adapters}:Few", "--require", "losess"), "--require", "did you mean losses")
    refused(run(capsys, f"{adapters}:Few", "--require", " , "), "nothing is required")


EXPECTED = "[langevin_step]\nreason = known\nmistake = langevin_noise_*\nuntil = 2999-12-31\n"


def test_expected_failures(capsys, adapters, tmp_path):
    path = tmp_path / "known.ini"
    path.write_text(EXPECTED)
    code, out, _ = run(capsys, f"{adapters}:Wrong", "--expected-failures", path)
    assert code == 0 and "1 xfail" in out and "expected until 2999-12-31, known: on rung" in " ".join(out.split())
    code, out, _ = run(capsys, f"{adapters}:Few", "--expected-failures", path)
    assert code == 1 and "1 xpass" in out
    refused(run(capsys, f"{adapters}:Few", "--expected-failures", tmp_path / "no"), "cannot be read: No such file")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("mine.py", ("names no class", "mine.py:Name", "Few, Wrong, Blocked")),
        ("mine.py:", ("names no class",)),
        ("mine.py:Fwe", ("has no 'Fwe'", "did you mean Few?")),
        ("mime.py:Few", ("there is no file", "did you mean")),
        ("mine.py:function", ("is a function", "name a class")),
        ("mine.py:Unbuilt", ("Unbuilt() raises TypeError", "built without arguments")),
        ("mine.py:BadConventions", ("conventions['half'] is 'yes'", "True, False")),
        ("syntax.py:A", ("cannot be imported: SyntaxError", "line 1 of syntax.py")),
        ("raises.py:A", ("cannot be imported: ZeroDivisionError", "line 2 of raises.py")),
        ("leaves.py:A", ("cannot be imported: SystemExit: 5",)),
        ("needs.py:A", ("No module named 'no_such_peer'",)),
        ("inside.py:A", ("relative import", "package.module:Name")),
        ("mine.txt:Few", ("there is no file",)),
    ],
)
def test_broken_adapters_are_refused_in_one_line(capsys, adapters, target, words):
    texts = {"inside": "from . import x", "syntax": "def (", "raises": "\n1/0", "leaves": "raise SystemExit(5)",
             "needs": "import no_such_peer"}  # fmt: skip
    for name, text in texts.items():
        (adapters.parent / f"{name}.py").write_text(text)
    refused(run(capsys, adapters.parent / target), *words)


def test_a_module_is_found_from_where_one_stands(adapters):
    line = [sys.executable, "-m", "refscore", "check", "mine:Few", "--require", "losses"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=adapters.parent)
    assert done.returncode == 3 and "8 pass" in done.stdout and done.stderr == ""
    (adapters.parent / "lib").mkdir()
    (adapters.parent / "lib" / "__init__.py").write_text("from mine import Few")
    done = subprocess.run([*line[:4], "lib:Few"], capture_output=True, text=True, timeout=120, cwd=adapters.parent)
    assert done.returncode == 0 and "8 pass" in done.stdout
    done = subprocess.run([*line[:4], "mime:Few"], capture_output=True, text=True, timeout=120, cwd=adapters.parent)
    assert done.returncode == 2 and "there is no module mime" in done.stderr and done.stderr.count("\n") == 1


def test_what_an_adapter_prints_is_no_part_of_the_report(capsys, tmp_path):
    text = "print('hello')\nclass A:\n    def jvp(self, model, x, v):\n        print('hello')\n        return x\n"
    (tmp_path / "loud.py").write_text(text)
    code, out, err = run(capsys, f"{tmp_path / 'loud.py'}:A")
    assert code == 1 and "hello" not in out and "hello" in err


def test_help_teaches(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for expected in ("class Mine:", "predicts", "--expected-failures", "until =", "exit codes", "ddpm", "TARGET"):
        assert expected in out


def test_no_report_is_written_on_what_is_read(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine, known = tmp_path / "mine.py", tmp_path / "known.ini"
    mine.write_text("class Mine:\n    def jvp(self, model, x, v):\n        return model.jvp(x, v)\n")
    known.write_text("[corrupt]\nreason = r\nrung = x\nuntil = 2031-01-31\n")
    before = mine.read_text(), known.read_text()
    for option, path in (("--junit", "mine.py"), ("--json", "./known.ini")):
        refused(run(capsys, "mine.py:Mine", "--expected-failures", "known.ini", option, path), "a file of its own")
    assert (mine.read_text(), known.read_text()) == before
    assert run(capsys, "mine.py:Mine", "--only", "jvp", "--only", "score", "--expected-failures", "known.ini")[0] == 0


def test_scripts_are_printed_whole(capsys, tmp_path, monkeypatch):
    """As they are to be copied, however narrow the terminal is."""
    monkeypatch.setenv("COLUMNS", "60")
    path = tmp_path / "mine.py"
    path.write_text("class Mine:\n    def jvp(self, model, x, v):\n        return 1.5 * model.jvp(x, v)\n")
    code, shown, _ = run(capsys, f"{path}:Mine")
    assert code == 1
    script = shown[shown.index("# jvp on the rung") : shown.rindex("\n\n")]
    namespace: dict = {}
    exec(script, namespace)
    assert "wanted" in capsys.readouterr().out and max(map(len, script.splitlines())) > 60


def test_precision_that_is_inferred_is_shown(capsys, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("class Mine:\n    def jvp(self, model, x, v):\n        return model.jvp(x, v).astype('f4')\n")
    assert "precision inferred: float32 in jvp" in run(capsys, f"{path}:Mine")[1]
    path.write_text(path.read_text().replace("Mine:\n", "Mine:\n    conventions = {'dtype': 'float32'}\n"))
    assert "precision inferred" not in run(capsys, f"{path}:Mine")[1]


def test_profiles_ask_for_what_the_process_has():
    for process, lacks in ((VP(), "ddpm_step"), (DDPM(linear_betas(20)), "reverse_step")):
        steps = "ode_drift,reverse_step,ddpm_step,ddim_step,posterior"
        checks = check(Reference(process), only=profiles.select(f"process,{steps}")).checks
        missing = profiles.missing("process,samplers", checks, process)
        assert missing and not {"drift", "diffusion", "ddpm_step", "reverse_step", "ode_drift", "posterior"} & set(missing)
        assert lacks in profiles.missing(f"samplers,{lacks}", checks, process)
    assert "posterior" in profiles.missing("ddpm", (), VP()) and profiles.missing("process", (), None)
