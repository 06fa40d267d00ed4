"""README's example runs and says what it claims."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_python_example_runs():
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    claimed = float(re.search(r"#\s*\(([0-9.]+), error\)", code)[1])
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    value, error = scope["total_variation"](scope["produced"], scope["data"])
    assert error < 1e-10
    assert value == pytest.approx(claimed, abs=error + 5e-13)  # claimed to 12 digits
    assert len(scope["gradient"]) == 6


def test_every_link_points_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert target.startswith("http") or (README.parent / target).exists(), target
