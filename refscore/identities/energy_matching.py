"""Score matching of an energy: what B2, B7 and B9 say of any score, said of s = -grad E, where every trace is a Laplacian."""

from __future__ import annotations

import numpy as np

from refscore.identities import _textbook
from refscore.identities._expectations import FINEST, flat, refined
from refscore.identities._models import random_energy, trained_energy
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities._targets import gaussian, mixture

ASCENDING = ("esm", "ism", "psm", "ssm", "ssm_vr", "dsm")


@identity(
    id="B2.energy",
    systems=("B2", "B7", "B8", "B9", "D3"),
    title="Score matching of an energy without its Z: implicit, sliced, denoising = explicit + a constant",
    statement=r"E_p[\tfrac12\|\nabla E\|^2 - \Delta E] = \tfrac12E_p\|\nabla E + s_p\|^2 - \tfrac12E_p\|s_p\|^2,\quad "
    r"E\tfrac12\|\nabla E(\tilde x) - z/\sigma\|^2 = \tfrac12E_{q_\sigma}\|\nabla E + s_{q_\sigma}\|^2 + C",
    source="[e, 'Match the scores of the data distribution and EBM's', for f = -E]; Hyvarinen 2005, theorem 1",
    method="Hessians of the energy (third-order gradient) and noise kernels vs explicit residual, by quadrature",
    catches=(*(f"{name}_of_ascending_energy" for name in ASCENDING), "ism_trace_doubled", "ssm_sum_over_directions",
             "ssm_vr_derivative_over_d", "dsm_target_sign"),
)
def matching_of_energies(ops, seed):
    """Random and trained energies, a Gaussian and a mixture, d = 1 and 2; directions fixed; values and parameter gradients."""
    rows = []
    for d, target, density in ((1, "Gaussian", gaussian(1)), (1, "mixture", mixture(1)), (2, "mixture", mixture(2))):
        v = np.random.default_rng((seed, d, 11)).standard_normal((2, d))
        v *= 1.3 / np.linalg.norm(v, axis=1, keepdims=True)
        sigma = 0.8
        law = ops.corrupted(density, 1.0, sigma)
        # softplus: its poles keep a distance of pi from the real axis, as those of the free networks of B2 do
        for name, model in (("random", random_energy(d, seed)), ("trained", trained_energy(density, seed, "softplus"))):

            def sums(h, density=density, model=model, v=v, sigma=sigma, law=law):
                x, w = density.nodes(h)
                s, along = ops.score(density, x), np.broadcast_to(v[:, None], (len(v), *x.shape))
                of_p = dict(sample_weight=w, grad=True)
                noisy, u = _textbook.nodes(law, h)
                x0, noise, joint = density.joint_nodes(1.0, sigma, h)
                q = ops.score(law, noisy)
                losses = {
                    "esm": ops.esm(model, x, s, **of_p),
                    "ism": ops.ism(model, x, **of_p),
                    "psm": ops.psm(model, x, along, s, **of_p),
                    "ssm": ops.ssm(model, x, along, **of_p),
                    "ssm_vr": ops.ssm_vr(model, x, along, **of_p),
                    "dsm": ops.dsm(model, x0, sigma, noise, sample_weight=joint, grad=True),
                    "noisy esm": ops.esm(model, noisy, q, sample_weight=u, grad=True),
                }
                out = {
                    "fisher": w @ (s * s).sum(axis=1),
                    "along": w @ np.mean((s @ v.T) ** 2, axis=1),
                    "noisy": u @ (q * q).sum(axis=1),
                }
                for loss, (value, gradient) in losses.items():
                    out[loss], out[f"grad {loss}"] = value, flat(gradient)
                squares = ops.esm(model, x, 0 * x, **of_p), ops.psm(model, x, along, 0 * x, **of_p)
                out["square"], out["grad square"] = squares[0][0] - squares[1][0], flat(squares[0][1]) - flat(squares[1][1])
                return out

            value, bound = refined(sums, 0.7, finest=FINEST[d])
            fisher, projected, noisy = (-0.5 * float(value[k]) for k in ("fisher", "along", "noisy"))
            kernel = 0.5 * d / sigma**2 + noisy
            case = f"{name} energy, {target}, d = {d}"
            for loss, parts, constant in (
                ("ism", ("esm",), fisher),
                ("ssm", ("psm",), projected),
                ("ssm_vr", ("psm", "square"), projected),
                ("dsm", ("noisy esm",), kernel),
            ):
                right = sum(float(value[k]) for k in parts) + constant
                slack = sum(bound[k] for k in (loss, *parts, "fisher", "along", "noisy"))
                scale = 1 + abs(float(value[loss])) + sum(abs(float(value[k])) for k in parts)
                yield Comparison(f"{loss}, {case}", float(value[loss]), right, slack, scale)
                right = sum(value[f"grad {k}"] for k in parts)
                slack = sum(bound[f"grad {k}"] for k in (loss, *parts))
                yield Comparison(f"gradient of {loss}, {case}", value[f"grad {loss}"], right, slack, 1 + np.abs(right).max())
            rows.append((case, *(float(value[k]) for k in ("esm", "ism")), fisher, float(value["dsm"]), kernel))
    columns = ("energy and target", "ESM", "ISM", "ISM - ESM", "DSM", "C")
    yield Table("Score matching of energies: no Z appears", columns, rows)
