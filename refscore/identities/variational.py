r"""The variational bound of DDPM: its terms as KL divergences, its sum as a divergence of whole chains (systems E5).

A term by itself. q(x_{i-1} | x_i, x_0) and p_theta(x_{i-1} | x_i) are Gaussians, so for every x_0, every noise and every model

    L_{i-1} = 1/2 (|mu~ - mu_theta|^2/v + d (beta~/v - 1 - log(beta~/v))),      L_0 = -log N(x_0; mu_theta, v_1 I),

with mu~, beta~ from Bayes's rule and mu_theta, v from the sampler: routes that know nothing of the loss's weight. For v = beta~ and
i >= 2 it is [c]'s formula as it stands, beta^2/(2 beta~ (1 - beta)) |eps/sigma - eps_theta/sigma|^2.

The sum. For Gaussian data and a prediction that is affine in x both chains are Gaussian on R^{(N+1)d}, and

    bound = KL(q(x_0, ..., x_N) || p_theta(x_0, ..., x_N)) + H(q(x_0)),
    bound + E log p_theta(x_0) = that KL less the KL of x_0 alone
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore import _quadrature
from refscore.identities import _network_cases, _targets
from refscore.identities._calculus import EPS, extrapolate
from refscore.identities._chain_decimals import Bars
from refscore.identities._losses import squares
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.ancestral import BETAS, VARIANCES, predictions
from refscore.processes import DDPM, MarginalScore


@identity(
    id="E5",
    systems=("E5",),
    title="DDPM's losses: each L_t is a KL divergence, and their sum bounds the likelihood",
    statement=r"L_t = E\Big[\tfrac{\beta_t^2}{2\tilde\beta_t(1-\beta_t)}"
    r"\Big\|\tfrac{\epsilon-\epsilon_\theta}{\sqrt{1-\bar\alpha_t}}\Big\|^2\Big] = "
    r"E\,KL(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t)),\quad -E\log p_\theta(x_0) \le L_0 + \sum_t L_t + L_N",
    source="[c, 'DDPM vs Score matching']; Ho et al. 2020, eq. 5, 8, 12, 14",
    method="the losses on chosen noise against KL divergences of Bayes's posterior and the sampler's kernel; the bound on nodes of "
    "(data, noise) against the KL of the two joint Gaussian laws of all states; gradients against the complex step",
    catches=(
        "variational_without_half", "variational_beta_for_posterior", "variational_beta_not_squared", "variational_unweighted",
        "variational_variances_ignored", "variational_decoder_without_normaliser", "variational_decoder_std",
        "variational_in_bits", "variational_mean_over_dims", "variational_shifted", "variational_gradient_unweighted",
        "prior_alpha_bar_with_root", "prior_without_dimension", "prior_without_logarithm", "prior_logarithm_of_std",
        "bound_averages_its_terms", "bound_without_prior", "bound_without_decoder", "posterior_variance_is_beta",
        "posterior_weights_swapped", "posterior_std", "ddpm_std_is_variance", "ddpm_noise_weight_without_root",
        "ddpm_simple_with_half", "ddpm_simple_score_loss", "ddpm_simple_mean_over_dims",
    ),
)
def variational_bound(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 48))
    process, bars = DDPM(BETAS), Bars.of(BETAS)
    for d in _targets.DIMENSIONS:
        density = _targets.mixture(d)
        for name, model in predictions(process, density, seed):
            x0, noise = density.sample(6, rng), rng.standard_normal((6, d))
            yield from _terms(ops, process, bars, model, x0, noise, f"{name}, d = {d}")
            yield _simple(ops, process, bars, model, x0, noise, f"{name}, d = {d}")
        yield _prior(ops, process, bars, rng.standard_normal((6, d)) + 0.7, rng.uniform(0, 1, 6))
    yield from _chains(ops, process, seed)
    yield from _gradients(ops, process, seed)


def _terms(ops: Operations, process: DDPM, bars: Bars, model, x0, noise, case: str) -> Iterator[Comparison]:
    """Errors of means are a few eps of their size, and enter |difference|^2/2v with |difference|/v."""
    (n, d), steps = x0.shape, len(BETAS)
    for variance in VARIANCES:
        chain = ops.ddpm(process, model, variance)
        found, right, size, lost, published = ([] for _ in range(5))
        for i in range(1, steps + 1):
            sigma, beta = bars.sigma(i), BETAS[i - 1]
            x = bars.alpha(i) * x0 + sigma * noise
            mean, known = ops.posterior(process, x0, x, i)
            if i == 1:
                v = np.full(n, beta)
                constant = d * np.log(2 * np.pi * v)
            else:
                v = (chain.step(steps - i, x, np.ones_like(x)) - chain.mean(steps - i, x))[:, 0] ** 2
                constant = d * (known / v - 1 - np.log(known / v))
            away = np.abs(mean - chain.mean(steps - i, x))
            reach = (np.abs(x) + np.abs(mean) + np.abs(x - sigma * model(x, i)) / bars.alpha(i)).max(axis=1)
            right.append(((away**2).sum(axis=1) / v + constant) / 2)
            # v, read off x + sqrt(v), is good to eps |x|/sqrt(v)
            off = 8 * EPS * (1 + reach / np.sqrt(v))
            lost.append(32 * EPS * away.sum(axis=1) * reach / v + off * ((away**2).sum(axis=1) / v + d) + 32 * EPS * d)
            size.append((away**2).sum(axis=1) / v + d * (1 + reach**2 / v))
            found.append(ops.variational_loss(model, process, x0, i, noise, variance, over_batch="none"))
            error = noise / sigma - model(x, i) / sigma
            published.append((error**2).sum(axis=1) * beta**2 / (2 * v * (1 - beta)))
        label, index = f"{variance}, {case}", np.arange(1, steps + 1)
        values, bound, scale = np.array(right), np.array(lost), np.array(size)
        yield Comparison(f"L_(i-1) as KL: {label}", np.array(found), values, bound, scale)
        if variance == "beta_tilde":
            yield Comparison(f"[c]'s L_t: {label}", np.array(found[1:]), np.array(published[1:]), 4 * bound[1:], scale[1:])
        rows = np.arange(steps) % n
        mixed = ops.variational_loss(model, process, x0[rows], index, noise[rows], variance)
        yield Comparison(f"an index a row: {label}", mixed, values[np.arange(steps), rows].mean(), bound.max(), scale.max())


def _simple(ops: Operations, process: DDPM, bars: Bars, model, x0, noise, case: str) -> Comparison:
    """L_simple at an index of its own for every row, summed over rows."""
    index = np.array([3, 1, 7, 2, 5, 4])
    eps = np.concatenate([model(bars.alpha(i) * x0[[k]] + bars.sigma(i) * noise[[k]], i) for k, i in enumerate(index)])
    found = ops.ddpm_simple(model, process, x0, index, noise, over_batch="sum")
    size = ((np.abs(noise) + np.abs(eps) + np.abs(x0)) ** 2).sum()
    return Comparison(f"L_simple: {case}", found, ((noise - eps) ** 2).sum(), 64 * EPS * size, size)


def _prior(ops: Operations, process: DDPM, bars: Bars, x0, weight) -> Comparison:
    """KL(N(alpha x_0, sigma^2 I) || N(0, I)) by the general formula, averaged with weights."""
    n, d = len(BETAS), x0.shape[1]
    alpha, sigma = bars.alpha(n), bars.sigma(n)
    each = ((alpha * x0) ** 2).sum(axis=1) / 2 + d * (sigma**2 - 1 - 2 * math.log(sigma)) / 2
    found = ops.prior_loss(process, x0, sample_weight=weight)
    return Comparison(f"L_N, d = {d}", found, float(weight @ each), 64 * EPS * weight.sum() * d, weight.sum() * d)


def _chains(ops: Operations, process: DDPM, seed: int) -> Iterator[Comparison | Table]:
    rows = []
    for d in (1, 2):
        data = _targets.gaussian(d)
        rng = np.random.default_rng((seed, d, 49))
        change = np.eye(d) + 0.4 * rng.standard_normal((d, d)), 0.3 * rng.standard_normal((len(BETAS), d))
        nodes, weights = _quadrature.normal_rule(2 * d, 2)  # the terms are polynomials of degree 2 in (x_0, noise)
        x0, noise = data.mean + nodes[:, :d] @ np.linalg.cholesky(data.cov).T, nodes[:, d:]
        for name, prediction in ("exact", _prediction(data, None)), ("another", _prediction(data, change)):
            slopes, shifts = prediction

            def model(x, i, slopes=slopes, shifts=shifts):
                k = int(np.ravel(i)[0]) - 1
                return x @ slopes[k].T + shifts[k]

            for variance in VARIANCES:
                found = ops.variational_bound(model, process, x0, noise, variance, sample_weight=weights)
                joint, own, scale = _joint(data, slopes, shifts, variance)
                entropy = (d * (1 + math.log(2 * math.pi)) + np.linalg.slogdet(data.cov)[1]) / 2
                case = f"{name} prediction, {variance}, d = {d}"
                bound = 256 * EPS * scale
                yield Comparison(f"bound = KL of the chains + entropy: {case}", found.total, joint + entropy, bound, scale)
                parts = found.decoder + float(np.sum(found.steps)) + found.prior
                yield Comparison(f"the terms add up: {case}", found.total, parts, 64 * EPS * scale, scale)
                rows.append((d, name, variance, found.decoder, float(np.sum(found.steps)), found.prior, found.total, own + entropy,
                             joint - own))
    names = ("d", "prediction", "variance", "L_0", "sum of L_t", "L_N", "bound", "-E log p(x_0)", "gap")
    yield Table("The bound in nats, Gaussian data, N = 7", names, rows)


H = 2.0 ** -np.arange(3, 12)
NEAREST = np.arange(2, 9)


@identity(
    id="E5.limit",
    systems=("E5",),
    title="The bound as the steps shrink: v = beta makes it tight, v = beta~ leaves half of Euler's constant a dimension",
    statement=r"L_{i-1} \to \tfrac d2\log\tfrac{i}{i-1}\ (v=\beta),\quad L_{i-1} \to \tfrac{d}{2(i-1)}\ (v=\tilde\beta)\quad "
    r"(h \to 0),\qquad \sum_{i\ge2}\tfrac12\Big(\tfrac1{i-1}-\log\tfrac i{i-1}\Big) = \tfrac\gamma2",
    source="[c, 'DDPM vs Score matching']; the limit is elementary: beta~_i -> (1 - 1/i) beta_i near the data",
    method="terms for Gaussian data at equal steps h, as polynomials in h extrapolated to 0, against their limits",
    catches=(
        "variational_without_half", "variational_beta_not_squared", "variational_unweighted", "variational_variances_ignored",
        "variational_beta_for_posterior", "variational_in_bits", "variational_mean_over_dims", "variational_shifted",
    ),
)
def bound_in_the_limit(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    """Near the data and for short steps the noise has variance i h, and what it hides is white: any smooth data will do."""
    data = _targets.gaussian(2)
    nodes, weights = _quadrature.normal_rule(4, 2)
    x0, noise = data.mean + nodes[:, :2] @ np.linalg.cholesky(data.cov).T, nodes[:, 2:]
    rows = []
    for variance, limit in (("beta", np.log(NEAREST / (NEAREST - 1))), ("beta_tilde", 1 / (NEAREST - 1))):
        found = []
        for h in H:
            process = DDPM(np.full(NEAREST[-1], -math.expm1(-h)))
            score = MarginalScore(process, data)
            found.append([ops.variational_loss(score, process, x0, i, noise, variance, predicts="score", sample_weight=weights)
                          for i in NEAREST])
        value, error, power = extrapolate(H, np.array(found))
        # white noise of variance h is told from the data by eps/h of it
        rounding = 64 * EPS * float(np.abs(power) @ (1 + 1 / H))
        scale = float(np.abs(power) @ np.abs(found).max(axis=1))
        yield Comparison(f"L_(i-1), i = 2, ..., 8, {variance}, h -> 0", value, limit, error + rounding, scale)
        rows.append((variance, float(H[-1]), *found[-1][:3], float(np.sum(found[-1]))))
        rows.append((variance, 0.0, *limit[:3].tolist(), float(limit.sum())))
    columns = ("variance", "h", "L_1", "L_2", "L_3", "L_1 + ... + L_7")
    yield Table("Terms of the bound nearest to the data, Gaussian data, d = 2", columns, rows)
    steps = 1 / np.arange(1, 1000)
    sums = np.cumsum((steps - np.log1p(steps)) / 2)
    terms = [(n, float(sums[n - 1]), np.euler_gamma / 2) for n in (9, 99, 999)]
    yield Table("What beta~ costs more, a dimension", ("terms", "sum", "half of Euler's constant"), terms)


def _prediction(data, change) -> tuple[np.ndarray, np.ndarray]:
    """eps(x, i) = S_i x + c_i: the exact one, sigma C_i^{-1} (x - m_i), or one changed in slope and place."""
    bars = np.cumprod(1 - BETAS)
    slopes = np.array([np.sqrt(1 - b) * np.linalg.inv(b * data.cov + (1 - b) * np.eye(data.dim)) for b in bars])
    shifts = np.array([-S @ (np.sqrt(b) * data.mean) for S, b in zip(slopes, bars, strict=True)])
    if change is not None:
        slopes, shifts = slopes @ change[0], shifts + change[1]
    return slopes, shifts


def _joint(data, slopes, shifts, variance: str) -> tuple[float, float, float]:
    """KL of the joint laws of (x_0, ..., x_N), KL of the laws of x_0, and the size of what they add up times their rounding."""
    n, d = len(BETAS), data.dim
    bars = np.concatenate([[1.0], np.cumprod(1 - BETAS)])
    unit = np.eye(d)
    q_mean = np.concatenate([np.sqrt(b) * data.mean for b in bars])
    q_cov = np.block([[np.sqrt(bars[max(i, j)] / bars[min(i, j)]) * (bars[min(i, j)] * data.cov + (1 - bars[min(i, j)]) * unit)
                       for j in range(n + 1)] for i in range(n + 1)])
    p_mean, p_cov = np.zeros(((n + 1), d)), np.zeros((n + 1, n + 1, d, d))
    p_cov[n, n] = unit
    for i in range(n, 0, -1):
        beta, missing = BETAS[i - 1], 1 - bars[i]
        A = (unit - beta / np.sqrt(missing) * slopes[i - 1]) / np.sqrt(1 - beta)
        v = beta if variance == "beta" or i == 1 else (1 - bars[i - 1]) / missing * beta
        p_mean[i - 1] = A @ p_mean[i] - beta / np.sqrt(missing) * shifts[i - 1] / np.sqrt(1 - beta)
        for j in range(n, i - 1, -1):
            p_cov[i - 1, j] = A @ p_cov[i, j]
            p_cov[j, i - 1] = p_cov[i - 1, j].T
        p_cov[i - 1, i - 1] = A @ p_cov[i, i] @ A.T + v * unit
    flat = p_cov.transpose(0, 2, 1, 3).reshape((n + 1) * d, (n + 1) * d)
    scale = float(np.linalg.cond(flat) + np.linalg.cond(q_cov)) * len(flat)
    return _kl(q_mean, q_cov, p_mean.ravel(), flat), _kl(data.mean, data.cov, p_mean[0], p_cov[0, 0]), scale


def _kl(m, C, mu, S) -> float:
    """KL(N(m, C) || N(mu, S)) by dense linear algebra."""
    away = mu - m
    trace, square = np.trace(np.linalg.solve(S, C)), away @ np.linalg.solve(S, away)
    return float(trace + square - len(m) + np.linalg.slogdet(S)[1] - np.linalg.slogdet(C)[1]) / 2


def _gradients(ops: Operations, process: DDPM, seed: int) -> Iterator[Comparison]:
    """sum_i w_i/n |eps - eps_theta|^2 over rows at different indices, by the complex step in every parameter."""
    for k, case in enumerate(_network_cases.cases(seed, square=True)):
        if not case.t:
            continue
        index = np.array([3, 1, 7, 2, 5])
        bars = Bars.of(BETAS)
        alpha, sigma = (np.array([scale(i) for i in index]) for scale in (bars.alpha, bars.sigma))
        noisy = case.noisy(alpha, sigma, index.astype(float))
        variance, beta = VARIANCES[k % 2], BETAS[index - 1]
        v = np.array([b if variance == "beta" or i == 1 else bars.posterior(i - 1, i)[2] for b, i in zip(beta, index, strict=True)])
        factor = beta**2 / (v * (1 - beta) * sigma**2) / len(index)
        value, gradient = ops.variational_loss(case.model, process, case.x, index, case.v, variance, grad=True)
        ratio = [0.0 if i == 1 else bars.posterior(i - 1, i)[2] / w for i, w in zip(index, v, strict=True)]
        constant = [math.log(2 * math.pi * w) if i == 1 else r - 1 - math.log(r) for i, r, w in zip(index, ratio, v, strict=True)]
        shifted = np.array([value - case.d * sum(constant) / 2 / len(index)])
        yield from noisy.loss(f"L_t, {variance}", (shifted, gradient), squares, c=factor, shift=-case.v)
