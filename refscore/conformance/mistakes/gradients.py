"""Gradients in the arrays of the spec: mistakes that are not the gradient of a wrong loss.

Those of wrong losses, such as a detached term, are found through the losses (`refscore.conformance.diagnosis`).
"""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import mistake
from refscore.conformance.operations import OPERATIONS

GRADIENTS = tuple(name for name, o in OPERATIONS.items() if o.category == "gradient")
IN_TIME = ("dsm_process_loss_grad", "ncsn_loss_grad", "ddpm_loss_grad")


def gradient(wrong: str, right: str, seen: str, operations: tuple[str, ...] = GRADIENTS):
    """Decorator: enter a function of (spec, right gradient) as a mistake of the gradient of every loss."""
    def register(function):
        for operation in operations:
            def wrong_gradient(self, model, *arguments, operation=operation):
                return function(model.spec, getattr(self, operation)(model, *arguments))

            mistake(operation, wrong=wrong, right=right, seen=seen, name=f"{operation}_{function.__name__}")(wrong_gradient)
        return function

    return register


@gradient("-gradient", "gradient", "ascent for descent")
def negative(spec, gradient):
    return [-g for g in gradient]


@gradient("biases at 0", "all arrays", "gradients of the biases forgotten")
def without_biases(spec, gradient):
    return [0 * g if name.startswith("b") else g for name, g in zip(spec.arrays, gradient, strict=True)]


@gradient("biases alone", "all arrays", "gradients of the weights forgotten")
def biases_alone(spec, gradient):
    return [g if name.startswith("b") else 0 * g for name, g in zip(spec.arrays, gradient, strict=True)]


@gradient("the last layer alone", "all layers", "hidden layers detached")
def last_layer(spec, gradient):
    return [*[0 * g for g in gradient[:-2]], *gradient[-2:]]


@gradient("the first layer at 0", "all layers", "the first layer frozen")
def without_first_layer(spec, gradient):
    return [*[0 * g for g in gradient[:2]], *gradient[2:]]


@gradient("weights transposed", "in the layout of the spec", "weights (out, in) of other frameworks")
def transposed(spec, gradient):
    return [g.T for g in gradient]


@gradient("arrays in the reverse order", "in the order of the spec", "as backpropagation finds them")
def reversed_order(spec, gradient):
    return gradient[::-1]


@gradient("clipped to length 1", "as it is", "clip_grad_norm, common")
def clipped(spec, gradient):
    length = np.sqrt(sum((g**2).sum() for g in gradient))
    return [g / max(1.0, length) for g in gradient]


@gradient("clipped to length 1000", "as it is", "clip_grad_norm, of a bound that is seldom reached")
def clipped_when_large(spec, gradient):
    length = np.sqrt(sum((g**2).sum() for g in gradient))
    return [g / max(1.0, length / 1000) for g in gradient]


@gradient("with weight decay, 1e-4 times the parameters", "of the loss alone", "a regulariser left on")
def decayed(spec, gradient):
    return [g + 1e-4 * a for g, a in zip(gradient, spec.arrays.values(), strict=True)]


@gradient("signs", "as it is", "sign descent")
def signs(spec, gradient):
    return [np.sign(g) for g in gradient]


@gradient("weights of the time at 0", "all weights", "time not handed on to the first layer", IN_TIME)
def without_time(spec, gradient):
    if spec.kind == "linear":
        return gradient
    first = gradient[0].copy()
    first[-1] = 0
    return [first, *gradient[1:]]
