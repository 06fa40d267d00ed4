r"""Sweeps over an image's pixels against the exact answer: Gibbs sampling, ICM, mean field; a strip of real digits (G5).

A sweep of Gibbs sampling from uniforms is piecewise constant in them, with steps at the conditional probabilities, of which a pixel
has a few: one uniform between any two of them, weighted with their distance, gives the transition matrix K exactly, and p K = p is
checked to rounding. What renews all pixels at once, or half of them, has another K.

Of all images, or all estimates, z of y the marginals' roundings [p(y_i = 1 | x) > 1/2] have the least expected number of wrong
pixels, sum_i min(p_i, 1 - p_i), and the best image the least probability of any wrong pixel [Besag 1986; Marroquin et al. 1987].
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from refscore.energy import DenoisingMRF, binary_digits
from refscore.identities._calculus import EPS
from refscore.identities._inequalities import holds
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.mrf import number, size, small_fields, table

FLIPPED = 0.1
"""Share of pixels that are flipped in the strip of digits."""


@identity(
    id="G5.sweeps",
    systems=("G5",),
    title="Gibbs sampling leaves the posterior alone, ICM ends where no pixel improves, mean field's bound is log Z - KL",
    statement=r"\sum_y p(y) K(y, z) = p(z); \quad q_i = \sigma\Big(u_i (2 x_i - 1) + J \sum_{j \sim i} (2 q_j - 1)\Big), \quad "
    r"E_q[\log w] + H(q) = \log Z - KL(q \,\|\, p)",
    source="[e, image denoising]; Geman & Geman 1984; Besag 1986; Saul, Jaakkola & Jordan 1996",
    method="steps from all uniforms that matter vs the list of all images; steps, modes and fixed points vs loops over pixels",
    catches=(
        "gibbs_all_at_once", "gibbs_black_only", "gibbs_bonds_twice", "gibbs_periodic", "gibbs_uniform_above",
        "gibbs_neighbour_left_out", "gibbs_unary_sign", "gibbs_one_sweep_short", "icm_all_at_once",
        "icm_one_sweep", "icm_from_nothing", "icm_without_data", "icm_periodic", "mean_field_bonds_twice", "mean_field_spins_half",
        "mean_field_one_sweep", "mean_field_modes", "bound_without_entropy", "bound_entropy_sign", "bound_of_ones",
        "bound_bonds_twice", "bound_unary_of_ones",
    ),
)
def sweeps(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 8))
    for shape, unary, pairwise in (((2, 2), 0.7, 0.9), ((1, 4), -0.5, -1.2), ((2, 3), 1.1, 0.6)):
        mrf = DenoisingMRF(rng.integers(0, 2, shape), unary, pairwise)
        for order in ("checkerboard", "sequential"):
            images, _, _, p, slack = table(ops, mrf)
            case = f"{shape[0]} x {shape[1]}, {order}"
            yield Comparison(f"p K = p, {case}", p @ _transitions(ops.mrf_gibbs(mrf, 1, order), images), p, 20 * mrf.x.size * slack)
    larger: tuple = ((5, 6), 0.8, 0.55), ((4, 7), None, 0.9), ((6, 3), None, -0.7)
    for shape, unary, pairwise in larger:
        field = 0.2 + rng.standard_normal(shape) if unary is None else unary
        mrf = DenoisingMRF(rng.integers(0, 2, shape), field, pairwise)
        yield from _by_loops(ops, mrf, f"{shape[0]} x {shape[1]}, J {pairwise}", rng)
    for case, mrf in small_fields(seed):
        yield from _against_the_list(ops, mrf, case, rng)


def _transitions(chain, images: np.ndarray) -> np.ndarray:
    """K (2^N, 2^N) of one sweep, from uniforms between any two steps of its conditional probabilities."""
    mrf, shape = chain.mrf, images.shape[1:]
    cells = []
    for i in range(images[0].size):
        logits = [_logit(mrf, y, *divmod(i, shape[1])) for y in images]
        edges = np.concatenate([[0.0], np.unique(np.round(1 / (1 + np.exp(-np.array(logits))), 13)), [1.0]])
        cells.append([((a + b) / 2, b - a) for a, b in zip(edges[:-1], edges[1:], strict=True)])
    chosen = np.array(list(product(*cells)))  # (cells, N, 2)
    uniforms, weights = chosen[..., 0].reshape(-1, *shape), chosen[..., 1].prod(axis=1)
    matrix = np.zeros((len(images), len(images)))
    for row, y in zip(matrix, images, strict=True):
        np.add.at(row, number(chain.step(0, np.broadcast_to(y, uniforms.shape), uniforms)), weights)
    return matrix


def _logit(mrf: DenoisingMRF, y: np.ndarray, r: int, c: int) -> float:
    """Of one pixel given its neighbours, as one writes it with loops."""
    total = mrf.unary[r, c] * (2.0 * mrf.x[r, c] - 1)
    for i, j in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
        if 0 <= i < y.shape[0] and 0 <= j < y.shape[1]:
            total += mrf.pairwise * (2.0 * y[i, j] - 1)
    return float(total)


def _swept(mrf: DenoisingMRF, y: np.ndarray, choose, order: str = "checkerboard") -> np.ndarray:
    """y_i <- choose(logit, pixel, y_i), black pixels before white ones, or row by row."""
    y = np.array(y, dtype=np.float64)
    pixels = list(np.ndindex(y.shape))
    if order == "checkerboard":
        pixels.sort(key=lambda pixel: sum(pixel) % 2)
    for pixel in pixels:
        y[pixel] = choose(_logit(mrf, y, *pixel), pixel, y[pixel])
    return y


def _by_loops(ops, mrf, case, rng):
    start = rng.integers(0, 2, mrf.shape)
    for order in ("checkerboard", "sequential"):
        chain, uniforms = ops.mrf_gibbs(mrf, 3, order), rng.random((3, *mrf.shape))
        got, want = start[None], start
        for k in range(len(chain)):
            got = chain.step(k, got, uniforms[k][None])
        for uniform in uniforms:
            want = _swept(mrf, want, lambda logit, pixel, _, uniform=uniform: uniform[pixel] < 1 / (1 + np.exp(-logit)), order)
        yield Comparison(f"three sweeps, {case}, {order}", got[0], want, 0.0)
        want, moved = mrf.x, True
        while moved:
            before = want
            want = _swept(mrf, want, lambda logit, _, old: old if abs(logit) < 1e-13 else logit > 0, order)
            moved = not np.array_equal(want, before)
        yield Comparison(f"ICM, {case}, {order}", ops.icm(mrf, None, order), want, 0.0)
    q = ops.mean_field(mrf)
    again = [[1 / (1 + np.exp(-_logit(mrf, q, r, c))) for c in range(mrf.shape[1])] for r in range(mrf.shape[0])]
    yield Comparison(f"mean field, {case}", q, again, 1e-12)


def _against_the_list(ops, mrf, case, rng):
    images, log_weights, log_z, _, slack = table(ops, mrf)
    found = ops.icm(mrf)
    nearby = number(found) ^ (1 << np.arange(mrf.x.size))
    at = log_weights[number(found)]
    yield Comparison(f"ICM, no pixel improves, {case}", max(0.0, float(log_weights[nearby].max() - at)), 0.0, slack, 1 + size(mrf))
    laws = {"mean field": ops.mean_field(mrf), "any q": rng.random(mrf.shape), "an image": rng.integers(0, 2, mrf.shape)}
    for name, q in laws.items():
        law = np.where(images == 1, q, 1 - q).prod(axis=(1, 2))
        kl = float((law[law > 0] * (np.log(law[law > 0]) - (log_weights - log_z)[law > 0])).sum())
        bound = ops.mean_field_bound(mrf, q)
        yield Comparison(f"bound, {name}, {case}", bound, log_z - kl, 4 * slack, 1 + size(mrf))
        yield holds(f"bound, {name}, {case}", bound, log_z, 4 * slack, 1 + size(mrf))


@identity(
    id="G5.denoising",
    systems=("G5",),
    title="The marginals' image has the fewest wrong pixels, the best image is right most often; digits by every method",
    statement=r"\min_z E\big[\#\{i: z_i \ne y_i\} \mid x\big] = \sum_i \min(p_i, 1 - p_i) \text{ at } z_i = [p_i > \tfrac12]; "
    r"\quad \min_z P(z \ne y \mid x) \text{ at } z = \arg\max p(y \mid x)",
    source="[e, image denoising]; Besag 1986; Marroquin, Mitter & Poggio 1987",
    method="marginals and best image vs the best of all estimates, for every x; inequalities on handwritten digits, 12 x 48",
    catches=("mrf_marginals_of_zero", "mrf_marginals_filtered", "mrf_map_by_marginals", "mrf_map_worst", "mrf_map_of_spins",
             "mrf_map_by_modes", "mrf_marginals_of_maxima", "mrf_evidence_without_prior", "mrf_evidence_without_noise"),
)
def denoising(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for shape, unary, pairwise in (((2, 2), 0.8, 1.1), ((2, 3), 0.5, -0.6)):
        yield from _every_x(ops, shape, unary, pairwise)
    yield from _digits(ops, seed)


def _every_x(ops, shape, unary, pairwise):
    """Of all estimates the best, for every x, by the losses of all of them; averaged over x by its evidence."""
    everything = ops.all_images(DenoisingMRF(np.zeros(shape), unary, pairwise)).images
    wrong = (everything[:, None] != everything[None]).sum(axis=(2, 3)).astype(float)  # estimate, truth
    pixels, anywhere, evidence, least_pixels, least_anywhere, rounding = [], [], [], [], [], 0.0
    for x in everything:
        mrf = DenoisingMRF(x, unary, pairwise)
        _, _, _, p, slack = table(ops, mrf)
        best, marginals = ops.mrf_map(mrf), ops.mrf_marginals(mrf)
        pixels.append((wrong @ p)[number(marginals > 0.5)])
        anywhere.append(1 - p[number(best)])
        least_pixels.append((wrong @ p).min())
        least_anywhere.append(1 - p.max())
        value, error = ops.mrf_log_evidence(mrf)
        evidence.append(np.exp(value))
        rounding = max(rounding, error, slack)
    case, bound = f"{shape[0]} x {shape[1]}, J {pairwise}", 30 * mrf.x.size * rounding
    yield Comparison(f"wrong pixels, {case}", pixels, least_pixels, bound)
    yield Comparison(f"wrong images, {case}", anywhere, least_anywhere, bound)
    yield Comparison(f"sum of the evidence, {case}", np.sum(evidence), 1.0, bound)


def strip(seed: int, digits: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """So many handwritten digits side by side, enlarged by 3/2 to (12, 12 digits), and the same with flipped pixels.

    As they are, strokes are one pixel wide, and a field that likes neighbours to agree knows little about them.
    """
    rng = np.random.default_rng((seed, 9))
    images, _ = binary_digits()
    chosen = images[rng.choice(len(images), digits, replace=False)].reshape(-1, 8, 8)
    nearest = np.arange(12) * 2 // 3
    truth = np.concatenate(list(chosen[:, nearest][:, :, nearest]), axis=1).astype(np.uint8)
    return truth, truth ^ (rng.random(truth.shape) < FLIPPED)


def _digits(ops, seed):
    """The coupling is the one of greatest evidence, which needs no true image."""
    truth, seen = strip(seed)
    unary = float(np.log((1 - FLIPPED) / FLIPPED))
    fields = [DenoisingMRF(seen, unary, coupling) for coupling in (0.4, 0.6, 0.8, 1.0, 1.2)]
    mrf = fields[np.argmax([ops.mrf_log_evidence(field)[0] for field in fields])]
    p, best = ops.mrf_marginals(mrf), ops.mrf_map(mrf)
    chain = ops.mrf_gibbs(mrf, 100).simulate(np.broadcast_to(seen, (50, *seen.shape)), seed)
    q = ops.mean_field(mrf)
    found = {
        "as seen": seen, "best image": best, "marginals > 1/2": p > 0.5, "ICM from what is seen": ops.icm(mrf),
        "Gibbs, 50 chains of 100 sweeps, mean > 1/2": chain.mean(axis=0) > 0.5, "mean field > 1/2": q > 0.5,
    }
    least, most = float(np.minimum(p, 1 - p).sum()), float(ops.mrf_log_weight(mrf, best))
    log_z, error = ops.mrf_log_partition(mrf)
    rows = []
    for name, y in found.items():
        expected, weight = float(np.where(y, 1 - p, p).sum()), float(ops.mrf_log_weight(mrf, y))
        yield holds(f"wrong pixels, {name}", least, expected, 1e-10, truth.size)
        yield holds(f"weight, {name}", weight, most, 100 * truth.size * EPS * size(mrf), size(mrf))
        rows.append((name, float((truth != y).mean()), expected / truth.size, most - weight))
    bound = ops.mean_field_bound(mrf, q)
    yield holds("mean field", bound, log_z, error, size(mrf))
    yield Table(f"Digits, 12 x 48, {FLIPPED:.0%} of the pixels flipped, J = {mrf.pairwise:.1f} by the evidence",
                ("estimate", "share wrong", "expected share wrong", "log-weight below the best"), rows)
    gibbs = float(np.sqrt(np.mean((chain.mean(axis=0) - p) ** 2)))
    yield Table("Marginals against the exact ones, root mean square; mean field's bound on log Z",
                ("Gibbs", "mean field", "log Z", "bound"), [(gibbs, float(np.sqrt(np.mean((q - p) ** 2))), log_z, bound)])
