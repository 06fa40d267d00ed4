r"""The arithmetic of a Gaussian mixture, accurate from the centre to the far tails.

With l_k(x) = log w_k N(x; m_k, C_k), P_k = C_k^{-1}, s_k = P_k (m_k - x) and posterior weights r_k = softmax_k l_k,

    log p = log sum_k e^{l_k},   s = sum_k r_k s_k,   Ds = Cov_r(s_k) - sum_k r_k P_k.

Only differences of the l_k matter for r, and in the tails each l_k is huge: at |x| = 1e150 its rounding error is 1e284.
So every row is computed relative to its strongest component j, with the large parts cancelled by hand (u = x - m_j,
delta = m_k - m_j, g = P_j u = -s_j):

    l_k - l_j = log(w_k/w_j) + 1/2 log(|C_j|/|C_k|) + 1/2 [g'(C_k - C_j) P_k u + delta' P_k (2u - delta)]
    s_k - s_j = P_k [delta + (C_k - C_j) g]

and log p = l_j + log sum_k e^{l_k - l_j}, s = s_j + sum_k r_k (s_k - s_j), Ds = Cov_r(s_k - s_j) - sum_k r_k P_k.

That costs a gather per (row, component). Near the components (within about 60 standard deviations) the expanded square

    l_k = const_k + z'P_k(m_k - c) - 1/2 z'P_k z,    z = x - c,

is one matrix product for the whole block and just as good. So all rows are screened that way first, with a bound on
the rounding error; rows whose bound exceeds EASY go the careful way, over the components the screening could not
exclude. Components are stored by the spectrum of their covariance, C_k = Q_k diag(lambda_k) Q_k' (Q_k = I for isotropic and
diagonal ones), in which corruption C -> alpha^2 C + sigma^2 I is a shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refscore.densities._posterior import Posterior, pieces

EASY = 4e-12
"""Largest rounding error of the log posterior weights that the screening may leave; above it a row is computed carefully."""

UNIT = 2.0**-53
_DIRECT_DIM = 3  # up to here (x - m)^2 is summed dimension by dimension: cheap, and it does not cancel


@dataclass(frozen=True, eq=False)
class Components:
    """K Gaussian components in d dimensions.

    log_weights (K,), means (K, d), covs (K,) or (K, d) or (K, d, d) as given, spectrum (K, 1) or (K, d), axes (K, d, d)
    or None, defect (K,): norm of C_k - Q_k diag(lambda_k) Q_k' as computed, mean_ulps, cov_ulps: how many units in the last
    place means and covariances may be off (a corrupted density's have been rounded).
    """

    log_weights: np.ndarray
    means: np.ndarray
    covs: np.ndarray
    spectrum: np.ndarray
    axes: np.ndarray | None
    defect: np.ndarray
    mean_ulps: float = 0.0
    cov_ulps: float = 0.0

    @cached_property
    def half_log_det(self) -> np.ndarray:
        """1/2 log det C_k, (K,)."""
        repeats = self.means.shape[1] / self.spectrum.shape[1]
        return 0.5 * repeats * np.log(self.spectrum).sum(axis=1)

    @cached_property
    def height_size(self) -> np.ndarray:
        """|log w_k| + 1/2 sum |log lambda|, (K,): what rounding of the log_heights is proportional to."""
        repeats = self.means.shape[1] / self.spectrum.shape[1]
        return np.where(np.isfinite(self.log_weights), -self.log_weights, 0) + 0.5 * repeats * np.abs(np.log(self.spectrum)).sum(1)

    @cached_property
    def log_heights(self) -> np.ndarray:
        """l_k(m_k) without its -d/2 log 2 pi, (K,)."""
        return self.log_weights - self.half_log_det

    @cached_property
    def precision(self) -> np.ndarray:
        """C_k^{-1} in the form of the spectrum, (K, 1) or (K, d), or (K, d, d) with axes."""
        if self.axes is None:
            return 1.0 / self.spectrum
        return (self.axes / self.spectrum[:, None, :]) @ self.axes.transpose(0, 2, 1)

    @cached_property
    def precision_trace(self) -> np.ndarray:
        """tr C_k^{-1}, (K,)."""
        return (1.0 / self.spectrum).sum(axis=1) * (self.means.shape[1] / self.spectrum.shape[1])

    def root(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """C_k^{1/2}, whose columns lie along the axes, and its inverse, (d, d)."""
        stds = np.broadcast_to(np.sqrt(self.spectrum[k]), self.means.shape[1])
        axes = np.eye(len(stds)) if self.axes is None else self.axes[k]
        return axes * stds, (axes / stds).T

    @cached_property
    def reach(self) -> float:
        """How far below the strongest a component may lie and still matter: e^-50, more for a narrow (steep) one."""
        spread = math.log(float(self.spectrum.max())) - math.log(float(self.spectrum.min()))
        return 50.0 + math.log(len(self.means)) + spread

    @cached_property
    def centre(self) -> np.ndarray:
        """Where the expanded square is expanded: the mean of the mixture, (d,)."""
        return np.exp(self.log_weights) @ self.means

    @cached_property
    def pull(self) -> np.ndarray:
        """P_k (m_k - c), (d, K)."""
        away = self.means - self.centre
        with np.errstate(over="ignore", invalid="ignore"):
            pulled = away * self.precision if self.axes is None else np.einsum("kij,kj->ki", self.precision, away)
        return np.ascontiguousarray(pulled.T)

    @cached_property
    def _expanded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(base, coefficients, const): l_k = (z, z^2)'coefficients_k + const_k - base.z^2/2, with 1/lambda_k = base + excess_k.

        z^2 is |z|^2 for isotropic components, and is left out when all are alike.
        """
        base = (self.precision.min(axis=0) + self.precision.max(axis=0)) / 2  # so that the excess is small, and its rounding
        excess = self.precision - base
        with np.errstate(over="ignore", invalid="ignore"):
            constants = self.log_heights - 0.5 * ((self.means - self.centre) * self.pull.T).sum(axis=1)
        return base, np.concatenate([self.pull, -0.5 * excess.T]) if excess.any() else self.pull, constants

    @cached_property
    def slopes(self) -> np.ndarray:
        """(P_k (m_k - c), P_k) side by side, (K, d + 1), (K, d + d) or (K, d + d^2): the score is linear in their mean over r."""
        return np.concatenate([self.pull.T, self.precision.reshape(len(self.means), -1)], axis=1)

    @cached_property
    def _roots(self) -> tuple[np.ndarray, np.ndarray]:
        """W_k = Q_k lambda_k^{-1/2}, (d, d K) with k running fastest, and (m_k - c)'W_k, (d K,)."""
        assert self.axes is not None
        count, dim = self.means.shape
        root = self.axes / np.sqrt(self.spectrum)[:, None, :]
        shift = np.einsum("ki,kij->jk", self.means - self.centre, root)
        return np.ascontiguousarray(root.transpose(1, 2, 0).reshape(dim, dim * count)), shift.ravel()

    @cached_property
    def _largest(self) -> dict[str, float]:
        """Largest values over the components, for the error bounds of the screening."""
        present = np.isfinite(self.log_weights)
        largest = {
            "shift": _longest(self.means - self.centre),
            "steepest": float(1 / self.spectrum.min()),
            "trace": float(self.precision_trace.max()),
            "constant": float(self.height_size.max()),
            "height": float(self.log_heights.max()),
        }
        if self.expands:
            largest["pull"] = _longest(self.pull.T)
            largest["excess"] = float(np.abs(self.precision - self._expanded[0]).max())
            largest["constant"] += float(np.abs(self._expanded[2][present] - self.log_heights[present]).max())
        return largest

    @property
    def centred(self) -> bool:
        """Whether the screening works relative to the centre, expanded or whitened."""
        return self.expands or self.axes is not None

    @property
    def expands(self) -> bool:
        """Whether the screening expands the square into matrix products (else it sums (x - m)^2 as it stands)."""
        return self.axes is None and self.means.shape[1] > _DIRECT_DIM

    # ---- screening: all components at once, in one matrix product ------------------------------------------------

    def screen(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float, np.ndarray]:
        """(l, base, error): l + base = log w_k N(x; m_k, C_k) + d/2 log 2 pi; error (n,) bounds the rounding of l.

        l is (K, n), one row a component: what is summed over components is summed from row to row, n numbers at a time.
        """
        largest = self._largest
        dim = x.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            if self.expands:
                return self._screen_expanded(x - self.centre)
            logits = self._exponents(x)
            logits += self.log_heights[:, None]
            # a component that matters has q/2 <= height - (top - reach)
            q = 2 * np.maximum(largest["height"] - logits.max(axis=0) + self.reach, 0)
            size = q + largest["constant"]
            if self.axes is not None:  # y = z'W - shift is off by (d + 8) u |z'||W| at most, q by 2 |y| times that
                size += np.sqrt(q * largest["trace"]) * (np.sqrt(_squared_lengths(x - self.centre)) + largest["shift"])
            return logits, 0.0, (dim + 8) * UNIT * size

    def _screen_expanded(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        largest, (base, coefficients, constants) = self._largest, self._expanded
        length2 = _squared_lengths(z)
        squares = length2[:, None] if len(base) == 1 else z * z
        alike = len(coefficients) == z.shape[1]
        logits = coefficients.T @ (z if alike else np.concatenate([z, squares], axis=1)).T
        logits += constants[:, None]
        size = np.sqrt(length2) * largest["pull"] + length2 * largest["excess"] + largest["constant"]
        error = (len(coefficients) + 8) * UNIT * size
        if not alike:  # 1/lambda_k is rounded, whatever the difference
            error += UNIT * largest["steepest"] * length2
        return logits, -0.5 * (squares @ base), error

    def _exponents(self, x: np.ndarray) -> np.ndarray:
        """-1/2 (x - m_k)'P_k(x - m_k), (K, n)."""
        if self.axes is not None:
            root, shift = self._roots
            y = root.T @ (x - self.centre).T
            y -= shift[:, None]
            y *= y
            return -0.5 * y.reshape(*self.means.T.shape, len(x)).sum(axis=0)
        steepness = -0.5 * self.precision
        total = np.zeros(())
        for i, coordinate in enumerate(np.ascontiguousarray(x.T)):
            offset = coordinate - self.means[:, i, None]
            offset *= offset
            if steepness.shape[1] > 1:
                offset *= steepness[:, i, None]
            total = np.add(offset, total, out=offset)
        return total if steepness.shape[1] > 1 else np.multiply(total, steepness, out=total)

    # ---- one component a row -------------------------------------------------------------------------------------

    def solve(self, k: np.ndarray, u: np.ndarray) -> np.ndarray:
        """P_k u for rows u (m, d) and component indices k (m,)."""
        if self.axes is None:
            return u / self.spectrum[k]
        return by_component(k, u, lambda j, v: (v @ self.axes[j] / self.spectrum[j]) @ self.axes[j].T)

    def solve_magnitude(self, k: np.ndarray, u: np.ndarray) -> np.ndarray:
        """|Q| (1/lambda) |Q|' |u|: what bounds the rounding error of `solve`."""
        if self.axes is None:
            return np.abs(u) / self.spectrum[k]
        return by_component(k, np.abs(u), lambda j, v: (v @ np.abs(self.axes[j]) / self.spectrum[j]) @ np.abs(self.axes[j]).T)

    def widen(self, k: np.ndarray, j: np.ndarray, g: np.ndarray, magnitude: bool = False) -> np.ndarray:
        """(C_k - C_j) g, the difference taken first; with ``magnitude`` |C_k - C_j| g."""
        difference = self.covs[k] - self.covs[j]
        if magnitude:
            difference = np.abs(difference)
        if self.covs.ndim == 3:
            return np.einsum("mij,mj->mi", difference, g)
        return (difference[:, None] if difference.ndim == 1 else difference) * g

    def log_height_at(self, j: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(l_j(x) without -d/2 log 2 pi, q_j = (x - m_j)'P_j(x - m_j)) for one component a row."""
        u = x - self.means[j]
        with np.errstate(over="ignore"):
            if self.axes is None:
                whitened = u / np.sqrt(self.spectrum[j])
            else:
                whitened = by_component(j, u, lambda i, v: v @ self.axes[i] / np.sqrt(self.spectrum[i]))
            q = (whitened * whitened).sum(axis=1)
        return self.log_heights[j] - 0.5 * q, q

    @cached_property
    def alike(self) -> bool:
        """Whether all covariances are equal: C_k - C_j is then zero, and need not be computed."""
        return bool((self.covs == self.covs[:1]).all())

    def log_ratio(self, x: np.ndarray, k: np.ndarray, j: np.ndarray) -> np.ndarray:
        """l_k - l_j for rows x, the common parts cancelled by hand; -inf where it leaves even the extended range.

        (x - m_j) + (x - m_k) cancels half way between two components, so it is summed with its rounding errors. Where
        one is much narrower than the other, what is to cancel may be far larger than l_k and l_j: then they are subtracted.
        """
        middle = _sum_of_differences(x, self.means[j], self.means[k])
        value = _inner(self.solve(k, self.means[k] - self.means[j]), middle)
        if not self.alike:
            u = x - self.means[j]
            value = value + _inner(self.widen(k, j, self.solve(j, u)), self.solve(k, u))
            apart = self.log_height_at(j, x)[1] - self.log_height_at(k, x)[1]
            value = np.where(self._size_together(x, k, j) > self._size_apart(x, k, j), apart, value)
        value = (self.log_weights[k] - self.log_weights[j]) - (self.half_log_det[k] - self.half_log_det[j]) + 0.5 * value
        return np.where(np.isnan(value), -np.inf, value)

    def log_ratio_size(self, x: np.ndarray, k: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Sum of the |terms| of `log_ratio`, with |Q| (1/lambda) |Q|' for P: what its rounding is proportional to."""
        size = self._size_together(x, k, j)
        if not self.alike:
            apart = self._size_apart(x, k, j)
            size = np.where(size > apart, apart, size)
        return 0.5 * size + self.height_size[k] + self.height_size[j]

    def _size_apart(self, x: np.ndarray, k: np.ndarray, j: np.ndarray) -> np.ndarray:
        return sum((self.solve_magnitude(i, x - self.means[i]) * np.abs(x - self.means[i])).sum(axis=1) for i in (k, j))

    def _size_together(self, x: np.ndarray, k: np.ndarray, j: np.ndarray) -> np.ndarray:
        u, delta = x - self.means[j], self.means[k] - self.means[j]
        middle = np.abs(_sum_of_differences(x, self.means[j], self.means[k]))
        middle += UNIT * (np.abs(u) + np.abs(x - self.means[k]))
        size = (self.solve_magnitude(k, delta) * middle).sum(axis=1)
        if not self.alike:
            g, steep = self.solve_magnitude(j, u), self.solve_magnitude(k, u)
            size += (self.widen(k, j, g, magnitude=True) * steep).sum(axis=1)
        return size

    def step(self, x: np.ndarray, k: np.ndarray, j: np.ndarray) -> np.ndarray:
        """s_k - s_j for rows x, the common parts cancelled by hand."""
        delta = self.means[k] - self.means[j]
        if not self.alike:
            delta = delta + self.widen(k, j, self.solve(j, x - self.means[j]))
        return self.solve(k, delta)

    # ---- careful rows: relative to the strongest component ---------------------------------------------------------

    def careful(self, x: np.ndarray, logits: np.ndarray, error: np.ndarray, prune: bool = True) -> Posterior:
        """The posterior over components of rows x, exact differences over every component the screening cannot exclude.

        With ``prune`` those that turn out not to matter are dropped; error bounds want to see them all. logits (K, n).
        """
        n, logits = len(x), logits.T
        with np.errstate(invalid="ignore", over="ignore"):
            top = logits.max(axis=1)
            known = np.isfinite(top) & np.isfinite(error)
            possible = (logits >= (top - 2 * error - self.reach)[:, None]) | ~known[:, None]
            possible &= np.isfinite(self.log_weights)
        reference = np.where(known, np.argmax(np.where(np.isnan(logits), -np.inf, logits), axis=1), np.argmax(self.log_heights))
        possible[np.arange(n), reference] = True
        rows, k = np.nonzero(possible)
        ratio = np.zeros(len(k), dtype=np.longdouble)
        for _ in range(5):  # the reference is the strongest component up to rounding: move it until nothing is stronger
            with np.errstate(over="ignore", invalid="ignore"):
                for piece in pieces(len(k), x.shape[1]) if len(self.means) > 1 else ():
                    ratio[piece] = self.log_ratio(x[rows[piece]], k[piece], reference[rows[piece]])
            strongest = np.full(n, -np.inf, dtype=np.longdouble)
            np.maximum.at(strongest, rows, ratio)
            better = (ratio == strongest[rows]) & (ratio > 1)
            if not better.any():
                break
            reference[rows[better]] = k[better]
        else:  # rounding goes round in circles, so far out that l_k itself means nothing: the last reference stands
            ratio[better] = 0
        others = k != reference[rows]
        if prune:
            others &= ratio >= -self.reach
        return Posterior(self, x, reference, rows[others], k[others], ratio[others])


def _squared_lengths(rows: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", rows, rows)


def _longest(rows: np.ndarray) -> float:
    """The greatest length of a row, scaled so that no square overflows."""
    scale = float(np.abs(rows).max()) or 1.0
    if not np.isfinite(scale):
        return math.inf
    return scale * float(np.linalg.norm(rows / scale, axis=1).max())


def _inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a.b rowwise; where it overflows, in extended precision if the machine has it: |x|^2/sigma^2 stays finite."""
    value = (a * b).sum(axis=1)
    return value if np.isfinite(value).all() else (a.astype(np.longdouble) * b).sum(axis=1)


def _sum_of_differences(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(x - a) + (x - b) to a relative error of a few units, by error-free sums (Knuth's two-sum)."""
    first, first_error = _two_sum(x, -a)
    second, second_error = _two_sum(x, -b)
    total, total_error = _two_sum(first, second)
    return total + (total_error + (first_error + second_error))


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b rounded, and exactly what rounding took away."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def by_component(k: np.ndarray, u: np.ndarray, apply) -> np.ndarray:
    """apply(j, rows of u whose component is j), one component after the other."""
    result = np.empty_like(u)
    order = np.argsort(k, kind="stable")
    cuts = np.flatnonzero(np.diff(k[order])) + 1
    for part in np.split(order, cuts):
        if len(part):
            result[part] = apply(k[part[0]], u[part])
    return result
