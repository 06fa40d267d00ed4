r"""The variational bound of denoising diffusion models, in nats.

The model p_theta runs DDPM's chain backwards from p(x_N) = N(0, I), with kernels p_theta(x_{i-1} | x_i) = N(mu_theta, v_i I),
mu_theta(x_i, i) = (x_i - beta_i/sigma_i eps_theta)/sqrt(1 - beta_i), sigma_i^2 = 1 - alpha-bar_i. Then (Ho et al. 2020, eq. 5)

    -log p_theta(x_0) <= L_N + sum_{i=2}^{N} L_{i-1} + L_0,   each an average over q(x_1, ..., x_N | x_0),
    L_N      = KL(q(x_N | x_0) || N(0, I)) = (alpha-bar |x_0|^2 + d (-alpha-bar - log(1 - alpha-bar)))/2 at N: no parameters
    L_{i-1}  = KL(q(x_{i-1} | x_i, x_0) || p_theta(x_{i-1} | x_i))
             = w_i ||eps - eps_theta(x_i, i)||^2 + d/2 (r - 1 - log r),    r = beta~_i/v_i = sigma_{i-1}^2/sigma_i^2 or 1
    L_0      = -log p_theta(x_0 | x_1) = w_1 ||eps - eps_theta(x_1, 1)||^2 + d/2 log(2 pi v_1)

    w_i = beta_i^2/(2 v_i (1 - beta_i) sigma_i^2)                         [c, "DDPM vs Score matching"]; Ho et al. 2020, eq. 12

with v_i = beta_i or beta~_i. **The decoder** p_theta(x_0 | x_1) is the Gaussian density with v_1 = beta_1 for both, because
beta~_1 = 0 would make it infinite; for 8-bit images Ho et al. integrate the same Gaussian over bins instead (sec. 3.3), which is
another L_0. The gap of the bound is KL(q(x_1, ..., x_N | x_0) || p_theta(x_1, ..., x_N | x_0)); L_simple drops the w_i.

As the steps shrink, the gap of the exact prediction vanishes for v = beta, but not for v = beta~: near the data beta~_i is about
(1 - 1/i) beta_i however short the steps, the true variance beta_i, and sum_{i >= 2} (1/(i-1) - log(i/(i-1)))/2 = 0.2886, half of
Euler's constant, remains for each dimension.

**Computed** as denoising score matching with lambda_i = 2 w_i sigma_i^2, where beta^2/beta~ is beta sigma_i^2/sigma_{i-1}^2;
r - 1 - log r is a function of 1 - r = beta_i alpha-bar_{i-1}/sigma_i^2, so that nothing cancels where steps are short.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refscore import _validate
from refscore.objectives.denoising import dsm_process
from refscore.processes import DDPM


class VariationalBound(NamedTuple):
    """The terms of the bound in nats; ``total`` is at least -E log p_theta(x_0)."""

    total: float
    decoder: float
    """L_0."""
    steps: np.ndarray
    """L_1, ..., L_{N-1}, (N - 1,)."""
    prior: float
    """L_N."""


def variational_loss(
    model: Callable,
    process: DDPM,
    x0: np.ndarray,
    index: int | np.ndarray,
    noise: np.ndarray,
    variance: str = "beta_tilde",
    *,
    predicts: str = "eps",
    over_batch: str = "mean",
    sample_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """L_{i-1} for rows at index i = 1, ..., N: L_0 at i = 1, KL between the Gaussians after that; in nats, summed over dimensions.

    Parameters
    ----------
    model : callable eps(x, i), or what ``predicts`` says.
    process : DDPM
    x0, noise : (n, d) arrays, clean points and the standard normal z of x_i = alpha_i x0 + sigma_i z.
    index : scalar or (n,), 1, ..., N. With indices drawn uniformly, N times the average is the bound less L_N.
    variance : 'beta_tilde' or 'beta', the v_i of the model's kernels; v_1 = beta_1 for both (module docstring).
    over_batch, sample_weight, grad : conventions, see `refscore.objectives`.

    Returns
    -------
    float (rows (n,) with over_batch='none'), or (float, [dW1, db1, ...]) with ``grad``.

    Raises ValueError or TypeError as `dsm_process` does, and for a process that is no DDPM.
    Source: [c, "DDPM vs Score matching"]; Ho et al. 2020, eq. 5 and 12. systems E5.
    """
    _validate.choice(variance, "variance", ("beta_tilde", "beta"))
    n, d = _validate.batch(x0, name="x0", dtype=None).shape
    rows = d / 2 * _constant(_chain(process), _validate.times(index, n, "index"), variance)
    result = dsm_process(model, process, x0, index, noise, partial(_weight, process, variance=variance), predicts=predicts,
                         over_batch=over_batch, sample_weight=sample_weight, grad=grad)
    if over_batch == "none":
        return result + rows
    summed = over_batch == "sum" and sample_weight is None
    constant = float(rows.sum() if summed else _validate.row_weights(sample_weight, n) @ rows)
    return (result[0] + constant, result[1]) if grad else result + constant


def prior_loss(process: DDPM, x0: np.ndarray, *, sample_weight: np.ndarray | None = None) -> float:
    """L_N = E KL(q(x_N | x_0) || N(0, I)) in nats: what the chain still knows of x_0 at its end."""
    x0 = _validate.batch(x0, name="x0")
    bar = float(_chain(process).alpha(len(process))) ** 2
    weight, squares = _validate.row_weights(sample_weight, len(x0)), np.einsum("ij,ij->i", x0, x0)
    if not np.isfinite(squares).all():
        raise ValueError(f"x0 reaches {np.abs(x0).max()}, whose square exceeds float64: use other units")
    return float(bar * (weight @ squares) + weight.sum() * x0.shape[1] * _surplus(bar, process.variance(len(process)))) / 2


def variational_bound(
    model: Callable,
    process: DDPM,
    x0: np.ndarray,
    noise: np.ndarray,
    variance: str = "beta_tilde",
    *,
    predicts: str = "eps",
    sample_weight: np.ndarray | None = None,
) -> VariationalBound:
    """The bound on -E log p_theta(x_0) in nats, with its terms apart.

    Parameters
    ----------
    model, process, x0, variance, predicts : as in `variational_loss`.
    noise : (n, d), used at every index; or (N, n, d), ``noise[i - 1]`` at index i. Each term is an average of its own, so that
        the same noise for all of them leaves the bound unbiased.
    sample_weight : (n,), optional: w_i in place of 1/n, as for nodes of a quadrature of (x0, noise).

    Raises ValueError or TypeError as `variational_loss` does.
    Source: Ho et al. 2020, eq. 5. systems E5.
    """
    x0 = _validate.batch(x0, name="x0", dtype=None)
    steps, shape = len(_chain(process)), np.shape(noise)
    if shape not in (x0.shape, (steps, *x0.shape)):
        raise ValueError(f"noise has shape {shape}: pass {x0.shape}, like x0, or one such array an index, {(steps, *x0.shape)}")
    each = np.broadcast_to(noise, (steps, *x0.shape))
    terms = np.array([
        variational_loss(model, process, x0, i, each[i - 1], variance, predicts=predicts, sample_weight=sample_weight)
        for i in range(1, steps + 1)
    ])
    prior = prior_loss(process, x0, sample_weight=sample_weight)
    return VariationalBound(math.fsum(terms) + prior, float(terms[0]), terms[1:], prior)


def _weight(process: DDPM, index: np.ndarray, variance: str) -> np.ndarray:
    """lambda_i = 2 w_i sigma_i^2 = beta_i^2/(v_i (1 - beta_i))."""
    beta = process.beta(index)
    if variance == "beta":
        return beta / (1 - beta)
    first = index == 1
    return beta / (1 - beta) * np.where(first, 1, process.variance(index) / np.where(first, 1, process.variance(index - 1)))


def _constant(process: DDPM, index: np.ndarray, variance: str) -> np.ndarray:
    """What L_{i-1} has besides, doubled and for each dimension: r - 1 - log r, and log(2 pi beta_1) at i = 1."""
    beta, first = process.beta(index), index == 1
    decoder = math.log(2 * math.pi) + math.log(process.betas[0])
    if variance == "beta_tilde":
        return np.where(first, decoder, 0.0)
    after = process.variance(index)
    ratio = np.where(first, 1, process.variance(index - 1) / after)
    return np.where(first, decoder, _surplus(np.where(first, 0, beta * process.alpha(index - 1) ** 2 / after), ratio))


def _surplus(q, rest):
    """-q - log(1 - q) with rest = 1 - q, 0 <= q < 1, either known to its last digit: sum_{k >= 2} q^k/k, to 0.1^18, below 0.1."""
    series = np.polynomial.polynomial.polyval(q, [0, 0, *(1 / k for k in range(2, 21))])
    return np.where(np.less(q, 0.1), series, -q - np.log(rest))


def _chain(process) -> DDPM:
    if not isinstance(process, DDPM):
        raise TypeError(f"process is {process!r}: the bound sums over the indices of a DDPM; pass DDPM(betas)")
    return process
