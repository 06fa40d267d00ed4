"""``python -m benchmarks``: pytest on this folder, with pytest-benchmark switched on and its own tables left out."""

import sys
from pathlib import Path

import pytest

sys.exit(pytest.main([str(Path(__file__).parent), "-q", "-p", "benchmark", "--benchmark-quiet", *sys.argv[1:]]))
