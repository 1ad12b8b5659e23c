"""The pictures, which are trained on and which are not, and the files that ship: numpy only."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import DataError

Float32Array: TypeAlias = NDArray[np.float32]
UInt8Array: TypeAlias = NDArray[np.uint8]
Int64Array: TypeAlias = NDArray[np.int64]

DIGITS = 10
SIDE = 64  # pixels
TEST_SHARE = 0.1  # of the pictures of each digit
CALIBRATION_PER_DIGIT = 15
SPLIT_SEED = 2011


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures with the digit that each shows: ``pixels`` uint8 ``[n, 64, 64, 3]`` (RGB), ``digits`` int64 ``[n]``."""

    pixels: UInt8Array
    digits: Int64Array

    def __len__(self) -> int:
        return len(self.digits)

    def take(self, rows: Int64Array) -> Pictures:
        """Return the pictures of these rows, in this order."""
        return Pictures(pixels=self.pixels[rows], digits=self.digits[rows])


def read_pictures(path: Path) -> Pictures:
    """Read a file with the arrays ``x`` (uint8 ``[n, 64, 64, 3]``) and ``y`` (0 to 9, ``[n]``).

    Raises:
        DataError: The file is missing, no such file, or its arrays have another shape or type.
    """
    fix = "Give the npz file that the README describes: x uint8 [n, 64, 64, 3] and y int64 [n], 0 to 9."
    try:
        with path.open("rb") as file, np.load(file) as data:
            pixels, digits = data["x"], data["y"]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", fix) from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} does not hold the arrays x and y ({error}).", fix) from error
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (SIDE, SIDE, 3) or digits.shape != pixels.shape[:1]:
        what = f"{path} holds x {pixels.dtype} {list(pixels.shape)} and y {list(digits.shape)}."
        raise DataError(what, fix)
    if len(digits) == 0 or digits.min() < 0 or digits.max() >= DIGITS:
        raise DataError(f"{path} holds no pictures, or digits beyond 0 to 9.", fix)
    return Pictures(pixels=pixels, digits=digits.astype(np.int64))


def to_input(pixels: UInt8Array) -> Float32Array:
    """Return what the model reads.

    Args:
        pixels: RGB, uint8, shape ``(n, 64, 64, 3)``.

    Returns:
        ``pixels / 255``, float32 in [0, 1], shape ``(n, 3, 64, 64)``.
    """
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def split(pictures: Pictures) -> tuple[Pictures, Pictures, Pictures]:
    """Return the pictures to train on, to calibrate with and to test on; no picture is in two of them.

    A tenth of each digit is for the test, 15 of each for calibration. The draw is the same each time.
    """
    draw = np.random.default_rng(SPLIT_SEED)
    parts: tuple[list[Int64Array], ...] = ([], [], [])
    for digit in range(DIGITS):
        rows = draw.permutation(np.flatnonzero(pictures.digits == digit))
        test = round(len(rows) * TEST_SHARE)
        for part, chosen in zip(parts, np.split(rows, [-test - CALIBRATION_PER_DIGIT, -test]), strict=True):
            part.append(chosen)
    train, calibration, test_rows = (draw.permutation(np.concatenate(part)) for part in parts)
    return pictures.take(train), pictures.take(calibration), pictures.take(test_rows)


def write_data(pictures: Pictures, out: Path) -> None:
    """Write ``calibration.npz`` and ``test.npz`` with the arrays ``x`` (the model's input) and ``labels``."""
    _, calibration, test = split(pictures)
    for name, part in (("calibration", calibration), ("test", test)):
        np.savez_compressed(out / f"{name}.npz", x=to_input(part.pixels), labels=part.digits)
