r"""Image denoising with a Markov random field, exactly (systems G5): by enumeration, by the transfer matrix, by determinants.

Up to 20 pixels all images can be listed with their weights; whatever is asked of the posterior is then a sum over the list. The
transfer matrix goes further, and is compared there with what knows nothing of it:

* without unary terms Z is an Ising partition function: polynomials in e^J with integer coefficients (the numbers of images with so
  many agreeing bonds), and on any grid the determinant of Kac and Ward;
* log Z is the integral of its derivatives, d log Z/dJ = sum of the probabilities that bonds agree, and with psi_i = lambda u_i,
  d log Z/dlambda = sum_i u_i p(y_i = x_i): from independent pixels, sum_i log(1 + e^{u_i}), or from Kac and Ward's Z;
* exchanging 0 and 1 on the black squares turns J into -J: Z(x, u, J) = e^{J E} Z(x + checkerboard, u, -J);
* the free energy of the infinite lattice, Onsager's integral: edges and corners drop out of
  log Z(H, W) - log Z(H-1, W) - log Z(H, W-1) + log Z(H-1, W-1). In powers of t = tanh(J/2) the first graphs missing here are those
  that span H bonds, of 2 (H + 1) bonds, and there are at most 3^n of n bonds from a given pixel: off by O((3t)^(2H + 2)).

**Rounding.** A log-weight adds N + E numbers up to a size of sum |u| + E |J|. The tables' bounds are that, for the terms and for
their sum, beside the error that `log_partition` returns; a probability of the transfer matrix is reached in N steps whose logits
are off by at most twice that.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from refscore.energy import DenoisingMRF
from refscore.identities import _kac_ward
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity

AGREEING = {  # shape: numbers of images with 0, 1, 2, ... agreeing bonds
    (2, 2): (2, 0, 12, 0, 2),
    (3, 3): (2, 0, 8, 32, 46, 96, 144, 96, 46, 32, 8, 0, 2),
}


def small_fields(seed: int) -> Iterator[tuple[str, DenoisingMRF]]:
    """Images that can be enumerated: the lecture's 3 x 3, lying and standing ones, lines; one unary term, or one a pixel."""
    rng = np.random.default_rng((seed, 5))
    shapes: tuple = ((3, 3), 1.3, 0.7), ((2, 4), None, -0.6), ((4, 2), None, 0.9), ((1, 5), None, 1.4), ((5, 1), -0.4, 0.8)
    for shape, unary, pairwise in shapes:
        x = rng.integers(0, 2, shape)
        field = 0.3 + rng.standard_normal(shape) if unary is None else unary
        yield f"{shape[0]} x {shape[1]}, J {pairwise}", DenoisingMRF(x, field, pairwise)


def size(mrf: DenoisingMRF) -> float:
    """What log-weights and their log-sums add up."""
    return float(np.abs(mrf.unary).sum() + mrf.x.size * (2 * abs(mrf.pairwise) + np.log(2)))


def table(ops: Operations, mrf: DenoisingMRF) -> tuple[np.ndarray, np.ndarray, float, np.ndarray, float]:
    """All images, their log-weights, log Z, their probabilities, and the error of all logarithms."""
    images, log_weights = ops.all_images(mrf)
    top = log_weights.max()
    log_z = float(top + np.log(np.exp(log_weights - top).sum()))
    return images, log_weights, log_z, np.exp(log_weights - log_z), (3 * mrf.x.size + 40) * EPS * (1 + size(mrf))


def number(images: np.ndarray) -> np.ndarray:
    """Where images (..., H, W) stand in the list of all."""
    flat = images.reshape(*images.shape[:-2], -1).astype(np.int64)
    return flat @ (1 << np.arange(flat.shape[-1])[::-1])


@identity(
    id="G5",
    systems=("G5",),
    title="Denoising an image: posterior, Z, evidence, marginals, best image and draws by the transfer matrix, as by enumeration",
    statement=r"p(y \mid x) = \exp\Big(\sum_i \psi_i(x_i, y_i) + \sum_{(i,j) \in E} \psi_{ij}(y_i, y_j)\Big) \Big/ Z(x), \quad "
    r"\operatorname{logit} p(y_i = 1 \mid \text{rest}) = u_i (2 x_i - 1) + J \sum_{j \sim i} (2 y_j - 1)",
    source="[e, image denoising]; Geman & Geman 1984; Kramers & Wannier 1941",
    method="transfer matrix vs all images in a list, term by term; draws vs conditional probabilities from the list; "
    "the evidence vs a sum over both images",
    catches=(
        "mrf_bonds_twice", "mrf_neighbour_left_out", "mrf_periodic", "mrf_spins", "mrf_unary_sign", "mrf_unary_of_ones",
        "mrf_z_bonds_twice", "mrf_z_periodic", "mrf_z_spins", "mrf_z_of_the_joint", "mrf_z_last_line_left_out",
        "mrf_conditional_of_zero", "mrf_conditional_itself_a_neighbour", "mrf_conditional_twice", "mrf_conditional_periodic",
        "mrf_conditional_neighbour_left_out", "mrf_conditional_unary_sign", "mrf_marginals_of_zero", "mrf_marginals_filtered",
        "mrf_marginals_of_maxima", "mrf_map_by_marginals", "mrf_map_by_modes", "mrf_map_of_spins", "mrf_map_worst",
        "mrf_agreements_exchanged", "mrf_agreements_of_ones", "mrf_draws_independent", "mrf_draws_above", "mrf_draws_forwards",
        "mrf_evidence_without_prior", "mrf_evidence_without_noise", "mrf_images_bonds_twice", "mrf_images_neighbour_left_out",
    ),
)
def posterior(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 6))
    for case, mrf in small_fields(seed):
        images, log_weights, log_z, p, slack = table(ops, mrf)
        scale, loose = 1 + size(mrf), 8 * mrf.x.size * slack
        yield Comparison(f"log-weights, {case}", ops.mrf_log_weight(mrf, images), log_weights, slack, scale)
        value, error = ops.mrf_log_partition(mrf)
        yield Comparison(f"log Z, {case}", value, log_z, slack + error, scale)
        yield Comparison(f"log p, {case}", ops.logpdf(mrf, images), log_weights - log_z, 2 * slack + error, scale)
        yield Comparison(f"marginals, {case}", ops.mrf_marginals(mrf), np.tensordot(p, images, 1), loose)
        down, across = ops.mrf_agreements(mrf)
        vertical, horizontal = images[:, 1:] == images[:, :-1], images[..., 1:] == images[..., :-1]
        for name, got, bonds in (("down", down, vertical), ("across", across, horizontal)):
            if bonds[0].size:
                yield Comparison(f"agreeing bonds {name}, {case}", got, np.tensordot(p, bonds, 1), loose)
        best = ops.mrf_map(mrf)
        yield Comparison(f"best image, {case}", best, images[log_weights.argmax()], 0.0)
        yield from _one_pixel(ops, mrf, case, images, p, slack)
        uniforms = rng.random((40, *mrf.shape))
        yield Comparison(f"draws, {case}", ops.mrf_transform(mrf, uniforms), _drawn(images, p, uniforms), 0.0)
    for shape, unary, pairwise in (((2, 2), 0.9, 0.6), ((1, 3), -0.5, -1.1)):
        yield from _evidence(ops, shape, unary, pairwise)


def _one_pixel(ops, mrf, case, images, p, slack):
    """p(y_i = 1 | rest) by p with the pixel set to 1 and to 0."""
    bits = 1 << np.arange(mrf.x.size)[::-1].reshape(mrf.shape)
    at = np.arange(len(images))[:, None, None]
    one, zero = p[at | bits], p[at & ~bits]
    yield Comparison(f"one pixel given the others, {case}", ops.mrf_conditional(mrf, images), one / (one + zero), 2 * slack)


def _drawn(images: np.ndarray, p: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Pixel after pixel by its conditional probability given those before, all from the list; from the end of the longer side."""
    height, width = images.shape[1:]
    order = [(r, c) for c in reversed(range(width)) for r in reversed(range(height))]
    if height > width:
        order = [(r, c) for r in reversed(range(height)) for c in reversed(range(width))]
    drawn = np.empty(uniforms.shape, dtype=np.uint8)
    for image, uniform in zip(drawn, uniforms, strict=True):
        left = p.copy()
        for pixel in order:
            one = images[(slice(None), *pixel)] == 1
            image[pixel] = uniform[pixel] < left[one].sum() / left.sum()
            left[one != image[pixel]] = 0.0
    return drawn


def _evidence(ops, shape, unary, pairwise):
    """log p(x) for all x: the sum over y of a joint law listed in full."""
    everything = ops.all_images(DenoisingMRF(np.zeros(shape), 0.0, 0.0)).images
    joint = np.exp([ops.all_images(DenoisingMRF(x, unary, pairwise)).log_weights for x in everything])
    got = [ops.mrf_log_evidence(DenoisingMRF(x, unary, pairwise)) for x in everything]
    scale = 3 * size(DenoisingMRF(everything[0], unary, pairwise))
    bound = max(error for _, error in got) + 200 * EPS * scale
    want = np.log(joint.sum(axis=1) / joint.sum())
    yield Comparison(f"log p(x) of every x, {shape[0]} x {shape[1]}", [value for value, _ in got], want, bound, scale)


@identity(
    id="G5.partition",
    systems=("G5",),
    title="The partition function of a grid of pixels: numbers of images, Kac and Ward's determinant, derivatives, Onsager's limit",
    statement=r"Z = \sum_k g_k e^{Jk}; \quad Z = 2^N e^{JE/2} \cosh(J/2)^E \sqrt{\det(I - \tanh(J/2) \Lambda)}\ (u = 0); \quad "
    r"\partial_J \log Z = \sum_E p(y_i = y_j \mid x), \quad \partial_\lambda \log Z = \sum_i u_i\, p(y_i = x_i \mid x)",
    source="[e, image denoising]; Onsager 1944; Kac & Ward 1952; de Neef & Enting 1977",
    method="transfer matrix vs integer polynomials, determinants, integrals of marginals over the couplings; Onsager's integral",
    catches=(
        "mrf_z_bonds_twice", "mrf_z_periodic", "mrf_z_spins", "mrf_z_of_the_joint", "mrf_z_last_line_left_out", "mrf_z_in_bits",
        "mrf_marginals_of_zero", "mrf_marginals_filtered", "mrf_agreements_of_ones",
    ),
)
def partition(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 7))
    for shape, counts in AGREEING.items():
        for pairwise in (0.7, -1.2):
            value, error = ops.mrf_log_partition(ising(*shape, pairwise))
            want = float(np.log(np.polynomial.Polynomial(counts)(np.exp(pairwise))))
            case = f"numbers of images, {shape[0]} x {shape[1]}, J {pairwise}"
            yield Comparison(case, value, want, error + 60 * EPS * want, want)
    for height, width, pairwise in ((1, 7, 0.9), (4, 5, -1.1), (7, 6, 0.8), (12, 8, 0.5)):
        value, error = ops.mrf_log_partition(ising(height, width, pairwise))
        want, other = _kac_ward.log_partition(height, width, pairwise)
        yield Comparison(f"determinant, {height} x {width}, J {pairwise}", value, want, error + other, abs(want))
    yield from _integrals(ops, rng)
    yield from _black_squares(ops, rng)
    yield from _onsager(ops)


def ising(height: int, width: int, pairwise: float) -> DenoisingMRF:
    """Nothing seen: the prior law of images."""
    return DenoisingMRF(np.zeros((height, width)), 0.0, pairwise)


def _integrals(ops, rng):
    """log Z from its derivatives, along J from independent pixels and along u from the determinant; 16 against 24 nodes."""
    x, unary, pairwise = rng.integers(0, 2, (5, 8)), 0.4 + 0.6 * rng.standard_normal((5, 8)), 0.7
    full = DenoisingMRF(x, unary, pairwise)
    value, error = ops.mrf_log_partition(full)

    def bonds(share):
        return pairwise * sum(part.sum() for part in ops.mrf_agreements(DenoisingMRF(x, unary, share * pairwise)))

    def pixels(share):
        p = ops.mrf_marginals(DenoisingMRF(x, share * unary, pairwise))
        return (unary * np.where(x == 1, p, 1 - p)).sum()

    rules = [gauss_legendre(0.0, 1.0, 1, order) for order in (16, 24)]
    start, other = _kac_ward.log_partition(5, 8, pairwise)
    roads: tuple = ("J", bonds, np.log1p(np.exp(unary)).sum(), 0.0), ("u", pixels, start, other)
    for name, slope, begin, slack in roads:
        coarse, fine = (float(weights @ [slope(float(s)) for s in nodes]) for nodes, weights in rules)
        bound = abs(coarse - fine) + error + slack + 200 * EPS * size(full)
        yield Comparison(f"derivatives along {name}, 5 x 8", value, begin + fine, bound, size(full))


def _black_squares(ops, rng):
    x, unary, pairwise = rng.integers(0, 2, (12, 17)), rng.standard_normal((12, 17)), 0.8
    black = np.indices(x.shape).sum(axis=0) % 2
    one, error = ops.mrf_log_partition(DenoisingMRF(x, unary, pairwise))
    other, other_error = ops.mrf_log_partition(DenoisingMRF((x ^ black)[::-1, ::-1], unary[::-1, ::-1], -pairwise))
    bonds = 11 * 17 + 12 * 16
    bound = error + other_error + 4 * EPS * one
    yield Comparison("black squares exchanged and turned round, 12 x 17", one, other + pairwise * bonds, bound, one)


def _onsager(ops):
    """Free energy a pixel, from 9 and 10 lines: to all digits far from the critical coupling."""
    critical = float(np.log(1 + np.sqrt(2)))
    rows = []
    for pairwise in (0.1, 0.15, 0.3, 0.5, 0.7, 0.8, critical, 1.0, 1.2, 1.5, 2.0):
        found = {(h, w): ops.mrf_log_partition(ising(h, w, pairwise)) for h, w in product((9, 10), (10, 11))}
        bulk = found[10, 11][0] - found[9, 11][0] - found[10, 10][0] + found[9, 10][0]
        want = onsager(pairwise)
        rows.append((pairwise, bulk, want, bulk - want))
        missing = (3 * np.tanh(pairwise / 2)) ** 22
        if missing < 1e-14:
            bound = sum(error for _, error in found.values()) + 100 * missing
            yield Comparison(f"Onsager, J {pairwise}", bulk, want, bound, 1 + want)
    yield Table("log Z a pixel: 10 lines without their edges, and Onsager's infinite lattice; critical at J = 0.88",
                ("J", "10 x 11 without edges", "Onsager", "difference"), rows, Picture("J", ("difference",)))


def onsager(pairwise: float) -> float:
    """log(2 cosh 2K) + 1/pi int_0^{pi/2} log[(1 + sqrt(1 - kappa^2 sin^2))/2], K = J/2, and J for two bonds of e^{J/2} a pixel."""
    k = pairwise / 2
    kappa = 2 * np.sinh(2 * k) / np.cosh(2 * k) ** 2
    angle, weights = gauss_legendre(0.0, np.pi / 2, 10)
    integral = weights @ np.log((1 + np.sqrt(np.maximum(1 - (kappa * np.sin(angle)) ** 2, 0))) / 2)
    return float(pairwise + np.log(2 * np.cosh(2 * k)) + integral / np.pi)
