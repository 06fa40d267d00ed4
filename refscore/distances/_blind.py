"""Where lattices are blind: a component much narrower than one whose nodes pass over it.

`GaussianMixture.expectation` lays a lattice of some tenths of a standard deviation over every component of p. The log-density and
the score of p or q turn within the width of their narrowest component; where that is a hundredth of the spacing, no lattice that is
paid for sees it, all agree, and their agreement says nothing.
"""

from __future__ import annotations

import warnings

import numpy as np

from refscore.densities import GaussianMixture

_RATIO = 100.0  # twelve lattices down from the first the spacing is 1/80; at 125 values were still right, at 167 they were wrong
_REACH = 9.0


def warn_of_narrow_components(p, *laws) -> None:
    """RuntimeWarning where a component of p or of another law lies within one of p that is a hundred times as wide."""
    if not isinstance(p, GaussianMixture):
        return
    wide = np.sqrt(p.spectrum.max(axis=1))
    for law in (p, *laws):
        if not isinstance(law, GaussianMixture):
            continue
        for mean, narrow in zip(law.means, np.sqrt(law.spectrum.min(axis=1)), strict=True):
            within = np.linalg.norm(p.means - mean, axis=1) < _REACH * wide
            if (within & (wide > _RATIO * narrow)).any():
                warnings.warn(f"a component of standard deviation {narrow:.3g} lies within one of {wide[within].max():.3g}: "
                              "quadrature may pass over it, and the error says nothing of that; average over p.sample(n, rng) as a "
                              "check", RuntimeWarning, stacklevel=4)
                return
