"""What a run was started with, as text that is the same in every process: so that it can be resumed, and no other taken for it."""

from __future__ import annotations

import functools
import hashlib
import re
import types
from collections.abc import Iterator
from typing import Any

import numpy as np


def described(name: str, value: Any, within: tuple[int, ...] = ()) -> Iterator[tuple[str, str]]:
    """(dotted name, text) of a value and all its parts.

    Arrays by contents, objects by public attributes, functions by name, code and what they hold: the object of a method, the
    variables that a closure has taken along, defaults. ``within``: what is being described already.
    """
    if id(value) in within:
        yield name, "what it is part of"
        return
    inside = (*within, id(value))
    if isinstance(value, np.ndarray):
        yield name, f"{value.dtype} {value.shape} with contents {_digest(np.ascontiguousarray(value).tobytes())}"
        return
    text, parts = _described(value)
    yield name, re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    for part, item in parts.items():
        yield from described(f"{name}{part}", item, inside)


def _described(value: Any) -> tuple[str, dict[str, Any]]:
    """A value in a few words, and its parts by what follows its name."""
    if isinstance(value, (list, tuple)):
        return f"{len(value)} items", {f"[{i}]": item for i, item in enumerate(value)}
    if isinstance(value, functools.partial):
        return "partial", {".func": value.func, ".args": value.args} | {f".{key}": item for key, item in value.keywords.items()}
    if isinstance(value, types.MethodType):
        return value.__func__.__qualname__, {".self": value.__self__}
    if isinstance(value, types.FunctionType):
        code = value.__code__
        cells = zip(code.co_freevars, value.__closure__ or (), strict=True)
        held = {f".{variable}": cell.cell_contents for variable, cell in cells}
        return f"{value.__qualname__} with code {_digest(_code(code))}", held | {".defaults": value.__defaults__ or ()}
    if hasattr(value, "__dict__") and not hasattr(value, "__qualname__"):
        return type(value).__qualname__, {
            f".{attribute}": item
            for attribute, item in vars(value).items()
            if not attribute.startswith("_")
            and not isinstance(getattr(type(value), attribute, None), functools.cached_property)  # there once it has been asked for
        }
    return getattr(value, "__qualname__", None) or repr(value.item() if isinstance(value, np.generic) else value), {}


def _code(code: types.CodeType) -> bytes:
    constants = [_code(c) if isinstance(c, types.CodeType) else repr(c).encode() for c in code.co_consts]
    return b"|".join([code.co_code, repr(code.co_names).encode(), *constants])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """In words, what differs between two descriptions."""
    return [
        f"{name} was {before.get(name, 'not there')} and is now {now.get(name, 'not there')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
