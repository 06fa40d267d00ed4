"""Row blocks: how every batch is computed.

All batch work is a pure function of a block of rows. This module cuts the batch into blocks whose temporaries fit in
the cache, runs them on a thread pool (NumPy and BLAS release the lock; BLAS itself is held to one thread), gives block
i its own random stream spawned from (seed, i), and reduces in block order. Hence:

* the same bits for any number of threads and for any executor, because the cut depends on the batch alone;
* memory that does not grow with n beyond the result, because only a few blocks are under way at once;
* the formula stays as readable as on paper.

``parallel(threads=..., executor=...)`` chooses where blocks run; any ``concurrent.futures.Executor`` does (one that
runs in other processes needs picklable functions, which all of the package's are).
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from refscore import _validate
from refscore._progress import progress

BLOCK_BYTES = 1 << 20
"""Bytes of temporaries a block may use: constant, so that the cut never depends on the machine.

They should fit in a processor's L2 cache, and a call of NumPy on them last long beside the interpreter between two calls,
which one thread at a time may have: with a quarter of it two threads kept each other waiting.
"""

np.empty(31 << 20, np.uint8)
# The C library of Linux learns from it: having seen a large array freed, it keeps the memory of smaller ones at hand (up to
# 64 MiB) where it would give them back to the system, which clears every page before it hands it out again. The temporaries
# of a block, a few hundred kB each, are faster by up to two times. Elsewhere it does nothing.

_TASKS_PER_THREAD = 8
_threads: contextvars.ContextVar[int | None] = contextvars.ContextVar("refscore_threads", default=None)
_executor: contextvars.ContextVar[Executor | None] = contextvars.ContextVar("refscore_executor", default=None)
_worker = threading.local()


@contextlib.contextmanager
def parallel(threads: int | None = None, executor: Executor | None = None):
    """Run the blocks of everything inside the ``with`` on ``threads`` threads, or on ``executor``.

    Parameters
    ----------
    threads : int, optional
        Threads of the built-in pool. Default: the environment variable REFSCORE_THREADS, else the processors available.
    executor : concurrent.futures.Executor, optional
        Where blocks are submitted instead, for example a ProcessPoolExecutor or a Dask client's ``get_executor()``.

    Results have the same bits whatever is chosen.
    """
    if threads is not None:
        threads = _validate.count(threads, "threads")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor is {executor!r}: pass a concurrent.futures.Executor (it needs a submit method)")
    tokens = _threads.set(threads), _executor.set(executor)
    try:
        yield
    finally:
        _threads.reset(tokens[0])
        _executor.reset(tokens[1])


def map_rows(
    function: Callable, *arrays: np.ndarray, row_bytes: int, n: int | None = None, rng=None, label: str | None = None
) -> Any:
    """``function`` of every block of rows, joined: an array, or a tuple of arrays, with n rows.

    ``function(*blocks)`` gets the same rows of every array and returns an array (or a tuple of arrays) with as many
    rows. Without arrays it gets the number of rows. With ``rng`` it also gets ``rng=``, the block's own stream.
    ``row_bytes``: bytes of temporaries that one row needs. With ``label`` a progress bar of that name appears on a
    terminal's standard error when the work takes more than two seconds.
    """
    n = arrays[0].shape[0] if arrays else n
    assert n is not None
    cuts = _cuts(n, row_bytes)
    results = _in_order(function, arrays, cuts, _entropy(rng))
    if label is not None:
        results = _shown(results, len(cuts), label)
    outputs: tuple[np.ndarray, ...] | None = None
    single = True
    for (start, stop), result in zip(cuts, results):
        parts = (result,) if (single := not isinstance(result, tuple)) else result
        if len(cuts) == 1:
            outputs = parts
            break
        if outputs is None:
            outputs = tuple(np.empty((n, *p.shape[1:]), p.dtype) for p in parts)
        for output, part in zip(outputs, parts):
            output[start:stop] = part
    assert outputs is not None
    return outputs[0] if single else outputs


def sum_rows(
    function: Callable, *arrays: np.ndarray, row_bytes: int, n: int | None = None, rng=None, label: str | None = None
) -> list:
    """The sum over blocks of ``function(*blocks)``, a list of arrays, added pairwise in block order.

    Arguments as in `map_rows`. The order of additions depends on n alone; partial sums take O(log n) memory.
    """
    n = arrays[0].shape[0] if arrays else n
    assert n is not None
    cuts = _cuts(n, row_bytes)
    results = _in_order(function, arrays, cuts, _entropy(rng))
    if label is not None:
        results = _shown(results, len(cuts), label)
    partial: list[tuple[int, list]] = []  # (level, sum): equal levels merge, like the carries of a binary counter
    for result in results:
        level = 0
        while partial and partial[-1][0] == level:
            _, before = partial.pop()
            result = [a + b for a, b in zip(before, result)]
            level += 1
        partial.append((level, result))
    total = partial.pop()[1]
    while partial:
        total = [a + b for a, b in zip(partial.pop()[1], total)]
    return total


def _cuts(n: int, row_bytes: int) -> list[tuple[int, int]]:
    rows = max(1, BLOCK_BYTES // max(1, row_bytes))
    return [(start, min(start + rows, n)) for start in range(0, max(n, 1), rows)]


def _entropy(rng) -> tuple[int, ...] | None:
    """What the streams of all blocks are spawned from: an int seed itself, or 128 bits drawn from a Generator."""
    if rng is None:
        return None
    if isinstance(rng, np.random.Generator):
        return tuple(int(i) for i in rng.integers(0, 2**32, size=4))
    _validate.generator(rng)
    return (int(rng),)


def _run(function, blocks: list[tuple], streams: list[tuple] | None) -> list:
    """A few consecutive blocks, on one thread, with BLAS held to one thread."""
    if getattr(_worker, "busy", False):  # within a block: both hold already
        return _each(function, blocks, streams)
    _worker.busy = True
    try:
        with one_blas_thread:
            return _each(function, blocks, streams)
    finally:
        _worker.busy = False


def _each(function, blocks: list[tuple], streams: list[tuple] | None) -> list:
    if streams is None:
        return [function(*block) for block in blocks]
    return [
        function(*block, rng=np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(index,))))
        for block, (entropy, index) in zip(blocks, streams)
    ]


def _in_order(function, arrays, cuts, entropy) -> Iterator:
    """The results of all blocks in block order, with a bounded number of blocks under way."""
    executor, threads = _executor.get(), _threads.get() or _default_threads()
    inline = len(cuts) == 1 or getattr(_worker, "busy", False) or (executor is None and threads == 1)
    size = 1 if inline else max(1, min(16, len(cuts) // (_TASKS_PER_THREAD * threads)))
    tasks = (range(i, min(i + size, len(cuts))) for i in range(0, len(cuts), size))

    def arguments(task):
        blocks = [tuple(a[slice(*cuts[i])] for a in arrays) or (cuts[i][1] - cuts[i][0],) for i in task]
        return function, blocks, None if entropy is None else [(entropy, i) for i in task]

    with one_blas_thread:  # here too, so that it is not given back and taken again between one block and the next
        if inline:
            for task in tasks:
                yield from _run(*arguments(task))
            return
        pool = executor or _pool(threads)
        under_way: deque = deque()
        try:
            for task in tasks:
                under_way.append(pool.submit(_run, *arguments(task)))
                if len(under_way) > 2 * threads + 2:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def _shown(results: Iterator, total: int, label: str) -> Iterator:
    """The results as they come, with a progress bar."""
    with progress(total, label) as shown:
        for done, result in enumerate(results, 1):
            shown(done)
            yield result


class _OneBlasThread:
    """Holds BLAS to one thread while anybody is inside; re-entrant, and safe when several threads are inside.

    For small products between blocks too: BLAS's own threads keep waiting for more, and take the processors from the pool's.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list = []

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._before = [library.num_threads for library in _blas_libraries()]
                _set_blas_threads([1] * len(self._before))
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _set_blas_threads(self._before)


one_blas_thread = _OneBlasThread()


def _set_blas_threads(numbers: list) -> None:
    for library, number in zip(_blas_libraries(), numbers):
        # threadpoolctl lets only the first thread that sets a limit change it again. Give that up before, for a caller inside
        # threadpool_limits would keep all other threads from it, and after, for the last one out is often another thread
        release = getattr(type(library), "clear_controlling_thread", lambda force: None)
        release(force=True)
        library.set_num_threads(number)
        release(force=True)


@lru_cache(maxsize=1)
def _blas_libraries() -> list:
    import scipy.linalg  # noqa: F401  loads SciPy's own BLAS, so that it is in the list
    from threadpoolctl import ThreadpoolController

    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


@lru_cache(maxsize=1)
def _default_threads() -> int:
    wanted = os.environ.get("REFSCORE_THREADS")
    if wanted:  # set to nothing, as shells do, it is not set
        return _validate.count(int(wanted) if wanted.isdigit() else wanted, "REFSCORE_THREADS")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="refscore")


def _after_fork() -> None:
    """A forked child has none of its parent's threads: start afresh."""
    global one_blas_thread
    _pool.cache_clear()
    one_blas_thread = _OneBlasThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
