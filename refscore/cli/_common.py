"""What the commands share: refusals, seeds, and the three files that a report can be written to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refscore.report import Report

KINDS = {"json": "JSON", "junit": "JUnit XML", "html": "one HTML page"}


class Refusal(Exception):
    """The command cannot run as given; the message is the one line that says why."""


def report_options(parser: argparse.ArgumentParser) -> None:
    """Add --seed, --json, --junit and --html."""
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="of what is drawn at random; default: 0")
    for kind, text in KINDS.items():
        parser.add_argument(f"--{kind}", metavar="FILE", help=f"also write the report as {text}")


def seed(text: str) -> int:
    """An integer of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: give an integer of at least 0")
    return int(text)


def report_files(arguments: argparse.Namespace, inputs: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The files asked for, by kind; refuses, before the run starts, what could not be written after it, and to write on inputs."""
    files = {kind: path for kind in KINDS if (path := getattr(arguments, kind)) is not None}
    if not files:
        return files
    from refscore._files import refusal

    targets: dict[str, str] = {}
    read = {os.path.realpath(path): name for name, path in inputs.items()}
    for kind, path in files.items():
        if why := refusal(path):
            raise Refusal(f"--{kind} {why}")
        if name := read.get(os.path.realpath(path)):
            raise Refusal(f"--{kind} {path} is what is read as {name}: give the report a file of its own")
        other = targets.setdefault(os.path.realpath(path), kind)
        if other != kind and os.path.isfile(path) | (not os.path.exists(path)):
            raise Refusal(f"--{other} and --{kind} both name {path}: give each its own file")
    return files


def write_files(report: Report, files: dict[str, str]) -> None:
    """Write the report to the files of `report_files`."""
    from refscore._files import write

    for kind, path in files.items():
        try:
            write(path, _writer(kind).dumps(report).encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise Refusal(f"--{kind} {path} could not be written: {error.strerror or error}") from None


def _writer(kind: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"refscore.report.{kind}_writer")
