"""Gibbs sampling of the pixels of one image on a checkerboard (P11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._row import Case, libraries, row
from refscore.energy import DenoisingMRF

_UNARY, _PAIRWISE = 1.0, 0.7


@row("P11 checkerboard Gibbs, 512 x 512", small={"size": 96, "sweeps": 20}, size=512, sweeps=50)
def checkerboard(size: int, sweeps: int) -> Case:
    """From noise, in double precision. What is compared are the shares of ones and of neighbours that agree.

    Random numbers differ between the libraries: a share's standard error is below 3/2 over the root of the number of pixels, as a
    pixel knows little of what is three and more away.
    """
    x = np.random.default_rng(12).integers(0, 2, (size, size), dtype=np.uint8)
    chain = DenoisingMRF(x, _UNARY, _PAIRWISE).gibbs(sweeps)

    def shares(y):
        return np.array([(y == 1).mean(), (y[1:] == y[:-1]).mean(), (y[:, 1:] == y[:, :-1]).mean()])

    runs: dict[str, Callable] = {"refscore": lambda: shares(chain.simulate(x, 0))}
    for name, run in _peers(x, sweeps).items():
        runs[name] = lambda run=run: shares(np.asarray(run()))
    return Case(np.float64, None, runs, tolerance=7 * 1.5 / size / 0.5)


def _peers(x: np.ndarray, sweeps: int) -> dict[str, Callable[[], Any]]:
    """Both colours of a sweep by masks; spins of 8 bits and probabilities of 64."""
    torch, jax = libraries()
    black, field = np.indices(x.shape).sum(axis=0) % 2 == 0, _UNARY * (2.0 * x - 1)
    runs: dict[str, Callable[[], Any]] = {}

    def sweep(pad, where, sigmoid, one, y, uniforms, field, black):
        for mask in (black, ~black):
            spins = pad(2 * y - 1)
            around = spins[:-2, 1:-1] + spins[2:, 1:-1] + spins[1:-1, :-2] + spins[1:-1, 2:]
            y = where(mask, (uniforms < sigmoid(field + _PAIRWISE * around)) * one, y)
        return y

    if torch:
        one = torch.tensor(1, dtype=torch.int8)
        parts = torch.tensor(field), torch.tensor(black)

        def step(y):
            uniforms = torch.rand(y.shape, dtype=torch.float64)
            return sweep(lambda a: torch.nn.functional.pad(a, (1, 1, 1, 1)), torch.where, torch.sigmoid, one, y, uniforms, *parts)

        def run(step):
            y = torch.tensor(x, dtype=torch.int8)
            for _ in range(sweeps):
                y = step(y)
            return y

        compiled = torch.compile(step)
        runs |= {"torch": torch.no_grad()(lambda: run(step)), "torch compiled": torch.no_grad()(lambda: run(compiled))}
    if jax:
        jnp = jax.numpy
        given = jnp.asarray(field), jnp.asarray(black)

        def sweep_jax(y, uniforms):
            return sweep(lambda a: jnp.pad(a, 1), jnp.where, jax.nn.sigmoid, jnp.int8(1), y, uniforms, *given)

        @jax.jit
        def scan(y, key):
            def advance(carry, _):
                y, key = carry
                key, use = jax.random.split(key)
                uniforms = jax.random.uniform(use, y.shape, jnp.float64)
                return (sweep_jax(y, uniforms), key), None

            return jax.lax.scan(advance, (y, key), None, length=sweeps)[0][0]

        runs["jax"] = lambda: jax.block_until_ready(scan(jnp.asarray(x, dtype=jnp.int8), jax.random.key(0)))
    return runs
