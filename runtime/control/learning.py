"""How the state follows the device between decisions: from inferences, and from snapshots."""

from __future__ import annotations

import math

from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.control import fuel as fuels
from edgehybrid.runtime.control import slowdown as slowdowns
from edgehybrid.runtime.control.arrivals import arrive, pass_time
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.goals import Goals, owe
from edgehybrid.runtime.control.options import Option, Options
from edgehybrid.runtime.control.state import State
from edgehybrid.runtime.control.thermal import HeatPole, feel
from edgehybrid.runtime.control.values import Observation
from edgehybrid.runtime.telemetry import Snapshot

TREND_S = 10.0
"""How far ahead the temperature is looked at without a plan, and over how long its trend is taken, in s."""

_SCALE_WEIGHT = 0.1
_SCALE_RANGE = (0.2, 5.0)
_LONG_S = 300.0  # between two decisions: nothing is known of the time in between


def observe(
    state: State,
    seen: Observation,
    options: Options,
    cores: int,
    goals: Goals,
    deadline_s: float | None,
    late_worth: float,
) -> State:
    """Learn from one inference. What is not in the bundle teaches nothing."""
    if seen.skipped:
        owed = owe(state.debt, goals, late_worth, 0.0, options.span) if goals.any else state.debt
        return evolve(state, arrivals=arrive(state.arrivals, seen.at_s), debt=owed)
    option = _ran(state, seen, options)
    if option is None:
        return state
    arrivals = arrive(state.arrivals, seen.at_s)
    nominal_s = options.latency_s(option.point, option.threads, seen.depth)
    if not (nominal_s and nominal_s > 0 and seen.latency_s > 0 and math.isfinite(seen.latency_s)):
        return evolve(state, arrivals=arrivals)
    alone_s = seen.latency_s / state.slow.crowd(option.threads, cores)
    profile_j = alone_s * option.busy_cores * option.core_w
    scale = state.watts_scale
    if seen.energy_j is not None and seen.energy_j > 0:
        ratio = seen.energy_j / (seen.latency_s * option.busy_cores * option.core_w)
        scale += _SCALE_WEIGHT * (min(max(ratio, _SCALE_RANGE[0]), _SCALE_RANGE[1]) - scale)
    debt = state.debt
    if goals.any:
        late = deadline_s is not None and seen.latency_s > deadline_s
        debt = owe(debt, goals, late_worth if late else option.worth, profile_j * scale, options.span)
    return evolve(
        state,
        slow=slowdowns.learn(state.slow, option, nominal_s, seen.latency_s, seen.at_s, cores),
        arrivals=arrivals,
        debt=debt,
        watts_scale=scale,
        own_s=state.own_s + alone_s * option.busy_cores,
    )


def _ran(state: State, seen: Observation, options: Options) -> Option | None:
    threads = seen.threads
    if threads is None and seen.point == state.point:
        threads = state.threads
    elif threads is None and seen.point == state.alternate:
        threads = state.alternate_threads
    return options.find(seen.point, threads, state.scalar)


def follow(
    state: State, snapshot: Snapshot, device: DeviceProfile, poles: tuple[HeatPole, ...], day_s: float | None
) -> State:
    """Take in a snapshot: neighbours, temperature, battery, time."""
    at_s, cores = snapshot.at_s, device.cpu.cores
    passed_s = 0.0 if state.at_s is None else at_s - state.at_s
    passed_s = passed_s if 0.0 <= passed_s <= _LONG_S else 0.0
    own = state.own_s / passed_s if passed_s > 0 else 0.0
    busy = None if snapshot.cpu_load_pct is None else cores * snapshot.cpu_load_pct / 100.0
    others = 0.0 if busy is None else min(max(busy - own, 0.0), float(cores))
    slow = state.slow if busy is None else slowdowns.enter(state.slow, others, passed_s)
    temp_c = snapshot.soc_temp_c
    heat, slow_temp_c = state.heat, temp_c
    if temp_c is not None:
        watts = _board_w(snapshot, device, own if busy is None else busy, state.watts_scale)
        heat = feel(heat, poles, watts, temp_c, at_s)
        if state.slow_temp_c is not None and state.temp_at_s is not None and at_s >= state.temp_at_s:
            share = -math.expm1(-(at_s - state.temp_at_s) / TREND_S)
            slow_temp_c = state.slow_temp_c + share * (temp_c - state.slow_temp_c)
    return evolve(
        state,
        slow=slow,
        arrivals=pass_time(state.arrivals, at_s, day_s),
        heat=heat,
        fuel=_follow_battery(state, snapshot, device, busy, own),
        own_s=0.0,
        at_s=at_s,
        slow_temp_c=slow_temp_c,
        temp_at_s=None if temp_c is None else at_s,
    )


def _board_w(snapshot: Snapshot, device: DeviceProfile, cores: float, scale: float) -> float:
    """Watts of the board: measured, else by its profile."""
    if snapshot.power_w is not None and snapshot.power_scope == "board":
        return snapshot.power_w
    return board_watts(device, cores, scale)


def board_watts(device: DeviceProfile, cores: float, scale: float = 1.0) -> float:
    """Watts of the board with so many busy cores, by its profile; ``scale`` on what is above idle."""
    power = device.power
    levels = (power.idle_w, *power.busy_w)
    n = min(max(cores, 0.0), len(levels) - 1.0)
    low = min(int(n), len(levels) - 2)
    return power.idle_w + scale * (levels[low] + (n - low) * (levels[low + 1] - levels[low]) - power.idle_w)


def _follow_battery(state: State, now: Snapshot, device: DeviceProfile, busy: float | None, own: float) -> fuels.Fuel:
    if now.battery_wh is None or now.on_mains:
        return fuels.rested(state.fuel)
    measured = now.battery_w if now.battery_w is not None and now.battery_w > 0 else None
    scale = state.watts_scale
    total_w = _board_w(now, device, own if busy is None else busy, scale) if measured is None else measured
    ours_w = _board_w(now, device, own, scale) - device.power.idle_w if measured is not None or busy is None else None
    base_w = (
        max(total_w - ours_w, 0.0) if ours_w is not None else board_watts(device, max((busy or 0.0) - own, 0.0), scale)
    )
    pct = 100.0 if now.battery_pct is None else now.battery_pct
    return fuels.count(state.fuel, now.battery_wh, pct, total_w, base_w, now.at_s)
