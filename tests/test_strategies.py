"""What the strategies draw: all of it is valid and every kind occurs, no symmetry hides a mistake, and it shrinks to simple cases.

That all kinds occur, and all that is general, is asked of `find`, which ends with NoSuchExample where there is none.
"""

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from refscore import strategies as rs
from refscore.densities import Gaussian, GaussianMixture, Laplace, PointSet, TwoSidedExponential, Uniform
from refscore.networks import ACTIVATIONS, MLP, EnergyMLP
from refscore.processes import DDPM, OU, VE, VP, Path, SubVP, VPCosine
from refscore.samplers import reverse_sde

CAREFUL = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
ALL = [OU, VP, VPCosine, VE, SubVP, Path, DDPM]


PLAIN = settings(deadline=None, database=None, max_examples=2000, phases=[Phase.generate, Phase.shrink])


def simplest(strategy, condition=lambda value: True):
    """What an example shrinks to."""
    return find(strategy, condition, settings=PLAIN, random=Random(0))


def some(strategy, condition):
    """An example as it is drawn."""
    return find(strategy, condition, settings=settings(PLAIN, phases=[Phase.generate]), random=Random(0))


@CAREFUL
@given(rs.densities(), st.data())
def test_laws_are_computed_with_to_their_accuracy(density, data):
    x = data.draw(rs.points(3, density.dim))
    law = density if not isinstance(density, PointSet | Laplace | Uniform) else density.corrupted(0.8, 0.5)
    score, divergence = law.score(x), law.score_divergence(x)
    assert np.isfinite(score).all() and np.isfinite(law.logpdf(x)).all() and np.isfinite(divergence).all()
    assert (law.score_error(x) <= 1e-9 * (1 + np.abs(score))).all()
    assert 0.03 < np.linalg.eigvalsh(density.corrupted(1.0, 0.2).cov).min()
    assert density.sample(2, 0).shape == (2, density.dim)


LAWS = [*zip(rs.DENSITIES, [Gaussian, *3 * [GaussianMixture], Laplace, Uniform, PointSet])]


def test_laws_shrink_to_the_plain_normal():
    assert repr(simplest(rs.densities())) == "Gaussian(mean=[1.0], cov=1.0)"
    assert repr(simplest(rs.densities(2))) == "Gaussian(mean=[1.0, 2.0], cov=1.0)"


@pytest.mark.parametrize(("kind", "cls"), LAWS)
def test_laws_of_every_kind_shrink_to_one_dimension_and_unit_width(kind, cls):
    density = simplest(rs.densities(kinds=kind))
    assert type(density) is cls is type(some(rs.densities(), lambda p: type(p) is cls))
    assert density.dim == 1 and density.mean[0] == (1.5 if cls is Uniform else 1.0)
    assert kind not in rs.SMOOTH or density.cov == 1.0
    assert some(rs.densities(kinds=kind), lambda p: p.dim == 5) and some(rs.densities(3, kind), lambda p: True).dim == 3


def test_laws_are_skewed_correlated_and_not_centred():
    full = some(rs.densities(3, "full mixture"),
                    lambda p: len({*p.weights}) > 1 and (np.abs(p.covs[1]) > 0.01).all())
    assert np.ptp(full.weights) > 0 and (np.abs(full.means) >= 0.25).all()
    assert some(rs.densities(2, "diagonal mixture"), lambda p: np.ptp(p.covs) > 0.5).covs.shape[1:] == (2,)
    assert some(rs.densities(2, "isotropic mixture"), lambda p: len({*p.covs}) > 1).covs.ndim == 1
    for shape in ((), (3,), (3, 3)):
        assert some(rs.densities(3, "gaussian"), lambda p, shape=shape: p.covs[0].shape == shape)
    assert some(rs.densities(kinds="point set"), lambda p: np.ptp(p.weights) > 0)


@CAREFUL
@given(rs.processes(), st.data())
def test_processes_are_defined_where_times_and_grids_say(process, data):
    t = data.draw(rs.times(process))
    assert np.isfinite(process.alpha(t)).all() and np.isfinite(process.sigma(t)).all()
    x, z = data.draw(rs.points(len(t), 2)), data.draw(rs.noise(len(t), 2))
    assert np.isfinite(process.corrupt(x, t, z)).all()
    t = data.draw(rs.times(process, len(x), ends=False))
    assert np.isfinite(process.conditional_score(process.corrupt(x, t, z), x, t)).all()
    assert np.isfinite(process.convert(z, x, t, "eps", "v")).all()
    grid = data.draw(rs.grids(process))
    if isinstance(process, DDPM):
        assert t.dtype == grid.dtype == np.int64
    else:
        assert np.isfinite(process.drift(x, t)).all() and np.isfinite(process.diffusion(t)).all()
        chain = reverse_sde(process, lambda x, t: -x, grid)
        assert np.isfinite(chain.simulate(x, 0)).all()


@pytest.mark.parametrize(("kind", "cls"), [*zip(rs.PROCESSES, ALL)])
def test_processes_of_every_kind(kind, cls):
    assert type(some(rs.processes(kind), lambda p: True)) is type(some(rs.processes(), lambda p: type(p) is cls)) is cls


def test_processes_of_every_shape():
    assert some(rs.processes("ou"), lambda p: p.beta == 0) and some(rs.processes("ou"), lambda p: p.beta > 1)
    assert {some(rs.processes("ve"), lambda p, s=s: p.start == s).start for s in ("sigma_min", "data")} == {"sigma_min", "data"}
    assert some(rs.processes("path"), lambda p: p.alpha(1.0) == 0) and some(rs.processes("path"), lambda p: p.alpha(1.0) > 0.5)
    assert some(rs.processes("ddpm"), lambda p: len(p.betas) > 3 and np.ptp(np.diff(p.betas)) > 0.1)


PUBLISHED = [OU(1.0, 1.0), VP(), VPCosine(), VE(), SubVP()]
LINES = "Path(alpha=lambda t: 1.0 - 1.0 * t**1, sigma=lambda t: 0.0 + 1.0 * t**1, t_max=1.0)"


def test_processes_shrink_to_the_plain_one():
    assert simplest(rs.processes()) == OU(1.0, 1.0)
    for kind, plain in zip(rs.PROCESSES, PUBLISHED):
        assert simplest(rs.processes(kind)) == plain
    assert repr(simplest(rs.processes("path"))) == LINES
    assert simplest(rs.processes("ou"), lambda p: p.g < 1).beta == 1
    assert list(simplest(rs.processes("ddpm")).betas) == [0.5]


@pytest.mark.parametrize("rows", [rs.grids, rs.times])
def test_processes_shrink_to_the_plain_one_with_their_times(rows):
    """In a test that draws both, the process of which the fewest choices are left must not win."""
    pairs = rs.processes().flatmap(lambda process: st.tuples(st.just(process), rows(process)))
    assert simplest(pairs)[0] == OU(1.0, 1.0)
    assert simplest(pairs, lambda pair: not isinstance(pair[0], OU))[0] == VP()


def test_what_needs_two_kinds_of_things_shrinks_to_the_plain_ones():
    @st.composite
    def run(draw):
        density, process = draw(rs.densities()), draw(rs.processes())
        return density, process, draw(rs.grids(process)), draw(rs.noise(3, density.dim))

    density, process, grid, noise = simplest(run())
    assert repr(density) == "Gaussian(mean=[1.0], cov=1.0)" and process == OU(1.0, 1.0)
    assert list(grid) == [2 * 0.999, 0] and not noise.any()


LONG, SHORT = DDPM(np.full(30, 0.1)), DDPM([0.1])


@CAREFUL
@given(st.sampled_from([VP(), OU(1.0, 1.0), LONG]), st.data())
def test_times_are_distinct_with_both_ends_or_neither(process, data):
    end = 2.0 if isinstance(process, OU) else process.t_max
    n = data.draw(st.integers(2, 7))
    t = data.draw(rs.times(process, n))
    assert t.shape == (n,) and len({*t}) == n and t.min() == 0 and t.max() == end
    t = data.draw(rs.times(process, n, ends=False))
    assert t.shape == (n,) and len({*t}) == n and t.min() > 0 and (t.max() < end or process is LONG)
    grid = data.draw(rs.grids(process, n))
    assert (np.diff(grid) < 0).all() and grid[-1] == 0 and grid[0] <= end
    assert len(grid) == n + 1 or process is LONG


def test_times_are_in_no_order_and_shrink_to_the_middle():
    for increasing in (True, False):
        t = simplest(rs.times(VP(), 3), lambda t, up=increasing: (np.diff(t) > 0).all() == up)
        assert sorted(t) == [0, 0.5, 1]
    assert simplest(rs.times(VP(), 1, ends=False)) == [0.5]
    assert simplest(rs.times(LONG, 1, ends=False)) == [15]
    assert 30 in some(rs.times(LONG, ends=False), lambda t: 30 in t)
    assert len(simplest(rs.times(VP(), 0))) == 0
    np.testing.assert_array_equal(simplest(rs.times(SHORT, 3, ends=False)), [1, 1, 1])
    assert {*simplest(rs.times(SHORT, 4))} == {0, 1}


def test_grids_are_not_uniform():
    assert list(simplest(rs.grids(VP()))) == [0.999, 0.0] and list(simplest(rs.grids(SHORT))) == [1, 0]
    steps = np.diff(some(rs.grids(VP(), 3), lambda g: np.ptp(np.diff(g)) > 0.3))
    assert len(steps) == 3
    assert some(rs.grids(LONG, 3), lambda g: len({*np.diff(g)}) == 3)[0] == 30


@CAREFUL
@given(rs.networks(), st.data())
def test_networks_take_what_they_say(network, data):
    timed = network.takes_time if isinstance(network, EnergyMLP) else network.sizes[0] == network.outputs + 1
    d = network.sizes[0] - timed if isinstance(network, MLP) else network.network.sizes[0] - timed
    x, v = data.draw(rs.points(2, d)), data.draw(rs.noise(2, d))
    t = (0.5,) if timed else ()
    assert network(x, *t).shape == (2, d)
    assert np.isfinite(network.jvp(x, v, *t)).all()


def test_networks_of_every_kind():
    for activation in ACTIVATIONS:
        assert some(rs.networks(activations=activation, kinds="mlp"), lambda m: True).activation.name == activation
    for kind, cls in zip(("mlp", "energy"), (MLP, EnergyMLP), strict=True):
        for timed in (False, True):
            for network in (some(rs.networks(kinds=kind, takes_time=timed), lambda m: True),
                            some(rs.networks(), lambda m, c=cls, t=timed: type(m) is c and takes_time(m) == t)):
                assert type(network) is cls and takes_time(network) == timed
    plain = simplest(rs.networks())
    assert plain.sizes == (1, 1) and plain.activation.name == "tanh" and plain.weights == MLP((1, 1), "tanh", 0).weights
    deep = simplest(rs.networks(4, "mlp", takes_time=False), lambda m: len(m.sizes) > 4)
    assert deep.sizes == (4, 1, 1, 1, 4) and all(np.abs(p).min() > 0 for p in deep.parameters)


def takes_time(network):
    return network.takes_time if isinstance(network, EnergyMLP) else network.sizes[0] > network.outputs


def test_rows_have_the_shape_asked_for_and_shrink_to_one():
    assert simplest(rs.points()).shape == simplest(rs.noise()).shape == (1, 1)
    assert some(rs.points(4, 3), lambda x: True).shape == some(rs.noise(4, 3), lambda z: True).shape == (4, 3)
    assert simplest(rs.noise(2, st.integers(2, 3)), lambda z: (z.shape[1] == 3) & (z < 0).any() & (z > 2).any()).shape == (2, 3)
    assert len({*simplest(rs.points(3, 2), lambda x: len({*x.ravel()}) == 6).ravel()}) == 6


@pytest.mark.parametrize("make", [lambda: rs.densities(kinds="normal"), lambda: rs.processes(("vp", "edm")),
                                  lambda: rs.networks(activations="gelu"), lambda: rs.networks(kinds="cnn"),
                                  lambda: rs.densities(kinds=()), lambda: rs.densities(kinds=3), lambda: rs.processes(0)])
def test_unknown_kinds_are_refused_before_anything_is_drawn(make):
    with pytest.raises((ValueError, TypeError), match="^(kinds|activations) .*choose from '"):
        make()


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: rs.densities(0), ValueError, "dim is 0: pass an integer of at least 1"),
    (lambda: rs.networks(-1), ValueError, "dim is -1: pass an integer of at least 1"),
    (lambda: rs.densities("gaussian"), TypeError, "dim is 'gaussian': pass an integer of at least 1, a strategy of them"),
    (lambda: rs.networks(takes_time=1), TypeError, "takes_time is 1: pass True or False, or None"),
    (lambda: rs.noise(-1, 2), ValueError, "n is -1: pass an integer of at least 0"),
    (lambda: rs.points(2, 0), ValueError, "d is 0: pass an integer of at least 1"),
    (lambda: rs.points(2.0), TypeError, "n is 2.0: pass an integer of at least 0"),
    (lambda: rs.grids("vp"), TypeError, "process is 'vp', not a process of refscore: pass one, such as VP()"),
    (lambda: rs.grids(VP), TypeError, "process is <class .*VP'>, not a process of refscore: pass one, such as VP()"),
    (lambda: rs.times(rs.processes()), TypeError, r"pass a process that was drawn, data.draw\(rs.processes\(\)\)"),
    (lambda: rs.grids(VP(), 0), ValueError, "steps is 0: pass an integer of at least 1"),
    (lambda: rs.times(VP(), True), TypeError, "n is True: pass an integer of at least 0"),
    (lambda: rs.times(VP(), 3, ends=2), TypeError, "ends is 2: pass True or False"),
])  # fmt: skip
def test_other_arguments_are_refused_before_anything_is_drawn(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_strategy_of_sizes_is_refused_for_what_it_draws():
    for strategy, name in ((rs.densities(st.just(0)), "dim"), (rs.noise(st.just(-1)), "n"), (rs.grids(VP(), st.just(0)), "steps")):
        with pytest.raises(ValueError, match=f"{name} is .*: pass an integer of at least"):
            simplest(strategy)


SCOPE: dict = {}
exec("import numpy as np; from numpy import array\n"
     "from refscore.densities import *; from refscore.processes import *; from refscore.networks import *", SCOPE)  # fmt: skip


def printed(strategy, condition=lambda value: True):
    """An example as it is drawn, and what Hypothesis prints of it, evaluated."""
    failing = []

    @settings(PLAIN, phases=[Phase.generate], report_multiple_bugs=False, derandomize=True)
    @given(strategy)
    def fails(value):
        if condition(value):
            failing.append(value)
            raise AssertionError

    with pytest.raises(AssertionError) as caught:
        fails()
    (text,) = [note for note in caught.value.__notes__ if "fails(" in note]
    return failing[-1], eval(text[text.index("fails("):], SCOPE | {"fails": lambda value: value})


def same(one, other):
    """Whether two laws are equal to the last bit."""
    names = {"Gaussian": ("means", "covs"), "GaussianMixture": ("weights", "means", "covs"), "PointSet": ("points", "weights"),
             "Laplace": ("loc", "scale", "noise"), "TwoSidedExponential": ("loc", "left", "right", "noise"),
             "Uniform": ("low", "high", "noise")}[type(one).__name__]  # fmt: skip
    return type(one) is type(other) and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def long(*arrays):
    """Whether there are numbers that eight digits do not tell."""
    return any(np.any(np.round(array, 8) != array) for array in arrays)


@pytest.mark.parametrize("kind", rs.DENSITIES)
def test_laws_are_printed_as_what_makes_them(kind):
    law, pasted = printed(rs.densities(kinds=kind), lambda p: p.dim > 1 and long(p.mean, p.cov))
    assert same(law, pasted) and same(law, eval(repr(law), SCOPE))


@pytest.mark.parametrize("law", [Laplace(0.3, [0.1, 1 / 3]), Uniform(0.1, [1 / 3, 2.0]), TwoSidedExponential([0.1], 1 / 3, 2)])
def test_corrupted_laws_are_printed_as_what_makes_them(law):
    law = law.corrupted(0.5, 1 / 3)
    assert same(law, eval(repr(law), SCOPE))


@pytest.mark.parametrize("kind", rs.PROCESSES)
def test_processes_are_printed_as_what_makes_them(kind):
    t = np.array([1]) if kind == "ddpm" else np.array([0.1, 0.9])
    process, pasted = printed(rs.processes(kind), lambda p: long(p.alpha(t), p.sigma(t)) and getattr(p, "start", "data") == "data")
    assert type(process) is type(pasted) and process.t_max == pasted.t_max
    assert np.array_equal(process.alpha(t), pasted.alpha(t)) and np.array_equal(process.sigma(t), pasted.sigma(t))
    again = pasted if kind == "ddpm" else eval(repr(process), SCOPE)
    assert np.array_equal(process.transition(0, t), again.transition(0, t))


def test_chains_in_equal_steps_are_printed_as_what_makes_them():
    chain, pasted = printed(rs.processes("ddpm"), lambda p: len(p) == 3 and np.ptp(np.diff(p.betas)) < 1e-14
                            and long(p.betas[0]) and long(p.betas[-1]))  # fmt: skip
    assert np.array_equal(chain.betas, pasted.betas)


@pytest.mark.parametrize("kind", ["mlp", "energy"])
def test_networks_are_printed_as_what_makes_them(kind):
    for activation in ACTIVATIONS:
        network, pasted = printed(rs.networks(kinds=kind, activations=activation), lambda m: len(m.sizes) > 3 and takes_time(m))
        assert type(network) is type(pasted) and takes_time(pasted) and pasted.activation is network.activation
        for given_, found in zip(network.parameters, pasted.parameters, strict=True):
            assert np.array_equal(given_, found)
