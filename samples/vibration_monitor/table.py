"""Readings from a CSV file instead of sensors: a line for every cycle, the columns named s2, s3, ..."""

from __future__ import annotations

import csv
import logging
from collections.abc import Generator
from pathlib import Path

import numpy as np

from samples.common.source import SourceError
from samples.vibration_monitor.features import SENSORS, Float64Array

_log = logging.getLogger("replay")


class Table:
    """One reading per line; a line that is no reading is left out, and said.

    Args:
        path: The file.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def items(self) -> Generator[Float64Array, None, None]:
        """Yield the readings, shape ``(14,)``.

        Raises:
            SourceError: The file cannot be read, or lacks a column.
        """
        columns = [f"s{number}" for number in SENSORS]
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                lines = csv.DictReader(file)
                if missing := [name for name in columns if name not in (lines.fieldnames or ())]:
                    fix = f"Name the columns {', '.join(columns)}."
                    raise SourceError(f"{self._path} has no column {missing[0]}.", fix)
                for number, line in enumerate(lines, start=2):
                    try:
                        reading = np.array([float(line[name]) for name in columns])
                    except (TypeError, ValueError):
                        reading = np.full(len(columns), np.nan)
                    if np.isfinite(reading).all():
                        yield reading
                    else:
                        _log.warning("left out: line %d of %s is not %d numbers", number, self._path, len(columns))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{self._path} cannot be read: {error}.", "Give a CSV file.") from error
