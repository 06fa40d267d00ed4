r"""Sums over all images of a grid of binary pixels, column by column: the transfer matrix.

Let l_c(s) be log of the total weight of the columns up to c in which column c is s, one of 2^H states. Then

    l_0 = local_0,      l_{c+1}(s') = local_{c+1}(s') + log sum_s exp( l_c(s) + pairwise sum_h [s_h = s'_h] ),

where local_c(s) = sum_h psi(x_hc, s_h) + pairwise sum_h [s_h = s_{h+1}], and log Z = log sum_s exp l_{W-1}(s). The sum over s is a
product with the H-fold Kronecker power of [[e^J, 1], [1, e^J]], J = pairwise, made one factor after another as in a fast Walsh
transform: factor h puts s'_h in place of s_h. So an image takes W H 2^H additions (in log space, nothing overflows) and never a
matrix of 2^H x 2^H.

**One recursion, two uses.** With maximum in place of log-sum-exp the same l is the log-weight of the best image so far.

**And back.** Given s'_0..s'_h and s_{h+1}..s_{H-1}, the stage m_h before factor h says how s_h is distributed,

    logit p(s_h = 1 | ...) = m_h(.. 1 ..) - m_h(.. 0 ..) + J (2 s'_h - 1),

which is a conditional probability, and after maxima the difference of two best log-weights. Going through all pixels from the
last to the first, u < p draws an image exactly from uniforms u; from maxima, logit > 0 gives the best image; carrying the law of
(s'_0..s'_h, s_{h+1}..) along gives marginals, where nothing is subtracted. Beyond the last column lies one that no bond leads to.

**Rounding.** Log-sum-exp does not enlarge errors of its arguments. Each of the H stages of a column adds two roundings and those
of a log-sum-exp, below 4 eps times the largest of its numbers. These are, when l is shifted to maximum 0, at most the range of
l_c plus H |J| + H log 2; the range is at most that of local_c plus H |J|, as the bonds to the column before are all that the past
knows of s; and local_c itself is at most its range plus H |J|. Hence 4 eps W (H + 2) (range of local + 3 H |J| + H log 2), and
the rounding of the sum of the shifts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.networks.activations import activation

RATE = 5e7
"""Additions in log space a second that are taken for granted when time is foretold."""

_EPS = float(np.finfo(float).eps)
_sigmoid = activation("softplus").slope


def seconds(height: int, width: int) -> float:
    """What an image of this size takes, about: a pass there for the sum, one back for draws, and as much again for marginals."""
    return 3 * height * 2.0**height * width / RATE


def held(height: int, width: int) -> float:
    """The bytes that marginals of an image of this size hold at once, about: a message a line, and of one line all stages."""
    return 8 * 2.0**height * (width + 5 * height)


def total(psi: np.ndarray, pairwise: float) -> tuple[float, float]:
    """log Z and a bound of its error, for psi (W, H, 2) of all pixels, column by column."""
    width, height, _ = psi.shape
    shifts, spread, message = [], 0.0, np.zeros(2**height)
    for c, local in enumerate(_locals(psi, pairwise)):
        spread = max(spread, float(np.ptp(local)))
        message = message + local
        shifts.append(float(message.max()))
        message = _stages(message - shifts[-1], _bond(c, width, pairwise), np.logaddexp)[-1]
    value = math.fsum([*shifts, float(message[0])])
    size = spread + height * (3 * abs(pairwise) + math.log(2))
    return value, _EPS * (4 * width * (height + 2) * size + abs(value) + sum(map(abs, shifts)))


def draw(psi: np.ndarray, pairwise: float, uniforms: np.ndarray | None) -> np.ndarray:
    """Exact draws from uniforms (n, H, W), one a pixel, (n, H, W) of uint8; without uniforms the best image, n = 1."""
    width, height, _ = psi.shape
    plus = np.maximum if uniforms is None else np.logaddexp
    state = np.zeros(1 if uniforms is None else len(uniforms), dtype=np.intp)
    images = np.empty((len(state), height, width), dtype=np.uint8)
    for c, bond, stages in _backwards(psi, pairwise, plus):
        for h in range(height - 1, -1, -1):
            place = 1 << (height - 1 - h)
            zero = state & ~place
            logit = stages[h][zero | place] - stages[h][zero] + np.where(state & place, bond, -bond)
            one = logit > 0 if uniforms is None else uniforms[:, h, c] < _sigmoid(logit)
            images[:, h, c] = one
            state = zero | np.where(one, place, 0)
    return images


def marginals(psi: np.ndarray, pairwise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p(y = 1) of pixels (H, W), and p(the two agree) of bonds within columns (H - 1, W) and between them (H, W - 1)."""
    width, height, _ = psi.shape
    states = (np.arange(2**height) >> np.arange(height - 1, -1, -1)[:, None]) & 1
    ones, same = states.astype(np.float64), (states[1:] == states[:-1]).astype(np.float64)
    pixels, within, between = np.empty((height, width)), np.empty((height - 1, width)), np.empty((height, width))
    law = np.zeros(2**height)
    law[0] = 1.0
    for c, bond, stages in _backwards(psi, pairwise, np.logaddexp):
        for h in range(height - 1, -1, -1):
            before, after = stages[h].reshape(2**h, 2, -1), law.reshape(2**h, 2, -1)
            logit = before[:, 1] - before[:, 0]
            zero, one = after[:, 0], after[:, 1]
            stay_zero, stay_one = zero * _sigmoid(bond - logit), one * _sigmoid(bond + logit)
            between[h, c] = stay_zero.sum() + stay_one.sum()
            law = np.stack([stay_zero + one * _sigmoid(-bond - logit), stay_one + zero * _sigmoid(logit - bond)], axis=1).ravel()
        pixels[:, c], within[:, c] = ones @ law, same @ law
    return pixels, within, between[:, :-1]


def _backwards(psi: np.ndarray, pairwise: float, plus: Callable) -> Iterator[tuple[int, float, list[np.ndarray]]]:
    """From the last column to the first: its number, the bond that leads on from it, and the stages of its pixels."""
    width, height, _ = psi.shape
    messages = np.empty((width, 2**height))
    message = np.zeros(2**height)
    for c, local in enumerate(_locals(psi, pairwise)):
        messages[c] = message + local
        messages[c] -= messages[c].max()
        message = _stages(messages[c], _bond(c, width, pairwise), plus)[-1]
    for c in range(width - 1, -1, -1):
        bond = _bond(c, width, pairwise)
        yield c, bond, _stages(messages[c], bond, plus)


def _bond(c: int, width: int, pairwise: float) -> float:
    return pairwise if c < width - 1 else 0.0


def _stages(message: np.ndarray, bond: float, plus: Callable) -> list[np.ndarray]:
    """The message of a column, and after each factor of the Kronecker power, the last one being that of the next column."""
    stages = [message]
    for h in range(len(message).bit_length() - 1):
        old = stages[-1].reshape(2**h, 2, -1)
        new = np.empty_like(old)
        plus(old[:, 0] + bond, old[:, 1], out=new[:, 0])
        plus(old[:, 1] + bond, old[:, 0], out=new[:, 1])
        stages.append(new.ravel())
    return stages


def _locals(psi: np.ndarray, pairwise: float) -> Iterator[np.ndarray]:
    """Log-weights of the 2^H states of every column, the first pixel the highest digit of the state."""
    bond = pairwise * np.eye(2)
    for column in psi:
        local = column[None, 0]
        for pixel in column[1:]:
            local = (local[:, :, None] + (bond + pixel)).reshape(-1, 2)
        yield local.ravel()
