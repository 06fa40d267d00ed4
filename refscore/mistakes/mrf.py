"""Mistakes about a grid of binary pixels and its posterior (systems G5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from refscore.energy import DenoisingMRF, Images, PixelGibbs, all_images, icm, mean_field, mean_field_bound
from refscore.mistakes._registry import mistake

_TWICE = "pyprobml#1106: each bond is met from both of its ends"
_LEFT_OUT = "2D-Ising-Matlab#1: three neighbours of four"
_PERIODIC = "numpy.roll, right on a torus"
_SPINS = "s s' = +-1 where [y = y'] is 0 or 1: half the difference, common in Ising codes"


def _with(operation: Callable, **changes: Callable) -> Callable:
    """``operation`` of a field with some of x, unary, pairwise changed."""
    return lambda mrf, *arguments: operation(replace(mrf, **{name: change(mrf) for name, change in changes.items()}), *arguments)


def _logsum(log_weights: np.ndarray) -> tuple[float, float]:
    return float(np.logaddexp.reduce(log_weights)), 0.0


_doubled = {"pairwise": lambda mrf: 2 * mrf.pairwise}
_opposite = {"unary": lambda mrf: -mrf.unary}

mistake("mrf_log_weight", name="mrf_bonds_twice", wrong="sum over i and over its neighbours", right="each bond once", seen=_TWICE)(
    _with(DenoisingMRF.log_weight, **_doubled))
mistake("mrf_log_weight", name="mrf_unary_sign", wrong="-u [x = y]", right="u [x = y]", seen="energy and log-weight")(
    _with(DenoisingMRF.log_weight, **_opposite))


@mistake("mrf_log_weight", wrong="bonds across alone", right="bonds across and down", seen=_LEFT_OUT)
def mrf_neighbour_left_out(mrf, y):
    return (mrf.unary * (y == mrf.x)).sum((-2, -1)) + mrf.pairwise * (y[..., 1:] == y[..., :-1]).sum((-2, -1))


@mistake("mrf_log_weight", wrong="the last pixel is a neighbour of the first", right="no bonds beyond the edges", seen=_PERIODIC)
def mrf_periodic(mrf, y):
    bonds = sum((y == np.roll(y, 1, axis)).sum((-2, -1)) for axis in (-2, -1))
    return (mrf.unary * (y == mrf.x)).sum((-2, -1)) + mrf.pairwise * bonds


@mistake("mrf_log_weight", wrong="J s_i s_j", right="J [y_i = y_j] = J (1 + s_i s_j)/2", seen=_SPINS)
def mrf_spins(mrf, y):
    height, width = mrf.shape
    return _with(DenoisingMRF.log_weight, **_doubled)(mrf, y) - mrf.pairwise * (height * (width - 1) + (height - 1) * width)


@mistake("mrf_log_weight", wrong="u x y", right="u [x = y]", seen="pixels of 0 and 1 in a formula for spins")
def mrf_unary_of_ones(mrf, y):
    return mrf.log_weight(y) + (mrf.unary * (1.0 * mrf.x * y - (y == mrf.x))).sum((-2, -1))


mistake("mrf_log_partition", name="mrf_z_bonds_twice", wrong="each bond from both ends", right="each bond once", seen=_TWICE)(
    _with(DenoisingMRF.log_partition, **_doubled))


@mistake("mrf_log_partition", wrong="bonds from the last pixel to the first", right="free edges", seen="Kaufman's is for a torus")
def mrf_z_periodic(mrf):
    return _logsum(mrf_periodic(mrf, all_images(mrf).images))


@mistake("mrf_log_partition", wrong="J s_i s_j", right="J [y_i = y_j]", seen=_SPINS)
def mrf_z_spins(mrf):
    height, width = mrf.shape
    value, error = replace(mrf, pairwise=2 * mrf.pairwise).log_partition()
    return value - mrf.pairwise * (height * (width - 1) + (height - 1) * width), error


@mistake("mrf_log_partition", wrong="sum over x and y", right="sum over y, x is seen", seen="p(y, x) and p(y | x)")
def mrf_z_of_the_joint(mrf):
    value, error = replace(mrf, unary=0.0).log_partition()
    return value + float(np.log1p(np.exp(mrf.unary)).sum()), error


@mistake("mrf_log_partition", wrong="range(H - 1)", right="range(H)", seen="loops to the last but one pixel, for the bonds' sake")
def mrf_z_last_line_left_out(mrf):
    if min(mrf.shape) == 1:
        return mrf.log_partition()
    return DenoisingMRF(mrf.x[:-1], mrf.unary[:-1], mrf.pairwise).log_partition()


@mistake("mrf_log_partition", wrong="log2", right="log", seen="entropies in bits")
def mrf_z_in_bits(mrf):
    value, error = mrf.log_partition()
    return value / np.log(2), error


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _logit(mrf: DenoisingMRF, y: np.ndarray) -> np.ndarray:
    p = mrf.conditional(y)
    return np.log(p) - np.log1p(-p)


mistake("mrf_conditional", name="mrf_conditional_twice", wrong="2J sum s_j", right="J sum s_j", seen="Glauber's 2 beta J of s s'")(
    _with(DenoisingMRF.conditional, **_doubled))
mistake("mrf_conditional", name="mrf_conditional_unary_sign", wrong="-u (2x - 1)", right="u (2x - 1)", seen="energies")(
    _with(DenoisingMRF.conditional, **_opposite))
mistake("mrf_conditional", name="mrf_conditional_of_zero", wrong="p(y_i = 0)", right="p(y_i = 1)", seen="energies")(
    lambda mrf, y: 1 - mrf.conditional(y))


@mistake("mrf_conditional", wrong="y_i among its neighbours", right="four neighbours", seen="convolution with a full 3 x 3 cross")
def mrf_conditional_itself_a_neighbour(mrf, y):
    return _sigmoid(_logit(mrf, y) + mrf.pairwise * (2.0 * y - 1))


@mistake("mrf_conditional", wrong="the last pixel is a neighbour of the first", right="no bonds beyond the edges", seen=_PERIODIC)
def mrf_conditional_periodic(mrf, y):
    around = sum(np.roll(2.0 * y - 1, step, axis) for step in (1, -1) for axis in (-2, -1))
    return _sigmoid(mrf.unary * (2.0 * mrf.x - 1) + mrf.pairwise * around)


@mistake("mrf_conditional", wrong="up, down, left", right="up, down, left, right", seen=_LEFT_OUT)
def mrf_conditional_neighbour_left_out(mrf, y):
    right = np.zeros(np.shape(y))
    right[..., :-1] = 2.0 * np.asarray(y)[..., 1:] - 1
    return _sigmoid(_logit(mrf, y) - mrf.pairwise * right)


mistake("mrf_marginals", name="mrf_marginals_of_zero", wrong="p(y_i = 0)", right="p(y_i = 1)", seen="which index is which")(
    lambda mrf: 1 - mrf.marginals())


@mistake("mrf_marginals", wrong="given the columns up to one's own", right="given all", seen="forward messages alone: a filter")
def mrf_marginals_filtered(mrf):
    parts = [DenoisingMRF(mrf.x[:, :c], mrf.unary[:, :c], mrf.pairwise).marginals()[:, -1] for c in range(1, mrf.shape[1] + 1)]
    return np.stack(parts, axis=1)


@mistake("mrf_marginals", wrong="max over the rest", right="sum over the rest", seen="max-product where sum-product is meant")
def mrf_marginals_of_maxima(mrf):
    images, log_weights = all_images(mrf)
    best = [np.where(images == value, log_weights[:, None, None], -np.inf).max(axis=0) for value in (0, 1)]
    return _sigmoid(best[1] - best[0])


mistake("mrf_map", name="mrf_map_by_marginals", wrong="[p_i > 1/2]", right="argmax p(y)", seen="most correct pixels, not "
        "the best image")(lambda mrf: (mrf.marginals() > 0.5).astype(np.uint8))
mistake("mrf_map", name="mrf_map_by_modes", wrong="ICM", right="argmax p(y)", seen="a local maximum, common")(lambda mrf: icm(mrf))
mistake("mrf_map", name="mrf_map_of_spins", wrong="J s_i s_j", right="J [y_i = y_j]", seen=_SPINS)(
    _with(DenoisingMRF.map, **_doubled))
mistake("mrf_map", name="mrf_map_worst", wrong="argmin", right="argmax", seen="energies: the lecture's is maximised")(
    _with(DenoisingMRF.map, unary=lambda mrf: -mrf.unary, pairwise=lambda mrf: -mrf.pairwise))


@mistake("mrf_agreements", wrong="across, down", right="down, across", seen="which axis differences are taken along")
def mrf_agreements_exchanged(mrf):
    down, across = replace(mrf, x=mrf.x[::-1, ::-1], unary=mrf.unary[::-1, ::-1]).agreements()
    return down, across


@mistake("mrf_agreements", wrong="p(both are 1)", right="p(both agree)", seen="E y_i y_j, for 0 and 1")
def mrf_agreements_of_ones(mrf):
    p, (down, across) = mrf.marginals(), mrf.agreements()  # p(1, 1) = (p_i + p_j - p(differ))/2
    return (p[1:] + p[:-1] - 1 + down) / 2, (p[:, 1:] + p[:, :-1] - 1 + across) / 2


mistake("mrf_transform", name="mrf_draws_above", wrong="u > p(y_i = 1)", right="u < p(y_i = 1)", seen="p and 1 - p")(
    lambda mrf, uniforms: 1 - mrf.transform(uniforms))
mistake("mrf_transform", name="mrf_draws_independent", wrong="u < marginal", right="u < p(y_i = 1 | pixels before)",
        seen="pixels drawn on their own")(lambda mrf, uniforms: (uniforms < mrf.marginals()).astype(np.uint8))


@mistake("mrf_transform", wrong="from the first column on, by forward messages", right="from the last column back",
         seen="forward filtering without backward sampling")
def mrf_draws_forwards(mrf, uniforms):
    turned = replace(mrf, x=mrf.x[::-1, ::-1], unary=mrf.unary[::-1, ::-1])
    return turned.transform(np.ascontiguousarray(uniforms[:, ::-1, ::-1]))[:, ::-1, ::-1]


mistake("mrf_log_evidence", name="mrf_evidence_without_prior", wrong="log Z(x) - noise", right="log Z(x) - log Z_0 - noise",
        seen="as if the prior were normalised")(lambda mrf: _plus(mrf, replace(mrf, unary=0.0).log_partition()[0]))
mistake("mrf_log_evidence", name="mrf_evidence_without_noise", wrong="log Z(x) - log Z_0", right="log Z(x) - log Z_0 - noise",
        seen="as if e^u were a probability")(lambda mrf: _plus(mrf, float(np.log1p(np.exp(mrf.unary)).sum())))


def _plus(mrf: DenoisingMRF, shift: float) -> tuple[float, float]:
    value, error = mrf.log_evidence()
    return value + shift, error


mistake("all_images", name="mrf_images_bonds_twice", wrong="each bond from both ends", right="each bond once", seen=_TWICE)(
    _with(all_images, **_doubled))


@mistake("all_images", wrong="bonds across alone", right="bonds across and down", seen=_LEFT_OUT)
def mrf_images_neighbour_left_out(mrf):
    images = all_images(mrf).images
    return Images(images, mrf_neighbour_left_out(mrf, images))


def _gibbs(name: str, wrong: str, right: str, seen: str, field: Callable | None = None):
    """Enters Gibbs sampling with another sweep, ``(chain, y, uniforms) -> y``, or of another field."""

    def enter(swept):
        class Wrong(PixelGibbs):
            def _swept(self, y, uniform):
                return swept(self, y, uniform((), y.shape))

        mistake("mrf_gibbs", name=name, wrong=wrong, right=right, seen=seen)(lambda mrf, *arguments: Wrong(mrf, *arguments))
        return swept

    return enter


def _below(chain, y, uniforms, conditional=mrf_conditional_periodic):
    """One sweep by a function that gives the conditional probabilities of all pixels."""
    y = y.copy()
    for pixels in chain._sets:
        at = (..., *pixels)
        y[at] = (uniforms < conditional(chain.mrf, y))[at]
    return y


@_gibbs("gibbs_all_at_once", "all pixels from the image before", "no two neighbours at once", "both colours from one array of sums")
def _all_at_once(chain, y, uniforms):
    return (uniforms < chain.mrf.conditional(y)).astype(np.uint8)


@_gibbs("gibbs_black_only", "black pixels", "black and white pixels", "every other pixel, forgotten")
def _black_only(chain, y, uniforms):
    new = PixelGibbs._swept(chain, y, lambda pixels, shape: uniforms[(..., *pixels)])
    return np.where(np.indices(chain.mrf.shape).sum(axis=0) % 2, y, new)


@_gibbs("gibbs_uniform_above", "u > p(y_i = 1)", "u < p(y_i = 1)", "p and 1 - p")
def _above(chain, y, uniforms):
    return _below(chain, y, uniforms, lambda mrf, y: 1 - mrf.conditional(y))


_gibbs("gibbs_periodic", "the last pixel is a neighbour of the first", "no bonds beyond the edges", _PERIODIC)(_below)
_gibbs("gibbs_neighbour_left_out", "up, down, left", "up, down, left, right", _LEFT_OUT)(
    lambda chain, y, uniforms: _below(chain, y, uniforms, mrf_conditional_neighbour_left_out))
_gibbs("gibbs_bonds_twice", "2J sum s_j", "J sum s_j", "Glauber's 2 beta J, for s s'")(
    lambda chain, y, uniforms: _below(chain, y, uniforms, _with(DenoisingMRF.conditional, **_doubled)))
_gibbs("gibbs_unary_sign", "-u (2x - 1)", "u (2x - 1)", "energies")(
    lambda chain, y, uniforms: _below(chain, y, uniforms, _with(DenoisingMRF.conditional, **_opposite)))


@mistake("mrf_gibbs", wrong="n - 1 sweeps", right="n sweeps", seen="range(1, n)")
def gibbs_one_sweep_short(mrf, n_sweeps, *arguments):
    return PixelGibbs(mrf, max(n_sweeps - 1, 1), *arguments)


def _modes(mrf: DenoisingMRF, y: np.ndarray, sweeps: int, conditional: Callable = DenoisingMRF.conditional) -> np.ndarray:
    for _ in range(sweeps):
        y = (conditional(mrf, y) > 0.5).astype(np.uint8)
    return y


@mistake("icm", wrong="all pixels from the image before", right="no two neighbours at once", seen="a parallel update: it may swing")
def icm_all_at_once(mrf, start=None, order="checkerboard"):
    return _modes(mrf, mrf.x, 50)


@mistake("icm", wrong="one sweep", right="until no pixel moves", seen="common")
def icm_one_sweep(mrf, start=None, order="checkerboard"):
    return _modes(mrf, mrf.x, 1)


mistake("icm", name="icm_from_nothing", wrong="from y = 0", right="from y = x", seen="zeros_like(x)")(
    lambda mrf, start=None, order="checkerboard": icm(mrf, np.zeros(mrf.shape), order))
mistake("icm", name="icm_without_data", wrong="x begins, J alone moves", right="u counts in every sweep", seen="a majority")(
    lambda mrf, start=None, order="checkerboard": icm(replace(mrf, unary=0.0), mrf.x, order))
mistake("icm", name="icm_periodic", wrong="the first pixel a neighbour of the last", right="free edges", seen=_PERIODIC)(
    lambda mrf, start=None, order="checkerboard": _modes(mrf, mrf.x, 20, mrf_conditional_periodic))

mistake("mean_field", name="mean_field_bonds_twice", wrong="2J sum (2q_j - 1)", right="J sum (2q_j - 1)", seen="tanh, sigma(2 .)")(
    _with(mean_field, **_doubled))
mistake("mean_field", name="mean_field_spins_half", wrong="J sum (q_j - 1/2)", right="J sum (2q_j - 1)", seen="q for 2q - 1")(
    _with(mean_field, pairwise=lambda mrf: mrf.pairwise / 2))
mistake("mean_field", name="mean_field_one_sweep", wrong="one sweep", right="to a fixed point", seen="a fixed number of sweeps")(
    lambda mrf: mean_field(mrf, n_sweeps=1))
mistake("mean_field", name="mean_field_modes", wrong="neighbours as 0 or 1", right="neighbours by their probabilities",
        seen="[q > 1/2] kept for q")(lambda mrf: mrf.conditional(mean_field(mrf) > 0.5))


def _entropy(q: np.ndarray) -> float:
    return sum(float(-(p[p > 0] * np.log(p[p > 0])).sum()) for p in (q, 1 - q))


mistake("mean_field_bound", name="bound_without_entropy", wrong="E log w", right="E log w + H", seen="the energy alone")(
    lambda mrf, q: mean_field_bound(mrf, q) - _entropy(q))
mistake("mean_field_bound", name="bound_entropy_sign", wrong="E log w - H", right="E log w + H", seen="sum q log q")(
    lambda mrf, q: mean_field_bound(mrf, q) - 2 * _entropy(q))
mistake("mean_field_bound", name="bound_bonds_twice", wrong="each bond from both ends", right="each bond once", seen=_TWICE)(
    _with(mean_field_bound, **_doubled))
mistake("mean_field_bound", name="bound_of_ones", wrong="J q_i q_j", right="J (q_i q_j + (1 - q_i)(1 - q_j))", seen="E y_i y_j")(
    lambda mrf, q: mean_field_bound(mrf, q) - mrf.pairwise * float(
        ((1 - q[1:]) * (1 - q[:-1])).sum() + ((1 - q[:, 1:]) * (1 - q[:, :-1])).sum()))
mistake("mean_field_bound", name="bound_unary_of_ones", wrong="u x q", right="u (x q + (1 - x)(1 - q))", seen="E x_i y_i")(
    lambda mrf, q: mean_field_bound(mrf, q) - float((mrf.unary * (1.0 - mrf.x) * (1 - q)).sum()))
