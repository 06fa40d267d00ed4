"""Starting files for an adapter: ``refscore write-adapter torch`` writes one that passes, to be filled with one's own code."""

from __future__ import annotations

from importlib.resources import files

FRAMEWORKS = ("numpy", "torch", "jax")


def text(framework: str) -> str:
    """The starting file of a framework, as Python source.

    Raises ValueError for one that there is none for.
    """
    if framework not in FRAMEWORKS:
        raise ValueError(f"framework is {framework!r}: choose one of {', '.join(FRAMEWORKS)}")
    return files(__package__).joinpath(f"{framework}_adapter.py").read_text(encoding="utf-8")
