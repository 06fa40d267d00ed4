"""Root causes first: what is right as far as its parts are is blocked by them; what is wrong by itself is not."""

from types import MethodType

from refscore.conformance import Reference, check
from refscore.conformance.diagnosis import mistaken
from refscore.conformance.mistakes import CATALOGUE
from refscore.processes import VP


class Composed(Reference):
    """An adapter whose operations are made of each other, as code is."""

    def __init__(self, *names):
        super().__init__(VP())
        right = Reference(VP())
        for name in names:
            setattr(self, CATALOGUE[name].operation, MethodType(CATALOGUE[name].function, right))
        own = self

        class Process:
            """What the other operations use: this adapter's own alpha and sigma."""

            def __getattr__(self, name):
                return getattr(own if name in ("alpha", "sigma") and name in vars(own) else right.process, name)

        self.inner = Reference(Process())

    def corrupt(self, x0, t, noise):
        return self.inner.corrupt(x0, t, noise)

    def denoise(self, model, xt, t):
        return self.inner.denoise(model, xt, t)


ONLY = ("alpha", "sigma", "corrupt", "denoise", "esm_loss", "esm_loss_grad")


def outcomes(adapter):
    return {c.operation: c for c in check(adapter, only=ONLY).checks}


def test_parts_of_a_wrong_sigma_are_blocked():
    found = outcomes(Composed("sigma_is_variance"))
    assert found["sigma"].outcome == "fail"
    for name in ("corrupt", "denoise"):
        assert found[name].outcome == "blocked" and found[name].causes == ("sigma",), found[name].message
        assert "sigma is wrong: mend that first" in found[name].message


def test_what_is_wrong_by_itself_fails_beside_a_wrong_part():
    adapter = Composed("sigma_is_variance")
    adapter.corrupt = MethodType(CATALOGUE["corrupt_variance"].function, Reference(VP()))  # sigma^2 once more, of the right sigma
    adapter.denoise = Reference(VP()).denoise  # right, whatever sigma
    found = outcomes(adapter)
    assert found["denoise"].outcome == "pass"
    adapter.corrupt = lambda x0, t, noise: Reference(VP()).corrupt(x0, t, -noise)
    assert outcomes(adapter)["corrupt"].outcome == "fail"


def test_the_gradient_of_a_wrong_loss_is_blocked_by_the_loss():
    m = CATALOGUE["esm_not_squared"]
    wrong = m.adapter(VP())

    def gradient(model, x, true_score):
        """Of the wrong loss, by differences."""
        return mistaken(m, Reference(VP()), {"model": model.spec, "x": x, "true_score": true_score}, gradient=True)

    wrong.esm_loss_grad = gradient
    found = outcomes(wrong)
    assert found["esm_loss"].outcome == "fail"
    assert found["esm_loss_grad"].outcome == "blocked" and found["esm_loss_grad"].causes == ("esm_loss",)
