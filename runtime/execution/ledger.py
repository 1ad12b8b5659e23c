"""What has run so far: counted beside the hot path, from the notes that it leaves."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_RECENT = 1000


class Note(NamedTuple):
    """What a run leaves behind; a tuple, since it is made on every run."""

    ended_s: float
    point: str
    depth: int
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStats:
    """Latency of the most recent runs (at most 1,000) in milliseconds; all ``None`` before the first."""

    n: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class Ledger:
    """Counts runs by point and depth, and keeps the latest latencies. Not for several threads at once."""

    def __init__(self) -> None:
        self._points: Counter[str] = Counter()
        self._depths: Counter[int] = Counter()
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, note: Note) -> None:
        """Count one run."""
        self._points[note.point] += 1
        self._depths[note.depth] += 1
        self._recent.append(note.latency_s)

    @property
    def points(self) -> Mapping[str, int]:
        """Runs by point."""
        return dict(self._points)

    @property
    def depths(self) -> Mapping[int, int]:
        """Runs by depth."""
        return dict(self._depths)

    @property
    def latency(self) -> LatencyStats:
        """Latency of the most recent runs."""
        if not self._recent:
            return LatencyStats(n=0)
        p50, p95, p99, worst = np.percentile(np.asarray(self._recent) * 1e3, [50, 95, 99, 100]).tolist()
        return LatencyStats(n=len(self._recent), p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=worst)
