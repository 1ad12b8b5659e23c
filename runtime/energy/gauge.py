"""Power from the slope of the battery gauge."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgehybrid.runtime.energy.values import Watts
from edgehybrid.runtime.telemetry import Slope, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """Follows the energy left in the battery. A value: `push` returns the next one."""

    slope: Slope = field(default_factory=Slope)

    def push(self, snapshot: Snapshot) -> Gauge:
        """Take in one snapshot; one without battery energy changes nothing."""
        if snapshot.battery_wh is None:
            return self
        return replace(self, slope=self.slope.push(snapshot.at_s, snapshot.battery_wh))

    @property
    def watts(self) -> Watts | None:
        """Power out of the battery; ``None`` before the gauge has jumped twice. The uncertainty is one jump."""
        found = self.slope.watts()
        return None if found is None else Watts(value=found[0], method="gauge", uncertainty=found[1])
