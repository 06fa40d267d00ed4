r"""Steps that draw their own noise: what chance has no part in is computed, and the noise alone is judged by statistics.

A step is mean(model, x) + kick, where the kick depends on the seed and on the shape, and not on the model or the state. So

    f(model, x, seed) - f(0, 0, seed)  =  mean(model, x)        the drift, to rounding: common random numbers
    f(0, 0, seed)                      =  c z                   the noise by itself, z ~ N(0, I) to be tested

and the drift is judged as if noise were an argument, conventions and mistakes included. (Many steps in one, annealed Langevin
dynamics, are linear in the noise only for models that are affine in x: there f(A x + b, x) - f(A x, 0).) Of the noise all is
known but z itself: `refscore.conformance.chance.standard_normal` asks for its mean, covariance, dependence and shape.

Where the same seed does not give the same noise nothing can be subtracted. Then z = (f - mean)/c is tested as a whole, and a
wrong drift shows as a wrong mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refscore.conformance import conventions, reproducer_random
from refscore.conformance.candidate import Answer, Candidate
from refscore.conformance.chance import LIKELIEST, SAME, Finding, batches, far_from, ratio, seed_of, share, standard_normal
from refscore.conformance.diagnosis import Equals, agreement, mistaken
from refscore.conformance.judge import SINGLE, Climb, rungs_of
from refscore.conformance.ladders.setting import Rung, linear, nothing, points
from refscore.conformance.mistakes import CATALOGUE
from refscore.conformance.operations import Operation
from refscore.conformance.reproducer import script
from refscore.conformance.spec import Spec
from refscore.conformance.tolerance import K
from refscore.conformance.verdict import Check, verdict

STATE = {"corrupt": "x0", "langevin_step": "x", "annealed_langevin": "x", "reverse_step": "x", "ddpm_step": "x", "ddim_step": "x"}
"""Operations that add noise, and the argument that it is added to."""
ROWS = 408_000
"""A relative error of 2 % in one entry of the covariance is then found (`chance.variance`)."""
COLUMNS = 3
CASES = 3
SEEDS = 120
BATCHES = (1, 4)
"""Rows of small batches, drawn with so many seeds (`refscore.conformance.chance.batches`)."""


@dataclass
class Subtracted(Climb):
    """A climb by common random numbers: the answers are f(model, x, seed) - f(base, 0, seed)."""

    seed: int = 0
    _raw: list[np.ndarray] = field(default_factory=list, repr=False)

    def climb(self) -> None:
        """Ask twice on every rung, with and without what is to be judged; once where no noise is wanted."""
        setting = next(conventions.possible(self.operation.name, self.operation.keys, self.candidate.conventions))
        for i, rung in self.in_order():
            whole = self.ask(rung.arguments, self.wanted(i, setting))
            noisy = _scales(self, self.right, setting, rung.arguments).any()
            kick = self.ask(self.without(rung.arguments), self.wanted(i, setting)) if noisy and whole.values is not None else whole
            if whole.values is not None and kick.values is not None:
                taken = kick.values[0] if noisy else np.zeros_like(kick.values[0])
                self._raw += [whole.values[0], taken]
                self.answers.append(Answer([whole.values[0] - taken]))
            else:
                self.answers.append(whole if whole.values is None else kick)
            if self.answers[-1].kind in ("unsupported", "slow"):
                break

    def ask(self, arguments: dict[str, Any], wanted: list[np.ndarray], seed: int | None = None) -> Answer:
        """The candidate's answer with the seed in place of the noise."""
        return self.candidate.call(self.operation.name, seeded(arguments, self.seed if seed is None else seed), wanted)

    @property
    def energies(self) -> bool:
        """Whether the candidate's models are energies."""
        return self.candidate.conventions.get("predicts") == "energy"

    def without(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The same call with nothing to move: the state 0, and of the model what multiplies the noise."""
        state = STATE[self.operation.name]
        changed = {**arguments, state: np.zeros_like(arguments[state])}
        if "model" in arguments:
            spec = arguments["model"]
            many = self.operation.name == "annealed_langevin" and spec.kind == "linear"
            arrays = {**spec.arrays, "b": np.zeros(spec.dim)}
            changed["model"] = replace(spec, arrays=arrays) if many else nothing(spec.dim, spec.takes_time, self.energies)
        return changed

    def allowed(self, i: int, setting: dict[str, Any]) -> list[np.ndarray]:
        """As ever, and the rounding of what was subtracted."""
        unit = super().allowed(i, setting)
        kick = self._raw[2 * i + 1] if self.answers[i].values is not None and len(self._raw) > 2 * i + 1 else np.zeros(1)
        return [a + K * float(np.abs(kick).max(initial=0)) for a in unit]

    @property
    def eps(self) -> float:
        """That of the numbers themselves: a difference of two may have more digits than either."""
        shown = Climb(self.operation, self.candidate, self.rungs, [Answer([v]) for v in self._raw], self.known)
        return shown.eps


def seeded(arguments: dict[str, Any], seed: int) -> dict[str, Any]:
    """The arguments with a seed at the end, in place of noise or directions."""
    return {**{name: value for name, value in arguments.items() if name not in ("noise", "v")}, "seed": seed}


def judged(operation: Operation, candidate: Candidate, seed: int) -> Check:
    """The verdict on a step that takes ``seed``."""
    climb = Subtracted(operation, candidate, [silent(operation, r) for r in rungs_of(operation, candidate)],
                       seed=seed_of(seed, operation.name))
    repeats = _repeats(climb)
    if repeats is not None and repeats.kind:
        said = "fail" if repeats.kind in ("shape", "not finite", "constant") else "error"
        said = "unsupported" if repeats.kind == "unsupported" else said
        shown = "" if said == "unsupported" else _without_answer(climb, climb.rungs[0], repeats)
        return Check(operation.name, operation.name, said, operation.category, message=repeats.problem, reproducer=shown)
    by_itself = repeats is None
    base = verdict(climb) if by_itself else Check(operation.name, operation.name, "pass", operation.category)
    if base.outcome != "pass":
        return replace(base, message=f"{base.message} (the noise subtracted, by common random numbers)") if base.message else base
    return Noise(climb, base, by_itself).verdict()


def _without_answer(climb: Climb, rung: Rung, answer: Answer) -> str:
    """The script of a rung, without noise, that has a problem for an answer."""
    setting = next(conventions.possible(climb.operation.name, climb.operation.keys, climb.candidate.conventions))
    return script(Climb(climb.operation, climb.candidate, [rung], [answer]), 0, setting)


def silent(operation: Operation, rung: Rung) -> Rung:
    """The rung without noise; of many steps in one with a model that is affine in x."""
    arguments = {**rung.arguments, "noise": np.zeros_like(rung.arguments["noise"])}
    if operation.name == "annealed_langevin":
        arguments["model"] = affine(arguments["model"])
    return replace(rung, arguments=arguments)


def affine(spec: Spec) -> Spec:
    """A network made constant in x, a function of the time alone; a linear model as it is.

    Of an energy the gradient is: units that x moves by less than rounding, and weights as large as these are small.
    """
    if spec.kind == "linear":
        return spec
    slope = 2.0**-60 if spec.kind == "energy_mlp" else 0.0
    arrays = {name: array.copy() for name, array in spec.arrays.items()}
    arrays["W1"][: spec.dim] *= slope
    if slope:
        arrays[f"W{len(arrays) // 2}"] /= slope
    return replace(spec, arrays=arrays)


def _repeats(climb: Subtracted) -> Answer | None:
    """None where the same seed gives the same; what is wrong where it does not, or where two seeds do."""
    setting = next(conventions.possible(climb.operation.name, climb.operation.keys, climb.candidate.conventions))
    noisy = [i for i, rung in enumerate(climb.rungs) if _scales(climb, climb.right, setting, rung.arguments).any()]
    i = max(noisy, default=0)
    arguments, wanted = climb.rungs[i].arguments, climb.wanted(i, setting)
    first, again, other = (climb.ask(arguments, wanted, s) for s in (climb.seed, climb.seed, far_from(climb.seed)))
    values = [answer.values for answer in (first, again, other) if answer.values is not None]
    if len(values) < 3:
        return next(answer for answer in (first, again, other) if answer.values is None)
    a, b, c = (v[0].astype(np.float64) for v in values)
    near = K * SINGLE * np.abs(a).max()
    if np.abs(a - b).max() > near:
        return Answer(None, "the seed is ignored: the same seed gives another result")
    if noisy and np.array_equal(a, c):
        return Answer(None, SAME, "constant")
    return None


def _scales(climb: Climb, of: Callable, setting: dict[str, Any], arguments: dict[str, Any]) -> np.ndarray:
    """The standard deviation of every entry of what ``of`` adds as noise."""
    shape = arguments["noise"].shape
    still = of(climb.reference(setting), {**arguments, "noise": np.zeros(shape)})[0]
    total = np.zeros_like(still)
    for at in np.ndindex(shape[:-2]):
        unit = np.zeros(shape)
        unit[at] = 1.0
        total += (of(climb.reference(setting), {**arguments, "noise": unit})[0] - still) ** 2
    return np.sqrt(total)


@dataclass
class Noise:
    """The statistical half of a verdict; ``by_itself`` where drift and noise have been told apart."""

    climb: Subtracted
    base: Check
    by_itself: bool

    def verdict(self) -> Check:
        """Pass under the first conventions whose noise has the right law."""
        climb = self.climb
        right = [s for s in self._settings(climb.candidate.conventions) if self._drift(s)]
        drawn = [(case, self._drawn(case, ROWS // 2, 2)) for case in self._cases(right[0])]
        small = [(case, self._drawn(case, rows, SEEDS)) for case, _ in drawn[-1:] for rows in BATCHES]
        problem = next(((case, a) for case, a in [*drawn, *small] if a.values is None), None)
        if problem is not None:
            case, answer = problem
            outcome = "fail" if answer.kind in ("shape", "not finite") else "error"
            return replace(self.base, outcome=outcome, message=answer.problem, first_failing_rung=f"noise, {case.name}",
                           reproducer=_without_answer(climb, case, answer))
        if not drawn:
            return self.base
        note = "" if self.by_itself else "the seed is ignored: the same seed gives another result; judged by statistics alone: "
        for setting in right:
            tests = [*self._tests(drawn, setting), *self._batches(small, setting)]
            if not any(t.alarm for _, t in tests):
                weakest = min((t for _, t in tests), key=lambda t: t.p)
                said = f"{note}noise of {len(drawn)} kinds, {len(tests)} tests; the nearest to an alarm: {weakest}"
                keys = tuple(k for k in climb.operation.keys if k not in climb.candidate.conventions)
                rungs = len(climb.rungs) + len(drawn)
                return replace(self.base, conventions=dict(setting), inferred=keys, message=said, rungs=rungs)
        return self._failed(drawn, small, right[0], note)

    def _failed(self, drawn, small, setting, note) -> Check:
        many, few = self._tests(drawn, setting), self._batches(small, setting)
        tests = [*many, *few]
        case, first = next((c, t) for c, t in tests if t.alarm)
        shown = reproducer_random.noise(self.climb, next(c for c, _ in drawn if c.name == case), setting, first)
        equal = self._equals(drawn, setting) if any(t.alarm for _, t in many) else []
        text = f"{note}the noise on '{case}' is wrong: {first}; {self._spread(drawn, setting)}{self._contradiction(drawn)}"
        if equal:
            text += f"; equals {equal[0].mistake}: {equal[0].text}"
        return replace(self.base, outcome="fail", first_failing_rung=f"noise, {case}", message=text, diagnosis=tuple(equal),
                       reproducer=shown, failing=tuple(dict.fromkeys(f"noise, {c}" for c, t in tests if t.alarm)))

    def _settings(self, declared: dict[str, Any]) -> list[dict[str, Any]]:
        operation = self.climb.operation
        return list(conventions.possible(operation.name, operation.keys, declared)) or [{}]

    def _drift(self, setting: dict[str, Any]) -> bool:
        climb = self.climb
        return not self.by_itself or all(climb.excess(i, setting, climb.eps) <= 1 for i in range(len(climb.answers)))

    def _cases(self, setting: dict[str, Any]) -> list[Rung]:
        """The last rungs that have noise, no two alike, in two dimensions."""
        climb, name = self.climb, self.climb.operation.name
        cases: dict[str, Rung] = {}
        for rung in climb.rungs:
            changed = dict(rung.arguments)
            rows = len(changed["t"]) if name == "corrupt" else 1
            state = np.zeros((rows, COLUMNS)) if self.by_itself else points(rows, COLUMNS)
            changed[STATE[name]], changed["noise"] = state, np.zeros((*changed["noise"].shape[:-2], rows, COLUMNS))
            if "model" in changed:
                time = changed["model"].takes_time
                still = self.by_itself or name == "annealed_langevin"
                changed["model"] = nothing(COLUMNS, time, climb.energies) if still else linear(COLUMNS, time)
                if name == "annealed_langevin" and not climb.energies:  # what shrinks tells the order of the levels
                    changed["model"] = replace(linear(COLUMNS, time), arrays={"A": -np.eye(COLUMNS), "b": np.zeros(COLUMNS)})
            key = repr([v for k, v in changed.items() if k not in ("model", "noise")])
            if _scales(climb, climb.right, setting, changed).any():
                cases.setdefault(key, Rung(rung.name.split(", ", 1)[-1], changed))
        return list(cases.values())[-CASES:]

    def _drawn(self, case: Rung, rows: int, seeds: int) -> Answer:
        """The noise of so many seeds, batches of so many rows one below the other."""
        state = STATE[self.climb.operation.name]
        arguments = {name: np.resize(v, (rows, *v.shape[1:])) if name == state or (name == "t" and np.ndim(v)) else v
                     for name, v in case.arguments.items()}
        parts = []
        for k in range(1, seeds + 1):
            answer = self.climb.ask(arguments, [np.empty((rows, COLUMNS))], self.climb.seed + k)
            if answer.values is None:
                return answer
            parts.append(answer.values[0].astype(np.float64))
        return Answer(parts)

    def _standardised(self, case: Rung, answer: Answer, setting: dict[str, Any], of: Callable) -> np.ndarray:
        """z from mean + c z, (seeds, rows, columns)."""
        z = np.stack(answer.values)  # type: ignore[arg-type]
        still = of(self.climb.reference(setting), case.arguments)[0]
        scale = _scales(self.climb, of, setting, case.arguments)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (z - np.resize(still, z.shape[1:])) / np.resize(scale, z.shape[1:])

    def _tests(self, drawn, setting) -> list[tuple[str, Finding]]:
        return [(case.name, found) for case, answer in drawn for found in self._found(case, answer, setting, self.climb.right)]

    def _batches(self, small, setting) -> list[tuple[str, Finding]]:
        """The tests of small batches, each of a seed of its own."""
        right = self.climb.right
        return [(case.name, found) for case, answer in small
                for found in self._normal(self._standardised(case, answer, setting, right), case, setting, right)]

    def _found(self, case: Rung, answer: Answer, setting: dict[str, Any], of: Callable) -> list[Finding]:
        """What is found about the noise, taken for that of ``of``."""
        return self._normal(np.concatenate(self._standardised(case, answer, setting, of)), case, setting, of)

    def _normal(self, z: np.ndarray, case: Rung, setting: dict[str, Any], of: Callable) -> list[Finding]:
        """The tests of rows z, or of small batches of them, which has fewer digits than a mean beside which c is small."""
        still, scale = of(self.climb.reference(setting), case.arguments)[0], _scales(self.climb, of, setting, case.arguments)
        beside = 1 + float(np.abs(still).max()) / max(float(scale.min()), 1e-300)
        tests = standard_normal if z.ndim == 2 else batches
        return tests(z, share() / (CASES + len(BATCHES)), beside * max(LIKELIEST, 2 * self.climb.eps))

    def _spread(self, drawn, setting) -> str:
        said = []
        for case, answer in drawn:
            z = self._standardised(case, answer, setting, self.climb.right)
            scale = float(_scales(self.climb, self.climb.right, setting, case.arguments).max())
            low, high = ratio(float((z**2).sum()), z.size, share() / CASES)
            said.append(f"{low * scale:.4g} to {high * scale:.4g}, wanted {scale:.4g} ({case.name})")
        return "its standard deviation is " + "; ".join(said)

    def _contradiction(self, drawn) -> str:
        """Which other value of a declared key the noise follows, if any."""
        declared = self.climb.candidate.conventions
        for setting in self._settings({k: v for k, v in declared.items() if k not in self.climb.operation.keys}):
            other = {k: v for k, v in setting.items() if k in declared and declared[k] != v}
            if other and self._drift(setting) and not any(t.alarm for _, t in self._tests(drawn, setting)):
                told = ", ".join(f"{k}={v!r}" for k, v in other.items())
                return f"; it follows {told}, and conventions declares {', '.join(f'{k}={declared[k]!r}' for k in other)}"
        return ""

    def _equals(self, drawn, setting) -> list[Equals]:
        """The mistakes that have this drift and this noise: N(0, 1) in their own scale, or one for all rows as theirs is."""
        found = []
        for m in CATALOGUE.values():
            if m.operation != self.climb.operation.name:
                continue

            def of(r, a, m=m):
                return mistaken(m, r, a)

            if self.by_itself and agreement(self.climb, of, setting, self.climb.eps, 0.0) is None:
                continue
            try:
                with np.errstate(all="ignore"):
                    alike = not any(t.alarm for case, answer in drawn for t in self._found(case, answer, setting, of))
                    alike = alike or all(self._one_for_all(case, answer, setting, of) for case, answer in drawn)
            except Exception:  # a mistake need not be defined everywhere
                continue
            if alike:
                found.append(Equals(m.name, 2, f"{m.wrong}, where {m.right} belongs", m.legitimate, m.shared))
        return found

    def _one_for_all(self, case: Rung, answer: Answer, setting: dict[str, Any], of: Callable) -> bool:
        """Whether all rows have the same noise, here and in ``of``."""
        z = self._standardised(case, answer, setting, self.climb.right)[0]
        if np.ptp(z, axis=0).max() > K * SINGLE * np.abs(z).max():
            return False
        state, rows = STATE[self.climb.operation.name], 3
        still = np.zeros((*case.arguments["noise"].shape[:-2], rows, COLUMNS))
        a = {k: np.resize(v, (rows, *v.shape[1:])) if k == state or (k == "t" and np.ndim(v)) else v
             for k, v in case.arguments.items()}
        kick = np.random.default_rng(0).standard_normal(still.shape)
        drawn, scale = (of(self.climb.reference(setting), {**a, "noise": noise})[0] for noise in (kick, still + 1))
        scale = scale - of(self.climb.reference(setting), {**a, "noise": still})[0]
        return bool(np.ptp(drawn / scale, axis=0).max() <= K * SINGLE * np.abs(drawn / scale).max())
