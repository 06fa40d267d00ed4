"""Gibbs sweeps: thresholds unit by unit, exact frequencies, bits, and the law of a sweep from the joint table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_table import SIZES, Table, binary_rows, machine

from refscore import _blocks
from refscore.energy import RBM, DeepBoltzmannMachine, gibbs, gibbs_law, gibbs_matrix, gibbs_spectrum, mixing_bound, spectral_gap


def test_units_follow_their_uniforms():
    rbm = machine(5, 3)
    rng = np.random.default_rng(1)
    x, u, w = (rng.random((40, 5)) < 0.5) * 1.0, rng.random((40, 3)), rng.random((40, 5))
    chain = gibbs(rbm, 1)
    for row in range(40):
        z = [float(u[row, j] < 1 / (1 + np.exp(-rbm.c[j] - sum(x[row] * rbm.W[:, j])))) for j in range(3)]
        assert chain.hidden(x[row:row + 1], u[row:row + 1]).tolist() == [z]
        new = [float(w[row, i] < 1 / (1 + np.exp(-rbm.b[i] - sum(rbm.W[i] * z)))) for i in range(5)]
        assert chain.run(x[row:row + 1], u[None, row:row + 1], w[None, row:row + 1]).tolist() == [new]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 30), st.integers(0, 99))
def test_threshold_is_the_conditional_mean(v, m, scale, seed):
    rbm = machine(v, m, scale, seed)
    x, z = binary_rows(v), binary_rows(m)
    for draw, states, mean in ((gibbs(rbm, 1).hidden, x, rbm.hidden_mean(x)), (gibbs(rbm, 1).visible, z, rbm.visible_mean(z))):
        slack = 1e-12 * mean * (1 + abs(np.log(mean)))
        assert (draw(states, np.maximum(mean - slack, 0)) == 1).all()
        assert (draw(states, np.where(mean + slack < 1, mean + slack, 0.5)) == (mean + slack >= 1) * (mean > 0.5)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_simulation_has_the_law_of_the_matrix(dtype):
    """2 x 10^5 chains a start: the largest of 2 x 16 frequencies lies beyond 6 standard errors once in 10^7 runs."""
    rbm, n = machine(4, 3), 200_000
    T = gibbs_matrix(rbm)
    for start in (3, 12):
        x = gibbs(rbm, 2).simulate(np.repeat(binary_rows(4)[start:start + 1], n, axis=0).astype(dtype), 5)
        assert x.dtype == dtype
        seen, law = np.bincount((x @ [8, 4, 2, 1]).astype(int), minlength=16) / n, (T @ T)[start]
        assert (abs(seen - law) < 6 * np.sqrt(law * (1 - law) / n)).all()


def test_three_sweeps_one_after_the_other():
    rbm, rng = machine(5, 3), np.random.default_rng(2)
    x, u, w = rng.integers(0, 2, (9, 5)), rng.random((3, 9, 3)), rng.random((3, 9, 5))
    chain, want = gibbs(rbm, 3), x
    for k in range(3):
        want = chain.visible(chain.hidden(want, u[k]), w[k])
    assert (chain.run(x, u, w) == want).all()
    mean = rbm.visible_mean(chain.hidden(x, u[0]))
    for side in (-1, 1):  # in double precision, to the last sweep
        got = gibbs(rbm, 1).run(x, u[:1], mean[None] * (1 + side * 1e-12))
        assert (got == (side < 0)).all()
    with pytest.raises(ValueError, match="uniforms of 2 and 3 sweeps for a chain of 3"):
        chain.run(x, u[:2], w)


def test_same_bits_for_any_threads_and_splits():
    rng = np.random.default_rng(0)
    rbm = RBM(0.1 * rng.standard_normal((60, 40)), rng.standard_normal(60), rng.standard_normal(40))
    x = rng.integers(0, 2, (1500, 60))
    with _blocks.parallel(threads=1):
        one = gibbs(rbm, 3).simulate(x, 7)
    with _blocks.parallel(threads=3):
        three = gibbs(rbm, 3).simulate(x, 7)
    assert (one == three).all() and set(np.unique(one)) == {0, 1}
    assert (gibbs(rbm, 3).simulate(x, 8) != one).any()
    assert len(gibbs(rbm, 9)[2:5]) == 3 and (gibbs(rbm, 9)[:3].simulate(x, 7) == one).all()
    assert (gibbs(rbm, 0).simulate(x, 7) == x).all()


def test_blocks_have_rows_enough_for_products():
    x = np.zeros((1000, 784), np.float32)
    assert len(_blocks._cuts(1000, gibbs(RBM(np.zeros((784, 2)), np.zeros(784), np.zeros(2)), 1)._row_bytes(x))) <= 4


def test_certain_units():
    """Inputs of a thousand and more: no warning, and always the same."""
    rbm = RBM([[2000.0, -2000.0]], [0.0], [-1000.0, 1000.0])
    u = np.array([[0.0, 0.0], [0.999999, 0.999999]])
    assert gibbs(rbm, 1).hidden([[1], [1]], u[[1, 1]]).tolist() == [[1, 0], [1, 0]]
    assert gibbs(rbm, 1).hidden([[0], [0]], u[[1, 1]]).tolist() == [[0, 1], [0, 1]]
    assert gibbs(rbm, 4).simulate(np.array([[1], [0]], np.float32), 0).tolist() == [[1], [0]]


def test_stacked_machine():
    """The even layers (x, z2) of a deep machine: stationary under its chain."""
    rng = np.random.default_rng(3)
    W1, W2, biases = rng.standard_normal((3, 2)), rng.standard_normal((2, 2)), (rng.standard_normal(n) for n in (3, 2, 2))
    deep = DeepBoltzmannMachine(W1, W2, *biases)
    p = np.exp(deep.stacked.logpdf(binary_rows(5)))
    np.testing.assert_allclose(p @ gibbs_matrix(deep.stacked), p, atol=1e-15)
    with pytest.raises(TypeError, match="rbm is DeepBoltzmannMachine: .* its property stacked"):
        gibbs(deep, 1)


@pytest.mark.parametrize(("v", "m"), SIZES)
def test_matrix_from_the_joint_table(v, m):
    rbm = machine(v, m)
    table = Table(rbm)
    p, forth, back = table.px, table.forth, table.back
    T = gibbs_matrix(rbm)
    np.testing.assert_allclose(T, forth @ back, rtol=1e-12)
    np.testing.assert_allclose(gibbs_matrix(rbm.swapped), back @ forth, rtol=1e-12)
    np.testing.assert_allclose(p[:, None] * T, (p[:, None] * T).T, rtol=0, atol=1e-16)
    values = np.sort(np.linalg.eigvals(forth @ back if v <= m else back @ forth).real)[::-1]
    np.testing.assert_allclose(gibbs_spectrum(rbm), values, atol=1e-13)
    np.testing.assert_allclose(gibbs_spectrum(rbm.swapped), values, atol=1e-13)
    assert spectral_gap(rbm) == pytest.approx(1 - values[1], abs=1e-13)


@pytest.mark.parametrize(("v", "m"), SIZES)
def test_law_and_its_distance(v, m):
    rbm = machine(v, m)
    table = Table(rbm)
    p, forth, back = table.px, table.forth, table.back
    x = binary_rows(v)[[0, -1, -1]]
    law = np.zeros(2**v)
    law[[0, -1]] = 1 / 3, 2 / 3
    for k in range(6):
        np.testing.assert_allclose(gibbs_law(rbm, x, k), law, rtol=1e-12)
        np.testing.assert_allclose(gibbs_law(rbm, gibbs_law(rbm, x, 1), k), law @ forth @ back, rtol=1e-12)
        chi = np.sqrt(((law - p) ** 2 / p).sum())
        for j in range(3):
            assert mixing_bound(rbm, law, j) == pytest.approx(min(1, gibbs_spectrum(rbm)[1] ** j * chi / 2), rel=1e-6, abs=1e-14)
        assert abs(law - p).sum() / 2 <= mixing_bound(rbm, x, k) + 1e-14
        law = law @ forth @ back
    assert mixing_bound(rbm, p, 3) < 1e-14


def test_independent_layers_mix_at_once_and_strong_couplings_never():
    free = RBM(np.zeros((3, 2)), [0.3, -1.0, 0.2], [1.0, 2.0])
    assert (gibbs_spectrum(free) >= 0).all()  # three of them are 0, and rounding has no sign
    assert spectral_gap(free) == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(gibbs_matrix(free), np.tile(np.exp(free.logpdf(binary_rows(3))), (8, 1)), rtol=1e-13)
    two_modes = RBM(np.full((3, 2), 40.0), np.full(3, -40.0), np.full(2, -60.0))
    assert 0 <= spectral_gap(two_modes) < 1e-8
    assert mixing_bound(two_modes, [[1, 0, 0]], 5) == 1  # a state of probability e^-80, and none underflows
    stuck = RBM(np.full((3, 2), 4000.0), np.full(3, -4000.0), np.full(2, -6000.0))
    assert mixing_bound(stuck, [[1, 1, 1]], 0) == pytest.approx(0.5) and mixing_bound(stuck, [[1, 0, 0]], 5) == 1
    assert np.isfinite(gibbs_law(stuck, [[1, 0, 0]], 3)).all()


def test_gap_of_one_unit_each_in_closed_form():
    """Two units: T has the eigenvalues 1 and the determinant of p(z|x) times that of p(x|z), the squared correlation of x and z."""
    rbm = RBM([[1.3]], [-0.4], [0.7])
    joint_ = np.exp([[0, 0.7], [-0.4, 1.6]])
    p = joint_ / joint_.sum()
    correlation = np.linalg.det(p) / np.sqrt(np.prod(p.sum(axis=0)) * np.prod(p.sum(axis=1)))
    assert spectral_gap(rbm) == pytest.approx(1 - correlation**2, rel=1e-14)


def test_many_hidden_states_in_blocks():
    """2^17 hidden states in several blocks; half of the hidden units repeat and are idle."""
    rng = np.random.default_rng(5)
    W, b, c = rng.standard_normal((3, 4)), rng.standard_normal(3), rng.standard_normal(4)
    small, large = RBM(W, b, c), RBM(np.hstack([W, np.zeros((3, 13))]), b, np.concatenate([c, rng.standard_normal(13)]))
    np.testing.assert_allclose(gibbs_matrix(large), gibbs_matrix(small), rtol=1e-11)
    np.testing.assert_allclose(gibbs_law(large, [[0, 1, 1]], 2), gibbs_law(small, [[0, 1, 1]], 2), rtol=1e-11)
    np.testing.assert_allclose(gibbs_spectrum(large.swapped), gibbs_spectrum(small)[:8], atol=1e-12)


def test_refusals():
    rbm = machine(3, 2)
    chain = gibbs(rbm, 1)
    for call, error, match in (
        (lambda: gibbs(rbm, -1), ValueError, "n_sweeps is -1"),
        (lambda: gibbs(rbm, 1.5), TypeError, "n_sweeps is float"),
        (lambda: chain.simulate([[0, 0.5, 1]], 0), ValueError, r"x0\[0, 1\] is 0.5: units are 0 or 1"),
        (lambda: chain.simulate([[0, 1]], 0), ValueError, "x0 has 2 columns"),
        (lambda: chain.hidden([[0, 0, 1]], [[0.5]]), ValueError, r"uniform has shape \(1, 1\): .* shape \(1, 2\)"),
        (lambda: chain.visible([[0, 1]], [[0.5, 1.0, 0]]), ValueError, r"a number in \[0, 1\)"),
        (lambda: chain[3], TypeError, "pass a slice"),
        (lambda: gibbs_law(rbm, np.full(8, 0.2), 1), ValueError, r"start has shape \(8,\) and sum 1.6"),
        (lambda: gibbs_law(rbm, np.full(8, 0.12501), 1), ValueError, r"sum 1.00008: pass the probabilities"),
        (lambda: gibbs_law(rbm, [1.5, -0.5, 0, 0, 0, 0, 0, 0], 1), ValueError, "pass the probabilities"),
        (lambda: gibbs_law(rbm, np.full(4, 0.25), 1), ValueError, r"probabilities of the 2\^3 visible states"),
        (lambda: gibbs_law(rbm, np.zeros((0, 3)), 1), ValueError, "start has no rows"),
        (lambda: gibbs_law(machine(17, 2), np.zeros((1, 17)), 1), ValueError, r"17 units has 2\^17 states"),
        (lambda: gibbs_matrix(machine(12, 2)), ValueError, r"12 units has 2\^24 pairs of states.*at most 11 units"),
        (lambda: gibbs_spectrum(machine(12, 12)), ValueError, r"2\^24 pairs"),
        (lambda: gibbs_matrix(machine(8, 30)), ValueError, r"2\^38 = .* states with 1 terms each.*simulate"),
    ):
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize("coupling", [1e6, 1e9, 1e12])
def test_saturated_units_take_no_digits_from_the_others(coupling):
    """W = [[K, 0.3], [0, 0.7]]: from x = (1, 0) the first units stay 1, the second ones are as if they were alone."""
    on = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    rbm = RBM([[coupling, 0.3], [0.0, 0.7]], [0.0, 0.0], [0.0, 0.0])
    exact = on(-0.3) / 2 + on(0.3) * on(0.7)
    assert abs(gibbs_matrix(rbm)[2, 3] - exact) <= 1e-15
    assert abs(gibbs_law(rbm, [[1.0, 0.0]], 1)[3] - exact) <= 1e-15


def test_matrices_too_large_are_refused_with_memory_and_time():
    with pytest.raises(ValueError, match=r"2\^24 pairs of states, 0.12 GiB .* 0.67 seconds of additions .* 3 units"):
        gibbs_matrix(machine(12, 3))
