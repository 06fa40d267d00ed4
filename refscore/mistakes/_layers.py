"""What wrong derivatives need of a network: its layers at given rows, to be tampered with."""

from __future__ import annotations

import numpy as np

from refscore.networks import MLP
from refscore.networks.backprop import Rows


def rows(model: MLP, x, t: tuple) -> Rows:
    """The rows x (and t) on their way through the network, with slopes and curvatures kept."""
    a0, time = model.checked(x, *t)
    return Rows(model.weights, model.biases, model.activation, model.inputs(a0, time), 2)


def slopes(model: MLP, x, t: tuple) -> list[np.ndarray]:
    """phi'(z_l) of every hidden layer."""
    return [np.asarray(slope) for slope in rows(model, x, t).slopes]


def hidden(model) -> int:
    """Hidden layers; 0 for a model without layers."""
    return len(model.weights) - 1 if isinstance(model, MLP) else 0


def basis(x: np.ndarray) -> np.ndarray:
    """e_1, ..., e_d at every row, (d, n, d)."""
    return np.broadcast_to(np.eye(x.shape[1])[:, None], (x.shape[1], *x.shape))
