r"""The hypotheses A1-A3 of the theorem for analytic targets: L, m_2, eps (systems H1, H7); KL(q||gamma) is `refscore.distances.kl`.

m_2^2 = |mean|^2 + tr cov for any law; eps is an expectation under each q_t. What takes thought is L, the Lipschitz constant of all
scores along dX = -X dt + sqrt 2 dB, alpha = e^{-t}: at every x and t the eigenvalues of grad^2 log q_t must be bounded from both
sides. For a mixture with responsibilities r_k, precisions P_k and l_jk = log r_j - log r_k,

    grad^2 log q_t = sum_{j<k} r_j r_k (grad l_jk)(grad l_jk)' - sum_k r_k P_k.

From below it is at least -max_k |P_k|, where each eigenvalue 1/(1 + alpha^2 (lambda - 1)) is monotone in t: the ends of [0, T]
decide. From above, l_jk is a quadratic with Hessian A = P_k - P_j, so |grad l|^2 is at most a linear function G(l), namely
|b|^2 + 2 a (l - l(0)) if A = a I, and 2 |A| |l - l*| with the extreme value l* if A is definite. With r_j r_k <= u(l) =
1/(4 cosh^2(l/2)) all that is left is to maximise a function of ONE real variable, for two components u(l) G(l) - r_j P_j - r_k P_k,
exact in one dimension. The maximum is certified: the largest value on a grid, plus an eighth of the spacing's square times a
bound on the second derivative there (|u'|, |u''| <= u).

If A is neither definite nor a multiple of I, |grad l| grows along l = 0 without bound: *no* L exists at any time, although every
component alone is as smooth as can be. Then the answer is inf (or that no bound is known: semi-definite A with b in its range).

Between grid times: grad^2 log q_t <= K I implies, with w = e^{2r} - 1 and K w < 1,

    grad^2 log q_{t+r} <= e^{2r} K/(1 - K w) I

(divide q_t by e^{K|x|^2/2}: what is left is log-concave, and stays so, Prekopa 1973). So time is crossed in steps just long enough
that this does not exceed the largest K found so far by more than a part in a thousand; once K <= 0 the law stays log-concave.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refscore import _validate
from refscore.bounds.chen2023 import STANDARD
from refscore.densities import Gaussian, GaussianMixture

_SLACK = 1e-3
"""By how much, relatively, the certified constant may exceed the largest value found, because of the steps in time."""

_SPACING = 0.01
_RANGE = 60.0  # of l; beyond it u < 1e-26
_NEARLY_ALIKE = np.linspace(-20, 20, 801)  # of l
_FAR = 1e50
_COARSE = 0.8
"""Spacing of the lattice on which rounding errors are averaged: a factor, not a digit, is asked of them."""


class Lipschitz(NamedTuple):
    """max over t and x of |grad^2 log q_t(x)| lies in [attained, certified]; certified may be inf."""

    attained: float
    certified: float


def second_moment(density: Any) -> float:
    """m_2 = sqrt(E|x|^2) = sqrt(|mean|^2 + tr cov), for any law with a mean and a covariance. Source: [e, A2]."""
    return float(np.sqrt(density.mean @ density.mean + np.trace(density.cov)))


def score_errors(density: Any, score: Any, times, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000):
    """E_{q_t}|score(x, t) - grad log q_t(x)|^2 at each of the times, and absolute errors; both (N,). A3 wants the largest.

    ``score(x, t)`` is called with x (n, d) and a scalar t; q_t is the law of the standard process. No 1/2, summed over
    dimensions. Source: [e, A3]; systems H1, H7.
    """
    _mixture(density)
    found = []
    for t in np.atleast_1d(_validate.reals(times, "times")):
        law = STANDARD.marginal(density, float(t))

        def square(x, law=law, t=float(t)):
            return ((np.asarray(score(x, t)) - law.score(x)) ** 2).sum(axis=1)

        x, w = law.nodes(_COARSE)
        off, size = np.linalg.norm(law.score_error(x), axis=1), square(x)
        lost = 2 * float(w @ (2 * np.sqrt(size) * off + off**2))  # below it the difference is rounding, which no lattice resolves
        enough = max(tolerance, 10 * lost / float(w @ size)) if size.any() else 1.0
        value, error = law.expectation(square, tolerance=enough, max_nodes=max_nodes)
        found.append((value, error + lost))
    values, errors = np.array(found, dtype=np.float64).T
    return values, errors


def score_lipschitz(density: Any, T: float) -> Lipschitz:
    """L = max over 0 <= t <= T and x of |grad^2 log q_t(x)|, between a value that is attained and one that is certified.

    Exact for Gaussians (max over the eigenvalues of 1/c_t at t = 0 and T). For two components in one dimension both agree to about
    0.2 % where the scores of components apart are what is steepest, and ``certified`` is the steepest component's where they are
    not. For more components, or dimensions, it is a bound built from pairs of components; inf where two precisions differ by a
    matrix that is neither definite nor a multiple of I, for then no constant exists.

    Raises TypeError for what is no mixture. Source: [e, A1]; systems H1, H7; derived in the module docstring.
    """
    _mixture(density)
    T = _validate.positive(T, "T", zero=True)
    ends = [STANDARD.marginal(density, t) for t in (0.0, T)]
    steepest = max(float(1 / law.spectrum.min()) for law in ends)
    if len(density.means) == 1:
        return Lipschitz(steepest, steepest)
    attained, highest, t = _attained(ends[1]), 0.0, 0.0
    while t <= T:
        law = STANDARD.marginal(density, t)
        K = _curvature(law)
        attained, highest = max(attained, _attained(law)), max(highest, K)
        if K <= 0 or not math.isfinite(K):
            break
        limit = max(steepest, highest * (1 + _SLACK))
        t += 0.5 * math.log1p((limit - K) / (K * (1 + limit)))  # where e^{2r} K/(1 - K (e^{2r} - 1)) reaches the limit
    rounding = 64 * density.dim * float(np.finfo(float).eps)
    return Lipschitz(attained, float(max(steepest, highest * (1 + _SLACK)) * (1 + rounding)))


def _curvature(law: GaussianMixture) -> float:
    """A bound on the largest eigenvalue of grad^2 log p, over all x."""
    K, least = len(law.means), 1 / law.spectrum.max(axis=1)
    total = -float(least.min()) if K > 2 else 0.0
    for j, k, A, b, at_zero in _log_ratios(law):
        line = _squared_gradient(A, b, at_zero)
        total += math.inf if line is None else _maximum(*line, *((least[j], least[k]) if K == 2 else (0.0, 0.0)))
    return float(total)


def _log_ratios(law: GaussianMixture) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, float]]:
    """j, k and the l_jk = at_zero + b.x + x'Ax/2 as (A, b, at_zero), for every pair."""
    K, d = len(law.means), law.dim
    covs = law.covs if law.covs.ndim == 3 else np.eye(d) * law.covs.reshape(K, -1)[:, None, :]
    precisions = np.linalg.inv(covs)
    at_zero = np.log(law.weights) + Gaussian(np.zeros(d), 1.0).logpdf(np.zeros((1, d)))  # of every log w_k N(0; m_k, C_k)
    at_zero = at_zero - 0.5 * (np.linalg.slogdet(covs)[1] + np.einsum("ki,kij,kj->k", law.means, precisions, law.means))
    pulls = np.einsum("kij,kj->ki", precisions, law.means)
    for j, k in itertools.combinations(np.flatnonzero(law.weights > 0).tolist(), 2):
        yield j, k, precisions[k] - precisions[j], pulls[j] - pulls[k], at_zero[j] - at_zero[k]


def _squared_gradient(A: np.ndarray, b: np.ndarray, at_zero: float) -> tuple[float, float] | None:
    """(p, q) with |grad l|^2 <= p + q l wherever l = at_zero + b.x + x'Ax/2; None where there is no such line."""
    a = float(A[0, 0])
    if np.array_equal(A, a * np.eye(len(A))):
        return float(b @ b) - 2 * a * at_zero, 2 * a
    spectrum, axes = np.linalg.eigh(A)
    if not (spectrum > 0).all() and not (spectrum < 0).all():
        return None
    extreme = at_zero - 0.5 * float(((axes.T @ b) ** 2 / spectrum).sum())
    slope = 2 * float(spectrum[-1] if spectrum[0] > 0 else spectrum[0])
    return -slope * extreme, slope


def _maximum(p: float, q: float, P: float, Q: float) -> float:
    """max over l with p + q l >= 0 of u(l)(p + q l) - P r(l) - Q (1 - r(l)), r the logistic function and u = r'."""
    l = np.arange(-_RANGE, _RANGE + _SPACING, _SPACING)
    r = 1 / (1 + np.exp(-l))
    u, G = r * r[::-1], np.maximum(p + q * l, 0.0)
    bend = np.exp(_SPACING) * u * (G + _SPACING * abs(q) + 2 * abs(q) + abs(P - Q))
    far = math.exp(-_RANGE) * (abs(p) + _RANGE * abs(q))
    return float((u * G - P * r - Q * r[::-1] + bend * _SPACING**2 / 8).max()) + far


def _attained(law: GaussianMixture) -> float:
    """The largest |grad^2 log p| where two components count alike, r_j r_k not negligible, on two lines through the centre of one:
    to that of the other, and in the direction in which their precisions differ most; and at the centres."""
    largest = _steepest(law, law.means)
    for j, k, A, b, at_zero in _log_ratios(law):
        spectrum, axes = np.linalg.eigh(A)
        centre = law.means[j]
        for along in (law.means[k] - centre, axes[:, np.argmax(np.abs(spectrum))]):
            if along.any():
                along = along / np.linalg.norm(along)
                slope, level = (A @ centre + b) @ along, at_zero + b @ centre + centre @ A @ centre / 2
                reach = _roots(along @ A @ along / 2, slope, level - _NEARLY_ALIKE)
                largest = max(largest, _steepest(law, centre + reach[:, None] * along))
    return largest


def _steepest(law: GaussianMixture, x: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvalsh(law.score_jacobian(x))).max(initial=0.0))


def _roots(a: float, b: float, c: np.ndarray) -> np.ndarray:
    """The real roots of a r^2 + b r + c, for every c, and the extremum."""
    with np.errstate(all="ignore"):
        q = -0.5 * (b + math.copysign(1.0, b) * np.sqrt(b * b - 4 * a * c))
        roots = np.concatenate([np.append(q, -b / 2) / a, c / q])
    return roots[np.abs(roots) < _FAR]


def _mixture(density: Any) -> None:
    if not isinstance(density, GaussianMixture):
        raise TypeError(f"density is {type(density).__name__}: pass a Gaussian or a GaussianMixture, such as the "
                        "corrupted(alpha, sigma) of a point set")
