"""What the device said at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Trust = Literal["good", "stale", "frozen", "insane", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One figure with its pedigree; ``value`` is ``None`` unless ``trust`` is ``good`` or ``stale``.

    ``age_s`` is the time since the source last gave a sane value; ``None`` if it never did.
    ``note`` says what is wrong, in words.
    """

    value: float | None
    source: str
    trust: Trust = "good"
    age_s: float | None = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One reading of the device; ``None`` means it cannot tell."""

    at_s: float  # monotonic clock
    battery_pct: float | None = None
    battery_wh: float | None = None  # energy left
    battery_w: float | None = None  # positive: discharging
    on_mains: bool | None = None
    soc_temp_c: float | None = None
    throttled: bool | None = None  # the firmware says that it lowers the clock now
    under_voltage: bool | None = None
    cpu_load_pct: float | None = None  # all cores together, 0 to 100, every process
    cpu_mhz: float | None = None
    cpu_cap_mhz: float | None = None  # kernel-side ceiling
    cpu_cores: float | None = None  # cores this process may use: affinity and cgroup quota
    cpu_pressure_pct: float | None = None  # PSI some avg10
    memory_pressure_pct: float | None = None
    memory_free_mib: float | None = None  # available to us: system and cgroup
    readings: Mapping[str, Reading] = field(default_factory=dict)  # by field name, with trust and age
