"""The row-block engine: same bits wherever blocks run, flat memory, BLAS held to one thread, bounded look-ahead."""

import concurrent.futures
import math
import tracemalloc
from functools import partial

import numpy as np
import pytest
import threadpoolctl

from refscore import _blocks, parallel
from refscore.densities import GaussianMixture
from refscore.networks import MLP
from refscore.objectives import dsm


def affine(matrix, x):
    return np.tanh(x @ matrix)


def noisy(x, rng):
    return x + rng.standard_normal(x.shape)


def column_sums(x):
    return [x.sum(axis=0), np.array(x.shape[0])]


def blas_threads(x):
    threads = [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    return np.full(len(x), max(threads))


def nested(matrix, x):
    return _blocks.map_rows(partial(affine, matrix), x, row_bytes=1 << 12)


X = np.random.default_rng(0).standard_normal((5000, 6))
MATRIX = np.random.default_rng(1).standard_normal((6, 4))
ROW = _blocks.BLOCK_BYTES // 64  # 64 rows a block


@pytest.mark.parametrize("where", ["1 thread", "2 threads", "3 threads", "thread executor", "process executor"])
def test_same_bits_everywhere(where):
    with parallel(threads=1):
        want = _results()
    if where.endswith("executor"):
        kind = concurrent.futures.ThreadPoolExecutor if where.startswith("thread") else concurrent.futures.ProcessPoolExecutor
        with kind(2) as pool, parallel(executor=pool):
            got = _results()
    else:
        with parallel(threads=int(where[0])):
            got = _results()
    for a, b in zip(want, got, strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _results():
    mixture = GaussianMixture([0.3, 0.7], [[0.0] * 6, [1.0] * 6], [1.0, 0.5])
    return [
        _blocks.map_rows(partial(affine, MATRIX), X, row_bytes=ROW),
        _blocks.map_rows(partial(nested, MATRIX), X, row_bytes=ROW),
        _blocks.map_rows(noisy, X, row_bytes=ROW, rng=7),
        *_blocks.sum_rows(column_sums, X, row_bytes=ROW),
        mixture.score(X),
        mixture.score_jacobian(X),
        mixture.sample(4000, 3),
    ]


def test_block_streams_depend_on_seed_and_block_only():
    first = _blocks.map_rows(noisy, X, row_bytes=ROW, rng=7)
    shorter = _blocks.map_rows(noisy, X[:640], row_bytes=ROW, rng=7)
    np.testing.assert_array_equal(first[:640], shorter)  # block i draws the same whatever comes after it
    assert not np.array_equal(first, _blocks.map_rows(noisy, X, row_bytes=ROW, rng=8))
    draws = first - X
    assert len({draws[64 * i : 64 * i + 1].tobytes() for i in range(70)}) == 70  # no two blocks share a stream


def test_a_generator_moves_on():
    rng = np.random.default_rng(5)
    first, second = (_blocks.map_rows(noisy, X, row_bytes=ROW, rng=rng) for _ in range(2))
    assert not np.array_equal(first, second)


def test_blas_is_held_to_one_thread_inside_and_restored_outside():
    before = [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    with parallel(threads=2):
        assert (_blocks.map_rows(blas_threads, X, row_bytes=ROW) == 1).all()
        with threadpoolctl.threadpool_limits(2, user_api="blas"):  # the caller's own limit does not keep workers from theirs
            assert (_blocks.map_rows(blas_threads, X, row_bytes=ROW) == 1).all()
    after = [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    assert before == after[: len(before)]


@pytest.mark.parametrize(
    "what", ["logpdf", "score", "dsm", *(pytest.param(what, marks=pytest.mark.slow) for what in ("score_jacobian", "jvp"))]
)
def test_memory_does_not_grow_with_n(what):
    """Peak memory beyond input, output and a few numbers a row: at 8 times the rows at most 1.5 times as much (2 MiB of slack)."""
    mixture = GaussianMixture(np.full(64, 1 / 64), np.random.default_rng(2).standard_normal((64, 4)), np.ones(64))
    model = MLP((4, 64, 64, 4), "tanh", 0)
    networks = {"jvp": lambda x: model.jvp(x, x), "dsm": lambda x: dsm(model, x, 0.5, x, grad=True)}
    run = networks.get(what) or getattr(mixture, what)
    a_row = 16 if what == "dsm" else 8  # the loss keeps x~, the score wanted and the weights of all rows
    peaks = []
    for n in (32_000, 256_000):
        x = np.zeros((n, 4))
        run(x[:10])
        tracemalloc.start()
        result = run(x)
        peaks.append(tracemalloc.get_traced_memory()[1] - getattr(result, "nbytes", 0) - 8 * a_row * n)
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + (1 << 21), peaks


def test_sums_are_accurate_and_complete():
    x = np.random.default_rng(3).standard_normal((100_000, 1)) * 1e8 + 1e8
    total, count = _blocks.sum_rows(column_sums, x, row_bytes=_blocks.BLOCK_BYTES // 16)
    assert count == len(x)
    # pairwise over 6250 blocks of 16 rows: at most (log2(6250) + 16) roundings a term
    assert abs(total[0] - math.fsum(x[:, 0])) <= 29 * 2**-53 * math.fsum(np.abs(x[:, 0]))


def test_errors_inside_blocks_reach_the_caller_and_nothing_hangs():
    def fails(x):
        raise ArithmeticError("inside a block")

    with parallel(threads=2), pytest.raises(ArithmeticError, match="inside a block"):
        _blocks.map_rows(fails, X, row_bytes=ROW)
    assert _blocks.map_rows(partial(affine, MATRIX), X, row_bytes=ROW).shape == (5000, 4)


def test_no_rows():
    assert _blocks.map_rows(partial(affine, MATRIX), X[:0], row_bytes=ROW).shape == (0, 4)


def test_refusals():
    with pytest.raises(ValueError, match="threads is 0"), parallel(threads=0):
        pass
    with pytest.raises(TypeError, match="concurrent.futures.Executor"), parallel(executor="cluster"):
        pass


@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 32, 33, 65, 4097])
def test_every_row_is_in_exactly_one_block(n):
    """16 rows a block; n on both sides of its multiples."""
    x = np.arange(1.0, n + 1)[:, None]
    row_bytes = _blocks.BLOCK_BYTES // 16
    np.testing.assert_array_equal(_blocks.map_rows(partial(affine, 1.5 * np.eye(1)), x, row_bytes=row_bytes), np.tanh(1.5 * x))
    total, count = _blocks.sum_rows(column_sums, x, row_bytes=row_bytes)
    assert count == n and total[0] == n * (n + 1) / 2


@pytest.mark.parametrize("unset", [None, ""])
def test_threads_that_are_set_to_nothing_are_not_set(monkeypatch, unset):
    monkeypatch.delenv("REFSCORE_THREADS", raising=False)
    if unset is not None:
        monkeypatch.setenv("REFSCORE_THREADS", unset)
    assert _blocks._default_threads.__wrapped__() >= 1
    monkeypatch.setenv("REFSCORE_THREADS", "3")
    assert _blocks._default_threads.__wrapped__() == 3
