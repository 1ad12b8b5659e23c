"""More rows for heads: the inputs again, changed mildly or mixed in pairs, to be answered by the full model itself.

A head of hundreds of features or more, fitted on a hundred inputs, learns their accidents. Measured at early cuts of
the keyword spotter and the camera classifier, four variations of each input take a fifth to three quarters off the
area under its risk-coverage curve; late heads of few features gain nothing. Stretching and mixing take off another
third at most cuts, on a speaker and on pictures that were not among the inputs. A mixture of two inputs is no real
input, but asks the model where it draws its borders (Zhang, Cisse, Dauphin, Lopez-Paz 2018, "mixup: Beyond Empirical
Risk Minimization").
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Float64Array = NDArray[np.float64]

NOISE = 0.3
"""Most noise, as a share of the input's standard deviation."""

SHIFT = 16
"""One ``SHIFT``-th of an axis is the most that it is shifted by; shorter axes (colours, sensors) stay."""

STRETCH = 1.25
"""Most that an axis is stretched or shortened about its middle, and that contrast is raised or lowered."""

MIXING = 0.6
"""Both parameters of the beta distribution that shares are drawn from: mostly one input with some of another."""

MOST_ROWS = 1600
"""Of inputs and variations together; heads take the cube of it."""

VARIATIONS = 6
"""Of each input, at most."""


def count_variations(inputs: int) -> int:
    """Return how many variations of each of so many inputs are worth their time."""
    return max(0, min(VARIATIONS, MOST_ROWS // max(inputs, 1) - 1))


def can_vary(rows: Mapping[str, Array]) -> bool:
    """Whether there is an input of floats that is not all alike; integers (words, say) have no mild variation."""
    floats = [values for values in rows.values() if np.issubdtype(values.dtype, np.floating)]
    return any(float(np.asarray(values, dtype=np.float64).std()) > 0 for values in floats)


def vary(rows: Mapping[str, Array], *, seed: int, mixed: bool = False) -> dict[str, Array]:
    """Return one variation of each row.

    Changes the contrast by up to ``STRETCH``, stretches every axis but the batch by up to as much and shifts it by up
    to its ``SHIFT``-th part, repeating the edge, and adds normal noise of a random strength up to ``NOISE``; all within
    the range of the rows. Columns of a table have units of their own and get noise only. All inputs of a row are
    changed by themselves.

    Args:
        rows: Input name to array, first axis the rows.
        seed: Another one, another variation.
        mixed: Mix each row with another one first, all its inputs by the same share; not where an input is no floats.

    Returns:
        The same names, shapes and dtypes; inputs that are not floats as they are.
    """
    draw = np.random.default_rng(seed)
    if mixed and all(np.issubdtype(values.dtype, np.floating) for values in rows.values()):
        rows = mix(rows, draw)
    return {
        name: _vary(values, draw) if np.issubdtype(values.dtype, np.floating) else values
        for name, values in rows.items()
    }


def mix(rows: Mapping[str, Array], draw: np.random.Generator) -> dict[str, Array]:
    """Mix each row with one other, all its inputs with the same one and by the same share."""
    count = len(next(iter(rows.values())))
    other, share = draw.permutation(count), draw.beta(MIXING, MIXING, count)

    def mixture(values: Array) -> Array:
        x = np.asarray(values, dtype=np.float64)
        weight = share.reshape((count,) + (1,) * (x.ndim - 1))
        return (weight * x + (1.0 - weight) * x[other]).astype(values.dtype)

    return {name: mixture(values) for name, values in rows.items()}


def _vary(values: Array, draw: np.random.Generator) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return values
    shape, found = (len(x),) + (1,) * (x.ndim - 1), x
    if x.ndim > 2:
        found = x.mean() + (x - x.mean()) * draw.uniform(1.0 / STRETCH, STRETCH, shape)
        for axis in range(1, x.ndim):
            found = _move(found, axis, draw) if x.shape[axis] >= SHIFT else found
    spread = x.std(axis=0, keepdims=True) if x.ndim == 2 else x.std()
    found = found + draw.standard_normal(x.shape) * spread * draw.uniform(0, NOISE, shape)
    kept: Array = np.clip(found, x.min(), x.max()).astype(values.dtype)
    return kept


def _move(x: Float64Array, axis: int, draw: np.random.Generator) -> Float64Array:
    """Stretch and shift ``axis`` of each row, linear in between."""
    last, rows = x.shape[axis] - 1, len(x)
    factor = draw.uniform(1.0 / STRETCH, STRETCH, (rows, 1))
    most = x.shape[axis] // SHIFT
    shift = draw.integers(-most, most + 1, (rows, 1))
    at = np.clip((np.arange(last + 1) - last / 2) * factor + last / 2 + shift, 0.0, last)
    shape = [rows, *(-1 if i == axis else 1 for i in range(1, x.ndim))]
    low = np.minimum(at.astype(np.int64), last - 1)
    weight = (at - low).reshape(shape)
    below, above = (np.take_along_axis(x, index.reshape(shape), axis=axis) for index in (low, low + 1))
    return np.asarray(below * (1.0 - weight) + above * weight)
