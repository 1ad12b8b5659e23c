"""The decision: a pure function of what is remembered, what the device says and what the app says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control.guards import Guard, find_guard
from edgehybrid.runtime.control.ladder import Ladder
from edgehybrid.runtime.control.limits import (
    TREND_S,
    Limit,
    battery_limit,
    deadline_limit,
    heat_limit,
    plan_limit,
)
from edgehybrid.runtime.control.state import State
from edgehybrid.runtime.control.values import Context, Decision
from edgehybrid.runtime.telemetry import Snapshot


def decide(
    state: State, ladder: Ladder, device: DeviceProfile, policy: Policy, snapshot: Snapshot, context: Context
) -> tuple[State, Decision]:
    """Choose the point to run from now on.

    Going down happens at once; going back up waits until the policy's dwell time has passed since the last change.
    """
    state = _follow_temperature(state, snapshot)
    state, limits = _limits(state, ladder.above_floor, device, policy, snapshot, context)
    if guard := find_guard(snapshot, device, policy):
        return _forced(state, ladder, guard, snapshot)
    strictest = max(limits, key=lambda limit: limit.level)  # the first among equals
    wanted = ladder.above_floor[strictest.level]
    numbers = {name: value for limit in limits for name, value in limit.numbers.items()}
    wait_s = _wait_s(state, ladder, wanted, policy, snapshot.at_s)
    if wait_s > 0 and state.point is not None:
        reason = f"{_cause(strictest, snapshot)}: {wanted.name} is allowed, {state.point} stays {wait_s:.0f} s more"
        numbers["dwell_left_s"] = wait_s
        return state, Decision(at_s=snapshot.at_s, point=state.point, reason=reason, numbers=numbers)
    changed = wanted.name != state.point
    origin = f" (from {state.point})" if changed and state.point else ""
    floor = ladder.above_floor != ladder.every and wanted is ladder.above_floor[-1] and strictest.level > 0
    note = ", the last above the quality floor" if floor else ""
    reason = f"{_cause(strictest, snapshot)}: {wanted.name}{origin}{note}"
    after = replace(state, point=wanted.name, since_s=snapshot.at_s) if changed else state
    return after, Decision(at_s=snapshot.at_s, point=wanted.name, reason=reason, numbers=numbers)


def _limits(
    state: State,
    points: Sequence[OperatingPoint],
    device: DeviceProfile,
    policy: Policy,
    snapshot: Snapshot,
    context: Context,
) -> tuple[State, list[Limit]]:
    """Ask every concern; those that the device or the app says nothing about do not limit."""
    rungs, at_s = len(points), snapshot.at_s
    free = Limit(level=0)
    battery = plan = heat = free
    if not snapshot.on_mains:
        if context.until_s is not None and snapshot.battery_wh is not None:
            base_w = _base_w(state, points, device, snapshot)
            left_s = context.until_s - at_s
            plan = plan_limit(points, state.learned, at_s, left_s, snapshot.battery_wh, base_w, state.plan_level)
        elif snapshot.battery_pct is not None:
            battery = battery_limit(snapshot.battery_pct, state.battery_level, rungs, policy.battery)
    if snapshot.soc_temp_c is not None:
        trend = snapshot.soc_temp_c - (snapshot.soc_temp_c if state.slow_temp_c is None else state.slow_temp_c)
        heat = heat_limit(snapshot.soc_temp_c, trend, state.heat_level, rungs, device.thermal, policy.thermal)
    limits = [heat, plan, battery, _background_limit(context, policy, rungs)]
    deadline = free
    if context.deadline_s is not None:
        base = max(limit.level for limit in limits)
        last = max(state.deadline_level, base)
        deadline = deadline_limit(
            points, state.learned, context.deadline_s, policy.late_share, base, min(last, rungs - 1)
        )
        limits = [deadline, *limits] if deadline.why else [*limits, deadline]
    after = replace(
        state,
        battery_level=battery.level,
        plan_level=plan.level,
        heat_level=heat.level,
        deadline_level=deadline.level,
    )
    return after, limits


def _background_limit(context: Context, policy: Policy, rungs: int) -> Limit:
    level = min(policy.background_steps, rungs - 1)
    if context.foreground is not False or context.user_waiting or level == 0:
        return Limit(level=0)
    return Limit(level=level, why="the app is in the background")


def _forced(state: State, ladder: Ladder, guard: Guard, snapshot: Snapshot) -> tuple[State, Decision]:
    point = ladder.cheapest.name
    origin = f" (from {state.point})" if state.point not in (None, point) else ""
    decision = Decision(
        at_s=snapshot.at_s,
        point=point,
        reason=f"guard {guard.name}: {guard.why}: {point}{origin}",
        exit_scalar=1.0,
        guard=guard.name,
    )
    return replace(state, point=point, since_s=snapshot.at_s), decision


def _wait_s(state: State, ladder: Ladder, wanted: OperatingPoint, policy: Policy, at_s: float) -> float:
    """Return how long the present point must stay before going up to ``wanted``; 0 when it need not."""
    names = [point.name for point in ladder.every]
    if state.point not in names or state.since_s is None or names.index(wanted.name) >= names.index(state.point):
        return 0.0
    passed = at_s - state.since_s
    if passed < 0:  # remembered from before a restart, whose clock began anew: long ago
        return 0.0
    return max(policy.switching.dwell_s - passed, 0.0)


def _base_w(state: State, points: Sequence[OperatingPoint], device: DeviceProfile, snapshot: Snapshot) -> float:
    """Return what the device draws besides our inferences: measured where there is a meter, else its idle power."""
    running = next((point for point in points if point.name == state.point), None)
    if snapshot.battery_w is None or running is None:
        return device.power.idle_w
    ours = state.learned.inputs_per_s(snapshot.at_s) * running.energy_mj.value / 1e3 * state.learned.slowdown.mean
    return max(snapshot.battery_w - ours, 0.0)


def _follow_temperature(state: State, snapshot: Snapshot) -> State:
    temp = snapshot.soc_temp_c
    if temp is None:
        return replace(state, slow_temp_c=None, temp_at_s=None)
    if state.slow_temp_c is None or state.temp_at_s is None or snapshot.at_s < state.temp_at_s:
        return replace(state, slow_temp_c=temp, temp_at_s=snapshot.at_s)
    share = 1.0 - math.exp(-(snapshot.at_s - state.temp_at_s) / TREND_S)
    slow = state.slow_temp_c + share * (temp - state.slow_temp_c)
    return replace(state, slow_temp_c=slow, temp_at_s=snapshot.at_s)


def _cause(limit: Limit, snapshot: Snapshot) -> str:
    if limit.why:
        return limit.why
    seen = []
    if snapshot.on_mains:
        seen.append("on mains")
    elif snapshot.battery_pct is not None:
        seen.append(f"battery {snapshot.battery_pct:.0f} %")
    if snapshot.soc_temp_c is not None:
        seen.append(f"{snapshot.soc_temp_c:.0f} °C")
    return f"nothing limits ({', '.join(seen)})" if seen else "nothing limits"
