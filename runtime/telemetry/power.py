"""Power of the whole board, from the chips that measure its rails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgehybrid.runtime.telemetry.rails import Rails, total
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing

_LEAST_W = 0.05  # no running board takes less
_MOST_W = 100.0  # the largest Jetson stays below
_ACCURACY = 0.03  # shunt of 1 %, chip of 0.5 % and its steps at low current


@dataclass(slots=True, kw_only=True)
class Power:
    """What flows into the board, by an INA chip; on a Jetson by its own rails."""

    rails: Rails
    name: str = "power rails"
    fields: tuple[str, ...] = ("power_w",)

    def discover(self) -> None:
        """Look for the chips."""
        self.rails.discover()

    def read(self, at_s: float) -> Mapping[str, Reading]:
        """Read the rails and choose the total."""
        rails = self.rails.read(at_s)
        if not rails:
            return {"power_w": missing("/sys/class/hwmon", "no chip that measures power")}
        chosen = total(rails)
        where = ", ".join(f"{r.path} ({r.label})" for r in (chosen[0] if chosen else rails))
        if chosen is None:
            refused = [r for r in rails if r.refused]
            note = next((r.note for r in (*refused, *rails) if r.note), "it measures a battery or a part only")
            return {"power_w": (insane if refused else missing)(where, note)}
        parts, scope, note = chosen
        bad = next((r for r in parts if r.watts is None), None)
        if bad is not None:
            return {"power_w": (insane if bad.refused else missing)(where, f"{bad.label}: {bad.note}")}
        watts = sum(r.watts or 0.0 for r in parts)
        if not _LEAST_W <= watts <= _MOST_W:
            return {"power_w": insane(where, f"{watts:.3g} W cannot be a board's; is shunt_resistor right?")}
        error = _ACCURACY * watts
        return {"power_w": Reading(value=watts, source=where, note=note, scope=scope, uncertainty=error)}
