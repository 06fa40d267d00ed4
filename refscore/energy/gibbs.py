r"""Block Gibbs sampling of a restricted Boltzmann machine: each layer in turn, all of its units at once, given the other.

    z ~ p(z | x),   x <- x' ~ p(x' | z)          one sweep; the units of a layer are independent given the other layer

A unit of input a, sigma(a) = 1/(1 + e^-a), is 1 where a uniform u < sigma(a), or log u/(1 - u) < a, which neither overflows nor
needs sigma. So a sweep is a pure function of the uniforms, and a chain a function of the seed. It leaves p(x) alone, and
p(x) T(x' | x) is symmetric (`refscore.energy.gibbs_matrix` has T). Both layers drawn at once from the state before, or a mean in
place of a draw, would not.

Nearly all the time goes into the products xW and Wz: blocks have rows enough for these. float32 stays float32 (its uniforms are
multiples of 2^-24, so that is the least probability with which a unit is 1).

Source: systems G4; Geman & Geman 1984; Hinton 2002.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from refscore import _blocks, _validate
from refscore.energy import _states
from refscore.energy.rbm import RBM
from refscore.networks.mlp import LEAST_ROWS
from refscore.samplers import MarkovChain
from refscore.samplers.markov import only_slices


@dataclass(frozen=True, eq=False)
class GibbsChain(MarkovChain):
    """So many sweeps z | x, x | z of a machine; the state is x (n, v), of 0 and 1.

    Parameters
    ----------
    rbm : RBM
        Of a `DeepBoltzmannMachine` pass ``machine.stacked``: its even layers are the state.
    n_sweeps : int
    """

    rbm: RBM
    n_sweeps: int

    def __post_init__(self):
        if not isinstance(self.rbm, RBM):
            hint = ", its property stacked" if hasattr(self.rbm, "stacked") else ""
            hint = "; on R^d the chain is langevin or mala, as in contrastive_step" if hasattr(self.rbm, "score") else hint
            raise TypeError(f"rbm is {type(self.rbm).__name__}: pass a machine with two layers of binary units, an RBM{hint}")
        _validate.count(self.n_sweeps, "n_sweeps", least=0)

    def __len__(self) -> int:
        return self.n_sweeps

    def __getitem__(self, sweeps: slice) -> GibbsChain:
        """The chain of some of the sweeps, all of which are alike."""
        return replace(self, n_sweeps=len(range(self.n_sweeps)[only_slices(sweeps)]))

    def simulate(self, x0, rng) -> np.ndarray:
        """x (n, v) after all sweeps from x0 (n, v); see `MarkovChain.simulate`."""
        return super().simulate(_states.binary(x0, len(self.rbm.b), "x0", dtype=None), rng)

    def hidden(self, x, uniform) -> np.ndarray:
        """z (n, m) given x (n, v): 1 where ``uniform`` (n, m), in [0, 1), is below E[z|x]."""
        W, _, c = self.rbm.parameters
        return _drawn(_states.binary(x, len(W)), W, c, _uniform(uniform, (len(x), len(c))))

    def visible(self, z, uniform) -> np.ndarray:
        """x (n, v) given z (n, m): 1 where ``uniform`` (n, v), in [0, 1), is below E[x|z]."""
        W, b, c = self.rbm.parameters
        return _drawn(_states.binary(z, len(c), "z"), W.T, b, _uniform(uniform, (len(z), len(b))))

    def run(self, x, uniform_hidden, uniform_visible) -> np.ndarray:
        """x (n, v) after all sweeps with chosen uniforms, (n_sweeps, n, m) and (n_sweeps, n, v): `simulate` without its draws."""
        if not len(self) == len(uniform_hidden) == len(uniform_visible):
            raise ValueError(f"uniforms of {len(uniform_hidden)} and {len(uniform_visible)} sweeps for a chain of {len(self)}: "
                             "pass one array of each a sweep")
        x, (_, b, c) = _states.binary(x, len(self.rbm.b)), self.rbm.parameters
        for u, w in zip(uniform_hidden, uniform_visible, strict=True):
            x = self._swept(x, _uniform(u, (len(x), len(c))), _uniform(w, (len(x), len(b))))
        return x

    def _advance(self, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._swept(x, *(rng.random((len(x), len(bias)), dtype=x.dtype) for bias in (self.rbm.c, self.rbm.b)))

    def _swept(self, x: np.ndarray, u: np.ndarray, w: np.ndarray) -> np.ndarray:
        W, b, c = self.rbm.parameters if x.dtype == np.float64 else self._single
        return _drawn(_drawn(x, W, c, u), W.T, b, w)

    def _row_bytes(self, x: np.ndarray) -> int:
        return min(super()._row_bytes(x), _blocks.BLOCK_BYTES // LEAST_ROWS)

    @cached_property
    def _single(self) -> list[np.ndarray]:
        return [a.astype(np.float32) for a in self.rbm.parameters]


def gibbs(rbm: RBM, n_sweeps: int) -> GibbsChain:
    """A chain of ``n_sweeps`` block Gibbs sweeps of ``rbm``: ``gibbs(rbm, 100).simulate(x0, rng)``, x0 (n, v) of 0 and 1.

    Raises TypeError for what is no `RBM`; ValueError for a negative number, and, while it runs, for states that are not 0 or 1.
    Source: systems G4; Geman & Geman 1984.
    """
    return GibbsChain(rbm, n_sweeps)


def _drawn(given: np.ndarray, W: np.ndarray, bias: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """1 where log u/(1 - u) < bias + given W."""
    a = given @ W
    a += bias
    odds = 1 - uniform
    np.divide(uniform, odds, out=odds)
    with np.errstate(divide="ignore"):  # log 0: below every a
        np.log(odds, out=odds)
    return (odds < a).astype(given.dtype)


def _uniform(uniform, shape: tuple[int, int]) -> np.ndarray:
    uniform = _validate.reals(uniform, "uniform")
    if uniform.shape != shape or not ((uniform >= 0) & (uniform < 1)).all():
        raise ValueError(f"uniform has shape {uniform.shape}: pass a number in [0, 1) for every unit of every row, shape {shape}")
    return uniform
