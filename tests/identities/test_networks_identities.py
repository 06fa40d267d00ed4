"""The second road of the network identities is itself right: plain derivatives, sizes, score models."""

import mpmath as mp
import numpy as np
import pytest

from refscore import identities
from refscore.identities import _models, _plain, relu
from refscore.identities._energy_cases import EnergyCase
from refscore.identities._losses import divergence, sliced, squares, tangent
from refscore.identities._network_cases import SMOOTH, Case
from refscore.identities._targets import mixture
from refscore.networks import MLP, EnergyMLP
from refscore.objectives import esm

MODULES = ("networks", "objective_gradients", "trace", "energy_networks", "directional", "relu")
IDENTITIES = [i for i in identities.catalogue().values() if i.run.__module__.rsplit(".", 1)[-1] in MODULES]
PHI = {
    "tanh": mp.tanh,
    "softplus": lambda z: mp.log(1 + mp.exp(z)),
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "sin": mp.sin,
}


LONG = ("D3.gradient", "D4", "D4.energy")
PARAMETERS = [pytest.param(i, id=i.id, marks=pytest.mark.slow if i.id in LONG else ()) for i in IDENTITIES]


@pytest.mark.parametrize("identity", PARAMETERS)
def test_bounds_are_not_nearly_spent(identity):
    """Bounds count worst cases; half of one spent would mean that a term is missing."""
    outcome = identities.evaluate(identity, seed=3)
    assert outcome.error <= outcome.bound / 2


def mp_forward(model, row):
    """s at one row of mp numbers, 50 digits."""
    a = list(row)
    for l, (W, b) in enumerate(zip(model.weights, model.biases, strict=True)):
        a = [mp.fsum([a[i] * mp.mpf(W[i, j]) for i in range(len(a))]) + mp.mpf(b[j]) for j in range(W.shape[1])]
        if l + 1 < len(model.weights):
            a = [PHI[model.activation.name](z) for z in a]
    return a


@pytest.mark.parametrize("activation", SMOOTH)
def test_complex_step_against_fifty_digits(activation):
    """A Jacobian by central differences with h = 1e-15 at 50 digits (error 1e-30) against the complex step at double precision."""
    model = MLP((3, 4, 3, 2), activation, 5)
    x = np.array([[0.3, -1.2, 0.7]])
    found = _plain.jacobian(lambda z: _plain.values(model, z, 0.7), x[:, :2])[0]
    with mp.workdps(50):
        h, row = mp.mpf(10) ** -15, [mp.mpf(float(v)) for v in x[0]]
        for j in range(2):
            up, down = ([v + s * h * (i == j) for i, v in enumerate(row)] for s in (1, -1))
            column = [(p - m) / (2 * h) for p, m in zip(mp_forward(model, up), mp_forward(model, down), strict=True)]
            size = _plain.Size(model, x, 2)
            assert (np.abs(found[:, j] - np.array(column, float)) <= size.rounding * size.jacobian()[:, j]).all()


@pytest.mark.parametrize("activation", SMOOTH)
def test_plain_slope_is_the_derivative_of_the_plain_value(activation):
    z = np.linspace(-8, 8, 101)
    slope = _plain.directional(_plain.VALUE[activation], z, 1.0)
    assert np.abs(slope - _plain.SLOPE[activation](z)).max() < 8 * _plain.EPS


@pytest.mark.parametrize("activation", SMOOTH)
def test_plain_curvature_and_its_majorant(activation):
    """phi'' is the derivative of phi'; |phi''| <= 1 and |phi^(3)| <= 2 hold, so that sizes of second derivatives are sizes."""
    z = np.linspace(-30, 30, 4001)
    curvature = _plain.CURVATURE[activation]
    assert np.abs(_plain.directional(_plain.SLOPE[activation], z, 1.0) - curvature(z)).max() < 8 * _plain.EPS
    assert np.abs(curvature(z)).max() <= 1 and np.abs(_plain.directional(curvature, z, 1.0)).max() <= 2 + 1e-15


@pytest.mark.parametrize("activation", SMOOTH)
def test_plain_hessian_is_the_derivative_of_the_plain_gradient(activation):
    phi, slope, curvature = (table[activation] for table in (_plain.VALUE, _plain.SLOPE, _plain.CURVATURE))
    model, a = MLP((3, 5, 4, 6, 1), activation, 2), np.random.default_rng(3).standard_normal((6, 3))
    H = _plain.hessians(model.parameters, a, 2, phi, slope, curvature)

    def gradient(x):
        return _plain.jacobians(model.parameters, np.column_stack([x, a[:, 2]]), 2, phi, slope)[..., 0]

    size = _plain.Size(model, a, 2)
    sizes = _plain.hessians(size.parameters, size.inputs, 2, _plain.above, _plain.steeper, _plain.sharper).real
    assert (np.abs(_plain.jacobian(gradient, a[:, :2]) - H) <= 2 * size.rounding * sizes).all()
    assert (np.abs(H) <= sizes).all()


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_a_relu_network_is_straight_between_its_kinks_and_bends_at_each(hidden):
    model = _models.random_network(1, 8, "relu", hidden)
    k = relu.kinks(model)
    edges = np.concatenate([[-relu.REACH], k, [relu.REACH]])
    left, middle, right = (model((edges[:-1] + f * np.diff(edges))[:, None])[:, 0] for f in (0.25, 0.5, 0.75))
    assert np.abs(left + right - 2 * middle).max() < 1e-12
    slopes = (right - left) / (0.5 * np.diff(edges))
    assert np.abs(np.diff(slopes)).min() > 1e-9 and len(k) >= 5


@pytest.mark.parametrize("activation", SMOOTH)
def test_sizes_are_never_below_what_they_bound(activation):
    """The majorant jet dominates value, slope and curvature, and with them every derivative of a network."""
    z = np.linspace(-30, 30, 4001)
    phi, slope = _plain.VALUE[activation], _plain.SLOPE[activation]
    assert (np.abs(phi(z)) <= _plain.above(np.abs(z))).all()
    assert (np.abs(slope(z)) <= 1.1).all()
    assert (np.abs(_plain.directional(slope, z, 1.0)) <= 1 + 1e-15).all()
    rng = np.random.default_rng(1)
    for hidden in ((), (5,), (5, 4), (5, 4, 6)):
        free = Case("free", MLP((3, *hidden, 3), activation, rng), 3, rng)
        energy = EnergyCase("energy", EnergyMLP((4, *hidden, 1), activation, rng, takes_time=True), 3, rng)
        for case in (free, energy):
            for formula, arguments in (
                (tangent, dict(u=case.u, v=case.v, w=case.w)),
                (divergence, dict(c=case.c)),
                (squares, dict(c=case.c, shift=case.u)),
                (sliced, dict(c=case.c, v=case.v)),
            ):
                f = case.of(formula)
                of_sizes = case.size.gradient(f, **{k: np.abs(a) for k, a in arguments.items()})
                gradient = _plain.gradient(lambda p, f=f, k=arguments, c=case: f(p, c.rows, *c.jet, **k), case.model.parameters)
                assert all((np.abs(g) <= s * (1 + 1e-12)).all() for g, s in zip(gradient, of_sizes, strict=True))


def test_score_models_are_reproducible_and_what_they_say():
    for d in (1, 2, 3):
        models, again = (_models.score_models(mixture(d), 4) for _ in range(2))
        assert list(models) == ["exact", "linear", "random", "trained"]
        assert again["trained"] is models["trained"]
        _models._trained.cache_clear()
        anew = _models.score_models(mixture(d), 4)["trained"]
        assert all((a == b).all() for a, b in zip(anew.parameters, models["trained"].parameters, strict=True))
        x = mixture(d).sample(500, 9)
        error = {name: esm(model, x, mixture(d).score(x)) for name, model in models.items()}
        assert error["exact"] == 0 < error["trained"] < error["random"] / 4
        if d > 1:
            for name in ("linear", "random", "trained"):
                J = models[name].jacobian(x[:5])
                assert np.abs(J - J.swapaxes(1, 2)).max() > 0.05
