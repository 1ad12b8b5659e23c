"""Which arrangement a stream runs in: a pure choice among what was measured, and how many cores are free for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.bench import StreamFigures, Table
from edgehybrid.runtime.control import Decision
from edgehybrid.runtime.execution import Arrangement
from edgehybrid.runtime.telemetry import Snapshot

MOST_AHEAD = 2  # inputs in queues: one more hides a hand-over, more only wait
HEADROOM = 1.25  # what an arrangement must be able to give, as a multiple of what comes
ALIKE = 0.03  # of the largest throughput: less is not worth joules
STARVED = 0.1  # share of the time spent waiting for the source from which on the source sets the pace
_SCALING, _THREAD_POWER = 0.9, 0.5  # of cores that nobody has measured
_BUSY_HALF = 0.3  # of a core that counts as free


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a stream has met since it was last looked at.

    Attributes:
        per_s: Results taken a second.
        starved: Share of the time in which it waited for its source.
        awaited: Share of the time in which whoever takes its results waited for them.
        own_s: Seconds of an input that the app spends: before, after, and with the result.
    """

    per_s: float
    starved: float
    awaited: float
    own_s: float = 0.0


def arrange(
    figures: Iterable[StreamFigures], *, cores: int, pace: Pace | None = None, deadline_s: float | None = None
) -> Arrangement:
    """Choose how a stream spreads its inputs.

    What gives most, where the source always has another input; else what costs least of those that keep up with it.
    With a deadline, never more inputs under way than it allows to be answered in time.

    Args:
        figures: What each arrangement gives; the one without any overlap among them.
        cores: Cores that are free.
        pace: What the stream has met so far; ``None``: it has just begun, and is believed to be fast.
        deadline_s: From taking an input to its result.
    """
    known = [f for f in figures if f.workers <= cores]
    single = next(f for f in known if f.mode == "single")
    source_limits = pace is not None and pace.starved >= STARVED
    taker_limits = pace is not None and not source_limits and pace.awaited < STARVED
    if cores > 1 and not source_limits:  # alone, but beside the app's own work
        known.append(_as_worker(single))
        known.remove(single)
    if deadline_s is not None:
        in_time = [f for f in known if _lanes(f) / f.per_s <= deadline_s]
        known = in_time or [min(known, key=lambda f: _lanes(f) / f.per_s)]
    if pace is not None and (source_limits or taker_limits):
        wanted = pace.per_s * HEADROOM
        enough = [f for f in known if _capacity(f, pace) >= wanted]
        if enough:
            return _arrangement(min(enough, key=lambda f: (f.energy_mj, f.workers)), deadline_s)
    most = max(f.per_s for f in known)
    alike = [f for f in known if f.per_s >= most * (1 - ALIKE)]
    return _arrangement(min(alike, key=lambda f: (f.energy_mj, f.workers)), deadline_s)


def _as_worker(single: StreamFigures) -> StreamFigures:
    return StreamFigures(
        mode="replicas",
        workers=1,
        per_s=single.per_s,
        latency_ms=single.latency_ms,
        cpu_ms=single.cpu_ms,
        energy_mj=single.energy_mj,
    )


def _lanes(figures: StreamFigures) -> int:
    return 1 if figures.mode == "threads" else figures.workers


def _capacity(figures: StreamFigures, pace: Pace) -> float:
    """Inputs a second with the app's own work, which overlaps with all but ``single``."""
    return 1.0 / (1.0 / figures.per_s + pace.own_s) if figures.mode == "single" else figures.per_s


def _arrangement(figures: StreamFigures, deadline_s: float | None) -> Arrangement:
    lanes, ahead = _lanes(figures), MOST_AHEAD
    if deadline_s is not None:
        ahead = min(max(math.floor(deadline_s * figures.per_s) - lanes, 0), MOST_AHEAD)
    return Arrangement(mode=figures.mode, workers=figures.workers, ahead=ahead)


def stream_figures(point: OperatingPoint, table: Table | None, cores: int) -> tuple[StreamFigures, ...]:
    """Return what was measured for a point here; where nobody has, what is believed of it.

    Believed: replicas give nine tenths of a core's worth each, threads the square root of their number, and a pipeline
    is not thought of.
    """
    here = next((f for f in table.points if f.name == point.name), None) if table is not None else None
    if here is not None and here.streams:
        return here.streams
    wall_ms = max(point.latency_ms.mean or point.latency_ms.p50, 1e-6)
    cpu_ms, mj = max(point.cpu_ms, 1e-6), max(point.energy_mj.value, 1e-9)

    def believed(mode: str, workers: int, gain: float, dearer: float, latency_ms: float) -> StreamFigures:
        return StreamFigures(
            mode=mode,  # type: ignore[arg-type]  # one of three words below
            workers=workers,
            per_s=gain * 1e3 / wall_ms,
            latency_ms=latency_ms,
            cpu_ms=cpu_ms * dearer,
            energy_mj=mj * dearer,
        )

    found = [believed("single", 1, 1.0, 1.0, wall_ms)]
    for n in range(2, cores + 1):
        gain, shorter = 1.0 + _SCALING * (n - 1), n**_THREAD_POWER
        found.append(believed("replicas", n, gain, n / gain, wall_ms * n / gain))
        found.append(believed("threads", n, shorter, n / shorter, wall_ms / shorter))
    return tuple(found)


class FreeCores:
    """Cores that other processes leave: what affinity and quota allow, less what others keep busy.

    Args:
        cores: Of the board.
        used_s: CPU seconds of this process so far.
    """

    def __init__(self, cores: int, used_s: Callable[[], float] = time.process_time) -> None:
        self._cores, self._used_s = cores, used_s
        self._last: tuple[float, float] | None = None
        self._others = 0.0
        self.count = 1

    def look(self, snapshot: Snapshot) -> int:
        """Take in a snapshot; return how many cores are free, at least 1."""
        used_s, last = self._used_s(), self._last
        self._last = (snapshot.at_s, used_s)
        if snapshot.cpu_load_pct is not None and last is not None and snapshot.at_s > last[0]:
            own = (used_s - last[1]) / (snapshot.at_s - last[0])
            seen = min(max(self._cores * snapshot.cpu_load_pct / 100.0 - own, 0.0), float(self._cores))
            self._others += 0.5 * (seen - self._others)
        allowed = float(self._cores) if snapshot.cpu_cores is None else snapshot.cpu_cores
        free = min(allowed, self._cores - self._others)
        self.count = max(math.floor(free + _BUSY_HALF), 1)
        return self.count


def spread(decision: Decision, how: Arrangement) -> Decision:
    """Return the decision for an engine whose inputs come in a stream: threads and pieces as the arrangement needs."""
    if how.mode == "single":
        return decision
    return replace(
        decision,
        threads=how.threads,
        alternate_threads=None if decision.alternate is None else how.threads,
        pieces=how.mode == "pipeline",
        reason=f"{decision.reason}; stream: {how}",
    )
