"""How high on the ladder each concern lets us go, and why; level 0 is the best point.

Each limit has two readings: the level that the figure asks for, and the one that it asks for when worse by its
hysteresis. In between the last level stays, so that noise smaller than the hysteresis never moves anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from edgehybrid.profiles import BatteryPolicy, DeviceProfile, Policy, Thermal, ThermalPolicy
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.fuel import allowance_j, prospect
from edgehybrid.runtime.control.learning import board_watts
from edgehybrid.runtime.control.options import Option
from edgehybrid.runtime.control.state import State
from edgehybrid.runtime.control.thermal import AHEAD_S, HeatPole, most_watts
from edgehybrid.runtime.control.values import Context
from edgehybrid.runtime.telemetry import Snapshot

_MAX_TREND_C = 10.0
_BEFORE_THROTTLE = 0.25  # the most economical point runs before the last quarter of the headroom is gone
_SECOND_LINE = 0.5  # below this share of the headroom the plan has failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Energy that an input may take above the idle board, and what says so; ``None`` when nothing limits it."""

    most_j: float | None = None
    why: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


def energy_budget(
    state: State,
    cheapest: Option,
    device: DeviceProfile,
    poles: tuple[HeatPole, ...],
    policy: Policy,
    snapshot: Snapshot,
    context: Context,
    day_s: float | None,
) -> Budget:
    """Return the smaller of what the battery until the end of the mission and the temperature leave for an input."""
    battery = _battery_budget(state, cheapest, snapshot, context, day_s)
    heat = _heat_budget(state, device, poles, policy, snapshot)
    numbers = {**battery.numbers, **heat.numbers}
    found = [one for one in (battery, heat) if one.most_j is not None]
    if not found:
        return Budget(numbers=numbers)
    return evolve(min(found, key=lambda one: one.most_j or 0.0), numbers=numbers)


def _battery_budget(
    state: State, cheapest: Option, snapshot: Snapshot, context: Context, day_s: float | None
) -> Budget:
    fuel = state.fuel
    if snapshot.on_mains or context.until_s is None or fuel.start_wh is None or fuel.base_w is None:
        return Budget()
    left_s = max(context.until_s - snapshot.at_s, 0.0)
    inputs = state.arrivals.expected(left_s, day_s)
    known = prospect(fuel, sensor=snapshot.battery_w is not None)
    log, variance = state.slow.of(cheapest)
    least_j = cheapest.energy_j * state.watts_scale * math.exp(min(log + variance / 2, 50.0))
    most_j = allowance_j(
        known,
        extra_j=(context.number("supply_w") or 0.0) * left_s,
        base_w=fuel.base_w,
        seconds=left_s,
        inputs=inputs,
        least_j=least_j,
    )
    numbers = {"battery_wh": known.left_wh, "battery_factor": known.factor, "battery_factor_sd": known.factor_sd}
    if math.isinf(most_j):
        return Budget(numbers=numbers)
    why = f"{known.left_wh:.2f} Wh for {left_s / 3600.0:.2g} h allow {1e3 * most_j:.3g} mJ an input"
    return Budget(most_j=most_j, why=why, numbers={**numbers, "plan_j": most_j})


def _heat_budget(
    state: State, device: DeviceProfile, poles: tuple[HeatPole, ...], policy: Policy, snapshot: Snapshot
) -> Budget:
    temp, rate = snapshot.soc_temp_c, state.arrivals.per_s
    if temp is None or not state.heat.rise_c:
        return Budget()
    start_c = (device.thermal.soft_limit_c or device.thermal.throttle_c) - policy.thermal.headroom_c
    room_w = most_watts(state.heat, poles, start_c, AHEAD_S)
    numbers = {"ambient_c": state.heat.ambient_c, "heat_room_w": room_w}
    if rate <= 0:
        return Budget(numbers=numbers)
    base_w = board_watts(device, state.slow.others if snapshot.cpu_load_pct is not None else 0.0)
    ours_w = max(room_w - base_w, 0.0)
    able = f"{ours_w:.2g} W for inferences keep it" if ours_w > 0 else "without inferences it would not stay"
    why = f"{temp:.4g} °C: {able} below {start_c:.4g} °C a minute ahead"
    return Budget(most_j=ours_w / rate, why=why, numbers=numbers)
