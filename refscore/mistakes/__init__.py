"""Plausible wrong versions of the operations, each with its cause and where it was seen.

Every module of this folder enters mistakes (`refscore.mistakes._registry.mistake`); ``CATALOGUE`` holds them by name.

    >>> from refscore import identities, mistakes
    >>> wrong = mistakes.CATALOGUE["dsm_target_sign"].operations()      # doctest: +SKIP
    >>> identities.verify(["B9"], ops=wrong)                            # doctest: +SKIP
"""

import importlib
import pkgutil

from refscore.mistakes._registry import CATALOGUE, Mistake, mistake

for _module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = ["CATALOGUE", "Mistake", "mistake"]
