"""Counts the joules of the inferences by model, gauge and sensor, and gives the surest of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgehybrid.runtime.energy.model import EnergyModel
from edgehybrid.runtime.energy.sensor import Sensor
from edgehybrid.runtime.energy.values import Joules, Watts
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import wh_to_j

_LOAD_ERROR = 0.1  # relative; ticks of 10 ms, and other processes between two sweeps
_UNEVEN = 0.3  # steps of a gauge differ by that much; between their moments lies all the energy otherwise
_GAUGE_SPAN_S = 60.0  # a fine gauge moves at every sweep, and each of its steps is mostly noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The last move of the gauge that was learned from, and what all processes have computed since."""

    at_s: float
    wh: float
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Energy of all inferences so far, above what the idle board takes. A value: each method returns the next one.

    Three ways lead to it. The **model** adds up CPU seconds times watts. The **gauge** takes what left the battery,
    the **sensor** what a power sensor has seen; both subtract what the idle board would have taken, and give the
    inferences the share that their CPU time has in that of all processes. The gauge can be better only after a long
    time, when its step is small beside the total; and it counts only while the battery alone feeds the board.

    Sensor and gauge also correct the watts of the model, so it is right where they do not reach.
    """

    model: EnergyModel
    inferences_j: float = 0.0  # by the model
    inferences_error_j: float = 0.0
    cpu_s: float = 0.0  # of inferences within the gauge's time
    board_j: float = 0.0  # out of the battery
    board_s: float = 0.0
    all_cpu_s: float = 0.0  # of every process
    jump_j: float = 0.0  # the largest step of the gauge
    complete: bool = True  # the gauge has seen everything so far
    last: Snapshot | None = None
    sensor: Sensor = field(default_factory=Sensor)
    anchor: Anchor | None = None

    def add_inference(self, cpu_s: float, wall_s: float) -> Meter:
        """Count one inference, or several at once: their CPU seconds and their summed latencies."""
        cost = self.model.inference(cpu_s, wall_s)
        return replace(
            self,
            inferences_j=self.inferences_j + cost.value,
            inferences_error_j=self.inferences_error_j + cost.uncertainty,
            cpu_s=self.cpu_s + max(cpu_s, 0.0),
            sensor=self.sensor.add_inference(cpu_s, cost),
        )

    def add_snapshot(self, now: Snapshot) -> Meter:
        """Count what the board took since the last snapshot, and learn from it."""
        last = self.last
        if last is None:
            return replace(self, last=now, complete=self.complete and self.cpu_s == 0)
        return self._learned(last, now)._drained(last, now)

    def _learned(self, last: Snapshot, now: Snapshot) -> Meter:
        """Follow the power sensor; where there is none, the gauge."""
        span, cores = now.at_s - last.at_s, self.model.device.cpu.cores
        busy = None if now.cpu_load_pct is None else cores * now.cpu_load_pct / 100
        sensor, power = self.sensor.add_span(last, now, busy)
        if power is not None and busy is not None:
            model = self.model if _old(now, "cpu_load_pct") else self._taught(last, power, busy)
            return replace(self, sensor=sensor, model=model, anchor=None)
        anchor = self.anchor
        if _drop_j(last, now) is None or busy is None or last.battery_wh is None or now.battery_wh is None:
            return replace(self, sensor=sensor, anchor=None)
        if anchor is not None:
            anchor = replace(anchor, cpu_s=anchor.cpu_s + busy * span)
        if now.battery_wh == last.battery_wh:
            return replace(self, sensor=sensor, anchor=anchor)
        fresh = Anchor(at_s=now.at_s, wh=now.battery_wh)
        if anchor is None:
            return replace(self, sensor=sensor, anchor=fresh)
        since = now.at_s - anchor.at_s
        if since < _GAUGE_SPAN_S:
            return replace(self, sensor=sensor, anchor=anchor)
        watts = wh_to_j(anchor.wh - now.battery_wh) / since
        if watts <= 0:
            return replace(self, sensor=sensor, anchor=fresh)
        error = _UNEVEN * wh_to_j(abs(last.battery_wh - now.battery_wh)) / since + _LOAD_ERROR * watts
        model = self.model.seen(watts, busy_cores=anchor.cpu_s / since, error_w=error)
        return replace(self, sensor=sensor, model=model, anchor=fresh)

    def _taught(self, last: Snapshot, power: Watts, busy: float) -> EnergyModel:
        """Correct the model; while the load changes, sensor and load may speak of different moments."""
        before = busy if last.cpu_load_pct is None else self.model.device.cpu.cores * last.cpu_load_pct / 100
        change = abs(self.model.watts(busy).value - self.model.watts(before).value)
        return self.model.seen(power.value, busy_cores=busy, error_w=power.uncertainty + change)

    def _drained(self, last: Snapshot, now: Snapshot) -> Meter:
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
        """Energy of the inferences by the model, with the watts that were known when each of them ran."""
        return Joules(value=self.inferences_j, method="model", uncertainty=self.inferences_error_j)

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
    def by_sensor(self) -> Joules | None:
        """Energy of the inferences by the power sensor; ``None`` when it has seen none of them."""
        return self.sensor.joules(self.model.idle)

    @property
    def total(self) -> Joules:
        """Energy of the inferences by the surest method, which it names."""
        ways = (self.by_model, self.by_gauge, self.by_sensor)
        return min((j for j in ways if j is not None), key=lambda j: j.uncertainty)


def _old(now: Snapshot, name: str) -> bool:
    return name in now.readings and now.readings[name].trust == "stale"


def _drop_j(last: Snapshot, now: Snapshot) -> float | None:
    """Energy that left the battery between two snapshots; ``None`` when something else may have fed the board."""
    if last.battery_wh is None or now.battery_wh is None or now.at_s <= last.at_s:
        return None
    return None if now.on_mains or last.on_mains else wh_to_j(last.battery_wh - now.battery_wh)
