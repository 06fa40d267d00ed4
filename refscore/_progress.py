"""A progress bar for whoever waits: on standard error, only on a terminal, only once two seconds have passed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

PATIENCE = 2.0
"""Seconds without a bar."""

Shown = Callable[..., None]
"""``shown(done, note)``, see `progress`; what does part of the work may be handed it, and move the bar of the whole."""

_BREATH = 0.05
_taken = False


@contextlib.contextmanager
def progress(total: int, label: str, start: int = 0) -> Iterator[Shown]:
    """Within the ``with``: a function ``shown(done, note)`` that moves the bar to ``done`` of ``total``.

    ``note``, optional: a function that gives the text behind the bar, called when it is shown. ``start``: where the work
    starts. Without a terminal nothing is ever written. Work inside other work that has a bar gets none of its own.
    """
    global _taken
    if _taken or not sys.stderr.isatty():
        yield hidden
        return
    bar, began, moved = None, time.monotonic(), 0.0

    def shown(done: int, note: Callable[[], str] | None = None) -> None:
        nonlocal bar, moved
        now = time.monotonic()
        if bar is None and now - began > PATIENCE:
            bar = _started(total, label, start)
        if bar is not None and (now - moved > _BREATH or done == total):  # steps may be shorter than it takes to show them
            moved = now
            bar.update(bar.task_ids[0], completed=done, note=note() if note else "")

    _taken = True
    try:
        yield shown
    finally:
        _taken = False
        if bar is not None:
            bar.stop()


def hidden(done: int, note: Callable[[], str] | None = None) -> None:
    """What moves no bar."""


def _started(total: int, label: str, start: int):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    what, note = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[note]}", markup=False)
    columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(label, total=total, completed=start, note="")
    bar.start()
    return bar
