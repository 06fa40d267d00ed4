"""The plainly written network of tests/networks is the second route here too."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "networks"))
