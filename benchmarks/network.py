"""Derivatives of a network in its input: a Jacobian-vector product (P2) and the exact trace of the Jacobian (P3)."""

from __future__ import annotations

import numpy as np

from benchmarks._row import Case, libraries, of_jax, of_torch, row
from refscore.networks import MLP


def layers(tanh, parameters, x):
    """The network in any library; ``parameters`` W1, b1, W2, b2, ..."""
    *hidden, W, b = parameters
    for V, c in zip(hidden[::2], hidden[1::2]):
        x = tanh(x @ V + c)
    return x @ W + b


def product_flops(model: MLP) -> int:
    """Floating-point operations of one pass of a row through the network's matrices."""
    return 2 * sum(W.size for W in model.weights)


@row("P2 value and JVP, d 64, h 512 512, f32", small={"n": 5, "hidden": 8}, n=8192, dim=64, hidden=512, dtype=np.float32)
@row("P2 value and JVP, d 64, h 512 512, f64", small={"n": 5, "hidden": 8}, n=8192, dim=64, hidden=512, dtype=np.float64)
def value_and_jvp(n: int, dim: int, hidden: int, dtype: type) -> Case:
    model = MLP((dim, hidden, hidden, dim), "tanh", 1, dtype)
    x, v = np.random.default_rng(2).standard_normal((2, n, dim)).astype(dtype)

    def jvp(derivative, tanh, x, v, *parameters):
        return derivative(lambda x: layers(tanh, parameters, x), (x,), (v,))[1]

    case = Case(dtype, 2 * n * product_flops(model), {"refscore": lambda: model.jvp(x, v)}, 1e-10 if dtype == np.float64 else 1e-4)
    torch, jax = libraries()
    if torch:
        case.runs |= of_torch(torch, lambda *a: jvp(torch.func.jvp, torch.tanh, *a), x, v, *model.parameters)
    if jax:
        case.runs |= of_jax(jax, lambda *a: jvp(jax.jvp, jax.numpy.tanh, *a), x, v, *model.parameters)
    return case


@row("P3 exact divergence, d 64, h 256 256", small={"n": 5, "dim": 3, "hidden": 8}, n=512, dim=64, hidden=256)
def exact_divergence(n: int, dim: int, hidden: int) -> Case:
    model = MLP((dim, hidden, hidden, dim), "tanh", 1)
    x = np.random.default_rng(2).standard_normal((n, dim))

    def divergence(vmap, jacobian, tanh, x, *parameters):
        return vmap(lambda row: jacobian(lambda y: layers(tanh, parameters, y))(row).trace())(x)

    case = Case(np.float64, None, {"refscore": lambda: model.divergence(x)})
    torch, jax = libraries()
    if torch:
        func = torch.func
        case.runs |= of_torch(torch, lambda *a: divergence(func.vmap, func.jacrev, torch.tanh, *a), x, *model.parameters)
    if jax:
        case.runs |= of_jax(jax, lambda *a: divergence(jax.vmap, jax.jacfwd, jax.numpy.tanh, *a), x, *model.parameters)
    return case
