"""Training steps, loss and gradient and Adam: denoising (P4), implicit with the exact trace (P5), sliced (P6) score matching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._row import Case, libraries, row
from benchmarks.network import layers, product_flops
from refscore.networks import MLP
from refscore.training import Adam, Denoising, Implicit, Sliced, train_step

SIGMA = 0.5
ADAM = Adam(1e-3, eps=1e-4)  # eps large enough that entries of g that are nothing but rounding do not move


@row("P4 DSM step, d 64, h 512 512, batch 1024, f32", small={"n": 5, "hidden": 8}, n=1024, dim=64, hidden=512, dtype=np.float32)
@row("P4 DSM step, d 64, h 512 512, batch 1024, f64", small={"n": 5, "hidden": 8}, n=1024, dim=64, hidden=512, dtype=np.float64)
@row("P4 DSM step, d 2, h 128 128, batch 4096, f32", small={"n": 5, "hidden": 8}, n=4096, dim=2, hidden=128, dtype=np.float32)
@row("P4 DSM step, d 2, h 128 128, batch 4096, f64", small={"n": 5, "hidden": 8}, n=4096, dim=2, hidden=128, dtype=np.float64)
def denoising(n: int, dim: int, hidden: int, dtype: type) -> Case:
    model = MLP((dim, hidden, hidden, dim), "tanh", 1, dtype)
    x0, noise = np.random.default_rng(2).standard_normal((2, n, dim)).astype(dtype)

    def loss(library, parameters, x0, noise):
        residual = layers(library.tanh, parameters, x0 + SIGMA * noise) + noise / SIGMA
        return 0.5 * (residual * residual).sum(1).mean()

    flops = n * (3 * product_flops(model) - 2 * model.weights[0].size)  # the input's own cotangent is not needed
    return _steps(model, Denoising(SIGMA), flops, lambda torch: loss, lambda jax: loss, x0, noise)


@row("P5 ISM step, exact trace, d 64, h 256 256, batch 256", small={"n": 5, "dim": 3, "hidden": 8}, n=256, dim=64, hidden=256)
def implicit(n: int, dim: int, hidden: int) -> Case:
    model = MLP((dim, hidden, hidden, dim), "tanh", 1)

    def loss_with(vmap, jacobian):
        def row_loss(library, parameters, x):
            s = layers(library.tanh, parameters, x)
            return 0.5 * (s * s).sum() + jacobian(lambda y: layers(library.tanh, parameters, y))(x).trace()

        return lambda library, parameters, x: vmap(lambda row: row_loss(library, parameters, row))(x).mean()

    return _steps(model, Implicit(), None, lambda torch: loss_with(torch.func.vmap, torch.func.jacrev),
                  lambda jax: loss_with(jax.vmap, jax.jacfwd), np.random.default_rng(2).standard_normal((n, dim)))


@row("P6 SSM step, d 64, h 512 512, batch 1024, f32", small={"n": 5, "hidden": 8}, n=1024, dim=64, hidden=512, dtype=np.float32)
@row("P6 SSM step, d 64, h 512 512, batch 1024, f64", small={"n": 5, "hidden": 8}, n=1024, dim=64, hidden=512, dtype=np.float64)
def sliced(n: int, dim: int, hidden: int, dtype: type) -> Case:
    model = MLP((dim, hidden, hidden, dim), "tanh", 1, dtype)
    x, v = np.random.default_rng(2).standard_normal((2, n, dim)).astype(dtype)

    def loss_with(jvp):
        def loss(library, parameters, x, v):
            s, Dsv = jvp(lambda y: layers(library.tanh, parameters, y), (x,), (v,))
            return (0.5 * (v * s).sum(1) ** 2 + (v * Dsv).sum(1)).mean()

        return loss

    flops = 2 * n * (3 * product_flops(model) - 2 * model.weights[0].size)
    return _steps(model, Sliced(), flops, lambda torch: loss_with(torch.func.jvp), lambda jax: loss_with(jax.jvp), x, v)


def _steps(model: MLP, objective, flops: float | None, torch_loss: Callable, jax_loss: Callable, *arrays: np.ndarray) -> Case:
    """A run is one step and gives (loss, parameters after it); ``torch_loss(torch)(torch, parameters, *arrays)`` is the loss."""
    at: list[Any] = [model, ADAM.start(model.parameters)]

    def of_refscore():
        value, *at[:] = train_step(at[0], objective, ADAM, at[1], *arrays)
        return value, at[0].parameters

    case = Case(model.dtype, flops, {"refscore": of_refscore}, 1e-10 if model.dtype == np.float64 else 1e-4)
    torch, jax = libraries()
    if torch:
        case.runs.update(_with_torch(torch, torch_loss(torch), model, arrays))
    if jax:
        case.runs["jax"] = _with_jax(jax, jax_loss(jax), model, arrays)
    return case


def _with_torch(torch, loss, model, arrays) -> dict[str, Callable]:
    tensors = [torch.tensor(a) for a in arrays]

    def steps(loss):
        parameters = [torch.tensor(a, requires_grad=True) for a in model.parameters]
        adam = torch.optim.Adam(parameters, ADAM.rate, ADAM.betas, ADAM.eps, fused=True)

        def one_step():
            adam.zero_grad()
            value = loss(parameters, *tensors)
            value.backward()
            adam.step()
            return value, parameters

        return one_step

    def eager(parameters, *tensors):
        return loss(torch, parameters, *tensors)

    return {"torch": steps(eager), "torch compiled": steps(torch.compile(eager))}


def _with_jax(jax, loss, model, arrays) -> Callable:
    (b1, b2), tree = ADAM.betas, jax.tree.map

    @jax.jit
    def one_step(parameters, m, v, k, *arrays):
        value, g = jax.value_and_grad(lambda p: loss(jax.numpy, p, *arrays))(parameters)
        m, v = tree(lambda m, g: b1 * m + (1 - b1) * g, m, g), tree(lambda v, g: b2 * v + (1 - b2) * g * g, v, g)
        rate, root = ADAM.rate / (1 - b1**k), 1 / (1 - b2**k) ** 0.5

        def moved(p, m, v):
            return (p - rate * m / (jax.numpy.sqrt(v) * root + ADAM.eps)).astype(p.dtype)

        return value, tree(moved, parameters, m, v), m, v

    parameters = tree(jax.numpy.asarray, model.parameters)
    zeros = tree(jax.numpy.zeros_like, parameters)
    at, arrays, count = [parameters, zeros, zeros], tree(jax.numpy.asarray, arrays), iter(range(1, 1 << 60))

    def run():
        value, *at[:] = jax.block_until_ready(one_step(*at, float(next(count)), *arrays))
        return value, at[0]

    return run
