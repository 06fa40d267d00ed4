"""Checkpoints: everything that the next step depends on, in one file that is whole or not there at all.

Step k depends on the run's seed, on k and on the parameters and moments after step k - 1. So a run that is killed goes on
from its last checkpoint and ends with the bits that it would have had. The file is an ordinary .npz without pickled
objects: the parameters and moments one by one, the losses so far, and the run's configuration by name, as JSON. It
replaces its predecessor in one step (`refscore._files`), so a kill at any moment leaves the one or the other; the
archive's own checksums tell a damaged file. A run with another configuration does not go on from it: the message says what
differs. Functions count by name, objects by their public attributes, arrays by their contents.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from refscore import _files
from refscore._described import changed
from refscore.training.optimisers import State

Saved = tuple[Sequence[np.ndarray], State, np.ndarray]
"""Parameters, optimiser state and the losses of all steps so far."""


def save(path: str | os.PathLike, configuration: dict[str, str], saved: Saved) -> None:
    """Put a checkpoint at ``path``. Raises OSError when it cannot be written; the file of before is then still there."""
    parameters, state, losses = saved
    arrays: dict[str, Any] = {"losses": losses, "configuration": np.array(json.dumps(configuration))}
    moments = [(f"moment {j}", m) for j, m in enumerate(state.moments)]
    for name, group in (("parameter", parameters), *moments, ("memory", state.memory)):
        arrays |= {f"{name} {i}": array for i, array in enumerate(group)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    _files.write(path, buffer.getvalue())


def load(path: str | os.PathLike, configuration: dict[str, str]) -> Saved | None:
    """What ``path`` holds; None when there is no such file.

    Raises ValueError when the file is damaged, or of a run with another configuration; OSError when it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        written = json.loads(str(arrays["configuration"]))
        parameters, losses = _numbered(arrays, "parameter"), arrays["losses"]
        moments = tuple(_numbered(arrays, f"moment {j}") for j in range(len(arrays)) if f"moment {j} 0" in arrays)
        memory = tuple(_numbered(arrays, "memory"))
    except Exception as error:  # whatever a damaged archive raises: zipfile alone knows a dozen ways
        raise ValueError(
            f"checkpoint {path} is damaged or no checkpoint ({type(error).__name__}: {error}): restore a copy of it, or delete it "
            "to start from the first step"
        ) from error
    if differences := changed(written, configuration):
        raise ValueError(
            f"checkpoint {path} is of another run: {'; '.join(differences)}. Go on as that run was started, or name another file"
        )
    return parameters, State(len(losses), moments, memory), losses


def _numbered(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [arrays[key] for i in range(len(arrays)) if (key := f"{name} {i}") in arrays]
