"""Known wrong versions of every operation: what a failing check is compared with.

`refscore.mistakes` holds those of the package's own functions, which the identities must catch; these here have the
signatures of the contract, and the checks must catch them.
"""

import importlib
import pkgutil

from refscore.conformance.mistakes._registry import CATALOGUE, Mistake, elsewhere, mistake

for _module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = ["CATALOGUE", "Mistake", "elsewhere", "mistake"]
