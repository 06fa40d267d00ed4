"""A verdict says under which convention it compares, which declared one the code does not follow, and which array is wrong."""

import numpy as np
import pytest

from refscore.conformance import check
from refscore.processes import DDPM, VP, VPCosine, linear_betas


def verdict(operation, function, process, conventions=None):
    methods = {operation: staticmethod(function), "process": process, "conventions": conventions or {}}
    return check(type("Adapter", (), methods), only=(operation,)).checks[0]


def chain(n):
    return DDPM(np.linspace(1e-2, 0.3, n))


def noise_prediction(alpha, sigma, target=1.0):
    """Ho et al. 2020, in the convention that is most common: 1/2 left out, and the mean over all entries."""
    def loss(model, x0, index, noise):
        xt = alpha(index)[:, None] * x0 + sigma(index)[:, None] * noise
        return ((target * noise - model(xt, index)) ** 2).mean()

    return loss


@pytest.mark.parametrize("declared", [{}, {"predicts": "eps", "half": False, "over_dims": "mean"}])
@pytest.mark.parametrize(("name", "move"), [
    ("ddpm_loss_one_early", lambda i, n: i - 1),
    ("ddpm_loss_one_early_wraps", lambda i, n: np.where(i > 1, i - 1, n)),
    ("ddpm_loss_from_0", lambda i, n: np.minimum(i + 1, n)),
])
def test_indices_of_a_short_chain(name, move, declared):
    p = chain(7)
    loss = noise_prediction(lambda i: p.alpha(move(i, 7)), lambda i: p.sigma(move(i, 7)))
    found = verdict("ddpm_loss", loss, p, declared)
    assert found.outcome == "fail" and [e.mistake for e in found.diagnosis][:1] == [name]


def test_a_loss_of_ddpm_is_compared_as_noise_prediction():
    p = chain(20)
    found = verdict("ddpm_loss", noise_prediction(lambda i: p.alpha(i) ** 1.1, p.sigma), p)
    assert found.outcome == "fail" and not found.diagnosis
    assert "compared under half=True, over_dims='sum', over_batch='mean', weight='sigma2', predicts='eps': " in found.message
    assert "wrong under every" in found.message
    sign = verdict("ddpm_loss", noise_prediction(p.alpha, p.sigma, -1.0), p)
    assert sign.diagnosis[0].mistake == "ddpm_loss_target_sign" and "under half=False, over_dims='mean'" in sign.message


def test_a_mistake_is_named_under_the_conventions_that_are_compared():
    """Others name it too: noise twice as wide where the step is halved."""
    found = verdict("langevin_step", lambda model, x, step, noise: x + step / 2 * model(x) + np.sqrt(2 * step) * noise, None)
    assert found.diagnosis[0].mistake == "langevin_drift_halved" and "under" not in found.message, found.message
    assert any(e.under for e in found.diagnosis)


def test_digits_that_are_lost_are_no_wrong_formula():
    """sqrt(1 - alpha^2) is sigma, and near t = 0 not to the last digit."""
    def signal(t):
        return np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2

    found = verdict("sigma", lambda t: np.sqrt(1 - signal(t) / signal(0)), VPCosine())
    names = [e.mistake for e in found.diagnosis]
    assert found.outcome == "fail" and names[0] == "sigma_cancels" and "sigma_variance_preserving" not in names


def test_what_is_wrong_before_it_raises_is_told_first():
    def jvp(model, x, v):
        if len(x) == 7:
            raise ValueError("seven")
        return 2 * model.jvp(x, v)

    found = verdict("jvp", jvp, None)
    assert found.outcome == "fail" and found.first_failing_rung == "d = 1, linear model"
    assert found.message.startswith("on rung 'd = 1, linear model': got")
    assert "it raises ValueError: seven (test_what_is" in found.message


@pytest.mark.parametrize("declared", ["score", "x0"])
def test_noise_prediction_that_is_declared_otherwise(declared):
    """A mixture of refscore's own returns what is declared, so that it tells nothing."""
    def denoise(model, xt, t):
        return (xt - VP().sigma(t)[:, None] * model(xt, t)) / VP().alpha(t)[:, None]

    found = verdict("denoise", denoise, VP(), {"predicts": declared})
    assert found.outcome == "fail"
    assert f"it follows predicts='eps', and conventions declares predicts={declared!r}" in found.message


@pytest.mark.parametrize(("name", "first"), [
    ("posterior_variance_clipped", lambda p: p.posterior(np.zeros((1, 1)), np.zeros((1, 1)), 2)[1]),
    ("posterior_variance_beta_first", lambda p: p.beta(1)),
])
def test_a_variance_that_is_floored_at_index_1(name, first):
    p = DDPM(linear_betas(1000))

    def posterior(x0, xt, index):
        mean, variance = p.posterior(x0, xt, index)
        return mean, variance if index > 1 else np.full(len(x0), first(p))

    found = verdict("posterior", posterior, p)
    assert found.outcome == "fail" and found.failing == ("index 1, index 1",)
    assert "of the variance" in found.message and found.diagnosis[0].mistake == name


def test_arrays_of_a_gradient_have_names():
    def gradient(model, x, true_score):
        from refscore.conformance import Reference

        result = Reference().esm_loss_grad(Reference().model(model), x, true_score)
        return [*result[:-1], result[-1] + 0.1 * np.arange(1, len(result[-1]) + 1)]

    adapter = {"esm_loss_grad": staticmethod(gradient), "model": staticmethod(lambda spec: spec)}
    found = check(type("Biased", (), adapter), only=("esm_loss_grad",)).checks[0]
    assert "of the gradient in b" in found.message
