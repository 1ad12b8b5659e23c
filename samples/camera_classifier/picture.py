"""From a frame of any size to what the model reads, and to a picture that a browser shows; numpy only."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from samples.camera_classifier.dataset import SIDE, Float32Array, UInt8Array, to_input


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture: ``pixels`` is RGB, uint8, shape ``(height, width, 3)``; ``name`` says where it is from."""

    pixels: UInt8Array
    name: str


def square(pixels: UInt8Array, side: int = SIDE) -> UInt8Array:
    """Cut out the square in the middle and scale it to ``side`` × ``side``.

    A larger picture is averaged over the area of each new pixel, a smaller one repeats its nearest.

    Args:
        pixels: uint8, shape ``(height, width, 3)``.
        side: Of the result.
    """
    height, width = pixels.shape[:2]
    edge = int(min(height, width))
    top, left = (height - edge) // 2, (width - edge) // 2
    cut = pixels[top : top + edge, left : left + edge]
    if edge == side:
        return np.asarray(cut)
    starts = np.arange(side) * edge // side
    if edge < side:
        nearest: UInt8Array = cut[starts][:, starts]
        return nearest
    sums = np.add.reduceat(np.add.reduceat(cut.astype(np.float32), starts, axis=0), starts, axis=1)
    counts = np.diff(np.append(starts, edge)).astype(np.float32)
    scaled: UInt8Array = np.rint(sums / (counts[:, None] * counts)[..., None]).astype(np.uint8)
    return scaled


def model_input(frame: Frame) -> Float32Array:
    """Return float32 in [0, 1], shape ``(1, 3, 64, 64)``."""
    return to_input(square(frame.pixels)[None])


def bmp(pixels: UInt8Array) -> bytes:
    """Return the picture as a BMP file: every browser shows it, and it needs no library.

    Args:
        pixels: RGB, uint8, shape ``(height, width, 3)``.
    """
    height, width = pixels.shape[:2]
    stride = -(-width * 3 // 4) * 4
    rows = np.zeros((height, stride), np.uint8)
    rows[:, : width * 3] = pixels[::-1, :, ::-1].reshape(height, width * 3)
    head = struct.pack("<2sIHHI", b"BM", 54 + rows.size, 0, 0, 54)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, 2835, 2835, 0, 0) + rows.tobytes()
