"""README's examples run, one after the other, and say what they claim."""

import re
import textwrap
from pathlib import Path

import pytest

from refscore import cli

README = Path(__file__).parents[1] / "README.md"


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where files are left
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    claimed = [float(number) for number in re.findall(r"#\s*\(([0-9.]+), error\)", "".join(blocks))]
    scope = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    found = scope["total_variation"](scope["produced"], scope["data"]), scope["least"]
    for (value, error), number in zip(found, claimed, strict=True):
        assert error < 1e-10
        assert value == pytest.approx(number, abs=error + 5e-12)  # claimed to 12 digits
    assert len(scope["gradient"]) == 6
    scope["test_my_score"]()
    assert scope["excess"] == pytest.approx(0.0086, abs=5e-5)
    flow, start = scope["flow"], scope["process"].marginal(scope["data"], 3.0)
    for method, tv in (("euler", 0.083), ("heun", 0.020), ("rk4", 0.0010)):
        end = scope["law"](flow.steps(scope["np"].linspace(3, 0, 25), method), start)
        assert scope["total_variation"](end, scope["data"])[0] == pytest.approx(tv, rel=0.05)
    log_p = scope["found"]
    assert (log_p.prior[0], log_p.divergence[0]) == pytest.approx((-1.0989, 0.6931), abs=5e-5)
    assert log_p.total[0] == pytest.approx(-0.40579, abs=5e-6)


def test_the_check_says_what_is_shown(tmp_path, monkeypatch, capsys):
    text = README.read_text(encoding="utf-8")
    adapter = re.search(r"```python\n(# mine.py\n.*?)```", text, re.DOTALL).group(1)
    shown = re.search(r"```text\n( corrupt .*?)```", text, re.DOTALL).group(1)
    (tmp_path / "mine.py").write_text(adapter, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "mine.py:Mine"]) == 1
    out = re.sub(r"[0-9.]+e-1[5-9]", "rounding", " ".join(capsys.readouterr().out.split()))
    for piece in re.sub(r"[0-9.]+e-1[5-9]", "rounding", " ".join(shown.split())).split(" ... "):
        assert piece in out, piece


def test_every_link_points_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert target.startswith("http") or (README.parent / target).exists(), target


def test_the_file_of_known_failures_excuses_what_is_shown(tmp_path, monkeypatch, capsys):
    text = README.read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(re.search(r"```python\n(# mine.py\n.*?)```", text, re.DOTALL).group(1), encoding="utf-8")
    known = re.search(r"( +\[corrupt\].*?)\n\n", text, re.DOTALL).group(1)
    (tmp_path / "known.ini").write_text(textwrap.dedent(known), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "mine.py:Mine"]) == 1
    assert cli.main(["check", "mine.py:Mine", "--expected-failures", "known.ini"]) == 0
    assert "xfail" in capsys.readouterr().out
