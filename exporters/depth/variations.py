"""More rows for heads: the inputs again with mild noise and shifts, to be answered by the full model itself.

A head of hundreds of features or more, fitted on a hundred inputs, learns their accidents. Measured at early cuts of
the keyword spotter and the camera classifier, four variations of each input take a fifth to three quarters off the
area under its risk-coverage curve; late heads of few features gain nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

NOISE = 0.3
"""Most noise, as a share of the input's standard deviation."""

SHIFT = 16
"""One ``SHIFT``-th of an axis is the most that it is shifted by; shorter axes (colours, sensors) stay."""

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


def vary(rows: Mapping[str, Array], *, seed: int) -> dict[str, Array]:
    """Return one variation of each row.

    Adds normal noise of a random strength up to ``NOISE`` and shifts every axis but the batch by a random amount up to
    its ``SHIFT``-th part, repeating the edge; keeps within the range of the rows. All inputs of a row are shifted by
    themselves.

    Args:
        rows: Input name to array, first axis the rows.
        seed: Another one, another variation.

    Returns:
        The same names, shapes and dtypes; inputs that are not floats as they are.
    """
    draw = np.random.default_rng(seed)
    return {
        name: _vary(values, draw) if np.issubdtype(values.dtype, np.floating) else values
        for name, values in rows.items()
    }


def _vary(values: Array, draw: np.random.Generator) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return values
    shape = (len(x),) + (1,) * (x.ndim - 1)
    spread = x.std(axis=0, keepdims=True) if x.ndim == 2 else x.std()  # columns of a table have their own units
    noisy = x + draw.standard_normal(x.shape) * spread * draw.uniform(0, NOISE, shape)
    for axis in range(1, x.ndim if x.ndim > 2 else 0):
        most = x.shape[axis] // SHIFT
        moved = np.arange(x.shape[axis]) - draw.integers(-most, most + 1, (len(x), 1))
        index = np.clip(moved, 0, x.shape[axis] - 1).reshape(
            [len(x), *(-1 if i == axis else 1 for i in range(1, x.ndim))]
        )
        noisy = np.take_along_axis(noisy, index, axis=axis) if most else noisy
    kept: Array = np.clip(noisy, x.min(), x.max()).astype(values.dtype)
    return kept
