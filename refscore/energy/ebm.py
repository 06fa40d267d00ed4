r"""Models that are known up to a constant: p = e^{f}/Z on R^d or a box, f = -E any function (systems G1, G2, G3).

    Z = int e^{-E(x)} dx,     log p(x) = -E(x) - log Z,     grad_x log p = -grad E         no Z in the score
    grad_theta log p(x) = -grad_theta E(x) + E_p grad_theta E                               since grad log Z = -E_p grad E

So the mean log-likelihood of data has the gradient E_model grad E - E_data grad E [e, "Gradient of log-likelihood"]. Z and
E_model are integrals over all of space. They are computed here by quadrature (`_cubature`) for d <= 3, with an error; the number of
nodes is a number per dimension to the power of d, and beyond d = 3 nothing is computed. What needs no Z works in any dimension:
`score`, `exponent`, hence Langevin dynamics and MALA, ``mala(model.score, model.exponent, step, n_steps)``.

Not every E has a model: e^{-E} must be integrable. A network whose activations are bounded, or that falls far out, has none on R^d;
a box, or the sum with a quadratic energy, gives it one.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from refscore import _validate
from refscore.densities import Gaussian
from refscore.energy import _cover, _cubature


@dataclass(frozen=True, eq=False)
class Normalised(ABC):
    """What models on all of space and on binary states have in common: p = exp(-E)/Z."""

    energy: Any
    dim: int

    def __post_init__(self):
        if callable(self.energy) and hasattr(self.energy, "energy"):
            raise TypeError(f"energy is an {type(self.energy).__name__}, whose values are scores: pass the energy that they are "
                            "the scores of, its attribute .energy")
        if not callable(self.energy):
            raise TypeError(f"energy is {_validate.briefly(self.energy)}: pass a function of rows (n, d), such as "
                            "QuadraticEnergy(m, P), or EnergyMLP(...).energy")
        _validate.count(self.dim, "dim")

    @abstractmethod
    def log_partition(self) -> tuple[float, float]:
        """log Z and an error estimate."""

    @abstractmethod
    def exponent(self, x) -> np.ndarray:
        """f(x) = -E(x), (n,): log p up to a constant."""

    @abstractmethod
    def mean_parameter_gradient(self) -> list[np.ndarray]:
        """E_p grad_theta E, one array a parameter."""

    @property
    def parameters(self) -> list[np.ndarray]:
        """Those of the energy."""
        return list(self._parametrised.parameters)

    def with_parameters(self, arrays: Sequence) -> Any:
        """The model whose energy has other parameters; everything else stays as it is."""
        return replace(self, energy=self._parametrised.with_parameters(arrays))

    def logpdf(self, x) -> np.ndarray:
        """log p(x) = -E(x) - log Z, (n,)."""
        return self.exponent(x) - self.log_partition()[0]

    def log_likelihood(self, x, grad: bool = False) -> Any:
        """Mean over rows of log p(x); with ``grad=True`` also its gradient, E_model grad E - E_data grad E, one array a parameter.

        The gradient points where the likelihood grows. Source: [e, "Gradient of log-likelihood"]; systems G2.
        """
        if not isinstance(grad, (bool, np.bool_)):
            raise TypeError(f"grad is {grad!r}: pass True or False")
        f = self.exponent(x)
        if not len(f):
            raise ValueError("x has no rows: an average over nothing is not defined; pass at least one row")
        if np.isneginf(f).any():
            at = int(np.argmax(np.isneginf(f)))
            raise ValueError(f"x[{at}] = {np.asarray(x)[at]} has probability 0 under the model, the log-likelihood is -inf: leave "
                             "such rows out, or widen the box")
        value = float(f.mean()) - self.log_partition()[0]
        if not grad:
            return value
        data = self.energy.parameter_gradient(x, np.full(len(f), 1 / len(f)))
        return value, [m - d for m, d in zip(self.mean_parameter_gradient(), data, strict=True)]

    @property
    def _parametrised(self) -> Any:
        if not hasattr(self.energy, "with_parameters"):
            raise TypeError(f"energy is {_validate.briefly(self.energy)}, without parameters: pass QuadraticEnergy(m, P), "
                            "EnergyMLP(...).energy, or AnalyticEnergy(value, weighted=..., parameters=[...])")
        return self.energy


@dataclass(frozen=True, eq=False)
class EnergyModel(Normalised):
    """p(x) = exp(-E(x))/Z on R^d, or on a box and 0 elsewhere.

    Parameters
    ----------
    energy : callable
        E(x), (n, d) -> (n,), such as `QuadraticEnergy`, ``EnergyMLP(...).energy``, `SumEnergy`, `AnalyticEnergy`; with
        ``gradient(x)`` for the score, with ``parameter_gradient(x, c)`` for the likelihood's. Finite, or +inf where p vanishes.
    dim : int
        d.
    proposal : Gaussian, optional
        Where to look for mass, and in which coordinates: descents begin at its mean and at up to 256 times its size, and cells are
        cut along its principal triangle. It does not change p. Default N(0, I). Narrow or tilted laws want one of their own shape.
    box : ((low_1, high_1), ..., (low_d, high_d)), optional
        Restricts p.
    starts : (k, d) array, optional
        Points from which descents begin too, where there may be mass that nothing else leads to: data, or known modes.

    Raises
    ------
    ValueError
        From whatever needs Z: in more than three dimensions; where e^{-E} is not integrable; where a hundredth of Z is in doubt.

    Notes
    -----
    The error of log Z is what quadrature leaves open (a coarser rule against a finer one: an overestimate), what lies beyond the
    last shell, and rounding, for which E is taken to be good to 4 eps (1 + |E|). Arms of a peak are followed to where they get
    thin. What cannot be counted is a well to which neither an arm nor a descent leads, such as a needle within a wide well, or
    wells thousands of their widths and of the proposal's away; ``starts`` nearby are what helps.

    Source: [e, "Energy-based models"]; systems G1, G2, G3.
    """

    proposal: Gaussian | None = None
    box: Any = None
    starts: Any = None

    def __post_init__(self):
        super().__post_init__()
        dim = int(self.dim)
        if self.proposal is not None and not (isinstance(self.proposal, Gaussian) and self.proposal.dim == dim):
            raise ValueError(f"proposal is {self.proposal!r}: pass a Gaussian in {dim} dimensions")
        if self.box is not None:
            box = _validate.reals(self.box, "box")
            if box.shape != (dim, 2) or not np.isfinite(box).all() or not (box[:, 0] < box[:, 1]).all():
                raise ValueError(f"box is {self.box!r}: pass {dim} finite intervals ((low, high), ...), low < high")
            object.__setattr__(self, "box", box)
            if self.proposal is not None:
                raise ValueError("box and proposal are both given: the box says where the mass is, leave out proposal")
        if self.starts is not None:
            object.__setattr__(self, "starts", _validate.batch(self.starts, dim, "starts"))

    def exponent(self, x) -> np.ndarray:
        """f(x) = -E(x), (n,): log p up to a constant; -inf outside the box."""
        x = _validate.batch(x, self.dim)
        value = self._f(x).astype(np.float64)
        if self.box is not None:
            value[((x < self.box[:, 0]) | (x > self.box[:, 1])).any(axis=1)] = -np.inf
        return value

    def score(self, x) -> np.ndarray:
        """grad_x log p = -grad E(x), (n, d): without Z, and so without regard to the box."""
        return -self._gradient(_validate.batch(x, self.dim))

    def score_jacobian(self, x) -> np.ndarray:
        """-Hess E(x), (n, d, d)."""
        return -np.asarray(self.energy.hessian(_validate.batch(x, self.dim)))

    def score_divergence(self, x) -> np.ndarray:
        """-tr Hess E(x), (n,)."""
        return np.trace(self.score_jacobian(x), axis1=1, axis2=2)

    def log_partition(self) -> tuple[float, float]:
        """log Z and an error estimate; a RuntimeWarning says when it is above 1e-10.

        The estimate counts what nodes, arms and descents lead to (Notes of the class). A needle within a wide well is missed, and
        not in it, unless the model was made with ``starts`` nearby, such as the data.
        """
        return self._log_z

    def expectation(self, f, *, tolerance: float = 1e-10) -> tuple[Any, Any]:
        """E f(x) and an error estimate; f maps (n, d) to (n, ...).

        Cells are halved further until f p is resolved too. ValueError when the integral does not converge; a RuntimeWarning when
        the error is above ``tolerance`` E|f|.
        """
        shape: tuple[int, ...] = ()

        def columns(u):
            nonlocal shape
            y = np.asarray(f(self._at(u)), dtype=np.float64)
            if y.ndim < 1 or len(y) != len(u):
                raise ValueError(f"f returned shape {y.shape} for {len(u)} points: return shape ({len(u)}, ...)")
            shape = y.shape[1:]
            return np.column_stack([np.ones(len(u)), _validate.finite(y, "f(x)").reshape(len(u), math.prod(shape))])

        cover = self._whole.cover.of(columns)
        cover.refine()
        found = _cubature.joined(cover.sums(), cover)
        if not found.converges.all():
            raise ValueError("the expectation does not converge: |f| p does not decay far out; pass an f that grows less")
        mass = found.value[0]
        value = found.value[1:] / mass
        error = (found.error[1:] + np.abs(value) * (found.error[0])) / mass
        self._warn_unless_resolved(error, found.size[1:] / mass, tolerance, "expectation")
        return (float(value[0]), float(error[0])) if shape == () else (value.reshape(shape), error.reshape(shape))

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes x (N, d) and weights (N,) with sum w g(x) ~ E g, as `log_partition` uses them; weights below 1e-25 are left out."""
        u, w = _cover.nodes(*self._whole.cover.leaves[:2])
        weights = w * np.exp(self._exponent_at(u).astype(np.float64) - self._whole.shift) / self._whole.value[0]
        kept = weights > 1e-25
        return self._at(u[kept]), weights[kept]

    def mean_parameter_gradient(self) -> list[np.ndarray]:
        """E_p grad_theta E, one array a parameter, on the nodes of Z."""
        return self.energy.parameter_gradient(*self.nodes())

    # ---- coordinates u: x = centre + axes u, in which the proposal is N(0, I); with a box u = x ----------------------

    @cached_property
    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        if self.proposal is None:
            return np.zeros(self.dim), np.eye(self.dim)
        return self.proposal.mean, np.linalg.cholesky(self.proposal.cov)

    def _at(self, u: np.ndarray) -> np.ndarray:
        centre, axes = self._axes
        return centre + u @ axes.T

    def _f(self, x: np.ndarray) -> np.ndarray:
        """-E(x), checked, in the precision of the energy."""
        with np.errstate(over="ignore", invalid="ignore"):
            value = -np.asarray(self.energy(x))
        if value.shape != (len(x),) or value.dtype.kind != "f":
            raise ValueError(f"energy returned shape {value.shape}, dtype {value.dtype}, for {len(x)} points: return a real "
                             "number a point")
        bad = np.isnan(value) | (value == np.inf)
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(f"energy is {-value[at]} at x = {x[at]}: it must be finite, or +inf where p vanishes")
        return value

    def _gradient(self, x: np.ndarray) -> np.ndarray:
        if not hasattr(self.energy, "gradient"):
            raise TypeError("energy has no gradient: pass AnalyticEnergy(value, slope), or another energy of this room")
        return np.asarray(self.energy.gradient(x))

    def _exponent_at(self, u: np.ndarray) -> np.ndarray:
        return self._f(self._at(u))

    def _slope_at(self, u: np.ndarray) -> np.ndarray:
        return -self._gradient(self._at(u)) @ self._axes[1]

    @cached_property
    def _whole(self) -> _cubature.Integral:
        """Z, and the cells that resolve p."""
        if self.dim > 3:
            cell = float(_cover.A_DIMENSION) ** self.dim
            raise ValueError(f"Z is computed for d <= 3, this is {self.dim}: a cell would have {_cover.A_DIMENSION}^{self.dim} = "
                             f"{cell:.1e} nodes, and a peak takes 2^{self.dim} cells wherever it is, several times over until they "
                             f"resolve it, so that of {_cover.MAX_NODES:.1e} nodes in all there are {_cover.MAX_NODES / cell:.0f} "
                             "cells: too few for an error that can be trusted. What needs no Z works in any dimension: score "
                             "matching, contrastive_step, langevin and mala")
        slope = self._slope_at if _knows_slope(self.energy) else None
        centre, axes = self._axes
        starts = np.zeros((0, self.dim)) if self.starts is None else np.linalg.solve(axes, (self.starts - centre).T).T
        if self.box is not None:
            found = _cubature.over_box(self._exponent_at, slope, self.box.T, starts)
        else:
            found = _cubature.over_space(self._exponent_at, slope, self.dim, starts)
        if not found.converges.all():
            raise ValueError("e^-E is not integrable over R^d, or not seen to be by shells that double in width: E must grow far "
                             f"out, faster than {self.dim} log |x| in every direction; pass a box, or SumEnergy([energy, "
                             "QuadraticEnergy(m, P)])")
        if not found.error[0] < found.value[0] / 100:
            raise ValueError(f"Z is in doubt by {found.error[0] / found.value[0]:.1e} of itself: E is too rough for "
                             f"{_cover.MAX_NODES} nodes; pass a proposal of the shape of p, or a smaller box")
        return found

    def _moved(self, x: np.ndarray) -> np.ndarray:
        """sum_i |x_i dE/dx_i|, (n,): what relative changes of the coordinates make of E."""
        if _knows_slope(self.energy):
            return np.abs(x * self._gradient(x)).sum(axis=1)
        small = 2.0**-26
        with np.errstate(invalid="ignore"):
            change = np.stack([np.abs(self._f(x + small * x * axis) - self._f(x)) for axis in np.eye(self.dim)])
        return np.where(np.isfinite(change), change, 0).sum(axis=0) / small  # at an edge of p it is the rules that disagree

    @cached_property
    def _log_z(self) -> tuple[float, float]:
        whole = self._whole
        scale = float(np.log(np.diag(self._axes[1])).sum())
        value = whole.shift + math.log(whole.value[0]) + scale
        relative = whole.error[0] / whole.value[0]
        error = -math.log1p(-relative) + 4 * _cover.EPS * (1 + abs(whole.shift) + abs(value) + abs(scale))
        x, w = self.nodes()
        error += 2 * _cover.EPS * float(w @ self._moved(x))  # nodes are rounded, and E is asked there
        self._warn_unless_resolved(error, 1.0, 1e-10, "log Z")
        return value, error

    def _warn_unless_resolved(self, error, size, tolerance: float, what: str) -> None:
        if (np.asarray(error) <= tolerance * np.asarray(size)).all():
            return
        worst = float(np.max(error / np.maximum(size, np.finfo(float).tiny)))
        low, high, _ = self._whole.cover.leaves
        f = self._exponent_at(_cover.nodes(low[:1], high[:1])[0][:1])
        arrays = [f, *map(np.asarray, getattr(self.energy, "parameters", ()))]
        dtype = max((a.dtype for a in arrays if a.dtype.kind == "f"), key=lambda dtype: np.finfo(dtype).eps)
        why = (f"E is computed in {dtype}, good to {np.finfo(dtype).eps:.0e} of itself; compute it in float64, such as by "
               "energy.with_parameters([p.astype(float) for p in energy.parameters])"
               if dtype != np.float64 else
               f"E has kinks, is rough ({_cover.MAX_NODES} nodes a box are used up) or so large that digits are lost; pass a "
               "proposal of the shape of p, or a box, or take a constant off E")
        warnings.warn(f"{what}: the error estimate is {worst:.1e} of the integral of the absolute value: {why}", RuntimeWarning,
                      stacklevel=3)


def _knows_slope(energy) -> bool:
    return hasattr(energy, "gradient") and getattr(energy, "slope", True) is not None
