r"""Absolute error bounds for the log-density and the score of a mixture, by running error analysis.

Rounding perturbs the log posterior ratios L_k = l_k - l_j by at most delta_k. The weights r_k = e^{L_k}/sum e^{L} lie
then between e^{L_k - delta_k}/sum e^{L + delta} and e^{L_k + delta_k}/sum e^{L - delta}, and because the errors of
the weights sum to zero,

    |error of s| <= sum_k (width of the interval of r_k) |s_k - s| + sum_k r_k |error of s_k| + rounding of the sum,

which stays small in the far tails even where nothing is known about r, for the s_k agree there. (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, sec. 3.1 for gamma_n = n u/(1 - n u); a computed eigendecomposition is exact for a
matrix within ``defect``.)
"""

from __future__ import annotations

import numpy as np

from refscore.densities._components import EASY, UNIT, Components
from refscore.densities._posterior import _LOG_2PI, Posterior, pieces, sum_by_row


def bounds(parts: Components, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(error of the log-density (n,), error of every entry of the score (n, d)) for a block of rows."""
    logits, base, screening = parts.screen(x)
    several = len(parts.means) > 1
    log_bounds, score_bounds = [np.zeros(0)], [np.zeros((0, x.shape[1]))]
    with np.errstate(over="ignore", invalid="ignore"):
        easy = (screening <= EASY) & several
        floor = np.where(easy, screening, 0.0)
        for start in range(0, len(x), group := max(1, 2**18 // len(parts.means))):
            rows = slice(start, start + group)
            posterior = parts.careful(x[rows], logits[:, rows], screening[rows], prune=False)
            delta = _ratio_errors(posterior, floor[rows])
            log_bounds.append(_log_density_bound(posterior, delta, floor[rows]))
            score_bounds.append(_score_bound(posterior, delta, easy[rows]))
        base_error = (x.shape[1] + 8) * UNIT * np.abs(base) + len(parts.means) * UNIT  # and the sum over components
        return np.concatenate(log_bounds) + np.where(easy, base_error, 0.0), np.concatenate(score_bounds)


def _relative(parts: Components, k: np.ndarray) -> np.ndarray:
    """Relative error of P_k as stored: the defect of the eigendecomposition and the rounding of the parameters."""
    return parts.defect[k] / parts.spectrum[k].min(axis=1) + parts.cov_ulps * UNIT


def _ratio_errors(posterior: Posterior, floor: np.ndarray) -> np.ndarray:
    """delta_k for the listed components, (m,)."""
    parts, x = posterior.parts, posterior.x
    delta = np.empty(len(posterior.k))
    for piece in pieces(len(posterior.k), x.shape[1]):
        k, rows = posterior.k[piece], posterior.rows[piece]
        j = posterior.reference[rows]
        part = (4 * x.shape[1] + 16) * UNIT * parts.log_ratio_size(x[rows], k, j) + floor[rows]
        delta[piece] = part + _parameter_error(parts, k, x[rows]) + _parameter_error(parts, j, x[rows])
    delta[np.isneginf(posterior.log_ratio)] = 0  # so far below that no rounding brings it back
    return delta


def _parameter_error(parts: Components, k: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the errors of mean and covariance do to l_k(x)."""
    relative = _relative(parts, k)
    if not relative.any() and not parts.mean_ulps:
        return relative
    _, q = parts.log_height_at(k, x)
    shift = parts.mean_ulps * UNIT * np.abs(parts.means[k])
    slope = np.abs(parts.solve(k, x - parts.means[k])) + 0.5 * parts.solve_magnitude(k, shift)
    spread = np.where(relative > 0, 0.5 * relative * (q + x.shape[1]), 0.0)  # no error stays none where q overflows
    return np.where(shift > 0, slope * shift, 0.0).sum(axis=1) + spread


def _intervals(posterior: Posterior, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(width of the interval of r_k for the listed components, of r_j, of log sum e^L)."""
    n, rows = len(posterior.x), posterior.rows
    top = np.zeros(n)
    ratio = np.clip(posterior.log_ratio.astype(np.float64), -1e300, 1e300)
    np.maximum.at(top, rows, ratio)
    shifted = ratio - top[rows]
    low = np.exp(np.minimum(shifted - delta, 700))
    high = np.exp(np.minimum(shifted + delta, 700))
    own = np.exp(-top)
    total_low = own + sum_by_row(rows, low, n)
    total_high = own + sum_by_row(rows, high, n)
    weights, own_weight, _ = posterior.weights
    at_most, at_least = np.minimum(high / total_low[rows], 1), low / total_high[rows]
    width = np.maximum(at_most - weights, weights - at_least) + 8 * UNIT * weights
    own_width = np.maximum(np.minimum(own / total_low, 1) - own_weight, own_weight - own / total_high) + 8 * UNIT * own_weight
    return np.minimum(width, 1), np.minimum(own_width, 1), np.log(total_high) - np.log(total_low)


def _log_density_bound(posterior: Posterior, delta: np.ndarray, floor: np.ndarray) -> np.ndarray:
    parts, x, j = posterior.parts, posterior.x, posterior.reference
    dim = x.shape[1]
    height, q = parts.log_height_at(j, x)
    rounding = (2 * dim + 10) * UNIT * (q + parts.height_size[j] + dim)
    spread, total = _intervals(posterior, delta)[2], posterior.weights[2]
    rounding += 4 * UNIT * (np.abs(height) + np.abs(total) + _LOG_2PI * dim)
    return rounding + _parameter_error(parts, j, x) + spread + floor + _left_out(parts)


def _score_bound(posterior: Posterior, delta: np.ndarray, easy: np.ndarray) -> np.ndarray:
    parts, x, j = posterior.parts, posterior.x, posterior.reference
    n, dim = x.shape
    weights, mean = posterior.weights[0], posterior.mean_step
    widths, own_width, _ = _intervals(posterior, delta)
    # the screened score is a sum over all components; expanded, r'(P m) - (r'P) x, its parts reach from the centre to both
    spread = np.abs(x - parts.centre) + np.abs(parts.means - parts.centre).max(axis=0) if parts.centred else np.zeros_like(x)
    bound = own_width[:, None] * np.abs(mean) + _component_error(parts, j, x)
    # a component left out has q/2 <= reach + the difference in height: so steep at most is its score
    depth = parts.reach + parts.height_size.max() * 2
    bound += _left_out(parts) * 2 * np.sqrt(2 * depth / parts.spectrum.min())
    bound += 8 * UNIT * (np.abs(parts.solve(j, x - parts.means[j])) + np.abs(mean))
    steepest = parts.solve_magnitude(j, spread + np.abs(x - parts.means[j]))
    for piece in pieces(len(posterior.k), dim):
        rows, k = posterior.rows[piece], posterior.k[piece]
        step = np.where((widths[piece] > 0)[:, None], parts.step(x[rows], k, j[rows]), 0.0)
        own = _weighted(weights[piece], _component_error(parts, k, x[rows]))
        bound += sum_by_row(rows, widths[piece, None] * np.abs(step - mean[rows]) + own, n)
        if easy.any():
            extent = spread[rows] + np.abs(x[rows] - parts.means[k])
            steepest += sum_by_row(rows, _weighted(weights[piece], parts.solve_magnitude(k, extent)), n)
    return bound + np.where(easy[:, None], (len(parts.means) + 2 * dim + 8) * UNIT * steepest, 0.0)


def _component_error(parts: Components, k: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Error of every entry of s_k(x) = P_k(m_k - x), one component a row."""
    dim = x.shape[1]
    u = x - parts.means[k]
    bound = (2 * dim + 8 if parts.axes is not None else 4) * UNIT * parts.solve_magnitude(k, u)
    slope = parts.solve(k, u)
    if parts.axes is not None:
        length = np.abs(slope).sum(axis=1, keepdims=True)
        bound = bound + (parts.defect[k] / parts.spectrum[k].min(axis=1))[:, None] * length
    if parts.mean_ulps:
        bound = bound + parts.mean_ulps * UNIT * parts.solve_magnitude(k, np.abs(parts.means[k]))
    return bound + parts.cov_ulps * UNIT * parts.solve_magnitude(k, u)


def _weighted(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """weights times values rowwise, zero where the weight is, whatever the value."""
    return np.where(weights[:, None] > 0, weights[:, None] * values, 0.0)


def _left_out(parts: Components) -> float:
    """Bound on the weight of all components that the screening excludes."""
    return float(len(parts.means) * np.exp(-parts.reach)) if len(parts.means) > 1 else 0.0
