"""The contract a second time, number by number: what `lint` compares every vector with.

No arrays, no NumPy, nothing of refscore: lists of numbers as they stand in the JSON, floats or mpmath's with 50 digits.
Derivatives are those of `refscore.vectors._numbers`; what is binary is in `refscore.vectors._plain_binary`. The conventions are
those of the wanted values, `refscore.conformance.reference.DEFAULTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refscore.vectors import _plain_binary as undirected
from refscore.vectors._numbers import ACTIVATIONS, Dual, Node, dot, exp, gradient, library, log, plain, sqrt


def mean(values):
    values = list(values)
    return sum(values, 0) / len(values)


def each(t, rows):
    """One time a row."""
    return t if isinstance(t, list) else [t] * len(rows)


# --- processes: {"kind", "parameters"} ---


class Process:
    """alpha, sigma, f and g by their closed forms."""

    def __init__(self, kind: str, **parameters):
        self.kind, self.p = kind, parameters

    def clock(self, t):
        """B(0, t) of VP, where alpha = e^{-B/2}; of DDPM -log alpha-bar."""
        if self.kind == "DDPM":
            return -sum((library(b).log1p(-b) for b in self.p["betas"][: int(t)]), self.p["betas"][0] * 0)
        return t * self.p["beta_min"] + t * t * (self.p["beta_max"] - self.p["beta_min"]) / 2

    def alpha(self, t):
        if self.kind == "OU":
            return exp(-self.p["beta"] * t)
        return t * 0 + 1 if self.kind == "VE" else exp(-self.clock(t) / 2)

    def sigma(self, t):
        if self.kind == "VE":
            return self.p["sigma_min"] * exp(t * log(self.p["sigma_max"] / self.p["sigma_min"]))
        if self.kind == "OU":
            rate = 2 * self.p["beta"]
            return self.p["sigma"] * sqrt(-library(rate).expm1(-rate * t) / rate)
        clock = self.clock(t)
        return sqrt(-library(clock).expm1(-clock))

    def beta(self, t):
        return self.p["betas"][t - 1] if self.kind == "DDPM" else self.p["beta_min"] * (1 - t) + self.p["beta_max"] * t

    def rate(self, t):
        return {"OU": lambda: self.p["beta"], "VE": lambda: 0 * t, "VP": lambda: self.beta(t) / 2}[self.kind]()

    def g(self, t):
        if self.kind == "VP":
            return sqrt(self.beta(t))
        return self.p["sigma"] if self.kind == "OU" else self.sigma(t) * sqrt(2 * log(self.p["sigma_max"] / self.p["sigma_min"]))


# --- models: {"kind", "arrays", "activation", "takes_time"} ---


def network(spec, x, t):
    a = list(spec["arrays"].values())
    phi = ACTIVATIONS[spec["activation"]]
    values = [*x, t] if spec["takes_time"] else x
    for layer, (W, b) in enumerate(zip(a[::2], a[1::2], strict=True)):
        values = [dot(values, column) + c for column, c in zip(zip(*W, strict=True), b, strict=True)]
        values = values if 2 * layer + 2 == len(a) else [phi(v) for v in values]
    return values


def log_mixture(spec, x, alpha, sigma):
    """log sum_k w_k N(x; alpha m_k, (alpha^2 v_k + sigma^2) I)."""
    arrays, logs = spec["arrays"], []
    total = sum(arrays["weights"], 0)
    for w, m, v in zip(arrays["weights"], arrays["means"], arrays["variances"], strict=True):
        width = alpha * alpha * v + sigma * sigma
        squares = sum(((p - alpha * q) * (p - alpha * q) for p, q in zip(x, m, strict=True)), 0)
        logs.append(log(w / total) - len(x) * log(2 * pi(width) * width) / 2 - squares / (2 * width))
    top = max(plain(v) for v in logs)
    return log(sum((exp(v - top) for v in logs), 0)) + top


def pi(x):
    return +library(x).pi


def energy(spec, x, t, process):
    """E of an energy, -log p of a mixture."""
    if spec["kind"] == "quadratic_energy":
        r = [p - m for p, m in zip(x, spec["arrays"]["m"], strict=True)]
        return dot(r, [dot(row, r) for row in spec["arrays"]["P"]]) / 2
    if spec["kind"] == "energy_mlp":
        return network(spec, x, t)[0]
    alpha, sigma = (process.alpha(t), process.sigma(t)) if spec["takes_time"] else (1, 0)
    return -log_mixture(spec, x, alpha, sigma)


def output(spec, x, t=None, process=None):
    """The score that the model stands for."""
    if spec["kind"] == "linear":
        return [dot(row, x) + b for row, b in zip(spec["arrays"]["A"], spec["arrays"]["b"], strict=True)]
    if spec["kind"] == "mlp":
        return network(spec, x, t)
    return [-slope(lambda y: [energy(spec, y, t, process)], x, unit(len(x), i))[0] for i in range(len(x))]


def unit(d, i):
    return [int(i == j) for j in range(d)]


def slope(f: Callable, x, v):
    """The derivative of f along v, by Duals."""
    values = f([Dual(p, q) for p, q in zip(x, v, strict=True)])
    return [value.slope if isinstance(value, Dual) else 0 for value in values]


def trace(f: Callable, x):
    return sum((slope(f, x, unit(len(x), i))[i] for i in range(len(x))), 0)


# --- losses: rows, then their mean ---


def half_square(values):
    return dot(values, values) / 2


def denoising(model, x0, noise, alpha, sigma, t, process, weight=1):
    xt = [alpha * a + sigma * z for a, z in zip(x0, noise, strict=True)]
    return half_square([s + z / sigma for s, z in zip(output(model, xt, t, process), noise, strict=True)]) * weight


def esm_loss(p, model, x, true_score):
    return mean(half_square([s - u for s, u in zip(output(model, row), want, strict=True)])
                for row, want in zip(x, true_score, strict=True))


def ism_loss(p, model, x):
    return mean(half_square(output(model, row)) + trace(lambda y: output(model, y), row) for row in x)


def ssm_loss(p, model, x, v):
    rows = zip(x, v, strict=True)
    return mean(half_square([dot(output(model, row), u)]) + dot(slope(lambda y: output(model, y), row, u), u) for row, u in rows)


def ssm_vr_loss(p, model, x, v):
    rows = zip(x, v, strict=True)
    return mean(half_square(output(model, row)) + dot(slope(lambda y: output(model, y), row, u), u) for row, u in rows)


def dsm_loss(p, model, x0, sigma, noise):
    return mean(denoising(model, row, z, 1, sigma, None, p) for row, z in zip(x0, noise, strict=True))


def dsm_process_loss(p, model, x0, t, noise):
    rows = zip(x0, each(t, x0), noise, strict=True)
    return mean(denoising(model, row, z, p.alpha(s), p.sigma(s), s, p) for row, s, z in rows)


def ncsn_loss(p, model, x0, sigmas, index, noise):
    rows = zip(x0, index, noise, strict=True)
    return mean(denoising(model, row, z, 1, sigmas[i], sigmas[i], p) for row, i, z in rows)


def ddpm_loss(p, model, x0, index, noise):
    rows = zip(x0, each(index, x0), noise, strict=True)
    return mean(denoising(model, row, z, p.alpha(i), p.sigma(i), i, p, p.sigma(i) * p.sigma(i)) for row, i, z in rows)


def of_parameters(loss: Callable, p, model, *arguments):
    """The gradient in all arrays of the model, backwards."""
    leaves: list[Node] = []

    def watched(value):
        if isinstance(value, list):
            return [watched(v) for v in value]
        leaves.append(Node(value))
        return leaves[-1]

    arrays = {name: watched(a) for name, a in model["arrays"].items()}
    slopes = iter(gradient(loss(p, {**model, "arrays": arrays}, *arguments), leaves))

    def filled(value):
        return [filled(v) for v in value] if isinstance(value, list) else next(slopes)

    return [filled(a) for a in arrays.values()]


# --- steps, along a process ---


def along(rows, *others):
    """sum of c_k times row k, for rows and factors (c_1, rows_1), (c_2, rows_2), ..."""
    pairs = [rows, *others]
    return [[sum((c * v for (c, _), v in zip(pairs, values, strict=True)), 0) for values in zip(*lines, strict=True)]
            for lines in zip(*[r for _, r in pairs], strict=True)]


def scores(p, model, x, t=None):
    return [output(model, row, s, p) for row, s in zip(x, each(t, x), strict=True)]


def langevin_step(p, model, x, step, noise):
    return along((1, x), (step, scores(p, model, x)), (sqrt(2 * step), noise))


def annealed_langevin(p, model, x, sigmas, eps, n_steps, noise):
    for sigma, kicks in zip(sigmas, noise, strict=True):
        step = eps * sigma * sigma / (sigmas[-1] * sigmas[-1])
        for k in range(n_steps):
            x = along((1, x), (step / 2, scores(p, model, x, sigma)), (sqrt(step), kicks[k]))
    return x


def reverse_step(p, model, x, t, s, noise):
    h, g = t - s, p.g(t)
    return along((1 + h * p.rate(t), x), (h * g * g, scores(p, model, x, t)), (g * sqrt(h), noise))


def ode_drift(p, model, x, t):
    rows = zip(x, scores(p, model, x, t), each(t, x), strict=True)
    return [[-p.rate(u) * a - p.g(u) * p.g(u) * b / 2 for a, b in zip(row, score, strict=True)] for row, score, u in rows]


def ddpm_step(p, model, x, index, noise):
    beta = p.beta(index)
    shrink = sqrt(1 - beta)
    return along((1 / shrink, x), (beta / shrink, scores(p, model, x, index)), (sqrt(beta) if index > 1 else 0, noise))


def ddim_step(p, model, x, index, prev_index, eta, noise):
    a, b = p.alpha(index), p.alpha(prev_index)
    v = eta * eta * p.sigma(prev_index) * p.sigma(prev_index) / (p.sigma(index) * p.sigma(index)) * (1 - a * a / (b * b))
    rest = p.sigma(prev_index) * p.sigma(prev_index) - v
    eps = along((-p.sigma(index), scores(p, model, x, index)))
    x0 = along((1 / a, x), (-p.sigma(index) / a, eps))
    return along((b, x0), (sqrt(rest) if rest > 0 else 0, eps), (sqrt(v), noise))


def posterior(p, x0, xt, index):
    """By the product of two Gaussians in x_{i-1}: given x_0, and as the mean of x_i."""
    beta, s = p.beta(index), p.sigma(index - 1)
    if not s:
        return [x0, [s for _ in x0]]
    precision = 1 / (s * s) + (1 - beta) / beta
    means = along((p.alpha(index - 1) / (s * s) / precision, x0), (sqrt(1 - beta) / beta / precision, xt))
    return [means, [1 / precision for _ in x0]]


def convert(p, value, xt, t, source, target):
    result = []
    for row, point, s in zip(value, xt, each(t, xt), strict=True):
        a, b = p.alpha(s), p.sigma(s)
        pairs = {
            "score": lambda v, x, a=a, b=b: ((x + b * b * v) / a, -b * v), "eps": lambda v, x, a=a, b=b: ((x - b * v) / a, v),
            "x0": lambda v, x, a=a, b=b: (v, (x - a * v) / b),
            "v": lambda v, x, a=a, b=b: ((a * x - b * v) / (a * a + b * b), (b * x + a * v) / (a * a + b * b)),
        }
        known = [pairs[source](v, x) for v, x in zip(row, point, strict=True)]
        result.append([{"score": -e / b, "eps": e, "x0": x0, "v": a * e - b * x0}[target] for x0, e in known])
    return result


def per_row(f: Callable) -> Callable:
    """f(process, t, row, ...) at every row's time; the arguments in the order of the contract, t where ``f`` says."""

    def operation(p, *arguments):
        *rows, t = arguments
        return [[f(p, s, *numbers) for numbers in zip(*lines, strict=True)]
                for *lines, s in zip(*rows, each(t, rows[0]), strict=True)]

    return operation


# --- densities ---


def logpdf(p, spec, x):
    if spec["kind"] == "mixture":
        return [log_mixture(spec, row, 1, 0) for row in x]
    return [(log_det(spec["arrays"]["P"]) - len(row) * log(2 * pi(row[0]))) / 2 - energy(spec, row, None, p) for row in x]


def log_det(P):
    """By elimination."""
    P, total = [list(row) for row in P], 0
    for k, pivot in enumerate(P):
        total += log(pivot[k])
        for row in P[k + 1:]:
            factor = row[k] / pivot[k]
            row[:] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
    return total


OPERATIONS: dict[str, Callable[..., Any]] = {
    "alpha": lambda p, t: [p.alpha(s) for s in t],
    "sigma": lambda p, t: [p.sigma(s) for s in t],
    "diffusion": lambda p, t: [p.g(s) for s in t],
    "drift": per_row(lambda p, t, x: -p.rate(t) * x),
    "corrupt": lambda p, x0, t, noise: per_row(lambda p, s, a, z: p.alpha(s) * a + p.sigma(s) * z)(p, x0, noise, t),
    "conditional_score": per_row(lambda p, t, xt, x0: (p.alpha(t) * x0 - xt) / (p.sigma(t) * p.sigma(t))),
    "convert": convert,
    "denoise": lambda p, model, xt, t: per_row(lambda p, s, x, score: (x + p.sigma(s) * p.sigma(s) * score) / p.alpha(s))(
        p, xt, scores(p, model, xt, t), t),
    "jvp": lambda p, model, x, v: [slope(lambda y: output(model, y), row, u) for row, u in zip(x, v, strict=True)],
    "divergence": lambda p, model, x: [trace(lambda y: output(model, y), row) for row in x],
    "hutchinson": lambda p, model, x, v: [dot(slope(lambda y: output(model, y), row, u), u) for row, u in zip(x, v, strict=True)],
    "score": lambda p, spec, x: scores(p, spec, x),
    **{f.__name__: f for f in (
        esm_loss, ism_loss, ssm_loss, ssm_vr_loss, dsm_loss, dsm_process_loss, ncsn_loss, ddpm_loss, langevin_step,
        annealed_langevin, reverse_step, ode_drift, ddpm_step, ddim_step, posterior, logpdf)},
    **undirected.OPERATIONS,
}


def answer(operation: str, process: dict | None, inputs: dict[str, Any]) -> Any:
    """What the operation returns, as nested lists; ``inputs`` in the order of the contract, ``process`` as exported."""
    p = Process(process["kind"], **process["parameters"]) if process else None
    if operation.endswith("_grad"):
        return of_parameters(OPERATIONS[operation.removesuffix("_grad")], p, *inputs.values())
    return OPERATIONS[operation](p, *inputs.values())
