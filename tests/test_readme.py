"""README's examples run, one after the other, and say what they claim."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the second leaves its checkpoint
    first, second = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    claimed = [float(number) for number in re.findall(r"#\s*\(([0-9.]+), error\)", first + second)]
    scope = {}
    exec(compile(first, "README.md", "exec"), scope)
    exec(compile(second, "README.md", "exec"), scope)
    found = scope["total_variation"](scope["produced"], scope["data"]), scope["least"]
    for (value, error), number in zip(found, claimed, strict=True):
        assert error < 1e-10
        assert value == pytest.approx(number, abs=error + 5e-12)  # claimed to 12 digits
    assert len(scope["gradient"]) == 6
    assert scope["excess"] == pytest.approx(0.0086, abs=5e-5)


def test_every_link_points_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert target.startswith("http") or (README.parent / target).exists(), target
