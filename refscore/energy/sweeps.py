r"""Sweeps over the pixels of a Markov random field: Gibbs sampling, iterated conditional modes, mean field.

All three go through sets of pixels of which no two are neighbours, and renew a set at once from the rest of the image, by the
conditional probability c_i = sigma(logit_i(y)) of `refscore.energy.DenoisingMRF`:

    Gibbs        y_i <- [u_i < c_i(y)]         leaves p(y | x) alone              [Geman & Geman 1984]
    ICM          y_i <- [c_i(y) > 1/2]         p(y | x) never falls               [Besag 1986]
    mean field   q_i <- c_i(q)                 the bound below never falls        [Saul, Jaakkola & Jordan 1996]

The last one because logit_i is linear in each y_j, so that its mean under a product law q is logit_i(q). By Jensen's inequality

    log Z >= sum_i unary_i E[x_i = y_i] + pairwise sum_E (q_i q_j + (1 - q_i)(1 - q_j)) + sum_i entropy(q_i) = log Z - KL(q || p).

On a checkerboard there are two sets, black and white; one pixel after another (sequential) there are H W. To renew all pixels at
once would be wrong: neighbours are not independent given the rest, and what that chain leaves alone is another law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from refscore import _blocks, _validate
from refscore.energy.mrf import DenoisingMRF, around, unit_interval
from refscore.networks.activations import activation
from refscore.samplers.markov import MarkovChain, only_slices

_STREAM = 0x706978656C  # "pixel"
_softplus = activation("softplus")


@dataclass(frozen=True, eq=False)
class PixelGibbs(MarkovChain):
    """``n_sweeps`` sweeps of Gibbs sampling of a `DenoisingMRF`, in ``order`` 'checkerboard' or 'sequential' (row by row).

    States are images of 0 and 1 (uint8), whose law tends to p(y | x) and stays there. ``chain.step`` makes one sweep from chosen
    uniforms, ``chain.simulate`` makes them all.
    """

    mrf: DenoisingMRF
    n_sweeps: int
    order: str = "checkerboard"

    def __post_init__(self):
        _checked(self.mrf)
        _validate.count(self.n_sweeps, "n_sweeps", least=0)
        _validate.choice(self.order, "order", ("checkerboard", "sequential"))

    def __len__(self) -> int:
        return self.n_sweeps

    def __getitem__(self, steps: slice) -> PixelGibbs:
        """The chain of some of the sweeps: ``chain[:k]`` leads to the state before sweep k."""
        return replace(self, n_sweeps=len(range(self.n_sweeps)[only_slices(steps)]))

    def step(self, k: int, y, uniforms) -> np.ndarray:
        """Sweep k (all are alike) of images y (n, H, W) with chosen uniforms (n, H, W): y_i <- [uniform_i < c_i]."""
        y, uniforms = self.mrf.images(y), unit_interval(uniforms, self.mrf.shape)
        if y.shape != uniforms.shape:
            raise ValueError(f"y has shape {y.shape}, uniforms {uniforms.shape}: pass one uniform a pixel of every image")
        return self._swept(y, lambda pixels, shape: uniforms[(..., *pixels)])

    def simulate(self, x0, rng) -> np.ndarray:
        """All sweeps from images x0, (H, W) or (n, H, W), each image on its own; the last images, of the same shape.

        ``rng`` is a Generator or an int seed. The same bits for any number of threads; a progress bar appears after two seconds.
        """
        y = self.mrf.images(x0, "x0")
        if not isinstance(rng, np.random.Generator):
            _validate.generator(rng)
            rng = np.random.default_rng([_STREAM, int(rng)])
        label = f"{self.n_sweeps} sweeps of {self.mrf.shape[0]} x {self.mrf.shape[1]} pixels"
        rows = y.reshape(-1, *self.mrf.shape)
        return _blocks.map_rows(self._simulate_block, rows, row_bytes=16 * rows[0].size, rng=rng, label=label).reshape(y.shape)

    def _advance(self, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._swept(x, lambda pixels, shape: rng.random(shape))

    def _swept(self, y: np.ndarray, uniform: Callable) -> np.ndarray:
        """One sweep; ``uniform(pixels, shape)`` gives the uniforms of a set when its turn comes, while they fit in the cache."""
        spins = np.zeros((len(y), y.shape[1] + 2, y.shape[2] + 2), dtype=np.int8)  # beyond the edges 0, which no bond feels
        inside = spins[:, 1:-1, 1:-1]
        np.add(y, y, out=inside, casting="unsafe")
        inside -= 1
        row, table = self._table
        for pixels in self._sets:
            probability = table.take(row[pixels] + around(spins, pixels))
            one = (uniform(pixels, probability.shape) < probability).view(np.int8)
            one += one
            one -= 1
            inside[(..., *pixels)] = one
        return (inside > 0).view(np.uint8)

    @cached_property
    def _sets(self) -> list[tuple[slice, slice]]:
        return _sets(self.mrf.shape, self.order)

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """p(y_i = 1) for all sums -4..4 of the neighbours' spins, nine in a row, and where the row of each pixel has its middle."""
        kinds, row = np.unique(self.mrf.unary * (2.0 * self.mrf.x - 1), return_inverse=True)
        table = _softplus.slope(kinds[:, None] + self.mrf.pairwise * np.arange(-4.0, 5.0)).ravel()
        row = 9 * row.reshape(self.mrf.shape) + 4
        return row.astype(np.int16 if len(table) < 1 << 15 else np.intp), table


def icm(mrf: DenoisingMRF, start=None, order: str = "checkerboard") -> np.ndarray:
    """Iterated conditional modes: each pixel goes where it is likelier given the rest, until none moves; (H, W).

    A local maximum of p(y | x), which no change of one pixel improves. ``start``: image to begin with, default x. A pixel
    that is as likely one way as the other stays. Source: Besag 1986.
    """
    _checked(mrf)
    y = mrf.x if start is None else mrf.images(start, "start")
    if y.ndim != 2:
        raise ValueError(f"start has shape {y.shape}: pass one image, shape {mrf.shape}")
    tie = 8 * float(np.finfo(float).eps) * (np.abs(mrf.unary) + 4 * abs(mrf.pairwise))
    spins = np.pad(2.0 * y - 1, 1)
    sets = _sets(mrf.shape, _validate.choice(order, "order", ("checkerboard", "sequential")))
    while True:
        before = spins.copy()
        for pixels in sets:
            logit, inside = mrf.logit(spins, pixels), spins[1:-1, 1:-1]
            inside[pixels] = np.where(np.abs(logit) > tie[pixels], np.sign(logit), inside[pixels])
        if (before == spins).all():
            return (spins[1:-1, 1:-1] > 0).astype(np.uint8)


def mean_field(mrf: DenoisingMRF, start=None, n_sweeps: int = 1000) -> np.ndarray:
    """q (H, W), q_i = the probability that y_i = 1 in the product law to which coordinate ascent of the bound leads.

    ``start``: probabilities to begin with, default p(y_i = 1 | x_i) without neighbours. Ends when nothing moves by more than
    1e-15, or after ``n_sweeps``; with every sweep `mean_field_bound` grows, up to a local maximum.
    """
    _checked(mrf)
    n_sweeps = _validate.count(n_sweeps, "n_sweeps", least=0)
    q = _softplus.slope(mrf.unary * (2.0 * mrf.x - 1)) if start is None else _probabilities(mrf, start, "start")
    spins, sets = np.pad(2 * q - 1, 1), _sets(mrf.shape, "checkerboard")
    for _ in range(n_sweeps):
        before = spins.copy()
        for pixels in sets:
            spins[1:-1, 1:-1][pixels] = np.tanh(mrf.logit(spins, pixels) / 2)
        if np.abs(before - spins).max() <= 2e-15:
            break
    return (1 + spins[1:-1, 1:-1]) / 2


def mean_field_bound(mrf: DenoisingMRF, q) -> float:
    """log Z - KL(q || p(. | x)) <= log Z for pixels that are independent, 1 with probabilities q (H, W)."""
    _checked(mrf)
    q = _probabilities(mrf, q, "q")
    down, across = _agree(q[1:], q[:-1]), _agree(q[:, 1:], q[:, :-1])
    entropy = sum(float(-(p[p > 0] * np.log(p[p > 0])).sum()) for p in (q, 1 - q))
    return float((mrf.unary * _agree(q, mrf.x)).sum()) + mrf.pairwise * float(down.sum() + across.sum()) + entropy


def _agree(p, q):
    return p * q + (1 - p) * (1 - q)


def _sets(shape: tuple[int, int], order: str) -> list[tuple[slice, slice]]:
    """Pixels without neighbours among them, as rows and columns: black and white in two parts each, or one by one."""
    height, width = shape
    if order == "checkerboard":
        return [(slice(i, height, 2), slice(j, width, 2)) for i, j in ((0, 0), (1, 1), (0, 1), (1, 0))]
    return [(slice(i, i + 1, 1), slice(j, j + 1, 1)) for i in range(height) for j in range(width)]


def _checked(mrf) -> None:
    if not isinstance(mrf, DenoisingMRF):
        raise TypeError(f"mrf is of type {type(mrf).__name__}: pass DenoisingMRF(x, unary, pairwise)")


def _probabilities(mrf: DenoisingMRF, q, name: str) -> np.ndarray:
    q = _validate.reals(q, name)
    if q.shape != mrf.shape or not ((q >= 0) & (q <= 1)).all():
        raise ValueError(f"{name} has shape {q.shape}: pass a probability in [0, 1] a pixel, shape {mrf.shape}")
    return q
