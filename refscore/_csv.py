"""CSV as people have it: with or without header; comma, semicolon, tab or blanks; quotes, byte-order marks, decimal
commas, text columns, missing values.

The rules, in order. The delimiter is the first of tab, semicolon, comma that cuts the first lines into equally many
cells; else blanks; else the file has one column. A first row is a header when one of its cells is text above a column
of numbers. A column most of whose cells are not numbers is text and is left out; in other columns a cell that is not
a number counts as missing. A decimal comma is understood unless the comma is the delimiter. What this cannot see: a
header of numbers (years, say) is taken for data; 1,234 in a semicolon file is read as 1.234.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", "--", ".", "missing"}
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_CHUNK_CELLS = 200_000
_SAMPLE = 50


class DataError(ValueError):
    """The data cannot be used; the message is one line that says what to do."""


def read_csv(path: Path) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """(values (n, d), column names, notes) of the numeric columns; missing values are NaN.

    Raises
    ------
    DataError
        When the file is not text, its rows have different lengths, or it has no column of numbers.
    """
    encoding = _encoding(path)
    with open(path, encoding=encoding, newline="") as file:
        delimiter = _delimiter(list(itertools.islice(file, _SAMPLE)))
        file.seek(0)
        rows = _rows(path, file, delimiter)
        first = next(rows, None)
        if first is None:
            raise DataError(f"{path} has no rows: it needs at least one row of numbers")
        columns = [_Column(delimiter != ",") for _ in first[1]]
        width = max(1, _CHUNK_CELLS // len(columns))
        while chunk := list(itertools.islice(rows, width)):
            _read_chunk(chunk, columns)
    names = _header(first[1], columns)
    if names is None:
        _read_chunk([first], columns, front=True)
    elif not columns[0].cells:
        raise DataError(f"{path} has only a header ({_quote(names)}): add rows of numbers")
    return _numeric(path, columns, names)


class _Column:
    """The cells of one column as numbers, NaN where there is none, with a count of what they were."""

    def __init__(self, decimal_comma: bool):
        self.decimal_comma = decimal_comma
        self.blocks: list[np.ndarray] = []
        self.cells = self.numbers = self.text = self.commas = self.points = 0
        self.example = ""

    def add(self, cells: list[str], lines: list[int], front: bool = False) -> None:
        try:
            block = np.array(cells, dtype=np.float64)
            self.numbers += int(np.isfinite(block).sum())
            if self.decimal_comma:
                self.points += sum("." in c for c in cells)
        except ValueError:
            block = np.array([self._cell(c, line) for c, line in zip(cells, lines)])
        self.cells += len(cells)
        self.blocks.insert(0 if front else len(self.blocks), block)

    def _cell(self, cell: str, line: int) -> float:
        if cell.strip().lower() in _MISSING:
            return np.nan
        comma = self.decimal_comma and _DECIMAL_COMMA.fullmatch(cell) is not None
        try:
            value = float(cell.replace(",", ".") if comma else cell)
        except ValueError:
            self.text += 1
            self.example = self.example or f"{cell.strip()[:40]!r} in line {line}"
            return np.nan
        self.commas += comma
        self.points += "." in cell
        self.numbers += bool(np.isfinite(value))
        return value

    @property
    def values(self) -> np.ndarray:
        return np.concatenate(self.blocks)

    @property
    def is_text(self) -> bool:
        return self.text > self.numbers


def _read_chunk(chunk: list[tuple[int, list[str]]], columns: list[_Column], front: bool = False) -> None:
    lines = [line for line, _ in chunk]
    for j, column in enumerate(columns):
        column.add([row[j] for _, row in chunk], lines, front)


def _header(first: list[str], columns: list[_Column]) -> list[str] | None:
    """The first row as names ('' where there is none), when it is a header: text above numbers, or above nothing."""
    words = [_Column(c.decimal_comma) for c in columns]
    _read_chunk([(1, first)], words)
    rows = max((c.cells for c in columns), default=0)
    above = any(w.text and c.numbers and not c.is_text for w, c in zip(words, columns))
    if above or (rows == 0 and not any(w.numbers for w in words)):
        return [name.strip() for name in first]
    return None


def _numeric(path: Path, columns: list[_Column], names: list[str] | None):
    """The columns of numbers side by side, their names, and notes about what is left out."""
    called = [name if name else f"column {j + 1}" for j, name in enumerate(names or [""] * len(columns))]
    text = [j for j, c in enumerate(columns) if c.is_text]
    empty = [j for j, c in enumerate(columns) if not c.is_text and not c.numbers]
    counter = [0] if names and len(names) > 1 and not names[0] and _counts_rows(columns[0]) else []
    kept = [j for j in range(len(columns)) if j not in {*text, *empty, *counter}]
    if not kept:
        found = f"text in {_quote(called, text)}" if text else f"no finite value in {_quote(called, empty)}"
        raise DataError(f"{path} has no column of numbers ({found}): at least one column must hold finite numbers")
    notes = []
    if text:
        notes.append(f"left out: text column{'s' * (len(text) > 1)} {_quote(called, text)}")
    if empty:
        notes.append(f"left out: column{'s' * (len(empty) > 1)} without a finite value {_quote(called, empty)}")
    if counter:
        notes.append("left out: unnamed first column, which only counts the rows")
    values = np.empty((columns[0].cells, len(kept)))
    for place, j in enumerate(kept):
        column, name = columns[j], called[j]
        if column.commas and column.points:
            advice = "write all its numbers with the same decimal mark"
            raise DataError(f"{path}: column {name!r} mixes decimal commas and decimal points: {advice}")
        if column.text:
            notes.append(f"column {name!r}: {column.text} of its cells not numbers (first: {column.example})")
        values[:, place] = column.values
    return values, tuple(called[j] for j in kept), tuple(notes)


def _counts_rows(column: _Column) -> bool:
    """An index such as a data frame writes: 0, 1, 2, ... or 1, 2, 3, ..."""
    values = column.values
    return bool(len(values) > 1 and values[0] in (0, 1) and (np.diff(values) == 1).all())


def _rows(path: Path, file: io.TextIOBase, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every row that is neither blank nor a comment, all of the same length."""
    if delimiter == " ":
        numbered = ((i, line.split()) for i, line in enumerate(file, 1))
    else:
        reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
        numbered = ((reader.line_num, row) for row in reader)
    expected, where = 0, 0
    for line, row in numbered:
        if not any(c.strip() for c in row) and (len(row) <= 1 or not expected):
            continue
        if row[0].lstrip().startswith("#") and not expected:
            continue
        if not expected:
            expected, where = len(row), line
        if len(row) != expected:
            cells = f"line {line} has {len(row)} cells, line {where} has {expected}"
            raise DataError(f"{path}: {cells}: give every row the same number of cells (leave missing ones empty)")
        yield line, row


def _delimiter(sample: list[str]) -> str:
    lines = [line for line in sample if line.strip() and line[0] != "#"]
    widths = {}
    for candidate in "\t;,":
        try:
            widths[candidate] = Counter(len(r) for r in csv.reader(lines, delimiter=candidate, skipinitialspace=True))
        except csv.Error:
            continue
        if len(widths[candidate]) == 1 and max(widths[candidate]) > 1:
            return candidate
    ragged = [(sum(n for w, n in count.items() if w > 1), candidate) for candidate, count in widths.items()]
    if ragged and max(ragged)[0] > 0:
        return max(ragged)[1]
    blanks = {len(line.split()) for line in lines}
    return " " if len(blanks) == 1 and max(blanks) > 1 and all(map(_is_number, lines[-1].split())) else ","


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return cell.lower() in _MISSING
    return True


def _encoding(path: Path) -> str:
    """UTF-8, UTF-16 when a byte-order mark says so, else Latin-1; a file with NUL bytes is no text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open(path, "rb") as file:
        head = file.read(4)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        file.seek(0)
        utf8 = True
        while block := file.read(1 << 20):
            if b"\0" in block:
                raise DataError(f"{path} is not text (it has NUL bytes): save the numbers as CSV or with numpy.save")
            if utf8:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    utf8 = False
    return "utf-8-sig" if utf8 else "latin-1"


def _quote(names: list[str], places: list[int] | None = None, most: int = 6) -> str:
    chosen = names if places is None else [names[j] for j in places]
    listed = ", ".join(repr(n[:40]) for n in chosen[:most])
    return listed if len(chosen) <= most else f"{listed} and {len(chosen) - most} more"
