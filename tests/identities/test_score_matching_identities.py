"""The identities of sections A and B hold for several seeds, and see every mistake that they name, by numbers."""

import mpmath as mp
import numpy as np
import pytest

from refscore import identities, mistakes
from refscore.identities import _textbook
from refscore.identities._targets import mixture

OWN = ("densities", "score_matching", "denoising", "tweedie")
IDENTITIES = [i for i in identities.catalogue().values() if i.run.__module__.rsplit(".", 1)[-1] in OWN]
PAIRS = [(i, name) for i in IDENTITIES for name in i.catches]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda i: i.id)
def test_holds_whatever_the_seed(identity, seed):
    outcome = identities.evaluate(identity, seed=seed)
    assert outcome.outcome == "pass", outcome.message


@pytest.mark.parametrize(("identity", "name"), PAIRS, ids=lambda v: v if isinstance(v, str) else v.id)
def test_every_named_mistake_is_caught_by_numbers(identity, name):
    """By a comparison that fails by far (1e-6 of the scale), not by an exception on the way."""
    outcome = identities.evaluate(identity, mistakes.CATALOGUE[name].operations(), fail_fast=True)
    assert outcome.outcome == "fail" and outcome.error is not None, outcome.message
    assert not outcome.error <= 1e-6, outcome.message


def test_every_mistake_is_named_and_every_name_is_a_mistake():
    named = {name for identity in identities.catalogue().values() for name in identity.catches}
    assert named == set(mistakes.CATALOGUE), named ^ set(mistakes.CATALOGUE)
    assert all(m.wrong and m.right and m.seen for m in mistakes.CATALOGUE.values())


def test_every_identity_is_complete():
    for identity in identities.catalogue().values():
        assert identity.statement and identity.source and identity.method and identity.catches, identity.id


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
