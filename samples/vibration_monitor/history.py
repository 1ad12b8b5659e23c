"""The last readings of the machine, kept over restarts and power cuts; numpy only."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

import numpy as np

from samples.vibration_monitor.features import SENSORS, WINDOW, Float32Array, Float64Array, scale, windows

STUCK_CYCLES = 15  # in 100 lives of training no sensor held one value for more than 11

_log = logging.getLogger("history")


class History:
    """At most 30 readings of 14 sensors, oldest first.

    Args:
        path: File to keep them in; ``None`` keeps them in memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._rows: list[list[float]] = []
        self._held = [0] * len(SENSORS)  # cycles for which each sensor has held its value
        self._failing = False
        if path is not None and path.exists():
            self._load(path)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def window(self) -> Float32Array | None:
        """What the model reads, float32 ``(1, 30, 14)``; ``None`` before there are 30 readings."""
        if len(self._rows) < WINDOW:
            return None
        return np.ascontiguousarray(windows(scale(np.array(self._rows)))[-1:])

    @property
    def stuck(self) -> tuple[str, ...]:
        """Sensors that have held exactly one value for so long that it cannot be the machine."""
        return tuple(f"s{SENSORS[i]}" for i, cycles in enumerate(self._held) if cycles >= STUCK_CYCLES)

    def add(self, reading: Float64Array) -> None:
        """Take one reading, shape ``(14,)``, and write the file; a full disk is said once and survived."""
        row = [float(value) for value in reading]
        last = self._rows[-1] if self._rows else None
        self._held = [held + 1 if last is not None and last[i] == row[i] else 1 for i, held in enumerate(self._held)]
        self._rows = [*self._rows[-(WINDOW - 1) :], row]
        if self._path is not None:
            self._save(self._path)

    def _load(self, path: Path) -> None:
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            rows = np.array(kept["rows"], dtype=np.float64).reshape(-1, len(SENSORS))
            held = [int(cycles) for cycles in kept["held"]]
            if not np.isfinite(rows).all() or len(held) != len(SENSORS):
                raise ValueError("not 14 numbers a row")
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s cannot be used (%s): the history begins anew", path, error)
            return
        self._rows, self._held = rows[-WINDOW:].tolist(), held

    def _save(self, path: Path) -> None:
        fresh = path.with_name(f".{path.name}.new")
        try:
            fresh.write_text(json.dumps({"rows": self._rows, "held": self._held}), encoding="utf-8")
            os.replace(fresh, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            if not self._failing:
                _log.error("%s cannot be written: %s. A restart would lose the last readings.", path, error.strerror)
            self._failing = True
            return
        self._failing = False
