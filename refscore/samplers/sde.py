r"""Simulation of a forward SDE dx = f(x, t) dt + g(x, t) dw with diagonal noise, on a grid of times (systems E1).

One step from t over h with the increment dw, f and g taken at (x, t):

    Euler-Maruyama   x + f h + g dw
    Milstein         x + f h + g dw + 1/2 g g' (dw^2 - h)            g'_i = d g_i/d x_i, when g_i depends on x_i alone
    Heun             x + (f + f^) h/2 + (g + g^) dw/2,    f^, g^ at (x + f h + g dw, t + h)

The first two solve the equation in the sense of Ito, the third in that of Stratonovich: as an equation of Ito its drift is
f + 1/2 g g'. Where g does not depend on x the two senses agree, and Milstein's method is Euler-Maruyama's. The error of the
states themselves, sqrt(E|x_T - x_T^h|^2) on a common path, is of order h^(1/2) for Euler-Maruyama and h for the others, of
order h for all of them when g does not depend on x; the error of expectations is of order h (Kloeden & Platen 1992, ch. 10
and 14). Noise is an argument: the increments of one path on two grids (`wiener`) give the two approximations of one solution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refscore import _validate
from refscore._progress import progress
from refscore.samplers import wiener
from refscore.samplers.chain import check_callable
from refscore.samplers.markov import MarkovChain, noise_like, only_slices

SCHEMES = ("euler_maruyama", "milstein", "heun")


@dataclass(frozen=True, eq=False)
class SDESteps(MarkovChain):
    """The steps of a scheme for dx = f dt + g dw, from times[k] to times[k+1]; made by `forward_sde`."""

    drift: Callable
    diffusion: Callable
    times: np.ndarray
    scheme: str = "euler_maruyama"
    slope: Callable | None = None

    def __post_init__(self):
        examples = {"drift": "process.drift", "diffusion": "lambda x, t: process.diffusion(t)", "slope": "lambda x, t: 1.0"}
        for name, example in examples.items():
            value = getattr(self, name)
            if name != "slope" or value is not None:
                check_callable(value, name, example, "a coefficient is one of x and t, a process's diffusion of t alone")
        _validate.choice(self.scheme, "scheme", SCHEMES)
        if (self.slope is not None) != (self.scheme == "milstein"):
            fix = "pass slope(x, t), the derivatives d g_i/d x_i" if self.slope is None else "leave slope out"
            raise ValueError(f"slope is {self.slope!r} for the scheme {self.scheme!r}: Milstein's scheme alone uses it; {fix}")
        times = wiener.increasing(self.times).copy()
        times.flags.writeable = False
        object.__setattr__(self, "times", times)

    def __len__(self) -> int:
        return len(self.times) - 1

    def __getitem__(self, steps: slice) -> SDESteps:
        """Some of the steps, in a row and at least one: ``steps[:k]`` leads to the state before step k."""
        first, last, stride = only_slices(steps, "steps").indices(len(self))
        if stride != 1 or last <= first:
            raise ValueError(f"steps[{steps}] of {len(self)} steps: pass a slice of steps in a row, at least one of them")
        return SDESteps(self.drift, self.diffusion, self.times[first : last + 1], self.scheme, self.slope)

    def step(self, k: int, x, increment) -> np.ndarray:
        """Where step k takes x (n, d) with the Wiener increment dw (n, d), of variance times[k+1] - times[k]."""
        x = _validate.batch(x, dtype=None)
        return self._step(k, x, noise_like(x, increment, "increment"))

    def path(self, x0, increments) -> np.ndarray:
        """The states at all times, (N + 1, n, d), along the path with ``increments`` (N, n, d); float32 stays float32."""
        x = _validate.batch(x0, name="x0", dtype=None)
        if np.ndim(increments) != 3 or len(increments) != len(self):
            raise ValueError(f"increments have shape {np.shape(increments)}: pass shape ({len(self)}, n, d), one entry for "
                             f"each of the {len(self)} steps, as wiener_increments(times, noise) gives them")
        states = np.empty((len(self) + 1, *x.shape), x.dtype)
        states[0] = x
        with progress(len(self), f"path of {len(x)} rows, {len(self)} steps") as shown:
            for k, increment in enumerate(increments):
                shown(k)
                states[k + 1] = self.step(k, states[k], increment)
        return states

    def _advance(self, k: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        increment = rng.standard_normal(x.shape, dtype=x.dtype)
        increment *= float(np.sqrt(self.times[k + 1] - self.times[k]))
        return self._step(k, x, increment)

    def _step(self, k: int, x: np.ndarray, dw: np.ndarray) -> np.ndarray:
        k = range(len(self))[k]
        t, s = float(self.times[k]), float(self.times[k + 1])
        h = s - t
        f, g = self._at(x, t)
        moved = x + f * h + g * dw
        if self.scheme == "milstein":
            assert self.slope is not None
            moved = moved + 0.5 * g * _coefficient(self.slope(x, t), x, "slope(x, t)") * (dw * dw - h)
        elif self.scheme == "heun":
            f_end, g_end = self._at(self._finite(k, moved).astype(x.dtype, copy=False), s)
            moved = x + 0.5 * (f + f_end) * h + 0.5 * (g + g_end) * dw
        return self._finite(k, moved).astype(x.dtype, copy=False)

    def _at(self, x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        f = np.asarray(self.drift(x, t))
        if f.shape != x.shape:
            raise ValueError(f"drift(x, {t}) has shape {f.shape}, but x has shape {x.shape}: they must agree")
        return f, _coefficient(self.diffusion(x, t), x, "diffusion(x, t)")

    def _finite(self, k: int, x: np.ndarray) -> np.ndarray:
        if not np.isfinite(x).all():
            raise ValueError(f"step {k} from t = {self.times[k]} gives {x[~np.isfinite(x)][0]}: the coefficients are not finite "
                             "there, or the steps are so long that the scheme diverges; take shorter steps")
        return x


def forward_sde(
    drift: Callable, diffusion: Callable, times, scheme: str = "euler_maruyama", slope: Callable | None = None
) -> SDESteps:
    """The steps of a scheme for dx = f dt + g dw: ``simulate(x0, rng)`` runs them, ``path(x0, increments)`` follows a path.

    Parameters
    ----------
    drift : callable
        f(x, t), (n, d) and a scalar t -> (n, d); ``process.drift`` of a refscore process, say.
    diffusion : callable
        g(x, t) -> a number, (n, 1) or (n, d): the noise is diagonal, g_i dw_i. ``lambda x, t: process.diffusion(t)``, say.
    times : (N + 1,)
        Strictly increasing; any spacing.
    scheme : 'euler_maruyama', 'milstein' or 'heun'
        See the module docstring; 'heun' solves the equation in the sense of Stratonovich.
    slope : callable, for 'milstein' alone
        d g_i/d x_i of shape as g, for g_i that depends on x_i (and t) alone: otherwise the scheme has order 1/2 only.

    Raises
    ------
    ValueError, TypeError
        For times that do not increase, coefficients of other shapes, a slope missing or not used, and for states beyond
        float64.

    Source: [c]; Maruyama 1955; Milstein 1974; Kloeden & Platen, Numerical Solution of Stochastic Differential Equations
    (1992). systems E1.
    """
    return SDESteps(drift, diffusion, times, scheme, slope)


def _coefficient(value, x: np.ndarray, name: str) -> np.ndarray:
    """A number, (n, 1) or (n, d)."""
    value = np.asarray(value)
    n, d = x.shape
    if value.shape not in ((), (n, 1), (n, d)):
        raise ValueError(f"{name} has shape {value.shape}: return a number, ({n}, 1) or ({n}, {d}), for noise that is diagonal")
    return value
