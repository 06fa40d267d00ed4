"""What is taken for a score that it is not: named where it is handed over, not where a step fails."""

import numpy as np
import pytest

from refscore.densities import Gaussian, PointSet
from refscore.processes import DDPM, OU, VP, ConvertedScore, MarginalScore, linear_betas
from refscore.samplers import ddim, ddpm, forward_sde, predictor_corrector, probability_flow, reverse_sde
from refscore.training import DenoisingProcess

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


X = np.zeros((3, 2))
EXACT = MarginalScore(VP(), Gaussian([0.0, 0.0], 1.0))
LONG = np.linspace(0, 1, 400)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: probability_flow(VP(), EXACT).integrate(X, 0.0, [0.1, 0.2, 0.3]), TypeError, r"t1 has shape \(3,\): pass one"),
        (lambda: probability_flow(VP(), EXACT).integrate(X, 0.0, np.inf), ValueError, "t1 is inf: it must be finite"),
        (lambda: probability_flow(OU(1.0, 1.0), EXACT).integrate(X, 0.0, np.inf), ValueError, "OU has no last time"),
        (lambda: probability_flow(VP, EXACT), TypeError, r"process is the class VP: pass a process, such as VP\(...\)"),
        (lambda: reverse_sde(VP, EXACT, [1.0, 0.0]), TypeError, r"process is the class VP: pass a process, such as VP\(...\)"),
        (lambda: reverse_sde(DDPM([0.1]), EXACT, [1.0, 0.0]), TypeError, "without rate and diffusion: pass an SDE"),
        (lambda: reverse_sde(VP(), EXACT, LONG), ValueError, r"times = \[0.0, .*, .*, ..., 1.0\] of shape \(400,\): pass"),
        (lambda: forward_sde(VP().drift, VP().diffusion, LONG), TypeError,
         r"diffusion\(t\) cannot be called as diffusion\(x, t\).*pass lambda x, t: process.diffusion\(t\)"),
        (lambda: forward_sde(VP().drift, 3, LONG), TypeError, r"diffusion is 3: pass a callable diffusion\(x, t\)"),
        (lambda: forward_sde(VP().drift, lambda x, t: 1.0, LONG[::100]).path(X, 3), ValueError,
         r"increments have shape \(\): pass shape \(3, n, d\)"),
        (lambda: ddim(DDPM([0.1, 0.2]), EXACT, [1.5, 0]), ValueError, "indices is 1.5: a chain has indices"),
        (lambda: ddim(DDPM([0.1, 0.2]), EXACT, [3, 0]), ValueError, "indices is 3.0: DDPM runs"),
        (lambda: ddim(VP, EXACT, [1.0, 0]), TypeError, "process is <class .*VP'>: pass a DDPM, or a process"),
        (lambda: DenoisingProcess(DDPM([0.1]), 1.0), TypeError, r"indices and no times: pass NoisePrediction\(process\)"),
        (lambda: VP().transition(LONG, LONG[::-1]), ValueError, r"s = \[0.0, .*\] of shape \(400,\) is later than t = \[1.0"),
    ],
)
def test_messages_name_the_argument_and_the_fix(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert len(str(caught.value)) < 400


def test_the_time_is_blamed_only_where_it_is_to_blame():
    with pytest.raises(ValueError, match=r"x has 3 columns, but the dimension here is 2: pass shape \(n, 2\)$"):
        probability_flow(VP(), EXACT).integrate(np.zeros((3, 3)), 0.0, 1.0)
    points = MarginalScore(VP(), PointSet([[0.0, 1.0]]))
    with pytest.raises(ValueError, match="the score at t = 0; where data have none stop before"):
        probability_flow(VP(), points).integrate(X, 0.0, 1.0)
