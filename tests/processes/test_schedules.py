"""VP with any schedule, sub-VP, VE and paths given by their scales, against 20-digit quadrature of their rates and diffusions."""

import math

import mpmath as mp
import numpy as np
import pytest

from refscore.processes import DDPM, OU, VE, VP, Path, SubVP, VPCosine, VPSchedule, cosine_betas, linear_betas

LOW, HIGH, S = mp.mpf(0.1), mp.mpf(20), mp.mpf(0.008)
L = mp.log(mp.mpf(50) / mp.mpf(0.01))


def linear(u):
    return LOW + (HIGH - LOW) * u


def clock(u):
    return LOW * u + (HIGH - LOW) * u * u / 2


def cosine(u):
    return mp.pi / (1 + S) * mp.tan(mp.pi / 2 * (u + S) / (1 + S))


CASES = {  # process, rate, squared diffusion
    "VP": (VP(), lambda u: linear(u) / 2, linear),
    "cosine": (VPCosine(), lambda u: cosine(u) / 2, cosine),
    "schedule": (VPSchedule(lambda t: 0.1 + 19.9 * t), lambda u: linear(u) / 2, linear),
    "sub-VP": (SubVP(), lambda u: linear(u) / 2, lambda u: linear(u) * (1 - mp.exp(-2 * clock(u)))),
    "VE": (VE(0.01, 50.0), lambda u: mp.mpf(0), lambda u: 2 * L * (mp.mpf(0.01) * mp.exp(L * u)) ** 2),
    "straight lines": (Path(lambda t: 1 - t, lambda t: t), lambda u: 1 / (1 - u), lambda u: 2 * u / (1 - u)),
    "straight lines, slopes given": (
        Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -1 + 0 * t, sigma_slope=lambda t: 1 + 0 * t),
        lambda u: 1 / (1 - u), lambda u: 2 * u / (1 - u),
    ),
}  # fmt: skip
LONG = [(0.3, 0.7), (0.5, 0.5001), (0.0, 1e-6)]
INTERVALS = [(0.3, 0.3 + 2**-30), (0.0, 0.2), *(pytest.param(*ends, marks=pytest.mark.slow) for ends in LONG)]


@pytest.mark.parametrize(("s", "t"), INTERVALS)
@pytest.mark.parametrize("name", CASES)
def test_transitions_and_reverse_steps_are_the_integrals_of_rate_and_diffusion(name, s, t):
    process, rate, g2 = CASES[name]
    with mp.workdps(20):
        shrink = mp.quad(rate, [s, t])
        variance = mp.quad(lambda u: mp.exp(-2 * mp.quad(rate, [u, t])) * g2(u), [s, t])
        weight = mp.quad(lambda u: mp.exp(mp.quad(rate, [s, u])) * g2(u), [s, t])
        step = [mp.exp(-shrink), variance, mp.exp(shrink), weight, variance * mp.exp(2 * shrink)]
        right = [float(v) for v in (*step, rate(mp.mpf(t)), mp.sqrt(g2(mp.mpf(t))))]
    left = [*process.transition(s, t), *process.exponential_step(t, s), process.rate(t), process.diffusion(t)]
    digits = 1e-13 if "Path" not in repr(process) else 1e-12  # slopes by differences
    np.testing.assert_allclose(left, right, rtol=digits)


@pytest.mark.parametrize("t", [1e-17, 1e-9, 0.1, 0.9, 1 - 1e-9, 1 - 2.0**-53])
def test_cosine_is_a_squared_cosine_to_both_ends(t):
    with mp.workdps(60):
        abar = (mp.cos(mp.pi / 2 * (mp.mpf(t) + S) / (1 + S)) / mp.cos(mp.pi / 2 * S / (1 + S))) ** 2
        alpha, sigma = float(mp.sqrt(abar)), float(mp.sqrt(1 - abar))
    np.testing.assert_allclose([VPCosine().alpha(t), VPCosine().sigma(t)], [alpha, sigma], rtol=2e-14)


def test_cosine_ends_exactly_without_signal_and_its_rate_is_refused_there():
    process = VPCosine()
    assert process.alpha(1.0) == 0 and process.sigma(1.0) == 1
    with pytest.raises(ValueError, match=r"infinite .*pass t < 1"):
        process.rate([0.5, 1.0])


def test_sub_vp_has_the_variance_of_vp_as_its_standard_deviation():
    t = np.array([1e-9, 0.1, 0.5, 1.0])
    np.testing.assert_allclose(SubVP().sigma(t), VP().variance(t), rtol=1e-14)
    np.testing.assert_allclose(SubVP().alpha(t), VP().alpha(t), rtol=0)


def test_ve_starts_from_its_smallest_level_or_from_the_data():
    kernel, sde = VE(0.3, 7.0), VE(0.3, 7.0, start="data")
    t = np.array([0.0, 1e-12, 0.4, 1.0])
    np.testing.assert_allclose(kernel.sigma(t), 0.3 ** (1 - t) * 7.0**t, rtol=1e-15)
    assert kernel.sigma(0.0) == 0.3 and kernel.sigma(1.0) == 7.0 and sde.sigma(0.0) == 0
    np.testing.assert_allclose(sde.variance(t) + 0.09, kernel.variance(t), rtol=1e-14)
    assert sde.sigma(1e-12) == pytest.approx(0.3 * math.sqrt(2e-12 * math.log(7 / 0.3)), rel=1e-12)


def test_schedules_may_have_steps_and_integrable_singularities():
    root = VPSchedule(lambda t: t**-0.5)
    for t in (1e-9, 0.3, 1.0):
        assert root.alpha(t) == pytest.approx(math.exp(-math.sqrt(t)), rel=1e-13)
    step = VPSchedule(lambda t: np.where(t < 0.37, 1.0, 30.0), t_max=2.0)
    assert step.transition(0.1, 0.9)[0] == pytest.approx(math.exp(-(0.27 + 30 * 0.53) / 2), rel=1e-12)
    assert step.transition(0.5, 0.5 + 1e-12)[1] == pytest.approx(30e-12, rel=1e-4)  # 0.5 + 1e-12 is rounded
    assert 0 < root.clock_error < 1e-12 and 0 < step.clock_error < 1e-11


@pytest.mark.parametrize(("build", "message"), [
    (lambda: VPSchedule(lambda t: 1.0), "np.vectorize"),
    (lambda: VPSchedule(lambda t: np.sin(40 * t)), "at least 0"),
    (lambda: VPSchedule(lambda t: 0 * t), "no noise"),
    (lambda: VPSchedule(lambda t: 1 + np.floor(1e7 * t) % 2), "rough"),
    (lambda: VPSchedule(3.0), "pass a function"),
    (lambda: VE(2.0, 1.0), "swap"),
    (lambda: VE(start="0"), "start"),
    (lambda: Path(lambda t: t, lambda t: 1 - t), "positive before"),
    (lambda: Path(lambda t: 1 + t, lambda t: 1 + 0 * t), "time reversed"),
    (lambda: Path(lambda t: 1.0, lambda t: t), "function of arrays"),
    (lambda: Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: 1 + 0 * t), "alpha_slope is .* pass the derivative of alpha"),
    (lambda: Path(1.0, lambda t: t), "pass a function of time"),
    (lambda: VPCosine(-1.0), "s"),
])  # fmt: skip
def test_bad_input_is_refused(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_a_path_whose_noise_falls_between_the_probes_is_refused_where_it_falls():
    t0 = 0.5 + 1 / 512

    def bump(t):
        return 2e-3 * np.exp(-(((t - t0) / 5e-4) ** 2))

    path = Path(lambda t: 1 + 0 * t, lambda t: t - bump(t), sigma_slope=lambda t: 1 + 2 * (t - t0) / 5e-4**2 * bump(t))
    with pytest.raises(ValueError, match="falls there"):
        path.diffusion(t0 - 3e-4)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_paths_whose_noise_starts_flat(power):
    """(t^2k)' is 0 at 0: what differences give there, of either sign, is their error."""
    path = Path(lambda t: 1 - t, lambda t: t**power)
    assert 0 <= path.diffusion(0.0) <= path.coefficient_errors(0.0)[1] <= 1e-5


@pytest.mark.parametrize("t", [0.0, 1e-7, 1e-5, 0.3])
def test_paths_whose_noise_starts_like_a_root(t):
    """OU given by its scales: sigma' is infinite at 0, (sigma^2)' is not."""
    path, ou = Path(lambda t: np.exp(-t), lambda t: np.sqrt(-np.expm1(-2 * t)), t_max=3.0), OU(1.0, math.sqrt(2))
    assert path.diffusion(t) == pytest.approx(math.sqrt(2), rel=1e-11)
    np.testing.assert_allclose(path.exponential_step(t + 1e-3, t), ou.exponential_step(t + 1e-3, t), rtol=1e-11)
    np.testing.assert_allclose(path.transition(t, t + 2e-8), ou.transition(t, t + 2e-8), rtol=1e-11)


@pytest.mark.parametrize("t", [0.99, 0.999, 0.999999])
def test_long_reverse_steps_from_where_little_signal_is_left(t):
    """Straight lines: b = int_0^t 2u/(1 - u)^2 du = 2 (t/(1 - t) + log(1 - t))."""
    b = Path(lambda t: 1 - t, lambda t: t).exponential_step(t, 0.0)[1]
    with mp.workdps(30):
        assert b == pytest.approx(float(2 * (mp.mpf(t) / (1 - mp.mpf(t)) + mp.log(1 - mp.mpf(t)))), rel=1e-11)


@pytest.mark.parametrize("t", [1e-9, 0.3, 0.7, 1 - 1e-9, 1 - 2.0**-53])
def test_cosine_rate_to_both_ends(t):
    with mp.workdps(60):
        beta = float(cosine(mp.mpf(t)))
    assert VPCosine().beta(t) == pytest.approx(beta, rel=1e-14)


def test_slopes_by_differences_at_the_last_time():
    """A quarter circle that stops before its end: alpha(t_max) > 0."""
    path = Path(lambda t: np.cos(t), lambda t: np.sin(t), t_max=1.0)
    assert path.rate(1.0) == pytest.approx(math.tan(1.0), rel=1e-10)
    assert path.diffusion(1.0) == pytest.approx(math.sqrt(2 * math.tan(1.0)), rel=1e-10)


@pytest.mark.parametrize("t", [0.05, 0.0996, 0.1])
def test_sub_vp_steps_up_to_where_the_rule_changes(t):
    """B(0, t) of beta = 10: 0.5, 0.996, 1; b against 30 digits."""
    with mp.workdps(30):
        B = 10 * mp.mpf(t)
        b = mp.quad(lambda y: mp.exp(y / 2) * (1 - mp.exp(-2 * y)), [0, B])
    assert SubVP(10.0, 10.0).exponential_step(t, 0.0)[1] == pytest.approx(float(b), rel=1e-14)


@pytest.mark.parametrize("power", [0.5, 0.9, 0.1])
def test_a_singular_schedule_keeps_its_digits_near_the_data(power):
    """int_0^t (1 - p) u^-p du = t^(1 - p), relative to itself however short t."""
    process = VPSchedule(lambda t: (1 - power) * t**-power)
    for t in (1e-200, 1e-80, 1e-30, 1e-12, 1e-3, 1.0):
        clock = t ** (1 - power)
        assert process.sigma(t) ** 2 == pytest.approx(-np.expm1(-clock), rel=1e-13)
        assert process.transition(t / 2, t)[1] == pytest.approx(-np.expm1(-clock * (1 - 0.5 ** (1 - power))), rel=1e-13)


@pytest.mark.parametrize(
    "schedule, error, message",
    [
        (lambda t: np.full_like(t, 1e308), ValueError, "integral of beta up to 1.0 exceeds float64; pass a weaker schedule"),
        (lambda t: 0.1 if t < 0.5 else 1.0, TypeError, r"schedule\(t\) fails for t of shape .* np.vectorize"),
        (lambda t: math.sin(t), TypeError, r"schedule\(t\) fails for t of shape .* np.vectorize"),
    ],
)
def test_schedules_beyond_float64_or_of_numbers_are_refused(schedule, error, message):
    with pytest.raises(error, match=message):
        VPSchedule(schedule)


@pytest.mark.parametrize("s", [0.0, 0.25, 0.75])
def test_the_widest_noise_levels(s):
    """sigma_max/sigma_min = 1e155, whose square exceeds float64."""
    process = VE(1e-3, 1e152)
    assert process.transition(s, 1.0)[1] == pytest.approx(1e304, rel=1e-13)
    assert process.exponential_step(1.0, s)[1] == pytest.approx(1e304, rel=1e-13)
    assert process.transition(s, s)[1] == 0


@pytest.mark.parametrize("betas", [linear_betas(1000), linear_betas(10), cosine_betas(12), linear_betas(10, 1e-3, 0.5)])
def test_alphas_in_the_place_of_betas_are_refused(betas):
    for alphas in (1 - betas, np.cumprod(1 - betas)):
        if alphas[0] > 0.9:
            with pytest.raises(ValueError, match="look like alphas; pass betas = 1 - alphas"):
                DDPM(alphas)
    back = 1 - np.cumprod(1 - betas) / np.append(1, np.cumprod(1 - betas)[:-1])
    np.testing.assert_allclose(DDPM(back).betas, DDPM(betas).betas, rtol=1e-10)


@pytest.mark.parametrize(
    "betas", [cosine_betas(2), [0.95, 0.9], np.full(20, 0.95), np.linspace(0.5, 0.99, 20), np.linspace(0.5, 0.1, 20)]
)
def test_odd_schedules_are_schedules(betas):
    assert len(DDPM(betas)) == len(betas)
