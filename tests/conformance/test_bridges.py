"""The bridges: models equal refscore's, gradients by automatic differentiation equal those by hand, a right adapter passes."""

from functools import partial

import numpy as np
import pytest

from refscore.conformance import Reference, check
from refscore.conformance.ladders.setting import linear, mixture, mlp, noise, points, quadratic_energy
from refscore.conformance.spec import ENERGIES, Spec
from refscore.processes import DDPM, VP, linear_betas

SPECS = {
    "linear": linear(3), "mlp": mlp(3, (7, 5), "softplus"), "mlp in time": mlp(3, (6,), "tanh", True), "mixture": mixture(3),
    "mixture in time": mixture(3, True), "quadratic energy": quadratic_energy(3), "energy": mlp(3, (6,), "silu", energy=True),
    "energy in time": mlp(3, (7, 5), "sin", True, True), "relu": mlp(3, (6,), "relu"),
}


@pytest.fixture(params=["torch", "jax"])
def framework(request):
    pytest.importorskip(request.param)
    from refscore.conformance import bridges

    return request.param, getattr(bridges, request.param)


def functions(framework):
    """(arrays in, arrays out) of a framework."""
    name, bridge = framework
    return (bridge.tensor, bridge.array) if name == "torch" else (bridge.array, bridge.numpy)


@pytest.mark.parametrize("predicts", ["score", "eps", "x0", "v", "energy"])
@pytest.mark.parametrize("process", [VP(), DDPM(linear_betas(50))], ids=["VP", "DDPM"])
@pytest.mark.parametrize("name", SPECS)
def test_models_are_refscores(framework, name, process, predicts):
    spec, x = SPECS[name], points(7, 3)
    t = np.linspace(0.1, 0.9, 7) if isinstance(process, VP) else np.arange(3, 45, 6)
    inwards, outwards = functions(framework)
    built = framework[1].model(spec, process, predicts)
    times = (t,) if spec.takes_time else ()
    found = outwards(built(inwards(x), *[inwards(a) for a in times]))
    wanted = Reference(process, {"predicts": predicts}).model(spec)(x, *times)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


def test_a_softplus_has_all_its_digits(framework):
    """Beyond 20 too, where PyTorch's own is linear."""
    spec = Spec("mlp", {"W1": np.eye(1), "b1": np.zeros(1), "W2": np.eye(1), "b2": np.array([-25.0])}, "softplus")
    inwards, outwards = functions(framework)
    assert outwards(framework[1].model(spec)(inwards(np.array([[25.0]]))))[0, 0] == pytest.approx(np.log1p(np.exp(-25.0)), rel=1e-3)


@pytest.mark.parametrize("name", SPECS)
def test_derivatives_of_all_kinds(framework, name):
    """By the framework's transformation of functions."""
    spec, x, v, t = SPECS[name], points(7, 3), noise(7, 3), np.linspace(0.1, 0.9, 7)
    inwards, outwards = functions(framework)
    times = (t,) if spec.takes_time else ()
    model, ours = framework[1].model(spec, VP()), Reference(VP()).model(spec)
    jvp = (__import__("torch").func if framework[0] == "torch" else __import__("jax")).jvp
    inner = [inwards(a) for a in times]
    found = outwards(jvp(lambda y: model(y, *inner), (inwards(x),), (inwards(v),))[1])
    wanted = (ours.gradient(x, *times) * v).sum(axis=1) if spec.kind in ENERGIES else ours.jvp(x, v, *times)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


def ours(framework, dtype=None):
    """A right adapter in the framework: the losses that need no derivative of the model in x, and a step."""
    inwards, outwards = functions(framework)
    bridge = framework[1]
    into = inwards if dtype is None else partial(inwards, dtype=dtype)

    class Right:
        process = VP()
        conventions = {"predicts": "eps", "half": False, "over_dims": "mean"}

        def dsm_process_loss(self, model, x0, t, noise):
            alpha, sigma = (into(scale(outwards(t))).reshape(-1, 1) for scale in (self.process.alpha, self.process.sigma))
            error = model(alpha * x0 + sigma * noise, t) - noise
            return (error**2 / sigma**2).mean()

        def esm_loss(self, model, x, true_score):
            return ((model(x) - true_score) ** 2).mean()

        def langevin_step(self, model, x, step, noise):
            return x + step * model(x) + (2 * step) ** 0.5 * noise

    return Right, bridge


def test_a_right_adapter_passes_with_its_gradients(framework):
    Right, bridge = ours(framework)
    result = check(bridge.adapter(Right))
    judged = {c.operation: (c.outcome, c.message) for c in result.checks if c.outcome != "unsupported"}
    names = {"dsm_process_loss", "dsm_process_loss_grad", "esm_loss", "esm_loss_grad", "langevin_step"}
    assert judged == {name: ("pass", "") for name in names}


def test_single_precision_passes_undeclared(framework):
    single = {"torch": lambda: framework[1].torch.float32, "jax": lambda: framework[1].jnp.float32}[framework[0]]()
    Right, bridge = ours(framework, single)
    result = check(bridge.adapter(dtype=single)(Right))
    judged = {c.operation: (c.outcome, c.message) for c in result.checks if c.outcome != "unsupported"}
    assert set(judged.values()) == {("pass", "")} and len(judged) == 5, judged


def test_what_changes_its_arguments_is_told():
    torch = pytest.importorskip("torch")
    from refscore.conformance import bridges

    @bridges.torch.adapter
    class Changes:
        process = VP()

        def corrupt(self, x0, t, noise):
            alpha, sigma = (torch.as_tensor(f(t.numpy()))[:, None] for f in (VP().alpha, VP().sigma))
            return x0.mul_(alpha).add_(sigma * noise)

        def esm_loss(self, model, x, true_score):
            loss = ((model(x) - true_score) ** 2).sum() / (2 * len(x))
            true_score.zero_()
            return loss

    found = check(Changes).checks
    said = {c.id: c.message for c in found if c.outcome == "error"}
    assert "changes its argument x0 in place" in said["corrupt"] and "argument true_score in place" in said["esm_loss"]
    assert "argument true_score in place" in said["esm_loss_grad"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_losses_of_energies_by_autograd(dtype):
    """1 - tanh^2 of a saturated unit is 0 in PyTorch, and 1e-17 in truth: no rung asks for it."""
    torch = pytest.importorskip("torch")
    from refscore.conformance import bridges

    def score(model, x, *t):
        x = x.detach().requires_grad_(True)
        return -torch.autograd.grad(model(x, *t).sum(), x, create_graph=True)[0]

    @bridges.torch.adapter(dtype=getattr(torch, dtype))
    class Energies:
        conventions = {"predicts": "energy", "weight": "sigma2"}

        def dsm_loss(self, model, x0, sigma, noise):
            return ((sigma * score(model, x0 + sigma * noise) + noise) ** 2).sum(1).mean() / 2

        def ncsn_loss(self, model, x0, sigmas, index, noise):
            level = sigmas[index][:, None]
            return ((level * score(model, x0 + level * noise, level[:, 0]) + noise) ** 2).sum(1).mean() / 2

    found = check(Energies, only=("dsm_loss", "dsm_loss_grad", "ncsn_loss", "ncsn_loss_grad")).checks
    assert [c.outcome for c in found] == ["pass"] * 4, [c.message for c in found]


def test_a_graph_that_is_cut_is_told():
    pytest.importorskip("torch")
    from refscore.conformance import bridges

    @bridges.torch.adapter
    class Cut:
        def esm_loss(self, model, x, true_score):
            return ((model(x) - true_score) ** 2).sum().detach() / (2 * len(x))

        def ssm_loss(self, model, x, v):
            return float(model(x).sum())

    found = {c.id: c for c in check(Cut, only=("esm_loss", "esm_loss_grad", "ssm_loss_grad")).checks}
    assert found["esm_loss"].outcome == "pass" and "take .item(), .detach()" in found["esm_loss_grad"].message
    assert "float, no tensor" in found["ssm_loss_grad"].message


def test_a_planted_bug_is_found(framework):
    Right, bridge = ours(framework)

    class Wrong(Right):
        def langevin_step(self, model, x, step, noise):
            return x + step * model(x) + 2 * step * noise

    (verdict,) = check(bridge.adapter(Wrong), only=("langevin_step",)).checks
    assert verdict.outcome == "fail" and verdict.diagnosis[0].mistake == "langevin_noise_not_rooted"


def test_gradients_by_hand_are_those_by_automatic_differentiation(framework):
    """An independent road to every gradient of the reference."""
    inwards, outwards = functions(framework)
    spec, x, target = mlp(3, (7, 5), "softplus"), points(7, 3), noise(7, 3)
    built = framework[1].model(spec)
    found = framework[1].gradient(lambda m, a, b: ((m(a) - b) ** 2).sum() / 14, built, [inwards(x), inwards(target)])
    r = Reference()
    for ours, theirs in zip(r.esm_loss_grad(r.model(spec), x, target), found, strict=True):
        np.testing.assert_allclose(ours, outwards(theirs), rtol=1e-11, atol=1e-13)
