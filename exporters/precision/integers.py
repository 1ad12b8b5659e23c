"""Arithmetic of int8: weights and activations to integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int8Array = NDArray[np.int8]
SMALLEST = 1e-12  # below it a scale could become zero or subnormal


def quantize_per_channel(w: Float32Array, *, axis: int, limit: int = 127) -> tuple[Int8Array, Float32Array]:
    """Quantize ``w`` to int8, one scale per channel, zero at zero.

    Args:
        w: Weights, any shape.
        axis: Channel axis of ``w``.
        limit: Largest integer to use, 127 or less.

    Returns:
        ``q``: int8, shape of ``w``. ``scale``: float32, shape ``(w.shape[axis],)``; ``|w - q·scale| <= scale / 2``.
    """
    others = tuple(index for index in range(w.ndim) if index != axis % w.ndim)
    largest = np.abs(w).max(axis=others, initial=0.0).astype(np.float32)
    scale = np.maximum(largest / np.float32(limit), np.float32(SMALLEST)).astype(np.float32)
    shape = [1] * w.ndim
    shape[axis] = -1
    q = np.clip(np.rint(w / scale.reshape(shape)), -limit, limit).astype(np.int8)
    return q, scale


def activation_params(low: float, high: float, *, signed: bool) -> tuple[np.float32, NDArray[np.generic]]:
    """Scale and zero point for values in ``[low, high]``; the range is widened to hold zero, which stays exact.

    Returns:
        The scale, and the zero point as uint8 (or int8 when ``signed``).
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max((high - low) / 255.0, SMALLEST))
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    return scale, np.array(zero - 128 if signed else zero, dtype=np.int8 if signed else np.uint8)
