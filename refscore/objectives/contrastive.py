"""Contrastive divergence: the likelihood's gradient for an energy, from samples of the data and of the model.

For p(x) = exp(-E(x))/Z the mean log-likelihood's gradient needs no Z, only a second expectation:

    -grad_theta E_data log p = E_data grad_theta E - E_model grad_theta E

The loss mean E(x) - mean E(negatives) has this gradient when the negatives have the model's law. Started at the data and
moved by k steps of a chain that leaves the model's law invariant (CD-k), they have another one, and the gradient is biased.
The loss itself is no estimate of the likelihood.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore import _validate


def contrastive_divergence(
    model: Any,
    x: np.ndarray,
    negatives: np.ndarray,
    *,
    t: float | None = None,
    sample_weight: np.ndarray | None = None,
    negative_weight: np.ndarray | None = None,
    grad: bool = False,
) -> Any:
    """mean E(x) - mean E(negatives), to be descended.

    Parameters
    ----------
    model : an EnergyMLP, an EnergyModel or a BinaryEnergyModel.
    x : (n, d) array, data.
    negatives : (m, d) array, samples of the model; they are constants of the gradient.
    t : a scalar, for an energy that takes time.
    sample_weight, negative_weight : (n,) and (m,), optional: in place of 1/n and 1/m.
    grad : with True also the gradient in the parameters.

    Returns
    -------
    float, or (float, [dW1, db1, ...]) with ``grad``.

    Raises TypeError for a model without ``energy``; ValueError for shapes that differ, values that are not finite.
    Source: [e, "contrastive divergence"]; Hinton 2002.
    """
    energy = getattr(model, "energy", None)
    if energy is None or not hasattr(energy, "parameter_gradient"):
        raise TypeError(f"model is {model!r}, without an energy: pass an EnergyMLP, or an EnergyModel; the score of a free "
                        "network has none")
    if not isinstance(grad, (bool, np.bool_)):
        raise TypeError(f"grad is {grad!r}: pass True or False")
    if t is not None and np.ndim(t):
        raise ValueError(f"t has shape {np.shape(t)}: pass one time for all rows, data and negatives alike")
    x = _validate.batch(x, dtype=None)
    negatives = _validate.batch(negatives, x.shape[1], "negatives", dtype=None)
    for name, rows in (("x", x), ("negatives", negatives)):
        if len(rows) == 0:
            raise ValueError(f"{name} has no rows: an average over nothing is not defined; pass at least one row")
    both = np.concatenate([x, negatives])
    weights = np.concatenate(
        [_validate.row_weights(sample_weight, len(x)), -_validate.row_weights(negative_weight, len(negatives), "negative_weight")]
    )
    time = () if t is None else (t,)
    value = float(weights @ energy(both, *time))
    return (value, energy.parameter_gradient(both, weights, *time)) if grad else value
