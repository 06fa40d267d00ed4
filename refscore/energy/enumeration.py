"""All images of a small grid with their weights, term by term as the formula has them: the lecture's 3 x 3 and its like."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refscore.energy import _states
from refscore.energy.mrf import DenoisingMRF

MOST_PIXELS = 20


class Images(NamedTuple):
    """Every image (2^HW, H, W), in lexicographic order, and log of its weight, (2^HW,)."""

    images: np.ndarray
    log_weights: np.ndarray


def all_images(mrf: DenoisingMRF) -> Images:
    """All 2^(HW) images y and log exp(sum_i psi_i(x_i, y_i) + sum_E psi_ij(y_i, y_j)), of up to 20 pixels.

    With w = exp(log_weights - log_weights.max()), p(y | x) is w/w.sum(): whatever is asked of the posterior is a sum over it. It
    shares no code with the methods of `DenoisingMRF`.

    Raises
    ------
    ValueError
        More pixels: with the number of images, and what to use instead.

    Source: [e, "image denoising"]; systems G5.
    """
    height, width = mrf.shape
    pixels = height * width
    if pixels > MOST_PIXELS:
        raise ValueError(
            f"an image of {height} x {width} = {pixels} pixels is one of 2^{pixels} = {2.0**pixels:.2g}, which would fill "
            f"{2.0**pixels * pixels / 1e9:.2g} GB: at most {MOST_PIXELS} pixels; the methods of DenoisingMRF go further"
        )
    images = _states.rows(np.arange(2**pixels), pixels).astype(np.uint8)
    log_weights = np.zeros(2**pixels)
    for i in range(pixels):
        r, c = divmod(i, width)
        log_weights += np.where(images[:, i] == mrf.x[r, c], mrf.unary[r, c], 0.0)
        for j in [i + 1] * (c + 1 < width) + [i + width] * (r + 1 < height):
            log_weights += np.where(images[:, i] == images[:, j], mrf.pairwise, 0.0)
    return Images(images.reshape(-1, height, width), log_weights)
