"""Simulating more points than memory holds, into a file, in a way that survives being killed.

The rows are made in pieces of a fixed size. Piece i draws its starting points and runs the chain with a random stream of its own,
spawned from (seed, i), so its bits depend on the seed and on i alone: neither on what was computed before, nor on the number of
threads. Pieces are written one after another to ``path + '.partial'``, and a record beside it, ``path + '.record'``, says how many
are safely there and what the run was started with. The same call goes on from there, and after the last piece the partial file
becomes ``path``, in one step. The record stays, so that the file is never taken for that of another run.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refscore import _files, _validate
from refscore._described import changed, described
from refscore._progress import progress

_STREAM = 0x66696C65  # "file"
_PIECE_ROWS = 1 << 18  # enough blocks for several threads, however few numbers a row has
_PIECE_BYTES = 1 << 26
_RECORD_EVERY = 1.0  # seconds of work that a kill may cost


def simulate_to_file(path: str | os.PathLike, chain: Any, initial: Any, n: int, rng: int, *, dtype=np.float64) -> np.ndarray:
    """n rows of ``chain``, started from ``initial``, in the .npy file ``path``; a call that was killed is made again and goes on.

    Parameters
    ----------
    path : str or path
        The file to be, in the format of ``numpy.save``. Beside it lies '.partial' until the run is finished, and '.record', which
        says what made it: the same call on a finished file hands it out again.
    chain : Chain, or anything with ``simulate(x0, rng)``
    initial : density
        The law of the starting points, such as Gaussian: anything with ``dim`` and ``sample(n, rng)``.
    n : int
        Rows. Memory does not grow with it; the disk must hold n d numbers.
    rng : int
        Seed; a Generator would not be the same after a kill.
    dtype : float64 or float32
        Of the file and of the simulation; starting points are drawn in float64.

    Returns
    -------
    np.memmap (n, d)
        The finished file, opened for reading: rows are loaded when they are looked at.

    Raises
    ------
    ValueError, TypeError
        For bad arguments; when a run at ``path``, finished or not, was started with other arguments, another version of refscore or
        of NumPy; the message names the difference.
    OSError
        When the file cannot be written, is there and was not made by such a call (FileExistsError), another process is writing
        it, or the disk has no room for it.
    """
    n, dtype = _validate.count(n, "n"), np.dtype(dtype)
    if dtype not in (np.float64, np.float32):
        raise ValueError(f"dtype is {dtype}: pass float64 or float32")
    if isinstance(rng, np.random.Generator):
        raise TypeError("rng is a Generator, whose state a killed run would lose: pass an int seed")
    _validate.generator(rng)
    if not all(hasattr(initial, name) for name in ("dim", "sample")):
        raise TypeError(f"initial is {type(initial).__name__}: pass a density, such as Gaussian([0.0], 1.0)")
    if not hasattr(chain, "simulate"):
        raise TypeError(f"chain is {type(chain).__name__}: pass what langevin, reverse_sde, ddpm, ... return")
    if (problem := _files.refusal(path)) is not None:
        raise OSError(problem)
    target = Path(os.path.realpath(path))
    partial, record = (target.with_name(target.name + suffix) for suffix in (".partial", ".record"))
    rows = max(1, min(_PIECE_ROWS, _PIECE_BYTES // (initial.dim * dtype.itemsize)))
    run = _run(chain, initial, n, int(rng), dtype)
    done, pieces = _finished_pieces(record, run), -(-n // rows)
    if target.exists():
        if done == pieces and not partial.exists():
            return np.load(target, mmap_mode="r")
        raise FileExistsError(f"{target} is there, and not from this call: name another file, or delete it")
    header, row_bytes = _header(n, initial.dim, dtype), initial.dim * dtype.itemsize
    if not done:
        _room(target, len(header) + n * row_bytes)
    with _alone(partial):
        done = _finished_pieces(record, run)  # as it is now that nobody else changes it
        safe = len(header) + min(done * rows, n) * row_bytes
        if done and partial.stat().st_size < safe:
            raise ValueError(f"{record} says that {done} of {pieces} pieces are done, but {partial} does not hold them: delete "
                             "the record to start anew")
        with open(partial, "r+b") as file, progress(pieces, f"{n} rows to {target.name}, pieces of {rows}", done) as shown:
            if not done:
                file.write(header)
            file.truncate(safe)  # what came after the last record is made again
            file.seek(safe)
            saved = time.monotonic()
            for i in range(done, pieces):
                stream = np.random.default_rng(np.random.SeedSequence((_STREAM, int(rng)), spawn_key=(i,)))
                start = np.asarray(initial.sample(min(rows, n - i * rows), stream), dtype=dtype)
                file.write(np.ascontiguousarray(chain.simulate(start, stream), dtype=dtype).data)
                if time.monotonic() - saved > _RECORD_EVERY or i == pieces - 1:
                    file.flush()
                    os.fsync(file.fileno())
                    _files.write(record, json.dumps({"pieces": i + 1, "run": run}).encode())
                    saved = time.monotonic()
                shown(i + 1)
        os.replace(partial, target)
    return np.load(target, mmap_mode="r")


@contextlib.contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """``partial``, there, and locked against other processes: of two runs into one file, one would clear what the other publishes.

    The lock ends with the process, whatever ends it. Without ``fcntl``, on Windows, there is none.
    """
    with open(partial, "ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(partial)):
                raise FileNotFoundError  # the other one has given it its name before the lock was free
        except ImportError:
            file.close()
        except OSError as error:
            raise OSError(f"{partial} is being written by another process: wait for it, or name another file") from error
        yield


def _run(chain, initial, n: int, seed: int, dtype: np.dtype) -> dict[str, str]:
    """What decides the bits of the file."""
    from refscore import __version__

    text = {"n": str(n), "rng": str(seed), "dtype": str(dtype), "refscore": __version__, "numpy": np.__version__}
    return text | dict(described("chain", chain)) | dict(described("initial", initial))


def _finished_pieces(record: Path, run: dict[str, str]) -> int:
    """How many pieces the record vouches for, 0 when there is none."""
    try:
        text = record.read_text()
    except FileNotFoundError:
        return 0
    try:
        found = json.loads(text)
        pieces, before = int(found["pieces"]), dict(found["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record} is damaged ({error}): delete it, and the '.partial' file, to start anew") from error
    if differences := changed(before, run):
        raise ValueError(f"the run of {record} is another one: {'; '.join(differences)}. Go on as that run was started, "
                         "name another file, or delete the record to start anew")
    return pieces


def _header(n: int, dim: int, dtype: np.dtype) -> bytes:
    stream, descr = io.BytesIO(), np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": (n, dim)})
    return stream.getvalue()


def _room(target: Path, needed: int) -> None:
    if (free := shutil.disk_usage(target.parent).free) < needed:
        raise OSError(f"{target} needs {needed / 1e9:.3g} GB, and {target.parent} has {free / 1e9:.3g} GB free: pass a smaller n, "
                      "dtype=np.float32, or another place")
