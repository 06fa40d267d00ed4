"""Reading a user's data set: a CSV file as people have them, or a .npy array, to a centred and scaled point set.

What is left out (text columns, rows with missing values) is said in ``Dataset.notes``; what cannot be used is refused
with a `DataError` that says what to do. Scores are affine-covariant: for y = (x - m)/c the score of y at y is c times
the score of x at x. So the points are centred and divided by one global scale, their root-mean-square distance from
the mean, and no identity is lost, while the numbers are of order one whatever the units were.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refscore._csv import DataError, read_csv

__all__ = ["DataError", "Dataset", "load", "normalised"]

_ARCHIVES = {
    b"PK\x03\x04": "is a zip archive (.xlsx or .npz): save the table as CSV, or the array with numpy.save",
    b"\x1f\x8b": "is compressed: unpack it with gunzip first",
    b"PAR1": "is a Parquet file: save it as CSV, or the array with numpy.save",
    b"\x89HDF": "is an HDF5 file: save one array of it with numpy.save",
}


@dataclass(frozen=True)
class Dataset:
    """Points (n, d) of order one, what they are called, how to get back (x = centre + scale * point), and notes."""

    points: np.ndarray
    columns: tuple[str, ...]
    centre: np.ndarray
    scale: float
    notes: tuple[str, ...]


def load(path: str | os.PathLike) -> Dataset:
    """The numeric columns of a CSV file (comma, semicolon, tab or blanks; header or none), or a .npy array.

    Raises
    ------
    DataError
        When there is nothing to work with: no such file, no numbers, rows of different lengths, an object array. The
        message is one line that says what to do.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a directory: name a CSV or .npy file")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: check the name (the working directory is {Path.cwd()})") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not start:
        raise DataError(f"{path} is empty: it needs at least one row of numbers")
    for magic, advice in _ARCHIVES.items():
        if start.startswith(magic):
            raise DataError(f"{path} {advice}")
    if start.startswith(b"\x93NUMPY"):
        values, columns, notes = _npy(path)
    elif path.suffix.lower() == ".npy":
        raise DataError(f"{path} is not a .npy file (it does not begin like one): write it with numpy.save")
    else:
        try:
            values, columns, notes = read_csv(path)
        except csv.Error as error:
            raise DataError(f"{path} cannot be read as CSV: {error}: check the quotes") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    values, notes = _complete_rows(path, values, columns, notes)
    head = f"data: {path.name}, {_many(values.shape[0], 'row')}, {_many(values.shape[1], 'column')} of numbers"
    return normalised(values, columns, (head, *notes))


def normalised(values: np.ndarray, columns: tuple[str, ...], notes: tuple[str, ...] = ()) -> Dataset:
    """``values`` (n, d) centred and divided by their root-mean-square distance from the mean.

    Nothing overflows: values up to the largest float are first divided by their largest magnitude.
    """
    largest = float(np.abs(values).max()) or 1.0
    unit = values / largest
    centre = unit.mean(axis=0)
    unit -= centre
    unit -= unit.mean(axis=0)  # what rounding left of the mean
    if float(np.abs(unit).max()) <= 4 * np.finfo(float).eps:  # equal up to the rounding of the mean
        unit[:] = 0.0
        note = "all rows are equal (up to rounding): centred, not scaled"
        return Dataset(unit, columns, centre * largest, 1.0, (*notes, note))
    rms = float(np.sqrt(np.einsum("ij,ij->", unit, unit) / unit.shape[0]))
    unit /= rms
    with np.errstate(over="ignore"):
        scale = largest * rms
    deviation = unit.std(axis=0)
    small = [name for name, s in zip(columns, deviation) if 0 < s < 1e-8]
    number = f"{scale:.6g}" if np.isfinite(scale) else f"{largest:.6g} * {rms:.6g}"
    notes = (*notes, f"centred and divided by {number}, the root-mean-square distance from the mean")
    if small:
        advice = "next to the others they are constant; standardise columns in different units first"
        notes = (*notes, f"{_names(small)} vary by less than 1e-8 of that: {advice}")
    return Dataset(unit, columns, centre * largest, scale, notes)


def _npy(path: Path) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        if "pickle" in str(error).lower():
            advice = "save numbers, numpy.save(file, array.astype(float))"
            raise DataError(f"{path} holds Python objects, which are not loaded for safety: {advice}") from None
        raise DataError(f"{path} is a damaged .npy file ({error}): write it again with numpy.save") from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{path} has dtype {array.dtype}: save real numbers, numpy.save(file, array.astype(float))")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        advice = "save one row per point, numpy.save(file, array.reshape(len(array), -1))"
        raise DataError(f"{path} has shape {array.shape}: {advice}")
    if array.size == 0:
        raise DataError(f"{path} has shape {array.shape}: it needs at least one row and one column of numbers")
    with np.errstate(over="ignore"):
        values = array.astype(np.float64)
    return values, tuple(f"column {j + 1}" for j in range(values.shape[1])), ()


def _complete_rows(path: Path, values: np.ndarray, columns: tuple[str, ...], notes: tuple[str, ...]):
    """The rows in which every entry is finite, and a note about the others."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return values, notes
    keep = ~bad.any(axis=1)
    worst = int(np.argmax(bad.sum(axis=0)))
    most = f"{columns[worst]!r} lacks {bad[:, worst].sum()} of {values.shape[0]}"
    if not keep.any():
        raise DataError(f"{path}: every row has a missing or non-finite value ({most}): fill or remove such columns")
    lost = f"{_many(int((~keep).sum()), 'row')} with missing or non-finite values ({most})"
    return values[keep], (*notes, f"left out: {lost}")


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _names(names: list[str], most: int = 6) -> str:
    listed = ", ".join(repr(n) for n in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
