"""Mistakes in the probability flow: its drift, its integration, its steps on a grid (systems F5)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.samplers import FlowSteps, ProbabilityFlow


def _flow(name: str, drift: Callable, *, wrong: str, seen: str, right: str = "f - g^2 s/2") -> None:
    """A flow with another drift, as a function of (-r, g) at t, x and the score; wrong in all that is computed from it."""

    class Wrong(ProbabilityFlow):
        def with_score(self, x, score, t):
            return drift(-float(self.process.rate(t)), float(self.process.diffusion(t)), x, score)

    mistake("probability_flow", wrong=wrong, right=right, seen=seen, name=name)(Wrong)


_flow("flow_of_the_full_score", lambda f, g, x, s: f * x - g * g * s, wrong="f - g^2 s",
      seen="LightningDiT#89: drift of the SDE and of the flow mixed up")
_flow("flow_score_sign", lambda f, g, x, s: f * x + g * g * s / 2, wrong="f + g^2 s/2", seen="sign of the score, common")
_flow("flow_drift_sign", lambda f, g, x, s: -f * x - g * g * s / 2, wrong="-f - g^2 s/2",
      seen="conditional-flow-matching#85: sign of f")
_flow("flow_other_direction", lambda f, g, x, s: g * g * s / 2 - f * x, wrong="-f + g^2 s/2",
      right="f - g^2 s/2, in increasing time", seen="consistency_models_cifar10#12: integrated in the wrong direction")
_flow("flow_g_for_g2", lambda f, g, x, s: f * x - g * s / 2, wrong="f - g s/2", seen="g where g^2 belongs, common")
_flow("flow_without_g2", lambda f, g, x, s: f * x - s / 2, wrong="f - s/2",
      seen="conditional-flow-matching#85: missing factor of g^2")
_flow("flow_rate_halved", lambda f, g, x, s: f * x / 2 - g * g * s / 2, wrong="f/2 - g^2 s/2",
      seen="beta and beta/2 mixed up, common")
_flow("flow_without_drift", lambda f, g, x, s: 0 * f * x - g * g * s / 2, wrong="-g^2 s/2",
      seen="formula of the variance-exploding process, dx = -sigma sigma' s dt, used for VP")


@mistake("probability_flow", wrong="score of t/2", right="score of t", seen="times rescaled for the network only")
def flow_score_too_early(process, score):
    return ProbabilityFlow(process, lambda x, t: score(x, t / 2))


@mistake("flow_integrate", wrong="from t1 to t0", right="from t0 to t1",
         seen="consistency_models_cifar10#12: integrated in the wrong direction")
def flow_integrates_the_other_way(flow, x, t0, t1, **tolerances):
    return flow.integrate(x, t1, t0, **tolerances)


@mistake("flow_integrate", wrong="|dt| on the way down: the drift is not turned round", right="dt < 0",
         seen="LightningDiT#89 and its neighbours: step length taken without its sign")
def flow_backwards_as_forwards(flow, x, t0, t1, **tolerances):
    return x + np.sign(t1 - t0) * (flow.integrate(x, t0, t1, **tolerances) - x)


@mistake("flow_integrate", wrong="up from time 0 whatever t0 is", right="up from t0", seen="early stop forgotten in the encoder")
def flow_starts_from_time_zero(flow, x, t0, t1, **tolerances):
    return flow.integrate(x, t0 if t0 > t1 else 0.0, t1, **tolerances)


def _steps(name: str, step: Callable, *, of: str, wrong: str, right: str, seen: str) -> None:
    """Steps whose method ``of`` is another: ``step(b, x, t, s)``."""

    class Wrong(FlowSteps):
        def mean(self, k, x):
            if self.method != of:
                return super().mean(k, x)
            return step(self.flow.drift, np.asarray(x, dtype=np.float64), float(self.times[k]), float(self.times[k + 1]))

        def integrate(self, x):
            for k in range(len(self)):
                x = self.mean(k, x)
            return x

    mistake("flow_steps", wrong=wrong, right=right, seen=seen, name=name)(Wrong)


def _heun(first: float, second: float, at_the_start: bool = False) -> Callable:
    def step(b, x, t, s):
        k = b(x, t)
        return x + (s - t) * (first * k + second * b(x + (s - t) * k, t if at_the_start else s))

    return step


def _rk4(weights=(1 / 6, 1 / 3, 1 / 3, 1 / 6), third_from_the_start: bool = False, half: float = 0.5) -> Callable:
    def step(b, x, t, s):
        h = s - t
        k1 = b(x, t)
        k2 = b(x + h / 2 * k1, t + half * h)
        k3 = b(x + h / 2 * (k1 if third_from_the_start else k2), t + half * h)
        k4 = b(x + h * k3, s)
        return x + h * (weights[0] * k1 + weights[1] * k2 + weights[2] * k3 + weights[3] * k4)

    return step


_steps("flow_heun_second_slope_at_the_start", _heun(0.5, 0.5, True), of="heun", wrong="b(x + h k1, t)", right="b(x + h k1, s)",
       seen="one time for both slopes, common")
_steps("flow_heun_slopes_added", _heun(1.0, 1.0), of="heun", wrong="h (k1 + k2)", right="h/2 (k1 + k2)",
       seen="the mean's half left out")
_steps("flow_heun_with_one_slope", _heun(0.0, 1.0), of="heun", wrong="h k2", right="h/2 (k1 + k2)",
       seen="corrector's slope alone: order 1 only")
_steps("flow_rk4_equal_weights", _rk4((0.25,) * 4), of="rk4", wrong="h/4 (k1 + k2 + k3 + k4)", right="h/6 (k1 + 2 k2 + 2 k3 + k4)",
       seen="weights from memory: order 2 only")
_steps("flow_rk4_third_stage_at_the_start", _rk4(third_from_the_start=True), of="rk4", wrong="k3 = b(x + h/2 k1)",
       right="k3 = b(x + h/2 k2)", seen="copied line: order 3 is lost")
_steps("flow_rk4_time_not_halved", _rk4(half=0.0), of="rk4", wrong="b(., t) for the middle slopes", right="b(., t + h/2)",
       seen="code for autonomous equations used where time matters")
_steps("flow_euler_slope_at_the_end", lambda b, x, t, s: x + (s - t) * b(x, s), of="euler", wrong="b(x, s)", right="b(x, t)",
       seen="t - 1 for t, common")
_steps("flow_steps_length_positive", lambda b, x, t, s: x + abs(s - t) * b(x, t), of="euler", wrong="|s - t|", right="s - t",
       seen="consistency_models_cifar10#12: integrated in the wrong direction")


@mistake("flow_steps", wrong="equal steps", right="steps of the grid", seen="dt computed once, wrong on non-uniform grids")
def flow_equal_steps(flow, times, method):
    return FlowSteps(flow, np.linspace(times[0], times[-1], len(times)), method)


@mistake("flow_steps", wrong="N - 1 steps", right="N steps", seen="range(1, N) over a grid of N + 1 times")
def flow_last_step_left_out(flow, times, method):
    return FlowSteps(flow, times[:-1], method)
