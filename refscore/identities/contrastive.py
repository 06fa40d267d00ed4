"""Identity of contrastive divergence (D4): with negatives of the model's own law it is the likelihood's gradient."""

from __future__ import annotations

import numpy as np

from refscore.identities import _plain
from refscore.identities._energy_cases import cases, energies
from refscore.identities._registry import Comparison, identity

STATES = 12


@identity(
    id="D4.contrastive",
    systems=("D4", "D3"),
    title="Contrastive divergence with negatives of the model's law: the gradient of minus the mean log-likelihood",
    statement=r"\nabla_\theta\big[E_{data}E_\theta + \log\textstyle\sum_j e^{-E_\theta(y_j)}\big] = "
    r"E_{data}\nabla_\theta E - E_{model}\nabla_\theta E",
    source="[e, 'contrastive divergence']; Hinton 2002",
    method="reverse mode with weighted negatives vs complex step in every parameter of the log-likelihood on finitely many states",
    catches=(
        "contrastive_sign",
        "contrastive_positive_phase_alone",
        "contrastive_sums",
        "contrastive_negatives_as_data",
        "contrastive_gradient_ascends",
        "contrastive_means_over_the_data",
        "contrastive_weights_normalised",
        "contrastive_time_of_data_alone",
    ),
)
def contrastive(ops, seed):
    """p = exp(-E)/Z on finitely many states y_j, where Z is a sum; negatives are all states, weighted by p. Then any weights."""
    rng = np.random.default_rng((seed, 4, 2))
    for case in cases(seed):
        yield from _two_means(ops, case, rng.standard_normal((STATES, case.d)), rng.uniform(0, 1, len(case.x)))
        if case.t or len(case.model.sizes) > 4 or "trained" in case.name:  # large energies, and p = e^-E loses digits
            continue
        model, x, size = case.model, case.x / 2, case.size
        states = rng.standard_normal((STATES, case.d)) / 2
        weight = rng.dirichlet(np.ones(len(x)))
        rows, phi = np.concatenate([x, states]), case.jet[0]

        def minus_log_likelihood(p, rows=rows, weight=weight, phi=phi):
            E = _plain.forward(p, rows, phi)[..., 0]
            n = len(weight)
            return (weight * E[..., :n]).sum(axis=-1) + np.log(np.exp(-E[..., n:]).sum(axis=-1))

        E = _plain.forward(model.parameters, rows, phi)[:, 0]
        model_weight = np.exp(-E[len(x) :])
        model_weight /= model_weight.sum()
        value, gradient = ops.contrastive_divergence(
            model, x, states, sample_weight=weight, negative_weight=model_weight, grad=True
        )
        size.inputs = np.abs(rows)
        c = np.concatenate([weight, model_weight])
        of_E = size.value(energies, c=c)
        # E and its gradient have a quarter of the factors that Ds and its gradient have, for which size.rounding is made;
        # the states' probabilities are exponentials: their relative error is the absolute one of E
        relative = (size.rounding / 4 + (STATES + 8) * _plain.EPS) * (1 + 2 * float(size.values().max()))
        want = weight @ E[: len(x)] - model_weight @ E[len(x) :]
        yield Comparison(f"value, {case.name}", value, want, relative * of_E, 1 + of_E)
        right = _plain.gradient(minus_log_likelihood, model.parameters)
        sizes = size.gradient(energies, c=c)
        for i, (a, b, entry) in enumerate(zip(gradient, right, sizes, strict=True)):
            array = f"{'Wb'[i % 2]}{i // 2 + 1}"
            yield Comparison(f"gradient in {array}, {case.name}", a, b, relative * entry, entry.max() or 1.0)


def _two_means(ops, case, negatives, weight):
    """Without weights, and with weights of the data that do not sum to 1; at one time, for data and negatives alike."""
    time = [float(t[0]) for t in case.t]
    both = case.at(np.concatenate([case.x, negatives]), *(np.full(len(weight) + STATES, t) for t in time))
    for name, given in ("means", None), ("weighted", weight):
        value, gradient = ops.contrastive_divergence(
            case.model, case.x, negatives, t=time[0] if time else None, sample_weight=given, grad=True
        )
        c = np.concatenate([np.full(len(weight), 1 / len(weight)) if given is None else given, np.full(STATES, -1 / STATES)])
        want = c @ _plain.forward(case.model.parameters, both.rows, case.jet[0])[:, 0]
        size = both.size.value(energies, c=np.abs(c))
        yield Comparison(f"{name}, {case.name}", value, want, both.size.rounding * size, size)
        yield from both.entries(f"gradient of {name}", gradient, energies, c=c)
