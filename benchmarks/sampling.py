"""Sampling by a reverse SDE with the exact score of a mixture (P7), and what it takes to know the law of the samples (P10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._row import Case, libraries, row
from refscore.densities import GaussianMixture
from refscore.distances import total_variation
from refscore.laws import law
from refscore.processes import OU, MarginalScore
from refscore.samplers import Chain, reverse_sde

_COUNT = 8
_STEPS = (12, 17, 24, 34, 48, 68, 96, 136)


@row("P7 reverse SDE, d 2", small={"n": 20_000, "steps": 7}, n=200_000, steps=100, dim=2)
@row("P7 reverse SDE, d 32", small={"n": 20_000, "steps": 7}, n=200_000, steps=100, dim=32)
def reverse(n: int, steps: int, dim: int) -> Case:
    """Random numbers differ between the libraries: what is compared are means and second moments, within 7 standard errors."""
    rng = np.random.default_rng(11)
    weights, variances = rng.dirichlet(np.ones(_COUNT)), rng.uniform(0.1, 0.5, _COUNT)
    means = 2 * rng.standard_normal((_COUNT, dim))
    process, data = OU(1.0, np.sqrt(2)), GaussianMixture(weights, means, variances)
    chain = reverse_sde(process, MarginalScore(process, data), np.linspace(3.0, 0.01, steps + 1))
    start = rng.standard_normal((n, dim))

    def moments(x):
        return [x.mean(0), x.T @ x / n]

    runs: dict[str, Callable] = {"refscore": lambda: moments(chain.simulate(start, 0))}
    return Case(np.float64, None, runs | _peers(process, data, chain, start, moments), tolerance=7 * 3 / np.sqrt(n))


@row("P10 TV against h, 8 chains, to 1e-8", small={"n": 5_000, "steps": (5, 8)}, n=20_000, steps=_STEPS)
def curve(n: int, steps: tuple[int, ...]) -> Case:
    """Total variation between what the exponential integrator produces in so many steps and the data.

    refscore computes the laws. Where laws are not known there are samples, and the number of them below the points where the two
    densities cross; these points are given to the other libraries. Their errors fall like n^(-1/2), so that the time for 1e-8 is
    extrapolated.
    """
    process, data = OU(1.0, np.sqrt(2)), GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
    score, start = MarginalScore(process, data), process.marginal(data, 3.0)
    chains = [reverse_sde(process, score, np.linspace(3, 0, count + 1), "exponential") for count in steps]
    case = Case(np.float64, None, tolerance=7 * 0.5 / np.sqrt(n) / 0.05, accuracy=1e-8)
    case.runs["refscore"] = lambda: np.array([total_variation(law(chain, start), data)[0] for chain in chains])

    grid, first = np.linspace(-6, 6, 12_001)[:, None], start.sample(n, 1)
    simulations = []
    for chain in chains:
        excess = law(chain, start).logpdf(grid) - data.logpdf(grid)
        roots = grid[np.flatnonzero(np.diff(np.sign(excess))), 0].tolist()
        below = data.cdf(np.array(roots)[:, None])
        runs = _peers(process, data, chain, first, lambda x, roots=roots: [((x < root) * 1.0).mean() for root in roots])
        simulations.append((runs, below))
    for name in simulations[0][0]:
        case.runs[name] = lambda name=name: np.array([_estimate(runs[name](), below) for runs, below in simulations])
    return case


def _estimate(shares, below: np.ndarray) -> float:
    """1/2 int |p - q| from the masses of both below the points where they cross."""
    difference = np.array([float(share) for share in shares]) - below
    return float(np.abs(np.diff(difference, prepend=0.0, append=0.0)).sum() / 2)


def _peers(process: OU, data: GaussianMixture, chain: Chain, start: np.ndarray, finish: Callable) -> dict[str, Callable[[], Any]]:
    """``finish`` of the last states, in each library."""
    alpha, noise = process.alpha(chain.times), process.variance(chain.times)
    located = alpha[:, None, None] * data.means
    spread = alpha[:, None] ** 2 * data.covs + noise[:, None]
    pull, precision = located / spread[:, :, None], 1 / spread
    const = np.log(data.weights) - data.dim / 2 * np.log(spread) - (located * pull).sum(axis=2) / 2
    table = (chain.a, chain.b, np.sqrt(chain.v), pull, precision, const)

    def step(softmax, x, z, a, b, root, pull, precision, const):
        r = softmax(x @ pull.T - 0.5 * (x * x).sum(1)[:, None] * precision + const)
        return a * x + b * (r @ pull - x * (r @ precision)[:, None]) + root * z

    torch, jax = libraries()
    runs: dict[str, Callable[[], Any]] = {}
    if torch:
        tensors, x0 = [torch.tensor(column) for column in table], torch.tensor(start)

        def run(step):
            x = x0
            for k in range(len(chain)):
                x = step(x, torch.randn(x.shape, dtype=x.dtype), *(column[k] for column in tensors))
            return finish(x)

        eager = torch.no_grad()(lambda *arguments: step(lambda z: torch.softmax(z, 1), *arguments))
        compiled = torch.compile(eager)
        runs |= {"torch": lambda: run(eager), "torch compiled": lambda: run(compiled)}
    if jax:
        columns, first = [jax.numpy.asarray(column) for column in table], jax.numpy.asarray(start)

        @jax.jit
        def scan(x, key):
            def advance(carry, column):
                x, key = carry
                key, use = jax.random.split(key)
                return (step(lambda z: jax.nn.softmax(z, 1), x, jax.random.normal(use, x.shape, x.dtype), *column), key), None

            return finish(jax.lax.scan(advance, (x, key), columns)[0][0])

        runs["jax"] = lambda: jax.block_until_ready(scan(first, jax.random.key(0)))
    return runs
