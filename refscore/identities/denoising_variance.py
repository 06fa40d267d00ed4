"""Identities of section B: the variance of the denoising loss and of its gradient, at any noise and as it vanishes (B11)."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev

from refscore.densities import PointSet
from refscore.identities import _textbook
from refscore.identities._expectations import EPS, refined
from refscore.identities._models import score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import gaussian, mixture


@identity(
    id="B11.variance",
    systems=("B11",),
    title="The variance of the denoising loss grows like d/(2 sigma^4), that of its gradient like E tr JJ'/sigma^2",
    statement=r"\mathrm{Var}\,\tfrac12\|s(\tilde x) + z/\sigma\|^2 = \tfrac{d}{2\sigma^4} + \tfrac{2 J_{ISM}(s)}{\sigma^2} + O(1),"
              r"\quad \mathrm{tr\,Cov}\,\nabla_\theta = \tfrac1{\sigma^2}E\|\partial s/\partial\theta\|^2 + O(1)",
    source="[e, 'the loss variance would also increase drastically as sigma -> 0']",
    method="nodes of (data, noise) exact to degree 4 vs moments of Gaussian vectors by Isserlis' theorem, gradients row by row; "
           "coefficients by extrapolation in sigma^2 vs ISM and Jacobians on the data",
    catches=("variance_second_moment", "variance_root", "variance_without_quarter", "variance_over_d", "variance_weight_once",
             "variance_of_gaussian_target", "variance_by_two_moments", "variance_of_noise_alone", "gradient_second_moment",
             "dsm_variance_over_dims_once", "dsm_variance_predicts_ignored"),
)
def denoising_variance(ops, seed):
    """Four models; mixtures and points, alpha not 1, weights one and sigma^2; then sigma -> 0."""
    for d, alpha, sigma in ((1, 1.0, 0.6), (1, 0.7, 0.15), (2, 0.8, 0.9)):
        density = mixture(d)
        models = score_models(density.corrupted(alpha, max(sigma, 0.6)), seed)
        for name in models if d == 1 else ("exact", "linear", "trained"):
            grad = name == "linear" or (d == 1 and name != "exact")
            yield from _by_moments(ops, density, models[name], name, alpha, sigma, grad)
    yield from _by_moments(ops, gaussian(3), score_models(gaussian(3), seed)["linear"], "linear", 1.0, 0.7, grad=False)
    yield from _conventions(ops, score_models(gaussian(2), seed)["linear"], score_models(mixture(1), seed)["random"])
    points = PointSet([[-0.8], [0.1], [1.1]], [0.2, 0.5, 0.3])
    yield from _by_moments(ops, points, score_models(mixture(1), seed)["random"], "random", 0.9, 0.7, grad=True)
    rows: list[tuple] = []
    models = score_models(mixture(1).corrupted(1.0, 0.3), seed)
    for name in models:
        yield from _vanishing_noise(ops, name, models[name], rows)
    yield Table("As sigma -> 0, d = 1", ("model", "2 ISM", "E ||ds/dtheta||^2"), rows)
    columns = ("sigma", "Var, weight 1", "weight sigma^2", "gradient, weight 1", "weight sigma^2")
    yield Table("Variances of one draw's loss and gradient, trained network", columns, list(_growth(ops, models["trained"])))


def _by_moments(ops, density, model, name, alpha, sigma, grad):
    """Given x~ and the component, r is N(m, S): E||r||^4 = (|m|^2 + tr S)^2 + 2 tr S^2 + 4 m'S m, E r r' = m m' + S."""
    d, points = density.dim, isinstance(density, PointSet)
    law = density.corrupted(alpha, sigma)
    data = np.zeros((len(law.means), d, d)) if points else _textbook.matrices(density)

    def sums(h):
        x, w = _textbook.nodes(law, h)
        s = np.asarray(model(x))
        k = np.repeat(np.arange(len(law.means)), len(x) // len(law.means))
        precision = np.linalg.inv(_textbook.matrices(law))
        m = s + np.einsum("nij,nj->ni", precision[k], x - law.means[k])
        S = (alpha / sigma) ** 2 * (data @ precision)[k]
        trace, norm = np.trace(S, axis1=1, axis2=2), (m * m).sum(axis=1)
        first = 0.5 * (norm + trace)
        fourth = (norm + trace) ** 2 + 2 * np.einsum("nij,nji->n", S, S) + 4 * np.einsum("ni,nij,nj->n", m, S, m)
        mean = w @ first
        out = {"loss": 0.25 * (w @ fourth) - mean**2}
        if grad:
            J = _parameter_jacobian(ops, model, x)
            out["gradient"] = w @ np.einsum("nip,nij,njp->np", J, m[:, :, None] * m[:, None, :] + S, J)
            out["gradient"] = out["gradient"] - (w @ np.einsum("nip,ni->np", J, m)) ** 2
        return out

    have, slack = refined(sums, 0.7, finest={1: 0.06, 2: 0.2, 3: 0.35}[d])
    for weight, factor in (("one", 1.0), ("sigma2", sigma**4))[: 2 if d == 1 else 1]:
        found = ops.dsm_variance(model, density, alpha, sigma, weight=weight, grad=grad)
        value, error = found[0] if grad else found
        case = f"{name} score, {'points' if points else 'data'} in d = {d}, alpha = {alpha}, sigma = {sigma}, weight {weight}"
        want = factor * float(have["loss"])
        yield Comparison(case, value, want, error + factor * slack["loss"], 1 + want + factor * d**2 / sigma**4)
        if grad:
            arrays, error = found[1]
            value, want = np.concatenate([np.ravel(a) for a in arrays]), factor * have["gradient"]
            yield Comparison(f"gradient, {case}", value, want, error + factor * slack["gradient"], 1 + np.abs(want).max())


def _conventions(ops, model, network):
    """A mean over dimensions divides the loss by d; without the half it is twice as large; m = -sigma s predicts the noise."""
    value, error = ops.dsm_variance(model, gaussian(2), 0.8, 0.7)
    found, slack = ops.dsm_variance(model, gaussian(2), 0.8, 0.7, over_dims="mean")
    yield Comparison("mean over dimensions, d = 2", found, value / 4, slack + error / 4, 1 + value)
    sigma = 0.6
    value, error = ops.dsm_variance(network, mixture(1), 0.8, sigma)
    found, slack = ops.dsm_variance(lambda x: -sigma * network(x), mixture(1), 0.8, sigma, predicts="eps", half=False)
    yield Comparison("noise predicted, without the half", found, 4 * value, slack + 4 * error, 1 + 4 * value)


def _parameter_jacobian(ops, model, x):
    """ds_i/dtheta row by row, (n, d, parameters)."""
    basis = np.eye(x.shape[1])
    if len(model.parameters) == 2:  # s = x W + b: nothing to differentiate
        ones = np.hstack([x, np.ones((len(x), 1))])
        return np.einsum("nk,ij->nikj", ones, basis).reshape(len(x), x.shape[1], -1)
    rows = [[np.concatenate([np.ravel(a) for a in ops.parameter_gradient(model, row[None], e[None])]) for e in basis] for row in x]
    return np.array(rows)


REACH, DEGREE = 0.2, 13
"""sigma^2 up to 0.2; both variances are analytic in sigma^2 above minus the least variance of the data, 0.49."""


def _vanishing_noise(ops, name, model, rows):
    """sigma^4 Var = d/2 + 2 ISM sigma^2 + ..., sigma^2 tr Cov = E||J||^2 + ..., from Chebyshev points in sigma^2."""
    density, grad = mixture(1), name != "exact"
    points = REACH / 2 * (1 + np.cos((np.arange(DEGREE + 1) + 0.5) * np.pi / (DEGREE + 1)))
    losses, gradients = [], []
    for square in points:
        found = ops.dsm_variance(model, density, 1.0, np.sqrt(square), grad=grad)
        losses.append(square**2 * (found[0] if grad else found)[0])
        if grad:
            gradients.append(square * sum(float(a.sum()) for a in found[1][0]))
    value, slope, at_zero, of_slope = _at_zero(np.array(losses))
    yield Comparison(f"sigma^4 Var of the loss at 0, {name} score", value, 0.5, at_zero, 1.0)

    def sums(h):
        x, w = density.nodes(h)
        out = {"ism": ops.ism(model, x, sample_weight=w)}
        if grad:
            out["gradient"] = w @ (_parameter_jacobian(ops, model, x) ** 2).sum(axis=(1, 2))
        return out

    have, slack = refined(sums, 0.7, finest=0.06)
    ism = float(have["ism"])
    scale = 1 + 2 * abs(ism) + np.ptp(losses) / REACH
    yield Comparison(f"its slope in sigma^2, {name} score", slope, 2 * ism, of_slope + 2 * slack["ism"], scale)
    if grad:
        value, _, at_zero, _ = _at_zero(np.array(gradients))
        want = float(have["gradient"])
        yield Comparison(f"sigma^2 tr Cov of the gradient at 0, {name} score", value, want, at_zero + slack["gradient"], 1 + want)
        rows.append((name, 2 * ism, want))
    else:
        rows.append((name, 2 * ism, ""))


def _at_zero(values):
    """(f(0), f'(0), their errors) of f given at the Chebyshev points of [0, REACH], by the series' last terms and rounding."""
    z = np.cos((np.arange(DEGREE + 1) + 0.5) * np.pi / (DEGREE + 1))
    c = chebyshev.chebfit(z, values, DEGREE)
    n = np.arange(DEGREE + 1)
    terms, slopes = c * (-1.0) ** n, -c * (-1.0) ** n * n**2 * 2 / REACH
    noise = 4 / np.pi * 32 * EPS * np.abs(values).max()  # of a coefficient: the root of 1e3 nodes, and 4/pi the mean of |2 cos|
    left = [4 * np.abs(t[-2:]).max() for t in (terms, slopes)]
    return terms.sum(), slopes.sum(), left[0] + (DEGREE + 1) * noise, left[1] + noise * (n**2 * 2 / REACH).sum()


def _growth(ops, model):
    for sigma in (0.8, 0.4, 0.2, 0.1, 0.05, 0.025):
        plain, weighted = (ops.dsm_variance(model, mixture(1), 1.0, sigma, weight=w, grad=True) for w in ("one", "sigma2"))
        totals = [sum(float(a.sum()) for a in found[1][0]) for found in (plain, weighted)]
        yield sigma, plain[0][0], weighted[0][0], *totals
