"""The table at the end.

Least time of every library; how many times faster than the fastest of the others refscore is, by the clock and by the
processor time of all threads, which other work on the machine disturbs less; for rows of matrix products the rate of a large
product (NumPy's, GFLOP per processor second) and the part of it that refscore reaches.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks._row import LIBRARIES, THREADS

_EXTRAPOLATED = 1e5
"""Ratios beyond are of times that nobody waited for: they are shown, and left out of the mean."""


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 1e7 else f"{value:.1e}"


def pytest_terminal_summary(terminalreporter, config):
    """Writes the table of what was measured."""
    session = getattr(config, "_benchmarksession", None)
    groups: dict[str, dict] = {}
    for bench in getattr(session, "benchmarks", []):
        groups.setdefault(bench.group, {})[bench.params["library"]] = bench
    if not groups:
        return
    write, width = terminalreporter.write_line, max(map(len, groups))
    kernels = {info["architecture"] for info in threadpool_info() if info.get("internal_api") == "openblas"}
    write("")
    write(f"least milliseconds, {THREADS} threads; NumPy {np.__version__}, OpenBLAS kernels: {', '.join(kernels) or 'none'}")
    titles = (*LIBRARIES, "times faster", "by processor", "rate/GFLOP/s", "of it")
    write(" " * width + "".join(f"{title:>15}" for title in titles))
    faster: list[list[float]] = []
    for name, benches in groups.items():
        wall = {library: bench.stats.min for library, bench in benches.items()}
        cpu = {library: bench.extra_info["cpu"] for library, bench in benches.items()}
        cells = [_number(wall[library] * 1e3) if library in wall else "" for library in LIBRARIES]
        if "refscore" in wall and len(wall) > 1:
            ratios = [min(times[x] for x in times if x != "refscore") / times["refscore"] for times in (wall, cpu)]
            cells += [_number(ratio) for ratio in ratios]
            if max(ratios) < _EXTRAPOLATED:
                faster.append(ratios)
        else:
            cells += ["", ""]
        info = benches["refscore"].extra_info if "refscore" in benches else {}
        if "flops" in info:
            cells += [f"{info['rate'] / 1e9:.0f}", f"{info['flops'] / cpu['refscore'] / info['rate']:.0%}"]
        write(f"{name:{width}}" + "".join(f"{cell:>15}" for cell in cells))
    if faster:
        write("geometric mean of times faster: {:.2f}, by processor time {:.2f}".format(*np.exp(np.log(faster).mean(axis=0))))
