"""A network written plainly, as the second route: complex arithmetic for complex steps, mpmath for 50 digits.

Shares nothing with the package but the formula s = phi(... phi(x W_1 + b_1) ...) W_L + b_L.
"""

import itertools

import mpmath as mp
import numpy as np

ANALYTIC = {
    "tanh": (np.tanh, mp.tanh),
    "softplus": (lambda z: np.log(1 + np.exp(z)), lambda z: mp.log(1 + mp.exp(z))),
    "silu": (lambda z: z / (1 + np.exp(-z)), lambda z: z / (1 + mp.exp(-z))),
    "sin": (np.sin, mp.sin),
}
SIZES = {  # sizes: takes time. Widths differ from each other, so that no transposition fits by accident
    (3, 3): False,
    (3, 5, 3): False,
    (3, 5, 7, 3): False,
    (3, 5, 4, 6, 3): False,
    (4, 3): True,
    (4, 5, 3): True,
    (4, 5, 7, 3): True,
    (4, 6, 5, 4, 3): True,
}
CASES = list(itertools.product(SIZES, ANALYTIC))
STEP = 1e-100  # of complex steps: truncation STEP^2 is nothing, and no subtraction, so no cancellation


def forward(parameters, name, inputs):
    """s at every row of ``inputs``; any of the arrays may be complex."""
    phi, a = ANALYTIC[name][0], inputs
    for W, b in zip(parameters[0:-2:2], parameters[1:-2:2], strict=True):
        a = phi(np.einsum("ni,ij->nj", a, W) + b)
    return np.einsum("ni,ij->nj", a, parameters[-2]) + parameters[-1]


def jacobian(parameters, name, inputs, d):
    """ds_k/dx_j as [n, k, j], by a complex step in each of the first d inputs."""
    columns = [forward(parameters, name, inputs + 1j * STEP * np.eye(inputs.shape[1])[j]).imag / STEP for j in range(d)]
    return np.stack(columns, axis=2)


def jacobian_error(parameters, name, inputs, d, eps):
    """A bound of the rounding error of every entry of the Jacobian, by running error analysis; also of s.

    With unit roundoff eps (a factor 2 over the true one, which covers second order terms and the additions of b): a
    product of m terms has error m eps |a||W|; phi is 1.1-Lipschitz, phi' 1-Lipschitz for all four activations; both
    are evaluated to 8 eps (tested in test_activations.py) relative to max(1, |value|).
    """
    a, e = inputs, np.zeros_like(inputs)
    T, E = np.broadcast_to(np.eye(inputs.shape[1])[:d], (len(inputs), d, inputs.shape[1])), 0.0
    slope = np.ones_like(inputs)
    slope_error = 0.0 * slope
    h = 1e-6  # the slopes themselves need no precision here: they only scale the bound
    for W, b in zip(parameters[0::2], parameters[1::2], strict=True):
        T, E = np.abs(T) * slope[:, None], E * slope[:, None] + np.abs(T) * (slope_error + eps * slope)[:, None]
        T, E = T @ np.abs(W), E @ np.abs(W) + len(W) * eps * (T @ np.abs(W))
        e = e @ np.abs(W) + (len(W) + 1) * eps * (np.abs(a) @ np.abs(W) + np.abs(b))
        z = a @ W + b
        s, s_error = z, e
        phi = ANALYTIC[name][0]
        a, slope = phi(z), np.abs(phi(z + h) - phi(z - h)) / (2 * h) + 1e-3
        slope_error = e + 8 * eps
        e = 1.1 * e + 8 * eps * np.maximum(1, np.abs(a))
    return np.swapaxes(E, 1, 2), s_error, np.abs(s)


class MpNetwork:
    """The same at 50 digits, one row at a time; derivatives in x by complex steps of 1e-30 (error 1e-60)."""

    STEP = mp.mpf(10) ** -30

    def __init__(self, parameters, name):
        self.phi = ANALYTIC[name][1]
        self.parameters = [np.vectorize(mp.mpf, otypes=[object])(p) for p in parameters]

    def __call__(self, row):
        a = list(row)
        for l in range(0, len(self.parameters), 2):
            W, b = self.parameters[l], self.parameters[l + 1]
            z = [mp.fsum(a[i] * W[i, j] for i in range(W.shape[0])) + b[j] for j in range(W.shape[1])]
            a = [self.phi(entry) for entry in z] if l + 2 < len(self.parameters) else z
        return a

    def divergence(self, row, d):
        """tr Ds, the first d inputs."""
        total = mp.mpf(0)
        for k in range(d):
            moved = [mp.mpc(entry, self.STEP if i == k else 0) for i, entry in enumerate(row)]
            total += mp.im(self(moved)[k]) / self.STEP
        return total


def mp_gradient(network, function):
    """Central differences of ``function()`` in every parameter at 50 digits: errors step^2 = 1e-24 and 1e-50/step."""
    step, gradient = mp.mpf(10) ** -12, []
    for array in network.parameters:
        slots = np.empty(array.shape)
        for place in np.ndindex(array.shape):
            middle = array[place]
            array[place] = middle + step
            above = function()
            array[place] = middle - step
            below = function()
            array[place] = middle
            slots[place] = float((above - below) / (2 * step))
        gradient.append(slots)
    return gradient


def batch(sizes, n, seed):
    """x (n, d), t (n,) or None, and the two side by side."""
    rng = np.random.default_rng(seed)
    takes_time = SIZES.get(tuple(sizes), False)
    x = rng.normal(size=(n, sizes[0] - takes_time))
    t = rng.uniform(0.1, 1.0, size=n) if takes_time else None
    return x, t, x if t is None else np.column_stack([x, t])


def slope_along(function, parameters, directions, h=1e-4):
    """d/dh function(parameters + h directions) with an error bound, by central differences at h and 2h.

    Truncation is c h^2 + O(h^4): Richardson's combination (4 g_h - g_2h)/3 removes the first term, and |g_h - g_2h|,
    three times that term, bounds what is left generously. Rounding: the values are good to 1e3 eps of ``scale``, the
    largest value met (1e3: operations in a loss), divided by h.
    """
    values = []
    scale = 0.0
    for step in (h, 2 * h):
        ends = [function([p + s * step * q for p, q in zip(parameters, directions, strict=True)]) for s in (1, -1)]
        values.append((ends[0] - ends[1]) / (2 * step))
        scale = max(scale, abs(ends[0]), abs(ends[1]))
    truncation = abs(values[0] - values[1])
    return (4 * values[0] - values[1]) / 3, truncation + 1e3 * np.finfo(float).eps * max(scale, 1.0) / h
