"""What has run so far: counted beside the hot path, from the notes that it leaves."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from edgehybrid.runtime.execution.traces import Seen

_RECENT = 1000

Note = tuple[float, str, int, float, Seen | None, int, float]
"""What a run leaves behind: when it ended (s), its point, depth, latency (s), what its exits saw, its threads, and how
long it waited in the queues of a stream (s), which the latency does not hold.

A bare tuple, since one is made on every run.
"""

_POINT_AND_DEPTH = itemgetter(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStats:
    """Latency of the most recent runs (at most 1,000) in milliseconds; all ``None`` before the first."""

    n: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class Ledger:
    """Counts runs by point, inputs by depth, and keeps the latest latencies. Not for several threads at once."""

    def __init__(self) -> None:
        self._rows: Counter[int] = Counter()  # what batches with exits have more or less than one input at their depth
        self._runs: Counter[tuple[str, int]] = Counter()
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._waits: deque[float] = deque(maxlen=_RECENT)

    def add(self, notes: Sequence[Note]) -> None:
        """Count runs."""
        self._runs.update(map(_POINT_AND_DEPTH, notes))
        for note in notes:
            if note[4] is not None and (by_depth := note[4][3]) is not None:
                self._rows[note[2]] -= 1
                self._rows.update(by_depth)
        self._recent.extend(note[3] for note in notes[-_RECENT:])
        self._waits.extend(note[6] for note in notes[-_RECENT:])

    @property
    def inferences(self) -> int:
        """Runs so far."""
        return self._runs.total()

    @property
    def points(self) -> Mapping[str, int]:
        """Runs by point."""
        return self._by(0)

    @property
    def depths(self) -> Mapping[int, int]:
        """Inputs by depth, each row of a batch on its own where a point has exits."""
        runs = Counter(self._by(1))
        runs.update(self._rows)
        return {depth: n for depth, n in sorted(runs.items()) if n > 0}

    @property
    def latency(self) -> LatencyStats:
        """Latency of the most recent runs."""
        return _stats(self._recent)

    @property
    def waits(self) -> LatencyStats:
        """How long the most recent runs waited in the queues of a stream; 0 for those of no stream."""
        return _stats(self._waits)

    def _by(self, part: int) -> dict[Any, int]:
        counts: dict[Any, int] = {}
        for key, n in self._runs.items():
            counts[key[part]] = counts.get(key[part], 0) + n
        return counts


def _stats(seconds: deque[float]) -> LatencyStats:
    if not seconds:
        return LatencyStats(n=0)
    p50, p95, p99, worst = np.percentile(np.asarray(seconds) * 1e3, [50, 95, 99, 100]).tolist()
    return LatencyStats(n=len(seconds), p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=worst)
