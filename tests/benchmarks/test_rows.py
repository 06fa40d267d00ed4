"""Every row of the benchmarks runs, at sizes that take no time, and agrees with what other libraries are installed."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks are not part of the package

from benchmarks import boltzmann, flow, mixture, network, pixels, sampling, training  # noqa: E402, F401
from benchmarks._row import ROWS  # noqa: E402


@pytest.mark.parametrize("name", ROWS)
def test_row_at_its_small_size(name):
    case = ROWS[name].case(small=True)
    case.runs.pop("torch compiled", None)  # takes seconds to compile
    case.check()
    assert case.effort()["refscore"] == 1
