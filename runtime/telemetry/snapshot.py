"""What the device said at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Trust = Literal["good", "stale", "frozen", "insane", "missing"]
Scope = Literal["board", "battery", "rail"]
"""What a power figure covers: all that the board takes, all that leaves its battery, or a part of the board."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One figure with its pedigree; ``value`` is ``None`` unless ``trust`` is ``good`` or ``stale``.

    ``age_s`` is the time since the source last gave a sane value; ``None`` if it never did.
    ``note`` says what is wrong, in words. A power has its ``scope`` and ``uncertainty``: half a 95 % interval, in W.
    """

    value: float | None
    source: str
    trust: Trust = "good"
    age_s: float | None = 0.0
    note: str = ""
    scope: Scope | None = None
    uncertainty: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One reading of the device; ``None`` means it cannot tell."""

    at_s: float  # monotonic clock
    battery_pct: float | None = None
    battery_wh: float | None = None  # energy left
    battery_w: float | None = None  # positive: discharging
    on_mains: bool | None = None
    power_w: float | None = None  # what the board takes now, as a power sensor says
    power_scope: Scope | None = None  # what power_w covers
    soc_temp_c: float | None = None
    throttled: bool | None = None  # the firmware says that it lowers the clock now
    under_voltage: bool | None = None
    cpu_load_pct: float | None = None  # all cores together, 0 to 100, every process
    cpu_mhz: float | None = None  # as requested from the hardware, which may run slower
    cpu_cap_mhz: float | None = None  # kernel-side ceiling
    cpu_cores: float | None = None  # cores this process may use: affinity and cgroup quota
    cpu_pressure_pct: float | None = None  # PSI some avg10
    memory_pressure_pct: float | None = None
    memory_free_mib: float | None = None  # available to us: system and cgroup
    npu_present: bool | None = None  # False: it was there, or its bus still shows it, and it does not answer
    npu_load_pct: float | None = None
    npu_temp_c: float | None = None
    npu_mhz: float | None = None
    readings: Mapping[str, Reading] = field(default_factory=dict)  # by field name, with trust and age
