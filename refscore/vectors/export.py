"""The files: one JSON an operation, in a directory a process, and a README that says how to answer them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from refscore import __version__, _files
from refscore.vectors.vector import Vector, process_record, vectors

SCHEMA = "refscore.vectors/1"
RESPONSE = "refscore.vectors.response/1"

_README = f"""\
# Test vectors of refscore {__version__}

For an implementation of score matching or of score-based models in any language: inputs, wanted values, tolerances.

- A file holds one operation: `esm_loss.json`; with a process, that of its directory: `vp/sigma.json`. Schema `{SCHEMA}`.
- `arguments` is the order of the arguments, `formula` what is computed, `source` where it stands, `conventions` what the
  wanted values are in. Arrays are nested lists, row by row: x, x0, xt, noise, v are (n, d), t is (n,) or a number. Numbers are the
  shortest decimals that give the same float64 back. `noise` is the standard normal z itself: x_t = alpha x0 + sigma noise.
- A `vector` has an `id`, a `name` that says what is special about it, `inputs`, `wanted`, and `tolerance`: an answer is right
  where |answer - wanted| <= tolerance, entry by entry, in `float64` or in `float32`. The vectors go from simple to general: the
  first that fails says most. Operations that return several arrays have a list of them: gradients in the order of the model's
  arrays; posterior mean, then variance.
- A model is `kind`, `arrays`, `activation`, `takes_time`: linear x A' + b; mlp x W1 + b1, the activation, x W2 + b2, ...,
  weights (in, out), with takes_time t is the last input column; mixture the score of sum_k w_k N(m_k, v_k I), with takes_time
  that of its corruption at t; quadratic_energy 1/2 (x - m)'P(x - m); energy_mlp an mlp with one output.
- In other conventions (eps prediction, without 1/2, mean over dimensions, eta/2 steps, ...) the wanted values are others. Answer
  all the same, in yours: they are found, or taken as you declare them.

## To be judged

Write a response and run `refscore vectors check response.json`: it says which operations are right, in which convention, and what
a wrong answer is known to come from.

    {{"schema": "{RESPONSE}",
     "conventions": {{}},
     "answers": [{{"id": "dsm_loss/1", "value": 0.25}}, {{"id": "vp/sigma/2", "value": [0.1, 0.2]}}]}}

`conventions` may hold predicts ('score', 'eps', 'x0', 'v', 'energy'), half, over_dims ('sum', 'mean'), over_batch ('mean', 'sum',
'none'), weight ('one', 'sigma2'), langevin ('eta', 'half_eta'), scheme ('euler_maruyama', 'exponential'), variance ('beta',
'beta_tilde'), dtype; what is left out is inferred.
`value` has the form of `wanted`. Print float64 with 17 significant digits; float32 with 9, or declare dtype.
Vectors without an answer are not judged. sample, log_likelihood and rbm_cd_gradient draw or integrate, and have none.
"""


class BadVectors(Exception):
    """Vectors cannot be written or read; the message says why."""


def records(energies: bool = False) -> Iterator[dict[str, Any]]:
    """The contents of the files, one an operation and process."""
    for (name, process), group in groupby(vectors(energies), key=lambda v: (v.operation.name, v.process)):
        each = list(group)
        operation = each[0].operation
        yield {
            "schema": SCHEMA, "version": __version__, "operation": name, "category": operation.category,
            "formula": operation.formula, "source": operation.source, "arguments": list(each[0].rung.arguments),
            "process": process_record(process), "conventions": each[0].conventions, "vectors": [_record(v) for v in each],
        }  # fmt: skip


def export(directory: str | Path, energies: bool = False) -> list[Path]:
    """Write all vectors and the README into ``directory``, which is made if it is not there; the paths of the files.

    Everything is computed before the first file is written, and every file is written whole or not at all.

    Raises BadVectors when the directory cannot be made, or written to.
    """
    root = Path(directory)
    texts = {root / "README.md": _README}
    for record in records(energies):
        process = record["process"]
        place = root / process["name"] if process else root
        texts[place / f"{record['operation']}.json"] = _text(record)
    for path in texts:
        if path.is_dir() or (path.parent.exists() and not path.parent.is_dir()):
            raise BadVectors(f"{path.parent} and {path.name} in it would have to be a directory and a file: choose another place")
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _files.write(path, text.encode())
    except OSError as error:
        raise BadVectors(f"{error.filename or root}: {error.strerror or error}: choose another directory") from None
    return list(texts)


def refusal(directory: str | Path) -> str | None:
    """Why ``directory`` cannot be written to, in words; None when it can. Asked before the work is done."""
    target = Path(os.path.abspath(directory))
    while not target.exists() and target != target.parent:
        target = target.parent
    if not target.is_dir():
        return f"{target} is a file: name a directory"
    return _files.refusal(target / "README.md")


def _record(vector: Vector) -> dict[str, Any]:
    tolerance = {}
    for dtype in (np.float64, np.float32):
        allowed = [_rounded(a) for a in vector.allowed(float(np.finfo(dtype).eps))]
        tolerance[np.dtype(dtype).name] = allowed if vector.several else allowed[0]
    wanted = [w.tolist() for w in vector.wanted]
    return {"id": vector.id, "name": vector.rung.name, "inputs": vector.inputs,
            "wanted": wanted if vector.several else wanted[0], "tolerance": tolerance}


def _rounded(allowed: np.ndarray) -> Any:
    """Three digits, which is what a tolerance has."""
    return np.vectorize(lambda a: float(f"{a:.3g}"), otypes=[float])(allowed).tolist()


def _text(record: dict[str, Any]) -> str:
    """One line a field, one line a vector: so that two exports can be compared."""
    head = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in record.items() if k != "vectors"]
    lines = ",\n  ".join(json.dumps(v, allow_nan=False) for v in record["vectors"])
    return "{" + ",\n ".join([*head, f'"vectors": [\n  {lines}]']) + "}\n"
