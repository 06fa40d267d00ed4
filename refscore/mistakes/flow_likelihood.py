"""Mistakes in the log-likelihood along the probability flow (systems F6).

``flow`` is a flow or its steps on a grid. D is the divergence integral, R = int r dt, so that D = -d R - 1/2 int g^2 div s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.samplers import FlowSteps


def _span(flow, options) -> tuple[float, float]:
    if isinstance(flow, FlowSteps):
        return float(flow.times[0]), float(flow.times[-1])
    t_max = options.get("t_max")
    return options.get("t_min", 0.0), _inner(flow).process.t_max if t_max is None else t_max


def _inner(flow) -> Any:
    return flow.flow if isinstance(flow, FlowSteps) else flow


def _integrated_rate(flow, options) -> float:
    start, stop = _span(flow, options)
    return -float(np.log(_inner(flow).process.transition(start, stop)[0]))


def _divergence(name: str, change: Callable, *, wrong: str, right: str, seen: str) -> None:
    """``change(D, R, d)`` in place of the integral D."""

    def likelihood(flow, x, **options):
        found = flow.log_likelihood(x, **options)
        D = change(found.divergence, _integrated_rate(flow, options), np.shape(x)[1])
        return replace(found, divergence=D)

    mistake("log_likelihood", wrong=wrong, right=right, seen=seen, name=name)(likelihood)


_divergence("likelihood_without_divergence", lambda D, R, d: 0 * D, wrong="log p_T(x_T)", right="log p_T(x_T) + int div b",
            seen="torchebm#169: -1.099 for -0.4058")
_divergence("likelihood_divergence_sign", lambda D, R, d: -D, wrong="log p_T(x_T) - int div b", right="log p_T(x_T) + int div b",
            seen="torchebm#169: -1.792 for -0.4058")
_divergence("likelihood_divergence_over_dims", lambda D, R, d: D / d, wrong="mean of the diagonal of Db", right="its sum",
            seen="mean over dimensions in place of the sum, common")
_divergence("likelihood_divergence_of_the_drift_alone", lambda D, R, d: -d * R + 0 * D, wrong="div f", right="div (f - g^2 s/2)",
            seen="score taken for a constant in x")
_divergence("likelihood_divergence_of_the_score_alone", lambda D, R, d: D + d * R, wrong="-g^2 div s/2",
            right="div f - g^2 div s/2", seen="formula of the variance-exploding process used for VP")
_divergence("likelihood_divergence_without_d", lambda D, R, d: D + (d - 1) * R, wrong="div f = -r", right="div f = -r d",
            seen="right in one dimension only")
_divergence("likelihood_divergence_of_the_full_score", lambda D, R, d: 2 * D + d * R, wrong="div f - g^2 div s",
            right="div f - g^2 div s/2", seen="LightningDiT#89: drift of the SDE and of the flow mixed up")


@mistake("log_likelihood", wrong="(T - t_min) div b(x, t_min)", right="int div b(x_t, t) dt",
         seen="divergence at the start for the whole way: one step for it, many for x")
def likelihood_divergence_not_integrated(flow, x, **options):
    found = flow.log_likelihood(x, **options)
    start, stop = _span(flow, options)
    inner, d = _inner(flow), np.shape(x)[1]
    rate = inner.with_score(d, inner.score.divergence(x, start), start)
    return replace(found, divergence=(stop - start) * rate)


def _prior(name: str, log_density: Callable, *, wrong: str, right: str, seen: str) -> None:
    """``log_density(x_T, sigma_T)`` in place of the normal one, where no prior is given."""

    def likelihood(flow, x, **options):
        found = flow.log_likelihood(x, **options)
        if options.get("prior") is not None:
            return found
        sigma = float(_inner(flow).process.sigma(_span(flow, options)[1]))
        return replace(found, prior=log_density(found.end, sigma))

    mistake("log_likelihood", wrong=wrong, right=right, seen=seen, name=name)(likelihood)


def _normal(x: np.ndarray, variance: float) -> np.ndarray:
    return -0.5 * (x * x).sum(axis=1) / variance - 0.5 * x.shape[1] * np.log(2 * np.pi * variance)


_prior("likelihood_prior_std_for_variance", lambda x, sigma: _normal(x, sigma), wrong="N(0, sigma_T I)", right="N(0, sigma_T^2 I)",
       seen="stochrare#26: std = variance")
_prior("likelihood_prior_normaliser_once",
       lambda x, sigma: _normal(x, sigma**2) + (x.shape[1] - 1) / 2 * np.log(2 * np.pi * sigma**2), wrong="-1/2 log 2 pi sigma^2",
       right="-d/2 log 2 pi sigma^2", seen="ncsn: the constant without its d")
_prior("likelihood_prior_without_normaliser", lambda x, sigma: -0.5 * (x * x).sum(axis=1) / sigma**2, wrong="-|x|^2/(2 sigma^2)",
       right="with -d/2 log 2 pi sigma^2", seen="constants left out in training, and then in the evaluation")
_prior("likelihood_prior_standard_normal", lambda x, sigma: _normal(x, 1.0), wrong="N(0, I)", right="N(0, sigma_T^2 I)",
       seen="VP's prior used for other processes")


@mistake("log_likelihood", wrong="log p_T(x_0)", right="log p_T(x_T)", seen="variable overwritten too late")
def likelihood_prior_at_the_start(flow, x, **options):
    found = flow.log_likelihood(x, **options)
    sigma = float(_inner(flow).process.sigma(_span(flow, options)[1]))
    prior = options.get("prior")
    return replace(found, prior=_normal(np.asarray(x), sigma**2) if prior is None else prior.logpdf(x))


@mistake("log_likelihood", wrong="N(0, sigma_T^2 I) whatever the prior", right="the given prior", seen="argument not passed on")
def likelihood_prior_ignored(flow, x, **options):
    return flow.log_likelihood(x, **{**options, "prior": None})


@mistake("log_likelihood", wrong="log p_{t_min} - log p_0", right="log p_0 - log p_{t_min}", seen="sign of a correction")
def likelihood_truncation_sign(flow, x, **options):
    found = flow.log_likelihood(x, **options)
    return replace(found, truncation=-found.truncation)


@mistake("log_likelihood", wrong="t_min div b", right="t_min (div b + b.s)",
         seen="change along the curve taken for change at a point")
def likelihood_truncation_of_the_divergence_alone(flow, x, **options):
    found = flow.log_likelihood(x, **options)
    inner, start, d = _inner(flow), _span(flow, options)[0], np.shape(x)[1]
    rate = inner.with_score(d, inner.score.divergence(x, start), start)
    return replace(found, truncation=start * rate)


@mistake("log_likelihood", wrong="truncation added to the total", right="kept apart: the total is log p_{t_min}",
         seen="estimate counted as a term")
def likelihood_truncation_counted_in(flow, x, **options):
    found = flow.log_likelihood(x, **options)
    return replace(found, divergence=found.divergence + found.truncation)


@mistake("log_likelihood", wrong="the flow starts at 0 whatever t_min is", right="at t_min",
         seen="early stop forgotten in the encoder")
def likelihood_early_stop_ignored(flow, x, **options):
    return flow.log_likelihood(x, **{**options, **({} if isinstance(flow, FlowSteps) else {"t_min": 0.0})})


@mistake("log_likelihood", wrong="sum over probes", right="mean over probes", seen="bayesflow#772")
def likelihood_probes_summed(flow, x, **options):
    found = flow.log_likelihood(x, **options)
    probes, trace = options.get("probes"), np.shape(x)[1] * _integrated_rate(flow, options)
    count = len(probes) if probes is not None and np.ndim(probes) == 3 else 1
    return replace(found, divergence=count * (found.divergence + trace) - trace)


def _probes(name: str, change: Callable, *, wrong: str, right: str, seen: str) -> None:
    def likelihood(flow, x, **options):
        if options.get("probes") is not None:
            options = {**options, "probes": change(np.asarray(options["probes"]))}
        return flow.log_likelihood(x, **options)

    mistake("log_likelihood", wrong=wrong, right=right, seen=seen, name=name)(likelihood)


_probes("likelihood_probes_uniform", lambda v: v * np.random.default_rng(1).uniform(-1, 1, size=v.shape), wrong="v from U(-1, 1)",
        right="E vv' = I", seen="flow_matching#49: probes of variance 1/3")
_probes("likelihood_probes_of_unit_length", lambda v: v / np.sqrt(v.shape[-1]), wrong="|v| = 1", right="E |v|^2 = d",
        seen="probes drawn as directions")
_probes("likelihood_one_probe_for_all_rows", lambda v: np.broadcast_to(v[..., :1, :], v.shape), wrong="v_1 for every row",
        right="a probe a row", seen="one draw of shape (1, d), broadcast")
