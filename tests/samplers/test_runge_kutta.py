"""Runge-Kutta methods by themselves: where slopes are asked for, what tolerances mean, what rounding does to them."""

import sys
from functools import partial

import numpy as np
import pytest

from refscore import _progress
from refscore.processes import VP
from refscore.samplers import probability_flow, runge_kutta

EPS = np.finfo(float).eps


def test_no_slope_beyond_the_ends():
    """t + (s - t) may lie an ulp beyond s, outside the process, where it may not be defined; going down it mostly does."""
    rng = np.random.default_rng(1)
    low, high = 1e-3 * rng.uniform(size=100_000), rng.uniform(size=100_000)
    pairs = [*zip(low[up := low + (high - low) > high], high[up]), *zip(high[down := high + (low - high) < low], low[down])]
    assert 5 < up.sum() and 5 < down.sum()
    for t, s in (*pairs[:5], *pairs[-5:]):
        for solve in (partial(runge_kutta.step, method="heun"), partial(runge_kutta.step, method="rk4"),
                      partial(runge_kutta.adaptive, rtol=1e-8, atol=1e-8, eps=EPS)):
            times = []

            def slope(y, u, times=times):
                times.append(u)
                return -y

            solve(slope, np.ones((1, 1)), float(t), float(s))
            assert {min(times), max(times)} == {t, s}


def test_butcher_tableaus_are_consistent():
    """sum b = 1 and the rows of A sum to c; the conditions of order up to 4 where the method claims it."""
    for name, order in {"euler": 1, "heun": 2, "rk4": 4}.items():
        c, rows, b = (runge_kutta.METHODS[name][i] for i in range(3))
        A = np.array([row + [0.0] * (len(c) - len(row)) for row in rows])
        c, b = np.array(c), np.array(b)
        assert np.allclose(A.sum(axis=1), c, atol=EPS)
        trees = {1: [(b.sum(), 1)], 2: [(b @ c, 1 / 2)], 3: [(b @ c**2, 1 / 3), (b @ A @ c, 1 / 6)],
                 4: [(b @ c**3, 1 / 4), (b @ (c * (A @ c)), 1 / 8), (b @ A @ c**2, 1 / 12), (b @ A @ A @ c, 1 / 24)]}
        for value, wanted in [pair for q in range(1, order + 1) for pair in trees[q]]:
            assert value == pytest.approx(wanted, abs=4 * EPS)


@pytest.mark.parametrize(("rtol", "atol"), [(1e-9, 1e-300), (1e-300, 1e-9)])
def test_a_hard_entry_among_easy_ones_is_as_accurate_as_alone(rtol, atol):
    """One entry that moves and 9999 that do not: the mean of squares over all would let it be off a hundred times as much."""
    def slope(y, t):
        return np.cos(40 * t) * y

    alone = runge_kutta.adaptive(slope, np.ones((1, 1)), 0.0, 1.0, rtol, atol, EPS)[0, 0]
    y = np.zeros((10_000, 1))
    y[123] = 1.0
    together = runge_kutta.adaptive(slope, y, 0.0, 1.0, rtol, atol, EPS)
    exact = np.exp(np.sin(40.0) / 40)
    assert 1e-13 < abs(alone - exact) < 1e-7  # the steps are as long as the tolerance allows
    assert abs(together[123, 0] - exact) <= 3 * abs(alone - exact)
    assert not np.delete(together, 123).any()


@pytest.mark.parametrize(
    "start", [np.array([[1.0, 1e-4]]), np.append(1e6, np.zeros(9_999))[:, None]], ids=["one small", "one large"]
)
def test_tolerances_end_where_rounding_begins(start):
    """Slopes in float32 and tolerances of 1e-10: without a limit the steps would shrink until they no longer see the rounding."""
    asked = 0

    def slope(y, t):
        nonlocal asked
        asked += 1
        return 10.0 * np.cos(5 * t) * (np.float32(1) + y.astype(np.float32) - np.float32(1))

    runge_kutta.adaptive(slope, start, 0.0, 2.0, 1e-10, 1e-10, float(np.finfo(np.float32).eps))
    assert asked < 1000


def test_slopes_that_are_not_finite_are_refused():
    for solve in (lambda f: runge_kutta.step(f, np.ones((2, 1)), 0.0, 1.0, "euler"),
                  lambda f: runge_kutta.adaptive(f, np.ones((2, 1)), 0.0, 1.0, 1e-6, 1e-6, EPS)):
        with pytest.raises(ValueError, match="slope of the flow at t = 0.0 is nan"):
            solve(lambda y, t: y * np.nan)


@pytest.mark.parametrize("steps", [None, 5])
def test_one_block_shows_its_own_progress(steps, capsys, monkeypatch):
    """A block of rows may take minutes when its score does: the bar then moves with time, or from step to step."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
    monkeypatch.setattr(_progress, "PATIENCE", -1.0)
    flow = probability_flow(VP(), lambda x, t: -x)
    x = np.ones((3, 2))
    _ = flow.integrate(x, 0.25, 1.0) if steps is None else flow.steps(np.linspace(0.25, 1, steps + 1)).integrate(x)
    shown = capsys.readouterr().err
    assert "probability flow from t = 0.25 to 1" in shown and f"/{steps or 100}" in shown
