"""What is taken for a score that it is not: named where it is handed over, not where a step fails."""

import numpy as np
import pytest

from refscore.densities import Gaussian
from refscore.processes import DDPM, VP, ConvertedScore, MarginalScore, linear_betas
from refscore.samplers import ddim, ddpm, predictor_corrector, probability_flow, reverse_sde

DATA = Gaussian([0.5], 0.8)
TIMES = np.linspace(1, 0.1, 5)


@pytest.mark.parametrize("build", [
    lambda score: reverse_sde(VP(), score, TIMES),
    lambda score: predictor_corrector(VP(), score, TIMES, 1, 0.1),
    lambda score: probability_flow(VP(), score),
])  # fmt: skip
def test_a_score_without_time_is_refused_with_the_way_out(build):
    with pytest.raises(TypeError, match=r"knows no time; pass MarginalScore\(process, density\)"):
        build(DATA.score)
    build(MarginalScore(VP(), DATA)), build(lambda *arguments: None), build(np.add)  # these may be called so


def test_a_score_is_not_a_noise_prediction():
    chain = DDPM(linear_betas(20))
    for model in (MarginalScore(chain, DATA), ConvertedScore(MarginalScore(VP(), DATA), chain, VP())):
        with pytest.raises(TypeError, match="gives a score: pass predicts='score'"):
            ddpm(chain, model)
        ddpm(chain, model, predicts="score")
    with pytest.raises(TypeError, match="MarginalScore, which gives a score"):
        ddim(VP(), MarginalScore(VP(), DATA), TIMES)


def test_a_noise_prediction_is_asked_at_whole_indices():
    table, seen = np.linspace(0, 1, 21), []

    def model(x, i):
        seen.append(i)
        return x * table[i]

    ddpm(DDPM(linear_betas(20)), model).simulate(np.ones((2, 1)), 0)
    assert seen == list(range(20, 0, -1)) and all(type(i) is int for i in seen)


def test_arguments_of_a_marginal_score():
    with pytest.raises(TypeError, match="process is Gaussian: pass MarginalScore"):
        MarginalScore(DATA, VP())
    for build in (lambda x: MarginalScore(VP(), x), lambda x: VP().marginal(x, 0.5)):
        with pytest.raises(TypeError, match=r"density is ndarray: .*PointSet\(x\)"):
            build(np.ones((3, 1)))
