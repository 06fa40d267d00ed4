"""Trained scores come within one hundredth of the best there is, measured without sampling.

The exact loss of a model minus the irreducible one is the Fisher divergence between it and the law that it was trained on,
1/2 E ||s - grad log q||^2 (systems B2, B9), averaged with the objective's weights over levels or times; a lattice sums it.
It is compared with the same of s = 0, half the Fisher information (or its average): what there was to be learnt. The margin of 1 %
is stated, not fitted: least squares with P parameters on N independent rows leaves P/(2N) times the variance of a row's target, for
DSM 2 P C/(N I) of I/2, which for P = 1200, N = 768000 and C about I is 0.3 %. No seed is chosen: 0, and with --slow 1 and 2.
"""

import numpy as np
import pytest

from refscore.densities import GaussianMixture
from refscore.distances import total_variation
from refscore.laws import law as law_of
from refscore.networks import MLP
from refscore.objectives import esm
from refscore.processes import DDPM, OU, MarginalScore
from refscore.samplers import ddpm
from refscore.training import Adam, Denoising, DenoisingProcess, Implicit, NoiseConditional, NoisePrediction, Sliced, train

MARGIN = 0.01
MIXTURES = {
    1: GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.1, 0.3]),
    2: GaussianMixture([0.35, 0.65], [[-1.2, 0.6], [1.0, -0.5]], [[[0.5, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.6]]]),
}
LADDER = np.geomspace(1.5, 0.3, 5)
CHAIN = DDPM([0.1, 0.4, 0.05, 0.3, 0.5])
PROCESS, T_MIN, T_MAX = OU(1.0, np.sqrt(2)), 0.1, 2.0
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]


def one_law(law):
    return [(law, 1.0, ())]


def ladder(density):
    return [(density.corrupted(1.0, s), s * s, (s,)) for s in LADDER]


def process(density):
    x, w = np.polynomial.legendre.leggauss(8)
    times = T_MIN + (T_MAX - T_MIN) * (x + 1) / 2
    return [(PROCESS.marginal(density, t), weight * PROCESS.sigma(t) ** 2, (t,)) for t, weight in zip(times, w)]


METHODS = {  # objective, steps, what it is trained on: (law, weight, condition) of each level
    "DSM": (Denoising(0.5), 1000, lambda density: one_law(density.corrupted(1.0, 0.5))),
    "ISM": (Implicit(), 1000, one_law),
    "SSM": (Sliced("gaussian"), 1000, one_law),
    "SSM-VR": (Sliced("gaussian", variance_reduced=True), 1000, one_law),
    "NCSN": (NoiseConditional(LADDER), 2000, ladder),
    "DSM along OU": (DenoisingProcess(PROCESS, T_MAX, T_MIN), 2000, process),
}


def share_left(model, levels, spacing=0.2):
    """What is left to be learnt, as a share of what there was."""
    left = whole = 0.0
    for law, weight, condition in levels:
        x, w = law.nodes(spacing)
        score = law.score(x)
        left += weight * esm(lambda x, condition=condition: model(x, *condition), x, score, sample_weight=w)
        whole += weight * w @ (score**2).sum(axis=1) / 2
    return left / whole


def trained(method, d, seed):
    objective, steps, levels = METHODS[method]
    timed = levels is not one_law and method != "DSM"
    model = MLP((d + timed, 32, 32, d), "silu", seed)
    for phase, (rate, n) in enumerate(((0.01, steps), (0.001, steps // 2))):
        model = train(model, MIXTURES[d], objective, Adam(rate), steps=n, batch=512, seed=100 * phase + seed).model
    return model, levels(MIXTURES[d])


CASES = [("DSM", 1), ("ISM", 1)]
LONG = [(method, d) for method in METHODS for d in MIXTURES if (method, d) not in CASES]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("method", "d"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in LONG)])
def test_within_one_hundredth(method, d, seed):
    model, levels = trained(method, d, seed)
    share = share_left(model, levels)
    assert 0 < share < MARGIN
    assert abs(share - share_left(model, levels, 0.15)) < 1e-6  # the lattice does not decide


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_noise_prediction_and_what_its_sampler_gives(seed):
    """eps(x, i) as a score is within one hundredth; the chain that it drives is as near to the exact one as its errors allow.

    Kernels N(m, v I) and N(m + b e, v I) are b^2 |e|^2/2v apart in KL; the chains' KL is the sum of what each step adds, on average
    over the law of the exact chain, and TV^2 <= KL/2 (Pinsker).
    """
    density, model = MIXTURES[1], MLP((2, 32, 32, 1), "silu", seed)
    for phase, (rate, n) in enumerate(((0.01, 2000), (0.001, 1000))):
        model = train(model, density, NoisePrediction(CHAIN), Adam(rate), steps=n, batch=512, seed=100 * phase + seed).model
    levels = [(CHAIN.marginal(density, i), CHAIN.variance(i), (i,)) for i in range(1, len(CHAIN) + 1)]
    assert 0 < share_left(lambda x, i: -model(x, np.full(len(x), i)) / CHAIN.sigma(i), levels) < MARGIN
    start = CHAIN.marginal(density, len(CHAIN))
    learnt = ddpm(CHAIN, lambda x, i: model(x, np.full(len(x), i)))[:-1]
    exact = ddpm(CHAIN, MarginalScore(CHAIN, density), predicts="score")[:-1]
    apart = 0.0
    for k, (b, v) in enumerate(zip(exact.b, exact.v, strict=True)):
        x, w = law_of(exact[:k], start).nodes(0.5)
        apart += b * b / (2 * v) * (w @ (learnt.score(x, exact.times[k]) - exact.score(x, exact.times[k])) ** 2).sum()
    distance, error = total_variation(law_of(learnt, start), law_of(exact, start))
    assert 0 < distance - error and distance + error < np.sqrt(apart / 2) < 0.2


def test_what_the_measure_says_of_the_untrained():
    """An untrained network is far outside the margin, the exact score leaves nothing, zero leaves all."""
    for d, density in MIXTURES.items():
        levels = one_law(density)
        assert share_left(MLP((d, 32, 32, d), "silu", 0), levels) > 0.5
        assert share_left(density.score, levels) == 0.0
        assert share_left(np.zeros_like, levels) == pytest.approx(1.0, rel=1e-12)
