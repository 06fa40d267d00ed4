"""Bridges to other frameworks: their models of a spec, arrays both ways, gradients by their own automatic differentiation.

    from refscore.conformance.bridges import torch as bridge

    @bridge.adapter
    class Mine:
        process = VP()
        conventions = {"predicts": "eps"}

        def dsm_process_loss(self, model, x0, t, noise):      # tensors in, tensors out
            ...

`refscore.conformance.bridges.torch` and `.jax` have the same names and are imported when they are asked for.
"""

import importlib

FRAMEWORKS = ("torch", "jax")


def __getattr__(name: str):
    if name not in FRAMEWORKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: there are bridges to {' and '.join(FRAMEWORKS)}")
    return importlib.import_module(f"{__name__}.{name}")
