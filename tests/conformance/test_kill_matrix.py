"""Every known mistake is caught, named, and told apart from every other (`refscore.conformance.kill_matrix`)."""

from collections import Counter

import pytest

from refscore.conformance import Reference, check
from refscore.conformance.kill_matrix import APART, EQUIVALENT, alike, exists, killed, kills, scenarios, scenarios_of, table
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import OPERATIONS

SCENARIOS = scenarios()
NAMED = tuple(sorted({m.operation for m in CATALOGUE.values()} - set(APART)))


def of(operation):
    return tuple(name for name, m in CATALOGUE.items() if m.operation == operation)


def assert_killed(cells):
    wrong = [c for c in cells if c.outcome not in ("fail", "error") or c.mistake not in c.named]
    assert not wrong, table(wrong)


def test_the_catalogue_is_large_and_says_where_each_was_seen():
    count = Counter(m.operation for m in CATALOGUE.values())
    computed = {name for name in OPERATIONS if hasattr(Reference, name)}
    assert len(CATALOGUE) >= 600 and {name: count[name] for name in computed if count[name] < 5} == {}
    assert all(m.wrong and m.right and m.seen for m in CATALOGUE.values())


@pytest.mark.parametrize("operation", [
    pytest.param(name, marks=pytest.mark.slow if name.endswith("_grad") and name != "ism_loss_grad" else ()) for name in NAMED])
def test_every_mistake_is_caught_and_named(operation):
    cells = list(kills(SCENARIOS, of(operation), first=True, ways=(True,)))
    assert {c.mistake for c in cells} == set(of(operation))  # each exists in one scenario at least
    assert_killed(cells)
    pairs = {(c.mistake, other) for c in cells for other in c.named if other != c.mistake}
    assert not {pair for pair in pairs - set(EQUIVALENT) if alike(*pair, SCENARIOS)}


@pytest.mark.slow
@pytest.mark.parametrize("pair", EQUIVALENT, ids=" and ".join)
def test_what_is_listed_as_equivalent_is(pair):
    assert alike(*pair, SCENARIOS)


@pytest.mark.slow
@pytest.mark.parametrize("operation", NAMED)
def test_every_mistake_is_caught_and_named_elsewhere(operation):
    """In the last of the scenarios where it exists, and with conventions left open."""
    assert_killed(list(kills(SCENARIOS[::-1], of(operation), first=True, ways=(False,))))


def test_the_reference_is_not_killed():
    right = Reference(SCENARIOS[0].process)
    assert check(right, only=("sigma", "dsm_loss", "reverse_step")).counts["pass"] == 3


def test_the_table_names_mistake_scenario_outcome_and_rung():
    (cell,) = kills(SCENARIOS[:1], ("sigma_is_variance",), ways=(True,))
    line = table([cell]).splitlines()[1].split()
    assert line[0] == "sigma_is_variance" and "fail" in line and "sigma_is_square" in line


def test_a_mistake_does_not_exist_where_it_is_right():
    m, chain = CATALOGUE["corrupt_variance_preserving"], SCENARIOS[1]
    assert chain not in list(scenarios_of(m, SCENARIOS)) and SCENARIOS[0] in list(scenarios_of(m, SCENARIOS))
    assert killed(m, chain, declared=True).outcome == "pass"
    assert not exists(CATALOGUE["alpha_one_early"], SCENARIOS[0].reference, [])
