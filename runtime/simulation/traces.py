"""Recorded series: CSV files with a header, ``t_s`` and a value column."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import ScenarioError

Floats = NDArray[np.float64]
TIME = "t_s"
_FIX = "A trace is a CSV with a header, a column t_s that rises, and a column of numbers."


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A series over time; it begins again when it ends.

    Attributes:
        t_s: Seconds from its start, rising from 0, shape ``(n,)``.
        values: Shape ``(n,)``.
        period_s: When it begins again: its last time and one mean step.
    """

    t_s: Floats
    values: Floats
    period_s: float

    def at(self, t_s: Floats) -> Floats:
        """Return the values at ``t_s``, on straight lines between samples."""
        return np.interp(np.mod(t_s, self.period_s), self.t_s, self.values)


def read_trace(path: Path, column: str | None = None) -> Trace:
    """Read a trace.

    Args:
        path: The CSV.
        column: The value column; ``None``: the first that is not ``t_s``.

    Raises:
        ScenarioError: It cannot be read, or is no trace; says the line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            time, value = _columns(path, header, column)
            pairs = [_pair(path, rows.line_num, row, time, value) for row in rows if row]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ScenarioError(f"The trace {path} cannot be read: {reason}.", "Check the path; it is relative.") from error
    if len(pairs) < 2:
        raise ScenarioError(f"The trace {path} has fewer than two rows.", _FIX)
    return make_trace(np.asarray([t for t, _ in pairs]), np.asarray([v for _, v in pairs]), name=str(path))


def make_trace(t_s: Floats, values: Floats, *, name: str = "made in code") -> Trace:
    """Make a trace of times and values; times are moved so that they begin at 0.

    Raises:
        ScenarioError: Times do not rise.
    """
    t_s = np.asarray(t_s, np.float64) - t_s[0]
    steps = np.diff(t_s)
    if (steps < 0).any() or t_s[-1] <= 0:
        row = int(np.argmax(steps < 0)) + 2
        raise ScenarioError(f"The trace {name}: t_s falls at row {row}, or all are equal.", _FIX)
    return Trace(t_s, np.asarray(values, np.float64), float(t_s[-1] + t_s[-1] / len(steps)))


def _columns(path: Path, header: list[str], column: str | None) -> tuple[int, int]:
    names = ", ".join(header)
    if TIME not in header:
        raise ScenarioError(f"The trace {path} has no column {TIME} (it has {names or 'none'}).", _FIX)
    others = [name for name in header if name != TIME]
    if column is not None and column not in others:
        raise ScenarioError(f"The trace {path} has no column {column!r}.", f"It has {names}.")
    if not others:
        raise ScenarioError(f"The trace {path} has no column beside {TIME}.", _FIX)
    return header.index(TIME), header.index(column or others[0])


def _pair(path: Path, line: int, row: list[str], time: int, value: int) -> tuple[float, float]:
    try:
        pair = float(row[time]), float(row[value])
    except (ValueError, IndexError) as error:
        raise ScenarioError(f"The trace {path}, line {line}: {','.join(row)!r} is no pair of numbers.", _FIX) from error
    if not np.isfinite(pair).all():
        raise ScenarioError(f"The trace {path}, line {line}: {','.join(row)!r} is not finite.", _FIX)
    return pair
