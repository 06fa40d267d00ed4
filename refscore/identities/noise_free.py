r"""The law after noise-free steps: a change of variables (systems H5).

DDPM's last step has no noise, DDIM with eta = 0 and the probability flow have none at all. The composed map y = m(x) carries p into

    q(y) = p(x)/m'(x),     Q(y) = P(x),     E y = int m(x) p(x) dx,     y = m(x),

and total variation does not see the coordinates: TV(q, r) = 1/2 int |p(x) - r(m(x)) m'(x)| dx.

`refscore.laws` inverts a spectral interpolant of m and differentiates it. Here nothing is inverted, for y = m(x) is known where x
is, and m' is the product of the steps' derivatives, by the chain rule; where noisy steps come first p is a Nystrom law.

What the two may differ by. The interpolant leaves last coefficients t <= 1e-14 of a panel's rise, or the rounding of m; n = 20 of
them make (n^3/6)^{1/2} = 37 t in the slope times half the panel; and slopes on a panel differ by a factor of 32 at most: so log m'
is known to 37 * 2 * 32 * 1e-14, and the law as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import GaussianMixture
from refscore.identities import _curves, _models, _targets
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._nystrom import LAW_ERROR, Step, by_hand, nystrom
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.samplers import Setting, exact_score, settings
from refscore.identities.theory import SKEWED, STANDARD, _grid, _scales

MAP_ERROR = 37 * 2 * 32 * 1e-14
"""Of log m', and of the law in total variation."""

WIDE = GaussianMixture([0.25, 0.4, 0.35], [[-1.2], [0.1], [1.1]], [0.2, 0.3, 0.15])


@identity(
    id="H5.flow",
    systems=("H5", "F4", "F5"),
    title="The law after noise-free steps is a change of variables",
    statement=r"q(m(x))\, m'(x) = p(x);\quad \mathrm{TV}(m_\# p, r) = \tfrac12 \int |p(x) - r(m(x))\, m'(x)|\, dx",
    source="[b, sec. 1], [e]; Song, Meng & Ermon 2021",
    method="density, distribution function and mean at images of given points, with the derivative by the chain rule along the "
    "steps: no inverse, no interpolation; total variation to the data against quadrature in the coordinate before the map",
    catches=(
        "law_jacobian_forgotten", "law_jacobian_sign", "law_jacobian_at_the_image", "law_without_inverse",
        "law_first_order_jacobian", "law_last_step_with_noise", "law_gaussian_of_same_moments", "law_one_step_short",
        "law_from_standard_normal", "flow_heun_slopes_added", "flow_rk4_equal_weights", "flow_of_the_full_score",
        "flow_rate_halved", "total_variation_not_halved", "total_variation_by_kolmogorov", "total_variation_signed",
    ),
)
def change_of_variables(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    vp = settings()[3]
    for setting, data, times, methods in (
        (STANDARD, SKEWED, np.linspace(3, 0, 13), ("euler", "rk4", "ddim")),
        (vp, WIDE, _grid(0.6, 0.05, 9, 1.2), ("heun",)),
    ):
        slopes = _curves.mixture_slopes(data, lambda t, setting=setting: _scales(setting, t))
        score = exact_score(ops, setting.process, data)
        for method in methods:
            yield from _flow(ops, setting, data, times, method, slopes, score, "exact score")
    random = _models.random_network(1, seed, "tanh", takes_time=True)
    trained = _models.trained_network(_targets.mixture(1), seed)
    for name, method, slopes in (
        ("random network minus x", "heun", _curves.model_slopes(ops, random, 1.0, takes_time=True)),
        ("trained network", "euler", _curves.model_slopes(ops, trained)),
    ):
        times = _grid(1.1, 0.1, 6)
        yield from _flow(ops, settings()[0], WIDE, times, method, slopes, lambda x, t, s=slopes: s(x[:, 0], t)[0][:, None], name)
    yield from _last_step(ops)


def _flow(
    ops: Operations, setting: Setting, data, times, method: str, slopes: _curves.Slopes, score: Callable, name: str
) -> Iterator[Comparison]:
    if method == "ddim":
        chain = ops.ddim(setting.process, score, times, 0.0, predicts="score")
    else:
        chain = ops.flow_steps(ops.probability_flow(setting.process, score), times, method)
    alpha, noise = _scales(setting, times[0])

    def curve(x):
        if method == "ddim":
            return _curves.ddim(slopes, lambda t: _scales(setting, t), times, x)
        return _curves.flow(slopes, setting.rate, setting.diffusion2, times, method, x)

    law = ops.law(chain, ops.marginal(setting.process, data, times[0]))
    density = by_hand(data, alpha, noise)[0]
    case = f"{method}, {setting.name}, {name}, {len(times) - 1} steps"
    yield from _against(ops, law, data, density, curve, case)


def _against(ops: Operations, law, data, density: Callable, curve: Callable, case: str, reach: float = 9.0) -> Iterator[Comparison]:
    """Errors of the law before the map are part of ``density``, and are below those of the map."""
    x = np.linspace(-2.4, 2.7, 35)
    at = curve(x)
    right = np.log(density(x)) - np.log(at.slope)
    scale = 1 + np.abs(right)
    # y is rounded along the way, by some eps a step, and log q moves by its score times that: below 1e3 eps
    yield Comparison(f"log-density at images: {case}", ops.logpdf(law, at.y[:, None]), right, MAP_ERROR + 1e3 * EPS * scale, scale)
    nodes, weights = gauss_legendre(-reach, reach, 450)
    mass, at = weights * density(nodes), curve(nodes)
    below = float(mass[nodes < 0.2] @ np.ones((nodes < 0.2).sum()))  # 0.2 is an end of a panel
    yield Comparison(f"distribution function: {case}", law.cdf(curve(np.array([0.2])).y[:, None])[0], below, 1e3 * EPS)
    size = float(mass @ np.abs(at.y))
    yield Comparison(f"mean: {case}", law.mean[0], float(mass @ at.y), 1e-11 * size + 1e3 * EPS, size)
    value, error = ops.total_variation(law, data)
    expected, estimate = _curves.tv_before_the_map(density, curve, data, reach)
    yield Comparison(f"TV to the data: {case}", value, expected, error + estimate + MAP_ERROR)


def _last_step(ops: Operations) -> Iterator[Comparison]:
    """Ancestral steps, the last one without noise: a Nystrom law, and then one map."""
    times = np.linspace(3, 0, 13)
    slopes = _curves.mixture_slopes(SKEWED, lambda t: _scales(STANDARD, t))
    chain = ops.ddim(STANDARD.process, exact_score(ops, STANDARD.process, SKEWED), times, 1.0, predicts="score")
    law = ops.law(chain, ops.marginal(STANDARD.process, SKEWED, 3.0))
    steps = []
    for t, s in zip(times[:-1], times[1:], strict=True):
        (before, v), (after, w) = _scales(STANDARD, t), _scales(STANDARD, s)
        added = v - (before / after) ** 2 * w
        noise = w / v * added
        b = after / before * v - math.sqrt((w - noise) * v) if s > 0 else v / before
        steps.append(Step(after / before, b, noise, lambda y, t=t: slopes(y, t)[0]))
    *noisy, last = steps
    alpha, noise = _scales(STANDARD, 3.0)
    before, defect = nystrom(noisy, by_hand(SKEWED, alpha, noise)[0], 17, 9.0)

    def curve(x):
        score, bend = slopes(x, times[-2])
        return _curves.Curve(last.a * x + last.b * score, last.a + last.b * bend)

    assert defect < LAW_ERROR
    yield from _against(ops, law, SKEWED, before.density, curve, "ancestral steps, the last without noise, 12 steps")
