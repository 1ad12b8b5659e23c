"""Power of an x86 processor, from its energy counter; only where its file may be read (root, since kernel 5.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehybrid.runtime.telemetry.files import garbage, integer, matching, read, shown
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing
from edgehybrid.units import MICRO

_ZONES = "sys/class/powercap/intel-rapl:[0-9]"
_MOST_W = 1000.0


def used_uj(before: int, now: int, full: int) -> int | None:
    """µJ between two readings of a counter that wraps at ``full``; ``None`` when it went back otherwise."""
    if now >= before:
        return now - before
    return now + full - before if 0 < full >= before else None


@dataclass(slots=True, kw_only=True)
class Rapl:
    """The packages together: processor and its memory controller, not the board."""

    root: str
    name: str = "processor energy"
    fields: tuple[str, ...] = ("power_w",)
    _zones: dict[str, int] = field(default_factory=dict)  # counter -> where it wraps
    _before: dict[str, int] = field(default_factory=dict)
    _at_s: float = 0.0

    def discover(self) -> None:
        """List the packages."""
        zones = matching(f"{self.root}{_ZONES}")
        self._zones = {f"{z}/energy_uj": integer(read(f"{z}/max_energy_range_uj").text) or 0 for z in zones}

    def read(self, at_s: float) -> Mapping[str, Reading]:
        """Compare the counters with those of the sweep before."""
        where = ", ".join(shown(path, self.root) for path in self._zones) or f"/{_ZONES[:-6]}"
        if not self._zones:
            return {"power_w": missing(where, "no energy counter")}
        texts = {path: read(path) for path in self._zones}
        now = {path: value for path, t in texts.items() if (value := integer(t.text)) is not None}
        bad = next((t for path, t in texts.items() if path not in now), None)
        if bad is not None:
            self._before = {}
            return {"power_w": insane(where, garbage(bad.text)) if bad.text else missing(where, bad.note)}
        used = [used_uj(self._before[p], v, self._zones[p]) if p in self._before else None for p, v in now.items()]
        span, self._before, self._at_s = at_s - self._at_s, now, at_s
        if span <= 0 or any(u is None for u in used):
            return {"power_w": missing(where, "needs two sweeps")}
        watts = sum(u for u in used if u is not None) * MICRO / span
        if watts > _MOST_W:
            return {"power_w": insane(where, f"{watts:.3g} W cannot be")}
        note = "the processor only, not the board"
        return {"power_w": Reading(value=watts, source=where, note=note, scope="rail", uncertainty=0.05 * watts)}
