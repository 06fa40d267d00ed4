"""A bar appears on a terminal, after two seconds, once; everywhere else nothing is written."""

import sys
import time

import pytest

from refscore import _progress
from refscore._progress import progress


@pytest.fixture
def terminal(capsys, monkeypatch):
    """What is written to standard error, which is a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
    return lambda: capsys.readouterr().err


@pytest.fixture
def later(monkeypatch):
    """A clock that a test can set."""
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_nothing_before_two_seconds_and_a_bar_after(terminal, later):
    with progress(10, "waiting [bold]") as shown:
        later(1.9)
        shown(3, lambda: "a note")
        assert terminal() == ""
        later(0.2)
        shown(4, lambda: "another [red] note")
    text = terminal()
    assert "waiting [bold]" in text and "4/10" in text and "another [red] note" in text and "a note" not in text


def test_nothing_without_a_terminal(capsys, later):
    with progress(2, "waiting") as shown:
        later(9)
        shown(1, lambda: 1 / 0)
    assert capsys.readouterr().err == ""


def test_work_inside_work_has_no_bar_of_its_own_and_errors_end_it(terminal, later):
    with pytest.raises(ZeroDivisionError), progress(2, "outer") as outer:
        with progress(5, "inner") as inner:
            later(3)
            inner(1)
        outer(1)
        raise ZeroDivisionError
    text = terminal()
    assert "outer" in text and "inner" not in text
    assert not _progress._taken


def test_blocks_show_their_label(terminal, monkeypatch):
    import numpy as np

    from refscore._blocks import map_rows

    monkeypatch.setattr(_progress, "PATIENCE", -1.0)
    x = np.arange(6.0)[:, None]
    np.testing.assert_array_equal(map_rows(np.sqrt, x, row_bytes=1 << 20, label="rows"), np.sqrt(x))
    text = terminal()
    assert "rows" in text and "6/6" in text
