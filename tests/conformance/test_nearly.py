"""What is nearly right is called what it is: differences by their step, single precision by its size, and otherwise unknown."""

import numpy as np
import pytest

from refscore.conformance import Reference, check
from refscore.conformance.spec import Spec
from refscore.processes import VP

F = np.float32


def found(operation, function, model=None, conventions=None):
    methods = {operation: lambda self, *a: function(*a), "process": VP(), "conventions": conventions or {}}
    if model is not None:
        methods["model"] = lambda self, spec: model(spec)
    verdict = check(type("Near", (), methods), only=(operation,)).checks[0]
    assert verdict.outcome == "fail", verdict
    return verdict.diagnosis[0] if verdict.diagnosis else None


def quotient(of, h, central):
    return (of(h) - of(-h)) / (2 * h) if central else (of(h) - of(0)) / h


def trace(model, x, h, central):
    return sum(quotient(lambda s, e=e: model(x + s * e), h, central)[:, i] for i, e in enumerate(np.eye(x.shape[1])))


WAYS = {
    "jvp": lambda h, c: lambda m, x, v: quotient(lambda s: m(x + s * v), h, c),
    "hutchinson": lambda h, c: lambda m, x, v: (v * quotient(lambda s: m(x + s * v), h, c)).sum(1),
    "divergence": lambda h, c: lambda m, x: trace(m, x, h, c),
    "ism_loss": lambda h, c: lambda m, x: ((m(x) ** 2).sum(1) / 2 + trace(m, x, h, c)).mean(),
    "ssm_loss": lambda h, c: lambda m, x, v: (
        (v * m(x)).sum(1) ** 2 / 2 + (v * quotient(lambda s: m(x + s * v), h, c)).sum(1)).mean(),
    "ssm_vr_loss": lambda h, c: lambda m, x, v: (
        (m(x) ** 2).sum(1) / 2 + (v * quotient(lambda s: m(x + s * v), h, c)).sum(1)).mean(),
}


@pytest.mark.parametrize(("h", "central"), [(1e-3, False), (1e-4, False), (1e-6, False), (1e-3, True), (1e-4, True)])
@pytest.mark.parametrize("operation", WAYS)
def test_differences_are_named_with_their_step(operation, h, central):
    equal = found(operation, WAYS[operation](h, central))
    if equal.mistake != "differences":  # those of one step are in the catalogue as well
        assert (h, central) == (1e-4, False) and "h = 1e-4" in equal.text
    else:
        assert f"{'central' if central else 'forward'} differences of step {h:g}" in equal.text


@pytest.mark.parametrize(("h", "central"), [(1e-3, False), (1e-6, False), (1e-3, True)])
@pytest.mark.parametrize("operation", ["esm_loss", "ssm_loss"])
def test_gradients_by_differences(operation, h, central):
    loss = getattr(Reference(), operation)

    def gradient(spec, *arguments):
        result = []
        for name, array in spec.arrays.items():
            slopes = np.zeros_like(array)
            for at in np.ndindex(array.shape):
                def moved(s, name=name, array=array, at=at):
                    other = array.copy()
                    other[at] += s
                    model = Spec(spec.kind, {**spec.arrays, name: other}, spec.activation)
                    return loss(Reference().model(model), *arguments)
                slopes[at] = quotient(moved, h, central)
            result.append(slopes)
        return result

    equal = found(f"{operation}_grad", gradient, model=lambda spec: spec)
    assert equal.mistake == "differences" and f"{'central' if central else 'forward'} differences of step {h:g}" in equal.text


def test_differences_of_a_small_step_are_no_single_precision():
    """Rounding hides the error of the step, and they are exact to 9 digits on linear models."""
    equal = found("jvp", WAYS["jvp"](3e-6, True))
    assert equal.mistake == "small_error" and "as differences for the derivative would be" in equal.text


@pytest.mark.parametrize("declared", [{}, {"dtype": "float64"}])
def test_single_precision_on_the_way_is_named(declared):
    def corrupt(x0, t, noise):
        alpha, sigma = VP().alpha(t).astype(F).astype(float), VP().sigma(t).astype(F).astype(float)
        return alpha[:, None] * x0 + sigma[:, None] * noise

    assert found("corrupt", corrupt, conventions=declared).mistake == "single_precision"
    stored = found("jvp", lambda m, x, v: m.jvp(x, v).astype(F), conventions={"dtype": "float64"})
    assert stored.mistake == "single_precision" and "differences" not in stored.text


def test_what_is_off_to_one_side_is_no_single_precision():
    """As small as rounding, and always too small: a constant in a denominator."""
    def conditional_score(xt, x0, t):
        alpha, sigma = VP().alpha(t)[:, None], VP().sigma(t)[:, None]
        return -(xt - alpha * x0) / (sigma**2 + 1e-8)

    equal = found("conditional_score", conditional_score)
    assert equal is None or equal.mistake != "single_precision"


def test_a_gradient_of_zeros_asks_whether_the_graph_is_cut():
    equal = found("esm_loss_grad", lambda m, x, s: [np.zeros_like(a) for a in m.spec.arrays.values()])
    assert equal.mistake == "constant_factor" and "is the graph cut?" in equal.text


@pytest.mark.parametrize("size", [1e-9, 3e-11])
def test_other_small_errors_have_no_known_cause(size):
    def corrupt(x0, t, noise):
        return VP().corrupt(x0, t, noise) + size * np.sin(50 * x0)

    equal = found("corrupt", corrupt)
    assert equal.mistake == "small_error" and "cause unknown" in equal.text and f"e-{'09' if size == 1e-9 else '11'}" in equal.text


def test_single_precision_tells_the_conventions_that_are_open():
    """No rung is right in double precision, so nothing is inferred there."""
    def loss(model, x0, sigma, noise):
        z = noise.astype(np.float32)
        return 0.5 * ((model(x0 + np.float32(sigma) * z) - noise) ** 2).sum(axis=1).mean()

    found = check(type("Mixed", (), {"dsm_loss": staticmethod(loss)}), only=("dsm_loss",)).checks[0]
    assert found.outcome == "fail" and found.diagnosis[0].mistake == "single_precision"
    assert (found.conventions["predicts"], found.conventions["weight"]) == ("eps", "sigma2")


@pytest.mark.parametrize("added", [1e-8, -0.5])
@pytest.mark.parametrize("operation", ["sigma", "alpha", "ism_loss", "rbm_log_partition"])
def test_a_constant_that_is_added_is_named(operation, added):
    adapter = Reference(VP())
    setattr(adapter, operation, lambda *arguments: getattr(Reference(VP()), operation)(*arguments) + added)
    (found,) = check(adapter, only=(operation,)).checks
    assert found.outcome == "fail" and [e.mistake for e in found.diagnosis] == ["added_constant"]
    assert f"the right value {added:+.4g} on every rung" in found.message
