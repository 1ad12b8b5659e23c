"""A table of figures that were measured on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgehybrid.points import EnergyMj, LatencyMs
from edgehybrid.runtime.execution import Mode

Supply = Literal["mains", "battery", "unknown"]
"""What fed the board: many lower their clock on a battery, so that figures of one do not hold on the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFigures:
    """What a point gives in a stream whose source never lets it wait, spread over cores in one way.

    Attributes:
        mode: Of the arrangement.
        workers: Cores that it uses.
        per_s: Inputs a second.
        latency_ms: Mean time of an input in its stages, beside those that overlap with it.
        cpu_ms: CPU time of an input over all threads, hand-overs included.
        energy_mj: Of an input, by the watts of the board's profile.
    """

    mode: Mode
    workers: int
    per_s: float
    latency_ms: float
    cpu_ms: float
    energy_mj: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFigures:
    """What one inference of a point takes here, run to its full depth.

    Attributes:
        name: Of the point.
        latency_ms: Over the rounds that count.
        cpu_ms: Median CPU time over all threads.
        energy_mj: By the watts of the board's profile.
        runs: How many inferences are behind it.
        streams: What it gives in streams, one after the other first; empty where nobody measured it.
    """

    name: str
    latency_ms: LatencyMs
    cpu_ms: float
    energy_mj: EnergyMj
    runs: int
    streams: tuple[StreamFigures, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All points of a bundle on one device, fed in one way.

    Attributes:
        device: The fingerprint of the device.
        profile: Name of its profile.
        supply: What fed the board.
        measured_at: When, UTC.
        points: Those that run here, in the bundle's order.
        failed: Points that do not, and why.
        rounds: Rounds that count.
        throttled_rounds: Rounds left out because the firmware lowered the clock meanwhile. If it always did, all count.
        steady: Whether the last third of the rounds was as fast as the first, within 10 %.
        soc_temp_c: Temperature at the end.
        note: What should be known of these figures; empty if nothing.
    """

    device: str
    profile: str
    supply: Supply
    measured_at: str
    points: tuple[PointFigures, ...]
    failed: dict[str, str]
    rounds: int
    throttled_rounds: int
    steady: bool
    soc_temp_c: float | None = None
    note: str = ""
