"""Block Gibbs sweeps of a restricted Boltzmann machine (P11)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks._row import Case, libraries, row
from refscore.energy import RBM, gibbs


@row("P11 RBM Gibbs, 784 x 500, batch 1000, 20 sweeps, f32", small={"n": 500, "sweeps": 2}, n=1000, sweeps=20, dtype=np.float32)
@row("P11 RBM Gibbs, 784 x 500, batch 1000, 20 sweeps, f64", small={"n": 500, "sweeps": 2}, n=1000, sweeps=20, dtype=np.float64)
def sweeps(n: int, sweeps: int, dtype: type, visible: int = 784, hidden: int = 500) -> Case:
    """Random numbers differ between the libraries: what is compared are means over the batch, within 7 standard errors."""
    rng = np.random.default_rng(12)
    rbm = RBM(rng.standard_normal((visible, hidden)) / 20, rng.standard_normal(visible), rng.standard_normal(hidden))
    start = (rng.random((n, visible)) < 0.5).astype(dtype)
    chain = gibbs(rbm, sweeps)
    runs: dict[str, Callable] = {"refscore": lambda: chain.simulate(start, 0).mean(0)}
    W, b, c = (a.astype(dtype) for a in rbm.parameters)
    torch, jax = libraries()
    if torch:
        Wt, bt, ct, first = (torch.tensor(a) for a in (W, b, c, start))

        def swept(x):
            z = (torch.rand(n, hidden, dtype=x.dtype) < torch.sigmoid(torch.addmm(ct, x, Wt))).to(x.dtype)
            return (torch.rand(n, visible, dtype=x.dtype) < torch.sigmoid(torch.addmm(bt, z, Wt.T))).to(x.dtype)

        def run(swept):
            x = first
            for _ in range(sweeps):
                x = swept(x)
            return x.mean(0)

        compiled = torch.compile(swept)
        runs |= {"torch": torch.no_grad()(lambda: run(swept)), "torch compiled": torch.no_grad()(lambda: run(compiled))}
    if jax:
        uniform, sigmoid = jax.random.uniform, jax.nn.sigmoid

        @jax.jit
        def scan(x, key, W, b, c):
            def advance(x, key):
                one, other = jax.random.split(key)
                z = (uniform(one, (n, hidden), x.dtype) < sigmoid(x @ W + c)).astype(x.dtype)
                return (uniform(other, x.shape, x.dtype) < sigmoid(z @ W.T + b)).astype(x.dtype), None

            return jax.lax.scan(advance, x, jax.random.split(key, sweeps))[0].mean(0)

        given = [jax.numpy.asarray(a) for a in (start, W, b, c)]
        key = jax.random.key(0, impl="unsafe_rbg")  # XLA's own generator, faster here than the default's
        runs["jax"] = lambda: jax.block_until_ready(scan(given[0], key, *given[1:]))
    flops = 4.0 * n * visible * hidden * sweeps
    return Case(dtype, flops, runs, tolerance=7 * 0.5 * np.sqrt(2 / n))
