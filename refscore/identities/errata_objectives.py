"""Errata of the sources about objectives: weights, constants and factors (X1, X2, X5, X9, X10, X15, X18).

Each is stated as in `refscore.identities._errata`: the source's statement fails by an amount that another road predicts, and what
should stand there holds. Expectations of network losses are over lattices, as in section B.
"""

from __future__ import annotations

import numpy as np

from refscore.identities import _plain, _textbook
from refscore.identities._errata import refuted
from refscore.identities._expectations import FINEST, flat, refined
from refscore.identities._models import random_network, score_models
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import mixture
from refscore.processes import OU, VP

EPS = np.finfo(float).eps

CASES = ((OU(0.7, 1.3), 0.5, 1), (VP(), 0.35, 2), (VP(), 0.6, 1))


def _levels(ops, process, t):
    return float(ops.alpha(process, t)), float(ops.sigma(process, t))


def _explicit(ops, model, law, sigma, h, t=None):
    """J_ESM of the corrupted law + C: the score loss of weight one, by a road without noise."""
    x, w = _textbook.nodes(law, h)
    s = ops.score(law, x)
    esm = ops.esm(model, x, s, sample_weight=w, **({} if t is None else {"t": t}))
    return esm + 0.5 * (x.shape[1] / sigma**2 - w @ (s * s).sum(axis=1))


def _of_noise(model, sigma: float):
    """The score of a network of (x, t) that predicts the noise."""
    return lambda x, t: -model(x, t) / sigma


def _times(model, factor: float):
    return lambda x: factor * model(x)


@identity(
    id="X1",
    systems=("X1", "B13"),
    title="[a] carries 1/sigma^2 twice in the eps-form of the loss; once is right, so lambda = sigma^2 gives the plain error",
    statement=r"\lambda E\|s - \nabla\log p(x_t|x_0)\|^2 = \tfrac{\lambda}{\sigma_t^2}E\|\epsilon_\theta - \epsilon\|^2 "
    r"\ \ne\ \tfrac{\lambda}{\sigma_t^2}E\tfrac1{\sigma_t^2}\|\epsilon_\theta - \epsilon\|^2",
    source="[a, sec. 3, 'Score Network Parameterization']",
    method="losses on nodes of (data, noise) vs explicit losses of the marginal",
    catches=("dsm_process_weight_inverted", "dsm_process_weight_fourth_power", "esm_without_half", "score_sign"),
)
def eps_weight_twice(ops, seed):
    """lambda = sigma_t^2, as [a] chooses it: its own eps-form is then not the plain error, the score form is."""
    rows = []
    for process, t, d in CASES:
        density, model, (alpha, sigma) = mixture(d), random_network(d, seed, takes_time=True), _levels(ops, process, t)
        law = ops.corrupted(density, alpha, sigma)

        def sums(h, process=process, t=t, density=density, model=model, alpha=alpha, sigma=sigma, law=law):
            x0, noise, w = density.joint_nodes(alpha, sigma, h)
            times = np.full(len(x0), t)
            error = w @ ((model(alpha * x0 + sigma * noise, times) - noise) ** 2).sum(axis=1)
            options = dict(predicts="eps", half=False, sample_weight=w)
            score = ops.dsm_process(model, process, x0, times, noise, "sigma2", **options)
            return {
                "plain": error,
                "twice": error / sigma**2,
                "score": score,
                "explicit": _explicit(ops, _of_noise(model, sigma), law, sigma, h, t),
            }

        value, bound = refined(sums, 0.6, finest=FINEST[d])
        plain, twice, score, explicit = (float(value[k]) for k in ("plain", "twice", "score", "explicit"))
        slack, case = (
            bound["plain"] / sigma**2 + 2 * bound["explicit"] + bound["score"],
            f"{type(process).__name__} t = {t}, d = {d}",
        )
        gap = (1 / sigma**2 - 1) * sigma**2 * 2 * explicit
        yield refuted(f"eps-form as written, {case}", twice, score, gap, slack, 1 + twice)
        yield Comparison(f"1/sigma^2 once, {case}", score, plain, bound["plain"] + bound["score"], 1 + plain)
        rows.append((case, sigma, score, twice, plain))
    columns = ("case", "sigma_t", "score loss, lambda = sigma_t^2", "eps-form of [a]", "plain eps error")
    yield Table("The eps-form of [a] with lambda = sigma_t^2", columns, rows)


@identity(
    id="X2",
    systems=("X2", "B14"),
    title="[a] writes an expectation over t for an integral over [0, T]: they differ by the factor T",
    statement=r"\int_0^T \lambda(t)J(t)\,dt = T\,E_{t\sim U(0,T)}\lambda(t)J(t)",
    source="[a, sec. 3, 'pure noise prediction MSE']",
    method="one loss on nodes of (time, data, noise) vs the mean over times of explicit losses",
    catches=("dsm_integrated_without_length", "dsm_integrated_weight_squared", "esm_without_half", "score_sign"),
)
def factor_of_time(ops, seed):
    """lambda = sigma^2 on [t_0, T] with T - t_0 below, at and above 1: only at 1 is the source right."""
    process, density, model, rows = OU(0.7, 1.3), mixture(1), random_network(1, seed, takes_time=True), []
    u, v = np.polynomial.legendre.leggauss(24)
    for start, stop in ((0.2, 0.75), (0.2, 1.2), (0.2, 2.2)):
        times = start + (stop - start) * (u + 1) / 2

        def sums(h, start=start, stop=stop, times=times):
            levels = [_levels(ops, process, t) for t in times]
            parts = [density.joint_nodes(alpha, sigma, h) for alpha, sigma in levels]
            x0, noise = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
            t = np.repeat(times, [len(p[0]) for p in parts])
            w = np.concatenate([c / 2 * p[2] for c, p in zip(v, parts, strict=True)])
            explicit = 0.0
            for (alpha, sigma), t_k, c in zip(levels, times, v, strict=True):
                explicit += c / 2 * sigma**2 * _explicit(ops, model, ops.corrupted(density, alpha, sigma), sigma, h, t_k)
            whole = ops.dsm_integrated(model, process, x0, t, noise, "sigma2", t_min=start, t_max=stop, sample_weight=w)
            return {"integral": whole, "mean": explicit}

        value, bound = refined(sums, 0.5, finest=0.05)
        integral, mean, length = float(value["integral"]), float(value["mean"]), stop - start
        case, slack = f"t from {start} to {stop}", bound["integral"] + length * bound["mean"]
        if abs(length - 1) > 0.1:
            yield refuted(f"E_t for the integral, {case}", integral, mean, (length - 1) * mean, slack, 1 + integral)
        yield Comparison(f"(T - t_0) E_t, {case}", integral, length * mean, slack, 1 + integral)
        rows.append((f"[{start}, {stop}]", integral, mean, integral / mean))
    yield Table("The integral over time and the expectation", ("times", "integral", "E_t", "ratio"), rows)


@identity(
    id="X5",
    systems=("X5", "B2"),
    title="[b] has the 1/2 in ESM and not in ISM: they agree up to a factor 2 AND a constant",
    statement=r"L_{ISM} = E[\|s\|^2 + 2\nabla\cdot s] = 2L_{ESM} - E\|s_p\|^2 \ \ne\ L_{ESM} + const",
    source="[b, sec. 1, 'Implicit Score Matching']",
    method="trace of the Jacobian vs explicit residual, by quadrature",
    catches=("ism_trace_doubled", "ism_square_without_half", "ism_trace_sign", "esm_without_half"),
)
def ism_twice_esm(ops, seed):
    """Differences between models, in which every constant drops out: ISM's are twice ESM's; gradients too."""
    rows = []
    for d in (1, 2):
        density = mixture(d)
        models = score_models(density, seed)

        def sums(h, density=density, models=models):
            x, w = density.nodes(h)
            s = ops.score(density, x)
            out = {"fisher": w @ (s * s).sum(axis=1)}
            for name, model in models.items():
                out[f"ism {name}"], g = ops.ism(model, x, half=False, sample_weight=w, grad=True)
                out[f"esm {name}"], f = ops.esm(model, x, s, sample_weight=w, grad=True)
                if g:
                    out[f"grad ism {name}"], out[f"grad esm {name}"] = flat(g), flat(f)
            return out

        value, bound = refined(sums, 0.7, finest=FINEST[d])
        fisher = float(value["fisher"])
        for name in ("linear", "random", "trained"):
            case, ism, esm = f"{name} score, d = {d}", float(value[f"ism {name}"]), float(value[f"esm {name}"])
            away = ism - float(value["ism exact"])  # the exact score has ESM = 0 and fixes the constant
            slack, scale = bound[f"ism {name}"] + bound["ism exact"] + 2 * bound[f"esm {name}"], 1 + abs(ism) + abs(esm)
            yield refuted(f"ISM = ESM + const, {case}", away, esm, esm, slack, scale)
            yield Comparison(f"ISM = 2 ESM - E||s_p||^2, {case}", ism, 2 * esm - fisher, slack + bound["fisher"], scale)
            left, right = value[f"grad ism {name}"], 2 * value[f"grad esm {name}"]
            slack = bound[f"grad ism {name}"] + 2 * bound[f"grad esm {name}"]
            yield Comparison(f"gradient of ISM is twice ESM's, {case}", left, right, slack, 1 + np.abs(right).max())
            rows.append((d, name, ism, esm, ism - esm, ism - 2 * esm))
    yield Table("ISM and ESM as [b] states them", ("d", "score", "L_ISM", "L_ESM", "L_ISM - L_ESM", "L_ISM - 2 L_ESM"), rows)


@identity(
    id="X9",
    systems=("X9", "B13"),
    title="[b] calls the noise-prediction loss proportional to DSM: it is, with the weight 1 - alpha-bar_t, and not without",
    statement=r"E\|\epsilon - \epsilon_\theta\|^2 = (1-\bar\alpha_t)\,E\|s - \nabla\log p(x_t|x_0)\|^2,\quad "
    r"s = -\epsilon_\theta/\sqrt{1-\bar\alpha_t}",
    source="[b, sec. 2, 'Noise-Conditional Score Learning']; Ho et al. 2020, eq. 14",
    method="noise-prediction loss on nodes of (data, noise) vs explicit losses of the marginals at two times",
    catches=("ddpm_simple_with_half", "ddpm_simple_score_loss", "ddpm_simple_mean_over_dims", "esm_without_half", "score_sign"),
)
def proportional_to_dsm(ops, seed):
    """The ratio of the two losses at two times would be one number if they were proportional."""
    rows = []
    for d in (1, 2):
        density, model, process = mixture(d), random_network(d, seed, takes_time=True), VP()
        found = []
        for t in (0.3, 0.5):
            alpha, sigma = _levels(ops, process, t)
            law = ops.corrupted(density, alpha, sigma)

            def sums(h, t=t, alpha=alpha, sigma=sigma, law=law, density=density, model=model, process=process):
                x0, noise, w = density.joint_nodes(alpha, sigma, h)
                simple = ops.ddpm_simple(model, process, x0, np.full(len(x0), t), noise, sample_weight=w)
                return {"simple": simple, "score": 2 * _explicit(ops, _of_noise(model, sigma), law, sigma, h, t)}

            value, bound = refined(sums, 0.6, finest=FINEST[d])
            found.append((sigma**2, float(value["simple"]), float(value["score"]), bound["simple"], bound["score"]))
            case = f"d = {d}, t = {t}"
            yield Comparison(
                f"weight 1 - alpha-bar, {case}",
                *found[-1][1:2],
                sigma**2 * found[-1][2],
                bound["simple"] + sigma**2 * bound["score"],
                1 + found[-1][1],
            )
            rows.append((d, t, sigma**2, *found[-1][1:3], found[-1][1] / found[-1][2]))
        (v0, a0, b0, ea0, eb0), (v1, a1, b1, ea1, eb1) = found
        slack = ea0 * b1 + a0 * eb1 + ea1 * b0 + a1 * eb0 + (v0 + v1) * (eb0 * b1 + b0 * eb1)
        yield refuted(f"one ratio for all times, d = {d}", a0 * b1, a1 * b0, (v0 - v1) * b0 * b1, slack, 1 + a0 * b1)
    columns = ("d", "t", "1 - alpha-bar", "E||eps - eps_theta||^2", "E||s - target||^2", "ratio")
    yield Table("Noise prediction beside the score loss", columns, rows)


@identity(
    id="X10",
    systems=("X10", "B9"),
    title="[c] writes the kernel's score as -eps/sigma^2 for x' = x + sigma eps: it is -eps/sigma",
    statement=r"\nabla_{x'}\log p(x'|x,\sigma) = -(x'-x)/\sigma^2 = -\epsilon/\sigma \ \ne\ -\epsilon/\sigma^2",
    source="[c, 'Noise conditioned score network', loss function]",
    method="conditional score vs complex step of the kernel's logarithm; loss with either target vs explicit losses",
    catches=("conditional_score_sign", "conditional_score_over_sigma", "dsm_target_sign", "dsm_without_half", "score_sign"),
)
def target_over_sigma_squared(ops, seed):
    """The kernel's score itself, and what a model learns from the wrong target: the score divided by sigma."""
    rng, rows = np.random.default_rng((seed, 10)), []
    for process, t, d in CASES:
        alpha, sigma = _levels(ops, process, t)
        x0, eps = rng.standard_normal((2, 6, d))
        xt = alpha * x0 + sigma * eps
        found = ops.conditional_score(process, xt, x0, t)

        def kernel(z, x0=x0, alpha=alpha, sigma=sigma):
            return -((z - alpha * x0) ** 2).sum(axis=1) / (2 * sigma**2)

        steps = np.stack([_plain.directional(kernel, xt, e) for e in np.eye(d)], axis=1)
        size, case = (1 + np.abs(xt).max()) / sigma**2, f"{type(process).__name__} t = {t}, d = {d}"
        yield Comparison(f"-eps/sigma, {case}", found, -eps / sigma, 32 * EPS * size, size)
        yield refuted(f"-eps/sigma^2, {case}", -eps / sigma**2, found, -eps / sigma**2 - steps, 64 * EPS * size, size)
    for d, sigma in ((1, 0.5), (2, 0.8)):
        density, model = mixture(d), random_network(d, seed)
        law = ops.corrupted(density, 1.0, sigma)

        def sums(h, density=density, model=model, sigma=sigma, law=law):
            x0, noise, w = density.joint_nodes(1.0, sigma, h)
            right = ops.dsm(model, x0, sigma, noise, sample_weight=w)
            gap = model(x0 + sigma * noise) + noise / sigma**2
            return {
                "right": right,
                "wrong": 0.5 * (w @ (gap * gap).sum(axis=1)),
                "explicit": _explicit(ops, model, law, sigma, h),
                "scaled": _explicit(ops, _times(model, sigma), law, sigma, h) / sigma**2,
            }

        value, bound = refined(sums, 0.6, finest=FINEST[d])
        right, wrong, explicit, scaled = (float(value[k]) for k in ("right", "wrong", "explicit", "scaled"))
        slack, case = sum(bound.values()), f"d = {d}, sigma = {sigma}"
        yield Comparison(f"target -z/sigma, {case}", right, explicit, slack, 1 + right)
        yield refuted(f"loss with target -z/sigma^2, {case}", wrong, right, scaled - explicit, slack, 1 + wrong)
        rows.append((case, right, wrong, scaled))
    columns = ("case", "loss, target -z/sigma", "loss, target -z/sigma^2", "(J_ESM(sigma s) + C)/sigma^2")
    yield Table("The wrong target fits the score divided by sigma", columns, rows)


@identity(
    id="X15",
    systems=("X15", "C2"),
    title="[d] says the weight 1/(2 sigma^2) ensures accuracy at all scales: it lets the smallest sigma dominate; sigma^2 balances",
    statement=r"\lambda = 1:\ \text{share of level } i = \sigma_i^{-2}/\textstyle\sum_j\sigma_j^{-2};\quad "
    r"\lambda = \sigma^2:\ 1/L "
    r"\quad\text{(at } \epsilon_\theta = 0\text{)}",
    source="[d, 'Critical Properties', 1]; [e, 'Use lambda(sigma) = sigma^2']",
    method="loss level by level on nodes of the noise vs shares in closed form",
    catches=("ncsn_weight_inverted", "ncsn_without_half", "ncsn_sum_over_levels", "ncsn_noise_over_sigma_squared"),
)
def smallest_level_dominates(ops, seed):
    """A ladder of ratio 2; a network that predicts no noise, where all of the loss is still to be learnt."""
    rows, d = [], 3
    z, w = np.polynomial.hermite_e.hermegauss(4)
    noise = np.stack(np.meshgrid(z, z, z, indexing="ij"), axis=-1).reshape(-1, d)
    weights = np.einsum("i,j,k->ijk", w, w, w).ravel() / w.sum() ** 3
    x0 = np.random.default_rng((seed, 15)).standard_normal((len(noise), d))
    for count in (2, 5, 10):
        sigmas = 1.3 * 0.5 ** np.arange(count)
        shares = {}
        for weight, canonical in (("one", d / (2 * sigmas**2)), ("sigma2", np.full(count, d / 2))):
            each = np.array(
                [
                    ops.ncsn(_nothing, x0, sigmas, np.full(len(x0), i), noise, weight=weight, sample_weight=weights)
                    for i in range(count)
                ]
            )
            whole = ops.ncsn(_nothing, x0, sigmas, None, np.stack([noise] * count), weight=weight, sample_weight=weights)
            size = canonical.max()
            yield Comparison(f"levels alone, weight {weight}, L = {count}", each, canonical, 256 * EPS * size, size)
            yield Comparison(f"all levels, weight {weight}, L = {count}", whole, canonical.mean(), 256 * EPS * size, size)
            shares[weight] = each / each.sum()
        predicted = sigmas**-2.0 / (sigmas**-2.0).sum()
        yield refuted(
            f"1/(2 sigma^2) balances, L = {count}", shares["one"], np.full(count, 1 / count), predicted - 1 / count, 512 * EPS
        )
        yield Comparison(f"sigma^2 balances, L = {count}", shares["sigma2"], np.full(count, 1 / count), 512 * EPS)
        rows.append((count, float(sigmas[-1]), float(shares["one"][-1]), float(shares["one"][0]), 1 / count))
    columns = ("L", "smallest sigma", "its share, 1/(2 sigma^2)", "share of the largest", "every share, sigma^2")
    yield Table("What a level contributes to the loss of a network that predicts no noise", columns, rows)


def _nothing(x, sigma):
    return np.zeros_like(x)


@identity(
    id="X18",
    systems=("X18", "B9"),
    title="[e] leaves out the index i of s(x~_i) in the minibatch estimate: then nothing ties the score to its point",
    statement=r"E\tfrac12\|s(\tilde x') + z/\sigma\|^2 - E\tfrac12\|s(\tilde x) + z/\sigma\|^2 = -E_{q_\sigma}\mathrm{tr}\,Ds "
    r"\quad(\tilde x' \text{ not of } z)",
    source="[e, denoising score matching, 'sample a minibatch of perturbed datapoints']",
    method="losses on nodes with the model at its own and at another point vs the exact trace on the corrupted law",
    catches=("dsm_target_sign", "dsm_without_half", "divergence_without_slopes", "dsm_noise_scaled_by_variance"),
)
def index_left_out(ops, seed):
    """With one s(x~) for all i the cross term averages to zero, so that s = 0 is the minimiser."""
    rows = []
    for d, sigma in ((1, 0.5), (2, 0.8)):
        density, model = mixture(d), random_network(d, seed)
        law = ops.corrupted(density, 1.0, sigma)

        def sums(h, density=density, model=model, sigma=sigma, law=law, d=d):
            x0, noise, w = density.joint_nodes(1.0, sigma, h)
            x, v = _textbook.nodes(law, h)
            square, trace = v @ (model(x) ** 2).sum(axis=1), v @ ops.divergence(model, x)
            return {
                "right": ops.dsm(model, x0, sigma, noise, sample_weight=w),
                "apart": 0.5 * (square + d / sigma**2),
                "trace": trace,
            }

        value, bound = refined(sums, 0.6, finest=FINEST[d])
        right, apart, trace = (float(value[k]) for k in ("right", "apart", "trace"))
        slack, case = sum(bound.values()), f"d = {d}, sigma = {sigma}"
        yield refuted(f"s(x~) without its index, {case}", apart, right, -trace, slack, 1 + apart)
        yield Comparison(f"s(x~_i), {case}", right, apart + trace, slack, 1 + apart)
        rows.append((case, right, apart, -trace))
    yield Table("The minibatch loss with and without the index", ("case", "s(x~_i)", "s(x~)", "difference: -E tr Ds"), rows)
