r"""Identities of section A: densities known up to a constant, their corruption, and what a score determines (A1, A6, A7, A8)."""

from __future__ import annotations

import math

import numpy as np

from refscore.densities import TwoSidedExponential, UnnormalizedDensity
from refscore.identities import _lines, _plain, _textbook
from refscore.identities._calculus import gauss_legendre
from refscore.identities._expectations import EPS
from refscore.identities._registry import Comparison, Table, identity
from refscore.networks import MLP


@identity(
    id="A1",
    systems=("A1",),
    title="An unnormalised density has the score of the normalised one; a constant added to log p changes nothing",
    statement=r"p = e^{l}/Z:\quad \log p = l - \log Z,\quad \frac{d}{dx}\log p = l',\quad \log Z(l + c) = \log Z(l) + c",
    source="[b, Score], [e, Score matching]",
    method="values of l alone: quadrature and differences vs normalised densities and their derivatives in closed form",
    catches=("logpdf_not_normalised", "logpdf_normaliser_added", "log_normalizer_without_log", "log_normalizer_of_largest_value",
             "score_over_normaliser", "score_of_density_not_log", "score_sign", "expectation_not_normalised"),
)
def unnormalised(ops, seed):
    """Line, half-line, interval, heavy and light tails, each with three constants; then the moments."""
    rng = np.random.default_rng((seed, 1))
    rows = []
    for name, law in _lines.laws().items():
        x = law.points(rng, 12)
        exact, slope, bend = law.log_density(x), law.score(x), law.curvature(x)
        for constant in (0.0, 3.7, -250.0):
            density = UnnormalizedDensity(lambda y, c=constant, f=law.shape: f(y) + c, law.support)
            case = f"{name}, constant {constant}"
            value, error = ops.log_normalizer(density)
            size = 1 + abs(law.log_z) + abs(constant)
            yield Comparison(f"log Z: {case}", value, law.log_z + constant, error + 16 * EPS * size, size)
            size = 1 + np.abs(exact) + abs(constant)
            bound = density.logpdf_error(x[:, None]) + 16 * EPS * size
            yield Comparison(f"log p: {case}", ops.logpdf(density, x[:, None]), exact, bound, size)
            bound = density.score_error(x[:, None])[:, 0] + 16 * EPS * (1 + np.abs(slope))
            yield Comparison(f"score: {case}", ops.score(density, x[:, None])[:, 0], slope, bound, size + np.abs(slope).max())
            rows.append((name, constant, float(value), float(error), float(bound.max())))
        given = UnnormalizedDensity(law.shape, law.support, law.score)
        bound = given.score_jacobian_error(x[:, None])[:, 0, 0] + 16 * EPS * (1 + np.abs(bend))
        got = ops.score_jacobian(given, x[:, None])[:, 0, 0]
        yield Comparison(f"Ds from the score: {name}", got, bend, bound, 1 + np.abs(bend).max() + np.abs(slope).max())
        value, error = ops.expectation(given, lambda y: np.tanh(y[:, 0]))
        want = law.mean_of(np.tanh)
        yield Comparison(f"E tanh x: {name}", value, want, error + 1e-13, 1.0)
    columns = ("law", "constant", "log Z", "error", "of the score")
    yield Table("log Z by quadrature, and how well it and the score are known", columns, rows)


@identity(
    id="A6.quadrature",
    systems=("A6", "A3"),
    title="Corruption of a density on an interval, by quadrature: log-density, score and Jacobian",
    statement=r"s(\tilde x) = -\tfrac1\sigma E[z|\tilde x],\quad s'(\tilde x) = \tfrac{1}{\sigma^2}(\mathrm{Var}[z|\tilde x] - 1)",
    source="[a, proof of DSM]; systems A6, B10, B12",
    method="quadrature over x given the noisy point vs differences of normal distribution functions, and their complex step",
    catches=("corrupted_sigma_for_variance", "corrupted_alpha_ignored", "corrupted_noise_scaled_too", "score_sign",
             "jacobian_posterior_variance_dropped"),
)
def corruption_by_quadrature(ops, seed):
    """e^{c_1 x - c_2 x^2/2} on intervals and half-lines: uniform, exponential and truncated Gaussian laws."""
    rng = np.random.default_rng((seed, 6))
    for name, law in _lines.QUADRATIC.items():
        for alpha, sigma in ((1.0, 0.5), (0.6, 0.8), (0.9, 0.1)):
            corrupted = ops.corrupted(law.density(), alpha, sigma)
            y = alpha * law.middle + 2.5 * (alpha * law.spread + sigma) * rng.uniform(-1, 1, 6)
            case = f"{name}, alpha {alpha}, sigma {sigma}"
            log_q = law.corrupted_log_density(y, alpha, sigma).real
            s = law.corrupted_score(y, alpha, sigma).real
            step = 1e-30
            bend = law.corrupted_score(y + 1j * step, alpha, sigma).imag / step
            # a tail of the normal law at u is good to eps u^2, and its slope multiplies by u
            steep = 64 * EPS * (1 + law.reach(y, alpha, sigma) ** 2)
            got = ops.logpdf(corrupted, y[:, None])
            yield Comparison(f"log q: {case}", got, log_q, corrupted.logpdf_error(y[:, None]) + steep, 1 + np.abs(log_q))
            bound = corrupted.score_error(y[:, None])[:, 0] + steep * (1 + np.abs(s))
            got = ops.score(corrupted, y[:, None])[:, 0]
            yield Comparison(f"score: {case}", got, s, bound, 1 / sigma + np.abs(s))
            bound = corrupted.score_jacobian_error(y[:, None])[:, 0, 0] + steep * (1 + np.abs(s)) ** 2
            got = ops.score_jacobian(corrupted, y[:, None])[:, 0, 0]
            yield Comparison(f"Ds: {case}", got, bend, bound, (1 / sigma + np.abs(s)) ** 2)
    kinked = _lines.two_sided(0.4, 0.5, 1.3)  # a kink is an end of two pieces
    exact = TwoSidedExponential(0.4, 0.5, 1.3)
    for alpha, sigma in ((1.0, 0.5), (0.6, 0.05)):
        corrupted, law = ops.corrupted(kinked, alpha, sigma), exact.corrupted(alpha, sigma)
        y = alpha * 0.4 + rng.uniform(-2, 3, (8, 1))
        case = f"two-sided exponential, alpha {alpha}, sigma {sigma}"
        bound = corrupted.logpdf_error(y) + law.logpdf_error(y)
        yield Comparison(f"log q: {case}", ops.logpdf(corrupted, y), law.logpdf(y), bound, 1 + np.abs(law.logpdf(y)))
        bound = corrupted.score_error(y) + law.score_error(y)
        yield Comparison(f"score: {case}", ops.score(corrupted, y), law.score(y), bound, 1 / sigma + np.abs(law.score(y)))


FORMS = {  # log p up to a constant, in complex arithmetic; and the Fisher information as an integral of f
    "exp": (lambda f: f, lambda f, df: np.exp(f) * df**2),
    "square": (lambda f: np.log(f * f), lambda f, df: 4 * df**2),
    "abs": (lambda f: np.log(f * f) / 2, lambda f, df: df**2 / np.abs(f)),
}


@identity(
    id="A7",
    systems=("A7", "G1"),
    title="exp f, f^2 and |f| as densities: the score needs no normaliser",
    statement=r"p = e^f/Z:\ s = f';\qquad p = f^2/Z:\ s = 2f'/f;\qquad p = |f|/Z:\ s = f'/f",
    source="[e, Non-negative functions]",
    method="hand-written derivatives and adaptive quadrature vs complex step of log p and Gauss panels between the zeros",
    catches=("square_score_without_two", "abs_score_doubled", "exp_score_over_f", "nonnegative_score_without_sign_of_f",
             "nonnegative_normaliser_not_squared", "log_normalizer_without_log"),
)
def nonnegative_functions(ops, seed):
    """A network of one output, random and shifted to have a zero or none, on an interval; Fisher information where it is finite."""
    low, high = -1.3, 2.1
    rng = np.random.default_rng((seed, 7))
    rows = []
    for activation in ("tanh", "softplus"):
        model = MLP((1, 8, 8, 1), activation, np.random.default_rng((seed, 70)))
        grid = np.linspace(low, high, 2001)
        y = model(grid[:, None])[:, 0]
        scale = 1 / (y.max() - y.min())
        for zeros, level in (("no zero", y.min() - 0.5 / scale), ("a zero", float(model(np.array([[0.31]]))[0, 0]))):
            weights = [*model.parameters[:-2], model.parameters[-2] * scale, (model.parameters[-1] - level) * scale]
            f, df = _network(weights, activation)
            hand = model.with_parameters(weights)
            roots = _lines.sign_changes(f, grid)
            for form, (log_p, fisher) in FORMS.items():
                density = ops.nonnegative(lambda x, m=hand: m(x[:, None])[:, 0],
                                          lambda x, m=hand: m.jacobian(x[:, None])[:, 0, 0], form, (low, high))
                case = f"{form}, {activation} network with {zeros}"
                x, w = _between(low, high, roots if form != "exp" else [])
                mass = math.fsum(w * np.exp(log_p(f(x))))
                value, error = ops.log_normalizer(density)
                yield Comparison(f"log Z: {case}", value, math.log(mass), error + 1e-12, 1 + abs(math.log(mass)))
                points = rng.uniform(low, high, 12)
                points = points[np.abs(f(points)) > 0.02]
                want = _textbook.gradient(lambda z, f=f, log_p=log_p: log_p(f(z[:, 0])), points[:, None])[:, 0]
                steep = 1 + np.abs(want) + 1 / np.abs(f(points))
                got = ops.score(density, points[:, None])[:, 0]
                yield Comparison(f"score: {case}", got, want, 1e3 * EPS * steep**2, steep**2)
                log_density = log_p(f(points)) - math.log(mass)
                got = ops.logpdf(density, points[:, None])
                yield Comparison(f"log p: {case}", got, log_density, 1e-12 + 1e3 * EPS * steep, steep)
                information = math.inf
                if form != "abs" or not len(roots):
                    information = math.fsum(w * fisher(f(x), df(x))) / mass
                    got, error = ops.expectation(density, lambda x, p=density: ops.score(p, x)[:, 0] ** 2)
                    yield Comparison(f"E s^2: {case}", got, information, error + 1e-12 * (1 + information), 1 + information)
                rows.append((form, activation, zeros, len(density.support), float(value), information))
    yield Table("densities from a network", ("form", "network", "f has", "pieces", "log Z", "E s^2"), rows)


def _network(parameters, activation):
    """f and f' of a network written out, in complex arithmetic."""
    phi, slope = _plain.VALUE[activation], _plain.SLOPE[activation]
    f = lambda x: _plain.forward(parameters, np.asarray(x)[:, None], phi)[:, 0]  # noqa: E731
    df = lambda x: _plain.jacobians(parameters, np.asarray(x)[:, None], 1, phi, slope)[:, 0, 0]  # noqa: E731
    return f, df


def _between(low, high, roots):
    """Gauss-Legendre panels between the zeros of f."""
    edges = [low, *roots, high]
    parts = [gauss_legendre(a, b, 24) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


@identity(
    id="A8",
    systems=("A8", "A1"),
    title="On connected support the score determines the density; across a gap or a zero it does not",
    statement=r"\log p(x) = \log p(x_0) + \int_{x_0}^x s,\quad \text{but}\quad E_p\|s_p - s_q\|^2 = 0,\ TV(p, q) = |w - w'|",
    source="[e, Score matching], corrected",
    method="integral of the score along the support vs log-density; quadrature of |p - q| vs the weights of the pieces",
    catches=("score_sign", "logpdf_weights_of_pieces_dropped", "logpdf_of_each_piece_alone", "esm_without_score_of_data"),
)
def score_and_density(ops, seed):
    """Reconstruction from the score on lines, half-lines and intervals; two pieces and two nodal domains with other weights."""
    rng = np.random.default_rng((seed, 8))
    for name, law in _lines.laws().items():
        density = UnnormalizedDensity(law.shape, law.support, law.score)
        start, *ends = np.sort(law.points(rng, 6))
        rise = []
        for end in ends:
            nodes, weights = gauss_legendre(start, end, 16)
            rise.append(weights @ ops.score(density, nodes[:, None])[:, 0])
        values = ops.logpdf(density, np.array([start, *ends])[:, None])
        size = 1 + np.abs(values).max() + np.abs(values[0])
        yield Comparison(f"connected: {name}", np.array(rise), values[1:] - values[0], 1e-12 * size, size)
    rows = []
    for name, (w, w_other) in {"gap": (0.3, 0.55), "gap, most to the left": (0.9, 0.2), "zero": (0.25, 0.7)}.items():
        pair = _lines.zero_between if name == "zero" else _lines.gap_between
        p, q = pair(w), pair(w_other)
        x, weights = p.nodes()
        fisher = ops.esm(lambda x, q=q: ops.score(q, x), x, ops.score(p, x), sample_weight=weights)
        yield Comparison(f"explicit score matching of one to the other: {name}", fisher, 0.0, 0.0)
        yield Comparison(f"Fisher divergence: {name}", ops.fisher(p, q)[0], 0.0, 0.0)
        distance, error = _lines.total_variation(ops, p, q)
        yield Comparison(f"total variation: {name}", distance, abs(w - w_other), error + 1e-13, 1.0)
        for sigma in (0.1, 0.3, 1.0):
            y = np.linspace(-2.5, 3.0, 12)[:, None]
            clean = p.corrupted(1.0, sigma), q.corrupted(1.0, sigma)
            gap = np.abs(ops.score(clean[0], y) - ops.score(clean[1], y)).max()
            rows.append((name, w, w_other, float(fisher), float(distance), sigma, float(gap)))
    columns = ("support", "w", "w'", "Fisher divergence", "TV", "noise sigma", "largest |s - s'| of the corrupted laws")
    yield Table("equal scores, different densities; noise connects the support, and the scores tell them apart", columns, rows)
