"""psutil, for systems without the kernel files that we read; never beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil

from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import missing
from edgehybrid.runtime.telemetry.thermal import OTHER, rank
from edgehybrid.units import MIB, clip


@dataclass(slots=True, kw_only=True)
class Psutil:
    """Fills what the other sources lack. Asked once at discovery; what does not answer then is not asked again."""

    name: str = "psutil"
    fields: tuple[str, ...] = ("battery_pct", "on_mains", "soc_temp_c", "cpu_load_pct", "memory_free_mib")
    live: frozenset[str] = field(default_factory=frozenset)

    def discover(self) -> None:
        """Try each question."""
        self.live = frozenset(f for f, ask in _QUESTIONS.items() if _asked(ask) is not None)

    def read(self, at_s: float) -> Mapping[str, Reading]:
        """Ask all that answered before."""
        return self.fill(at_s, self.fields)

    def fill(self, at_s: float, wanted: tuple[str, ...]) -> Mapping[str, Reading]:  # noqa: ARG002  # as read
        """Ask only for ``wanted``."""
        found = {f: _asked(_QUESTIONS[f]) for f in wanted if f in self.live}
        return {
            f: missing("psutil", "nothing")
            if (value := found.get(f)) is None
            else Reading(value=value, source="psutil", note="from psutil")
            for f in wanted
        }


def _battery() -> float | None:
    battery = psutil.sensors_battery()
    return None if battery is None else clip(float(battery.percent), 0.0, 100.0)


def _plugged() -> float | None:
    battery = psutil.sensors_battery()
    return None if battery is None or battery.power_plugged is None else float(battery.power_plugged)


def _temperature() -> float | None:
    known = [(rank(k), t.current) for k, ts in psutil.sensors_temperatures().items() for t in ts if 0 < t.current < 150]
    best = min((r for r, _ in known), default=OTHER)
    return max((t for r, t in known if r == best), default=None) if best < OTHER else None


def _load() -> float | None:
    return float(psutil.cpu_percent(None))


def _memory() -> float | None:
    return float(psutil.virtual_memory().available) / MIB


_QUESTIONS: Mapping[str, Callable[[], float | None]] = {
    "battery_pct": _battery,
    "on_mains": _plugged,
    "soc_temp_c": _temperature,
    "cpu_load_pct": _load,
    "memory_free_mib": _memory,
}


def _asked(question: Callable[[], float | None]) -> float | None:
    """Ask psutil. It lacks some functions on some systems, and passes on what it finds in odd files."""
    try:
        return question()
    except (AttributeError, OSError, ValueError, RuntimeError, psutil.Error):
        return None
