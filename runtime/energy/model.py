"""Energy from CPU time and the watts of the board's profile."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.energy.correction import Correction
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
    5.91 W (see ``sources`` in the profile). The profile's relative uncertainty is that of the result, until a
    ``correction`` has seen this very board.
    """

    device: DeviceProfile
    correction: Correction | None = None

    def seen(self, watts: float, *, busy_cores: float, error_w: float) -> EnergyModel:
        """Take in that the board took ``watts`` on average while ``busy_cores`` cores were busy.

        Args:
            watts: Power of the whole board in W.
            busy_cores: Mean number of busy cores, by all processes.
            error_w: Half the 95 % interval of ``watts``, in W.
        """
        before = self.correction or Correction.of(self.device.power)
        return replace(self, correction=before.seen(watts, extra_w=self._extra_w(busy_cores), error_w=error_w))

    @property
    def idle(self) -> Watts:
        """Power of the idle board."""
        power, c = self.device.power, self.correction
        if c is None:
            return Watts(value=power.idle_w, method="model", uncertainty=power.idle_w * power.uncertainty)
        return Watts(value=c.idle_w, method="model", uncertainty=c.idle_uncertainty)

    @property
    def relative_error(self) -> float:
        """Uncertainty of an inference's energy, as a share of it."""
        c = self.correction
        return self.device.power.uncertainty if c is None else c.scale_uncertainty / c.scale

    def watts(self, busy_cores: float) -> Watts:
        """Power of the whole board with ``busy_cores`` cores busy; beyond the profile's last figure, that figure."""
        extra, power, c = self._extra_w(busy_cores), self.device.power, self.correction
        if c is None:
            value = power.idle_w + extra
            return Watts(value=value, method="model", uncertainty=value * power.uncertainty)
        return Watts(value=c.watts(extra), method="model", uncertainty=c.uncertainty(extra))

    def inference(self, cpu_s: float, wall_s: float) -> Joules:
        """Energy of one inference above the idle board.

        Args:
            cpu_s: CPU time of all its threads, in s.
            wall_s: Its latency in s; shorter than ``cpu_s`` when several cores worked.
        """
        if cpu_s <= 0:
            return Joules(value=0.0, method="model", uncertainty=0.0)
        cores = clip(cpu_s / wall_s if wall_s > 0 else 1.0, 0.0, len(self.device.power.busy_w))
        per_core = self._extra_w(cores) / cores if cores else 0.0
        value = cpu_s * per_core * (self.correction.scale if self.correction is not None else 1.0)
        return Joules(value=value, method="model", uncertainty=value * self.relative_error)

    def _extra_w(self, busy_cores: float) -> float:
        """What the profile says of ``busy_cores`` above idle, in W."""
        power = self.device.power
        levels = (power.idle_w, *power.busy_w)
        n = clip(busy_cores, 0.0, len(levels) - 1)
        low = min(int(n), len(levels) - 2)
        return levels[low] + (n - low) * (levels[low + 1] - levels[low]) - power.idle_w
