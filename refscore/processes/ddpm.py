r"""The chain of denoising diffusion probabilistic models: noise added in N steps, by index and not by time.

    x_i = sqrt(1 - beta_i) x_{i-1} + sqrt(beta_i) z,    i = 1, ..., N        [b, sec. 2; c; Ho et al. 2020, eq. 2]

(alpha_i of the papers is 1 - beta_i). With alpha-bar_i = prod_{k <= i} (1 - beta_k), and alpha-bar_0 = 1,

    marginal     x_i = sqrt(alpha-bar_i) x_0 + sqrt(1 - alpha-bar_i) z       [b; c; eq. 4]
    transition   x_j given x_i, i < j: the same with alpha-bar_j/alpha-bar_i in place of alpha-bar
    posterior    q(x_{i-1} | x_i, x_0) = N(mean, beta~_i I)                   [eq. 6 and 7]
                 mean = sqrt(alpha-bar_{i-1}) beta_i/(1 - alpha-bar_i) x_0
                        + sqrt(1 - beta_i) (1 - alpha-bar_{i-1})/(1 - alpha-bar_i) x_i
                 beta~_i = (1 - alpha-bar_{i-1})/(1 - alpha-bar_i) beta_i,   which is 0 at i = 1, where the mean is x_0

so ``alpha(i)`` is sqrt(alpha-bar_i) and ``sigma(i)`` sqrt(1 - alpha-bar_i). The chain is what a variance-preserving process
is at N + 1 of its times (`DDPM.from_vp`); in between there is nothing, no drift and no diffusion.

**Computed** from C_i = -log alpha-bar_i = sum -log1p(-beta_k), a sum of positive terms kept to the last digit: alpha is
e^{-C/2}, sigma^2 is -expm1(-C), and 1 - alpha-bar_i is written beta_i + (1 - beta_i)(1 - alpha-bar_{i-1}) where it is divided by.
Nothing cancels, whether beta is 1e-17 or 1 - 1e-16.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore import _validate
from refscore.processes._noising import Noising, like

_SOME, _NEAR_ONE = 10, 0.9
"""Ten or more betas that start above it and run down are alphas: no schedule that keeps a signal does."""


class DDPM(Noising):
    """The chain x_i = sqrt(1 - beta_i) x_{i-1} + sqrt(beta_i) z; index 0 is data, indices are scalars or (n,).

    Parameters
    ----------
    betas : (N,)
        Variance of the noise added in step 1, ..., N: 0 < betas[0] < 1 and 0 <= beta < 1 after that; ``betas[i - 1]`` is
        beta_i. beta_i = 0 repeats a state, which does no harm once there is noise; beta_1 = 0 would make x_1 the data, whose
        conditional score does not exist. beta = 1 would wipe the signal out, so that no noise prediction could tell x_0.

    Raises
    ------
    ValueError, TypeError
        For other betas, and for alphas = 1 - betas in their place (ten or more, from above 0.9 down); in its methods for an index
        that is not one of 0, ..., N.

    Source: [b, sec. 2], [c]; Ho et al. 2020. systems E4.
    """

    def __init__(self, betas):
        betas = np.array(_validate.reals(betas, "betas"))
        if betas.ndim != 1 or not betas.size:
            raise ValueError(f"betas has shape {betas.shape}: pass one variance a step, shape (N,), such as linear_betas(1000)")
        _validate.finite(betas, "betas")
        if betas.min() < 0 or betas.max() >= 1:
            at = int(np.argmax((betas < 0) | (betas >= 1)))
            mend = "pass np.minimum(betas, 0.999), as the cosine schedule does" if betas[at] >= 1 else "pass variances"
            raise ValueError(f"betas[{at}] is {betas[at]}: a step keeps sqrt(1 - beta) of the signal, 0 <= beta < 1; {mend}")
        if betas[0] == 0:
            raise ValueError("betas[0] is 0: x_1 would be the data, without noise to predict and without conditional score; "
                             "leave steps that do nothing out of the beginning")
        if len(betas) >= _SOME and betas[0] > _NEAR_ONE and betas[-1] < betas[0] and (np.diff(betas) <= 0).all():
            raise ValueError(f"betas run down from {betas[0]} to {betas[-1]}: the first step would wipe the signal out and "
                             "the others do ever less, so these look like alphas; pass betas = 1 - alphas (of products alpha-bar, "
                             "1 - alpha_bar/np.append(1, alpha_bar[:-1]))")
        betas.flags.writeable = False
        self.betas = betas
        self._terms = -np.log1p(-betas)
        self._clocks = _running_sums(self._terms)

    @classmethod
    def from_vp(cls, process: Noising, times) -> DDPM:
        """The chain that a variance-preserving process is at ``times`` (N + 1,), increasing from 0: index i is times[i].

        beta_i = 1 - e^{-int beta(t) dt} over step i: the variance of the process's own transition. The published schedules
        take beta(t_i) dt instead, which is the same up to O(dt^2).
        """
        times = _validate.finite(np.atleast_1d(_validate.reals(times, "times")), "times")
        if times.ndim != 1 or len(times) < 2 or times[0] != 0 or not (np.diff(times) > 0).all():
            raise ValueError(f"times = {_validate.shown(times)}: pass at least two increasing times from 0 on, "
                             "such as np.linspace(0, 1, 1001)")
        if isinstance(process, type) or not hasattr(process, "transition"):
            raise TypeError(f"process is {process!r}: pass a VP process, such as VP()")
        alpha, variance = process.transition(times[:-1], times[1:])
        if np.abs(alpha**2 + variance - 1).max() > 1e-12:
            raise ValueError(f"process is {process!r}, whose steps do not keep the variance 1: pass a VP process, such as VP()")
        return cls(variance)

    def __len__(self) -> int:
        """N, the number of steps."""
        return len(self.betas)

    def __repr__(self) -> str:
        return f"DDPM({len(self)} betas from {self.betas[0]:.3g} to {self.betas[-1]:.3g})"

    def __getattr__(self, name: str):
        if name in ("rate", "drift", "diffusion", "exponential_step"):
            raise AttributeError(f"a DDPM has no {name}: there is nothing between two indices; sample with refscore.samplers.ddpm "
                                 "or ddim, or take the VP process that the chain approximates")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """N, the last index."""
        return float(len(self.betas))

    def beta(self, index):
        """beta_i, i = 1, ..., N."""
        return self.betas[self._step(index) - 1]

    def alpha(self, t):
        """sqrt(alpha-bar_i), the signal scale; 1 at i = 0, and 0 where -log alpha-bar_i exceeds 1490."""
        return np.exp(-self._clocks[self._index(t)] / 2)

    def sigma(self, t):
        """sqrt(1 - alpha-bar_i), the noise's standard deviation; 0 at i = 0, and positive from i = 1 on."""
        return np.sqrt(-np.expm1(-self._clocks[self._index(t)]))

    def transition(self, s, t) -> tuple[Any, Any]:
        """(alpha, variance) of x_t given x_s for indices s <= t; (sqrt(1 - beta_t), beta_t) when s = t - 1."""
        s, t = self._interval(s, t)
        clock = np.vectorize(self._clock, otypes=[np.float64])(s.astype(np.intp), t.astype(np.intp))[()]
        return np.exp(-clock / 2), -np.expm1(-clock)

    def posterior(self, x0, xt, index, previous=None) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n, d) and variance (n,) of q(x_{i-1} | x_i, x_0), by Bayes's rule (module docstring).

        Parameters
        ----------
        x0, xt : (n, d)
        index : scalar or (n,)
            i = 1, ..., N.
        previous : scalar or (n,), optional
            The posterior of x_previous, previous < i, instead of x_{i-1}.

        Source: Ho et al. 2020, eq. 6 and 7. systems E4.
        """
        xt = _validate.batch(xt, name="xt")
        x0 = like(x0, xt, "x0", "xt")
        _validate.times(index, len(xt), "index")
        index = self._step(index)
        if previous is not None:
            _validate.times(previous, len(xt), "previous")
        previous = index - 1 if previous is None else self._index(previous, "previous")
        if (later := np.ravel(previous >= index)).any():
            row = int(np.argmax(later))
            given, of = (int(np.broadcast_to(value, later.shape)[row]) for value in (previous, index))
            raise ValueError(f"previous = {given} is not below index = {of}" + (f" in row {row}" if later.size > 1 else "") +
                             ": the posterior is that of an earlier state")
        a, added = self.transition(previous, index)
        known = self.variance(previous)
        total = added + a * a * known  # sigma_index^2, as a sum of positive terms; exactly ``added`` when previous is 0
        mean = self._column(self.alpha(previous) * added / total) * x0 + self._column(a * known / total) * xt
        return mean, np.broadcast_to(added * (known / total), len(xt)).copy()

    def _clock(self, s: int, t: int) -> float:
        """-log(alpha-bar_t/alpha-bar_s), rounded once: differences of ``_clocks`` would lose digits."""
        return math.fsum(self._terms[s:t])

    def _time(self, t, name: str = "t") -> np.ndarray:
        array = super()._time(t, name)
        if (array != np.rint(array)).any():
            value = array.flat[int(np.argmax(array != np.rint(array)))]
            raise ValueError(f"{name} is {value}: a chain has indices 0, ..., {len(self)}, 0 being data, and nothing in between; "
                             "pass an integer, or take the VP process that the chain approximates")
        return array

    def _index(self, t, name: str = "t") -> np.ndarray:
        return self._time(t, name).astype(np.intp)

    def _step(self, index) -> np.ndarray:
        index = self._index(index, "index")
        if (index < 1).any():
            raise ValueError(f"index is {index.min()}: steps are numbered 1, ..., {len(self)}, and step i leads to x_i; 0 is data")
        return index


def _running_sums(terms: np.ndarray) -> np.ndarray:
    """[0, t_1, t_1 + t_2, ...], each rounded about once: the sum carries along what its additions lose (Neumaier 1974)."""
    total = lost = 0.0
    sums = [0.0]
    for term in terms.tolist():
        new = total + term
        lost += (total - new) + term if total >= term else (term - new) + total
        total = new
        sums.append(total + lost)
    return np.array(sums)
