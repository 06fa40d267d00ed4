"""Simulation to a file: the rows that one call gives, whatever kills it on the way, and flat memory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import refscore
from refscore import parallel
from refscore.densities import Gaussian, GaussianMixture
from refscore.processes import OU, MarginalScore
from refscore.samplers import langevin, reverse_sde, simulate_to_file, to_file

SKEWED = GaussianMixture([0.3, 0.7], [[-1.5, 0.0], [1.0, 0.5]], [0.16, 0.36])
PROCESS = OU(1.0, 1.4)
CHAIN = reverse_sde(PROCESS, MarginalScore(PROCESS, SKEWED), np.linspace(2.0, 0.1, 8))
START = Gaussian([0.2, -0.1], 0.9)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(to_file, "_PIECE_ROWS", 100)
    monkeypatch.setattr(to_file, "_RECORD_EVERY", 0.0)


class Killed:
    """A chain whose simulation is interrupted before piece ``after``."""

    def __init__(self, after):
        self.after = after

    def __getattr__(self, name):
        return getattr(CHAIN, name)

    def simulate(self, x0, rng):
        self._calls = getattr(self, "_calls", 0) + 1
        if self._calls > self.after:
            raise KeyboardInterrupt
        return CHAIN.simulate(x0, rng)


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_to_file import CHAIN, START, to_file, simulate_to_file
to_file._PIECE_ROWS, to_file._RECORD_EVERY = 100, 0.0
calls, simulate, replace = 0, type(CHAIN).simulate, os.replace
def slow(self, x0, rng):
    global calls
    calls += 1
    if calls == {calls}:
        os.kill(os.getpid(), signal.SIGKILL)
    return simulate(self, x0, rng)
def last(old, new):
    if str(old).endswith(".partial") and {calls} == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(old, new)
type(CHAIN).simulate, os.replace = slow, last
simulate_to_file(sys.argv[1], CHAIN, START, 750, 5)
"""


def run_and_kill(path, calls):
    code = SCRIPT.format(tests=str(Path(__file__).parent), calls=calls)
    environment = {**os.environ, "PYTHONPATH": str(Path(refscore.__file__).parent.parent)}
    assert subprocess.run([sys.executable, "-c", code, str(path)], env=environment).returncode == -signal.SIGKILL


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bits(tmp_path):
    whole = np.array(simulate_to_file(tmp_path / "whole.npy", CHAIN, START, 750, 5))
    path = tmp_path / "killed.npy"
    for calls in (1, 4, 2, 0):  # in the first piece, the third, ... and between the last piece and the new name
        run_and_kill(path, calls)
        assert not path.exists()
    with open(f"{path}.partial", "ab") as file:
        file.write(b"half a piece, written after the last record")
    with parallel(threads=3):
        resumed = simulate_to_file(path, CHAIN, START, 750, 5)
    np.testing.assert_array_equal(resumed, whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.npy", "killed.npy.record", "whole.npy", "whole.npy.record"]
    assert np.load(path).dtype == np.float64 and path.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_finished_file_is_handed_out_again_and_never_overwritten(tmp_path):
    path = tmp_path / "x.npy"
    first = np.array(simulate_to_file(path, CHAIN, START, 150, 5))
    written = path.stat().st_mtime_ns
    np.testing.assert_array_equal(simulate_to_file(path, CHAIN, START, 150, 5), first)
    assert path.stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="rng was 5 and is now 6"):
        simulate_to_file(path, CHAIN, START, 150, 6)
    np.save(other := tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(FileExistsError, match="not from this call: name another file"):
        simulate_to_file(other, CHAIN, START, 150, 5)
    np.testing.assert_array_equal(np.load(other), np.zeros(3))


def test_another_target_behind_the_same_name_is_another_run(tmp_path):
    """A method of another mixture, and a closure over it."""
    for score in (lambda m: m.score, lambda m: lambda x: m.score(x)):
        path, other = tmp_path / "x.npy", GaussianMixture([0.3, 0.7], [[-4.0, 0.0], [4.0, 0.5]], [0.16, 0.36])
        simulate_to_file(path, langevin(score(SKEWED), 0.1, 3), START, 150, 5)
        with pytest.raises(ValueError, match=r"chain.score.*means was float64"):
            simulate_to_file(path, langevin(score(other), 0.1, 3), START, 150, 5)
        path.unlink(), Path(f"{path}.record").unlink()


def test_rows_of_a_piece_depend_on_seed_and_piece_only(tmp_path):
    long, short = (simulate_to_file(tmp_path / f"{n}.npy", CHAIN, START, n, 5) for n in (750, 300))
    np.testing.assert_array_equal(long[:300], short)
    other = simulate_to_file(tmp_path / "other.npy", CHAIN, START, 300, 6)
    assert not (other == short).any() and len(np.unique(long[:, 0])) == 750


def test_the_rows_have_the_law_of_the_chain(tmp_path, monkeypatch):
    """An affine chain, whose law is exact; n = 200,000: five standard errors see 1.2 % of a standard deviation."""
    from refscore.laws import law

    monkeypatch.setattr(to_file, "_PIECE_ROWS", 30_000)
    data = Gaussian([0.5, -1.0], [[0.5, 0.2], [0.2, 0.3]])
    chain = reverse_sde(PROCESS, MarginalScore(PROCESS, data), np.linspace(2.0, 0.1, 8))
    exact, n = law(chain, START), 200_000
    x = simulate_to_file(tmp_path / "x.npy", chain, START, n, 1)
    away = (x - exact.mean) @ np.linalg.inv(np.linalg.cholesky(exact.cov)).T
    assert np.abs(away.mean(axis=0)).max() < 5 / np.sqrt(n)
    assert np.abs(away.T @ away / n - np.eye(2)).max() < 5 * np.sqrt(2 / n)


def test_float32_and_any_chain(tmp_path):
    x = simulate_to_file(tmp_path / "x.npy", CHAIN, START, 130, 5, dtype=np.float32)
    assert x.dtype == np.float32 and x.shape == (130, 2) and np.load(tmp_path / "x.npy").dtype == np.float32


def test_another_run_is_refused_and_named(tmp_path):
    path = tmp_path / "x.npy"
    with pytest.raises(KeyboardInterrupt):
        simulate_to_file(path, Killed(2), START, 750, 5)
    for arguments, message in [
        ((Killed(2), START, 750, 6), "rng was 5 and is now 6"),
        ((Killed(2), START, 751, 5), "n was 750 and is now 751"),
        ((Killed(2), Gaussian([0.2, -0.1], 0.8), 750, 5), r"initial.covs was .* and is now"),
        ((Killed(3), START, 750, 5), r"chain.after was 2 and is now 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            simulate_to_file(path, *arguments)
    with pytest.raises(ValueError, match="dtype was float64 and is now float32"):
        simulate_to_file(path, Killed(2), START, 750, 5, dtype=np.float32)
    Path(f"{path}.partial").write_bytes(b"")
    with pytest.raises(ValueError, match="does not hold them: delete the record"):
        simulate_to_file(path, Killed(2), START, 750, 5)
    Path(f"{path}.record").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        simulate_to_file(path, Killed(2), START, 750, 5)


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"rng": np.random.default_rng(0)}, TypeError, "pass an int seed"),
    ({"dtype": np.int64}, ValueError, "float64 or float32"),
    ({"n": 0}, ValueError, "n is 0"),
    ({"initial": 3.0}, TypeError, "pass a density"),
    ({"chain": None}, TypeError, "chain is NoneType"),
    ({"path": "no/such/place.npy"}, OSError, "no directory"),
    ({"n": 10**14}, OSError, "GB free"),
])  # fmt: skip
def test_bad_input_is_refused(tmp_path, change, error, message):
    arguments = {"path": tmp_path / "x.npy", "chain": CHAIN, "initial": START, "n": 200, "rng": 5} | change
    with pytest.raises(error, match=message):
        simulate_to_file(**arguments)
    assert not list(tmp_path.iterdir())


def test_two_runs_into_one_file_are_refused(tmp_path, monkeypatch):
    """Another process that starts while this one is at work leaves it alone."""
    path, refusals = tmp_path / "x.npy", []
    code = f"""import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_to_file import *
simulate_to_file({str(path)!r}, CHAIN, START, 750, 5)"""
    simulate = type(CHAIN).simulate

    def watched(self, x0, rng):
        if not refusals:
            environment = {**os.environ, "PYTHONPATH": str(Path(refscore.__file__).parent.parent)}
            refusals.append(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True))
        return simulate(self, x0, rng)

    monkeypatch.setattr(type(CHAIN), "simulate", watched)
    found = np.array(simulate_to_file(path, CHAIN, START, 750, 5))
    assert refusals[0].returncode == 1 and "is being written by another process" in refusals[0].stderr
    monkeypatch.undo()
    monkeypatch.setattr(to_file, "_PIECE_ROWS", 100)
    np.testing.assert_array_equal(found, simulate_to_file(tmp_path / "alone.npy", CHAIN, START, 750, 5))


def test_memory_does_not_grow_with_n(tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr(to_file, "_PIECE_ROWS", 1000)
    monkeypatch.setattr(to_file, "_RECORD_EVERY", 1.0)
    peaks = []
    for n in (5_000, 80_000):
        tracemalloc.start()
        simulate_to_file(tmp_path / f"{n}.npy", CHAIN, START, n, 5)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000, peaks
