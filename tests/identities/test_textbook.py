"""The second road of densities is right: the textbook formulas against 50 digits."""

import mpmath as mp
import numpy as np

from refscore.identities import _textbook
from refscore.identities._targets import mixture


def test_the_textbook_is_right():
    """The second road against 50 digits, on the targets that the identities use."""
    for d in (1, 2, 3):
        density = mixture(d)
        x = density.mean + np.array([[0.5] * d, [-2.0] * d, [1.5] + [-1.0] * (d - 1)])
        covs = _textbook.matrices(density)
        log_p, s = _textbook.log_density(density, x), _textbook.score(density, x)
        gradient = _textbook.gradient(lambda z, p=density: _textbook.log_density(p, z), x)
        bound = _textbook.rounding(density, x)
        with mp.workdps(50):
            for i, row in enumerate(x):
                terms, scores = [], []
                for w, m, c in zip(density.weights, density.means, covs, strict=True):
                    precision = mp.matrix(c.tolist()) ** -1
                    u = mp.matrix([mp.mpf(a) - mp.mpf(b) for a, b in zip(row, m, strict=True)])
                    volume = mp.sqrt(mp.det(2 * mp.pi * mp.matrix(c.tolist())))
                    terms.append(mp.mpf(w) * mp.exp(-(u.T * precision * u)[0] / 2) / volume)
                    scores.append(-(precision * u))
                want = mp.log(sum(terms))
                assert abs(want - log_p[i]) <= bound[i, 0] * (1 + abs(want))
                total = sum((t * v for t, v in zip(terms, scores, strict=True)), mp.zeros(d, 1)) / sum(terms)
                for j in range(d):
                    assert abs(total[j] - s[i, j]) <= bound[i, 0] * (1 + abs(total[j]))
                    assert abs(total[j] - gradient[i, j]) <= bound[i, 0] * (1 + abs(total[j])) * 4
