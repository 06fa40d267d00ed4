r"""Identities of section D: networks whose derivatives are written by hand.

Tried on networks with 0 to 3 hidden layers of different widths (a transposed weight does not even fit), with and without
time, with more outputs than inputs and fewer, random and trained.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from refscore.identities import _plain
from refscore.identities._models import trained_network
from refscore.identities._registry import Comparison, identity
from refscore.identities._targets import mixture
from refscore.networks import ACTIVATIONS, MLP

SMOOTH = ("tanh", "softplus", "silu", "sin")
ROWS = 5


class Case:
    """A network, points, times (one a row, or none), and directions; its sizes as `_plain` derives them."""

    def __init__(self, name: str, model: MLP, d: int, rng: np.random.Generator):
        self.name, self.model, self.d = name, model, d
        self.x = rng.standard_normal((ROWS, d))
        self.t = (rng.uniform(0.1, 1.0, ROWS),) if model.sizes[0] > d else ()
        self.rows = _plain.rows(self.x, *self.t)
        self.v = rng.standard_normal((ROWS, d))
        self.u, self.w = rng.standard_normal((2, ROWS, model.sizes[-1]))
        self.c = rng.standard_normal(ROWS)
        self.size = _plain.Size(model, self.rows, d)

    def plain(self, x) -> np.ndarray:
        """s at real or complex x, by the plain forward pass."""
        return _plain.values(self.model, x, *self.t)

    def compare(self, what: str, left, right, size) -> Comparison:
        """left = right, up to the rounding that comes with quantities of this size."""
        return Comparison(f"{what}, {self.name}", left, right, bound=self.size.rounding * size, scale=size)

    def gradients(self, what: str, left, f, size=None) -> Iterator[Comparison]:
        """``left`` = [W1*, b1*, ...] against complex steps of the real f(parameters, rows, phi, slope); ``size``: f of sizes."""
        which = self.model.activation.name
        right = _plain.gradient(lambda p: f(p, self.rows, _plain.VALUE[which], _plain.SLOPE[which]), self.model.parameters)
        sizes = self.size.gradient(size or f)
        # the sum over rows adds its own roundings; a gradient that is 0 in exact arithmetic has size 0, and bound 0
        for i, (a, b, z) in enumerate(zip(left, right, sizes, strict=True)):
            bound = (self.size.rounding + ROWS * _plain.EPS) * z
            array = f"{'Wb'[i % 2]}{i // 2 + 1}"
            yield Comparison(f"{what} in {array}, {self.name}", a, b, bound=bound, scale=z.max() or 1.0)


def cases(seed: int, *, square: bool = False) -> Iterator[Case]:
    """The networks on which derivatives are tried; ``square`` leaves out those without a trace."""
    rng = np.random.default_rng(seed)
    for d in (1, 2, 3):
        for hidden in (0, 1, 2, 3):
            for k, activation in enumerate(SMOOTH if hidden else ("tanh", "tanh")):
                time = (d + hidden + k) % 2
                sizes = (d + time, *(5, 4, 6)[:hidden], d)
                name = f"{activation} {sizes}{' with time' if time else ''}" if hidden else f"affine {sizes}"
                yield Case(name, MLP(sizes, activation, rng), d, rng)
        activation = SMOOTH[d % 4]
        yield Case(f"trained {activation}, d = {d}", trained_network(mixture(d), seed, activation), d, rng)
    if not square:
        for sizes in ((4, 5, 2), (2, 4, 3, 5)):
            yield Case(f"tanh {sizes}", MLP(sizes, "tanh", rng), sizes[0], rng)


@identity(
    id="D1.activations",
    systems=("D1",),
    title="Activations, their slopes and curvatures",
    statement=r"\phi'(z) = \tfrac1h\,\mathrm{Im}\,\phi(z+ih),\quad "
    r"\phi''(z) = \frac{2!}{2\pi i}\oint \frac{\phi(w)}{(w-z)^3}\,dw",
    source="[a, 'Jacobian-Vector Product']; Cauchy's integral formula",
    method="formulas by hand vs complex step and Cauchy integral of the value alone",
    catches=(
        "activation_silu_as_gelu",
        "slope_softplus_tanh",
        "slope_silu_without_product_rule",
        "slope_tanh_not_squared",
        "curvature_sin_sign",
        "curvature_tanh_without_slope",
    ),
)
def activation_derivatives(ops, seed):
    """phi by its textbook formula; phi' by a complex step; phi'' by 96 points on the circle of radius 1 around z.

    The trapezoidal rule's error is (1/rho)^96 < 1e-18, rho = pi/2 the distance from the real axis to the nearest pole
    (tanh; aliasing of the Taylor coefficients); its rounding is a few eps of the largest value on the circle, which every
    phi here keeps below 3 (1 + |z|).
    """
    z = np.concatenate([np.random.default_rng(seed).uniform(-6, 6, 200), [-9.5, -1e-3, 0.0, 1e-3, 9.5]])
    circle = np.exp(2j * np.pi * (np.arange(96) + 1 / 3) / 96)
    for name in SMOOTH:
        phi = _plain.VALUE[name]
        size = 3 * (1 + np.abs(z))
        bound = 32 * _plain.EPS * size
        slope = _plain.directional(phi, z, 1.0)
        curvature = 2 * (phi(z[:, None] + circle) / circle**2).mean(axis=1).real
        yield Comparison(f"{name}: value", ops.activate(ACTIVATIONS[name], z), phi(z), bound=bound, scale=size)
        yield Comparison(f"{name}: slope", ops.slope(ACTIVATIONS[name], z), slope, bound=bound, scale=size)
        yield Comparison(f"{name}: curvature", ops.curvature(ACTIVATIONS[name], z), curvature, bound=bound, scale=size)


@identity(
    id="D1",
    systems=("D1",),
    title="Network: values, JVP, VJP, Jacobian",
    statement=r"(Ds)v = \tfrac{d}{dh}s(x+hv),\quad (Ds)'u = \nabla_x\, u's(x)",
    source="[a, 'Jacobian-Vector Product'], [e]",
    method="forward and reverse mode by hand vs complex step on a plain forward pass",
    catches=(
        "forward_activation_last",
        "forward_time_first",
        "jvp_without_slope",
        "jvp_with_biases",
        "jvp_transposed",
        "jvp_slope_at_activation",
        "vjp_without_slope",
        "vjp_transposed",
        "vjp_time_for_space",
        "jacobian_transposed",
    ),
)
def derivatives_in_x(ops, seed):
    """Values, directional derivatives, gradients of u.s and full Jacobians at every network of `cases`."""
    for case in cases(seed):
        model, x, t = case.model, case.x, case.t
        J, size = _plain.jacobian(case.plain, x), case.size.jacobian()
        yield case.compare("s", ops.forward(model, x, *t), case.plain(x), case.size.values())
        along = _plain.directional(case.plain, x, case.v)
        yield case.compare("JVP", ops.jvp(model, x, case.v, *t), along, np.abs(case.v) @ size.T)
        back = np.stack([_plain.directional(case.plain, x, e) for e in np.eye(case.d)], axis=1)
        yield case.compare("VJP", ops.vjp(model, x, case.u, *t), (back * case.u[:, None]).sum(axis=2), np.abs(case.u) @ size)
        yield case.compare("Jacobian", ops.jacobian(model, x, *t), J, np.broadcast_to(size, J.shape))


@identity(
    id="D1.gradient",
    systems=("D1",),
    title="Network: gradients in the parameters",
    statement=r"\nabla_\theta \sum_i \big[u_i's(x_i) + w_i'(Ds(x_i))v_i\big]",
    source="[a, 'Jacobian-Vector Product']; Pearlmutter 1994",
    method="backpropagation (through the JVP too) vs complex step in every parameter of products of Jacobians",
    catches=(
        "gradient_bias_averaged",
        "gradient_without_last_slope",
        "gradient_slope_at_activation",
        "gradient_averaged",
        "jvp_gradient_without_curvature",
        "jvp_gradient_curvature_halved",
        "jvp_gradient_without_tangent",
    ),
)
def derivatives_in_parameters(ops, seed):
    """The gradient of sum u.s, and of sum u.s + w.(Ds v), in every single weight and bias."""
    for case in cases(seed):
        model, x, t, d = case.model, case.x, case.t, case.d

        def linear(p, a, phi, slope, u=case.u):
            return (u * _plain.forward(p, a, phi)).sum(axis=(-2, -1))

        def tangent(p, a, phi, slope, u=case.u, v=case.v, w=case.w, d=d):
            J = _plain.jacobians(p, a, d, phi, slope)
            return linear(p, a, phi, slope, u) + (v[:, :, None] * J * w[:, None, :]).sum(axis=(-3, -2, -1))

        def linear_size(p, a, phi, slope, u=np.abs(case.u), of=linear):
            return of(p, a, phi, slope, u)

        def tangent_size(p, a, phi, slope, u=np.abs(case.u), v=np.abs(case.v), w=np.abs(case.w), of=tangent):
            return of(p, a, phi, slope, u, v, w)

        yield from case.gradients("u.s", ops.parameter_gradient(model, x, case.u, *t), linear, linear_size)
        left = ops.jvp_gradient(model, x, case.v, case.u, case.w, *t)
        yield from case.gradients("u.s + w.Ds v", left, tangent, tangent_size)


@identity(
    id="D4",
    systems=("D4",),
    title="Gradients of the objectives ESM, DSM, ISM",
    statement=r"\nabla_\theta \tfrac1n\sum_i \tfrac12\|s_i - g_i\|^2,\quad "
    r"\nabla_\theta \tfrac1n\sum_i \big[\tfrac12\|s_i\|^2 + \mathrm{tr}\,Ds_i\big]",
    source="[a, sec. 1-3], [b, sec. 1], [c], [d], [e]",
    method="backpropagation, closed form of the trace's gradient vs complex step in every parameter of the losses as written",
    catches=(
        "esm_gradient_doubled",
        "esm_gradient_summed",
        "dsm_gradient_clean_point",
        "dsm_gradient_without_weight",
        "ism_gradient_without_trace",
        "ism_gradient_slopes_constant",
        "ism_gradient_without_square",
    ),
)
def gradients_of_objectives(ops, seed):
    """ESM, DSM (both weights, a noise level a row) and ISM, values and gradients, conventions varied, at unequal row weights."""
    for k, case in enumerate(cases(seed, square=True)):
        model, x, d = case.model, case.x, case.d
        rng = np.random.default_rng((seed, k))
        weight, sigma = rng.dirichlet(np.ones(ROWS)), rng.uniform(0.2, 1.5, ROWS)
        g = (np.ones(ROWS), sigma)[k % 2]
        options = dict(half=k % 3 > 0, over_dims=("sum", "mean")[k % 2], sample_weight=weight, grad=True)
        options |= {"t": case.t[0]} if case.t else {}
        factor = (1 if options["half"] else 2) / (d if options["over_dims"] == "mean" else 1) * weight

        def square(p, a, phi, slope, target=case.u, g=np.ones(ROWS), factor=factor):
            return 0.5 * (factor * ((g[:, None] * (_plain.forward(p, a, phi) - target)) ** 2).sum(axis=-1)).sum(axis=-1)

        def implicit(p, a, phi, slope, factor=factor, d=d, square=square):
            return square(p, a, phi, slope, 0.0) + (factor * _plain.traces(p, a, d, phi, slope)).sum(axis=-1)

        yield from _judged(case, "ESM", ops.esm(model, x, case.u, **options), square, target=case.u)
        at = copy.copy(case)
        at.rows = _plain.rows(x + sigma[:, None] * case.v, *case.t)
        at.size = _plain.Size(model, _plain.rows(np.abs(x) + sigma[:, None] * np.abs(case.v), *case.t), d)
        left = ops.dsm(model, x, sigma, case.v, weight=("one", "sigma2")[k % 2], **options)
        yield from _judged(at, "DSM", left, square, target=-case.v / sigma[:, None], g=g)
        yield from _judged(case, "ISM", ops.ism(model, x, **options), implicit)


def _judged(case: Case, what: str, found, loss, **arguments) -> Iterator[Comparison]:
    """Value and gradient of a loss; its size is the loss with s + |target| for s - target."""

    def f(p, a, phi, slope):
        return loss(p, a, phi, slope, **arguments)

    def size(p, a, phi, slope):
        return loss(p, a, phi, slope, **{k: -np.abs(z) if k == "target" else z for k, z in arguments.items()})

    value, gradient = found
    which = case.model.activation.name
    right = f(case.model.parameters, case.rows, _plain.VALUE[which], _plain.SLOPE[which])
    total = float(np.real(size(case.size.parameters, case.size.inputs, _plain.above, _plain.steeper)))
    yield case.compare(what, np.asarray(value), np.asarray(right), total)
    yield from case.gradients(f"{what} gradient", gradient, f, size)
