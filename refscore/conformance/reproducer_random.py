r"""A statistical failure as a script of NumPy alone: the law by its formula, and beside it the number measured of many draws.

    # langevin_step on the rung 'noise, step 0.02': variance of column 0 of z = (f - mean)/c, n = 408000
    import numpy as np
    ...
    def step(noise):
        return x + step / 2 * score(x) + np.sqrt(step) * noise
    mean, c = step(0.0), np.sqrt(sum((step(e) - step(0.0)) ** 2 for e in [1.0]))
    wanted, got = 1.0, 1.2
    print(f"wanted {wanted:.10g}; it returned {got:.10g}, difference {got - wanted:.3g}, allowed is 0.01, c = {c.max():.6g}")

No few draws show what is wrong about a law: so the script has no draws but the one number that they come to, how many there were,
and how far chance may take it. What is wanted is computed: a scale, a distribution function at a point, a density, an expectation
over all states. As in `refscore.conformance.reproducer` the formulas are other words than the reference's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore.conformance.chance import Finding
from refscore.conformance.judge import Climb
from refscore.conformance.ladders.setting import Rung
from refscore.conformance.reproducer import betas, formula, inputs, literal, prelude, process_lines, used
from refscore.conformance.spec import Spec
from refscore.processes import DDPM

FINEST = 0.004
"""Spacing of the grid that laws of chains are computed on, at least."""

_LAWS = {"mean": "0.0", "variance": "1.0", "distribution": "(1 + math.erf({at!r} / 2**0.5)) / 2",
         "tails,": "math.erfc({at!r} / 2**0.5)", "repeats,": "0.0", "v_j": "1.0"}
"""What a statistic of N(0, 1) should be, by the first word of its test."""


def _whole(head: str, lines: list[str], got: float | str, allowed: float = float("nan"), more: str = "") -> str:
    """The script; ``got`` is a number, or the problem in words."""
    if isinstance(got, str):
        said = repr(got).replace("{", "{{").replace("}", "}}")[1:-1].replace('"', "'")
        shown = [f'print(f"wanted {{wanted:.10g}}; {said}")']
    else:
        apart = f"difference {{got - wanted:.3g}}, allowed is {allowed:.3g}{more}"
        shown = [f"got = {float(got)!r}", f'print(f"wanted {{wanted:.10g}}; it returned {{got:.10g}}, {apart}")']
    needs = ["import math"] if any("math." in line for line in lines) else []
    return "\n".join([f"# {head}", *needs, "import numpy as np", *lines, *shown]) + "\n"


def noise(climb: Climb, case: Rung, setting: dict[str, Any], found: Finding) -> str:
    """The noise of a step: its scale by the step's formula, and a statistic of z, which is N(0, 1)."""
    operation, a, process = climb.operation, case.arguments, climb.candidate.process
    c = climb.reference(setting).conventions
    body = formula(operation.name, c, a, process)
    lines = used(prelude(operation, c, a, process), body)
    shape = a["noise"].shape[:-2]
    units = f"np.eye({np.prod(shape)}).reshape(-1, {shape[0]}, {shape[1]}, 1, 1)" if shape else "[1.0]"
    still = f"np.zeros({(*shape, 1, 1)})" if shape else "0.0"
    lines = ["def f(noise, x=x):" if "x" in a else "def f(noise):",
             *[f"    {line}" for line in lines[:-1]], f"    return {body[-1].removeprefix('wanted = ')}",
             f"mean = f({still})", f"c = np.sqrt(sum((f(e) - mean) ** 2 for e in {units}))",
             f"wanted = {_LAWS[found.name.split()[0]].format(at=found.at)}"]
    given = inputs({k: v for k, v in a.items() if k != "noise"}, "\n".join(lines), bool(operation.needs))
    head = f"{operation.name} on the rung 'noise, {case.name}': {found.name} of z = (f - mean)/c, n = {found.n}"
    return _whole(head, [*given, *lines], found.got, found.limit, ", c = {c.max():.6g}")


def draws(rung: Rung, process: Any, start: float, along: np.ndarray, at: float, got: float | str,
          allowed: float = float("nan")) -> str:
    """The part of all samples with u.x <= at, beside that of the data at t_min, or of what DDPM's steps make of N(0, 1).

    Of a chain ``start`` is its number of steps; 0 where it is so long that the data's law is as good.
    """
    spec, n, exact = rung.arguments["model"], 2 * rung.arguments["n"], start > 0
    u = along.tolist()
    lines = [*inputs({"model": spec}, "", False), f"m, v = means @ np.array({u}), variances"]
    if isinstance(process, DDPM) and exact:
        h = float(max(FINEST, min(0.02, np.sqrt(process.betas[1:].min(initial=1.0)))))
        lines += [f"bar = np.cumprod(np.append(1, 1 - {betas(process)}))",
                  f"h = {h!r}", "x = np.arange(-9, 9, h)", "p = np.exp(-x**2 / 2) / np.sqrt(2 * np.pi)",
                  "for i in range(len(bar) - 1, 0, -1):", "    beta, r = 1 - bar[i] / bar[i - 1], np.sqrt(bar[i]) * m - x[:, None]",
                  "    s = bar[i] * v + 1 - bar[i]",
                  "    w = weights * np.exp(-(r**2) / (2 * s)) / np.sqrt(s)",
                  "    y = (x + beta * (w * r / s).sum(axis=1) / w.sum(axis=1)) / np.sqrt(1 - beta)",
                  "    if i > 1:  # the last step has no noise",
                  "        p = np.exp(-((x[:, None] - y) ** 2) / (2 * beta)) @ p * h / np.sqrt(2 * np.pi * beta)",
                  f"wanted = np.interp({at!r}, y, (np.cumsum(p) - p / 2) * h)"]
    else:
        scales = ["alpha, sigma = 1.0, 0.0"] if isinstance(process, DDPM) else process_lines(process, {"t": start})
        lines += [f"t = {start!r}", *used(scales, ["s = np.sqrt(alpha**2 * v + sigma**2)"]),
                  f"wanted = sum(weights * [(1 + math.erf(z / 2**0.5)) / 2 for z in ({at!r} - alpha * m) / s])"]
    head = f"sample on the rung '{rung.name}': the part of {n} draws with u.x <= {at:.6g}, u = {np.round(along, 4).tolist()}"
    return _whole(head, lines, got, allowed)


def uniform(rung: Rung, found: Finding) -> str:
    """A statistic of draws of which the distribution alone shows nothing: moments, or how they go together."""
    head = f"sample on the rung '{rung.name}': {found.name}, z = Phi^-1(F(u.x)), F the law, n = {found.n}"
    law = _LAWS[found.name.split()[0]].format(at=found.at)
    return _whole(head, [f"wanted = {law}  # of independent draws"], found.got, found.limit)


def likelihood(rung: Rung, process: Any, start: float, row: int, got: float | str,
               allowed: float = float("nan")) -> str:
    """log p at t_min of one row of x."""
    spec: Spec = rung.arguments["model"]
    body = ["r, v = x - alpha * means, alpha**2 * variances + sigma**2",
            "l = np.log(weights) - (r**2).sum(axis=1) / (2 * v) - x.shape[1] / 2 * np.log(2 * np.pi * v)",
            "wanted = l.max() + np.log(np.exp(l - l.max()).sum())"]
    lines = [*inputs({"model": spec, "x": rung.arguments["x"][row : row + 1]}, "", False), f"t = {start!r}",
             *used(process_lines(process, {"t": start}), body)]
    return _whole(f"log_likelihood on the rung '{rung.name}'", lines, got, allowed)


_JACOBIAN = "J = np.stack([model(x + 1e-30j * e).imag / 1e-30 for e in np.eye(x.shape[1])], axis=2)"


def estimate(operation: Any, rung: Rung, row: int, M: np.ndarray | None, got: float | str, allowed: float = float("nan")) -> str:
    """v'(Dm)v of one row, M = vv' read off; without it the trace, which it should be in expectation."""
    a = {"model": rung.arguments["model"], "x": rung.arguments["x"][row : row + 1]}
    M = np.eye(a["x"].shape[1]) if M is None else M
    body = [f"M = {literal(M)}  # vv'", _JACOBIAN, "wanted = (M * J).sum()"]
    lines = used(prelude(operation, {"predicts": "score"}, a, None), body)
    return _whole(f"hutchinson on the rung '{rung.name}'", [*inputs(a, "", False), *lines], got, allowed)


def statistic(what: str, found: Finding, law: str) -> str:
    """A statistic of what was read off, beside that of the law that is wanted."""
    return _whole(f"{what}: {found.name}, n = {found.n}", [f"wanted = {float(found.wanted)!r}  # {law}"], found.got, found.limit)


def directions(what: str, found: Finding) -> str:
    """A statistic of directions, of which E vv' = I is wanted."""
    return statistic(what, found, "E vv' = I, and v_j v_k as often positive as negative")


_CD = ["sigmoid = lambda a: np.exp(-np.logaddexp(0, -a))"]


def sweep(name: str, a: dict[str, Any], y: np.ndarray, array: str, at: tuple[int, ...], got: float, allowed: float) -> str:
    """The CD gradient of rows that ended in y."""
    lines = [*inputs({**a, "y": y}, "", False), *_CD, "h, g = sigmoid(x @ W + c), sigmoid(y @ W + c)  # y: x_k by db",
             "dW, db, dc = (x.T @ h - y.T @ g) / len(x), (x - y).mean(0), (h - g).mean(0)", f"wanted = {array}{list(at)}"]
    return _whole(f"rbm_cd_gradient on the rung '{name}': {array}{list(at)}", lines, got, allowed)


def sweeps(name: str, a: dict[str, Any], k: int, at: int, got: float | str, allowed: float = float("nan"), n: int = 1) -> str:
    """The CD gradient of rows x in expectation over all states, dW, db, dc in a row."""
    lines = [*inputs({**a, "k": k}, "k", False), *_CD,
             "states = lambda units: (np.arange(2**units)[:, None] >> np.arange(units) & 1) * 1.0",
             "law = lambda p, s: np.where(s == 1, p[:, None], 1 - p[:, None]).prod(axis=2)  # of states s, a row for each of p",
             "X, Z = states(len(b)), states(len(c))",
             "down = law(sigmoid(Z @ W.T + b), X)",
             "p = law(sigmoid(x @ W + c), Z) @ down  # of x_1",
             "p = p @ np.linalg.matrix_power(law(sigmoid(X @ W + c), Z) @ down, k - 1)  # of x_k",
             "h, g = sigmoid(x @ W + c), sigmoid(X @ W + c)",
             "dW, db, dc = (x.T @ h - X.T @ (p.sum(0)[:, None] * g)) / len(x), (x - p @ X).mean(0), (h - p @ g).mean(0)",
             f"wanted = np.concatenate([dW.ravel(), db, dc])[{at}]"]
    return _whole(f"rbm_cd_gradient on the rung '{name}': mean over {n} rows like x, in expectation", lines, got, allowed)
