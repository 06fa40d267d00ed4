"""The bridge to JAX.

    model(spec)         a function of (x) or (x, t), with ``parameters``, a dict of the spec's arrays, and ``replace(parameters)``
    array(value)        NumPy to JAX;   numpy(value)  back
    adapter             class decorator: an adapter whose operations are written for JAX's arrays

Double precision is switched on for the whole program (``jax_enable_x64``) when this module is imported, for JAX has no other way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

try:
    import jax
except ImportError as error:  # pragma: no cover
    raise ImportError("the bridge to JAX needs jax: pip install jax") from error

import jax.numpy as jnp

from refscore.conformance.bridges._adapter import wrapped
from refscore.conformance.spec import Spec, converted

jax.config.update("jax_enable_x64", True)

ACTIVATIONS = {"tanh": jnp.tanh, "softplus": jax.nn.softplus, "silu": jax.nn.silu, "sin": jnp.sin, "relu": jax.nn.relu}


def array(values: Any, dtype: Any = jnp.float64):
    """NumPy's array as JAX's: of integers as int64, of anything else in ``dtype``."""
    values = np.asarray(values)
    return jnp.asarray(values, dtype=jnp.int64 if values.dtype.kind in "iu" else dtype)


def numpy(value: Any) -> np.ndarray:
    """JAX's array as NumPy's."""
    return np.asarray(value)


@dataclass(frozen=True, eq=False)
class Model:
    """The model of a spec (`refscore.conformance.Spec`), a pure function of its ``parameters``."""

    spec: Spec
    parameters: dict[str, Any]
    process: Any = None
    predicts: str = "score"

    def replace(self, parameters: dict[str, Any]) -> Model:
        """The same model with other parameters, which may be traced."""
        return replace(self, parameters=parameters)

    def __call__(self, x, t=None):
        """(n, d), or the energy (n,)."""
        a = self.parameters
        if self.spec.kind == "linear":
            return x @ a["A"].T + a["b"]
        if self.spec.kind == "quadratic_energy":
            r = x - a["m"]
            return jnp.einsum("ni,ij,nj->n", r, a["P"], r) / 2
        if self.spec.kind == "mixture":
            return self._mixture(x, t)
        if self.spec.takes_time:
            x = jnp.concatenate([x, jnp.broadcast_to(jnp.asarray(t, x.dtype), len(x))[:, None]], axis=1)
        layers = [a[name] for name in self.spec.arrays]  # traced dicts come sorted
        for k in range(0, len(layers), 2):
            x = x @ layers[k] + layers[k + 1]
            if k + 2 < len(layers):
                x = ACTIVATIONS[str(self.spec.activation)](x)
        return x[:, 0] if self.spec.kind == "energy_mlp" else x

    def _mixture(self, x, t):
        a, alpha, sigma = self.parameters, jnp.ones(1), jnp.zeros(1)
        if self.spec.takes_time:
            alpha, sigma = self._at(t, len(x), x.dtype)

        def logpdf(y):
            variances = alpha[:, None] ** 2 * a["variances"] + sigma[:, None] ** 2  # (n or 1, K)
            squares = ((y[:, None, :] - alpha[:, None, None] * a["means"]) ** 2).sum(axis=2)
            logs = jnp.log(a["weights"]) - squares / (2 * variances) - x.shape[1] / 2 * jnp.log(2 * jnp.pi * variances)
            return jax.scipy.special.logsumexp(logs, axis=1)

        if self.predicts == "energy":
            return -logpdf(x)
        score = jax.grad(lambda y: logpdf(y).sum())(x)
        return converted(score, x, alpha, sigma, "score", self.predicts) if self.spec.takes_time else score

    def _at(self, t, n: int, dtype):
        """alpha and sigma (n,) at t, also where t is traced: the process is NumPy's and is called back."""
        def scales(time):
            time = np.asarray(time)
            time = time.astype(np.int64) if type(self.process).__name__ == "DDPM" else time.astype(np.float64)
            return np.asarray(self.process.alpha(time), dtype), np.asarray(self.process.sigma(time), dtype)

        t = jnp.broadcast_to(jnp.asarray(t), (n,))
        shape = jax.ShapeDtypeStruct((n,), dtype)
        return jax.pure_callback(scales, (shape, shape), t)


def model(spec: Spec, process: Any = None, predicts: str = "score", dtype: Any = jnp.float64) -> Model:
    """The model of a spec; a mixture that takes time needs the process."""
    return Model(spec, {name: array(a, dtype) for name, a in spec.arrays.items()}, process, predicts)


def gradient(loss, of: Model, arguments: list) -> list:
    """The gradient of ``loss(of, *arguments)`` in the parameters of ``of``, by JAX."""
    def value(parameters):
        return jnp.mean(loss(of.replace(parameters), *arguments))  # of rows their mean

    found = jax.grad(value)(of.parameters)
    return [found[name] for name in of.spec.arrays]


def adapter(cls: type | None = None, *, dtype: Any = jnp.float64):
    """Class decorator: operations of JAX's arrays become the contract's operations of NumPy arrays.

    ``model`` is added, and for every loss X the gradient X_grad by JAX. With ``dtype=jnp.float32`` all runs in single
    precision. Used as ``@adapter`` or ``@adapter(dtype=...)``.
    """
    def decorate(cls: type) -> type:
        return wrapped(cls, lambda s, p, m: model(s, p, m, dtype), lambda a: array(a, dtype), numpy, gradient)

    return decorate if cls is None else decorate(cls)
