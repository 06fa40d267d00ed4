"""Adapters around released packages, as their users would write them: the package's own function called with chosen noise.

Where a package draws its noise inside, the drawing is replaced while it runs: `handed(noise)` makes torch.randn_like and
torch.randn return the next of the arrays given. Nothing else of the package is touched.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from fractions import Fraction
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch

from refscore.conformance.bridges import torch as bridge
from refscore.processes import DDPM, VE, Path, cosine_betas, linear_betas


@contextmanager
def handed(*noise):
    """torch.randn and torch.randn_like give these, one after the other, and the last ever after."""
    queue = list(noise)

    def draw(*args, **kwargs):
        return queue.pop(0) if len(queue) > 1 else queue[0]

    with mock.patch("torch.randn_like", draw), mock.patch("torch.randn", draw):
        yield


# --- diffusers ---


def diffusers_ddpm(variance="fixed_large", **options):
    """DDPMScheduler, with either variance; its indices count from 0, its tables are float32."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(clip_sample=False, variance_type=variance, **options)
    scheduler.set_timesteps(scheduler.config.num_train_timesteps)

    @bridge.adapter
    class Adapter:
        process = DDPM(scheduler.betas.double().numpy())
        conventions = {"predicts": "eps", "variance": {"fixed_large": "beta", "fixed_small": "beta_tilde"}[variance],
                       "dtype": "float32"}

        def alpha(self, t):
            return scheduler.alphas_cumprod[t - 1].sqrt()

        def sigma(self, t):
            return (1 - scheduler.alphas_cumprod[t - 1]).sqrt()

        def corrupt(self, x0, t, noise):
            return scheduler.add_noise(x0, noise, t - 1)

        def ddpm_step(self, model, x, index, noise):
            output = model(x, torch.full((len(x),), float(index), dtype=x.dtype))
            with handed(noise):
                return scheduler.step(output, index - 1, x).prev_sample

    return Adapter


def diffusers_ddim():
    """DDIMScheduler, stepping from any index to any lower one."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=True)

    @bridge.adapter
    class Adapter:
        process = DDPM(scheduler.betas.double().numpy())
        conventions = {"predicts": "eps", "dtype": "float32"}

        def ddim_step(self, model, x, index, prev_index, eta, noise):
            output = model(x, torch.full((len(x),), float(index), dtype=x.dtype))
            scheduler.num_inference_steps = Fraction(len(self.process), index - prev_index)
            return scheduler.step(output, index - 1, x, eta=eta, variance_noise=noise).prev_sample

    return Adapter


# --- azula ---


def azula_schedule(name):
    """One of azula's schedules, beside the same two functions of time written again."""
    import azula.noise as noise

    low = 1e-3
    acos = float(np.arccos(low))
    pairs = {
        "VESchedule": VE(1e-3, 1e3),
        "VPSchedule": Path(lambda t: np.exp(np.log(low) * t**2), lambda t: np.sqrt(-np.expm1(2 * np.log(low) * t**2) + low**2)),
        "CosineSchedule": Path(lambda t: np.cos(acos * t), lambda t: np.sqrt(np.sin(acos * t) ** 2 + low**2)),
        "RectifiedSchedule": Path(lambda t: 1 - t * (1 - low), lambda t: low + t * (1 - low)),
    }
    schedule = getattr(noise, name)()

    @bridge.adapter
    class Adapter:
        process = pairs[name]

        def alpha(self, t):
            return schedule(t)[0]

        def sigma(self, t):
            return schedule(t)[1]

    return Adapter


def azula_sampler():
    """DDIMSampler, whose eta multiplies the variance, where the paper's multiplies the standard deviation."""
    from azula.noise import VPSchedule
    from azula.sample import DDIMSampler

    betas = linear_betas(100)
    steps = DDPM(betas)

    class Table(VPSchedule):
        """The schedule of a chain: (alpha, sigma) at indices."""

        def __call__(self, t):
            index = np.asarray(t).astype(int)
            return torch.tensor(steps.alpha(index)), torch.tensor(steps.sigma(index))

    @bridge.adapter
    class Adapter:
        process = steps
        conventions = {"predicts": "x0"}

        def ddim_step(self, model, x, index, prev_index, eta, noise):
            def denoiser(x, t):
                return SimpleNamespace(mean=model(x, torch.full((len(x),), float(t), dtype=x.dtype)))

            denoiser.schedule = Table()
            sampler = DDIMSampler.__new__(DDIMSampler)
            sampler.denoiser, sampler.eta = denoiser, eta
            with handed(noise):
                return sampler.step(x, torch.tensor(index), torch.tensor(prev_index))

    return Adapter


# --- smalldiffusion: x = x0 + sigma noise ---


def smalldiffusion_adapter():
    """ScheduleDDPM, `samples` with mu = 0 (DDIM) and mu = 1/2 (DDPM), and the loss of ModelMixin."""
    import smalldiffusion.diffusion as code
    from smalldiffusion.model import ModelMixin

    schedule = code.ScheduleDDPM(N=200)

    @bridge.adapter
    class Adapter:
        process = DDPM(linear_betas(200, 1e-4, 0.02))
        conventions = {"predicts": "eps", "half": False, "over_dims": "mean", "weight": "sigma2", "dtype": "float32"}

        def alpha(self, t):
            return 1 / torch.sqrt(1 + schedule[t - 1] ** 2)

        def sigma(self, t):
            return schedule[t - 1] / torch.sqrt(1 + schedule[t - 1] ** 2)

        def ncsn_loss(self, model, x0, sigmas, index, noise):
            network = SimpleNamespace()
            network = lambda x, sigma, cond=None: model(x, sigma[:, 0])  # noqa: E731
            return ModelMixin.get_loss(network, x0, sigmas[index][:, None], noise)

        def ddim_step(self, model, x, index, prev_index, eta, noise):
            if eta not in (0.0, 1.0) or prev_index == 0:
                raise NotImplementedError("mu is 0 or 1/2, and the last sigma is that of index 1")
            a, b = (schedule[i - 1].double() for i in (index, prev_index))
            inner, outer = torch.sqrt(1 + a**2), torch.sqrt(1 + b**2)

            class Network:
                def eval(self): ...

                def rand_input(self, batch):
                    return noise

                def predict_eps_cfg(self, y, sigma, cond, scale):
                    return model(y / inner, torch.full((len(y),), float(index), dtype=y.dtype))

            steps = code.samples(Network(), [a, b], mu=eta / 2, xt=x * inner, accelerator=SimpleNamespace(device="cpu"))
            return next(steps) / outer

    return Adapter


def smalldiffusion_cosine():
    """ScheduleCosine; and its betas are clipped as the paper says."""
    import smalldiffusion.diffusion as code

    schedule = code.ScheduleCosine(N=100)

    @bridge.adapter
    class Adapter:
        process = DDPM(cosine_betas(100))
        conventions = {"dtype": "float32"}

        def alpha(self, t):
            return 1 / torch.sqrt(1 + schedule[t - 1] ** 2)

    return Adapter


# --- torchebm ---


def torchebm_losses(approximate=False):
    """ScoreMatching, SlicedScoreMatching, DenoisingScoreMatching and LangevinDynamics on the energies of the specs."""
    from torchebm.core import BaseModel
    from torchebm.losses import DenoisingScoreMatching, ScoreMatching, SlicedScoreMatching
    from torchebm.samplers import LangevinDynamics

    double = {"dtype": torch.float64, "device": "cpu"}

    class Wrapped(BaseModel):
        """An energy in the package's own class, which adds its gradient."""

        def __init__(self, energy):
            super().__init__(**double)
            self.energy = energy

        def forward(self, x):
            return self.energy(x)

    @bridge.adapter
    class Adapter:
        conventions = {"predicts": "energy", "half": True, "over_dims": "sum", "over_batch": "mean", "weight": "one",
                       "langevin": "eta"}

        def ism_loss(self, model, x):
            if not approximate:
                return ScoreMatching(model, hessian_method="exact", **double)(x)
            probes = [np.eye(x.shape[1])[k] * np.sqrt(x.shape[1]) for k in range(x.shape[1])]  # E vv' = I, exactly
            values = []
            for v in probes:
                with handed(torch.tensor(np.tile(v, (len(x), 1)))):
                    values.append(ScoreMatching(model, hessian_method="approx", **double)(x))
            return sum(values) / len(values)

        def ssm_loss(self, model, x, v):
            loss = SlicedScoreMatching(model, n_projections=1, projection_type="gaussian", **double)
            with handed(v):
                return loss(x)

        def dsm_loss(self, model, x0, sigma, noise):
            with handed(noise):
                return DenoisingScoreMatching(model, noise_scale=sigma, **double)(x0)

        def langevin_step(self, model, x, step, noise):
            with handed(noise):
                return LangevinDynamics(Wrapped(model), step_size=step, **double).sample(x=x, n_steps=1)

    return Adapter


# --- toy-gradlogp ---


def toy_gradlogp_adapter():
    """Trainer's losses, langevin_dynamics, and anneal_langevin_dynamics."""
    with mock.patch.dict(sys.modules, {"torch.utils.tensorboard": SimpleNamespace(SummaryWriter=None)}):  # for its logs alone
        from toy_gradlogp.energy import Energy, Trainer
        from toy_gradlogp.utils import anneal_langevin_dynamics, langevin_dynamics

    def trainer(model):
        net = lambda x: model(x)[:, None]  # noqa: E731
        energy = Energy.__new__(Energy)
        torch.nn.Module.__init__(energy)
        energy.net = net
        holder = Trainer.__new__(Trainer)
        holder.model, holder.n_slices = energy, 1
        return holder

    @bridge.adapter
    class Adapter:
        conventions = {"predicts": "energy", "half": True, "over_dims": "sum", "over_batch": "mean", "weight": "one",
                       "langevin": "half_eta"}

        def ssm_loss(self, model, x, v):
            return trainer(model).ssm_loss(x, v)

        def ssm_vr_loss(self, model, x, v):
            return trainer(model).ssm_vr_loss(x, v)

        def dsm_loss(self, model, x0, sigma, noise):
            return trainer(model).dsm_loss(x0, noise, sigma)

        def langevin_step(self, model, x, step, noise):
            with handed(noise):
                return langevin_dynamics(trainer(model).model.score, x, step, 1)

        def annealed_langevin(self, model, x, sigmas, eps, n_steps, noise):
            def score(y, sigma):
                y = y.detach().requires_grad_(True)
                return -torch.autograd.grad(model(y, sigma.expand(len(y))).sum(), y)[0]

            with handed(*noise.reshape(-1, *x.shape)):
                return anneal_langevin_dynamics(score, x, sigmas, eps, n_steps)

    return Adapter


# --- blackjax ---


def blackjax_langevin():
    """The step of overdamped Langevin dynamics that sgld runs."""
    import blackjax.sgmcmc.diffusions as diffusions

    from refscore.conformance.bridges import jax as bridge

    @bridge.adapter
    class Adapter:
        conventions = {"langevin": "eta"}

        def langevin_step(self, model, x, step, noise):
            with mock.patch.object(diffusions, "generate_gaussian_noise", lambda key, position: noise):
                return diffusions.overdamped_langevin()(None, x, model(x), step)

    return Adapter
