"""The operations of the package by name, in one frozen namespace.

Identities never call the package directly: they call ``ops.score(density, x)``. So any single operation can be
exchanged (``ops.replace(score=wrong_score)``) and one sees whether the identities notice: that is what the catalogue
of mistakes is for. `REFERENCE` is the package itself. An operation is a method, called on its first argument, or a
function of a room, imported when it is called; its meaning and its arguments are documented there.

A function that an identity hands on as a callable (the score of a sampler, say) goes through ``ops`` too; what the
package calls internally does not, and is itself an operation where that matters.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace

METHODS = {  # object: its methods
    "density": "logpdf score score_jacobian score_divergence corrupted expectation log_normalizer",
    "process": "alpha sigma drift diffusion corrupt conditional_score marginal convert transition exponential_step "
    "posterior",
    "model": "jvp vjp jacobian divergence jvp_gradient divergence_gradient energy",
    "activation": "slope curvature third",
    "flow": "log_likelihood",
    "boltzmann machine": "log_partition hidden_logpdf free_energy hidden_mean visible_mean moments mixture",
}
UNDER_ANOTHER_NAME = {
    "forward": "__call__",
    "activate": "__call__",
    "parameter_gradient": "gradient",
    "energy_gradient": "parameter_gradient",
    "time_features": "__call__",
    "optimiser_update": "update",
    "flow_drift": "drift",
    "flow_integrate": "integrate",
    "flow_steps": "steps",
    "mrf_log_weight": "log_weight",
    "mrf_conditional": "conditional",
    "mrf_log_partition": "log_partition",
    "mrf_log_evidence": "log_evidence",
    "mrf_marginals": "marginals",
    "mrf_agreements": "agreements",
    "mrf_map": "map",
    "mrf_transform": "transform",
    "mrf_gibbs": "gibbs",
}
FUNCTIONS = {  # room: its functions
    "densities": "nonnegative",
    "processes": "posterior_mean posterior_covariance geometric_ladder ladder_overlap ladder_ratio ladder_levels "
    "denoising_error linear_betas quadratic_betas cosine_betas time_change ConvertedScore",
    "networks": "hutchinson hutchinson_variance probes directional_difference complex_step line_derivatives best_step",
    "objectives": "boundary_flux esm ism psm ssm ssm_vr sliced_variance dsm dsm_process dsm_integrated ncsn ddpm_simple "
    "prediction_weight contrastive_divergence irreducible_loss dsm_variance "
    "variational_loss variational_bound prior_loss",
    "samplers": "reverse_drift reverse_sde langevin annealed_langevin probability_flow ddpm ddim sgld decreasing_steps "
    "predictor_corrector snr_steps mala wiener_increments refined_increments summed_increments forward_sde",
    "laws": "law stationary langevin_stationary langevin_bias minibatch_moments acceptance_rate",
    "energy": "all_images icm mean_field mean_field_bound gibbs gibbs_matrix gibbs_spectrum spectral_gap gibbs_law mixing_bound "
    "contrastive_gradient cd_gradient pcd_gradient expected_cd_gradient contrastive_step",
    "distances": "total_variation fisher fisher_information kl wasserstein2",
    "training": "minibatch train train_step",
    "bounds": "chen2023 martingale_bound score_lipschitz second_moment score_errors path_kl displacement score_motion "
    "score_change second_moment_along start_error stop_error",
}


def _method(name: str) -> Callable:
    return lambda subject, *arguments, **options: getattr(subject, name)(*arguments, **options)


def _function(room: str, name: str) -> Callable:
    def call(*arguments, **options):
        return getattr(importlib.import_module(f"refscore.{room}"), name)(*arguments, **options)

    return call


class Operations(SimpleNamespace):
    """Plain functions by name; the first argument of each is the object that it works on."""

    def replace(self, **functions: Callable) -> Operations:
        """These operations with some of them exchanged, ``ops.replace(score=wrong_score)``."""
        for name, function in functions.items():
            if name not in NAMES:
                raise ValueError(f"there is no operation {name!r}: choose one of {', '.join(NAMES)}")
            if not callable(function):
                raise TypeError(f"operation {name!r} is {function!r}: pass a function with the operation's signature")
        return Operations(**{**vars(self), **functions})

    def __setattr__(self, name, value):
        raise AttributeError("operations are not changed in place: ops.replace(name=function) gives new ones")


REFERENCE = Operations(
    **{name: _method(name) for names in METHODS.values() for name in names.split()},
    **{name: _method(method) for name, method in UNDER_ANOTHER_NAME.items()},
    **{name: _function(room, name) for room, names in FUNCTIONS.items() for name in names.split()},
)
"""The package itself."""

NAMES = tuple(vars(REFERENCE))
