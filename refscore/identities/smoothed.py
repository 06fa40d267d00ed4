r"""Identity A6: Laplace, two-sided exponential and uniform laws under Gaussian noise, against the convolution integral."""

from __future__ import annotations

import numpy as np

from refscore import _quadrature
from refscore.densities import Laplace, TwoSidedExponential, Uniform
from refscore.identities._registry import Comparison, identity

EPS = np.finfo(float).eps
_WINDOW = 16
_ROUNDING = 1e-12
"""Relative error of a sum over nodes: exponents that matter, up to 16^2/2, are good to 8 eps of themselves (2e-13), up to 1e3
positive terms are summed pairwise; Gauss-Legendre on panels of half a noise leaves e^-40; the window ends 11 noises beyond the
peak of any posterior here, where e^-60 of it is left. The closed form's own error, 1e-13 at these arguments, is within."""

_PLACES = np.array([0.2, -0.7, 0.4])
_SCALES = np.array([0.5, 0.9, 0.7])


def _laws(d: int) -> dict[str, tuple]:
    """Every law of dimension d with the same law as one writes it down: (kinks, log p) of every coordinate."""
    m, b = _PLACES[:d], _SCALES[:d]

    def two_sided(left, right):
        def coordinate(m, left, right):
            return (m,), lambda y: np.where(y < m, (y - m) / left, (m - y) / right) - np.log(left + right)

        return [coordinate(*v) for v in zip(m, left, right, strict=True)]

    def flat(low, width):
        return (low, low + width), lambda y: np.where((y > low) & (y < low + width), -np.log(width), -np.inf)

    return {
        "Laplace": (Laplace(m, b), two_sided(b, b)),
        "two-sided exponential": (TwoSidedExponential(m, b, 2.5 * b), two_sided(b, 2.5 * b)),
        "uniform": (Uniform(m, m + 2 * b), [flat(*v) for v in zip(m, 2 * b, strict=True)]),
    }


def _moments(coordinate, alpha, sigma, x):
    """(log p, E[v], E[v^2], E|v|) at points x (n,) of the corrupted law, v = (alpha y - x)/sigma^2, given x."""
    kinks, log_p = coordinate
    results = []
    for point in x:
        line = (point + np.linspace(-_WINDOW, _WINDOW, 4 * _WINDOW + 1) * sigma) / alpha
        y, w = _quadrature.panels(np.unique(np.concatenate([line, [k for k in kinks if line[0] < k < line[-1]]])), 1)
        v = (alpha * y - point) / sigma**2
        w = w * np.exp(log_p(y) - (v * sigma) ** 2 / 2)
        mass = w.sum()
        results.append([np.log(mass / (sigma * np.sqrt(2 * np.pi))), w @ v / mass, w @ v**2 / mass, w @ np.abs(v) / mass])
    return np.array(results).T


@identity(
    id="A6",
    systems=("A6",),
    title="Laplace, two-sided exponential and uniform laws stay in closed form under Gaussian noise",
    statement=r"p_\sigma(x) = \int p(y)\,N(x; \alpha y, \sigma^2)\,dy,\quad s = E[v|x],\ Ds = \mathrm{Var}[v|x] - 1/\sigma^2,"
              r"\ v = (\alpha y - x)/\sigma^2",
    source="systems A6; closed forms: Grushka 1972 (exponentially modified Gaussian)",
    method="Mills' ratios and normal probabilities vs Gauss-Legendre over the data, cut at the kinks, and Tweedie; twice vs once",
    catches=("score_sign", "divergence_over_d", "corrupted_sigma_for_variance", "corrupted_noise_scaled_too",
             "corrupted_scale_kept", "smoothed_exponent_without_square", "smoothed_exponent_left_out", "smoothed_shift_sign",
             "smoothed_sides_exchanged", "uniform_not_normalised", "score_blind_to_jumps", "jacobian_second_moment_not_centred",
             "jacobian_over_sigma"),
)
def laws_with_kinks_and_jumps(ops, seed):
    """log p, s, Ds and tr Ds in d = 1, 2, 3, noise narrower and wider than the law; in the far tails; and corruption twice."""
    for d in (1, 2, 3):
        rng = np.random.default_rng((seed, d, 6))
        for name, (density, coordinates) in _laws(d).items():
            for alpha, sigma in ((1.0, 0.4), (0.6, 1.3), (0.3, 0.05)):
                law = ops.corrupted(density, alpha, sigma)
                x = alpha * density.mean + rng.standard_normal((5, d)) * np.hypot(alpha * np.sqrt(np.diag(density.cov)), sigma)
                case = f"{name}, d = {d}, alpha {alpha}, sigma {sigma}"
                yield from _against_the_integral(ops, law, coordinates, alpha, sigma, x, case)
            twice = ops.corrupted(ops.corrupted(density, 0.6, 0.5), 0.7, 0.3)
            once = ops.corrupted(density, 0.6 * 0.7, np.hypot(0.7 * 0.5, 0.3))
            x = once.mean + rng.standard_normal((5, d))
            yield Comparison(f"twice = once: {name}, d = {d}", ops.score(twice, x), ops.score(once, x), 1e-12, 4.0)
            yield from _tails(ops, density, name, d)


def _against_the_integral(ops, law, coordinates, alpha, sigma, x, case):
    d = x.shape[1]
    log_p, first, second, size = np.stack([_moments(c, alpha, sigma, x[:, i]) for i, c in enumerate(coordinates)], axis=-1)
    total = log_p.sum(axis=1)
    yield Comparison(f"log p: {case}", ops.logpdf(law, x), total, d * _ROUNDING, 1 + np.abs(total))
    yield Comparison(f"score: {case}", ops.score(law, x), first, 2 * _ROUNDING * (size + 1 / sigma), size + 1 / sigma)
    slopes, size = second - first**2 - 1 / sigma**2, second + 1 / sigma**2
    jacobian = slopes[:, :, None] * np.eye(d)
    bound = 4 * _ROUNDING * size
    yield Comparison(f"Ds: {case}", ops.score_jacobian(law, x), jacobian, bound[:, :, None], size[:, :, None])
    trace = ops.score_divergence(law, x)
    yield Comparison(f"tr Ds: {case}", trace, slopes.sum(axis=1), bound.sum(axis=1), size.sum(axis=1))


def _tails(ops, density, name, d):
    """Far out the score of a flank is the data's own, and that of a box the pull to its end: -(v + 1/v)/sigma at v sigma."""
    sigma = 0.4
    law = ops.corrupted(density, 1.0, sigma)
    for reach in (1e6, 1e12, 1e100):
        x = np.full((1, d), reach) * [1, -1, 1][:d]
        if name == "uniform":
            v = (x - np.where(x > 0, density.high, density.low)) / sigma
            want = -(v + 1 / v) / sigma  # the next term is 2/v^3
        else:
            want = np.where(x > 0, -1 / density.right, 1 / density.left)
        yield Comparison(f"tail: {name}, d = {d}, |x| = {reach:g}", ops.score(law, x), want, 16 * EPS * np.abs(want), np.abs(want))
