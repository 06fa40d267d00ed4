"""How a verdict is reached: toy identities that hold, fail, raise, and try to pass without evidence."""

import numpy as np
import pytest

from refscore import mistakes
from refscore.identities import (
    REFERENCE,
    Comparison,
    Identity,
    Table,
    catalogue,
    evaluate,
    identity,
    on_data,
    select,
    verify,
)
from refscore.identities._registry import registered
from refscore.mistakes import mistake


def toy(*items, id="T1", verdict=True, catches=()):
    def run(ops, seed):
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    return Identity(id, ("T1",), "toy", "x = x", "nowhere", "twice the same", run, catches, verdict)


def outcome(*items, **keywords):
    return evaluate(toy(*items), **keywords)


def test_holds_and_reports_the_case_nearest_its_bound():
    far = Comparison("far from its bound", np.zeros(2), np.array([0.0, 3e-12]), 1e-11)
    near = Comparison("near its bound", np.ones((2, 1)), np.array([[1.0], [1 + 9e-13]]), 1e-12, scale=4.0)
    table = Table("numbers", ("a", "b"), [(1, 2.0)])
    found = outcome(far, table, near)
    assert (found.outcome, found.cases, found.message, found.tables) == ("pass", 2, "", (table,))
    assert found.error == pytest.approx(9e-13 / 4, rel=1e-3) and found.bound == 1e-12 / 4
    assert found.seconds > 0 and found.id == "T1" and found.statement == "x = x"


def test_an_error_above_the_bound_fails_and_says_where():
    wrong = Comparison("off", np.zeros((2, 3)), np.array([[0, 0, 0], [0, 0, 1e-9]]), 1e-12, scale=10.0)
    found = outcome(Comparison("fine", 1.0, 1.0, 0.0), wrong)
    assert found.outcome == "fail" and found.cases == 2
    assert found.error == pytest.approx(1e-10) and found.bound == pytest.approx(1e-13)
    assert "1 of 2 cases" in found.message and "[1, 2]" in found.message and "off" in found.message


def test_the_bound_itself_is_allowed_and_a_hair_more_is_not():
    assert outcome(Comparison("at", 1.0, 1.0 + 2**-40, 2.0**-40)).outcome == "pass"
    assert outcome(Comparison("above", 1.0, 1.0 + 2**-40, 2.0**-40 * (1 - 2**-52))).outcome == "fail"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.nan, np.nan),
        (np.nan, 1.0),
        (1.0, np.inf),
        (np.inf, np.inf),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan])),
    ],
)
def test_what_is_not_finite_never_passes(left, right):
    found = outcome(Comparison("bad", left, right, 1e-12))
    assert found.outcome == "fail" and "not finite" in found.message and np.isnan(found.error)


def test_nothing_is_broadcast():
    found = outcome(Comparison("shapes", np.zeros((3, 1)), np.zeros(3), 1e-12))
    assert found.outcome == "fail" and "(3, 1)" in found.message and "(3,)" in found.message


@pytest.mark.parametrize("bound", [np.nan, np.inf, -1e-12, "tight", [1e-12, 1e-12]])
def test_a_bound_that_is_no_bound_fails(bound):
    assert outcome(Comparison("bound", np.zeros(3), np.zeros(3), bound)).outcome == "fail"


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_no_scale_fails(scale):
    assert outcome(Comparison("scale", 0.0, 0.0, 0.0, scale)).outcome == "fail"


def test_a_bound_above_1e_10_of_the_scale_is_no_evidence():
    assert outcome(Comparison("weak", 1.0, 1.0, 1.01e-10)).outcome == "fail"
    assert "bound too weak" in outcome(Comparison("weak", 1.0, 1.0, 1.01e-10)).message
    assert outcome(Comparison("scaled", 1.0, 1.0, 1.01e-10, scale=2.0)).outcome == "pass"
    one_of_three = Comparison("one weak", np.zeros(3), np.zeros(3), np.array([1e-12, 1e-9, 1e-12]))
    assert outcome(one_of_three).outcome == "fail"


def test_bounds_and_scales_may_vary_from_entry_to_entry():
    left, right = np.array([1.0, 2.0**20]), np.array([1.0, 2.0**20 + 2.0**-23])
    own = [Comparison("own", left, right, np.array([1e-15, b]), np.array([1.0, 1e6])) for b in (2.0**-23, 2.0**-24)]
    assert [outcome(c).outcome for c in own] == ["pass", "fail"]
    swapped = Comparison("swapped", left, right, np.array([2.0**-23, 1e-15]), np.array([1e6, 1.0]))
    assert outcome(swapped).outcome == "fail"


def test_nothing_compared_is_no_pass():
    assert "nothing was compared" in outcome().message and outcome().outcome == "fail"
    assert outcome(Table("only a table", ("a",), [(1,)])).outcome == "fail"
    assert outcome(Comparison("empty", np.zeros(0), np.zeros(0), 1e-12)).outcome == "fail"
    info = evaluate(toy(Table("only a table", ("a",), [(1,)]), verdict=False))
    assert info.outcome == "info" and info.error is None


def test_an_exception_is_a_failure_with_its_message_and_place():
    found = outcome(Comparison("first", 1.0, 1.0, 0.0), ValueError("alpha must be positive"))
    assert found.outcome == "fail" and found.error is None and found.cases == 1
    assert "ValueError: alpha must be positive" in found.message and "test_registry.py" in found.message
    assert "first" in found.message


def test_what_is_neither_comparison_nor_table_is_refused():
    assert "TypeError" in outcome((1.0, 1.0)).message
    assert outcome(Comparison("text", "a", "a", 0.0)).outcome == "fail"


def test_interrupts_are_not_swallowed():
    def run(ops, seed):
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        evaluate(Identity("T", (), "", "", "", "", run))


def test_fail_fast_stops_at_the_first_failure():
    items = [Comparison(str(k), 0.0, 1.0, 1e-12) for k in range(5)]
    assert outcome(*items, fail_fast=True).cases == 1 and outcome(*items).cases == 5


def test_complex_and_boolean_values_compare():
    assert outcome(Comparison("complex", 1 + 1j, 1 + 1j, 1e-15)).outcome == "pass"
    assert outcome(Comparison("complex", 1 + 1j, 1 - 1j, 1e-15)).outcome == "fail"
    assert outcome(Comparison("flag", True, False, 0.0)).outcome == "fail"


def test_operations_are_exchanged_by_name_only():
    wrong = REFERENCE.replace(score=lambda density, x: -x)
    assert wrong.score(None, 2.0) == -2.0 and REFERENCE.score is not wrong.score
    with pytest.raises(ValueError, match="no operation 'scores'"):
        REFERENCE.replace(scores=lambda: None)
    with pytest.raises(TypeError, match="signature"):
        REFERENCE.replace(score=3)


def test_every_operation_reaches_the_package():
    """Each default calls a function or method that exists: no name is misspelt."""
    from refscore import bounds, densities, distances, energy, laws, networks, objectives, processes, samplers, training

    g, x, ou = densities.Gaussian([0.3], [[2.0]]), np.array([[0.4], [-1.0]]), processes.OU(0.7, 1.2)
    model, v = networks.MLP((1, 4, 1), "tanh", 0), np.ones((2, 1))
    features = networks.FourierFeatures([0.3, -1.0])
    potential = networks.EnergyMLP((1, 4, 1), "tanh", 0)
    score, o = (lambda x, t: -x), REFERENCE
    adam, denoising, few = training.Adam(), training.Denoising(0.3), dict(steps=2, batch=3, seed=1)
    start = adam.start(model.parameters)
    beta, wave = densities.Beta(1.0, 2.5), (np.sin, np.cos, "exp", (0, 1))
    chain = samplers.reverse_sde(ou, score, [1.0, 0.5, 0.2], "exponential")
    flow, exact = samplers.probability_flow(ou, score), samplers.probability_flow(ou, processes.MarginalScore(ou, g))
    steps = processes.DDPM([0.1, 0.3])
    posterior = (lambda x, y: y - x), [[0.3], [-0.2], [1.0]], 2, [0.1, 0.05]
    minibatches = samplers.sgld(*posterior)
    hypotheses = dict(kl=0.3, lipschitz=1.5, score_error=0.1, dim=1, T=1.0, steps=20)
    refused = samplers.mala(g.score, g.logpdf, 0.1, 2)
    grids = [0.0, 0.4, 1.0], [0.0, 0.1, 0.4, 1.0]
    rbm, soft = (kind([[0.5, -1.0]], [0.3], [0.1, 0.4]) for kind in (energy.RBM, energy.GaussianRBM))
    dw, dw_fine = samplers.wiener_increments(grids[0], np.ones((2, 2, 1))), np.ones((3, 2, 1))
    mrf, image, q = energy.DenoisingMRF([[0, 1], [1, 1]], 0.4, 0.9), np.eye(2), np.full((2, 2), 0.3)
    same = [
        (o.logpdf(g, x), g.logpdf(x)),
        (o.mrf_log_weight(mrf, image), mrf.log_weight(image)),
        (o.mrf_conditional(mrf, image), mrf.conditional(image)),
        (o.mrf_log_partition(mrf), mrf.log_partition()),
        (o.mrf_log_evidence(mrf), mrf.log_evidence()),
        (o.mrf_marginals(mrf), mrf.marginals()),
        (o.mrf_agreements(mrf)[0], mrf.agreements()[0]),
        (o.mrf_map(mrf), mrf.map()),
        (o.mrf_transform(mrf, q[None]), mrf.transform(q[None])),
        (o.mrf_gibbs(mrf, 2).simulate(image, 1), mrf.gibbs(2).simulate(image, 1)),
        (o.all_images(mrf).log_weights, energy.all_images(mrf).log_weights),
        (o.icm(mrf), energy.icm(mrf)),
        (o.mean_field(mrf), energy.mean_field(mrf)),
        (o.mean_field_bound(mrf, q), energy.mean_field_bound(mrf, q)),
        (o.score(g, x), g.score(x)),
        (o.score_jacobian(g, x), g.score_jacobian(x)),
        (o.score_divergence(g, x), g.score_divergence(x)),
        (o.corrupted(g, 0.5, 0.1).cov, g.corrupted(0.5, 0.1).cov),
        (o.expectation(g, np.cos), g.expectation(np.cos)),
        (o.log_normalizer(beta), beta.log_normalizer()),
        (o.nonnegative(*wave).logpdf(v / 2), densities.nonnegative(*wave).logpdf(v / 2)),
        (o.posterior_mean(x, -x, 0.8, 0.4), processes.posterior_mean(x, -x, 0.8, 0.4)),
        (o.time_change(ou, processes.VP(), 0.3), processes.time_change(ou, processes.VP(), 0.3)),
        (o.ConvertedScore(np.cos, ou, ou), processes.ConvertedScore(np.cos, ou, ou)),
        (o.alpha(ou, 0.3), ou.alpha(0.3)),
        (o.sigma(ou, 0.3), ou.sigma(0.3)),
        (o.drift(ou, x, 0.3), ou.drift(x, 0.3)),
        (o.diffusion(ou, 0.3), ou.diffusion(0.3)),
        (o.corrupt(ou, x, 0.3, v), ou.corrupt(x, 0.3, v)),
        (o.conditional_score(ou, x, v, 0.3), ou.conditional_score(x, v, 0.3)),
        (o.marginal(ou, g, 0.3).mean, ou.marginal(g, 0.3).mean),
        (o.convert(ou, x, v, 0.3, "score", "v"), ou.convert(x, v, 0.3, "score", "v")),
        (o.transition(ou, 0.1, 0.3), ou.transition(0.1, 0.3)),
        (o.exponential_step(ou, 0.3, 0.1), ou.exponential_step(0.3, 0.1)),
        (o.posterior(steps, x, v, 2)[0], steps.posterior(x, v, 2)[0]),
        (o.linear_betas(5), processes.linear_betas(5)),
        (o.quadratic_betas(5), processes.quadratic_betas(5)),
        (o.cosine_betas(5), processes.cosine_betas(5)),
        (o.ddpm(steps, score, "beta_tilde").v, samplers.ddpm(steps, score, "beta_tilde").v),
        (o.ddim(steps, score, [2, 0], 0.5).b, samplers.ddim(steps, score, [2, 0], 0.5).b),
        (o.variational_loss(score, steps, x, 1, v, "beta"), objectives.variational_loss(score, steps, x, 1, v, "beta")),
        (o.variational_bound(score, steps, x, v).total, objectives.variational_bound(score, steps, x, v).total),
        (o.prior_loss(steps, x), objectives.prior_loss(steps, x)),
        (o.reverse_drift(ou, score, x, 0.3), samplers.reverse_drift(ou, score, x, 0.3)),
        (o.forward(model, x), model(x)),
        (o.jvp(model, x, v), model.jvp(x, v)),
        (o.vjp(model, x, v), model.vjp(x, v)),
        (o.jacobian(model, x), model.jacobian(x)),
        (o.divergence(model, x), model.divergence(x)),
        (o.time_features(features, v[:, 0]), features(v[:, 0])),
        (o.third(model.activation, x), model.activation.third(x)),
        (o.energy(potential, x), potential.energy(x)),
        (o.energy_gradient(potential.energy, x, v[:, 0])[0], potential.energy.parameter_gradient(x, v[:, 0])[0]),
        (o.hutchinson(model, x, v), networks.hutchinson(model, x, v)),
        (o.hutchinson_variance(np.eye(2), "gaussian"), networks.hutchinson_variance(np.eye(2), "gaussian")),
        (o.directional_difference(model, x, v, 0.1), networks.directional_difference(model, x, v, 0.1)),
        (o.complex_step(model, x, v), networks.complex_step(model, x, v)),
        (o.line_derivatives(model, x, v), networks.line_derivatives(model, x, v)),
        (o.best_step(model, x, v)[0], networks.best_step(model, x, v)[0]),
        (o.esm(model, x, v, half=False), objectives.esm(model, x, v, half=False)),
        (o.boundary_flux(model, beta), objectives.boundary_flux(model, beta)),
        (o.ism(model, x, half=False), objectives.ism(model, x, half=False)),
        (o.psm(model, x, v, x), objectives.psm(model, x, v, x)),
        (o.ssm(model, x, v), objectives.ssm(model, x, v)),
        (o.ssm_vr(model, x, v), objectives.ssm_vr(model, x, v)),
        (o.sliced_variance(model, x, "sphere"), objectives.sliced_variance(model, x, "sphere")),
        (o.ncsn(lambda x, s: x, x, [0.3, 0.1], [1, 0], v), objectives.ncsn(lambda x, s: x, x, [0.3, 0.1], [1, 0], v)),
        (o.ddpm_simple(lambda x, t: x, ou, x, 0.3, v), objectives.ddpm_simple(lambda x, t: x, ou, x, 0.3, v)),
        (o.dsm_integrated(score, ou, x, 0.3, v, t_max=2), objectives.dsm_integrated(score, ou, x, 0.3, v, t_max=2)),
        (o.contrastive_divergence(potential, x, v), objectives.contrastive_divergence(potential, x, v)),
        (o.prediction_weight("v", 0.3, 0.2), objectives.prediction_weight("v", 0.3, 0.2)),
        (o.dsm(model, x, 0.3, v, half=False), objectives.dsm(model, x, 0.3, v, half=False)),
        (o.dsm_process(lambda x, t: x, ou, x, 0.3, v, "one"), objectives.dsm_process(lambda x, t: x, ou, x, 0.3, v)),
        (o.reverse_sde(ou, score, [1.0, 0.5, 0.2], "exponential").b, chain.b),
        (o.probability_flow(ou, score).drift(x, 0.3), flow.drift(x, 0.3)),
        (o.flow_drift(flow, x, 0.3), flow.drift(x, 0.3)),
        (o.flow_integrate(flow, x, 0.3, 0.1), flow.integrate(x, 0.3, 0.1)),
        (o.flow_steps(flow, [0.3, 0.1], "rk4").mean(0, x), flow.steps([0.3, 0.1], "rk4").mean(0, x)),
        (o.log_likelihood(exact, x, t_max=0.7).total, exact.log_likelihood(x, t_max=0.7).total),
        (o.langevin(g.score, 0.1, 7).v, samplers.langevin(g.score, 0.1, 7).v),
        (o.annealed_langevin(score, [2.0, 1.0], 0.1, 3).v, samplers.annealed_langevin(score, [2.0, 1.0], 0.1, 3).v),
        (o.geometric_ladder(2.0, 0.1, 3), processes.geometric_ladder(2.0, 0.1, 3)),
        (o.ladder_overlap([2.0, 1.0], 3).tv, processes.ladder_overlap([2.0, 1.0], 3).tv),
        (o.ladder_ratio(0.4, 3), processes.ladder_ratio(0.4, 3)),
        (o.ladder_levels(9.0, 0.1, 3, 0.4), processes.ladder_levels(9.0, 0.1, 3, 0.4)),
        (o.law(chain, g).mean, laws.law(chain, g).mean),
        (o.stationary(samplers.langevin(g.score, 0.1, 2), g)[0].cov, laws.stationary(samplers.langevin(g.score, 0.1, 2), g)[0].cov),
        (o.langevin_stationary(g, 0.1).cov, laws.langevin_stationary(g, 0.1).cov),
        (o.langevin_bias(g, x), laws.langevin_bias(g, x)),
        (o.minibatch_moments(minibatches, g)[1], laws.minibatch_moments(minibatches, g)[1]),
        (o.sgld(*posterior).means(0, x), minibatches.means(0, x)),
        (o.wiener_increments(grids[0], np.ones((2, 2, 1))), dw),
        (o.refined_increments(grids[0], dw, grids[1], dw_fine), samplers.refined_increments(grids[0], dw, grids[1], dw_fine)),
        (o.summed_increments(grids[1], dw_fine, grids[0]), samplers.summed_increments(grids[1], dw_fine, grids[0])),
        (o.forward_sde(score, score, grids[0]).step(0, x, v), samplers.forward_sde(score, score, grids[0]).step(0, x, v)),
        (o.mala(g.score, g.logpdf, 0.1, 2).log_ratio(0, x, v), refused.log_ratio(0, x, v)),
        (o.acceptance_rate(refused, g), laws.acceptance_rate(refused, g)),
        (o.decreasing_steps(0.1, 2.0, 0.6, 3), samplers.decreasing_steps(0.1, 2.0, 0.6, 3)),
        (o.predictor_corrector(ou, score, [1.0, 0.5], 2, 0.1).b, samplers.predictor_corrector(ou, score, [1.0, 0.5], 2, 0.1).b),
        (o.snr_steps(ou, [0.5, 0.2], 0.1), samplers.snr_steps(ou, [0.5, 0.2], 0.1)),
        (o.denoising_error(g, 0.8, 0.4), processes.denoising_error(g, 0.8, 0.4)),
        (o.irreducible_loss(g, 0.8, 0.4), objectives.irreducible_loss(g, 0.8, 0.4)),
        (o.dsm_variance(model, g, 0.8, 0.4), objectives.dsm_variance(model, g, 0.8, 0.4)),
        (o.fisher(g, densities.Gaussian([0.1], 0.7)), distances.fisher(g, densities.Gaussian([0.1], 0.7))),
        (o.fisher_information(g), distances.fisher_information(g)),
        (o.wasserstein2(g, densities.Gaussian([0.1], 0.7)), distances.wasserstein2(g, densities.Gaussian([0.1], 0.7))),
        (o.kl(g, densities.Gaussian([0.1], 0.7)), distances.kl(g, densities.Gaussian([0.1], 0.7))),
        (o.optimiser_update(adam, [x], [v], adam.start([x]))[0][0], adam.update([x], [v], adam.start([x]))[0][0]),
        (o.minibatch(x, denoising, 3, 1, 2), training.minibatch(x, denoising, 3, 1, 2)),
        (o.train_step(model, denoising, adam, start, x, v)[0], training.train_step(model, denoising, adam, start, x, v)[0]),
        (o.train(model, x, denoising, adam, **few).losses, training.train(model, x, denoising, adam, **few).losses),
        (o.total_variation(g, o.corrupted(g, 0.5, 0.1)), distances.total_variation(g, g.corrupted(0.5, 0.1))),
        (o.chen2023(**hypotheses, second_moment=0.8), bounds.chen2023(**hypotheses, second_moment=0.8)),
        (o.martingale_bound(**hypotheses), bounds.martingale_bound(**hypotheses)),
        (o.score_lipschitz(g, 2.0), bounds.score_lipschitz(g, 2.0)),
        (o.second_moment(g), bounds.second_moment(g)),
        (o.score_errors(g, score, [0.3]), bounds.score_errors(g, score, [0.3])),
        (o.path_kl(ou, g, score, [1.0, 0.5]), bounds.path_kl(ou, g, score, [1.0, 0.5])),
        (o.displacement(ou, g, 0.1, 0.3), bounds.displacement(ou, g, 0.1, 0.3)),
        (o.score_motion(ou, g, 0.1, 0.3), bounds.score_motion(ou, g, 0.1, 0.3)),
        (o.score_change(1.3, 2, 0.1), bounds.score_change(1.3, 2, 0.1)),
        (o.second_moment_along(0.8, 1, 0.3), bounds.second_moment_along(0.8, 1, 0.3)),
        (o.start_error(ou, g, 0.7), bounds.start_error(ou, g, 0.7)),
        (o.stop_error(ou, g, 0.1), bounds.stop_error(ou, g, 0.1)),
        (o.contrastive_step(potential, x, chain, x, 5)[1], energy.contrastive_step(potential, x, chain, x, 5)[1]),
        (o.log_partition(rbm), rbm.log_partition()),
        (o.free_energy(rbm, v), rbm.free_energy(v)),
        (o.hidden_mean(rbm, v), rbm.hidden_mean(v)),
        (o.visible_mean(rbm, np.ones((1, 2))), rbm.visible_mean(np.ones((1, 2)))),
        (o.hidden_logpdf(rbm, np.ones((1, 2))), rbm.hidden_logpdf(np.ones((1, 2)))),
        (o.moments(rbm).pairs, rbm.moments().pairs),
        (o.mixture(soft).means, soft.mixture().means),
        (o.gibbs(rbm, 3).simulate(v, 1), energy.gibbs(rbm, 3).simulate(v, 1)),
        (o.gibbs_matrix(rbm), energy.gibbs_matrix(rbm)),
        (o.gibbs_spectrum(rbm), energy.gibbs_spectrum(rbm)),
        (o.spectral_gap(rbm), energy.spectral_gap(rbm)),
        (o.gibbs_law(rbm, v, 2), energy.gibbs_law(rbm, v, 2)),
        (o.mixing_bound(rbm, v, 2), energy.mixing_bound(rbm, v, 2)),
        (o.contrastive_gradient(rbm, v, v[:1])[1], energy.contrastive_gradient(rbm, v, v[:1])[1]),
        (o.cd_gradient(rbm, v, 2, 1)[0], energy.cd_gradient(rbm, v, 2, 1)[0]),
        (o.pcd_gradient(rbm, v, v, 2, 1)[1], energy.pcd_gradient(rbm, v, v, 2, 1)[1]),
        (o.expected_cd_gradient(rbm, v, 2)[0], energy.expected_cd_gradient(rbm, v, 2)[0]),
    ]
    for left, right in same:
        np.testing.assert_array_equal(left, right)


def test_identities_register_once():
    keywords = dict(systems=("T9",), title="", statement="", source="", method="")
    try:
        identity(id="T9.toy", **keywords)(lambda ops, seed: iter(()))
        with pytest.raises(ValueError, match="T9.toy"):
            identity(id="T9.toy", **keywords)(lambda ops, seed: iter(()))
    finally:
        registered.pop("T9.toy")
    with pytest.raises(TypeError, match="tuples"):
        identity(id="T10", **{**keywords, "systems": "B2"})


def test_mistakes_take_the_place_of_their_operation():
    with pytest.raises(ValueError, match="no operation 'socre'"):
        mistake("socre", wrong="", right="", seen="")
    try:

        @mistake("score", wrong="-s", right="s", seen="toy")
        def toy_score_sign(density, x):
            return -x

        entry = mistakes.CATALOGUE["toy_score_sign"]
        assert entry.operations().score(None, 3.0) == -3.0 and entry.operations().logpdf is REFERENCE.logpdf
        with pytest.raises(ValueError, match="twice"):
            mistake("score", wrong="", right="", seen="", name="toy_score_sign")(toy_score_sign)
    finally:
        mistakes.CATALOGUE.pop("toy_score_sign")


IDS = ["A2", "B1", "B1.data", "B2", "B10", "B10.data", "D1.activations", "H5"]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (["b1"], ["B1", "B1.data"]),
        (["B"], ["B1", "B1.data", "B2", "B10", "B10.data"]),
        (["B10", "a"], ["A2", "B10", "B10.data"]),
        (["B10.DATA"], ["B10.data"]),
        (["d1.activations", "D1"], ["D1.activations"]),
        ([], []),
    ],
)
def test_select_by_id_and_beginning(only, chosen):
    assert [i.id for i in select(only, [toy(id=k) for k in IDS])] == chosen


@pytest.mark.parametrize("name", ["B3", "B11", "C", "", ".", "1", "B1.dat", "B1 0"])
def test_select_refuses_what_fits_nothing(name):
    with pytest.raises(LookupError, match="no identity"):
        select([name], [toy(id=k) for k in IDS])


def test_select_names_near_matches():
    with pytest.raises(LookupError, match="did you mean .*B10.data"):
        select(["B10.dta"], [toy(id=k) for k in IDS])


def test_verify_runs_in_order_and_calls_back():
    seen = []
    chosen = [toy(Comparison("one", 1.0, 1.0, 0.0), id="B2"), toy(id="A1")]
    found = verify(
        identities=chosen,
        on_start=lambda i: seen.append(i.id),
        on_case=lambda case: seen.append(case),
        on_done=lambda o: seen.append(o.outcome),
    )
    assert seen == ["B2", "one", "pass", "A1", "fail"] and [o.id for o in found] == ["B2", "A1"]


def test_verify_hands_on_operations_and_seed():
    def run(ops, seed):
        yield Comparison("seed", float(seed), ops.score(None, 1.0), 0.0)

    stated = [Identity("T", (), "", "", "", "", run)]
    ops = REFERENCE.replace(score=lambda density, x: 7.0)
    assert verify(identities=stated, seed=7, ops=ops)[0].outcome == "pass"
    assert verify(identities=stated, seed=8, ops=ops)[0].outcome == "fail"


def test_the_catalogue_is_in_order_and_complete():
    """Each entry says what it must say, and every mistake that it promises to catch exists."""
    stated = catalogue()
    ids = list(stated)
    assert ids.index("B2") < ids.index("B9") < ids.index("B10") < ids.index("D1")
    for i in [*stated.values(), *on_data.STATEMENTS]:
        assert i.title and i.statement and i.source and i.method and i.systems, i.id
        assert i.catches, f"{i.id} catches no mistake"
        unknown = set(i.catches) - set(mistakes.CATALOGUE)
        assert not unknown, f"{i.id} promises to catch {unknown}, which nobody entered"
