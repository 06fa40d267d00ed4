"""The loop does what its formulas say, to the same bits however it is run, and refuses what is not finite."""

import sys

import numpy as np
import pytest

from refscore import _progress, parallel
from refscore.densities import GaussianMixture
from refscore.networks import MLP
from refscore.objectives import ddpm_simple, dsm, dsm_process, ism, ncsn, ssm, ssm_vr
from refscore.processes import DDPM, OU
from refscore.training import (
    SGD,
    Adam,
    Denoising,
    DenoisingProcess,
    Implicit,
    NoiseConditional,
    NoisePrediction,
    Sliced,
    minibatch,
    train,
    train_step,
)

DENSITY = GaussianMixture([0.3, 0.7], [[-1.0, 0.5], [0.8, -0.4]], [0.3, 0.5])
DATA = DENSITY.sample(40, 5)
LADDER = (1.0, 0.5, 0.25)
PROCESS = OU(0.7, 1.2)
CHAIN = DDPM([0.1, 0.4, 0.05, 0.3])
OBJECTIVES = {
    "Implicit": Implicit(),
    "Sliced": Sliced(),
    "Sliced, variance reduced": Sliced("sphere", variance_reduced=True, directions=3),
    "Denoising": Denoising(0.4, "sigma2"),
    "NoiseConditional": NoiseConditional(LADDER),
    "DenoisingProcess": DenoisingProcess(PROCESS, 2.0, 0.1),
    "NoisePrediction": NoisePrediction(CHAIN),
}


def model_for(objective, dtype=np.float64):
    timed = isinstance(objective, (NoiseConditional, DenoisingProcess, NoisePrediction))
    return MLP((2 + timed, 8, 2), "silu", 3, dtype)


def same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_every_objective_is_the_one_of_its_source():
    """What is drawn goes to the objective of `refscore.objectives` as the algorithm says, with explicit noise."""
    for name, direct in {
        "Implicit": lambda m, x: ism(m, x, grad=True),
        "Sliced": lambda m, x, v: ssm(m, x, v, grad=True),
        "Sliced, variance reduced": lambda m, x, v: ssm_vr(m, x, v, grad=True),
        "Denoising": lambda m, x, z: dsm(m, x, 0.4, z, weight="sigma2", grad=True),
        "NoiseConditional": lambda m, x, i, z: ncsn(m, x, np.array(LADDER), i, z, grad=True),
        "DenoisingProcess": lambda m, x, t, z: dsm_process(m, PROCESS, x, t, z, "sigma2", grad=True),
        "NoisePrediction": lambda m, x, i, z: ddpm_simple(m, CHAIN, x, i, z, half=True, grad=True),
    }.items():
        objective = OBJECTIVES[name]
        model, drawn = model_for(objective), minibatch(DATA, objective, 64, 0, 1)
        value, gradient = objective.loss(model, *drawn)
        expected, other = direct(model, *drawn)
        assert value == expected
        same(gradient, other)


def test_laws_of_the_draws():
    """Levels, times and directions over 20000 rows; false alarms below 1e-5 by Hoeffding's inequality at each count."""
    n, off = 20000, np.sqrt(np.log(2 / 1e-6) / (2 * 20000))
    index, z = NoiseConditional(LADDER).draw(n, 2, np.random.default_rng(0))
    assert np.abs(np.bincount(index, minlength=3) / n - 1 / 3).max() < off and z.shape == (n, 2)
    t, z = DenoisingProcess(PROCESS, 2.0, 0.5).draw(n, 2, np.random.default_rng(1))
    assert t.min() > 0.5 and t.max() <= 2.0 and np.abs(np.histogram(t, 5, (0.5, 2.0))[0] / n - 0.2).max() < off
    index, _ = NoisePrediction(CHAIN).draw(n, 2, np.random.default_rng(4))
    assert index.min() == 1 and np.abs(np.bincount(index, minlength=5)[1:] / n - 1 / 4).max() < off
    assert np.abs((z < [-1.0, 0.3]).mean(axis=0) - [0.158655254, 0.617911422]).max() < off
    (v,) = Sliced().draw(n, 2, np.random.default_rng(2))
    assert set(v.ravel()) == {-1.0, 1.0} and abs((v[0, :, 0] == v[0, :, 1]).mean() - 0.5) < off
    (v,) = Sliced("sphere", directions=4).draw(7, 3, np.random.default_rng(3))
    np.testing.assert_allclose((v * v).sum(axis=2), np.full((4, 7), 3.0), rtol=1e-14)


def test_time_zero_is_never_drawn():
    """Not even by the smallest number that a generator returns, which is 0."""

    class Lowest:
        def random(self, n):
            return np.zeros(n)

        def standard_normal(self, shape):
            return np.zeros(shape)

    t, _ = DenoisingProcess(PROCESS, 2.0).draw(3, 2, Lowest())
    assert (t == 2.0).all()


def test_a_run_is_its_steps_written_out():
    """Three steps by hand: streams spawned from (seed, k), rows first, then noise; gradient, then Adam, as published."""
    model = MLP((2, 8, 2), "silu", 3)
    found = train(model, DATA, Denoising(0.4), Adam(0.1), steps=3, batch=5, seed=9)
    theta, m, v = np.concatenate([p.ravel() for p in model.parameters]), 0.0, 0.0
    for k in (1, 2, 3):
        rng = np.random.default_rng(np.random.SeedSequence(9, spawn_key=(k,)))
        x = DATA[rng.integers(40, size=5)]
        loss, gradient = dsm(model, x, 0.4, rng.standard_normal((5, 2)), grad=True)
        np.testing.assert_allclose(found.losses[k - 1], loss, rtol=1e-9)  # as the parameters, whose Adam is written another way
        g = np.concatenate([g.ravel() for g in gradient])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - 0.1 * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
        pieces = np.split(theta, np.cumsum([p.size for p in model.parameters])[:-1])
        model = model.with_parameters([a.reshape(p.shape) for a, p in zip(pieces, model.parameters)])
        theta = np.concatenate([p.ravel() for p in model.parameters])
    np.testing.assert_allclose(np.concatenate([p.ravel() for p in found.model.parameters]), theta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_can_be_repeated_by_itself(name):
    objective, optimiser = OBJECTIVES[name], Adam(0.01)
    model = model_for(objective)
    short, long = (train(model, DATA, objective, optimiser, steps=n, batch=7, seed=4) for n in (3, 4))
    value, again, state = train_step(short.model, objective, optimiser, short.state, *minibatch(DATA, objective, 7, 4, 4))
    assert value == long.losses[3] and state.step == 4
    same(again.parameters, long.model.parameters)
    same(short.losses, long.losses[:3])


@pytest.mark.parametrize("data", [DATA, DENSITY], ids=["points", "density"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_noise_is_fresh_at_every_step(name, data):
    """No number that is drawn occurs again, at another step or with another seed (levels and signs aside)."""
    batches = [minibatch(data, OBJECTIVES[name], 6, seed, k) for seed in (0, 1) for k in (1, 2, 3)]
    for arrays in list(zip(*batches))[0 if data is DENSITY else 1 :]:
        if arrays[0].dtype.kind == "f" and "Sliced" not in name:
            numbers = np.concatenate([a.ravel() for a in arrays])
            assert len(np.unique(numbers)) == len(numbers)
    same(minibatch(data, OBJECTIVES[name], 6, 1, 2), batches[4])


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_bits_for_any_number_of_threads(name, dtype):
    objective = OBJECTIVES[name]
    model = MLP((model_for(objective).sizes[0], 64, 64, 2), "silu", 3, dtype)
    runs = []
    for threads in (1, 2, 3):
        with parallel(threads=threads):
            runs.append(train(model, DENSITY, objective, Adam(0.01), steps=2, batch=1500, seed=0))
    for run in runs[1:]:
        same((*run.model.parameters, run.losses), (*runs[0].model.parameters, runs[0].losses))
    assert runs[0].model.dtype == dtype and all(p.dtype == dtype for p in runs[0].model.parameters)


def test_what_is_passed_stays_as_it_is():
    data, model = DATA.copy(), MLP((2, 8, 2), "silu", 3)
    before = [p.copy() for p in model.parameters]
    run = train(model, data, Denoising(0.4), SGD(0.01, 0.9), steps=5, batch=8, seed=0)
    same((data, *model.parameters), (DATA, *before))
    assert run.losses.shape == (5,) and run.state.step == 5


def test_any_object_with_two_methods_is_an_objective():
    class Pull:
        def draw(self, n, d, rng):
            return ()

        def loss(self, model, x0):
            return float(len(x0)), [p / 2 for p in model.parameters]

    model = MLP((2, 4, 2), "tanh", 0)
    run = train(model, DATA, Pull(), SGD(1.0), steps=3, batch=5, seed=0)
    same(run.model.parameters, [p / 8 for p in model.parameters])
    same(run.losses, [5.0, 5.0, 5.0])


def test_a_diverging_run_stops_at_once_and_says_where(tmp_path):
    model, path = MLP((2, 8, 2), "silu", 3), tmp_path / "run.npz"
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"training stopped at step \d+ of 5000") as error:
        train(model, DATA, Denoising(0.4), SGD(5.0), steps=5000, batch=8, seed=0, checkpoint=path, every=1)
    assert "pass a smaller rate" in str(error.value) and "run.npz" in str(error.value)
    with np.load(path) as saved:
        assert all(np.isfinite(saved[name]).all() for name in saved.files if name != "configuration")


def test_a_bar_shows_the_loss(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "PATIENCE", -1.0)
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    run = train(MLP((2, 8, 2), "silu", 3), DATA, Denoising(0.4), Adam(), steps=3, batch=8, seed=0, label="my run")
    shown = capsys.readouterr().err
    assert "my run" in shown and "3/3" in shown and f"loss {run.losses.mean():.4g}" in shown


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(value):
    class Broken(Denoising):
        def loss(self, model, x0, noise):
            return value, super().loss(model, x0, noise)[1]

    with pytest.raises(ValueError, match=f"step 1 of 3: the loss is {value}$"):
        train(MLP((2, 8, 2), "silu", 3), DATA, Broken(0.4), Adam(), steps=3, batch=8, seed=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps is 0"),
        ({"batch": 2.5}, TypeError, "batch is float"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"every": 0}, ValueError, "every is 0"),
        ({"data": DATA[:0]}, ValueError, "data has no rows"),
        ({"data": DATA[:, 0]}, ValueError, "data has shape"),
        ({"data": np.where(DATA > 1, np.nan, DATA)}, ValueError, "data.* is nan"),
        ({"model": DENSITY.score}, TypeError, "without parameters to train"),
        ({"objective": dsm}, TypeError, "without draw and loss"),
        ({"objective": Denoising}, TypeError, "without draw and loss"),
        ({"optimiser": Adam}, TypeError, "without start and update"),
        ({"optimiser": "adam"}, TypeError, "without start and update"),
    ],
)
def test_arguments_that_cannot_work(changes, error, message):
    keywords = dict(
        model=MLP((2, 8, 2), "silu", 3), data=DATA, objective=Denoising(0.4), optimiser=Adam(), steps=3, batch=8, seed=0
    )
    with pytest.raises(error, match=message):
        train(**{**keywords, **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Denoising(0.0), "sigma is 0.0"),
        (lambda: Denoising(0.3, "noise"), "weight is 'noise': choose one of 'one', 'sigma2', 'prediction'"),
        (lambda: NoiseConditional([1.0, 0.5], "sigma"), "weight is 'sigma'"),
        (lambda: DenoisingProcess(OU(1.0, 1.0), 2.0, weight="t"), "weight is 't'"),
        (lambda: Sliced("cauchy"), "law is 'cauchy'"),
        (lambda: Sliced(directions=0), "directions is 0"),
        (lambda: NoiseConditional(0.5), "sigmas has shape"),
        (lambda: NoiseConditional([]), "sigmas has shape"),
        (lambda: NoiseConditional([0.5, -0.1]), r"sigmas\[1\] is -0.1"),
        (lambda: DenoisingProcess(PROCESS, 0.5, 0.5), "time runs from t_min up to t_max"),
        (lambda: DenoisingProcess(PROCESS, 0.5, -0.5), "t_min is -0.5"),
    ],
)
def test_objectives_that_cannot_work(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_refused_model_is_not_shown_with_all_its_weights():
    mixture = GaussianMixture(np.full(50, 0.02), np.random.default_rng(0).standard_normal((50, 2)), np.ones(50))
    with pytest.raises(TypeError, match="^model is of type GaussianMixture, without parameters to train: pass what has parameters"):
        train(mixture, DATA, Denoising(0.4), Adam(), steps=3, batch=8, seed=0)


def test_noise_prediction_needs_indices():
    with pytest.raises(TypeError, match=r"process is OU.*without indices: pass DDPM\(betas\)"):
        NoisePrediction(PROCESS)


class _Interrupting:
    """Denoising, until somebody presses Ctrl-C in step 3."""

    def __init__(self):
        self.steps = 0

    def draw(self, n, d, rng):
        return (rng.standard_normal((n, d)),)

    def loss(self, model, x0, noise):
        self.steps += 1
        if self.steps == 3:
            raise KeyboardInterrupt
        return Denoising(0.4).loss(model, x0, noise)


@pytest.mark.parametrize("saved", [True, False])
def test_an_interrupt_says_what_is_saved(tmp_path, saved):
    path = tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt, match=f"step 3 of 9; {'.*run it again to go on' if saved else 'nothing was saved'}"):
        train(MLP((2, 4, 2), "silu", 3), DATA, _Interrupting(), Adam(), steps=9, batch=4, seed=0, checkpoint=path,
              every=2 if saved else 5)


def test_data_may_be_a_table_with_a_sample_of_its_own():
    """As a pandas.DataFrame has: it is an array that can be drawn from, no density."""

    class Frame:
        def __array__(self, dtype=None, copy=None):
            return np.array(DATA, dtype)

        def sample(self, n=None, frac=None):
            raise AssertionError("a table is no density")

    runs = [train(MLP((2, 4, 2), "silu", 3), data, Denoising(0.4), Adam(), steps=2, batch=4, seed=0) for data in (Frame(), DATA)]
    assert np.array_equal(runs[0].losses, runs[1].losses)
