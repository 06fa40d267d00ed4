"""Log-likelihood along the probability flow of a network's score, with the exact trace, by Runge-Kutta steps (P9)."""

from __future__ import annotations

import numpy as np

from benchmarks._row import Case, libraries, row
from benchmarks.network import layers, product_flops
from refscore.networks import MLP
from refscore.processes import VP
from refscore.samplers import probability_flow

SMALL = {"n": 5, "hidden": 8, "steps": 2}


@row("P9 flow log-likelihood, 20 RK4 steps, d 2, h 128 128", small=SMALL, n=1024, dim=2, hidden=128, steps=20)
@row("P9 flow log-likelihood, 20 RK4 steps, d 16, h 128 128", small=SMALL, n=512, dim=16, hidden=128, steps=20)
def likelihood(n: int, dim: int, hidden: int, steps: int) -> Case:
    model, process = MLP((dim + 1, hidden, hidden, dim), "tanh", 1), VP()
    x, times = np.random.default_rng(2).standard_normal((n, dim)), np.linspace(0, 1, steps + 1)
    chain = probability_flow(process, model).steps(times, "rk4")
    flops = 4 * steps * n * (product_flops(model) + 2 * hidden**2)  # the trace takes one product more
    case = Case(np.float64, flops, {"refscore": lambda: chain.log_likelihood(x).total})
    torch, jax = libraries()
    log_prior = np.log(2 * np.pi * process.variance(1.0)) * dim / 2, 0.5 / process.variance(1.0)
    if torch:
        case.runs |= _of_torch(torch, model, x, times, log_prior)
    if jax:
        case.runs |= _of_jax(jax, model, x, times, log_prior)
    return case


def _slope(library, vmap, jacobian, join):
    """(b, div b) of a batch at time t, from a row's network with its Jacobian."""

    def slope(x, t, *parameters):
        def network(row):
            s = layers(library.tanh, parameters, join(row, t))
            return s, s

        J, s = vmap(jacobian(network, has_aux=True))(x)
        beta = 0.1 + 19.9 * t
        return -0.5 * beta * (x + s), -0.5 * beta * (x.shape[1] + library.einsum("nii->n", J))

    return slope


def _step(slope, x, total, t, s):
    h, middle = s - t, (t + s) / 2
    a = slope(x, t)
    b = slope(x + h / 2 * a[0], middle)
    c = slope(x + h / 2 * b[0], middle)
    d = slope(x + h * c[0], s)
    x, total = (y + h / 6 * (p + 2 * q + 2 * r + u) for y, p, q, r, u in zip((x, total), a, b, c, d, strict=True))
    return x, total


def _of_torch(torch, model, x, times, log_prior):
    """Slopes eager and compiled; a loop over the steps around them."""
    parameters, start, grid = [torch.tensor(W) for W in model.parameters], torch.tensor(x), torch.tensor(times)
    slope = _slope(torch, torch.func.vmap, torch.func.jacfwd, lambda row, t: torch.cat([row, t[None]]))

    def run(slope):
        state = start, torch.zeros(len(x), dtype=start.dtype)
        for t, s in zip(grid[:-1], grid[1:], strict=True):
            state = _step(lambda y, u: slope(y, u, *parameters), *state, t, s)
        return state[1] - log_prior[0] - log_prior[1] * (state[0] ** 2).sum(1)

    compiled = torch.compile(slope)
    return {"torch": torch.no_grad()(lambda: run(slope)), "torch compiled": torch.no_grad()(lambda: run(compiled))}


def _of_jax(jax, model, x, times, log_prior):
    """All steps compiled as one loop."""
    np_ = jax.numpy
    slope = _slope(np_, jax.vmap, jax.jacfwd, lambda row, t: np_.concatenate([row, t[None]]))
    parameters, given, grid = [np_.asarray(W) for W in model.parameters], np_.asarray(x), np_.asarray(times)

    @jax.jit
    def run(x, times, *parameters):
        def one(state, ends):
            return _step(lambda y, u: slope(y, u, *parameters), *state, *ends), None

        (end, total), _ = jax.lax.scan(one, (x, np_.zeros(len(x))), (times[:-1], times[1:]))
        return total - log_prior[0] - log_prior[1] * (end**2).sum(1)

    return {"jax": lambda: jax.block_until_ready(run(given, grid, *parameters))}
