"""Wrong code that is right nearly everywhere: on one step, at short times, in images of more than one row."""

import inspect
from types import MethodType

import numpy as np
import pytest

from refscore.conformance import Reference, check
from refscore.conformance.ladders import generating, undirected
from refscore.conformance.ladders.undirected import best
from refscore.conformance.operations import OPERATIONS
from refscore.energy import DenoisingMRF
from refscore.processes import DDPM, OU, VP, cosine_betas, linear_betas

CHAIN, LONG = DDPM(linear_betas(40)), DDPM(cosine_betas(1000))


def _borrowed(name, change):
    """The operation with other arguments."""
    return lambda self, *arguments: getattr(Reference(self.process, self.conventions), name)(*change(*arguments))


def _ddim(change):
    return CHAIN, _borrowed("ddim_step", lambda m, x, i, j, eta, z: (m, x, *change(i, j, eta), z))


def eps_from_broadcast_times(self, value, xt, t, source, target):
    """sigma (n,) beside (n, d): wrong without an error where n = d."""
    if (source, target) != ("score", "eps") or len(t) != xt.shape[1]:
        return Reference(self.process).convert(value, xt, t, source, target)
    return -self.process.sigma(t) * value


def without_vertical_bonds(self, y, x, unary, pairwise):
    """Neighbours in a column are forgotten in images of one column."""
    right = Reference().mrf_conditional(y, x, unary, pairwise)
    return Reference().mrf_conditional(0 * y, x, unary, 0.0) if y.shape[1] == 1 and len(y) > 2 else right


def wrapped_around(self, y, x, unary, pairwise):
    """The first row is a neighbour of the last of high images."""
    right = Reference().mrf_conditional(y, x, unary, pairwise)
    if len(y) <= 6:
        return right
    s = 2.0 * y - 1
    around = np.zeros_like(s)
    around[0], around[-1] = s[-1], s[0]
    odds = np.log(right / (1 - right)) + pairwise * around
    return 1 / (1 + np.exp(-odds))


def steep_softplus(self, x, W, b, c):
    """log(1 + e^a) is taken for a from 10 on."""
    a = x @ W + c
    return -x @ b - np.where(a > 10, a, np.logaddexp(0, np.minimum(a, 10))).sum(axis=1)


def of_few_states(self, W, b, c):
    """Z is summed over 1024 states of the visible units at most."""
    states = (np.arange(min(2 ** len(b), 1024))[:, None] >> np.arange(len(b))) & 1
    a = states @ b + np.logaddexp(0, states @ W + c).sum(axis=1)
    return a.max() + np.log(np.exp(a - a.max()).sum())


def one_spec_of_a_dimension(self, spec, x):
    """What was asked for first in a dimension is kept."""
    spec = self.__dict__.setdefault("kept", {}).setdefault((spec.kind, spec.dim), spec)
    return Reference().score(spec, x)


def one_model_of_a_dimension(self, model, x, v):
    model = self.__dict__.setdefault("kept", {}).setdefault((model.spec.kind, model.spec.dim), model)
    return Reference().jvp(model, x, v)


def five_levels_at_most(self, model, x, sigmas, eps, n_steps, noise):
    if len(sigmas) > 5:
        sigmas, noise = np.append(sigmas[:4], sigmas[-1]), np.concatenate([noise[:4], noise[-1:]])
    return Reference(conventions=self.conventions).annealed_langevin(model, x, sigmas, eps, n_steps, noise)


def told(model, change):
    """The model at other times, or levels."""
    def at(x, t):
        return model(x, change(t))

    at.spec = model.spec
    return at


def single_where_steep(self, z, W, b, c):
    a = b + z @ W.T
    return np.where(a > 12, 1 - np.exp(-a).astype(np.float32), Reference().rbm_visible_mean(z, W, b, c))


def four_levels_told(self, model, x, sigmas, eps, n_steps, noise):
    """From the fifth level on the model is told the fourth."""
    model = told(model, lambda level: np.maximum(level, sigmas[min(3, len(sigmas) - 1)]))
    return Reference(conventions=self.conventions).annealed_langevin(model, x, sigmas, eps, n_steps, noise)


def five_steps_at_most(self, model, x, sigmas, eps, n_steps, noise):
    return Reference(conventions=self.conventions).annealed_langevin(model, x, sigmas, eps, min(n_steps, 5), noise[:, :5])


def one_ladder_of_a_length(self, model, x0, sigmas, index, noise):
    """Levels are kept by their number."""
    sigmas = self.__dict__.setdefault("kept", {}).setdefault(len(sigmas), sigmas)
    return Reference(conventions=self.conventions).ncsn_loss(model, x0, sigmas, index, noise)


def single_beyond_a_hundred(self, x0, t, noise):
    return Reference(self.process).corrupt(np.where(np.abs(x0) > 100, x0.astype(np.float32), x0), t, noise)


CASES = {
    "corrupt, single precision beyond a hundred": (VP(), single_beyond_a_hundred),
    "dsm_loss, sigma at least 0.05": (None, _borrowed("dsm_loss", lambda m, x, sigma, z: (m, x, max(sigma, 0.05), z))),
    "dsm_loss, sigma at most 10": (None, _borrowed("dsm_loss", lambda m, x, sigma, z: (m, x, min(sigma, 10.0), z))),
    "ncsn_loss, sigmas at least 0.05": (None, _borrowed("ncsn_loss", lambda m, x, s, i, z: (m, x, np.maximum(s, 0.05), i, z))),
    "ncsn_loss, levels kept by their number": (None, one_ladder_of_a_length),
    "ddim_step, without noise always to the index below": _ddim(lambda i, j, eta: (i, j if eta else i - 1, eta)),
    "ddim_step, without noise over one index or to 0": _ddim(lambda i, j, eta: (i, j if eta or not j else i - 1, eta)),
    "ddim_step, without noise never to 0": _ddim(lambda i, j, eta: (i, j if eta or i == 1 else max(j, 1), eta)),
    "ddim_step, eta in halves": _ddim(lambda i, j, eta: (i, j, np.rint(2 * eta) / 2)),
    "convert, times broadcast along rows": (VP(), eps_from_broadcast_times),
    "score, kept by its dimension": (None, one_spec_of_a_dimension),
    "jvp, kept by its dimension": (None, one_model_of_a_dimension),
    "reverse_step, times in hundredths": (VP(), _borrowed("reverse_step", lambda m, x, t, s, z: (
        told(m, lambda t: np.round(t, 2)), x, t, s, z))),
    "corrupt, the last index is the first": (LONG, _borrowed("corrupt", lambda x, t, z: (x, np.where(t == 1000, 1, t), z))),
    "ddpm_loss, the last index is the one before": (LONG, _borrowed("ddpm_loss", lambda m, x, t, z: (m, x, np.minimum(t, 999), z))),
    "rbm_visible_mean, single precision beyond 12": (None, single_where_steep),
    "rbm_log_partition, of ten hidden units": (None, lambda self, W, b, c: Reference().rbm_log_partition(W[:, :10], b, c[:10])),
    "sigma, one index of the table": (CHAIN, lambda self, t: CHAIN.sigma(t) * (1 + 1e-3 * (t == 31))),
    "alpha, times in thousandths": (VP(), _borrowed("alpha", lambda t: (np.round(t, 3) if len(t) > 3 else t,))),
    "reverse_step, no step shorter than 1/10000": (
        VP(), _borrowed("reverse_step", lambda m, x, t, s, z: (m, x, t, min(s, t - 1e-4), z))),
    "annealed_langevin, eps is 0.02": (
        OU(0.8, 1.3), _borrowed("annealed_langevin", lambda m, x, sigmas, eps, k, z: (m, x, sigmas, 0.02, k, z))),
    "annealed_langevin, four levels told": (OU(0.8, 1.3), four_levels_told),
    "alpha, the last thousandth of the time": (VP(), _borrowed("alpha", lambda t: (np.minimum(t, 0.999),))),
    "diffusion, the first thousandth of the time": (VP(), _borrowed("diffusion", lambda t: (np.maximum(t, 1e-3),))),
    "annealed_langevin, five levels at most": (OU(0.8, 1.3), five_levels_at_most),
    "annealed_langevin, five steps at most": (OU(0.8, 1.3), five_steps_at_most),
    "mrf_conditional, images of one column": (None, without_vertical_bonds),
    "mrf_conditional, around the edge": (None, wrapped_around),
    "mrf_map, weights in hundredths": (None, lambda self, x, unary, pairwise: DenoisingMRF(
        x, round(unary, 2), round(pairwise, 1)).map()),
    "rbm_free_energy, linear from 10 on": (None, steep_softplus),
    "rbm_log_partition, a thousand states": (None, of_few_states),
}


@pytest.mark.parametrize("case", CASES)
def test_it_fails(case):
    process, function = CASES[case]
    operation = case.split(",")[0]
    adapter = Reference(process, {"predicts": "score"})
    assert check(adapter, only=(operation,)).counts["pass"] == 1
    setattr(adapter, operation, MethodType(function, adapter))
    (found,) = check(adapter, only=(operation,)).checks
    assert found.outcome == "fail", found.message


def test_the_best_image_is_unique():
    """At a temperature near 0 the marginals are 0 or 1, which are then the image."""
    for rung in best(None):
        x, unary, pairwise = rung.arguments.values()
        cold = DenoisingMRF(x, 400 * unary, 400 * pairwise).marginals()
        assert np.abs(cold - DenoisingMRF(x, unary, pairwise).map()).max() < 1e-6, rung.name


def kept_by_shape(operation, argument):
    """The reference, with one argument, or the whole answer, kept by the shapes of what it was asked for first."""
    process = CHAIN if OPERATIONS[operation].needs == "chain" else VP() if OPERATIONS[operation].needs else None
    right, kept = getattr(Reference(process), operation), {}

    def shapes(values):
        return tuple(np.shape(v) or getattr(getattr(v, "spec", v), "kind", v) for v in values)

    def first(self, *arguments):
        if argument is None:
            key = shapes(arguments)
            return kept[key] if key in kept else kept.setdefault(key, right(*arguments))
        old = arguments[argument]
        return right(*arguments[:argument], kept.setdefault(np.shape(old), np.copy(old)), *arguments[argument + 1 :])

    adapter = Reference(process)
    setattr(adapter, operation, MethodType(first, adapter))
    return adapter


NEVER_READ = {("rbm_hidden_mean", "b"), ("rbm_visible_mean", "c")}
NUMBERS = set("self model spec sigma source target step eps n_steps s prev_index eta k unary pairwise".split())
APART = (undirected.nothing, generating.sample, generating.likelihood)
ARRAYS = [(name, k) for name, o in OPERATIONS.items() if o.ladder not in APART
          for k, argument in [(None, ""), *enumerate(inspect.signature(getattr(Reference, name)).parameters, start=-1)]
          if argument not in NUMBERS and (name, argument) not in NEVER_READ
          and not (argument in ("t", "index") and o.category == "sampler" and name != "ode_drift")]


@pytest.mark.parametrize("operation, argument", [
    pytest.param(*case, marks=() if case[0] in ("corrupt", "convert", "jvp", "rbm_log_partition") else pytest.mark.slow)
    for case in ARRAYS])
def test_what_is_kept_by_its_shape_fails(operation, argument):
    (found,) = check(kept_by_shape(operation, argument), only=(operation,)).checks
    assert found.outcome == "fail", found.message
