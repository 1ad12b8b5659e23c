"""A table of figures that were measured on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgehybrid.points import EnergyMj, LatencyMs

Supply = Literal["mains", "battery", "unknown"]
"""What fed the board: many lower their clock on a battery, so that figures of one do not hold on the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFigures:
    """What one inference of a point takes here, run to its full depth.

    Attributes:
        name: Of the point.
        latency_ms: Over the rounds that count.
        cpu_ms: Median CPU time over all threads.
        energy_mj: By the watts of the board's profile.
        runs: How many inferences are behind it.
    """

    name: str
    latency_ms: LatencyMs
    cpu_ms: float
    energy_mj: EnergyMj
    runs: int


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
