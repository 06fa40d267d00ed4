"""The whole catalogue: every identity holds for several seeds, and sees every mistake that it names, by numbers.

A new identity or mistake is tested here without another line.
"""

import pytest

from refscore import identities, mistakes

IDENTITIES = list(identities.catalogue().values())
HEAVY = set(
    "A9 B9 B11.variance C4 E5 E6 F2.mala F2.sgld F5 F6 F6.networks G1.partition G3 G5.sweeps H5 H5.flow H6 H6.dimension H6.flow "
    "H7 X7 X11 X13".split()
)
"""Identities whose mistakes take two seconds or more together. By default the first is caught, with --slow each."""
PAIRS = [pytest.param(i, name, marks=pytest.mark.slow if i.id in HEAVY and name != i.catches[0] else ())
         for i in IDENTITIES for name in i.catches]


LONG = set(
    "A6.quadrature A9 B1.fisher B2 B2.energy B7 B8.variance B9 B11 B11.variance B12 B12.error C3 C4 D3.gradient D4 D4.energy "
    "D5.loop D5.minibatch E3.path E6 F1 F2.mala F2.sgld F3 F4.ddim F4.ddpm F4.pc F5 F5.steps F6 F6.networks F7 G1.partition "
    "G2.contrastive G2.gradient G3 G5.denoising H1 H1.kl H2 H5 H5.flow H6 H6.dimension H6.flow H7 X3 X4 X7 X11 X13".split()
)
"""Those that take about half a second or more: with --slow alone."""
SEEDS = [pytest.param(i, seed, marks=pytest.mark.slow if seed or i.id in LONG else (), id=f"{i.id}-{seed}")
         for i in IDENTITIES for seed in (0, 3)]


@pytest.mark.parametrize(("identity", "seed"), SEEDS)
def test_holds_whatever_the_seed(identity, seed):
    outcome = identities.evaluate(identity, seed=seed)
    assert outcome.outcome == "pass", outcome.message


@pytest.mark.parametrize(("identity", "name"), PAIRS, ids=lambda v: v if isinstance(v, str) else v.id)
def test_every_named_mistake_is_caught_by_numbers(identity, name):
    """By a comparison that fails by far (ten times its bound), not by an exception nor by a bound that is too tight."""
    outcome = identities.evaluate(identity, mistakes.CATALOGUE[name].operations(), fail_fast=True)
    assert outcome.outcome == "fail" and "raised" not in outcome.message, outcome.message
    assert outcome.error is not None and not outcome.error <= 10 * outcome.bound, outcome.message  # NaN: a shape that does not fit


def test_every_mistake_is_named_and_every_name_is_a_mistake():
    named = {name for identity in IDENTITIES for name in identity.catches}
    assert named == set(mistakes.CATALOGUE), named ^ set(mistakes.CATALOGUE)
    assert HEAVY | LONG <= {identity.id for identity in IDENTITIES}
    assert all(m.wrong and m.right and m.seen for m in mistakes.CATALOGUE.values())


def test_every_identity_is_complete():
    for identity in IDENTITIES:
        assert identity.statement and identity.source and identity.method and identity.catches, identity.id
