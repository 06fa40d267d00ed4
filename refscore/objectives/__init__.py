"""What training minimises, as functions of explicit noise and directions, each with a hand-written parameter gradient.

explicit    esm                                     the Fisher divergence to a given score
implicit    ism                                     the same without the true score, exact trace
boundary    boundary_flux                           what separates explicit and implicit where the support ends
sliced      psm, ssm, ssm_vr; sliced_variance       along random directions
denoising   dsm, dsm_process; prediction_weight     regression on the noise kernel's score: one level, or along a process
irreducible irreducible_loss                        what no model can take from the denoising loss
denoising_variance  dsm_variance                    how noisy the denoising loss and its gradient are
integrated  dsm_integrated, time_nodes              over a stretch of time
ncsn        ncsn                                    over a ladder of noise levels
ddpm        ddpm_simple                             noise prediction as published
variational variational_loss, variational_bound     the bound on the likelihood, term by term
contrastive contrastive_divergence                  the likelihood's gradient for an energy

Conventions are arguments of every loss, with these defaults: ``half=True`` (1/2 ||.||^2), ``over_dims='sum'`` (or 'mean': divided
by d), ``over_batch='mean'`` (or 'sum', or 'none': one loss a row), ``sample_weight=None`` (or w (n,) in place of 1/n: the loss is
sum_i w_i loss_i, not divided by the sum of w). With ``grad=True`` the value comes with the gradient in the model's parameters, a
list of arrays in the order of ``model.parameters``, [dW1, db1, dW2, db2, ...]. A model of (x, t) has t as its last input.
"""

from refscore.objectives.boundary import boundary_flux
from refscore.objectives.contrastive import contrastive_divergence
from refscore.objectives.ddpm import ddpm_simple
from refscore.objectives.denoising import dsm, dsm_process, prediction_weight
from refscore.objectives.denoising_variance import dsm_variance
from refscore.objectives.explicit import esm
from refscore.objectives.implicit import ism
from refscore.objectives.integrated import dsm_integrated, time_nodes
from refscore.objectives.irreducible import irreducible_loss
from refscore.objectives.ncsn import ncsn
from refscore.objectives.sliced import psm, sliced_variance, ssm, ssm_vr
from refscore.objectives.variational import VariationalBound, prior_loss, variational_bound, variational_loss

__all__ = [
    "VariationalBound",
    "boundary_flux",
    "contrastive_divergence",
    "ddpm_simple",
    "dsm",
    "dsm_integrated",
    "dsm_process",
    "dsm_variance",
    "esm",
    "irreducible_loss",
    "ism",
    "ncsn",
    "prediction_weight",
    "prior_loss",
    "psm",
    "sliced_variance",
    "ssm",
    "ssm_vr",
    "time_nodes",
    "variational_bound",
    "variational_loss",
]
