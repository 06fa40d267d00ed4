"""Forward SDEs: paths on two grids, simulation against exact laws, several shapes of noise, float32, the same bits, refusals."""

import numpy as np
import pytest

from refscore import _blocks
from refscore.processes import OU
from refscore.samplers import forward_sde, refined_increments, wiener_increments

TIMES = np.array([0.0, 0.2, 0.5, 0.6, 1.0])
SQUARE = np.ones((3, 2))
SCHEMES = ("euler_maruyama", "milstein", "heun")


def drift(x, t):
    return np.sin(x) - (1 + t) * x


def diffusion(x, t):
    return (0.5 + t) * np.sqrt(1 + x * x)


def slope(x, t):
    return (0.5 + t) * x / np.sqrt(1 + x * x)


def steps(scheme, times=TIMES):
    return forward_sde(drift, diffusion, times, scheme, slope if scheme == "milstein" else None)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_path_is_its_steps_and_a_slice_some_of_them(scheme):
    rng = np.random.default_rng(1)
    x, dw = rng.standard_normal((5, 2)), wiener_increments(TIMES, rng.standard_normal((4, 5, 2)))
    path = steps(scheme).path(x, dw)
    assert path.shape == (5, 5, 2) and (path[0] == x).all()
    for k in range(4):
        np.testing.assert_array_equal(path[k + 1], steps(scheme).step(k, path[k], dw[k]))
    np.testing.assert_array_equal(steps(scheme)[1:3].path(path[1], dw[1:3])[-1], path[3])
    np.testing.assert_array_equal(steps(scheme).step(-1, x, dw[3]), steps(scheme).step(3, x, dw[3]))


@pytest.mark.parametrize(("scheme", "order"), [("euler_maruyama", 0.5), ("milstein", 1.0), ("heun", 1.0)])
def test_paths_of_a_nonlinear_equation_approach_each_other(scheme, order):
    """Both grids on one path, rms difference C h^order over 4000 rows (a percent of noise): 4 times finer, 4^order times nearer.

    An order too low by 1/2 is a factor of 2, and a wrong scheme or an unshared path does not converge at all.
    """
    n, rng, coarse = 4000, np.random.default_rng(2), np.linspace(0, 1, 17)
    dw = wiener_increments(coarse, rng.standard_normal((16, n, 1)))
    ends, grid = [], coarse
    for _ in range(5):
        ends.append(steps(scheme, grid).path(np.full((n, 1), 0.3), dw)[-1])
        finer = np.sort(np.append(grid, (grid[1:] + grid[:-1]) / 2))
        dw, grid = refined_increments(grid, dw, finer, rng.standard_normal((len(finer) - 1, n, 1))), finer
    apart = [np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(ends[:-1], ends[1:])]
    assert abs(np.log2(apart[1] / apart[3]) / 2 - order) < 0.15, apart


def test_simulation_has_the_exact_law_of_the_scheme():
    """Euler-Maruyama of OU in d = 2 from a point is normal: mean q x0, variance sum P^2 g^2 h, in closed form.

    Statistics: 4 z-values (2 means, variance over both coordinates, correlation), each at 5.5 standard errors: a false alarm in
    10^7. With n = 40 000 a factor of 1.02 in the noise's standard deviation is 8 standard errors.
    """
    process, n, x0 = OU(0.8, 1.3), 40_000, np.array([0.7, -1.1])
    found = forward_sde(process.drift, lambda x, t: process.diffusion(t), TIMES).simulate(np.tile(x0, (n, 1)), 5)
    factors = 1 - 0.8 * np.diff(TIMES)
    later = np.append(np.cumprod(factors[::-1])[::-1][1:], 1.0)
    variance = float((later**2 * 1.3**2 * np.diff(TIMES)).sum())
    z = (found - np.prod(factors) * x0) / np.sqrt(variance)
    assert (np.abs(z.mean(axis=0)) * np.sqrt(n) < 5.5).all()
    assert abs((z * z).mean() - 1) * np.sqrt(n) < 5.5
    assert abs((z[:, 0] * z[:, 1]).mean()) * np.sqrt(n) < 5.5


def test_noise_of_every_shape():
    """A number, one a row and one an entry are the same noise when they say the same."""
    rng = np.random.default_rng(4)
    x, dw = rng.standard_normal((2, 5, 3))
    row = rng.uniform(0.5, 1.0, (5, 1))
    for scheme in ("euler_maruyama", "heun"):
        for narrow, wide in ((0.7, np.full((5, 3), 0.7)), (row, np.repeat(row, 3, axis=1))):
            a, b = (forward_sde(drift, lambda x, t, g=g: g, TIMES, scheme).step(1, x, dw) for g in (narrow, wide))
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_bits_for_any_number_of_threads_and_float32_stays(scheme):
    x0 = np.random.default_rng(6).standard_normal((50_000, 2)).astype(np.float32)
    found = []
    for threads in (1, 3):
        with _blocks.parallel(threads=threads):
            found.append(steps(scheme).simulate(x0, 7))
    assert found[0].dtype == np.float32
    np.testing.assert_array_equal(*found)
    double = forward_sde(lambda x, t: np.float64(2) * x, lambda x, t: np.float64(1.3), TIMES)
    assert double.simulate(x0, 7).dtype == double.step(0, x0, x0).dtype == np.float32


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: forward_sde(0.0, diffusion, TIMES), TypeError, r"drift is 0.0: pass a callable drift\(x, t\)"),
    (lambda: forward_sde(drift, 1.0, TIMES), TypeError, "diffusion is 1.0"),
    (lambda: forward_sde(drift, diffusion, TIMES, "milstein", 1.0), TypeError, "slope is 1.0"),
    (lambda: forward_sde(drift, diffusion, TIMES, "euler"), ValueError, "scheme is 'euler': choose one of 'euler_maruyama'"),
    (lambda: forward_sde(drift, diffusion, TIMES, "milstein"), ValueError, r"pass slope\(x, t\)"),
    (lambda: forward_sde(drift, diffusion, TIMES, "heun", slope), ValueError, "leave slope out"),
    (lambda: forward_sde(drift, diffusion, TIMES[::-1]), ValueError, "strictly increasing"),
    (lambda: steps("heun").step(0, np.ones((3, 1)), np.ones((3, 2))), ValueError, "increment has 2 columns"),
    (lambda: steps("heun").path(np.ones((3, 1)), np.ones((3, 3, 1))), ValueError,
     r"increments have shape \(3, 3, 1\): pass shape \(4, n, d\)"),
    (lambda: steps("heun")[2:2], ValueError, "at least one"),
    (lambda: steps("heun")[::2], ValueError, "steps in a row"),
    (lambda: steps("heun")[2], TypeError, "pass a slice"),
    (lambda: forward_sde(lambda x, t: x[:, :1], diffusion, TIMES).step(0, SQUARE, SQUARE), ValueError, "drift.*shape"),
    (lambda: forward_sde(drift, lambda x, t: x[:, 0], TIMES).step(0, SQUARE, SQUARE), ValueError, "noise that is diagonal"),
    (lambda: forward_sde(drift, lambda x, t: x[0], TIMES).step(0, np.ones((3, 2)), np.ones((3, 2))), ValueError,
     r"diffusion\(x, t\) has shape \(2,\): return a number, \(3, 1\) or \(3, 2\)"),
    (lambda: forward_sde(lambda x, t: 1e200 * x**3, diffusion, TIMES).path(np.ones((1, 1)), np.ones((4, 1, 1))), ValueError,
     "step 1 from t = 0.2 gives inf.*shorter steps"),
])
@pytest.mark.filterwarnings("ignore:overflow")
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
