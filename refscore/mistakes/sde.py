"""Mistakes in Wiener increments and in schemes for forward SDEs (systems E1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.samplers import SDESteps, forward_sde, refined_increments, summed_increments, wiener_increments


@mistake("wiener_increments", wrong="dt z", right="sqrt(dt) z", seen="the commonest slip in simulations of SDEs")
def wiener_std_dt(times, noise):
    return np.diff(times)[:, None, None] * noise


@mistake("wiener_increments", wrong="z", right="sqrt(dt) z", seen="the scale left to the step, which has none")
def wiener_unit_increments(times, noise):
    return 1.0 * noise


@mistake("wiener_increments", wrong="sqrt(T/N) z", right="sqrt(t_{k+1} - t_k) z", seen="one dt for grids that are not uniform")
def wiener_equal_steps(times, noise):
    return np.sqrt((times[-1] - times[0]) / len(noise)) * noise


@mistake("wiener_increments", wrong="one number a row", right="d numbers a row", seen="randn(n, 1) broadcast over coordinates")
def wiener_shared_by_coordinates(times, noise):
    return wiener_increments(times, np.broadcast_to(noise[:, :, :1], noise.shape))


@mistake("wiener_increments", wrong="w(t_{k+1})", right="w(t_{k+1}) - w(t_k)", seen="a path handed on for its increments")
def wiener_path_for_increments(times, noise):
    return np.cumsum(wiener_increments(times, noise), axis=0)


@mistake("refined_increments", wrong="fresh increments", right="increments that add up to dw", seen="each grid draws its own path")
def bridge_fresh_path(times, increments, fine, noise):
    return wiener_increments(fine, noise)


def _bridge(times, increments, fine, noise, *, share=None, spread=1.0, centred=True):
    """The bridge with other shares of dw, with noise spread by a factor, or without taking the noise's sum away."""
    smooth = refined_increments(times, increments, fine, 0 * noise)
    if share is not None:
        smooth = share(times, increments, fine)
    rough = refined_increments(times, 0 * increments, fine, noise) if centred else wiener_increments(fine, noise)
    return smooth + spread * rough


@mistake("refined_increments", wrong="dw h_j/H", right="that plus a bridge", seen="paths interpolated linearly")
def bridge_without_noise(*arguments):
    return _bridge(*arguments, spread=0.0)


@mistake("refined_increments", wrong="dw h_j/H + xi_j", right="dw h_j/H + xi_j - h_j/H sum xi", seen="the sum is no longer dw")
def bridge_unconditioned(*arguments):
    return _bridge(*arguments, centred=False)


@mistake("refined_increments", wrong="variance half of (t - a)(b - t)/(b - a)", right="(t - a)(b - t)/(b - a)",
         seen="h/2 for the halved step as well as for the bridge: h/8 at the middle, not h/4")
def bridge_half_variance(*arguments):
    return _bridge(*arguments, spread=np.sqrt(0.5))


@mistake("refined_increments", wrong="standard deviation doubled", right="(t - a)(b - t)/(b - a)",
         seen="sqrt(h) for sqrt(h)/2 at the middle")
def bridge_double_std(*arguments):
    return _bridge(*arguments, spread=2.0)


@mistake("refined_increments", wrong="dw/m for each of m parts", right="dw h_j/H", seen="halving rules used for other grids")
def bridge_equal_shares(*arguments):
    def share(times, increments, fine):
        counts = np.diff(np.searchsorted(fine, times))
        return np.repeat(increments / counts[:, None, None], counts, axis=0)

    return _bridge(*arguments, share=share)


@mistake("summed_increments", wrong="the mean of the parts", right="their sum", seen="averaging in place of adding when coarsening")
def coarse_increments_averaged(fine, increments, times):
    return summed_increments(fine, increments, times) / np.diff(np.searchsorted(fine, times))[:, None, None]


@mistake("summed_increments", wrong="the first part", right="the sum of the parts", seen="increments subsampled like a path")
def coarse_increments_subsampled(fine, increments, times):
    return increments[np.searchsorted(fine, times[:-1])]


@dataclass(frozen=True, eq=False)
class _Steps(SDESteps):
    """Steps with another drift or diffusion, evaluated at another time, or another increment."""

    changed: Callable | None = None
    late: tuple[bool, bool] = (False, False)

    def _step(self, k, x, dw):
        h = float(np.diff(self.times)[k])
        return super()._step(k, x, dw if self.changed is None else self.changed(dw, h))

    def _at(self, x, t):
        end = float(self.times[min(int(np.searchsorted(self.times, t)) + 1, len(self))])
        return super()._at(x, end if self.late[0] else t)[0], super()._at(x, end if self.late[1] else t)[1]


def _altered(drift, diffusion, times, scheme="euler_maruyama", slope=None, **changed):
    return _Steps(drift, diffusion, times, scheme, slope, **changed)


@mistake("forward_sde", wrong="g sqrt(h) dw", right="g dw", seen="increments scaled twice")
def sde_increment_scaled_twice(*arguments):
    return _altered(*arguments, changed=lambda dw, h: np.sqrt(h) * dw)


@mistake("forward_sde", wrong="one increment for all coordinates", right="one each", seen="scalar noise for vector states")
def sde_noise_shared(*arguments):
    return _altered(*arguments, changed=lambda dw, h: np.broadcast_to(dw[:, :1], dw.shape))


@mistake("forward_sde", wrong="g(x, t + h)", right="g(x, t)", seen="the time advanced before the noise is added")
def sde_diffusion_at_end(*arguments):
    return _altered(*arguments, late=(False, True))


@mistake("forward_sde", wrong="f(x, t + h)", right="f(x, t)", seen="times[k + 1] for times[k]")
def sde_drift_at_end(*arguments):
    return _altered(*arguments, late=(True, False))


@mistake("forward_sde", wrong="g^2 dw", right="g dw", seen="a squared diffusion, as the reverse drift has it, for the noise")
def sde_diffusion_squared(drift, diffusion, *arguments):
    return forward_sde(drift, lambda x, t: np.square(diffusion(x, t)), *arguments)


@mistake("forward_sde", wrong="-f h", right="+f h", seen="the reverse drift in a forward simulation")
def sde_drift_sign(drift, *arguments):
    return forward_sde(lambda x, t: -drift(x, t), *arguments)


@mistake("forward_sde", wrong="the last time left out", right="N steps for N + 1 times", seen="range(len(times) - 2)")
def sde_one_step_short(*arguments):
    return forward_sde(*arguments)[:-1]


@mistake("forward_sde", wrong="Heun's scheme for an equation of Ito", right="Euler-Maruyama",
         seen="an ODE solver given noise: its limit is Stratonovich's")
def sde_stratonovich_for_ito(drift, diffusion, times, scheme="euler_maruyama", slope=None):
    return forward_sde(drift, diffusion, times, "heun" if scheme == "euler_maruyama" else scheme, slope)


@mistake("forward_sde", wrong="Euler-Maruyama for an equation of Stratonovich", right="Heun",
         seen="f without 1/2 g g' in a scheme of Ito")
def sde_ito_for_stratonovich(drift, diffusion, times, scheme="euler_maruyama", slope=None):
    return forward_sde(drift, diffusion, times, "euler_maruyama" if scheme == "heun" else scheme, slope)


@dataclass(frozen=True, eq=False)
class _Heun(SDESteps):
    """Heun's scheme with parts of the predictor left out."""

    predicted_noise: bool = True
    diffusion_corrected: bool = True
    drift_corrected: bool = True

    def _step(self, k, x, dw):
        if self.scheme != "heun":
            return super()._step(k, x, dw)
        t, s = self.times[range(len(self))[k]], self.times[range(len(self))[k] + 1]
        f, g = self._at(x, t)
        f_end, g_end = self._at(x + f * (s - t) + (g * dw if self.predicted_noise else 0.0), s)
        f_end, g_end = f_end if self.drift_corrected else f, g_end if self.diffusion_corrected else g
        return x + (f + f_end) / 2 * (s - t) + (g + g_end) / 2 * dw


def _heun(drift, diffusion, times, scheme="euler_maruyama", slope=None, **changed):
    return _Heun(drift, diffusion, times, scheme, slope, **changed)


@mistake("forward_sde", wrong="predictor x + f h", right="x + f h + g dw", seen="the deterministic predictor kept")
def heun_predictor_without_noise(*arguments):
    return _heun(*arguments, predicted_noise=False)


@mistake("forward_sde", wrong="g dw", right="(g + g^) dw/2",
         seen="the drift corrected, the noise not: no convergence to Stratonovich")
def heun_noise_not_corrected(*arguments):
    return _heun(*arguments, diffusion_corrected=False)


@mistake("forward_sde", wrong="f h", right="(f + f^) h/2", seen="the noise corrected, the drift not")
def heun_drift_not_corrected(*arguments):
    return _heun(*arguments, drift_corrected=False)


@dataclass(frozen=True, eq=False)
class _Milstein(SDESteps):
    """Euler-Maruyama plus another term of second order: ``term(g, slope, dw, h)``."""

    term: Callable = lambda g, slope, dw, h: 0 * dw

    def _step(self, k, x, dw):
        if self.scheme != "milstein":
            return super()._step(k, x, dw)
        k, slope = range(len(self))[k], self.slope
        assert slope is not None
        t, h = self.times[k], self.times[k + 1] - self.times[k]
        plain = replace(self, scheme="euler_maruyama", slope=None)._step(k, x, dw)
        return plain + self.term(np.asarray(self.diffusion(x, t)), np.asarray(slope(x, t)), dw, h)


def _milstein(term, drift, diffusion, times, scheme="euler_maruyama", slope=None):
    return _Milstein(drift, diffusion, times, scheme, slope, term)


@mistake("forward_sde", wrong="g g' (dw^2 - h)", right="1/2 g g' (dw^2 - h)", seen="Milstein's term without 1/2")
def milstein_without_half(*arguments):
    return _milstein(lambda g, slope, dw, h: g * slope * (dw**2 - h), *arguments)


@mistake("forward_sde", wrong="1/2 g g' (dw^2 + h)", right="1/2 g g' (dw^2 - h)", seen="the sign of h")
def milstein_plus_step(*arguments):
    return _milstein(lambda g, slope, dw, h: g * slope * (dw**2 + h) / 2, *arguments)


@mistake("forward_sde", wrong="1/2 g g' dw^2", right="1/2 g g' (dw^2 - h)", seen="the term of Stratonovich for an equation of Ito")
def milstein_of_stratonovich(*arguments):
    return _milstein(lambda g, slope, dw, h: g * slope * dw**2 / 2, *arguments)


@mistake("forward_sde", wrong="1/2 g' (dw^2 - h)", right="1/2 g g' (dw^2 - h)", seen="g forgotten before its derivative")
def milstein_slope_alone(*arguments):
    return _milstein(lambda g, slope, dw, h: slope * (dw**2 - h) / 2, *arguments)


@mistake("forward_sde", wrong="Euler-Maruyama", right="Milstein", seen="the option that is read and not used")
def milstein_not_used(*arguments):
    return _milstein(lambda g, slope, dw, h: 0 * dw, *arguments)
