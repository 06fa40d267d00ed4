r"""Erratum X4: a reverse chain that starts from N(0, sigma_T^2 I) does not end in the data.

X_0 given X_T = y is N(m + Phi (y - alpha m), C sigma^2/c) for data N(m, C), c = alpha^2 C + sigma^2, Phi = alpha C/c. So the exact
reverse SDE, whatever else is exact, turns N(0, sigma^2) into N(m - Phi alpha m, C sigma^2/c + Phi^2 sigma^2). The two agree if
alpha = gamma_T is zero, and for all data only then; data in the origin are reached from any T. What is lost is of order gamma_T
(`refscore.identities.ends`), and for Brownian motion, whose gamma_T is 1 for ever, of order 1/sigma_T.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian, PointSet
from refscore.identities._calculus import EPS, collocate, stage_times
from refscore.identities._errata import refuted
from refscore.identities._nystrom import by_hand, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.samplers import Setting, exact_score, settings
from refscore.identities.theory import STANDARD, _scales


@identity(
    id="X4",
    systems=("X4", "F7"),
    title="[a] generates from N(0, sigma_T^2 I) 'back to data': exact only if gamma_T = 0, as it is for no finite T",
    statement=r"x_T \sim N(0, \sigma_T^2):\; E x_0 = m(1 - \Phi\gamma_T),\; \mathrm{Var}\,x_0 = C\sigma_T^2/c + \Phi^2\sigma_T^2,"
    r"\quad c = \gamma_T^2 C + \sigma_T^2,\; \Phi = \gamma_T C/c",
    source="[a, sec. 4, 'Discrete Step Update']: 'from noise X_T ~ N(0, sigma_T^2 I) back to data X_0'",
    method="moment equations of the exact reverse SDE by collocation from either start, against conditioning of Gaussians; total "
    "variation of the start against quadrature and, for one point, the normal law",
    catches=(
        "start_from_standard_normal", "start_variance_is_std", "start_matches_the_mean", "start_forgets_alpha", "start_not_halved",
        "reverse_drift_rate_doubled", "reverse_drift_forward_sign", "reverse_drift_g_for_g2",
    ),
)
def wrong_start(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    m, C, rows = 0.9, 0.6, []
    data = Gaussian([m], C)
    for setting, end in itertools.product((STANDARD, *settings()[:3]), (0.5, 2.0)):
        alpha, noise = _scales(setting, end)
        c = alpha**2 * C + noise
        sensitivity, case = alpha * C / c, f"{setting.name}, T = {end}"
        predicted = np.array([-m * sensitivity * alpha, C * noise / c + sensitivity**2 * noise - C])
        found = {name: _reversed(ops, setting, data, end, start) for name, start in
                 (("p_T", (alpha * m, c)), ("N(0, sigma_T^2)", (0.0, noise)))}
        bound = {name: error + 4096 * EPS * (1 + c) for name, (_, error) in found.items()}
        moments, exact = found["N(0, sigma_T^2)"][0], np.array([m, C])
        yield refuted(f"mean and variance are the data's, {case}", moments, exact, predicted, bound["N(0, sigma_T^2)"], 1 + c)
        yield Comparison(f"from p_T they are: {case}", found["p_T"][0], exact, bound["p_T"], 1 + c)
        value, error = ops.start_error(setting.process, data, end)
        target, other = by_hand(data, alpha, noise)[0], by_hand(data, 0.0, noise)[0]
        right, lost = tv_by_quadrature(target, other, 9 * math.sqrt(c) + 2)
        yield refuted(f"p_T is N(0, sigma_T^2), {case}", value, 0.0, right, error + lost)
        rows.append((setting.name, end, float(alpha), value, *(float(v) for v in moments)))
    zero = PointSet([[0.0, 0.0]])
    value, error = ops.start_error(STANDARD.process, zero, 0.3)
    yield Comparison("data in the origin: exact at every T", value, 0.0, error + 8 * EPS)
    columns = ("process", "T", "gamma_T", "TV of the start", f"mean at 0 (data {m})", f"variance at 0 (data {C})")
    yield Table("the exact reverse SDE from N(0, sigma_T^2), data N(0.9, 0.6)", columns, rows)


def _reversed(ops: Operations, setting: Setting, data: Gaussian, end: float, start: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance at 0 of the reverse SDE from N(*start), whose drift is affine; by collocation, with its error."""
    score, found = exact_score(ops, setting.process, data), []
    for panels in (6, 12):
        times = stage_times(end, 0.0, panels)
        drifts = np.array([[ops.reverse_drift(setting.process, score, np.array([[0.0], [1.0]]), t) for t in row] for row in times])
        constant, slope = drifts[..., 0, 0], drifts[..., 1, 0] - drifts[..., 0, 0]
        g2 = setting.diffusion2(times)

        def rates(i, states, constant=constant, slope=slope, g2=g2):
            mean, variance = states.T
            return -np.stack([slope[i] * mean + constant[i], 2 * slope[i] * variance + g2[i]], axis=1)

        found.append(collocate(rates, np.array(start, dtype=float), end, 0.0, panels))
    return found[1], np.abs(found[1] - found[0])
