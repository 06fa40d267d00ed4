"""What is right in an unusual way is acquitted: lists, terms that cancel, digits that vanish with the number itself."""

import numpy as np
import pytest

from refscore.conformance import Reference, check
from refscore.processes import DDPM, VP, SubVP, cosine_betas


def outcome(adapter, operation):
    found = check(adapter, only=(operation,)).checks[0]
    return found.outcome, found.message


@pytest.mark.parametrize("shape", [list, tuple])
def test_lists_of_one_row_are_arrays(shape):
    class Lists:
        process = VP()

        def alpha(self, t):
            return shape(VP().alpha(t).tolist())

        def corrupt(self, x0, t, noise):
            return shape(shape(row) for row in VP().corrupt(x0, t, noise))

        def jvp(self, model, x, v):
            return [model.jvp(x, v)]  # an array within a list, as ever

    assert [outcome(Lists, name)[0] for name in ("alpha", "corrupt", "jvp")] == ["pass"] * 3


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-9])
def test_what_is_left_of_terms_that_cancel_is_rounding(factor):
    """With v = 0 the flow of VP stands still, exactly: f = -beta x/2 and g^2 s/2 = -beta x/2."""
    class Flow:
        process = VP()
        conventions = {"predicts": "v"}

        def ode_drift(self, model, x, t):
            beta, alpha, sigma = 0.1 + 19.9 * t[:, None], VP().alpha(t)[:, None], VP().sigma(t)[:, None]
            score = -(sigma * x + alpha * model(x, t)) / (alpha**2 + sigma**2) / sigma
            return -beta / 2 * x - np.sqrt(beta) ** 2 / 2 * score * factor

    assert outcome(Flow, "ode_drift")[0] == ("pass" if factor == 1 else "fail")


@pytest.mark.parametrize("power", [2, 1])
def test_the_published_diffusion_of_sub_vp(power):
    class Published:
        process = SubVP()

        def diffusion(self, t):
            clock = 0.1 * t + 9.95 * t**2
            return np.sqrt((0.1 + 19.9 * t) * (1 - np.exp(-power * clock)))

    assert outcome(Published, "diffusion")[0] == ("pass" if power == 2 else "fail")


def test_a_weight_that_cannot_be_declared_is_named_so():
    class Clean:
        process = VP()
        conventions = {"predicts": "x0"}

        def dsm_process_loss(self, model, x0, t, noise):
            return ((model(VP().corrupt(x0, t, noise), t) - x0) ** 2).sum(axis=1).mean() / 2

    kind, message = outcome(Clean, "dsm_process_loss")
    assert kind == "convention" and "none that can be declared" in message and "other operations" not in message


@pytest.mark.parametrize("predicts", ["score", "x0", "v"])
@pytest.mark.parametrize("declared", [{}, {"weight": "sigma2"}])
def test_the_plain_error_of_what_a_network_predicts_is_a_loss_of_ddpm(predicts, declared):
    """As it is trained where x0 or v is predicted; L_simple by the chain rule is another weight."""
    process = DDPM(cosine_betas(40))

    class Plain:
        conventions = {"predicts": predicts, **declared}

        def ddpm_loss(self, model, x0, index, noise):
            alpha, sigma = (level(index)[:, None] for level in (process.alpha, process.sigma))
            target = {"score": -noise / sigma, "x0": x0, "v": alpha * noise - sigma * x0}[predicts]
            return np.mean((model(alpha * x0 + sigma * noise, index) - target) ** 2)

    Plain.process = process
    kind, message = outcome(Plain, "ddpm_loss")
    assert kind == "convention" and "weight='prediction'" in message and "none that can be declared" in message
    loss = Plain.ddpm_loss
    Plain.ddpm_loss = lambda self, *arguments: 1.01 * loss(self, *arguments)
    assert outcome(Plain, "ddpm_loss")[0] == "fail"


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_index_has_one_variance(shape):
    """Of all rows: a number is as good as (n,)."""
    process = DDPM(cosine_betas(40))

    class One:
        def posterior(self, x0, xt, index):
            mean, variance = Reference(process).posterior(x0, xt, index)
            return mean, (1 + wrong) * variance[0].reshape(shape)

    One.process, wrong = process, 0.0
    assert outcome(One, "posterior")[0] == "pass"
    wrong = 1e-6
    assert outcome(One, "posterior")[0] == "fail"
