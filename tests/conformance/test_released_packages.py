"""Released packages, judged as their users would have them judged: what is right passes, what is wrong is found and named.

The findings are those of the versions named beside them; a package that mends one will make its test fail, which is good news.
"""

import numpy as np
import pytest

from refscore.conformance import check

torch = pytest.importorskip("torch")
released = pytest.importorskip("released", reason="adapters of this folder")


def judged(adapter):
    return {c.operation: c for c in check(adapter).checks if c.outcome != "unsupported"}


def outcomes(adapter):
    return {name: c.outcome for name, c in judged(adapter).items()}


@pytest.mark.parametrize("variance", ["fixed_large", "fixed_small"])
def test_diffusers_ddpm_is_right_in_single_precision(variance):
    pytest.importorskip("diffusers")
    found = outcomes(released.diffusers_ddpm(variance))
    assert found == dict.fromkeys(("alpha", "sigma", "corrupt", "ddpm_step"), "pass")


def test_diffusers_ddpm_with_the_wrong_variance_declared_is_a_contradiction():
    pytest.importorskip("diffusers")
    adapter = released.diffusers_ddpm("fixed_small")
    adapter.conventions = {**adapter.conventions, "variance": "beta"}
    verdict = judged(adapter)["ddpm_step"]
    assert verdict.outcome == "fail" and "variance='beta_tilde'" in verdict.message


def test_diffusers_ddim_is_right():
    pytest.importorskip("diffusers")
    assert outcomes(released.diffusers_ddim()) == {"ddim_step": "pass"}


@pytest.mark.parametrize("name", ["VESchedule", "VPSchedule", "CosineSchedule", "RectifiedSchedule"])
def test_azula_schedules_are_right(name):
    pytest.importorskip("azula")
    assert outcomes(released.azula_schedule(name)) == {"alpha": "pass", "sigma": "pass"}


def test_azula_ddim_has_another_eta():
    """azula 0.11: eta multiplies the variance of the noise; eta = 0 and 1 are the same as everywhere."""
    pytest.importorskip("azula")
    verdict = judged(released.azula_sampler())["ddim_step"]
    assert verdict.outcome == "convention" and "eta multiplies the variance" in verdict.message


def test_azula_gaussian_denoiser_is_the_posterior_mean():
    pytest.importorskip("azula")
    from azula.denoise import GaussianDenoiser
    from azula.linalg.covariance import FullCovariance
    from azula.noise import VPSchedule

    from refscore.densities import Gaussian
    from refscore.processes import posterior_mean

    mean, cov = np.array([0.3, -1.0, 0.5]), np.array([[1.0, 0.3, 0.1], [0.3, 0.8, -0.2], [0.1, -0.2, 0.6]])
    values, vectors = np.linalg.eigh(cov)
    schedule, x = VPSchedule(), np.random.default_rng(0).standard_normal((7, 3))
    denoiser = GaussianDenoiser(torch.tensor(mean), FullCovariance(torch.tensor(vectors), torch.tensor(values)), schedule)
    t = torch.tensor(0.4, dtype=torch.float64)
    alpha, sigma = (float(a) for a in schedule(t))
    wanted = posterior_mean(x, Gaussian(mean, cov).corrupted(alpha, sigma).score(x), alpha, sigma)
    np.testing.assert_allclose(denoiser(torch.tensor(x), t).mean.numpy(), wanted, rtol=1e-11)


def test_smalldiffusion_is_right():
    pytest.importorskip("smalldiffusion")
    found = outcomes(released.smalldiffusion_adapter())
    assert found == dict.fromkeys(("alpha", "sigma", "ncsn_loss", "ncsn_loss_grad", "ddim_step"), "pass")
    assert outcomes(released.smalldiffusion_cosine()) == {"alpha": "pass"}


def test_torchebm_exact_losses_and_langevin_are_right():
    pytest.importorskip("torchebm")
    found = outcomes(released.torchebm_losses())
    names = ("ism_loss", "ism_loss_grad", "ssm_loss", "ssm_loss_grad", "dsm_loss", "dsm_loss_grad", "langevin_step")
    assert found == dict.fromkeys(names, "pass")


def test_torchebm_approximate_score_matching_divides_the_trace_by_d():
    """torchebm 0.8.9, hessian_method='approx': the estimate of tr Hess E is divided by the dimension once too often."""
    pytest.importorskip("torchebm")
    verdict = judged(released.torchebm_losses(approximate=True))["ism_loss"]
    assert verdict.outcome == "fail"
    assert "d = 3, batch of 7" in " ".join(verdict.failing)


def test_toy_gradlogp_losses_are_right_and_its_annealed_noise_is_not():
    """toy_gradlogp 0.2.2: anneal_langevin_dynamics adds noise of std sqrt(eps) at every level, not sqrt(eps) sigma_i/sigma_L."""
    pytest.importorskip("toy_gradlogp")
    found = judged(released.toy_gradlogp_adapter())
    right = ("ssm_loss", "ssm_vr_loss", "dsm_loss", "ssm_loss_grad", "ssm_vr_loss_grad", "dsm_loss_grad", "langevin_step")
    assert {name: found[name].outcome for name in right} == dict.fromkeys(right, "pass")
    verdict = found["annealed_langevin"]
    assert verdict.outcome == "fail" and "2 levels" in verdict.first_failing_rung
    assert "annealed_noise_of_the_last_level" in [e.mistake for e in verdict.diagnosis], verdict.message


def test_blackjax_langevin_is_right():
    pytest.importorskip("blackjax")
    assert outcomes(released.blackjax_langevin()) == {"langevin_step": "pass"}
