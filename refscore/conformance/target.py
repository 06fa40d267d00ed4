"""Somebody else's adapter by its name: ``file.py:Name`` or ``package.module:Name``.

A file is imported with its own directory first on the path, as Python itself would, and the current one last; a module with the
current one first. Whatever goes wrong on the way is a `BrokenAdapter` whose message is one sentence.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from refscore.conformance.candidate import BrokenAdapter
from refscore.conformance.operations import OPERATIONS


def load(target: str) -> Any:
    """The class (or object) that ``target`` names.

    Raises BrokenAdapter when there is no such file, module or name, when it cannot be imported, and when it is no adapter.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not name or name.endswith(".py") or "/" in name or "\\" in name:
        file = target.rstrip(":")
        raise BrokenAdapter(f"{target!r} names no class: write {file}:Name{_offered(file)}")
    module = _from_file(place) if place.endswith(".py") or os.sep in place or os.path.isfile(place) else _from_path(place)
    try:
        adapter = getattr(module, name)
    except AttributeError:
        raise BrokenAdapter(f"{place} has no {name!r}: {_choices(module, name)}") from None
    if inspect.isroutine(adapter) or inspect.ismodule(adapter):
        raise BrokenAdapter(f"{target} is a {type(adapter).__name__}: name a class with the operations as methods")
    return adapter


def strangers(adapter: Any) -> list[str]:
    """Public methods that are no operation but look like one, as sentences: a typing error would leave one unchecked."""
    found = []
    names = [name for name in dir(adapter) if not name.startswith("_") and name not in OPERATIONS]
    for name in names:
        near = difflib.get_close_matches(name.lower(), OPERATIONS, n=1, cutoff=0.8)
        if near and near[0] not in dir(adapter) and callable(inspect.getattr_static(adapter, name)):
            found.append(f"{name} is no operation and is not checked: did you mean {near[0]}?")
    return found


def _from_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, near, n=1)
        hint = f"did you mean {path.parent / close[0]}?" if close else "give the path of a .py file, or package.module:Name"
        raise BrokenAdapter(f"there is no file {place}: {hint}")
    name = "".join(c if c.isalnum() else "_" for c in path.stem)
    sys.path.insert(0, str(path.resolve().parent))
    sys.path.append(os.getcwd())
    spec = importlib.util.spec_from_file_location(f"_refscore_target_{name}", path)
    if spec is None or spec.loader is None:
        raise BrokenAdapter(f"{place} is no Python file: give the path of a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their modules up there
    loader = spec.loader
    _guarded(lambda: loader.exec_module(module), place)
    return module


def _from_path(place: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    return _guarded(lambda: importlib.import_module(place), place)


def _guarded(run, place: str) -> Any:
    try:
        return run()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a script without a guard ends itself
        if isinstance(error, ModuleNotFoundError) and error.name and place.startswith(error.name):
            raise BrokenAdapter(f"there is no module {place}: run this where it can be imported, or give the path of its file, "
                                f"{place.replace('.', '/')}.py:Name") from None
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
        where = f", line {line} of {os.path.basename(getattr(error, 'filename', '') or frames[-1].filename)}" if line else ""
        hint = "; name it as package.module:Name" if "relative import" in str(error) else ""
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BrokenAdapter(f"{place} cannot be imported: {said}{where}{hint}") from error


def _choices(module: ModuleType, name: str) -> str:
    own = [k for k, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__]
    near = difflib.get_close_matches(name, own, n=1)
    listed = f"its classes are {', '.join(own)}" if own else "it has no classes"
    return f"did you mean {near[0]}? {listed}" if near else listed


def _offered(file: str) -> str:
    """The classes of a file for which no name was given, without running it."""
    import ast

    try:
        found = [node.name for node in ast.parse(Path(file).read_bytes()).body if isinstance(node, ast.ClassDef)]
    except (OSError, SyntaxError, ValueError):
        return ""
    return f"; its classes are {', '.join(found)}" if found else ""
