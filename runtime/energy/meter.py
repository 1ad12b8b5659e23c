"""Counts the joules of the inferences, by the model and by the gauge, and gives the surer of the two."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgehybrid.runtime.energy.model import EnergyModel
from edgehybrid.runtime.energy.values import Joules
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import wh_to_j

_LOAD_ERROR = 0.1  # relative; ticks of 10 ms, and other processes between two sweeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Energy of all inferences so far, above what the idle board takes. A value: each method returns the next one.

    Two ways lead to it. The **model** adds up CPU seconds times watts. The **gauge** takes what left the battery,
    subtracts what the idle board would have taken, and gives the inferences the share that their CPU time has in
    that of all processes. The gauge can be better only after a long time, when its step is small beside the total;
    and it counts only while the battery alone feeds the board.
    """

    model: EnergyModel
    inferences_j: float = 0.0  # by the model
    cpu_s: float = 0.0  # of inferences within the gauge's time
    board_j: float = 0.0  # out of the battery
    board_s: float = 0.0
    all_cpu_s: float = 0.0  # of every process
    jump_j: float = 0.0  # the largest step of the gauge
    complete: bool = True  # the gauge has seen everything so far
    last: Snapshot | None = None

    def add_inference(self, cpu_s: float, wall_s: float) -> Meter:
        """Count one inference, or several at once: their CPU seconds and their summed latencies."""
        cost = self.model.inference(cpu_s, wall_s).value
        return replace(self, inferences_j=self.inferences_j + cost, cpu_s=self.cpu_s + max(cpu_s, 0.0))

    def add_snapshot(self, now: Snapshot) -> Meter:
        """Count what left the battery since the last snapshot."""
        last = self.last
        if last is None:
            return replace(self, last=now, complete=self.complete and self.cpu_s == 0)
        drop = _drop_j(last, now)
        if drop is None or now.cpu_load_pct is None:
            return replace(self, last=now, complete=False)
        span = now.at_s - last.at_s
        return replace(
            self,
            last=now,
            board_j=self.board_j + drop,
            board_s=self.board_s + span,
            all_cpu_s=self.all_cpu_s + span * self.model.device.cpu.cores * now.cpu_load_pct / 100,
            jump_j=max(self.jump_j, abs(drop)),
        )

    @property
    def by_model(self) -> Joules:
        """Energy of the inferences by the model."""
        spread = self.inferences_j * self.model.device.power.uncertainty
        return Joules(value=self.inferences_j, method="model", uncertainty=spread)

    @property
    def by_gauge(self) -> Joules | None:
        """Energy of the inferences by the gauge; ``None`` when it has not seen all of them, or not moved."""
        if not self.complete or not self.jump_j or self.all_cpu_s <= 0:
            return None
        power = self.model.device.power
        idle = power.idle_w * self.board_s
        share = min(self.cpu_s / self.all_cpu_s, 1.0)
        value = max(self.board_j - idle, 0.0) * share
        spread = share * (self.jump_j**2 + (idle * power.uncertainty) ** 2) ** 0.5 + value * _LOAD_ERROR
        return Joules(value=value, method="gauge", uncertainty=spread)

    @property
    def total(self) -> Joules:
        """Energy of the inferences by the surer method, which it names."""
        gauge = self.by_gauge
        return gauge if gauge is not None and gauge.uncertainty < self.by_model.uncertainty else self.by_model


def _drop_j(last: Snapshot, now: Snapshot) -> float | None:
    """Energy that left the battery between two snapshots; ``None`` when something else may have fed the board."""
    if last.battery_wh is None or now.battery_wh is None or now.at_s <= last.at_s:
        return None
    return None if now.on_mains or last.on_mains else wh_to_j(last.battery_wh - now.battery_wh)
