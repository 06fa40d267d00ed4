"""Mistakes with unnormalised densities, pieces of support, and their boundary (systems A1, A6-A8, B3)."""

from __future__ import annotations

import numpy as np

from refscore import densities, objectives
from refscore.mistakes._registry import mistake


@mistake("logpdf", wrong="l(x)", right="l(x) - log Z", seen="an energy taken for a negative log-likelihood")
def logpdf_not_normalised(density, x):
    return density.logpdf(x) + density.log_normalizer()[0]


@mistake("logpdf", wrong="l(x) + log Z", right="l(x) - log Z", seen="sign of the partition function: energies -f against f")
def logpdf_normaliser_added(density, x):
    return density.logpdf(x) + 2 * density.log_normalizer()[0]


@mistake("log_normalizer", wrong="Z", right="log Z", seen="neighbour: the logarithm forgotten")
def log_normalizer_without_log(density):
    value, error = density.log_normalizer()
    return np.exp(value), error


@mistake("log_normalizer", wrong="max l", right="log int e^l", seen="log-sum-exp without its sum")
def log_normalizer_of_largest_value(density):
    x, _ = density.nodes()
    return float(density.logpdf(x).max()) + density.log_normalizer()[0], density.log_normalizer()[1]


@mistake("score", wrong="l'/Z", right="l'", seen="gradient of e^l/Z divided by e^l instead of by p")
def score_over_normaliser(density, x):
    return density.score(x) / np.exp(density.log_normalizer()[0])


@mistake("score", wrong="p'", right="p'/p", seen="gradient of the density taken for that of its logarithm")
def score_of_density_not_log(density, x):
    return density.score(x) * np.exp(density.logpdf(x))[:, None]


@mistake("expectation", wrong="int e^l f", right="int e^l f/Z", seen="weights of a quadrature that do not sum to one")
def expectation_not_normalised(density, f):
    value, error = density.expectation(f)
    return value * np.exp(density.log_normalizer()[0]), error


@mistake("corrupted", wrong="x + sigma z", right="alpha x + sigma z",
         seen="variance-exploding formula in a variance-preserving process")
def corrupted_alpha_ignored(density, alpha, sigma):
    return density.corrupted(1.0, sigma)


@mistake("score_jacobian", wrong="-1/sigma^2", right="(Var[z|x~] - 1)/sigma^2",
         seen="posterior variance forgotten in the second derivative")
def jacobian_posterior_variance_dropped(density, x):
    return np.full((len(x), 1, 1), -1 / density.sigma**2)


def _with_slope(f, slope, form, support, wrong):
    right = densities.nonnegative(f, slope, form, support)
    return densities.UnnormalizedDensity(right.log_p, right.support, wrong)


@mistake("nonnegative", wrong="f'/f for f^2", right="2 f'/f", seen="the square forgotten in its logarithm")
def square_score_without_two(f, slope, form, support):
    return _with_slope(f, slope, form, support, lambda x: slope(x) / f(x) if form == "square" else _score(f, slope, form, x))


@mistake("nonnegative", wrong="2 f'/f for |f|", right="f'/f", seen="neighbour of the square")
def abs_score_doubled(f, slope, form, support):
    return _with_slope(f, slope, form, support, lambda x: _score(f, slope, form, x) * (2 if form == "abs" else 1))


@mistake("nonnegative", wrong="f'/f for exp f", right="f'", seen="f taken for the density itself")
def exp_score_over_f(f, slope, form, support):
    return _with_slope(f, slope, form, support, lambda x: slope(x) / f(x) if form == "exp" else _score(f, slope, form, x))


@mistake("nonnegative", wrong="f'/|f|", right="f'/f", seen="derivative of |f| without its sign")
def nonnegative_score_without_sign_of_f(f, slope, form, support):
    return _with_slope(f, slope, form, support, lambda x: _score(f, slope, form, x) * (1 if form == "exp" else np.sign(f(x))))


@mistake("nonnegative", wrong="Z = int |f|", right="Z = int f^2", seen="normaliser of f in place of that of its square")
def nonnegative_normaliser_not_squared(f, slope, form, support):
    right = densities.nonnegative(f, slope, form, support)
    if form != "square":
        return right
    return densities.nonnegative(f, slope, "abs", support)


def _score(f, slope, form, x):
    return slope(x) if form == "exp" else (2 if form == "square" else 1) * slope(x) / f(x)


def _mass_of_piece(density, x):
    """The mass of the piece that each x lies in."""
    nodes, w = density.nodes()
    inside = [(low <= x[:, 0]) & (x[:, 0] <= high) for low, high in density.support]
    mass = [w[(low <= nodes[:, 0]) & (nodes[:, 0] <= high)].sum() for low, high in density.support]
    return sum(np.where(i, m, 0.0) for i, m in zip(inside, mass, strict=True))


@mistake("logpdf", wrong="every piece normalised to 1", right="one Z for all",
         seen="lecture e: the same score, hence the same density")
def logpdf_of_each_piece_alone(density, x):
    return density.logpdf(x) - np.log(_mass_of_piece(density, x))


@mistake("logpdf", wrong="pieces of equal mass", right="the mass of each piece",
         seen="weights of a mixture that its score has lost")
def logpdf_weights_of_pieces_dropped(density, x):
    return density.logpdf(x) - np.log(_mass_of_piece(density, x) * len(density.support))


@mistake("score", wrong="w p'/p", right="p'/p", seen="the weight of a piece kept in p', not in p")
def score_times_mass_of_piece(density, x):
    return density.score(x) * _mass_of_piece(density, x)[:, None]


@mistake("score", wrong="averaged over the kink", right="one-sided", seen="automatic differentiation of |x| returns 0 at 0")
def score_smoothed_over_the_kink(density, x):
    kinks = {low for low, _ in density.support} & {high for _, high in density.support}
    near = np.isclose(x, list(kinks)[0] if kinks else np.inf, rtol=0, atol=1e-12)
    return np.where(near, 0.0, density.score(x))


@mistake("esm", wrong="1/2 E||s||^2", right="1/2 E||s - s_p||^2", seen="the target dropped: score matching against zero")
def esm_without_score_of_data(model, x, true_score, **options):
    return objectives.esm(model, x, np.zeros_like(x), **options)


class _Faces:
    """A density with other faces."""

    def __init__(self, density, change):
        self.density, self.change, self.dim = density, change, density.dim

    def faces(self, spacing=1.0):
        return [face for face in map(self.change, self.density.faces(spacing)) if face is not None]


@mistake("boundary_flux", wrong="0", right="oint p s.n", seen="lecture b: 'when the boundary term can be neglected'")
def flux_neglected(model, density):
    return 0.0, 0.0


@mistake("boundary_flux", wrong="inward normal", right="outward normal", seen="sign of integration by parts")
def flux_inward(model, density):
    value, error = objectives.boundary_flux(model, density)
    return -value, error


@mistake("boundary_flux", wrong="[s]", right="[p s]", seen="neighbour: the density left out at the end")
def flux_without_density(model, density):
    return objectives.boundary_flux(model, _Faces(density, lambda face: face._replace(weights=face.weights / face.weights.max())
                                                  if face.weights.max() > 0 else face))


@mistake("boundary_flux", wrong="upper ends only", right="upper minus lower ends", seen="half-line formula used on an interval")
def flux_upper_ends_only(model, density):
    return objectives.boundary_flux(model, _Faces(density, lambda face: face if face.normal > 0 else None))


@mistake("boundary_flux", wrong="p s at all ends added", right="upper minus lower ends", seen="the normal forgotten")
def flux_ends_added(model, density):
    return objectives.boundary_flux(model, _Faces(density, lambda face: face._replace(normal=1.0)))


@mistake("boundary_flux", wrong="density before truncation", right="density of the law on its support",
         seen="Z of the truncation forgotten")
def flux_not_normalised(model, density):
    z = np.exp(sum(factor.log_normalizer()[0] for factor in getattr(density, "factors", (density,))))
    value, error = objectives.boundary_flux(model, density)
    return value * z, error
