"""Wrong versions of Z, of the likelihood and of contrastive divergence for models that are known up to a constant."""

from __future__ import annotations

import math

import numpy as np

from refscore import energy
from refscore.energy import BinaryEnergyModel, EnergyModel
from refscore.energy.negatives import contrastive_step
from refscore.mistakes._registry import mistake


class _Negative:
    """-E."""

    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        return -self.function(x)


@mistake("log_partition", wrong="int e^{E}", right="int e^{-E}", seen="lecture e calls f = -E the energy")
def ebm_partition_of_positive_energy(model):
    """On all of space e^E has no integral; where there is one, it is taken."""
    if isinstance(model, BinaryEnergyModel):
        return BinaryEnergyModel(_Negative(model.energy), model.dim).log_partition()
    if model.box is None:
        return model.log_partition()
    return EnergyModel(_Negative(model.energy), model.dim, box=model.box).log_partition()


@mistake("log_partition", wrong="half of the box", right="the box", seen="x >= 0 kept, by a symmetry that E has not")
def ebm_partition_of_half_the_box(model):
    if getattr(model, "box", None) is None:
        return model.log_partition()
    box = model.box.copy()
    box[0, 0] = box[0].mean()
    return EnergyModel(model.energy, model.dim, box=box).log_partition()


@mistake("log_partition", wrong="log mean e^{-E}", right="log mean e^{-E} + log of the volume",
         seen="logsumexp - log n over samples of a box")
def ebm_partition_without_volume(model):
    value, error = model.log_partition()
    if isinstance(model, BinaryEnergyModel):
        return value - model.dim * math.log(2), error
    return (value, error) if model.box is None else (value - float(np.log(np.diff(model.box, axis=1)).sum()), error)


@mistake("log_partition", wrong="sum over nodes u", right="times |det| of x = m + L u",
         seen="change of variables without its determinant")
def ebm_partition_without_determinant(model):
    value, error = model.log_partition()
    proposal = getattr(model, "proposal", None)
    return (value, error) if proposal is None else (value - float(np.linalg.slogdet(proposal.cov)[1]) / 2, error)


@mistake("log_partition", wrong="-log Z", right="log Z", seen="the free energy of physics, of the other sign")
def ebm_partition_negated(model):
    value, error = model.log_partition()
    return -value, error


@mistake("log_partition", wrong="max of -E", right="log int e^{-E}", seen="log-sum-exp without its sum")
def ebm_partition_of_the_deepest_well(model):
    if isinstance(model, BinaryEnergyModel):
        return float(model.exponent(np.array([[(i >> j) & 1 for j in range(model.dim)] for i in range(2**model.dim)])).max()), 0.0
    return float(model.exponent(model.nodes()[0]).max()), 0.0


@mistake("logpdf", wrong="f + log Z", right="f - log Z", seen="sign of log Z")
def ebm_logpdf_adds_log_z(model, x):
    return model.exponent(x) + model.log_partition()[0]


@mistake("logpdf", wrong="E - log Z", right="-E - log Z", seen="f = -E taken for E")
def ebm_logpdf_of_positive_energy(model, x):
    return -model.exponent(x) - model.log_partition()[0]


@mistake("logpdf", wrong="f", right="f - log Z", seen="an unnormalised density used as one")
def ebm_logpdf_not_normalised(model, x):
    return model.exponent(x)


@mistake("score", wrong="grad f/Z", right="grad f", seen="Z, a constant, divided out of the gradient")
def ebm_score_over_z(model, x):
    return model.score(x) / math.exp(model.log_partition()[0])


@mistake("expectation", wrong="sum w e^{-E} g", right="divided by Z", seen="weights that are not normalised")
def ebm_expectation_times_z(model, g):
    value, error = model.expectation(g)
    return value * math.exp(model.log_partition()[0]), error


def _likelihood(model, x, grad, data: float, mean: float, offset: float = 0.0):
    """The gradient as mean E_model - data E_data."""
    value = model.log_likelihood(x) + offset
    if not grad:
        return value
    positive = model.energy.parameter_gradient(x, np.full(len(x), 1 / len(x)))
    return value, [mean * m - data * d for m, d in zip(model.mean_parameter_gradient(), positive, strict=True)]


@mistake("log_likelihood", wrong="E_data grad E - E_model grad E", right="E_model grad E - E_data grad E",
         seen="formula for f used with E = -f")
def ebm_gradient_descends(model, x, grad=False):
    return _likelihood(model, x, grad, -1.0, -1.0)


@mistake("log_likelihood", wrong="-E_data grad E", right="E_model grad E - E_data grad E",
         seen="Z taken for a constant of the parameters")
def ebm_gradient_of_constant_z(model, x, grad=False):
    return _likelihood(model, x, grad, 1.0, 0.0)


@mistake("log_likelihood", wrong="grad Z", right="grad Z/Z", seen="gradient of Z for that of log Z")
def ebm_gradient_of_z_for_log_z(model, x, grad=False):
    return _likelihood(model, x, grad, 1.0, math.exp(model.log_partition()[0]))


@mistake("log_likelihood", wrong="sum over data", right="mean over data", seen="1/n missing in front of one of the two terms")
def ebm_gradient_sum_over_data(model, x, grad=False):
    return _likelihood(model, x, grad, float(len(x)), 1.0)


@mistake("log_likelihood", wrong="E_model under the data", right="E_model under the model",
         seen="negatives drawn from the training set")
def ebm_gradient_of_model_under_data(model, x, grad=False):
    result = model.log_likelihood(x, grad)
    return (result[0], [np.zeros_like(g) for g in result[1]]) if grad else result


@mistake("log_likelihood", wrong="E_data + E_model", right="E_model - E_data", seen="sign of the negative phase")
def ebm_gradient_adds_phases(model, x, grad=False):
    return _likelihood(model, x, grad, 1.0, -1.0)


@mistake("log_likelihood", wrong="mean f", right="mean f - log Z", seen="loss of contrastive divergence taken for the likelihood")
def ebm_likelihood_without_z(model, x, grad=False):
    return _likelihood(model, x, grad, 1.0, 1.0, model.log_partition()[0])


@mistake("contrastive_step", wrong="gradient of -log p", right="gradient of log p", seen="descent direction, added")
def contrastive_step_descends(model, x, chain, start, rng):
    gradient, negatives = contrastive_step(model, x, chain, start, rng)
    return [-g for g in gradient], negatives


@mistake("contrastive_step", wrong="PCD from the data", right="from where it was left", seen="chains restarted at every step")
def contrastive_step_restarted(model, x, chain, start, rng):
    return contrastive_step(model, x, chain, x, rng)


@mistake("contrastive_step", wrong="negatives are where the chains began", right="where they end",
         seen="state of the chain not stored")
def contrastive_step_returns_start(model, x, chain, start, rng):
    return contrastive_step(model, x, chain, start, rng)[0], start


@mistake("contrastive_step", wrong="k - 1 steps", right="k steps", seen="range(1, k)")
def contrastive_step_one_step_short(model, x, chain, start, rng):
    return contrastive_step(model, x, chain[: len(chain) - 1], start, rng)


@mistake("contrastive_step", wrong="sums", right="means", seen="1/n missing")
def contrastive_step_sums(model, x, chain, start, rng):
    gradient, negatives = contrastive_step(model, x, chain, start, rng)
    return [len(x) * g for g in gradient], negatives


@mistake("contrastive_step", wrong="negatives' energies alone", right="and the data's", seen="positive phase forgotten")
def contrastive_step_negatives_alone(model, x, chain, start, rng):
    negatives = energy.contrastive_step(model, x, chain, start, rng)[1]
    return model.energy.parameter_gradient(negatives, np.full(len(negatives), 1 / len(negatives))), negatives
