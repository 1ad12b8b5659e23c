"""From sensor readings to the model's input: which sensors, their scale and the window; numpy only, pure functions."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import DataError

Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]

WINDOW = 30  # cycles
SENSORS = (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)  # numbers in the data set; the others never move
RANGES = (  # lowest and highest reading of each in the training data, in its own unit
    (641.21, 644.53),
    (1571.04, 1616.91),
    (1382.25, 1441.49),
    (549.85, 556.06),
    (2387.9, 2388.56),
    (9021.73, 9244.59),
    (46.85, 48.53),
    (518.69, 523.38),
    (2387.88, 2388.56),
    (8099.94, 8293.72),
    (8.3249, 8.5848),
    (388.0, 400.0),
    (38.14, 39.43),
    (22.8942, 23.6184),
)


def scale(readings: Float64Array) -> Float32Array:
    """Map the range that each sensor had in training to [-1, 1]; what lies beyond goes beyond.

    Args:
        readings: The 14 sensors of `SENSORS` in their own units, shape ``(..., 14)``.

    Returns:
        float32, shape as given.

    Raises:
        DataError: The last axis is not 14.
    """
    if readings.ndim == 0 or readings.shape[-1] != len(SENSORS):
        what = f"The readings have shape {list(readings.shape)}; the model reads {len(SENSORS)} sensors."
        raise DataError(what, f"Give the sensors {', '.join(map(str, SENSORS))}, in this order.")
    low, high = np.array(RANGES, dtype=np.float64).T
    scaled: Float32Array = ((readings - low) / (high - low) * 2 - 1).astype(np.float32)
    return scaled


def windows(scaled: Float32Array) -> Float32Array:
    """Return every stretch of 30 cycles, the oldest first.

    Args:
        scaled: What `scale` returns for one machine, oldest cycle first, shape ``(cycles, 14)``.

    Returns:
        float32, shape ``(cycles - 29, 30, 14)``, a view.

    Raises:
        DataError: There are fewer than 30 cycles.
    """
    if len(scaled) < WINDOW:
        raise DataError(f"There are {len(scaled)} cycles; the model reads {WINDOW}.", "Wait for more of them.")
    return np.lib.stride_tricks.sliding_window_view(scaled, WINDOW, axis=0).transpose(0, 2, 1)
