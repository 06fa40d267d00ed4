"""Wrong weights, wrong predictions, wrong levels in denoising losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore import objectives
from refscore.mistakes._registry import mistake


def _scaled(result, factor):
    return (factor * result[0], [factor * g for g in result[1]]) if isinstance(result, tuple) else factor * result


@mistake(
    "dsm_process",
    wrong="1/2 ||m - y||^2 under weight 'one' too",
    right="lambda k^2 1/2 ||m - y||^2",
    seen="eps-MSE reported as the score loss",
)
def dsm_process_prediction_slope_missing(model, process, x0, t, noise, weight="one", *, predicts="score", **options):
    if predicts != "score" and isinstance(weight, str) and weight == "one":
        weight = "prediction"
    return objectives.dsm_process(model, process, x0, t, noise, weight, predicts=predicts, **options)


@mistake("dsm_process", wrong="target alpha x0 of an x0 network", right="target x0", seen="signal scale taken for data")
def dsm_process_x0_without_alpha(model, process, x0, t, noise, weight="one", *, predicts="score", **options):
    if predicts != "x0":
        return objectives.dsm_process(model, process, x0, t, noise, weight, predicts=predicts, **options)
    alpha = np.reshape(process.alpha(t), (-1, 1))
    shifted = np.asarray(noise) + np.asarray(x0) * alpha * (1 - alpha) / np.reshape(process.sigma(t), (-1, 1))
    return objectives.dsm_process(model, process, alpha * x0, t, shifted, weight, predicts=predicts, **options)


@mistake("dsm_process", wrong="v = sigma x0 - alpha eps", right="v = alpha eps - sigma x0", seen="two papers' signs mixed")
def dsm_process_v_sign(model, process, x0, t, noise, weight="one", *, predicts="score", **options):
    if predicts != "v":
        return objectives.dsm_process(model, process, x0, t, noise, weight, predicts=predicts, **options)
    return objectives.dsm_process(
        lambda x, s: -model(x, s), process, x0, t, noise, weight, predicts=predicts, **options | {"grad": False}
    ), [np.zeros_like(p) for p in model.parameters]


@mistake("prediction_weight", wrong="1/sigma^2", right="sigma^2 for eps", seen="the score's weight on the prediction's side")
def prediction_weight_inverted(predicts, alpha, sigma):
    return 1 / objectives.prediction_weight(predicts, alpha, sigma)


@mistake("prediction_weight", wrong="sigma", right="sigma^2 for eps", seen="sqrt or square")
def prediction_weight_root(predicts, alpha, sigma):
    return np.sqrt(objectives.prediction_weight(predicts, alpha, sigma))


@mistake(
    "dsm_integrated",
    wrong="E_t",
    right="the integral over t: (T - t_min) E_t",
    seen="lecture a, sec. 3: E_t[..] for an integral over [0, T]",
)
def dsm_integrated_without_length(model, process, x0, t, noise, weight="one", *, t_max, t_min=0.0, **options):
    return objectives.dsm_process(model, process, x0, t, noise, weight, **options)


@mistake(
    "dsm_integrated",
    wrong="T E_t with t ~ U(t_min, T)",
    right="(T - t_min) E_t",
    seen="neighbour: early start forgotten in the length",
)
def dsm_integrated_from_zero(model, process, x0, t, noise, weight="one", *, t_max, t_min=0.0, **options):
    return _scaled(objectives.dsm_process(model, process, x0, t, noise, weight, **options), t_max)


@mistake("dsm_integrated", wrong="lambda^2", right="lambda", seen="weight in the loss and again in the mean over t")
def dsm_integrated_weight_squared(model, process, x0, t, noise, weight="one", **options):
    squares: dict[str, Any] = {"one": "one", "sigma2": lambda time: process.sigma(time) ** 4}
    changed = squares[weight] if isinstance(weight, str) else lambda time: weight(time) ** 2
    return objectives.dsm_integrated(model, process, x0, t, noise, changed, **options)


@mistake("ncsn", wrong="sum over levels", right="mean over levels", seen="lecture c: sum over l without 1/L")
def ncsn_sum_over_levels(model, x0, sigmas, index, noise, **options):
    return _scaled(objectives.ncsn(model, x0, sigmas, index, noise, **options), len(sigmas))


@mistake("ncsn", wrong="lambda = 1/sigma^2", right="lambda = sigma^2", seen="lecture d: 1/(2 sigma^2) said to balance the scales")
def ncsn_weight_inverted(model, x0, sigmas, index, noise, *, weight="sigma2", **options):
    changed = (lambda s: s**-2) if isinstance(weight, str) and weight == "sigma2" else weight
    return objectives.ncsn(model, x0, sigmas, index, noise, weight=changed, **options)


class _Seeing:
    """A network that is shown something else than sigma."""

    def __init__(self, model, shown):
        self._model, self._shown = model, shown

    def checked(self, x, t=None, name="x"):
        return self._model.checked(x, self._shown(np.asarray(t)), name)

    def __call__(self, x, t):
        return self._model(x, self._shown(np.asarray(t)))

    def __getattr__(self, name):
        return getattr(self._model, name)


@mistake(
    "ncsn",
    wrong="s(x, -sigma) of a ladder read from its other end",
    right="s(x, sigma_i)",
    seen="the lectures number the ladder in three ways",
)
def ncsn_levels_reversed(model, x0, sigmas, index, noise, **options):
    last = np.asarray(sigmas)[::-1]
    return objectives.ncsn(
        _Seeing(model, lambda s: last[np.abs(s[:, None] - sigmas).argmin(axis=1)]), x0, sigmas, index, noise, **options
    )


@mistake("ncsn", wrong="s(x, sigma^2)", right="s(x, sigma)", seen="variance taken for standard deviation")
def ncsn_model_sees_variance(model, x0, sigmas, index, noise, **options):
    return objectives.ncsn(_Seeing(model, np.square), x0, sigmas, index, noise, **options)


@mistake("ncsn", wrong="s(x, i)", right="s(x, sigma_i)", seen="index and level mixed up")
def ncsn_model_sees_index(model, x0, sigmas, index, noise, **options):
    return objectives.ncsn(
        _Seeing(model, lambda s: np.abs(s[:, None] - sigmas).argmin(axis=1)), x0, sigmas, index, noise, **options
    )


@mistake(
    "ncsn", wrong="index 1, ..., L read as 0, ..., L - 1", right="index counts from 0", seen="off by one, wrapping round at the end"
)
def ncsn_index_from_one(model, x0, sigmas, index, noise, **options):
    shifted = None if index is None else np.maximum(np.asarray(index) - 1, 0)
    return objectives.ncsn(model, x0, sigmas, shifted, noise, **options)


@mistake("ncsn", wrong="target -z/sigma^2", right="-z/sigma", seen="lecture c, NCSN slide")
def ncsn_noise_over_sigma_squared(model, x0, sigmas, index, noise, **options):
    if index is None:
        levels = np.asarray(sigmas)
        each = [ncsn_noise_over_sigma_squared(model, x0, levels, np.full(len(x0), i), z, **options) for i, z in enumerate(noise)]
        if isinstance(each[0], tuple):
            return sum(v for v, _ in each) / len(each), [
                sum(parts) / len(each) for parts in zip(*(g for _, g in each), strict=True)
            ]
        return sum(each) / len(each)
    sigma = np.asarray(sigmas)[index][:, None]
    # x0 + sigma z = (x0 + sigma z - z) + sigma (z/sigma): the kernel's residual becomes s + (z/sigma)/sigma
    return objectives.ncsn(model, x0 + (sigma - 1) * noise, sigmas, index, noise / sigma, **options)


@mistake("ncsn", wrong="E||.||^2", right="1/2 E||.||^2", seen="the half is a convention, not both at once")
def ncsn_without_half(model, x0, sigmas, index, noise, **options):
    return objectives.ncsn(model, x0, sigmas, index, noise, **options | {"half": False})


@mistake("ddpm_simple", wrong="1/2 E||.||^2", right="E||.||^2", seen="the half is a convention: L_simple has none")
def ddpm_simple_with_half(model, process, x0, index, noise, **options):
    return objectives.ddpm_simple(model, process, x0, index, noise, **{"half": True} | options)


@mistake(
    "ddpm_simple", wrong="E||s - target||^2", right="E||eps - eps_theta||^2", seen="lecture b: proportional, the weight forgotten"
)
def ddpm_simple_score_loss(model, process, x0, index, noise, *, half=False, **options):
    return objectives.dsm_process(model, process, x0, index, noise, "one", predicts="eps", half=half, **options)


@mistake("ddpm_simple", wrong="mean over dimensions", right="sum over dimensions", seen="mse_loss's default reduction")
def ddpm_simple_mean_over_dims(model, process, x0, index, noise, **options):
    if np.shape(x0)[1] == 1:
        return objectives.ddpm_simple(model, process, x0, index, noise, **options)
    return objectives.ddpm_simple(model, process, x0, index, noise, **options | {"over_dims": "mean"})


@mistake("dsm", wrong="gradient of the plain error", right="times lambda k^2", seen="weight applied to the value alone")
def dsm_gradient_of_prediction_unscaled(model, x0, sigma, noise, *, predicts="score", **options):
    result = objectives.dsm(model, x0, sigma, noise, predicts=predicts, **options)
    if predicts == "score" or not isinstance(result, tuple):
        return result
    return result[0], objectives.dsm(model, x0, sigma, noise, predicts=predicts, **options | {"weight": "prediction"})[1]
