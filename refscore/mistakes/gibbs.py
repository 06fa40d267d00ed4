"""Mistakes in block Gibbs sampling of restricted Boltzmann machines (systems G4)."""

from __future__ import annotations

import numpy as np

from refscore.energy import RBM, GibbsChain, gibbs_law, gibbs_matrix, gibbs_spectrum, mixing_bound
from refscore.mistakes._registry import mistake


def _changed(name: str, wrong: str, right: str, seen: str, machine=lambda rbm: rbm, count=lambda n: n, **methods):
    """A chain of another machine, of another number of sweeps, or with other methods."""
    kind = type("Wrong", (GibbsChain,), methods)
    mistake("gibbs", name=f"rbm_gibbs_{name}", wrong=wrong, right=right, seen=seen)(lambda rbm, n: kind(machine(rbm), count(n)))


def _without(layer: str):
    def machine(rbm):
        return RBM(rbm.W, *((np.zeros_like(b) if name == layer else b) for name, b in (("b", rbm.b), ("c", rbm.c))))

    return machine


def _mean(given, W, bias):
    return 1 / (1 + np.exp(-(given @ W + bias)))


def _visible_from_mean(self, x, u, w):
    return (w < _mean(_mean(x, self.rbm.W, self.rbm.c), self.rbm.W.T, self.rbm.b)) * 1.0


def _mean_returned(self, x, u, w):
    return _mean((u < _mean(x, self.rbm.W, self.rbm.c)) * 1.0, self.rbm.W.T, self.rbm.b)


def _most_likely(self, x, u, w):
    z = (_mean(x, self.rbm.W, self.rbm.c) > 0.5) * 1.0
    return (_mean(z, self.rbm.W.T, self.rbm.b) > 0.5) * 1.0


def _both_at_once(self, x, u, w):
    z = (u[0] < _mean(x, self.rbm.W, self.rbm.c)) * 1.0
    for k in range(len(u)):
        x, z = (w[k] < _mean(z, self.rbm.W.T, self.rbm.b)) * 1.0, (u[k] < _mean(x, self.rbm.W, self.rbm.c)) * 1.0
    return x


def _same_uniforms(self, x, u, w):
    return GibbsChain.run(self, x, np.broadcast_to(u[0], u.shape), np.broadcast_to(w[0], w.shape))


def _layers_reused(self, x, u, w):
    first = (u[0] < _mean(x, self.rbm.W, self.rbm.c)) * 1.0
    return (w[-1] < _mean(first, self.rbm.W.T, self.rbm.b)) * 1.0


def _above(layer: str):
    def draw(self, given, uniform):
        return GibbsChain.__dict__[layer](self, given, np.minimum(1 - np.asarray(uniform), 1 - 2.0**-53))

    return draw


_changed("visible_from_mean", "x | E[z|x]", "x | z, z drawn", "a mean-field sweep: 'probabilities, not states'",
         _swept=_visible_from_mean)
_changed("mean_returned", "E[x|z]", "x drawn given z", "reconstructions in place of samples", _swept=_mean_returned)
_changed("most_likely", "1 where p > 1/2", "1 with probability p", "rounding in place of a draw", _swept=_most_likely)
_changed("both_at_once", "x' | z and z' | x from the same state", "z | x, then x' | z", "a parallel update, common",
         run=_both_at_once)
_changed("same_uniforms", "one array of uniforms for all sweeps", "new ones each sweep", "draws made before the loop",
         run=_same_uniforms)
_changed("layers_reused", "z drawn once, before the loop", "z drawn in every sweep", "a line outside the loop", run=_layers_reused)
_changed("hidden_bias_missing", "sigma(W'x)", "sigma(c + W'x)", "biases left out", machine=_without("c"))
_changed("visible_bias_missing", "sigma(Wz)", "sigma(b + Wz)", "biases left out", machine=_without("b"))
_changed("spins", "sigma(2 a)", "sigma(a)", "units of -1 and 1", machine=lambda rbm: RBM(2 * rbm.W, 2 * rbm.b, 2 * rbm.c))
_changed("one_sweep_short", "n - 1 sweeps", "n sweeps", "range(1, n)", count=lambda n: n - 1)
_changed("one_sweep_more", "n + 1 sweeps", "n sweeps", "a last sweep 'for the negative phase'", count=lambda n: n + 1)
_changed("uniform_above", "u > p", "u < p", "p and 1 - p", hidden=_above("hidden"), visible=_above("visible"))


def _matrix(name: str, wrong: str, right: str, seen: str):
    return mistake("gibbs_matrix", name=f"gibbs_matrix_{name}", wrong=wrong, right=right, seen=seen)


_matrix("transposed", "T(x | x')", "T(x' | x)", "columns for rows")(lambda rbm: gibbs_matrix(rbm).T.copy())
_matrix("two_sweeps", "T^2", "T", "x -> z -> x counted as half a sweep")(lambda rbm: np.linalg.matrix_power(gibbs_matrix(rbm), 2))
_matrix("half_sweep_from_marginal", "sum_z p(x'|z) p(z)", "sum_z p(x'|z) p(z|x)", "z drawn from its own law")(
    lambda rbm: np.tile(np.linalg.matrix_power(gibbs_matrix(rbm), 1 << 20)[0], (2 ** len(rbm.b), 1)))
_matrix("biases_swapped", "b and c in each other's place", "b visible, c hidden", "scikit-learn's order of intercepts")(
    lambda rbm: gibbs_matrix(RBM(rbm.W, np.resize(rbm.c, len(rbm.b)), np.resize(rbm.b, len(rbm.c)))))
_matrix("unnormalised", "e^(x'Wz + ...) for p(z|x)", "divided by its sum", "no softmax")(
    lambda rbm: gibbs_matrix(rbm) * np.exp(0.1 + np.arange(2 ** len(rbm.b)))[:, None])

mistake("gibbs_spectrum", name="gibbs_spectrum_not_squared", wrong="s_i", right="s_i^2", seen="the singular values themselves")(
    lambda rbm: np.sqrt(np.maximum(gibbs_spectrum(rbm), 0)))
mistake("gibbs_spectrum", name="gibbs_spectrum_of_the_symmetric_part", wrong="eigvalsh(T)", right="of D^1/2 T D^-1/2",
        seen="a symmetric solver on a matrix that is not symmetric")(
    lambda rbm: np.linalg.eigvalsh(gibbs_matrix(rbm))[::-1][: 2 ** min(len(rbm.b), len(rbm.c))])
mistake("gibbs_spectrum", name="gibbs_spectrum_ascending", wrong="smallest first", right="1 first", seen="eigvalsh's order")(
    lambda rbm: gibbs_spectrum(rbm)[::-1])
mistake("spectral_gap", name="spectral_gap_second_eigenvalue", wrong="l_2", right="1 - l_2", seen="rate and gap mixed up")(
    lambda rbm: gibbs_spectrum(rbm)[1])
mistake("spectral_gap", name="spectral_gap_of_a_half_sweep", wrong="1 - sqrt(l_2)", right="1 - l_2", seen="z | x for a step")(
    lambda rbm: 1 - np.sqrt(gibbs_spectrum(rbm)[1]))
mistake("spectral_gap", name="spectral_gap_smallest", wrong="1 - l_n", right="1 - l_2", seen="[-1] of a descending order")(
    lambda rbm: 1 - gibbs_spectrum(rbm)[-1])

mistake("gibbs_law", name="gibbs_law_one_sweep_short", wrong="q T^(k-1)", right="q T^k", seen="range(1, k)")(
    lambda rbm, start, k: gibbs_law(rbm, start, k - 1))
mistake("gibbs_law", name="gibbs_law_transposed", wrong="T^k q", right="q T^k", seen="column vectors, T by rows")(
    lambda rbm, start, k: np.linalg.matrix_power(gibbs_matrix(rbm), k) @ gibbs_law(rbm, start, 0))
mistake("gibbs_law", name="gibbs_law_of_the_hidden_layer", wrong="p(x'|z) p(z|x) of W'", right="of W", seen="transposed")(
    lambda rbm, start, k: gibbs_law(RBM(np.resize(rbm.W.T, rbm.W.shape), rbm.b, rbm.c), start, k))
mistake("gibbs_law", name="gibbs_law_uniform_start", wrong="a uniform start", right="the start given", seen="chains from noise")(
    lambda rbm, start, k: gibbs_law(rbm, np.full(2 ** len(rbm.b), 2.0 ** -len(rbm.b)), k))


def _chi2(rbm, start):
    law, p = gibbs_law(rbm, start, 0), np.linalg.matrix_power(gibbs_matrix(rbm), 1 << 20)[0]
    return law, p, ((law - p) ** 2 / p).sum(), gibbs_spectrum(rbm)[1]


@mistake("mixing_bound", wrong="l_2^k sqrt(chi2)", right="half of it", seen="sum |q - p| for total variation")
def mixing_bound_without_half(rbm, start, k):
    return min(1.0, 2 * mixing_bound(rbm, start, k))


@mistake("mixing_bound", wrong="1/2 l_2^k chi2", right="1/2 l_2^k sqrt(chi2)", seen="the root forgotten")
def mixing_bound_chi2_not_rooted(rbm, start, k):
    _, _, chi2, rate = _chi2(rbm, start)
    return min(1.0, rate**k * chi2 / 2)


@mistake("mixing_bound", wrong="l_2^(k-1)", right="l_2^k", seen="the first sweep not counted")
def mixing_bound_one_sweep_late(rbm, start, k):
    return mixing_bound(rbm, start, k - 1)


@mistake("mixing_bound", wrong="l_2^(k/2)", right="l_2^k", seen="singular values of one half of a sweep")
def mixing_bound_half_rate(rbm, start, k):
    _, _, chi2, rate = _chi2(rbm, start)
    return min(1.0, rate ** (k / 2) * np.sqrt(chi2) / 2)


@mistake("mixing_bound", wrong="sum (q - p)^2/q", right="sum (q - p)^2/p", seen="chi2(p, q) for chi2(q, p)")
def mixing_bound_chi2_exchanged(rbm, start, k):
    law, p, _, rate = _chi2(rbm, start)
    law = np.maximum(law, 1e-3)
    return min(1.0, rate**k * np.sqrt(((law - p) ** 2 / law).sum()) / 2)
