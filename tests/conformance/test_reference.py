"""The reference passes its own checks, in every convention, declared or inferred; and agrees with the package's other roads."""

import numpy as np
import pytest

from refscore import objectives
from refscore.conformance import OPERATIONS, Reference, check
from refscore.conformance.ladders.setting import linear, mlp, noise, points
from refscore.processes import DDPM, OU, VE, VP, Path, linear_betas
from refscore.samplers import annealed_langevin, ddim, ddpm, langevin, reverse_sde

PROCESSES = {
    "VP": VP(), "OU": OU(1.0, 1.3), "VE": VE(0.01, 10.0), "DDPM": DDPM(linear_betas(100)), "short DDPM": DDPM(linear_betas(7)),
    "straight lines": Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -np.ones_like(t), sigma_slope=np.ones_like),
}
CONVENTIONS = (
    {},
    {"predicts": "eps", "half": False, "over_dims": "mean"},
    {"predicts": "v", "over_batch": "none", "weight": "sigma2", "langevin": "half_eta", "scheme": "exponential",
     "variance": "beta_tilde"},
    {"predicts": "x0", "over_batch": "sum"},
    {"predicts": "energy"},
)


def bad(result):
    return [(c.operation, c.outcome, c.message) for c in result.checks if c.outcome not in ("pass", "unsupported")]


def test_a_subclass_may_say_what_it_is_in_its_body():
    mine = type("Mine", (Reference,), {"process": PROCESSES["VP"], "conventions": {"predicts": "eps"}})
    assert mine().process is PROCESSES["VP"] and mine().conventions["predicts"] == "eps" and mine().conventions["half"] is True
    assert mine(PROCESSES["OU"], {"half": False}).process is PROCESSES["OU"]
    assert check(mine, only=("alpha", "denoise")).counts["pass"] == 2


FEW = [("VP", {}), ("DDPM", CONVENTIONS[1]), ("VE", CONVENTIONS[4])]
OTHER = [("short DDPM", CONVENTIONS[2]), ("OU", CONVENTIONS[3])]
MORE = [*OTHER, *[(name, c) for name in PROCESSES for c in CONVENTIONS if (name, c) not in FEW + OTHER][::2]]


@pytest.mark.parametrize("process, conventions", [*FEW, *[pytest.param(*case, marks=pytest.mark.slow) for case in MORE]], ids=str)
def test_the_reference_passes_as_declared(process, conventions):
    result = check(Reference(PROCESSES[process], conventions))
    assert not bad(result)
    assert result.code == 0 and result.counts["pass"] >= 30


@pytest.mark.parametrize("conventions", [
    pytest.param(c, marks=() if c is CONVENTIONS[2] else pytest.mark.slow) for c in CONVENTIONS[:-1]], ids=str)
def test_conventions_are_inferred(conventions):
    reference = Reference(VP(), conventions)

    class Silent:
        process = VP()

    for name in (*OPERATIONS, "model"):
        setattr(Silent, name, staticmethod(getattr(reference, name)))
    result = check(Silent)
    assert not bad(result)
    known = {k: v for k, v in reference.conventions.items() if k != "variance"}
    assert result.conventions == known


@pytest.mark.parametrize("conventions", CONVENTIONS[:-1], ids=str)
@pytest.mark.parametrize("spec", [mlp(3, (7, 5), "softplus"), linear(3)], ids=["mlp", "linear"])
def test_losses_are_the_objectives(conventions, spec):
    r = Reference(None, conventions)
    c = r.conventions
    scale = {k: c[k] for k in ("half", "over_dims", "over_batch")}
    x, v, target = points(7, 3), noise(7, 3), points(7, 3, 1)
    model, network = r.model(spec), spec.network
    pairs = [
        (r.esm_loss(model, x, target), objectives.esm(network, x, target, **scale)),
        (r.ism_loss(model, x), objectives.ism(network, x, **scale)),
        (r.ssm_loss(model, x, v), objectives.ssm(network, x, v, **scale)),
        (r.ssm_vr_loss(model, x, v), objectives.ssm_vr(network, x, v, **scale)),
        (r.dsm_loss(model, x, 0.4, v), objectives.dsm(network, x, 0.4, v, weight=c["weight"], predicts=c["predicts"], **scale)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("conventions", CONVENTIONS[:-1], ids=str)
def test_losses_along_a_process_are_the_objectives(conventions):
    process = VP()
    r = Reference(process, conventions)
    c = r.conventions
    options = {k: c[k] for k in ("half", "over_dims", "over_batch")} | {"predicts": c["predicts"]}
    spec, x, z, t = mlp(3, (7, 5), "softplus", True), points(7, 3), noise(7, 3), np.linspace(0.1, 0.9, 7)
    model, network = r.model(spec), spec.network
    ours = r.dsm_process_loss(model, x, t, z)
    np.testing.assert_allclose(ours, objectives.dsm_process(network, process, x, t, z, c["weight"], **options), rtol=1e-12)
    ours = r.ddpm_loss(model, x, t, z)
    np.testing.assert_allclose(ours, objectives.dsm_process(network, process, x, t, z, "sigma2", **options), rtol=1e-12)
    sigmas, index = np.array([2.0, 0.7, 0.3]), np.array([0, 1, 2, 2, 1, 0, 1])
    ours = r.ncsn_loss(model, x, sigmas, index, z)
    np.testing.assert_allclose(ours, objectives.ncsn(network, x, sigmas, index, z, weight=c["weight"], **options), rtol=1e-12)


def at_one_time(spec):
    """The network of a spec, of (x, t) with one t for all rows."""
    return lambda x, t: spec.network(x, np.full(len(x), float(t)))


def one_step(chain, x, z, k=0):
    """The k-th kernel of a chain, with chosen noise."""
    score = chain.score(x, chain.times[k])
    return chain.a[k] * x + chain.b[k] * score + np.sqrt(chain.v[k]) * z


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
def test_steps_are_the_samplers(scheme):
    x, z, process = points(7, 3), noise(7, 3), VP()
    spec = mlp(3, (6,), "tanh", True)
    r = Reference(process, {"scheme": scheme})
    chain = reverse_sde(process, at_one_time(spec), [0.6, 0.45], scheme)
    np.testing.assert_allclose(r.reverse_step(r.model(spec), x, 0.6, 0.45, z), one_step(chain, x, z), rtol=1e-12)


@pytest.mark.parametrize("convention", ["eta", "half_eta"])
def test_langevin_is_the_samplers(convention):
    x, z = points(7, 3), noise(3, 2, 7, 3)
    r = Reference(None, {"langevin": convention})
    spec = mlp(3, (6,), "tanh")
    chain = langevin(lambda x, *t: spec.network(x), 0.2, 1, convention)
    np.testing.assert_allclose(r.langevin_step(r.model(spec), x, 0.2, z[0, 0]), one_step(chain, x, z[0, 0]), rtol=1e-12)
    timed = mlp(3, (6,), "tanh", True)
    sigmas = [2.0, 0.9, 0.5]
    chain = annealed_langevin(at_one_time(timed), sigmas, 0.02, 2, convention)
    y = x
    for k in range(6):
        y = one_step(chain, y, z[k // 2, k % 2], k)
    np.testing.assert_allclose(r.annealed_langevin(r.model(timed), x, np.array(sigmas), 0.02, 2, z), y, rtol=1e-12)


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_indices_are_the_samplers(variance):
    process = DDPM(linear_betas(20))
    x, z, spec = points(7, 3), noise(7, 3), mlp(3, (6,), "tanh", True)
    eps = at_one_time(spec)
    r = Reference(process, {"predicts": "eps", "variance": variance})
    chain = ddpm(process, eps, variance)
    for index in (20, 9, 2, 1):
        ours = r.ddpm_step(r.model(spec), x, index, z)
        np.testing.assert_allclose(ours, one_step(chain, x, z, 20 - index), rtol=1e-11)
    for eta in (0.0, 0.5, 1.0):
        chain = ddim(process, eps, [20, 13, 5, 0], eta)
        for k, (i, j) in enumerate(((20, 13), (13, 5), (5, 0))):
            np.testing.assert_allclose(r.ddim_step(r.model(spec), x, i, j, eta, z), one_step(chain, x, z, k), rtol=1e-10)
    mean, variance = r.posterior(x, z, 9)
    np.testing.assert_allclose(mean, process.posterior(x, z, 9)[0], rtol=1e-12)
    np.testing.assert_allclose(variance, process.posterior(x, z, 9)[1], rtol=1e-12)
