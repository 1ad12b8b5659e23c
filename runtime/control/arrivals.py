"""How often inputs come: now, and by the hour of the day as past days taught."""

from __future__ import annotations

import math

from msgspec import Struct

from edgehybrid.runtime.control.evolve import evolve

HOURS = 24
_TAU_S = 120.0  # memory of the present rate
_DAY_WEIGHT = 0.3  # of the newest day in an hour's mean
_TRUST_S = 900.0  # so far ahead the present rate is worth as much as the pattern
_HOUR_S = 3600.0


class Arrivals(Struct, frozen=True, kw_only=True, gc=False):
    """The rate of inputs.

    Attributes:
        count: Inputs, fading over two minutes.
        window_s: Time that they are counted over, fading alike.
        at_s: Until when it has been counted, monotonic clock; ``None`` before the first input.
        hours: Inputs a second in each hour of the day, by past days; negative where none has been seen.
        hour: Hour that is being counted.
        hour_count: Inputs in it so far.
        hour_s: Time in it so far.
    """

    count: float = 0.0
    window_s: float = 0.0
    at_s: float | None = None
    hours: tuple[float, ...] = (-1.0,) * HOURS
    hour: int | None = None
    hour_count: float = 0.0
    hour_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Inputs a second now; 0 before the second one."""
        return self.count / self.window_s if self.window_s > 0 else 0.0

    def expected(self, seconds: float, day_s: float | None) -> float:
        """Return how many inputs will come in the next ``seconds``.

        Args:
            seconds: How far ahead.
            day_s: Seconds since local midnight; ``None`` when nobody knows, then the present rate lasts.
        """
        now = self.per_s
        if day_s is None or max(self.hours) < 0:
            return now * seconds
        total, ahead = 0.0, 0.0
        while ahead < seconds:
            hour = int((day_s + ahead) // _HOUR_S) % HOURS
            span = min(_HOUR_S - (day_s + ahead) % _HOUR_S, seconds - ahead)
            trust = math.exp(-(ahead + span / 2) / _TRUST_S)
            usual = self.hours[hour] if self.hours[hour] >= 0 else now
            total += span * (trust * now + (1.0 - trust) * usual)
            ahead += span
        return total


def arrive(arrivals: Arrivals, at_s: float) -> Arrivals:
    """Count an input."""
    if arrivals.at_s is None:
        return evolve(arrivals, at_s=at_s)
    passed = pass_time(arrivals, at_s, None)
    return evolve(passed, count=passed.count + 1.0, hour_count=passed.hour_count + 1.0)


def pass_time(arrivals: Arrivals, at_s: float, day_s: float | None) -> Arrivals:
    """Let time pass until ``at_s``; ``day_s`` is the time of day then, seconds since midnight."""
    if arrivals.at_s is None:
        return arrivals
    dt_s = at_s - arrivals.at_s
    if dt_s <= 0:
        return arrivals if dt_s > -_HOUR_S else evolve(arrivals, at_s=at_s)  # a restart: the clock began anew
    fade = math.exp(-dt_s / _TAU_S)
    after = evolve(
        arrivals,
        count=arrivals.count * fade,
        window_s=arrivals.window_s * fade + _TAU_S * (1.0 - fade),
        at_s=at_s,
        hour_s=arrivals.hour_s + dt_s,
    )
    return after if day_s is None else _turn_hour(after, int(day_s // _HOUR_S) % HOURS)


def _turn_hour(arrivals: Arrivals, hour: int) -> Arrivals:
    if hour == arrivals.hour:
        return arrivals
    hours = list(arrivals.hours)
    if arrivals.hour is not None and arrivals.hour_s > _HOUR_S / 4:
        seen, old = arrivals.hour_count / arrivals.hour_s, hours[arrivals.hour]
        hours[arrivals.hour] = seen if old < 0 else old + _DAY_WEIGHT * (seen - old)
    return evolve(arrivals, hours=tuple(hours), hour=hour, hour_count=0.0, hour_s=0.0)
