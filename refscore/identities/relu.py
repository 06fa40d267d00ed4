r"""What a ReLU's kinks do to implicit score matching: rows D1 and D3 for the one activation without a second derivative.

A formula that is evaluated at points sees a derivative where it exists, which is almost everywhere, and not what sits in a kink.
In one dimension everything that it does not see is a sum over kinks k, where the density is p(k):

* a free ReLU network s is continuous. E s' is right, J_ISM is right; but kinks move with the parameters, k_j = -b_j/a_j, and
  with them the jump of s' by w_j |a_j|. The gradient of E s' is

      d/db_j = w_j sign(a_j) p(k_j),        d/da_j = w_j P(a_j x + b_j > 0) + w_j sign(a_j) k_j p(k_j),

  of which the gradient row by row has the term with P alone. Explicit score matching contains no derivative of s: its
  gradient is right, and is that of ISM.
* the score of a ReLU energy jumps itself, by s(k+) - s(k-), and is constant in between: E s' is the sum of p(k) times the jump, of
  which nothing is seen. There J_ISM is wrong, by exactly that.
"""

from __future__ import annotations

import numpy as np

from refscore.identities import _plain
from refscore.identities._errata import refuted
from refscore.identities._models import random_energy, random_network, trained_energy, trained_network
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import gaussian, mixture

NODES = (24, 32)  # on every piece; the second against the first bounds the error of quadrature
REACH = 12.0


def _relu(z):
    return np.maximum(z, 0)


def kinks(network) -> np.ndarray:
    """Where a ReLU MLP of one variable bends, in order: zeros of the first layer, then of later layers piece by piece."""
    found = np.array([-REACH, REACH])
    for layers in range(1, len(network.weights)):
        z = _plain.forward(network.parameters[: 2 * layers], found[:, None], _relu)  # linear between what has been found
        left, right = z[:-1], z[1:]
        crossing = left * right < 0
        t = np.where(crossing, left / np.where(crossing, left - right, 1), 0)
        new = (found[:-1, None] + t * np.diff(found)[:, None])[crossing]
        found = np.sort(np.concatenate([found, new]))
    return found[1:-1]


def nodes(density, breaks: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 1) and weights p(x) dx of Gauss-Legendre rules on the pieces between kinks, none longer than 1."""
    edges = np.sort(np.concatenate([np.arange(-REACH, REACH + 1), breaks]))
    node, weight = np.polynomial.legendre.leggauss(n)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1 + node)).reshape(-1, 1)
    return x, (half * weight).ravel() * np.exp(density.logpdf(x))


def _models(seed: int):
    """Target, its name; free networks and energies with ReLU, one and two hidden layers."""
    for name, density in (("Gaussian", gaussian(1)), ("mixture", mixture(1))):
        free = {f"random, {h} hidden": random_network(1, seed, "relu", h) for h in (1, 2)}
        free["trained, 1 hidden"] = trained_network(density, seed, "relu", 1)
        energy = {f"random, {h} hidden": random_energy(1, seed, "relu", h) for h in (1, 2)}
        energy["trained, 2 hidden"] = trained_energy(density, seed, "relu")
        yield name, density, free, energy


def _integrals(f, density, breaks):
    """Integrals f(x, weights), a list, by the finer rule; and their errors, twice the difference to the coarser one."""
    coarse, fine = (f(*nodes(density, breaks, n)) for n in NODES)
    return fine, [2 * np.abs(a - b) for a, b in zip(fine, coarse, strict=True)]


ROUNDINGS = 4096 * _plain.EPS
"""Relative to the size of what is added up: at most 2000 nodes are, each after at most 3 layers of width 10, twice (54 roundings
each), in either of two routes; kinks are known to as many roundings."""


def _absolute(model):
    """The network with the absolute values of its parameters: at |x| all its terms are as large as they can be."""
    return model.with_parameters([np.abs(p) for p in model.parameters])


def _losses(ops, model, density):
    """[J_ISM, J_ESM, half the Fisher information, the size of all their terms], as a function of nodes and weights."""
    above = _absolute(model)

    def f(x, w):
        target = ops.score(density, x)
        size = np.square(above(np.abs(x))) + np.abs(above.divergence(np.abs(x)))[:, None] + 2 * np.square(target)
        values = ops.ism(model, x, sample_weight=w), ops.esm(model, x, target, sample_weight=w)
        return [*map(np.asarray, values), w @ np.square(target).sum(axis=1) / 2, w @ size.sum(axis=1)]

    return f


@identity(
    id="D1.relu",
    systems=("D1", "B2"),
    title="ReLU network: ISM is right, its gradient row by row misses the kinks",
    statement=r"J_{ISM} = J_{ESM} - \tfrac12 I(p),\quad "
    r"\nabla_{b_j} E\,s' - E\,\nabla_{b_j} s' = w_j\,\mathrm{sign}(a_j)\, p(-b_j/a_j)",
    source="[a, sec. 2], where s is taken for differentiable",
    method="gradient of ISM row by row, gradient of ESM, by quadrature between kinks vs a sum over kinks",
    catches=(
        "ism_trace_doubled",
        "ism_trace_sign",
        "ism_square_without_half",
        "esm_without_half",
        "score_sign",
        "esm_gradient_doubled",
        "ism_gradient_without_trace",
        "ism_gradient_without_square",
    ),
)
def free_networks(ops, seed):
    """Random and trained networks in one dimension; one and two hidden layers for the value, one for the gradient."""
    rows = []
    for name, density, free, _ in _models(seed):
        for kind, model in free.items():
            case = f"{kind}, {name}"
            (ism, esm, information, size), errors = _integrals(_losses(ops, model, density), density, kinks(model))
            yield Comparison(f"B2, {case}", ism, esm - information, sum(errors[:3]) + ROUNDINGS * size, size)
            if len(model.weights) == 2:
                found = [*_gradients(ops, model, density)]
                for array, left, right, bound, scale in found:
                    what = f"gradient of ISM in {array}, {case}"
                    if array in "ab":
                        yield refuted(what, left, np.zeros_like(left), right, bound, scale)
                    else:
                        yield Comparison(what, left, right, bound, scale)
                rows.append((case, *(float(np.linalg.norm(side)) for side in found[1][1:3])))
    yield Table("Gradient of ISM in the first biases: what the rows miss (norm)", ("network", "measured", "sum over kinks"), rows)


def _gradients(ops, model, density):
    """Of s = sum_j w_j relu(a_j x + b_j) + c: array, rows' gradient of ISM less the gradient of ESM, prediction, bound, size."""
    above = _absolute(model)

    def f(x, weight):
        target = ops.score(density, x)
        by_rows = ops.ism(model, x, sample_weight=weight, grad=True)[1]
        whole = ops.esm(model, x, target, sample_weight=weight, grad=True)[1]
        terms = weight[:, None] * (above(np.abs(x)) + np.abs(target))
        sizes = zip(above.gradient(np.abs(x), terms), above.divergence_gradient(np.abs(x), weight), strict=True)
        return [p - q for p, q in zip(by_rows, whole, strict=True)] + [p + q for p, q in sizes]

    found, errors = _integrals(f, density, kinks(model))
    (a, b, w, c), W = model.parameters, model.parameters[2][:, 0]
    k = -b / a[0]
    inside = np.abs(k) < REACH  # beyond, p(k) is nothing: less than 1e-30
    missed = W * np.sign(a[0]) * np.where(inside, np.exp(ops.logpdf(density, np.where(inside, k, 0)[:, None])), 0)
    predicted = (-(k * missed)[None], -missed, np.zeros_like(w), np.zeros_like(c))
    for i, array in enumerate("abwc"):
        yield array, found[i], predicted[i], errors[i] + ROUNDINGS * found[4 + i].max(), found[4 + i].max()


@identity(
    id="D3.relu",
    systems=("D3", "B2"),
    title="ReLU energy: ISM is blind to the jumps of the score, by a number",
    statement=r"J_{ISM} = J_{ESM} - \tfrac12 I(p) - \textstyle\sum_k p(k)\,[s(k^+) - s(k^-)],\quad "
    r"\mathrm{tr}\,Ds = 0 \text{ a.e.}",
    source="[a, sec. 2], where s is taken for differentiable",
    method="ISM and ESM by quadrature between kinks vs p at the kinks times jumps of the slope of the energy",
    catches=("ism_square_without_half", "esm_without_half", "score_sign", "logpdf_determinant_not_halved"),
)
def energies(ops, seed):
    """Random and trained ReLU energies in one dimension, one and two hidden layers; s on a piece from two values of E."""
    rows = []
    for name, density, _, every in _models(seed):
        sides = []
        for kind, model in every.items():
            breaks = kinks(model.network)
            (ism, esm, information, size), errors = _integrals(_losses(ops, model, density), density, breaks)
            edges = np.concatenate([[-REACH], breaks, [REACH]])
            E, E_size = (_plain.forward(p, e[:, None], _relu)[:, 0] for p, e in _signed_and_not(model, edges))
            jumps = np.diff(-np.diff(E) / np.diff(edges))
            weight = np.exp(ops.logpdf(density, breaks[:, None]))
            # by parts, the sum is that of s on a piece times the difference of p at its ends; s errs by E's error over its length
            steep = np.abs(np.diff(weight, prepend=0, append=0)) / np.diff(edges)
            scale = size + weight @ np.abs(jumps)
            bound = sum(errors[:3]) + ROUNDINGS * scale + 64 * _plain.EPS * E_size.max() * steep.sum()
            sides.append((ism, esm - information, -(weight @ jumps), bound, scale))
            rows.append((f"{kind}, {name}", *map(float, (ism, esm - information, ism - esm + information, -(weight @ jumps)))))
        yield refuted(f"B2, {', '.join(every)}, {name}", *map(np.array, zip(*sides)))
    columns = ("energy", "J_ISM", "J_ESM - I/2", "off by", "sum over kinks")
    yield Table("Implicit score matching of a ReLU energy in one dimension", columns, rows)


def _signed_and_not(model, edges):
    return (model.parameters, edges), (_absolute(model).parameters, np.abs(edges))
