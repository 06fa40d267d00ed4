"""A Gaussian mixture in 50-digit arithmetic, straight from the definitions: the second route for every density test."""

import mpmath as mp
import numpy as np


def exact(weights, means, covs, x):
    """(log p, s, Ds) at one point x as mpmath numbers; covs (K, d, d) as a list of mpmath matrices or arrays."""
    with mp.workdps(50):
        d = len(x)
        point = mp.matrix([mp.mpf(v) for v in x])
        logs, scores, precisions = [], [], []
        for w, m, c in zip(weights, means, covs, strict=True):
            c = c if isinstance(c, mp.matrix) else mp.matrix(np.asarray(c).tolist())
            if d > 1 and not any(c[i, j] for i in range(d) for j in range(d) if i != j):  # mpmath calls wide diagonals singular
                p, determinant = mp.diag([1 / c[i, i] for i in range(d)]), mp.fprod(c[i, i] for i in range(d))
            else:
                p, determinant = c**-1, mp.det(c)
            u = point - (m if isinstance(m, mp.matrix) else mp.matrix([mp.mpf(float(v)) for v in m]))
            logs.append(mp.log(mp.mpf(w)) - (u.T * p * u)[0] / 2 - mp.log(determinant) / 2 - d * mp.log(2 * mp.pi) / 2)
            scores.append(-p * u)
            precisions.append(p)
        top = max(logs)
        total = sum(mp.exp(v - top) for v in logs)
        r = [mp.exp(v - top) / total for v in logs]
        s = sum((r[k] * scores[k] for k in range(len(r))), mp.zeros(d, 1))
        jacobian = sum((r[k] * ((scores[k] - s) * (scores[k] - s).T - precisions[k]) for k in range(len(r))), mp.zeros(d, d))
        return top + mp.log(total), s, jacobian


def matrices(covs, d):
    """covs in any of the three forms as (K, d, d)."""
    covs = np.asarray(covs, dtype=float)
    if covs.ndim == 3:
        return covs
    return np.array([np.eye(d) * c for c in covs])


def assert_within_bounds(density, x, jacobian_tolerance=None, weights=None, means=None, covs=None):
    """logpdf and score of every row lie within the density's own bounds of the exact values; Jacobian and divergence within
    ``jacobian_tolerance(exact Jacobian's largest entry, row)``. Returns the largest error/bound ratios seen."""
    d = density.dim
    weights = density.weights if weights is None else weights
    means = density.means if means is None else means
    covs = matrices(density.covs, d) if covs is None else covs
    got = density.logpdf(x), density.score(x), density.score_jacobian(x), density.score_divergence(x)
    log_bound, score_bound = density.logpdf_error(x), density.score_error(x)
    seen = [0.0, 0.0]
    for i, row in enumerate(x):
        log_p, s, jacobian = exact(weights, means, covs, row)
        error = abs(mp.mpf(float(got[0][i])) - log_p)
        assert error <= log_bound[i], (row, mp.nstr(log_p, 20), got[0][i], log_bound[i])
        seen[0] = max(seen[0], float(error / max(log_bound[i], 1e-320)))
        for j in range(d):
            error = abs(mp.mpf(float(got[1][i, j])) - s[j])
            assert error <= score_bound[i, j], (row, j, mp.nstr(s[j], 20), got[1][i, j], score_bound[i, j])
            seen[1] = max(seen[1], float(error / max(score_bound[i, j], 1e-320)))
        if jacobian_tolerance is not None:
            size = max(abs(v) for v in jacobian)
            worst = max(abs(mp.mpf(float(got[2][i, j, k])) - jacobian[j, k]) for j in range(d) for k in range(d))
            assert worst <= jacobian_tolerance(float(size), row), (row, mp.nstr(jacobian, 10), got[2][i])
            trace = sum(jacobian[j, j] for j in range(d))
            assert abs(mp.mpf(float(got[3][i])) - trace) <= d * jacobian_tolerance(float(size), row), (row, got[3][i])
    return seen
