"""Right implementations as their authors would write them: acquitted in double and single precision, declared or not."""

import numpy as np
import pytest

from refscore.conformance import check
from refscore.processes import DDPM, VP, linear_betas


class PlainVP:
    """Noise prediction along VP; no `model`, so that refscore's own models are handed over."""

    process = VP()
    declared = {"predicts": "eps", "weight": "sigma2", "half": False, "over_dims": "mean"}

    def clock(self, t):
        return 0.1 * t + 0.5 * 19.9 * t**2

    def alpha(self, t):
        return np.exp(-self.clock(t) / 2)

    def sigma(self, t):
        return np.sqrt(-np.expm1(-self.clock(t)))

    def drift(self, x, t):
        return -0.5 * (0.1 + 19.9 * t)[:, None] * x

    def diffusion(self, t):
        return np.sqrt(0.1 + 19.9 * t)

    def corrupt(self, x0, t, noise):
        return self.alpha(t)[:, None] * x0 + self.sigma(t)[:, None] * noise

    def conditional_score(self, xt, x0, t):
        return (self.alpha(t)[:, None] * x0 - xt) / (1 - np.exp(-self.clock(t)))[:, None]

    def denoise(self, model, xt, t):
        return (xt - self.sigma(t)[:, None] * model(xt, t)) / self.alpha(t)[:, None]

    def esm_loss(self, model, x, true_score):
        return float(((model(x) - true_score) ** 2).mean())

    def ism_loss(self, model, x):
        trace = sum(model.jvp(x, np.tile(e, (len(x), 1)))[:, j] for j, e in enumerate(np.eye(x.shape[1])))
        return ((model(x) ** 2).sum(1) + 2 * trace).mean() / x.shape[1]

    def ssm_loss(self, model, x, v):
        return ((v * model(x)).sum(1) ** 2 + 2 * (v * model.jvp(x, v)).sum(1)).mean() / x.shape[1]

    def dsm_loss(self, model, x0, sigma, noise):
        return ((model(x0 + sigma * noise) - noise) ** 2).mean()

    def dsm_process_loss(self, model, x0, t, noise):
        return ((model(self.corrupt(x0, t, noise), t) - noise) ** 2).mean()

    def ncsn_loss(self, model, x0, sigmas, index, noise):
        sigma = sigmas[index]
        return ((model(x0 + sigma[:, None] * noise, sigma) - noise) ** 2).mean()

    def divergence(self, model, x):
        return np.einsum("nii->n", model.jacobian(x))

    def langevin_step(self, model, x, step, noise):
        return x + step / 2 * model(x) + step**0.5 * noise

    def annealed_langevin(self, model, x, sigmas, eps, n_steps, noise):
        for i, sigma in enumerate(sigmas):
            step = eps * (sigma / sigmas[-1]) ** 2
            for k in range(n_steps):
                x = x - step / 2 * model(x, sigma * np.ones(len(x))) / sigma + np.sqrt(step) * noise[i, k]
        return x

    def reverse_step(self, model, x, t, s, noise):
        beta, times = 0.1 + 19.9 * t, np.full(len(x), t)
        score = -model(x, times) / self.sigma(times)[:, None]
        return x + (t - s) * (beta * x / 2 + beta * score) + np.sqrt(beta * (t - s)) * noise

    def ode_drift(self, model, x, t):
        beta = (0.1 + 19.9 * t)[:, None]
        return -beta * x / 2 + beta / 2 * model(x, t) / self.sigma(t)[:, None]


class PlainDDPM:
    """Ho et al. 2020 with tables that count from 0, as everybody writes it."""

    process = DDPM(linear_betas(1000))
    declared = {"predicts": "eps", "half": False, "over_dims": "mean", "variance": "beta"}
    beta = np.linspace(1e-4, 0.02, 1000)
    bar = np.cumprod(1 - beta)

    def alpha(self, t):
        return np.sqrt(self.bar[t - 1])

    def sigma(self, t):
        return np.sqrt(1 - self.bar[t - 1])

    def corrupt(self, x0, t, noise):
        return self.alpha(t)[:, None] * x0 + self.sigma(t)[:, None] * noise

    def ddpm_loss(self, model, x0, index, noise):
        return ((noise - model(self.corrupt(x0, index, noise), index)) ** 2).mean()

    def posterior(self, x0, xt, i):
        before, now, beta = self.bar[i - 2] if i > 1 else 1.0, self.bar[i - 1], self.beta[i - 1]
        mean = before**0.5 * beta / (1 - now) * x0 + (1 - beta) ** 0.5 * (1 - before) / (1 - now) * xt
        return mean, np.full(len(x0), (1 - before) / (1 - now) * beta)

    def ddpm_step(self, model, x, i, noise):
        beta = self.beta[i - 1]
        mean = (x - beta / np.sqrt(1 - self.bar[i - 1]) * model(x, np.full(len(x), i))) / np.sqrt(1 - beta)
        return mean if i == 1 else mean + np.sqrt(beta) * noise

    def ddim_step(self, model, x, i, j, eta, noise):
        eps, now, before = model(x, np.full(len(x), i)), self.bar[i - 1], 1.0 if j == 0 else self.bar[j - 1]
        x0 = (x - (1 - now) ** 0.5 * eps) / now**0.5
        std = eta * np.sqrt((1 - before) / (1 - now) * (1 - now / before))
        return before**0.5 * x0 + np.sqrt(1 - before - std**2) * eps + std * noise


def single(plain):
    """The same class with every array rounded to float32 on the way in, and what it returns on the way out."""
    def rounded(function):
        def operation(self, *arguments):
            given = [a.astype(np.float32) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arguments]
            result = function(self, *given)
            return [np.asarray(r, np.float32) for r in result] if isinstance(result, tuple) else np.asarray(result, np.float32)

        return operation

    operations = {name: rounded(f) for name, f in vars(plain).items() if callable(f) and name != "clock"}
    return type(f"Single{plain.__name__}", (plain,), operations)


@pytest.mark.parametrize("declares", [True, False], ids=["declared", "inferred"])
@pytest.mark.parametrize("adapter", [PlainVP, PlainDDPM, single(PlainVP), single(PlainDDPM)], ids=lambda a: a.__name__)
def test_a_right_implementation_passes(adapter, declares):
    conventions = adapter.declared if declares else {}
    result = check(type(adapter.__name__, (adapter,), {"conventions": conventions}))
    assert not [(c.operation, c.message) for c in result.checks if c.outcome not in ("pass", "unsupported")]
    assert result.conventions.items() >= {k: v for k, v in adapter.declared.items()}.items()


def test_cancellation_near_zero_is_named():
    class Cancels(PlainVP):
        conventions = PlainVP.declared

        def sigma(self, t):
            return np.sqrt(1 - np.exp(-self.clock(t)))

    (verdict,) = check(Cancels, only=("sigma",)).checks
    assert verdict.outcome == "fail" and verdict.failing == ("t near 0",)
    assert "expm1" in verdict.message
