r"""Identities of section D: networks whose derivatives are written by hand."""

from __future__ import annotations

import numpy as np

from refscore.identities import _plain
from refscore.identities._losses import linear, tangent
from refscore.identities._network_cases import SMOOTH, cases
from refscore.identities._registry import Comparison, identity
from refscore.networks import ACTIVATIONS, FourierFeatures

FAR = [-1e4, -800.0, 800.0, 1e4]
"""e^-800 = 4e-348 is 0, and e^800 too large, in float64."""


@identity(
    id="D1.activations",
    systems=("D1",),
    title="Activations, their slopes, curvatures and third derivatives",
    statement=r"\phi'(z) = \tfrac1h\,\mathrm{Im}\,\phi(z+ih),\quad "
    r"\phi^{(k)}(z) = \frac{k!}{2\pi i}\oint \frac{\phi(w)}{(w-z)^{k+1}}\,dw",
    source="[a, 'Jacobian-Vector Product']; Cauchy's integral formula",
    method="formulas by hand vs complex step and Cauchy integral of the value alone",
    catches=(
        "activation_silu_as_gelu",
        "slope_softplus_tanh",
        "slope_silu_without_product_rule",
        "slope_tanh_not_squared",
        "curvature_sin_sign",
        "curvature_tanh_without_slope",
        "third_tanh_sign",
        "third_silu_product_rule_twice",
        "third_softplus_not_negative",
        "activation_linear_from_twenty",
        "slope_constant_from_twenty",
        "slope_overflows",
        "activation_relu_leaks",
        "slope_relu_half_at_zero",
    ),
)
def activation_derivatives(ops, seed):
    """phi by its textbook formula; phi' by a complex step; phi'' and phi(3) by 96 points on the circle of radius 1 around z.

    The trapezoidal rule's error is (1/rho)^96 < 1e-18, rho = pi/2 the distance from the real axis to the nearest pole
    (tanh; aliasing of the Taylor coefficients); its rounding is a few eps, times k!, of the largest value on the circle,
    which every phi here keeps below 3 (1 + |z|).
    """
    z = np.concatenate([np.random.default_rng(seed).uniform(-6, 6, 200), [-40, -20.5, -9.5, -1e-3, 0.0, 1e-3, 9.5, 20.5, 40]])
    circle = np.exp(2j * np.pi * (np.arange(96) + 1 / 3) / 96)
    for name in SMOOTH:
        phi = _plain.VALUE[name]
        size = 3 * (1 + np.abs(z))
        bound = 32 * _plain.EPS * size
        slope = _plain.directional(phi, z, 1.0)
        curvature, third = (f * (phi(z[:, None] + circle) / circle**k).mean(axis=1).real for k, f in ((2, 2), (3, 6)))
        yield Comparison(f"{name}: value", ops.activate(ACTIVATIONS[name], z), phi(z), bound=bound, scale=size)
        yield Comparison(f"{name}: slope", ops.slope(ACTIVATIONS[name], z), slope, bound=bound, scale=size)
        yield Comparison(f"{name}: curvature", ops.curvature(ACTIVATIONS[name], z), curvature, bound=bound, scale=size)
        yield Comparison(f"{name}: third derivative", ops.third(ACTIVATIONS[name], z), third, bound=3 * bound, scale=size)
    yield from _limits(ops)


def _limits(ops):
    """Where e^|z| exceeds float64, and ReLU everywhere: positive part or step, their slopes, and nothing beyond."""
    for name in ("tanh", "softplus", "silu", "relu"):
        z, phi = np.array([*FAR, -0.3, 0.0, 0.7] if name == "relu" else FAR), ACTIVATIONS[name]
        value, slope = (np.sign(z), 0 * z) if name == "tanh" else (np.maximum(z, 0), np.where(z > 0, 1.0, 0.0))
        found = ops.activate(phi, z), ops.slope(phi, z), ops.curvature(phi, z), ops.third(phi, z)
        want = value, slope, 0 * z, 0 * z
        yield Comparison(f"{name}: limits", np.stack(found), np.stack(want), 0.0)



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
        model, x, t, u, v, w = case.model, case.x, case.t, case.u, case.v, case.w
        yield from case.gradients("u.s", ops.parameter_gradient(model, x, u, *t), linear, u=u)
        yield from case.gradients("u.s + w.Ds v", ops.jvp_gradient(model, x, v, u, w, *t), tangent, u=u, v=v, w=w)


@identity(
    id="D1.fourier",
    systems=("D1",),
    title="Fourier features of time and of noise levels",
    statement=r"\gamma(\tau)\cdot\gamma(\tau') = \textstyle\sum_j \cos 2\pi B_j(\tau-\tau'),\quad \tau = t \text{ or } \log\sigma",
    source="Tancik et al. 2020; Song et al. 2021",
    method="features by hand vs parts of e^{2 pi i B tau}, their kernel vs cosines of differences, logarithms of ratios",
    catches=(
        "features_without_two_pi",
        "features_pi_for_two_pi",
        "features_cosines_first",
        "features_sines_twice",
        "features_interleaved",
        "features_without_logarithm",
        "features_logarithm_to_base_two",
    ),
)
def fourier_features(ops, seed):
    """gamma itself (sines, then cosines), its kernel, and for noise levels the same kernel at all scales, 1e-3 to 1e3.

    An angle 2 pi B tau has a few roundings of its size, which enter sine and cosine with slope at most 1.
    """
    rng = np.random.default_rng(seed)
    B = 3 * rng.standard_normal(7)
    for log in (False, True):
        gamma = FourierFeatures(B, log)
        t = 10 ** rng.uniform(-3, 3, 20) if log else rng.uniform(-2, 2, 20)
        tau = np.log(t) if log else t
        found, name = ops.time_features(gamma, t), "log t" if log else "t"
        bound = 8 * np.pi * _plain.EPS * (np.abs(tau[:, None] * B) + 1)
        both = np.tile(bound, 2)
        yield Comparison(f"gamma({name})", found, _plain.features(B, t, log), both)
        cosines = np.cos(2 * np.pi * (tau[:, None, None] - tau[:, None]) * B)
        sums = bound.sum(axis=1)
        yield Comparison(f"kernel of {name}", found @ found.T, cosines.sum(axis=2), 2 * (sums[:, None] + sums), len(B))
        if log:
            scaled = ops.time_features(gamma, 8 * t)  # a power of two: ratios are the same to the last bit
            spread = 2 * (sums[:, None] + sums) + 64 * np.pi * _plain.EPS * np.abs(B).sum() * np.log(8)
            yield Comparison("ratios alone matter", scaled @ scaled.T, found @ found.T, 2 * spread, len(B))
