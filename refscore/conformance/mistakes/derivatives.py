"""Derivatives of a model: transposed, summed, normalised, approximated."""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import mistake


@mistake("jvp", wrong="(Dm)'v", right="(Dm)v", seen="vjp for jvp: autograd's grad with grad_outputs = v, common")
def jvp_transposed(self, model, x, v):
    return model.vjp(x, v)


@mistake("jvp", wrong="(Dm)1", right="(Dm)v", seen="v forgotten")
def jvp_along_ones(self, model, x, v):
    return model.jvp(x, np.ones_like(v))


@mistake("jvp", wrong="(diag Dm)v", right="(Dm)v", seen="elementwise derivative")
def jvp_diagonal(self, model, x, v):
    return np.diagonal(model.jacobian(x), axis1=1, axis2=2) * v


@mistake("jvp", wrong="v/||v||", right="v", seen="a direction made a unit vector")
def jvp_normalised(self, model, x, v):
    return model.jvp(x, v / np.linalg.norm(v, axis=1, keepdims=True))


@mistake("jvp", wrong="m(x + v) - m(x)", right="the derivative along v", seen="a difference with step 1")
def jvp_difference(self, model, x, v):
    return model(x + v) - model(x)


@mistake("jvp", wrong="(m(x + h v) - m(x))/h, h = 1e-4", right="the derivative along v", seen="differences, common")
def jvp_forward_difference(self, model, x, v):
    return (model(x + 1e-4 * v) - model(x)) / 1e-4


@mistake("jvp", wrong="the model's value too", right="the product alone", seen="the first of the pair that jax.jvp returns")
def jvp_primal(self, model, x, v):
    return model(x)


@mistake("jvp", wrong="the first row's v for all", right="each row its own", seen="broadcasting")
def jvp_shared_direction(self, model, x, v):
    return model.jvp(x, np.broadcast_to(v[:1], v.shape))


@mistake("jvp", wrong="(Dm + Dm')v/2", right="(Dm)v", seen="a symmetric Jacobian assumed, as that of a true score")
def jvp_symmetrised(self, model, x, v):
    return (model.jvp(x, v) + model.vjp(x, v)) / 2


@mistake("jvp", wrong="(Dm)(Dm)v", right="(Dm)v", seen="applied twice")
def jvp_twice(self, model, x, v):
    return model.jvp(x, model.jvp(x, v))


@mistake("divergence", wrong="sum of all entries of Dm", right="trace", seen="autograd of m.sum(), common")
def divergence_of_sum(self, model, x):
    return model.jacobian(x).sum(axis=(1, 2))


@mistake("divergence", wrong="-tr Dm", right="tr Dm", seen="sign")
def divergence_sign(self, model, x):
    return -self.divergence(model, x)


@mistake("divergence", wrong="mean of the diagonal", right="sum", seen="mean for sum")
def divergence_mean(self, model, x):
    return self.divergence(model, x) / x.shape[1]


@mistake("divergence", wrong="mean over the batch", right="each row its own", seen="averaged too early")
def divergence_batch_mean(self, model, x):
    return np.full(len(x), self.divergence(model, x).mean())


@mistake("divergence", wrong="sum over the batch", right="each row its own", seen="summed too early")
def divergence_batch_sum(self, model, x):
    return np.full(len(x), self.divergence(model, x).sum())


@mistake("divergence", wrong="the last dimension left out", right="all dimensions", seen="range(d - 1)")
def divergence_without_last(self, model, x):
    return self.divergence(model, x) - model.jacobian(x)[:, -1, -1]


@mistake("divergence", wrong="the first dimension alone", right="all dimensions", seen="one dimension of several")
def divergence_first(self, model, x):
    return model.jacobian(x)[:, 0, 0]


@mistake("divergence", wrong="||Dm||", right="trace", seen="norm for trace")
def divergence_frobenius(self, model, x):
    return np.sqrt((model.jacobian(x) ** 2).sum(axis=(1, 2)))


@mistake("divergence", wrong="determinant", right="trace", seen="log det I + h J, not linearised")
def divergence_determinant(self, model, x):
    return np.linalg.det(model.jacobian(x))


@mistake("divergence", wrong="differences with h = 1e-4", right="the derivative", seen="differences for the derivative")
def divergence_by_differences(self, model, x):
    h, total = 1e-4, np.zeros(len(x))
    for i, e in enumerate(np.eye(x.shape[1])):
        total += (model(x + h * e) - model(x))[:, i] / h
    return total


@mistake("divergence", wrong="other diagonal", right="main diagonal", seen="an axis reversed")
def divergence_other_diagonal(self, model, x):
    return np.trace(model.jacobian(x)[:, ::-1], axis1=1, axis2=2)


@mistake("hutchinson", wrong="sum of (Dm)v", right="v'(Dm)v", seen="the second product with v forgotten")
def hutchinson_without_left(self, model, x, v):
    return model.jvp(x, v).sum(axis=1)


@mistake("hutchinson", wrong="v'(Dm)v/d", right="v'(Dm)v", seen="mean for the sum over dimensions")
def hutchinson_mean(self, model, x, v):
    return self.hutchinson(model, x, v) / x.shape[1]


@mistake("hutchinson", wrong="-v'(Dm)v", right="v'(Dm)v", seen="sign")
def hutchinson_sign(self, model, x, v):
    return -self.hutchinson(model, x, v)


@mistake("hutchinson", wrong="v'(Dm)v/v'v", right="v'(Dm)v", seen="probes of length 1: E vv' = I/d")
def hutchinson_normalised(self, model, x, v):
    return self.hutchinson(model, x, v) / (v**2).sum(axis=1)


@mistake("hutchinson", wrong="sum of v_i^2 d m_i/d x_i", right="v'(Dm)v", seen="elementwise derivative")
def hutchinson_diagonal(self, model, x, v):
    return (v**2 * np.diagonal(model.jacobian(x), axis1=1, axis2=2)).sum(axis=1)


@mistake("hutchinson", wrong="||(Dm)v||^2", right="v'(Dm)v", seen="(Dm)v on both sides")
def hutchinson_squared(self, model, x, v):
    return (model.jvp(x, v) ** 2).sum(axis=1)


@mistake("hutchinson", wrong="v'm", right="v'(Dm)v", seen="the model's value for its derivative")
def hutchinson_of_value(self, model, x, v):
    return (v * model(x)).sum(axis=1)


@mistake("hutchinson", wrong="tr Dm", right="v'(Dm)v", seen="the exact trace, the probe not used")
def hutchinson_exact(self, model, x, v):
    return self.divergence(model, x)


@mistake("hutchinson", wrong="the first row's probe for all", right="each row its own", seen="broadcasting")
def hutchinson_shared_probe(self, model, x, v):
    return self.hutchinson(model, x, np.broadcast_to(v[:1], v.shape))


@mistake("hutchinson", wrong="sign(v)", right="the probe as given", seen="Rademacher probes made of any v")
def hutchinson_signs(self, model, x, v):
    return self.hutchinson(model, x, np.sign(v))


@mistake("hutchinson", wrong="mean over the batch", right="each row its own", seen="averaged too early")
def hutchinson_batch_mean(self, model, x, v):
    return np.full(len(x), self.hutchinson(model, x, v).mean())


@mistake("hutchinson", wrong="sum over the batch", right="mean, or each row its own", seen="bayesflow#772: summed probes")
def hutchinson_batch_sum(self, model, x, v):
    return np.full(len(x), self.hutchinson(model, x, v).sum())


@mistake("hutchinson", wrong="2v - 1", right="v", seen="neighbour of flow_matching#49: the probe taken for one from U(0, 1)")
def hutchinson_uniform(self, model, x, v):
    return self.hutchinson(model, x, 2 * v - 1)
