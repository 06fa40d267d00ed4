"""The starting files pass their own check, and `refscore write-adapter` writes them, over nothing that is there."""

import importlib.util
import shlex

import pytest

from refscore import cli
from refscore.conformance import check
from refscore.conformance.starting import FRAMEWORKS, text


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_starting_file_passes(framework, tmp_path):
    if framework != "numpy":
        pytest.importorskip(framework)
    path = tmp_path / "mine.py"
    path.write_text(text(framework))
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("mine", path))
    spec.loader.exec_module(module)
    result = check(module.Mine)
    assert result.code == 0
    bad = [(c.operation, c.message) for c in result.checks if c.outcome not in ("pass", "unsupported")]
    assert not bad and result.counts["pass"] == {"numpy": 5}.get(framework, 6)


def test_an_unknown_framework_is_refused():
    with pytest.raises(ValueError, match="numpy, torch, jax"):
        text("tensorflow")


def write(capsys, *arguments):
    try:
        code = cli.main(["write-adapter", *map(str, arguments)])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_command_prints_a_starting_file(framework, capsys):
    assert write(capsys, framework) == (0, text(framework), "")


def test_what_it_writes_can_be_checked_by_the_command_it_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = write(capsys, "numpy", "my adapter.py")
    assert (code, out) == (0, "") and err.count("\n") == 1
    next_command = shlex.split(err.split("next: refscore ")[1])
    assert next_command == ["check", "my adapter.py:Mine"]
    assert cli.main(next_command) == 0


def test_it_writes_over_a_file_only_when_told_to(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("a day's work\n")
    code, out, err = write(capsys, "torch", path)
    assert code == 2 and "--force" in err and path.read_text() == "a day's work\n"
    assert write(capsys, "torch", path, "--force")[0] == 0 and path.read_text() == text("torch")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tensorflow"], "numpy, torch, jax"),
        (["numpy", "mine.txt"], "mine.py"),
        (["numpy", "torch.py"], "hide the package torch"),
        (["numpy", "nowhere/mine.py"], "create it first"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = write(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and words in err
    assert not list(tmp_path.iterdir())
