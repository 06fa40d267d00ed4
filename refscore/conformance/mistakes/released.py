"""Seen in released packages by the checks themselves."""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import elsewhere, mistake


@elsewhere("ddim_step", "eta multiplies the variance of the noise", means="v = eta v_1", here="v = eta^2 v_1",
           seen="azula.sample.DDIMSampler")
def ddim_eta_of_the_variance(self, model, x, index, prev_index, eta, noise):
    return self.ddim_step(model, x, index, prev_index, np.sqrt(eta), noise)


@mistake("annealed_langevin", wrong="noise of std sqrt(eps) at every level", right="sqrt(step_i)", seen="toy_gradlogp 0.2.2")
def annealed_noise_of_the_last_level(self, model, x, sigmas, eps, n_steps, noise):
    half = self.conventions["langevin"] == "half_eta"
    for i, sigma in enumerate(sigmas):
        step = eps * sigma**2 / sigmas[-1] ** 2
        for k in range(n_steps):
            level = np.full(len(x), sigma)
            drift = (step / 2 if half else step) * self.score_at(model, x, (level,), 1.0, level)
            x = x + drift + np.sqrt(eps if half else 2 * eps) * noise[i, k]
    return x
