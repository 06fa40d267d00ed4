r"""Identity of what is drawn: probes, and the data, noise, levels and times of a training step, have their laws.

A sample is not its law, and no bound of rounding fits between them; but how far n independent draws stray from their law has a
bound for every n and every law F on the line (Dvoretzky, Kiefer & Wolfowitz 1956, with Massart's constant, 1990):

    P(sup |F_n - F| > lambda/sqrt(n)) <= 2 e^{-2 lambda^2},            lambda = 4: 2.5e-14.

A draw in d dimensions is looked at along an axis and along a direction in which all coordinates enter, so that coordinates that are
right one by one and depend on each other are seen too. Independence of data and noise is that of their sum, whose law is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from refscore.identities import _textbook
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.processes import DDPM, OU
from refscore.training import Denoising, DenoisingProcess, Implicit, NoiseConditional, NoisePrediction

DRAWS = 2**16
LAMBDA = 4.0
SIGMA = 0.7
T_MIN, T_MAX = 0.4, 2.0
DIRECTIONS = {2: {"an axis": np.array([0.0, 1.0]), "(3, -4)/5": np.array([3.0, -4.0]) / 5},
              3: {"an axis": np.array([0.0, 1.0, 0.0]), "(1, 2, -2)/3": np.array([1.0, 2.0, -2.0]) / 3}}


@identity(
    id="D5.draws",
    systems=("D5", "B5"),
    title="What is drawn has its law: probes, data, noise, levels, times and indices",
    statement=r"\sup_x|F_n(x) - F(x)| \le 4/\sqrt n,\quad P(\text{otherwise}) \le 2e^{-32}",
    source="[e, minibatches of ISM, DSM, SSM and NCSN], [a, sec. 4]; Massart 1990, corollary 1",
    method="distribution function of 65536 draws vs the law's in closed form, along an axis and across it",
    catches=("probes_uniform_for_gaussian", "probes_normalised_cube", "probes_one_sign_for_all_coordinates",
             "probes_one_for_all_rows",
             "minibatch_noise_uniform", "minibatch_noise_of_variance_two", "minibatch_noise_from_the_stream_of_the_data",
             "minibatch_last_level_never", "minibatch_one_level_for_all_rows", "minibatch_times_from_zero",
             "minibatch_one_time_for_all_rows", "minibatch_index_from_zero", "minibatch_last_index_never",
             "minibatch_one_index_for_all_rows", "minibatch_last_row_never",
             "minibatch_without_replacement"),
)
def laws_of_draws(ops, seed):
    """Every draw against its distribution function; two rows of five coincide in one step of five."""
    rows = []
    for case, draws, law in _cases(ops, seed):
        strays = np.sqrt(len(draws)) * _distance(draws.astype(float), law)
        yield Comparison(case, strays <= LAMBDA, True, 0.0)
        rows.append((case, len(draws), strays))
    title = "sqrt(n) sup |F_n - F|: 0.83 is its median for a continuous law, 4 is never exceeded"
    yield Table(title, ("draw", "n", "distance"), rows)


def _distance(draws, law) -> float:
    """sup |F_n - F|, which is met at a value that was drawn or just below one."""
    values, counts = np.unique(draws, return_counts=True)
    upto = np.cumsum(counts)
    gaps = upto / len(draws) - law(values), (upto - counts) / len(draws) - law(np.nextafter(values, -np.inf))
    return float(np.abs(gaps).max())


def _cases(ops, seed) -> Iterator[tuple[str, np.ndarray, Callable]]:
    """Name, independent draws (n,), and their distribution function."""
    from scipy.special import ndtr

    for name, e in DIRECTIONS[3].items():
        yield f"Gaussian probes along {name}", ops.probes("gaussian", DRAWS, 3, seed) @ e, ndtr
        along = ops.probes("sphere", DRAWS, 3, seed) @ e / np.sqrt(3)  # Archimedes: the height on the sphere is uniform
        yield f"probes on the sphere along {name}", along, lambda h: (1 + h) / 2
    signs = ops.probes("rademacher", DRAWS, 3, seed) > 0
    yield "which of the 8 signs", signs @ np.array([1, 2, 4]), _uniform(8)

    density, objective = mixture(2), Denoising(SIGMA)
    x0, z = ops.minibatch(density, objective, DRAWS, seed, 1)
    for name, e in DIRECTIONS[2].items():
        yield f"data along {name}", x0 @ e, _along(density, e)
        yield f"noise along {name}", z @ e, ndtr
        yield f"data + {SIGMA} noise along {name}", (x0 + SIGMA * z) @ e, _along(density.corrupted(1.0, SIGMA), e)
    _, level, z = ops.minibatch(density, NoiseConditional((1.0, 0.5, 0.25)), DRAWS, seed, 2)
    yield "levels", level, _uniform(3)
    yield "noise of levels", z[:, 0], ndtr
    _, t, z = ops.minibatch(density, DenoisingProcess(OU(0.7, 1.2), T_MAX, T_MIN), DRAWS, seed, 3)
    yield "times", t, lambda u: np.clip((u - T_MIN) / (T_MAX - T_MIN), 0, 1)
    yield "noise along a process", z[:, 0], ndtr
    _, index, z = ops.minibatch(density, NoisePrediction(DDPM([0.1, 0.4, 0.05, 0.3])), DRAWS, seed, 5)
    yield "indices", index - 1, _uniform(4)
    yield "noise at indices", z[:, 0], ndtr
    points = np.arange(5.0)[:, None]
    yield "rows of data", ops.minibatch(points, Implicit(), DRAWS, seed, 4)[0][:, 0], _uniform(5)
    pairs = np.array([ops.minibatch(points, Implicit(), 2, seed, k)[0][:, 0] for k in range(1, 1025)])
    yield "two rows are the same", pairs[:, 0] == pairs[:, 1], lambda same: np.where(same < 1, np.where(same < 0, 0.0, 0.8), 1.0)


def _uniform(n: int) -> Callable:
    """Distribution function of 0, ..., n - 1, all as likely."""
    return lambda k: (np.floor(k) + 1) / n


def _along(density, e) -> Callable:
    """Distribution function of e.x."""
    from scipy.special import ndtr

    centres, spreads = density.means @ e, np.sqrt(e @ _textbook.matrices(density) @ e)
    return lambda u: ndtr((u[:, None] - centres) / spreads) @ density.weights
