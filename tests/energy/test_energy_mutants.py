"""Slips that nothing else would see: arms into short cells, into cells that come later, and on a floor nearly as high."""

from __future__ import annotations

import math

import numpy as np

from refscore.energy import AnalyticEnergy, BinaryEnergyModel
from refscore.energy._cells import Cells, Forest
from refscore.energy._cover import Cover, nodes
from refscore.energy._cubature import one

WIDTH = 1e-3  # of an arm along y, at x = 0.3 unless said; the nearest node of a cell of width 1 is 29 of it away
ACROSS = WIDTH * math.sqrt(2 * math.pi)  # its integral over x


def arm(x):
    return -(((x[:, 0] - 0.3) / WIDTH) ** 2) / 2


def unit(*lows, shell=0):
    low = np.array(lows, dtype=float)
    return Cells(low, low + 1, np.full(len(low), shell))


def refined(f, forest):
    """The cover of these cells for e^f, the arm being seen at its lower end."""
    cover = Cover(f, one, 0.0, forest)
    cover.watch(np.array([[0.3, 0.05]]))
    cover.refine()
    return cover


def integral(cover):
    sums = cover.sums()
    return float(sums.value.sum()), float(sums.error.sum())


def test_an_arm_is_asked_as_if_it_went_on_to_the_end_however_short_the_cell():
    """Beyond a face lies a cell 1 wide and 3/2^20 long, of a shell 3 long: an arm of height 1 may hold 3 there, not 3/2^20.

    So it counts where 1e-17 of the whole is less than 3. It is at a node of the face, a cell 1/2 wide, and at none beyond.
    """
    forest = Forest(2)
    forest.plant(unit((0.0, 0.0)))
    forest.plant(Cells(np.array([[0.0, 1.0]]), np.array([[1.0, 4.0]]), np.ones(1, dtype=int)))
    forest.cut(np.array([0]), np.array([[True, False]]))
    beyond = 1
    for _ in range(20):
        forest.cut(np.array([beyond]), np.array([[False, True]]))
        beyond = int(np.flatnonzero(forest.leaves & (forest.cells.low[:, 1] == 1))[0])
    x = nodes(np.zeros((1, 2)), np.array([[0.5, 1.0]]), rule=1)[0][:, 0]
    place = x[np.abs(x - 0.13).argmin()]
    cover = Cover(lambda x: -(((x[:, 0] - place) / WIDTH) ** 2) / 2, one, 0.0, forest)
    cover._look()
    rows = np.flatnonzero(forest.leaves)
    assert cover._unseen(rows, 2.9e17)[beyond].tolist() == [True, False]
    assert abs(cover._hidden[beyond] - 3) <= 1e-12
    assert not cover._unseen(rows, 3.1e17).any()


def test_an_arm_is_followed_into_a_shell_that_is_planted_later():
    """The first box is done when the next one comes: what it sees on its faces must be asked again."""
    forest = Forest(2)
    forest.plant(unit((0.0, 0.0)))
    cover = refined(arm, forest)
    value, error = integral(cover)
    assert abs(value - ACROSS) <= error < 1e-9 * ACROSS
    forest.plant(unit((0.0, 1.0), shell=1))
    cover.refine()
    value, error = integral(cover)
    assert abs(value - 2 * ACROSS) <= error < 1e-9 * ACROSS


def test_an_arm_on_a_floor_a_little_more_than_a_factor_e_below_it():
    """The next cell has nodes on the floor, which agree, and none on the arm, e^1.5 times as high."""
    above = math.exp(1.5) - 1
    forest = Forest(2)
    forest.plant(unit((0.0, 0.0), (0.0, 1.0)))
    value, error = integral(refined(lambda x: np.log1p(above * np.exp(arm(x))), forest))
    exact = 2 * (1 + above * ACROSS)
    assert abs(value - exact) <= error < 1e-9 * exact


def test_blocks_without_any_weight_add_nothing():
    """2^15 states, more than a block of them; p vanishes wherever the first unit is 0, so in the first half of all blocks."""
    model = BinaryEnergyModel(AnalyticEnergy(lambda x: np.where(x[:, 0] == 1, x[:, 1], np.inf)), 15)
    value, error = model.log_partition()
    assert abs(value - math.log(2**13 * (1 + math.exp(-1)))) <= error < 1e-10


def test_a_mean_that_cancels_has_the_error_of_its_terms():
    """E of 1e6 (x_1 - 1/2) under independent units with biases near 0: near 0, its terms are not."""
    b = np.array([1e-9, 0.4, -0.3])
    mean, error = BinaryEnergyModel(AnalyticEnergy(lambda x: -x @ b), 3).expectation(lambda x: 1e6 * (x[:, 0] - 0.5))
    exact = 1e6 * math.tanh(b[0] / 2) / 2
    assert abs(mean - exact) <= error < 1e-7
    assert error >= 2.0**-53 * 5e5  # that of E |f|: f is 1e6/2 or -1e6/2
