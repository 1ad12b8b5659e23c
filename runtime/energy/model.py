"""Energy from CPU time and the watts of the board's profile."""

from __future__ import annotations

from dataclasses import dataclass

from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.energy.values import Joules, Watts
from edgehybrid.units import clip


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """What work costs on ``device``.

    The watts of a board rise with the number of busy cores ``n``: ``P(n)``, measured in its profile with
    ``P(0)`` idle, and taken as straight lines in between. Work that keeps ``n = cpu_s / wall_s`` cores busy for
    ``wall_s`` costs, above what the idle board takes anyway,

        E = (P(n) - P(0)) · wall_s        (= cpu_s · mean extra watts of one of the n cores)

    The form is that of the measurements on a Raspberry Pi 4B with 0 to 4 cores loaded: 2.65, 3.51, 4.34, 5.14,
    5.91 W (see ``sources`` in the profile). The profile's relative uncertainty is that of the result.
    """

    device: DeviceProfile

    def watts(self, busy_cores: float) -> Watts:
        """Power of the whole board with ``busy_cores`` cores busy; beyond the profile's last figure, that figure."""
        power = self.device.power
        levels = (power.idle_w, *power.busy_w)
        n = clip(busy_cores, 0.0, len(levels) - 1)
        low = min(int(n), len(levels) - 2)
        value = levels[low] + (n - low) * (levels[low + 1] - levels[low])
        return Watts(value=value, method="model", uncertainty=value * power.uncertainty)

    def inference(self, cpu_s: float, wall_s: float) -> Joules:
        """Energy of one inference above the idle board.

        Args:
            cpu_s: CPU time of all its threads, in s.
            wall_s: Its latency in s; shorter than ``cpu_s`` when several cores worked.
        """
        if cpu_s <= 0:
            return Joules(value=0.0, method="model", uncertainty=0.0)
        power = self.device.power
        cores = clip(cpu_s / wall_s if wall_s > 0 else 1.0, 0.0, len(power.busy_w))
        per_core = (self.watts(cores).value - power.idle_w) / cores if cores else 0.0
        value = cpu_s * per_core
        return Joules(value=value, method="model", uncertainty=value * power.uncertainty)
