"""Checks of arguments: every refusal names the argument, says what was given, and how to mend it."""

from __future__ import annotations

import numbers

import numpy as np


def batch(x, dim: int | None = None, name: str = "x", dtype=np.float64) -> np.ndarray:
    """``x`` as a finite (n, d) array; with ``dim`` given, d must equal it. ``dtype=None`` keeps float32 as it is."""
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}: pass an array of real numbers of shape (n, d)")
    if dtype is None:
        dtype = np.float32 if array.dtype == np.float32 else np.float64
    array = np.ascontiguousarray(array, dtype=dtype)
    if np.ndim(x) != 2:
        hint = "x[:, None] for n points in one dimension, x[None, :] for one point" if np.ndim(x) == 1 else "one row per point"
        raise ValueError(f"{name} has shape {np.shape(x)}, expected (n, {dim or 'd'}): pass {hint}")
    if dim is not None and array.shape[1] != dim:
        raise ValueError(f"{name} has {array.shape[1]} columns, but the dimension here is {dim}: pass shape (n, {dim})")
    return finite(array, name)


def shown(value) -> str:
    """``value`` as messages show it: an array of more than six entries by its ends and its shape."""
    array = np.asarray(value)
    if array.size <= 6:
        return f"{array.tolist()}" if array.ndim else repr(value) if isinstance(value, str) else f"{value}"
    flat = array.ravel()
    return f"[{', '.join(map(str, flat[:3].tolist()))}, ..., {flat[-1].item()}] of shape {array.shape}"


def briefly(value) -> str:
    """Its repr, or its type where that is long, such as a model's that has all its weights in it."""
    text = repr(value)
    return text if len(text) <= 80 else f"of type {type(value).__name__}"


def of_time(function, t: np.ndarray, name: str) -> np.ndarray:
    """function(t) at times t (n,), as finite non-negative numbers (n,)."""
    mend = "pass a function of arrays, such as lambda t: 1 + 0 * t for a constant; np.vectorize makes one of a function of numbers"
    try:
        values = np.asarray(function(t), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}(t) fails for t of shape {t.shape} ({error}): {mend}") from error
    if values.shape != t.shape:
        raise ValueError(f"{name}(t) has shape {values.shape} for t of shape {t.shape}: {mend}")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name}(t) is {values[at]} at t = {t[at]}: it must be finite and at least 0")
    return values


def reals(value, name: str) -> np.ndarray:
    """``value`` as an array of float64 of any shape, NaN and inf included."""
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "fiub":
        raise TypeError(f"{name} is {shown(value)}, of dtype {array.dtype}: pass real numbers")
    return array.astype(np.float64)


def finite(array: np.ndarray, name: str) -> np.ndarray:
    """``array`` itself when every entry is finite; otherwise the first bad place is named."""
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):  # NaN is its own minimum: no mask needed
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name}{list(place)} is {array[place]}: every entry of {name} must be finite")
    return array


def positive(value, name: str, *, zero: bool = False) -> float:
    """``value`` as a positive (``zero=True``: non-negative) finite float."""
    if not isinstance(value, numbers.Real) and not (isinstance(value, np.ndarray) and value.ndim == 0):
        raise TypeError(f"{name} is {type(value).__name__} {shown(value)}: pass one real number")
    number = float(value)
    if not np.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} is {number}: it must be finite and {'at least 0' if zero else 'greater than 0'}")
    return number


def count(value, name: str, *, least: int = 1) -> int:
    """``value`` as an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {type(value).__name__} {shown(value)}: pass an integer of at least {least}")
    if value < least:
        raise ValueError(f"{name} is {value}: pass an integer of at least {least}")
    return int(value)


def choice(value, name: str, allowed: tuple):
    """``value`` when it is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(map(repr, allowed))}")
    return value


def times(t, n: int, name: str = "t", *, signed: bool = False) -> np.ndarray:
    """``t``, a scalar or an (n,) array, as a finite non-negative (``signed=True``: any) (n,) array: one time a row."""
    array = reals(t, name)
    if array.ndim > 1 or (array.ndim == 1 and array.shape[0] not in (1, n)):
        raise ValueError(f"{name} has shape {array.shape}: pass a scalar, or one time a row, shape ({n},)")
    finite(np.atleast_1d(array), name)
    if not signed and (array < 0).any():
        raise ValueError(f"{name} is {array.min()}: time runs from 0 (data) upwards")
    return np.broadcast_to(array, (n,))


def row_weights(weights, n: int, name: str = "sample_weight") -> np.ndarray:
    """Weights of n rows: non-negative, at least one positive. ``None`` gives equal weights 1/n."""
    if weights is None:
        return np.full(n, 1.0 / n)
    array = reals(weights, name)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}: pass one weight a row, shape ({n},)")
    finite(array, name)
    if (array < 0).any() or not array.any():
        raise ValueError(f"{name} must be non-negative and not all zero (smallest {array.min()}, sum {array.sum()})")
    return array


def ladder(sigmas, name: str = "sigmas", *, least: int = 1) -> np.ndarray:
    """``sigmas`` as an (L,) array of positive, strictly decreasing noise levels, at least ``least`` of them."""
    array = reals(sigmas, name)
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"{name} has shape {array.shape}: pass noise levels, shape (L,), at least {least} of them")
    finite(array, name)
    if not (array > 0).all() or not (np.diff(array) < 0).all():
        hint = f"{name}[::-1]" if (array > 0).all() and (np.diff(array) > 0).all() else f"such as {name} = [1.0, 0.5, 0.25]"
        raise ValueError(
            f"{name} runs {array[0]}, ..., {array[-1]}: noise levels must be positive and strictly decreasing, pass {hint}"
        )
    return array


def generator(rng, name: str = "rng") -> np.random.Generator:
    """A NumPy Generator from an int seed or a Generator; anything else (``None`` too) is refused."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, numbers.Integral) and not isinstance(rng, bool) and int(rng) >= 0:
        return np.random.default_rng(int(rng))
    raise TypeError(f"{name} is {rng!r}: pass a non-negative int seed or a numpy.random.Generator (randomness is never global)")
