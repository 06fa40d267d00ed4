"""An adapter of PyTorch code for `refscore check`: put your own code where the formulas are, and delete what you do not have.

    refscore check FILE.py:Mine

Every method is optional. Under `@bridge.adapter` the operations take and return tensors, `model` is an nn.Module called (x, t) or
(x), and every loss gets its gradient by autograd. `refscore list` names all operations, `refscore explain dsm_process_loss` says
what one of them is, which conventions it may follow, and which mistakes it is compared with.
"""

import torch

from refscore.conformance.bridges import torch as bridge
from refscore.processes import VP


@bridge.adapter  # single precision: @bridge.adapter(dtype=torch.float32)
class Mine:
    # What your noising is, in refscore's terms: VP, VE, SubVP, OU, DDPM(betas), or Path(alpha, sigma) for any two functions.
    process = VP(beta_min=0.1, beta_max=20.0)

    # What your numbers mean. Keys that you leave out are inferred and reported; one that you declare is held against you.
    conventions = {
        "predicts": "eps",  # what a model's output stands for: 'score', 'eps', 'x0', 'v' or 'energy'
        "half": False,  # whether losses carry the factor 1/2
        "over_dims": "mean",  # 'sum' or 'mean' over the d dimensions; over_batch: 'mean', 'sum' or 'none'
        "weight": "sigma2",  # of denoising losses: 'one', the score's error, or 'sigma2', the noise's
    }

    # --- the forward process: x_t = alpha x_0 + sigma noise ---

    def alpha(self, t):
        return torch.exp(-0.5 * self._clock(t))

    def sigma(self, t):
        return torch.sqrt(-torch.expm1(-self._clock(t)))

    def corrupt(self, x0, t, noise):
        return self.alpha(t)[:, None] * x0 + self.sigma(t)[:, None] * noise

    def _clock(self, t):
        return 0.1 * t + 0.5 * 19.9 * t**2  # the integral of beta

    # --- training ---

    def dsm_process_loss(self, model, x0, t, noise):
        return torch.mean((model(self.corrupt(x0, t, noise), t) - noise) ** 2)

    # --- sampling: one step from t down to s, with the noise handed in. If your code draws its own, take `seed` in its place. ---

    def reverse_step(self, model, x, t, s, noise):
        beta, h = 0.1 + 19.9 * t, t - s
        times = torch.full((len(x),), t, dtype=x.dtype)
        score = -model(x, times) / self.sigma(times)[:, None]
        return x + h * (0.5 * beta * x + beta * score) + (beta * h) ** 0.5 * noise
