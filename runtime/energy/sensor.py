"""Energy of inferences from a power sensor: its power over time, less that of the idle board."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgehybrid.runtime.energy.values import Joules, Watts
from edgehybrid.runtime.telemetry import Snapshot

_LONGEST_S = 60.0  # between two sweeps; more is a gap, through which nothing is guessed
_UNSTATED = 0.1  # relative, for a power without a stated uncertainty
_LOAD_ERROR = 0.1  # relative: whose CPU time it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """What a power sensor has seen. A value: each method returns the next one.

    Inferences in times that it has not seen are added by the model, with the model's uncertainty.
    """

    joules_seen: float = 0.0
    error_j: float = 0.0
    seconds: float = 0.0
    all_cpu_s: float = 0.0  # of every process, in those seconds
    cpu_s: float = 0.0  # of the inferences in them
    unseen_j: float = 0.0
    unseen_error_j: float = 0.0
    waiting_cpu_s: float = 0.0  # of inferences since the last sweep
    waiting_j: float = 0.0
    waiting_error_j: float = 0.0

    def add_inference(self, cpu_s: float, by_model: Joules) -> Sensor:
        """Count an inference that the next sweep will find seen or unseen."""
        return replace(
            self,
            waiting_cpu_s=self.waiting_cpu_s + max(cpu_s, 0.0),
            waiting_j=self.waiting_j + by_model.value,
            waiting_error_j=self.waiting_error_j + by_model.uncertainty,
        )

    def add_span(self, last: Snapshot, now: Snapshot, busy_cores: float | None) -> tuple[Sensor, Watts | None]:
        """Take in the time between two sweeps; gives the mean power in it, if the sensor has seen both ends.

        The power of a board that its battery charges, or of a part of it, is not the board's: then ``None``. Half the
        distance of the two readings is the error of taking two moments for the whole time.
        """
        mean, span = _mean(last, now), now.at_s - last.at_s
        if mean is None or busy_cores is None or not 0 < span <= _LONGEST_S:
            unseen, error = self.unseen_j + self.waiting_j, self.unseen_error_j + self.waiting_error_j
            return self._settled(unseen_j=unseen, unseen_error_j=error), None
        return self._settled(
            joules_seen=self.joules_seen + mean.value * span,
            error_j=self.error_j + mean.uncertainty * span,
            seconds=self.seconds + span,
            all_cpu_s=self.all_cpu_s + busy_cores * span,
            cpu_s=self.cpu_s + self.waiting_cpu_s,
        ), mean

    def joules(self, idle: Watts) -> Joules | None:
        """Energy of all inferences above an idle board of ``idle``; ``None`` when none was seen."""
        if self.cpu_s <= 0 or self.all_cpu_s <= 0 or self.joules_seen <= 0:
            return None
        share = min(self.cpu_s / self.all_cpu_s, 1.0)
        excess = max(self.joules_seen - idle.value * self.seconds, 0.0)
        value = excess * share
        scale = self.error_j / self.joules_seen  # an error of the sensor is in both, and scales their difference
        spread = share * ((scale * excess) ** 2 + (idle.uncertainty * self.seconds) ** 2) ** 0.5 + value * _LOAD_ERROR
        rest, rest_error = self.unseen_j + self.waiting_j, self.unseen_error_j + self.waiting_error_j
        return Joules(value=value + rest, method="sensor", uncertainty=spread + rest_error)

    def _settled(self, **changes: float) -> Sensor:
        return replace(self, waiting_cpu_s=0.0, waiting_j=0.0, waiting_error_j=0.0, **changes)


def _mean(last: Snapshot, now: Snapshot) -> Watts | None:
    if last.power_w is None or now.power_w is None or "rail" in (last.power_scope, now.power_scope):
        return None
    if last.power_scope != now.power_scope:
        return None
    stated = now.readings["power_w"].uncertainty if "power_w" in now.readings else None
    own = stated if stated is not None else _UNSTATED * now.power_w
    between = abs(last.power_w - now.power_w) / 2
    return Watts(value=(last.power_w + now.power_w) / 2, method="sensor", uncertainty=own + between)
