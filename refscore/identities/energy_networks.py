r"""Identities of D3: a network with one output as an energy, whose score is a gradient; and what a free network is not."""

from __future__ import annotations

import numpy as np

from refscore.identities import _plain
from refscore.identities._energy_cases import cases, energies, jacobians, scores
from refscore.identities._errata import refuted
from refscore.identities._losses import divergence, linear, tangent
from refscore.identities._models import random_energy, random_network, trained_energy, trained_network
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.networks import EnergyMLP


@identity(
    id="D3",
    systems=("D3",),
    title="Energy network: s = -grad E, its Jacobian symmetric",
    statement=r"s = -\nabla_x E,\quad Ds = (Ds)' = -\nabla^2 E,\quad E(x_1) - E(x_0) = -\int s\cdot dx",
    source="[e, 'energy-based models']",
    method="reverse mode by hand vs complex steps of the energy, then of the score, on a plain forward pass",
    catches=(
        "energy_negated",
        "energy_score_positive",
        "energy_score_without_slope",
        "energy_jacobian_positive",
        "energy_jacobian_gauss_newton",
        "energy_jvp_forward_only",
        "energy_divergence_last_layer",
        "energy_divergence_norms_not_squared",
        "energy_divergence_positive",
    ),
)
def derivatives_of_energies(ops, seed):
    """E, s, Ds (and that it is symmetric), Ds v, u'Ds, tr Ds at every network of `cases`; E recovered from s along a line."""
    for case in cases(seed):
        model, x, t, v, u, d = case.model, case.x, case.t, case.v, case.u, case.d
        of_E, of_s, of_J = case.sizes()
        J = _plain.jacobian(case.plain, x)
        yield case.compare("E", ops.energy(model, x, *t), case.energy(x), of_E)
        slopes = np.stack([_plain.directional(case.energy, x, e) for e in np.eye(d)], axis=1)
        yield case.compare("s", ops.forward(model, x, *t), -slopes, of_s)
        found = ops.jacobian(model, x, *t)
        yield case.compare("Jacobian", found, J, of_J)
        yield case.compare("Jacobian is symmetric", found, found.swapaxes(1, 2), of_J)
        yield case.compare("JVP", ops.jvp(model, x, v, *t), np.einsum("nij,nj->ni", J, v), np.einsum("nij,nj->ni", of_J, abs(v)))
        yield case.compare("VJP", ops.vjp(model, x, u, *t), np.einsum("nij,ni->nj", J, u), np.einsum("nij,ni->nj", of_J, abs(u)))
        of_trace = np.trace(of_J, axis1=1, axis2=2)
        yield case.compare("trace", ops.divergence(model, x, *t), np.trace(J, axis1=1, axis2=2), of_trace)


@identity(
    id="D3.gradient",
    systems=("D3",),
    title="Energy network: gradients in the parameters",
    statement=r"\nabla_\theta\sum_i c_i E(x_i),\quad \nabla_\theta\sum_i [u_i's + w_i'(Ds)v_i],\quad "
    r"\nabla_\theta \sum_i c_i\,\mathrm{tr}\,Ds(x_i)",
    source="[e, 'energy-based models']; forward Laplacian: Li et al. 2024",
    method="reverse mode through a second-order operator vs complex step in every parameter of derivatives by forward mode",
    catches=(
        "energy_gradient_averaged",
        "energy_gradient_ascending",
        "energy_score_gradient_positive",
        "energy_score_gradient_slopes_constant",
        "energy_jvp_gradient_without_third_derivative",
        "energy_divergence_gradient_without_third_derivative",
        "energy_divergence_gradient_without_tangents",
    ),
)
def gradients_of_energies(ops, seed):
    """Gradients of c E, u.s, u.s + w.(Ds v), c tr Ds in every single weight and bias."""
    for case in cases(seed):
        model, x, t, u, v, w, c = case.model, case.x, case.t, case.u, case.v, case.w, case.c
        yield from case.entries("c E", ops.energy_gradient(model.energy, x, c, *t), energies, c=c)
        yield from case.gradients("u.s", ops.parameter_gradient(model, x, u, *t), linear, u=u)
        yield from case.gradients("u.s + w.Ds v", ops.jvp_gradient(model, x, v, u, w, *t), tangent, u=u, v=v, w=w)
        yield from case.gradients("c tr Ds", ops.divergence_gradient(model, x, c, *t), divergence, c=c)


NODES = (64, 96)  # of lines, circles and radii: the second against the first bounds the error of quadrature


@identity(
    id="D3.curl",
    systems=("D3",),
    title="Work along a path: the energy for an energy network, the curl for a free one",
    statement=r"\int_{x_0}^{x_1} s\cdot dx = E(x_0) - E(x_1),\quad "
    r"\oint_{\partial A} s\cdot dx = \int_A (\partial_a s_b - \partial_b s_a)\,dA",
    source="[e, 'energy-based models']; Green's theorem",
    method="line integrals of the score along two paths, around a circle vs differences of the energy, integral of the Jacobian",
    catches=(
        "energy_negated",
        "energy_score_positive",
        "energy_score_without_slope",
        "forward_activation_last",
        "jacobian_transposed",
    ),
)
def work(ops, seed):
    """Straight and curved paths from x0 to x1 in d = 1, 2, 3; circles in d = 2, 3: 0 for energies, not for free networks."""
    rng = np.random.default_rng((seed, 4))
    rows = []
    for d in (1, 2, 3):
        x0, x1 = rng.standard_normal((2, d)) / 2
        energy = {"random": random_energy(d, seed), "trained": trained_energy(mixture(d), seed)}
        free = {"random": random_network(d, seed, hidden=2), "trained": trained_network(mixture(d), seed)}
        for name, model in energy.items():
            between = ops.energy(model, np.stack([x0, x1]))
            for bend, path in ((0.0, "straight"), (0.5, "curved")):
                found, bound, size = _along(ops, model, x0, x1, bend * rng.standard_normal(d))
                scale = size + np.abs(between).sum()
                bound += 64 * _plain.EPS * scale
                yield Comparison(f"{path} path, {name} energy, d = {d}", found, between[0] - between[1], bound, scale)
        if d == 1:
            continue
        plane = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
        every = [("energy", *item) for item in energy.items()] + [("free", *item) for item in free.items()]
        for kind, name, network in every:
            loop, error, size = _around(ops, network, x0, plane)
            area, area_error, area_size = _inside(ops, network, x0, plane)
            bound, scale = error + area_error, size + area_size
            case = f"{name} {kind} network, d = {d}"
            yield Comparison(f"circle = disc, {case}", loop, area, bound, scale)
            if kind == "energy":
                yield Comparison(f"no work around a circle, {case}", loop, np.zeros(()), bound, scale)
            else:
                yield refuted(f"no work around a circle, {case}", loop, 0.0, gap=area, bound=bound, scale=scale)
            rows.append((case, float(loop), float(area)))
    yield Table("Work of the score around a circle of radius 1/2", ("score", "line integral", "integral of the curl"), rows)


RADIUS = 0.5


def _refined(integral, size: float, rounding: float) -> tuple[np.ndarray, float, float]:
    """The integral with the finer rule; its error: twice the difference of the two rules, and rounding; its size."""
    coarse, fine = (integral(n) for n in NODES)
    return fine, 2 * float(abs(fine - coarse)) + rounding * size, size


def _along(ops, model, x0, x1, bend):
    """int s.dx along x0 + tau (x1 - x0) + tau (1 - tau) bend, by Gauss-Legendre."""

    def integral(n):
        node, weight = np.polynomial.legendre.leggauss(n)
        tau = ((1 + node) / 2)[:, None]
        x, velocity = x0 + tau * (x1 - x0) + tau * (1 - tau) * bend, x1 - x0 + (1 - 2 * tau) * bend
        return np.einsum("n,ni,ni->", weight / 2, ops.forward(model, x), velocity)

    largest, rounding = _largest(model, np.stack([x0, x1]))
    return _refined(integral, largest * float((np.abs(x1 - x0) + np.abs(bend)).sum()), rounding)


def _around(ops, model, centre, plane):
    """The line integral of s around the circle, anticlockwise from plane[0] to plane[1], by the trapezoidal rule."""

    def integral(n):
        unit = _circle(n)
        velocity = RADIUS * unit[:, ::-1] * [-1, 1] @ plane
        return np.einsum("ni,ni->", ops.forward(model, centre + RADIUS * unit @ plane), velocity) * 2 * np.pi / n

    largest, rounding = _largest(model, centre[None])
    return _refined(integral, 2 * np.pi * RADIUS * largest, rounding)


def _inside(ops, model, centre, plane):
    """The integral over the disc of plane[1]'(Ds) plane[0] - plane[0]'(Ds) plane[1], Gauss-Legendre in the radius."""

    def integral(n):
        node, weight = np.polynomial.legendre.leggauss(n // 4)
        radius = RADIUS * (1 + node) / 2
        x = centre + (radius[:, None, None] * (_circle(n) @ plane)).reshape(-1, len(centre))
        J = np.einsum("ai,nij,bj->nab", plane, ops.jacobian(model, x), plane)
        curl = (J[:, 1, 0] - J[:, 0, 1]).reshape(len(radius), n)
        return (weight * radius * RADIUS / 2) @ curl.sum(axis=1) * 2 * np.pi / n

    largest, rounding = _largest(model, centre[None], jacobian=True)
    return _refined(integral, 2 * np.pi * RADIUS**2 * largest, rounding)


def _circle(n: int) -> np.ndarray:
    angle = 2 * np.pi * (np.arange(n) + 1 / 3) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _largest(model, x, jacobian: bool = False) -> tuple[float, float]:
    """The largest entry of s, or of Ds, that the weights allow within two units of x; its relative rounding and the sums'."""
    size = _plain.Size(model, np.abs(x).max(axis=0, keepdims=True) + 2, x.shape[1])
    if isinstance(model, EnergyMLP):
        f, jet = jacobians if jacobian else scores, (*size.jet, _plain.sharper, 1)
        entries = f(size.parameters, size.inputs, *jet, d=x.shape[1]).real
    else:
        entries = size.jacobian() if jacobian else size.values()
    return float(entries.max()), 2 * size.rounding + 2 * max(NODES) * _plain.EPS
