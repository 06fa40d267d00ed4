"""Sampling by a reverse SDE with the exact score of a mixture: P7."""

from __future__ import annotations

import numpy as np

from benchmarks._row import Case, libraries, row
from refscore.densities import GaussianMixture
from refscore.processes import OU, MarginalScore
from refscore.samplers import reverse_sde

_COUNT = 8


@row("P7 reverse SDE, d 2", small={"n": 20_000, "steps": 7}, n=200_000, steps=100, dim=2)
@row("P7 reverse SDE, d 32", small={"n": 20_000, "steps": 7}, n=200_000, steps=100, dim=32)
def reverse(n: int, steps: int, dim: int) -> Case:
    """Random numbers differ between the libraries: what is compared are means and second moments, within 7 standard errors."""
    rng = np.random.default_rng(11)
    weights, variances = rng.dirichlet(np.ones(_COUNT)), rng.uniform(0.1, 0.5, _COUNT)
    means = 2 * rng.standard_normal((_COUNT, dim))
    process, times = OU(1.0, np.sqrt(2)), np.linspace(3.0, 0.01, steps + 1)
    score = MarginalScore(process, GaussianMixture(weights, means, variances))
    chain = reverse_sde(process, score, times)
    start = rng.standard_normal((n, dim))

    def moments(x):
        return [x.mean(0), x.T @ x / n]

    case = Case(np.float64, None, {"refscore": lambda: moments(chain.simulate(start, 0))}, tolerance=7 * 3 / np.sqrt(n))
    alpha, noise = process.alpha(times[:-1]), process.variance(times[:-1])
    located = alpha[:, None, None] * means
    spread = alpha[:, None] ** 2 * variances + noise[:, None]
    pull, precision = located / spread[:, :, None], 1 / spread
    const = np.log(weights) - dim / 2 * np.log(spread) - (located * pull).sum(axis=2) / 2
    table = (chain.a, chain.b, np.sqrt(chain.v), pull, precision, const)

    def step(softmax, x, z, a, b, root, pull, precision, const):
        r = softmax(x @ pull.T - 0.5 * (x * x).sum(1)[:, None] * precision + const)
        return a * x + b * (r @ pull - x * (r @ precision)[:, None]) + root * z

    torch, jax = libraries()
    if torch:
        tensors, x0 = [torch.tensor(column) for column in table], torch.tensor(start)

        def run(step):
            x = x0
            for k in range(steps):
                x = step(x, torch.randn(x.shape, dtype=x.dtype), *(column[k] for column in tensors))
            return moments(x)

        eager = torch.no_grad()(lambda *arguments: step(lambda z: torch.softmax(z, 1), *arguments))
        compiled = torch.compile(eager)
        case.runs |= {"torch": lambda: run(eager), "torch compiled": lambda: run(compiled)}
    if jax:
        columns, first = [jax.numpy.asarray(column) for column in table], jax.numpy.asarray(start)

        @jax.jit
        def scan(x, key):
            def advance(carry, column):
                x, key = carry
                key, use = jax.random.split(key)
                return (step(lambda z: jax.nn.softmax(z, 1), x, jax.random.normal(use, x.shape, x.dtype), *column), key), None

            return moments(jax.lax.scan(advance, (x, key), columns)[0][0])

        case.runs["jax"] = lambda: jax.block_until_ready(scan(first, jax.random.key(0)))
    return case
