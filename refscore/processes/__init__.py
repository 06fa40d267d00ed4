"""How noise is added: x_t = alpha_t x_0 + sigma_t z, as the solution of dX = -rate(t) X dt + diffusion(t) dW, or by a chain."""

from refscore.processes.ddpm import DDPM
from refscore.processes.marginal_score import MarginalScore
from refscore.processes.noise_ladder import Overlap, geometric_ladder, ladder_levels, ladder_overlap, ladder_ratio
from refscore.processes.optimal_denoising import denoising_error
from refscore.processes.ou import OU
from refscore.processes.path import Path
from refscore.processes.schedules import cosine_betas, linear_betas, quadratic_betas
from refscore.processes.sub_vp import SubVP
from refscore.processes.time_change import ConvertedScore, time_change
from refscore.processes.tweedie import posterior_covariance, posterior_mean
from refscore.processes.ve import VE
from refscore.processes.vp import VP
from refscore.processes.vp_cosine import VPCosine
from refscore.processes.vp_schedule import VPSchedule

__all__ = [
    "DDPM", "OU", "VE", "VP", "ConvertedScore", "MarginalScore", "Overlap", "Path", "SubVP", "VPCosine", "VPSchedule",
    "cosine_betas", "denoising_error", "geometric_ladder", "ladder_levels", "ladder_overlap", "ladder_ratio", "linear_betas",
    "posterior_covariance", "posterior_mean", "quadratic_betas", "time_change",
]
