"""Networks of other libraries: stand-ins with the same attributes, and torch itself where it is installed."""

import numpy as np
import pytest

from refscore.networks import MLP, EnergyMLP


class Linear:
    def __init__(self, fan_in, fan_out, bias=True, dtype=np.float64, seed=0):
        rng = np.random.default_rng(seed)
        self.weight = rng.standard_normal((fan_out, fan_in)).astype(dtype)
        self.bias = rng.standard_normal(fan_out).astype(dtype) if bias else None


class Tanh:
    pass


class GELU:
    pass


class ReLU:
    pass


class LayerNorm:
    weight, bias = np.ones(4), np.zeros(4)


class Embedding:
    weight = np.ones((4, 3))


class Softplus:
    def __init__(self, beta=1.0):
        self.beta = beta


class Sequential:
    def __init__(self, **parts):
        self._modules = parts


class Body(Sequential):
    """A user's own Sequential."""


class Residual:
    """x + forward of its layers: its submodules look like a Sequential's."""

    def __init__(self, **parts):
        self._modules = parts


def test_layers_in_order_transposed():
    first, second, third = Linear(3, 5), Linear(5, 4, seed=1), Linear(4, 3, seed=2)
    act = Tanh()
    model = MLP.from_arrays([first, act, second, act, third])
    x = np.random.default_rng(3).standard_normal((6, 3))
    by_hand = np.tanh(np.tanh(x @ first.weight.T + first.bias) @ second.weight.T + second.bias) @ third.weight.T + third.bias
    np.testing.assert_allclose(model(x), by_hand, rtol=0, atol=1e-14)
    assert model.sizes == (3, 5, 4, 3) and model.activation.name == "tanh" and model.dtype == np.float64
    nested = MLP.from_arrays(Sequential(body=Body(a=first, b=act, c=second), act=act, head=third))
    twice = MLP.from_arrays(Sequential(a=first, b=act, c=second, d=act, e=third))  # the same module in two places
    for other in (nested, twice):
        assert all(np.array_equal(a, b) for a, b in zip(other.parameters, model.parameters, strict=True))


def test_no_bias_is_zero_and_float32_stays():
    layers = [Linear(3, 5, bias=False, dtype=np.float32), Softplus(), Linear(5, 1, dtype=np.float32)]
    model = EnergyMLP.from_arrays(layers)
    assert not model.parameters[1].any() and model.dtype == np.float32 and model.activation.name == "softplus"
    assert MLP.from_arrays([Linear(3, 2)]).sizes == (3, 2)


@pytest.mark.parametrize(
    "layers, error, message",
    [
        ([Linear(3, 5), GELU(), Linear(5, 3)], TypeError, "GELU is not known: .*Tanh, Softplus, SiLU"),
        ([Linear(3, 4), LayerNorm(), Linear(4, 3)], TypeError, "LayerNorm is not known"),
        ([Embedding(), Tanh(), Linear(3, 3)], TypeError, "Embedding is not known"),
        ([Linear(3, 5), Linear(5, 3)], ValueError, r"layers are \['Linear', 'Linear'\].*must alternate"),
        ([Linear(3, 5), Tanh()], ValueError, "must alternate"),
        ([Tanh(), Linear(3, 5), Tanh()], ValueError, "must alternate"),
        ([Linear(3, 5), Tanh(), Linear(5, 4), ReLU(), Linear(4, 3)], ValueError, "different activations"),
        ([Linear(3, 5), Softplus(2.0), Linear(5, 3)], ValueError, "beta = 2.0"),
        ([Linear(3, 5), Tanh(), Linear(4, 3)], ValueError, r"weights\[1\] has shape \(4, 3\)"),
        (Residual(a=Linear(3, 5), b=Tanh(), c=Linear(5, 3)), TypeError, "Residual is not known: pass a Sequential, or a list"),
        ([], TypeError, "list is not known"),
        (3.0, TypeError, "float is not known"),
    ],
)
def test_refusals(layers, error, message):
    with pytest.raises(error, match=message):
        MLP.from_arrays(layers)


def test_weights_as_torch_keeps_them():
    layer = Linear(2, 16)
    with pytest.raises(ValueError, match=r"weights\[0\] has shape \(16, 2\), .* so pass its transpose, weight.T"):
        MLP.from_arrays([layer.weight, np.ones((16, 2))], [layer.bias, np.ones(2)], "tanh")


def test_half_of_the_arguments_is_refused():
    with pytest.raises(TypeError, match="biases and activation go together"):
        MLP.from_arrays([np.ones((2, 2))], [np.ones(2)])


def test_torch():
    """Values, JVP and the gradient of ISM with the exact trace, against autograd."""
    torch = pytest.importorskip("torch")
    from torch import nn

    from refscore.objectives import ism

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), act := nn.SiLU(), nn.Linear(8, 7, bias=False), act, nn.Linear(7, 3)).double()
    model, x = MLP.from_arrays(net), torch.randn(5, 3, dtype=torch.float64)
    v = torch.randn_like(x)
    np.testing.assert_allclose(model(x.numpy()), net(x).detach(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(model.jvp(x.numpy(), v.numpy()), torch.func.jvp(net, (x,), (v,))[1].detach(), rtol=0, atol=1e-14)
    trace = torch.vmap(lambda row: torch.func.jacrev(net)(row).trace())(x)
    loss = (0.5 * net(x).square().sum(1) + trace).mean()
    value, gradient = ism(model, x.numpy(), grad=True)
    assert value == pytest.approx(loss.item(), abs=1e-14)
    ours = [gradient[0].T, gradient[1], gradient[2].T, gradient[4].T, gradient[5]]
    for a, b in zip(ours, torch.autograd.grad(loss, list(net.parameters())), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_torch_energy():
    """E, s = -grad E, and the gradients of 1/2 ||s||^2 + tr Ds: third-order in autograd."""
    torch = pytest.importorskip("torch")
    from torch import nn

    from refscore.objectives import ism

    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 7), nn.Softplus(), nn.Linear(7, 1)).double()
    model, x = EnergyMLP.from_arrays(net), torch.randn(5, 2, dtype=torch.float64)
    np.testing.assert_allclose(model.energy(x.numpy()), net(x).detach()[:, 0], rtol=0, atol=1e-14)

    def score(row):
        return -torch.func.grad(lambda y: net(y)[0])(row)

    s = torch.vmap(score)(x)
    np.testing.assert_allclose(model(x.numpy()), s.detach(), rtol=0, atol=1e-14)
    loss = (0.5 * s.square().sum(1) + torch.vmap(lambda row: torch.func.jacrev(score)(row).trace())(x)).mean()
    value, gradient = ism(model, x.numpy(), grad=True)
    assert value == pytest.approx(loss.item(), abs=1e-14)
    for k, (a, b) in enumerate(zip(gradient[:-1], torch.autograd.grad(loss, list(net.parameters())[:-1]), strict=True)):
        np.testing.assert_allclose(a if k % 2 else a.T, b, rtol=0, atol=1e-13)
