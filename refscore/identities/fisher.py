"""Identities of section B: the Fisher divergence between two laws, and the Fisher information of one (B1)."""

from __future__ import annotations

import numpy as np

from refscore.identities import _textbook
from refscore.identities._expectations import EPS, FINEST, refined
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import DIMENSIONS, gaussian, mixture


@identity(
    id="B1.fisher",
    systems=("B1", "B2"),
    title="The Fisher divergence of two laws, and by how fast noise brings them together",
    statement=r"F(p, q) = \tfrac12 E_p\|s_p - s_q\|^2 = \tfrac12 I(p) + E_p[\tfrac12\|s_q\|^2 + \mathrm{div}\,s_q]"
              r" = -\tfrac{d}{dt} KL(p * N(0, tI), q * N(0, tI))|_{t=0}",
    source="[a, sec. 1], [c, Fisher divergence], [e, score matching]; Lyu 2009, theorem 1 (the derivative)",
    method="quadrature of the squared difference vs integration by parts with textbook scores; for Gaussians the "
           "derivative of the closed KL by complex step",
    catches=("fisher_without_half", "fisher_under_the_other_law", "fisher_mean_over_dims", "fisher_norm_not_squared",
             "fisher_of_the_sum", "fisher_half_ignored", "information_halved", "information_over_d", "information_of_the_variance"),
)
def fisher_divergence(ops, seed):
    """Mixtures and Gaussians, both orders; three ways for two Gaussians; the information as minus the mean divergence."""
    rows = []
    for d in DIMENSIONS:
        laws = {"Gaussian": gaussian(d), "mixture": mixture(d), "noisy": mixture(d).corrupted(0.8, 0.7)}
        laws["noisier"] = mixture(d).corrupted(0.5, 1.1)
        pairs = [("mixture", "noisy"), ("noisy", "mixture"), ("Gaussian", "mixture"), ("mixture", "Gaussian")]
        for first, second in pairs if d < 3 else [("noisier", "noisy")]:
            p, q = laws[first], laws[second]
            value, error = ops.fisher(p, q, tolerance=2e-11)
            parts, bound = _by_parts(p, q, d)
            want = float(parts["half square"] + parts["square of q"] + parts["divergence of q"])
            slack = error + sum(bound.values())
            scale = 1 + value + float(parts["half square"] + parts["square of q"])
            yield Comparison(f"by parts: {first} to {second}, d = {d}", value, want, slack, scale)
            rows.append((f"{first} to {second}", d, value, error))
        for name in ("Gaussian", "mixture") if d < 3 else ():
            value, error = ops.fisher_information(laws[name])
            parts, bound = _by_parts(laws[name], laws[name], d)
            want = -float(parts["divergence of q"])
            yield Comparison(f"information: {name}, d = {d}", value, want, error + bound["divergence of q"], 1 + value)
        yield from _gaussians(ops, d, seed)
    yield Table("F(p, q) is not symmetric", ("p to q", "d", "F(p, q)", "error"), rows)


def _by_parts(p, q, d):
    """E_p of 1/2||s_p||^2, 1/2||s_q||^2 and div s_q, the divergence by complex steps."""

    def sums(h):
        x, w = _textbook.nodes(p, h)
        s_p, s_q = _textbook.score(p, x), _textbook.score(q, x)
        slope = _textbook.gradient(lambda y: _textbook.score(q, y), x)
        return {
            "half square": 0.5 * w @ (s_p * s_p).sum(axis=1),
            "square of q": 0.5 * w @ (s_q * s_q).sum(axis=1),
            "divergence of q": w @ np.trace(slope, axis1=1, axis2=2),
        }

    return refined(sums, 0.7, finest=FINEST[d])


def _gaussians(ops, d, seed):
    """-d/dt KL(N(m, C + tI), N(n, D + tI)) at t = 0, and tr C^{-1}."""
    rng = np.random.default_rng((seed, d, 101))
    p = gaussian(d)
    factor = 0.8 * np.eye(d) + 0.4 * np.tril(rng.standard_normal((d, d)))
    q = type(p)(rng.standard_normal(d), factor @ factor.T + 0.3 * np.eye(d))
    step = 1e-30
    noise = 1j * step * np.eye(d)
    C, D, away = p.cov + noise, q.cov + noise, p.mean - q.mean
    inverse = np.linalg.inv(D)
    kl = 0.5 * (np.trace(inverse @ C) + away @ inverse @ away - d + np.log(np.linalg.det(D) / np.linalg.det(C)))
    value, error = ops.fisher(p, q)
    condition = np.linalg.cond(p.cov) * np.linalg.cond(q.cov)
    scale = 1 + value + np.trace(np.linalg.inv(p.cov)) + np.trace(np.linalg.inv(q.cov))
    rounding = 64 * d * EPS * condition * scale
    yield Comparison(f"derivative of KL: two Gaussians, d = {d}", value, float(-kl.imag / step), error + rounding, scale)
    if d == 1:
        twice, error = ops.fisher(p, q, half=False)
        yield Comparison("without the half: two Gaussians", twice, float(-2 * kl.imag / step), error + 2 * rounding, scale)
    value, error = ops.fisher_information(p)
    closed = float(np.trace(np.linalg.inv(p.cov)))
    rounding = 8 * d * EPS * np.linalg.cond(p.cov) * closed
    yield Comparison(f"information: tr C^-1, d = {d}", value, closed, error + rounding, 1 + closed)
