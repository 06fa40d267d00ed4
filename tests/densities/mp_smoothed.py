"""Laplace, two-sided exponential and uniform laws with noise in multiple precision, from the formulas as textbooks print them."""

import mpmath as mp


def _digits(*sizes) -> int:
    """50 digits, and what the squares of these sizes cancel."""
    return 80 + 4 * sum(max(0, int(mp.log10(s)) + 1) for s in sizes if s > 0)


def _normal(z):
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def _below(z):
    """Phi(z); mpmath's erfc gives up far out, where the asymptotic series in 1/z^2 has every digit."""
    if abs(z) < 1000:
        return mp.erfc(-z / mp.sqrt(2)) / 2
    term = total = mp.mpf(1)
    for k in range(1, 2000, 2):
        term *= -k / z**2
        total += term
        if abs(term) < mp.eps:
            break
    beyond = _normal(z) / abs(z) * total
    return beyond if z < 0 else 1 - beyond


def derivatives(density, x: float):
    """(p, p', p'') of one coordinate: ``density`` is ('exponential', loc, left, right, sigma) or ('uniform', low, high, sigma)."""
    kind, *parameters, sigma = density
    parameters, sigma, x = [mp.mpf(v) for v in parameters], mp.mpf(sigma), mp.mpf(x)
    if kind == "uniform":
        a, b = ((x - v) / sigma for v in parameters)
        width = parameters[1] - parameters[0]
        mass = _below(a) - _below(b) if a < 0 else _below(-b) - _below(-a)
        return (mass / width, (_normal(a) - _normal(b)) / (width * sigma),
                (b * _normal(b) - a * _normal(a)) / (width * sigma**2))
    loc, left, right = parameters
    v, total = (x - loc) / sigma, [mp.mpf(0)] * 3
    for side, scale in ((-1, left), (1, right)):
        u, theta = side * v, sigma / scale
        p = mp.exp(theta * theta / 2 - theta * u) * _below(u - theta)
        first = _normal(u) - theta * p
        second = -u * _normal(u) - theta * first
        for k, value in enumerate((p, side * first / sigma, second / sigma**2)):
            total[k] += value / (left + right)
    return tuple(total)


def exact(density, x: float):
    """(log p, s, s') of one coordinate at one point, to 50 digits; s' to 60 digits of s^2 once that is the more."""
    kind, *parameters, sigma = density
    away = [abs(x - p) / sigma for p in (parameters if kind == "uniform" else parameters[:1])]
    sizes = [1, *away, *(0 if kind == "uniform" else sigma / p for p in parameters[1:])]
    with mp.workdps(_digits(max(sizes)) + int(min(min(away), 40) ** 2 / 2)):  # s' may be as small as e^{-v^2/2} s^2
        p, first, second = derivatives(density, x)
        s = first / p
        return mp.log(p), s, second / p - s * s
