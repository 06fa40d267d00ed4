"""The starting files pass their own check, and teach: they name the commands that go on from there."""

import importlib.util

import pytest

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
