"""What a Gaussian mixture computes on one block of rows: pure functions of (components, rows), for `_blocks.map_rows`.

Each screens the block with one matrix product and hands the rows that this leaves unsure to `Components.careful`.
"""

from __future__ import annotations

import math

import numpy as np

from refscore.densities._components import EASY, Components, by_component
from refscore.densities._error_bounds import bounds
from refscore.densities._posterior import Posterior

_PAIRS = 1 << 18  # (row, component) pairs that the careful way takes at a time


def _with_careful_rows(parts: Components, x: np.ndarray, dense, careful) -> np.ndarray:
    """``dense(logits, base)`` for the whole block, then ``careful(posterior)`` for the rows that the screening leaves unsure."""
    logits, base, error = parts.screen(x)
    hard = np.flatnonzero(~(error <= EASY)) if len(parts.means) > 1 else np.arange(len(x))
    group = max(1, _PAIRS // len(parts.means))
    with np.errstate(over="ignore", invalid="ignore"):
        exact = []
        for start in range(0, len(hard), group):
            rows = hard[start : start + group]
            exact.append(careful(parts.careful(x[rows], logits[:, rows], error[rows])))
            if np.isnan(exact[-1]).any():
                row = x[rows[np.argwhere(np.isnan(exact[-1]))[0, 0]]]
                raise OverflowError(f"at x = {row} parts of the result exceed the range of float64 with opposite signs: "
                                    "keep |x - mean|/variance below 1e300, or rescale the coordinates")
        if len(hard) == len(x) > 0:
            return np.concatenate(exact)
        value = dense(logits, base)
        if exact:
            value[hard] = np.concatenate(exact)
        return value


def log_density(parts: Components, x: np.ndarray) -> np.ndarray:
    def dense(logits, base):
        top, _, total = _powers(logits)
        return np.log(total) + (top + base - 0.5 * x.shape[1] * math.log(2 * math.pi))

    return _with_careful_rows(parts, x, dense, Posterior.log_density)


def score(parts: Components, x: np.ndarray) -> np.ndarray:
    def dense(logits, base):
        _, powers, total = _powers(logits)
        if parts.centred:
            mixed = parts.slopes.T @ powers
            mixed /= total
            z, pull, precision = (x - parts.centre).T, mixed[: x.shape[1]], mixed[x.shape[1] :]
            if parts.axes is not None:
                precision = precision.reshape(*parts.precision.shape[1:], len(x))
                return np.ascontiguousarray((pull - (precision * z).sum(axis=1)).T)
            return np.ascontiguousarray((pull - precision * z).T)
        value = np.empty_like(x)
        for i in range(x.shape[1]):
            if i < parts.precision.shape[1]:
                steepness = powers * parts.precision[:, i, None]
            away = parts.means[:, i, None] - np.ascontiguousarray(x[:, i])
            away *= steepness
            value[:, i] = away.sum(axis=0) / total
        return value

    return _with_careful_rows(parts, x, dense, Posterior.score)


def jacobian(parts: Components, x: np.ndarray) -> np.ndarray:
    def dense(logits, base):
        weights, away = _centred_scores(parts, x, logits)
        value = (weights[:, :, None] * away).transpose(0, 2, 1) @ away
        mixed = weights @ parts.precision.reshape(len(parts.means), -1)
        if parts.axes is None:
            value[:, range(x.shape[1]), range(x.shape[1])] -= mixed
            return value
        return value - mixed.reshape(value.shape)

    return _with_careful_rows(parts, x, dense, Posterior.jacobian)


def divergence(parts: Components, x: np.ndarray) -> np.ndarray:
    return _spread_less(parts, parts.precision_trace, x)


def spread(parts: Components, x: np.ndarray) -> np.ndarray:
    return _spread_less(parts, np.zeros(len(parts.means)), x)


def _spread_less(parts: Components, known: np.ndarray, x: np.ndarray) -> np.ndarray:
    """sum_k r_k (|s_k - s|^2 - known_k), (n,)."""

    def dense(logits, base):
        weights, away = _centred_scores(parts, x, logits)
        away *= np.sqrt(weights)[:, :, None]
        return (away * away).sum(axis=(1, 2)) - weights @ known

    return _with_careful_rows(parts, x, dense, lambda posterior: posterior.spread_less(known))


def _powers(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(largest l_k (n,), e^{l_k - largest} (K, n) in place of the logits, their sum (n,)): r_k is the power over the sum."""
    top = logits.max(axis=0)
    logits -= top
    np.exp(logits, out=logits)
    return top, logits, logits.sum(axis=0)


def _centred_scores(parts: Components, x: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior weights (n, K) and s_k - s (n, K, d)."""
    _, powers, total = _powers(logits)
    weights = np.ascontiguousarray((powers / total).T)
    away = parts.means - x[:, None, :]
    precision = parts.precision
    away = np.einsum("kij,nkj->nki", precision, away) if precision.ndim == 3 else away * precision
    away[weights == 0] = 0.0  # it may have overflowed, and does not matter
    away -= np.einsum("nk,nkd->nd", weights, away)[:, None, :]
    return weights, away


def log_density_error(parts: Components, x: np.ndarray) -> np.ndarray:
    return bounds(parts, x)[0]


def score_error(parts: Components, x: np.ndarray) -> np.ndarray:
    return bounds(parts, x)[1]


def tail(parts: Components, weights: np.ndarray, side: float, x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(side * (x - parts.means[:, 0]) / np.sqrt(parts.spectrum[:, 0])) @ weights


def draw(parts: Components, weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    cumulative = np.cumsum(weights)
    k = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
    z = rng.standard_normal((n, parts.means.shape[1])) * np.sqrt(parts.spectrum[k])
    if parts.axes is not None:
        z = by_component(k, z, lambda j, rows: rows @ parts.axes[j].T)
    return parts.means[k] + z
