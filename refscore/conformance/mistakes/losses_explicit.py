"""The losses without noise levels: explicit, implicit, sliced."""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import mistake


def _norms(r):
    return (r**2).sum(axis=1) / 2


@mistake("esm_loss", wrong="||s + true||^2", right="||s - true||^2", seen="sign of the target")
def esm_sign(self, model, x, true_score):
    return self.averaged(_norms(self.score_at(model, x) + true_score), x.shape[1])


@mistake("esm_loss", wrong="1/2 ||.||", right="1/2 ||.||^2", seen="norm not squared")
def esm_not_squared(self, model, x, true_score):
    return self.averaged(np.sqrt(2 * _norms(self.score_at(model, x) - true_score)) / 2, x.shape[1])


@mistake("esm_loss", wrong="sum of |.|", right="||.||^2", seen="L1 for L2")
def esm_absolute(self, model, x, true_score):
    return self.averaged(np.abs(self.score_at(model, x) - true_score).sum(axis=1) / 2, x.shape[1])


@mistake("esm_loss", wrong="1/2 ||s||^2", right="1/2 ||s - true||^2", seen="target forgotten")
def esm_without_target(self, model, x, true_score):
    return self.averaged(_norms(self.score_at(model, x)), x.shape[1])


@mistake("esm_loss", wrong="||s||^2 - ||true||^2", right="||s - true||^2", seen="difference of squares for square of difference")
def esm_of_squares(self, model, x, true_score):
    return self.averaged(_norms(self.score_at(model, x)) - _norms(true_score), x.shape[1])


@mistake("esm_loss", wrong="1/2 ||s||^2 - s'true", right="with 1/2 ||true||^2", seen="the constant left out")
def esm_without_constant(self, model, x, true_score):
    return self.averaged(_norms(self.score_at(model, x) - true_score) - _norms(true_score), x.shape[1])


@mistake("esm_loss", wrong="||mean of s - true||^2", right="mean of ||s - true||^2", seen="averaged before it is squared")
def esm_mean_inside(self, model, x, true_score):
    inside = (self.score_at(model, x) - true_score).mean(axis=0, keepdims=True)
    return self.averaged(np.repeat(_norms(inside), len(x)), x.shape[1])


@mistake("esm_loss", wrong="square of the summed difference", right="sum of squares", seen="summed over dimensions first")
def esm_sum_inside(self, model, x, true_score):
    return self.averaged((self.score_at(model, x) - true_score).sum(axis=1) ** 2 / 2, x.shape[1])


@mistake("esm_loss", wrong="the first row's target for all", right="each row its own", seen="broadcasting")
def esm_shared_target(self, model, x, true_score):
    return self.averaged(_norms(self.score_at(model, x) - true_score[:1]), x.shape[1])


@mistake("esm_loss", wrong="every row against every target, (n, n)", right="row by row", seen="neighbour of bayesflow#787")
def esm_all_pairs(self, model, x, true_score):
    pairs = self.score_at(model, x)[:, None] - true_score[None]
    return self.averaged((pairs**2).sum(axis=2).mean(axis=1) / 2, x.shape[1])


@mistake("esm_loss", wrong="relative to ||true||^2", right="||s - true||^2", seen="normalised by the target")
def esm_relative(self, model, x, true_score):
    return self.averaged(_norms(self.score_at(model, x) - true_score) / (2 * _norms(true_score)), x.shape[1])


def _implicit(self, model, x, trace):
    return self.averaged(_norms(self.score_at(model, x)) + trace(self.jacobian_at(model, x)), x.shape[1])


def _trace(J):
    return np.trace(J, axis1=1, axis2=2)


@mistake("ism_loss", wrong="1/2 ||s||^2 - tr Ds", right="+ tr Ds", seen="sign of the trace; an energy's Laplacian")
def ism_trace_sign(self, model, x):
    return _implicit(self, model, x, lambda J: -_trace(J))


@mistake("ism_loss", wrong="1/2 ||s||^2 + 1/2 tr Ds", right="+ tr Ds", seen="trace without its factor, common")
def ism_trace_halved(self, model, x):
    return _implicit(self, model, x, lambda J: _trace(J) / 2)


@mistake("ism_loss", wrong="1/2 ||s||^2 + 2 tr Ds", right="+ tr Ds", seen="neighbour of the factor 1/2")
def ism_trace_doubled(self, model, x):
    return _implicit(self, model, x, lambda J: 2 * _trace(J))


@mistake("ism_loss", wrong="sum of all entries of Ds", right="its trace", seen="autograd of s.sum(), common")
def ism_sum_of_jacobian(self, model, x):
    return _implicit(self, model, x, lambda J: J.sum(axis=(1, 2)))


@mistake("ism_loss", wrong="1/2 ||s||^2 alone", right="+ tr Ds", seen="second order forgotten")
def ism_without_trace(self, model, x):
    return _implicit(self, model, x, lambda J: 0.0)


@mistake("ism_loss", wrong="tr Ds alone", right="1/2 ||s||^2 + tr Ds", seen="first term forgotten")
def ism_without_square(self, model, x):
    return self.averaged(_trace(self.jacobian_at(model, x)), x.shape[1])


@mistake("ism_loss", wrong="tr Ds/d", right="tr Ds", seen="mean over the diagonal")
def ism_trace_mean(self, model, x):
    return _implicit(self, model, x, lambda J: _trace(J) / x.shape[1])


@mistake("ism_loss", wrong="|tr Ds|", right="tr Ds", seen="absolute value, so that the loss stays positive")
def ism_trace_absolute(self, model, x):
    return _implicit(self, model, x, lambda J: np.abs(_trace(J)))


@mistake("ism_loss", wrong="d s_1/d x_1", right="all of the diagonal", seen="one dimension of several")
def ism_first_dimension(self, model, x):
    return _implicit(self, model, x, lambda J: J[:, 0, 0])


@mistake("ism_loss", wrong="the diagonal without its last entry", right="all of the diagonal", seen="range(d - 1)")
def ism_without_last_dimension(self, model, x):
    return _implicit(self, model, x, lambda J: _trace(J[:, :-1, :-1]))


@mistake("ism_loss", wrong="||Ds||", right="tr Ds", seen="Frobenius norm for the trace")
def ism_frobenius(self, model, x):
    return _implicit(self, model, x, lambda J: np.sqrt((J**2).sum(axis=(1, 2))))


@mistake("ism_loss", wrong="1/2 ||s|| + tr Ds", right="1/2 ||s||^2 + tr Ds", seen="norm not squared")
def ism_not_squared(self, model, x):
    rows = np.sqrt(2 * _norms(self.score_at(model, x))) / 2 + _trace(self.jacobian_at(model, x))
    return self.averaged(rows, x.shape[1])


@mistake("ism_loss", wrong="-(1/2 ||s||^2 + tr Ds)", right="1/2 ||s||^2 + tr Ds", seen="maximised for minimised")
def ism_negative(self, model, x):
    return -self.ism_loss(model, x)


def _slices(self, model, x, v, first=None, J=None):
    J = self.jacobian_at(model, x) if J is None else J
    first = (v * self.score_at(model, x)).sum(axis=1) ** 2 / 2 if first is None else first
    return first, np.einsum("ni,nij,nj->n", v, J, v)


def _sliced(self, x, first, second):
    return self.averaged(first + second, x.shape[1])


@mistake("ssm_loss", wrong="(v's)^2", right="1/2 (v's)^2", seen="without 1/2, common")
def ssm_square_doubled(self, model, x, v):
    first, second = _slices(self, model, x, v)
    return _sliced(self, x, 2 * first, second)


@mistake("ssm_loss", wrong="1/4 (v's)^2", right="1/2 (v's)^2", seen="neighbour of the factor 1/2: twice the second term")
def ssm_square_halved(self, model, x, v):
    first, second = _slices(self, model, x, v)
    return _sliced(self, x, first / 2, second)


@mistake("ssm_loss", wrong="- v'(Ds)v", right="+ v'(Ds)v", seen="sign of the second term")
def ssm_curvature_sign(self, model, x, v):
    first, second = _slices(self, model, x, v)
    return _sliced(self, x, first, -second)


@mistake("ssm_loss", wrong="1/2 ||s||^2", right="1/2 (v's)^2", seen="the variance-reduced loss in its place")
def ssm_is_vr(self, model, x, v):
    _, second = _slices(self, model, x, v)
    return _sliced(self, x, _norms(self.score_at(model, x)), second)


@mistake("ssm_loss", wrong="v'(Ds)1", right="v'(Ds)v", seen="the second product with v forgotten: autograd's grad, summed")
def ssm_summed(self, model, x, v):
    first, _ = _slices(self, model, x, v)
    return _sliced(self, x, first, np.einsum("ni,nij->n", v, self.jacobian_at(model, x)))


@mistake("ssm_loss", wrong="1/2 (v's)^2 alone", right="+ v'(Ds)v", seen="second order detached")
def ssm_without_curvature(self, model, x, v):
    return _sliced(self, x, _slices(self, model, x, v)[0], 0.0)


@mistake("ssm_loss", wrong="1/2 v's", right="1/2 (v's)^2", seen="square forgotten")
def ssm_not_squared(self, model, x, v):
    _, second = _slices(self, model, x, v)
    return _sliced(self, x, (v * self.score_at(model, x)).sum(axis=1) / 2, second)


@mistake("ssm_loss", wrong="1/2 sum (v_i s_i)^2", right="1/2 (sum v_i s_i)^2", seen="squared before it is summed")
def ssm_squared_early(self, model, x, v):
    _, second = _slices(self, model, x, v)
    return _sliced(self, x, _norms(v * self.score_at(model, x)), second)


@mistake("ssm_loss", wrong="v/||v||", right="v", seen="directions of length 1: E vv' = I/d")
def ssm_normalised(self, model, x, v):
    return _sliced(self, x, *_slices(self, model, x, v / np.linalg.norm(v, axis=1, keepdims=True)))


@mistake("ssm_loss", wrong="the first row's v for all", right="each row its own", seen="broadcasting")
def ssm_shared_direction(self, model, x, v):
    return _sliced(self, x, *_slices(self, model, x, np.broadcast_to(v[:1], v.shape)))


@mistake("ssm_loss", wrong="s'(Ds)v", right="v'(Ds)v", seen="gradient of 1/2 ||s||^2 along v")
def ssm_score_for_direction(self, model, x, v):
    first, _ = _slices(self, model, x, v)
    s = self.score_at(model, x)
    return _sliced(self, x, first, np.einsum("ni,nij,nj->n", s, self.jacobian_at(model, x), v))


@mistake("ssm_vr_loss", wrong="1/2 (v's)^2", right="1/2 ||s||^2", seen="the loss without reduced variance in its place")
def ssm_vr_is_ssm(self, model, x, v):
    return _sliced(self, x, *_slices(self, model, x, v))


@mistake("ssm_vr_loss", wrong="||s||^2", right="1/2 ||s||^2", seen="without 1/2, common")
def ssm_vr_square_doubled(self, model, x, v):
    return _sliced(self, x, *_slices(self, model, x, v, 2 * _norms(self.score_at(model, x))))


@mistake("ssm_vr_loss", wrong="1/4 ||s||^2", right="1/2 ||s||^2", seen="neighbour of the factor 1/2: twice the second term")
def ssm_vr_square_halved(self, model, x, v):
    return _sliced(self, x, *_slices(self, model, x, v, _norms(self.score_at(model, x)) / 2))


@mistake("ssm_vr_loss", wrong="- v'(Ds)v", right="+ v'(Ds)v", seen="sign of the second term")
def ssm_vr_curvature_sign(self, model, x, v):
    return _sliced(self, x, *_slices(self, model, x, v, _norms(self.score_at(model, x)), -self.jacobian_at(model, x)))


@mistake("ssm_vr_loss", wrong="tr Ds", right="v'(Ds)v", seen="the exact trace, v not used")
def ssm_vr_is_ism(self, model, x, v):
    return self.ism_loss(model, x)


@mistake("ssm_vr_loss", wrong="v'(Ds)1", right="v'(Ds)v", seen="the second product with v forgotten: autograd's grad, summed")
def ssm_vr_summed(self, model, x, v):
    second = np.einsum("ni,nij->n", v, self.jacobian_at(model, x))
    return _sliced(self, x, _norms(self.score_at(model, x)), second)


@mistake("ssm_vr_loss", wrong="1/2 ||s||^2 alone", right="+ v'(Ds)v", seen="second order detached")
def ssm_vr_without_curvature(self, model, x, v):
    return _sliced(self, x, _norms(self.score_at(model, x)), 0.0)


@mistake("ssm_vr_loss", wrong="v/||v||", right="v", seen="directions of length 1: E vv' = I/d")
def ssm_vr_normalised(self, model, x, v):
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    return _sliced(self, x, *_slices(self, model, x, v, _norms(self.score_at(model, x))))


@mistake("ssm_vr_loss", wrong="v'(Ds)v/d", right="v'(Ds)v", seen="mean for the sum over dimensions in one term")
def ssm_vr_curvature_mean(self, model, x, v):
    J = self.jacobian_at(model, x) / x.shape[1]
    return _sliced(self, x, *_slices(self, model, x, v, _norms(self.score_at(model, x)), J))


@mistake("ssm_vr_loss", wrong="the first row's v for all", right="each row its own", seen="broadcasting")
def ssm_vr_shared_direction(self, model, x, v):
    v = np.broadcast_to(v[:1], v.shape)
    return _sliced(self, x, *_slices(self, model, x, v, _norms(self.score_at(model, x))))
