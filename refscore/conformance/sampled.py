r"""Samplers as black boxes: their output against an exact law, by the probability integral transform.

For rows x of the law F the numbers z = Phi^{-1}(F_u(u.x)) are N(0, 1) in every direction u, and then all of
`refscore.conformance.chance.standard_normal` applies: mean, variance, dependence of rows, shape. The law is that of

    a chain of N indices    DDPM with either variance, or DDIM without noise: what N steps from N(0, I) make, exactly
    anything else           data corrupted at t_min, as the contract wants it

A sampler that discretises has a bias, and its steps are its own. How large a bias may be is computed: that of the reverse SDE in
`STEPS` steps, by Euler-Maruyama and by the exponential integrator, in mean, variance and distribution. What deviates by chance
only passes; what deviates by no more than such a bias is inconclusive, and its size is said; so is what agrees with DDIM on every
k-th index of a chain (`STRIDES`), for it may be what is meant; the rest fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy import special

from refscore.conformance import reproducer_random
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.chance import LIKELIEST, SAME, Finding, far_from, kolmogorov, radius, seed_of, share, standard_normal
from refscore.conformance.diagnosis import Equals
from refscore.conformance.generating import denser_below, span
from refscore.conformance.judge import rungs_of
from refscore.conformance.ladders.generating import SHORT
from refscore.conformance.ladders.setting import Rung
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import Operation
from refscore.conformance.reference import Reference
from refscore.conformance.verdict import Check
from refscore.densities import Gaussian, GaussianMixture, Product
from refscore.laws.law import law_with_error
from refscore.processes import DDPM, MarginalScore
from refscore.samplers import ddim, ddpm, probability_flow, reverse_sde

STEPS = 100
FINE = 2000
"""Steps after which more of them change nothing."""
WIDE = 0.2
"""Of the variance of noise at T: of Gaussian data this wide it shows where a sampler starts."""
STRIDES = (100, 50, 25, 20, 10, 5, 4, 2)
MOST = 250
"""Steps of DDIM on every k-th index, from 5 to so many, that are tried as an explanation."""
FARTHEST = 8.0
NEAR = 0.1
"""Distance in distribution within which nothing else is tried for what a mixture has to return."""
REPEATED = 0.01


@dataclass(frozen=True)
class Law:
    """What is drawn from: distribution functions along directions (columns of ``directions``), of a name.

    ``coarse`` are (chain, initial) of `STEPS` steps whose distance from it is a bias, and no mistake.
    """

    name: str
    density: Any
    directions: np.ndarray
    coarse: tuple = ()

    @classmethod
    def of(cls, name: str, density: Any, coarse: tuple = ()) -> Law:
        """In all `directions` where these are computed; of a product along its axes."""
        along = directions(density.dim)
        if isinstance(density, Product):
            along = np.eye(density.dim) if density.axes is None else density.axes
        return cls(name, density, along, coarse)

    def cdf(self, k: int, values: np.ndarray) -> np.ndarray:
        """The distribution function of u_k.x."""
        if isinstance(self.density, Product):
            return self.density.factors[k].cdf(values[:, None])
        if self.density.dim == 1:
            return self.density.cdf(values[:, None])
        u = self.directions[:, k]
        p = self.density
        return GaussianMixture(p.weights, (p.means @ u)[:, None], _along(p, u)).cdf(values[:, None])

    def normal(self, x: np.ndarray, k: int) -> np.ndarray:
        """z, (n, 1), of rows x in direction k."""
        F = self.cdf(k, x @ self.directions[:, k])
        return np.clip(special.ndtri(F), -FARTHEST, FARTHEST)[:, None]

    def tests(self, x: np.ndarray, budget: float, likeliest: float = LIKELIEST) -> list[Finding]:
        """Whether rows x are drawn from it; ``likeliest`` as in `refscore.conformance.chance.repeats`."""
        count = self.directions.shape[1]
        return [replace(f, name=f.name.replace("column 0", "z") + f" along {np.round(self.directions[:, k], 2).tolist()}")
                for k in range(count) for f in standard_normal(self.normal(x, k), budget / count, likeliest)]


def _along(p: GaussianMixture, u: np.ndarray) -> np.ndarray:
    """Variances of the components along u."""
    covs = np.asarray(p.covs, dtype=np.float64)
    if covs.ndim == 1:
        return covs * (u @ u)
    return covs @ u**2 if covs.ndim == 2 else np.einsum("i,kij,j->k", u, covs, u)


def directions(d: int) -> np.ndarray:
    """Columns u: the axes, sums and differences of two."""
    if d == 1:
        return np.ones((1, 1))
    return np.array([[1.0, 0.0], [0.0, 1.0], [np.sqrt(0.5), np.sqrt(0.5)], [np.sqrt(0.5), -np.sqrt(0.5)]]).T


def judged(operation: Operation, candidate: Candidate, seed: int) -> Check:
    """The verdict on ``sample``."""
    rungs = rungs_of(operation, candidate)
    candidate.assume(partial(_from_data, candidate, rungs[0], seed), NEAR)
    drawn = []
    notes = []
    for rung in rungs:
        answer, note = _drawn(candidate, rung, seed_of(seed, f"sample, {rung.name}"))
        if answer.values is None:
            return _problem(operation, candidate, rung, answer)
        drawn.append(answer.values[0])
        notes += [note] if note else []
    said, worst, failing, equal, names, scripts, compared = [], 0.0, [], [], set[str](), [], []
    outcome = "pass"
    for rung, x in zip(rungs, drawn, strict=True):
        found = Compared.of(candidate, rung, x, share() / len(rungs))
        compared.append(found)
        outcome = max(outcome, found.outcome, key=("pass", "inconclusive", "fail").index)
        worst = max(worst, found.distance)
        said.append(f"{rung.name}: {found.said}")
        if found.outcome == "pass":
            names.add(found.law.name)
        if found.outcome == "fail":
            failing.append(rung.name)
            scripts.append(found.script)
    some = on_some_indices(candidate.process, rungs, drawn, share() / len(rungs)) if outcome == "fail" else ""
    if some:
        outcome, failing, scripts = "inconclusive", [], []
        said = [f"as far as can be seen this is {some}; take all of them, and it is judged"]
    if outcome == "fail":
        failed = {r.name: found for r, found in zip(rungs, compared, strict=True) if found.outcome == "fail"}
        equal = _equal(candidate, rungs, drawn, failed)
        said += [f"as {e.mistake} would give: {e.text}" for e in equal]
    message = "; ".join([*dict.fromkeys(notes), *said])
    limit = radius(len(drawn[0]), share() / len(rungs))
    return Check(operation.name, operation.name, outcome, operation.category, worst, limit, tuple(equal),
                 failing[0] if failing else "", message, scripts[0] if scripts else "", rungs=len(rungs), failing=tuple(failing))


def _from_data(candidate: Candidate, rung: Rung, seed: int) -> float | None:
    """How far the draws are from the data, in distribution; inf where there are none, None where it is no use to ask again."""
    answer, _ = _drawn(candidate, rung, seed_of(seed, f"sample, {rung.name}"))
    if answer.values is None:
        return None if answer.hopeless else np.inf
    law, x = Law.of("", rung.arguments["model"].density), answer.values[0].astype(np.float64)
    return max(kolmogorov(x @ u, partial(law.cdf, k), share()).found for k, u in enumerate(law.directions.T))


def _drawn(candidate: Candidate, rung: Rung, seed: int) -> tuple[Answer, str]:
    """Rows of two seeds, one below the other; and a word about the seed."""
    a = rung.arguments
    n, d = a["n"], a["model"].dim
    parts = []
    for s in (seed, far_from(seed)):
        answer = candidate.call("sample", {**a, "seed": s}, [np.empty((n, d))])
        if answer.values is None:
            return answer, ""
        parts.append(answer.values[0])
    if np.array_equal(parts[0], parts[1]):
        return Answer(None, SAME, "not finite"), ""
    if rung.arguments["model"].dim == 1:  # asked once is enough
        return Answer([np.concatenate(parts)]), ""
    few = [candidate.call("sample", {**a, "n": 5, "seed": seed}, [np.empty((5, d))]) for _ in range(2)]
    for answer in few:
        if answer.values is None:
            return answer, ""
    first, again = (answer.values[0].astype(np.float64) for answer in few if answer.values is not None)
    same = np.abs(first - again).max() <= 1e-4 * np.abs(first).max()
    repeated = 1 - len(np.unique(parts[0], axis=0)) / n
    if repeated > REPEATED:
        return Answer(None, f"{100 * repeated:.0f} % of the rows are copies of others: draw every row for itself", "not finite"), ""
    return Answer([np.concatenate(parts)]), "" if same else "the seed is ignored: the same seed gives other rows"


def _problem(operation: Operation, candidate: Candidate, rung: Rung, answer: Answer) -> Check:
    if answer.kind == "unsupported":
        return Check(operation.name, operation.name, "unsupported", operation.category, message=answer.problem)
    outcome = "fail" if answer.kind in ("shape", "not finite") else "error"
    return Check(operation.name, operation.name, outcome, operation.category, first_failing_rung=rung.name,
                 message=f"on rung '{rung.name}': {answer.problem}", reproducer=_script(candidate, rung, answer.problem))


def _script(candidate: Candidate, rung: Rung, problem: str) -> str:
    """That of draws which are none: the middle of the law stands for it."""
    law = next(laws(candidate, rung))
    u = law.directions[:, 0]
    return reproducer_random.draws(rung, candidate.process, _start(candidate), u, float(law.density.mean @ u), problem)


def _start(candidate: Candidate) -> float:
    """t_min; of a chain its number of steps, or 0 where the data's law is as good."""
    process = candidate.process
    if isinstance(process, DDPM):
        return float(len(process)) if len(process) <= SHORT else 0.0
    return span(process, candidate.conventions)[0]


@dataclass(frozen=True)
class Compared:
    """The rows of one rung beside the laws that they may have."""

    law: Law
    outcome: str
    distance: float
    said: str
    script: str = ""

    @classmethod
    def of(cls, candidate: Candidate, rung: Rung, x: np.ndarray, budget: float) -> Compared:
        """The first law that they agree with; else the first, with what of the deviation a discretisation explains."""
        eps = candidate.declared_eps or (float(np.finfo(x.dtype).eps) if x.dtype.kind == "f" else 1.0)
        tried = []
        for law in laws(candidate, rung):
            tests = law.tests(x.astype(np.float64), budget, max(LIKELIEST, 8 * eps))
            if not any(t.alarm for t in tests):
                widest = max((t for t in tests if t.name.startswith("distribution")), key=lambda t: t.found)
                return cls(law, "pass", widest.found, f"the law is {law.name} as far as can be seen ({widest})")
            tried.append((law, tests))
        for law, tests in tried:
            if law.coarse and not beyond(law, tests):
                why = f"no more than the bias of {STEPS} steps: take more of them, or nothing can be decided"
                return cls(law, "inconclusive", _distance(tests), f"not {law.name}: {_worst(tests)}; {why}")
        law, tests = tried[0]
        told = _worst(beyond(law, tests))
        shown = _shown(candidate, rung, law, x.astype(np.float64), told)
        return cls(law, "fail", _distance(tests), f"not {law.name}: {told}; no bias of {STEPS} steps explains it", shown)


def _distance(tests: list[Finding]) -> float:
    return max(t.found for t in tests if t.name.startswith("distribution"))


def _worst(tests: list[Finding]) -> Finding:
    return max((t for t in tests if t.alarm), key=lambda t: t.found / t.limit)


def beyond(law: Law, tests: list[Finding]) -> list[Finding]:
    """The alarms that no bias explains."""
    allowed = bias(law, {t.name: t.at for t in tests if t.name.startswith("tails")})
    return [t for t in tests if t.alarm and t.found - t.limit > allowed.get(t.name, allowed.get(t.name.split()[0], 0.0))]


def _shown(candidate: Candidate, rung: Rung, law: Law, x: np.ndarray, told: Finding) -> str:
    """The script of where the distribution is furthest off; of what else was found, where it is not."""
    found = [kolmogorov(x @ u, partial(law.cdf, k), told.level) for k, u in enumerate(law.directions.T)]
    k = int(np.argmax([f.found for f in found]))
    f, u = found[k], law.directions[:, k]
    if not f.alarm:
        return reproducer_random.uniform(rung, told)
    at = f.at if (x @ u <= f.at).mean() == f.got else float(np.nextafter(f.at, -np.inf))  # F_n jumps there
    return reproducer_random.draws(rung, candidate.process, _start(candidate), u, at, f.got, f.limit)


def laws(candidate: Candidate, rung: Rung) -> Iterator[Law]:
    """The data's law and what noise at T becomes; of a chain, one after the other, the exact laws of what may have run."""
    spec, process = rung.arguments["model"], candidate.process
    if not isinstance(process, DDPM):
        yield from _continuous(process, spec, *span(process, candidate.conventions))
        return
    if len(process) > SHORT:
        yield Law.of("that of the data", spec.density)
    score, normal = MarginalScore(process, spec.density), Gaussian(np.zeros(spec.dim), np.eye(spec.dim))
    chains = {"that of ddpm with variance beta": lambda: ddpm(process, score, "beta", predicts="score"),
              "that of ddpm with variance beta_tilde, and of ddim with eta = 1": lambda: ddpm(process, score, "beta_tilde",
                                                                                            predicts="score"),
              "that of ddim with eta = 0": lambda: ddim(process, score, None, 0.0, predicts="score")}
    for name, chain in chains.items():
        yield Law.of(name, law_with_error(chain(), normal)[0])


def on_some_indices(process: Any, rungs: list[Rung], drawn: list[np.ndarray], budget: float) -> str:
    """DDIM on some of a chain's indices, with its first or without, and to 0 in the end, if that explains all that was drawn."""
    if not isinstance(process, DDPM):
        return ""
    last = len(process)
    for k in (k for k in STRIDES if last % k == 0 and 5 * k <= last <= MOST * k):
        for first, eta in product((last, last + 1 - k), (0.0, 1.0)):
            indices = np.append(np.arange(first, 0, -k), 0)
            if all(_drawn_on(indices, eta, process, rung.arguments["model"].density, x, budget) for rung, x in zip(rungs, drawn)):
                shown = f"{indices[0]}, {indices[1]}, ..., {indices[-2]}"
                return f"ddim with eta = {eta:g} on the {last // k} indices {shown} of {last}"
    return ""


def _drawn_on(indices: np.ndarray, eta: float, process: DDPM, density: Any, x: np.ndarray, budget: float) -> bool:
    """Whether x may be drawn by DDIM on these indices."""
    chain = ddim(process, MarginalScore(process, density), indices, eta, predicts="score")
    law = law_with_error(chain, Gaussian(np.zeros(density.dim), np.eye(density.dim)))[0]
    return not any(t.alarm for t in Law.of("", law).tests(x.astype(np.float64), budget))


def bias(target: Law, tails: dict[str, float]) -> dict[str, float]:
    """How far off the coarse steps of a law are in z: mean, variance, distribution and ``tails``; without any, not at all."""
    worst = dict.fromkeys(("mean", "variance", "distribution", *tails), 0.0)
    for chain, initial in target.coarse:
        made = Law("", law_with_error(chain, initial)[0], target.directions)
        for k in range(target.directions.shape[1]):
            centre, width = float((target.density.mean @ target.directions)[k]), float(np.sqrt(target.density.cov.max()))
            at = centre + 12 * width * np.linspace(-1, 1, 8001)
            F, G = made.cdf(k, at), target.cdf(k, at)
            z = np.clip(special.ndtri((G[1:] + G[:-1]) / 2), -FARTHEST, FARTHEST)
            mean, square = float(np.diff(F) @ z), float(np.diff(F) @ z**2)
            off = {"mean": abs(mean), "variance": abs(square - 1) + mean**2, "distribution": float(np.abs(F - G).max()),
                   **{name: abs(float((np.diff(F) - np.diff(G))[np.abs(z) > q].sum())) for name, q in tails.items()}}
            worst = {name: max(value, off[name]) for name, value in worst.items()}
    return worst


def _continuous(process, spec, start: float, end: float) -> Iterator[Law]:
    """What becomes of N(0, sigma_T^2 I): the data, as nearly as can be seen, or what the flow makes of it; where it shows also what
    the reverse SDE makes.
    """
    score, sigma, d = MarginalScore(process, spec.density), float(process.sigma(end)), spec.dim
    initial = Gaussian(np.zeros(d), sigma**2 * np.eye(d))
    times = np.linspace(end, max(start, 1e-3 * end), STEPS + 1)
    sde = tuple((reverse_sde(process, score, times, scheme), initial) for scheme in ("euler_maruyama", "exponential"))
    fine: tuple[Any, Gaussian] = probability_flow(process, score).steps(denser_below(start, end, 40), "rk4"), initial
    flow = "that of the probability flow from N(0, sigma_T^2 I)"
    data = Law.of("that of the data at t_min", process.marginal(spec.density, start), (*sde, fine))
    if len(spec.arrays["weights"]) > 1 or float(spec.density.cov.max()) * process.alpha(end) ** 2 < WIDE * sigma**2:
        yield data
        yield Law.of(flow, law_with_error(*fine)[0])
        return
    exact = reverse_sde(process, score, denser_below(start, end, FINE), "exponential"), initial
    yield Law.of("that of the reverse SDE from N(0, sigma_T^2 I)", law_with_error(*exact)[0], sde)
    coarse = probability_flow(process, score).steps(times, "euler"), initial
    yield Law.of(flow, law_with_error(*fine)[0], (coarse,))
    yield replace(data, coarse=())


def _equal(candidate: Candidate, rungs: list[Rung], drawn: list[np.ndarray], failed: dict[str, Compared]) -> list[Equals]:
    """The mistakes whose draws cannot be told from the candidate's, in any direction, and can be from what failed says is right."""
    known = {k: v for k, v in candidate.conventions.items() if k in ("t_min", "t_max", "variance")}
    reference = Reference(candidate.process, known)
    found = []
    for m in (m for m in CATALOGUE.values() if m.operation == "sample"):
        far = False
        for rung, x in sorted(zip(rungs, drawn, strict=True), key=lambda pair: pair[0].name not in failed):
            try:
                with np.errstate(all="ignore"):
                    y = m.function(reference, reference.model(rung.arguments["model"]), len(x), 12345)
            except Exception:  # a mistake need not be defined everywhere
                far = True
                break
            u = directions(x.shape[1])
            limit = radius(len(x), 1e-3) + radius(len(y), 1e-3)
            apart = [_two_samples((x @ u)[:, k], (y @ u)[:, k]) for k in range(u.shape[1])] if np.isfinite(y).all() else [1.0]
            law = failed[rung.name].law if rung.name in failed else None
            right = max(kolmogorov(y @ v, partial(law.cdf, k), 1e-3).found for k, v in enumerate(u.T)) if law else np.inf
            far = max(apart) > limit or right <= radius(len(y), 1e-3)
            if far:
                break
        if not far:
            found.append(Equals(m.name, 2, f"{m.wrong}, where {m.right} belongs", m.legitimate, m.shared))
    return found


def _two_samples(x: np.ndarray, y: np.ndarray) -> float:
    """sup |F_x - F_y| of the empirical distribution functions."""
    at = np.concatenate([x, y])
    F, G = (np.searchsorted(np.sort(values), at, "right") / len(values) for values in (x, y))
    return float(np.abs(F - G).max())
