"""The engine's books: runs, latencies and joules, and what the controller learns from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.control import Observation
from edgehybrid.runtime.energy import EnergyModel, Joules, Meter
from edgehybrid.runtime.execution import LatencyStats, Ledger, Note
from edgehybrid.runtime.telemetry import Snapshot

_TOLD = 64  # runs of one batch that the controller is told of; thousands more would teach it nothing new
_HOW, _LATENCY = itemgetter(1, 2, 5), itemgetter(3)


class Accounts:
    """Turns the notes of runs into counters, observations and joules. Not for several threads at once.

    A run's CPU time is taken from its latency and the share of it that the point computed when it was measured. All
    runs since the last look together never count for more than the process has really used.

    Args:
        points: The points of the bundle.
        device: The board; its watts make joules of CPU time.
        observe: Told of the runs, of the latest ones if there were many.
    """

    def __init__(
        self, points: Iterable[OperatingPoint], device: DeviceProfile, observe: Callable[[Observation], None]
    ) -> None:
        self._points = {point.name: point for point in points}
        self._cores: dict[tuple[str, int, int], float] = {}
        self._meter = Meter(model=EnergyModel(device))
        self._ledger = Ledger()
        self._observe = observe
        self._waiting_cpu_s = self._waiting_wall_s = 0.0
        self._used_s = time.process_time()

    def add(self, notes: Sequence[Note]) -> None:
        """Count runs, oldest first, and tell the controller of the latest."""
        self._ledger.add(notes)
        for (point, depth, threads), same in groupby(notes, _HOW):
            wall_s = sum(map(_LATENCY, same))
            self._waiting_cpu_s += wall_s * self._busy(point, depth, threads)
            self._waiting_wall_s += wall_s
        for ended_s, point, depth, latency_s, _, threads, _ in notes[-_TOLD:]:
            energy = self._meter.model.inference(latency_s * self._busy(point, depth, threads), latency_s).value
            self._observe(
                Observation(
                    at_s=ended_s, point=point, depth=depth, latency_s=latency_s, energy_j=energy, threads=threads
                )
            )

    def look(self, snapshot: Snapshot) -> None:
        """Take a reading of the device into the energy account."""
        self._settle()
        self._meter = self._meter.add_snapshot(snapshot)

    def _busy(self, point: str, depth: int, threads: int) -> float:
        key = (point, depth, threads)
        if key not in self._cores:
            measured = self._points[point]
            self._cores[key] = _busy_cores(measured, depth) * (threads / measured.threads if depth else 1.0)
        return self._cores[key]

    def _settle(self) -> None:
        """Charge the runs since the last look."""
        used_s = time.process_time()
        if self._waiting_wall_s > 0:
            cpu_s = min(self._waiting_cpu_s, used_s - self._used_s)
            self._meter = self._meter.add_inference(cpu_s, self._waiting_wall_s)
        self._waiting_cpu_s = self._waiting_wall_s = 0.0
        self._used_s = used_s

    @property
    def inferences(self) -> int:
        """Runs so far."""
        return self._ledger.inferences

    @property
    def points(self) -> Mapping[str, int]:
        """Runs by point."""
        return self._ledger.points

    @property
    def depths(self) -> Mapping[int, int]:
        """Runs by depth."""
        return self._ledger.depths

    @property
    def latency(self) -> LatencyStats:
        """Latency of the most recent runs."""
        return self._ledger.latency

    @property
    def waits(self) -> LatencyStats:
        """How long the most recent runs waited in the queues of a stream."""
        return self._ledger.waits

    @property
    def joules(self) -> Joules:
        """Energy of all runs so far."""
        self._settle()
        return self._meter.total


def _busy_cores(point: OperatingPoint, depth: int) -> float:
    """Return how many cores the point kept busy while it was measured, at that depth where it has figures for it."""
    if depth == 0:  # an answer that is given again: our own thread
        return 1.0
    cpu_ms, wall_ms = point.cpu_ms, point.latency_ms.p50
    if depth <= len(point.depths):
        cpu_ms, wall_ms = point.depths[depth - 1].cpu_ms, point.depths[depth - 1].latency_ms
    return cpu_ms / wall_ms if wall_ms > 0 else 1.0
