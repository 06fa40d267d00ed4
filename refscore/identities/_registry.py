"""What an identity is, and how a verdict on it is reached.

An identity is a statement whose two sides are computed by roads that share no code. It is written once, as a generator
that yields `Comparison` records (left, right, a derived bound, the scale of what is compared) and `Table` records
(numbers without a verdict, drawn where they carry a `Picture`), and it feeds the command line, the tests and the notebooks:

    @identity(id="A2", systems=("A2",), title="...", statement=r"\\nabla \\log p = ...", source="[a, sec. 2]",
              method="closed form against complex step", catches=("score_sign",))
    def gaussian_score(ops, seed):
        ...
        yield Comparison("full covariance, d = 3", left, right, bound=..., scale=...)

It passes when every comparison holds, |left - right| <= bound everywhere, and every bound is worth something,
bound <= 1e-10 scale. Not finite, shapes that differ, nothing compared, an exception: each of these fails.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore._blocks import one_blas_thread
from refscore.identities._operations import REFERENCE, Operations
from refscore.report import Outcome, Picture, Table

WEAKEST = 1e-10
"""The largest bound, relative to the scale, that counts as evidence."""

__all__ = ["Comparison", "Identity", "Picture", "Table", "evaluate", "identity", "registered"]


@dataclass(frozen=True)
class Comparison:
    """|left - right| <= bound everywhere, for quantities of size ``scale``.

    ``left`` and ``right`` have the same shape (nothing is broadcast: that would hide mistakes); ``bound`` and
    ``scale`` are numbers, or arrays that broadcast against them. ``scale`` is the size of the quantities that the
    two routes add up, so that bound/scale is the relative accuracy claimed.
    """

    case: str
    left: Any
    right: Any
    bound: Any
    scale: Any = 1.0


@dataclass(frozen=True)
class Identity:
    """One statement: what it says, where it stands, by which two routes it is checked, which mistakes it must catch.

    ``verdict=False`` is for statements that only report tables; their outcome is 'info'.
    """

    id: str
    systems: tuple[str, ...]
    title: str
    statement: str
    source: str
    method: str
    run: Callable[[Operations, int], Iterator[Comparison | Table]]
    catches: tuple[str, ...] = ()
    verdict: bool = True


registered: dict[str, Identity] = {}
"""Identities by id, filled as the modules that state them are imported; see `refscore.identities.catalogue`."""


def identity(
    *,
    id: str,
    systems: tuple[str, ...],
    title: str,
    statement: str,
    source: str,
    method: str,
    catches: tuple[str, ...] = (),
    verdict: bool = True,
) -> Callable[[Callable], Callable]:
    """Decorator: state an identity; the generator ``run(ops, seed)`` below it yields comparisons and tables."""
    if isinstance(systems, str) or isinstance(catches, str):
        raise TypeError(f"identity {id}: systems and catches are tuples of names, ('B2',) with a comma for one name")

    def register(run):
        if id in registered:
            raise ValueError(f"identity {id!r} is stated in {registered[id].run.__module__} and in {run.__module__}")
        registered[id] = Identity(id, systems, title, statement, source, method, run, catches, verdict)
        return run

    return register


def evaluate(
    identity: Identity,
    ops: Operations = REFERENCE,
    seed: int = 0,
    *,
    on_case: Callable[[str], None] | None = None,
    fail_fast: bool = False,
) -> Outcome:
    """The verdict on one identity.

    Parameters
    ----------
    ops : Operations
        What the identity calls; ``REFERENCE.replace(...)`` puts a mistake in its place.
    seed : int
        Fixes all random inputs of the identity.
    on_case : callable, optional
        Called with the name of every comparison as it is made (for a progress bar).
    fail_fast : bool
        Stop at the first comparison that does not hold.

    Exceptions raised by the identity become the outcome 'fail' with ``error=None``.
    """
    start = time.perf_counter()
    judged: list[_Judged] = []
    tables: list[Table] = []
    raised = ""
    try:
        with one_blas_thread:  # thousands of small products: BLAS's own threads would mostly wait
            for item in identity.run(ops, seed):
                if isinstance(item, Table):
                    tables.append(item)
                    continue
                if not isinstance(item, Comparison):
                    raise TypeError(f"identity {identity.id} yielded {type(item).__name__}: yield Comparison or Table")
                if on_case is not None:
                    on_case(item.case)
                judged.append(_judge(item))
                if fail_fast and judged[-1].message:
                    break
    except Exception as error:
        raised = _describe(error, judged)
    verdict, worst, message = _verdict(identity, judged, raised)
    return Outcome(
        id=identity.id,
        systems=identity.systems,
        title=identity.title,
        outcome=verdict,
        error=None if worst is None else worst.error,
        bound=None if worst is None else worst.bound,
        method=identity.method,
        seconds=time.perf_counter() - start,
        message=message,
        cases=len(judged),
        tables=tuple(tables),
        statement=identity.statement,
        source=identity.source,
    )


@dataclass(frozen=True)
class _Judged:
    """One comparison, judged: relative error and bound where it is worst, error/bound there, and why it fails."""

    case: str
    error: float
    bound: float
    excess: float
    message: str = ""


def _verdict(identity: Identity, judged: list[_Judged], raised: str) -> tuple[str, _Judged | None, str]:
    failed = [j for j in judged if j.message]
    worst = max(failed or judged, key=lambda j: j.excess, default=None)
    if raised:
        return "fail", None, raised
    if failed:
        assert worst is not None
        return "fail", worst, f"{len(failed)} of {len(judged)} cases fail; worst: {worst.message}"
    if not judged:
        if not identity.verdict:
            return "info", None, ""
        return "fail", None, "nothing was compared: the identity yielded no comparison, which is not a pass"
    return "pass" if identity.verdict else "info", worst, ""


def _judge(c: Comparison) -> _Judged:
    nan = float("nan")

    def refuse(why: str) -> _Judged:
        return _Judged(c.case, nan, nan, np.inf, f"{c.case}: {why}")

    left, right = np.asarray(c.left), np.asarray(c.right)
    if left.dtype.kind not in "fiubc" or right.dtype.kind not in "fiubc":
        return refuse(f"left and right must be numbers, not dtypes {left.dtype} and {right.dtype}")
    if left.shape != right.shape:
        return refuse(f"left has shape {left.shape}, right {right.shape}: nothing is broadcast in a comparison")
    if left.size == 0:
        return refuse("left and right are empty: nothing was compared")
    try:
        bound = np.broadcast_to(np.asarray(c.bound, dtype=np.float64), left.shape)
        scale = np.broadcast_to(np.asarray(c.scale, dtype=np.float64), left.shape)
    except (ValueError, TypeError):
        return refuse(f"bound and scale must be numbers of shape () or {left.shape}")
    if not (np.isfinite(bound).all() and (bound >= 0).all() and np.isfinite(scale).all() and (scale > 0).all()):
        return refuse("bound must be finite and at least 0, scale finite and greater than 0")
    finite = np.isfinite(left) & np.isfinite(right)
    if not finite.all():
        at = _index(~finite, left.shape)
        return refuse(f"left = {left[at]}, right = {right[at]}{_place(at)}: not finite, which never passes")
    if left.dtype.kind == "b" or right.dtype.kind == "b":
        left, right = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(all="ignore"):
        difference = np.abs(left - right)
        excess = np.where(difference == 0, 0.0, difference / bound)  # bound 0 asks for equality: inf unless equal
        at = _index(excess, left.shape)
        error, relative_bound = float(difference[at] / scale[at]), float(bound[at] / scale[at])
        weak = bound / scale
    if not difference[at] <= bound[at]:
        sides = f"left = {left[at]:.12g}, right = {right[at]:.12g}"
        why = f"{c.case}: |left - right| = {difference[at]:.3g} > bound {bound[at]:.3g}{_place(at)}, {sides}"
        return _Judged(c.case, error, relative_bound, float(excess[at]), why)
    if not (weak <= WEAKEST).all():
        at = _index(weak, left.shape)
        why = f"{c.case}: bound too weak: {bound[at]:.3g} at scale {scale[at]:.3g}{_place(at)}, above {WEAKEST:g} of it"
        return _Judged(c.case, float(difference[at] / scale[at]), float(weak[at]), np.inf, why)
    return _Judged(c.case, error, relative_bound, float(excess[at]))


def _index(values: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(values)), shape))


def _place(at: tuple[int, ...]) -> str:
    return f" at index {list(at)}" if at else ""


def _describe(error: Exception, judged: list[_Judged]) -> str:
    """What was raised, where, and after which case."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    after = f" after case {judged[-1].case!r}" if judged else " before the first case"
    return f"raised {type(error).__name__}: {error}{where}{after}"
