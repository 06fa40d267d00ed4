"""The operations of the contract: for each its formula, its source, what it needs, and its ladder.

    >>> from refscore.conformance.operations import OPERATIONS
    >>> OPERATIONS["dsm_loss"].formula
    'E 1/2 ||s(x0 + sigma noise) + noise/sigma||^2'

A new operation is a method of `refscore.conformance.reference.Reference`, a ladder, and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from refscore.conformance.ladders import density, derivatives, generating, losses, noising, steps, undirected
from refscore.conformance.ladders.setting import Rung, Setting

LOSS = ("half", "over_dims", "over_batch")


@dataclass(frozen=True)
class Operation:
    """One operation.

    ``keys`` are the conventions that it depends on; ``needs`` says whether it takes a process ('process'), one with a drift
    ('sde') or one with indices ('chain'); ``after`` are the operations whose failure explains its own.
    """

    name: str
    category: str
    formula: str
    source: str
    ladder: Callable[[Setting], list[Rung]]
    keys: tuple[str, ...] = ()
    needs: str = ""
    after: tuple[str, ...] = ()


_SCALES = ("alpha", "sigma")
_DENOISING = (*LOSS, "weight", "predicts")

_ALL = [
    Operation("alpha", "process", "x_t = alpha_t x_0 + sigma_t z",
              "[a, sec. 3]; [e]; Song et al. 2021, eq. 29", noising.scale, (), "process"),
    Operation("sigma", "process", "x_t = alpha_t x_0 + sigma_t z, sigma the standard deviation",
              "[a, sec. 3]; [e]; Song et al. 2021, eq. 29",
              noising.strictly, (), "process"),
    Operation("drift", "process", "f(x, t) of dX = f dt + g dW, f = x d log alpha/dt",
              "[a, sec. 3]; [e]; Song et al. 2021, eq. 5", noising.drift, (), "sde"),
    Operation("diffusion", "process", "g(t), g^2 = d sigma^2/dt - 2 sigma^2 d log alpha/dt",
              "[a, sec. 3]; [e]; Kingma et al. 2021", noising.intensity, (), "sde"),
    Operation("corrupt", "process", "alpha_t x0 + sigma_t noise",
              "[a, sec. 3]; [c]; Ho et al. 2020, eq. 4", noising.corrupt, (), "process", _SCALES),
    Operation("conditional_score", "process", "-(xt - alpha_t x0)/sigma_t^2",
              "[a, sec. 3]; Vincent 2011", noising.conditional_score, (), "process", _SCALES),
    Operation("convert", "process", "score = -eps/sigma, xt = alpha x0 + sigma eps, v = alpha eps - sigma x0",
              "Salimans & Ho 2022, sec. 4",
              noising.convert, (), "process", _SCALES),
    Operation("denoise", "process", "E[x0 | xt] = (xt + sigma^2 s(xt, t))/alpha",
              "[e, Tweedie]; Efron 2011", noising.denoise, ("predicts",), "process", _SCALES),
    Operation("jvp", "derivative", "(Dm(x)) v", "[a, sec. 2]", derivatives.along),
    Operation("divergence", "derivative", "tr Dm(x)", "[a, sec. 2]; [d]", derivatives.divergence, (), "", ("jvp",)),
    Operation("hutchinson", "derivative", "v'(Dm(x))v", "[a, sec. 2]; [e]; Hutchinson 1990", derivatives.along, (), "", ("jvp",)),
    Operation("esm_loss", "loss", "E 1/2 ||s(x) - true_score||^2", "[a-e]; Hyvarinen 2005, eq. 2", losses.explicit, LOSS),
    Operation("ism_loss", "loss", "E [1/2 ||s||^2 + tr Ds]",
              "[a-e]; Hyvarinen 2005, thm. 1", losses.implicit, LOSS, "", ("divergence",)),
    Operation("ssm_loss", "loss", "E [1/2 (v's)^2 + v'(Ds)v]",
              "[d]; [e]; Song et al. 2019, eq. 8", losses.sliced, LOSS, "", ("hutchinson",)),
    Operation("ssm_vr_loss", "loss", "E [1/2 ||s||^2 + v'(Ds)v]",
              "[e]; Song et al. 2019, eq. 9", losses.sliced, LOSS, "", ("hutchinson",)),
    Operation("dsm_loss", "loss", "E 1/2 ||s(x0 + sigma noise) + noise/sigma||^2",
              "[c]; [d]; Vincent 2011", losses.denoising, _DENOISING),
    Operation("dsm_process_loss", "loss", "E lambda 1/2 ||s(xt, t) + noise/sigma_t||^2, xt = alpha_t x0 + sigma_t noise",
              "[a, sec. 3]; Song et al. 2021, eq. 7",
              losses.along_process, _DENOISING, "process", (*_SCALES, "corrupt")),
    Operation("ncsn_loss", "loss", "E lambda_i 1/2 ||s(x0 + sigma_i noise, sigma_i) + noise/sigma_i||^2",
              "[c]; [e]; Song & Ermon 2019, eq. 5",
              losses.ladder_of_levels, _DENOISING, "", ("dsm_loss",)),
    Operation("ddpm_loss", "loss", "E 1/2 ||noise - eps(x_i, i)||^2, x_i = sqrt(ab_i) x0 + sqrt(1 - ab_i) noise",
              "[b, sec. 2]; [c]; Ho et al. 2020, eq. 14",
              losses.noise_prediction, _DENOISING, "process", (*_SCALES, "corrupt")),
    Operation("langevin_step", "sampler", "x + eta s + sqrt(2 eta) z, or x + eta/2 s + sqrt(eta) z",
              "[c]; [d]; [e]; Welling & Teh 2011",
              steps.langevin, ("langevin",)),
    Operation("annealed_langevin", "sampler",
              "step_i = eps sigma_i^2/sigma_L^2; at every level n_steps of x + step_i/2 s(x, sigma_i) + sqrt(step_i) z",
              "[c], [e], Algorithm 1; Song & Ermon 2019", steps.annealed, ("langevin", "predicts"), "", ("langevin_step",)),
    Operation("reverse_step", "sampler", "x + (-f + g^2 s) h + g sqrt(h) z, h = t - s; or the exponential integrator",
              "[a, sec. 4]; [b]; [e]; Anderson 1982",
              steps.reverse, ("scheme", "predicts"), "sde", (*_SCALES, "drift", "diffusion")),
    Operation("ode_drift", "sampler", "f - 1/2 g^2 s",
              "[b]; Song et al. 2021, eq. 13", steps.flow, ("predicts",), "sde", (*_SCALES, "drift", "diffusion")),
    Operation("ddpm_step", "sampler", "(x - beta_i/sqrt(1 - ab_i) eps)/sqrt(1 - beta_i) + sqrt(variance) z, no noise at i = 1",
              "[b, sec. 2]; [c]; Ho et al. 2020, eq. 11 and algorithm 2",
              steps.ancestral, ("variance", "predicts"), "chain", _SCALES),
    Operation("ddim_step", "sampler",
              "sqrt(ab_s) x0-hat + sqrt(1 - ab_s - v) eps + sqrt(v) z, v = eta^2 (1 - ab_s)/(1 - ab_t)(1 - ab_t/ab_s)",
              "Song, Meng & Ermon 2021, eq. 12 and 16", steps.implicit, ("predicts",), "chain", _SCALES),
    Operation("posterior", "sampler",
              "q(x_{i-1} | x_i, x_0): mean sqrt(ab_{i-1}) beta_i/(1 - ab_i) x0 + sqrt(1 - beta_i)"
              "(1 - ab_{i-1})/(1 - ab_i) xt, variance (1 - ab_{i-1})/(1 - ab_i) beta_i",
              "[b, sec. 2]; [c]; Ho et al. 2020, eq. 6 and 7", steps.posterior, (), "chain", _SCALES),
    Operation("sample", "sampler", "n draws, (n, spec.dim), of what the reverse of the process makes of its end; data at t_min",
              "[a, sec. 4]; [b]; [e]; Song et al. 2021, sec. 3.3", generating.sample, (), "process", ("ddpm_step",)),
    Operation("log_likelihood", "density", "log p_T(x_T) + int div(f - 1/2 g^2 s) dt along dx/dt = f - 1/2 g^2 s from x at t_min",
              "[b, sec. 1]; Song et al. 2021, eq. 39", generating.likelihood, (), "sde", ("ode_drift", "divergence")),
    Operation("logpdf", "density", "log p(x) of the spec's own density", "[b]; [e]", density.own),
    Operation("score", "density", "grad log p(x) of the spec's own density", "[b]; [e]", density.own),
    Operation("rbm_free_energy", "energy", "F(x) = -b'x - sum_j log(1 + exp(c_j + (x'W)_j)), p(x) = exp(-F(x))/Z",
              "[e]; Hinton 2012, sec. 16.1",
              undirected.visible),
    Operation("rbm_hidden_mean", "energy", "E[z | x] = sigmoid(c + x'W)", "[e]; Hinton 2012, eq. 7", undirected.visible),
    Operation("rbm_visible_mean", "energy", "E[x | z] = sigmoid(b + Wz)", "[e]; Hinton 2012, eq. 8", undirected.hidden),
    Operation("rbm_log_partition", "energy", "log sum over x, z of exp(x'Wz + b'x + c'z)", "[e]", undirected.partition),
    Operation("rbm_cd_gradient", "energy",
              "x_0 E[z|x_0]' - x_k E[z|x_k]', x_0 - x_k, E[z|x_0] - E[z|x_k], x_k after k sweeps from x_0",
              "[e]; Hinton 2002", undirected.nothing, (), "", ("rbm_hidden_mean", "rbm_visible_mean")),
    Operation("mrf_conditional", "energy",
              "p(y_i = 1 | rest, x) = sigmoid(unary (2 x_i - 1) + pairwise sum_j (2 y_j - 1)), j the 4 neighbours",
              "[e]; Geman & Geman 1984", undirected.conditional),
    Operation("mrf_map", "energy", "argmax over y of unary sum_i [x_i = y_i] + pairwise sum_{i~j} [y_i = y_j]", "[e]",
              undirected.best, (), "",
              ("mrf_conditional",)),
]
_ALL += [
    Operation(f"{o.name}_grad", "gradient", f"gradient of {o.formula} in the arrays of the spec", o.source, o.ladder,
              o.keys, o.needs, (o.name,))
    for o in _ALL if o.category == "loss"
]

OPERATIONS: dict[str, Operation] = {o.name: o for o in _ALL}
"""All operations by name, every one after those that it depends on."""
