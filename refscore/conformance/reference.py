"""Every operation that an adapter may have, as its formula reads: what a candidate is compared with.

`Reference` is itself an adapter: a class with the operations as methods, built without arguments. What depends on a
convention reads it from ``self.conventions``; what depends on the noising, from ``self.process``. A mistake is a function with
the signature of one of these methods, so that ``type("Wrong", (Reference,), {"dsm_loss": mistake})`` makes it.

Losses carry 1/2, sum over dimensions and average over the batch unless the conventions say otherwise. They are written out
here; `refscore.objectives`, whose gradients are by hand, is another road to the same numbers, and the tests compare the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore import objectives
from refscore.conformance.generating import Generating
from refscore.conformance.spec import ENERGIES, Model, Spec, column, converted
from refscore.conformance.undirected import Undirected

DEFAULTS: dict[str, Any] = {
    "predicts": "score",
    "half": True,
    "over_dims": "sum",
    "over_batch": "mean",
    "weight": "one",
    "langevin": "eta",
    "scheme": "euler_maruyama",
    "variance": "beta",
}


class Reference(Generating, Undirected):
    """refscore as an adapter of itself; a subclass may have ``process`` and ``conventions`` in its body.

    Parameters
    ----------
    process : a refscore process, where time is involved.
    conventions : dict, optional
        Any of the keys of `DEFAULTS`; what is left out is as there.
    """

    def __init__(self, process: Any = None, conventions: dict[str, Any] | None = None):
        of_class = type(self)
        self.process = getattr(of_class, "process", None) if process is None else process
        self.conventions = {**DEFAULTS, **getattr(of_class, "conventions", {}), **(conventions or {})}

    # --- models ---

    def model(self, spec: Spec) -> Model:
        """refscore's model of a spec; a mixture returns what ``predicts`` says."""
        return Model(spec, self.process, self.conventions["predicts"])

    def score_at(self, model, x, t=(), alpha=1.0, sigma=None):
        """The score that a model's output stands for at noise level (alpha, sigma); without a level the output itself."""
        predicts = self.conventions["predicts"]
        if model.spec.kind in ENERGIES or (predicts == "energy" and model.spec.kind == "mixture"):
            return -model.gradient(x, *t)
        output = model(x, *t)
        if sigma is None or predicts in ("score", "energy"):
            return output
        return converted(output, x, alpha, sigma, predicts, "score")

    def jacobian_at(self, model, x):
        """The Jacobian of that score, without a noise level, (n, d, d)."""
        if model.spec.kind in ENERGIES or (self.conventions["predicts"] == "energy" and model.spec.kind == "mixture"):
            return -model.hessian(x)
        return model.jacobian(x)

    def averaged(self, rows, d: int):
        """Rows of a loss, 1/2 ||.||^2 summed over d dimensions, as the conventions want the number."""
        c = self.conventions
        rows = rows * (1.0 if c["half"] else 2.0) / (d if c["over_dims"] == "mean" else 1)
        if c["over_batch"] == "none":
            return rows
        return rows.mean() if c["over_batch"] == "mean" else rows.sum()

    # --- the forward process ---

    def alpha(self, t):
        """Signal scale."""
        return self.process.alpha(t)

    def sigma(self, t):
        """Standard deviation of the noise."""
        return self.process.sigma(t)

    def drift(self, x, t):
        """f(x, t)."""
        return self.process.drift(x, t)

    def diffusion(self, t):
        """g(t)."""
        return self.process.diffusion(t)

    def corrupt(self, x0, t, noise):
        """alpha x0 + sigma noise."""
        return column(self.process.alpha(t)) * x0 + column(self.process.sigma(t)) * noise

    def conditional_score(self, xt, x0, t):
        """-(xt - alpha x0)/sigma^2."""
        return -(xt - column(self.process.alpha(t)) * x0) / column(self.process.sigma(t)) ** 2

    def convert(self, value, xt, t, source, target):
        """score = -eps/sigma, xt = alpha x0 + sigma eps, v = alpha eps - sigma x0."""
        return converted(value, xt, self.process.alpha(t), self.process.sigma(t), source, target)

    def denoise(self, model, xt, t):
        """Tweedie: (xt + sigma^2 score)/alpha; of a model that predicts x0 or v what that says, which has all its digits.

        Who goes by way of the score loses some where alpha is small: as much as scales that are rounded twice (`tolerance`).
        """
        (alpha, sigma), (again, twice) = ((self.process.alpha(t), self.process.sigma(t)) for _ in range(2))
        score = self.score_at(model, xt, (t,), alpha, sigma)
        tweedie = (xt + column(twice) ** 2 * score) / column(again)
        elsewhere = type(self).score_at is not Reference.score_at  # in another convention's words
        if elsewhere or self.conventions["predicts"] not in ("x0", "v") or model.spec.kind in ENERGIES:
            return tweedie
        lost = tweedie - (xt + column(sigma) ** 2 * score) / column(alpha)
        return converted(model(xt, t), xt, alpha, sigma, self.conventions["predicts"], "x0") + lost

    # --- losses ---

    def esm_loss(self, model, x, true_score):
        """E 1/2 ||s - true score||^2."""
        return self.averaged(((self.score_at(model, x) - true_score) ** 2).sum(axis=1) / 2, x.shape[1])

    def ism_loss(self, model, x):
        """E [1/2 ||s||^2 + tr Ds]."""
        trace = np.trace(self.jacobian_at(model, x), axis1=1, axis2=2)
        return self.averaged((self.score_at(model, x) ** 2).sum(axis=1) / 2 + trace, x.shape[1])

    def ssm_loss(self, model, x, v):
        """E [1/2 (v's)^2 + v'(Ds)v]."""
        curvature = np.einsum("ni,nij,nj->n", v, self.jacobian_at(model, x), v)
        return self.averaged((v * self.score_at(model, x)).sum(axis=1) ** 2 / 2 + curvature, x.shape[1])

    def ssm_vr_loss(self, model, x, v):
        """E [1/2 ||s||^2 + v'(Ds)v]."""
        curvature = np.einsum("ni,nij,nj->n", v, self.jacobian_at(model, x), v)
        return self.averaged((self.score_at(model, x) ** 2).sum(axis=1) / 2 + curvature, x.shape[1])

    def denoising_rows(self, model, xt, t, alpha, sigma, noise, weight=None):
        """The weighted rows of all denoising losses: 1/2 ||s(xt) + noise/sigma||^2 times lambda."""
        alpha, sigma = (np.broadcast_to(np.asarray(a, dtype=np.float64), len(xt)) for a in (alpha, sigma))
        squares = ((self.score_at(model, xt, t, alpha, sigma) + noise / column(sigma)) ** 2).sum(axis=1) / 2
        weight = weight or self.conventions["weight"]
        if weight == "prediction":  # the plain error of what the model predicts
            predicts = self.conventions["predicts"]
            weight = objectives.prediction_weight("score" if predicts == "energy" else predicts, alpha, sigma)
        else:
            weight = {"one": 1.0, "sigma2": sigma**2}[weight]
        return weight * squares

    def dsm_loss(self, model, x0, sigma, noise):
        """E 1/2 ||s(x0 + sigma noise) + noise/sigma||^2, weighted."""
        return self.averaged(self.denoising_rows(model, x0 + sigma * noise, (), 1.0, sigma, noise), x0.shape[1])

    def dsm_process_loss(self, model, x0, t, noise):
        """E lambda 1/2 ||s(xt, t) + noise/sigma_t||^2, xt = alpha_t x0 + sigma_t noise."""
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        xt = self.corrupt(x0, t, noise)
        return self.averaged(self.denoising_rows(model, xt, (t,), alpha, sigma, noise), x0.shape[1])

    def ncsn_loss(self, model, x0, sigmas, index, noise):
        """E lambda 1/2 ||s(x0 + sigma_i noise, sigma_i) + noise/sigma_i||^2."""
        sigma = sigmas[index]
        return self.averaged(self.denoising_rows(model, x0 + sigma[:, None] * noise, (sigma,), 1.0, sigma, noise), x0.shape[1])

    def ddpm_loss(self, model, x0, index, noise):
        """E 1/2 ||noise - eps(x_i, i)||^2, the half as everywhere by convention; or the error of what the model predicts."""
        alpha, sigma = self.process.alpha(index), self.process.sigma(index)
        xt = self.corrupt(x0, index, noise)
        return self.averaged(self.denoising_rows(model, xt, (index,), alpha, sigma, noise, self._ddpm_weight), x0.shape[1])

    # --- their gradients in the arrays of the spec ---

    def esm_loss_grad(self, model, x, true_score):
        return self._gradient(objectives.esm, model, x, true_score)

    def ism_loss_grad(self, model, x):
        return self._gradient(objectives.ism, model, x)

    def ssm_loss_grad(self, model, x, v):
        return self._gradient(objectives.ssm, model, x, v)

    def ssm_vr_loss_grad(self, model, x, v):
        return self._gradient(objectives.ssm_vr, model, x, v)

    def dsm_loss_grad(self, model, x0, sigma, noise):
        return self._gradient(objectives.dsm, model, x0, sigma, noise, **self._denoising())

    def dsm_process_loss_grad(self, model, x0, t, noise):
        options = self._denoising()
        return self._gradient(objectives.dsm_process, model, self.process, x0, t, noise, options.pop("weight"), **options)

    def ncsn_loss_grad(self, model, x0, sigmas, index, noise):
        return self._gradient(objectives.ncsn, model, x0, sigmas, index, noise, **self._denoising())

    def ddpm_loss_grad(self, model, x0, index, noise):
        options = {**self._denoising(), "weight": self._ddpm_weight}
        return self._gradient(objectives.dsm_process, model, self.process, x0, index, noise, options.pop("weight"), **options)

    @property
    def _ddpm_weight(self) -> str:
        return "prediction" if self.conventions["weight"] == "prediction" else "sigma2"

    def _denoising(self) -> dict[str, Any]:
        predicts = self.conventions["predicts"]
        return {"weight": self.conventions["weight"], "predicts": "score" if predicts == "energy" else predicts}

    def _gradient(self, objective, model, *arguments, **options):
        c = self.conventions
        over_batch = "mean" if c["over_batch"] == "none" else c["over_batch"]  # a gradient is that of one number
        scale = {"half": c["half"], "over_dims": c["over_dims"], "over_batch": over_batch}
        gradient = objective(model.spec.network, *arguments, **options, **scale, grad=True)[1]
        return [gradient[0][: model.spec.dim].T, *gradient[1:]] if model.spec.kind == "linear" else gradient

    # --- derivatives of a model ---

    def jvp(self, model, x, v):
        """(Dm) v; of an energy that of its score."""
        energy = model.spec.kind in ENERGIES
        return np.einsum("nij,nj->ni", self.jacobian_at(model, x), v) if energy else model.jvp(x, v)

    def divergence(self, model, x):
        """tr Dm."""
        return np.trace(self.jacobian_at(model, x), axis1=1, axis2=2)

    def hutchinson(self, model, x, v):
        """v'(Dm)v of the one probe a row."""
        return (v * self.jvp(model, x, v)).sum(axis=1)

    # --- steps ---

    def langevin_step(self, model, x, step, noise):
        """x + eta s + sqrt(2 eta) z, or x + eta/2 s + sqrt(eta) z."""
        half = self.conventions["langevin"] == "half_eta"
        eta = step / 2 if half else step
        return x + eta * self.score_at(model, x) + np.sqrt(2 * eta) * noise

    def annealed_langevin(self, model, x, sigmas, eps, n_steps, noise):
        """Algorithm 1: steps eps sigma_i^2/sigma_L^2, x + step/2 s + sqrt(step) z at each level."""
        half = self.conventions["langevin"] == "half_eta"
        for i, sigma in enumerate(sigmas):
            step = eps * sigma**2 / sigmas[-1] ** 2
            eta = step / 2 if half else step
            for k in range(n_steps):
                level = np.full(len(x), sigma)
                x = x + eta * self.score_at(model, x, (level,), 1.0, level) + np.sqrt(2 * eta) * noise[i, k]
        return x

    def reverse_step(self, model, x, t, s, noise):
        """Euler-Maruyama: x + (-f + g^2 score) h + g sqrt(h) z; or the exponential integrator's a x + b score + sqrt(v) z."""
        score = self.score_now(model, x, t)
        if self.conventions["scheme"] == "exponential":
            a, b, v = self.process.exponential_step(t, s)
            return a * x + b * score + np.sqrt(v) * noise
        h, g = t - s, self.process.diffusion(t)
        return x + h * (-self.process.drift(x, t) + g**2 * score) + g * np.sqrt(h) * noise

    def ode_drift(self, model, x, t):
        """f - 1/2 g^2 score."""
        return self.process.drift(x, t) - column(self.process.diffusion(t)) ** 2 * self.score_now(model, x, t) / 2

    def ddpm_step(self, model, x, index, noise):
        """(x + beta score)/sqrt(1 - beta) + sqrt(variance) z, without noise from 1 to 0."""
        p = self.process
        beta = p.beta(index)
        variance = beta if self.conventions["variance"] == "beta" else beta * (p.sigma(index - 1) / p.sigma(index)) ** 2
        kick = np.sqrt(variance) * noise if index > 1 else 0.0
        return (x + beta * self.score_now(model, x, index)) / np.sqrt(1 - beta) + kick

    def ddim_step(self, model, x, index, prev_index, eta, noise):
        """alpha_s x0-hat + sqrt(sigma_s^2 - v) eps + sqrt(v) z, v = eta^2 sigma_s^2/sigma_t^2 (1 - alpha_t^2/alpha_s^2)."""
        p = self.process
        eps = -p.sigma(index) * self.score_now(model, x, index)
        x0 = (x - p.sigma(index) * eps) / p.alpha(index)
        v = (eta * p.sigma(prev_index) / p.sigma(index)) ** 2 * (1 - (p.alpha(index) / p.alpha(prev_index)) ** 2)
        return p.alpha(prev_index) * x0 + np.sqrt(np.maximum(p.sigma(prev_index) ** 2 - v, 0)) * eps + np.sqrt(v) * noise

    def posterior(self, x0, xt, index):
        """q(x_{i-1} | x_i, x_0): sqrt(ab_{i-1}) beta/(1 - ab_i) x0 + sqrt(1 - beta) (1 - ab_{i-1})/(1 - ab_i) xt, and beta~."""
        p = self.process
        beta, shrunk = p.beta(index), (p.sigma(index - 1) / p.sigma(index)) ** 2
        mean = p.alpha(index - 1) * beta / p.sigma(index) ** 2 * x0 + np.sqrt(1 - beta) * shrunk * xt
        return mean, np.full(len(xt), shrunk * beta)

    def score_now(self, model, x, t):
        """The model's score at one time, which reaches the model as one number a row."""
        return self.score_at(model, x, (np.full(len(x), t),), self.process.alpha(t), self.process.sigma(t))

    # --- the spec's own density ---

    def logpdf(self, spec, x):
        """log p."""
        return spec.density.logpdf(x)

    def score(self, spec, x):
        """grad log p."""
        return spec.density.score(x)
