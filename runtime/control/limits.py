"""How high on the ladder each concern lets us go, and why; level 0 is the best point.

Each limit has two readings: the level that the figure asks for, and the one that it asks for when worse by its
hysteresis. In between the last level stays, so that noise smaller than the hysteresis never moves anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import BatteryPolicy, Thermal, ThermalPolicy
from edgehybrid.runtime.control.estimators import Learned

TREND_S = 10.0
"""How far ahead the temperature is looked at, and over how long its trend is taken, in seconds."""

_MAX_TREND_C = 10.0
_BEFORE_THROTTLE = 0.25  # the most economical point runs before the last quarter of the headroom is gone
_DEADLINE_MARGIN = 0.9
_PLAN_MARGIN = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The best level that one concern allows, and why, in words and numbers."""

    level: int
    why: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


def hold(last: int, asked: int, asked_when_worse: int) -> int:
    """Stay at ``last`` as long as it lies between the two readings."""
    return min(max(last, asked), asked_when_worse)


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
    """Step down between ``headroom_c`` below the throttling temperature and shortly before it.

    ``trend_c`` is how much warmer it will be ``TREND_S`` from now; cooling does not count.
    """
    ahead = temp_c + min(max(trend_c, 0.0), _MAX_TREND_C)
    start = thermal.throttle_c - policy.headroom_c
    thresholds = steps(start, thermal.throttle_c - policy.headroom_c * _BEFORE_THROTTLE, rungs)
    thresholds = (start,) if rungs == 2 else thresholds
    asked = sum(ahead > threshold for threshold in thresholds)
    level = hold(last, asked, sum(ahead > threshold - policy.hysteresis_c for threshold in thresholds))
    numbers = {"soc_temp_c": temp_c, "soc_temp_ahead_c": ahead}
    if level == 0:
        return Limit(level=0, numbers=numbers)
    threshold = thresholds[level - 1]
    shown = f"{temp_c:.4g} °C" if ahead - temp_c < 0.5 else f"{temp_c:.4g} °C, soon {ahead:.4g} °C,"
    why = f"{shown} is above {threshold:.4g} °C"
    if level > asked:
        why = f"{shown} is not back below {threshold - policy.hysteresis_c:.4g} °C"
    return Limit(level=level, why=why, numbers={**numbers, "heat_threshold_c": threshold})


def plan_limit(
    points: Sequence[OperatingPoint],
    learned: Learned,
    now_s: float,
    left_s: float,
    left_wh: float,
    base_w: float,
    last: int,
) -> Limit:
    """Choose the best point whose energy until the end of the mission is there.

    Args:
        points: The ladder.
        learned: For the slowdown, which costs energy as it costs time, and for the rate of inputs.
        now_s: Monotonic clock.
        left_s: Time until the end.
        left_wh: Energy left.
        base_w: What the device draws besides inferences.
        last: Level at the last decision.
    """
    rate = learned.inputs_per_s(now_s)
    needs = [
        (base_w + rate * point.energy_mj.value / 1e3 * learned.slowdown.mean) * max(left_s, 0.0) / 3600
        for point in points
    ]
    asked = _first(needs, left_wh)
    level = hold(last, asked, _first(needs, left_wh * _PLAN_MARGIN))
    numbers = {"battery_wh": left_wh, "plan_needs_wh": needs[level], "inputs_per_s": rate}
    if level == 0:
        return Limit(level=0, numbers=numbers)
    why = f"{points[level - 1].name} needs {needs[level - 1]:.2f} Wh until the end, {left_wh:.2f} Wh are left"
    return Limit(level=level, why=why, numbers=numbers)


def deadline_limit(
    points: Sequence[OperatingPoint], learned: Learned, deadline_s: float, late_share: float, base: int, last: int
) -> Limit:
    """Choose the first point from level ``base`` on that is in time often enough; the quickest if none is."""
    need = 1.0 - late_share
    shares = [learned.share_in_time(point, deadline_s) for point in points]
    asked = _first_in_time(points, learned, deadline_s, need, base)
    level = hold(last, asked, _first_in_time(points, learned, deadline_s * _DEADLINE_MARGIN, need, base))
    # The ladder is not always quicker downwards: the level that was held may have become too slow.
    level = _first_in_time(points, learned, deadline_s, need, level)
    slow = learned.slowdown
    numbers = {"deadline_s": deadline_s, "in_time": shares[level], "slowdown": slow.mean, "slowdown_sigma": slow.sigma}
    if level == base and shares[level] >= need:
        return Limit(level=level, numbers=numbers)
    if shares[level] < need:
        why = f"no point keeps {deadline_s * 1e3:.0f} ms often enough, the quickest in {shares[level]:.0%} of inputs"
    else:
        why = f"{points[base].name} would keep {deadline_s * 1e3:.0f} ms in {_under(shares[base])} of inputs"
    return Limit(level=level, why=why, numbers=numbers)


def _under(share: float) -> str:
    """Show a share without rounding it up to what it does not reach."""
    return f"{math.floor(share * 1000) / 10:g} %"


def _first(needs: Sequence[float], budget: float) -> int:
    return next((level for level, need in enumerate(needs) if need <= budget), len(needs) - 1)


def _first_in_time(
    points: Sequence[OperatingPoint], learned: Learned, deadline_s: float, need: float, base: int
) -> int:
    levels = range(base, len(points))
    in_time = (level for level in levels if learned.share_in_time(points[level], deadline_s) >= need)
    return next(in_time, min(levels, key=lambda level: learned.expected_s(points[level])))
