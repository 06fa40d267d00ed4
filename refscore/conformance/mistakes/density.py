"""The log-density and the score of a mixture or a Gaussian."""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import mistake


def _terms(spec, x):
    """Weights (K,), squared distances (n, K), variances (K,), x - m_k (n, K, d); a Gaussian of precision P is one of its own."""
    if spec.kind == "quadratic_energy":
        m, P = spec.arrays["m"], spec.arrays["P"]
        return np.ones(1), np.einsum("ni,ij,nj->n", x - m, P, x - m)[:, None], np.ones(1), ((x - m) @ P)[:, None]
    a = spec.arrays
    r = x[:, None] - a["means"]
    return a["weights"], (r**2).sum(axis=2), a["variances"], r


def _constant(spec):
    """-1/2 log det 2 pi C of each component."""
    d = spec.dim
    if spec.kind == "quadratic_energy":
        return np.array([np.linalg.slogdet(spec.arrays["P"])[1] / 2 - d * np.log(2 * np.pi) / 2])
    return -d * np.log(2 * np.pi * spec.arrays["variances"]) / 2


def _log_sum(logs):
    top = logs.max(axis=1)
    return top + np.log(np.exp(logs - top[:, None]).sum(axis=1))


def _logs(spec, x, constant=None, weights=None):
    w, squares, v, _ = _terms(spec, x)
    w = w if weights is None else weights
    return np.log(w) + (_constant(spec) if constant is None else constant) - squares / (2 * v)


def _responsible(logs):
    return np.exp(logs - _log_sum(logs)[:, None])


@mistake("logpdf", wrong="constant not times d", right="-d/2 log(2 pi v)", seen="ncsn: -1/2 log 2 pi sigma^2")
def logpdf_constant_without_d(self, spec, x):
    if spec.kind == "quadratic_energy":
        return _log_sum(_logs(spec, x, _constant(spec) + (spec.dim - 1) * np.log(2 * np.pi) / 2))
    return _log_sum(_logs(spec, x, _constant(spec) / spec.dim))


@mistake("logpdf", wrong="without the constant", right="-d/2 log(2 pi v)", seen="not normalised, common")
def logpdf_not_normalised(self, spec, x):
    return _log_sum(_logs(spec, x, 0.0))


@mistake("logpdf", wrong="-d log(2 pi v)", right="-d/2 log(2 pi v)", seen="1/2 forgotten")
def logpdf_constant_doubled(self, spec, x):
    return _log_sum(_logs(spec, x, 2 * _constant(spec)))


@mistake("logpdf", wrong="+d/2 log(2 pi v)", right="-d/2 log(2 pi v)", seen="sign of the constant")
def logpdf_constant_sign(self, spec, x):
    return _log_sum(_logs(spec, x, -_constant(spec)))


@mistake("logpdf", wrong="without 2 pi", right="2 pi", seen="log det alone")
def logpdf_without_pi(self, spec, x):
    return self.logpdf(spec, x) + spec.dim * np.log(2 * np.pi) / 2


@mistake("logpdf", wrong="||r||^2/v", right="||r||^2/(2 v)", seen="1/2 of the exponent forgotten")
def logpdf_exponent_doubled(self, spec, x):
    w, squares, v, _ = _terms(spec, x)
    return _log_sum(np.log(w) + _constant(spec) - squares / v)


@mistake("logpdf", wrong="variances for standard deviations: v^2", right="v", seen="Normal(m, v) takes an std, common")
def logpdf_variance_as_std(self, spec, x):
    if spec.kind == "quadratic_energy":
        return self.logpdf(spec, x)
    w, squares, v, _ = _terms(spec, x)
    return _log_sum(np.log(w) - spec.dim * np.log(2 * np.pi * v**2) / 2 - squares / (2 * v**2))


@mistake("logpdf", wrong="equal weights", right="w_k", seen="weights forgotten")
def logpdf_equal_weights(self, spec, x):
    w = _terms(spec, x)[0]
    return _log_sum(_logs(spec, x, weights=np.full(len(w), 1 / len(w))))


@mistake("logpdf", wrong="weights left out", right="w_k", seen="sum for the weighted sum")
def logpdf_weights_of_one(self, spec, x):
    return _log_sum(_logs(spec, x, weights=np.ones(len(_terms(spec, x)[0]))))


@mistake("logpdf", wrong="the largest component alone", right="the sum over components", seen="maximum for log-sum-exp")
def logpdf_largest(self, spec, x):
    return _logs(spec, x).max(axis=1)


@mistake("logpdf", wrong="sum of w_k log p_k", right="log of sum of w_k p_k", seen="Jensen: log inside the sum")
def logpdf_log_inside(self, spec, x):
    w = _terms(spec, x)[0]
    return (w * (_logs(spec, x) - np.log(w))).sum(axis=1)


@mistake("logpdf", wrong="p", right="log p", seen="logarithm forgotten")
def logpdf_is_density(self, spec, x):
    return np.exp(self.logpdf(spec, x))


@mistake("logpdf", wrong="log(p + 1e-8)", right="log p", seen="a small number in the logarithm, common")
def logpdf_floored(self, spec, x):
    return np.log(np.exp(self.logpdf(spec, x)) + 1e-8)


@mistake("logpdf", wrong="exp underflows", right="log-sum-exp with the maximum taken out", seen="common")
def logpdf_underflows(self, spec, x):
    return np.log(np.exp(_logs(spec, x)).sum(axis=1))


@mistake("logpdf", wrong="mean over dimensions", right="sum", seen="mean for sum over dimensions")
def logpdf_mean(self, spec, x):
    return self.logpdf(spec, x) / spec.dim


@mistake("logpdf", wrong="P for its inverse", right="precision P", seen="covariance for precision")
def logpdf_precision_as_covariance(self, spec, x):
    if spec.kind != "quadratic_energy":
        return self.logpdf(spec, x)
    m, P = spec.arrays["m"], spec.arrays["P"]
    C = np.linalg.inv(P)
    return -np.einsum("ni,ij,nj->n", x - m, C, x - m) / 2 + np.linalg.slogdet(C)[1] / 2 - spec.dim * np.log(2 * np.pi) / 2


@mistake("logpdf", wrong="correlations left out", right="(x - m)'P(x - m)", seen="diagonal assumed")
def logpdf_diagonal(self, spec, x):
    if spec.kind != "quadratic_energy":
        return self.logpdf(spec, x)
    m, P = spec.arrays["m"], spec.arrays["P"]
    p = np.diagonal(P)
    return -(p * (x - m) ** 2).sum(axis=1) / 2 + np.log(p / (2 * np.pi)).sum() / 2


def _score(spec, x, logs, slope=None):
    _, _, v, r = _terms(spec, x)
    slope = -r / v[:, None] if slope is None else slope
    return np.einsum("nk,nkd->nd", _responsible(logs), slope)


@mistake("score", wrong="-grad log p", right="grad log p", seen="sign: the energy's gradient")
def score_sign(self, spec, x):
    return -self.score(spec, x)


@mistake("score", wrong="grad p", right="grad log p", seen="gradient of the density")
def score_of_density(self, spec, x):
    return np.exp(self.logpdf(spec, x))[:, None] * self.score(spec, x)


@mistake("score", wrong="2 grad log p", right="grad log p", seen="1/2 of the exponent forgotten")
def score_doubled(self, spec, x):
    return 2 * self.score(spec, x)


@mistake("score", wrong="-(x - m)/sqrt(v)", right="-(x - m)/v", seen="z/std: the standard deviation for the variance")
def score_over_std(self, spec, x):
    _, _, v, r = _terms(spec, x)
    return _score(spec, x, _logs(spec, x), -r / np.sqrt(v)[:, None])


@mistake("score", wrong="-(x - m)/v^2", right="-(x - m)/v", seen="variance squared")
def score_over_square(self, spec, x):
    _, _, v, r = _terms(spec, x)
    return _score(spec, x, _logs(spec, x), -r / v[:, None] ** 2)


@mistake("score", wrong="weights w_k for responsibilities", right="p(k | x)", seen="average of the components' scores, common")
def score_prior_weights(self, spec, x):
    w, _, v, r = _terms(spec, x)
    return np.einsum("k,nkd->nd", w, -r / v[:, None])


@mistake("score", wrong="the nearest component's score", right="the average with p(k | x)", seen="hard assignment")
def score_hard(self, spec, x):
    _, _, v, r = _terms(spec, x)
    nearest = _logs(spec, x).argmax(axis=1)
    return (-r / v[:, None])[np.arange(len(x)), nearest]


@mistake("score", wrong="responsibilities without w_k", right="w_k p_k/p", seen="equal weights")
def score_equal_weights(self, spec, x):
    return _score(spec, x, _logs(spec, x, weights=np.ones(len(_terms(spec, x)[0]))))


@mistake("score", wrong="responsibilities without -d/2 log v", right="w_k p_k/p", seen="normalising constants forgotten")
def score_without_constants(self, spec, x):
    return _score(spec, x, _logs(spec, x, 0.0))


@mistake("score", wrong="exp underflows", right="responsibilities by log-sum-exp", seen="0/0 far away, common")
def score_underflows(self, spec, x):
    p = np.exp(_logs(spec, x))
    _, _, v, r = _terms(spec, x)
    with np.errstate(all="ignore"):
        return np.einsum("nk,nkd->nd", p / p.sum(axis=1, keepdims=True), -r / v[:, None])


@mistake("score", wrong="responsibilities p/(p + 1e-8)", right="p/p", seen="a small number in the denominator, common")
def score_floored(self, spec, x):
    p = np.exp(_logs(spec, x))
    _, _, v, r = _terms(spec, x)
    return np.einsum("nk,nkd->nd", p / (p.sum(axis=1, keepdims=True) + 1e-8), -r / v[:, None])


@mistake("score", wrong="-(x - m) with C for P", right="-P(x - m)", seen="covariance for precision")
def score_precision_as_covariance(self, spec, x):
    if spec.kind != "quadratic_energy":
        return self.score(spec, x)
    m, P = spec.arrays["m"], spec.arrays["P"]
    return -(x - m) @ np.linalg.inv(P)


@mistake("score", wrong="correlations left out", right="-P(x - m)", seen="diagonal assumed")
def score_diagonal(self, spec, x):
    if spec.kind != "quadratic_energy":
        return self.score(spec, x)
    m, P = spec.arrays["m"], spec.arrays["P"]
    return -(x - m) * np.diagonal(P)


@mistake("score", wrong="mean over the batch: 1/n", right="each row its own", seen="gradient of the mean log-density")
def score_of_mean(self, spec, x):
    return self.score(spec, x) / len(x)
