"""Hypothesis strategies: laws, processes, networks, times, points and noise for property tests of scores and of what uses them.

    from hypothesis import given, strategies as st
    from refscore import strategies as rs

    @given(rs.densities(kinds=rs.SMOOTH), st.data())
    def test_the_score_is_the_slope_of_my_log_density(density, data):
        x = data.draw(rs.points(4, density.dim))
        slope = jax.vmap(jax.grad(lambda y: my_logpdf(density, y)))(x)
        assert (abs(slope - density.score(x)) <= 1e-12 + density.score_error(x)).all()

    @given(rs.processes(kinds=rs.CONTINUOUS), st.data())
    def test_my_sampler_takes_any_grid(process, data):
        times = data.draw(rs.grids(process))
        density = data.draw(rs.densities(2, kinds=rs.SMOOTH))
        noise = data.draw(rs.noise(5, 2))
        ...

What is drawn is valid: refscore refuses none of it, and computes with it to its stated accuracy. It is also general where a
symmetry would hide a mistake: means are not 0, covariances are correlated, weights unequal, times distinct and in no order,
grids not uniform. And it shrinks to the simplest case: N(1, 1) in one dimension, OU(1, 1), one row, no hidden layer, a time in
the middle. Arguments are judged when a strategy is made, not when it draws.

What a failing example prints is what to paste, after

    from numpy import array; from refscore.densities import *; from refscore.networks import *; from refscore.processes import *

Laws, processes and networks have all their digits there. Arrays are NumPy's to print, with eight;
numpy.set_printoptions(floatmode="unique") in a conftest.py prints all.

What it does not draw: extreme numbers. Variances lie between 0.04 and about 40, and any sound implementation in float64 has
nine digits there; accuracy at the ends of float64 is tested against mpmath, not drawn.
"""

from refscore.strategies.batches import noise, points
from refscore.strategies.densities import KINDS as DENSITIES
from refscore.strategies.densities import SMOOTH, densities
from refscore.strategies.networks import networks
from refscore.strategies.processes import CONTINUOUS, processes
from refscore.strategies.processes import KINDS as PROCESSES
from refscore.strategies.times import grids, times

__all__ = [
    "CONTINUOUS", "DENSITIES", "PROCESSES", "SMOOTH", "densities", "grids", "networks", "noise", "points", "processes", "times",
]
