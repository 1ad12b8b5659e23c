"""Random changes that make a few pictures look like many: numpy only, every draw from one generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samples.camera_classifier.dataset import Float32Array

ROTATION_RAD = 0.28  # 16 degrees
ZOOM = 0.18
SHEAR = 0.12
SHIFT = 0.12  # of the side
CONTRAST = 0.35
BRIGHTNESS = 0.15
COLOUR = 0.12  # gain of each channel
NOISE = 0.03
CUTOUT_SHARE = 0.35  # of the side, at most


def augment(x: Float32Array, draw: np.random.Generator) -> Float32Array:
    """Return the pictures as another place, distance, light and hand might have given them.

    Args:
        x: Pictures with values in [0, 1], shape ``(n, 3, side, side)``.
        draw: Source of every random choice.

    Returns:
        float32 in [0, 1], shape as given.
    """
    return np.clip(_cut_out(_recolour(_move(x, draw), draw), draw), 0, 1)


def _move(x: Float32Array, draw: np.random.Generator) -> Float32Array:
    """Turn, zoom, shear and shift each picture; what comes in from outside repeats the edge."""
    n, channels, side, _ = x.shape
    turn, shear = draw.uniform(-ROTATION_RAD, ROTATION_RAD, (n, 1)), draw.uniform(-SHEAR, SHEAR, (n, 1))
    zoom = np.exp(draw.uniform(-ZOOM, ZOOM, (n, 2)))
    shift = draw.uniform(-SHIFT, SHIFT, (n, 2)) * side
    middle = (side - 1) / 2
    down, right = (axis.reshape(1, -1) - middle for axis in np.mgrid[:side, :side])
    cos, sin = np.cos(turn), np.sin(turn)
    rows = zoom[:, :1] * (cos * down + sin * right) + shift[:, :1] + middle
    columns = zoom[:, 1:] * (cos * right - sin * down + shear * down) + shift[:, 1:] + middle
    return _sample(x.reshape(n, channels, side * side), rows, columns, side).reshape(x.shape)


def _sample(flat: Float32Array, rows: NDArray[np.float64], columns: NDArray[np.float64], side: int) -> Float32Array:
    """Return the pictures at ``rows`` and ``columns``, both ``(n, points)``, bilinear: ``(n, channels, points)``."""
    rows, columns = np.clip(rows, 0, side - 1.001), np.clip(columns, 0, side - 1.001)
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    low, far = (rows - top).astype(np.float32)[:, None], (columns - left).astype(np.float32)[:, None]
    at = (top * side + left)[:, None]

    def pick(step: int) -> Float32Array:
        return np.take_along_axis(flat, at + step, axis=2)

    above = pick(0) * (1 - far) + pick(1) * far
    below = pick(side) * (1 - far) + pick(side + 1) * far
    return (above * (1 - low) + below * low).astype(np.float32)


def _recolour(x: Float32Array, draw: np.random.Generator) -> Float32Array:
    n = len(x)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    contrast = np.exp(draw.uniform(-CONTRAST, CONTRAST, (n, 1, 1, 1))).astype(np.float32)
    brightness = draw.uniform(-BRIGHTNESS, BRIGHTNESS, (n, 1, 1, 1)).astype(np.float32)
    colour = np.exp(draw.uniform(-COLOUR, COLOUR, (n, 3, 1, 1))).astype(np.float32)
    level = draw.uniform(0, NOISE, (n, 1, 1, 1)).astype(np.float32)
    noise = draw.standard_normal(x.shape, dtype=np.float32) * level
    coloured: Float32Array = ((x - mean) * contrast + mean) * colour + brightness + noise
    return coloured


def _cut_out(x: Float32Array, draw: np.random.Generator) -> Float32Array:
    """Paint a rectangle of one random colour over half of the pictures."""
    side = x.shape[-1]
    for picture in x:
        if draw.random() < 0.5:
            continue
        height, width = draw.integers(4, int(side * CUTOUT_SHARE), 2)
        top, left = draw.integers(0, side - height), draw.integers(0, side - width)
        picture[:, top : top + height, left : left + width] = draw.random((3, 1, 1), dtype=np.float32)
    return x
