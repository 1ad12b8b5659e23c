"""Hard guards, outside every weighing: when one holds, the most economical point runs at once."""

from __future__ import annotations

from dataclasses import dataclass

from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.telemetry import Snapshot

CRITICAL_MARGIN_C = 3.0
"""Distance to the device's critical temperature at which the guard acts; a board heats by this in a second or two."""

EMPTY_PCT = 5.0
"""A battery below this is nearly empty: gauges err by 2 to 3 %."""

PRESSURE_PCT = 20.0
"""Share of the time that some process waits for memory, from which on the system thrashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A guard that holds now; ``why`` in words and numbers."""

    name: str
    why: str


def find_guard(snapshot: Snapshot, device: DeviceProfile, policy: Policy) -> Guard | None:
    """Return the most urgent guard that holds; ``None`` when all is well or the device cannot tell."""
    temp, battery, free = snapshot.soc_temp_c, snapshot.battery_pct, snapshot.memory_free_mib
    critical = device.thermal.critical_c - CRITICAL_MARGIN_C
    pressure = snapshot.memory_pressure_pct
    if temp is not None and temp >= critical:
        return Guard(name="critical-temperature", why=f"{temp:.0f} °C has reached {critical:.0f} °C")
    if snapshot.under_voltage:
        return Guard(name="under-voltage", why="the supply voltage is too low")
    if snapshot.throttled:
        return Guard(name="throttled", why="the firmware lowers the clock")
    if battery is not None and battery < EMPTY_PCT and not snapshot.on_mains:
        return Guard(name="battery-empty", why=f"battery {battery:.0f} % is below {EMPTY_PCT:.0f} %")
    if free is not None and free < policy.min_memory_mib:
        return Guard(
            name="memory", why=f"{free:.0f} MiB of memory are free, fewer than {policy.min_memory_mib:.0f} MiB"
        )
    if pressure is not None and pressure >= PRESSURE_PCT:
        return Guard(name="memory", why=f"processes wait for memory {pressure:.0f} % of the time")
    return None
