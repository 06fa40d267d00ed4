"""The same weights in scikit-learn's BernoulliRBM: an implementation by others. Needs the extra "peers"."""

import numpy as np
import pytest

from refscore.energy import RBM, binary_digits

neural_network = pytest.importorskip("sklearn.neural_network", reason="pip install refscore[peers]")


@pytest.fixture(scope="module")
def peer():
    """Trained a little by its own persistent contrastive divergence, so that the weights are nothing special to us."""
    images, _ = binary_digits()
    model = neural_network.BernoulliRBM(n_components=9, learning_rate=0.05, n_iter=3, random_state=0)
    return model.fit(images), images


def ours(model):
    return RBM(model.components_.T, model.intercept_visible_, model.intercept_hidden_)


def test_free_energies_and_hidden_means(peer):
    model, images = peer
    rbm = ours(model)
    np.testing.assert_allclose(rbm.free_energy(images), model._free_energy(images), rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(rbm.hidden_mean(images), model.transform(images), rtol=1e-12, atol=1e-15)


def test_training_raised_the_likelihood(peer):
    """What the peer cannot know: the exact likelihood of its weights, above that of independent pixels' uniform law."""
    model, images = peer
    assert ours(model).log_likelihood(images) > -64 * np.log(2) + 5
