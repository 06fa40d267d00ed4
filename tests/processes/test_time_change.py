"""The change from one process to another: clocks in closed form, laws of mixtures, refusals."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refscore.densities import GaussianMixture
from refscore.processes import DDPM, OU, VE, VP, ConvertedScore, MarginalScore, Path, SubVP, VPCosine, VPSchedule, time_change

PROCESSES = {
    "OU": OU(0.7, 1.3), "Brownian": OU(0.0, 1.7), "VP": VP(), "cosine": VPCosine(), "sub-VP": SubVP(), "VE": VE(0.02, 40.0, "data"),
    "lines": Path(lambda t: 1 - t, lambda t: t), "schedule": VPSchedule(lambda t: 2.5 * np.exp(t), 2.0),
}  # fmt: skip
SKEWED = GaussianMixture([0.3, 0.7], [[-1.0, 0.5], [1.0, 2.0]], [0.2, 0.6])


@pytest.mark.parametrize("t", [1e-12, 1e-3, 0.4, 0.9])
def test_vp_on_the_clock_of_ou_in_50_digits(t):
    with mp.workdps(50):
        clock = mp.mpf(0.1) * t + (20 - mp.mpf(0.1)) * mp.mpf(t) ** 2 / 2
        u, c = float(clock / 2), 1.0  # OU(1, sqrt 2) has alpha = e^{-u}, sigma^2 = 1 - e^{-2u}
    np.testing.assert_allclose(time_change(VP(), OU(1.0, math.sqrt(2)), t), (u, c), rtol=1e-14)


@given(st.sampled_from(sorted(PROCESSES)), st.sampled_from(sorted(PROCESSES)), st.floats(1e-6, 0.8))
def test_there_and_back_again(one, other, t):
    a, b = PROCESSES[one], PROCESSES[other]
    u, c = time_change(a, b, t)
    back, inverse = time_change(b, a, u)
    # the ratio is rounded, and so is a time that it is read from: 1e-10 is loose only near VP's flat start and cosine's end
    assert back == pytest.approx(t, rel=1e-10) and c * inverse == pytest.approx(1, rel=1e-10)
    assert a.sigma(t) == pytest.approx(c * b.sigma(u), rel=1e-10)


@pytest.mark.parametrize("other", PROCESSES)
def test_scores_serve_along_every_process(other):
    vp, b = PROCESSES["VP"], PROCESSES[other]
    x, t = np.random.default_rng(1).standard_normal((6, 2)), np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.3])
    wanted, learnt = MarginalScore(vp, SKEWED), MarginalScore(b, SKEWED)
    np.testing.assert_allclose(ConvertedScore(learnt, vp, b)(x, t), wanted(x, t), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(ConvertedScore(learnt, vp, b)(x, 0.4), wanted(x, 0.4), rtol=1e-11, atol=1e-12)


@given(st.sampled_from(sorted(PROCESSES)), st.sampled_from(sorted(PROCESSES)), st.floats(1e-300, 0.8))
def test_the_time_is_the_first_float_that_is_noisy_enough(one, other, t):
    a, b = PROCESSES[one], PROCESSES[other]
    u, c = time_change(a, b, t)
    wanted, before = a.sigma(t) / a.alpha(t), np.nextafter(u, -1)
    assert b.sigma(u) / b.alpha(u) >= wanted and (u == 0 or b.sigma(before) / b.alpha(before) < wanted)
    length = np.hypot(a.alpha(t), a.sigma(t))
    assert c * np.hypot(b.alpha(u), b.sigma(u)) == pytest.approx(length, rel=1e-15)


def test_pure_noise_goes_to_pure_noise_and_first_levels_to_first_levels():
    lines, ve = PROCESSES["lines"], VE(0.02, 40.0)
    assert time_change(VPCosine(), lines, 1.0) == (1.0, 1.0) == time_change(lines, VPCosine(), 1.0)
    ends = np.array([0.0, 1.0])
    u, _ = time_change(ve, OU(1.0, 1.0), ends)
    back, _ = time_change(OU(1.0, 1.0), ve, u)
    np.testing.assert_allclose(back, ends, atol=1e-14)
    u, c = time_change(VE(0.01, 1e6), VPCosine(), 0.99)  # alpha of the cosine is good to 1e-10 there, the scale to the last digit
    assert c * VPCosine().sigma(u) == pytest.approx(VE(0.01, 1e6).sigma(0.99), rel=1e-15)


def test_chains_are_expressed_by_processes_and_not_the_other_way_round():
    chain = DDPM([0.1, 0.3])
    u, c = time_change(chain, OU(0.5, 1.0), [0, 1, 2])
    np.testing.assert_allclose(u, [0, -math.log(0.9), -math.log(0.9 * 0.7)], rtol=1e-15)
    np.testing.assert_allclose(c, 1, rtol=1e-15)
    with pytest.raises(TypeError, match="target is DDPM.*continuous time"):
        time_change(VP(), chain, 0.3)


def test_time_0_goes_to_time_0():
    assert time_change(OU(1.0, 2.0), VP(), 0.0) == (0.0, 1.0)
    u, c = time_change(VE(0.1, 3.0), VE(0.1, 3.0), np.array([0.0, 1.0]))
    np.testing.assert_allclose(u, [0, 1]), np.testing.assert_allclose(c, 1)


@pytest.mark.parametrize(("source", "target", "t", "message"), [
    (OU(1.0, 1.0), VE(0.5, 30.0), 1e-3, "starts above it"),
    (OU(0.0, 1.0), VP(0.1, 2.0), 1e6, "ends below it"),
    (OU(1.0, 1.0), OU(0.0, 1.0), 800.0, "sigma/alpha is inf.*ends below it"),
    (VP(), OU(1.0, 1.0), 1.5, "runs from time 0 to 1"),
])  # fmt: skip
def test_what_cannot_be_matched_is_refused(source, target, t, message):
    with pytest.raises(ValueError, match=message):
        time_change(source, target, t)


def test_converted_scores_name_what_is_wrong():
    score = ConvertedScore(lambda x, t: -x, OU(1.0, 1.0), VP())
    with pytest.raises(ValueError, match=r"t has shape \(2,\): pass .* shape \(3,\)"):
        score(np.zeros((3, 2)), [0.1, 0.2])
    with pytest.raises(TypeError, match="score is 3: pass a callable"):
        ConvertedScore(3, OU(1.0, 1.0), VP())
    with pytest.raises(TypeError, match="source is <class .*OU'>: pass a process"):
        ConvertedScore(lambda x, t: -x, OU, VP())
    with pytest.raises(TypeError, match="target is DDPM.*: pass a process"):
        ConvertedScore(lambda x, t: -x, OU(1.0, 1.0), DDPM([0.1]))
