"""What may be required of an adapter: named sets of operations, or operations by name.

    all          all operations
    losses       all losses          gradients    their gradients        derivatives  jvp, divergence, hutchinson
    process      the forward process densities    logpdf and score       samplers     all steps
    matching     what score matching without noise takes: explicit, implicit, sliced
    dsm          denoising score matching and Langevin's samplers
    sde          a continuous process: the forward process, its loss, both reverse dynamics
    ddpm         a chain: its scales, loss, posterior and steps
    rbm, mrf     restricted Boltzmann machines, Markov random fields;  energy is both of them

An operation is covered when its outcome is pass, or a legitimate other convention. A profile asks for what has a meaning for the
adapter's process, of a chain for no drift; but sde and ddpm say which process they want.
"""

from __future__ import annotations

import difflib

from refscore.conformance.ladders.setting import Setting
from refscore.conformance.operations import OPERATIONS
from refscore.conformance.run import Check


def _of(*categories: str) -> tuple[str, ...]:
    return tuple(name for name, o in OPERATIONS.items() if o.category in categories)


PROFILES: dict[str, tuple[str, ...]] = {
    "all": tuple(OPERATIONS),
    "losses": _of("loss"),
    "gradients": _of("gradient"),
    "derivatives": _of("derivative"),
    "process": _of("process"),
    "samplers": _of("sampler"),
    "densities": ("logpdf", "score"),
    "matching": ("esm_loss", "ism_loss", "ssm_loss", "ssm_vr_loss", "divergence", "hutchinson"),
    "dsm": ("dsm_loss", "dsm_loss_grad", "ncsn_loss", "ncsn_loss_grad", "langevin_step", "annealed_langevin"),
    "sde": ("alpha", "sigma", "drift", "diffusion", "corrupt", "conditional_score", "dsm_process_loss", "reverse_step",
            "ode_drift"),
    "ddpm": ("alpha", "sigma", "corrupt", "ddpm_loss", "posterior", "ddpm_step"),
    "rbm": tuple(name for name in OPERATIONS if name.startswith("rbm_")),
    "mrf": tuple(name for name in OPERATIONS if name.startswith("mrf_")),
    "energy": _of("energy"),
}
OF_A_PROCESS = ("sde", "ddpm")


def select(text: str) -> tuple[str, ...]:
    """The operations that ``text`` requires: profiles and operations, separated by commas.

    Raises LookupError for a name that is neither.
    """
    names: list[str] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        if part not in PROFILES and part not in OPERATIONS:
            near = dict.fromkeys(difflib.get_close_matches(part.lower(), [*PROFILES, *OPERATIONS], n=3, cutoff=0.5))
            hint = f"did you mean {', '.join(near)}?" if near else f"profiles are {', '.join(PROFILES)}"
            raise LookupError(f"{part!r} is no profile and no operation: {hint}")
        names += PROFILES.get(part, (part,))
    if not names:
        raise LookupError(f"nothing is required by {text!r}: profiles are {', '.join(PROFILES)}")
    return tuple(dict.fromkeys(names))


def meaningful(names: tuple[str, ...], process) -> tuple[str, ...]:
    """Those of ``names`` that have a meaning for the process: those of chains or those of continuous time, not both."""
    without = {"process", "sde", "chain"} if process is None else {"sde"} if Setting(process).chain else {"chain"}
    return tuple(name for name in names if OPERATIONS[name].needs not in without)


def missing(text: str, checks: tuple[Check, ...], process) -> list[str]:
    """What ``text`` requires and the checks do not cover; what the adapter has by its outcome."""
    required: list[str] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        names = select(part)
        required += names if part in OPERATIONS or part in OF_A_PROCESS else meaningful(names, process) or names
    required = list(dict.fromkeys(required))
    outcomes = {c.operation: c.outcome for c in checks}
    lacking = {name: outcomes.get(name, "unsupported") for name in required if outcomes.get(name) not in ("pass", "convention")}
    return [name if outcome == "unsupported" else f"{name} ({outcome})" for name, outcome in lacking.items()]
