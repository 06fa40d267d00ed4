"""A bar appears on a terminal, after two seconds, once; everywhere else nothing is written."""

import re
import sys
import time

import numpy as np
import pytest

from refscore import _progress, bounds, densities, laws, processes, samplers
from refscore._progress import progress

MODES = densities.GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])
WIDE = densities.Gaussian([0.3, -0.2], 0.8)


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
    from refscore._blocks import map_rows

    monkeypatch.setattr(_progress, "PATIENCE", -1.0)
    x = np.arange(6.0)[:, None]
    np.testing.assert_array_equal(map_rows(np.sqrt, x, row_bytes=1 << 20, label="rows"), np.sqrt(x))
    text = terminal()
    assert "rows" in text and "6/6" in text


def _forward(steps):
    return samplers.forward_sde(lambda x, t: -x, lambda x, t: 0.3, np.linspace(0, 1, steps + 1))


def _chain(steps):
    return samplers.langevin(MODES.score, 0.1, steps)


SLOW = {
    "simulation of one block": (lambda: _chain(7).simulate(np.zeros((3, 1)), 1), "simulating 3 rows, 7 steps", "6/7"),
    "states of a path": (lambda: _forward(7).path(np.zeros((3, 1)), np.zeros((7, 3, 1))), "path of 3 rows, 7 steps", "6/7"),
    "law by quadrature": (lambda: laws.law(_chain(7), MODES), "law after 7 steps", r"7/7.*nodes 0.\d+ widths apart"),
    "law of affine steps": (lambda: laws.law(samplers.langevin(WIDE.score, 0.1, 7), WIDE), "law after 7 steps", "6/7"),
    "law along lines": (lambda: laws.law(_chain(7), densities.Product([MODES])), "law after 7 steps", r"7/7.*nodes 0.\d+ widths"),
    "stationary law": (lambda: laws.stationary(_chain(40), MODES), "at most 100 rounds of 40 steps", r"\d/100.*changed by "),
    "divergence of paths": (lambda: bounds.path_kl(processes.VP(), WIDE, lambda x, t: -x, np.linspace(1, 0.5, 8)),
                            "KL of paths, 7 steps", "6/7"),
}


@pytest.mark.parametrize("name", SLOW)
def test_what_may_take_long_shows_how_far_it_is(name, terminal, monkeypatch):
    monkeypatch.setattr(_progress, "PATIENCE", -1.0)
    monkeypatch.setattr(_progress, "_BREATH", -1.0)
    work, label, progressed = SLOW[name]
    work()
    text = terminal()
    assert label in text and re.search(progressed, text)
    assert not _progress._taken


def test_a_bar_breathes_between_short_steps(terminal, later):
    notes = []
    with progress(9, "short steps") as shown:
        later(3)
        for done in range(5):
            shown(done, lambda done=done: notes.append(done) or "")
        later(0.06)
        shown(5, lambda: notes.append(5) or "")
        shown(9, lambda: notes.append(9) or "")
    assert notes == [0, 5, 9] and "9/9" in terminal()
