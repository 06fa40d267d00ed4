"""A run that is killed, at any moment, goes on from its checkpoint and ends with the bits of one that was not."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from functools import cached_property

import numpy as np
import pytest

from refscore._described import described
from refscore.densities import GaussianMixture
from refscore.networks import MLP, EnergyMLP, FourierFeatures
from refscore.training import SGD, Adam, Denoising, DenoisingProcess, Implicit, NoiseConditional, train

ROOT = pathlib.Path(__file__).parents[2]
DATA = np.random.default_rng(0).standard_normal((50, 2)) * [1.0, 0.3] + [0.5, -1.0]
STEPS = 60


def run(checkpoint=None, steps=STEPS, every=1, **changes):
    keywords = dict(model=MLP((2, 6, 2), "tanh", 1), data=DATA, objective=Denoising(0.3), optimiser=Adam(0.01), batch=16, seed=3)
    return train(**{**keywords, **changes}, steps=steps, checkpoint=checkpoint, every=every)


def same(a, b):
    assert a.state.step == b.state.step
    left, right = ((*r.model.parameters, *sum(r.state.moments, []), r.losses) for r in (a, b))
    for x, y in zip(left, right, strict=True):
        assert x.dtype == y.dtype and x.tobytes() == y.tobytes()


def child(body, path):
    """A process of its own that runs ``body`` (which sees `run` and ``path``)."""
    code = f"import sys\nfrom test_checkpoints import *\npath = sys.argv[1]\n{body}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests" / "training")))}
    return subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, stderr=subprocess.PIPE, text=True)


def steps_in(path):
    with np.load(path) as saved:
        return len(saved["losses"])


SLOW = """
class Slow(Denoising):
    def loss(self, model, x0, noise):
        time.sleep(0.05)
        return super().loss(model, x0, noise)
Slow.__qualname__ = "Denoising"
run(path, objective=Slow(0.3))
"""


def test_killed_in_the_middle(tmp_path):
    path = tmp_path / "run.npz"
    process = child(SLOW, path)
    until = time.monotonic() + 60
    while not path.exists() or steps_in(path) < 5:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until, "no checkpoint within a minute"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 5 <= steps_in(path) < STEPS
    same(run(path), run())


KILLED_WHILE_WRITING = """
count, sync = 0, os.fsync
def fsync(handle):
    global count
    count += 1
    if count == {nth}:
        os.truncate(handle, 100)
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)
os.fsync = fsync
run(path, every=4)
"""


@pytest.mark.parametrize("nth", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_while_it_writes(tmp_path, nth):
    """Half of the new file is written: the old one is still there, or none when it was the first."""
    path = tmp_path / "run.npz"
    process = child(KILLED_WHILE_WRITING.format(nth=nth), path)
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    assert (steps_in(path) if path.exists() else 0) == 4 * (nth - 1)
    assert any(name.startswith(".refscore-") for name in os.listdir(tmp_path))  # it was really in the middle of the write
    same(run(path), run())


@pytest.mark.parametrize("optimiser", [SGD(0.01), SGD(0.01, 0.9), Adam(0.01)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_continued_with_the_same_bits(tmp_path, optimiser, dtype):
    path, changes = tmp_path / "run.npz", {"optimiser": optimiser, "model": MLP((2, 6, 2), "tanh", 1, dtype)}
    whole = run(steps=11, **changes)
    run(path, 4, **changes)
    same(run(path, 11, every=100, **changes), whole)
    same(run(path, 11, **changes), whole)  # nothing left to do
    assert os.listdir(tmp_path) == ["run.npz"]


@pytest.mark.parametrize("name", ["EnergyMLP", "FourierFeatures"])
def test_every_kind_of_network_is_continued(tmp_path, name):
    ladder = NoiseConditional((1.0, 0.5, 0.2))
    if name == "EnergyMLP":
        changes = {"model": EnergyMLP((2, 6, 1), "softplus", 1)}
    else:
        features = FourierFeatures([0.3, 0.9], log=True)
        changes = {"model": MLP((3, 6, 2), "silu", 1, features=features), "objective": ladder}
    path, whole = tmp_path / "run.npz", run(steps=9, **changes)
    run(path, 4, **changes)
    same(run(path, 9, **changes), whole)
    assert repr(whole.model) == repr(changes["model"])


def test_saved_every_so_often_and_at_the_end(tmp_path, monkeypatch):
    from refscore.training import checkpoint

    saved, save = [], checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda path, c, s: (saved.append(s[1].step), save(path, c, s)))
    run(tmp_path / "run.npz", 10, every=4)
    assert saved == [4, 8, 10]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 4}, "seed was 3 and is now 4"),
        ({"batch": 8}, "batch was 16 and is now 8"),
        ({"objective": Denoising(0.4)}, "objective.sigma was 0.3 and is now 0.4"),
        ({"objective": Implicit()}, "objective was Denoising and is now Implicit"),
        ({"optimiser": Adam(0.02)}, "optimiser.rate was 0.01 and is now 0.02"),
        ({"optimiser": SGD(0.01)}, "optimiser was Adam and is now SGD"),
        ({"data": DATA + 1}, "data was float64"),
        ({"data": GaussianMixture([1.0], [[0.0, 0.0]], [1.0])}, "is now GaussianMixture"),
        ({"model": MLP((2, 6, 2), "tanh", 2)}, r"model.weights\[0\] was"),
        ({"model": MLP((2, 6, 2), "silu", 1)}, "model.activation"),
        ({"model": MLP((2, 6, 2), "tanh", 1, np.float32)}, "model.dtype was"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path, changes, named):
    path = tmp_path / "run.npz"
    run(path, 4)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=named):
        run(path, 8, **changes)
    assert path.read_bytes() == before


def test_fewer_steps_than_made_are_refused(tmp_path):
    run(tmp_path / "run.npz", 4)
    with pytest.raises(ValueError, match="holds step 4, steps is 3: pass steps=4 or more"):
        run(tmp_path / "run.npz", 3)


def test_damage_is_seen_wherever_it_is(tmp_path):
    """Cut at any length it is refused; with one byte changed it is refused, or it was a byte without meaning: the same bits."""
    path = tmp_path / "run.npz"
    whole = run(steps=6)
    run(path, 4)
    sound, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for length in (0, 1, 100, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:length])
        with pytest.raises(ValueError, match="damaged or no checkpoint"):
            run(path, 6)
    for at in rng.choice(len(sound), size=100, replace=False):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 255]) + sound[at + 1 :])
        try:
            same(run(path, 6, every=100), whole)
        except ValueError as error:
            refused += "damaged" in str(error)
    assert refused > 50
    path.write_text("not a checkpoint")
    with pytest.raises(ValueError, match="damaged or no checkpoint"):
        run(path, 6)


def test_a_place_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    class Never(Denoising):
        def loss(self, model, x0, noise):
            raise AssertionError("a step was made")

    for path, why in ((tmp_path, "is a directory"), (tmp_path / "missing" / "run.npz", "there is no directory")):
        with pytest.raises(OSError, match=why):
            run(path, objective=Never(0.3))


def test_descriptions_are_the_same_in_every_process():
    """No address, no hash that a process draws: names, numbers, contents."""
    def weight(t):
        return 1 + t

    class Plain:
        def __init__(self):
            self.f, self.a, self.n, self._hidden = weight, np.arange(3.0), np.float64(0.5), object()
            self.o = np.random.default_rng(0)

        @cached_property
        def total(self):
            return self.a.sum()

    it = Plain()
    assert it.total == 3.0  # which is in its __dict__ from now on
    found = dict(described("it", it))
    assert set(found) == {"it", "it.f", "it.f.defaults", "it.a", "it.n", "it.o"} and "0x" not in "".join(found.values())
    assert found["it.n"] == "0.5" and "weight with code" in found["it.f"]
    one, two = dict(described("p", DenoisingProcess(MLP, 2.0))), dict(described("p", DenoisingProcess(MLP, 2.5)))
    assert {k for k in one if one[k] != two[k]} == {"p.t_max"}
