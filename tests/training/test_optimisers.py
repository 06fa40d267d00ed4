"""SGD and Adam against sums over all gradients so far, at 50 digits; what they leave alone; what they refuse."""

import tracemalloc

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.training import SGD, Adam, State

SHAPES = ((3, 2), (2,), (2, 4), (4,))
OPTIMISERS = (SGD(0.03), SGD(0.03, momentum=0.7), Adam(0.02), Adam(0.3, betas=(0.6, 0.95), eps=0.01), Adam(0.1, betas=(0.0, 0.0)))


def arrays(seed, dtype=np.float64):
    """Arrays of the shapes of two layers, their entries from 1e-4 to 1e4, both signs."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(s) * 10.0 ** rng.integers(-4, 4, size=s)).astype(dtype) for s in SHAPES]


def trajectory(optimiser, parameters, gradients, **options):
    state = optimiser.start(parameters)
    for g in gradients:
        parameters, state = optimiser.update(parameters, g, state, **options)
    return parameters, state


def by_sums(optimiser, theta, gradients):
    """One entry of theta after all steps, without recursions for the moments: weighted sums of all gradients so far."""
    theta, rate, g = mpmath.mpf(theta), mpmath.mpf(optimiser.rate), [mpmath.mpf(x) for x in gradients]
    for k in range(1, len(g) + 1):
        if isinstance(optimiser, SGD):
            theta -= rate * sum(mpmath.mpf(optimiser.momentum) ** (k - i) * g[i - 1] for i in range(1, k + 1))
        else:
            mean, square = (
                sum(mpmath.mpf(b) ** (k - i) * g[i - 1] ** power for i in range(1, k + 1))
                / sum(mpmath.mpf(b) ** (k - i) for i in range(1, k + 1))
                for b, power in zip(optimiser.betas, (1, 2))
            )
            theta -= rate * mean / (mpmath.sqrt(square) + mpmath.mpf(optimiser.eps))
    return theta


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_steps_against_sums_at_fifty_digits(optimiser):
    """Error at most a few eps of the sizes that are added up; 1 - b^k loses digits like 1/(1 - b), 1000 here at most."""
    start, gradients = arrays(0), [arrays(k) for k in range(1, 8)]
    found, state = trajectory(optimiser, start, gradients)
    assert state.step == 7 and len(state.moments) == optimiser.moments
    with mpmath.workdps(50):
        for i, array in enumerate(found):
            for at in np.ndindex(array.shape):
                right = by_sums(optimiser, start[i][at], [g[i][at] for g in gradients])
                moved = max(abs(start[i][at]), optimiser.rate * max(7.0, *(7 * abs(g[i][at]) for g in gradients)))
                lost = 1000 if isinstance(optimiser, Adam) else 4
                assert abs(float(array[at] - right)) <= 20 * lost * np.finfo(float).eps * moved


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 6), which=st.sampled_from(OPTIMISERS))
def test_pure_unless_told_otherwise(seed, steps, which):
    start, gradients = arrays(seed), [arrays(seed + k) for k in range(1, steps + 1)]
    before = [a.copy() for a in (*start, *gradients[0])]
    pure, pure_state = trajectory(which, start, gradients)
    kept = which.start(start)
    which.update(start, gradients[0], kept)
    assert kept.step == 0 and not any(m.any() for moment in kept.moments for m in moment)
    over, over_state = trajectory(which, start, gradients, overwrite=True)
    for a, b in zip((*pure, *sum(pure_state.moments, [])), (*over, *sum(over_state.moments, [])), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(before, (*start, *gradients[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_overwriting_keeps_the_arrays():
    optimiser, parameters = Adam(), arrays(0)
    state = optimiser.start(parameters)
    _, after = optimiser.update(parameters, arrays(1), state, overwrite=True)
    assert all(a is b for one, two in zip(state.moments, after.moments) for a, b in zip(one, two))


@pytest.mark.parametrize("optimiser", OPTIMISERS[:3], ids=str)
def test_overwriting_allocates_nothing_but_the_new_parameters(optimiser):
    parameters = [np.ones((500, 400)), np.ones(400), np.ones((400, 500))]
    gradient, state = [p / 2 for p in parameters], optimiser.start(parameters)
    tracemalloc.start()
    try:
        optimiser.update(parameters, gradient, state, overwrite=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.05 * sum(p.nbytes for p in parameters)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), power=st.integers(-20, 20))
def test_adam_does_not_see_the_size_of_the_loss(seed, power):
    """A loss times 2^p gives the same steps, to the bit, when eps is times 2^p too."""
    start, gradients = arrays(seed), [arrays(seed + k) for k in (1, 2, 3)]
    one, _ = trajectory(Adam(0.01, eps=2.0**-20), start, gradients)
    scaled = [[2.0**power * g for g in gradient] for gradient in gradients]
    other, _ = trajectory(Adam(0.01, eps=2.0 ** (power - 20)), start, scaled)
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_single_precision_stays_single_precision(optimiser):
    gradients = [arrays(k, np.float32) for k in (1, 2, 3)]
    found, state = trajectory(optimiser, arrays(0, np.float32), gradients)
    assert {a.dtype for a in (*found, *sum(state.moments, []))} == {np.dtype(np.float32)}
    double, _ = trajectory(optimiser, [a.astype(float) for a in arrays(0, np.float32)], gradients)
    largest = max(np.abs(g).max() for gradient in gradients for g in gradient)
    for a, b in zip(found, double):
        assert (np.abs(a - b) <= 1e-5 * (np.abs(b) + optimiser.rate * largest)).all()


def test_a_minimum_is_reached():
    """1/2 ||theta - c||^2 from afar: plain, with momentum, and Adam, whose steps do not shrink by themselves, to its rate."""
    centre = [np.array([3.0, -1.0])]
    for optimiser, close in ((SGD(0.5), 1e-12), (SGD(0.1, 0.5), 1e-12), (Adam(0.01), 0.01)):
        theta, state = [np.array([-2.0, 2.0])], optimiser.start([np.zeros(2)])
        for _ in range(2000):
            theta, state = optimiser.update(theta, [theta[0] - centre[0]], state, overwrite=True)
        assert np.abs(theta[0] - centre[0]).max() <= close, optimiser


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.0), "rate is 0.0"),
        (lambda: SGD(-1.0), "rate is -1.0"),
        (lambda: SGD(0.1, momentum=1.0), "momentum is 1.0.*below 1"),
        (lambda: Adam(np.nan), "rate is nan"),
        (lambda: Adam(betas=(0.9,)), "betas"),
        (lambda: Adam(betas=(0.9, 1.0)), r"betas\[1\] is 1.0"),
        (lambda: Adam(betas=(-0.1, 0.9)), r"betas\[0\] is -0.1"),
        (lambda: Adam(eps=0.0), "eps is 0.0"),
    ],
)
def test_settings_that_cannot_work(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arrays_that_do_not_fit():
    parameters, gradient = arrays(0), arrays(1)
    adam = Adam()
    with pytest.raises(ValueError, match="gradient has shapes"):
        adam.update(parameters, gradient[:-1], adam.start(parameters))
    with pytest.raises(ValueError, match="gradient has shapes"):
        adam.update(parameters, [g.T for g in gradient], adam.start(parameters))
    with pytest.raises(ValueError, match=r"state.moments\[0\] has shapes"):
        adam.update(parameters, gradient, adam.start(parameters[:2]))
    with pytest.raises(ValueError, match="state has 0 moments, .* keeps 2"):
        adam.update(parameters, gradient, SGD(0.1).start(parameters))
    with pytest.raises(ValueError, match="state has 2 moments, .* keeps 0"):
        SGD(0.1).update(parameters, gradient, State(3, adam.start(parameters).moments))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_a_gradient_that_is_not_finite_is_refused(optimiser, bad):
    parameters, gradient = arrays(0), arrays(1)
    gradient[2][1, 3] = bad
    with pytest.raises(ValueError, match=r"gradient\[2\]\[1, 3\] is"):
        optimiser.update(parameters, gradient, optimiser.start(parameters))


@pytest.mark.parametrize(("optimiser", "size"), [(SGD(1e300), 1e300), (Adam(), 1e200)])
def test_a_step_out_of_range_is_refused(optimiser, size):
    with pytest.raises(ValueError, match="leaves the range of float64 at parameter 0"):
        optimiser.update([np.ones(2)], [np.full(2, size)], optimiser.start([np.ones(2)]))
