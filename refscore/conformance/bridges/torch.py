"""The bridge to PyTorch.

    model(spec)         an nn.Module, called (x) or (x, t), whose parameters are the spec's arrays in their order
    tensor(array)       NumPy to torch;   array(tensor)  back
    adapter             class decorator: an adapter whose operations are written for tensors

A mixture is computed from log-densities, its score as the mean of the components' with softmax for weights, and returns what
``predicts`` says; `torch.func` goes through all models. Its (alpha, sigma) come from the process, at the times it is called with.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

try:
    import torch
    from torch import nn
except ImportError as error:  # pragma: no cover
    raise ImportError("the bridge to PyTorch needs torch: pip install torch") from error

from refscore.conformance.bridges._adapter import wrapped
from refscore.conformance.spec import Spec, converted

ACTIVATIONS = {"tanh": torch.tanh, "softplus": partial(nn.functional.softplus, threshold=50.0), "silu": nn.functional.silu,
               "sin": torch.sin, "relu": torch.relu}
"""softplus is linear beyond its threshold, which is 20 unless one says otherwise, and e^-20 is more than rounding."""


def tensor(values: Any, dtype: Any = torch.float64) -> torch.Tensor:
    """NumPy's array as a tensor: of integers as int64, of anything else in ``dtype``."""
    values = np.asarray(values)
    return torch.tensor(values, dtype=torch.int64 if values.dtype.kind in "iu" else dtype)


def array(value: Any) -> np.ndarray:
    """A tensor, wherever it lies and whether or not it requires a gradient, as NumPy's array."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


class Model(nn.Module):
    """The model of a spec (`refscore.conformance.Spec`); parameters in the order of ``spec.arrays``."""

    def __init__(self, spec: Spec, process: Any = None, predicts: str = "score", dtype: Any = torch.float64):
        super().__init__()
        self.spec, self.process, self.predicts = spec, process, predicts
        for name, a in spec.arrays.items():
            self.register_parameter(name, nn.Parameter(tensor(a, dtype)))

    def arrays(self) -> dict[str, nn.Parameter]:
        """The parameters by their names, in the spec's order."""
        return {name: getattr(self, name) for name in self.spec.arrays}

    def forward(self, x: torch.Tensor, t: Any = None) -> torch.Tensor:
        """(n, d), or the energy (n,)."""
        a = self.arrays()
        if self.spec.kind == "linear":
            return x @ a["A"].T + a["b"]
        if self.spec.kind == "quadratic_energy":
            r = x - a["m"]
            return torch.einsum("ni,ij,nj->n", r, a["P"], r) / 2
        if self.spec.kind == "mixture":
            return self._mixture(x, t)
        if self.spec.takes_time:
            t = torch.as_tensor(t, dtype=x.dtype)
            x = torch.cat([x, t.expand(len(x))[:, None]], dim=1)
        layers = [a[name] for name in self.spec.arrays]
        for k in range(0, len(layers), 2):
            x = x @ layers[k] + layers[k + 1]
            if k + 2 < len(layers):
                x = ACTIVATIONS[str(self.spec.activation)](x)
        return x[:, 0] if self.spec.kind == "energy_mlp" else x

    def _mixture(self, x: torch.Tensor, t: Any) -> torch.Tensor:
        a = self.arrays()
        alpha, sigma = torch.ones(1).to(x), torch.zeros(1).to(x)
        if self.spec.takes_time:
            time = np.broadcast_to(t.tolist() if isinstance(t, torch.Tensor) else t, len(x))  # .numpy() fails within torch.func
            alpha, sigma = tensor(self.process.alpha(time), x.dtype), tensor(self.process.sigma(time), x.dtype)
        variances = alpha[:, None] ** 2 * a["variances"] + sigma[:, None] ** 2  # (n or 1, K)
        apart = alpha[:, None, None] * a["means"] - x[:, None, :]  # (n, K, d)
        logs = torch.log(a["weights"]) - (apart**2).sum(dim=2) / (2 * variances) - x.shape[1] / 2 * torch.log(2 * np.pi * variances)
        if self.predicts == "energy":
            return -torch.logsumexp(logs, dim=1)
        score = ((torch.softmax(logs, dim=1) / variances)[:, :, None] * apart).sum(dim=1)
        if not self.spec.takes_time:
            return score
        return converted(score, x, alpha, sigma, "score", self.predicts)


def model(spec: Spec, process: Any = None, predicts: str = "score", dtype: Any = torch.float64) -> Model:
    """The module of a spec; a mixture that takes time needs the process."""
    return Model(spec, process, predicts, dtype)


def gradient(loss, of: nn.Module, arguments: list) -> list[torch.Tensor]:
    """The gradient of ``loss(of, *arguments)`` in the parameters of ``of``, by autograd; zeros where the loss does not depend."""
    parameters = list(of.parameters())
    value = loss(of, *arguments)
    if not isinstance(value, torch.Tensor) or not value.requires_grad and any(p.requires_grad for p in parameters):
        found = "a tensor without a graph" if isinstance(value, torch.Tensor) else f"{type(value).__name__}, no tensor"
        raise TypeError(f"the loss returns {found}: take .item(), .detach(), .numpy() and no_grad() out of what makes it")
    value = value.mean() if value.ndim else value
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def adapter(cls: type | None = None, *, dtype: Any = torch.float64):
    """Class decorator: operations of tensors become the contract's operations of NumPy arrays.

    ``model`` is added, and for every loss X the gradient X_grad by autograd. With ``dtype=torch.float32`` all runs in single
    precision. Used as ``@adapter`` or ``@adapter(dtype=...)``.
    """
    def decorate(cls: type) -> type:
        return wrapped(cls, lambda s, p, m: Model(s, p, m, dtype), lambda a: tensor(a, dtype), array, gradient)

    return decorate if cls is None else decorate(cls)
