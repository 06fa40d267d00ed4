"""A failure as a script of NumPy alone: the inputs of the first failing rung, the formula, the wanted number beside what came back.

    # dsm_loss on the rung 'd = 1, one row, linear model, sigma = 1'
    import numpy as np
    A, b = np.array([[-0.4]]), np.array([0.8])
    x0, noise = np.array([[1.2]]), np.array([[-0.9]])
    sigma = 1.0
    score = lambda x: x @ A.T + b
    xt = x0 + sigma * noise
    rows = ((score(xt) + noise / sigma) ** 2).sum(axis=1) / 2
    wanted = rows.mean()
    print(f"wanted {np.ravel(wanted)[0]:.10g}; it returned 0.1234567891")

The formulas are written here once more, in other words than `refscore.conformance.reference`, and the tests run every script:
a road to the same numbers by itself. Jacobians are by complex steps, f(x + ih).imag/h, exact to the last digit; gradients in the
arrays of a model, and Hessians of energies, by differences. Where rows do not depend on each other the script has the one row.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from refscore.conformance.judge import Climb
from refscore.conformance.operations import Operation
from refscore.conformance.spec import Spec
from refscore.processes import DDPM, OU, VE, VP

ACTIVATIONS = {"tanh": "np.tanh", "softplus": "softplus"}
_BY_ROWS = ("process", "derivative", "sampler", "density")

_CURVED = "np.trace(J(x), axis1=1, axis2=2)"
_SLICED = 'np.einsum("ni,nij,nj->n", v, J(x), v)'

_DIRECT = {
    "alpha": "alpha",
    "sigma": "sigma",
    "drift": "rate * x",
    "diffusion": "g",
    "corrupt": "alpha * x0 + sigma * noise",
    "conditional_score": "-(xt - alpha * x0) / sigma**2",
    "denoise": "(xt + sigma**2 * score(xt)) / alpha",
    "jvp": "model(x + 1e-30j * v).imag / 1e-30",
    "divergence": "np.trace(np.stack([model(x + 1e-30j * e).imag / 1e-30 for e in np.eye(x.shape[1])], axis=2), axis1=1, axis2=2)",
    "hutchinson": "(v * model(x + 1e-30j * v).imag / 1e-30).sum(axis=1)",
    "ode_drift": "rate * x - g**2 * score(x) / 2",
    "score": "score(x)",
    "rbm_free_energy": "-x @ b - np.logaddexp(0, x @ W + c).sum(axis=1)",
    "rbm_hidden_mean": "np.exp(-np.logaddexp(0, -(x @ W + c)))",
    "rbm_visible_mean": "np.exp(-np.logaddexp(0, -(z @ W.T + b)))",
}
"""wanted = ..., in terms of the arguments and of alpha, sigma, rate (the drift is rate x) and g at their time."""

_ROWS = {
    "esm_loss": "((score(x) - true_score) ** 2).sum(axis=1) / 2",
    "ism_loss": f"(score(x) ** 2).sum(axis=1) / 2 + {_CURVED}",
    "ssm_loss": f"(v * score(x)).sum(axis=1) ** 2 / 2 + {_SLICED}",
    "ssm_vr_loss": f"(score(x) ** 2).sum(axis=1) / 2 + {_SLICED}",
    "dsm_loss": "x0 + sigma * noise",
    "dsm_process_loss": "alpha * x0 + sigma * noise",
    "ncsn_loss": "x0 + sigma * noise",
    "ddpm_loss": "alpha * x0 + sigma * noise",
}
"""The rows of a loss; of a denoising one the noisy points."""


def script(climb: Climb, i: int, setting: dict[str, Any]) -> str:
    """The script for rung i under these conventions; "" for an operation that it cannot be written for."""
    operation, rung = climb.operation, climb.rungs[i]
    arguments, part, at = rung.arguments, *climb.worst(i, setting)
    values = climb.values(i, setting)
    if operation.name == "mrf_map" and values is not None:
        return _images(rung.name, arguments, climb.wanted(i, setting)[0], values[0])
    if "seed" in arguments or not any(operation.name.removesuffix("_grad") in table for table in (_DIRECT, _ROWS, _OTHERS)):
        return ""
    got = climb.answers[i].problem if values is None else f"it returned {float(values[part][at]):.10g}"
    shape = climb.wanted(i, setting)[part].shape
    if operation.category in _BY_ROWS:
        arguments, at, shape = _one_row(arguments, at[0] if at else 0), (0, *at[1:]), (1, *shape[1:])
    c = climb.reference(setting).conventions
    if operation.category == "gradient" and c["over_batch"] == "none":
        c = {**c, "over_batch": "mean"}  # a gradient is that of one number
    body = formula(operation.name, c, arguments, climb.candidate.process)
    if operation.name == "posterior":
        body.append(f"wanted = {('mean', 'variance')[part]}")
    digits, flat = 10, int(np.ravel_multi_index(at, shape)) if shape else 0
    if operation.category == "gradient":
        body, digits, flat = _by_differences(body, arguments["model"], part, at), 6, 0
    spec = arguments.get("model", arguments.get("spec"))
    if spec is not None and spec.kind == "energy_mlp":
        digits = 6
    lines = used(prelude(operation, c, arguments, climb.candidate.process), body)
    shown = repr(got).replace("{", "{{").replace("}", "}}")[1:-1].replace('"', "'")
    lines.append(f'print(f"wanted {{np.ravel(wanted)[{flat}]:.{digits}g}}; {shown}")')
    head = f"# {operation.name} on the rung '{rung.name}'"
    return "\n".join([head, "import numpy as np", *inputs(arguments, "\n".join(lines), bool(operation.needs)), *lines]) + "\n"


def formula(name: str, c: dict[str, Any], arguments: dict[str, Any], process: Any) -> list[str]:
    """The lines that end in ``wanted = ...``, under conventions c."""
    if name in _DIRECT:
        return [f"wanted = {_DIRECT[name]}"]
    return _OTHERS[name](c, arguments, process) if name in _OTHERS else _loss(name.removesuffix("_grad"), c)


def prelude(operation: Operation, c: dict[str, Any], arguments: dict[str, Any], process: Any) -> list[str]:
    """The lines before a formula: alpha, sigma, rate, g where they are of a process or of a ladder; the model and its score."""
    levels = ["alpha, sigma = 1.0, sigmas[index][:, None]" if "index" in arguments else "alpha = 1.0"]
    if operation.needs:
        levels = process_lines(process, arguments)
    return [*levels, *_models(operation.name, arguments.get("model", arguments.get("spec")), c)]


def _loss(name: str, c: dict[str, Any]) -> list[str]:
    """Rows, and the number that the conventions make of them."""
    scale = "2 * " if not c["half"] else ""
    wanted = scale + {"mean": "rows.mean()", "sum": "rows.sum()", "none": "rows"}[c["over_batch"]]
    end = f"wanted = {wanted}" + (" / x0.shape[1]" if c["over_dims"] == "mean" else "")
    if name in ("esm_loss", "ism_loss", "ssm_loss", "ssm_vr_loss"):
        return [f"rows = {_ROWS[name]}", end.replace("x0", "x")]
    weight = "sigma2" if name == "ddpm_loss" and c["weight"] != "prediction" else c["weight"]
    if weight == "prediction":
        weight = {"score": "one", "energy": "one", "eps": "sigma2"}.get(c["predicts"], c["predicts"])
    error = {"one": "score(xt) + noise / sigma", "sigma2": "sigma * score(xt) + noise",
             "x0": "sigma**2 / alpha * (score(xt) + noise / sigma)",
             "v": "(alpha**2 + sigma**2) / alpha * (sigma * score(xt) + noise)"}[weight]
    return [f"xt = {_ROWS[name]}", f"rows = (({error}) ** 2).sum(axis=1) / 2", end]


def _by_differences(body: list[str], spec: Spec, part: int, at: tuple[int, ...]) -> list[str]:
    """The derivative of a loss in one number of the model's arrays."""
    name = list(spec.arrays)[part]
    place = f"{name}[{', '.join(map(str, at))}]"
    inner = [f"    {line}" for line in body[:-1]] + [f"    return {body[-1].removeprefix('wanted = ')}"]
    changed = f"    {place} = {spec.arrays[name][at].item()!r} + h"
    return ["def loss(h):", changed, *inner, "wanted = (loss(1e-5) - loss(-1e-5)) / 2e-5"]


def _images(name: str, arguments: dict[str, Any], best: np.ndarray, theirs: np.ndarray) -> str:
    """The exponent of p(y | x) at the most likely image, and at the one returned."""
    lines = [f"# mrf_map on the rung '{name}'", "import numpy as np", *inputs(arguments, "unary pairwise", False),
             "bonds = lambda y: (y[1:] == y[:-1]).sum() + (y[:, 1:] == y[:, :-1]).sum()",
             "exponent = lambda y: unary * (x == y).sum() + pairwise * bonds(y)",
             f"best, theirs = {literal(best)}, {literal(theirs)}",
             'print(f"wanted {exponent(best):.10g}; it returned an image with {exponent(theirs):.10g}")']
    return "\n".join(lines) + "\n"


# --- what needs more than one line ---


def _convert(c, arguments, process) -> list[str]:
    eps = {"score": "-sigma * value", "eps": "value", "x0": "(xt - alpha * value) / sigma",
           "v": "(sigma * xt + alpha * value) / (alpha**2 + sigma**2)"}[arguments["source"]]
    wanted = {"score": "-eps / sigma", "eps": "eps", "x0": "(xt - sigma * eps) / alpha",
              "v": "alpha * eps - sigma * (xt - sigma * eps) / alpha"}[arguments["target"]]
    return [f"eps = {eps}  # from {arguments['source']}", f"wanted = {wanted}  # to {arguments['target']}"]


def _langevin(c, arguments, process) -> list[str]:
    half = c["langevin"] == "half_eta"
    return ["wanted = x + step / 2 * score(x) + np.sqrt(step) * noise" if half else
            "wanted = x + step * score(x) + np.sqrt(2 * step) * noise"]


def _annealed(c, arguments, process) -> list[str]:
    move = _langevin(c, arguments, process)[0].removeprefix("wanted = ").replace("noise", "z")
    return ["for i, sigma in enumerate(sigmas):", "    step = eps * sigma**2 / sigmas[-1] ** 2", "    for z in noise[i]:",
            f"        x = {move}", "wanted = x"]


def _reverse(c, arguments, process) -> list[str]:
    if c["scheme"] == "exponential":
        a, b, v = (float(np.ravel(part)[0]) for part in process.exponential_step(arguments["t"], arguments["s"]))
        return [f"p, q, v = {a!r}, {b!r}, {v!r}  # of the exact solution with the score held at t",
                "wanted = p * x + q * score(x) + np.sqrt(v) * noise"]
    return ["h = t - s", "wanted = x + h * (g**2 * score(x) - rate * x) + g * np.sqrt(h) * noise"]


def _before(process, index: int) -> str:
    """alpha and sigma at an earlier index."""
    return f"alpha_s, sigma_s = {float(process.alpha(index))!r}, {float(process.sigma(index))!r}  # at index {index}"


def _ancestral(c, arguments, process) -> list[str]:
    index = int(arguments["index"])
    variance = "beta" if c["variance"] == "beta" else "beta * (sigma_s / sigma) ** 2"
    return [f"beta = {float(process.beta(index))!r}", _before(process, index - 1), f"variance = {variance if index > 1 else '0.0'}",
            "wanted = (x + beta * score(x)) / np.sqrt(1 - beta) + np.sqrt(variance) * noise"]


def _implicit(c, arguments, process) -> list[str]:
    return [_before(process, int(arguments["prev_index"])), "predicted = -sigma * score(x)",
            "v = (eta * sigma_s / sigma) ** 2 * (1 - (alpha / alpha_s) ** 2)",
            "wanted = alpha_s * (x - sigma * predicted) / alpha + np.sqrt(max(sigma_s**2 - v, 0)) * predicted + np.sqrt(v) * noise"]


def _posterior(c, arguments, process) -> list[str]:
    index = int(arguments["index"])
    return [f"beta = {float(process.beta(index))!r}", _before(process, index - 1),
            "mean = alpha_s * beta / sigma**2 * x0 + np.sqrt(1 - beta) * (sigma_s / sigma) ** 2 * xt",
            "variance = beta * (sigma_s / sigma) ** 2"]


def _logpdf(c, arguments, process) -> list[str]:
    if arguments["spec"].kind == "quadratic_energy":
        return ["wanted = (np.linalg.slogdet(P / (2 * np.pi))[1] - np.einsum('ni,ij,nj->n', x - m, P, x - m)) / 2"]
    return ["squares = ((x - means) ** 2).sum(axis=1)",
            "l = np.log(weights) - squares / (2 * variances) - x.shape[1] / 2 * np.log(2 * np.pi * variances)",
            "wanted = l.max() + np.log(np.exp(l - l.max()).sum())"]


def _partition(c, arguments, process) -> list[str]:
    return ["z = (np.arange(2 ** len(c))[:, None] >> np.arange(len(c))) & 1  # all states of the hidden units",
            "terms = z @ c + np.logaddexp(0, z @ W.T + b).sum(axis=1)",
            "wanted = terms.max() + np.log(np.exp(terms - terms.max()).sum())"]


def _conditional(c, arguments, process) -> list[str]:
    return ["p = np.pad(2.0 * y - 1, 1)  # beyond the border there is nothing",
            "neighbours = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]",
            "wanted = 1 / (1 + np.exp(-unary * (2 * x - 1) - pairwise * neighbours))"]


_OTHERS = {"convert": _convert, "langevin_step": _langevin, "annealed_langevin": _annealed, "reverse_step": _reverse,
           "ddpm_step": _ancestral, "ddim_step": _implicit, "posterior": _posterior, "logpdf": _logpdf,
           "rbm_log_partition": _partition, "mrf_conditional": _conditional}


# --- the lines before the formula ---


def process_lines(process: Any, arguments: dict[str, Any]) -> list[str]:
    """alpha, sigma, rate and g at the arguments' time, by formula where the process has a short one, else as numbers."""
    name = "index" if "index" in arguments else "t"
    if type(process) is VP:
        low, slope = process.beta_min, process.beta_max - process.beta_min
        clock = f"({low!r} * t + {slope / 2!r} * t**2)"
        return [f"alpha = np.exp(-{clock} / 2)", f"sigma = np.sqrt(-np.expm1(-{clock}))", f"rate = -({low!r} + {slope!r} * t) / 2",
                f"g = np.sqrt({low!r} + {slope!r} * t)"] if name == "t" else _as_numbers(process, arguments[name])
    if type(process) is OU and process.beta and name == "t":
        beta, g = process.beta, process.g
        return [f"alpha = np.exp(-{beta!r} * t)", f"sigma = {g!r} * np.sqrt(-np.expm1(-{2 * beta!r} * t) / {2 * beta!r})",
                f"rate = -{beta!r}", f"g = {g!r}"]
    if type(process) is VE and process.start == "sigma_min" and name == "t":
        low, ratio = process.sigma_min, process.sigma_max / process.sigma_min
        sigma = f"{low!r} * {ratio!r} ** t"
        return ["alpha = 1.0", f"sigma = {sigma}", "rate = 0.0", f"g = np.sqrt(2 * np.log({ratio!r})) * {sigma}"]
    if type(process) is DDPM and "linspace" in betas(process):
        return [f"bar = np.cumprod(np.append(1, 1 - {betas(process)}))",
                f"alpha, sigma = np.sqrt(bar[{name}]), np.sqrt(1 - bar[{name}])"]
    return _as_numbers(process, arguments[name])


def betas(process: DDPM) -> str:
    """The betas as code: equally spaced ones by their ends."""
    first, last = (float(process.betas[k]) for k in (0, -1))
    if np.array_equal(process.betas, np.linspace(first, last, len(process))):
        return f"np.linspace({first!r}, {last!r}, {len(process)})"
    return f"np.array({process.betas.tolist()})"


def _as_numbers(process: Any, t) -> list[str]:
    def number(value):
        value = np.broadcast_to(np.asarray(value, dtype=np.float64), np.shape(t))
        return f"{literal(value)}[:, None]" if value.ndim else repr(float(value))

    lines = [f"alpha = {number(process.alpha(t))}  # of the process", f"sigma = {number(process.sigma(t))}"]
    if isinstance(process, DDPM):
        return lines
    rate = process.drift(np.ones((max(1, np.size(t)), 1)), t)[:, 0]
    return [*lines, f"rate = {number(rate if np.ndim(t) else rate[0])}", f"g = {number(process.diffusion(t))}"]


def _models(operation: str, spec: Spec | None, c: dict[str, Any]) -> list[str]:
    """The model of a spec, the score that it stands for, and the score's Jacobian."""
    if spec is None:
        return []
    time = {"ncsn_loss": "sigma", "annealed_langevin": "sigma", "ddpm_loss": "index", "ddpm_step": "index", "ddim_step": "index"}
    t = time.get(operation.removesuffix("_grad"), "t") if spec.takes_time else ""
    leveled = bool(t) or operation.startswith("dsm_loss")
    complex_step = "J = lambda x: np.stack([score(x + 1e-30j * e).imag / 1e-30 for e in np.eye(x.shape[1])], axis=2)"
    plain = "model" if operation in ("jvp", "divergence", "hutchinson") else "score"  # where they are the same
    if spec.kind == "mixture":
        r, v = ("alpha * means - x", "alpha**2 * variances + sigma**2") if t else ("means - x", "variances")
        return [f"def {plain}(x):  # one row", f"    r, v = {r}, {v}",
                "    l = np.log(weights) - (r**2).sum(axis=1) / (2 * v) - x.shape[1] / 2 * np.log(v)",
                "    p = np.exp(l - l.max())", "    return ((p / p.sum() / v) @ r)[None]"]
    if spec.kind == "quadratic_energy":
        return ["score = lambda x: -(x - m) @ P", complex_step]
    if spec.kind == "linear":
        return [*_predicting("x @ A.T + b", plain, c, leveled), complex_step]
    lines, act = [], ACTIVATIONS[str(spec.activation)]
    if act == "softplus":
        lines.append("softplus = lambda a: np.log1p(np.exp(a))")
    output = f"np.column_stack([x, {t}])" if t else "x"
    layers = len(spec.arrays) // 2
    for k in range(1, layers + 1):
        output = f"{output} @ W{k} + b{k}"
        output = f"{act}({output})" if k < layers else output
    if spec.kind == "mlp":
        return [*lines, *_predicting(output, plain, c, leveled), complex_step]
    return [*lines, f"E = lambda x: ({output})[:, 0]",
            "score = lambda x: -np.stack([E(x + 1e-30j * e).imag / 1e-30 for e in np.eye(x.shape[1])], axis=1)",
            "J = lambda x: np.stack([(score(x + 1e-4 * e) - score(x - 1e-4 * e)) / 2e-4 for e in np.eye(x.shape[1])], axis=2)"]


def _predicting(output: str, plain: str, c: dict[str, Any], leveled: bool) -> list[str]:
    """A model's output, and the score that it stands for at a noise level."""
    score = {"eps": "-model(x) / sigma", "x0": "(alpha * model(x) - x) / sigma**2",
             "v": "-(sigma * x + alpha * model(x)) / (alpha**2 + sigma**2) / sigma"}.get(c["predicts"]) if leveled else None
    return [f"model = lambda x: {output}", f"score = lambda x: {score}"] if score else [f"{plain} = lambda x: {output}"]


def used(helpers: list[str], body: list[str]) -> list[str]:
    """The helpers that the body needs, and the body; a helper is a line with the indented ones after it."""
    groups: list[list[str]] = []
    for line in helpers:
        if line.startswith(" "):
            groups[-1].append(line)
        else:
            groups.append([line])
    kept = list(body)
    for group in reversed(groups):
        names = re.findall(r"\w+", re.split(r"[=(]", group[0].removeprefix("def "))[0])
        if re.search(rf"\b({'|'.join(names)})\b", "\n".join(kept)):
            kept = [*group, *kept]
    return kept


def inputs(arguments: dict[str, Any], text: str, columns: bool) -> list[str]:
    """The arguments as literals: arrays one a line, the arrays of a model a layer a line, all scalars on one."""
    lines, scalars = [], {}
    for name, value in arguments.items():
        if isinstance(value, Spec):
            names = list(value.arrays)
            groups = [names[k : k + 2] for k in range(0, len(names), 2)] if value.kind != "mixture" else [names]
            lines += [f"{', '.join(g)} = {', '.join(literal(value.arrays[k]) for k in g)}" for g in groups]
        elif isinstance(value, np.ndarray):
            column = "[:, None]" if columns and value.ndim == 1 and name in ("t", "index") else ""
            lines.append(f"{name} = {literal(value)}{column}")
        elif not isinstance(value, str) and re.search(rf"\b{name}\b", text):
            scalars[name] = repr(value)
    return [*lines, *([f"{', '.join(scalars)} = {', '.join(scalars.values())}"] if scalars else [])]


def literal(array: np.ndarray) -> str:
    if array.size > 1 and not array.any():
        return f"np.zeros({array.shape})"
    for length in range(1, len(array) // 2 if array.ndim else 0):  # the same rows over and over
        if np.array_equal(array, np.resize(array[:length], array.shape)):
            return f"np.resize(np.array({array[:length].tolist()!r}), {array.shape})"
    return f"np.array({array.tolist()!r})"


def _one_row(arguments: dict[str, Any], k: int) -> dict[str, Any]:
    """The arguments of row k alone; its time as a number."""
    result = {}
    for name, value in arguments.items():
        if isinstance(value, np.ndarray) and name != "sigmas":
            if value.ndim == 1:
                value = value[k].item()
            else:
                value = value[:, :, k : k + 1] if value.ndim == 4 else value[k : k + 1]
        result[name] = value
    return result
