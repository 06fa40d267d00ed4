r"""Image denoising with a Markov random field: a grid of binary pixels, each seen with noise, neighbours inclined to agree.

    p(y, x) proportional to exp( sum_i psi_i(x_i, y_i) + sum_{(i,j) in E} psi_ij(y_i, y_j) )        x, y in {0,1}^(H x W)

[e, "image denoising"] with psi_i = unary [x_i = y_i] and psi_ij = pairwise [y_i = y_j]; E holds each pair of pixels side by side
or one above the other once, H (W - 1) + (H - 1) W bonds, and nothing beyond the image's edges. x is seen, y is sought.

**What is normalised.** The posterior p(y | x) = exp(.)/Z(x) by Z(x) = sum_y exp(.); `log_partition` is log Z(x). The joint sums
over x too, which factorises, sum_x exp(sum_i unary_i [x_i = y_i]) = prod_i (1 + e^unary_i) whatever y. So y is an Ising model
a priori, a pixel is flipped with probability 1/(1 + e^unary_i), and the evidence of what is seen is

    log p(x) = log Z(x) - log Z_0 - sum_i log(1 + e^unary_i),       Z_0 = Z(x) without unary terms.

In spins s = 2y - 1 = +-1, [y_i = y_j] = (1 + s_i s_j)/2: the coupling of the Ising model is pairwise/2, not pairwise.

**One pixel given the others** depends on its own x_i and on how many more neighbours are 1 than 0,

    logit p(y_i = 1 | rest) = unary_i (2 x_i - 1) + pairwise sum_{j ~ i} (2 y_j - 1).

**Everything else** (Z, marginals, the maximum, exact draws) is a sum or a maximum over all 2^(HW) images and is reached column by
column, see `refscore.energy._transfer`: in 2^H states: at once for H = 12, up to half a minute for 20 x 20,
which is about the limit. Images higher than wide are transposed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refscore import _validate
from refscore.energy import _transfer
from refscore.networks.activations import activation

MOST_SECONDS, MOST_BYTES = 120.0, 4e9
"""What a sum over all images may take, at most."""

_SHIFTS = ((0, 1), (2, 1), (1, 0), (1, 2))  # of the four neighbours in an image with a border; (1, 1) is the pixel itself
_softplus = activation("softplus")


@dataclass(frozen=True, eq=False)
class DenoisingMRF:
    """p(y | x), a posterior over binary images.

    Parameters
    ----------
    x : (H, W) of 0 and 1
        The image that is seen.
    unary : float, or (H, W)
        How much more a pixel weighs, in log, where y_i = x_i: log((1 - f)/f) for pixels flipped with probability f. 0 where
        nothing is seen; negative where more pixels are flipped than not.
    pairwise : float
        How much more a bond weighs where its two pixels agree. Negative: neighbours tend to differ.

    Raises
    ------
    ValueError
        Entries other than 0 and 1, shapes that do not fit, numbers that are not finite or so large that weights overflow.

    Source: [e, "image denoising"]; Geman & Geman 1984; Besag 1986; systems G5.
    """

    x: Any
    unary: Any
    pairwise: float

    def __post_init__(self):
        if np.ndim(self.x) != 2:
            hint = "; of colours pass one, or a threshold of their mean" if np.shape(self.x)[2:] in ((3,), (4,)) else ""
            raise ValueError(f"x has shape {np.shape(self.x)}: pass one image, shape (H, W){hint}")
        x = _image(self.x, "x")
        unary = _validate.finite(np.atleast_1d(_validate.reals(self.unary, "unary")), "unary")
        if unary.shape not in ((1,), x.shape):
            raise ValueError(f"unary has shape {unary.shape}: pass one number, or one a pixel, shape {x.shape}")
        pairwise = _validate.finite(np.atleast_1d(_validate.reals(self.pairwise, "pairwise")), "pairwise")
        if pairwise.size != 1:
            raise ValueError(f"pairwise has shape {pairwise.shape}: pass one number, the same for all bonds")
        unary = np.broadcast_to(unary, x.shape)
        with np.errstate(over="ignore"):
            largest = np.abs(unary).sum() + 2 * x.size * np.abs(pairwise).item()
        if not largest < 1e300:
            raise ValueError(f"the image weighs up to exp({largest:.3g}): scale unary and pairwise down, below 1e300 altogether")
        for name, value in (("x", x), ("unary", unary), ("pairwise", float(pairwise.item()))):
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.x.shape

    def log_weight(self, y) -> np.ndarray:
        """sum_i psi_i + sum_E psi_ij, what the lecture calls the energy: (H, W) -> (), (n, H, W) -> (n,)."""
        y = self.images(y)
        agreeing = (y[..., 1:, :] == y[..., :-1, :]).sum((-2, -1)) + (y[..., 1:] == y[..., :-1]).sum((-2, -1))
        return (self.unary * (y == self.x)).sum((-2, -1)) + self.pairwise * agreeing

    def logpdf(self, y) -> np.ndarray:
        """log p(y | x), normalised over y: (H, W) -> (), (n, H, W) -> (n,)."""
        return self.log_weight(y) - self.log_partition()[0]

    def conditional(self, y) -> np.ndarray:
        """p(y_i = 1 | all other pixels, x) for every pixel i of y (..., H, W)."""
        y = self.images(y)
        spins = np.zeros((*y.shape[:-2], self.shape[0] + 2, self.shape[1] + 2))
        spins[..., 1:-1, 1:-1] = 2.0 * y - 1
        return _softplus.slope(self.logit(spins, (slice(0, self.shape[0], 1), slice(0, self.shape[1], 1))))

    def log_partition(self) -> tuple[float, float]:
        """log Z(x) = log sum_y exp(...), and a bound of its rounding error."""
        return _transfer.total(self._columns(), self.pairwise)

    def log_evidence(self) -> tuple[float, float]:
        """log p(x) under the joint law of images and what is seen of them, and a bound of its rounding error."""
        value, error = self.log_partition()
        prior, prior_error = replace(self, unary=0.0).log_partition()
        noise = math.fsum(_softplus(self.unary).ravel())
        size = abs(value) + abs(prior) + 8 * noise
        return value - prior - noise, error + prior_error + float(np.finfo(float).eps) * size

    def marginals(self) -> np.ndarray:
        """p(y_i = 1 | x), (H, W)."""
        return self._upright(_transfer.marginals(self._columns(), self.pairwise)[0])

    def agreements(self) -> tuple[np.ndarray, np.ndarray]:
        """p(y_i = y_j | x) of bonds down, (H - 1, W), and across, (H, W - 1)."""
        _, down, across = _transfer.marginals(self._columns(), self.pairwise)
        return (down, across) if self._lies else (across.T, down.T)

    def map(self) -> np.ndarray:
        """An image (H, W) of the greatest p(y | x).

        Of several, the one that is 0 at the first pixel in which they differ, counted from the end of the longer side (and, in a
        line across, from its end); which images tie is decided up to rounding.
        """
        return self._upright(_transfer.draw(self._columns(), self.pairwise, None)[0])

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent exact draws from p(y | x), (n, H, W). ``rng``: int seed or numpy Generator."""
        return self.transform(_validate.generator(rng).random((_validate.count(n, "n"), *self.shape)))

    def transform(self, uniforms) -> np.ndarray:
        """Exact draws from uniforms (n, H, W) in [0, 1): y_i = [uniform_i < p(y_i = 1 | the pixels set before)], (n, H, W).

        Pixels are set from the end of the longer side backwards, and within a line across from its end.
        """
        uniforms = unit_interval(uniforms, self.shape)
        lying = uniforms if self._lies else uniforms.swapaxes(-1, -2)
        return self._upright(_transfer.draw(self._columns(), self.pairwise, lying))

    def gibbs(self, n_sweeps: int, order: str = "checkerboard"):
        """A chain of sweeps of Gibbs sampling, see `refscore.energy.PixelGibbs`: ``.simulate(y0, rng)`` runs it."""
        from refscore.energy.sweeps import PixelGibbs

        return PixelGibbs(self, n_sweeps, order)

    def logit(self, spins: np.ndarray, pixels: tuple[slice, slice]) -> np.ndarray:
        """unary (2x - 1) + pairwise sum_{j ~ i} s_j of some pixels, rows and columns, for spins with a border of zeros.

        spins (..., H + 2, W + 2) are 2y - 1, or their means, which lie between -1 and 1: the logit is linear in them.
        """
        return self.unary[pixels] * (2.0 * self.x[pixels] - 1) + self.pairwise * around(spins, pixels)

    def images(self, y, name: str = "y") -> np.ndarray:
        """``y`` as images (..., H, W) of uint8, refused where it is none."""
        if np.shape(y)[-2:] != self.shape:
            raise ValueError(f"{name} has shape {np.shape(y)}, x has shape {self.shape}: pass images of that size, (H, W) or "
                             "(n, H, W)")
        return _image(y, name)

    @property
    def _lies(self) -> bool:
        return self.shape[0] <= self.shape[1]

    def _upright(self, lying: np.ndarray) -> np.ndarray:
        return lying if self._lies else lying.swapaxes(-1, -2)

    def _columns(self) -> np.ndarray:
        """psi_i(x_i, 0) and psi_i(x_i, 1), (W, H, 2), of the image or its transpose, H <= W."""
        height, width = sorted(self.shape)
        seconds, held = _transfer.seconds(height, width), _transfer.held(height, width)
        if seconds > MOST_SECONDS or held > MOST_BYTES:
            raise ValueError(
                f"x is {self.shape[0]} x {self.shape[1]}: the exact sum keeps 2^{height} = {2.0**height:.2g} states a line, about "
                f"{seconds:.2g} s and {held / 1e9:.2g} GB; at most {MOST_SECONDS:g} s and {MOST_BYTES / 1e9:g} GB are taken. "
                "Cut the image into strips of less than 20 pixels, or use gibbs(n_sweeps), icm or mean_field"
            )
        psi = self.unary[..., None] * (self.x[..., None] == np.arange(2))
        return psi.swapaxes(0, 1) if self._lies else psi


def around(spins: np.ndarray, pixels: tuple[slice, slice]) -> np.ndarray:
    """The sum of the four neighbours of some pixels, rows and columns, in images (..., H + 2, W + 2) with a border."""
    rows, columns = pixels
    up, down, left, right = (
        spins[..., slice(rows.start + i, rows.stop + i, rows.step), slice(columns.start + j, columns.stop + j, columns.step)]
        for i, j in _SHIFTS
    )
    total = up + down
    total += left
    total += right
    return total


def unit_interval(uniforms, shape: tuple[int, int]) -> np.ndarray:
    """Uniforms (n, H, W) in [0, 1), float32 or float64."""
    uniforms = np.asarray(uniforms)
    if uniforms.dtype.kind != "f" or uniforms.ndim != 3 or uniforms.shape[1:] != shape:
        raise ValueError(f"uniforms has shape {uniforms.shape}, dtype {uniforms.dtype}: pass one number in [0, 1) a pixel, "
                         f"shape (n, {shape[0]}, {shape[1]}), such as rng.random((n, {shape[0]}, {shape[1]}))")
    if not ((uniforms >= 0) & (uniforms < 1)).all():
        raise ValueError("uniforms must lie in [0, 1), such as rng.random gives them")
    return uniforms


def _image(y, name: str) -> np.ndarray:
    array = np.asarray(y)
    if array.dtype.kind not in "fiub" or not array.size:
        raise ValueError(f"{name} has shape {array.shape}, dtype {array.dtype}: pass an image of 0 and 1, at least one pixel")
    bad = (array != 0) & (array != 1)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}{list(at)} is {array[at]}: pixels are 0 or 1; pass (image > threshold), or (s + 1)/2 for spins s")
    return array.astype(np.uint8)
