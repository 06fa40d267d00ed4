"""Learning: gradients of what is minimised, runs that are killed and taken up, and the likelihood that is reached."""

import numpy as np
import pytest
from joint_table import Table, binary_rows, machine
from scipy.optimize import root

from refscore.densities import Gaussian
from refscore.energy import (
    RBM,
    BinaryEnergyModel,
    ContrastiveDivergence,
    EnergyModel,
    MaximumLikelihood,
    PersistentChains,
    QuadraticEnergy,
    SumEnergy,
    binary_digits,
    cd_gradient,
    expected_cd_gradient,
    pcd_gradient,
)
from refscore.networks import MLP, EnergyMLP
from refscore.training import SGD, Adam, minibatch, start, train, train_step

OBJECTIVES = [MaximumLikelihood(), ContrastiveDivergence(2), PersistentChains(1, 7)]


def rows(n=30, v=4):
    return (np.random.default_rng(1).random((n, v)) < np.linspace(0.2, 0.9, v)) * 1.0


def test_losses_and_their_gradients():
    """A step of SGD goes uphill along each method's own gradient."""
    rbm, x = machine(4, 3), rows()
    F = rbm.free_energy
    value, gradient = MaximumLikelihood().loss(rbm, x)
    assert value == -rbm.log_likelihood(x)
    np.testing.assert_array_equal(gradient[0], -rbm.log_likelihood(x, grad=True)[1][0])
    (seed,) = ContrastiveDivergence(2).draw(30, 4, np.random.default_rng(3))
    value, gradient = ContrastiveDivergence(2).loss(rbm, x, seed)
    for got, want in zip(gradient, cd_gradient(rbm, x, 2, int(seed)), strict=True):
        np.testing.assert_array_equal(got, -want)
    chains = rows(5)
    value, gradient, after = PersistentChains(3, 5).loss(rbm, x, seed, chains)
    wanted, kept = pcd_gradient(rbm, x, chains, 3, int(seed))
    assert (after == kept).all() and value == F(x).mean() - F(after).mean()
    for got, want in zip(gradient, wanted, strict=True):
        np.testing.assert_array_equal(got, -want)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_a_run_taken_up_ends_with_the_same_bits(objective, tmp_path):
    rbm, x, settings = machine(4, 3), rows(), dict(batch=8, seed=5)
    whole = train(rbm, x, objective, Adam(0.02), steps=9, **settings)
    for steps in (2, 7, 9):
        parts = train(rbm, x, objective, Adam(0.02), steps=steps, checkpoint=tmp_path / "run.npz", every=2, **settings)
    by_hand, state = rbm, start(rbm, x, objective, Adam(0.02), 5)
    for k in range(1, 10):
        _, by_hand, state = train_step(by_hand, objective, Adam(0.02), state, *minibatch(x, objective, 8, 5, k))
    for other in (parts.model, by_hand):
        for a, b in zip(whole.model.parameters, other.parameters, strict=True):
            assert (a == b).all()
    for a, b, c in zip(whole.state.memory, parts.state.memory, state.memory, strict=True):
        assert (a == b).all() and (a == c).all() and a.shape == (7, 4)
    assert len(whole.state.memory) == isinstance(objective, PersistentChains)


def test_data_drawn_from_a_machine():
    """A law in place of an array: fresh rows in every step. The chains start from a stream that no step has."""
    rbm, law = machine(4, 3), machine(4, 2, 2.0)
    run = train(rbm, law, PersistentChains(1, 7), Adam(0.05), steps=200, batch=50, seed=5)
    everything = binary_rows(4)
    p, before, after = (np.exp(r.logpdf(everything)) for r in (law, rbm, run.model))
    assert np.abs(after - p).sum() < 0.5 * np.abs(before - p).sum()
    stream = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(0,)))
    assert (start(rbm, law, PersistentChains(1, 7), Adam(0.05), 5).memory[0] == stream.integers(0, 2, (7, 4))).all()


def test_chains_go_on_and_are_not_started_again():
    """With couplings so strong that nothing moves, the chains of step 9 are those of the start."""
    rbm = RBM(np.full((4, 2), 60.0) * [[1, -1]], np.zeros(4), [-120.0, 120.0])
    objective, x = PersistentChains(1, 50), np.zeros((6, 4))
    first = start(rbm, x, objective, SGD(1e-6), 3).memory[0]
    assert 60 < first.sum() < 140  # fair coins: 100 of 200, within 5.6 deviations
    settled = train(rbm, x, objective, SGD(1e-6), steps=1, batch=4, seed=3).state.memory[0]
    run = train(rbm, x, objective, SGD(1e-6), steps=9, batch=4, seed=3).state.memory[0]
    both = np.abs(settled - run).sum(axis=1)
    assert 0 < settled.sum() < 200 and (both == 0).mean() > 0.5


def test_cd_rests_elsewhere_than_the_likelihood():
    """Biases learnt at couplings that stay: where CD-1 vanishes the likelihood's gradient does not."""
    x, W = np.repeat(binary_rows(4), (5, 1, 1, 2, 1, 2, 4, 2) * 2, axis=0), 1.5 * np.random.default_rng(0).standard_normal((4, 2))

    def end(direction):
        def biases(p):
            return np.concatenate(direction(RBM(W, p[:4], p[4:]))[1:])

        found = root(biases, np.zeros(6), tol=1e-13).x
        assert np.abs(biases(found)).max() < 1e-12
        return RBM(W, found[:4], found[4:])

    best, resting = end(lambda r: r.log_likelihood(x, grad=True)[1]), end(lambda r: expected_cd_gradient(r, x, 1))
    table = Table(resting)
    bias = [a - b for a, b in zip(table.mean(table.law(x)), table.mean(table.px), strict=True)]
    assert 1e-4 < np.abs(np.concatenate(bias[1:])).max() < 1e-2
    assert 1e-7 < best.log_likelihood(x) - resting.log_likelihood(x) < 1e-5


def test_with_one_hidden_unit_cd_rests_where_the_likelihood_does():
    """There E_data p(z|x) = p(z), all that a sweep hands on: no bias at the maximum, with any k."""
    x = np.repeat(binary_rows(4), (6, 1, 1, 1, 1, 1, 1, 6, 1, 1, 1, 5, 1, 1, 1, 6), axis=0)

    def likelihood(p):
        return np.concatenate([g.ravel() for g in RBM(p[:4, None], p[4:8], p[8:]).log_likelihood(x, grad=True)[1]])

    p = np.r_[[0.5, 0.7, 0.8, 0.6], np.zeros(5)]
    for _ in range(300):
        p = p + likelihood(p)
    p = root(likelihood, p, tol=1e-13).x
    rbm = RBM(p[:4, None], p[4:8], p[8:])
    assert np.abs(p[:4]).min() > 1
    for k in (1, 4):
        assert max(np.abs(g).max() for g in expected_cd_gradient(rbm, x, k)) < 1e-13


@pytest.mark.parametrize("objective", [MaximumLikelihood(), ContrastiveDivergence(1), PersistentChains(1, 100)],
                         ids=lambda o: type(o).__name__)
def test_likelihood_of_digits_grows(objective):
    """By two nats and more, from independent pixels with the right means."""
    images, _ = binary_digits()
    mean = np.clip(images.mean(axis=0), 0.01, 0.99)
    rbm = RBM(0.01 * np.random.default_rng(0).standard_normal((64, 8)), np.log(mean / (1 - mean)), np.zeros(8))
    run = train(rbm, images, objective, Adam(0.03), steps=150, batch=100, seed=1)
    assert run.model.log_likelihood(images) - rbm.log_likelihood(images) > 2


def test_a_gaussian_learnt_by_its_closed_form():
    """Steps of SGD on E = (x - m)'P(x - m)/2 by quadrature of Z, and by the mean and covariance of the same minibatches."""
    rng = np.random.default_rng(4)
    data = rng.standard_normal((60, 2)) @ [[1.0, 0.4], [0.0, 0.7]] + [0.5, -0.2]
    m, P = np.array([0.1, 0.3]), np.array([[1.2, -0.3], [-0.3, 0.9]])
    model = EnergyModel(QuadraticEnergy(m, P), 2, proposal=Gaussian([0.4, 0.0], 1.5), starts=data[:3])
    run = train(model, data, MaximumLikelihood(), SGD(0.1), steps=13, batch=20, seed=2)
    for k in range(1, 14):
        x = minibatch(data, MaximumLikelihood(), 20, 2, k)[0]
        away = x - m
        slopes = P @ away.mean(axis=0), (np.linalg.inv(P) - away.T @ away / 20) / 2
        assert abs(run.losses[k - 1] + Gaussian(m, np.linalg.inv(P)).logpdf(x).mean()) < 1e-10
        m, P = m + 0.1 * slopes[0], P + 0.1 * slopes[1]
    for got, want in zip(run.model.parameters, (m, P), strict=True):
        assert np.abs(got - want).max() < 1e-10
    assert run.model.proposal is model.proposal and run.model.starts.shape == (3, 2) and (model.energy.mean == [0.1, 0.3]).all()


def test_a_boltzmann_machine_without_hidden_units_learnt_state_by_state():
    """The same on {0,1}^4: E_model and E_data of the gradient of E, a loop over all 16 states."""
    x, m, P = rows(40), np.array([0.3, 0.7, 0.1, 0.5]), np.eye(4) + 0.2
    run = train(BinaryEnergyModel(QuadraticEnergy(m, P), 4), x, MaximumLikelihood(), SGD(0.2), steps=7, batch=20, seed=1)

    def mean(p, states):
        return [sum(w * g for w, g in zip(p, slopes, strict=True)) for slopes in (
            [-P @ (s - m) for s in states], [np.outer(s - m, s - m) / 2 for s in states])]

    for k in range(1, 8):
        batch = minibatch(x, MaximumLikelihood(), 20, 1, k)[0]
        weights = [np.exp(-(s - m) @ P @ (s - m) / 2) for s in binary_rows(4)]
        model, seen = mean(weights / np.sum(weights), binary_rows(4)), mean(np.full(20, 1 / 20), batch)
        m, P = (a + 0.2 * (e - d) for a, e, d in zip((m, P), model, seen, strict=True))
    for got, want in zip(run.model.parameters, (m, P), strict=True):
        assert np.abs(got - want).max() < 1e-13


def test_a_network_held_by_a_quadratic_energy_is_taken_up_with_the_same_bits(tmp_path):
    energy = SumEnergy([EnergyMLP((1, 4, 1), "softplus", 1).energy, QuadraticEnergy([0.2], [[0.8]])])
    model, x = EnergyModel(energy, 1), np.random.default_rng(0).standard_normal((30, 1)) + 1
    settings = dict(batch=8, seed=5)
    whole = train(model, x, MaximumLikelihood(), Adam(0.05), steps=9, **settings)
    for steps in (4, 9):
        parts = train(model, x, MaximumLikelihood(), Adam(0.05), steps=steps, checkpoint=tmp_path / "run.npz", every=3, **settings)
    for a, b in zip(whole.model.parameters, parts.model.parameters, strict=True):
        assert (a == b).all()
    assert whole.model.log_likelihood(x) > model.log_likelihood(x) + 0.01


def test_beside_scikit_learn():
    """BernoulliRBM's persistent chains and ours, with its settings: the same likelihood to within a nat."""
    neural_network = pytest.importorskip("sklearn.neural_network", reason="pip install refscore[peers]")
    images, _ = binary_digits()
    peer = neural_network.BernoulliRBM(n_components=8, learning_rate=0.05, batch_size=100, n_iter=10, random_state=0).fit(images)
    theirs = RBM(peer.components_.T, peer.intercept_visible_, peer.intercept_hidden_).log_likelihood(images)
    first = RBM(0.01 * np.random.default_rng(0).standard_normal((64, 8)), np.zeros(64), np.zeros(8))
    ours = train(first, images, PersistentChains(1, 100), SGD(0.05), steps=180, batch=100, seed=0).model.log_likelihood(images)
    assert first.log_likelihood(images) + 5 < min(ours, theirs) and abs(ours - theirs) < 1


def test_refusals():
    for make, match in ((lambda: ContrastiveDivergence(0), "k is 0"), (lambda: PersistentChains(1, 0), "chains is 0"),
                        (lambda: PersistentChains(0), "k is 0")):
        with pytest.raises(ValueError, match=match):
            make()
    settings = dict(steps=1, batch=2, seed=0)
    for model, match in (
        (EnergyMLP((2, 3, 1), "tanh", 0), r"of type EnergyMLP, without log_likelihood.*EnergyModel\(model.energy, dim\)$"),
        (MLP((2, 3, 2), "tanh", 0), r"of type MLP, without log_likelihood.*EnergyModel\(energy, dim\), or an RBM$"),
        (EnergyModel(lambda x: x[:, 0] ** 2, 2), "energy is <function.*without parameters: pass QuadraticEnergy"),
    ):
        with pytest.raises(TypeError, match=match):
            train(model, rows(5, 2), MaximumLikelihood(), SGD(0.1), **settings)
    with pytest.raises(TypeError, match="rbm is EnergyModel: .* an RBM; on R.d the chain is .* as in contrastive_step"):
        train(EnergyModel(QuadraticEnergy([0.0], [[1.0]]), 1), rows(5, 1), ContrastiveDivergence(), SGD(0.1), **settings)
