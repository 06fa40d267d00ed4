"""What a run was started with, as text that is the same in every process: so that it can be resumed, and no other taken for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np


def described(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """(dotted name, text) of a value and all its parts: functions by name, objects by public attributes, arrays by contents."""
    if isinstance(value, np.ndarray):
        contents = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        yield name, f"{value.dtype} {value.shape} with contents {contents}"
    elif isinstance(value, (list, tuple)):
        yield name, f"{len(value)} items"
        for i, item in enumerate(value):
            yield from described(f"{name}[{i}]", item)
    elif hasattr(value, "__dict__") and not hasattr(value, "__qualname__"):
        yield name, type(value).__qualname__
        for attribute, item in vars(value).items():
            computed = isinstance(getattr(type(value), attribute, None), cached_property)  # there once it has been asked for
            if not attribute.startswith("_") and not computed:
                yield from described(f"{name}.{attribute}", item)
    else:
        text = getattr(value, "__qualname__", None) or repr(value.item() if isinstance(value, np.generic) else value)
        yield name, re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """In words, what differs between two descriptions."""
    return [
        f"{name} was {before.get(name, 'not there')} and is now {now.get(name, 'not there')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
