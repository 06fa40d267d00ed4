"""Every objective of an energy network against a free network that happens to have the same score: one hidden layer of sines.

E = w.sin(x W + t W_t + b) has the score -W (w o cos), and cos z = sin(z + pi/2): an MLP whose last weights are tied to its first.
So the gradient of the energy is that of the MLP, taken through the tie.
"""

from __future__ import annotations

import numpy as np
import pytest
from test_objectives import CONVENTIONS, EPS, N, losses

from refscore.networks import MLP, EnergyMLP

TIED = [(sizes, name) for sizes in ((3, 5, 3), (4, 5, 3)) for name in losses(sizes)]


def tied(energy):
    """The MLP with the score of ``energy``, and what its gradient is in the energy's own parameters."""
    W, b, w, _ = energy.parameters
    d = energy.outputs
    free = MLP.from_arrays([W, -(W[:d] * w[:, 0]).T], [b + np.pi / 2, np.zeros(d)], "sin")

    def through(gradient):
        dW, db, dM, _ = gradient
        dW = dW.copy()
        dW[:d] -= (dM * w).T
        return [dW, db, -(dM * W[:d].T).sum(axis=1, keepdims=True), np.zeros(1)]

    return free, through


@pytest.mark.parametrize("sizes, name", TIED)
def test_an_energy_of_sines_is_a_tied_network(sizes, name):
    """Values in all conventions, gradients in the canonical one; 1e3 eps of the largest row, as for free networks."""
    energy = EnergyMLP((*sizes[:2], 1), "sin", 5, takes_time=sizes[0] > sizes[2])
    free, through = tied(energy)
    objective = losses(sizes)[name][0]
    size = max(1.0, np.abs(objective(free, over_batch="none")).max())
    for convention in CONVENTIONS:
        factor = N * (2 if not convention["half"] else 1)
        found, wanted = (np.asarray(objective(model, **convention)) for model in (energy, free))
        assert np.abs(found - wanted).max() <= 1e3 * EPS * size * factor
    gradient = objective(energy, grad=True)[1]
    for a, b in zip(gradient, through(objective(free, grad=True)[1]), strict=True):
        assert a.shape == b.shape and np.abs(a - b).max() <= 1e3 * EPS * max(size, np.abs(b).max())
