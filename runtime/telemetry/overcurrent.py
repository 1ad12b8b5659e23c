"""Over-current: the supply cannot give what the board asks for, and the board is slowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehybrid.runtime.telemetry.files import integer, matching, read, shown
from edgehybrid.runtime.telemetry.rails import Rails, alarms
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import missing

_COUNTERS = "sys/class/hwmon/hwmon*/oc*_event_cnt"  # Jetson Orin and Xavier with JetPack 5


@dataclass(slots=True, kw_only=True)
class OverCurrent:
    """Alarms of INA3221 rails and the event counters of Jetsons, taken as throttling while they last."""

    root: str
    rails: Rails  # discovered by the power source, which comes first
    name: str = "over-current"
    fields: tuple[str, ...] = ("throttled",)
    _counters: tuple[str, ...] = ()
    _before: dict[str, int] = field(default_factory=dict)

    def discover(self) -> None:
        """Look for event counters."""
        self._counters = matching(f"{self.root}{_COUNTERS}")

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read alarms and counters; a counter speaks only when it has grown since the last sweep."""
        states = alarms(self.rails.channels)
        counts = {path: value for path in self._counters if (value := integer(read(path).text)) is not None}
        grown = [path for path, value in counts.items() if value > self._before.get(path, value)]
        self._before = counts
        raised = [path for path, value in states.items() if value] + grown
        known = [path for path, value in states.items() if value is not None] + list(counts)
        if not known:
            return {"throttled": missing("/sys/class/hwmon", "no over-current alarm")}
        where = shown((raised or known)[0], self.root)
        note = f"over-current: {', '.join(p.rpartition('/')[2] for p in raised)}" if raised else ""
        return {"throttled": Reading(value=float(bool(raised)), source=where, note=note)}
