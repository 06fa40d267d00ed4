"""DDPM and DDIM: every step against the published formula, against mpmath where steps are short, and laws of whole chains."""

import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian, GaussianMixture
from refscore.laws import law
from refscore.processes import DDPM, OU, VP, MarginalScore, cosine_betas, linear_betas
from refscore.samplers import ddim, ddpm, reverse_sde

EPS = np.finfo(float).eps
DATA = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [0.16, 0.36])
CHAINS = {"linear": DDPM(linear_betas(13, 0.01, 0.4)), "cosine": DDPM(cosine_betas(7)), "one": DDPM([0.3])}


def wavy(x, i):
    """A noise prediction that is no gradient and knows its index."""
    return np.sin(x[:, ::-1] + 0.1 * i) + 0.3 * x


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_ancestral_step_is_the_formula(name, variance):
    """Algorithm 2 of Ho et al. 2020, with products and without; no noise from 1 to 0."""
    process, betas = CHAINS[name], CHAINS[name].betas
    chain = ddpm(process, wavy, variance)
    bars = np.append(1.0, np.cumprod(1 - betas))
    x, z = np.random.default_rng(0).normal(size=(2, 5, 2))
    assert len(chain) == len(betas) and chain.times[0] == len(betas) and chain.times[-1] == 1
    for k, i in enumerate(range(len(betas), 0, -1)):
        beta = betas[i - 1]
        mean = (x - beta / np.sqrt(1 - bars[i]) * wavy(x, i)) / np.sqrt(1 - beta)
        v = beta if variance == "beta" else (1 - bars[i - 1]) / (1 - bars[i]) * beta
        assert np.allclose(chain.mean(k, x), mean, rtol=1e-13, atol=1e-13)
        assert np.allclose(chain.step(k, x, z), mean + (np.sqrt(v) * z if i > 1 else 0), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("indices", [None, [13, 11, 4, 3, 0], [12, 5, 1]])
def test_ddim_step_is_the_formula(eta, indices):
    """Eq. 12 and 16 of Song, Meng & Ermon 2021."""
    process = CHAINS["linear"]
    chain = ddim(process, wavy, indices, eta)
    bars = np.append(1.0, np.cumprod(1 - process.betas))
    x, z = np.random.default_rng(1).normal(size=(2, 5, 2))
    path = range(13, -1, -1) if indices is None else indices
    assert len(chain) == len(path) - 1
    for k, (i, j) in enumerate(zip(path[:-1], path[1:], strict=True)):
        eps = wavy(x, i)
        v = eta**2 * (1 - bars[j]) / (1 - bars[i]) * (1 - bars[i] / bars[j])
        mean = np.sqrt(bars[j]) * (x - np.sqrt(1 - bars[i]) * eps) / np.sqrt(bars[i]) + np.sqrt(max(0, 1 - bars[j] - v)) * eps
        assert np.allclose(chain.step(k, x, z), mean + np.sqrt(v) * z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CHAINS)
def test_eta_one_on_all_indices_is_ddpm_with_the_posterior_variance(name):
    one, other = ddim(CHAINS[name], wavy, eta=1.0), ddpm(CHAINS[name], wavy, "beta_tilde")
    for numbers in ("times", "a", "b", "v"):
        assert np.allclose(getattr(one, numbers), getattr(other, numbers), rtol=16 * EPS, atol=0)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("step", [0.7, 1e-4, 1e-12])
def test_short_steps_keep_their_digits(eta, step):
    """b of a DDIM step from t to t - step of a VP in 60 digits: sigma_t/alpha_ts - sqrt(sigma_s^2 - v) would lose -log10(step)."""
    process, t = VP(0.1, 20.0), 0.75
    s = t - step
    chain = ddim(process, wavy, [t, s], eta)
    with mp.workdps(60):
        low, high = (mp.mpf(0.1) * u + (mp.mpf(20.0) - mp.mpf(0.1)) * mp.mpf(u) ** 2 / 2 for u in (s, t))
        shrink, after, before = mp.exp((low - high) / 2), mp.sqrt(1 - mp.exp(-low)), mp.sqrt(1 - mp.exp(-high))
        v = mp.mpf(eta) ** 2 * (after / before) ** 2 * (1 - shrink**2)
        b = before * (before / shrink - mp.sqrt(after**2 - v))
        assert abs(chain.b[0] / b - 1) <= 32 * EPS
        assert eta == 0 or abs(chain.v[0] / v - 1) <= 32 * EPS
        assert abs(chain.a[0] * shrink - 1) <= 32 * EPS


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    "process, path", [(CHAINS["linear"], [13, 9, 4, 1]), (OU(0.7, 1.3), [1.9, 0.8, 0.3]), (VP(), [1, 0.4, 0.1])], ids=repr
)
def test_known_clean_point_is_kept_whatever_eta(eta, process, path):
    """Lemma 1 of Song, Meng & Ermon 2021, on every law on the way, for any process."""
    x0 = np.array([0.8, -1.7])
    chain = ddim(process, lambda x, t: (x - process.alpha(t) * x0) / process.sigma(t), path, eta)
    start = Gaussian(process.alpha(path[0]) * x0, process.variance(path[0]) * np.eye(2))
    for k, s in enumerate(path[1:], 1):
        reached = law(chain[:k], start)
        assert np.allclose(reached.mean, process.alpha(s) * x0, rtol=1e-12, atol=1e-13)
        assert np.allclose(reached.cov, process.variance(s) * np.eye(2), rtol=1e-12, atol=1e-14)


def test_what_a_model_predicts_makes_no_difference():
    process = CHAINS["linear"]
    score = MarginalScore(process, DATA)
    x = np.random.default_rng(2).normal(size=(6, 2))
    chains = {
        kind: ddpm(process, lambda x, i, kind=kind: process.convert(score(x, i), x, i, "score", kind), predicts=kind)
        for kind in ("eps", "x0", "v")
    }
    chains["score"] = ddpm(process, score, predicts="score")
    for k in range(13):
        for chain in chains.values():
            assert np.allclose(chain.mean(k, x), chains["score"].mean(k, x), rtol=1e-10, atol=1e-10)


@given(st.lists(st.floats(1e-6, 0.9), min_size=2, max_size=8), st.floats(0, 1), st.data())
@settings(max_examples=60)
def test_variances_stay_between_nothing_and_the_posterior(betas, eta, data):
    process = DDPM(betas)
    path = sorted(data.draw(st.sets(st.integers(0, len(betas)), min_size=2)), reverse=True)
    chain = ddim(process, wavy, path, eta)
    _, whole = process.posterior(np.zeros((len(chain), 1)), np.zeros((len(chain), 1)), path[:-1], path[1:])
    assert np.allclose(chain.v, eta**2 * whole, rtol=1e-12, atol=0)
    assert (ddpm(process, wavy, "beta_tilde").v <= ddpm(process, wavy, "beta").v * (1 + 8 * EPS)).all()


def test_simulation_has_the_same_bits_for_any_number_of_threads(monkeypatch):
    process = CHAINS["linear"]
    chain = ddpm(process, MarginalScore(process, DATA), predicts="score")
    x0 = np.random.default_rng(0).normal(size=(1500, 2))
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("REFSCORE_THREADS", threads)
        found.append(chain.simulate(x0, 5))
    assert np.array_equal(*found)
    assert np.array_equal(pickle.loads(pickle.dumps(chain)).simulate(x0, 5), found[0])
    assert chain.simulate(x0.astype(np.float32), 5).dtype == np.float32


MODEL_REFUSED = [
    (lambda: ddpm(VP(), wavy), TypeError, "process is VP.*use reverse_sde or ddim"),
    (lambda: ddpm(CHAINS["one"], 3), TypeError, "eps_model is 3"),
    (lambda: ddpm(CHAINS["one"], wavy, "gamma"), ValueError, "variance is 'gamma': choose one of 'beta', 'beta_tilde'"),
    (lambda: ddpm(CHAINS["one"], wavy, predicts="noise"), ValueError, "predicts is 'noise': choose one of 'score', 'eps'"),
    (lambda: ddpm(CHAINS["one"], lambda x, i: x[:, :1]).mean(0, np.ones((2, 2))), ValueError, r"eps_model\(x, 1\) has shape"),
    (lambda: ddpm(CHAINS["one"], lambda x, i: x / 0).mean(0, np.ones((2, 2))), ValueError, r"eps_model\(x, 1\)\[0, 0\] is inf"),
    (lambda: reverse_sde(CHAINS["one"], wavy, [1, 0]), TypeError, "an SDE, such as .* ddpm and ddim sample a chain"),
    (lambda: ddim(VP(), wavy), ValueError, "indices is None, and process is VP"),
    (lambda: ddim(CHAINS["linear"], wavy, [3]), ValueError, "pass at least two strictly decreasing indices"),
    (lambda: ddim(CHAINS["linear"], wavy, [3, 3, 0]), ValueError, "strictly decreasing"),
    (lambda: ddim(CHAINS["linear"], wavy, [3, 0.5]), ValueError, "is 0.5: a chain has indices"),
    (lambda: ddim(CHAINS["linear"], wavy, [14, 0]), ValueError, "runs from time 0 to 13"),
    (lambda: ddim(CHAINS["linear"], wavy, eta=1.5), ValueError, "eta is 1.5: above 1"),
    (lambda: ddim(CHAINS["linear"], wavy, eta=-0.5), ValueError, "eta is -0.5"),
    (lambda: ddim(DDPM([0.9] * 800), wavy, [800, 0]), ValueError, "underflows from 800.0 to 0.0: take more steps"),
]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("call", "error", "message"), MODEL_REFUSED)
def test_refusals_name_the_argument_and_the_way_out(call, error, message):
    with pytest.raises(error, match=message):
        call()
