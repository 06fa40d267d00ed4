"""The walk over all states of binary units: order, blocks, sums of exponentials of any size."""

import contextlib
import itertools
import math
import re

import mpmath as mp
import numpy as np
import pytest

from refscore import _blocks
from refscore.energy import _states


def test_rows_are_in_lexicographic_order_and_index_undoes_them():
    for units in (1, 2, 5):
        want = np.array(list(itertools.product((0.0, 1.0), repeat=units)))
        np.testing.assert_array_equal(_states.rows(np.arange(2**units), units), want)
        np.testing.assert_array_equal(_states.index(want), np.arange(2**units))
    far = np.array([2**40 + 5, 3])
    np.testing.assert_array_equal(_states.index(_states.rows(far, 41)), far)


@pytest.mark.parametrize("row_bytes", [8, _blocks.BLOCK_BYTES // 5, _blocks.BLOCK_BYTES, 3 * _blocks.BLOCK_BYTES])
def test_every_state_once_whatever_the_blocks(row_bytes):
    """From one block to a state a block; a block is never larger than its temporaries may be."""
    units, seen = 6, []

    def note(rows):
        seen.append(len(rows))
        return _states.index(rows)

    np.testing.assert_array_equal(_states.map_states(note, units, row_bytes=row_bytes), np.arange(64))
    assert sum(seen) == 64 and max(seen) == min(64, max(1, 2 ** int(math.log2(max(1, _blocks.BLOCK_BYTES // row_bytes)))))
    total = _states.sum_states(lambda rows: [rows.sum(axis=0), rows.T @ rows], units, row_bytes=row_bytes)
    np.testing.assert_array_equal(total[0], np.full(units, 32.0))
    np.testing.assert_array_equal(total[1], 16 * (1 + np.eye(units)))


@pytest.mark.parametrize("shift", [0.0, -1e5, 1e5])
@pytest.mark.parametrize("row_bytes", [8, _blocks.BLOCK_BYTES])
def test_log_sum_of_terms_of_any_size(shift, row_bytes):
    """l(z) = shift + 3 number of ones: sum = e^shift (1 + e^3)^units; and one term that outweighs all by e^1000."""
    units = 7

    def terms(rows):
        return shift + 3 * rows.sum(axis=1), np.zeros(len(rows))  # exact, so that all error is that of the sum

    value, error = _states.log_sum_states(terms, units, row_bytes=row_bytes)
    with mp.workdps(50):
        assert 0 < abs(value - (mp.mpf(shift) + units * mp.log(1 + mp.exp(3)))) <= error < 1e-13 * (1 + abs(shift))

    def one(rows):
        return 1000.0 * (_states.index(rows) == 77), np.full(len(rows), 1000.0)

    assert _states.log_sum_states(one, units, row_bytes=row_bytes).value == 1000.0


def test_whoever_waits_sees_how_far_it_is(monkeypatch):
    """Each walk with a label moves a bar of that name through all blocks."""
    seen = []

    @contextlib.contextmanager
    def bar(total, label):
        yield lambda done: seen.append((label, done, total))

    monkeypatch.setattr(_blocks, "progress", bar)
    walks = {"map": _states.map_states, "sum": _states.sum_states, "log sum": _states.log_sum_states}
    results = {"map": lambda z: z[:, 0], "sum": lambda z: [z], "log sum": lambda z: (z[:, 0], z[:, 0])}
    for name, walk in walks.items():
        walk(results[name], 3, row_bytes=_blocks.BLOCK_BYTES // 2, label=name)
    assert seen == [(name, done, 4) for name in walks for done in (1, 2, 3, 4)]


@pytest.mark.parametrize("row_bytes", [8, _blocks.BLOCK_BYTES // 4, _blocks.BLOCK_BYTES])
def test_error_of_the_terms_is_averaged_under_their_weights(row_bytes):
    def terms(rows):
        heavy = rows[:, 0] == 1
        return np.where(heavy, 50.0, 0.0), np.where(heavy, 1e6, 1e12)

    _, error = _states.log_sum_states(terms, 4, row_bytes=row_bytes)
    assert error == pytest.approx(1e6 * 2.0**-53, rel=1e-3)


@pytest.mark.parametrize(
    ("units", "width", "time"),
    [(27, 1000, "11 minutes"), (30, 784, "1.2 hours"), (40, 60, "3.8 days"), (60, 784, "1.4e+05 years")],
)
def test_refusals_say_how_long_it_would_take(units, width, time):
    with pytest.raises(ValueError, match=rf"^the sum walks over 2\^{units} = .* with {width} terms each, about {re.escape(time)}"):
        _states.refuse_beyond(units, width, "the sum", "do something else")
    _states.refuse_beyond(25, 784, "the sum", "")
