"""Reads the layers of somebody else's network, such as a torch ``Sequential``, without importing what it is made of.

A linear layer is anything with ``weight`` (out, in) and ``bias`` (out,) or None; an activation is known by the name of its
class; what contains them is a list, or a ``Sequential`` or ``ModuleList`` by the name of its class or of one that it inherits from.
Any other module is refused: its ``forward`` may add a residual, and cannot be seen from outside. torch's Softplus is the
identity above its threshold (20), which here it is not: values may differ by e^-20 = 2e-9.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ACTIVATION_OF = {"Tanh": "tanh", "Softplus": "softplus", "SiLU": "silu", "Sin": "sin", "ReLU": "relu"}
"""Class name of an activation module: name of the activation here."""


def layers(module) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Weights (in, out), biases (out,), and the name of the activation.

    Raises TypeError for what is neither a linear layer, nor a known activation, nor made of them; ValueError when linear
    layers and activations do not alternate, or activations differ.
    """
    flat = list(_flat(module))
    linear, between = flat[0::2], flat[1::2]
    names = [type(item).__name__ for item in flat]
    if len(flat) % 2 == 0 or not all(map(_is_linear, linear)) or any(map(_is_linear, between)):
        raise ValueError(
            f"layers are {names}: linear layers and activations must alternate, from a linear layer to a linear layer; "
            f"for another order (or activations that are functions) pass weights, biases and the activation's name"
        )
    activations = {ACTIVATION_OF[type(item).__name__] for item in between} or {"tanh"}  # without hidden layers it is never used
    if len(activations) > 1:
        raise ValueError(f"layers are {names}, with different activations: an MLP has the same after every hidden layer")
    weights = [_array(layer.weight).T for layer in linear]
    biases = [np.zeros(W.shape[1], W.dtype) if l.bias is None else _array(l.bias) for l, W in zip(linear, weights)]
    return weights, biases, activations.pop()


def _flat(item) -> Iterator:
    name = type(item).__name__
    if _is_linear(item):
        yield item
    elif name in ACTIVATION_OF:
        if getattr(item, "beta", 1) != 1:
            raise ValueError(f"Softplus has beta = {item.beta}, which is log(1 + e^(beta z))/beta: only beta = 1 is known here")
        yield item
    else:  # a submodule may be used twice: torch's own children() would leave it out the second time
        in_order = {"Sequential", "ModuleList"} & {kind.__name__ for kind in type(item).__mro__}
        parts = item if isinstance(item, (list, tuple)) else list(item._modules.values()) if in_order else []
        if not parts:
            raise TypeError(
                f"{name} is not known: pass a Sequential, or a list, of linear layers (with weight and bias) and "
                f"{', '.join(ACTIVATION_OF)}; what another module's forward does with its layers cannot be seen"
            )
        for part in parts:
            yield from _flat(part)


def _is_linear(item) -> bool:
    return hasattr(item, "bias") and np.ndim(_array(getattr(item, "weight", 0.0))) == 2


def _array(tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)
