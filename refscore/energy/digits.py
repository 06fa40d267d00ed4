"""Binary images of handwritten digits, for models of binary units.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). These are its 1797 test
images as scikit-learn distributes them, 8 x 8 counts of 0 to 16 dark points of a 4 x 4 field, written by 13 people. Changed here: a
pixel is 1 where the count is at least 8, else 0.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

SIDE = 8


def binary_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 64) of 0.0 and 1.0, row after row of 8 x 8 pixels, and the digits that they show (1797,), int64.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998 (test images),
    CC BY 4.0, https://doi.org/10.24432/C50P49; 1 where the original, of 0 to 16, is at least 8.
    """
    with (resources.files("refscore.energy") / "binary_digits.npy").open("rb") as file:
        packed = np.load(file)  # a row: 64 bits, and a byte that is the digit
    return np.unpackbits(packed[:, :SIDE], axis=1).astype(np.float64), packed[:, SIDE].astype(np.int64)
