r"""The KL divergence between paths, by Girsanov's theorem: exactly, from expectations under single laws (systems H2).

Q is the law of the reverse path of dX = -r X dt + g dB with marginals q_t, P that of the exponential integrator started from the
same q_T: on a step from t down to s the model's score is frozen, s_t = score(X_t, t). The drifts differ by g^2 (s_t - S_u), S_u =
grad log q_u(X_u), and the diffusion is g, so Girsanov gives, with *equality* (both start alike, the difference has finite energy),

    KL(Q||P) = sum_k E int_s^t g_u^2/2 |s_t(X_t) - S_u|^2 du,                       g = sqrt 2: the factor is 1 [e].

No joint law of (X_t, X_u) is needed. With A = alpha_t/alpha_u the score of x_t = A x_u + noise is S_t = E[S_u | X_t]/A, whence
E s_t.S_u = A E s_t.S_t. And the entropy H_t of q_t obeys dH/dt = g^2/2 I_t - d r (de Bruijn), I_t = E|S_t|^2, so with

    G = int_s^t g_u^2 du,        c = int_s^t g_u^2 alpha_t/alpha_u du = b/a of ``process.exponential_step(t, s)``,

    KL(Q||P) = H_T - H_0 + d log(alpha_0/alpha_T) + sum_k E[ G/2 |s_t|^2 - c s_t.S_t ].

(0: where the chain ends.) By E s.S = -E div s this is implicit score matching along the path, up to a constant of the data: the
bound that diffusion models are trained on. With e = s_t - S_t it falls into three parts, reported apart,

    score           sum_k G/2 E|e|^2                            discretisation   the same with s_t = S_t: the exact score, frozen
    cross           sum_k (G - c) E e.S_t                       of second order: G - c ~ G r h/2

Nothing here bounds anything; `refscore.bounds.chen2023` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refscore import _quadrature, _validate
from refscore._progress import progress
from refscore.densities import Gaussian, GaussianMixture
from refscore.distances import kl

_EPS = float(np.finfo(np.float64).eps)


class PathKL(NamedTuple):
    """KL(Q||P) in nats with its absolute error, and the three parts that add up to it."""

    value: float
    error: float
    score: float
    discretisation: float
    cross: float


def path_kl(
    process, density, score: Callable, times, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000
) -> PathKL:
    """KL(exact reverse path || path of the exponential integrator), both from the law of X at times[0].

    Parameters
    ----------
    process : a process with ``exponential_step``, such as OU or VP.
    density : Gaussian or GaussianMixture, the law of the data; a point set's ``corrupted(alpha, sigma)``.
    score : callable
        ``score(x, t)``, (n, d) -> (n, d), with the scalar time at the start of a step, as for `refscore.samplers.reverse_sde`.
    times : (N + 1,), strictly decreasing, as there; the path ends at times[-1] >= 0.
    tolerance, max_nodes : of the quadrature, see `GaussianMixture.expectation`; d <= 3 with ease.

    Returns
    -------
    PathKL
        The error adds those of all expectations: it does not shrink with the step, as the discretisation does. The parts are
        differences, good to about the same.

    Raises
    ------
    TypeError
        For a density that is no mixture.
    ValueError
        For times that do not decrease; for whatever the process and the quadrature refuse.

    Source: [e, "Girsanov's theorem"], where the factor is that of g = sqrt 2. Systems H2.
    """
    if not isinstance(density, GaussianMixture):
        raise TypeError(f"density is {type(density).__name__}: pass a Gaussian or a GaussianMixture, such as the "
                        "corrupted(alpha, sigma) of a point set")
    times = _validate.finite(np.atleast_1d(_validate.reals(times, "times")), "times")
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) < 0).all() or times[-1] < 0:
        raise ValueError(f"times = {_validate.shown(times)}: pass at least two strictly decreasing times, "
                         "such as np.linspace(3, 0, 49)")
    options = {"tolerance": tolerance, "max_nodes": max_nodes}
    t, s = times[:-1], times[1:]
    a, b, _ = process.exponential_step(t, s)
    G, c = np.array([_total_noise(process, end, start) for start, end in zip(t, s)]), b / a
    found = []
    with progress(len(t), f"KL of paths, {len(t)} steps") as shown:
        for k, at in enumerate(t.tolist()):
            shown(k)
            found.append(_moments(process.marginal(density, at), score, at, options))
    moments, lost = np.array(found).swapaxes(0, 1)
    square, product, information = moments.T
    flow, error = _entropy_flow(process, density, times[0], times[-1], options)
    score_part = float(G @ (square - 2 * product + information) / 2)
    parts = (score_part, float(flow + (G / 2 - c) @ information), float((G - c) @ (product - information)))
    weights = np.stack([G / 2, c, np.abs(G / 2 - c)], axis=1)
    size = float((weights * np.abs(moments)).sum()) + abs(flow)
    return PathKL(sum(parts), float((weights * lost).sum()) + error + 64 * _EPS * size, *parts)


def _total_noise(process, s: float, t: float) -> float:
    """int_s^t g_u^2 du, refined until halves agree with the whole to rounding."""
    values, _ = _quadrature.integrals(lambda u, _: np.square(process.diffusion(u)), np.array([s]), np.array([t]))
    return float(values[0])


def _moments(law: GaussianMixture, score: Callable, t: float, options: dict) -> tuple[np.ndarray, np.ndarray]:
    """E|s|^2, E s.S and E|S|^2 under q_t, (3,), and their errors: not of s - S, which may be nothing but rounding."""

    def products(x):
        S = law.score(x)
        s = np.asarray(score(x, t))
        if s.shape != x.shape:
            raise ValueError(f"score(x, {t}) has shape {s.shape}, but x has shape {x.shape}: they must agree")
        return np.stack([(s * s).sum(axis=1), (s * S).sum(axis=1), (S * S).sum(axis=1)], axis=1)

    return law.expectation(products, **options)


def _entropy_flow(process, density, start: float, end: float, options: dict) -> tuple[float, float]:
    """int g^2/2 I_u du from ``end`` up to ``start``: the gain in entropy of q_u, and what the drift took from it."""
    values, errors = zip(*(_entropy(process.marginal(density, float(u)), options) for u in (start, end)))
    shrunk = density.dim * (np.log(process.alpha(end)) - np.log(process.alpha(start)))
    size = sum(map(abs, values)) + abs(shrunk)
    return float(values[0] - values[1] + shrunk), float(sum(errors) + 8 * _EPS * size)


def _entropy(law: GaussianMixture, options: dict) -> tuple[float, float]:
    """-E log q in nats: that of the Gaussian with the same moments, less the divergence from it."""
    mean, cov = law.mean, law.cov
    value = 0.5 * float(np.linalg.slogdet(2 * np.pi * np.e * cov)[1])
    lost, error = kl(law, Gaussian(mean, cov), **options)
    return value - lost, error + 16 * law.dim * _EPS * (abs(value) + float(np.linalg.cond(cov)))
