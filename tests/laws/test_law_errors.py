"""Errors of laws, part by part: a case in which the part is the whole of a known truth, or a known number that must come back."""

import re

import numpy as np
import pytest
from scipy.special import erf

from refscore.densities import Gaussian, GaussianMixture, Product
from refscore.distances import total_variation
from refscore.laws import PanelLaw, acceptance_rate, affine, langevin_stationary, law, law_with_error, metropolis, stationary
from refscore.samplers import Chain, langevin, mala

EPS = float(np.finfo(float).eps)
TARGET = Gaussian([0.4], 0.7)
MODES = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])
SLOPES = [np.array([[0.2, 3.0], [0.0, 0.4]]), np.array([[0.5, 0.0], [-2.0, 0.1]]), np.array([[1.1, 0.7], [0.3, -0.6]])]
NOISES = [0.3, 0.05, 0.7]


def spread_of_three_steps():
    """Phi_j of the steps after step j and V_j, the noise since and with it, from the first to the last; SLOPES do not commute."""
    flows = [SLOPES[2] @ SLOPES[1], SLOPES[2], np.eye(2)]
    noises = [sum(v * flow @ flow.T for flow, v in zip(flows[j:], NOISES[j:], strict=True)) for j in range(3)]
    return flows, noises


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_shift_of_one_mean_costs_what_the_error_says(at):
    """From a point, all the spread is noise: the worst shift of the first mean costs the error itself, of a later one less."""
    flows, noises = spread_of_three_steps()
    reach = SLOPES[2] @ SLOPES[1] @ SLOPES[0]
    last, delta = Gaussian([0.0, 0.0], noises[0] + 1e-12 * reach @ reach.T), 1e-4
    steps = [affine.Step(A, v, delta * (j == at), 0.0) for j, (A, v) in enumerate(zip(SLOPES, NOISES, strict=True))]
    found = affine.error(steps, last)
    root = np.linalg.inv(np.linalg.cholesky(noises[at]))
    assert found == pytest.approx(np.linalg.norm(root @ flows[at], 2) * delta / np.sqrt(2 * np.pi), rel=1e-12)
    worst = np.linalg.svd(np.linalg.inv(np.linalg.cholesky(last.cov)) @ flows[at])[2][0]
    exact = total_variation(last, Gaussian(delta * flows[at] @ worst, last.cov))[0]
    assert exact <= found * (1 + 1e-9)
    if at == 0:
        assert exact == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_rounded_covariance_costs_by_the_square_of_its_spread(at):
    """A law a thousand times narrower than what was rounded by dC: 3/2 |C^{-1/2} Phi|^2 dC, at least the distance it makes."""
    flows, _ = spread_of_three_steps()
    last = Gaussian([0.0, 0.0], 1e-6 * np.array([[1.0, 0.3], [0.3, 0.5]]))
    steps = [affine.Step(A, 0.0, 0.0, 1e-10 * (j == at)) for j, A in enumerate(SLOPES)]
    found = affine.error(steps, last)
    white = np.linalg.inv(np.linalg.cholesky(last.cov)) @ flows[at]
    assert found == pytest.approx(1.5e-10 * np.linalg.norm(white, 2) ** 2, rel=1e-12)
    worst = np.linalg.svd(white)[2][0]
    wider = Gaussian([0.0, 0.0], last.cov + 1e-10 * np.outer(flows[at] @ worst, flows[at] @ worst))
    assert found / 8 <= total_variation(last, wider)[0] <= found


def curved(noise):
    return Chain(lambda x, t: -x if t > 1 else np.tanh(x) - x, [3.0, 2.0, 0.5, 0.3], [1.0] * 4, [0.2] * 4, [0.3, 0.3, 0.3, noise])


@pytest.mark.parametrize(("noise", "start"), [(0.3, Gaussian([0.4], 0.8)), (0.0, Gaussian([0.4], 0.8)),
                                              (0.3, Gaussian([0.4, -0.5], [0.8, 1.3]))], ids=["grid", "map", "plane"])
def test_errors_of_affine_steps_are_kept_when_curved_ones_follow(monkeypatch, noise, start):
    """Two affine steps, each given an error of 1e-3; then quadrature, a map, or coordinates one by one, good to 1e-10."""
    chain = curved(noise)
    assert law_with_error(chain, start)[1] < 1e-10
    monkeypatch.setattr(affine, "error", lambda steps, density: 1e-3 * len(steps))
    assert law_with_error(chain, start)[1] == pytest.approx(2e-3, abs=1e-10)


def test_the_error_of_a_map_adds_to_that_of_the_steps_before(monkeypatch):
    """A kink in the last step, after two affine ones of 1e-3 each."""
    chain = Chain(lambda x, t: -x if t > 1 else 0.5 * np.abs(x - 0.1), [3.0, 2.0, 0.5], [1.0] * 3, [0.2, 0.2, 1.0], [0.3, 0.3, 0.0])
    density, error = law_with_error(chain, Gaussian([0.2], 1.0))
    assert 1e-13 < density.error < error
    monkeypatch.setattr(type(density), "error", 1e-2)
    assert law_with_error(chain, Gaussian([0.2], 1.0))[1] == pytest.approx(1e-2, abs=1e-10)
    monkeypatch.setattr(affine, "error", lambda steps, density: 1e-3 * len(steps))
    assert law_with_error(chain, Gaussian([0.2], 1.0))[1] == pytest.approx(1.2e-2, abs=1e-10)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_coupling_moves_all_coordinates_at_once(dim):
    """Both means are off by eps wherever the others are not at their centre: a shift of sqrt(d) eps, and the error no less."""
    centre, eps = np.array([3.0, -2.0, 2.5])[:dim], 1e-9

    def score(x, t):
        off = (np.abs(x - centre) > 1e-7).sum(axis=1, keepdims=True) - (np.abs(x - centre) > 1e-7) > 0
        return np.tanh(x) + eps * off

    start = Gaussian(centre, 1e-4)
    found, error = law_with_error(Chain(score, [1.0], [1.0], [1.0], [1.0]), start)
    widest = max(float(np.sqrt(factor.cov[0, 0])) for factor in found.factors)
    exact = erf(np.sqrt(dim) * eps / (2 * np.sqrt(2) * widest))
    assert isinstance(found, Product) and eps / np.sqrt(2 * np.pi) + 1e-11 < exact <= error < 1.01 * exact + 1e-11


def test_a_change_is_a_total_variation():
    """What the refusal calls the change of a round: TV between the laws after three rounds of two steps and after four."""
    chain = langevin(MODES.score, 0.02, 2)
    with pytest.raises(ValueError, match="after 3 rounds of 2 steps the law still changes by") as refused:
        stationary(chain, MODES, rounds=3)
    laws = [law(langevin(MODES.score, 0.02, n), MODES) for n in (6, 8)]
    change = float(re.search(r"changes by (\S+) a round", str(refused.value))[1])
    assert change == pytest.approx(total_variation(*laws)[0], rel=0.05)


@pytest.mark.parametrize("far, step, dim", [(0.4, 1e-9, 3), (1e6 / 3, 0.2, 1)], ids=["short steps", "far away"])
def test_stationary_laws_of_short_steps_or_far_away_lose_digits(far, step, dim):
    """1 - rate is a difference near one, and a mean of 1e6 standard deviations is rounded: more than 64 eps cond, and no more than
    the error says."""
    target = Gaussian([far, -1.0, 2.0][:dim], np.array([[0.9, 0.3, 0.1], [0.3, 0.7, -0.2], [0.1, -0.2, 0.5]])[:dim, :dim])
    found, error = stationary(langevin(target.score, step, 1), Gaussian(np.zeros(dim), 1.0))
    exact = langevin_stationary(target, step)
    rate = 1 - step / np.linalg.eigvalsh(target.cov)[-1]
    least = 64 * EPS * dim * np.linalg.cond(target.cov) / (1 - rate if step > 1e-3 else 1)
    assert least < total_variation(found, exact)[0] <= error


def adjusted(step, n=1):
    return mala(TARGET.score, TARGET.logpdf, step, n)


def test_a_law_of_refusals_is_known_to_what_two_orders_differ_by(monkeypatch):
    """Laws N(0, 1) and N(0.1, 1) from the two orders, 1e-3 from the first: the error is both."""
    edges = np.linspace(-9, 9, 19)
    x = (edges[1:] + edges[:-1])[:, None] / 2 + np.diff(edges)[:, None] / 2 * np.polynomial.legendre.leggauss(16)[0]

    def run(kernel, steps, initial, order):
        away = 0.0 if order == max(metropolis._ORDERS) else 0.1
        return PanelLaw(edges, np.exp(-((x - away) ** 2) / 2) / np.sqrt(2 * np.pi)), 1e-3

    monkeypatch.setattr(metropolis, "_run", run)
    assert law_with_error(adjusted(0.3), TARGET)[1] == pytest.approx(1e-3 + erf(0.1 / np.sqrt(8)), rel=0.01)


def test_what_is_left_of_the_acceptance_counts_at_every_step(monkeypatch):
    """1e-4 of A that no polynomial finds: seven times in a law after seven steps, once in the rate."""
    resolved = metropolis._resolved
    monkeypatch.setattr(metropolis, "_resolved", lambda *given: (resolved(*given)[0], 1e-4))
    assert law_with_error(adjusted(0.3, 7), TARGET)[1] == pytest.approx(7e-4, abs=1e-8)
    assert acceptance_rate(adjusted(0.3), TARGET)[1] == pytest.approx(1e-4, abs=1e-8)


def test_a_rate_is_known_to_what_two_orders_differ_by(monkeypatch):
    monkeypatch.setattr(metropolis, "_accepted", lambda kernel, x, edges, order: np.full(len(x.x), order / 32))
    rate, error = acceptance_rate(adjusted(0.3), TARGET)
    assert rate == pytest.approx(0.5, abs=1e-12) and error == pytest.approx((16 - 12) / 32, abs=1e-12)


def test_mass_that_is_lost_is_missed(monkeypatch):
    """A kernel that loses a thousandth of what it takes, at both orders alike: what is missing after three steps from p counts."""
    rate, _ = acceptance_rate(adjusted(0.3, 3), TARGET)
    inflow = metropolis._inflow
    monkeypatch.setattr(metropolis, "_inflow", lambda *given: inflow(*given) * (1 - 1e-3))
    _, error = law_with_error(adjusted(0.3, 3), TARGET)
    missing = 3e-3 * rate
    assert 1e-3 < missing < 3e-3 and error == pytest.approx(missing, rel=2e-3)


def test_panels_are_fine_where_the_chain_goes_not_only_where_it_starts():
    """From a start without mass at p, A is resolved around p as from p itself."""
    kernel = metropolis._kernel(mala(MODES.score, MODES.logpdf, 0.3, 1), MODES, "initial")
    far = Gaussian([6.0], 0.3)
    base = metropolis._base(kernel, far, 12)
    from_p, from_far = (metropolis._resolved(kernel, start, base, 12)[0] for start in (MODES, far))
    around = [int((np.abs(edges) < 3).sum()) for edges in (base, from_p, from_far)]
    assert 1.5 * around[0] < 0.9 * around[1] <= around[2]
