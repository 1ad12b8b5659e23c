"""How high on the ladder each concern lets us go, and why; level 0 is the best point.

Each limit has two readings: the level that the figure asks for, and the one that it asks for when worse by its
hysteresis. In between the last level stays, so that noise smaller than the hysteresis never moves anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct, field

from edgehybrid.profiles import BatteryPolicy, Thermal, ThermalPolicy

_MAX_TREND_C = 10.0
_BEFORE_THROTTLE = 0.25  # the most economical point runs before the last quarter of the headroom is gone
_SECOND_LINE = 0.5  # below this share of the headroom the plan has failed


class Limit(Struct, frozen=True, kw_only=True, gc=False):
    """The best level that one concern allows, and why, in words and numbers."""

    level: int
    why: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


def hold(last: int, asked: int, asked_when_worse: int) -> int:
    """Stay at ``last`` as long as it lies between the two readings."""
    return min(max(last, asked), asked_when_worse)


@lru_cache(maxsize=64)
def steps(start: float, end: float, rungs: int) -> tuple[float, ...]:
    """Spread the thresholds between ``rungs`` points evenly from ``start`` to ``end``; a single one in the middle."""
    if rungs <= 2:
        return ((start + end) / 2,) * (rungs - 1)
    return tuple(start + (end - start) * k / (rungs - 2) for k in range(rungs - 1))


def battery_limit(pct: float, last: int, rungs: int, policy: BatteryPolicy) -> Limit:
    """Fall from the best point above ``full_above_pct`` to the last below ``least_below_pct``."""
    thresholds = steps(policy.full_above_pct, policy.least_below_pct, rungs)
    asked = sum(pct < threshold for threshold in thresholds)
    level = hold(last, asked, sum(pct < threshold + policy.hysteresis_pct for threshold in thresholds))
    if level == 0:
        return Limit(level=0, numbers={"battery_pct": pct})
    threshold = thresholds[level - 1]
    why = f"battery {pct:.0f} % is below {threshold:.0f} %"
    if level > asked:
        why = f"battery {pct:.1f} % is not back above {threshold + policy.hysteresis_pct:.0f} %"
    return Limit(level=level, why=why, numbers={"battery_pct": pct, "battery_threshold_pct": threshold})


def heat_limit(temp_c: float, trend_c: float, last: int, rungs: int, thermal: Thermal, policy: ThermalPolicy) -> Limit:
    """Step down between half of ``headroom_c`` below the throttling temperature and shortly before it.

    The second line, where the plan of the watts fails or nothing tells them. ``trend_c`` is how much warmer it will be
    in ten seconds; cooling does not count.
    """
    ahead = temp_c + min(max(trend_c, 0.0), _MAX_TREND_C)
    start = thermal.throttle_c - policy.headroom_c * _SECOND_LINE
    thresholds = steps(start, thermal.throttle_c - policy.headroom_c * _BEFORE_THROTTLE, rungs)
    thresholds = (start,) if rungs == 2 else thresholds
    numbers = {"soc_temp_c": temp_c, "soc_temp_ahead_c": ahead}
    if not thresholds or ahead <= thresholds[0] - policy.hysteresis_c:
        return Limit(level=0, numbers=numbers)
    asked = sum(ahead > threshold for threshold in thresholds)
    level = hold(last, asked, sum(ahead > threshold - policy.hysteresis_c for threshold in thresholds))
    if level == 0:
        return Limit(level=0, numbers=numbers)
    threshold = thresholds[level - 1]
    shown = f"{temp_c:.4g} °C" if ahead - temp_c < 0.5 else f"{temp_c:.4g} °C, soon {ahead:.4g} °C,"
    why = f"{shown} is above {threshold:.4g} °C"
    if level > asked:
        why = f"{shown} is not back below {threshold - policy.hysteresis_c:.4g} °C"
    return Limit(level=level, why=why, numbers={**numbers, "heat_threshold_c": threshold})
