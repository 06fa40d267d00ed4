"""Textbook forms that round more than others are acquitted; what is wrong by more than their rounding is not."""

import numpy as np
import pytest

from refscore.conformance import check
from refscore.processes import DDPM, OU, VP, Path


def outcomes(adapter, *only):
    return {c.operation: (c.outcome, c.message) for c in check(adapter, only=only or None).checks if c.outcome != "unsupported"}


def passes(adapter, *only):
    found = outcomes(adapter, *only)
    assert found and {k: v for k, v in found.items() if v[0] != "pass"} == {}


class PosteriorForm:
    """q(x_{i-1} | x_i, x0-hat) of Ho et al. 2020, x0-hat from the noise; variance beta."""

    first, dtype = 1e-4, np.float64
    conventions = {"predicts": "eps"}

    def __init__(self):
        beta = np.linspace(self.first, 0.02, 1000)
        self.process, self.beta = DDPM(beta), beta.astype(self.dtype)
        self.bar = np.cumprod(1 - self.beta, dtype=self.dtype)

    def ddpm_step(self, model, x, i, noise):
        x, noise, one = x.astype(self.dtype), noise.astype(self.dtype), self.dtype(1)
        now, before, beta = self.bar[i - 1], self.bar[i - 2] if i > 1 else one, self.beta[i - 1]
        x0 = (x - np.sqrt(one - now) * model(x, np.full(len(x), i)).astype(self.dtype)) / np.sqrt(now)
        mean = np.sqrt(before) * beta / (one - now) * x0 + np.sqrt(one - beta) * (one - before) / (one - now) * x
        return (mean if i == 1 else mean + np.sqrt(beta) * noise).astype(self.dtype)


@pytest.mark.parametrize(("first", "dtype"), [(1e-4, np.float32), (1e-6, np.float64)])
def test_a_step_in_the_form_of_the_posterior(first, dtype):
    passes(type("Form", (PosteriorForm,), {"first": first, "dtype": dtype}), "ddpm_step")


class SmallRate:
    """sigma^2 = s^2/(2 beta) (1 - exp(-2 beta t))."""

    conventions = {"predicts": "score"}
    rate = 1e-4
    off = 0.0

    @property
    def process(self):
        return OU(self.rate, 1.3)

    def alpha(self, t):
        return np.exp(-self.rate * t)

    def std(self, t):
        return np.sqrt(1.3**2 / (2 * self.rate) * (1 - np.exp(-2 * self.rate * t))) * (1 + self.off)

    def corrupt(self, x0, t, noise):
        return self.alpha(t)[:, None] * x0 + self.std(t)[:, None] * noise

    def conditional_score(self, xt, x0, t):
        return -(xt - self.alpha(t)[:, None] * x0) / self.std(t)[:, None] ** 2

    def dsm_process_loss(self, model, x0, t, noise):
        return ((model(self.corrupt(x0, t, noise), t) + noise / self.std(t)[:, None]) ** 2).sum(axis=1).mean() / 2


@pytest.mark.parametrize("rate", [1e-2, 1e-4, 1e-6, 1e-7])
def test_a_small_rate_of_ou_loses_digits(rate):
    passes(type("Slow", (SmallRate,), {"rate": rate}))


@pytest.mark.parametrize(("rate", "off"), [(0.8, 1e-10), (1e-4, 1e-7), (1e-8, 1e-6)])
def test_what_is_wrong_at_a_small_rate_is_seen(rate, off):
    found = outcomes(type("Wrong", (SmallRate,), {"rate": rate, "off": off}))
    assert {kind for kind, _ in found.values()} <= {"fail", "blocked", "pass"} and found["corrupt"][0] == "fail"


class Polynomial:
    """alpha = 1 - t^3, sigma = t^2: the reference is told no slopes, and takes differences."""

    off = 0.0
    process = Path(lambda t: 1 - t**3, lambda t: t**2)

    def drift(self, x, t):
        return (-3 * t**2 / (1 - t**3) * (1 + self.off))[:, None] * x

    def diffusion(self, t):
        return np.sqrt(4 * t**3 + 6 * t**6 / (1 - t**3)) * (1 + self.off)

    def ode_drift(self, model, x, t):
        return self.drift(x, t) - self.diffusion(t)[:, None] ** 2 / 2 * model(x, t)


@pytest.mark.parametrize("off", [0.0, 1e-8])
def test_a_reference_that_takes_differences_knows_its_error(off):
    found = outcomes(type("Exact", (Polynomial,), {"off": off, "conventions": {"predicts": "score"}}))
    assert {kind for kind, _ in found.values()} == ({"fail", "blocked"} if off else {"pass"})


def test_the_error_of_a_path_bounds_what_differences_leave():
    given = Path(lambda t: 1 - t**3, lambda t: t**2, alpha_slope=lambda t: -3 * t**2, sigma_slope=lambda t: 2 * t)
    t = np.linspace(0.005, 0.995, 199)
    of_rate, of_g = Polynomial.process.coefficient_errors(t)
    rounding = 1e-14
    assert (np.abs(Polynomial.process.rate(t) - given.rate(t)) <= of_rate + rounding * given.rate(t)).all()
    assert (np.abs(Polynomial.process.diffusion(t) - given.diffusion(t)) <= of_g + rounding * given.diffusion(t)).all()
    assert (of_rate < 1e-10 * (1 + given.rate(t))).all() and max(np.max(e) for e in given.coefficient_errors(t)) == 0


class Contrastive:
    dtype, shift = np.float16, 0.0

    def rbm_cd_gradient(self, x, W, b, c, k, seed):
        def mean(u):
            return (1 / (1 + np.exp(-u))).astype(self.dtype)

        rng = np.random.default_rng(seed)
        x, W, b, c = (a.astype(self.dtype) for a in (x, W, b, c))
        y = x
        for _ in range(k):
            z = (rng.random((len(x), len(c))) < mean(y @ W + c)).astype(self.dtype)
            y = (rng.random(x.shape) < mean(z @ W.T + b)).astype(self.dtype)
        first, last = mean(x @ W + c + self.dtype(self.shift)), mean(y @ W + c)
        dW = (x.T.astype(np.float32) @ first - y.T.astype(np.float32) @ last) / len(x)
        return [g.astype(self.dtype) for g in (dW, (x - y).mean(0, np.float32), (first - last).mean(0, np.float32))]


@pytest.mark.parametrize("declared", [{}, pytest.param({"dtype": "float16"}, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_contrastive_divergence_in_half_precision(declared, shift):
    adapter = type("Half", (Contrastive,), {"conventions": declared, "shift": shift})
    assert outcomes(adapter, "rbm_cd_gradient")["rbm_cd_gradient"][0] == ("fail" if shift else "pass")


def test_tables_in_single_precision_that_are_stored_in_double():
    beta = np.linspace(1e-4, 0.02, 1000, dtype=np.float32)
    bar = np.cumprod(1 - beta).astype(np.float64)

    class Tables:
        process = DDPM(np.linspace(1e-4, 0.02, 1000))
        conventions = {"dtype": "float32"}

        def alpha(self, t):
            return np.sqrt(bar[t - 1])

        def sigma(self, t):
            return np.sqrt(1 - bar[t - 1])

        def corrupt(self, x0, t, noise):
            return self.alpha(t)[:, None] * x0 + self.sigma(t)[:, None] * noise

    passes(Tables)
    found = outcomes(type("Undeclared", (Tables,), {"conventions": {}}))
    assert {kind for kind, _ in found.values()} <= {"fail", "blocked"}


def test_a_product_by_complex_step():
    def layer(z, kind):
        return np.tanh(z) if kind == "tanh" else np.log(1 + np.exp(z))

    class Complex:
        def model(self, spec):
            return spec

        def jvp(self, model, x, v):
            a, z = model.arrays, x + 1e-20j * v
            if model.kind == "mixture":
                apart = [z - m for m in a["means"]]
                logs = np.stack([np.log(w) - (r**2).sum(1) / (2 * s) - len(r[0]) / 2 * np.log(s)
                                 for w, r, s in zip(a["weights"], apart, a["variances"], strict=True)])
                p = np.exp(logs - logs.real.max(axis=0))
                value = -sum((q / p.sum(axis=0))[:, None] * r / s for q, r, s in zip(p, apart, a["variances"], strict=True))
                return value.imag / 1e-20
            if model.kind == "linear":
                return (z @ a["A"].T + a["b"]).imag / 1e-20
            arrays = list(a.values())
            for k in range(0, len(arrays), 2):
                z = (layer(z, model.activation) if k else z) @ arrays[k] + arrays[k + 1]
            return z.imag / 1e-20

    passes(Complex, "jvp")


@pytest.mark.parametrize("law", ["gaussian", "sphere"])
def test_a_mean_of_several_directions(law):
    class Mean:
        def hutchinson(self, model, x, seed):
            rng, total = np.random.default_rng(seed), np.zeros(len(x))
            for _ in range(4):
                v = rng.standard_normal(x.shape)
                if law == "sphere":
                    v *= np.sqrt(x.shape[1]) / np.linalg.norm(v, axis=1, keepdims=True)
                total += (v * model.jvp(x, v)).sum(axis=1) / 4
            return total

    passes(Mean, "hutchinson")


def test_times_on_a_grid():
    """alpha and sigma of VP at the times of a grid, as a chain: what a table at linspace times holds."""
    n = 200
    p, grid = DDPM.from_vp(VP(), np.linspace(0, 1, n + 1)), np.linspace(0, 1, n + 1)

    class Grid:
        process = p

        def alpha(self, t):
            return np.exp(-(0.1 * grid[t] + 9.95 * grid[t] ** 2) / 2)

        def sigma(self, t):
            return np.sqrt(1 - self.alpha(t) ** 2)

    passes(Grid)
