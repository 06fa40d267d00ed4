"""One group a row, one benchmark a library. Slow only here: the ordinary tests run every row at its small size."""

from __future__ import annotations

import time
from functools import lru_cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks import boltzmann, flow, mixture, network, pixels, sampling, training  # noqa: F401  enter their rows
from benchmarks._row import LIBRARIES, ROWS, THREADS
from refscore._blocks import parallel

RATE = "large product"
"""Runs in turn with the libraries, on one thread: the rate per processor that NumPy's BLAS reaches on this machine, now."""


class Replay:
    """A clock for pytest-benchmark, which times one function after another: the times were taken before, in turns."""

    def __init__(self):
        self.times: list[float] = []

    def __call__(self) -> float:
        return self.times.pop(0)


clock = Replay()


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ROWS)
def test_row(name, library, benchmark, pytestconfig):
    rounds, seconds = (pytestconfig.getoption(f"benchmark_{option}") for option in ("min_rounds", "max_time"))
    wall, cpu, flops = _times(name, int(rounds), float(seconds))
    if library not in wall:
        pytest.skip(f"{library} is not installed, or cannot run this row")
    benchmark.group = name
    benchmark.extra_info["cpu"] = min(cpu[library])
    if flops:
        benchmark.extra_info |= {"flops": flops, "rate": 2 * _SIZE**3 / min(cpu[RATE])}
    clock.times = [moment for seconds in wall[library] for moment in (0.0, seconds)]
    benchmark.pedantic(lambda: None, rounds=len(wall[library]))


_SIZE = 1024


@lru_cache(maxsize=1)
def _times(name: str, rounds: int, seconds: float) -> tuple[dict[str, list[float]], dict[str, list[float]], float | None]:
    """Seconds and processor seconds of every round of every library, in turns, until each has had ``seconds`` on average."""
    case = ROWS[name].case()
    with parallel(threads=THREADS), threadpool_limits(THREADS, user_api="blas"):
        case.check()
        effort = case.effort()
        runs = dict(case.runs)
        if case.flops:
            a = np.random.default_rng(1).standard_normal((_SIZE, _SIZE)).astype(case.dtype)
            runs[RATE] = lambda: _on_one_thread(np.matmul, a, a)
        wall: dict[str, list[float]] = {library: [] for library in runs}
        cpu: dict[str, list[float]] = {library: [] for library in runs}
        end = time.perf_counter() + seconds * len(runs)
        while time.perf_counter() < end or len(wall["refscore"]) < rounds:
            for library, run in runs.items():
                start, used = time.perf_counter(), time.process_time()
                run()
                factor = effort.get(library, 1.0)
                cpu[library].append((time.process_time() - used) * factor)
                wall[library].append((time.perf_counter() - start) * factor)
    return wall, cpu, case.flops


def _on_one_thread(function, *arguments):
    with threadpool_limits(1, user_api="blas"):
        return function(*arguments)
