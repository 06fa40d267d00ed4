"""Two runs are told apart by anything that may change their numbers, and one run is the same in every process."""

import functools
import subprocess
import sys

import numpy as np
import pytest

from refscore._described import changed, described
from refscore.densities import GaussianMixture


def mixture(mean):
    return GaussianMixture([0.5, 0.5], [[-mean], [mean]], [0.16, 0.16])


def steered(k):
    return lambda x: k * x


def power(x, n=2):
    return x**n


@pytest.mark.parametrize(("one", "other"), [
    (mixture(1.0).score, mixture(4.0).score),
    (steered(1.0), steered(1.5)),
    (steered(mixture(1.0)), steered(mixture(2.0))),
    (functools.partial(power, n=2), functools.partial(power, n=3)),
    (lambda x: x + 1, lambda x: x + 2),
    (lambda x, a=1: x + a, lambda x, a=2: x + a),
    (lambda x: [y + 1 for y in x], lambda x: [y + 2 for y in x]),
    ([np.zeros(2)], [np.ones(2)]),
])  # fmt: skip
def test_what_differs_is_told(one, other):
    assert changed(dict(described("f", one)), dict(described("f", other)))
    assert not changed(dict(described("f", one)), dict(described("f", one)))


def test_a_function_that_holds_itself_ends():
    def again(x):
        return again(x - 1) if x else 0

    assert dict(described("f", again))["f.again"] == "what it is part of"


def test_another_process_says_the_same():
    code = "from refscore._described import described; from refscore.densities import GaussianMixture as G; " \
           "print(dict(described('f', [G([0.5, 0.5], [[-1.0], [1.0]], [0.16, 0.16]).score, lambda x: x * 2])))"
    run = functools.partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = run().stdout, run().stdout
    assert first == second and "0x" not in first
