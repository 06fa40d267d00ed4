"""Two laws that split in the same axes, coordinate by coordinate: there distances of the whole follow from those of the factors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from refscore.densities import GaussianMixture, Product


def paired_factors(p: Any, q: Any) -> Counter | None:
    """How often each pair of factors occurs, or None.

    One of the laws must be a `Product`; the other a product in the same axes, or a mixture that is one (`Product.of`).
    """
    products = [law for law in (p, q) if isinstance(law, Product)]
    if not products or p.dim != q.dim:
        return None
    axes, sides = products[0].axes, []
    for law in (p, q):
        if isinstance(law, GaussianMixture):
            try:
                law = Product.of(law, axes)
            except ValueError:
                return None
        if not isinstance(law, Product) or not _same(law.axes, axes, p.dim):
            return None
        sides.append(law.factors)
    return Counter(zip(*sides, strict=True))


def _same(a, b, dim: int) -> bool:
    return a is b or np.array_equal(np.eye(dim) if a is None else a, np.eye(dim) if b is None else b)
