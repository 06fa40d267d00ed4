"""Mistakes in laws after noise-free steps, and in laws that split (systems H5)."""

from __future__ import annotations

import numpy as np

from refscore.densities import Product, PushForward
from refscore.laws import law
from refscore.mistakes._registry import mistake
from refscore.samplers import Chain


def _changed(name: str, log_density, *, wrong: str, right: str, seen: str) -> None:
    """The right push-forward with another log-density, a function of the law and y."""

    class Wrong(PushForward):
        def logpdf(self, y):
            return log_density(self, np.asarray(y, dtype=np.float64))

    def wrong_law(chain, initial):
        exact = law(chain, initial)
        return Wrong(exact.base, exact.transform) if isinstance(exact, PushForward) else exact

    mistake("law", wrong=wrong, right=right, seen=seen, name=name)(wrong_law)


def _slope(law: PushForward, x) -> np.ndarray:
    return law._map(x[:, 0])[1]


_changed("law_jacobian_forgotten", lambda q, y: q.base.logpdf(q._preimage(y)[0]),
         wrong="log p(x)", right="log p(x) - log m'(x)", seen="points moved, densities carried along with them")
_changed("law_jacobian_sign", lambda q, y: q.base.logpdf(q._preimage(y)[0]) + np.log(q._preimage(y)[1]),
         wrong="log p(x) + log m'(x)", right="log p(x) - log m'(x)", seen="sign of the log-determinant, common in flows")
_changed("law_jacobian_at_the_image", lambda q, y: q.base.logpdf(q._preimage(y)[0]) - np.log(_slope(q, y)),
         wrong="m'(y)", right="m'(x), x = m^{-1}(y)", seen="Jacobian taken after the step, not before it")
_changed("law_without_inverse", lambda q, y: PushForward.logpdf(q, q._map(y[:, 0])[0][:, None]),
         wrong="q(m(y))", right="q(y)", seen="density at the moved points plotted against where they came from")
_changed("law_first_order_jacobian", lambda q, y: q.base.logpdf(q._preimage(y)[0]) - (q._preimage(y)[1] - 1),
         wrong="log p(x) - (m' - 1)", right="log p(x) - log m'(x)", seen="h div b for the log-determinant of a step")


@mistake("law", wrong="noise in the last step too", right="no noise in the last step",
         seen="the mask that leaves out the noise at t = 0 forgotten, common")
def law_last_step_with_noise(chain, initial):
    if not isinstance(chain, Chain) or chain.v[-1] > 0:
        return law(chain, initial)
    return law(Chain(chain.score, chain.times, chain.a, chain.b, np.append(chain.v[:-1], 1e-3)), initial)


def _split(name: str, change, *, wrong: str, right: str, seen: str) -> None:
    """The right product, changed."""

    def wrong_law(chain, initial):
        exact = law(chain, initial)
        return change(exact, initial) if isinstance(exact, Product) else exact

    mistake("law", wrong=wrong, right=right, seen=seen, name=name)(wrong_law)


def _rest_at_rest(exact: Product, initial) -> Product:
    widest = int(np.argmax([len(getattr(factor, "weights", [0, 0])) for factor in exact.factors]))
    axes = np.eye(exact.dim) if exact.axes is None else exact.axes
    start = initial if isinstance(initial, Product) else Product.of(initial, axes)
    return Product([factor if i == widest else start.factors[i] for i, factor in enumerate(exact.factors)], exact.axes)


_split("law_factors_swapped", lambda p, _: Product(p.factors[::-1], p.axes), wrong="factors in another order than the axes",
       right="factor i on axis i", seen="eigh sorts its eigenvalues, and the directions with them")
_split("law_axes_transposed", lambda p, _: Product(p.factors, np.eye(p.dim) if p.axes is None else p.axes.T), wrong="u = R x",
       right="u = R'x", seen="rotation and its inverse mixed up, common")
_split("law_axes_forgotten", lambda p, _: Product(p.factors), wrong="u = x", right="u = R'x", seen="result left in the eigenbasis")
_split("law_rest_at_rest", _rest_at_rest, wrong="the Gaussian coordinates keep their first law", right="every coordinate moves",
       seen="only the direction of interest propagated")
